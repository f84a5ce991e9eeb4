"""Signing at Binance: the venue's own vectors, each hazard of the SDK shown beside its cure, and no secret shown."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import pickle
import subprocess
import sys
import traceback
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import parse_qs

import pytest
from binance.client import Client
from binance_lab import KEY, SECRET, at_raw_server, binance_lab, order_answer, ticket
from kraken_lab import RawServer, http

from copytrade.domain.errors import CredentialsRejected
from copytrade.venues.binance import signer as calls
from copytrade.venues.binance.signer import ALLOWED_CALLS, BinanceSigner
from copytrade.venues.binance.tickets import order_fields

NOW = datetime(2026, 7, 21, 12, 0, 0, 500_000, tzinfo=UTC)
ORDER = {
    "symbol": "LTCBTC", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "0.1",
    "newClientOrderId": "a",
}  # fmt: skip


def signer(secret: str = SECRET) -> BinanceSigner:
    return BinanceSigner(KEY, secret, lambda: NOW)


def hmac_of(text: str) -> str:
    return hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()


class Unsent(Client):
    """python-binance as it is, with the request given back in the place of being sent."""

    def _request(self, method, uri, signed, force_params=False, **kwargs):
        return self._get_request_kwargs(method, signed, force_params, **kwargs)


@pytest.fixture
def plain_sdk():
    """The SDK without our cures. Its constructor makes an event loop of its own, which is closed here."""
    made = Unsent(KEY, SECRET, ping=False)
    yield made
    made.session.close()
    if not made.loop.is_running():
        made.loop.close()
    asyncio.set_event_loop(None)


def test_documented_signatures_come_out_of_the_sdk_that_signs_here():
    made = signer()
    for payload, signature in (
        (
            "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
            "&timestamp=1499827319559",
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
        ),
        (
            "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=0.1&recvWindow=5000"
            "&timestamp=1499827319559",
            "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77",
        ),
    ):
        assert made._hmac_signature(payload) == signature
    fields = {name: value for name, value in ORDER.items() if name != "newClientOrderId"}
    stamped = {**fields, "recvWindow": "5000", "timestamp": "1499827319559"}
    assert made._generate_signature(stamped) == "70fd30433bc3a2e3b5ff17d075e50538dde3734841da6dc28d79113dd37fa9c7"


def test_signature_covers_the_bytes_that_are_sent():
    request = signer().sign(calls.NEW_ORDER, ORDER, window_ms=2_000)
    payload, _, signature = request.body.decode().rpartition("&signature=")
    assert signature == hmac_of(payload)
    assert (request.method, request.target) == ("POST", "/api/v3/order")
    assert request.headers["X-MBX-APIKEY"] == KEY
    query = signer().sign(calls.GET_ORDER, {"symbol": "LTCBTC", "orderId": "1"}, window_ms=2_000)
    payload, _, signature = query.target.partition("?")[2].rpartition("&signature=")
    assert signature == hmac_of(payload)
    assert query.body is None


def test_timestamp_is_the_venues_time_and_is_told():
    request = signer().sign(calls.NEW_ORDER, ORDER, window_ms=2_000)
    sent = parse_qs(request.body.decode())
    assert sent["timestamp"] == [str(request.stamped_ms)]
    assert abs(request.stamped_ms - NOW.timestamp() * 1000) < 1_000  # the SDK reads its own clock a moment later


def test_sdk_alone_forces_ten_seconds(plain_sdk):
    built = dict(plain_sdk.create_order(**ORDER, recvWindow=1_000)["data"])
    assert built["recvWindow"] == "10000"
    sent = parse_qs(signer().sign(calls.NEW_ORDER, ORDER, window_ms=1_500).body.decode())
    assert sent["recvWindow"] == ["1500"]


def test_sdk_alone_names_orders_itself(plain_sdk):
    """Its id comes from a generator that forked processes share, so they name different orders alike."""
    fields = {name: value for name, value in ORDER.items() if name != "newClientOrderId"}
    assert dict(plain_sdk.create_order(**fields)["data"])["newClientOrderId"].startswith("x-HNA2TXFJ")
    with pytest.raises(ValueError, match="not a call"):
        signer().sign(calls.NEW_ORDER, fields, window_ms=2_000)
    assert order_fields(ticket())["newClientOrderId"] == ticket().order_id


async def test_sdk_alone_signs_other_bytes_than_it_sends():
    """The venue checks what is on the wire: an id that has to be percent-encoded is refused there, and unsent here."""
    async with binance_lab() as lab:
        sdk = Client(lab.key, lab.secret, ping=False)
        sdk.API_URL = lab.url + "/api"
        sdk.session.trust_env = False
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}
        try:
            with pytest.raises(Exception, match="-1022"):
                await asyncio.to_thread(sdk.create_order, **order, newClientOrderId="a:b/c")
            await asyncio.to_thread(sdk.create_order, **order, newClientOrderId="abc")
        finally:
            sdk.session.close()
    with pytest.raises(ValueError, match="newClientOrderId"):
        signer().sign(calls.NEW_ORDER, {**ORDER, "newClientOrderId": "a:b/c"}, window_ms=2_000)


def test_sdk_alone_writes_exponents(plain_sdk):
    assert dict(plain_sdk.create_order(**{**ORDER, "quantity": 0.00001})["data"])["quantity"] == "1e-05"
    for wrong in (0.00001, Decimal("1E-5"), 1, None, "", "1 0", "1+0"):
        with pytest.raises(ValueError, match="quantity"):
            signer().sign(calls.NEW_ORDER, {**ORDER, "quantity": wrong}, window_ms=2_000)
    assert order_fields(ticket(quantity="0.00001"))["quantity"] == "0.00001"


async def test_sdk_alone_follows_redirects_with_the_key():
    redirect = http("", "302 Found", "Location: /elsewhere\r\n")
    async with RawServer(redirect, http({})) as server:
        sdk = Client(KEY, SECRET, ping=False)
        sdk.API_URL = server.url + "/api"
        sdk.session.trust_env = False
        try:
            await asyncio.to_thread(sdk.create_order, **ORDER)
        finally:
            sdk.session.close()
        assert [heard.head.split(" HTTP")[0] for heard in server.heard] == ["POST /api/v3/order", "GET /elsewhere"]
        assert KEY in server.heard[1].head
    async with at_raw_server(redirect, http(order_answer())) as (server, account, _):
        await account.place(ticket(), lambda: None)
        assert len(server.heard) == 1


async def test_sdk_alone_takes_an_error_with_status_200_for_an_answer():
    contradiction = http({"code": -2010, "msg": "Account has insufficient balance for requested action."})
    async with RawServer(contradiction) as server:
        sdk = Client(KEY, SECRET, ping=False)
        sdk.API_URL = server.url + "/api"
        sdk.session.trust_env = False
        try:
            assert (await asyncio.to_thread(sdk.create_order, **ORDER))["code"] == -2010
        finally:
            sdk.session.close()


async def test_sdk_alone_pings_from_its_constructor_and_ours_sends_nothing():
    async with RawServer(http({})) as server:

        class Loopback(Client):
            API_URL = server.url + "/api"

        made = await asyncio.to_thread(Loopback, KEY, SECRET)
        made.session.close()
        if not made.loop.is_running():
            made.loop.close()
        assert len(server.heard) == 1
    made = signer()
    assert made.session is None
    assert not hasattr(made, "ws_api")
    assert not hasattr(made, "loop")


def test_everything_that_can_be_sent_moves_no_money():
    fields = ORDER | dict.fromkeys(("listClientOrderId", "aboveClientOrderId", "belowClientOrderId"), "a")
    requests = {signer().sign(call, fields, window_ms=2_000).target.partition("?")[0] for call in ALLOWED_CALLS}
    assert requests == {path for _, path in ALLOWED_CALLS.values()}
    moving = ("withdraw", "transfer", "capital", "deposit", "margin", "loan", "earn", "sub-account", "asset", "convert")
    assert not [path for path in requests for word in moving if word in path.lower()]


def test_no_other_call_of_the_sdk_gets_a_signature():
    made = signer()
    for method in ("withdraw", "make_universal_transfer", "create_margin_order", "create_margin_oco_order"):
        with pytest.raises(ValueError, match="not a call"):
            getattr(made, method)(coin="BTC", amount="1", address="x", symbol="BTCUSDT")
        with pytest.raises(ValueError, match="not a call"):
            made.sign(method, {}, window_ms=2_000)
    for method in ("get_exchange_info", "ping", "get_server_time"):
        with pytest.raises(ValueError, match="not a call"):
            getattr(made, method)()


def test_sdk_is_imported_only_for_an_account_of_this_venue():
    program = (
        "import sys, datetime, copytrade.venues.binance.public as p\n"
        "v = p.BinanceVenue(clock=lambda: datetime.datetime.now(datetime.UTC))\n"
        "assert 'binance' not in sys.modules, 'imported by the venue'\n"
        "v.connect_account('binance:alice_smith', 'k' * 64, 's' * 64)\n"
        "assert 'binance' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("secret", ["", "two words", "line\nbreak", "-----BEGIN-PRIVATE-KEY-----", "schlüssel"])
def test_secret_that_cannot_be_one_is_refused_and_not_shown(secret):
    with pytest.raises(CredentialsRejected) as error:
        signer(secret=secret)
    text = "".join(traceback.format_exception(error.value)) + repr(error.value.__context__)
    assert not secret or secret not in text


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel", "a/b"])
def test_key_that_cannot_be_one_is_refused(key):
    with pytest.raises(CredentialsRejected):
        BinanceSigner(key, SECRET, lambda: NOW)


def test_nothing_shows_key_or_secret():
    made = signer()
    request = made.sign(calls.NEW_ORDER, ORDER, window_ms=2_000)
    query = made.sign(calls.GET_ORDER, {"symbol": "LTCBTC"}, window_ms=2_000)
    shown = "".join((repr(made), str(made), repr(request), str(request), repr(query)))
    assert KEY not in shown
    assert SECRET not in shown
    assert "signature" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(made)
