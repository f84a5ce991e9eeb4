"""The Alpaca adapter against the simulated Alpaca: the contract of every venue, and what is Alpaca's own."""

from __future__ import annotations

import pytest
from account_contract import AccountContract
from alpaca_lab import alpaca_lab


@pytest.fixture
async def lab():
    async with alpaca_lab() as made:
        yield made


class TestAlpacaAccount(AccountContract):
    place_method = "POST /v2/orders"
    lookup_methods = (
        "GET /v2/orders:by_client_order_id",
        "GET /v2/orders",
        "GET /v2/account/activities/FILL",
    )
    buys_pay_in_base = True
