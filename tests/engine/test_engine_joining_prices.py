"""Late joiners and prices: none pays more than it was promised, and what one did not get is tried again, once."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ports import ClientAround, around_clients
from test_engine_drift import causes, row
from test_engine_joining import BETTER, D, enrolled, join
from world import Adjust, Desk, World, follower, until

from copytrade.copying.drift import Repair
from copytrade.domain.order import OrderKind, OrderState
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import OrderTicket, PlaceOutcome
from copytrade.engine.ports import Gate
from copytrade.venues.kraken.public import KrakenVenue

ONE = {"alice_smith": 1_000}
TWO_HOURS: dict[str, Any] = {"copy": {**BETTER["copy"], "late_join_window_s": 7_200}}
BOB = follower("bob_jones")


def jumping(world: World, *prices: int) -> Adjust:
    """The price is another one when the order of a follower leaves."""
    left = list(prices)

    class Client(ClientAround):
        async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
            if self.account == BOB and left:
                world.price("BTC/USD", left.pop(0))
            return await self.inner.place(ticket, gate)

    return around_clients(Client)


async def waiting(desk: Desk, **fields: object) -> None:
    """The master has paid 50,000 for 0.02, and bob has joined while the price was above that."""
    await desk.buy("1000")
    await desk.settled()
    desk.world.price("BTC/USD", 50_100)
    desk.world.clock.ahead_s += 10
    await enrolled(desk, "bob_jones", max_user_risk=1, **fields)


async def owed(desk: Desk) -> dict[str, Decimal]:
    """Why bob has less than the master's position implies, but for the step. The master's equity has grown with the
    price since, so that bob's share is no round figure."""
    found = await row(desk, "bob_jones")
    return {cause: part for cause, part in causes(found).items() if cause != "rounding"}


async def tried(desk: Desk, number: int, price: int | None = None) -> OrderRecord:
    """The entry of that number, once it is over; the pause before it is let pass, and the price moved."""
    if price is not None:
        desk.world.price("BTC/USD", price)
    desk.world.clock.ahead_s += 700 if number else 10
    signal = join("bob_jones", number=number)
    await until(lambda: desk.ledger.copies_of(signal), f"entry {number}")
    await desk.settled()
    return desk.copy(signal, "bob_jones")


async def test_nothing_is_paid_above_the_masters_average_after_a_jump_and_it_is_tried_again(tmp_path: Path) -> None:
    with World(tmp_path, followers=ONE, settings=TWO_HOURS) as world:
        async with world.trading(jumping(world, 50_200)) as desk:
            await waiting(desk)
            first = await tried(desk, 0, 49_900)
            assert (first.kind, first.limit_price and first.limit_price.value) == (OrderKind.IOC_LIMIT, 50_000)
            assert (first.state, first.filled.value, world.holds("bob_jones")) == (OrderState.CANCELLED, 0, 0)
            assert await owed(desk) == {"late_join": -first.quantity.value}
            await desk.engine.joiner.look()
            assert desk.ledger.signal(join("bob_jones", number=1)) is None, "the price is above the master's"
            second = await tried(desk, 1, 49_800)
            assert (second.state, second.quantity) == (OrderState.FILLED, first.quantity)
            assert world.holds("bob_jones") == first.quantity.value
            assert await owed(desk) == {}
            world.clock.ahead_s += 1_000
            await desk.engine.joiner.look()
            assert desk.ledger.signal(join("bob_jones", number=2)) is None, "all of it is there"
            await desk.sell()
            await desk.settled()
            assert world.holds("bob_jones") == 0
            assert await desk.engine.reconciler.look(BOB) == []


@pytest.mark.parametrize("below", ["skip", "round_up", "carry"])
async def test_what_filled_in_part_is_made_up_by_what_is_missing_across_restarts(tmp_path: Path, below: str) -> None:
    settings = {"copy": {**TWO_HOURS["copy"], "below_minimum": below}}
    with World(tmp_path, followers=ONE, settings=settings) as world:
        async with world.trading() as desk:
            await waiting(desk)
            world.fault("partial_cancel", "bob_jones", fraction="0.25", count=1)
            first = await tried(desk, 0, 49_900)
            whole = first.quantity.value
            assert world.holds("bob_jones") == first.filled.value == whole / 4
            assert await owed(desk) == {"late_join": whole / 4 - whole}
            assert await desk.engine.reconciler.repair(BOB, Repair.ALL) == [], "what waits for its price waits on"
        async with world.trading() as desk:
            world.fault("partial_cancel", "bob_jones", fraction="0.5", count=1)
            second = await tried(desk, 1)
            assert second.quantity.value == whole - whole / 4
        async with world.trading() as desk:
            third = await tried(desk, 2)
            assert (third.state, third.quantity) == (OrderState.FILLED, second.quantity - second.filled)
            assert await owed(desk) == {}
        assert world.holds("bob_jones") == whole


