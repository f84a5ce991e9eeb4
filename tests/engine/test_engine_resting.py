"""Resting orders: what the master places, changes, takes back and gets filled reaches every copy, once."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from world import Desk, World, follower, until

from copytrade.domain.errors import BadRequest
from copytrade.domain.ids import signal_id
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine import followups
from copytrade.engine.desk import TradeRequest

TWO = {"alice_smith": 1_000, "bob_jones": 500}
SOON: dict[str, Any] = {"resting_delays_s": (0.02, 0.05, 0.1)}
NO_GRACE = {"copy": {"master_fill_grace_s": 0}}
D = Decimal


async def limit(
    desk: Desk, price: int, quantity: str = "0.02", side: Side = Side.BUY, kind: OrderKind = OrderKind.LIMIT
) -> OrderRecord:
    """The master's resting order, once every copy of it is at the venue."""
    stop = Price.of(price) if kind.has_stop else None
    record = await desk.place(
        TradeRequest(
            f"{kind} {side} {price} {quantity}", "BTC/USD", side, quantity=Quantity.of(quantity), kind=kind,
            limit=Price.of(price) if kind.has_limit else None, stop=stop,
        )
    )  # fmt: skip
    assert record.state is OrderState.ACCEPTED, (record.reason, record.detail)
    await desk.dealt_with(signal_id(record.order_id, SignalKind.PLACED))
    return record


def told(record: OrderRecord, kind: SignalKind) -> str:
    return signal_id(record.order_id, kind)


def open_at(world: World, user: str) -> list[dict[str, Any]]:
    return [order for order in world.orders(user) if order["status"] == "open"]


