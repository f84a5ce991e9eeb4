"""What changes while somebody waits: nothing is asked of an order, an account or a position that has moved on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ports import ClientAround, LedgerAround, around_clients
from venues_world import VenuesDesk, VenuesWorld
from world import MASTER, Desk, World, follower, until

from copytrade.domain.account import AccountId, Mode
from copytrade.domain.errors import LedgerUnwritable, Refused
from copytrade.domain.events import Event
from copytrade.domain.ids import signal_id
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Role, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.venue import Execution, OrderTicket, PlaceOutcome, Quote
from copytrade.domain.writing_off import PositionWrittenOff
from copytrade.engine.desk import TradeRequest
from copytrade.engine.independent import IndependentDesk, change_of_sides
from copytrade.engine.ports import Gate, Venue
from copytrade.engine.roster import Member
from copytrade.engine.service import Wiring

D = Decimal
ALICE, BOB = follower("alice_smith"), follower("bob_jones")
AT_ALPACA = "alpaca:alice_smith"
TWO = {"alice_smith": 1_000, "bob_jones": 500}
SOON: dict[str, Any] = {"resting_delays_s": (0.02, 0.05, 0.1)}
NO_GRACE = {"copy": {"master_fill_grace_s": 0}}


class Door:
    """Shut, it keeps whoever comes to it; `kept` says how many are there."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.kept = 0

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def through(self) -> None:
        self.kept += 1
        await self._open.wait()
        self.kept -= 1


class VenueAround:
    """A venue whose prices come through a door, those of at least so much: they are read before it, told behind it."""

    def __init__(self, inner: Venue, door: Door, least: int) -> None:
        self._inner = inner
        self._door = door
        self._least = Price.of(least)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        found = await self._inner.quotes(instruments)
        if any(quote.bid >= self._least for quote in found.values()):
            await self._door.through()
        return found


def prices_through(door: Door, least: int = 0) -> Callable[[Wiring], Wiring]:
    def adjust(wiring: Wiring) -> Wiring:
        venues: dict[str, Any] = {name: VenueAround(venue, door, least) for name, venue in wiring.venues.items()}
        return replace(wiring, venues=venues)

    return adjust


async def bracket(desk: Desk, profit: int, stop: int) -> None:
    """The master's whole position between a profit and a stop, once every copy of it is at the venue."""
    record = await desk.place(
        TradeRequest(
            f"bracket {profit} {stop}", "BTC/USD", Side.SELL, whole=True, kind=OrderKind.BRACKET,
            limit=Price.of(profit), stop=Price.of(stop),
        )
    )  # fmt: skip
    assert record.state is OrderState.ACCEPTED, (record.reason, record.detail)
    await desk.dealt_with(signal_id(record.order_id, SignalKind.PLACED))


async def test_a_stop_that_fills_while_the_price_of_its_profit_is_on_its_way_is_left_alone(tmp_path: Path) -> None:
    """And the next bracket leaves at its profit: the watch goes on."""
    limits = {**SOON, "price_keep_every_s": 0.05}
    with World(tmp_path, followers=TWO, limits=limits, settings=NO_GRACE) as world:
        door = Door()
        async with world.trading(prices_through(door, 55_000)) as desk:
            await desk.buy("1000")
            await desk.settled()
            await bracket(desk, 55_000, 48_000)
            door.shut()
            world.price("BTC/USD", 55_100)
            await until(lambda: door.kept, "the price of the profit is on its way")
            world.price("BTC/USD", 47_900)
            await until(lambda: not desk.ledger.state.positions, "everybody's stop has filled")
            await desk.settled()
            door.open()
            world.price("BTC/USD", 50_000)
            await desk.buy("1000")
            await desk.settled()
            assert not desk.alerts_of("background task failed")
            await bracket(desk, 55_000, 45_000)
            world.price("BTC/USD", 55_100)
            await until(lambda: not desk.ledger.state.positions, "everybody out at the profit")
            await desk.settled()
            assert [world.holds(user) for user in ("master", *TWO)] == [0, 0, 0]


async def _change_sides(desk: Desk, member: Member) -> None:
    change = change_of_sides(desk.engine.services, member)
    assert change is not None
    assert not isinstance(change, str), change
    await desk.ledger.append([change])


