"""Signing: the SDK's own tokens, the venue's clock, nothing that moves money, no secret shown; and what it cures."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import pickle
import subprocess
import sys
import traceback
from dataclasses import replace
from decimal import Decimal

import jwt
import pytest
import requests
from coinbase import jwt_generator
from coinbase.rest import RESTClient
from coinbase_lab import ALICE, KEY, OPTIONS, SECRET, accepted, at_raw_server, claims_of, coinbase_lab, ticket
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kraken_lab import RawServer, http, open_gate

from copytrade.domain.errors import CredentialsRejected
from copytrade.domain.order import OrderKind, Side
from copytrade.simulator.coinbase.tokens import made_private_key, secret_text
from copytrade.venues.coinbase.signer import ALLOWED_CALLS, ALLOWED_REQUESTS, CoinbaseSigner

HOST = "api.coinbase.com"
NOW_S = 1_700_000_000.75
PEM = secret_text(made_private_key(7, "alice_smith", "ecdsa"))


def signer(key: str = KEY, secret: str = SECRET, *, now_s: float = NOW_S) -> CoinbaseSigner:
    return CoinbaseSigner(key, secret, HOST, lambda: now_s, life_s=10, early_s=2)


def token_of(request) -> str:
    return request.headers["Authorization"].removeprefix("Bearer ")


class Unsent(requests.adapters.HTTPAdapter):
    """Sends plain HTTP to a loopback server what the SDK means for Coinbase."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.to = url

    def send(self, request, **settings):
        request.url = request.url.replace("https://api.coinbase.com", self.to, 1)
        return super().send(request, **settings)


def sdk_at(url: str) -> RESTClient:
    client = RESTClient(KEY, SECRET, timeout=5)
    client.session.trust_env = False
    client.session.mount("https://api.coinbase.com", Unsent(url))
    return client


# -- what is signed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("secret", "algorithm"), [(SECRET, "EdDSA"), (PEM, "ES256")])
def test_token_is_the_sdks_but_for_its_times(secret, algorithm):
    request = signer(secret=secret).sign_order(ticket())
    uri = "POST api.coinbase.com/api/v3/brokerage/orders"
    theirs = jwt_generator.build_rest_jwt(uri, KEY, secret)
    public = jwt_generator._load_private_key(secret).public_key()
    ours = jwt.decode(token_of(request), public, [algorithm], options={"verify_exp": False, "verify_nbf": False})
    sdks = jwt.decode(theirs, public, [algorithm])
    assert {**ours, "nbf": 0, "exp": 0} == {**sdks, "nbf": 0, "exp": 0}
    assert (ours["nbf"], ours["exp"]) == (1_699_999_998, 1_700_000_010)
    header, sdk_header = jwt.get_unverified_header(token_of(request)), jwt.get_unverified_header(theirs)
    assert len(header.pop("nonce")) == len(sdk_header.pop("nonce")) == 64
    assert header == sdk_header == {"alg": algorithm, "kid": KEY, "typ": "JWT"}


def test_no_two_tokens_are_alike():
    made = signer()
    assert len({token_of(made.sign_order(ticket())) for _ in range(20)}) == 20


def test_market_order_is_what_the_sdk_builds_in_units_of_the_base_asset():
    request = signer().sign_order(ticket(side=Side.SELL, quantity="0.00012300"))
    assert (request.method, request.target) == ("POST", "/api/v3/brokerage/orders")
    assert json.loads(request.body) == {
        "client_order_id": ticket().order_id, "product_id": "BTC-USD", "side": "SELL",
        "order_configuration": {"market_market_ioc": {"base_size": "0.000123"}},
    }  # fmt: skip


def test_limit_order_fills_at_once_or_not():
    request = signer().sign_order(ticket(limit="49750.10"))
    assert json.loads(request.body)["order_configuration"] == {
        "sor_limit_ioc": {"base_size": "0.001", "limit_price": "49750.1"}
    }
    with pytest.raises(ValueError, match="without a limit_price"):
        signer().sign_order(replace(ticket(), kind=OrderKind.IOC_LIMIT))


@pytest.mark.parametrize("quantity", ["0.00000001", "100000", "1E+3", "1E-7"])
def test_sizes_are_plain_decimal_text(quantity):
    size = json.loads(signer().sign_order(ticket(quantity=quantity)).body)["order_configuration"]["market_market_ioc"]
    assert Decimal(size["base_size"]) == Decimal(quantity)
    assert "E" not in size["base_size"].upper()


def test_query_is_sent_but_not_signed():
    request = signer().sign("list_orders", limit=100, start_date="2026-01-01T00:00:00Z", product_ids=["BTC-USD", "A-B"])
    assert request.target == (
        "/api/v3/brokerage/orders/historical/batch?product_ids=BTC-USD&product_ids=A-B&limit=100"
        "&start_date=2026-01-01T00%3A00%3A00Z"
    )
    claims = jwt.decode(token_of(request), options={"verify_signature": False})
    assert claims["uri"] == "GET api.coinbase.com/api/v3/brokerage/orders/historical/batch"


