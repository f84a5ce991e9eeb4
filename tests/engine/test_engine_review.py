"""Orders that rest and what overtakes them: exits, limits, a flattening, repairs, another account of the same user."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from venues_world import VenuesWorld
from world import MASTER, Desk, World, follower, until

from copytrade.copying.drift import Repair
from copytrade.domain.account import AccountId
from copytrade.domain.errors import BadRequest
from copytrade.domain.events import SignalEmitted
from copytrade.domain.ids import signal_id
from copytrade.domain.money import NO_QUANTITY, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import TradeRequest
from copytrade.engine.killswitch import KillState

D = Decimal
ALICE = follower("alice_smith")
SOON: dict[str, Any] = {"resting_delays_s": (0.02, 0.05, 0.1)}
BLIND: dict[str, Any] = {"resting_delays_s": (3600.0,)}  # nobody looks at an order that rests unless told to
NO_GRACE = {"copy": {"master_fill_grace_s": 0}}


async def resting(
    desk: Desk, price: int, quantity: str = "0.02", side: Side = Side.BUY, kind: OrderKind = OrderKind.LIMIT
) -> OrderRecord:
    """The master's resting order, once every copy of it has had its answer."""
    record = await desk.place(
        TradeRequest(
            f"{kind} {side} {price} {quantity}", "BTC/USD", side, quantity=Quantity.of(quantity), kind=kind,
            limit=Price.of(price) if kind.has_limit else None, stop=Price.of(price) if kind.has_stop else None,
        )
    )  # fmt: skip
    assert record.state is OrderState.ACCEPTED, (record.reason, record.detail)
    await desk.dealt_with(told(record, SignalKind.PLACED))
    return record


def told(record: OrderRecord, kind: SignalKind) -> str:
    return signal_id(record.order_id, kind)


def open_at(world: World, user: str) -> list[dict[str, Any]]:
    return [order for order in world.orders(user) if order["status"] == "open"]


def sold(world: World, user: str = "alice_smith") -> Decimal:
    return sum((D(o["filled"]) for o in world.orders(user) if o["side"] == "sell"), D(0))


async def test_an_exit_that_comes_within_the_grace_of_a_fill_takes_out_whoever_catches_up(tmp_path: Path) -> None:
    settings = {"copy": {"master_fill_grace_s": 1.0}}
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=SOON, settings=settings) as world:
        async with world.trading() as desk:
            placed = await resting(desk, 49_900)
            (order,) = open_at(world, "master")
            world.venue.fill_part(order["order_id"], D("0.02"))  # the master's alone
            await until(lambda: desk.ledger.find(placed.order_id).state is OrderState.FILLED, "the master's fill")
            out = await desk.sell()
            await desk.dealt_with(out)
            assert await desk.engine.tracker.wait(told(placed, SignalKind.FILLED), 10)
            await desk.settled()
            assert desk.position("master") == 0
            assert desk.position("alice_smith") == 0, [
                (o["side"], o["filled"], o["status"]) for o in world.orders("alice_smith")
            ]


async def test_a_whole_exit_takes_back_the_entry_that_was_left_resting(tmp_path: Path) -> None:
    settings = {"copy": {"master_fill_grace_s": 0, "on_master_fill": "leave"}}
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=SOON, settings=settings) as world:
        async with world.trading() as desk:
            placed = await resting(desk, 49_900)
            (order,) = open_at(world, "master")
            world.venue.fill_part(order["order_id"], D("0.02"))
            await until(lambda: desk.ledger.find(placed.order_id).state is OrderState.FILLED, "the master's fill")
            await desk.dealt_with(told(placed, SignalKind.FILLED))
            await desk.dealt_with(await desk.sell())
            world.price("BTC/USD", 49_800)
            await desk.settled()
            assert desk.position("alice_smith") == 0