async def test_an_account_that_is_copied_to_again_while_its_own_order_waits_for_a_price_places_nothing(
    tmp_path: Path,
) -> None:
    """Its order would be taken for one of the master's, and copied to everybody."""
    followers = {"alice_smith": {"cash": 1_000, "mode": "independent"}, "bob_jones": 500}
    with World(tmp_path, followers=followers) as world:
        door = Door()
        async with world.trading(prices_through(door)) as desk:
            engine = desk.engine
            alice = engine.services.roster.followers[ALICE]
            await _change_sides(desk, alice)
            own = IndependentDesk(engine.services, engine.lanes, engine.tracker, engine.refresher.now, ALICE)
            door.shut()
            world.clock.ahead_s += 60  # no price is fresh
            request = TradeRequest("own", "BTC/USD", Side.BUY, usd=Amount.of(50))
            placing = asyncio.create_task(own.place(request))
            await until(lambda: door.kept, "the price is on its way")
            alice.terms = replace(alice.terms, mode=Mode.ACTIVE)
            await _change_sides(desk, alice)
            door.open()
            with pytest.raises(Refused) as refused:
                await placing
            assert refused.value.reason is Reason.INDEPENDENT
            await desk.settled()
            assert world.plans == []
            assert world.orders("alice_smith") == world.orders("bob_jones") == []
            bought = await desk.dealt_with(await desk.buy("1000"))
            assert [copy.role for copy in bought] == [Role.COPY, Role.COPY]


# -- what is gone by hand ----------------------------------------------------------------------------------------------


async def test_what_has_come_back_while_something_else_is_written_off_is_not_written_off(tmp_path: Path) -> None:
    """Two instruments are missing; one is back by the time the other is on the disk."""
    door = Door()

    class Slow(LedgerAround):
        def append(self, events: Sequence[Event], *, hurry: bool = False) -> Awaitable[None]:
            written = self.inner.append(events, hurry=hurry)
            return self._late(written) if any(isinstance(e, PositionWrittenOff) for e in events) else written

        async def _late(self, written: Awaitable[None]) -> None:
            await written
            await door.through()

    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading(lambda wiring: replace(wiring, ledger=Slow(wiring.ledger))) as desk:
            reconciler = desk.engine.reconciler
            for symbol in ("BTC/USD", "ETH/USD"):
                await desk.buy("1000", symbol)
                await desk.settled()
            held = {base: world.holds("alice_smith", base) for base in ("BTC", "ETH")}
            for base, quantity in held.items():
                world.venue.deposit("alice_smith", base, -quantity)
            door.shut()
            writing = asyncio.create_task(reconciler.write_off(ALICE, "by the operator"))
            await until(lambda: door.kept, "the first one is on its way to the disk")
            (first,) = [base for base in held if not desk.position("alice_smith", f"{base}/USD")]
            (other,) = held.keys() - {first}
            world.venue.deposit("alice_smith", other, held[other])
            await reconciler.look(ALICE, fresh=True)
            door.open()
            done, notes = await writing
            assert [each.symbol for each in done] == [f"{first}/USD"]
            assert [note for note in notes if f"{other}/USD is not written off: it has just changed" in note]
            assert desk.position("alice_smith", f"{other}/USD") == held[other]


# -- looks at one order ------------------------------------------------------------------------------------------------


