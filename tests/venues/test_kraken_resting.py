"""Orders that rest at Kraken, the list of orders and the stream, against the simulated venue."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kraken_lab import OPTIONS, kraken_lab
from resting_contract import RestingContract

from copytrade.domain.order import OrderKind

BRISK = replace(OPTIONS, stream_silence_s=1.0)


@pytest.fixture
async def lab(tmp_path):
    async with kraken_lab(tmp_path, rate_limits=False, heartbeat_s=0.3) as lab:
        yield lab


@pytest.fixture
async def brisk_lab(tmp_path):
    async with kraken_lab(tmp_path, BRISK, heartbeat_s=0.3) as lab:
        yield lab


class TestKrakenResting(RestingContract):
    kinds = frozenset(OrderKind) - {OrderKind.BRACKET}
    place_method = "AddOrder"
    listing_methods = ("OpenOrders", "ClosedOrders")
    stream_notices_gaps = True
