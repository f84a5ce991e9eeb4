"""The simulated Alpaca over real HTTP: the official SDK, every fault, the program that serves it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.historical.crypto import CryptoHistoricalDataClient
from alpaca.data.requests import CryptoBarsRequest, CryptoLatestQuoteRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, OrderSide, OrderStatus, TimeInForce
from alpaca.trading.requests import (
    GetAssetsRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
)
from simulator_client import http_call

from copytrade.simulator.alpaca import AlpacaSimulator
from copytrade.simulator.command import add_accounts, make_venue
from copytrade.simulator.server import ServerThread
from copytrade.simulator.venue import Credentials

ORDER = {"symbol": "BTC/USD", "qty": "0.001", "side": "buy", "type": "market", "time_in_force": "gtc"}


@pytest.fixture
def venue() -> AlpacaSimulator:
    return AlpacaSimulator(seed=3, volatility=0.0, spread=Decimal(0), rate_limits=False, stocks_always_open=True)


@pytest.fixture
def keys(venue: AlpacaSimulator) -> Credentials:
    return venue.add_account("alice_smith", {"USD": Decimal(10_000)})


@pytest.fixture
def url(venue: AlpacaSimulator) -> Iterator[str]:
    with ServerThread([venue]) as server:
        yield server.url("alpaca")


@pytest.fixture
def sdk(url: str, keys: Credentials) -> Iterator[TradingClient]:
    client = TradingClient(keys.key, keys.secret, url_override=url)
    client._session.trust_env = False
    client._retry = 0
    yield client
    client._session.close()


def market(**values: object) -> MarketOrderRequest:
    return MarketOrderRequest(
        **{"symbol": "BTC/USD", "qty": 0.001, "side": OrderSide.BUY, "time_in_force": TimeInForce.GTC, **values}
    )


def test_official_sdk_trades(sdk: TradingClient) -> None:
    placed = sdk.submit_order(market(client_order_id="mine"))
    assert (placed.status, placed.filled_qty) == (OrderStatus.PENDING_NEW, "0")
    assert sdk.get_order_by_id(placed.id).status is OrderStatus.FILLED
    assert sdk.get_order_by_client_id("mine").id == placed.id
    assert [position.qty for position in sdk.get_all_positions()] == ["0.0009975"]
    assert sdk.get_open_position("BTCUSD").qty_available == "0.0009975"
    assert sdk.get_account().crypto_status is not None
    resting = sdk.submit_order(
        LimitOrderRequest(
            symbol="BTC/USD", qty=0.001, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=50_000
        )
    )
    replaced = sdk.replace_order_by_id(resting.id, ReplaceOrderRequest(limit_price=51_000))
    assert replaced.replaces == resting.id
    assert [answer.status for answer in sdk.cancel_orders()] == [200]
    assert len(sdk.get_orders(GetOrdersRequest(status="all"))) == 3
    share = sdk.submit_order(market(symbol="AAPL", qty=None, notional=100, time_in_force=TimeInForce.DAY))
    assert sdk.get_order_by_id(share.id).status is OrderStatus.FILLED
    assert len(sdk.get("/account/activities/FILL")) == 2
    with pytest.raises(APIError, match="must be unique"):
        sdk.submit_order(market(client_order_id="mine"))


def test_official_sdk_reads_markets(sdk: TradingClient, url: str) -> None:
    assert len(sdk.get_all_assets(GetAssetsRequest(asset_class=AssetClass.CRYPTO))) == 17
    assert sdk.get_asset("BTC%2FUSD").symbol == sdk.get_asset("BTCUSD").symbol == "BTC/USD"
    assert sdk.get_clock().is_open
    assert sdk.get_calendar()
    data = CryptoHistoricalDataClient(url_override=url)
    data._session.trust_env = False
    quotes = data.get_crypto_latest_quote(CryptoLatestQuoteRequest(symbol_or_symbols="BTC/USD"))
    assert quotes["BTC/USD"].ask_price == 60_000
    start = datetime.now(UTC) - timedelta(minutes=30)
    asked = CryptoBarsRequest(symbol_or_symbols=["BTC/USD", "ETH/USD"], timeframe=TimeFrame.Minute, start=start)
    assert len(data.get_crypto_bars(asked)["ETH/USD"]) >= 29
    data._session.close()


def placed(url: str, keys: Credentials, client_id: str, timeout_s: float = 10.0) -> tuple[int, bytes]:
    headers = {
        "APCA-API-KEY-ID": keys.key, "Apca-Api-Secret-Key": keys.secret, "Content-Type": "application/json",
    }  # fmt: skip
    body = json.dumps({**ORDER, "client_order_id": client_id})
    return http_call(url, "/v2/orders", body, headers, timeout_s=timeout_s)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ({"kind": "status", "status": 504}, 504, b"cloudflare"), ({"kind": "status", "status": 429}, 429, b"<html>"),
        ({"kind": "error", "error": "503 50310000 busy"}, 503, b'{"code":50310000,"message":"busy"}'),
        ({"kind": "error", "error": "40310000 no"}, 403, b'{"code":40310000,"message":"no"}'),
        ({"kind": "error", "error": "401 unauthorized."}, 401, b'{"message":"unauthorized."}'),
        ({"kind": "error", "error": "40010001 odd"}, 422, b'{"code":40010001,"message":"odd"}'),
        ({"kind": "error", "error": "some trouble"}, 500, b'{"code":50010000,"message":"some trouble"}'),
        ({"kind": "empty"}, 200, b""), ({"kind": "no_content"}, 204, b""), ({"kind": "redirect"}, 302, b""),
    ],
)  # fmt: skip
def test_faults_answer_wrongly_before_or_after_the_work(url, venue, keys, when, fault, status, body):
    venue.add_fault(**fault, when=when, method="POST /v2/orders", count=1)
    answer = placed(url, keys, "one")
    assert answer[0] == status
    assert body in answer[1]
    assert len(venue.orders()) == (when == "after")
    assert placed(url, keys, "two")[0] == 200


@pytest.mark.parametrize("kind", ["drop", "cut", "hang"])
def test_faults_that_break_the_connection(url, venue, keys, kind):
    venue.add_fault(kind, when="after", method="POST /v2/orders", count=1)
    with pytest.raises((http.client.HTTPException, OSError)):
        placed(url, keys, "one", timeout_s=0.3)
    assert [order["client_id"] for order in venue.orders()] == ["one"]


def test_funds_that_are_refused_on_demand(url, venue, keys):
    venue.add_fault("reject_funds", count=1)
    status, body = placed(url, keys, "one")
    assert (status, json.loads(body)["code"]) == (403, 40310000)
    assert b"insufficient balance" in body


def test_faults_strike_by_the_paths_own_name(url, venue, keys, sdk):
    order_id = json.loads(placed(url, keys, "one")[1])["id"]
    for method in ("GET /v2/orders/{id}", "GET /v2/account/activities/FILL", "GET /v2/positions/{symbol}"):
        venue.add_fault("error", when="before", method=method, error="500 50010000 struck")
    for path in (f"/orders/{order_id}", "/account/activities/FILL", "/positions/BTCUSD"):
        with pytest.raises(APIError, match="struck"):
            sdk.get(path)
    assert sdk.get("/account/activities/CFEE") == []
    assert sdk.get("/orders") == []


def test_program_serves_it_with_its_own_keys_and_money():
    venue = make_venue("alpaca", 7, None, 0.0, 0, True)
    shown = add_accounts(venue, 3, "intermediate")
    assert set(shown) == {"master", "follower_1", "follower_2"}
    assert venue.accounts()[0]["balances"] == {"USD": "10000"}
    assert "secret" not in json.dumps(venue.accounts())
    again = make_venue("alpaca", 7, None, 0.0, 0, True)
    assert add_accounts(again, 3, "intermediate") == shown
