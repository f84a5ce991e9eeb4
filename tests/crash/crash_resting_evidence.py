"""What became of a world in which orders rest: by the venue's own records, held against the ledger.

The master ends flat and without an order. Then nobody may have one left at the venue, nobody may hold anything, and of
each of the master's orders everybody must have bought its share of what the master bought: not less, and not more than
its share of what the master asked for. At no moment may an account have two orders of one side at the venue.

What filled for a follower while the master's own order did not is sold by drift repair in the end; before that, nobody
may hold more than such fills come to.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from decimal import Decimal
from typing import Any

from crash_cast import MASTER, MASTER_USD, Member, Seat
from crash_evidence import Findings
from crash_world import World

from copytrade.domain.ids import master_order_id
from copytrade.ledger.reader import LedgerReader
from copytrade.ledger.replay import verify
from copytrade.simulator.alpaca.listing import MARKETS as AT_ALPACA
from copytrade.simulator.binance.listing import MARKETS as AT_BINANCE
from copytrade.simulator.coinbase.listing import MARKETS as AT_COINBASE
from copytrade.simulator.kraken.listing import MARKETS as AT_KRAKEN
from copytrade.simulator.okx.listing import MARKETS as AT_OKX

Row = dict[str, Any]

# Equities move while a story is told: by fees, by prices that differ by half a percent, by what fills at which of them.
TOLERANCE = Decimal("0.03")
_ZERO = Decimal(0)
_MARKETS = {
    (venue, market.symbol): market
    for venue, markets in (
        ("kraken", AT_KRAKEN), ("binance", AT_BINANCE), ("coinbase", AT_COINBASE), ("alpaca", AT_ALPACA),
        ("okx", AT_OKX),
    ) for market in markets
}  # fmt: skip
_NEVER_THERE = ("skipped", "stopped", "refused")
_BEGINNING = ("placed", "amended")


def examine_resting(world: World) -> Findings:
    """Hold the venue's records against the ledger once the worker's last run has ended by itself."""
    found = Findings()
    at_venue = _whole_orders(world.orders())
    found.orders = len(at_venue)
    found.wrong += [*verify(world.ledger).problems, *world.result()["problems"]]
    with LedgerReader(world.ledger) as reader:
        ledger = {record["order_id"]: record for record in reversed(reader.orders(limit=10_000))}
        signals = reader.signals(limit=10_000)[::-1]
        found.wrong += [f"parked: {row}" for row in reader.parked()]
    missing = world.folder / "missing"
    found.lost += json.loads(missing.read_text()) if missing.exists() else []
    _once(world, at_venue, ledger, found)
    for record in ledger.values():
        if record["ended_at"] is None:
            found.lost.append(f"never came to its end: {_said(record)}")
    _signals(world, ledger, signals, at_venue, found)
    for seat in world.cast.seats:
        mine = [order for order in at_venue if order["account"] == seat.account]
        found.lost += [f"{seat.account} was left with a resting order: {o}" for o in mine if o["status"] == "open"]
        _one_at_a_time(seat, mine, found)
    families = {signal["master_order_id"]: signal["family"] for signal in signals if signal["master_order_id"]}
    alone: dict[str, Decimal] = {}
    for member in world.cast.members:
        _shares(member, families, ledger, signals, alone, found)
    _flat(world, alone, found)
    return found


def _whole_orders(orders: list[Row]) -> list[Row]:
    """OKX's bracket is two orders there, of which the second has no client id: here it is one, as it is to us."""
    whole: list[Row] = []
    for order in orders:
        first = next((o for o in reversed(whole) if o["account"] == order["account"]), None)
        if order["venue"] != "okx" or order["client_id"] is not None or first is None:
            whole.append(order)
            continue
        assert (first["accepted_at_s"], first["volume"]) == (order["accepted_at_s"], order["volume"]), (first, order)
        first["filled"] = str(Decimal(first["filled"]) + Decimal(order["filled"]))
        ends = [first["closed_at_s"], order["closed_at_s"]]
        first["closed_at_s"] = None if None in ends else max(ends)
        first["status"] = "open" if None in ends else first["status"]
    return whole