def test_key_name_may_be_a_bare_id_and_line_breaks_may_be_escaped():
    key = "8f9f7c59-3700-491d-9e96-00cef1763922"
    request = signer(key, PEM.replace("\n", "\\n")).sign("get_accounts")
    assert jwt.get_unverified_header(token_of(request))["kid"] == key


# -- what is never signed ------------------------------------------------------------------------------------------


def test_no_call_that_moves_money_is_signed():
    made = signer()
    moving = [
        ("move_portfolio_funds", {"value": "1", "currency": "USD", "source_portfolio_uuid": "a",
                                  "target_portfolio_uuid": "b"}),
        ("create_convert_quote", {"from_account": "a", "to_account": "b", "amount": "1"}),
        ("commit_convert_trade", {"trade_id": "t", "from_account": "a", "to_account": "b"}),
        ("allocate_portfolio", {"portfolio_uuid": "a", "symbol": "s", "amount": "1", "currency": "USD"}),
        ("schedule_futures_sweep", {"usd_amount": "1"}),
        ("list_payment_methods", {}), ("create_portfolio", {"name": "x"}), ("edit_order", {"order_id": "x"}),
        ("create_order", {}), ("close_position", {"client_order_id": "x", "product_id": "y"}), ("", {}),
    ]  # fmt: skip
    for call, arguments in moving:
        with pytest.raises(ValueError, match="not a call"):
            made.sign(call, **arguments)
        if call and call not in ("edit_order", "create_order"):  # and past the list, the path is looked at
            with pytest.raises(ValueError, match="not a request"):
                getattr(made, call)(**arguments)


def test_sdk_ways_around_the_list_are_closed():
    made = signer()
    around = "/api/v3/brokerage/orders/historical/../../convert/quote"
    wallets = ("/v2/accounts/a/transactions", "/api/v3/brokerage/portfolios/move_funds", "/api/v3/brokerage/orders/x")
    for send in (made.post, made.put, made.delete, made.get):
        for path in (around, *wallets):
            with pytest.raises(ValueError, match="not a request"):
                send(path)


async def test_everything_the_adapter_can_send_is_on_the_list():
    """Walk every way of the adapter against the simulated venue, and look at what arrived."""
    async with coinbase_lab() as lab:
        placed = await lab.account.place(lab.order(), open_gate)
        await lab.account.place(lab.order("two", limit="49000"), open_gate)
        await lab.account.execution(placed.venue_order_id)
        await lab.account.cancel(placed.venue_order_id)
        await lab.account.find(lab.order("never"), lab.time.utc(), ())
        await lab.account.balances()
        await lab.account.check_key()
        signed_calls = {call for call in ALLOWED_CALLS if "order_" not in call and call != "market_order"}
        paths = set(lab.sim.requests()["paths"])
        signed = {path for path in paths if any(allowed.fullmatch(path) for _, allowed in ALLOWED_REQUESTS)}
        public = paths - signed
        names = ("time", "market/products", "market/products/BTC-USD/ticker")
        assert public == {f"/api/v3/brokerage/{name}" for name in names}
        assert len(signed) == len(signed_calls) + 1  # and the order itself
        words = ("transfer", "move", "convert", "payment", "withdraw", "send", "transaction", "allocate", "v2")
        assert not [path for path in paths if any(word in path for word in words)]


@pytest.mark.parametrize("order_id", ["", "UPPER", "with-dash", "x" * 40, "with space"])
def test_order_without_an_id_of_ours_is_never_signed(order_id):
    with pytest.raises(ValueError, match="none of ours"):
        signer().sign_order(replace(ticket(), order_id=order_id))


# -- secrets -------------------------------------------------------------------------------------------------------

RSA_LIKE = "-----BEGIN RSA PRIVATE KEY-----\nhunter2hunter2\n-----END RSA PRIVATE KEY-----"
WRONG_CURVE = (
    ec.derive_private_key(5, ec.SECP384R1())
    .private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    .decode()
)


@pytest.mark.parametrize("secret", ["", "not base64 !", "aHVudGVyMg==", RSA_LIKE, WRONG_CURVE, PEM[:100], SECRET[:-4]])
def test_secret_that_cannot_be_one_is_refused_and_not_shown(secret):
    with pytest.raises(CredentialsRejected) as error:
        signer(secret=secret)
    text = "".join(traceback.format_exception(error.value)) + repr(error.value.__context__)
    assert not secret or secret.strip() not in text


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel"])
def test_key_that_cannot_be_one_is_refused(key):
    with pytest.raises(CredentialsRejected):
        signer(key)


def test_nothing_shows_key_or_secret():
    made = signer()
    request = made.sign_order(ticket())
    shown = repr(made) + str(made) + repr(request) + str(request) + repr(vars(made))
    assert SECRET not in shown
    assert "Bearer" not in shown
    assert base64.b64decode(SECRET)[:32].hex() not in shown
    assert PEM.split("\n")[1] not in repr(vars(signer(secret=PEM)))
    with pytest.raises(TypeError):
        pickle.dumps(made)


