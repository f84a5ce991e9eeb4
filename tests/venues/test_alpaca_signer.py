"""Building requests: as the SDK would, once, in text, and nothing that moves money; and what it cures in the SDK."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import traceback
from dataclasses import replace
from decimal import Decimal

import pytest
import requests
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.models import Order
from alpaca.trading.requests import MarketOrderRequest
from alpaca_lab import (
    ALICE,
    KEY,
    OPTIONS,
    SECRET,
    accepted,
    alpaca_lab,
    at_raw_server,
    order_object,
    refused,
    ticket,
)
from kraken_lab import http, open_gate
from pydantic import ValidationError

from copytrade.domain.errors import CredentialsRejected
from copytrade.domain.venue import Accepted, RefusedByVenue, Unknown
from copytrade.simulator.alpaca import AlpacaSimulator
from copytrade.simulator.server import ServerThread
from copytrade.venues.alpaca.candles import AlpacaCandles
from copytrade.venues.alpaca.signer import ALLOWED_REQUESTS, AlpacaSigner
from copytrade.venues.alpaca.tickets import order_fields


@pytest.fixture
def sdk():
    """The SDK as it comes, at a simulated Alpaca; its pauses are cut so that the test need not sit through them."""
    sim = AlpacaSimulator(volatility=0.0, spread=Decimal(0))
    keys = sim.add_account("alice_smith", {"USD": Decimal(10_000)})
    with ServerThread([sim]) as server:
        client = TradingClient(keys.key, keys.secret, url_override=server.url("alpaca"))
        client._retry_wait = 0
        client._session.trust_env = False
        yield client, sim
        client._session.close()


ORDER = {"symbol": "BTC/USD", "qty": "0.001", "side": "buy", "type": "market", "time_in_force": "gtc"}


# -- what the SDK does by itself, and what becomes of it here ------------------------------------------------------


def test_sdk_alone_sends_an_order_twice_after_a_gateway_timeout(sdk):
    client, sim = sdk
    sim.add_fault("status", when="after", method="POST /v2/orders", status=504, count=1)
    client.post("/orders", dict(ORDER))
    assert len(sim.orders()) == 2


def test_sdk_alone_calls_an_order_refused_that_was_taken(sdk):
    client, sim = sdk
    sim.add_fault("status", when="after", method="POST /v2/orders", status=504, count=1)
    with pytest.raises(APIError, match="must be unique"):
        client.post("/orders", {**ORDER, "client_order_id": "oneoforders"})
    assert len(sim.orders()) == 1


@pytest.mark.parametrize("status", [429, 504])
async def test_here_it_is_sent_once_and_its_outcome_is_unknown(status):
    async with alpaca_lab() as lab:
        lab.fault("status", when="after", method="POST /v2/orders", status=status, count=1)
        assert isinstance(await lab.account.place(lab.order(), open_gate), Unknown)
        assert lab.sim.requests()["paths"]["/v2/orders"] == 1
        assert len(lab.orders()) == 1


def test_sdk_alone_turns_sizes_into_floats():
    asked = MarketOrderRequest(
        symbol="BTC/USD", qty=Decimal("0.123456789012345678"), side=OrderSide.BUY, time_in_force=TimeInForce.GTC
    )
    assert asked.to_request_fields()["qty"] == 0.12345678901234568
    asked.qty = 1e-08
    assert json.dumps(asked.to_request_fields()["qty"]) == "1e-08"


@pytest.mark.parametrize("quantity", ["0.00000001", "1000000", "0.123456789", "1E-9", "1E+3"])
def test_here_sizes_are_plain_text_to_the_last_digit(quantity):
    body = AlpacaSigner(KEY, SECRET).sign("POST", "/v2/orders", body=order_fields(ticket(quantity=quantity))).body
    shown = json.loads(body)["qty"]
    assert isinstance(shown, str)
    assert "e" not in shown.lower()
    assert Decimal(shown) == Decimal(quantity)


def test_here_a_number_that_is_no_text_is_not_signed():
    with pytest.raises(ValueError, match="not text"):
        AlpacaSigner(KEY, SECRET).sign("POST", "/v2/orders", body={**ORDER, "client_order_id": "one", "qty": 0.1})
    leg = {"take_profit": {"limit_price": 0.1}}
    with pytest.raises(ValueError, match="not text"):
        AlpacaSigner(KEY, SECRET).sign("POST", "/v2/orders", body={**ORDER, "client_order_id": "one", **leg})


def test_sdk_alone_waits_for_ever(sdk):
    timeouts = []

    class Listening(requests.adapters.HTTPAdapter):
        def send(self, request, **settings):
            timeouts.append(settings["timeout"])
            return super().send(request, **settings)

    client, _ = sdk
    client._session.mount("http://", Listening())
    client.get("/account")
    assert timeouts == [None]


async def test_here_silence_has_an_end():
    async with alpaca_lab(replace(OPTIONS, request_timeout_s=0.3)) as lab:
        lab.fault("hang", when="after", method="POST /v2/orders", count=1)
        outcome = await lab.account.place(lab.order(), open_gate)
        assert isinstance(outcome, Unknown)
        assert (await lab.account.find(lab.order(), outcome.sent_at, ())) is not None


def test_sdk_alone_lets_the_venue_make_up_the_id(sdk):
    client, sim = sdk
    client.post("/orders", dict(ORDER))
    client.post("/orders", dict(ORDER))
    assert len({order["client_id"] for order in sim.orders()}) == 2


@pytest.mark.parametrize("order_id", ["", "has blanks", "UPPER", "x" * 49])
def test_here_an_order_without_an_id_of_ours_is_not_signed(order_id):
    with pytest.raises(ValueError, match="client order id"):
        AlpacaSigner(KEY, SECRET).sign("POST", "/v2/orders", body={**ORDER, "client_order_id": order_id})
    with pytest.raises(ValueError, match="client order id"):
        AlpacaSigner(KEY, SECRET).sign("POST", "/v2/orders", body=ORDER)


async def test_sdk_alone_fails_on_a_new_status_after_the_order_was_taken():
    answer = accepted(status="a_new_word")
    async with at_raw_server(answer) as (_, account):
        assert isinstance(await account.place(ticket(), open_gate), Accepted)
    with pytest.raises(ValidationError):
        Order(**order_object(status="a_new_word"))


async def test_sdk_alone_cannot_read_an_error_without_a_code():
    with pytest.raises(KeyError):
        _ = APIError('{"message": "forbidden."}').code
    async with at_raw_server(refused("403 Forbidden", "forbidden.")) as (_, account):
        outcome = await account.place(ticket(), open_gate)
        assert isinstance(outcome, RefusedByVenue)
        assert outcome.parks_account


def test_sdk_alone_takes_a_redirect_for_an_empty_answer(sdk):
    client, sim = sdk
    sim.add_fault("redirect", when="after", method="POST /v2/orders", count=1)
    assert client.post("/orders", {**ORDER, "client_order_id": "oneoforders"}) is None
    assert len(sim.orders()) == 1


# -- what is built -------------------------------------------------------------------------------------------------


def test_credentials_are_in_the_documented_headers_and_in_no_address():
    query = {"symbols": "BTC/USD", "after": "2026-01-05T10:00:00Z"}
    request = AlpacaSigner(KEY, SECRET).sign("GET", "/v2/orders", query)
    assert request.headers["APCA-API-KEY-ID"] == KEY
    assert request.headers["APCA-API-SECRET-KEY"] == SECRET
    assert request.target == "/v2/orders?symbols=BTC%2FUSD&after=2026-01-05T10%3A00%3A00Z"
    assert request.body is None


def test_the_colon_of_the_look_up_stays():
    request = AlpacaSigner(KEY, SECRET).sign("GET", "/v2/orders:by_client_order_id", {"client_order_id": "abc"})
    assert request.target == "/v2/orders:by_client_order_id?client_order_id=abc"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/wallets"), ("POST", "/v2/wallets/transfers"), ("GET", "/v2/wallets/whitelists"),
        ("POST", "/v2/wallets/whitelists"), ("GET", "/v2/perpetuals/wallets"), ("POST", "/v2/transfers"),
        ("PATCH", "/v2/account/configurations"), ("GET", "/v2/account/configurations"), ("DELETE", "/v2/orders"),
        ("DELETE", "/v2/positions"), ("DELETE", "/v2/positions/BTCUSD"), ("PATCH", "/v2/orders/38e482f3"),
        ("POST", "/v2/account"), ("GET", "/v2/orders/../wallets"), ("GET", "/v2/orders/%2e%2e"),
        ("POST", "/v2/orders/"), ("GET", "/v2/orders\n"), ("PUT", "/v2/orders"), ("post", "/v2/orders"),
    ],
)  # fmt: skip
def test_no_other_call_is_signed(method, path):
    with pytest.raises(ValueError, match="not a call this service makes"):
        AlpacaSigner(KEY, SECRET).sign(method, path)


async def test_everything_the_adapter_sends_is_on_the_list_and_nothing_there_moves_money():
    async with alpaca_lab(stocks_always_open=True) as lab:
        markets, candles = [lab.venue.instrument("BTC/USD"), lab.venue.instrument("AAPL")], AlpacaCandles(lab.venue)
        await lab.venue.quotes(markets)
        await candles.day_figures(markets)
        for market in markets:
            await candles.candles(market, 300, 3)
        placed = await lab.account.place(lab.order(), open_gate)
        await lab.account.execution(placed.venue_order_id)
        await lab.account.cancel(placed.venue_order_id)
        await lab.account.find(lab.order("never"), placed.sent_at, ())
        await lab.account.balances()
        await lab.account.check_key()
        await lab.venue.warm(1)
        used = {pattern.pattern for path in lab.sim.requests()["paths"] for _, pattern in ALLOWED_REQUESTS
                if pattern.fullmatch(path)}  # fmt: skip
        assert all(any(p.fullmatch(path) for _, p in ALLOWED_REQUESTS) for path in lab.sim.requests()["paths"])
    assert used == {pattern.pattern for _, pattern in ALLOWED_REQUESTS}, "something on the list is never used"
    words = ("wallet", "transfer", "whitelist", "withdraw", "ach", "bank", "journal", "configurations", "perpetual")
    assert not [p.pattern for _, p in ALLOWED_REQUESTS if any(word in p.pattern for word in words)]
    assert [m for m, p in ALLOWED_REQUESTS if m != "GET"] == ["POST", "DELETE"]


# -- secrets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "secret"), [("", SECRET), (KEY, ""), (KEY, f"{SECRET}\n"), ("two words", SECRET)])
def test_broken_credentials_are_refused_without_being_shown(key, secret):
    with pytest.raises(CredentialsRejected) as error:
        AlpacaSigner(key, secret)
    assert SECRET not in "".join(traceback.format_exception(error.value))


def test_signer_shows_and_writes_no_secret():
    signer = AlpacaSigner(KEY, SECRET)
    request = signer.sign("GET", "/v2/account")
    assert SECRET not in repr(signer) + repr(request) + str(request)
    with pytest.raises(TypeError, match="not written"):
        pickle.dumps(signer)


async def test_nothing_shows_key_or_secret(caplog):
    caplog.set_level("DEBUG")
    async with at_raw_server(b"nonsense\r\n\r\n", options=replace(OPTIONS, request_timeout_s=0.3)) as (_, account):
        outcome = await account.place(ticket(), open_gate)
        with pytest.raises(Exception, match="no usable answer") as error:
            await account.execution("38e482f3")
        shown = repr(outcome) + repr(account) + repr(vars(account)) + str(error.getrepr()) + caplog.text
        assert KEY not in shown
        assert SECRET not in shown


def test_who_does_not_trade_at_alpaca_does_not_pay_for_its_sdk_and_nobody_for_pandas():
    code = (
        "import sys; from datetime import UTC, datetime; from copytrade.venues.alpaca.public import AlpacaVenue;"
        "venue = AlpacaVenue(clock=lambda: datetime.now(UTC)); assert 'alpaca' not in sys.modules;"
        f"venue.connect_account('{ALICE}', '{KEY}', '{SECRET}');"
        "assert 'alpaca' in sys.modules; assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


async def test_answers_are_read_to_the_last_digit():
    answer = http(order_object(filled_qty="0.123456789", filled_avg_price="50000.123456789"))
    async with at_raw_server(answer) as (_, account):
        execution = await account.execution("38e482f3-79a8-4f75-a057-f07a1ec6a397")
        assert execution.cost.value == Decimal("0.123456789") * Decimal("50000.123456789")