async def test_a_limit_order_rests_at_everybodys_venue_and_fills_for_all(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            placed = await limit(desk, 45_000)
            copies = desk.copies(told(placed, SignalKind.PLACED))
            assert [c.state for c in copies] == [OrderState.ACCEPTED] * 2
            assert [c.limit_price for c in copies] == [Price.of(45_000)] * 2
            assert [c.quantity for c in copies] == [Quantity.of("0.002"), Quantity.of("0.001")]
            world.price("BTC/USD", 44_900)
            await desk.settled()
            assert [desk.position(user) for user in TWO] == [D("0.002"), D("0.001")]
            assert [len(world.orders(user)) for user in TWO] == [1, 1]


async def test_a_cancel_takes_every_copy_back(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, limits=SOON) as world:
        async with world.trading() as desk:
            placed = await limit(desk, 45_000)
            ended = await desk.engine.changes.cancel(placed.order_id)
            assert ended.state is OrderState.CANCELLED
            await desk.settled()
            copies = desk.copies(told(placed, SignalKind.PLACED))
            assert [(c.state, c.cancel) for c in copies] == [(OrderState.CANCELLED, Reason.MASTER_CANCELLED)] * 2
            assert all(not open_at(world, user) for user in ("master", *TWO))
            with pytest.raises(BadRequest, match="over already"):
                await desk.engine.changes.cancel(placed.order_id)


async def test_a_copy_that_was_not_placed_yet_is_dropped_by_the_cancel(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, limits=SOON) as world:
        world.fault("error", user="alice_smith", when="before", error="EService:Unavailable", count=3)
        async with world.trading() as desk:
            record = await desk.place(
                TradeRequest("resting", "BTC/USD", Side.BUY, usd=Amount.of(900), kind=OrderKind.LIMIT,
                             limit=Price.of(45_000))
            )  # fmt: skip
            await desk.engine.changes.cancel(record.order_id)
            await desk.settled()
            assert not open_at(world, "alice_smith")
            copy = desk.copy(told(record, SignalKind.PLACED), "alice_smith")
            assert copy.cancel is Reason.MASTER_CANCELLED
            assert copy.state in (OrderState.STOPPED, OrderState.CANCELLED)


async def test_a_cancel_that_comes_after_the_fill_changes_nothing(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, limits={"resting_delays_s": (60.0,)}, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            placed = await limit(desk, 45_000)
            world.price("BTC/USD", 44_900)  # nobody here has looked since
            ended = await desk.engine.changes.cancel(placed.order_id)
            assert ended.state is OrderState.FILLED
            await desk.settled()
            assert [desk.position(user) for user in TWO] == [D("0.002"), D("0.001")]


async def test_an_amendment_moves_every_copy_and_none_is_there_twice(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            placed = await limit(desk, 45_000)
            changed = await desk.engine.changes.amend(
                placed.order_id, limit=Price.of(46_000), quantity=Quantity.of("0.01")
            )
            assert changed.state is OrderState.ACCEPTED
            await desk.dealt_with(told(changed, SignalKind.AMENDED))
            assert [c.cancel for c in desk.copies(told(placed, SignalKind.PLACED))] == [Reason.MASTER_AMENDED] * 2
            for user, quantity in zip(TWO, ("0.001", "0.0005"), strict=True):
                (order,) = open_at(world, user)
                assert (D(order["limit_price"]), D(order["volume"])) == (D(46_000), D(quantity))
            world.price("BTC/USD", 45_900)
            await desk.settled()
            assert [desk.position(user) for user in ("alice_smith", "bob_jones")] == [D("0.001"), D("0.0005")]


async def test_what_had_filled_before_an_amendment_counts(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            placed = await limit(desk, 45_000)
            (order,) = open_at(world, "alice_smith")
            world.venue.fill_part(order["order_id"], D("0.0005"))
            changed = await desk.engine.changes.amend(placed.order_id, limit=Price.of(46_000))
            await desk.dealt_with(told(changed, SignalKind.AMENDED))
            (order,) = open_at(world, "alice_smith")
            # 0.002 in all, and a little more because what was bought at 45,000 is worth 50,000 by now.
            assert D("0.0015") <= D(order["volume"]) < D("0.00151")
            world.price("BTC/USD", 45_900)
            await desk.settled()
            assert desk.position("alice_smith") == D("0.0005") + D(order["volume"])


@pytest.mark.parametrize(
    ("rule", "position", "state"),
    [
        ("chase", "0.002", OrderState.CANCELLED),
        ("cancel", "0", OrderState.CANCELLED),
        ("leave", "0", OrderState.ACCEPTED),
    ],
)
async def test_the_masters_order_fills_and_a_followers_does_not(
    tmp_path: Path, rule: str, position: str, state: OrderState
) -> None:
    settings = {"copy": {"master_fill_grace_s": 0, "on_master_fill": rule}}
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=SOON, settings=settings) as world:
        async with world.trading() as desk:
            placed = await limit(desk, 49_900)
            world.price("BTC/USD", 49_950)
            (order,) = open_at(world, "master")
            world.venue.fill_part(order["order_id"], D("0.02"))
            await until(lambda: desk.ledger.find(placed.order_id).state is OrderState.FILLED, "the master's fill")
            await desk.dealt_with(told(placed, SignalKind.FILLED))
            await until(lambda: desk.copy(told(placed, SignalKind.PLACED), "alice_smith").state is state, "the copy")
            if rule != "leave":
                await desk.settled()
            assert desk.position("alice_smith") == D(position)


async def test_an_exit_that_rests_is_chased_at_market_whatever_the_rule(tmp_path: Path) -> None:
    settings = {"copy": {"master_fill_grace_s": 0, "on_master_fill": "leave"}}
    with World(tmp_path, followers=TWO, limits=SOON, settings=settings) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            placed = await limit(desk, 55_000, side=Side.SELL)
            (order,) = open_at(world, "master")
            world.venue.fill_part(order["order_id"], D("0.02"))
            await until(lambda: desk.ledger.find(placed.order_id).state is OrderState.FILLED, "the master's fill")
            await desk.settled()
            assert [desk.position(user) for user in TWO] == [0, 0]
            assert [world.holds(user) for user in TWO] == [0, 0]


async def test_a_stop_rests_triggers_and_takes_everyone_out(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            placed = await limit(desk, 48_000, side=Side.SELL, kind=OrderKind.STOP)
            copies = desk.copies(told(placed, SignalKind.PLACED))
            assert [(c.state, c.kind, c.stop_price) for c in copies] == [
                (OrderState.ACCEPTED, OrderKind.STOP, Price.of(48_000))
            ] * 2
            world.price("BTC/USD", 47_900)
            await desk.settled()
            assert [world.holds(user) for user in ("master", *TWO)] == [0, 0, 0]


async def test_an_exit_at_market_takes_back_the_stop_that_holds_its_base(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            placed = await limit(desk, 48_000, side=Side.SELL, kind=OrderKind.STOP)
            await desk.engine.changes.cancel(placed.order_id)
            await desk.sell()
            await desk.settled()
            assert [world.holds(user) for user in ("master", *TWO)] == [0, 0, 0]
            assert all(not open_at(world, user) for user in TWO)


async def test_a_restart_carries_on_with_what_rests_and_with_a_cancel_half_done(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            placed = await limit(desk, 45_000)
        async with world.trading() as desk:
            assert desk.engine.recovered["to_follow"] == 3
            world.fault("status", user="alice_smith", method="CancelOrder", status=503, count=50)
            await desk.engine.changes.cancel(placed.order_id)
            await until(lambda: not open_at(world, "bob_jones"), "one copy taken back")
        world.venue.clear_faults()
        async with world.trading() as desk:
            await desk.settled()
            assert not open_at(world, "alice_smith")
            assert [len(world.orders(user)) for user in TWO] == [1, 1]


async def test_control_without_the_follow_up_the_copies_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followups, "_leaves_resting", lambda signal, rules: True)
    with World(tmp_path, followers=TWO, limits=SOON) as world:
        async with world.trading() as desk:
            placed = await limit(desk, 45_000)
            await desk.engine.changes.cancel(placed.order_id)
            await desk.dealt_with(told(placed, SignalKind.CANCELLED))
            assert all(open_at(world, user) for user in TWO)


async def test_resting_entries_keep_their_cash_back_only_once(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": {"cash": 1_000, "max_user_risk": 0.5}}, limits=SOON) as world:
        async with world.trading() as desk:
            await limit(desk, 45_000, "0.1")
            await desk.engine.refresher.now(follower("alice_smith"), 5.0)
            second = await limit(desk, 44_000, "0.1")
            copy = desk.copy(told(second, SignalKind.PLACED), "alice_smith")
            assert copy.state is OrderState.ACCEPTED, (copy.reason, copy.detail)
            assert copy.quantity == Quantity.of("0.01")


async def bracket(desk: Desk, profit: int, stop: int) -> OrderRecord:
    """The master's whole position between a profit and a stop, once every copy of it is at the venue."""
    record = await desk.place(
        TradeRequest(
            f"bracket {profit} {stop}", "BTC/USD", Side.SELL, whole=True, kind=OrderKind.BRACKET,
            limit=Price.of(profit), stop=Price.of(stop),
        )
    )  # fmt: skip
    assert record.state is OrderState.ACCEPTED, (record.reason, record.detail)
    await desk.dealt_with(told(record, SignalKind.PLACED))
    return record


async def test_a_bracket_rests_as_its_stop_and_leaves_at_its_profit(tmp_path: Path) -> None:
    limits = {**SOON, "price_keep_every_s": 0.05}
    with World(tmp_path, followers=TWO, limits=limits, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            placed = await bracket(desk, 55_000, 48_000)
            assert [len(open_at(world, user)) for user in ("master", *TWO)] == [1, 1, 1]
            assert [c.profit for c in desk.copies(told(placed, SignalKind.PLACED))] == [Price.of(55_000)] * 2
            world.price("BTC/USD", 55_100)
            await until(lambda: not desk.ledger.state.positions, "everybody out")
            await desk.settled()
            assert [world.holds(user) for user in ("master", *TWO)] == [0, 0, 0]
            sold = [sum(D(o["filled"]) for o in world.orders(user) if o["side"] == "sell") for user in TWO]
            assert sold == [D("0.002"), D("0.001")]


async def test_a_bracket_whose_stop_fills_sells_nothing_more(tmp_path: Path) -> None:
    limits = {**SOON, "price_keep_every_s": 0.05}
    with World(tmp_path, followers=TWO, limits=limits, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            await bracket(desk, 55_000, 48_000)
            world.price("BTC/USD", 47_900)
            await until(lambda: not desk.ledger.state.positions, "everybody out")
            world.price("BTC/USD", 56_000)
            await desk.engine.profits.look()
            await desk.settled()
            assert [len(world.orders(user)) for user in ("master", *TWO)] == [2, 2, 2]


@pytest.mark.parametrize("taken_back", [False, True], ids=["before the stop is asked back", "after"])
async def test_a_bracket_goes_on_after_a_restart(tmp_path: Path, *, taken_back: bool) -> None:
    with World(tmp_path, followers=TWO, limits={**SOON, "price_keep_every_s": 60.0}, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            await bracket(desk, 55_000, 48_000)
            if taken_back:
                world.fault("status", user=None, method="CancelOrder", when="before", status=503)
                waiting = [r for r in desk.ledger.state.orders.values() if r.profit is not None]
                assert desk.engine.profits.take_back(waiting, Price.of(55_100)) == 3
        world.venue.clear_faults()
        world.price("BTC/USD", 55_100)
        async with world.trading() as desk:
            await until(lambda: not desk.ledger.state.positions, "everybody out")
            await desk.settled()
            assert [world.holds(user) for user in ("master", *TWO)] == [0, 0, 0]
            assert all(len([o for o in world.orders(user) if D(o["filled"])]) == 2 for user in TWO)
