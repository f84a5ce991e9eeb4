"""Stocks at the simulated Alpaca: stops, fractions that end with the day, and lists as one order."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from alpaca_lab import AAPL, BRK_A, OPTIONS, Lab, alpaca_lab, by_hand, ticket
from resting_contract import RestingContract, let_through

from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, ExecutionStatus, OrderTicket, RefusedByVenue, Unknown, VenueOrder
from copytrade.simulator.alpaca.call import Unverified

POST = "POST /v2/orders"
OPEN, FILLED, CANCELLED = ExecutionStatus.OPEN, ExecutionStatus.FILLED, ExecutionStatus.CANCELLED
MONEY = {"USD": Decimal(1_000_000), "BRK.A": Decimal(10), "AAPL": Decimal(10)}
PRICE, UP, DOWN = Decimal(50_000), Decimal(52_100), Decimal(47_900)


class StockLab(Lab):
    """The same, where an order is one of shares unless it is said otherwise."""

    def order(self, name: str = "one", **settings: Any) -> OrderTicket:
        return ticket(name, **{"instrument": AAPL, **settings})


def of_stocks(made: Lab) -> StockLab:
    for symbol in ("AAPL", "BRK.A"):
        made.sim.set_price(symbol, PRICE)
    return StockLab(made.sim, made.url, made.venue, made.account, made.time, made.key, made.secret)


@pytest.fixture
async def lab():
    async with alpaca_lab(stocks_always_open=True, balances=MONEY) as made:
        yield of_stocks(made)


@pytest.fixture
async def brisk_lab():
    async with alpaca_lab(replace(OPTIONS, stream_heartbeat_s=0.5), stocks_always_open=True, balances=MONEY) as made:
        yield of_stocks(made)


class TestAlpacaShares(RestingContract):
    """Orders for fractions of shares: good for the day alone, no IOC and no lists."""

    kinds = frozenset({OrderKind.MARKET, OrderKind.LIMIT, OrderKind.STOP, OrderKind.STOP_LIMIT})
    place_method = POST
    listing_methods = ("GET /v2/orders",)
    symbol = "AAPL"
    page = 500

    async def test_says_which_kinds_it_has(self, lab):
        assert lab.venue.order_kinds(AAPL) == self.kinds
        assert lab.venue.order_kinds(BRK_A) == self.kinds | {OrderKind.IOC_LIMIT, OrderKind.BRACKET}


def since(lab: Lab) -> datetime:
    return datetime.fromtimestamp(lab.sim.clock(), UTC) - timedelta(minutes=1)


def bracket(name: str = "one", quantity: str = "2", **changes: Any) -> OrderTicket:
    plain = ticket(name, side=Side.SELL, quantity=quantity, instrument=changes.pop("instrument", BRK_A))
    prices = {"limit_price": Price.of(52_000), "stop_price": Price.of(48_000)}
    return replace(plain, kind=OrderKind.BRACKET, **{**prices, **changes})


async def placed(lab: Lab, order: OrderTicket) -> Accepted:
    outcome = await lab.account.place(order, let_through)
    assert isinstance(outcome, Accepted), outcome
    return outcome


async def listed(lab: Lab) -> list[VenueOrder]:
    return list(await lab.account.orders(since(lab)))


# -- a list is one order -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("price", "cost"), [(UP, 104_000), (DOWN, 95_800)])
async def test_bracket_ends_at_its_profit_or_its_loss_and_sells_once(lab, price, cost):
    order = bracket()
    outcome = await placed(lab, order)
    assert (await lab.account.execution(outcome.venue_order_id)).status is OPEN
    assert len(await by_hand(lab, "GET", "/v2/orders")) == 2
    lab.sim.set_price("BRK.A", price)
    for execution in (
        await lab.account.execution(outcome.venue_order_id), await lab.account.find(order, outcome.sent_at, ()),
    ):  # fmt: skip
        assert (execution.venue_order_id, execution.status) == (outcome.venue_order_id, FILLED)
        assert (execution.quantity, execution.cost.value) == (Quantity.of(2), cost)
    (shown,) = await listed(lab)
    assert shown.execution == replace(execution, at=shown.at)
    assert (await lab.account.balances()).holdings["BRK.A"] == 8


async def test_bracket_is_listed_once_with_both_prices(lab):
    order = bracket()
    outcome = await placed(lab, order)
    (shown,) = await listed(lab)
    assert (shown.venue_order_id, shown.client_order_id) == (outcome.venue_order_id, order.order_id)
    assert (shown.kind, shown.side, shown.quantity) == (OrderKind.BRACKET, Side.SELL, order.quantity)
    assert (shown.limit_price, shown.stop_price) == (order.limit_price, order.stop_price)


async def test_lists_that_stand_still_cost_no_requests(lab):
    for number in range(3):
        await placed(lab, bracket(str(number)))
    assert len(await listed(lab)) == 3
    before = lab.sim.requests()["total"]
    assert len(await listed(lab)) == 3
    assert lab.sim.requests()["total"] - before == 2
    lab.sim.set_price("BRK.A", DOWN)
    assert [order.status for order in await listed(lab)] == [FILLED] * 3


async def test_bracket_whose_answer_was_lost_is_found_with_its_legs(lab):
    lab.fault("drop", when="after", method=POST, count=1)
    outcome = await lab.account.place(bracket(), let_through)
    assert isinstance(outcome, Unknown)
    lab.sim.set_price("BRK.A", DOWN)
    found = await lab.account.find(bracket(), outcome.sent_at, ())
    assert (found.status, found.quantity) == (FILLED, Quantity.of(2))


async def test_bracket_that_is_cancelled_is_over_with_both_legs(lab):
    outcome = await placed(lab, bracket())
    await lab.account.cancel(outcome.venue_order_id)
    assert (await lab.account.execution(outcome.venue_order_id)).status is CANCELLED
    assert await by_hand(lab, "GET", "/v2/orders") == []
    await lab.account.cancel(outcome.venue_order_id)


async def test_bracket_whose_stop_was_reached_can_still_be_cancelled():
    """Its first order is over by then, and only the leg still works."""
    async with alpaca_lab(stocks_always_open=True, balances=MONEY, fill_delay_ms=60_000) as made:
        lab = of_stocks(made)
        outcome = await placed(lab, bracket())
        lab.time.now_s += 61
        await lab.account.execution(outcome.venue_order_id)
        lab.sim.set_price("BRK.A", DOWN)
        parent = await by_hand(lab, "GET", f"/v2/orders/{outcome.venue_order_id}?nested=true")
        assert (parent["status"], parent["legs"][0]["status"]) == ("canceled", "new")
        assert (await lab.account.execution(outcome.venue_order_id)).status is OPEN
        assert [order.status for order in await listed(lab)] == [OPEN]
        await lab.account.cancel(outcome.venue_order_id)
        assert (await lab.account.execution(outcome.venue_order_id)).status is CANCELLED
        lab.time.now_s += 120
        assert (await lab.account.balances()).holdings["BRK.A"] == 10


async def test_bracket_that_sells_at_both_prices_is_the_sum():
    async with alpaca_lab(stocks_always_open=True, balances=MONEY, fill_delay_ms=60_000, fill_parts=2) as made:
        lab = of_stocks(made)
        outcome = await placed(lab, bracket())
        lab.time.now_s += 61
        assert (await lab.account.execution(outcome.venue_order_id)).status is OPEN
        lab.sim.set_price("BRK.A", UP)
        part = await lab.account.execution(outcome.venue_order_id)
        assert (part.status, part.quantity) == (OPEN, Quantity.of(1))
        lab.sim.set_price("BRK.A", DOWN)
        lab.time.now_s += 200
        whole = await lab.account.execution(outcome.venue_order_id)
        assert (whole.status, whole.quantity) == (FILLED, Quantity.of(2))
        assert whole.cost.value == 52_000 + 47_900
        legs = (await by_hand(lab, "GET", f"/v2/orders/{outcome.venue_order_id}?nested=true"))["legs"]
        assert [(leg["filled_qty"], leg["qty"]) for leg in legs] == [("1", "1")]


async def test_stream_tells_of_a_bracket_as_of_one_order(lab):
    async with aclosing(lab.account.stream()) as stream:
        assert await anext(stream) is None
        outcome = await placed(lab, bracket())
        lab.sim.set_price("BRK.A", DOWN)
        async with asyncio.timeout(10):
            async for order in stream:
                heard = await listed(lab) if order is None else [order]
                assert {each.venue_order_id for each in heard} == {outcome.venue_order_id}
                if heard[0].status is FILLED:
                    break
        assert heard[0].filled == Quantity.of(2)


async def test_bracket_of_fractions_is_refused_for_good(lab):
    outcome = await lab.account.place(bracket(instrument=AAPL, quantity="1.5"), let_through)
    assert isinstance(outcome, RefusedByVenue)
    assert (outcome.reason, outcome.parks_account) == (Reason.INVALID_ORDER, False)
    assert "fractional orders must be" in outcome.detail
    assert isinstance(await lab.account.place(bracket("two", instrument=AAPL), let_through), Accepted)


async def test_bracket_that_opens_a_position_is_no_business_of_alpacas(lab):
    microsoft = replace(BRK_A, symbol="MSFT", venue_symbol="MSFT")
    outcome = await lab.account.place(bracket(instrument=microsoft), let_through)
    assert isinstance(outcome, RefusedByVenue)
    assert "exit orders" in outcome.detail


# -- entries with exits, placed by hand ----------------------------------------------------------------------------

ENTRY = {
    "symbol": "BRK.A", "qty": "1", "side": "buy", "type": "limit", "limit_price": "49000", "time_in_force": "gtc",
    "order_class": "bracket", "take_profit": {"limit_price": "52000"}, "stop_loss": {"stop_price": "48000"},
}  # fmt: skip


async def test_entry_by_hand_is_one_order_and_its_exits_another_once_it_has_filled(lab):
    entry = await by_hand(lab, "POST", "/v2/orders", ENTRY)
    assert [leg["status"] for leg in entry["legs"]] == ["held", "held"]
    (shown,) = await listed(lab)
    assert (shown.kind, shown.side, shown.status) == (OrderKind.LIMIT, Side.BUY, OPEN)
    lab.sim.set_price("BRK.A", Decimal(48_900))
    by_kind = {order.kind: order for order in await listed(lab)}
    exits = by_kind[OrderKind.BRACKET]
    assert by_kind[OrderKind.LIMIT].status is FILLED
    assert (exits.side, exits.status, exits.venue_order_id) == (Side.SELL, OPEN, entry["legs"][0]["id"])
    assert (exits.limit_price, exits.stop_price) == (Price.of(52_000), Price.of(48_000))
    lab.sim.set_price("BRK.A", DOWN)
    by_kind = {order.kind: order for order in await listed(lab)}
    assert (by_kind[OrderKind.BRACKET].status, by_kind[OrderKind.BRACKET].filled) == (FILLED, Quantity.of(1))
    assert len(by_kind) == 2


async def test_entry_by_hand_that_was_cancelled_never_has_exits(lab):
    entry = await by_hand(lab, "POST", "/v2/orders", ENTRY)
    await by_hand(lab, "DELETE", f"/v2/orders/{entry['legs'][1]['id']}")
    (shown,) = await listed(lab)
    assert (shown.venue_order_id, shown.status) == (entry["id"], CANCELLED)


# -- fractions and sessions ----------------------------------------------------------------------------------------

NOON = datetime(2026, 1, 6, 17, 0, tzinfo=UTC)


async def test_whole_shares_rest_until_cancelled_and_fractions_until_the_day_is_over():
    moment = [NOON]
    async with alpaca_lab(our_clock=lambda: moment[0], balances=MONEY) as lab:
        lab.sim.set_price("AAPL", PRICE)
        stop = replace(ticket(side=Side.SELL, instrument=AAPL), kind=OrderKind.STOP, stop_price=Price.of(48_000))
        whole = await placed(lab, replace(stop, quantity=Quantity.of(2)))
        part = await placed(lab, replace(stop, order_id="another", quantity=Quantity.of("0.5")))
        moment[0] += timedelta(hours=8)
        assert (await lab.account.execution(whole.venue_order_id)).status is OPEN
        ended = await lab.account.execution(part.venue_order_id)
        assert (ended.status, ended.quantity) == (CANCELLED, Quantity.of(0))
        assert "expired with the trading day" in ended.detail
        assert ended.expired
        lab.sim.set_price("AAPL", DOWN)
        assert (await lab.account.execution(whole.venue_order_id)).status is OPEN, "the market is closed"
        moment[0] += timedelta(hours=15)
        assert (await lab.account.execution(whole.venue_order_id)).status is FILLED


@pytest.mark.parametrize("word", ["canceled", "expired"])
async def test_an_order_good_till_cancelled_is_ended_by_alpaca_after_90_days_whatever_it_calls_that(word):
    moment = [NOON]
    aged = Unverified(aged_orders=word)
    async with alpaca_lab(our_clock=lambda: moment[0], balances=MONEY, unverified=aged) as lab:
        lab.sim.set_price("AAPL", PRICE)
        stop = replace(ticket(side=Side.SELL, instrument=AAPL), kind=OrderKind.STOP, stop_price=Price.of(48_000))
        kept = await placed(lab, replace(stop, quantity=Quantity.of(2)))
        by_hand = await placed(lab, replace(stop, order_id="another", quantity=Quantity.of(2)))
        moment[0] += timedelta(days=89, hours=23)
        assert (await lab.account.execution(kept.venue_order_id)).status is OPEN
        await lab.account.cancel(by_hand.venue_order_id)
        moment[0] += timedelta(hours=2)
        ended = await lab.account.execution(kept.venue_order_id)
        assert (ended.status, ended.expired) == (CANCELLED, True)
        assert "90 days" in ended.detail
        taken_back = await lab.account.execution(by_hand.venue_order_id)
        assert (taken_back.status, taken_back.expired, taken_back.detail) == (CANCELLED, False, "")
