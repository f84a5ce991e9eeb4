"""What became of a world whose master trades by hand: by the venue's own records, held against the ledger.

Each order of the hand that was placed since somebody watches is told once, or came to nothing before it was seen; none
from before is. Everybody answers what was told once, buys its share of what the hand bought, and is flat when the hand
is. No copy is at the venue twice, and none without an intent.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from decimal import Decimal
from typing import Any

from crash_cast import MASTER, MASTER_USD, Member
from crash_evidence import Findings
from crash_resting_evidence import TOLERANCE
from crash_resting_evidence import _flat as flat
from crash_resting_evidence import _said as said
from crash_watch import WATCHING
from crash_world import World

from copytrade.ledger.reader import LedgerReader
from copytrade.ledger.replay import verify

Row = dict[str, Any]
_ZERO = Decimal(0)
_BEGINNING = ("placed", "amended")
_NEVER_THERE = ("skipped", "stopped", "refused")


def examine_watched(world: World) -> Findings:
    """Hold the venue's records against the ledger once the worker's last run has ended by itself."""
    found = Findings()
    at_venue = world.orders()
    found.orders = len(at_venue)
    found.wrong += [*verify(world.ledger).problems, *world.result()["problems"]]
    with LedgerReader(world.ledger) as reader:
        ledger = {record["order_id"]: record for record in reversed(reader.orders(limit=10_000))}
        signals = reader.signals(limit=10_000)[::-1]
        found.wrong += [f"parked: {row}" for row in reader.parked()]
    for record in ledger.values():
        if record["ended_at"] is None:
            found.lost.append(f"never came to its end: {said(record)}")
    found.lost += [f"was left with a resting order: {order}" for order in at_venue if order["status"] == "open"]
    _copies(at_venue, ledger, found)
    _told(world, at_venue, ledger, signals, found)
    _answers(world, signals, ledger, found)
    alone: dict[str, Decimal] = {}
    for member in world.cast.members:
        _shares(member, ledger, signals, alone, found)
    flat(world, alone, found)
    return found


def _copies(at_venue: list[Row], ledger: dict[str, Row], found: Findings) -> None:
    """Followers' orders at the venue are the ledger's copies, each there once, as it was intended."""
    placed = [order for order in at_venue if order["user"] != MASTER]
    for (account, client_id), count in Counter((o["account"], o["client_id"]) for o in placed).items():
        if count > 1:
            found.doubled.append(f"{count} orders of {account} under the one id {client_id}")
    for order in placed:
        record = ledger.get(order["client_id"])
        if record is None:
            found.wrong.append(f"an order without an intent: {order}")
            continue
        intended = (record["account"], record["side"], Decimal(record["quantity"]), Decimal(record["filled"]))
        if intended != (order["account"], order["side"], Decimal(order["volume"]), Decimal(order["filled"])):
            found.wrong.append(f"the ledger has {intended}, the venue {order}: {said(record)}")
        if datetime.fromisoformat(record["planned_at"]).timestamp() > order["accepted_at_s"]:
            found.wrong.append(f"accepted at {order['accepted_at_s']}, before its intent: {said(record)}")
        if record["state"] in _NEVER_THERE:
            found.wrong.append(f"at the venue, and never sent by the ledger: {said(record)}")
    there = {order["client_id"] for order in placed}
    for record in ledger.values():
        ended = record["role"] == "copy" and record["state"] in ("filled", "cancelled")
        if ended and record["order_id"] not in there:
            found.lost.append(f"{record['state']} in the ledger and not at the venue: {said(record)}")


def _told(
    world: World, at_venue: list[Row], ledger: dict[str, Row], signals: list[Row], found: Findings
) -> None:
    """Of each of the hand's orders there is one record, with one signal of its beginning, and one of its end if it
    rested when it was seen."""
    began_s = (world.folder / WATCHING).stat().st_mtime
    records: dict[str, list[Row]] = {}
    for record in ledger.values():
        if record["role"] == "master":
            # Where a venue's id means nothing without the market, our name has the market in front of it.
            records.setdefault(str(record["venue_order_id"]).rpartition(":")[2], []).append(record)
    told = Counter((signal["master_order_id"], signal["kind"]) for signal in signals)
    unseen: list[Row] = []
    for order in (order for order in at_venue if order["user"] == MASTER):
        mine = records.get(order["order_id"], [])
        before = order["accepted_at_s"] < began_s
        if before and mine:
            found.wrong.append(f"from before it was watched, and copied: {order}: {[said(r) for r in mine]}")
        if before:
            continue
        if not mine and Decimal(order["filled"]):
            unseen.append(order)
        if not mine and order["status"] == "open":
            found.lost.append(f"the hand's open order is not in the ledger: {order}")
        if len(mine) > 1:
            found.doubled.append(f"the hand's order is {len(mine)} orders in the ledger: {order}")
        for record in mine:
            if Decimal(record["filled"]) != Decimal(order["filled"]):
                found.wrong.append(f"the venue has {order}, the ledger {said(record)}")
            _signals(record, told, found)
    # Binance lists by market alone: what was bought and sold there while nobody worked has left nothing to copy.
    trip = sum((Decimal(o["filled"]) * (1 if o["side"] == "buy" else -1) for o in unseen), _ZERO)
    most = max((Decimal(order["filled"]) for order in unseen), default=_ZERO) / 100
    if world.cast.master != "binance" or abs(trip) > most:
        found.lost += [f"the hand's order is not in the ledger: {order}" for order in unseen]


def _signals(record: Row, told: Counter[tuple[str, str]], found: Findings) -> None:
    mine = {kind: count for (order_id, kind), count in told.items() if order_id == record["order_id"]}
    first = mine.get("placed", 0)
    rested = record["kind"] not in ("market", "ioc_limit")
    ends = mine.get("filled", 0) + mine.get("cancelled", 0)
    # One that took another's place begins as an amendment; further ones of that kind changed it in place.
    begun = first or min(1, mine.get("amended", 0))
    for count, wanted, what in ((begun, 1, "beginning"), (ends, int(rested), "end")):
        if count != wanted:
            (found.lost if count < wanted else found.doubled).append(
                f"{count} signals of the {what} of the master's {said(record)}: {mine}"
            )


def _answers(world: World, signals: list[Row], ledger: dict[str, Row], found: Findings) -> None:
    """Every signal of a beginning has one answer of each follower; further ones are legs of an exit cut short."""
    for signal in (signal for signal in signals if signal["kind"] == "placed" and signal["master_order_id"]):
        for seat in world.cast.seats:
            mine = [
                record for record in ledger.values()
                if record["signal_id"] == signal["signal_id"] and record["account"] == seat.account
            ]  # fmt: skip
            if seat.user != MASTER and Counter(record["leg"] for record in mine)[0] != 1:
                (found.doubled if mine else found.lost).append(
                    f"{len(mine)} answers of {seat.account} to {signal['kind']} {signal['signal_id']}: "
                    f"{[said(record) for record in mine]}"
                )


def _shares(
    member: Member, ledger: dict[str, Row], signals: list[Row], alone: dict[str, Decimal], found: Findings
) -> None:
    """What a follower bought of each of the hand's orders, with those that took its place, is its share: of what was
    filled at least, of what was asked for at most. What it bought beyond the first is added to `alone`."""
    families: dict[str, list[Row]] = {}
    for signal in signals:
        if signal["side"] == "buy" and signal["master_order_id"]:
            families.setdefault(signal["family"], []).append(signal)
    for family in families.values():
        orders = dict.fromkeys(signal["master_order_id"] for signal in family)
        filled = sum((Decimal(ledger[order_id]["filled"]) for order_id in orders), _ZERO)
        asked = max([filled, *(Decimal(signal["quantity"]) for signal in family if signal["kind"] in _BEGINNING)])
        told = {signal["signal_id"] for signal in family}
        for seat in member.seats:
            copies = [r for r in ledger.values() if r["account"] == seat.account and r["signal_id"] in told]
            bought = sum((Decimal(record["filled"]) for record in copies), _ZERO)
            share = Decimal(seat.money) / Decimal(MASTER_USD) if member.enabled else _ZERO
            step = 2 * seat.facts.step
            alone[seat.account] = alone.get(seat.account, _ZERO) + max(_ZERO, bought - filled * share) + step
            what = f"{seat.account} bought {bought}, its share of the hand's {filled} of {asked} is {share * filled}"
            turned_away = any(copy["state"] == "refused" for copy in copies)
            if bought < filled * share * (1 - TOLERANCE) - step and not turned_away:
                found.lost.append(f"{what}: {[said(copy) for copy in copies]}")
            if bought > asked * share * (1 + TOLERANCE) + step:
                found.doubled.append(f"{what}: {[said(copy) for copy in copies]}")


def notes(world: World) -> str:
    """What the hand did, for a failed assertion."""
    path = world.folder / "hand.log"
    left = world.folder / "left"
    return (path.read_text() if path.exists() else "") + json.dumps(left.read_text() if left.exists() else "")