def test_sdk_is_loaded_with_the_first_account_and_not_before():
    code = (
        "import sys, datetime; from copytrade.venues.coinbase.public import CoinbaseVenue\n"
        "assert 'coinbase' not in sys.modules and 'cryptography' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# -- what the SDK does when it is left alone, and what becomes of it here ------------------------------------------


async def test_sdk_alone_takes_a_redirected_order_for_a_good_one():
    """302 after a POST becomes a GET with the signed headers, and its answer is the order's."""
    redirect = http("", "302 Found", "Location: /elsewhere\r\n")
    async with RawServer(redirect, http({"success": True})) as server:
        client = sdk_at(server.url)
        try:
            answer = await asyncio.to_thread(client.market_order, "id", "BTC-USD", "BUY", base_size="1")
        finally:
            client.session.close()
        assert answer.success is True
        assert [heard.head.split(" HTTP")[0] for heard in server.heard] == [
            "POST /api/v3/brokerage/orders", "GET /elsewhere",
        ]  # fmt: skip
        assert "Bearer" in server.heard[1].head


async def test_sdk_alone_sends_a_body_with_a_get_and_we_do_not():
    async with RawServer(http({"can_view": True, "can_trade": True, "can_transfer": False})) as server:
        client = sdk_at(server.url)
        try:
            await asyncio.to_thread(client.get_api_key_permissions)
        finally:
            client.session.close()
        assert server.heard[0].body == b"{}"
    async with at_raw_server(http({"can_view": True, "can_trade": True, "can_transfer": False})) as (server, account):
        await account.check_key()
        assert server.heard[0].body == b""


def test_sdk_alone_has_no_time_limit_and_makes_up_ids():
    client = RESTClient(KEY, SECRET)
    try:
        assert client.timeout is None
        sent = []
        client.send_request = lambda method, path, params, headers, data=None: sent.append(data) or {}
        client.market_order("", "BTC-USD", "BUY", base_size="1")
        client.market_order("", "BTC-USD", "BUY", base_size="1")
    finally:
        client.session.close()
    assert sent[0]["client_order_id"] != sent[1]["client_order_id"]


def test_sdk_alone_passes_floats_through():
    client = RESTClient(KEY, SECRET)
    try:
        sent = []
        client.send_request = lambda method, path, params, headers, data=None: sent.append(json.dumps(data)) or {}
        client.market_order("id", "BTC-USD", "BUY", base_size=0.00001)
    finally:
        client.session.close()
    assert "1e-05" in sent[0]


async def test_sdk_alone_returns_a_refused_order_as_if_it_were_one(caplog):
    async with RawServer(http({"success": False, "error_response": {"error": "INSUFFICIENT_FUND"}})) as server:
        client = sdk_at(server.url)
        try:
            answer = await asyncio.to_thread(client.market_order, "id", "BTC-USD", "BUY", base_size="1")
        finally:
            client.session.close()
    assert answer.success is False  # and nothing was raised


def test_sdk_alone_dates_tokens_by_this_machine_and_reads_the_key_each_time():
    token = jwt_generator.build_rest_jwt("GET x/y", KEY, SECRET)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["nbf"] == 120
    assert claims["nbf"] > NOW_S + 1_000_000  # whatever the venue's clock says
    assert jwt.decode(token_of(signer().sign("get_accounts")), options={"verify_signature": False})["exp"] < NOW_S + 11


def test_sdk_keeps_its_secret_and_a_session_and_we_keep_neither():
    client = RESTClient(KEY, SECRET)
    client.session.close()
    assert client.api_secret == SECRET
    assert isinstance(client.session, requests.Session)
    assert (signer().api_secret, signer().session) == ("unused", None)


def test_sdk_takes_keys_from_the_environment_when_none_are_given_and_we_always_give_some():
    code = (
        "from coinbase.rest import RESTClient; c = RESTClient(); assert c.api_key == 'from-env'; c.session.close()\n"
        "from copytrade.venues.coinbase.signer import CoinbaseSigner\n"
        f"s = CoinbaseSigner({KEY!r}, {SECRET!r}, 'h', lambda: 1.0, life_s=10, early_s=2)\n"
        f"assert s.api_key == {KEY!r} and 'from-env' not in repr(vars(s))"
    )
    environment = {"COINBASE_API_KEY": "from-env", "COINBASE_API_SECRET": SECRET}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)


def test_sdk_has_a_log_handler_of_its_own_and_here_it_is_gone():
    code = (
        "import logging; import coinbase.rest; log = logging.getLogger('coinbase.RESTClient')\n"
        "assert log.handlers and log.level == logging.INFO\n"
        "import copytrade.venues.coinbase.signer\n"
        "assert not log.handlers and log.propagate"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert logging.getLogger("coinbase.RESTClient").handlers == []


async def test_tokens_on_the_wire_name_the_host_they_go_to():
    async with at_raw_server(accepted(), options=OPTIONS) as (server, account):
        await account.place(ticket(), open_gate)
        header, claims = claims_of(server.heard[0].head)
        assert claims["uri"] == f"POST {server.url.removeprefix('http://')}/api/v3/brokerage/orders"
        assert (header["kid"], claims["sub"], claims["iss"]) == (KEY, KEY, "cdp")
    assert account.account == ALICE
