"""The Alpaca adapter against the simulated Alpaca: the contract of every venue, and what is Alpaca's own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from account_contract import AccountContract, before, let_through
from alpaca_lab import AAPL, ALICE, OPTIONS, alpaca_lab, at_raw_server, order_object, ticket
from kraken_lab import http

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.money import Amount
from copytrade.domain.order import Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, ExecutionStatus, RefusedByVenue, Unknown
from copytrade.simulator.alpaca.call import Unverified

POST = "POST /v2/orders"
BY_CLIENT_ID = "GET /v2/orders:by_client_order_id"


@pytest.fixture
async def lab():
    async with alpaca_lab() as made:
        yield made


class TestAlpacaAccount(AccountContract):
    place_method = POST
    lookup_methods = (BY_CLIENT_ID, "GET /v2/orders", "GET /v2/account/activities/FILL")
    buys_pay_in_base = True


# -- one order, whatever happens -----------------------------------------------------------------------------------


async def test_sending_the_same_order_again_never_makes_a_second(lab):
    first = await lab.account.place(lab.order(), let_through)
    again = await lab.account.place(lab.order(), let_through)
    assert isinstance(again, Unknown)
    assert (await lab.account.find(lab.order(), again.sent_at, ())).venue_order_id == first.venue_order_id
    assert len(lab.orders()) == 1


async def test_id_of_a_cancelled_order_is_taken_as_well(lab):
    resting = await lab.account.place(lab.order(limit="49000"), let_through)
    assert (await lab.account.execution(resting.venue_order_id)).status is ExecutionStatus.CANCELLED
    assert isinstance(await lab.account.place(lab.order(), let_through), Unknown)
    assert len(lab.orders()) == 1


async def test_request_that_arrives_after_it_was_sent_again_is_one_order(lab):
    quick = lab.venue.connect_account(ALICE, lab.key, lab.secret)
    lab.fault("delay", when="before", method=POST, delay_ms=400, count=1)
    late = asyncio.create_task(quick.place(lab.order(), let_through))
    await asyncio.sleep(0)
    while not lab.sim.requests()["paths"].get("/v2/orders"):
        await asyncio.sleep(0.005)
    assert await lab.account.find(lab.order(), before(), ()) is None  # a guess would now say that it never arrived
    assert isinstance(await lab.account.place(lab.order(), let_through), Accepted)
    assert isinstance(await late, Unknown)
    assert (await quick.find(lab.order(), before(), ())).status is ExecutionStatus.FILLED
    assert len(lab.orders()) == 1


async def test_hidden_order_is_found_once_the_venue_shows_it(lab):
    lab.fault("hide", method=POST, hide_s=3, count=1)
    lab.fault("ignore_filter", method="nothing yet")
    outcome = await lab.account.place(lab.order(), let_through)
    assert isinstance(outcome, Accepted)
    assert await lab.account.find(lab.order(), outcome.sent_at, ()) is None
    again = await lab.account.place(lab.order(), let_through)
    assert isinstance(again, Unknown)
    with pytest.raises(VenueUnavailable, match="does not show it"):
        await lab.account.find(lab.order(), outcome.sent_at, ())
    lab.time.now_s += 4
    assert (await lab.account.find(lab.order(), outcome.sent_at, ())).venue_order_id == outcome.venue_order_id


async def test_answer_about_another_order_proves_nothing(lab):
    await lab.account.place(lab.order("other"), let_through)
    lab.fault("ignore_filter", method=BY_CLIENT_ID)
    with pytest.raises(VenueUnavailable, match="another order"):
        await lab.account.find(lab.order(), before(), ())


async def test_order_that_its_own_index_does_not_know_is_found_in_the_list(lab):
    outcome = await lab.account.place(lab.order(), let_through)
    lab.fault("error", when="before", method=BY_CLIENT_ID, error="404 40410000 order not found")
    assert (await lab.account.find(lab.order(), before(), ())).venue_order_id == outcome.venue_order_id


async def test_order_that_no_list_shows_is_found_by_its_fill():
    nothing = http('{"code": 40410000, "message": "order not found"}', "404 Not Found")
    fill = {"id": "20260105::a", "order_id": "a1", "side": "buy", "symbol": "BTCUSD"}
    other = {**fill, "id": "20260105::b", "order_id": "a2"}
    sale = {**fill, "side": "sell", "order_id": "a3"}
    fills = http(str([sale, other, fill]).replace("'", '"'))
    orders = [http(order_object(id="a2", client_order_id="x")), http(order_object(id="a1"))]
    async with at_raw_server(nothing, http("[]"), fills, *orders) as (server, account):
        assert (await account.find(ticket(), before(), ("a9",))).venue_order_id == "a1"
        assert len(server.heard) == 5


async def test_order_not_found_in_words_of_something_else_proves_nothing(lab):
    for text in ("404 page not found", "404 40400000 endpoint not found"):
        lab.sim.clear_faults()
        lab.fault("error", when="before", method=BY_CLIENT_ID, error=text)
        with pytest.raises(VenueError):
            await lab.account.find(lab.order(), before(), ())


async def test_look_up_reads_every_page_and_one_without_end_proves_nothing():
    async with alpaca_lab(rate_limits=False, balances={"USD": Decimal(10_000_000), "BTC": Decimal(1)}) as lab:
        lab.fault("error", when="before", method=BY_CLIENT_ID, error="404 40410000 order not found")
        client = lab.sim.books.accounts["alice_smith"]
        for number in range(520):
            await lab.account.place(lab.order(str(number)), let_through)
            lab.time.now_s += 61 if number % 100 == 0 else 0
        assert len(client.closed_orders) + len(client.open_orders) == 520
        since = lab.time.utc() - timedelta(hours=1)
        assert await lab.account.find(lab.order("519"), since, ()) is not None
        assert await lab.account.find(lab.order("never"), since, ()) is None
        account = lab.venue.connect_account(ALICE, lab.key, lab.secret)
        account._venue.options = account._options = replace(OPTIONS, pages_max=1)
        with pytest.raises(VenueError, match="no end"):
            await account.find(lab.order("never"), since, ())


# -- fills and fees ------------------------------------------------------------------------------------------------


async def test_fee_of_a_purchase_is_what_the_position_lacks(lab):
    outcome = await lab.account.place(lab.order(quantity="0.123456789"), let_through)
    execution = await lab.account.execution(outcome.venue_order_id)
    arrived = execution.quantity.value - execution.fee_base.value
    held = (await lab.account.balances()).holdings["BTC"] - 1
    assert 0 <= held - arrived <= Decimal("0.000000001"), "an exit may never ask for more than is held"
    sale = lab.order("exit", side=Side.SELL, quantity=str(arrived))
    assert isinstance(await lab.account.place(sale, let_through), Accepted)


async def test_control_without_the_fee_the_exit_would_be_refused():
    async with alpaca_lab(balances={"USD": Decimal(10_000)}) as lab:
        await lab.account.place(lab.order(quantity="0.1"), let_through)
        outcome = await lab.account.place(lab.order("exit", side=Side.SELL, quantity="0.1"), let_through)
        assert isinstance(outcome, RefusedByVenue)
        assert outcome.reason is Reason.INSUFFICIENT_FUNDS


async def test_stocks_cost_no_fee():
    async with alpaca_lab(stocks_always_open=True) as lab:
        outcome = await lab.account.place(lab.order(quantity="0.125", instrument=AAPL), let_through)
        execution = await lab.account.execution(outcome.venue_order_id)
        assert (execution.cost, execution.fee.value, execution.fee_base.value) == (Amount.of("28.75"), 0, 0)
        assert (await lab.account.balances()).holdings["AAPL"] == Decimal("0.125")


async def test_order_in_parts_is_told_as_far_as_it_has_come():
    async with alpaca_lab(fill_delay_ms=60_000, fill_parts=2) as lab:
        outcome = await lab.account.place(lab.order(), let_through)
        lab.time.now_s += 61
        part = await lab.account.execution(outcome.venue_order_id)
        assert (part.status, part.quantity.value) == (ExecutionStatus.OPEN, Decimal("0.0005"))
        await lab.account.cancel(outcome.venue_order_id)
        ended = await lab.account.execution(outcome.venue_order_id)
        assert (ended.status, ended.quantity.value) == (ExecutionStatus.CANCELLED, Decimal("0.0005"))


async def test_order_that_was_replaced_by_hand_is_followed(lab):
    order = replace(lab.order(limit="49000"), order_id="restingorderofuser")
    lab.sim.exchange.fill_delay_s = 60
    placed = await lab.account.place(order, let_through)
    await replaced_by_hand(lab, placed.venue_order_id, "48000")
    assert (await lab.account.execution(placed.venue_order_id)).status is ExecutionStatus.OPEN
    lab.time.now_s += 61
    ended = await lab.account.execution(placed.venue_order_id)
    assert (ended.status, ended.venue_order_id) == (ExecutionStatus.CANCELLED, placed.venue_order_id)


async def replaced_by_hand(lab, order_id: str, price: str) -> None:
    headers = {"APCA-API-KEY-ID": lab.key, "APCA-API-SECRET-KEY": lab.secret}
    async with lab.venue.wire.slot():
        reply = await lab.venue.wire.request(
            "PATCH", f"/v2/orders/{order_id}", headers, b'{"limit_price": "%s"}' % price.encode()
        )
    assert reply.status == 200, reply.body


async def test_replacements_fills_are_added_up():
    first = order_object(id="a", status="replaced", replaced_by="b", filled_qty="0.4", filled_avg_price="100")
    second = order_object(id="b", filled_qty="0.6", filled_avg_price="200", client_order_id="byhand")
    async with at_raw_server(http(first), http(second)) as (_, account):
        execution = await account.execution("a")
        assert (str(execution.quantity), str(execution.cost), execution.status) == ("1", "160", ExecutionStatus.FILLED)


async def test_replacements_without_end_are_an_error():
    async with at_raw_server(http(order_object(id="a", status="replaced", replaced_by="a"))) as (server, account):
        with pytest.raises(VenueError, match="more than 100"):
            await account.execution("a")
        assert len(server.heard) == 100


@pytest.mark.parametrize("status", ["rejected", "expired", "canceled"])
async def test_order_that_ended_without_a_fill_is_cancelled(status):
    answer = http(order_object(id="a", status=status, filled_qty="0", filled_avg_price=None))
    async with at_raw_server(answer) as (_, account):
        execution = await account.execution("a")
        assert (execution.status, execution.quantity.value) == (ExecutionStatus.CANCELLED, 0)


@pytest.mark.parametrize("status", ["accepted", "done_for_day", "pending_cancel", "held", "calculated", "pending_new"])
async def test_order_that_may_go_on_is_open(status):
    async with at_raw_server(http(order_object(id="a", status=status, filled_qty="0"))) as (_, account):
        assert (await account.execution("a")).status is ExecutionStatus.OPEN


# -- the account ---------------------------------------------------------------------------------------------------


async def test_what_the_key_may_do_cannot_be_asked_and_that_is_said(lab):
    report = await lab.account.check_key()
    assert report.problems == () == report.permissions
    assert "withdraw" in " ".join(report.warnings)
    lab.sim.set_account("alice_smith", transfers_blocked=True)
    assert (await lab.account.check_key()).warnings == ()


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ({"status": "ACCOUNT_UPDATED"}, "not ACTIVE"), ({"trading_blocked": True}, "blocked trading"),
        ({"account_blocked": True}, "blocked this account"), ({"suspend_trade": True}, "suspend trading"),
    ],
)  # fmt: skip
async def test_account_that_may_not_trade_is_refused(lab, flags, word):
    lab.sim.set_account("alice_smith", **flags)
    report = await lab.account.check_key()
    assert word in " ".join(report.problems)
    outcome = await lab.account.place(lab.order(), let_through)
    assert (outcome.reason, outcome.parks_account) == (Reason.NO_PERMISSION, True)


async def test_account_without_coins_is_warned_of_and_goes_on_with_stocks():
    async with alpaca_lab(stocks_always_open=True) as lab:
        lab.sim.set_account("alice_smith", crypto_status="INACTIVE")
        report = await lab.account.check_key()
        assert report.problems == ()
        assert "coins" in " ".join(report.warnings)
        outcome = await lab.account.place(lab.order(), let_through)
        assert (outcome.reason, outcome.parks_account) == (Reason.NO_PERMISSION, False)
        assert isinstance(await lab.account.place(lab.order(instrument=AAPL, quantity="1"), let_through), Accepted)


@pytest.mark.parametrize("body", ["code", "unauthorized", "forbidden"])
async def test_wrong_key_in_each_of_the_venues_words(body):
    async with alpaca_lab(unverified=Unverified(key_refusal=body)) as lab:
        wrong = lab.venue.connect_account(ALICE, lab.key, "notthesecret")
        for call in (wrong.check_key, wrong.balances):
            with pytest.raises(CredentialsRejected, match="Check key and secret"):
                await call()
        outcome = await wrong.place(lab.order(), let_through)
        assert (outcome.reason, outcome.parks_account) == (Reason.BAD_KEY, True)


async def test_key_without_the_trading_scope_is_parked():
    async with alpaca_lab(permissions=["data"]) as lab:
        outcome = await lab.account.place(lab.order(), let_through)
        assert (outcome.reason, outcome.parks_account) == (Reason.NO_PERMISSION, True)


@pytest.mark.parametrize("spelling", ["plain", "slash"])
async def test_positions_in_either_spelling_are_held_under_one_name(spelling):
    balances = {"USD": Decimal(100), "BTC": Decimal(2), "AAPL": Decimal(3)}
    async with alpaca_lab(balances=balances, unverified=Unverified(position_symbols=spelling)) as lab:
        read = await lab.account.balances()
        assert read.holdings == balances
        assert read.equity == Amount.of(100 + 2 * 50_000 + 3 * 230)


async def test_cash_that_orders_hold_is_not_free():
    async with alpaca_lab(fill_delay_ms=60_000) as lab:
        await lab.account.place(lab.order(quantity="0.1"), let_through)
        read = await lab.account.balances()
        assert (read.cash, read.held, read.holdings["USD"]) == (Amount.of(5_000), Amount.of(5_000), Decimal(10_000))


async def test_venues_own_trouble_is_asked_again_and_not_taken_for_its_word(lab):
    lab.fault("error", when="before", method="GET /v2/account", error="500 50010000 internal server error", count=1)
    assert (await lab.account.balances()).cash == Amount.of(10_000)


async def test_account_in_another_currency_is_told():
    async with alpaca_lab(replace(OPTIONS, currency="EUR")) as lab:
        with pytest.raises(VenueRefusedRead, match=r"venues\.alpaca\.currency"):
            await lab.account.balances()


@pytest.mark.parametrize(
    "answer", [http("[]"), http('{"currency": "USD"}'), http('{"currency": "USD", "equity": "NaN", "cash": "1"}')]
)
async def test_account_that_cannot_be_read_is_an_error(answer):
    async with at_raw_server(answer) as (_, account):
        with pytest.raises(VenueError):
            await account.balances()


async def test_reads_stay_within_their_share_of_the_limit_and_leave_the_rest_to_orders(lab):
    while lab.sim.requests()["total"] < 119:
        await lab.account.check_key()
    await lab.account.check_key()
    with pytest.raises(VenueRefusedRead, match="rate limit") as error:
        await lab.account.check_key()
    assert 0 < error.value.retry_after_s <= 61
    assert lab.sim.requests()["total"] == 120
    assert lab.account.wait_s(lab.order()) == lab.account.wait_s(lab.order(side=Side.SELL)) == 0
    lab.time.now_s += 45
    await lab.account.check_key()  # what is left of the minute is waited for
    assert sum(lab.time.slept) > 0
    assert "rate limit" not in str(lab.sim.requests()["errors"])


async def test_refusals_of_what_the_market_does_not_take():
    async with alpaca_lab(stocks_always_open=True, balances={"USD": Decimal(10_000), "BTC": Decimal(1)}) as lab:
        small = await lab.account.place(lab.order("a", quantity="0.0001"), let_through)
        assert small.reason is Reason.BELOW_MINIMUM  # 5 USD
        sale = await lab.account.place(lab.order("b", quantity="0.0001", side=Side.SELL), let_through)
        assert isinstance(sale, Accepted), "the smallest amount is for purchases alone"
        fraction = lab.order("c", quantity="0.5", instrument=AAPL, limit="240")
        assert (await lab.account.place(fraction, let_through)).reason is Reason.INVALID_ORDER
        whole = lab.order("d", quantity="2", instrument=AAPL, limit="240")
        assert isinstance(await lab.account.place(whole, let_through), Accepted)
        unknown = replace(AAPL, venue_symbol="NOPE")
        assert (await lab.account.place(lab.order("e", instrument=unknown), let_through)).reason is Reason.NOT_LISTED
