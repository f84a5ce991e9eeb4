"""What became of a world, from the venue's own records held against the ledger: what was lost, what was doubled."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

from crash_world import FOLLOWERS, MASTER_USD, NOT_ENABLED, World

from copytrade.domain.errors import LedgerError
from copytrade.domain.ids import copy_id, master_order_id
from copytrade.ledger.reader import LedgerReader
from copytrade.ledger.replay import verify

STEP = Decimal("1E-8")  # the venue's lot step of BTC/USD
_ENDED_AT_VENUE = ("filled", "cancelled")


@dataclass
class Findings:
    """What is wrong with a world, in words; empty lists when nothing is."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    orders: int = 0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)


def examine(world: World, *, sized_by_ratio: bool = True) -> Findings:
    """Hold the venue's records against the ledger once the worker's last run has ended by itself.

    `sized_by_ratio` says that every entry was sized on untouched accounts, so that its quantity can be told from
    outside: the master's, scaled by what the accounts were opened with.
    """
    found = Findings()
    at_venue = world.orders()
    found.orders = len(at_venue)
    verdict = verify(world.ledger)
    found.wrong += verdict.problems
    found.wrong += world.result()["problems"]
    with LedgerReader(world.ledger) as reader:
        ledger = {record["order_id"]: record for record in reader.orders(limit=10_000)}
        signals = reader.signals(limit=10_000)
        found.wrong += [f"parked: {row}" for row in reader.parked()]
        found.wrong += [f"the ledger holds a position: {row}" for row in reader.positions()]
    _doubled(world, at_venue, found)
    for order in at_venue:
        _known_and_alike(order, ledger, found)
    for record in ledger.values():
        if record["ended_at"] is None:
            found.lost.append(f"never came to its end: {_said(record)}")
        elif record["state"] in _ENDED_AT_VENUE and not any(o["client_id"] == record["order_id"] for o in at_venue):
            found.lost.append(f"{record['state']} in the ledger and not at the venue: {_said(record)}")
    _master(world, ledger, signals, at_venue, found)
    for signal in signals:
        _copies(signal, ledger, at_venue, found, sized_by_ratio)
    _flat(world, at_venue, found)
    return found


def _doubled(world: World, at_venue: list[dict[str, Any]], found: Findings) -> None:
    for (user, client_id), count in Counter((o["user"], o["client_id"]) for o in at_venue).items():
        if count > 1:
            found.doubled.append(f"{count} orders of {user} under the one id {client_id}")
    ours = {world.at_venue(user) for user in ("master", *FOLLOWERS, NOT_ENABLED)}
    venue_says = [double for double in world.venue.call("GET", "doubles")["doubles"] if double["account"] in ours]
    if len(venue_says) != len(found.doubled):
        found.wrong.append(f"the venue counts {len(venue_says)} doubles, its orders show {len(found.doubled)}")


def _known_and_alike(order: dict[str, Any], ledger: dict[str, dict[str, Any]], found: Findings) -> None:
    """Every order of ours at the venue has an intent that is older, and is what was intended."""
    record = ledger.get(order["client_id"])
    if record is None:
        found.wrong.append(f"an order without an intent: {order}")
        return
    intended = (record["side"], Decimal(record["quantity"]), record["account"])
    placed = (order["side"], Decimal(order["volume"]), f"kraken:{order['user']}")
    if intended != placed:
        found.wrong.append(f"intended {intended}, placed {placed}: {_said(record)}")
    if datetime.fromisoformat(record["planned_at"]).timestamp() > order["accepted_at_s"]:
        found.wrong.append(f"accepted at {order['accepted_at_s']}, before its intent: {_said(record)}")
    if Decimal(record["filled"]) != Decimal(order["filled"]) or record["venue_order_id"] != order["order_id"]:
        found.wrong.append(f"the venue has {order}, the ledger {_said(record)} with {record['filled']} filled")


def _master(
    world: World,
    ledger: dict[str, dict[str, Any]],
    signals: list[dict[str, Any]],
    at_venue: list[dict[str, Any]],
    found: Findings,
) -> None:
    """Each order that was asked for is at the venue, and is one signal."""
    asked = [master_order_id("kraken:master", step["id"]) for step in world.steps]
    for step, order_id in zip(world.steps, asked, strict=True):
        if not any(order["client_id"] == order_id and order["user"] == "master" for order in at_venue):
            found.lost.append(f"the master's order {step['id']} is not at the venue: {_said(ledger.get(order_id))}")
        told = [signal for signal in signals if signal["master_order_id"] == order_id]
        if len(told) != 1:
            (found.lost if not told else found.doubled).append(f"{len(told)} signals of the master's {step['id']}")
    strangers = [o["client_id"] for o in at_venue if o["user"] == "master" and o["client_id"] not in asked]
    found.wrong += [f"the master placed {order_id}, which nobody asked for" for order_id in strangers]