async def test_a_rest_under_the_minimum_is_left(tmp_path: Path) -> None:
    settings = {"copy": {**TWO_HOURS["copy"], "below_minimum": "round_up"}}
    with World(tmp_path, followers=ONE, settings=settings) as world:
        async with world.trading() as desk:
            await waiting(desk)
            world.fault("partial_cancel", "bob_jones", fraction="0.99", count=1)
            first = await tried(desk, 0, 49_900)
            world.clock.ahead_s += 700
            await desk.engine.joiner.look()
            assert desk.ledger.signal(join("bob_jones", number=1)) is None
            rest = first.quantity.value - world.holds("bob_jones")
            assert await owed(desk) == {"late_join": -rest}


async def test_what_was_closed_by_hand_is_not_joined_again(tmp_path: Path) -> None:
    with World(tmp_path, followers=ONE, settings=TWO_HOURS) as world:
        async with world.trading() as desk:
            await waiting(desk)
            world.fault("partial_cancel", "bob_jones", fraction="0.5", count=1)
            await tried(desk, 0, 49_900)
            (signal,) = await desk.engine.mender.take_out(BOB, ["BTC/USD"], "by hand")
            await desk.dealt_with(signal)
            await desk.settled()
            world.clock.ahead_s += 700
            await desk.engine.joiner.look()
            assert desk.ledger.signal(join("bob_jones", number=1)) is None
            assert world.holds("bob_jones") == 0


@pytest.mark.parametrize("late", ["better_price_only", "full"])
async def test_caps_hold_at_the_price_that_may_be_paid(tmp_path: Path, late: str) -> None:
    """At `max_slippage` or at the master's average, whichever the limit is: the jump is within both."""
    jump = 50_200 if late == "full" else 49_990
    with World(tmp_path, followers=ONE, settings={"copy": {"late_join": late}}) as world:
        async with world.trading(jumping(world, jump)) as desk:
            await desk.buy("1000")
            await desk.settled()
            if late == "better_price_only":
                world.price("BTC/USD", 40_000)
                world.clock.ahead_s += 10
            await enrolled(desk, "bob_jones", max_order=50)
            copy = await tried(desk, 0)
            assert copy.limit_price is not None
            assert copy.limit_price.value == (50_250 if late == "full" else 50_000)
            assert (copy.state, round(copy.cost.value / copy.filled.value)) == (OrderState.FILLED, jump)
            assert (copy.quantity * copy.limit_price).value <= 50
            assert copy.cost.value > D("49.5")
            assert "cap: capped_by_max_order" in causes(await row(desk, "bob_jones"))


async def test_a_full_joiner_does_not_follow_a_jump(tmp_path: Path) -> None:
    with World(tmp_path, followers=ONE, settings={"copy": {"late_join": "full"}}) as world:
        async with world.trading(jumping(world, 50_300)) as desk:
            await desk.buy("1000")
            await desk.settled()
            await enrolled(desk, "bob_jones", max_user_risk=1)
            copy = await tried(desk, 0)
            assert (copy.state, world.holds("bob_jones")) == (OrderState.CANCELLED, 0)
            assert await owed(desk) == {"unfilled": -copy.quantity.value}


async def test_the_limit_is_on_the_followers_tick_and_never_above_the_average(tmp_path: Path) -> None:
    with World(tmp_path, followers=ONE, settings=BETTER) as world:
        async with world.trading() as desk:
            await desk.buy("500")
            world.price("BTC/USD", "50000.1")
            world.clock.ahead_s += 10
            await desk.buy("1000")
            await desk.settled()
            book = await desk.engine.joiner._master.look("BTC/USD")
            assert book.price is not None
            assert book.price % D("0.1")
            world.price("BTC/USD", 49_000)
            await enrolled(desk, "bob_jones")
            copy = await tried(desk, 0)
            assert copy.limit_price is not None
            assert book.price - D("0.1") < copy.limit_price.value < book.price


async def test_where_a_market_has_no_such_orders_the_price_is_looked_at_before_it_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = frozenset(OrderKind) - {OrderKind.IOC_LIMIT}
    monkeypatch.setattr(KrakenVenue, "order_kinds", lambda self, instrument: kinds)
    with World(tmp_path, followers=ONE, settings=TWO_HOURS) as world:

        def passed(signal: Signal, copies: object) -> None:
            if signal.kind is SignalKind.JOIN and len(world.plans) == 2:
                world.price("BTC/USD", 50_100)
                world.clock.ahead_s += 10

        async with world.trading() as desk:
            await waiting(desk)
            world.on_plan = lambda: passed(*world.plans[-1])
            first = await tried(desk, 0, 49_900)
            assert (first.kind, first.state, first.reason) == (
                OrderKind.MARKET, OrderState.STOPPED, Reason.PRICE_MOVED,
            )  # fmt: skip
            assert await owed(desk) == {"late_join": -first.quantity.value}
            second = await tried(desk, 1, 49_900)
            assert (second.kind, second.state, second.quantity) == (
                OrderKind.MARKET, OrderState.FILLED, first.quantity,
            )  # fmt: skip
            assert await owed(desk) == {}
