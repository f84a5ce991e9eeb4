"""The Binance adapter against the simulated Binance: the contract of every venue, and what is Binance's own."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from account_contract import AccountContract, before, let_through
from binance_lab import OPTIONS, PLACE, at_raw_server, binance_lab, refused, ticket
from kraken_lab import RawServer, http

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import Side
from copytrade.domain.venue import Accepted, ExecutionStatus, RefusedByVenue, Unknown

READ, TRADE = "enableReading", "enableSpotAndMarginTrading"
FIND = "GET /api/v3/order"


@pytest.fixture
async def lab():
    async with binance_lab(replace(OPTIONS, request_timeout_s=1.0)) as made:
        yield made


class TestBinanceAccount(AccountContract):
    place_method = PLACE
    lookup_methods = ("GET /api/v3/order", "GET /api/v3/allOrders")
    symbol = "BTC/USDT"
    currency = "USDT"
    buys_pay_in_base = True


async def test_bought_position_is_what_arrived(lab):
    outcome = await lab.account.place(lab.order(quantity="0.1"), let_through)
    execution = await lab.account.execution(outcome.venue_order_id)
    holdings = (await lab.account.balances()).holdings
    assert execution.quantity.value - execution.fee_base.value == holdings["BTC"] - 1 == Decimal("0.0999")
    assert not execution.fee


async def test_what_is_left_of_a_bought_position_can_be_sold_whole_steps_of(lab):
    outcome = await lab.account.place(lab.order(quantity="0.1"), let_through)
    execution = await lab.account.execution(outcome.venue_order_id)
    arrived = Quantity(execution.quantity.value - execution.fee_base.value)
    sale = lab.order("exit", side=Side.SELL, quantity=str(arrived.rounded_down(Decimal("0.00001"))))
    assert isinstance(await lab.account.place(sale, let_through), Accepted)


async def test_end_that_the_answer_told_is_not_asked_for_again(lab):
    outcome = await lab.account.place(lab.order(), let_through)
    told = await lab.account.execution(outcome.venue_order_id)
    assert "/api/v3/myTrades" not in lab.sim.requests()["paths"]
    again = lab.venue.connect_account(lab.account.account, lab.key, lab.secret)  # knows nothing of the answer
    asked = await again.execution(outcome.venue_order_id)
    assert "/api/v3/myTrades" in lab.sim.requests()["paths"]
    assert replace(asked, at=told.at) == told


async def test_several_fills_are_one_execution():
    async with binance_lab(fill_parts=3, fill_delay_ms=10) as lab:
        outcome = await lab.account.place(lab.order(quantity="0.003"), let_through)
        assert (await lab.account.execution(outcome.venue_order_id)).status is ExecutionStatus.OPEN
        lab.time.now_s += 1
        execution = await lab.account.execution(outcome.venue_order_id)
        assert (execution.status, execution.quantity) == (ExecutionStatus.FILLED, Quantity.of("0.003"))
        assert execution.fee_base == Quantity.of("0.000003")


async def test_order_whose_answer_hangs_is_unknown_within_the_time_limit_and_found(lab):
    lab.fault("hang", when="after", method=PLACE, count=1)
    outcome = await lab.account.place(lab.order(), let_through)
    assert isinstance(outcome, Unknown)
    assert outcome.at - outcome.sent_at < timedelta(seconds=5)
    assert await lab.account.find(lab.order(), outcome.sent_at, ()) is not None


@pytest.mark.parametrize("code", ["-1007 Timeout waiting for response from backend server.", "-1006 An unexpected"])
async def test_status_unknown_by_the_venues_own_word_is_looked_up(lab, code):
    lab.fault("error", when="after", method=PLACE, error=code, count=1)
    outcome = await lab.account.place(lab.order(), let_through)
    assert isinstance(outcome, Unknown)
    assert (await lab.account.find(lab.order(), outcome.sent_at, ())).quantity == Quantity.of("0.001")


async def test_order_that_comes_late_is_refused_by_the_venue_and_so_provably_absent():
    """What `absent_after` stands on: past the receive window the venue drops the order, also behind its gate."""
    async with binance_lab(replace(OPTIONS, order_deadline_s=0.2, request_timeout_s=3.0)) as lab:
        lab.fault("delay", when="before", method=PLACE, delay_ms=400, count=1)
        outcome = await lab.account.place(lab.order(), let_through)
        assert isinstance(outcome, RefusedByVenue)
        assert outcome.retry_after_s
        assert lab.orders() == []


async def test_absence_is_not_proved_before_the_window_is_over(lab):
    lab.fault("drop", when="before", method=PLACE, count=1)
    asked_at = lab.time.utc()
    outcome = await lab.account.place(lab.order(), let_through)
    assert isinstance(outcome, Unknown)
    options = lab.venue.options
    least = timedelta(seconds=options.order_deadline_s + options.clock_skew_max_s)
    assert asked_at + least <= outcome.absent_after <= lab.time.utc() + timedelta(seconds=options.absence_wait_s)


async def test_blind_second_request_trades_twice(lab):
    """The hazard: ids are unique among open orders alone, so a market order is not protected by its id."""
    for _ in range(2):
        assert isinstance(await lab.account.place(lab.order(), let_through), Accepted)
    assert len(lab.sim.doubles()) == 1


async def test_duplicate_of_an_open_order_is_unknown_not_refused():
    async with binance_lab(fill_delay_ms=60_000) as lab:
        assert isinstance(await lab.account.place(lab.order(), let_through), Accepted)
        outcome = await lab.account.place(lab.order(), let_through)
        assert isinstance(outcome, Unknown)
        assert (await lab.account.find(lab.order(), before(), ())).status is ExecutionStatus.OPEN
        assert len(lab.orders()) == 1


async def test_hidden_order_is_found_once_the_venue_shows_it(lab):
    lab.fault("hide", method=PLACE, hide_s=3, count=1)
    outcome = await lab.account.place(lab.order(), let_through)
    assert await lab.account.find(lab.order(), outcome.sent_at, ()) is None
    lab.time.now_s += 4
    assert (await lab.account.find(lab.order(), outcome.sent_at, ())).venue_order_id == outcome.venue_order_id


async def test_order_is_found_in_the_list_when_the_look_up_by_id_is_wrong(lab):
    ours = await lab.account.place(lab.order(), let_through)
    await lab.account.place(lab.order("later"), let_through)
    lab.fault("ignore_filter")
    assert (await lab.account.find(lab.order(), before(), ())).venue_order_id == ours.venue_order_id
    assert await lab.account.find(lab.order("never"), before(), ()) is None


async def test_double_at_the_venue_is_told_loudly(lab, caplog):
    for _ in range(2):
        await lab.account.place(lab.order(), let_through)
    lab.fault("error", when="before", method=FIND, error="-2013 Order does not exist.")
    assert (await lab.account.find(lab.order(), before(), ())).status is ExecutionStatus.FILLED
    assert "double" in caplog.text


@pytest.mark.parametrize("permission", ["enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer"])
async def test_key_that_could_lose_the_money_is_refused(permission):
    async with binance_lab(permissions=[READ, TRADE, permission]) as lab:
        report = await lab.account.check_key()
        assert [problem for problem in report.problems if permission in problem]


@pytest.mark.parametrize("missing", [READ, TRADE])
async def test_key_that_cannot_trade_is_told_what_it_lacks(missing):
    async with binance_lab(permissions=[each for each in (READ, TRADE) if each != missing]) as lab:
        report = await lab.account.check_key()
        assert [problem for problem in report.problems if missing in problem]


async def test_key_that_works_from_anywhere_is_refused_or_shown():
    async with binance_lab(ip_allowlist=()) as lab:
        assert "any address" in str((await lab.account.check_key()).problems)
    async with binance_lab(replace(OPTIONS, require_ip_restriction=False), ip_allowlist=()) as lab:
        report = await lab.account.check_key()
        assert (report.problems, "any address" in str(report.warnings)) == ((), True)


async def test_key_of_another_address_is_told_apart_from_a_passing_fault():
    async with binance_lab(ip_allowlist=("192.0.2.1",)) as lab:
        with pytest.raises(CredentialsRejected, match="address"):
            await lab.account.check_key()
        outcome = await lab.account.place(lab.order(), let_through)
        assert isinstance(outcome, RefusedByVenue)
        assert outcome.parks_account


async def test_wrong_secret_is_told_apart_from_a_passing_fault(lab):
    wrong = lab.venue.connect_account(lab.account.account, lab.key, "W" * 64)
    with pytest.raises(CredentialsRejected, match="-1022"):
        await wrong.balances()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"enableReading": True, "enableSpotAndMarginTrading": True, "ipRestrict": True}, "cannot be told"),
        ({"enableWithdrawals": "false"}, "cannot be told"),
    ],
)
async def test_key_whose_permissions_are_not_all_told_is_refused(answer, problem):
    async with at_raw_server(refused(-2014, status="401 Unauthorized"), http(answer)) as (_, account, _):
        assert problem in str((await account.check_key()).problems)


async def test_test_net_cannot_be_asked_about_keys_and_says_so():
    account_answer = http({"balances": [{"asset": "USDT", "free": "10", "locked": "0"}]})
    async with at_raw_server(http("no such page", "404 Not Found"), account_answer) as (_, account, _):
        report = await account.check_key()
        assert report.problems == ()
        assert "cannot be asked" in report.warnings[0]


async def test_equity_counts_what_has_a_market_and_tells_what_has_none(caplog):
    money = {"USDT": Decimal(100), "BTC": Decimal("0.1"), "LDUSDT": Decimal(500), "EUR": Decimal(10)}
    async with binance_lab(money=money) as lab:
        balances = await lab.account.balances()
        assert balances.equity == Amount.of("5110.9")  # 100 + 0.1 BTC at 50,000 + 10 EUR at 1.09
        assert "LDUSDT" in caplog.text
    async with binance_lab(replace(OPTIONS, currency="EUR"), money={"EUR": Decimal(10), "USDT": Decimal(109)}) as lab:
        assert (await lab.account.balances()).equity.value.quantize(Decimal("0.0001")) == Decimal(110)


async def test_money_in_open_orders_is_held_not_free():
    async with binance_lab(fill_delay_ms=60_000) as lab:
        await lab.account.place(lab.order(quantity="0.1"), let_through)
        balances = await lab.account.balances()
        assert (balances.cash, balances.held) == (Amount.of(5_000), Amount.of(5_000))


async def test_resting_order_is_cancelled_and_known_by_its_own_id():
    async with binance_lab(fill_delay_ms=60_000) as lab:
        placed = await lab.account.place(lab.order(), let_through)
        await lab.account.cancel(placed.venue_order_id)
        assert (await lab.account.execution(placed.venue_order_id)).status is ExecutionStatus.CANCELLED
        # The answer to a cancel has a new client id; the order keeps its own.
        assert (await lab.account.find(lab.order(), before(), ())).venue_order_id == placed.venue_order_id
        await lab.account.cancel(placed.venue_order_id)


@pytest.mark.parametrize("ahead_s", [-40, 40])
async def test_clock_that_is_off_is_corrected_in_the_timestamp(ahead_s, caplog):
    def venue_clock() -> float:
        return datetime.now(UTC).timestamp() + ahead_s

    async with binance_lab(clock=venue_clock) as lab:
        assert abs(lab.venue.offset.total_seconds() - ahead_s) < 0.5
        outcome = await lab.account.place(lab.order(), let_through)
        assert isinstance(outcome, Accepted), outcome
        assert (await lab.account.find(lab.order(), before(), ())).venue_order_id == outcome.venue_order_id
        assert "set the clock" in caplog.text


async def test_clock_that_jumps_is_measured_anew_after_the_first_refusal():
    ahead = [0.0]

    def venue_clock() -> float:
        return datetime.now(UTC).timestamp() + ahead[0]

    async with binance_lab(clock=venue_clock) as lab:
        ahead[0] = 30.0
        first = await lab.account.place(lab.order(), let_through)
        assert isinstance(first, RefusedByVenue)
        assert first.retry_after_s
        assert isinstance(await lab.account.place(lab.order(), let_through), Accepted)
        ahead[0] = 60.0
        assert (await lab.account.balances()).cash.value > 0  # a read does both by itself


async def test_halted_market_says_when_to_come_again(lab):
    lab.sim.set_symbol_status("BTC/USDT", "HALT")
    outcome = await lab.account.place(lab.order(), let_through)
    assert isinstance(outcome, RefusedByVenue)
    assert outcome.retry_after_s
    await lab.venue.load_instruments()
    assert lab.venue.instrument("BTC/USDT").status == "closed"


async def test_look_up_without_end_proves_nothing():
    page = [{"clientOrderId": f"other{number}", "orderId": number, "symbol": "BTCUSDT"} for number in range(1_000)]
    script = [refused(-2013, "Order does not exist."), http(json.dumps(page))]
    async with at_raw_server(*script, options=replace(OPTIONS, pages_max=2)) as (server, account, _):
        with pytest.raises(VenueError, match="no end"):
            await account.find(ticket(), before(), ())
        assert "orderId=1000" in server.heard[2].head


async def test_order_of_elsewhere_is_not_asked_for(lab):
    with pytest.raises(VenueRefusedRead, match="not placed by this service"):
        await lab.account.execution("OAAAAA-BBBBB-CCCCCC")


async def test_warming_the_venue_asks_for_nothing_but_the_clock(lab):
    assert await lab.venue.warm(10) == 10
    assert await lab.venue.warm(10) == 10
    assert set(lab.sim.requests()["paths"]) == {"/api/v3/time", "/api/v3/exchangeInfo"}



async def test_everything_that_the_adapter_does_stays_away_from_the_wallet():
    async with binance_lab(fill_delay_ms=60_000) as lab:
        placed = await lab.account.place(lab.order(), let_through)
        await lab.account.execution(placed.venue_order_id)
        await lab.account.cancel(placed.venue_order_id)
        await lab.account.place(lab.order("two"), let_through)
        lab.time.now_s += 61
        await lab.account.find(lab.order("two"), before(), ())
        await lab.account.find(lab.order("never"), before(), ())
        await lab.account.balances()
        await lab.account.check_key()
        await lab.venue.quotes([lab.venue.instrument("BTC/USDT")])
        assert set(lab.sim.requests()["paths"]) == {
            "/api/v3/time", "/api/v3/exchangeInfo", "/api/v3/ticker/bookTicker", "/api/v3/order", "/api/v3/allOrders",
            "/api/v3/myTrades", "/api/v3/account", "/sapi/v1/account/apiRestrictions",
        }  # fmt: skip


async def test_however_many_accounts_connect_at_a_time_the_venue_is_asked_once_whether_it_has_wallet_calls():
    async with binance_lab() as lab:
        path = "/sapi/v1/account/apiRestrictions"
        assert await asyncio.gather(*(lab.venue.has_wallet_calls() for _ in range(20))) == [True] * 20
        assert await lab.venue.has_wallet_calls()
        assert lab.sim.requests()["paths"][path] == 1


async def test_a_failed_question_about_wallet_calls_is_shared_and_asked_again_by_who_comes_later():
    impatient = replace(OPTIONS, request_timeout_s=0.2)
    script = RawServer.hang, refused(-2015, status="401 Unauthorized")
    async with at_raw_server(*script, options=impatient) as (server, _, venue):
        outcomes = await asyncio.gather(*(venue.has_wallet_calls() for _ in range(5)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {VenueUnavailable}
        assert len(server.heard) == 1
        assert await venue.has_wallet_calls()


async def test_an_account_that_gives_up_leaves_the_question_about_wallet_calls_to_the_others():
    async with binance_lab() as lab:
        gives_up, stays = (asyncio.create_task(lab.venue.has_wallet_calls()) for _ in range(2))
        await asyncio.sleep(0)
        gives_up.cancel()
        assert await stays
        assert gives_up.cancelled()
        assert lab.sim.requests()["paths"]["/sapi/v1/account/apiRestrictions"] == 1
