"""Binance's private stream: where it is, how it is asked for, what its events say and what its ends look like."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from binance_lab import ALICE, BTC_USDT, KEY, OPTIONS, SECRET, at_raw_server, binance_lab, order_row
from kraken_lab import Time, http, utc_now
from resting_contract import let_through

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueUnavailable
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind
from copytrade.domain.venue import ExecutionStatus
from copytrade.venues.binance.changes import Changes
from copytrade.venues.binance.options import BinanceOptions
from copytrade.venues.binance.public import BinanceVenue

BRISK = replace(OPTIONS, stream_ping_s=0.3, stream_connects_per_s=100.0, request_timeout_s=2.0)
CONFIRMED = {"id": "stream", "status": 200, "result": {"subscriptionId": 0}, "rateLimits": []}
WAIT_S = 10.0


@asynccontextmanager
async def at_stream(*said: Any) -> AsyncIterator[tuple[Any, list[Any]]]:
    """An account whose venue's stream says these things, and what it was asked; a callable makes the connection act."""
    asked: list[Any] = []

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        asked.append((request.path, json.loads((await socket.receive()).data)))
        for each in said:
            if callable(each):
                await each(socket)
            else:
                await socket.send_str(each if isinstance(each, str) else json.dumps(each))
        await socket.close()
        return socket

    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    options = replace(BRISK, stream_url=f"ws://127.0.0.1:{port}")
    time = Time()
    venue = BinanceVenue(
        "http://127.0.0.1:9", options, clock=utc_now, monotonic=time, rng=random.Random(7), sleep=time.sleep
    )
    venue.symbols.add(BTC_USDT)
    venue.compare_clock(round(utc_now().timestamp() * 1000), utc_now(), utc_now())
    try:
        yield venue.connect_account(ALICE, KEY, SECRET), asked
    finally:
        await venue.close()
        await runner.cleanup()


async def heard(account) -> tuple[list[Any], VenueError]:
    """Everything that the stream yields, and the error that ends it."""
    orders = []
    async with asyncio.timeout(WAIT_S), aclosing(account.stream()) as stream:
        try:
            async for order in stream:
                orders.append(order)
        except VenueError as error:
            return orders, error
    raise AssertionError("the stream ended without an error")


def report(**changes: Any) -> dict[str, Any]:
    """An executionReport of a limit order, as Binance words it."""
    event = {
        "e": "executionReport", "E": 1784635200100, "s": "BTCUSDT", "c": "mine", "S": "BUY", "o": "LIMIT", "f": "GTC",
        "q": "0.00200000", "p": "49000.00000000", "P": "0.00000000", "F": "0.00000000", "g": -1, "C": "", "x": "NEW",
        "X": "NEW", "r": "NONE", "i": 28, "l": "0.00000000", "z": "0.00000000", "L": "0.00000000", "n": "0", "N": None,
        "T": 1784635200100, "t": -1, "I": 1, "w": True, "m": False, "M": False, "O": 1784635200000, "Z": "0.00000000",
        "Y": "0.00000000", "Q": "0.00000000", "W": 1784635200000, "V": "NONE", **changes,
    }  # fmt: skip
    return {"subscriptionId": 0, "event": event}


def trade(number: int, total: str, status: str) -> dict[str, Any]:
    return report(
        x="TRADE", X=status, l="0.001", z=total, L="49000", Y="49", n="0.000001", N="BTC", t=number, m=True
    )


# -- where and how ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_url", "stream_url", "expected"),
    [
        ("https://api.binance.com", None, "wss://ws-api.binance.com:443/ws-api/v3"),
        ("https://api3.binance.com", None, "wss://ws-api.binance.com:443/ws-api/v3"),
        ("https://testnet.binance.vision", None, "wss://ws-api.testnet.binance.vision/ws-api/v3"),
        ("http://127.0.0.1:8080", None, "ws://127.0.0.1:8080/ws-api/v3"),
        ("https://api.binance.com", "wss://ws-api.binance.com:9443", "wss://ws-api.binance.com:9443/ws-api/v3"),
    ],
)
async def test_stream_is_where_it_belongs_to_the_base_url(base_url, stream_url, expected):
    venue = BinanceVenue(base_url, BinanceOptions(stream_url=stream_url), clock=utc_now)
    assert venue.stream_url == expected
    await venue.close()


