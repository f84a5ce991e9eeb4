"""The simulated Binance over HTTP: by its official SDK, by the command line's description, over a restart."""

from __future__ import annotations

from decimal import Decimal

import pytest
from binance.client import Client
from binance.exceptions import BinanceAPIException
from binance_client import BinanceClient
from simulator_client import FakeClock, http_call

from copytrade.simulator.binance import BinanceSimulator
from copytrade.simulator.command import add_accounts, make_venue
from copytrade.simulator.server import ServerThread


@pytest.fixture
def venue() -> BinanceSimulator:
    made = BinanceSimulator(volatility=0.0, spread=Decimal(0))
    made.set_price("BTC/USDT", Decimal(50_000))
    return made


@pytest.fixture
def sdk(venue: BinanceSimulator):
    """python-binance as its users have it, pointed at the simulator; its constructor pings."""
    keys = venue.add_account("alice_smith", {"USDT": Decimal(10_000), "BTC": Decimal(1)})
    with ServerThread([venue]) as server:

        class Loopback(Client):
            API_URL = server.url("binance") + "/api"
            MARGIN_API_URL = server.url("binance") + "/sapi"

        made = Loopback(keys.key, keys.secret)
        made.session.trust_env = False
        yield made
        made.session.close()
        made.loop.close()


def test_official_sdk_trades(sdk):
    assert sdk.get_server_time()["serverTime"]
    bought = sdk.create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.001")
    assert bought["status"] == "FILLED"
    resting = sdk.order_limit_buy(symbol="BTCUSDT", quantity="0.001", price="49000")
    assert sdk.get_order(symbol="BTCUSDT", orderId=resting["orderId"])["status"] == "NEW"
    assert len(sdk.get_open_orders(symbol="BTCUSDT")) == 1
    assert sdk.cancel_order(symbol="BTCUSDT", orderId=resting["orderId"])["status"] == "CANCELED"
    assert len(sdk.get_all_orders(symbol="BTCUSDT")) == 2
    assert len(sdk.get_my_trades(symbol="BTCUSDT")) == 1
    assert sdk.create_test_order(symbol="BTCUSDT", side="BUY", type="MARKET", quoteOrderQty="50") == {}
    assert sdk.get_symbol_info("BTCUSDT")["baseAsset"] == "BTC"
    assert Decimal(sdk.get_asset_balance("BTC")["free"]) == Decimal("1.000999")
    assert sdk.get_account_api_permissions()["enableWithdrawals"] is False
    assert len(sdk.get_klines(symbol="BTCUSDT", interval="5m", limit=3)) == 3


def test_official_sdk_is_told_its_errors(sdk):
    with pytest.raises(BinanceAPIException) as error:
        sdk.create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="5")
    assert (error.value.code, error.value.status_code) == (-2010, 400)
    with pytest.raises(BinanceAPIException) as error:
        sdk.withdraw(coin="BTC", address="x", amount="1")
    assert error.value.code == -1002


def test_fault_after_the_order_was_taken_leaves_it_there(venue, sdk):
    venue.add_fault("error", when="after", method="POST /api/v3/order", error="-1007 Timeout waiting.", count=1)
    with pytest.raises(BinanceAPIException) as error:
        sdk.create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.001", newClientOrderId="mine")
    assert error.value.code == -1007
    assert sdk.get_order(symbol="BTCUSDT", origClientOrderId="mine")["status"] == "FILLED"


def test_admin_calls_are_there(venue):
    with ServerThread([venue]) as server:
        status, body = http_call(server.url("binance"), "/sim", b"", {}, verb="GET")
        assert (status, b'"binance"' in body) == (200, True)


def test_accounts_of_the_program_hold_the_venues_currency(tmp_path):
    made = make_venue("binance", 7, tmp_path, 0.0, 0, True)
    try:
        keys = add_accounts(made, 2, "intermediate")
        assert set(keys) == {"master", "follower_1"}
        assert {account["name"]: account["balances"] for account in made.accounts()} == {
            "master": {"USDT": "10000"}, "follower_1": {"USDT": "1000"},
        }  # fmt: skip
    finally:
        made.close()


def test_restart_carries_on(tmp_path):
    clock = FakeClock()
    settings = {"clock": clock, "volatility": 0.0, "spread": Decimal(0), "store": tmp_path / "binance.sqlite"}
    first = BinanceSimulator(**settings)
    keys = first.add_account("alice_smith", {"USDT": Decimal(10_000)})
    client = BinanceClient(first, keys)
    filled = client.market(newClientOrderId="mine")
    resting = client.limit("BUY", "50000")
    money = first.money()
    first.close()
    second = BinanceSimulator(**settings)
    try:
        client = BinanceClient(second, keys)  # the key works again without being given
        order = client.ok("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine")
        assert (order["orderId"], order["status"]) == (filled["orderId"], "FILLED")
        assert client.ok("GET", "/api/v3/openOrders")[0]["orderId"] == resting["orderId"]
        assert {part: {a: Decimal(v) for a, v in sums.items()} for part, sums in second.money().items()} == {
            part: {a: Decimal(v) for a, v in sums.items()} for part, sums in money.items()
        }
        assert client.market()["orderId"] > resting["orderId"]
    finally:
        second.close()


@pytest.mark.parametrize("setting", ["weight_per_minute", "orders_per_10_s", "orders_per_day"])
def test_setting_out_of_bounds_is_refused(setting):
    with pytest.raises(ValueError, match="numbers from 1"):
        BinanceSimulator(**{setting: 0})
