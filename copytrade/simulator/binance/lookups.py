"""Looking up orders and trades."""

from __future__ import annotations

from typing import Any

from copytrade.simulator.binance import params, shapes
from copytrade.simulator.binance.call import Call
from copytrade.simulator.binance.change_order import find_order
from copytrade.simulator.binance.errors import ARCHIVED, NO_SUCH_ORDER, BinanceError
from copytrade.simulator.binance.listing import BinanceSymbol
from copytrade.simulator.binance.parts import Part
from copytrade.simulator.orders import Fill

PAGE = 500
PAGE_MAX = 1_000
DAY_MS = 86_400_000
ARCHIVED_AFTER_S = 90 * 86_400


def get_order(call: Call) -> Any:
    """`GET /api/v3/order` by the venue's id or the client's."""
    symbol = params.symbol(call.params)
    if call.fault_kind == "ignore_filter":
        mine = _parts(call, symbol)
        if not mine:
            raise BinanceError(*NO_SUCH_ORDER)
        return shapes.order_object(mine[-1])
    part = find_order(call, symbol, "orderId", "origClientOrderId")
    if not part.is_open and not part.executed and call.now_s - part.updated_s > ARCHIVED_AFTER_S:
        raise BinanceError(*ARCHIVED)
    return shapes.order_object(part)


def open_orders(call: Call) -> Any:
    """`GET /api/v3/openOrders` of one symbol, or of all."""
    chosen = params.symbol(call.params).market.symbol if params.text(call.params, "symbol") is not None else None
    return [
        shapes.order_object(part)
        for order in call.account.open_orders.values()
        if call.visible(order) and chosen in (None, order.request.symbol)
        for part in call.parts(order)
        if part.is_open
    ]


def all_orders(call: Call) -> Any:
    """`GET /api/v3/allOrders`: from an id on, or within a span of a day, or the newest; oldest first."""
    symbol = params.symbol(call.params)
    page = params.limit(call.params, PAGE, PAGE_MAX)
    first_id = params.integer(call.params, "orderId")
    start_ms, end_ms = _span(call)
    found = _parts(call, symbol)
    if first_id is not None:
        return [shapes.order_object(part) for part in found if part.order_id >= first_id][:page]
    chosen = [part for part in found if _within(part.order.accepted_at_s, start_ms, end_ms)]
    chosen = chosen[:page] if start_ms is not None else chosen[-page:]
    return [shapes.order_object(part) for part in chosen]


def my_trades(call: Call) -> Any:
    """`GET /api/v3/myTrades`: of one order, from an id on, within a span of a day, or the newest; oldest first."""
    symbol = params.symbol(call.params)
    page = params.limit(call.params, PAGE, PAGE_MAX)
    first_id, order_id = params.integer(call.params, "fromId"), params.integer(call.params, "orderId")
    start_ms, end_ms = _span(call)
    if first_id is not None and (start_ms is not None or end_ms is not None):
        raise BinanceError(-1128, "Combination of optional parameters invalid.")
    found: list[tuple[Fill, Part]] = []
    for fill in call.account.fills:
        order = call.exchange.books.orders[fill.arrival - 1]
        if order.request.symbol != symbol.market.symbol or not call.visible(order):
            continue
        part = next(part for part in call.parts(order) if fill in part.fills)
        if order_id is not None and part.order_id != order_id:
            continue
        if first_id is not None and int(fill.fill_id) < first_id:
            continue
        if _within(fill.time_s, start_ms, end_ms):
            found.append((fill, part))
    newest = first_id is None and start_ms is None
    chosen = found[-page:] if newest else found[:page]
    return [shapes.trade_object(fill, part) for fill, part in chosen]


def _parts(call: Call, symbol: BinanceSymbol) -> list[Part]:
    """The account's orders in one symbol, oldest first."""
    account = call.account
    mine = [*account.closed_orders, *account.open_orders.values()]
    orders = [order for order in mine if order.request.symbol == symbol.market.symbol and call.visible(order)]
    return [part for order in sorted(orders, key=lambda order: order.arrival) for part in call.parts(order)]


def _span(call: Call) -> tuple[int | None, int | None]:
    start_ms, end_ms = params.integer(call.params, "startTime"), params.integer(call.params, "endTime")
    if start_ms is not None and end_ms is not None:
        if end_ms < start_ms:
            raise BinanceError(-1128, "Combination of optional parameters invalid.")
        if end_ms - start_ms > DAY_MS:
            raise BinanceError(-1127, "More than 24 hours between startTime and endTime.")
    return start_ms, end_ms


def _within(time_s: float, start_ms: int | None, end_ms: int | None) -> bool:
    at_ms = shapes.milliseconds(time_s)
    return (start_ms is None or at_ms >= start_ms) and (end_ms is None or at_ms <= end_ms)
