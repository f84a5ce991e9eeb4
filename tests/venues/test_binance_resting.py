"""Orders that rest at Binance: the contract of every venue, and what is Binance's own."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from binance_lab import OPTIONS, binance_lab
from resting_contract import RestingContract

from copytrade.domain.order import OrderKind

BRISK = replace(OPTIONS, stream_ping_s=0.4, stream_connects_per_s=100.0)


@pytest.fixture
async def lab():
    async with binance_lab(replace(OPTIONS, request_timeout_s=2.0, stream_connects_per_s=100.0)) as made:
        yield made


@pytest.fixture
async def brisk_lab():
    async with binance_lab(BRISK) as made:
        yield made


class TestBinanceResting(RestingContract):
    kinds = frozenset(OrderKind)
    place_method = None  # whichever call comes first: a bracket is placed by another one
    listing_methods = ("GET /api/v3/openOrders", "GET /api/v3/account", "GET /api/v3/allOrders")
    symbol = "BTC/USDT"
    page = 1_000

    async def test_list_has_no_holes_between_its_pages(self, lab):
        lab.sim.deposit("alice_smith", "USDT", Decimal(1_000_000))  # Binance's pages are long
        await super().test_list_has_no_holes_between_its_pages(lab)
