"""OKX's private streams: at a server that says anything, and at the simulated venue."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from account_contract import let_through
from aiohttp import web
from kraken_lab import Time, utc_now
from okx_lab import ALICE, KEY, OPTIONS, PASSPHRASE, SECRET, okx_lab
from test_okx_algos import SHOWN, waiting

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueUnavailable
from copytrade.domain.money import Quantity
from copytrade.domain.order import OrderKind
from copytrade.domain.venue import ExecutionStatus, VenueOrder
from copytrade.venues.okx.options import OkxOptions
from copytrade.venues.okx.public import OkxVenue
from copytrade.venues.okx.signer import OkxSigner

WAIT_S = 10.0
LOGGED_IN = {"event": "login", "code": "0", "msg": "", "connId": "a4d3ae55"}
INSTRUMENT = {
    "instType": "SPOT", "instId": "BTC-USDT", "baseCcy": "BTC", "quoteCcy": "USDT", "lotSz": "0.00000001",
    "minSz": "0.00001", "tickSz": "0.1", "state": "live",
}  # fmt: skip
ORDER = {
    "instType": "SPOT", "instId": "BTC-USDT", "ordId": "312269865356374016", "clOrdId": "b15", "px": "49000",
    "sz": "0.01", "ordType": "limit", "side": "buy", "state": "live", "accFillSz": "0", "avgPx": "0", "fee": "0",
    "feeCcy": "BTC", "cTime": "1654084334977", "uTime": "1654084334977", "tgtCcy": "", "algoId": "", "algoClOrdId": "",
    "cancelSource": "",
}  # fmt: skip

def push(channel: str, *rows: Any) -> str:
    return json.dumps({"arg": {"channel": channel, "instType": "SPOT", "uid": "77"}, "data": list(rows)})


class Scripted:
    """OKX's clock, its list of markets, and two WebSockets that follow the protocol but for what `says` changes."""

    def __init__(self, says: dict[str, list[str]] | None = None) -> None:
        # By "login" or "subscribe": instead of the answer; by channel: after it. An empty text closes the connection.
        self.says = says or {}
        self.heard: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if not request.path.startswith("/ws/"):
            data = [INSTRUMENT] if "instruments" in request.path else [{"ts": str(int(utc_now().timestamp() * 1000))}]
            return web.json_response({"code": "0", "msg": "", "data": data})
        self.headers.append(dict(request.headers))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            self.heard.append((request.path, message.data))
            for text in self.answers(message.data):
                if not text:
                    await socket.close(code=4001)
                    return socket
                await socket.send_str(text)
        return socket

    def answers(self, said: str) -> list[str]:
        if said == "ping":
            return self.says.get("ping", ["pong"])
        message = json.loads(said)
        if message["op"] == "login":
            return self.says.get("login", [json.dumps(LOGGED_IN)])
        arg = message["args"][0]
        acknowledged = json.dumps({"event": "subscribe", "arg": arg, "connId": "a4d3ae55"})
        return [*self.says.get("subscribe", [acknowledged]), *self.says.get(arg["channel"], [])]