async def test_an_order_that_somebody_is_asking_about_is_not_asked_about_again_meanwhile(tmp_path: Path) -> None:
    """Of two answers on their way at once the older one may come last, and take a fill back that is in the ledger."""
    masters, copys = Door(), Door()
    calls = {MASTER: 0, ALICE: 0}

    class Dawdling(ClientAround):
        async def execution(self, venue_order_id: str) -> Execution:
            found = await self.inner.execution(venue_order_id)
            calls[self.account] += 1
            if self.account == MASTER:
                await masters.through()
            elif not copys.kept:
                await copys.through()
            return found

    limits = {"resting_delays_s": (0.02,), "fill_concurrency": 1}
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=limits) as world:
        async with world.trading(around_clients(Dawdling)) as desk:
            fills = desk.engine.services.fills
            request = TradeRequest("bid", "BTC/USD", Side.BUY, quantity=Quantity.of("0.02"), kind=OrderKind.LIMIT,
                                   limit=Price.of(45_000))  # fmt: skip
            placed = await desk.place(request)
            (copy,) = await desk.dealt_with(signal_id(placed.order_id, SignalKind.PLACED))
            masters.shut()
            await until(lambda: masters.kept, "the only turn is taken")
            await until(lambda: copy.order_id not in fills._next_look, "the copy's turn is next")
            copys.shut()
            seeing = asyncio.create_task(fills.seen(ALICE, "BTC/USD"))
            await until(lambda: copys.kept, "somebody asks about the copy")
            (order,) = world.orders("alice_smith")
            world.venue.fill_part(order["order_id"], D("0.001"))
            asked = dict(calls)
            masters.open()
            await until(lambda: calls[MASTER] >= asked[MASTER] + 2, "turns go on")
            assert calls[ALICE] == asked[ALICE]
            copys.open()
            await seeing
            await until(lambda: desk.position("alice_smith") == D("0.001"), "the fill is known")


# -- parks and faults --------------------------------------------------------------------------------------------------


class Stumble(Exception):
    """A fault of our own, which nothing foresees."""


async def test_a_park_that_somebody_has_to_clear_does_not_end_with_the_time_of_the_one_before(tmp_path: Path) -> None:
    stumbled: list[str] = []

    class Stumbling(ClientAround):
        async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
            if self.account == BOB and not stumbled:
                stumbled.append(ticket.order_id)
                raise Stumble
            return await self.inner.place(ticket, gate)

    with World(tmp_path, followers=TWO, limits={"fault_retry_s": 600.0}) as world:
        async with world.trading(around_clients(Stumbling)) as desk:
            lane = desk.engine.lanes.of(BOB)
            first = await desk.buy("1000")
            await until(lambda: BOB in desk.ledger.state.parked, "the fault")
            assert lane.clears_itself
            lane.clear()  # as after a change of its terms
            await desk.dealt_with(first)
            world.fault("error", "bob_jones", error="EAPI:Invalid key", when="before")
            await desk.dealt_with(await desk.buy("1000"))
            assert desk.ledger.state.parked[BOB][0] is Reason.BAD_KEY
            assert not lane.clears_itself


async def test_an_account_whose_part_of_the_ledger_cannot_be_read_is_parked_and_goes_on(tmp_path: Path) -> None:
    """The ledger can be written: the fault is this account's, and its lane does not try again and again at once."""
    broken, reads = [True], []

    class Unreadable(LedgerAround):
        def venue_order_ids(self, account: AccountId, since: datetime) -> set[str]:
            if account == BOB and broken:
                reads.append(account)
                raise LedgerUnwritable("the ledger cannot be read: the disk reports an error")
            return self.inner.venue_order_ids(account, since)

    with World(tmp_path, followers=TWO, limits={"fault_retry_s": 0.2}) as world:
        async with world.trading(lambda wiring: replace(wiring, ledger=Unreadable(wiring.ledger))) as desk:
            world.fault("drop", "bob_jones", count=1)
            signal = await desk.buy("1000")
            await until(lambda: reads, "an order of bob's is looked up")
            await until(lambda: desk.position("alice_smith"), "alice has hers")
            assert desk.alerts_of("kraken:bob_jones is parked", "LedgerUnwritable")
            assert len(reads) < 10
            broken.clear()
            await desk.settled()
            assert desk.copy(signal, "bob_jones").state is OrderState.FILLED
            assert not desk.ledger.state.parked
        assert world.venue.doubles() == []


async def test_a_background_task_that_ends_as_the_ledger_cannot_be_read_says_so(tmp_path: Path) -> None:
    class Unreadable(LedgerAround):
        def was_served(self, account: AccountId) -> bool:
            raise LedgerUnwritable("the ledger cannot be read: the disk reports an error")

    with World(tmp_path, followers=TWO) as world:
        async with world.trading(lambda wiring: replace(wiring, ledger=Unreadable(wiring.ledger))) as desk:
            await desk.buy("1000")
            await desk.settled()
            world.enrol("carol_white", 1_000)  # was she ever asked? That is looked up
            desk.reload()
            await until(lambda: desk.alerts_of("background task failed", "LedgerUnwritable"), "the operator is told")


