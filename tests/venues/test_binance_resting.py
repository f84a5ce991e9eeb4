"""Orders that rest at Binance: the contract of every venue, and what is Binance's own."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from binance_lab import BTC_USDT, OPTIONS, at_raw_server, binance_lab, order_row, ticket
from kraken_lab import http
from resting_contract import RestingContract, let_through

from copytrade.domain.errors import CredentialsRejected, VenueRefusedRead
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, ExecutionStatus, RefusedByVenue, Unknown
from copytrade.simulator.orders import NewOrder

BNB_USDT = replace(BTC_USDT, symbol="BNB/USDT", base="BNB", venue_symbol="BNBUSDT")
BRISK = replace(OPTIONS, stream_ping_s=0.4, stream_connects_per_s=100.0)


@pytest.fixture
async def lab():
    async with binance_lab(replace(OPTIONS, request_timeout_s=2.0, stream_connects_per_s=100.0)) as made:
        yield made


@pytest.fixture
async def brisk_lab():
    async with binance_lab(BRISK) as made:
        yield made


class TestBinanceResting(RestingContract):
    kinds = frozenset(OrderKind)
    place_method = None  # whichever call comes first: a bracket is placed by another one
    listing_methods = ("GET /api/v3/openOrders", "GET /api/v3/account", "GET /api/v3/allOrders")
    symbol = "BTC/USDT"
    page = 1_000

    async def test_list_has_no_holes_between_its_pages(self, lab):
        lab.sim.deposit("alice_smith", "USDT", Decimal(1_000_000))  # Binance's pages are long
        await super().test_list_has_no_holes_between_its_pages(lab)


# -- brackets -------------------------------------------------------------------------------------------------------


def bracket(lab, name="one", quantity="0.01", **more):
    made = lab.order(name, side=Side.SELL, quantity=quantity, **more)
    return replace(made, kind=OrderKind.BRACKET, limit_price=Price.of(52_000), stop_price=Price.of(48_000))


def at(kind, lab, name="one", *, side=Side.SELL, limit=None, stop=None, **more):
    return replace(
        lab.order(name, side=side, quantity="0.01", **more),
        kind=kind,
        limit_price=None if limit is None else Price.of(limit),
        stop_price=None if stop is None else Price.of(stop),
    )


async def test_bracket_is_one_order_under_one_id_and_two_at_binance(lab):
    placed = await lab.account.place(bracket(lab), let_through)
    symbol, _, list_id = placed.venue_order_id.partition(":")
    assert (symbol, list_id[0]) == ("BTCUSDT", "L")
    assert lab.sim.requests()["paths"]["/api/v3/orderList/oco"] == 1
    another = lab.venue.connect_account(lab.account.account, lab.key, lab.secret)  # knows nothing of the answer
    assert (await another.execution(placed.venue_order_id)).status is ExecutionStatus.OPEN
    assert (await another.find(bracket(lab), placed.sent_at, ())).venue_order_id == placed.venue_order_id


async def test_profit_that_fills_in_part_ends_the_loss_and_its_fills_count():
    """What happens to one order of an OCO first ends the other; what is left of the profit rests on."""
    options = replace(OPTIONS, request_timeout_s=2.0)
    async with binance_lab(options, fill_parts=2, fill_delay_ms=60_000) as lab:
        placed = await lab.account.place(bracket(lab), let_through)
        lab.time.now_s += 120  # it has taken its place in the book
        lab.sim.set_price("BTC/USDT", Decimal(52_100))
        half = await lab.account.execution(placed.venue_order_id)
        assert (half.status, half.quantity, half.cost.value) == (ExecutionStatus.OPEN, Quantity.of("0.005"), 260)
        (listed,) = await lab.account.orders(placed.sent_at)
        assert (listed.status, listed.filled, listed.kind) == (ExecutionStatus.OPEN, half.quantity, OrderKind.BRACKET)
        await lab.account.cancel(placed.venue_order_id)
        ended = await lab.account.execution(placed.venue_order_id)
        assert (ended.status, ended.quantity) == (ExecutionStatus.CANCELLED, Quantity.of("0.005"))
        assert ended.detail == "Binance: LIMIT_MAKER CANCELED, STOP_LOSS EXPIRED"


async def test_loss_that_was_reached_tells_what_became_of_both(lab):
    placed = await lab.account.place(bracket(lab), let_through)
    lab.sim.set_price("BTC/USDT", Decimal(47_900))
    execution = await lab.account.execution(placed.venue_order_id)
    assert execution.detail == "Binance: LIMIT_MAKER EXPIRED, STOP_LOSS FILLED"
    assert execution.fee.value == Decimal("0.479")


async def test_bracket_counts_as_two_unfilled_orders():
    async with binance_lab(OPTIONS, orders_per_10_s=20) as lab:
        lab.time.now_s += 10 - lab.time.utc().timestamp() % 10 + 0.5  # at the beginning of a span
        await lab.account.place(bracket(lab), let_through)
        limits = lab.account._orders
        assert [window.used for window in limits._windows.values()] == [2, 2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"listClientOrderId": "somebody"}, "another list"), ({"orderListId": None}, "list None"),
        ({"symbol": "ETHUSDT"}, "cannot be read"), ({"orders": []}, "cannot be read"),
    ],
)  # fmt: skip
async def test_answer_about_another_list_leaves_the_bracket_unknown(changes, words):
    order = replace(ticket(side=Side.SELL), kind=OrderKind.BRACKET, limit_price=Price.of(2), stop_price=Price.of(1))
    answer = {
        "orderListId": 7, "contingencyType": "OCO", "listClientOrderId": order.order_id, "symbol": "BTCUSDT",
        "orders": [{"symbol": "BTCUSDT", "orderId": 1}, {"symbol": "BTCUSDT", "orderId": 2}],
    }  # fmt: skip
    async with at_raw_server(http(answer), http({**answer, **changes})) as (_, account, _venue):
        assert (await account.place(order, let_through)).venue_order_id == "BTCUSDT:L7"
        outcome = await account.place(order, let_through)
    assert isinstance(outcome, Unknown)
    assert words in outcome.detail


async def test_list_without_a_profit_and_a_loss_is_no_order_of_ours():
    rows = [order_row(orderId=1, orderListId=7), order_row(orderId=2, orderListId=7, type="MARKET")]
    legs = {"symbol": "BTCUSDT", "orderListId": 7, "orders": [{"orderId": 1}, {"orderId": 2}]}
    async with at_raw_server(http(legs), *map(http, rows)) as (_, account, _venue):
        with pytest.raises(VenueRefusedRead, match="no pair"):
            await account.execution("BTCUSDT:L7")


# -- kinds and refusals ---------------------------------------------------------------------------------------------


async def test_market_without_market_stops_says_so_and_takes_none(lab):
    instrument = lab.venue.instrument("ETH/BTC")
    kinds = lab.venue.order_kinds(instrument)
    assert {OrderKind.STOP, OrderKind.TAKE_PROFIT, OrderKind.BRACKET}.isdisjoint(kinds)
    assert {OrderKind.STOP_LIMIT, OrderKind.TAKE_PROFIT_LIMIT, OrderKind.POST_ONLY} <= kinds
    for kind, stop, limit in ((OrderKind.STOP, "0.04", None), (OrderKind.BRACKET, "0.04", "0.06")):
        order = replace(at(kind, lab, stop=stop, limit=limit, instrument=instrument), quantity=Quantity.of(1))
        outcome = await lab.account.place(order, let_through)
        assert isinstance(outcome, RefusedByVenue)
        assert "not supported" in outcome.detail


@pytest.mark.parametrize(
    ("kind", "limit", "stop"),
    [
        (OrderKind.STOP, None, "50500"), (OrderKind.STOP_LIMIT, "50000", "50500"),
        (OrderKind.TAKE_PROFIT, None, "49500"), (OrderKind.BRACKET, "52000", "50500"),
    ],
)  # fmt: skip
async def test_order_whose_price_is_reached_already_is_refused_for_certain(lab, kind, limit, stop):
    outcome = await lab.account.place(at(kind, lab, limit=limit, stop=stop), let_through)
    assert isinstance(outcome, RefusedByVenue)
    assert outcome.reason is Reason.VENUE_REFUSED
    assert not outcome.parks_account
    assert lab.orders() == []


async def test_more_stops_than_a_market_takes_are_refused(lab):
    for number in range(5):
        order = at(OrderKind.STOP, lab, str(number), stop="48000")
        assert isinstance(await lab.account.place(order, let_through), Accepted)
    outcome = await lab.account.place(at(OrderKind.STOP, lab, "six", stop="48000"), let_through)
    assert isinstance(outcome, RefusedByVenue)
    assert "MAX_NUM_ALGO_ORDERS" in outcome.detail


# -- cancelling -----------------------------------------------------------------------------------------------------


async def test_cancels_weigh_nothing_and_wait_for_nothing():
    """A thousand accounts cancel at once from one address: what succeeds costs no weight, so none is held back."""
    async with binance_lab(replace(OPTIONS, weight_per_minute=6_000)) as lab:
        orders = [at(OrderKind.LIMIT, lab, str(number), limit="51000") for number in range(20)]
        placed = [await lab.account.place(order, let_through) for order in orders]
        lab.venue.address.weight.charge(5_640 - lab.venue.address.weight.used)  # 60 are left of what may be used
        slept = len(lab.time.slept)
        for order in placed * 2:
            await lab.account.cancel(order.venue_order_id)
        assert len(lab.time.slept) == slept
        assert lab.venue.address.weight.used <= 5_640 + 20, "only those that were over already"


async def test_cancel_of_what_is_not_ours_to_name_is_told(lab):
    with pytest.raises(VenueRefusedRead, match="not placed by this service"):
        await lab.account.cancel("BTCUSDT:Lx")


async def test_cancel_that_the_key_may_not_make_is_an_error(lab):
    placed = await lab.account.place(bracket(lab), let_through)
    for method in ("DELETE /api/v3/orderList", "DELETE /api/v3/order"):
        lab.fault("error", when="before", method=method, error="-2015 Invalid API-key, IP, or permissions for action.")
    for name in (placed.venue_order_id, "BTCUSDT:28"):
        with pytest.raises(CredentialsRejected):
            await lab.account.cancel(name)


# -- the list of orders ---------------------------------------------------------------------------------------------


def strange(lab, symbol, side, volume, limit=None):
    """A trade by hand, which no call of ours knows of."""
    with lab.sim.lock:
        order = lab.sim.exchange.submit(NewOrder("alice_smith", symbol, side, Decimal(volume), limit))
        lab.sim.exchange.advance(lab.sim.clock())
    return order


async def test_trade_by_hand_in_a_new_market_is_found_by_its_balance(lab):
    since = lab.venue.clock()
    assert await lab.account.orders(since) == []
    read = lab.sim.requests()["paths"]["/api/v3/allOrders"]
    strange(lab, "ETH/USDT", "buy", "0.5")
    (order,) = await lab.account.orders(since)
    assert (order.symbol, order.filled, order.kind) == ("ETH/USDT", Quantity.of("0.5"), OrderKind.MARKET)
    strange(lab, "ETH/USDT", "sell", "0.5")  # nothing is held of it any more
    assert len(await lab.account.orders(since)) == 2
    assert lab.sim.requests()["paths"]["/api/v3/allOrders"] - read < 10, "not every market is read"


async def test_market_in_which_nothing_happens_any_more_is_left_alone_until_something_does(lab):
    strange(lab, "ETH/USDT", "buy", "0.5")
    strange(lab, "ETH/USDT", "sell", "0.5")
    assert len(await lab.account.orders(lab.venue.clock() - timedelta(minutes=1))) == 0, "neither is held nor was seen"
    strange(lab, "ETH/USDT", "buy", "0.5")
    assert len(await lab.account.orders(lab.venue.clock() - timedelta(minutes=1))) == 3
    lab.time.now_s += 3_600
    for _ in range(2):
        assert await lab.account.orders(lab.venue.clock() - timedelta(minutes=1)) == []
    read = lab.sim.requests()["paths"]["/api/v3/allOrders"]
    assert await lab.account.orders(lab.venue.clock() - timedelta(minutes=1)) == []
    assert lab.sim.requests()["paths"]["/api/v3/allOrders"] == read
    assert len(await lab.account.orders(lab.venue.clock() - timedelta(hours=2))) == 3, "unless it is asked for"
    strange(lab, "ETH/USDT", "sell", "0.5")
    assert len(await lab.account.orders(lab.venue.clock() - timedelta(minutes=1))) == 1


async def test_what_was_paid_with_need_not_be_held_any_more(lab):
    """The first reading knows of no changes: what is held may have been bought for anything."""
    lab.sim.deposit("alice_smith", "USDC", Decimal(6_010))
    lab.sim.set_price("BTC/USDC", Decimal(60_000))
    strange(lab, "BTC/USDC", "buy", "0.1")
    lab.sim.deposit("alice_smith", "USDC", -lab.sim.books.accounts["alice_smith"].available("USDC"))
    (order,) = await lab.account.orders(lab.venue.clock() - timedelta(minutes=1))
    assert (order.symbol, order.filled) == ("BTC/USDC", Quantity.of("0.1"))


async def test_trades_of_many_orders_are_asked_for_at_once_and_once(lab):
    since = lab.venue.clock() - timedelta(minutes=1)
    for _ in range(12):
        strange(lab, "BTC/USDT", "buy", "0.001")
    orders = await lab.account.orders(since)
    assert [order.cost.value for order in orders] == [50] * 12
    assert lab.sim.requests()["paths"]["/api/v3/myTrades"] == 1
    assert len(await lab.account.orders(since)) == 12
    assert lab.sim.requests()["paths"]["/api/v3/myTrades"] == 1


async def test_fee_in_a_third_asset_is_reckoned_in_money():
    trade = {"id": 1, "orderId": 28, "price": "50000", "qty": "0.001", "quoteQty": "50", "commission": "0.0001"}
    ticker = [{"symbol": "BNBUSDT", "bidPrice": "600", "askPrice": "600"}]
    filled = order_row(status="FILLED", executedQty="0.001")
    answers = [filled, json.dumps([{**trade, "commissionAsset": "BNB"}]), json.dumps(ticker)]
    async with at_raw_server(*map(http, answers)) as (_, account, venue):
        venue.symbols.add(BNB_USDT)
        execution = await account.execution("BTCUSDT:28")
    assert execution.fee.value == Decimal("0.06")
    assert "fee 0.0001 BNB" in execution.detail
