"""Placing at Binance when the venue's answer is odd: only its definite word is taken for one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from account_contract import before, let_through
from binance_lab import BTC_USDT, OPTIONS, at_raw_server, binance_lab, order_answer, refused, ticket
from kraken_lab import RawServer, counting_gate, http
from kraken_lab import Time as LabTime

from copytrade.domain.errors import SendStopped, VenueError, VenueRefusedRead
from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, ExecutionStatus, NotSent, RefusedByVenue, Unknown
from copytrade.venues.binance.envelope import Fault
from copytrade.venues.binance.errors import Ambiguous, Refusal, classify
from copytrade.venues.binance.public import BinanceVenue


async def placed(*script, order=None):
    async with at_raw_server(*script) as (_, account, _venue):
        return await account.place(order or ticket(), let_through)


async def test_order_goes_out_once_and_as_it_was_asked_for():
    async with at_raw_server(http(order_answer())) as (server, account, _):
        outcome = await account.place(ticket(limit="50000.1", quantity="0.00100"), let_through)
        assert isinstance(outcome, Accepted)
        assert outcome.venue_order_id == "BTCUSDT:28"
        fields = server.heard[0].fields
        assert {name: fields[name] for name in ("symbol", "side", "type", "timeInForce", "quantity", "price")} == {
            "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "IOC", "quantity": "0.001",
            "price": "50000.1",
        }  # fmt: skip
        assert fields["newClientOrderId"] == ticket().order_id
        assert fields["newOrderRespType"] == "FULL"
        assert fields["recvWindow"] == "2000"
        assert len(server.heard) == 1


@pytest.mark.parametrize(
    ("code", "message", "status", "reason"),
    [
        (-2010, "Account has insufficient balance for requested action.", "400 x", Reason.INSUFFICIENT_FUNDS),
        (-2010, "Market is closed.", "400 x", Reason.MARKET_CLOSED),
        (-2010, "This symbol is not permitted for this account.", "400 x", Reason.VENUE_REFUSED),
        (-2010, "This action is disabled on this account.", "400 x", Reason.NO_PERMISSION),
        (-1013, "Filter failure: NOTIONAL", "400 x", Reason.BELOW_MINIMUM),
        (-1013, "Filter failure: MIN_NOTIONAL", "400 x", Reason.BELOW_MINIMUM),
        (-1013, "Filter failure: LOT_SIZE", "400 x", Reason.INVALID_ORDER),
        (-1013, "Filter failure: PRICE_FILTER", "400 x", Reason.INVALID_ORDER),
        (-1111, "Precision is over the maximum defined for this asset.", "400 x", Reason.INVALID_ORDER),
        (-1121, "Invalid symbol.", "400 x", Reason.NOT_LISTED),
        (-1021, "Timestamp for this request is outside of the recvWindow.", "400 x", Reason.DEADLINE_ELAPSED),
        (-1015, "Too many new orders.", "429 x", Reason.RATE_LIMITED),
        (-1003, "Too much request weight used.", "429 x", Reason.RATE_LIMITED),
        (-1003, "IP banned until 1.", "418 x", Reason.RATE_LIMITED),
        (-2015, "Invalid API-key, IP, or permissions for action.", "401 x", Reason.BAD_KEY),
        (-2014, "API-key format invalid.", "401 x", Reason.BAD_KEY),
        (-1022, "Signature for this request is not valid.", "400 x", Reason.BAD_KEY),
    ],
)
async def test_definite_no_is_told_with_its_reason(code, message, status, reason):
    outcome = await placed(refused(code, message, status))
    assert isinstance(outcome, RefusedByVenue)
    assert outcome.reason is reason
    assert message[:20] in outcome.detail
    assert outcome.parks_account == (reason in (Reason.BAD_KEY, Reason.NO_PERMISSION))


@pytest.mark.parametrize(
    "answer",
    [
        refused(-2010, "Duplicate order sent."),
        refused(-1007, "Timeout waiting for response from backend server.", "504 x"),
        refused(-1007, "Timeout waiting for response from backend server.", "408 x"),
        refused(-1006, "An unexpected response was received from the message bus.", "500 x"),
        refused(-1008, "Server is currently overloaded with other requests.", "503 x"),
        refused(-1000, "An unknown error occurred while processing the request."),
        refused(-1001, "Internal error; unable to process your request."),
        refused(-2010, "Account has insufficient balance for requested action.", "500 x"),
        refused(-2010, "Account has insufficient balance for requested action.", "200 OK"),
        refused(-2010, "Account has insufficient balance for requested action.", "409 x"),
        refused(-9999, "something new"),
        refused(0, "no code"),
        http("<html>403 Forbidden</html>", "403 Forbidden"),
        http("<html>Bad Gateway</html>", "502 Bad Gateway"),
        http("", "204 No Content"),
        http("[]"),
        http("null"),
        http({}),
        http('{"orderId": NaN}'),
        http(order_answer("anotherorderofours")),
        http(order_answer(symbol="ETHUSDT")),
        http(order_answer(orderId="28")),
        http(order_answer(orderId=True)),
        http(order_answer(status="A_NEW_WORD")),
        http(order_answer(executedQty="-1")),
        http(order_answer(executedQty=None)),
        None,
    ],
    ids=lambda answer: "closed" if answer is None else answer.split(b"\r\n\r\n")[1][:60].decode(),
)
async def test_anything_else_is_unknown(answer):
    outcome = await placed(answer)
    assert isinstance(outcome, Unknown), outcome
    least = timedelta(seconds=OPTIONS.order_deadline_s + OPTIONS.clock_skew_max_s)
    assert outcome.absent_after - outcome.sent_at >= least - timedelta(milliseconds=5)


@pytest.mark.parametrize("status", ["NEW", "PENDING_NEW", "PARTIALLY_FILLED", "EXPIRED", "REJECTED"])
async def test_order_that_the_venue_took_is_accepted_whatever_became_of_it(status):
    assert isinstance(await placed(http(order_answer(status=status))), Accepted)


async def test_unreadable_fills_do_not_unmake_an_accepted_order(caplog):
    async with at_raw_server(http(order_answer(fills=[{"price": "x"}])), http(order_answer())) as (server, account, _):
        outcome = await account.place(ticket(), let_through)
        assert isinstance(outcome, Accepted)
        assert "asked for again" in caplog.text
        with pytest.raises(VenueError):  # the scripted answer to myTrades is no list
            await account.execution(outcome.venue_order_id)
        assert len(server.heard) > 1


async def test_fills_that_do_not_add_up_are_asked_for_again():
    trades = '[{"id": 1, "orderId": 28, "price": "50000", "qty": "0.001", "quoteQty": "50", "commission": "0.000001", "commissionAsset": "BTC"}]'  # noqa: E501
    missing = http(order_answer(fills=[]))
    async with at_raw_server(missing, missing, http("[]"), missing, http(trades)) as (_, account, _venue):
        outcome = await account.place(ticket(), let_through)
        with pytest.raises(VenueError, match="so far"):
            await account.execution(outcome.venue_order_id)
        execution = await account.execution(outcome.venue_order_id)
        assert (execution.quantity, execution.cost) == (Quantity.of("0.001"), Amount.of(50))


async def test_fee_in_a_third_asset_leaves_the_position_whole_and_is_priced():
    paid_in_bnb = order_answer(
        fills=[{"price": "50000", "qty": "0.001", "commission": "0.0001", "commissionAsset": "BNB", "tradeId": 1}]
    )
    trades = '[{"id": 1, "orderId": 28, "price": "50000", "qty": "0.001", "quoteQty": "50", "commission": "0.0001", "commissionAsset": "BNB"}]'  # noqa: E501
    tickers = '[{"symbol": "BNBUSDT", "bidPrice": "600", "askPrice": "601"}]'
    script = (http(paid_in_bnb), http(paid_in_bnb), http(trades), http(tickers))
    async with at_raw_server(*script) as (_, account, venue):
        venue.symbols.add(type(BTC_USDT)(**{
            **{name: getattr(BTC_USDT, name) for name in BTC_USDT.__slots__},
            "symbol": "BNB/USDT", "base": "BNB", "venue_symbol": "BNBUSDT",
        }))  # fmt: skip
        outcome = await account.place(ticket(), let_through)
        execution = await account.execution(outcome.venue_order_id)
        assert (execution.fee, execution.fee_base) == (Amount.of("0.06"), Quantity.of(0))
        assert "0.0001 BNB" in execution.detail


async def test_gate_is_asked_last_and_nothing_is_written_when_it_shuts():
    for stop_at in (1, 2):
        gate, seen = counting_gate(stop_at, SendStopped(Reason.KILL_SWITCH, "for the test"))
        async with at_raw_server(http(order_answer())) as (server, account, _):
            with pytest.raises(SendStopped):
                await account.place(ticket(), gate)
            assert server.heard == []
            assert len(seen) == stop_at


async def test_venue_that_cannot_be_reached_is_not_sent():
    async with RawServer() as server:
        url = server.url
    time = LabTime()
    venue = BinanceVenue(url, OPTIONS, clock=time.utc, monotonic=time, sleep=time.sleep)
    try:
        venue.compare_clock(round(time.utc().timestamp() * 1000), time.utc(), time.utc())
        account = venue.connect_account("binance:alice_smith", "k" * 64, "s" * 64)
        assert isinstance(await account.place(ticket(), let_through), NotSent)
    finally:
        await venue.close()


async def test_look_up_with_an_odd_answer_is_no_proof():
    for odd in (http({}), http("[{}]"), http("null"), refused(-2026, "Order was archived."), refused(-1121, "Invalid")):
        async with at_raw_server(refused(-2013), odd) as (_, account, _venue):
            with pytest.raises(VenueError):
                await account.find(ticket(), before(), ())
    async with at_raw_server(refused(-2026, "Order has been archived.")) as (_, account, _v):
        with pytest.raises(VenueRefusedRead):
            await account.find(ticket(), before(), ())


async def test_sale_gives_its_side_and_cancelled_rest():
    answer = order_answer(status="EXPIRED", executedQty="0.0004", fills=[
        {"price": "50000", "qty": "0.0004", "commission": "0.02", "commissionAsset": "USDT", "tradeId": 1}
    ])  # fmt: skip
    async with at_raw_server(http(answer)) as (server, account, _):
        outcome = await account.place(ticket(side=Side.SELL), let_through)
        execution = await account.execution(outcome.venue_order_id)
        assert server.heard[0].fields["side"] == "SELL"
        assert (execution.status, execution.quantity.value) == (ExecutionStatus.CANCELLED, Decimal("0.0004"))
        assert (execution.fee, execution.fee_base) == (Amount.of("0.02"), Quantity.of(0))
        assert len(server.heard) == 1


def test_every_request_error_is_definite_and_every_new_code_is_not():
    for code in range(-1199, -1099):
        assert isinstance(classify(Fault(code, "words", 400, None)), Refusal), code
    for code in (-1000, -1001, -1004, -1006, -1007, -1008, -1016, -1099, -1200, -2011, -2013, -2099, -5000):
        assert isinstance(classify(Fault(code, "words", 400, None)), Ambiguous), code


def test_time_to_come_again_is_the_venues():
    told = classify(Fault(-1003, "IP banned until 1.", 418, 777))
    assert isinstance(told, Refusal)
    assert told.retry_after_s == 777
    silent = classify(Fault(-1003, "IP banned until 1.", 418, None))
    assert isinstance(silent, Refusal)
    assert silent.retry_after_s >= 120


async def test_order_that_cannot_be_timed_is_not_sent():
    """A late order would be taken as long as the venue's clock lags behind: without a measure nothing is proved."""
    async with binance_lab() as lab:
        lab.fault("delay", when="after", method="GET /api/v3/time", delay_ms=800)
        options = replace(OPTIONS, clock_skew_max_s=0.5)
        venue = BinanceVenue(lab.url, options, clock=lab.time.utc, monotonic=lab.time, sleep=lab.time.sleep)
        try:
            account = venue.connect_account(lab.account.account, lab.key, lab.secret)
            outcome = await account.place(ticket(), let_through)
            assert isinstance(outcome, NotSent)
            assert lab.orders() == []
            lab.sim.clear_faults()
            assert isinstance(await account.place(ticket(), let_through), Accepted)
        finally:
            await venue.close()
