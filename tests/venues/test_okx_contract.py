"""The OKX adapter against the simulated OKX: the contract of every venue, and what is OKX's own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from account_contract import AccountContract, before, let_through
from okx_lab import ALICE, BTC_USDT, OPTIONS, okx_lab, seconds_later

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, ExecutionStatus, RefusedByVenue, Unknown

PLACE = "POST /trade/order"
ORDER = "GET /trade/order"


@pytest.fixture
async def lab():
    async with okx_lab(replace(OPTIONS, request_timeout_s=1.0)) as made:
        yield made


class TestOkxAccount(AccountContract):
    place_method = PLACE
    lookup_methods = (ORDER, "GET /trade/orders-pending", "GET /trade/orders-history", "GET /trade/fills")
    symbol = "BTC/USDT"
    currency = "USDT"
    buys_pay_in_base = True


async def test_copied_position_is_what_arrived(lab):
    bought = await lab.account.place(lab.order(quantity="0.1"), let_through)
    execution = await lab.account.execution(bought.venue_order_id)
    arrived = execution.quantity - execution.fee_base
    assert (await lab.account.balances()).holdings["BTC"] == 1 + arrived.value
    sold = await lab.account.place(lab.order("out", side=Side.SELL, quantity=str(arrived)), let_through)
    assert (await lab.account.execution(sold.venue_order_id)).status is ExecutionStatus.FILLED
    assert (await lab.account.balances()).holdings["BTC"] == 1


async def test_selling_what_was_bought_without_its_fee_would_take_from_the_owner(lab):
    """Why the fee is told apart: the bought quantity itself is more than arrived."""
    bought = await lab.account.place(lab.order(quantity="0.1"), let_through)
    await lab.account.execution(bought.venue_order_id)
    await lab.account.place(lab.order("out", side=Side.SELL, quantity="0.1"), let_through)
    assert (await lab.account.balances()).holdings["BTC"] < 1


async def test_order_whose_answer_hangs_is_unknown_within_the_time_limit_and_found(lab):
    lab.fault("hang", when="after", method=PLACE, count=1)
    outcome = await lab.account.place(lab.order(), let_through)
    assert isinstance(outcome, Unknown)
    assert outcome.at - outcome.sent_at < timedelta(seconds=5)
    assert await lab.account.find(lab.order(), outcome.sent_at, ()) is not None


async def test_hidden_order_is_found_once_the_venue_shows_it(lab):
    lab.fault("hide", method=PLACE, hide_s=3, count=1)
    outcome = await lab.account.place(lab.order(), let_through)
    assert isinstance(outcome, Accepted)
    assert await lab.account.find(lab.order(), outcome.sent_at, ()) is None
    lab.time.now_s += 4
    assert (await lab.account.find(lab.order(), outcome.sent_at, ())).venue_order_id == outcome.venue_order_id


@pytest.mark.parametrize("fills_after_ms", [0, 60_000], ids=["finished", "open"])
async def test_order_is_found_in_the_lists_when_its_client_id_leads_nowhere(fills_after_ms):
    async with okx_lab(fill_delay_ms=fills_after_ms) as lab:
        await lab.account.place(lab.order("other"), let_through)
        ours = await lab.account.place(lab.order(), let_through)
        lab.fault("ignore_filter", method=ORDER)
        assert (await lab.account.find(lab.order(), before(), ())).venue_order_id == ours.venue_order_id


async def test_order_is_found_by_its_trade_when_no_list_of_orders_shows_it(lab):
    ours = await lab.account.place(lab.order(), let_through)
    lab.fault("error", when="before", method=ORDER, error="51603", count=1)
    lab.fault("error", when="before", method="GET /trade/orders-history", error="0")
    assert (await lab.account.find(lab.order(), before(), ())).venue_order_id == ours.venue_order_id


async def test_look_up_reads_every_page_and_one_without_end_proves_nothing():
    async with okx_lab(replace(OPTIONS, pages_max=2), rate_limits=False) as lab:
        for number in range(120):
            await lab.account.place(lab.order(str(number), quantity="0.0001"), let_through)
        lab.fault("ignore_filter", method=ORDER)
        assert await lab.account.find(lab.order("0"), before(), ()) is not None
        assert await lab.account.find(lab.order("never"), before(), ()) is None
        for number in range(120, 210):
            await lab.account.place(lab.order(str(number), quantity="0.0001"), let_through)
        with pytest.raises(VenueError, match="has no end"):
            await lab.account.find(lab.order("never"), before(), ())


async def test_long_ago_is_looked_up_in_the_archives(lab):
    ours = await lab.account.place(lab.order(), let_through)
    since = before()
    lab.fault("ignore_filter", method=ORDER)
    lab.time.now_s += 8 * 86_400
    assert (await lab.account.find(lab.order(), since, ())).venue_order_id == ours.venue_order_id
    assert await lab.account.find(lab.order("never"), since, ()) is None
    paths = lab.sim.requests()["paths"]
    assert paths["/api/v5/trade/orders-history-archive"] == 2
    assert paths["/api/v5/trade/fills-history"] == 1
    assert "/api/v5/trade/orders-history" not in paths


async def test_same_client_id_is_refused_while_open_and_would_trade_twice_afterwards():
    """Why nothing is sent again before a look-up: the id protects a pending order and no other."""
    async with okx_lab(fill_delay_ms=3_000) as lab:
        await lab.account.place(lab.order(), let_through)
        again = await lab.account.place(lab.order(), let_through)
        assert isinstance(again, Unknown), "the earlier request may be the one that is at the venue"
        assert "51016" in again.detail
        found = await lab.account.find(lab.order(), before(), ())
        assert found.status is ExecutionStatus.OPEN
        lab.time.now_s += 4
        assert isinstance(await lab.account.place(lab.order(), let_through), Accepted)
        assert len(lab.sim.doubles()) == 1


async def test_order_that_comes_after_its_deadline_is_dropped():
    async with okx_lab(replace(OPTIONS, order_deadline_s=1.0), our_clock=seconds_later(-1.5)) as lab:
        # Our clock is corrected, so the order is in time; it comes late when the way there takes longer.
        assert abs(lab.venue.offset.total_seconds() - 1.5) < 0.5
        assert isinstance(await lab.account.place(lab.order(), let_through), Accepted)
        lab.sim.clock = lambda: lab.time.utc().timestamp() + 3
        outcome = await lab.account.place(lab.order("late"), let_through)
        assert isinstance(outcome, RefusedByVenue)
        assert (outcome.reason, outcome.retry_after_s) == (Reason.DEADLINE_ELAPSED, 1.0)
        assert len(lab.orders()) == 1


async def test_absence_is_proved_after_deadline_skew_and_settling(lab):
    lab.fault("drop", when="before", method=PLACE, count=1)
    outcome = await lab.account.place(lab.order(), let_through)
    assert lab.account.absence_wait_s == 5 + 2 + 2
    after = outcome.absent_after - outcome.sent_at
    assert timedelta(seconds=8) < after <= timedelta(seconds=9)


@pytest.mark.parametrize("off_s", [-50, 50])
async def test_clock_that_is_off_is_corrected(off_s, caplog):
    async with okx_lab(our_clock=seconds_later(off_s)) as lab:
        assert abs(lab.venue.offset.total_seconds() + off_s) <= 1
        assert isinstance(await lab.account.place(lab.order(), let_through), Accepted)
        assert await lab.account.find(lab.order(), before(), ()) is not None
        assert "set the clock" in caplog.text


async def test_clock_that_goes_wrong_later_is_read_anew(lab):
    real = lab.sim.clock
    lab.sim.clock = lambda: real() + 60
    lab.time.now_s += 5
    outcome = await lab.account.place(lab.order(), let_through)
    assert isinstance(outcome, RefusedByVenue)
    assert outcome.reason is Reason.DEADLINE_ELAPSED
    assert isinstance(await lab.account.place(lab.order(), let_through), Accepted)
    lab.sim.clock = lambda: real() + 120
    lab.time.now_s += 5
    assert (await lab.account.balances()).cash.value > 0, "a read corrects the clock and is made again"


async def test_market_purchase_is_never_made_smaller(lab):
    outcome = await lab.account.place(lab.order(quantity="0.199"), let_through)
    assert isinstance(outcome, RefusedByVenue)
    assert outcome.reason is Reason.INSUFFICIENT_FUNDS
    assert lab.orders() == []


async def test_limit_that_did_not_fill_is_forgotten_after_two_hours_and_ends_as_cancelled(lab):
    placed = await lab.account.place(lab.order(limit="49000"), let_through)
    assert (await lab.account.find(lab.order(), before(), ())).status is ExecutionStatus.CANCELLED
    lab.time.now_s += 7_300
    assert await lab.account.find(lab.order(), before(), ()) is None
    with pytest.raises(VenueUnavailable, match="does not show"):
        await lab.account.execution(placed.venue_order_id)
    lab.time.now_s += 590
    with pytest.raises(VenueUnavailable, match="does not show"):
        await lab.account.execution(placed.venue_order_id)
    lab.time.now_s += 20
    execution = await lab.account.execution(placed.venue_order_id)
    assert (execution.status, execution.quantity.value) == (ExecutionStatus.CANCELLED, 0)
    assert execution.venue_order_id == placed.venue_order_id


async def test_order_that_is_missing_for_a_while_is_not_given_up(lab):
    placed = await lab.account.place(lab.order(), let_through)
    lab.fault("error", when="before", method=ORDER, error="51603", count=1)
    assert (await lab.account.execution(placed.venue_order_id)).status is ExecutionStatus.FILLED, "the archive has it"
    for _ in range(3):
        lab.fault("error", when="before", method=ORDER, error="51603", count=1)
        lab.fault("error", when="before", method="GET /trade/orders-history-archive", error="0", count=1)
        with pytest.raises(VenueUnavailable, match="shows trades"):
            await lab.account.execution(placed.venue_order_id)
        lab.time.now_s += 1_000
    lab.sim.faults.remove()
    assert (await lab.account.execution(placed.venue_order_id)).status is ExecutionStatus.FILLED


async def test_time_without_an_order_counts_from_anew_once_it_was_shown(lab):
    lab.fault("hide", method=PLACE, hide_s=2_000, count=1)
    placed = await lab.account.place(lab.order(), let_through)
    with pytest.raises(VenueUnavailable):
        await lab.account.execution(placed.venue_order_id)
    lab.time.now_s += 500
    with pytest.raises(VenueUnavailable):
        await lab.account.execution(placed.venue_order_id)
    lab.time.now_s += 1_600
    assert (await lab.account.execution(placed.venue_order_id)).status is ExecutionStatus.FILLED
    lab.fault("error", when="before", method=ORDER, error="51603", count=1)
    for method in ("orders-history-archive", "fills", "fills-history"):
        lab.fault("error", when="before", method=f"GET /trade/{method}", error="0", count=1)
    with pytest.raises(VenueUnavailable, match="does not show"):
        await lab.account.execution(placed.venue_order_id)


async def test_resting_order_is_cancelled():
    async with okx_lab(fill_delay_ms=60_000) as lab:
        placed = await lab.account.place(lab.order(), let_through)
        assert (await lab.account.execution(placed.venue_order_id)).status is ExecutionStatus.OPEN
        await lab.account.cancel(placed.venue_order_id)
        assert (await lab.account.execution(placed.venue_order_id)).status is ExecutionStatus.CANCELLED
        lab.fault("error", when="before", method="POST /trade/cancel-order", error="1:51412:timed out")
        with pytest.raises(VenueError):
            await lab.account.cancel(placed.venue_order_id)


@pytest.mark.parametrize("name", ["312269865356374016", "BTC-USDT:", ":3122", "BTC-USDT:3122x", ""])
async def test_name_that_is_no_orders_is_refused(lab, name):
    with pytest.raises(VenueError, match="names no order"):
        await lab.account.execution(name)


async def test_suspended_market_takes_no_order_and_is_known_to_be_closed(lab):
    lab.sim.set_market_state("BTC/USDT", "suspend")
    outcome = await lab.account.place(lab.order(), let_through)
    assert isinstance(outcome, RefusedByVenue)
    assert outcome.reason is Reason.NOT_LISTED
    await lab.venue.load_instruments()
    assert lab.venue.instrument("BTC-USDT").status.value == "closed"


# -- money and keys ------------------------------------------------------------------------------------------------


async def test_equity_counts_what_has_no_market_in_the_currency_by_its_dollars(lab, caplog):
    lab.sim.deposit("alice_smith", "EUR", Decimal(100))  # no EUR/USDT here, so OKX's own value in dollars counts
    lab.sim.deposit("alice_smith", "ETH", Decimal(1))
    dollars_per_euro = Decimal(60_000) / Decimal(55_000)
    balances = await lab.account.balances()
    assert abs(balances.equity.value - (63_000 + 100 * dollars_per_euro)) < Decimal("0.01")
    assert "no price" not in caplog.text


async def test_money_that_an_open_order_holds_is_not_free():
    async with okx_lab(fill_delay_ms=60_000) as lab:
        await lab.account.place(lab.order(limit="50000"), let_through)
        balances = await lab.account.balances()
        assert (balances.cash, balances.held, balances.equity) == (Amount.of(9_950), Amount.of(50), Amount.of(60_000))


async def test_other_currency():
    async with okx_lab(replace(OPTIONS, currency="USD")) as lab:
        lab.sim.set_price("BTC/USD", Decimal(50_000))
        balances = await lab.account.balances()
        assert (balances.currency, balances.cash, balances.equity) == ("USD", Amount.of(0), Amount.of(60_000))


async def test_key_that_may_withdraw_is_refused():
    async with okx_lab(permissions=["read_only", "trade", "withdraw"]) as lab:
        report = await lab.account.check_key()
        assert [problem for problem in report.problems if "withdraw" in problem]


async def test_key_that_cannot_trade_is_told_what_it_lacks():
    async with okx_lab(permissions=["read_only"]) as lab:
        report = await lab.account.check_key()
        assert [problem for problem in report.problems if "permission trade" in problem]
        outcome = await lab.account.place(lab.order(), let_through)
        assert (outcome.reason, outcome.parks_account) == (Reason.NO_PERMISSION, True)


@pytest.mark.parametrize(("addresses", "warned"), [((), True), (("127.0.0.1",), False)])
async def test_key_without_address_is_warned_about(addresses, warned):
    async with okx_lab(ip_allowlist=addresses) as lab:
        report = await lab.account.check_key()
        assert any("any address" in warning for warning in report.warnings) is warned


async def test_key_bound_to_another_address_parks():
    async with okx_lab(ip_allowlist=("192.0.2.1",)) as lab:
        with pytest.raises(CredentialsRejected, match="50110"):
            await lab.account.check_key()
        outcome = await lab.account.place(lab.order(), let_through)
        assert (outcome.reason, outcome.parks_account) == (Reason.NO_PERMISSION, True)


@pytest.mark.parametrize(("demo_key", "demo_option", "fits"), [(1, 1, True), (1, 0, False), (0, 1, False)])
async def test_demo_keys_need_the_demo_setting(demo_key, demo_option, fits):
    async with okx_lab(replace(OPTIONS, demo=bool(demo_option)), demo=bool(demo_key)) as lab:
        outcome = await lab.account.place(lab.order(), let_through)
        assert isinstance(outcome, Accepted) is fits
        if not fits:
            assert (outcome.reason, outcome.parks_account) == (Reason.BAD_KEY, True)
            assert "50101" in outcome.detail


@pytest.mark.parametrize("wrong", ["key", "secret", "passphrase"])
async def test_wrong_credentials_are_told_apart_from_a_passing_fault(lab, wrong):
    words = {"key": lab.keys.key, "secret": lab.keys.secret, "passphrase": lab.keys.passphrase}
    words[wrong] = "0b2c4d6e-1111-2222-3333-444455556666"
    account = lab.venue.connect_account(ALICE, **words)
    with pytest.raises(CredentialsRejected):
        await account.check_key()
    outcome = await account.place(lab.order(), let_through)
    assert (outcome.reason, outcome.parks_account) == (Reason.BAD_KEY, True)


async def test_account_that_may_not_trade_a_market_is_warned_about(lab):
    lab.fault("error", when="before", method="GET /account/instruments", error="0")
    report = await lab.account.check_key()
    assert any("does not let this account trade" in warning for warning in report.warnings)
    assert report.problems == ()


# -- budgets -------------------------------------------------------------------------------------------------------


async def test_orders_keep_within_the_budget_and_exits_have_a_reserve(lab):
    for number in range(25):
        assert isinstance(await lab.account.place(lab.order(str(number)), let_through), Accepted)
    assert lab.account.wait_s(lab.order()) > 0
    assert lab.account.wait_s(lab.order(side=Side.SELL)) == 0
    other = replace(BTC_USDT, symbol="ETH/USDT", base="ETH", venue_symbol="ETH-USDT")
    assert lab.account.wait_s(lab.order(instrument=other)) == 0


async def test_venue_that_says_too_many_requests_is_left_alone_for_a_while(lab):
    lab.fault("error", when="before", method=PLACE, error="50011", count=1)
    outcome = await lab.account.place(lab.order(), let_through)
    assert (outcome.reason, outcome.parks_account) == (Reason.RATE_LIMITED, False)
    assert outcome.retry_after_s >= 1
    assert lab.account.wait_s(lab.order(side=Side.SELL)) >= 1
    assert isinstance(await lab.account.place(lab.order(), let_through), Accepted)


async def test_reads_keep_within_the_keys_budget(lab):
    for _ in range(20):
        await lab.account.balances()
    assert sum(lab.time.slept) > 1
    assert "50011" not in lab.sim.requests()["errors"]


async def test_without_a_budget_the_venue_refuses(lab):
    """What the budget is for: calls that do not wait are refused."""
    lab.venue.retries.sleep = _no_sleep
    asked = await asyncio.gather(*(lab.account.balances() for _ in range(20)), return_exceptions=True)
    refused = [error for error in asked if isinstance(error, VenueRefusedRead)]
    assert refused
    assert all(error.retry_after_s > 0 for error in refused)


async def _no_sleep(seconds: float) -> None:
    """Go on at once."""


async def test_warming_the_venue_asks_for_nothing_but_the_clock(lab):
    assert await lab.venue.warm(10) == 10
    assert await lab.venue.warm(10) == 10
    assert set(lab.sim.requests()["paths"]) == {"/api/v5/public/time", "/api/v5/public/instruments"}


async def test_partial_progress_is_told():
    async with okx_lab(fill_delay_ms=1_000, fill_parts=4) as lab:
        placed = await lab.account.place(lab.order(quantity="0.004"), let_through)
        lab.time.now_s += 2.5
        execution = await lab.account.execution(placed.venue_order_id)
        assert (execution.status, execution.quantity) == (ExecutionStatus.OPEN, Quantity.of("0.002"))
        assert execution.fee_base == Quantity.of("0.000002")
