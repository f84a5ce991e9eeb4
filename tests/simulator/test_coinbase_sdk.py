"""Coinbase's own Python SDK against the simulated Coinbase over HTTP, for both kinds of keys."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
import requests
from coinbase.rest import RESTClient

from copytrade.simulator.coinbase import CoinbaseSimulator
from copytrade.simulator.command import make_venue
from copytrade.simulator.server import ServerThread


class ToLoopback(requests.adapters.HTTPAdapter):
    """Sends plain HTTP to the simulator what the SDK means for Coinbase; what is signed names Coinbase."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.to = url

    def send(self, request, **settings):
        request.url = request.url.replace("https://api.coinbase.com", self.to, 1)
        return super().send(request, **settings)


@pytest.fixture(params=["ed25519", "ecdsa"])
def sdk(request) -> Iterator[RESTClient]:
    simulator = CoinbaseSimulator(volatility=0.0, spread=Decimal(0), rate_limits=False)
    simulator.set_price("BTC/USD", Decimal(50_000))
    credentials = simulator.add_account("alice_smith", {"USD": Decimal(10_000)}, kind=request.param)
    with ServerThread([simulator]) as server:
        client = RESTClient(credentials.key, credentials.secret, timeout=10, rate_limit_headers=True)
        client.session.trust_env = False
        client.session.mount("https://api.coinbase.com", ToLoopback(server.url("coinbase")))
        yield client
        client.session.close()
    simulator.close()


def test_an_order_from_key_check_to_fills(sdk):
    assert sdk.get_api_key_permissions().can_trade is True
    assert sdk.get_best_bid_ask(["BTC-USD"]).to_dict()["pricebooks"][0]["asks"][0]["price"] == "50000"
    made = sdk.market_order_buy("one", "BTC-USD", base_size="0.001")
    again = sdk.market_order_buy("one", "BTC-USD", base_size="0.001")
    order_id = made.success_response["order_id"]
    assert again.success_response["order_id"] == order_id
    order = sdk.get_order(order_id).order
    assert (order.status, order.filled_size, order.total_fees) == ("FILLED", "0.001", "0.3")
    assert [each.order_id for each in sdk.list_orders(product_ids=["BTC-USD"]).orders] == [order_id]
    assert isinstance(sdk.get_fills(order_ids=[order_id]).fills, list)
    wallets = {each.currency: each.available_balance["value"] for each in sdk.get_accounts().accounts}
    assert wallets == {"BTC": "0.001", "USD": "9949.7"}


def test_limit_orders_are_edited_and_cancelled(sdk):
    order_id = sdk.limit_order_gtc_buy("one", "BTC-USD", "0.001", "40000").success_response["order_id"]
    assert sdk.edit_order(order_id, size="0.002", price="41000").success is True
    assert sdk.cancel_orders([order_id]).results[0].success is True
    assert sdk.get_order(order_id).order.status == "CANCELLED"
    refused = sdk.limit_order_ioc_buy("two", "BTC-USD", "5000", "50000")
    assert (refused.success, refused.error_response["error"]) == (False, "INSUFFICIENT_FUND")


def test_public_calls_and_errors(sdk):
    assert int(sdk.get_unix_time().epoch_millis) > 1_600_000_000_000
    assert len(sdk.get_public_products(product_type="SPOT").products) == len(sdk.get_products().products) > 10
    assert sdk.get_public_market_trades("BTC-USD", 1).best_bid == "50000"
    with pytest.raises(requests.HTTPError, match="404"):
        sdk.get_order("11111111-0000-0000-0000-000000000001")
    with pytest.raises(requests.HTTPError, match="Missing Required Scopes"):
        sdk.get("/v2/payment-methods")


def test_venue_is_there_by_name():
    made = make_venue("coinbase", 7, None, 0.0, 0, True)
    try:
        assert (made.name, made.currency) == ("coinbase", "USD")
    finally:
        made.close()
