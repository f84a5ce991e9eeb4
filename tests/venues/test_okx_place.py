"""Placing an order against a venue that says anything: the outcome never claims more than was answered."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from kraken_lab import RawServer, counting_gate, http, open_gate
from okx_lab import (
    KEY,
    OPTIONS,
    PASSPHRASE,
    SECRET,
    at_raw_server,
    body,
    envelope,
    headers,
    okx_ticket,
    refused,
    row,
    taken,
)

from copytrade.domain.errors import SendStopped, VenueError, VenueUnavailable
from copytrade.domain.order import Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, ExecutionStatus, NotSent, RefusedByVenue, Unknown

STOP = SendStopped(Reason.KILL_SWITCH, "for the test")
QUICK = replace(OPTIONS, request_timeout_s=0.3)
HTML = "<html><body>502 Bad Gateway</body></html>"
ID = okx_ticket().order_id
ORDER_ID = "312269865356374016"


async def test_request_of_a_market_order():
    async with at_raw_server(taken()) as (server, account, _):
        outcome = await account.place(okx_ticket(quantity="0.00012300"), open_gate)
        assert isinstance(outcome, Accepted)
        assert outcome.venue_order_id == f"BTC-USDT:{ORDER_ID}"
        assert outcome.sent_at <= outcome.at
        heard = server.heard[0]
        assert heard.head.split("\r\n")[0] == "POST /api/v5/trade/order HTTP/1.1"
        assert body(heard) == {
            "instId": "BTC-USDT", "tdMode": "cash", "side": "buy", "ordType": "market", "sz": "0.000123",
            "clOrdId": ID, "tgtCcy": "base_ccy", "banAmend": True,
        }  # fmt: skip
        sent = headers(heard)
        assert (sent["x-simulated-trading"], sent["content-type"]) == ("0", "application/json")
        stamped = datetime.fromisoformat(sent["ok-access-timestamp"])
        expires = datetime.fromtimestamp(int(sent["exptime"]) / 1000, UTC)
        assert abs(expires - stamped - timedelta(seconds=5)) <= timedelta(milliseconds=1)


async def test_request_of_a_limit_order_that_fills_at_once_or_not():
    async with at_raw_server(taken()) as (server, account, _):
        await account.place(okx_ticket(side=Side.SELL, limit="49750.1"), open_gate)
        sent = body(server.heard[0])
        assert (sent["ordType"], sent["px"], sent["side"]) == ("ioc", "49750.1", "sell")
        assert {"tgtCcy", "banAmend"}.isdisjoint(sent)


@pytest.mark.parametrize(
    "answer",
    [
        http(HTML), http(HTML, "502 Bad Gateway"), http("", "504 Gateway Timeout"), http(HTML, "429 Too Many Requests"),
        envelope("50001", status="503 Service Unavailable"), envelope("50004", status="400 Bad Request"),
        envelope("50013", status="429 Too Many Requests"), envelope("50026", status="500 Internal Server Error"),
        envelope("51008", status="502 Bad Gateway"), envelope("51016"), envelope("50071"), envelope("51011"),
        envelope("59999"), envelope("51999"), envelope("60000"), envelope(""), envelope("x"),
        http("", "302 Found", "Location: /elsewhere\r\n"), b"HTTP/1.1 204 No Content\r\n\r\n",
        http(""), http('{"code":"0","data":[{"ordI'), http(b"\xff\xfe"), http("[]"), http("null"), http("7"),
        http("{}"),
        http({"code": 0, "msg": "", "data": []}), http({"code": "0", "msg": ""}), http({"code": "0", "data": None}),
        http({"code": "0", "data": {}}), envelope("0"), envelope("0", [None]), envelope("0", ["x"]),
        envelope("0", [row(ID)]), envelope("0", [row(ID, order_id="x")]), envelope("0", [row(ID, order_id="9" * 41)]),
        envelope("0", [row("somebodyelses", order_id=ORDER_ID)]), envelope("0", [row("", order_id=ORDER_ID)]),
        envelope("0", [row(ID, order_id=ORDER_ID), row(ID, order_id="4")]),
        envelope("0", [{"ordId": ORDER_ID, "clOrdId": ID}]), envelope("0", [{"ordId": 7, "clOrdId": ID, "sCode": "0"}]),
        envelope("1", [row(ID, order_id=ORDER_ID)]), envelope("1"),
        envelope("1", [row(ID, order_id="3", code="51008")]),
        envelope("1", [row(ID, code="51016")]), envelope("1", [row(ID, code="51054", message="Request timed out")]),
        envelope("1", [row(ID, code="51999", message="Please try again")]), envelope("1", [row(ID, code="60000")]),
        envelope("1", [row(ID, code="")]), envelope("1", [row(ID, code="0")]),
        envelope("1", [row("somebodyelses", code="51008")]), envelope("2", [row(ID, order_id="3")]),
        envelope("51008", [row(ID, order_id=ORDER_ID)]), taken("another"), envelope("0", [row(ID, order_id=ORDER_ID)],
        status="404 Not Found"),
        http("[" * 100_000), http('{"code":"0","n":' + "9" * 5000 + ',"data":[]}'), http('{"code":NaN}'),
        http(b"x" * 10_000_000), b"nonsense\r\n\r\n", None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", RawServer.hang,
    ],
    ids=lambda answer: "drop" if answer is None else repr(answer[:40].partition(b"\r\n")[0]) + str(len(answer)),
)  # fmt: skip
async def test_no_trustworthy_answer_is_unknown_and_is_not_sent_again(answer):
    started = datetime.now(UTC)
    async with at_raw_server(answer, options=QUICK) as (server, account, _):
        outcome = await account.place(okx_ticket(), open_gate)
        assert isinstance(outcome, Unknown), outcome
        assert len(server.heard) == 1
        assert started <= outcome.sent_at <= outcome.at
        # OKX's clock was never read here, so ours may be off by the whole window of a timestamp.
        assert account.absence_wait_s == 5 + 30 + 2
        expected = started + timedelta(seconds=account.absence_wait_s)
        assert expected <= outcome.absent_after <= expected + timedelta(seconds=5)


REFUSALS = {
    refused("51008", "Order failed. Insufficient USDT balance in account"): Reason.INSUFFICIENT_FUNDS,
    refused("51020"): Reason.BELOW_MINIMUM,
    refused("51121"): Reason.INVALID_ORDER,
    refused("51001"): Reason.NOT_LISTED,
    refused("51006"): Reason.VENUE_REFUSED,
    refused("51155", "You can't trade this pair due to local laws"): Reason.VENUE_REFUSED,
    refused("50037", "Order expired"): Reason.DEADLINE_ELAPSED,
    refused("50061"): Reason.RATE_LIMITED,
    envelope("0", [row(ID, code="51008")]): Reason.INSUFFICIENT_FUNDS,  # success outside, failure in the row
    envelope("1", [row("", code="51008")]): Reason.INSUFFICIENT_FUNDS,
    envelope("50036"): Reason.DEADLINE_ELAPSED,
    envelope("50011", status="429 Too Many Requests"): Reason.RATE_LIMITED,
    envelope("50011"): Reason.RATE_LIMITED,
    envelope("51000", status="400 Bad Request"): Reason.INVALID_ORDER,
    envelope("50102", status="401 Unauthorized"): Reason.DEADLINE_ELAPSED,
    http({"msg": "Timestamp request expired", "code": "50102"}, "401 Unauthorized"): Reason.DEADLINE_ELAPSED,
    envelope("50113", status="401 Unauthorized"): Reason.BAD_KEY,
    envelope("50119"): Reason.BAD_KEY,
    envelope("50120"): Reason.NO_PERMISSION,
    envelope("50110", status="401 Unauthorized"): Reason.NO_PERMISSION,
    refused("51024"): Reason.LOCKED_OUT,
}
PARKING = (Reason.BAD_KEY, Reason.NO_PERMISSION, Reason.LOCKED_OUT)
PASSING = (Reason.RATE_LIMITED, Reason.DEADLINE_ELAPSED)


@pytest.mark.parametrize(("answer", "reason"), REFUSALS.items(), ids=lambda each: repr(each)[:60])
async def test_definite_word_is_a_refusal(answer, reason):
    async with at_raw_server(answer) as (server, account, _):
        outcome = await account.place(okx_ticket(), open_gate)
        assert isinstance(outcome, RefusedByVenue), outcome
        assert outcome.reason is reason
        assert outcome.parks_account is (reason in PARKING)
        assert (outcome.retry_after_s is not None) is (reason in PASSING)
        assert len(server.heard) == 1


async def test_answer_given_before_is_not_the_answer_to_another_order():
    async with at_raw_server(taken()) as (_, account, _):
        assert isinstance(await account.place(okx_ticket(), open_gate), Accepted)
        outcome = await account.place(okx_ticket("two"), open_gate)
        assert isinstance(outcome, Unknown)
        assert "another order" in outcome.detail


async def test_refused_connection_is_not_sent():
    async with at_raw_server(taken()) as (server, account, _):
        server._server.close()
        await server._server.wait_closed()
        assert isinstance(await account.place(okx_ticket(), open_gate), NotSent)
        assert account.wait_s(okx_ticket()) == 0


@pytest.mark.parametrize("stop_at", [1, 2], ids=["before signing", "with the connection"])
async def test_gate_stops_at_both_points_and_nothing_arrives(stop_at):
    async with at_raw_server(taken()) as (server, account, _):
        gate, calls = counting_gate(stop_at, STOP)
        with pytest.raises(SendStopped):
            await account.place(okx_ticket(), gate)
        assert len(calls) == stop_at
        assert server.bytes_in == 0
        assert isinstance(await account.place(okx_ticket(), open_gate), Accepted)


async def test_slow_read_delays_no_order():
    async with at_raw_server(RawServer.hang, taken()) as (server, account, _):
        read = asyncio.create_task(account.check_key())
        await server.arrived.wait()
        assert isinstance(await account.place(okx_ticket(), open_gate), Accepted)
        assert not read.done()
        read.cancel()
        await asyncio.gather(read, return_exceptions=True)


async def test_cancelled_task_leaves_no_verdict_and_the_account_usable():
    async with at_raw_server(RawServer.hang, taken("two")) as (server, account, _):
        task = asyncio.create_task(account.place(okx_ticket(), open_gate))
        await server.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await account.place(okx_ticket("two"), open_gate), Accepted)


async def test_doubted_clock_is_read_before_the_next_order_is_signed():
    ahead_ms = int((datetime.now(UTC).timestamp() + 100) * 1000)
    script = (envelope("50102", status="401 Unauthorized"), envelope("0", [{"ts": str(ahead_ms)}]), taken())
    async with at_raw_server(*script) as (server, account, venue):
        assert (await account.place(okx_ticket(), open_gate)).reason is Reason.DEADLINE_ELAPSED
        assert isinstance(await account.place(okx_ticket(), open_gate), Accepted)
        assert [heard.head.split()[1] for heard in server.heard] == [
            "/api/v5/trade/order", "/api/v5/public/time", "/api/v5/trade/order",
        ]  # fmt: skip
        first, last = (datetime.fromisoformat(headers(server.heard[at])["ok-access-timestamp"]) for at in (0, 2))
        assert timedelta(seconds=95) < last - first < timedelta(seconds=110)
        assert venue.offset > timedelta(seconds=95)


async def test_nothing_shows_key_secret_or_passphrase(caplog):
    caplog.set_level("DEBUG")
    async with at_raw_server(b"nonsense\r\n\r\n", options=QUICK) as (_, account, _):
        outcome = await account.place(okx_ticket(), open_gate)
        with pytest.raises(VenueUnavailable) as error:
            await account.check_key()
        shown = repr(outcome) + repr(account) + repr(vars(account)) + str(error.getrepr()) + caplog.text
        for word in (KEY, SECRET, PASSPHRASE, "OK-ACCESS"):
            assert word not in shown


# -- reading an order ------------------------------------------------------------------------------------------------


def order(**changes):
    return {
        "instId": "BTC-USDT", "ordId": "7", "clOrdId": ID, "state": "filled", "accFillSz": "0.001", "avgPx": "50000",
        "fee": "-0.000001", "feeCcy": "BTC", "sz": "0.001", "side": "buy", "cancelSourceReason": "", **changes,
    }  # fmt: skip


def listing() -> bytes:
    return envelope("0", [
        {"instType": "SPOT", "instId": "BTC-USDT", "baseCcy": "BTC", "quoteCcy": "USDT", "lotSz": "0.00000001",
         "tickSz": "0.1", "minSz": "0.00001", "state": "live"},
    ])  # fmt: skip


async def read(*answers: bytes):
    clock = envelope("0", [{"ts": str(int(datetime.now(UTC).timestamp() * 1000))}])
    async with at_raw_server(clock, listing(), *answers) as (_, account, _):
        return await account.execution("BTC-USDT:7")


@pytest.mark.parametrize(
    ("changes", "status", "quantity", "cost", "fee", "fee_base"),
    [
        ({}, "filled", "0.001", "50", "0", "0.000001"),
        ({"side": "sell", "fee": "-0.05", "feeCcy": "USDT"}, "filled", "0.001", "50", "0.05", "0"),
        ({"state": "live", "accFillSz": "0", "avgPx": "", "fee": "0", "feeCcy": "BTC"}, "open", "0", "0", "0", "0"),
        ({"state": "partially_filled", "accFillSz": "0.0004"}, "open", "0.0004", "20", "0", "0.000001"),
        ({"state": "canceled", "accFillSz": "0.0004"}, "cancelled", "0.0004", "20", "0", "0.000001"),
        ({"state": "mmp_canceled", "accFillSz": "", "avgPx": "", "fee": "", "feeCcy": ""}, "cancelled", *["0"] * 4),
        ({"fee": "0.000001"}, "filled", "0.001", "50", "0", "0"),  # a rebate
    ],
)
async def test_order_is_read(changes, status, quantity, cost, fee, fee_base):
    execution = await read(envelope("0", [order(**changes)]))
    assert execution.venue_order_id == "BTC-USDT:7"
    assert execution.status is ExecutionStatus(status)
    figures = (execution.quantity, execution.cost, execution.fee, execution.fee_base)
    assert [str(figure) for figure in figures] == [quantity, cost, fee, fee_base]


@pytest.mark.parametrize(
    "entry",
    [
        order(state="new word"), order(accFillSz="-1"), order(avgPx="much"), order(fee=None), order(avgPx=""),
        order(feeCcy="OKB"), order(ordId="8"), order(instId="ETH-USDT"), order(ordId=7), {}, [], None, "x",
    ],
    ids=repr,
)  # fmt: skip
async def test_order_that_cannot_be_read_is_an_error(entry):
    with pytest.raises(VenueError):
        await read(envelope("0", [entry]))


@pytest.mark.parametrize("answer", [envelope("0"), envelope("0", [order(), order()]), envelope("51603")])
async def test_order_that_is_not_shown_is_an_error(answer):
    with pytest.raises(VenueError):
        await read(answer)


@pytest.mark.parametrize(
    "answers",
    [
        [envelope("0")],  # no order, and no word that there is none
        [envelope("0", [order(ordId="1"), order(ordId="2")])],
        [envelope("51603"), envelope("0", [{"ordId": "1"}])],
        [envelope("51603"), envelope("0", ["x"])],
        [envelope("51603"), envelope("50001", status="503 Service Unavailable")],
        [envelope("51603"), envelope("0"), envelope("59999")],
        [envelope("51603"), envelope("0"), envelope("0"), envelope("0", [{"ordId": "7"}]), envelope("0", [{}])],
        [envelope("51603"), envelope("0"), envelope("0"), envelope("0", [{"ordId": "7", "clOrdId": ID}]),
         envelope("51603")],
        [envelope("51603"), envelope("0", [{"ordId": "7", "clOrdId": "x"}] * 100)],
    ],
)  # fmt: skip
async def test_look_up_with_a_hole_in_it_is_an_error(answers):
    async with at_raw_server(*answers, options=replace(OPTIONS, read_attempts_max=1)) as (_, account, _):
        if answers[-1] == envelope("0", [{}]):
            assert await account.find(okx_ticket(), datetime.now(UTC), ()) is None  # somebody else's trade is no hole
            return
        with pytest.raises(VenueError):
            await account.find(okx_ticket(), datetime.now(UTC), ())


async def test_two_orders_under_one_id_are_shouted_about(caplog):
    both = [order(ordId="1", accFillSz="0"), order(ordId="2")]
    script = (envelope("51603"), envelope("0"), envelope("0", both))
    async with at_raw_server(*script) as (_, account, _):
        found = await account.find(okx_ticket(), datetime.now(UTC), ())
        assert found.venue_order_id == "BTC-USDT:2"
        assert "One of them is a double" in caplog.text
