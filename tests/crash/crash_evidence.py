"""What became of a world, from the venues' own records held against the ledger: what was lost, what was doubled."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

from crash_cast import MASTER, MASTER_USD, Member, Seat
from crash_world import World

from copytrade.domain.errors import LedgerError
from copytrade.domain.ids import copy_id, master_order_id
from copytrade.ledger.reader import LedgerReader
from copytrade.ledger.replay import verify

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
    """Hold the venues' records against the ledger once the worker's last run has ended by itself.

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
        positions = {row["account"]: Decimal(row["quantity"]) for row in reader.positions()}
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
        _copies(world, signal, ledger, at_venue, found, sized_by_ratio)
    _flat(world, at_venue, positions, found)
    return found


def _doubled(world: World, at_venue: list[dict[str, Any]], found: Findings) -> None:
    for (account, client_id), count in Counter((o["account"], o["client_id"]) for o in at_venue).items():
        if count > 1:
            found.doubled.append(f"{count} orders of {account} under the one id {client_id}")
    ours = {world.at_venue(seat.user) for seat in world.cast.seats}
    counted = 0
    for venue in world.cast.venues:
        doubles = world.venue.call("GET", "doubles", venue=venue)["doubles"]
        counted += sum(double["account"] in ours for double in doubles)
    if counted != len(found.doubled):
        found.wrong.append(f"the venues count {counted} doubles, their orders show {len(found.doubled)}")


def _known_and_alike(order: dict[str, Any], ledger: dict[str, dict[str, Any]], found: Findings) -> None:
    """Every order of ours at a venue has an intent that is older, and is what was intended."""
    record = ledger.get(order["client_id"])
    if record is None:
        found.wrong.append(f"an order without an intent: {order}")
        return
    intended = (record["side"], Decimal(record["quantity"]), record["account"])
    placed = (order["side"], Decimal(order["volume"]), order["account"])
    if intended != placed:
        found.wrong.append(f"intended {intended}, placed {placed}: {_said(record)}")
    if datetime.fromisoformat(record["planned_at"]).timestamp() > order["accepted_at_s"]:
        found.wrong.append(f"accepted at {order['accepted_at_s']}, before its intent: {_said(record)}")
    # Where a venue's id means nothing without the market, our name for the order has the market in front of it.
    venue_order_id = str(record["venue_order_id"]).rpartition(":")[2]
    if Decimal(record["filled"]) != Decimal(order["filled"]) or venue_order_id != order["order_id"]:
        found.wrong.append(f"the venue has {order}, the ledger {_said(record)} with {record['filled']} filled")


def _master(
    world: World,
    ledger: dict[str, dict[str, Any]],
    signals: list[dict[str, Any]],
    at_venue: list[dict[str, Any]],
    found: Findings,
) -> None:
    """Each order that was asked for is at the venue, and is one signal.

    What a strategy asks for is told by the ledger alone; the test that runs it knows how many there must be.
    """
    account = world.cast.seat(MASTER).account
    asked = {master_order_id(account, step["id"]): step["id"] for step in world.steps if "id" in step}
    if not asked:
        asked = {record["order_id"]: record["order_id"] for record in ledger.values() if record["role"] == "master"}
    for order_id, name in asked.items():
        if not any(order["client_id"] == order_id and order["user"] == MASTER for order in at_venue):
            found.lost.append(f"the master's order {name} is not at the venue: {_said(ledger.get(order_id))}")
        told = [signal for signal in signals if signal["master_order_id"] == order_id]
        if len(told) != 1:
            (found.lost if not told else found.doubled).append(f"{len(told)} signals of the master's {name}")
    strangers = [o["client_id"] for o in at_venue if o["user"] == MASTER and o["client_id"] not in asked]
    found.wrong += [f"the master placed {order_id}, which nobody asked for" for order_id in strangers]


def _copies(
    world: World,
    signal: dict[str, Any],
    ledger: dict[str, dict[str, Any]],
    at_venue: list[dict[str, Any]],
    found: Findings,
    sized_by_ratio: bool,
) -> None:
    """Each enabled follower answers with one order, and with a follow-up only after one that was cut short."""
    what = f"the {signal['side']} {signal['signal_id']}"
    answers = [record for record in ledger.values() if record["signal_id"] == signal["signal_id"]]
    placed = {order["client_id"] for order in at_venue}
    for member in world.cast.members:
        of_member = [r for r in answers if r["account"] in {seat.account for seat in member.seats}]
        if not of_member:
            found.lost.append(f"{member.user} has no answer to {what}, not even that it was skipped")
        elif not member.enabled:
            found.wrong += [f"{member.user} is not enabled: {_said(r)}" for r in of_member if r["state"] != "skipped"]
        else:
            answered = [seat for seat in member.seats if _answered(signal, seat, of_member, placed, found)]
            if sized_by_ratio and signal["side"] == "buy":
                for seat in answered:
                    _size(signal, seat, of_member, found)
            _seats(signal, member, answered, at_venue, found)


