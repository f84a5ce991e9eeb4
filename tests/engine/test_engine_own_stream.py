"""The end of the master's own resting order is heard from its stream, not only at the next look-up, minutes later."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from world import MASTER, Desk, World, until

from copytrade.domain.money import Amount, Price
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.signal import SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import TradeRequest
from copytrade.engine.own_stream import OwnStream

FOREVER_S = 100_000
NEVER_LOOKED_UP: Mapping[str, Any] = {"resting_delays_s": (FOREVER_S,), "fill_delays_s": (0.02, 0.05, FOREVER_S)}
BELOW = Decimal(39_000)
SETTINGS: Mapping[str, Any] = {"copy": {"master_fill_grace_s": 0}}


def a_world(tmp_path: Path) -> World:
    return World(tmp_path, limits=NEVER_LOOKED_UP, settings=SETTINGS)


async def bid(desk: Desk, request: str = "bid") -> OrderRecord:
    return await desk.place(
        TradeRequest(
            request, "BTC/USD", Side.BUY, usd=Amount.of(1_000), kind=OrderKind.LIMIT, limit=Price.of(40_000)
        )
    )  # fmt: skip


async def told_filled(world: World) -> None:
    await until(lambda: any(signal.kind is SignalKind.FILLED for signal, _ in world.plans), "the fill is told")


async def test_the_masters_fill_is_heard_where_no_look_up_comes(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        async with world.trading() as desk:
            record = await bid(desk)
            await until(lambda: desk.engine.own_stream.up, "the stream")
            world.venue.set_price("BTC/USD", BELOW)
            await told_filled(world)
            found = desk.ledger.find(record.order_id)
            assert found is not None
            assert (found.state, found.filled) == (OrderState.FILLED, record.quantity)


async def test_what_happened_before_the_stream_was_up_is_looked_up_then(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        fault = world.venue.add_fault("stream_refuse")
        async with world.trading() as desk:
            await bid(desk)
            await until(lambda: world.venue.requests()["faults_struck"].get("stream_refuse"), "a refused stream")
            world.venue.set_price("BTC/USD", BELOW)
            world.venue.clear_faults(fault)
            await told_filled(world)


async def test_a_stream_that_breaks_is_opened_again(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        async with world.trading() as desk:
            await bid(desk)
            await until(lambda: desk.engine.own_stream.up, "the stream")
            world.venue.add_fault("stream_drop", count=1)
            world.venue.set_price("BTC/USD", BELOW)  # told into a connection that breaks
            await told_filled(world)


async def test_without_a_resting_order_no_stream_is_opened(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        async with world.trading() as desk:
            await desk.buy(1_000)
            await desk.settled()
            assert not desk.engine.own_stream.up
            assert not world.venue.listeners().get("master")
            await bid(desk)
            await until(lambda: world.venue.listeners().get("master"), "the stream")


async def test_deaf_to_the_stream_the_fill_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A control: were what the stream says not looked into, the followers would wait for the next look-up."""
    monkeypatch.setattr(OwnStream, "_look_soon", lambda *_: None)
    with a_world(tmp_path) as world:
        async with world.trading() as desk:
            record = await bid(desk)
            await until(lambda: desk.engine.own_stream.up, "the stream")
            world.venue.set_price("BTC/USD", BELOW)
            await until(lambda: world.orders("master")[0]["status"] == "closed", "the fill at the venue")
            other = await desk.buy(1_000)  # a whole other trade goes by
            await until(lambda: all(copy.state.final for copy in desk.copies(other)), "the end of the other trade")
            assert not [signal for signal, _ in world.plans if signal.kind is SignalKind.FILLED]
            assert desk.ledger.state.orders[record.order_id].account == MASTER
