"""Binance's limits, kept with clocks that are set by hand: windows, reserves for exits, the venue's own words."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from account_contract import let_through
from binance_lab import OPTIONS, PLACE, at_raw_server, binance_lab, order_answer, refused, ticket
from hypothesis import given
from hypothesis import strategies as st
from kraken_lab import Time, http

from copytrade.domain.errors import VenueRefusedRead
from copytrade.domain.order import Side
from copytrade.domain.venue import Accepted, RefusedByVenue
from copytrade.venues.binance.clock import ClockOffset
from copytrade.venues.binance.limits import SHARE_USED, AddressLimits, OrderLimits, Window
from copytrade.venues.binance.options import ENTRY_ORDERS_RESERVE, EXIT_RESERVE, READ_RESERVE


@given(st.lists(st.tuples(st.integers(1, 30), st.floats(0, 30)), max_size=60))
def test_no_window_ever_holds_more_than_the_limit(calls):
    time = Time()
    window = Window(100, 60, time)
    spans: dict[int, int] = {}
    for cost, pause_s in calls:
        time.now_s += pause_s
        time.now_s += window.wait_s(cost)
        assert window.wait_s(cost) == 0
        window.charge(cost)
        span = int(time.now_s // 60)
        spans[span] = spans.get(span, 0) + cost
        assert spans[span] <= 100 * SHARE_USED


def test_call_that_never_fits_waits_for_a_fresh_span_and_not_for_ever():
    time = Time()
    window = Window(10, 60, time)
    window.charge(1)
    time.now_s += window.wait_s(50)
    assert window.wait_s(50) == 0


def test_clock_that_is_set_back_opens_no_span_anew():
    time = Time()
    window = Window(10, 60, time)
    window.charge(9)
    time.now_s -= 120
    assert window.used == 9


def test_headers_correct_the_counts():
    time = Time()
    address = AddressLimits(6_000, 300_000, time, time)
    address.observe({"X-MBX-USED-WEIGHT-1M": "5700"})
    assert address.wait_s(1, READ_RESERVE) > 0
    address.observe({"X-MBX-USED-WEIGHT-1M": "10"})  # another program's calls do not vanish within the minute
    assert address.wait_s(1, READ_RESERVE) > 0
    time.now_s += 60
    assert address.wait_s(1, READ_RESERVE) == 0
    orders = OrderLimits(50, 160_000, time)
    for _ in range(40):
        orders.charge()
    assert orders.wait_s(ENTRY_ORDERS_RESERVE) > 0
    orders.observe({"X-MBX-ORDER-COUNT-10S": "3", "X-MBX-ORDER-COUNT-1D": "900"})  # fills gave the rest back
    assert orders.wait_s(ENTRY_ORDERS_RESERVE) == 0
    for odd in ("", "-1", "many", "9" * 30, "٣"):
        address.observe({"X-MBX-USED-WEIGHT-1M": odd})


def test_exits_go_where_entries_wait():
    time = Time()
    orders = OrderLimits(50, 160_000, time)
    for _ in range(36):
        orders.charge()
    assert orders.wait_s(ENTRY_ORDERS_RESERVE) > 0
    assert orders.wait_s(EXIT_RESERVE) == 0


async def test_orders_leave_at_the_venues_rate_and_none_is_refused():
    """Sixty orders that rest, with ten seconds for fifty: an entry waits for the next window, an exit does not."""
    async with binance_lab(fill_delay_ms=3_600_000, money={"USDT": Decimal(10**6)}) as lab:
        waited_s = 0.0
        for number in range(60):
            order = ticket(str(number))
            while (wait_s := lab.account.wait_s(order)) > 0:
                assert lab.account.wait_s(ticket("exit", side=Side.SELL)) == 0
                waited_s += wait_s
                lab.time.now_s += wait_s
            assert isinstance(await lab.account.place(order, let_through), Accepted)
        assert waited_s > 0
        assert "-1015" not in str(lab.sim.requests()["errors"])


async def test_orders_that_fill_give_their_count_back():
    async with binance_lab(money={"USDT": Decimal(10**6)}) as lab:
        for number in range(120):
            assert lab.account.wait_s(ticket(str(number))) == 0
            assert isinstance(await lab.account.place(ticket(str(number)), let_through), Accepted)


async def test_order_that_is_one_too_many_says_when_to_come_again():
    async with binance_lab(orders_per_10_s=2, fill_delay_ms=3_600_000) as lab:
        lab.venue.orders_per_10_s = 1_000  # as if the limit had changed since it was read
        account = lab.venue.connect_account(lab.account.account, lab.key, lab.secret)
        for number in range(2):
            assert isinstance(await account.place(ticket(str(number)), let_through), Accepted)
        outcome = await account.place(ticket("more"), let_through)
        assert isinstance(outcome, RefusedByVenue)
        assert outcome.retry_after_s
        assert 0 < account.wait_s(ticket("more", side=Side.SELL)) <= 10


async def test_limits_are_read_from_the_venue():
    async with binance_lab(orders_per_10_s=7, orders_per_day=70) as lab:
        assert (lab.venue.orders_per_10_s, lab.venue.orders_per_day) == (7, 70)
        assert lab.venue.address.weight.limit == 6_000


async def test_reads_of_all_accounts_share_the_addresss_limit_and_none_is_refused():
    async with binance_lab(replace(OPTIONS, read_total_s=100.0)) as lab:
        others = [lab.venue.connect_account(lab.account.account, lab.key, lab.secret) for _ in range(3)]
        for _ in range(100):  # 300 looks of 20 at 6,000 a minute, a part of it kept for orders
            for account in others:
                await account.balances()
        assert sum(lab.time.slept) > 0
        assert lab.sim.requests()["errors"] == {}


async def test_read_that_would_wait_too_long_says_so():
    async with binance_lab(replace(OPTIONS, read_total_s=0.5)) as lab:
        lab.venue.address.stop_for(30)
        with pytest.raises(VenueRefusedRead) as error:
            await lab.account.balances()
        assert error.value.retry_after_s == 30


@pytest.mark.parametrize(("status", "wait"), [("429 x", 17), ("418 x", 300)])
async def test_address_that_is_told_to_wait_sends_nothing_meanwhile(status, wait):
    told = refused(-1003, "Too much request weight used", status, f"Retry-After: {wait}\r\n")
    async with at_raw_server(told, http(order_answer())) as (server, account, venue):
        outcome = await account.place(ticket(), let_through)
        assert isinstance(outcome, RefusedByVenue)
        assert outcome.retry_after_s == wait
        other = venue.connect_account(account.account, "k" * 64, "s" * 64)
        for each in (account, other):
            assert each.wait_s(ticket(side=Side.SELL)) == pytest.approx(wait)
        venue.monotonic.now_s += wait
        assert other.wait_s(ticket()) == 0
        assert len(server.heard) == 1


async def test_weight_over_the_limit_is_refused_by_the_simulated_venue_with_its_headers():
    async with binance_lab(weight_per_minute=100) as lab:
        lab.venue.address.weight.limit = 10**9
        for _ in range(2):  # 20 each, beside the 21 of the start and the prices
            await lab.account.balances()
        with pytest.raises(VenueRefusedRead) as error:
            await asyncio.gather(*(lab.account.balances() for _ in range(3)))
        assert 0 < error.value.retry_after_s <= 60
        assert lab.account.wait_s(ticket()) > 0


async def test_order_that_succeeds_weighs_nothing():
    async with binance_lab() as lab:
        before = lab.venue.address.weight.used
        await lab.account.place(ticket(), let_through)
        assert lab.venue.address.weight.used == before
        lab.fault("reject_funds", method=PLACE, count=1)
        await lab.account.place(ticket("two"), let_through)
        assert lab.venue.address.weight.used == before + 1


NOON = datetime(2026, 7, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize("off_s", [-300, -2, 2, 300])
def test_clock_is_corrected_by_the_middle_of_what_is_possible(off_s):
    offset = ClockOffset(1.0)
    server_ms = round((NOON + timedelta(seconds=off_s)).timestamp() * 1000)
    offset.observe(server_ms, NOON - timedelta(milliseconds=40), NOON + timedelta(milliseconds=40))
    assert abs(offset.offset.total_seconds() - off_s) <= 0.041


def test_clock_that_may_be_right_is_left_alone():
    offset = ClockOffset(1.0)
    offset.observe(round(NOON.timestamp() * 1000) - 20, NOON - timedelta(milliseconds=40), NOON)
    assert not offset.offset


def test_clock_that_was_set_is_measured_anew():
    offset = ClockOffset(1.0)
    for off_s in (0, 10, 0):
        server_ms = round((NOON + timedelta(seconds=off_s)).timestamp() * 1000)
        offset.observe(server_ms, NOON - timedelta(milliseconds=5), NOON + timedelta(milliseconds=5))
        assert abs(offset.offset.total_seconds() - off_s) <= 0.006


def test_answer_that_took_too_long_is_no_measure():
    offset = ClockOffset(1.0)
    server_ms = round(NOON.timestamp() * 1000)
    assert not offset.observe(server_ms, NOON - timedelta(seconds=2), NOON)
    assert not offset.known
    assert offset.observe(server_ms, NOON - timedelta(seconds=1), NOON)
    assert offset.known
