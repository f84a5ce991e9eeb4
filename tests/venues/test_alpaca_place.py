"""Placing an order against a venue that says anything: the outcome never claims more than was answered."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from alpaca_lab import AAPL, OPTIONS, accepted, at_raw_server, order_object, refused, ticket
from kraken_lab import RawServer, counting_gate, http, open_gate

from copytrade.domain.errors import SendStopped, VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.order import Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, NotSent, RefusedByVenue, Unknown

STOP = SendStopped(Reason.KILL_SWITCH, "for the test")
QUICK = replace(OPTIONS, request_timeout_s=0.3)
HTML = "<html><body>502 Bad Gateway</body></html>"
ORDER_ID = "38e482f3-79a8-4f75-a057-f07a1ec6a397"
UNIQUE = refused("422 Unprocessable Entity", "client_order_id must be unique", 40010001)
NOT_FOUND = refused("404 Not Found", "order not found for it", 40410000)
LIMITED = "X-Ratelimit-Limit: 200\r\nX-Ratelimit-Remaining: 0\r\nX-Ratelimit-Reset: {}\r\n"


def reset_in(seconds: float) -> str:
    return LIMITED.format(int(datetime.now(UTC).timestamp() + seconds))


async def test_fields_of_a_market_order():
    async with at_raw_server(accepted()) as (server, account):
        outcome = await account.place(ticket(quantity="0.00012300"), open_gate)
        assert isinstance(outcome, Accepted)
        assert outcome.venue_order_id == ORDER_ID
        assert outcome.sent_at <= outcome.at
        assert server.heard[0].head.startswith("POST /v2/orders HTTP/1.1")
        assert json.loads(server.heard[0].body) == {
            "symbol": "BTC/USD", "qty": "0.000123", "side": "buy", "type": "market", "time_in_force": "gtc",
            "client_order_id": ticket().order_id,
        }  # fmt: skip


async def test_fields_of_a_limit_order_that_fills_at_once_or_not():
    order = ticket(side=Side.SELL, limit="49750.1")
    async with at_raw_server(accepted(order)) as (server, account):
        await account.place(order, open_gate)
        fields = json.loads(server.heard[0].body)
        assert (fields["type"], fields["time_in_force"], fields["limit_price"]) == ("limit", "ioc", "49750.1")
        assert fields["side"] == "sell"


async def test_stock_order_is_good_for_the_day_as_fractions_must_be():
    order = ticket(instrument=AAPL, quantity="0.125")
    async with at_raw_server(accepted(order)) as (server, account):
        assert isinstance(await account.place(order, open_gate), Accepted)
        fields = json.loads(server.heard[0].body)
        assert (fields["symbol"], fields["qty"], fields["time_in_force"]) == ("AAPL", "0.125", "day")


@pytest.mark.parametrize(
    "answer",
    [
        http(HTML), http(HTML, "502 Bad Gateway"), http("", "504 Gateway Timeout"), http(HTML, "429 Too Many Requests"),
        http(HTML, "403 Forbidden"), http("", "500 Internal Server Error"),
        refused("500 Internal Server Error", "insufficient balance for USD", 50010000),
        refused("503 Service Unavailable", "client_order_id must be unique", 40010001),
        refused("429 Too Many Requests", "rate limit exceeded", 42910000),
        refused("408 Request Timeout", "request timeout", 40810000),
        refused("422 Unprocessable Entity", "request timed out, please try again", 42210000),
        refused("403 Forbidden", "blocked by a filter"), refused("404 Not Found", "no such page"), UNIQUE,
        refused("400 Bad Request", "client_order_id must be unique", 40010001),
        http({"code": 40310000}, "403 Forbidden"), http("[]", "403 Forbidden"), http("{}", "403 Forbidden"),
        http("", "302 Found", "Location: /elsewhere\r\n"), b"HTTP/1.1 204 No Content\r\n\r\n",
        http(""), http('{"id":"38e4'), http(b"\xff\xfe"), http("[]"), http("null"), http("7"), http("{}"),
        http({"message": "insufficient balance for USD", "code": 40310000}), http({"id": ORDER_ID}),
        accepted(ticket("another")), accepted(id=7), accepted(id=""), accepted(id=None), accepted(id="x" * 65),
        http(json.dumps([order_object()])), http("[" * 100_000), http('{"id":"x","n":' + "9" * 5000 + "}"),
        http('{"id":"x","n":NaN}'), http(b"x" * 10_000_000), b"nonsense\r\n\r\n", None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", RawServer.hang,
    ],
    ids=lambda answer: "drop" if answer is None else repr(answer[:40].partition(b"\r\n")[0]) + str(len(answer)),
)  # fmt: skip
async def test_no_trustworthy_answer_is_unknown_and_is_not_sent_again(answer):
    before = datetime.now(UTC)
    async with at_raw_server(answer, options=QUICK) as (server, account):
        outcome = await account.place(ticket(), open_gate)
        assert isinstance(outcome, Unknown), outcome
        assert len(server.heard) == 1
        assert before <= outcome.sent_at <= outcome.at
        assert account.absence_wait_s == 30
        assert outcome.absent_after == outcome.at + timedelta(seconds=30)


async def test_exit_is_sent_again_sooner_as_its_id_makes_that_harmless():
    async with at_raw_server(None) as (_, account):
        outcome = await account.place(ticket(side=Side.SELL), open_gate)
        assert outcome.absent_after == outcome.at + timedelta(seconds=5)


async def test_id_that_is_taken_is_an_order_of_ours_to_be_found():
    async with at_raw_server(UNIQUE, http(order_object())) as (_, account):
        outcome = await account.place(ticket(), open_gate)
        assert isinstance(outcome, Unknown)
        assert (await account.find(ticket(), outcome.sent_at, ())).venue_order_id == ORDER_ID


async def test_id_that_is_taken_is_never_proved_absent():
    async with at_raw_server(UNIQUE, NOT_FOUND, http("[]"), http("[]"), http(order_object())) as (_, account):
        outcome = await account.place(ticket(), open_gate)
        with pytest.raises(VenueUnavailable, match="does not show it"):
            await account.find(ticket(), outcome.sent_at, ())
        assert (await account.find(ticket(), outcome.sent_at, ())).venue_order_id == ORDER_ID
        assert len(account._taken) == 0


@pytest.mark.parametrize(
    ("message", "code", "status", "reason"),
    [
        ("insufficient balance for USD (requested: 50, available: 1)", 40310000, "403 x", Reason.INSUFFICIENT_FUNDS),
        ("cost basis must be >= minimal amount of order 10", 40310000, "403 x", Reason.BELOW_MINIMUM),
        ("invalid crypto time_in_force", 42210000, "422 x", Reason.INVALID_ORDER),
    ],
)
async def test_venues_word_is_a_refusal(message, code, status, reason):
    async with at_raw_server(refused(status, message, code)) as (_, account):
        outcome = await account.place(ticket(), open_gate)
        assert isinstance(outcome, RefusedByVenue)
        assert (outcome.reason, outcome.parks_account, outcome.retry_after_s) == (reason, False, None)
        assert message in outcome.detail


async def test_escaped_signs_are_read():
    raw = b'{"code":40310000,"message":"cost basis must be \\u003e= minimal amount of order 10"}'
    async with at_raw_server(http(raw, "403 Forbidden")) as (_, account):
        assert (await account.place(ticket(), open_gate)).reason is Reason.BELOW_MINIMUM


async def test_limiters_own_word_is_a_refusal_and_holds_the_next_order_back():
    limited = refused("429 Too Many Requests", "rate limit exceeded", 42910000, reset_in(20))
    async with at_raw_server(limited, accepted()) as (_, account):
        outcome = await account.place(ticket(), open_gate)
        assert isinstance(outcome, RefusedByVenue)
        assert outcome.reason is Reason.RATE_LIMITED
        assert 15 < outcome.retry_after_s <= 20
        assert account.wait_s(ticket(side=Side.SELL)) == pytest.approx(outcome.retry_after_s, abs=2)


async def test_refused_connection_is_not_sent():
    async with at_raw_server(accepted()) as (server, account):
        server._server.close()
        await server._server.wait_closed()
        assert isinstance(await account.place(ticket(), open_gate), NotSent)


@pytest.mark.parametrize("stop_at", [1, 2], ids=["before signing", "with the connection"])
async def test_gate_stops_at_both_points_and_nothing_arrives(stop_at):
    async with at_raw_server(accepted()) as (server, account):
        gate, calls = counting_gate(stop_at, STOP)
        with pytest.raises(SendStopped):
            await account.place(ticket(), gate)
        assert len(calls) == stop_at
        assert server.bytes_in == 0
        assert isinstance(await account.place(ticket(), open_gate), Accepted)


async def test_budget_counts_orders_and_keeps_a_reserve_for_exits():
    async with at_raw_server(refused("403 Forbidden", "insufficient buying power", 40310000)) as (server, account):
        for _ in range(161):  # four fifths of 200 are for entries
            await account.place(ticket(), open_gate)
        assert account.wait_s(ticket()) > 0
        assert account.wait_s(ticket(side=Side.SELL)) == 0
        assert len(server.heard) == 161


async def test_read_that_is_limited_says_when_to_come_again():
    limited = refused("429 Too Many Requests", "rate limit exceeded", 42910000, reset_in(20))
    async with at_raw_server(limited) as (server, account):
        with pytest.raises(VenueRefusedRead) as error:
            await account.execution(ORDER_ID)
        assert 15 <= error.value.retry_after_s <= 20
        assert len(server.heard) == 1


async def test_slow_read_delays_no_order():
    async with at_raw_server(RawServer.hang, accepted()) as (server, account):
        read = asyncio.create_task(account.execution(ORDER_ID))
        await server.arrived.wait()
        assert isinstance(await account.place(ticket(), open_gate), Accepted)
        assert not read.done()
        read.cancel()
        await asyncio.gather(read, return_exceptions=True)


async def test_cancelled_task_leaves_no_verdict_and_the_account_usable():
    async with at_raw_server(RawServer.hang, accepted(ticket("two"))) as (server, account):
        task = asyncio.create_task(account.place(ticket(), open_gate))
        await server.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await account.place(ticket("two"), open_gate), Accepted)


@pytest.mark.parametrize(
    "answer",
    [
        http("[]"), http("{}"), http(order_object(status="a_new_word")), http(order_object(filled_qty="-1")),
        http(order_object(filled_qty="much")), http(order_object(filled_avg_price=None)), http(order_object(id="else")),
        NOT_FOUND,
    ],
    ids=range(8),
)  # fmt: skip
async def test_order_that_cannot_be_read_is_an_error(answer):
    async with at_raw_server(answer) as (_, account):
        with pytest.raises(VenueError):
            await account.execution(ORDER_ID)


async def test_json_numbers_keep_their_digits():
    raw = json.dumps(order_object(filled_avg_price="0")).replace('"0.001"', "0.12345678901234567890")
    async with at_raw_server(http(raw)) as (_, account):
        assert str((await account.execution(ORDER_ID)).quantity) == "0.1234567890123456789"


async def test_cancel_of_what_is_over_or_unknown():
    over = refused("422 Unprocessable Entity", 'order is already in "filled" state', 42210000)
    shown = http(order_object(id=ORDER_ID))  # a second look: it might have been replaced, or be a list
    async with at_raw_server(over, shown, b"HTTP/1.1 204 No Content\r\n\r\n", NOT_FOUND) as (server, account):
        await account.cancel(ORDER_ID)
        await account.cancel(ORDER_ID)
        with pytest.raises(VenueError, match="not found"):
            await account.cancel(ORDER_ID)
        assert server.heard[0].head.startswith(f"DELETE /v2/orders/{ORDER_ID} ")
