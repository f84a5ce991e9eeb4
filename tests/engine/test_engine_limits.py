"""Limits that act, and every way round them: many signals at once, a restart, copies sized late, another account, a
resting order. The venue's own list of orders is the witness.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ports import ClientAround, around_clients
from venues_world import VenuesWorld
from world import Desk, World, follower, until

from copytrade.domain.events import LimitTripped
from copytrade.domain.ids import signal_id
from copytrade.domain.limits import LimitAction, LimitName, Rearm
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind
from copytrade.domain.venue import Execution
from copytrade.engine.desk import TradeRequest
from copytrade.engine.last_look import LastLook
from copytrade.ledger.reader import LedgerReader
from copytrade.ledger.replay import verify

D = Decimal
ALICE = follower("alice_smith")
QUIET: dict[str, Any] = {"limits_watch_every_s": 3600.0}  # each test looks for itself, when it wants to
LOOSE: dict[str, Any] = {"cash": 1_000, "max_user_risk": 1}
ACTING = [
    ({"max_daily_loss": 80}, Reason.DAILY_LOSS_LIMIT),
    ({"max_daily_loss": "8%"}, Reason.DAILY_LOSS_LIMIT),
    ({"max_drawdown": 0.08}, Reason.DRAWDOWN_LIMIT),
    ({"min_equity": 920}, Reason.EQUITY_FLOOR),
]


def buys(world: World, user: str = "alice_smith") -> int:
    return sum(order["side"] == "buy" for order in world.orders(user))


async def look(desk: Desk) -> None:
    """One look at the money of the account."""
    await desk.engine.refresher.now(ALICE, 10.0)


async def lose(world: World, desk: Desk, price: int = 45_000) -> None:
    """The master buys, the follower with it, and the price falls: of 1,000 about 90 are lost."""
    await desk.buy("9000")
    await desk.settled()
    await look(desk)
    world.price("BTC/USD", price)
    await look(desk)


def tripped(desk: Desk) -> set[LimitName]:
    return set(desk.ledger.state.standing.trips.get(ALICE, ()))


def one(limit: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"alice_smith": {**LOOSE, **limit, **more}, "bob_jones": {"cash": 1_000, "max_user_risk": 1}}


@pytest.mark.parametrize(("limit", "reason"), ACTING)
async def test_many_signals_and_a_restart_do_not_get_past_a_loss(
    tmp_path: Path, limit: dict[str, Any], reason: Reason
) -> None:
    with World(tmp_path, followers=one(limit), limits=QUIET, master_cash=20_000) as world:
        async with world.trading() as desk:
            await desk.buy("9000")  # half of the master's, so that everybody has cash left
            await desk.settled()
            await look(desk)
            assert not tripped(desk)
            world.price("BTC/USD", 40_000)
            await look(desk)
            (name,) = tripped(desk)
            assert name.value in limit
            assert len(desk.alerts_of("alice_smith", name.value, "no entries")) == 1
            signals = await asyncio.gather(*(desk.buy("100") for _ in range(5)))
            for signal in signals:
                await desk.dealt_with(signal)
                assert desk.copy(signal, "alice_smith").reason is reason
                assert desk.copy(signal, "bob_jones").state is not OrderState.SKIPPED
        async with world.trading() as desk:
            signal = await desk.buy("100")
            await desk.settled()
            assert desk.copy(signal, "alice_smith").reason is reason
            assert buys(world) == 1
            await desk.sell()  # exits flow
            await desk.settled()
            assert world.holds("alice_smith") == 0
        assert verify(world.paths.ledger).ok


@pytest.mark.parametrize("guarded", [True, False])
async def test_a_limit_that_trips_between_the_plan_and_the_wire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    with World(tmp_path, followers=one({"min_equity": 500}), limits=QUIET) as world:
        async with world.trading() as desk:

            def trip() -> None:
                now = world.clock.utc()
                event = LimitTripped(ALICE, LimitName.MIN_EQUITY, "now", LimitAction.BLOCK, Rearm.BY_HAND, now)
                desk.ledger.append([event])
                if not guarded:  # the control: without the last look the copy is at the venue
                    monkeypatch.setattr(LastLook, "last_look", lambda self, work, approved: None)

            world.on_plan = trip
            signal = await desk.buy("1000")
            await desk.settled()
            copy = desk.copy(signal, "alice_smith")
            expected = (OrderState.STOPPED, Reason.EQUITY_FLOOR) if guarded else (OrderState.FILLED, copy.reason)
            assert (copy.state, copy.reason) == expected
            assert buys(world) == (0 if guarded else 1)


@pytest.mark.parametrize(("limit", "reason"), ACTING)
async def test_a_copy_that_is_sized_late_meets_the_limit(
    tmp_path: Path, limit: dict[str, Any], reason: Reason
) -> None:
    with World(tmp_path, followers=one(limit), limits=QUIET, master_cash=20_000) as world:
        async with world.trading() as desk:
            await desk.buy("9000")
            await desk.settled()
            await look(desk)
            world.price("BTC/USD", 40_000)  # nobody has looked since
            world.clock.ahead_s += 700  # and what is known of the equity has become too old
            signal = await desk.buy("100")
            await desk.settled()
            assert desk.copy(signal, "alice_smith").reason is reason
            assert buys(world) == 1


async def test_a_limit_does_not_send_the_money_to_the_next_account(tmp_path: Path) -> None:
    users = {"alice_smith": {"kraken": {**LOOSE, "min_equity": 990, "failover": True}, "okx": {**LOOSE}}}
    async with VenuesWorld(tmp_path, users=users, limits=QUIET) as world, world.trading() as desk:
        await until(lambda: desk.connected("okx", "alice_smith"), "both accounts")
        world.sims["kraken"].deposit("alice_smith", "USD", D(-20))
        await look(desk)
        assert tripped(desk) == {LimitName.MIN_EQUITY}
        signal = await desk.buy("1000")
        await desk.settled()
        (copy,) = desk.copies(signal)
        assert (copy.account, copy.reason) == (ALICE, Reason.EQUITY_FLOOR)
        assert not world.sims["okx"].orders("alice_smith")


@pytest.mark.parametrize("action", ["block", "flatten"])
async def test_what_rests_is_taken_back_and_flatten_closes_what_was_copied(tmp_path: Path, action: str) -> None:
    limit = {"max_daily_loss": {"limit": 80, "action": action}}
    with World(tmp_path, followers=one(limit), limits={**QUIET, "resting_delays_s": (0.02, 0.1)},
               master_cash=20_000) as world:  # fmt: skip
        async with world.trading() as desk:
            await desk.buy("9000")
            await desk.settled()
            await look(desk)
            resting = await desk.place(TradeRequest("rests", "BTC/USD", Side.BUY, quantity=Quantity.of("0.02"),
                                                    kind=OrderKind.LIMIT, limit=Price.of(30_000)))  # fmt: skip
            await desk.dealt_with(signal_id(resting.order_id, SignalKind.PLACED))
            world.price("BTC/USD", 40_000)
            await look(desk)
            copy = signal_id(resting.order_id, SignalKind.PLACED)
            await until(lambda: desk.copy(copy, "alice_smith").state is OrderState.CANCELLED, "the entry taken back")
            assert desk.copy(copy, "alice_smith").cancel is Reason.DAILY_LOSS_LIMIT
            assert desk.copy(copy, "bob_jones").state is OrderState.ACCEPTED
            if action == "flatten":
                await until(lambda: world.holds("alice_smith") == 0, "alice out")
                await until(lambda: not desk.position("alice_smith"), "the ledger knows")
            else:
                assert world.holds("alice_smith") == desk.position("alice_smith") > 0
            assert world.holds("bob_jones") > 0
            # A chase after the master's fill would be an entry, too.
            world.price("BTC/USD", 29_000)
            await until(lambda: desk.ledger.find(resting.order_id).state is OrderState.FILLED, "the master's fill")
            await until(lambda: not desk.ledger.state.unplanned, "its answer")
            assert buys(world) == 2
        assert verify(world.paths.ledger).ok


async def test_an_entry_that_fills_after_the_flattening_is_closed_too(tmp_path: Path) -> None:
    limit = {"max_daily_loss": {"limit": 80, "action": "flatten", "rearm": "by_hand"}}
    with World(tmp_path, followers=one(limit), limits=QUIET, master_cash=20_000) as world:
        async with world.trading() as desk:
            await desk.buy("9000")
            await desk.settled()
            trip = LimitTripped(ALICE, LimitName.MAX_DAILY_LOSS, "", LimitAction.FLATTEN, Rearm.BY_HAND,
                                world.clock.utc())  # fmt: skip
            await desk.ledger.append([trip], hurry=True)
        async with world.trading() as desk:
            assert desk.position("alice_smith") > 0
            await desk.engine.limits.look()
            await desk.settled()
            assert world.holds("alice_smith") == 0
            count = len(world.orders("alice_smith"))
            await desk.engine.limits.look()
            await desk.settled()
            assert len(world.orders("alice_smith")) == count


async def test_armed_again_by_hand_and_losses_count_from_then_on(tmp_path: Path) -> None:
    with World(tmp_path, followers=one({"max_drawdown": "8%"}), limits=QUIET, master_cash=20_000) as world:
        async with world.trading() as desk:
            await desk.buy("9000")
            await desk.settled()
            await look(desk)
            world.price("BTC/USD", 40_000)
            await look(desk)
            world.clock.ahead_s += 86_400  # the next day does not arm it
            await look(desk)
            await desk.engine.limits.look()
            assert tripped(desk) == {LimitName.MAX_DRAWDOWN}
            assert desk.engine.limits.rearm(ALICE) == [LimitName.MAX_DRAWDOWN]
            await look(desk)
            assert not tripped(desk)
            signal = await desk.buy("100")
            await desk.settled()
            assert desk.copy(signal, "alice_smith").state is OrderState.FILLED
            world.price("BTC/USD", 30_000)
            await look(desk)
            assert tripped(desk) == {LimitName.MAX_DRAWDOWN}
        assert verify(world.paths.ledger).ok


async def test_the_next_day_arms_the_daily_loss_and_counts_from_its_own_first_equity(tmp_path: Path) -> None:
    with World(tmp_path, followers=one({"max_daily_loss": 80}), limits=QUIET, master_cash=20_000) as world:
        async with world.trading() as desk:
            await desk.buy("9000")
            await desk.settled()
            await look(desk)
            world.price("BTC/USD", 40_000)
            await look(desk)
            await desk.engine.limits.look()
            assert tripped(desk)  # the same day does not
            world.clock.ahead_s += 86_400
            await desk.engine.limits.look()
            assert tripped(desk)  # nor the next one, before its first equity is known
            await look(desk)
            await desk.engine.limits.look()
            assert not tripped(desk)
            await look(desk)
            assert not tripped(desk)
            world.price("BTC/USD", 30_000)
            await look(desk)
            assert tripped(desk)


@pytest.mark.parametrize("paid", [-500, 5_000])
async def test_a_payment_neither_trips_a_limit_nor_hides_a_loss(tmp_path: Path, paid: int) -> None:
    limits = {"max_drawdown": "15%", "max_daily_loss": "15%"}
    with World(tmp_path, followers=one(limits), limits=QUIET, master_cash=20_000) as world:
        async with world.trading() as desk:
            await desk.buy("9000")  # alice: 450
            await desk.settled()
            await look(desk)
            world.venue.deposit("alice_smith", "USD", D(paid))
            await look(desk)
            assert not tripped(desk)
            mark = desk.ledger.state.standing.marks[ALICE]
            assert abs(mark.flows.value - paid) < 1
            assert abs(mark.high_water.value - (1_000 + paid)) < 10
        async with world.trading() as desk:
            world.price("BTC/USD", 25_000 if paid < 0 else 100)
            await look(desk)
            lost = D(225) / 500 if paid < 0 else D(450) / 6_000
            assert bool(tripped(desk)) is (lost > D("0.15"))


async def test_a_payment_while_nothing_ran_is_seen_at_the_next_start(tmp_path: Path) -> None:
    with World(tmp_path, followers=one({"max_drawdown": "15%"}), limits=QUIET) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            await look(desk)
        world.venue.deposit("alice_smith", "USD", D(-500))
        async with world.trading() as desk:
            await look(desk)
            assert not tripped(desk)
            assert abs(desk.ledger.state.standing.marks[ALICE].flows.value + 500) < 1


class Late(ClientAround):
    """A client that tells of fills once the test says so."""

    told = asyncio.Event()

    async def execution(self, venue_order_id: str) -> Execution:
        await self.told.wait()
        return await super().execution(venue_order_id)


async def test_a_fill_that_the_ledger_does_not_know_yet_is_no_payment(tmp_path: Path) -> None:
    Late.told = asyncio.Event()
    with World(tmp_path, followers=one({"max_drawdown": "30%"}), limits=QUIET) as world:
        async with world.trading(around_clients(Late)) as desk:
            before = desk.ledger.state.standing.marks[ALICE]
            await desk.dealt_with(await desk.buy("5000"))
            await look(desk)
            assert desk.ledger.state.standing.marks[ALICE] == before  # not judged while it cannot be told
            assert desk.position("alice_smith") == 0
            world.price("BTC/USD", 45_000)
            Late.told.set()
            await desk.settled()
            await look(desk)
            after = desk.ledger.state.standing.marks[ALICE]
            assert (after.flows, after.high_water) == (before.flows, before.high_water)
            world.clock.ahead_s += 30
            world.price("BTC/USD", 20_000)
            await look(desk)
            assert tripped(desk) == {LimitName.MAX_DRAWDOWN}


async def test_a_trip_and_its_closing_are_one_transaction(tmp_path: Path) -> None:
    limit = {"max_daily_loss": {"limit": 80, "action": "flatten"}}
    with World(tmp_path, followers=one(limit), limits=QUIET, master_cash=20_000) as world:
        async with world.trading() as desk:
            await lose(world, desk, 40_000)
            await desk.settled()
        with LedgerReader(world.paths.ledger) as reader:
            events = reader.events(limit=10_000)
        (trip,) = [e for e in events if e["name"] == "LimitTripped"]
        following = events[events.index(trip) + 1]
        assert (following["name"], following["body"]["signal"]["target"]) == ("SignalEmitted", ALICE)
        assert world.holds("alice_smith") == 0


async def test_prices_alone_make_an_account_looked_at(tmp_path: Path) -> None:
    quick = {"limits_watch_every_s": 0.05}
    with World(tmp_path, followers=one({"max_daily_loss": "8%"}), limits=quick, master_cash=20_000) as world:
        async with world.trading() as desk:
            await desk.buy("9000")
            await desk.settled()
            await look(desk)
            world.price("BTC/USD", 40_000)
            await until(lambda: tripped(desk), "the loss noticed")
