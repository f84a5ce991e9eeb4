"""A resting exit of an account that holds two markets which stand for the master's: every change reaches both."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from venues_world import VenuesDesk, VenuesWorld

from copytrade.domain.ids import signal_id
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.signal import SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine import chains
from copytrade.engine.desk import TradeRequest

D = Decimal
ALICE = "okx:alice_smith"
MARKETS = ("BTC/USDC", "BTC/USDT")
COPY = {"stand_ins": {"USD": ["USDT", "USDC"]}, "master_fill_grace_s": 0}
SOON: dict[str, Any] = {"resting_delays_s": (0.02, 0.05, 0.1)}


async def held_in_both(tmp_path: Path) -> VenuesWorld:
    """Alice's account is measured in USDT first and then in USDC, and copies BTC/USD in both."""
    world = VenuesWorld(tmp_path, users={"alice_smith": {"okx": 1_000}}, copy=COPY, limits=SOON)
    await world.__aenter__()
    async with world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
    world.sims["okx"].deposit("alice_smith", "USDC", D(1_000))
    world.price("okx", 50_000, "BTC/USDC")
    world.venue_settings["okx"] = {"currency": "USDC"}
    world.write_settings()
    async with world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
    return world


async def offer(desk: VenuesDesk, share: str, limit: int) -> OrderRecord:
    """The master offers a share of what it holds; once every copy is at its venue."""
    quantity = (desk.position("kraken:master") * D(share)).quantize(D("1e-8"))
    record = await desk.place(
        TradeRequest(f"offer {limit}", "BTC/USD", Side.SELL, quantity=Quantity(quantity), kind=OrderKind.LIMIT,
                     limit=Price.of(limit))
    )  # fmt: skip
    copies = await desk.dealt_with(signal_id(record.order_id, SignalKind.PLACED))
    assert sorted((c.symbol, c.state) for c in copies) == [(m, OrderState.ACCEPTED) for m in MARKETS]
    return record


def offered(desk: VenuesDesk) -> list[tuple[str, Price | None, Decimal]]:
    """What alice's account offers, market by market."""
    return sorted(
        (r.symbol, r.limit_price, r.quantity.value) for r in desk.ledger.state.orders.values() if r.account == ALICE
    )


async def amended(desk: VenuesDesk, share: str) -> tuple[list[tuple[str, Price | None, Decimal]], dict[str, Decimal]]:
    """An offer that is moved from 55,000 to 56,000: what alice offers then, and what she holds."""
    placed = await offer(desk, share, 55_000)
    changed = await desk.engine.changes.amend(placed.order_id, limit=Price.of(56_000))
    await desk.dealt_with(signal_id(changed.order_id, SignalKind.AMENDED))
    return offered(desk), {market: desk.position(ALICE, market) for market in MARKETS}


async def test_an_amended_exit_moves_in_both(tmp_path: Path) -> None:
    world = await held_in_both(tmp_path)
    try:
        async with world.trading() as desk:
            moved, held = await amended(desk, "0.5")
            assert [(market, limit) for market, limit, _ in moved] == [(m, Price.of(56_000)) for m in MARKETS]
            for market, _, quantity in moved:
                assert abs(quantity - held[market] / 2) < D("0.00000002")
    finally:
        await world.__aexit__(None, None, None)


async def test_a_whole_exit_that_is_amended_and_filled_leaves_nothing_in_either(tmp_path: Path) -> None:
    world = await held_in_both(tmp_path)
    try:
        async with world.trading() as desk:
            moved, held = await amended(desk, "1")
            assert [market for market, _, _ in moved] == list(MARKETS)
            world.price("kraken", 56_100)
            await desk.settled()
            assert all(desk.position(ALICE, market) < D("0.00000002") < held[market] for market in MARKETS)
    finally:
        await world.__aexit__(None, None, None)


async def test_a_cancelled_exit_is_taken_back_in_both(tmp_path: Path) -> None:
    world = await held_in_both(tmp_path)
    try:
        async with world.trading() as desk:
            placed = await offer(desk, "0.5", 55_000)
            await desk.engine.changes.cancel(placed.order_id)
            await desk.settled()
            assert offered(desk) == []
            assert all(order["status"] != "open" for order in world.orders("okx", "alice_smith"))
    finally:
        await world.__aexit__(None, None, None)


async def test_control_one_chain_for_all_markets_of_the_account_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "_market", lambda record: "")
    world = await held_in_both(tmp_path)
    try:
        async with world.trading() as desk:
            moved, _ = await amended(desk, "0.5")
            assert [market for market, _, _ in moved] != list(MARKETS)
    finally:
        await world.__aexit__(None, None, None)