async def test_subscription_is_signed_over_its_parameters_in_order():
    async with at_stream(CONFIRMED) as (account, asked):
        orders, _ = await heard(account)
    assert orders == [None]
    ((path, request),) = asked
    assert (path, request["method"]) == ("/ws-api/v3", "userDataStream.subscribe.signature")
    sent = request["params"]
    signature = sent.pop("signature")
    assert sorted(sent) == ["apiKey", "recvWindow", "timestamp"]
    assert isinstance(sent["timestamp"], int)
    text = "&".join(f"{name}={sent[name]}" for name in sorted(sent))
    assert signature == hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()


async def test_streams_of_many_accounts_are_opened_one_after_the_other():
    """Binance allows an address 300 connections in five minutes."""
    async with at_stream(CONFIRMED) as (account, asked):
        venue = account._venue
        venue._stream_pace = type(venue._stream_pace)(0.9, venue.monotonic)
        for _ in range(3):
            await heard(account)
        slept = sum(venue._sleep.__self__.slept)
    assert len(asked) == 3
    assert 2 / 0.9 - 0.01 <= slept <= 2 / 0.9 + 0.01


# -- refusals and ends ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(401, -2015, CredentialsRejected), (400, -1022, CredentialsRejected), (401, -2014, CredentialsRejected)],
)
async def test_refused_key_is_told_as_such(status, code, kind):
    answer = {"id": "stream", "status": status, "error": {"code": code, "msg": "no"}}
    async with at_stream(answer) as (account, _):
        orders, error = await heard(account)
    assert orders == []
    assert isinstance(error, kind)
    assert KEY not in str(error)


async def test_wrong_time_makes_the_clock_be_asked_for():
    answer = {"id": "stream", "status": 400, "error": {"code": -1021, "msg": "Timestamp for this request"}}
    async with at_stream(answer) as (account, _):
        await heard(account)
        assert account._venue._clock_doubted


async def test_limit_of_weight_stops_every_account_for_as_long_as_is_said():
    error = {"code": -1003, "msg": "Too much", "data": {"serverTime": 1_000_000, "retryAfter": 1_040_500}}
    async with at_stream({"id": "stream", "status": 429, "error": error}) as (account, _):
        await heard(account)
        assert account._venue.address.wait_s(1, 0.0) == 41


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "other", "status": 200, "result": {"subscriptionId": 0}},
        {"id": "stream", "status": 200, "result": {}},
        {"id": "stream", "status": 500},
        report(),
        "[]",
        "half of it {",
    ],
)
async def test_answer_that_confirms_nothing_is_an_error(answer):
    async with at_stream(answer) as (account, _):
        orders, error = await heard(account)
    assert orders == []
    assert isinstance(error, VenueUnavailable)


@pytest.mark.parametrize(
    "event",
    [
        {"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": 1}}, {"e": "serverShutdown", "E": 1},
        {"subscriptionId": 0, "event": {"e": "serverShutdown", "E": 1}}, {"subscriptionId": 0}, {"event": []}, "{",
        {"subscriptionId": 0, "event": {"e": "executionReport", "s": "BTCUSDT"}}, report(X="FROM_TOMORROW"),
        {"subscriptionId": 0, "event": {"e": "listStatus", "s": "BTCUSDT", "g": 7, "O": "none"}},
    ],
)  # fmt: skip
async def test_end_that_is_announced_and_what_is_no_event_end_the_stream(event):
    async with at_stream(CONFIRMED, event, report()) as (account, _):
        orders, error = await heard(account)
    assert orders == [None], "nothing after it counts"
    assert isinstance(error, VenueUnavailable)


async def test_ping_is_answered_with_what_it_said():
    answers = []

    async def ping(socket):
        await socket.ping(b"1784635200100")
        answers.append(await socket.receive())

    async with at_stream(CONFIRMED, ping, report()) as (account, _):
        orders, _ = await heard(account)
    assert len(orders) == 2
    assert [(answer.type, bytes(answer.data)) for answer in answers] == [(WSMsgType.PONG, b"1784635200100")]


async def test_events_about_other_things_are_passed_over():
    others = ["outboundAccountPosition", "balanceUpdate", "externalLockUpdate", "somethingNew"]
    events = [{"subscriptionId": 0, "event": {"e": kind, "E": 1}} for kind in others]
    async with at_stream(CONFIRMED, *events, report(s="NOSUCH"), report()) as (account, _):
        orders, _ = await heard(account)
    assert [order and order.venue_order_id for order in orders] == [None, "BTCUSDT:28"]


# -- what events say --------------------------------------------------------------------------------------------------


