"""Orders that are taken back: asked for once at the venue, again soon where that failed, and not one question more."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from world import Desk, World, follower, until

from copytrade.domain.ids import signal_id
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.signal import SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import TradeRequest

TWO = {"alice_smith": 1_000, "bob_jones": 500}
FOREVER_S = 600.0  # a test that has to wait for it fails


async def bid(desk: Desk) -> OrderRecord:
    """The master's bid, once every copy of it rests at the venue."""
    record = await desk.place(
        TradeRequest("bid", "BTC/USD", Side.BUY, quantity=Quantity.of("0.02"), kind=OrderKind.LIMIT,
                     limit=Price.of(45_000))
    )  # fmt: skip
    await desk.dealt_with(signal_id(record.order_id, SignalKind.PLACED))
    return record


def calls(world: World, name: str) -> int:
    """How often the venue was asked this."""
    return sum(count for path, count in world.venue.requests()["paths"].items() if path.endswith(name))


async def test_an_amendment_asks_the_venue_once_for_each_order(tmp_path: Path) -> None:
    limits = {"resting_delays_s": (FOREVER_S,), "keep_warm_every_s": FOREVER_S}
    with World(tmp_path, followers=TWO, limits=limits) as world:
        async with world.trading() as desk:
            placed = await bid(desk)
            balances, cancels = calls(world, "/BalanceEx"), calls(world, "/CancelOrder")
            changed = await desk.engine.changes.amend(placed.order_id, limit=Price.of(46_000))
            copies = await desk.dealt_with(signal_id(changed.order_id, SignalKind.AMENDED))
            assert [copy.state for copy in copies] == [OrderState.ACCEPTED] * 2
            assert [copy.quantity for copy in copies] == [Quantity.of("0.002"), Quantity.of("0.001")]
            assert calls(world, "/CancelOrder") - cancels == 3, "the master and two followers"
            assert calls(world, "/BalanceEx") == balances > 0, "what was known a moment ago is known"


async def test_a_cancel_that_failed_is_tried_again_soon_however_long_the_order_had_rested(tmp_path: Path) -> None:
    limits: dict[str, Any] = {
        "resting_delays_s": (0.01,), "fill_delays_s": (0.01, 0.02, 0.02, FOREVER_S), "retry_delays_s": (0.01,) * 3,
    }  # fmt: skip
    with World(tmp_path, followers=TWO, limits=limits) as world:
        async with world.trading() as desk:
            placed = await bid(desk)
            looks = calls(world, "/QueryOrders")
            await until(lambda: calls(world, "/QueryOrders") > looks + 30, "many looks at what rests")
            world.fault("status", user="alice_smith", method="CancelOrder", when="before", status=503)
            await desk.engine.changes.cancel(placed.order_id)
            await until(lambda: desk.alerts_of("alice_smith", "could not be cancelled"), "the lane to give up")
            world.venue.clear_faults()
            await desk.settled()
            assert all(order["status"] == "canceled" for user in TWO for order in world.orders(user))


async def test_an_account_near_its_last_cash_is_asked_for_it_when_an_order_moves(tmp_path: Path) -> None:
    """The venue keeps back what a resting order would cost; by figures from that time there would be no money."""
    settings = {"copy": {"max_user_risk": 1}}
    limits = {"resting_delays_s": (FOREVER_S,)}
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=limits, settings=settings) as world:
        async with world.trading() as desk:
            record = await desk.place(
                TradeRequest("bid", "BTC/USD", Side.BUY, quantity=Quantity.of("0.2"), kind=OrderKind.LIMIT,
                             limit=Price.of(45_000))
            )  # fmt: skip
            await desk.dealt_with(signal_id(record.order_id, SignalKind.PLACED))
            await desk.engine.refresher.now(follower("alice_smith"), 5.0)
            changed = await desk.engine.changes.amend(record.order_id, limit=Price.of(45_100))
            await desk.dealt_with(signal_id(changed.order_id, SignalKind.AMENDED))
            (order,) = [order for order in world.orders("alice_smith") if order["status"] == "open"]
            assert Decimal(order["volume"]) == Decimal("0.02")