async def test_an_exit_counts_what_a_resting_entry_has_filled_unseen(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=BLIND, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            placed = await resting(desk, 49_900)
            for user, part in (("master", "0.01"), ("alice_smith", "0.001")):
                (order,) = open_at(world, user)
                world.venue.fill_part(order["order_id"], D(part))
            desk.engine.services.fills.look_at(placed.order_id)  # the master's fill is seen, the follower's is not
            await until(lambda: desk.ledger.state.position(MASTER, "BTC/USD"), "the master's fill")
            out = await desk.sell()
            await desk.dealt_with(out)
            await until(lambda: sold(world), f"the exit: {desk.copies(out)}", 5)
            assert world.holds("alice_smith") == 0


async def test_a_flattening_closes_what_resting_orders_have_filled_unseen(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=BLIND) as world:
        async with world.trading() as desk:
            await resting(desk, 45_000)
            polls = desk.engine.services.fills._polls
            await until(lambda: polls and all(polls.values()), "the first look at each")
            world.price("BTC/USD", 44_900)
            assert [world.holds(user) for user in ("master", "alice_smith")] == [D("0.02"), D("0.002")]
            desk.kill.engage(KillState.FLATTEN)
            await until(lambda: desk.kill.look() is KillState.HALT, "the flattening")
            assert [world.holds(user) for user in ("master", "alice_smith")] == [0, 0]


async def test_a_limit_closes_a_position_whose_base_a_stop_holds(tmp_path: Path) -> None:
    terms = {"alice_smith": {"cash": 1_000, "max_user_risk": 1, "min_equity": {"limit": 900, "action": "flatten"}}}
    limits = {**SOON, "limits_watch_every_s": 3600.0}
    with World(tmp_path, followers=terms, limits=limits, settings=NO_GRACE, master_cash=20_000) as world:
        async with world.trading() as desk:
            await desk.buy("9000")
            await desk.settled()
            await resting(desk, 20_000, "0.18", Side.SELL, OrderKind.STOP)
            await resting(desk, 10_000, "0.1")
            assert len(open_at(world, "alice_smith")) == 2
            world.price("BTC/USD", 30_000)
            await desk.engine.refresher.now(ALICE, 10.0)
            assert ALICE in desk.ledger.state.standing.trips
            await until(lambda: not world.holds("alice_smith"), "the position is closed", 8)
            assert not open_at(world, "alice_smith")


async def test_resting_entries_count_towards_max_exposure_after_a_look_at_the_balances(tmp_path: Path) -> None:
    terms = {"alice_smith": {"cash": 1_000, "max_user_risk": 1, "max_exposure": 100}}
    with World(tmp_path, followers=terms, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            await resting(desk, 45_000, "0.02")
            await desk.engine.refresher.now(ALICE, 10.0)
            await resting(desk, 44_000, "0.02")
            world.price("BTC/USD", 43_000)
            await desk.settled()
            assert desk.position("alice_smith") * 44_000 <= 101


async def test_a_repair_waits_for_the_signal_of_a_fill_that_is_in_its_grace(tmp_path: Path) -> None:
    settings = {"copy": {"master_fill_grace_s": 2.0}}
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=SOON, settings=settings) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.fault("error", user="alice_smith", when="before", error="EOrder:Some new rule", count=1)
            placed = await resting(desk, 55_000, "0.01", Side.SELL)
            assert desk.copy(told(placed, SignalKind.PLACED), "alice_smith").state is OrderState.REFUSED
            (order,) = open_at(world, "master")
            world.venue.fill_part(order["order_id"], D("0.01"))
            await until(lambda: desk.ledger.find(placed.order_id).state is OrderState.FILLED, "the master's fill")
            await desk.engine.reconciler.repair(ALICE, Repair.EXITS)
            assert await desk.engine.tracker.wait(told(placed, SignalKind.FILLED), 10)
            await desk.settled()
            assert world.holds("alice_smith") == D("0.001")


async def test_an_amendment_does_not_go_on_to_another_account_of_the_user(tmp_path: Path) -> None:
    users = {"alice_smith": {"kraken": 1_000, "binance": 1_000}}
    async with VenuesWorld(tmp_path, users=users, limits=SOON) as world, world.trading() as desk:
        placed = await resting(desk, 45_000)
        (order,) = [o for o in world.orders("kraken", "alice_smith") if o["status"] == "open"]
        world.sims["kraken"].fill_part(order["order_id"], D("0.002"))  # all of alice's, none of the master's
        changed = await desk.engine.changes.amend(placed.order_id, limit=Price.of(44_000))
        copies = await desk.dealt_with(told(changed, SignalKind.AMENDED))
        assert [(c.account, c.state) for c in copies] == [(ALICE, OrderState.SKIPPED)]
        assert world.orders("binance", "alice_smith") == []


async def test_what_the_master_has_cancelled_does_not_go_on_to_another_account(tmp_path: Path) -> None:
    users = {"alice_smith": {"kraken": 1_000, "binance": 1_000}}
    async with VenuesWorld(tmp_path, users=users, limits=SOON) as world, world.trading() as desk:
        world.fault("kraken", "delay", "alice_smith", delay_ms=700, when="before", count=1)
        await desk.buy("100")  # its copy is on its way for a while
        for account in (ALICE, AccountId("binance:alice_smith")):
            desk.engine.services.books._balances.pop(account)  # so that the next one is sized in its lane
        first = await desk.place(
            TradeRequest("resting", "BTC/USD", Side.BUY, quantity=Quantity.of("0.02"), kind=OrderKind.LIMIT,
                         limit=Price.of(45_000))
        )  # fmt: skip
        await desk.engine.changes.cancel(first.order_id)
        await desk.dealt_with(told(first, SignalKind.PLACED))
        await desk.settled()
        copies = desk.copies(told(first, SignalKind.PLACED))
        assert len(copies) == 1, [(c.account, c.state, c.detail) for c in copies]
        assert [(c.account, c.cancel) for c in copies] == [(ALICE, Reason.MASTER_CANCELLED)]
        assert world.orders("binance", "alice_smith") == []


async def test_each_account_of_a_user_follows_the_fill_of_an_exit(tmp_path: Path) -> None:
    users = {"alice_smith": {"kraken": {"cash": 1_000, "failover": True}, "coinbase": {"cash": 1_000}}}
    other = AccountId("coinbase:alice_smith")
    settings = {"copy": {"master_fill_grace_s": 0}}
    async with VenuesWorld(tmp_path, users=users, limits=SOON, copy=settings["copy"]) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        placed = await resting(desk, 55_000, side=Side.SELL)
        member = desk.engine.services.roster.followers[ALICE]
        member.unreachable = (Reason.NOT_CONNECTED, "for a while")
        await desk.dealt_with(await desk.buy("1000"))
        member.unreachable = None
        await until(lambda: desk.position(other), "the other account has bought")
        (order,) = [o for o in world.orders("kraken", "master") if o["status"] == "open"]
        before = desk.position(other)
        world.sims["kraken"].fill_part(order["order_id"], D("0.02"))
        await until(lambda: desk.ledger.find(placed.order_id).state is OrderState.FILLED, "the master's fill")
        await desk.settled()
        assert desk.position(ALICE) == 0
        assert desk.position(other) == pytest.approx(before / 2, rel=D("0.01"))


async def test_a_profit_and_the_fill_of_the_masters_bracket_sell_one_share(tmp_path: Path) -> None:
    limits = {**SOON, "price_keep_every_s": 60.0}
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=limits, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            placed = await desk.place(
                TradeRequest(
                    "half", "BTC/USD", Side.SELL, quantity=Quantity.of("0.01"), kind=OrderKind.BRACKET,
                    limit=Price.of(55_000), stop=Price.of(48_000),
                )
            )  # fmt: skip
            await desk.dealt_with(told(placed, SignalKind.PLACED))
            world.fault("delay", user="alice_smith", method="CancelOrder", delay_ms=700, when="before", count=1)
            waiting = [r for r in desk.ledger.state.orders.values() if r.profit is not None]
            assert desk.engine.profits.take_back(waiting, Price.of(55_100)) == 2
            await desk.settled()
            assert world.holds("master") == D("0.01")
            assert world.holds("alice_smith") == D("0.001")


async def test_an_order_that_is_taken_back_for_another_reason_is_not_amended(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            placed = await desk.place(
                TradeRequest(
                    "half", "BTC/USD", Side.SELL, quantity=Quantity.of("0.01"), kind=OrderKind.BRACKET,
                    limit=Price.of(55_000), stop=Price.of(48_000),
                )
            )  # fmt: skip
            mine = [r for r in desk.ledger.state.orders.values() if r.profit is not None and r.account == MASTER]
            desk.engine.profits.take_back(mine, Price.of(55_100))
            with pytest.raises(BadRequest, match="taken back already"):
                await desk.engine.changes.amend(placed.order_id, limit=Price.of(56_000))
            await desk.settled()
            assert [world.holds(user) for user in ("master", "alice_smith")] == [D("0.01"), D("0.001")]


async def test_the_master_does_not_wait_until_everybodys_limits_have_closed_them(tmp_path: Path) -> None:
    users = {f"user_{number}": 1_000 for number in range(4)}
    with World(tmp_path, followers=users, limits=SOON) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            for user in users:  # all in one turn of the loop, as when a price trips them all
                closing = Signal(
                    signal_id(f"test {user}", SignalKind.FLATTEN), SignalKind.FLATTEN, "", MASTER, "BTC/USD", Side.SELL,
                    Effect.EXIT, OrderKind.MARKET, NO_QUANTITY, Price.of(50_000), None, None, NO_QUANTITY, D(1),
                    world.clock.utc(), target=follower(user),
                )  # fmt: skip
                desk.ledger.append([SignalEmitted(closing)])
                desk.engine.fanout.emit(closing)
            mine = Signal(
                signal_id("test", SignalKind.FLATTEN), SignalKind.FLATTEN, "", MASTER, "BTC/USD", Side.SELL,
                Effect.EXIT, OrderKind.MARKET, NO_QUANTITY, Price.of(50_000), None, None, NO_QUANTITY, D(1),
                world.clock.utc(),
            )  # fmt: skip
            desk.ledger.append([SignalEmitted(mine)])
            desk.engine.fanout.emit(mine)
            await desk.settled()
            assert [signal.target for signal, _ in world.plans][1] == ""
            assert [(len(world.orders(user)), world.holds(user)) for user in users] == [(2, 0)] * 4


async def test_an_order_that_cannot_be_taken_back_keeps_no_exit_of_another_market_waiting(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            await desk.buy("500", "ETH/USD")
            await desk.settled()
            placed = await resting(desk, 45_000)
            world.fault("status", "alice_smith", "CancelOrder", status=503, when="before")
            await desk.engine.changes.amend(placed.order_id, limit=Price.of(44_000))
            out = await desk.sell(symbol="ETH/USD")
            await until(lambda: desk.copy(out, "alice_smith").state is OrderState.FILLED, "the exit", 10)
            assert open_at(world, "alice_smith")[0]["limit_price"] == "45000"
            world.venue.clear_faults()
            await until(lambda: "44000" in [o["limit_price"] for o in open_at(world, "alice_smith")], "the new order")
            assert len(open_at(world, "alice_smith")) == 1


async def test_whoever_has_no_copy_of_an_offer_that_fills_sells_at_once_though_a_stop_holds_it_all(
    tmp_path: Path,
) -> None:
    """Alice came after the master's offer. Her stop for all she holds is taken back, and her share sold: no exit of
    hers is held. At OKX, the master's venue, a stop holds nothing."""
    users = {"alice_smith": {"kraken": {"cash": 1_000, "enabled": False}}}
    copy = {"stand_ins": {"USDT": ["USD"]}, "master_fill_grace_s": 0}
    world_of = VenuesWorld(tmp_path, master="okx", users=users, limits=SOON, copy=copy)
    async with world_of as world, world.trading() as desk:
        await desk.buy("1000", "BTC/USDT")
        await desk.settled()
        placed = TradeRequest("offer", "BTC/USDT", Side.SELL, quantity=Quantity.of("0.01"), kind=OrderKind.LIMIT,
                              limit=Price.of(55_000))  # fmt: skip
        offer = await desk.place(placed)
        await desk.dealt_with(told(offer, SignalKind.PLACED))
        world.users["kraken"]["alice_smith"]["enabled"] = True
        world.write_users()
        desk.reload()
        await until(lambda: desk.connected("kraken", "alice_smith"), "she is connected")
        await desk.dealt_with(await desk.buy("1000", "BTC/USDT"))
        await until(lambda: desk.position(ALICE), "she has bought")
        held = desk.position(ALICE)
        stop = await desk.place(TradeRequest("stop", "BTC/USDT", Side.SELL, whole=True, kind=OrderKind.STOP,
                                             stop=Price.of(40_000)))  # fmt: skip
        (copy_of_it,) = await desk.dealt_with(told(stop, SignalKind.PLACED))
        assert (copy_of_it.state, copy_of_it.quantity.value) == (OrderState.ACCEPTED, held)
        (order,) = [o for o in world.orders("okx", "master") if o["limit_price"] == "55000"]
        world.sims["okx"].fill_part(order["order_id"], D("0.01"))
        await until(lambda: desk.ledger.find(offer.order_id).state is OrderState.FILLED, "the master's fill")
        (sale,) = await desk.dealt_with(told(offer, SignalKind.FILLED))
        await until(lambda: desk.position(ALICE) < held, "she has sold her share")
        assert not [alert for alert in world.alerts if "held" in alert]
        assert sale.account == ALICE


async def test_what_the_master_has_just_bought_counts_when_its_offer_fills(tmp_path: Path) -> None:
    """Its purchase is at the venue and bound to fill, and how far it has is not known yet. It is not out."""
    values: dict[str, Any] = {"limits": SOON, "settings": NO_GRACE, "simulator": {"fill_delay_ms": 60_000}}
    with World(tmp_path, followers={"alice_smith": 1_000}, **values) as world:
        async with world.trading() as desk:
            await desk.dealt_with(await desk.buy("1000"))
            world.clock.ahead_s += 61
            await desk.settled()
            offer = await resting(desk, 55_000, "0.02", Side.SELL)
            await desk.dealt_with(await desk.buy("500"))
            (order,) = open_at(world, "master")[:1]
            world.venue.fill_part(order["order_id"], D("0.02"))
            await until(lambda: desk.ledger.find(offer.order_id).state is OrderState.FILLED, "the master's fill")
            signal = desk.ledger.signal(told(offer, SignalKind.FILLED))
            assert signal is not None
            assert signal.exit_fraction == pytest.approx(D(2) / 3)
            world.clock.ahead_s += 61
            sales = lambda: [copy.state for copy in desk.copies(signal.signal_id)]  # noqa: E731
            await until(lambda: sales() == [OrderState.ACCEPTED], "her sale is at the venue")
            world.clock.ahead_s += 61
            await desk.settled()
            assert desk.position("master") == D("0.01")
            assert desk.position("alice_smith") == pytest.approx(D("0.001"), rel=D("0.01"))