async def test_a_venue_that_is_added_while_connections_are_kept_warm_ends_no_task(tmp_path: Path) -> None:
    door = Door()

    class Warming(VenueAround):
        name = "kraken"

        async def warm(self, connections: int) -> int:
            await door.through()
            return await self._inner.warm(connections)

    class Another(Warming):
        name = "another"

    def adjust(wiring: Wiring) -> Wiring:
        venues: dict[str, Any] = {"kraken": Warming(wiring.venues["kraken"], door, 10**9)}
        return replace(wiring, venues=venues)

    with World(tmp_path, followers=TWO, limits={"keep_warm_every_s": 0.02}) as world:
        door.shut()
        async with world.trading(adjust) as desk:
            await until(lambda: door.kept, "connections are being opened")
            inner = desk.engine.services.venues["kraken"]
            desk.engine.add_venue(Another(inner, door, 10**9), desk.engine.connector._factories["kraken"])
            door.open()
            await until(lambda: not door.kept, "they are open")
            door.shut()
            await until(lambda: door.kept or desk.alerts_of("background task failed"), "the next round, or the end")
            door.open()
            assert not desk.alerts_of("background task failed")


# -- the next leg of an entry ------------------------------------------------------------------------------------------


async def bid_that_rests(desk: VenuesDesk) -> str:
    """The master's bid under the market, once everybody has a copy of it; returns its signal."""
    request = TradeRequest(
        "bid", "BTC/USD", Side.BUY, quantity=Quantity.of("0.01"), kind=OrderKind.LIMIT, limit=Price.of(49_000)
    )
    told = signal_id((await desk.place(request)).order_id, SignalKind.PLACED)
    await desk.dealt_with(told)
    return told


async def test_what_an_order_ended_by_its_venue_still_lacked_is_not_bought_in_whole_at_the_next_account(
    tmp_path: Path,
) -> None:
    """Nearly all of it has filled, and the rest is too little to be placed again."""
    accounts = {"alpaca": {"cash": 1_000, "max_user_risk": 1.0, "prefer": ["alpaca"]}, "coinbase": 1_000}
    world_of = VenuesWorld(tmp_path, users={"alice_smith": accounts}, limits=SOON, copy={"master_fill_grace_s": 0})
    async with world_of as world, world.trading() as desk:
        told = await bid_that_rests(desk)
        (order,) = world.orders("alpaca", "alice_smith")
        world.sims["alpaca"].fill_part(order["order_id"], D(order["volume"]) - D("0.00001"))
        world.sims["alpaca"].expire(order["order_id"])
        await until(lambda: len(desk.copies(told)) > 1 and desk.copies(told)[1].state.final, "the next leg's end")
        assert desk.copies(told)[1].reason is Reason.BELOW_MINIMUM
        assert [(each.account, each.leg) for each in desk.copies(told)] == [(AT_ALPACA, 0), (AT_ALPACA, 1)]
        assert world.orders("coinbase", "alice_smith") == []


async def test_an_order_whose_end_met_a_ledger_that_could_not_be_read_is_followed_on(tmp_path: Path) -> None:
    broken: list[str] = []

    class Unreadable(LedgerAround):
        def signal(self, signal_id: str) -> Signal | None:
            if broken:
                raise LedgerUnwritable(broken.pop())
            return self.inner.signal(signal_id)

    users = {"alice_smith": {"alpaca": {"cash": 1_000, "max_user_risk": 1.0}}}
    world_of = VenuesWorld(tmp_path, users=users, limits=SOON, copy={"master_fill_grace_s": 0})
    async with world_of as world, world.trading(lambda w: replace(w, ledger=Unreadable(w.ledger))) as desk:
        told = await bid_that_rests(desk)
        (order,) = world.orders("alpaca", "alice_smith")
        broken.append("the ledger cannot be read: the disk reports an error")
        world.sims["alpaca"].expire(order["order_id"])
        await until(lambda: not broken, "the end of her order has met the fault")
        await until(lambda: desk.copies(told)[-1].leg == 1, "it is placed again")
