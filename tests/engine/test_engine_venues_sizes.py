"""Sizes across venues: each venue's own smallest order, and each venue's own price."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from venues_world import VenuesWorld

from copytrade.domain.order import OrderState
from copytrade.domain.reasons import Reason

D = Decimal
ALICE = "alpaca:alice_smith"


async def test_alpacas_smallest_purchase_stops_a_small_entry_before_it_is_sent_and_no_small_exit(
    tmp_path: Path,
) -> None:
    async with VenuesWorld(tmp_path, users={"alice_smith": {"alpaca": 100}}) as world, world.trading() as desk:
        small = await desk.buy("990")  # 9.90 of her 100, under Alpaca's 10
        await desk.settled()
        assert (desk.copy(small, ALICE).state, desk.copy(small, ALICE).reason) == (
            OrderState.SKIPPED, Reason.BELOW_MINIMUM,
        )  # fmt: skip
        assert "smallest cost 10" in desk.copy(small, ALICE).detail
        assert world.orders("alpaca", "alice_smith") == []
        large = await desk.buy("1000")
        await desk.settled()
        assert desk.copy(large, ALICE).state is OrderState.FILLED
        half = str((desk.position("kraken:master") / 2).quantize(D("0.00000001")))
        out = await desk.sell(half)  # about 5 USD of hers
        await desk.settled()
        assert desk.copy(out, ALICE).state is OrderState.FILLED
        assert D(world.orders("alpaca", "alice_smith")[-1]["cost"]) < 10


@pytest.mark.parametrize(("risk", "state"), [(0.2, OrderState.FILLED), (0.05, OrderState.SKIPPED)])
async def test_a_small_entry_is_rounded_up_to_alpacas_smallest_purchase_within_the_cap(
    tmp_path: Path, risk: float, state: OrderState
) -> None:
    copy = {"stand_ins": {"USD": ["USDT"]}, "below_minimum": "round_up"}
    users = {"alice_smith": {"alpaca": {"cash": 100, "max_user_risk": risk}}}
    async with VenuesWorld(tmp_path, users=users, copy=copy) as world, world.trading() as desk:
        entry = await desk.buy("300")
        await desk.settled()
        assert desk.copy(entry, ALICE).state is state
        assert [D(order["cost"]) for order in world.orders("alpaca", "alice_smith")] == (
            [D(10)] if state is OrderState.FILLED else []
        )


@pytest.mark.parametrize("stale", [False, True])
async def test_a_capped_entry_costs_no_more_than_its_cap_at_a_venue_that_is_dearer(tmp_path: Path, stale: bool) -> None:
    """Planned at once, or sized in its lane because its equity had to be read again first."""
    async with VenuesWorld(tmp_path, users={"bob_jones": {"okx": 1_000}}) as world, world.trading() as desk:
        if stale:
            world.clock.ahead_s += 601
        world.price("okx", "50200")  # 0.4 % above the master's venue
        services = desk.engine.services
        instrument = services.instrument("okx", "BTC/USDT")
        assert instrument is not None
        await services.prices.quote(instrument, 0.0)
        entry = await desk.buy("1500")
        await desk.settled()
        copy = desk.copy(entry, "okx:bob_jones")
        assert (copy.state, copy.reason) == (OrderState.FILLED, Reason.CAPPED_BY_RISK)
        assert D("99.9") < copy.cost.value <= D(100)