def _answered(
    signal: dict[str, Any], seat: Seat, answers: list[dict[str, Any]], placed: set[str], found: Findings
) -> bool:
    """Whether an account's answer reached its venue. Its legs must follow one another, each after one cut short."""
    what = f"the {signal['side']} {signal['signal_id']}"
    legs = sorted((r for r in answers if r["account"] == seat.account), key=lambda r: r["leg"])
    if any(leg["order_id"] != copy_id(signal["signal_id"], seat.account, n) for n, leg in enumerate(legs)):
        found.wrong.append(f"{seat.account}: copies of {what} do not follow on: {[_said(leg) for leg in legs]}")
    for leg in legs[:-1]:
        if leg["state"] != "cancelled" or signal["side"] != "sell":
            found.doubled.append(f"{seat.account} answered {what} again after {_said(leg)}")
    return bool(legs) and legs[0]["order_id"] in placed


def _size(signal: dict[str, Any], seat: Seat, answers: list[dict[str, Any]], found: Findings) -> None:
    """An entry is the master's, scaled, in whole lot steps of its venue."""
    share = Decimal(seat.money) / Decimal(MASTER_USD)
    expected = (Decimal(signal["quantity"]) * share).quantize(seat.facts.step, rounding=ROUND_DOWN)
    for record in answers:
        if record["account"] == seat.account and Decimal(record["quantity"]) != expected:
            found.wrong.append(f"{seat.account} should have bought {expected}: {_said(record)}")


def _seats(
    signal: dict[str, Any], member: Member, answered: list[Seat], at_venue: list[dict[str, Any]], found: Findings
) -> None:
    """An entry is placed at one of a follower's accounts and never at two; an exit wherever something was bought."""
    what = f"the {signal['side']} {signal['signal_id']}"
    accounts = [seat.account for seat in answered]
    if signal["side"] == "buy" or len(member.venues) == 1:
        if not accounts:
            found.lost.append(f"{member.user}'s copy of {what} never reached a venue")
        if len(accounts) > 1:
            found.doubled.append(f"{member.user} answered {what} at {accounts}")
        return
    bought = {order["account"] for order in at_venue if order["user"] == member.user and order["side"] == "buy"}
    found.lost += [f"{account} bought and its copy of {what} never left" for account in bought - set(accounts)]
    found.wrong += [f"{account} sold what it had not bought" for account in set(accounts) - bought]


def _flat(
    world: World, at_venue: list[dict[str, Any]], positions: dict[str, Decimal], found: Findings
) -> None:
    """The master has sold everything, so everyone must have: by fills, by the venues' balances, by the ledger.

    Where a venue takes its fee out of what was bought, less than a lot step is left over that nobody could sell.
    """
    balances = {
        (venue, account["name"]): Decimal(account["balances"].get("BTC", "0"))
        for venue in world.cast.venues
        for account in world.venue.call("GET", "accounts", venue=venue)["accounts"]
    }
    for seat in world.cast.seats:
        orders = [order for order in at_venue if order["account"] == seat.account]
        bought = sum((Decimal(o["filled"]) for o in orders if o["side"] == "buy"), Decimal(0))
        sold = sum((Decimal(o["filled"]) for o in orders if o["side"] == "sell"), Decimal(0))
        balance, held = balances[seat.venue, world.at_venue(seat.user)], positions.get(seat.account, Decimal(0))
        fees_max = bought / 100 if seat.facts.fees_in_base else Decimal(0)
        if not bought - sold - fees_max <= balance <= bought - sold:
            found.wrong.append(f"{seat.account}: fills leave {bought - sold} BTC and the venue holds {balance}")
        if balance >= seat.facts.dust_steps * seat.facts.step or (balance > 0 and not seat.facts.fees_in_base):
            found.lost.append(f"{seat.account} was left in a position of {balance} BTC")
        if balance < 0:
            found.wrong.append(f"{seat.account} sold {-balance} BTC more than it had")
        if not 0 <= held <= balance:
            found.wrong.append(f"{seat.account}: the ledger holds {held} BTC and the venue {balance}")


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
