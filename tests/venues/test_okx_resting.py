"""Orders that rest at the simulated OKX: the contract of every venue, and what is OKX's own."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest
from okx_lab import OPTIONS, okx_lab
from resting_contract import Case, RestingContract

from copytrade.domain.order import OrderKind, Side


@pytest.fixture
async def lab():
    async with okx_lab() as made:
        yield made


@pytest.fixture
async def brisk_lab():
    async with okx_lab(replace(OPTIONS, stream_ping_s=0.5)) as made:
        yield made


class TestOkxResting(RestingContract):
    kinds = frozenset(OrderKind)
    place_method = None  # ordinary and waiting orders are placed by two calls: the fault takes what comes first
    listing_methods = (
        "GET /trade/orders-pending", "GET /trade/orders-history", "GET /trade/orders-algo-pending",
        "GET /trade/orders-algo-history",
    )  # fmt: skip
    symbol = "BTC/USDT"
    page = 100
    connections = 2
    # The profit is sold at the market once its price is reached; it does not rest in the book at its limit.
    cases: ClassVar = RestingContract.cases | {
        OrderKind.BRACKET: Case(Side.SELL, "52000", "48000", "52100", "52100")
    }
