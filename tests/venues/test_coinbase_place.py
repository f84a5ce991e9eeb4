"""Placing an order against a Coinbase that says anything: the outcome never claims more than was answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from coinbase_lab import OPTIONS, accepted, at_raw_server, failed, ticket
from kraken_lab import RawServer, counting_gate, http, open_gate

from copytrade.domain.errors import SendStopped
from copytrade.domain.order import Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, NotSent, RefusedByVenue, Unknown

STOP = SendStopped(Reason.KILL_SWITCH, "for the test")
QUICK = replace(OPTIONS, request_timeout_s=0.3)
HTML = "<html><body>502 Bad Gateway</body></html>"
UNAUTHORIZED = http("Unauthorized\n", "401 Unauthorized")
OTHER = ticket("other")


def time_told(ahead_s: float = 0) -> bytes:
    return http({"epochMillis": str(int((datetime.now(UTC).timestamp() + ahead_s) * 1000))})


def gateway(word: str, status: str) -> bytes:
    return http({"error": word, "message": "for the test", "code": 1, "details": []}, status)


@pytest.mark.parametrize(
    "answer",
    [
        http(HTML), http(HTML, "502 Bad Gateway"), http("", "504 Gateway Timeout"), http(HTML, "429 Too Many Requests"),
        http(HTML, "401 Unauthorized"), http("", "401 Unauthorized"), http("Forbidden", "403 Forbidden"),
        gateway("INTERNAL", "500 Internal Server Error"), gateway("UNAVAILABLE", "503 Service Unavailable"),
        gateway("rate_limit_exceeded", "503 Service Unavailable"), gateway("NOT_FOUND", "400 Bad Request"),
        gateway("unknown", "400 Bad Request"), gateway("ABORTED", "409 Conflict"),
        gateway("PERMISSION_DENIED", "502 Bad Gateway"), http("Unauthorized"), http("Unauthorized", "403 Forbidden"),
        http("", "302 Found", "Location: /elsewhere\r\n"), b"HTTP/1.1 204 No Content\r\n\r\n",
        http(""), http('{"success":true,"success_resp'), http(b"\xff\xfe"), http("[]"), http("null"), http("7"),
        http("{}"), http({"success": True}), http({"success": True, "success_response": None}),
        http({"success": "true"}), http({"success": 1, "success_response": {"order_id": "o"}}),
        accepted(OTHER), accepted(ticket(side=Side.SELL)), accepted(order_id=""), accepted(order_id="a/../b"),
        accepted(replace(ticket(), instrument=replace(ticket().instrument, venue_symbol="BTC-USDC"))),
        http({"success": True, "success_response": {"order_id": "o"}}), http({"success": False}),
        http({"success": False, "error_response": "no"}), http({"success": False, "error_response": {}}),
        http({"success": False, "success_response": {"order_id": "o"},
              "error_response": {"error": "INSUFFICIENT_FUND"}}),
        failed(), failed("UNKNOWN_FAILURE_REASON", "UNKNOWN_PREVIEW_FAILURE_REASON", "UNKNOWN_FAILURE_REASON"),
        failed("DUPLICATE_CLIENT_ORDER_ID"),
        failed("DUPLICATE_ORDER"),
        failed("CLIENT_ORDER_ID_IN_USE"), failed("INTERNAL_ERROR"), failed("INSUFFICIENT_FUND", new="TIMEOUT"),
        http("[" * 100_000), http('{"success":true,"n":' + "9" * 5000 + "}"),
        http(b"x" * 10_000_000), b"nonsense\r\n\r\n", None,
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
        expected = before + timedelta(seconds=account.absence_wait_s)
        assert expected <= outcome.absent_after <= expected + timedelta(seconds=5)
        # The token's life, the second it is rounded to, what the clocks may differ, what the history may lag.
        assert account.absence_wait_s == 10 + 1 + 2 + 5


@pytest.mark.parametrize(
    ("answer", "reason", "parks"),
    [
        (failed("INSUFFICIENT_FUND", "PREVIEW_INSUFFICIENT_FUND"), Reason.INSUFFICIENT_FUNDS, False),
        (failed("UNKNOWN_FAILURE_REASON", "PREVIEW_INSUFFICIENT_FUND"), Reason.INSUFFICIENT_FUNDS, False),
        (failed("INSUFFICIENT_FUNDS"), Reason.INSUFFICIENT_FUNDS, False),
        (failed("INVALID_LEDGER_BALANCE"), Reason.INSUFFICIENT_FUNDS, False),
        (failed("", "PREVIEW_INVALID_BASE_SIZE_TOO_SMALL"), Reason.BELOW_MINIMUM, False),
        (failed("", "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL"), Reason.BELOW_MINIMUM, False),
        (failed("INVALID_SIZE_PRECISION"), Reason.INVALID_ORDER, False),
        (failed("", "PREVIEW_INVALID_PRICE_PRECISION"), Reason.INVALID_ORDER, False),
        (failed("UNSUPPORTED_ORDER_CONFIGURATION"), Reason.INVALID_ORDER, False),
        (failed("INVALID_PRODUCT_ID"), Reason.NOT_LISTED, False),
        (failed("ORDER_ENTRY_DISABLED"), Reason.MARKET_CLOSED, False),
        (failed("INVALID_NO_LIQUIDITY"), Reason.VENUE_REFUSED, False),
        (failed("COMMANDER_REJECTED_NEW_ORDER"), Reason.VENUE_REFUSED, False),
        (failed("A_WORD_THAT_IS_NEW"), Reason.VENUE_REFUSED, False),
        (gateway("INVALID_ARGUMENT", "400 Bad Request"), Reason.INVALID_ORDER, False),
        (gateway("PERMISSION_DENIED", "403 Forbidden"), Reason.NO_PERMISSION, True),
        (gateway("rate_limit_exceeded", "429 Too Many Requests"), Reason.RATE_LIMITED, False),
        (http({"errors": [{"id": "rate_limit_exceeded", "message": "x"}]}, "429 Too Many Requests"),
         Reason.RATE_LIMITED, False),
    ],
    ids=lambda value: value.decode().partition("\r\n\r\n")[2][:70] if isinstance(value, bytes) else None,
)  # fmt: skip
async def test_venues_definite_word_is_a_refusal(answer, reason, parks):
    async with at_raw_server(answer) as (server, account):
        outcome = await account.place(ticket(), open_gate)
        assert isinstance(outcome, RefusedByVenue), outcome
        assert (outcome.reason, outcome.parks_account) == (reason, parks)
        assert outcome.detail
        assert len(server.heard) == 1


async def test_accepted_order_is_told_by_the_answer_to_it():
    async with at_raw_server(accepted()) as (server, account):
        outcome = await account.place(ticket(), open_gate)
        assert isinstance(outcome, Accepted)
        assert outcome.venue_order_id == "11111111-0000-0000-0000-000000000001"
        assert outcome.sent_at <= outcome.at
        assert server.heard[0].head.startswith("POST /api/v3/brokerage/orders HTTP/1.1")


async def test_token_that_is_not_taken_parks_the_account_when_the_clock_is_right():
    async with at_raw_server(UNAUTHORIZED, time_told(), UNAUTHORIZED, time_told()) as (server, account):
        outcome = await account.place(ticket(), open_gate)
        assert isinstance(outcome, RefusedByVenue)
        assert (outcome.reason, outcome.parks_account) == (Reason.BAD_KEY, True)
        assert [heard.head.split()[1].rpartition("/")[2] for heard in server.heard] == [
            "orders", "time", "key_permissions", "time",
        ]  # fmt: skip


async def test_token_that_is_turned_away_while_the_key_is_good_proves_nothing():
    async with at_raw_server(UNAUTHORIZED, time_told(), http({"can_view": True})) as (_, account):
        assert isinstance(await account.place(ticket(), open_gate), Unknown)
    async with at_raw_server(UNAUTHORIZED, time_told(), http(HTML, "502 Bad Gateway")) as (_, account):
        assert isinstance(await account.place(ticket(), open_gate), Unknown)


async def test_token_that_is_not_taken_for_its_date_is_dated_anew(caplog):
    async with at_raw_server(UNAUTHORIZED, time_told(ahead_s=600), accepted()) as (_, account):
        outcome = await account.place(ticket(), open_gate)
        assert isinstance(outcome, RefusedByVenue)
        assert (outcome.reason, outcome.parks_account) == (Reason.DEADLINE_ELAPSED, False)
        assert outcome.retry_after_s is not None
        assert isinstance(await account.place(ticket(), open_gate), Accepted)
        assert "set the clock" in caplog.text


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


async def test_no_secret_and_no_token_in_what_is_shown(caplog):
    caplog.set_level("DEBUG")
    for answer in (None, UNAUTHORIZED, http(HTML), failed("INSUFFICIENT_FUND")):
        async with at_raw_server(answer, time_told()) as (server, account):
            outcome = await account.place(ticket(), open_gate)
            token = server.heard[0].head.partition("Bearer ")[2].partition("\r\n")[0]
            assert token
            assert token not in repr(outcome) + repr(account) + caplog.text


# -- budgets -------------------------------------------------------------------------------------------------------


def limited(remaining: int, reset: str, limit: int = 30) -> bytes:
    head = f"x-ratelimit-limit: {limit}\r\nx-ratelimit-remaining: {remaining}\r\nx-ratelimit-reset: {reset}\r\n"
    return http({"success": False, "error_response": {"error": "INSUFFICIENT_FUND"}}, headers=head)


async def test_budget_counts_orders_and_keeps_a_reserve_for_exits():
    async with at_raw_server(failed("INSUFFICIENT_FUND")) as (_, account):
        for _ in range(8):  # of a burst of ten a quarter is the exits'
            assert account.wait_s(ticket(side=Side.SELL)) == 0
            await account.place(ticket(), open_gate)
        assert account.wait_s(ticket()) > 0
        assert account.wait_s(ticket(side=Side.SELL)) == 0
        account._venue.monotonic.now_s += 1
        assert account.wait_s(ticket()) == 0


async def test_venues_own_headers_hold_entries_back_before_exits():
    async with at_raw_server(limited(7, "1"), limited(0, "2"), limited(30, "1")) as (_, account):
        await account.place(ticket(), open_gate)
        assert account.wait_s(ticket()) == pytest.approx(1)
        assert account.wait_s(ticket(side=Side.SELL)) == 0
        await account.place(ticket(), open_gate)
        assert account.wait_s(ticket(side=Side.SELL)) == pytest.approx(2)
        account._venue.monotonic.now_s += 2
        assert account.wait_s(ticket()) == 0


@pytest.mark.parametrize(
    ("reset", "wait_s"),
    [("{now}", 5), ("86400", 60), ("soon", 0), ("-5", 0), ("", 0)],
    ids=["date", "far", "word", "sign", "empty"],
)
async def test_reset_may_be_a_date_and_is_bounded(reset, wait_s):
    told = reset.format(now=int(datetime.now(UTC).timestamp()) + 6)
    async with at_raw_server(limited(0, told)) as (_, account):
        await account.place(ticket(), open_gate)
        assert account.wait_s(ticket(side=Side.SELL)) == pytest.approx(wait_s, abs=1.01)


async def test_rate_limit_holds_the_next_order_back():
    refused = http({"error": "rate_limit_exceeded"}, "429 Too Many Requests", "Retry-After: 7\r\n")
    async with at_raw_server(refused, accepted()) as (_, account):
        outcome = await account.place(ticket(), open_gate)
        assert outcome.reason is Reason.RATE_LIMITED
        assert outcome.retry_after_s > 0
        assert account.wait_s(ticket(side=Side.SELL)) == pytest.approx(7)


@pytest.mark.parametrize("life_s", [1, 119, 500])
def test_token_life_has_bounds(life_s):
    with pytest.raises(ValueError, match="token_life_s"):
        replace(OPTIONS, token_life_s=life_s)