def _once(world: World, at_venue: list[Row], ledger: dict[str, Row], found: Findings) -> None:
    """Every order at a venue is one of ours, older in the ledger, and there once."""
    for (account, client_id), count in Counter((o["account"], o["client_id"]) for o in at_venue).items():
        if count > 1:
            found.doubled.append(f"{count} orders of {account} under the one id {client_id}")
    for order in at_venue:
        record = ledger.get(order["client_id"])
        if record is None:
            found.wrong.append(f"an order without an intent: {order}")
            continue
        intended = (record["account"], record["side"], Decimal(record["quantity"]), Decimal(record["filled"]))
        placed = (order["account"], order["side"], Decimal(order["volume"]), Decimal(order["filled"]))
        if intended != placed:
            found.wrong.append(f"the ledger has {intended}, the venue {placed}: {_said(record)}")
        if datetime.fromisoformat(record["planned_at"]).timestamp() > order["accepted_at_s"]:
            found.wrong.append(f"accepted at {order['accepted_at_s']}, before its intent: {_said(record)}")
        # OKX takes a post-only order that would fill, and cancels it itself.
        turned_away = (record["reason"], placed[-1]) == ("post_only_would_fill", 0)
        if record["state"] in _NEVER_THERE and not turned_away:
            found.wrong.append(f"at the venue, and never sent by the ledger: {_said(record)}")
    there = {order["client_id"] for order in at_venue}
    for record in ledger.values():
        if record["state"] in ("filled", "cancelled") and record["order_id"] not in there:
            found.lost.append(f"{record['state']} in the ledger and not at the venue: {_said(record)}")


def _signals(
    world: World, ledger: dict[str, Row], signals: list[Row], at_venue: list[Row], found: Findings
) -> None:
    """Each of the master's orders at the venue has one signal of its beginning; one that could rest, one of its end.
    Every signal has an answer of everybody who is to answer it."""
    told = Counter((signal["master_order_id"], signal["kind"] in _BEGINNING) for signal in signals)
    for order in at_venue:
        if order["user"] != MASTER:
            continue
        record = ledger.get(order["client_id"])
        rests = record is not None and record["kind"] not in ("market", "ioc_limit")
        for beginning, wanted in ((True, 1), (False, 1 if rests else 0)):
            count, what = told[order["client_id"], beginning], "beginning" if beginning else "end"
            if count != wanted:
                (found.lost if count < wanted else found.doubled).append(
                    f"{count} signals of the {what} of the master's {_said(record)}"
                )
    account = world.cast.seat(MASTER).account
    there = {order["client_id"] for order in at_venue}
    for step in world.steps:
        if step["act"] == "place" and step["side"] == "buy" and master_order_id(account, step["id"]) not in there:
            found.lost.append(f"the master's order {step['id']} is not at the venue")


def _one_at_a_time(seat: Seat, mine: list[Row], found: Findings) -> None:
    """The master never has two orders of a side at the venue, so nobody must: two that rest could both fill."""
    for side in ("buy", "sell"):
        before: Row | None = None
        for order in (o for o in mine if o["side"] == side):
            if before is not None and (before["closed_at_s"] is None or before["closed_at_s"] > order["accepted_at_s"]):
                found.doubled.append(f"{seat.account} had two orders to {side} at once: {before} and {order}")
            before = order


