"""Lists of orders: placing an OCO, looking lists up, cancelling them.

An OCO is simulated with a `LIMIT_MAKER` on one side of the price and a `STOP_LOSS` on the other; the other types that
its two orders may have are refused as not simulated, and so are the other kinds of lists (their paths are unknown).
Where the documentation names no error for a list that does not exist, that of orders is used.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from copytrade.simulator.binance import params, shapes
from copytrade.simulator.binance.call import Call
from copytrade.simulator.binance.change_order import cancelled_list
from copytrade.simulator.binance.errors import (
    BinanceError,
    filter_failure,
    missing,
    not_required,
    not_simulated,
    refused,
)
from copytrade.simulator.binance.listing import ALGO_ORDERS_MAX, ORDERS_MAX, BinanceSymbol
from copytrade.simulator.binance.lookups import DAY_MS, PAGE, PAGE_MAX
from copytrade.simulator.binance.parts import ListIds, list_id
from copytrade.simulator.binance.place_order import (
    DUPLICATE,
    REPLY_TYPES,
    algo_orders,
    check_filters,
    check_number,
    check_trading,
    count_orders,
    made_client_id,
    say_refused,
)
from copytrade.simulator.exchange import OrderRefused
from copytrade.simulator.orders import NewOrder, Order

LEG_TYPES = ("LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
_LEG = (
    "Type", "ClientOrderId", "IcebergQty", "Price", "StopPrice", "TrailingDelta", "TimeInForce", "StrategyId",
    "StrategyType", "PegPriceType", "PegOffsetType", "PegOffsetValue",
)  # fmt: skip
OCO_PARAMS = frozenset(
    {"symbol", "listClientOrderId", "side", "quantity", "newOrderRespType", "selfTradePreventionMode"}
    | {side + name for side in ("above", "below") for name in _LEG}
)
PRICES_WRONG = "The relationship of the prices for the orders is not correct."


def new_oco(call: Call) -> Any:
    """`POST /api/v3/orderList/oco`: one order above the price, one below it."""
    values = call.params
    symbol = params.symbol(values)
    side = params.choice(values, "side", ("BUY", "SELL"), -1117, "Invalid side.")
    if side is None:
        raise missing("side")
    profit, loss = ("above", "below") if side == "SELL" else ("below", "above")
    _check_types(call, symbol, profit, loss)
    quantity = params.decimal(values, "quantity")
    if quantity is None:
        raise missing("quantity")
    check_number(quantity, "quantity", "quantity")
    reply_type = params.choice(
        values, "newOrderRespType", REPLY_TYPES, -1130, "Data sent for parameter 'newOrderRespType' is not valid."
    )
    price, stop = _number(values, f"{profit}Price"), _number(values, f"{loss}StopPrice")
    check_filters(call, symbol, quantity, False, price, None)
    check_filters(call, symbol, quantity, False, None, stop)
    last = call.exchange.prices.quote(symbol.market.symbol, call.now_s).last
    if not (price > last > stop if side == "SELL" else price < last < stop):
        raise refused(PRICES_WRONG)
    ids = ListIds(_leg_id(call, profit), _leg_id(call, loss))
    request = NewOrder(
        account=call.account.name,
        symbol=symbol.market.symbol,
        side=side.lower(),
        volume=quantity,
        limit_price=price,
        bracket_stop=stop,
        bracket_ends_at_fill=True,
        post_only=True,
        fee_in_base=side == "BUY",
        client_id=params.client_id(values, "listClientOrderId") or made_client_id(call, "list"),
    )
    return _place(call, symbol, request, ids, reply_type or "ACK")


def cancel_list(call: Call) -> Any:
    """`DELETE /api/v3/orderList`."""
    symbol = params.symbol(call.params)
    order = _find(call, "listClientOrderId")
    new_id = params.client_id(call.params, "newClientOrderId")
    if order is None or not order.is_open or order.request.symbol != symbol.market.symbol:
        raise BinanceError(-2011, "Unknown order list sent.")
    return cancelled_list(call, order, new_id)


def get_list(call: Call) -> Any:
    """`GET /api/v3/orderList`."""
    order = _find(call, "origClientOrderId")
    if order is None:
        raise BinanceError(-2013, "Order list does not exist.")
    return _shown(call, order)


def open_lists(call: Call) -> Any:
    """`GET /api/v3/openOrderList`."""
    return [_shown(call, order) for order in call.own_lists() if order.is_open]


def all_lists(call: Call) -> Any:
    """`GET /api/v3/allOrderList`: from an id on, or within a span of a day, or the newest; oldest first."""
    page = params.limit(call.params, PAGE, PAGE_MAX)
    first_id = params.integer(call.params, "fromId")
    start_ms, end_ms = params.integer(call.params, "startTime"), params.integer(call.params, "endTime")
    if first_id is not None and (start_ms is not None or end_ms is not None):
        raise BinanceError(-1128, "Combination of optional parameters invalid.")
    if start_ms is not None and end_ms is not None and end_ms - start_ms > DAY_MS:
        raise BinanceError(-1127, "More than 24 hours between startTime and endTime.")
    found = [order for order in call.own_lists() if first_id is None or list_id(order) >= first_id]
    found = [order for order in found if start_ms is None or shapes.milliseconds(order.accepted_at_s) >= start_ms]
    found = [order for order in found if end_ms is None or shapes.milliseconds(order.accepted_at_s) <= end_ms]
    newest = first_id is None and start_ms is None
    return [_shown(call, order) for order in (found[-page:] if newest else found[:page])]


def _place(call: Call, symbol: BinanceSymbol, request: NewOrder, ids: ListIds, reply_type: str) -> dict[str, Any]:
    check_trading(call, symbol)
    if call.account.open_by_symbol.get(request.symbol, 0) + 2 > ORDERS_MAX:
        raise filter_failure("MAX_NUM_ORDERS")
    if algo_orders(call, request.symbol) >= ALGO_ORDERS_MAX:
        raise filter_failure("MAX_NUM_ALGO_ORDERS")
    if ids.profit == ids.loss or any(_is_open(call, client_id) for client_id in (ids.profit, ids.loss)):
        raise refused(DUPLICATE)
    hidden_s = call.fault.hide_s if call.fault is not None and call.fault.kind == "hide" else 0.0
    counter = call.desk.orders.of(call.account.name)
    if call.desk.orders.enabled:
        counter.check(call.now_s, 2)
    try:
        order = call.exchange.submit(request, hidden_s=hidden_s)
    except OrderRefused as error:
        raise say_refused(error) from None
    call.desk.lists.add(order, ids)
    count_orders(call, order, 2)
    parts = call.parts(order)
    shown = shapes.list_object(parts, call.now_s)
    if reply_type == "ACK":
        return shown
    report = shapes.result if reply_type == "RESULT" else shapes.full
    return {**shown, "orderReports": [report(part) for part in parts]}


def _check_types(call: Call, symbol: BinanceSymbol, profit: str, loss: str) -> None:
    for leg in ("above", "below"):
        kind = params.choice(call.params, f"{leg}Type", LEG_TYPES, -1116, "Invalid orderType.")
        if kind is None:
            raise missing(f"{leg}Type")
        wanted = "LIMIT_MAKER" if leg == profit else "STOP_LOSS"
        if not symbol.oco or kind not in symbol.order_types:
            raise refused("OCO orders are not supported for this symbol.")
        if kind != wanted and kind in ("LIMIT_MAKER", "STOP_LOSS"):
            raise refused(PRICES_WRONG)
        if kind != wanted:
            raise not_simulated(f"{leg}Type {kind}")
        for name in _LEG[2:]:
            if name != ("Price" if leg == profit else "StopPrice") and params.text(call.params, leg + name) is not None:
                raise not_required(leg + name)


def _number(values: params.Params, name: str) -> Decimal:
    value = params.decimal(values, name)
    if value is None:
        raise missing(name)
    check_number(value, name, "price" if name.endswith("Price") and "Stop" not in name else "stopPrice")
    return value


def _leg_id(call: Call, leg: str) -> str:
    return params.client_id(call.params, f"{leg}ClientOrderId") or made_client_id(call, leg)


def _is_open(call: Call, client_id: str) -> bool:
    """Whether an open order of the account goes by this client id."""
    singles = call.account.by_client_id.get(client_id, [])
    in_lists = call.desk.lists.by_client_id.get((call.account.name, client_id), [])
    return any(order.is_open for order in (*singles, *in_lists))


def _find(call: Call, client_id_name: str) -> Order | None:
    number = params.integer(call.params, "orderListId")
    if number is not None:
        return call.own_list(number)
    client_id = params.client_id(call.params, client_id_name)
    if client_id is None:
        raise BinanceError(-1102, f"Param '{client_id_name}' or 'orderListId' must be sent, but both were empty/null!")
    named = [order for order in call.own_lists() if order.request.client_id == client_id]
    return next((order for order in named if order.is_open), named[-1] if named else None)


def _shown(call: Call, order: Order) -> dict[str, Any]:
    parts = call.parts(order)
    return shapes.list_object(parts, max(part.updated_s for part in parts))
