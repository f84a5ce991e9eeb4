"""Limits that cap, the settings of limits, and modes of single instruments, in the running system."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from world import Desk, World, follower, until

from copytrade.domain.ids import signal_id
from copytrade.domain.limits import LimitName
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind
from copytrade.engine.desk import TradeRequest

D = Decimal
ALICE = follower("alice_smith")
QUIET: dict[str, Any] = {"limits_watch_every_s": 3600.0}  # each test looks for itself, when it wants to


def one(limit: dict[str, Any]) -> dict[str, Any]:
    """Alice with a limit, Bob without."""
    free: dict[str, Any] = {"cash": 1_000, "max_user_risk": 1}
    return {"alice_smith": {**free, **limit}, "bob_jones": free}


def tripped(desk: Desk) -> set[LimitName]:
    return set(desk.ledger.state.standing.trips.get(ALICE, ()))


async def test_many_signals_at_once_do_not_get_past_max_positions(tmp_path: Path) -> None:
    symbols = ("BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD")
    with World(tmp_path, followers=one({"max_positions": 2}), limits=QUIET) as world:
        for symbol in symbols:
            world.price(symbol, 100)
        async with world.trading() as desk:
            signals = await asyncio.gather(*(desk.buy("500", symbol) for symbol in symbols))
            for signal in signals:
                await desk.dealt_with(signal)
            reasons = [desk.copy(signal, "alice_smith").reason for signal in signals]
            assert reasons.count(Reason.AT_POSITION_LIMIT) == 2, reasons
            await desk.settled()
            held = [symbol for symbol in symbols if desk.position("alice_smith", symbol)]
            assert len(held) == 2
        async with world.trading() as desk:
            other = next(symbol for symbol in symbols if symbol not in held)
            again = [await desk.buy("100", held[0]), await desk.buy("100", other)]
            await desk.settled()
            assert [desk.copy(s, "alice_smith").state for s in again] == [OrderState.FILLED, OrderState.SKIPPED]
            world.clock.ahead_s += 700  # sized late
            late = await desk.buy("100", other)
            await desk.settled()
            assert desk.copy(late, "alice_smith").reason is Reason.AT_POSITION_LIMIT
            await desk.sell(symbol=held[0])
            await desk.settled()
            freed = await desk.buy("100", other)
            await desk.settled()
            assert desk.copy(freed, "alice_smith").state is OrderState.FILLED


@pytest.mark.parametrize("form", ["same", "ioc_limit"])
async def test_max_exposure_holds_over_many_signals_and_a_restart(tmp_path: Path, form: str) -> None:
    settings = {"copy": {"entry_order": form, "below_minimum": "round_up"}}
    with World(tmp_path, followers=one({"max_exposure": 300}), limits=QUIET, settings=settings) as world:
        world.price("ETH/USD", 1_000)
        async with world.trading() as desk:
            for signal in await asyncio.gather(*(desk.buy("1000") for _ in range(5))):
                await desk.dealt_with(signal)
            await desk.settled()
            assert D(290) < desk.position("alice_smith") * 50_000 <= 300
        async with world.trading() as desk:
            signal = await desk.buy("1000", "ETH/USD")  # no price of bitcoin has been seen by this run
            await desk.settled()
            assert desk.position("alice_smith", "ETH/USD") * 1_000 <= 10, desk.copy(signal, "alice_smith").detail


async def test_max_order_holds_for_an_order_amended_upwards_and_one_lowered_on_the_way(tmp_path: Path) -> None:
    with World(tmp_path, followers=one({"max_order": 50}), limits=QUIET) as world:
        async with world.trading() as desk:
            placed = await desk.place(TradeRequest("rests", "BTC/USD", Side.BUY, quantity=Quantity.of("0.001"),
                                                   kind=OrderKind.LIMIT, limit=Price.of(45_000)))  # fmt: skip
            await desk.dealt_with(signal_id(placed.order_id, SignalKind.PLACED))
            changed = await desk.engine.changes.amend(placed.order_id, quantity=Quantity.of("0.1"))
            await desk.dealt_with(signal_id(changed.order_id, SignalKind.AMENDED))
            open_now = [order for order in world.orders("alice_smith") if order["status"] == "open"]
            assert [D(order["volume"]) * 45_000 <= 50 for order in open_now] == [True]
            await desk.engine.changes.cancel(changed.order_id)
            await desk.settled()

            def lowered() -> None:
                world.users["alice_smith"]["max_order"] = 20
                world.write_users()
                desk.reload()

            world.on_plan = lowered
            signal = await desk.buy("1000")
            await desk.settled()
            assert desk.copy(signal, "alice_smith").reason is Reason.OVER_MAX_ORDER
            assert desk.copy(signal, "bob_jones").state is OrderState.FILLED


# -- what the settings say ---------------------------------------------------------------------------------------------


async def test_a_limit_of_the_settings_holds_for_everybody_and_a_new_one_takes_effect_at_once(tmp_path: Path) -> None:
    settings = {"limits": {"min_equity": 5}}
    with World(tmp_path, followers=one({}), limits=QUIET, settings=settings) as world:
        async with world.trading() as desk:
            assert [u.limit for u in desk.engine.limits.usage(ALICE)] == [LimitName.MIN_EQUITY]
            world.users["alice_smith"]["min_equity"] = {"limit": 2_000, "rearm": "by_hand"}
            world.write_users()
            desk.reload()
            await desk.engine.limits.look()
            await until(lambda: tripped(desk), "the new limit")
            (row,) = desk.engine.limits.usage(ALICE)
            assert (row.allowed, row.used, row.rearm) == ("2000", "1000", "by_hand")
            assert row.trip is not None
            del world.users["alice_smith"]["min_equity"]
            world.write_users()
            desk.reload()
            world.write_settings(limits={})
            desk.reload()
            await desk.engine.limits.look()
            assert not tripped(desk)


async def test_modes_of_single_instruments(tmp_path: Path) -> None:
    modes = {"instruments": {"modes": {"BTC/USD": "close_only", "ETH/USD": "disarmed"}}}
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=QUIET) as world:
        for symbol in ("ETH/USD", "SOL/USD"):
            world.price(symbol, 100)
        async with world.trading() as desk:
            for symbol in ("BTC/USD", "ETH/USD"):
                await desk.buy("500", symbol)
            await desk.settled()
            world.users["alice_smith"] |= modes
            world.write_users()
            desk.reload()
            for symbol, mode in (("BTC/USD", "close_only"), ("ETH/USD", "disarmed")):
                signal = await desk.buy("100", symbol)
                await desk.dealt_with(signal)
                copy = desk.copy(signal, "alice_smith")
                assert (copy.reason, copy.detail) == (Reason.INSTRUMENT_MODE, f"{symbol} is {mode}")
            signal = await desk.buy("500", "SOL/USD")
            await desk.settled()
            assert desk.copy(signal, "alice_smith").state is OrderState.FILLED
            out = {symbol: await desk.sell(symbol=symbol) for symbol in ("BTC/USD", "ETH/USD")}
            await desk.settled()
            assert desk.copy(out["BTC/USD"], "alice_smith").state is OrderState.FILLED
            held = desk.copy(out["ETH/USD"], "alice_smith")
            assert (held.state, held.reason) == (OrderState.HELD, Reason.INSTRUMENT_MODE)


async def test_a_mode_set_between_the_plan_and_the_wire_counts(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=QUIET) as world:
        async with world.trading() as desk:

            def close_only() -> None:
                world.users["alice_smith"]["instruments"] = {"modes": {"BTC/USD": "paused"}}
                world.write_users()
                desk.reload()

            world.on_plan = close_only
            signal = await desk.buy("1000")
            await desk.settled()
            copy = desk.copy(signal, "alice_smith")
            assert (copy.state, copy.reason, copy.detail) == (
                OrderState.STOPPED, Reason.INSTRUMENT_MODE, "BTC/USD is paused"
            )  # fmt: skip
