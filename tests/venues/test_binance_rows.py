"""Binance's order objects in our words: every type, lists of all sorts, and what makes no sense."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from binance_lab import BTC_USDT, at_raw_server, order_row, ticket
from kraken_lab import http

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.venue import Execution, ExecutionStatus
from copytrade.venues.binance.orders import read_order
from copytrade.venues.binance.rows import as_listed, bracket_of, in_units, read_row
from copytrade.venues.binance.tickets import bracket_id, kinds_of, leg_ids, list_fields, order_fields

EVERY_TYPE = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]
AT = datetime(2026, 7, 21, 12, tzinfo=UTC)


def execution(reference="BTCUSDT:28", filled="0"):
    return Execution(
        reference, ExecutionStatus.OPEN, Quantity.of(filled), Amount.of(0), Amount.of(0), AT
    )


def listed(*rows, filled="0"):
    return as_listed(rows, BTC_USDT, execution(filled=filled), timedelta(0))


@pytest.mark.parametrize(
    ("changes", "kind", "limit", "stop"),
    [
        ({}, OrderKind.LIMIT, "49000", None),
        ({"timeInForce": "IOC"}, OrderKind.IOC_LIMIT, "49000", None),
        ({"timeInForce": "FOK"}, OrderKind.IOC_LIMIT, "49000", None),
        ({"icebergQty": "0.0001"}, OrderKind.LIMIT, "49000", None),
        ({"type": "LIMIT_MAKER"}, OrderKind.POST_ONLY, "49000", None),
        ({"type": "MARKET", "price": "0.0"}, OrderKind.MARKET, None, None),
        ({"type": "STOP_LOSS", "price": "0.0", "stopPrice": "48000"}, OrderKind.STOP, None, "48000"),
        ({"type": "STOP_LOSS_LIMIT", "stopPrice": "48000"}, OrderKind.STOP_LIMIT, "49000", "48000"),
        ({"type": "TAKE_PROFIT", "price": "0.0", "stopPrice": "48000"}, OrderKind.TAKE_PROFIT, None, "48000"),
        ({"type": "TAKE_PROFIT_LIMIT", "stopPrice": "48000"}, OrderKind.TAKE_PROFIT_LIMIT, "49000", "48000"),
        ({"type": "PEGGED_TO_SOMETHING"}, OrderKind.LIMIT, "49000", None),
        ({"type": "NEW_STOP", "price": "0", "stopPrice": "48000"}, OrderKind.STOP, None, "48000"),
        ({"type": "NEW_STOP_LIMIT", "stopPrice": "48000"}, OrderKind.STOP_LIMIT, "49000", "48000"),
    ],
)
def test_every_type_is_told_as_the_nearest_kind(changes, kind, limit, stop):
    order = listed(read_row(order_row(**changes)))
    assert order.kind is kind
    assert order.limit_price == (None if limit is None else Price.of(limit))
    assert order.stop_price == (None if stop is None else Price.of(stop))
    assert (order.client_order_id, order.quantity, order.side) == ("web_28", Quantity.of("0.001"), Side.BUY)
    assert order.created_at == datetime(2026, 7, 21, 12, tzinfo=UTC)


def test_order_that_follows_the_price_is_told_once_it_has_traded():
    """A trailing stop has no price to give to anybody; told as a market order it would be copied as one at once."""
    trailing = {"type": "STOP_LOSS", "price": "0", "trailingDelta": 10}
    assert listed(read_row(order_row(**trailing))) is None
    order = listed(read_row(order_row(**trailing, executedQty="0.001", status="FILLED")), filled="0.001")
    assert (order.kind, order.filled) == (OrderKind.MARKET, Quantity.of("0.001"))


def test_reason_why_an_order_ended_is_told():
    view = read_order(order_row(status="EXPIRED", expiryReason="PRICE_RANGE"))
    assert view.word == "EXPIRED (PRICE_RANGE)"
    assert view.status is ExecutionStatus.CANCELLED


def leg(order_id, kind, side="SELL", list_id=7, **changes):
    return read_row(order_row(orderId=order_id, orderListId=list_id, type=kind, side=side, **changes))


def test_list_of_two_is_one_bracket_whatever_their_order():
    profit = leg(2, "LIMIT_MAKER", price="52000", clientOrderId="oneP")
    loss = leg(1, "STOP_LOSS", price="0", stopPrice="48000", clientOrderId="oneS")
    (unit,) = in_units([loss, profit])
    assert unit == (profit, loss)
    order = listed(*unit)
    assert (order.kind, order.limit_price, order.stop_price) == (OrderKind.BRACKET, Price.of(52_000), Price.of(48_000))
    assert order.client_order_id == "one"


def test_take_profit_in_a_bracket_is_told_by_its_trigger():
    profit = leg(2, "TAKE_PROFIT", price="0", stopPrice="52000", clientOrderId="a")
    loss = leg(1, "STOP_LOSS_LIMIT", price="47900", stopPrice="48000", clientOrderId="b")
    order = listed(*bracket_of([loss, profit]))
    assert (order.limit_price, order.stop_price, order.client_order_id) == (Price.of(52_000), Price.of(48_000), "a")


def test_what_waits_for_another_order_of_its_list_is_not_told():
    """A first order with a pair behind it (OTOCO): the pair is in the market only once the first has filled."""
    first = leg(1, "LIMIT", side="BUY")
    waiting = [leg(2, "LIMIT_MAKER", status="PENDING_NEW"), leg(3, "STOP_LOSS", stopPrice="1", status="PENDING_NEW")]
    assert in_units([first, *waiting]) == [(first,)]
    active = [leg(2, "LIMIT_MAKER"), leg(3, "STOP_LOSS", stopPrice="1")]
    assert in_units([first, *active]) == [tuple(active), (first,)]


def test_lists_of_two_markets_are_not_mixed_up():
    rows = [leg(1, "LIMIT_MAKER"), leg(2, "STOP_LOSS", stopPrice="1", symbol="ETHUSDT")]
    assert len(in_units(rows)) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "NEW_WORD"}, {"side": "BOTH"}, {"time": "yesterday"}, {"updateTime": -1}, {"price": "-1"},
        {"origQty": None}, {"orderListId": "seven"}, {"orderId": True}, {"clientOrderId": ""}, {"executedQty": "NaN"},
    ],
)  # fmt: skip
def test_what_is_no_order_is_an_error(changes):
    with pytest.raises(VenueUnavailable):
        read_row(order_row(**changes))


@pytest.mark.parametrize(
    ("types", "oco", "missing"),
    [
        (EVERY_TYPE, True, set()),
        (EVERY_TYPE, False, {OrderKind.BRACKET}),
        (
            ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"], True,
            {OrderKind.STOP, OrderKind.TAKE_PROFIT, OrderKind.BRACKET},
        ),
        (["LIMIT_MAKER"], False, set(OrderKind) - {OrderKind.POST_ONLY}),
    ],
)  # fmt: skip
def test_kinds_are_those_that_the_market_takes(types, oco, missing):
    assert set(OrderKind) - kinds_of({"orderTypes": types, "ocoAllowed": oco}) == missing


def test_bracket_has_its_profit_on_the_side_where_it_wins():
    sale = replace(
        ticket(side=Side.SELL), kind=OrderKind.BRACKET, limit_price=Price.of(52_000), stop_price=Price.of(48_000)
    )
    fields = list_fields(sale)
    assert (fields["aboveType"], fields["abovePrice"]) == ("LIMIT_MAKER", "52000")
    assert (fields["belowType"], fields["belowStopPrice"]) == ("STOP_LOSS", "48000")
    purchase = replace(sale, side=Side.BUY, limit_price=Price.of(48_000), stop_price=Price.of(52_000))
    fields = list_fields(purchase)
    assert (fields["belowType"], fields["belowPrice"]) == ("LIMIT_MAKER", "48000")
    assert (fields["aboveType"], fields["aboveStopPrice"]) == ("STOP_LOSS", "52000")


def test_ids_of_a_brackets_orders_lead_back_to_its_own():
    profit, loss = leg_ids(ticket().order_id)
    assert len({ticket().order_id, profit, loss}) == 3
    assert bracket_id(profit, loss) == ticket().order_id
    assert bracket_id("web_1", "web_2") == "web_1"
    assert max(map(len, (profit, loss))) <= 36, "the longest that Binance takes"


def test_price_as_it_is_sent_has_no_exponent():
    small = replace(ticket(), kind=OrderKind.LIMIT, limit_price=Price(Decimal("1E+4")))
    assert order_fields(small)["price"] == "10000"


def body(result):
    return http(json.dumps(result))


async def test_odd_order_is_left_out_and_told_once_and_the_list_goes_on(caplog):
    rows = [order_row(), order_row(orderId=29, status="FROM_TOMORROW"), order_row(orderId=30, symbol="NEWUSDT")]
    account = {"balances": [{"asset": "USDT", "free": "1", "locked": "49"}]}
    answers = [body(rows), body(account), body([order_row()])]
    async with at_raw_server(*answers, *answers) as (_, client, _venue):
        for _ in range(2):
            (order,) = await client.orders(AT)
            assert order.venue_order_id == "BTCUSDT:28"
    assert caplog.text.count("FROM_TOMORROW") == 1
    assert caplog.text.count("NEWUSDT") == 1


async def test_list_in_which_nothing_makes_sense_is_an_error():
    async with at_raw_server(*[body([{"order": "by telegram"}])] * 3) as (_, client, _venue):
        with pytest.raises(VenueUnavailable, match="nothing in"):
            await client.orders(AT)