@asynccontextmanager
async def scripted(
    says: dict[str, list[str]] | None = None, options: OkxOptions = OPTIONS
) -> AsyncIterator[tuple[Scripted, AsyncIterator[VenueOrder | None]]]:
    """A stream of an account at such a server."""
    server = Scripted(says)
    runner = web.ServerRunner(web.Server(server.serve), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    time = Time()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    venue = OkxVenue(url, options, clock=utc_now, monotonic=time, rng=random.Random(7), sleep=time.sleep)
    try:
        async with aclosing(venue.connect_account(ALICE, KEY, SECRET, PASSPHRASE).stream()) as stream:
            yield server, stream
    finally:
        await venue.close()
        await runner.cleanup()


async def everything(stream: AsyncIterator[VenueOrder | None]) -> list[VenueOrder | None]:
    """What it tells until it ends."""
    async with asyncio.timeout(WAIT_S):
        return [order async for order in stream]


async def test_login_is_signed_and_both_channels_are_asked_for():
    async with scripted() as (server, stream):
        assert await anext(stream) is None
        logins = [json.loads(said) for _, said in server.heard if '"login"' in said]
        subscribed = {path: json.loads(said) for path, said in server.heard if '"subscribe"' in said}
        assert {path: said["args"] for path, said in subscribed.items()} == {
            "/ws/v5/private": [{"channel": "orders", "instType": "SPOT"}],
            "/ws/v5/business": [{"channel": "orders-algo", "instType": "SPOT"}],
        }
        assert len(logins) == 2
        for login in logins:
            (words,) = login["args"]
            assert (words["apiKey"], words["passphrase"]) == (KEY, PASSPHRASE)
            assert abs(int(words["timestamp"]) - utc_now().timestamp()) < 5
        assert all(headers["x-simulated-trading"] == "0" for headers in server.headers)


def test_signature_of_a_login():
    """The documentation's secret; the result as in the fact sheet, reckoned twice."""
    said = OkxSigner(KEY, SECRET, PASSPHRASE).login(datetime.fromtimestamp(1538054050, UTC))
    assert said["op"] == "login"
    assert said["args"][0]["timestamp"] == "1538054050"
    assert said["args"][0]["sign"] == "+LdIr8lkkvhr5hoA3g9TMC0+uQJ849ftAcocA/ouu4M="


@pytest.mark.parametrize("code", ["60005", "60007", "60024", "60032"])
async def test_login_that_fails_for_good_is_told_as_such(code):
    refusal = json.dumps({"event": "error", "code": code, "msg": "words", "connId": "a4d3ae55"})
    async with scripted({"login": [refusal, ""]}) as (_, stream):
        with pytest.raises(CredentialsRejected, match=code) as error:
            await everything(stream)
        assert KEY not in str(error.value)
        assert error.value.__cause__ is None
        assert error.value.__context__ is None


BAD = {
    "a login with a late time": {"login": ['{"event":"error","code":"60006","msg":"Timestamp request expired"}']},
    "a login that failed": {"login": ['{"event":"error","code":"60009","msg":"Login failure"}', ""]},
    "a login that was no success": {"login": ['{"event":"login","code":"1","msg":""}']},
    "orders before the login": {"login": [push("orders", ORDER)]},
    "a close after the login": {"login": [json.dumps(LOGGED_IN), ""]},
    "another channel": {"subscribe": ['{"event":"subscribe","arg":{"channel":"account"},"connId":"a"}']},
    "a channel that is refused": {"subscribe": ['{"event":"error","code":"60018","msg":"Wrong URL"}']},
    "a close": {"orders": [""]},
    "too many connections": {"orders": ['{"event":"channel-conn-count-error","channel":"orders","connCount":"31"}']},
    "notice of a close": {"orders": ['{"event":"notice","code":"64008","msg":"The connection will soon be closed"}']},
    "an error": {"orders-algo": ['{"event":"error","code":"60014","msg":"Requests too frequent"}']},
    "half of a text": {"orders": ['{"arg": {"chan']},
    "a list": {"orders": ["[]"]},
    "a number": {"orders": ["7"]},
    "nothing": {"orders": ["{}"]},
    "no data": {"orders": ['{"arg":{"channel":"orders"}}']},
    "data that is no list": {"orders": ['{"arg":{"channel":"orders"},"data":{}}']},
    "data of no objects": {"orders": [push("orders", 7)]},
    "another channel's data": {"orders": [push("account", ORDER)]},
    "an order without a market": {"orders": [push("orders", {**ORDER, "instId": None})]},
    "an order without an id": {"orders": [push("orders", {**ORDER, "ordId": ""})]},
    "an order in an odd state": {"orders": [push("orders", {**ORDER, "state": "odd"})]},
    "a figure that is none": {"orders": [push("orders", {**ORDER, "accFillSz": "x"})]},
    "a waiting order in an odd state": {"orders-algo": [push("orders-algo", {**SHOWN, "state": "odd"})]},
    "too much": {"orders": [" " * 2_000_000]},
}


@pytest.mark.parametrize("says", BAD.values(), ids=BAD)
async def test_anything_else_ends_it_with_an_error(says, caplog):
    caplog.set_level(0)
    async with scripted(says) as (_, stream):
        with pytest.raises(VenueError) as error:
            await everything(stream)
        told = str(error.value) + repr(error.value.__cause__) + repr(error.value.__context__) + caplog.text
        assert not any(word in told for word in (KEY, SECRET, PASSPHRASE))


async def test_silence_is_asked_about_and_ends_it():
    quick = replace(OPTIONS, stream_ping_s=0.2)
    async with scripted({"ping": []}, quick) as (server, stream):
        with pytest.raises(VenueUnavailable, match="silent"):
            await everything(stream)
        assert "ping" in [said for _, said in server.heard]


async def test_stream_that_does_not_come_up_ends_with_an_error():
    async with scripted({"login": []}, replace(OPTIONS, request_timeout_s=0.3)) as (_, stream):
        with pytest.raises(VenueUnavailable, match="did not come up"):
            await everything(stream)


async def test_messages_are_orders():
    filled = {**ORDER, "state": "filled", "accFillSz": "0.01", "avgPx": "49000", "fee": "-0.00001"}
    ended = {**SHOWN, "slTriggerPx": "48000", "slOrdPx": "-1", "state": "order_failed", "failCode": "51008"}
    others = [
        '{"event":"channel-conn-count","channel":"orders","connCount":"1","connId":"a"}',
        push("orders", {**ORDER, "instId": "NEW-COIN"}), push("orders"),
    ]  # fmt: skip
    says = {
        "orders": [*others, push("orders", ORDER, filled)],
        "orders-algo": [push("orders-algo", {**SHOWN, "ordType": "twap"}, ended)],
    }
    async with scripted(says) as (_, stream):
        heard = [await anext(stream) for _ in range(4)]
    assert heard.count(None) == 1
    told = sorted((order for order in heard if order), key=lambda order: (order.kind, order.status))
    assert [(order.kind, order.status) for order in told] == [
        (OrderKind.LIMIT, ExecutionStatus.FILLED), (OrderKind.LIMIT, ExecutionStatus.OPEN),
        (OrderKind.STOP, ExecutionStatus.CANCELLED),
    ]  # fmt: skip
    assert told[0].fee_base == Quantity.of("0.00001")
    assert told[0].client_order_id == "b15"


@pytest.mark.parametrize(
    ("base_url", "demo", "given", "expected"),
    [
        ("https://www.okx.com", False, None, "wss://ws.okx.com:8443"),
        ("https://www.okx.com", True, None, "wss://wspap.okx.com:8443"),
        ("https://eea.okx.com", False, None, "wss://wseea.okx.com:8443"),
        ("https://eea.okx.com", True, None, "wss://wseeapap.okx.com:8443"),
        ("http://127.0.0.1:8080", False, None, "ws://127.0.0.1:8080"),
        ("https://proxy.example:444", False, None, "wss://proxy.example:444"),
        ("https://www.okx.com", False, "wss://elsewhere.example/", "wss://elsewhere.example"),
    ],
)
def test_where_the_stream_is(base_url, demo, given, expected):
    assert OkxOptions(demo=demo, stream_url=given).stream_origin(base_url) == expected


async def test_connections_are_opened_no_faster_than_okx_allows():
    async with okx_lab() as lab:
        async with aclosing(lab.account.stream()) as first, aclosing(lab.account.stream()) as second:
            assert [await anext(first), await anext(second)] == [None, None]
        assert sum(lab.time.slept) == pytest.approx(1 / 3 + 1 / 3 + 1 / 3, rel=0.01), "three a second, four in all"


@pytest.mark.parametrize("wrong", ["key", "secret", "passphrase"])
async def test_wrong_credentials_are_refused_by_the_simulated_venue(wrong):
    async with okx_lab() as lab:
        words = {"key": lab.keys.key, "secret": lab.keys.secret, "passphrase": lab.keys.passphrase}
        words[wrong] = words[wrong][:-1] + ("0" if words[wrong][-1] != "0" else "1")
        account = lab.venue.connect_account(ALICE, words["key"], words["secret"], words["passphrase"])
        async with aclosing(account.stream()) as stream:
            with pytest.raises(CredentialsRejected):
                await everything(stream)


async def test_login_with_a_wrong_clock_fails_and_the_clock_is_read_anew():
    async with okx_lab() as lab:
        real = lab.sim.clock
        lab.sim.clock = lambda: real() + 60
        lab.time.now_s += 5
        async with aclosing(lab.account.stream()) as stream:
            with pytest.raises(VenueUnavailable, match="60006"):
                await everything(stream)
        async with aclosing(lab.account.stream()) as stream:
            assert await anext(stream) is None


async def test_order_that_was_triggered_and_cannot_be_read_is_for_others_to_look_up(caplog):
    async with okx_lab() as lab, aclosing(lab.account.stream()) as stream:
        assert await anext(stream) is None
        await lab.account.place(waiting(), let_through)
        assert (await anext(stream)).status is ExecutionStatus.OPEN
        lab.fault("error", when="before", method="GET /trade/order-algo", error="50001")
        lab.sim.set_price("BTC/USDT", Decimal(47_900))
        async with asyncio.timeout(WAIT_S):
            assert await anext(stream) is None
        assert "could not be read" in caplog.text
        lab.sim.faults.remove()
        async with asyncio.timeout(WAIT_S):
            while (order := await anext(stream)) is None or order.status is not ExecutionStatus.FILLED:
                pass
