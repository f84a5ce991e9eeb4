"""Copies that are placed a second time: exits that made way for an entry at a venue that refuses both sides at once
(Alpaca), and orders that the venue ended because their time was up, while the master's rests on."""

from __future__ import annotations

from datetime import UTC, datetime
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
from copytrade.engine.desk import TradeRequest

D = Decimal
ALICE = "alpaca:alice_smith"
USERS = {"alice_smith": {"alpaca": {"cash": 1_000, "max_user_risk": 1.0}}}
SOON: dict[str, Any] = {"resting_delays_s": (0.02, 0.05, 0.1), "fill_delays_s": (0.02, 0.05, 0.1)}
NO_GRACE = {"stand_ins": {"USD": ["USDT"]}, "master_fill_grace_s": 0}


def world_of(tmp_path: Path, **values: Any) -> VenuesWorld:
    return VenuesWorld(tmp_path, **{"users": USERS, "limits": SOON, "copy": NO_GRACE, **values})


async def place(desk: VenuesDesk, name: str, side: Side, kind: OrderKind, **values: Any) -> OrderRecord:
    """An order of the master's, once every copy of it has been dealt with."""
    record = await desk.place(TradeRequest(name, values.pop("symbol", "BTC/USD"), side, kind=kind, **values))
    await desk.dealt_with(signal_id(record.order_id, SignalKind.PLACED))
    return record


async def stop_at(desk: VenuesDesk, price: int, **values: Any) -> OrderRecord:
    """The master's stop for all that it holds."""
    how = {"whole": True, **values}
    return await place(desk, f"stop {price}", Side.SELL, OrderKind.STOP, stop=Price.of(price), **how)


def copies(desk: VenuesDesk, record: OrderRecord) -> list[OrderRecord]:
    """Every leg of Alice's copy of an order, in their order."""
    found = desk.copies(signal_id(record.order_id, SignalKind.PLACED))
    return sorted((copy for copy in found if copy.account == ALICE), key=lambda copy: copy.leg)


def resting(world: VenuesWorld, side: str) -> list[dict[str, Any]]:
    """Alice's open orders at the venue."""
    return [o for o in world.orders("alpaca", "alice_smith") if o["status"] == "open" and o["side"] == side]


async def rests(desk: VenuesDesk, record: OrderRecord, leg: int) -> OrderRecord:
    """A leg of Alice's copy, once it is at the venue."""

    def there() -> bool:
        legs = copies(desk, record)
        return len(legs) > leg and legs[leg].state is OrderState.ACCEPTED

    await until(there, f"leg {leg} of {record.order_id}")
    return copies(desk, record)[leg]


# -- beside an order on the other side -----------------------------------------------------------------------------------


