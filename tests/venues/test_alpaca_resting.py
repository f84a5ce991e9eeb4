"""Orders that rest at the simulated Alpaca: the contract of every venue, and what is Alpaca's own."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from alpaca_lab import OPTIONS, alpaca_lab
from resting_contract import RestingContract

from copytrade.domain.order import OrderKind

POST, LIST = "POST /v2/orders", "GET /v2/orders"


@pytest.fixture
async def lab():
    async with alpaca_lab() as made:
        yield made


@pytest.fixture
async def brisk_lab():
    async with alpaca_lab(replace(OPTIONS, stream_heartbeat_s=0.5)) as made:
        yield made


class TestAlpacaResting(RestingContract):
    kinds = frozenset({OrderKind.MARKET, OrderKind.IOC_LIMIT, OrderKind.LIMIT, OrderKind.STOP_LIMIT})
    place_method = POST
    listing_methods = (LIST,)
    page = 500

    async def test_list_has_no_holes_between_its_pages(self, lab):
        lab.sim.deposit("alice_smith", "USD", Decimal(100_000))
        await super().test_list_has_no_holes_between_its_pages(lab)