def _shares(
    member: Member, families: dict[str, str], ledger: dict[str, Row], signals: list[Row], alone: dict[str, Decimal],
    found: Findings,
) -> None:  # fmt: skip
    """What a follower bought of a family of the master's is its share: of what was filled at least, of what was asked
    for at most. What it bought beyond the share of what was filled is added to `alone`, by account."""
    by_signal = {signal["signal_id"]: signal for signal in signals}
    for first in dict.fromkeys(families.values()):
        orders = [ledger[order_id] for order_id, family in families.items() if family == first]
        if orders[0]["side"] != "buy":
            continue
        filled = sum((Decimal(order["filled"]) for order in orders), _ZERO)
        before = _ZERO
        asked = _ZERO  # the most that the family ever stood for: what had filled, and the latest order
        for order in orders:
            asked = max(asked, before + Decimal(order["quantity"]))
            before += Decimal(order["filled"])
        for seat in member.seats:
            copies = [
                record for record in ledger.values()
                if record["account"] == seat.account and record["signal_id"] in by_signal
                and families.get(by_signal[record["signal_id"]]["master_order_id"]) == first
            ]  # fmt: skip
            bought = sum((Decimal(record["filled"]) for record in copies), _ZERO)
            share = Decimal(seat.money) / Decimal(MASTER_USD) if member.enabled else _ZERO
            step = 2 * _MARKETS[seat.venue, orders[0]["symbol"]].lot_step
            alone[seat.account] = alone.get(seat.account, _ZERO) + max(_ZERO, bought - filled * share) + step
            least, most = filled * share * (1 - TOLERANCE), asked * share * (1 + TOLERANCE)
            what = f"{seat.account} bought {bought}, its share of the master's {filled} of {asked} is {share * filled}"
            # With the venue's word and an alert, or because the price ran away while the copy was on its way: what
            # catches up with a fill of the master's has a limit, and is over at once.
            turned_away = any(
                copy["state"] == "refused" or copy["reason"] == "price_moved"
                or (copy["kind"], copy["state"]) == ("ioc_limit", "cancelled")
                for copy in copies
            )  # fmt: skip
            if any(copy["reason"] == "below_minimum" for copy in copies):  # what was left to buy was too small
                market = _MARKETS[seat.venue, orders[0]["symbol"]]
                cost = max(market.cost_min, seat.facts.buy_min)
                least -= max(market.order_min, cost / market.start_price * (1 + 2 * TOLERANCE))
            if bought < least - step and not turned_away:
                found.lost.append(f"{what}: {[_said(copy) for copy in copies]}")
            if bought > most + step:
                found.doubled.append(f"{what}: {[_said(copy) for copy in copies]}")


def _flat(world: World, alone: dict[str, Decimal], found: Findings) -> None:
    """The master is out, so everybody must be, but for what is too small to be sold."""
    symbol = world.steps[0]["symbol"]
    base = symbol.partition("/")[0]
    note = world.folder / "left"
    left = {account: Decimal(held) for account, held in json.loads(note.read_text()).items()} if note.exists() else {}
    for venue in world.cast.venues:
        market = _MARKETS[venue, symbol]
        answer = world.venue.call("GET", "accounts", venue=venue)["accounts"]
        accounts = {account["name"]: account for account in answer}
        for seat in (seat for seat in world.cast.seats if seat.venue == venue):
            balance = Decimal(accounts[world.at_venue(seat.user)]["balances"].get(base, "0"))
            before = left.get(seat.account, _ZERO)
            smallest = max(market.order_min, market.cost_min / market.start_price) if before else market.lot_step
            smallest = max(smallest, seat.facts.dust_steps * market.lot_step)
            if balance >= smallest or (balance > 0 and not before and not seat.facts.fees_in_base):
                found.lost.append(f"{seat.account} was left in a position of {balance} {base}")
            most = alone.get(seat.account, _ZERO) * (1 + TOLERANCE) + market.lot_step
            if seat.user == MASTER:  # what is left of its own may be too small to be sold
                most += max(market.order_min, market.cost_min / market.start_price)
            if before > most:
                found.lost.append(f"{seat.account} held {before} {base}, and bought but {most} without the master")
            if balance < 0:
                found.wrong.append(f"{seat.account} sold {-balance} {base} more than it had")


def _said(record: Row | None) -> str:
    if record is None:
        return "order that the ledger has nothing of"
    names = ("account", "side", "kind", "quantity", "filled", "leg", "state", "reason", "cancel", "detail", "order_id")
    return " ".join(str(record[name]) for name in names)