async def test_a_stop_makes_way_for_an_entry_and_is_placed_again_for_what_it_was(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        held = desk.position(ALICE)
        stop = await stop_at(desk, 45_000)
        (first,) = copies(desk, stop)
        second_buy = await desk.buy("500")
        again = await rests(desk, stop, 1)
        assert desk.copy(second_buy, ALICE).state is OrderState.FILLED
        assert desk.position(ALICE) > held
        first = copies(desk, stop)[0]
        assert (first.state, first.cancel) == (OrderState.CANCELLED, Reason.MAKES_WAY)
        assert (again.kind, again.quantity, again.stop_price) == (first.kind, first.quantity, first.stop_price)
        assert again.reason is Reason.RESTS_AGAIN
        (order,) = resting(world, "sell")
        assert D(order["volume"]) == again.quantity.value
        orders = world.orders("alpaca", "alice_smith")
        assert [o["side"] for o in orders] == ["buy", "sell", "buy", "sell"]
        assert orders[1]["closed_at_s"] <= orders[2]["accepted_at_s"] <= orders[3]["accepted_at_s"]
        # It is the master's stop to its end: it sells, and what was bought behind it stays.
        world.price("alpaca", "44900")
        world.price("kraken", "44900")
        await until(lambda: not desk.ledger.state.orders, "the stops to fill")
        assert D(0) < desk.position(ALICE) < held


async def test_an_exit_that_has_made_way_is_not_lost_by_a_stop_of_the_worker(tmp_path: Path) -> None:
    """The entry's answer is lost and the worker ends; the next one finds both where the ledger has them."""
    async with world_of(tmp_path) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            stop = await stop_at(desk, 45_000)
            world.fault("alpaca", "hang", user="alice_smith", hang_s=20.0, count=1)
            await desk.place(TradeRequest("more", "BTC/USD", Side.BUY, usd=Amount.of(500)))
            await until(lambda: len(copies(desk, stop)) == 2, "the next leg")
            assert copies(desk, stop)[1].state is OrderState.DEFERRED
        async with world.trading() as desk:
            again = await rests(desk, stop, 1)
            assert len(resting(world, "sell")) == 1
            assert again.quantity == copies(desk, stop)[0].quantity
            assert len([o for o in world.orders("alpaca", "alice_smith") if o["side"] == "buy"]) == 2


async def test_a_stop_that_has_made_way_is_not_placed_again_once_the_master_has_taken_its_own_back(
    tmp_path: Path,
) -> None:
    async with world_of(tmp_path) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        stop = await stop_at(desk, 45_000)
        world.fault("alpaca", "delay", user="alice_smith", delay_ms=600, when="before", count=1)
        more = await desk.place(TradeRequest("more", "BTC/USD", Side.BUY, usd=Amount.of(500)))
        await until(lambda: len(copies(desk, stop)) == 2, "the next leg")
        await desk.engine.changes.cancel(stop.order_id)
        await desk.dealt_with(signal_id(more.order_id, SignalKind.PLACED))
        await until(lambda: not desk.ledger.state.orders, "everything to be over")
        assert copies(desk, stop)[1].state is OrderState.STOPPED
        assert resting(world, "sell") == []


async def test_a_bid_is_not_placed_beside_a_stop_and_what_it_lacks_is_bought_once_the_masters_has_filled(
    tmp_path: Path,
) -> None:
    async with world_of(tmp_path) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        held = desk.position(ALICE)
        stop = await stop_at(desk, 45_000)
        bid = await place(
            desk, "bid", Side.BUY, OrderKind.LIMIT, limit=Price.of(49_900), quantity=Quantity.of("0.01")
        )
        (copy,) = copies(desk, bid)
        assert (copy.state, copy.reason) == (OrderState.STOPPED, Reason.OPPOSITE_ORDER)
        assert "stop" in copy.detail
        assert [o["status"] for o in world.orders("alpaca", "alice_smith")] == ["closed", "open"]
        world.price("kraken", "49890")
        world.price("alpaca", "49890")
        await until(lambda: desk.position(ALICE) > held, "her to catch up")
        await rests(desk, stop, 1)
        assert desk.position(ALICE) - held == pytest.approx(D("0.001"), rel=D("0.01"))


async def test_a_bid_makes_way_for_a_stop(tmp_path: Path) -> None:
    """Getting out comes first. The bid is not placed again beside it, and is bought when the master's has filled."""
    async with world_of(tmp_path) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        held = desk.position(ALICE)
        bid = await place(
            desk, "bid", Side.BUY, OrderKind.LIMIT, limit=Price.of(49_900), quantity=Quantity.of("0.01")
        )
        await rests(desk, bid, 0)
        stop = await stop_at(desk, 45_000)
        await rests(desk, stop, 0)
        (copy,) = copies(desk, bid)
        assert (copy.state, copy.cancel) == (OrderState.CANCELLED, Reason.EXIT_FIRST)
        assert resting(world, "buy") == []
        world.price("kraken", "49890")
        world.price("alpaca", "49890")
        await until(lambda: desk.position(ALICE) > held, "her to catch up")
        await rests(desk, stop, 1)


async def test_a_bid_under_an_offer_stands_beside_it(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        offer = await place(desk, "ask", Side.SELL, OrderKind.LIMIT, limit=Price.of(52_000), whole=True)
        bid = await place(
            desk, "bid", Side.BUY, OrderKind.LIMIT, limit=Price.of(49_000), quantity=Quantity.of("0.01")
        )
        await rests(desk, bid, 0)
        await rests(desk, offer, 0)
        assert len(resting(world, "buy")) == len(resting(world, "sell")) == 1


async def test_an_entry_beside_an_order_that_is_not_ours_is_refused_soon_and_the_lane_goes_on(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        world.fault("alpaca", "error", user="alice_smith", when="before", count=3,
                    error="403 40310000 potential wash trade detected. use complex orders")  # fmt: skip
        more = await desk.buy("500")
        await desk.settled()
        copy = desk.copy(more, ALICE)
        assert (copy.state, copy.reason) == (OrderState.REFUSED, Reason.OPPOSITE_ORDER)
        another = await desk.buy("500")
        await desk.settled()
        assert desk.copy(another, ALICE).state is OrderState.FILLED


async def test_a_masters_entry_beside_its_own_stop_is_refused_at_once(tmp_path: Path) -> None:
    """Somebody waits for the answer, who can take the stop back."""
    async with world_of(tmp_path, master="alpaca") as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        await stop_at(desk, 45_000)
        more = await desk.place(TradeRequest("more", "BTC/USD", Side.BUY, usd=Amount.of(500)))
        assert (more.state, more.reason) == (OrderState.STOPPED, Reason.OPPOSITE_ORDER)
        assert "take that back first" in more.detail
        assert [o["side"] for o in world.orders("alpaca", "master")] == ["buy", "sell"]
