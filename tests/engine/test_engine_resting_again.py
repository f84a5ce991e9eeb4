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
from copytrade.engine.killswitch import KillState

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


# -- beside an order on the other side ---------------------------------------------------------------------------------


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
        await desk.settled()
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
        await desk.settled()
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


# -- ended by the venue ------------------------------------------------------------------------------------------------

# A Tuesday and its evening in New York, where stocks trade until four; ahead of any machine's clock, since a venue's
# does not go back.
NOON, AFTER_CLOSE = (datetime(2050, 1, 4, hour, minute, tzinfo=UTC) for hour, minute in ((17, 0), (21, 1)))
STOCKS: dict[str, Any] = {"master": "alpaca", "users": {"alice_smith": {"alpaca": {"cash": 750, "max_user_risk": 1.0}}}}


def it_is(world: VenuesWorld, moment: datetime) -> None:
    world.clock.ahead_s = moment.timestamp() - datetime.now(UTC).timestamp()


async def half_a_share(desk: VenuesDesk) -> OrderRecord:
    """The master buys ten shares and places a stop for them, good till cancelled; Alice has a fraction."""
    bought = TradeRequest("buy", "AAPL", Side.BUY, quantity=Quantity.of("10"))
    await desk.place(bought)
    await desk.settled()
    assert desk.position(ALICE, "AAPL") == D("0.75")
    return await stop_at(desk, 200, symbol="AAPL")


async def test_a_stop_for_a_fraction_of_a_share_is_there_again_every_morning(tmp_path: Path) -> None:
    """Longer than an exit that is cut short at market may be followed up."""
    async with world_of(tmp_path, **STOCKS) as world:
        it_is(world, NOON)
        async with world.trading() as desk:
            stop = await half_a_share(desk)
            days = [NOON.replace(day=day) for day in (4, 5, 6, 7, 10, 11, 12)]
            for leg, day in enumerate(days):
                it_is(world, day)
                placed = await rests(desk, stop, leg)
                assert (placed.quantity.value, placed.stop_price) == (D("0.75"), Price.of(200))
                it_is(world, day.replace(hour=21, minute=1))
            await rests(desk, stop, len(days))
            (order,) = resting(world, "sell")
            assert [o["status"] for o in world.orders("alpaca", "alice_smith")] == [
                "closed", *["expired"] * len(days), "open"
            ]  # fmt: skip
            it_is(world, NOON.replace(day=13))
            world.price("alpaca", 199, "AAPL")
            await desk.settled()
            assert desk.position(ALICE, "AAPL") == 0
            assert world.orders("alpaca", "alice_smith")[-1]["filled"] == order["volume"]


async def test_a_worker_that_was_down_when_the_day_ended_places_the_stop_again(tmp_path: Path) -> None:
    async with world_of(tmp_path, **STOCKS) as world:
        it_is(world, NOON)
        async with world.trading() as desk:
            stop = await half_a_share(desk)
        it_is(world, AFTER_CLOSE)
        async with world.trading() as desk:
            again = await rests(desk, stop, 1)
            assert "trading day" in again.detail
            assert len(resting(world, "sell")) == 1


async def test_an_order_ended_for_its_age_is_placed_again_and_an_entry_of_it_for_what_it_lacked(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, world.trading() as desk:
        bid = await place(
            desk, "bid", Side.BUY, OrderKind.LIMIT, limit=Price.of(49_000), quantity=Quantity.of("0.01")
        )
        (order,) = resting(world, "buy")
        world.sims["alpaca"].fill_part(order["order_id"], D("0.0004"))
        world.sims["alpaca"].expire(order["order_id"])
        again = await rests(desk, bid, 1)
        assert (again.quantity.value, again.limit_price) == (D("0.0006"), Price.of(49_000))
        world.price("kraken", "48900")
        world.price("alpaca", "48900")
        await desk.settled()
        first, second = copies(desk, bid)
        assert first.filled.value + second.filled.value == D("0.001")


async def test_a_copy_that_somebody_has_cancelled_by_hand_stays_away(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        stop = await stop_at(desk, 45_000)
        (order,) = resting(world, "sell")
        sim = world.sims["alpaca"]
        with sim.lock:
            sim.exchange.cancel(sim.books.by_order_id[order["order_id"]])
        await until(lambda: copies(desk, stop)[0].state is OrderState.CANCELLED, "the cancel to be seen")
        assert len(copies(desk, stop)) == 1


async def test_a_stop_that_cannot_be_placed_again_is_told_of_and_the_master_takes_her_out(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        stop = await stop_at(desk, 45_000)
        world.fault("alpaca", "error", user="alice_smith", when="before", count=1,
                    error="422 42210000 stop price must be below the market")  # fmt: skip
        world.sims["alpaca"].expire(resting(world, "sell")[0]["order_id"])
        await until(lambda: desk.alerts_of("alpaca:alice_smith", "later was refused"), "the alert")
        assert copies(desk, stop)[1].state is OrderState.REFUSED
        world.price("kraken", "44900")
        await desk.settled()
        assert desk.position(ALICE) == 0


async def test_what_is_too_small_to_be_placed_again_is_told_of(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        offer = await place(desk, "ask", Side.SELL, OrderKind.LIMIT, limit=Price.of(52_000), whole=True)
        (order,) = resting(world, "sell")
        world.sims["alpaca"].fill_part(order["order_id"], D(order["volume"]) - D("0.00001"))
        world.sims["alpaca"].expire(order["order_id"])
        await until(lambda: desk.alerts_of("is not placed again", Reason.BELOW_MINIMUM.text), "the alert")
        assert copies(desk, offer)[1].state is OrderState.SKIPPED


async def test_a_stop_in_place_of_a_bracket_keeps_its_profit(tmp_path: Path) -> None:
    async with world_of(tmp_path, limits={**SOON, "price_keep_every_s": 0.05}) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        bracket = await place(
            desk, "bracket", Side.SELL, OrderKind.BRACKET, whole=True, limit=Price.of(52_000), stop=Price.of(45_000)
        )
        world.sims["alpaca"].expire(resting(world, "sell")[0]["order_id"])
        again = await rests(desk, bracket, 1)
        assert (again.kind, again.profit) == (OrderKind.STOP_LIMIT, Price.of(52_000))
        world.price("alpaca", "52100")
        await until(lambda: desk.position(ALICE) < D("0.00001"), "her to be out")
        assert [copy.kind for copy in copies(desk, bracket)] == [
            OrderKind.STOP_LIMIT, OrderKind.STOP_LIMIT, OrderKind.MARKET
        ]  # fmt: skip


async def test_an_exit_held_on_its_way_back_rests_again_when_it_is_released(tmp_path: Path) -> None:
    """The kill switch is thrown while a stop has made way. Releasing it must not sell at market."""
    async with world_of(tmp_path) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        stop = await stop_at(desk, 45_000)
        desk.kill.engage(KillState.HALT)
        world.sims["alpaca"].expire(resting(world, "sell")[0]["order_id"])
        await until(lambda: len(copies(desk, stop)) == 2 and copies(desk, stop)[1].state is OrderState.HELD, "held")
        assert desk.alerts_of("is held", "kill switch")
        desk.kill.lift()
        desk.engine.place_held_exits()  # unless drift repair was there first
        again = await rests(desk, stop, 1)
        assert again.kind is OrderKind.STOP_LIMIT
        assert [o["type"] for o in resting(world, "sell")] == ["stop_limit"]
