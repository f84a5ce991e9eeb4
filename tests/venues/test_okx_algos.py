"""Orders that wait for a price at OKX: what is sent, what answers mean, and how a triggered one is followed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from account_contract import let_through
from kraken_lab import RawServer, http, open_gate
from okx_lab import BTC_USDT, OPTIONS, at_raw_server, body, envelope, okx_lab, okx_ticket

from copytrade.domain.errors import VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, Execution, ExecutionStatus, OrderTicket, RefusedByVenue, Unknown
from copytrade.venues.okx.algos import NotFollowed, as_order, combined, read_algo

QUICK = replace(OPTIONS, request_timeout_s=0.3)
ALGO_ID = "1753184812254216192"
PLACE, CANCEL, DETAILS = "POST /trade/order-algo", "POST /trade/cancel-algos", "GET /trade/order-algo"

FILLED = ExecutionStatus.FILLED


@pytest.fixture
async def lab():
    async with okx_lab() as made:
        yield made


def waiting(
    kind: OrderKind = OrderKind.STOP, *, stop: str | None = "48000", limit: str | None = None, **settings: Any
) -> OrderTicket:
    settings.setdefault("side", Side.SELL)
    return replace(
        okx_ticket(**settings),
        kind=kind,
        stop_price=None if stop is None else Price.of(stop),
        limit_price=None if limit is None else Price.of(limit),
    )


ID = waiting().order_id


def row(client_id: str = ID, *, algo_id: str = "", code: str = "0", message: str = "") -> dict[str, str]:
    return {"algoId": algo_id, "clOrdId": "", "algoClOrdId": client_id, "sCode": code, "sMsg": message, "tag": ""}


# -- placing -------------------------------------------------------------------------------------------------------

BODIES = {
    "a stop": (waiting(), {"ordType": "conditional", "slTriggerPx": "48000", "slOrdPx": "-1"}),
    "a stop with a limit": (
        waiting(OrderKind.STOP_LIMIT, limit="47000.5"),
        {"ordType": "conditional", "slTriggerPx": "48000", "slOrdPx": "47000.5"},
    ),
    "a profit": (
        waiting(OrderKind.TAKE_PROFIT, stop="52000"),
        {"ordType": "conditional", "tpTriggerPx": "52000", "tpOrdPx": "-1"},
    ),
    "a profit with a limit": (
        waiting(OrderKind.TAKE_PROFIT_LIMIT, stop="52000", limit="51900"),
        {"ordType": "conditional", "tpTriggerPx": "52000", "tpOrdPx": "51900"},
    ),
    "a bracket": (
        waiting(OrderKind.BRACKET, limit="52000"),
        {"ordType": "oco", "tpTriggerPx": "52000", "tpOrdPx": "-1", "slTriggerPx": "48000", "slOrdPx": "-1"},
    ),
    "a purchase at the market": (
        waiting(stop="52000", side=Side.BUY),
        {"ordType": "conditional", "slTriggerPx": "52000", "slOrdPx": "-1", "side": "buy", "tgtCcy": "base_ccy"},
    ),
    "a purchase with a limit": (
        waiting(OrderKind.STOP_LIMIT, stop="52000", limit="52500", side=Side.BUY),
        {"ordType": "conditional", "slTriggerPx": "52000", "slOrdPx": "52500", "side": "buy"},
    ),
}


@pytest.mark.parametrize(("ticket", "expected"), BODIES.values(), ids=BODIES)
async def test_request(ticket, expected):
    async with at_raw_server(envelope("0", [row(ticket.order_id, algo_id=ALGO_ID)])) as (server, account, _):
        outcome = await account.place(ticket, open_gate)
        assert isinstance(outcome, Accepted)
        assert outcome.venue_order_id == f"BTC-USDT:algo:{ALGO_ID}"
        heard = server.heard[0]
        assert heard.head.split("\r\n")[0] == "POST /api/v5/trade/order-algo HTTP/1.1"
        common = {"instId": "BTC-USDT", "tdMode": "cash", "side": "sell", "sz": "0.001", "algoClOrdId": ticket.order_id}
        assert body(heard) == common | expected


@pytest.mark.parametrize(
    "answer",
    [
        envelope("0"), envelope("0", [row()]), envelope("0", [row("another", algo_id=ALGO_ID)]),
        envelope("0", [{"ordId": "7", "clOrdId": ID, "sCode": "0"}]), envelope("1", [row(algo_id=ALGO_ID)]),
        envelope("1", [row(code="51065", message="algoClOrdId already exists.")]), envelope("1", [row(code="51068")]),
        envelope("50004", status="400 Bad Request"), http("x", "502 Bad Gateway"), None, RawServer.hang,
        envelope("51008", [row(algo_id=ALGO_ID)]), envelope("1", [row(algo_id=ALGO_ID, code="51008")]),
    ],
)  # fmt: skip
async def test_no_trustworthy_answer_is_unknown_for_as_long_as_it_may_still_arrive(answer):
    """OKX heeds no deadline for these: what comes within the window of the timestamp may be taken."""
    started = datetime.now(UTC)
    async with at_raw_server(answer, options=QUICK) as (server, account, _):
        outcome = await account.place(waiting(), open_gate)
        assert isinstance(outcome, Unknown), outcome
        assert len(server.heard) == 1
        # OKX's clock was never read here: another 30 s for ours, and 2 to settle.
        assert outcome.absent_after >= started + timedelta(seconds=30 + 30 + 2)


@pytest.mark.parametrize(
    ("code", "reason"),
    [("51008", Reason.INSUFFICIENT_FUNDS), ("51280", Reason.VENUE_REFUSED), ("51020", Reason.BELOW_MINIMUM)],
)
async def test_refusal_in_the_row_counts_also_where_the_answer_says_success(code, reason):
    for outer in ("0", "1"):
        async with at_raw_server(envelope(outer, [row(code=code, message="words")])) as (_, account, _):
            outcome = await account.place(waiting(), open_gate)
            assert isinstance(outcome, RefusedByVenue)
            assert outcome.reason is reason


async def test_stop_that_the_price_has_passed_is_refused_and_not_placed(lab):
    outcome = await lab.account.place(waiting(stop="50100"), let_through)
    assert isinstance(outcome, RefusedByVenue)
    assert "51280" in outcome.detail
    assert lab.orders() == []


async def test_waiting_orders_have_a_budget_of_their_own(lab):
    for number in range(8):
        await lab.account.place(waiting(name=str(number), quantity="0.0001"), let_through)
    assert lab.account.wait_s(lab.order()) == 0
    assert lab.account.wait_s(waiting()) == 0, "an exit has a reserve"
    entry = waiting(OrderKind.STOP, stop="52000", side=Side.BUY)
    assert 0 < lab.account.wait_s(entry) <= 1
    lab.time.now_s += 2
    assert lab.account.wait_s(entry) == 0


async def test_the_same_id_is_refused_while_it_waits_and_never_a_refusal_to_us(lab):
    await lab.account.place(waiting(), let_through)
    again = await lab.account.place(waiting(), let_through)
    assert isinstance(again, Unknown)
    assert "51065" in again.detail
    assert len(lab.orders()) == 1


# -- absence -------------------------------------------------------------------------------------------------------


async def test_order_of_an_earlier_process_is_not_absent_before_it_can_no_longer_arrive(lab):
    assert lab.account.absence_wait_s == 5 + 2 + 2, "that of orders with a deadline"
    since = datetime.now(UTC) - timedelta(seconds=5)
    with pytest.raises(VenueRefusedRead, match="no proof") as early:
        await lab.account.find(waiting(), since, ())
    assert early.value.retry_after_s == 34
    assert await lab.account.find(lab.order(), since, ()) is None, "an ordinary order has a deadline"
    lab.time.now_s += 34
    assert await lab.account.find(waiting(), since, ()) is None


async def test_order_that_this_process_sent_has_its_own_time(lab):
    lab.fault("drop", when="before", method=PLACE, count=1)
    outcome = await lab.account.place(waiting(), let_through)
    assert isinstance(outcome, Unknown)
    assert await lab.account.find(waiting(), outcome.sent_at, ()) is None
    assert outcome.absent_after - outcome.sent_at > timedelta(seconds=33)


async def test_order_is_found_in_the_lists_when_its_client_id_leads_nowhere(lab):
    for name in ("one", "two", "three"):
        await lab.account.place(waiting(name=name), let_through)
    lab.fault("ignore_filter", method=DETAILS)
    since = datetime.now(UTC) - timedelta(seconds=5)
    found = await lab.account.find(waiting(name="two"), since, ())
    await lab.account.cancel(found.venue_order_id)
    lab.sim.faults.remove()
    lab.fault("error", when="before", method=DETAILS, error="51603", count=1)
    again = await lab.account.find(waiting(name="two"), since, ())
    assert (again.venue_order_id, again.status) == (found.venue_order_id, ExecutionStatus.CANCELLED)


@pytest.mark.parametrize("method", [DETAILS, "GET /trade/orders-algo-pending", "GET /trade/orders-algo-history"])
async def test_every_hole_in_a_look_up_is_an_error(lab, method):
    lab.time.now_s += 40
    lab.fault("error", when="before", method=method, error="50001")
    with pytest.raises(VenueUnavailable):
        await lab.account.find(waiting(), datetime.now(UTC), ())


# -- following -----------------------------------------------------------------------------------------------------


async def test_waiting_order_holds_no_money_and_fails_when_there_is_none(lab):
    placed = await lab.account.place(waiting(quantity="1"), let_through)
    assert (await lab.account.balances()).holdings["BTC"] == 1
    await lab.account.place(lab.order("away", side=Side.SELL, quantity="0.5"), let_through)
    lab.sim.set_price("BTC/USDT", Decimal(47_900))
    execution = await lab.account.execution(placed.venue_order_id)
    assert (execution.status, execution.quantity) == (ExecutionStatus.CANCELLED, Quantity.of(0))
    assert "51008" in execution.detail
    listed = {order.venue_order_id: order for order in await lab.account.orders(datetime.now(UTC))}
    assert listed[placed.venue_order_id].status is ExecutionStatus.CANCELLED


async def test_bracket_is_cancelled_on_both_sides(lab):
    placed = await lab.account.place(waiting(OrderKind.BRACKET, limit="52000"), let_through)
    await lab.account.cancel(placed.venue_order_id)
    for price in (47_900, 52_100):
        lab.sim.set_price("BTC/USDT", Decimal(price))
        execution = await lab.account.execution(placed.venue_order_id)
        assert (execution.status, execution.quantity) == (ExecutionStatus.CANCELLED, Quantity.of(0))


async def test_cancel_follows_an_order_that_was_triggered_and_rests(lab):
    placed = await lab.account.place(waiting(OrderKind.STOP_LIMIT, limit="47000"), let_through)
    lab.sim.set_price("BTC/USDT", Decimal(46_000))
    await lab.account.cancel(placed.venue_order_id)
    paths = lab.sim.requests()["paths"]
    assert (paths["/api/v5/trade/cancel-algos"], paths["/api/v5/trade/cancel-order"]) == (1, 1)
    assert (await lab.account.execution(placed.venue_order_id)).status is ExecutionStatus.CANCELLED


async def test_cancel_that_fails_is_an_error(lab):
    placed = await lab.account.place(waiting(), let_through)
    lab.fault("error", when="before", method=CANCEL, error="1:51412:timed out")
    with pytest.raises(VenueError):
        await lab.account.cancel(placed.venue_order_id)
    assert (await lab.account.execution(placed.venue_order_id)).status is ExecutionStatus.OPEN


async def test_partial_fills_of_a_triggered_order_are_told():
    async with okx_lab(fill_delay_ms=1_000, fill_parts=4) as lab:
        placed = await lab.account.place(waiting(quantity="0.004"), let_through)
        lab.time.now_s += 2
        lab.sim.set_price("BTC/USDT", Decimal(47_900))
        lab.time.now_s += 2.5
        execution = await lab.account.execution(placed.venue_order_id)
        assert (execution.status, execution.quantity) == (ExecutionStatus.OPEN, Quantity.of("0.002"))
        lab.time.now_s += 5
        assert (await lab.account.execution(placed.venue_order_id)).status is ExecutionStatus.FILLED


async def test_waiting_order_that_is_not_shown_is_asked_for_again(lab):
    placed = await lab.account.place(waiting(), let_through)
    lab.fault("error", when="before", method=DETAILS, error="51603")
    with pytest.raises(VenueUnavailable, match="does not show"):
        await lab.account.execution(placed.venue_order_id)


@pytest.mark.parametrize("name", ["BTC-USDT:algo:", ":algo:3122", "BTC-USDT:alga:3122", "a:b:c:3122"])
async def test_name_that_is_no_orders_is_refused(lab, name):
    for ask in (lab.account.execution, lab.account.cancel):
        with pytest.raises(VenueError, match="names no order"):
            await ask(name)


# -- what others place ---------------------------------------------------------------------------------------------

SHOWN = {
    "instType": "SPOT", "instId": "BTC-USDT", "algoId": ALGO_ID, "algoClOrdId": "", "ordType": "conditional",
    "side": "sell", "sz": "0.01", "tgtCcy": "", "state": "live", "ordId": "", "ordIdList": [], "failCode": "",
    "slTriggerPx": "", "slOrdPx": "", "tpTriggerPx": "", "tpOrdPx": "", "triggerPx": "", "ordPx": "", "last": "50000",
    "cTime": "1708658165774", "uTime": "1708658165774", "triggerTime": "",
}  # fmt: skip
KINDS: dict[str, tuple[dict[str, Any], OrderKind, str | None, str | None]] = {
    "stop": ({"slTriggerPx": "48000", "slOrdPx": "-1"}, OrderKind.STOP, None, "48000"),
    "stop, limit": ({"slTriggerPx": "48000", "slOrdPx": "47000"}, OrderKind.STOP_LIMIT, "47000", "48000"),
    "profit": ({"tpTriggerPx": "52000", "tpOrdPx": "-1"}, OrderKind.TAKE_PROFIT, None, "52000"),
    "stop and profit as one side": (
        {"slTriggerPx": "48000", "slOrdPx": "-1", "tpTriggerPx": "52000", "tpOrdPx": "-1"},
        OrderKind.STOP, None, "48000",
    ),
    "bracket with limits": (
        {"ordType": "oco", "slTriggerPx": "48000", "slOrdPx": "47900", "tpTriggerPx": "52000", "tpOrdPx": "52000"},
        OrderKind.BRACKET, "52000", "48000",
    ),
    "trigger below": ({"ordType": "trigger", "triggerPx": "48000", "ordPx": "-1"}, OrderKind.STOP, None, "48000"),
    "trigger above": (
        {"ordType": "trigger", "triggerPx": "52000", "ordPx": "51900"}, OrderKind.TAKE_PROFIT_LIMIT, "51900", "52000",
    ),
    "purchase above": (
        {"ordType": "trigger", "triggerPx": "52000", "ordPx": "-1", "side": "buy"}, OrderKind.STOP, None, "52000",
    ),
    "trailing": ({"ordType": "move_order_stop", "moveTriggerPx": "49000"}, OrderKind.STOP, None, "49000"),
    "trailing, asleep": ({"ordType": "move_order_stop", "moveTriggerPx": ""}, OrderKind.STOP, None, None),
}  # fmt: skip


@pytest.mark.parametrize(("shown", "kind", "limit", "stop"), KINDS.values(), ids=KINDS)
def test_kinds_of_other_peoples_orders(shown, kind, limit, stop):
    algo = read_algo(SHOWN | shown, BTC_USDT)
    expected = (kind, limit and Price.of(limit), stop and Price.of(stop))
    assert (algo.kind, algo.limit_price, algo.stop_price) == expected
    assert algo.quantity == Quantity.of("0.01")


@pytest.mark.parametrize(
    "change",
    [
        {"state": "odd"}, {"state": None}, {"algoId": "x"}, {"instId": "ETH-USDT"}, {"side": "none"}, {"sz": ""},
        {"sz": "NaN"}, {"ordIdList": "7"}, {"ordIdList": ["x"]}, {"ordId": "x"}, {"cTime": ""}, {"slTriggerPx": "x"},
        {"slTriggerPx": ""}, {"ordType": None}, {"ordType": "trigger"},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_read_proves_nothing(change):
    fine = SHOWN | {"slTriggerPx": "48000", "slOrdPx": "-1"}
    assert read_algo(fine, BTC_USDT).kind is OrderKind.STOP
    with pytest.raises(VenueUnavailable):
        read_algo(fine | change, BTC_USDT)


def test_types_that_are_not_followed_are_told_apart():
    for order_type in ("twap", "iceberg", "smart_iceberg", "chase", "new one"):
        with pytest.raises(NotFollowed):
            read_algo(SHOWN | {"ordType": order_type}, BTC_USDT)


def test_size_in_money_is_reckoned_from_its_fills():
    shown = SHOWN | {"side": "buy", "tgtCcy": "quote_ccy", "sz": "100", "slTriggerPx": "52000", "slOrdPx": "-1"}
    algo = read_algo(shown | {"state": "effective", "ordIdList": ["7"]}, BTC_USDT)
    assert algo.quantity is None
    at = datetime.now(UTC)
    bought = Execution("BTC-USDT:7", FILLED, Quantity.of("0.002"), Amount.of(100), Amount.of(0), at)
    order = as_order(algo, combined(algo, [bought], at))
    assert (order.quantity, order.filled, order.status) == (bought.quantity, bought.quantity, FILLED)