def _copies(
    signal: dict[str, Any],
    ledger: dict[str, dict[str, Any]],
    at_venue: list[dict[str, Any]],
    found: Findings,
    sized_by_ratio: bool,
) -> None:
    """Each enabled follower answers with one order, and with a follow-up only after one that was cut short."""
    what = f"the {signal['side']} {signal['signal_id']}"
    for user in FOLLOWERS:
        account = f"kraken:{user}"
        legs = sorted(
            (r for r in ledger.values() if r["signal_id"] == signal["signal_id"] and r["account"] == account),
            key=lambda r: r["leg"],
        )
        if not legs:
            found.lost.append(f"{user} has no copy of {what}")
            continue
        if any(leg["order_id"] != copy_id(signal["signal_id"], account, n) for n, leg in enumerate(legs)):
            found.wrong.append(f"{user}'s copies of {what} do not follow one another: {[_said(leg) for leg in legs]}")
        for leg in legs[:-1]:
            if leg["state"] != "cancelled" or signal["side"] != "sell":
                found.doubled.append(f"{user} answered {what} again after {_said(leg)}")
        if not any(order["client_id"] == legs[0]["order_id"] for order in at_venue):
            found.lost.append(f"{user}'s copy of {what} never reached the venue: {_said(legs[0])}")
        if sized_by_ratio and signal["side"] == "buy":
            share = Decimal(FOLLOWERS[user]) / Decimal(MASTER_USD)
            expected = (Decimal(signal["quantity"]) * share).quantize(STEP, rounding=ROUND_DOWN)
            if Decimal(legs[0]["quantity"]) != expected:
                found.wrong.append(f"{user} should have bought {expected}: {_said(legs[0])}")
    for record in ledger.values():
        if record["signal_id"] == signal["signal_id"] and record["account"] == f"kraken:{NOT_ENABLED}":
            if record["state"] != "skipped":
                found.wrong.append(f"{NOT_ENABLED} is not enabled: {_said(record)}")
            return
    found.lost.append(f"{NOT_ENABLED} has no answer to {what}, not even that it was skipped")


def _flat(world: World, at_venue: list[dict[str, Any]], found: Findings) -> None:
    """The master has sold everything, so everyone must have: by fills, and by the balances of the venue."""
    held = {user: Decimal(0) for user in ("master", *FOLLOWERS, NOT_ENABLED)}
    for order in at_venue:
        filled = Decimal(order["filled"])
        held[order["user"]] += filled if order["side"] == "buy" else -filled
    accounts = {account["name"]: account for account in world.venue.call("GET", "accounts")["accounts"]}
    for user, quantity in held.items():
        balance = Decimal(accounts[world.at_venue(user)]["balances"].get("BTC", "0"))
        if balance != quantity:
            found.wrong.append(f"{user}: fills leave {quantity} BTC and the venue holds {balance}")
        if balance > 0:
            found.lost.append(f"{user} was left in a position of {balance} BTC")
        if balance < 0:
            found.wrong.append(f"{user} sold {-balance} BTC more than it had")


def doubts(world: World) -> tuple[int, int]:
    """Right after a kill: how many orders the ledger calls approved that the venue has, and that it has not.

    Both kinds must turn up, or a test of kills has not come near the moments that matter. Raises `AssertionError`
    when the file that was left behind does not replay to its own tables.
    """
    if not world.ledger.exists():
        return 0, 0
    try:
        verdict = verify(world.ledger)
        assert verdict.ok, f"{world.name}: the ledger that a kill left behind: {verdict.problems}"
        with LedgerReader(world.ledger) as reader:
            approved = [r["order_id"] for r in reader.open_orders() if r["state"] in ("approved", "unknown")]
    except LedgerError as error:
        if getattr(error.__cause__, "sqlite_errorname", "") == "SQLITE_READONLY_ROLLBACK":
            # Killed while a clean stop or a start changed the journal's mode: only a writer may undo that, and the
            # next run does. Whoever merely reads has to wait for it.
            return 0, 0
        raise AssertionError(f"{world.name}: the ledger that a kill left behind cannot be read: {error}") from error
    if not approved:
        return 0, 0
    there = {order["client_id"] for order in world.orders()}
    return sum(o in there for o in approved), sum(o not in there for o in approved)


def _said(record: dict[str, Any] | None) -> str:
    if record is None:
        return "the ledger has nothing of it"
    return " ".join(
        str(record[name])
        for name in ("account", "side", "quantity", "leg", "state", "reason", "detail", "order_id", "planned_at")
    )
