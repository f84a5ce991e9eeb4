"""Orders by hand while nobody listened: before the first start, between two runs, and while the stream was broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hand import TWO, Hand, copied, signals, sizes, told, watched, watching
from ports import ClientAround, around_clients
from world import MASTER, Desk, World, until

from copytrade.domain.order import OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind
from copytrade.domain.venue import VenueOrder
from copytrade.ledger.replay import verify

D = Decimal


async def looked_again(desk: Desk) -> None:
    """A look-up that began after now is over."""
    watcher, now = desk.engine.watcher, desk.engine.services.clock()
    assert watcher is not None
    await until(lambda: watcher.looked_at is not None and watcher.looked_at > now, "a look-up")


def limits_at(world: World, user: str) -> list[Decimal]:
    """The limits of what rests at the venue."""
    return [D(order["limit_price"]) for order in world.orders(user) if order["status"] == "open"]


async def test_what_was_placed_before_the_first_start_is_history(tmp_path: Path) -> None:
    with watched(tmp_path, master={"watch_check_s": 1}) as world:
        hand = Hand(world.venue)
        hand.buy("0.02")
        resting = hand.buy("0.01", 45_000)
        async with world.trading() as desk:
            await watching(desk)
            assert desk.alerts_of("rest since before", resting)
            world.price("BTC/USD", 44_900)  # it fills under our eyes, and is history all the same
            await looked_again(desk)
            assert not world.plans
            bought = hand.buy("0.01")
            await copied(desk, bought)
            assert signals(world) == [(SignalKind.PLACED, "0.01")]


async def test_exits_of_the_gap_are_copied_and_entries_while_they_are_young(tmp_path: Path) -> None:
    with watched(tmp_path) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            await copied(desk, hand.buy("0.02"))
            await desk.settled()
        sold, old = hand.sell("0.01"), hand.buy("0.004")
        world.clock.ahead_s += 120
        young = hand.buy("0.002")
        async with world.trading() as desk:
            await watching(desk)
            assert sizes(await copied(desk, sold)) == ["0.001", "0.0005"]
            assert {c.reason for c in await copied(desk, old)} == {Reason.ENTRY_EXPIRED}
            assert {c.state for c in await copied(desk, young)} <= {OrderState.ACCEPTED, OrderState.FILLED}
            await desk.settled()
            # The half that was sold is half of what was held before it, whatever was bought since.
            assert [round(desk.position(user), 4) for user in TWO] == [D("0.0012"), D("0.0006")]
            assert desk.position("master") == D("0.016")
        assert verify(world.paths.ledger).ok


async def test_a_gap_that_is_only_reported_is_never_copied_later(tmp_path: Path) -> None:
    with watched(tmp_path, master={"watch_gap": "report"}) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            await copied(desk, hand.buy("0.02"))
            await desk.settled()
        missed = hand.sell("0.01")
        async with world.trading() as desk:
            await watching(desk)
            assert desk.alerts_of("while nobody watched", missed)
        world.write_settings(master={"watch": True, "watch_gap": "copy", "watch_poll_s": 0.2})
        async with world.trading() as desk:
            await watching(desk)
            assert len(world.plans) == 1
            assert desk.position("alice_smith") == D("0.002")


async def test_a_gap_that_is_to_be_copied_is_copied_however_old(tmp_path: Path) -> None:
    with watched(tmp_path, master={"watch_gap": "copy"}) as world:
        async with world.trading() as desk:
            await watching(desk)
        missed = Hand(world.venue).buy("0.02")
        world.clock.ahead_s += 3_600
        async with world.trading() as desk:
            await watching(desk)
            assert sizes(await copied(desk, missed)) == ["0.002", "0.001"]


async def test_a_time_that_was_not_to_be_watched_is_history_afterwards(tmp_path: Path) -> None:
    with watched(tmp_path) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
        world.write_settings(master={"watch": False})
        async with world.trading() as desk:
            assert MASTER not in desk.ledger.state.standing.watched
            hand.buy("0.02")
        world.write_settings(master={"watch": True})
        async with world.trading() as desk:
            await watching(desk)
            assert not world.plans


async def test_an_order_that_rested_over_a_restart_is_told_to_its_end(tmp_path: Path) -> None:
    with watched(tmp_path, limits={}) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            filled, cancelled, amended = (hand.buy("0.01", limit) for limit in (45_000, 44_000, 43_000))
            for order in (filled, cancelled, amended):
                await copied(desk, order)
        hand.cancel(cancelled)
        hand.amend(amended, limit=40_000)
        world.price("BTC/USD", 44_900)
        async with world.trading() as desk:
            await copied(desk, filled, SignalKind.FILLED)
            await copied(desk, cancelled, SignalKind.CANCELLED)
            await until(lambda: any(kind is SignalKind.AMENDED for kind, _ in signals(world)), "the amendment")
            await until(lambda: limits_at(world, "bob_jones") == [D(40_000)], "the copies have moved")
            assert [desk.position(user) for user in TWO] == [D("0.001"), D("0.0005")]
        assert verify(world.paths.ledger).ok


# -- faults of the stream --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["stream_drop", "stream_garbage", "stream_skip", "stream_repeat"])
async def test_a_fault_of_the_stream_neither_loses_nor_doubles_an_order(tmp_path: Path, kind: str) -> None:
    with watched(tmp_path) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            world.fault(kind, user="master", method=None, count=3)
            orders = [hand.buy("0.002") for _ in range(4)] + [hand.sell("0.004"), hand.buy("0.002", 45_000)]
            for order in orders:
                await copied(desk, order)
            await until(lambda: all(r.kind.rests for r in desk.ledger.state.orders.values()), "all but one is over")
            assert len(world.plans) == len(orders)
            assert [len(world.orders(user)) for user in TWO] == [len(orders)] * 2
            assert [round(desk.position(user), 6) for user in TWO] == [D("0.0004"), D("0.0002")]


async def test_an_order_that_a_silent_stream_kept_to_itself_is_looked_up(tmp_path: Path) -> None:
    with watched(tmp_path, master={"watch_check_s": 1}) as world:
        async with world.trading() as desk:
            await watching(desk)
            world.fault("stream_silent", user="master", method=None)
            assert sizes(await copied(desk, Hand(world.venue).buy("0.02"))) == ["0.002", "0.001"]


async def test_without_any_stream_orders_are_found_by_looking(tmp_path: Path) -> None:
    with watched(tmp_path) as world:
        hand = Hand(world.venue)
        world.fault("stream_refuse", method=None)
        async with world.trading() as desk:
            await looked_again(desk)
            order = hand.buy("0.02", 45_000)
            await copied(desk, order)
            hand.cancel(order)
            await copied(desk, order, SignalKind.CANCELLED)
            await copied(desk, hand.buy("0.02"))
            await desk.settled()
            assert [desk.position(user) for user in TWO] == [D("0.002"), D("0.001")]


async def test_a_venue_that_cannot_be_asked_for_a_while_loses_nothing(tmp_path: Path) -> None:
    with watched(tmp_path) as world:
        async with world.trading() as desk:
            await watching(desk)
            for method in ("OpenOrders", "ClosedOrders", "GetWebSocketsToken"):
                world.fault("status", user="master", method=method, count=2)
            world.fault("stream_drop", user="master", method=None, count=1)
            await copied(desk, Hand(world.venue).buy("0.02"))
            assert len(world.plans) == 1


async def test_an_order_that_came_and_went_before_it_was_seen_is_told_to_nobody(tmp_path: Path) -> None:
    with watched(tmp_path) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
        hand.cancel(hand.buy("0.02", 45_000))
        part = hand.buy("0.02", 44_000)
        hand.fill(part, "0.01")
        hand.cancel(part)
        async with world.trading() as desk:
            await watching(desk)
            await copied(desk, part)
            (signal,) = [signal for signal, _ in world.plans]
            assert (signal.signal_id, signal.side, str(signal.quantity)) == (told(part), Side.BUY, "0.01")


class Shuffled(ClientAround):
    """A client whose stream tells every second event before the one that came first, and every third twice."""

    async def orders(self, since: datetime, markets: Collection[str] = ()) -> Sequence[VenueOrder]:
        return await self.inner.orders(since, markets)

    async def stream(self) -> AsyncGenerator[VenueOrder | None, None]:
        kept: VenueOrder | None = None
        count = 0
        async with aclosing(self.inner.stream()) as changes:  # type: ignore[type-var]
            async for order in changes:
                count += 1
                if order is None or (kept is None and count % 2):
                    kept = order
                    if order is None:
                        yield None
                    continue
                yield order
                if kept is not None:
                    yield kept
                    kept = None
                if count % 3 == 0:
                    yield order


async def test_events_out_of_order_late_and_twice_neither_lose_nor_double_an_order(tmp_path: Path) -> None:
    with watched(tmp_path, master={"watch_check_s": 2}) as world:
        hand = Hand(world.venue)
        async with world.trading(around_clients(Shuffled)) as desk:
            await watching(desk)
            bid = hand.buy("0.002", 45_000)
            hand.amend(bid, limit=46_000)
            orders = [hand.buy("0.004"), hand.buy("0.002"), hand.sell("0.003")]
            for order in orders:
                await copied(desk, order)
            hand.cancel(bid)
            await copied(desk, bid, SignalKind.CANCELLED)
            await desk.settled()
            placed = [signal.master_order_id for signal, _ in world.plans if signal.kind is SignalKind.PLACED]
            assert len(placed) == len(set(placed)) == 4
            assert [round(desk.position(user), 6) for user in TWO] == [D("0.0003"), D("0.00015")]
        assert verify(world.paths.ledger).ok


async def test_an_event_that_comes_before_the_answer_to_our_own_order_is_not_the_hands(tmp_path: Path) -> None:
    with watched(tmp_path) as world:
        async with world.trading() as desk:
            await watching(desk)
            world.fault("delay", user="master", when="after", delay_ms=700, count=1)
            seen: list[OrderState] = []

            async def placing() -> None:
                signal = await desk.buy(1_000)
                await desk.dealt_with(signal)

            task = asyncio.create_task(placing())
            await until(lambda: world.orders("master"), "the venue has it, and its stream tells")
            seen = [record.state for record in desk.ledger.state.orders.values()]
            await task
            await desk.settled()
            assert OrderState.APPROVED in seen, "the answer had not come yet"
            assert len(world.plans) == 1
            assert [desk.position(user) for user in TWO] == [D("0.002"), D("0.001")]