async def test_fills_add_up_from_their_events_without_a_question():
    """The venue of this account answers no request at all."""
    told = [report(), trade(1, "0.001", "PARTIALLY_FILLED"), trade(1, "0.001", "PARTIALLY_FILLED")]
    async with at_stream(CONFIRMED, *told, trade(2, "0.002", "FILLED")) as (account, _):
        (_, new, half, again, whole), _ = await heard(account)
    assert (new.status, new.filled, new.kind) == (ExecutionStatus.OPEN, Quantity.of(0), OrderKind.LIMIT)
    assert (half.filled, half.cost.value, half.fee_base) == (Quantity.of("0.001"), 49, Quantity.of("0.000001"))
    assert again.filled == half.filled, "told twice, a trade counts once"
    assert (whole.status, whole.filled, whole.cost.value) == (ExecutionStatus.FILLED, Quantity.of("0.002"), 98)
    assert (whole.fee.value, whole.fee_base) == (0, Quantity.of("0.000002"))
    assert whole.client_order_id == "mine"


async def test_cancel_is_told_under_the_orders_own_id():
    async with at_stream(CONFIRMED, report(x="CANCELED", X="CANCELED", c="of_the_cancel", C="mine")) as (account, _):
        (_, order), _ = await heard(account)
    assert (order.client_order_id, order.status) == ("mine", ExecutionStatus.CANCELLED)


async def test_fill_whose_earlier_trades_were_not_told_is_looked_up(caplog):
    """Where that fails, the caller is told to look by itself."""
    async with at_stream(CONFIRMED, trade(2, "0.002", "FILLED")) as (account, _):
        orders, _ = await heard(account)
    assert orders == [None, None]
    assert "could not be read" in caplog.text


async def test_order_that_filled_in_part_before_the_stream_was_up_is_told_whole():
    async with binance_lab(BRISK, fill_parts=2, fill_delay_ms=60_000) as lab:
        order = replace(lab.order(quantity="0.01"), kind=OrderKind.LIMIT, limit_price=Price.of(49_000))
        placed = await lab.account.place(order, let_through)
        lab.time.now_s += 120
        lab.sim.set_price("BTC/USDT", Decimal(48_900))
        async with asyncio.timeout(WAIT_S), aclosing(lab.account.stream()) as stream:
            assert await anext(stream) is None
            lab.time.now_s += 60
            told = await anext(stream)
            assert (told.status, told.filled) == (ExecutionStatus.FILLED, Quantity.of("0.01"))
            execution = await lab.account.execution(placed.venue_order_id)
            assert (told.cost, told.fee_base) == (execution.cost, execution.fee_base)


async def test_bracket_is_told_as_one_order_at_every_step():
    async with binance_lab(BRISK) as lab:
        order = replace(
            lab.order(quantity="0.01"), kind=OrderKind.BRACKET, limit_price=Price.of(48_000),
            stop_price=Price.of(52_000),
        )  # fmt: skip
        async with asyncio.timeout(WAIT_S), aclosing(lab.account.stream()) as stream:
            assert await anext(stream) is None
            placed = await lab.account.place(order, let_through)
            steps = [await anext(stream)]
            lab.sim.set_price("BTC/USDT", Decimal(52_100))
            while steps[-1].status is ExecutionStatus.OPEN:
                steps.append(await anext(stream))
        assert {step.venue_order_id for step in steps} == {placed.venue_order_id}
        assert {step.client_order_id for step in steps} == {order.order_id}
        assert {step.kind for step in steps} == {OrderKind.BRACKET}
        assert (steps[-1].status, steps[-1].cost.value) == (ExecutionStatus.FILLED, 521)


@pytest.mark.parametrize(("state", "asks_again"), [("EXECUTING", False), ("ALL_DONE", True)])
async def test_answer_that_is_older_than_the_end_of_its_list_is_to_be_looked_for_again(state, asks_again):
    legs = [
        order_row(orderId=1, orderListId=7, type="LIMIT_MAKER", side="SELL", clientOrderId="a"),
        order_row(orderId=2, orderListId=7, type="STOP_LOSS", side="SELL", clientOrderId="b", stopPrice="48000"),
    ]
    event = {"e": "listStatus", "s": "BTCUSDT", "g": 7, "L": state, "O": [{"s": "BTCUSDT", "i": n} for n in (1, 2)]}
    async with at_raw_server(*map(http, legs)) as (_, account, _venue):
        told = await Changes(ALICE, account._executions, account._listing).read(event)
    assert told[0].status is ExecutionStatus.OPEN
    assert told[1:] == ([None] if asks_again else [])
