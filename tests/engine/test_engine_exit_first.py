"""Resting exits whose base an exit at market needs: taken back, and placed again for what is left of the position.

The master is at OKX, where a stop holds nothing until it is triggered; its follower is at Kraken, where it does.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from venues_world import VenuesDesk, VenuesWorld
from world import until

from copytrade.domain.ids import signal_id
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine import resting_again
from copytrade.engine.desk import TradeRequest

D = Decimal
BOB = "kraken:bob_jones"
USERS = {"bob_jones": {"kraken": {"cash": 1_000, "max_user_risk": 1.0}}}
SOON: dict[str, Any] = {"resting_delays_s": (0.02, 0.05, 0.1), "fill_delays_s": (0.02, 0.05, 0.1)}
NO_GRACE = {"stand_ins": {"USDT": ["USD"]}, "master_fill_grace_s": 0}
BTC = "BTC/USDT"


def world_of(tmp_path: Path) -> VenuesWorld:
    return VenuesWorld(tmp_path, users=USERS, master="okx", limits=SOON, copy=NO_GRACE)


async def bought_with_a_stop(desk: VenuesDesk) -> OrderRecord:
    """The master's stop for all that it has bought; the follower's rests as well."""
    await desk.place(TradeRequest("in", BTC, Side.BUY, usd=Amount.of(1000)))
    await desk.settled()
    stop = TradeRequest("stop", BTC, Side.SELL, whole=True, kind=OrderKind.STOP, stop=Price.of(45_000))
    placed = await desk.place(stop)
    await desk.dealt_with(signal_id(placed.order_id, SignalKind.PLACED))
    return placed


def copies(desk: VenuesDesk, record: OrderRecord) -> list[OrderRecord]:
    """Every leg of Bob's copy of an order."""
    found = desk.copies(signal_id(record.order_id, SignalKind.PLACED))
    return sorted(found, key=lambda copy: copy.leg)


def resting(world: VenuesWorld) -> list[dict[str, Any]]:
    return [o for o in world.orders("kraken", "bob_jones") if o["status"] == "open"]


def half(desk: VenuesDesk) -> TradeRequest:
    held = desk.ledger.state.position(desk.engine.services.roster.master.terms.account, BTC)
    return TradeRequest("half", BTC, Side.SELL, quantity=Quantity((held.value / 2).quantize(D("1E-6"))))


async def there_again(desk: VenuesDesk, stop: OrderRecord) -> OrderRecord:
    """The leg that took the stop's place, once it is at the venue."""
    await until(lambda: [c.state for c in copies(desk, stop)][1:] == [OrderState.ACCEPTED], "the stop is there again")
    return copies(desk, stop)[1]


async def sells_half_and_keeps_its_stop(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, world.trading() as desk:
        stop = await bought_with_a_stop(desk)
        held = desk.position(BOB, "BTC/USD")
        sold = await desk.place(half(desk))
        await until(lambda: desk.position(BOB, "BTC/USD") < held, "half of it is sold")
        first = copies(desk, stop)[0]
        assert (first.state, first.cancel, first.filled.value) == (OrderState.CANCELLED, Reason.EXIT_FIRST, 0)
        again = await there_again(desk, stop)
        left = desk.position(BOB, "BTC/USD")
        assert left == pytest.approx(held / 2, rel=D("0.01"))
        assert (again.kind, again.stop_price, again.quantity.value) == (first.kind, first.stop_price, left)
        assert again.reason is Reason.RESTS_AGAIN
        (order,) = resting(world)
        assert (order["side"], D(order["volume"])) == ("sell", left)
        assert [copy.state for copy in copies(desk, sold)] == [OrderState.FILLED]
        for venue in ("okx", "kraken"):
            world.price(venue, "44900")
        await until(lambda: not desk.position(BOB, "BTC/USD"), "the stop has sold the rest")
        await desk.settled()
        assert resting(world) == []


async def test_what_a_partial_exit_leaves_has_its_stop_again(tmp_path: Path) -> None:
    await sells_half_and_keeps_its_stop(tmp_path)


async def test_control_without_the_next_leg_the_rest_is_left_without_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resting_again, "_for_an_exit", lambda record: False)
    monkeypatch.setattr(until, "__defaults__", (3.0,))
    with pytest.raises(AssertionError, match="the stop is there again"):
        await sells_half_and_keeps_its_stop(tmp_path)


async def test_a_worker_that_ends_in_between_places_it_again_at_the_next_start(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world:
        async with world.trading() as desk:
            stop = await bought_with_a_stop(desk)
            world.fault("kraken", "hang", user="bob_jones", hang_s=20.0, count=1)  # the answer to the half
            await desk.place(half(desk))
            await until(lambda: len(copies(desk, stop)) == 2, "the next leg")
            assert copies(desk, stop)[1].state is OrderState.DEFERRED
        async with world.trading() as desk:
            again = await there_again(desk, stop)
            assert again.quantity.value == desk.position(BOB, "BTC/USD")
            assert len(resting(world)) == 1
            assert [o["side"] for o in world.orders("kraken", "bob_jones")] == ["buy", "sell", "sell", "sell"]


async def test_nothing_is_placed_again_and_nothing_is_said_once_all_is_sold(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, world.trading() as desk:
        stop = await bought_with_a_stop(desk)
        await desk.place(TradeRequest("out", BTC, Side.SELL, whole=True))
        await until(lambda: not desk.position(BOB, "BTC/USD"), "all of it is sold")
        await until(lambda: [c.state for c in copies(desk, stop)][1:] == [OrderState.SKIPPED], "nothing is left")
        assert copies(desk, stop)[1].reason is Reason.NOTHING_TO_CLOSE
        assert resting(world) == []
        assert world.alerts == []


async def test_it_is_not_placed_again_once_the_master_has_taken_its_own_back(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, world.trading() as desk:
        stop = await bought_with_a_stop(desk)
        world.fault("kraken", "delay", user="bob_jones", method="CancelOrder", delay_ms=500, when="before", count=1)
        await desk.place(half(desk))
        await desk.engine.changes.cancel(stop.order_id)
        await desk.settled()
        assert copies(desk, stop)[0].cancel is Reason.MASTER_CANCELLED
        assert resting(world) == []
        assert D(0) < desk.position(BOB, "BTC/USD") == world.holds("kraken", "bob_jones")
