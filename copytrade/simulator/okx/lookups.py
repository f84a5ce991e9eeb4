"""Looking orders and trades up: one order, open ones, finished ones, fills. Newest first, a hundred a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from copytrade.simulator.okx import params
from copytrade.simulator.okx.call import Call
from copytrade.simulator.okx.change import named_order
from copytrade.simulator.okx.errors import OkxError, invalid
from copytrade.simulator.okx.listing import BY_INST_ID
from copytrade.simulator.okx.shapes import fill_object, order_object, order_state
from copytrade.simulator.orders import Fill, Order

PAGE = 100
DAY_S = 86_400
_INSTRUMENT_TYPES = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION")
_ORDER_TYPES = ("market", "limit", "post_only", "fok", "ioc")
Item = TypeVar("Item", Order, Fill)


def get_order(call: Call) -> list[Any]:
    """GET /trade/order: by `ordId`, or the newest with that `clOrdId`."""
    if params.required(call.params, "instId") not in BY_INST_ID:
        raise OkxError("51001")
    order = named_order(call, call.params)
    by_client_id = not params.text(call.params, "ordId")
    if order is None or not _shown(call, order) or (by_client_id and call.fault_kind == "ignore_filter"):
        raise OkxError("51603")
    return [_object(call, order)]


def orders_pending(call: Call) -> list[Any]:
    """GET /trade/orders-pending."""
    _instrument_type(call, needed=False)
    state = params.one_of(call.params, "state", ("live", "partially_filled"))
    orders = [order for order in call.account.open_orders.values() if _asked_for(call, order, state)]
    return [_object(call, order) for order in _page(call, orders, _id_of(call), _accepted_ms)]


def orders_history(call: Call) -> list[Any]:
    """GET /trade/orders-history: finished orders of the last seven days."""
    return _history(call, 7 * DAY_S)


def orders_history_archive(call: Call) -> list[Any]:
    """GET /trade/orders-history-archive: finished orders of the last three months."""
    return _history(call, 90 * DAY_S)


def fills(call: Call) -> list[Any]:
    """GET /trade/fills: trades of the last three days."""
    return _fills(call, 3 * DAY_S, needed=False)


def fills_history(call: Call) -> list[Any]:
    """GET /trade/fills-history: trades of the last three months."""
    return _fills(call, 90 * DAY_S, needed=True)


def _history(call: Call, reach_s: float) -> list[Any]:
    _instrument_type(call, needed=True)
    state = params.one_of(call.params, "state", ("filled", "canceled", "mmp_canceled"))
    orders = [
        order
        for order in call.account.closed_orders
        if call.now_s - (order.closed_at_s or 0.0) <= reach_s and _asked_for(call, order, state)
    ]
    return [_object(call, order) for order in _page(call, orders, _id_of(call), _accepted_ms)]


def _fills(call: Call, reach_s: float, needed: bool) -> list[Any]:
    _instrument_type(call, needed=needed)
    inst_id, order_id = params.text(call.params, "instId"), params.text(call.params, "ordId")
    found = []
    for fill in call.account.fills:
        order = _order_of(call, fill)
        if (
            call.now_s - fill.time_s <= reach_s
            and order.visible_at_s <= call.now_s
            and (not inst_id or _inst_id(order) == inst_id)
            and (not order_id or call.desk.algos.shown_id(order) == order_id)
        ):
            found.append(fill)
    page = _page(call, found, lambda fill: fill.fill_id, lambda fill: int(fill.time_s * 1000))
    return [fill_object(fill, _order_of(call, fill), call.desk) for fill in page]


def _page(
    call: Call, items: Iterable[Item], id_of: Callable[[Item], str], time_ms_of: Callable[[Item], int]
) -> list[Item]:
    """The newest items older than the id `after`, newer than the id `before`, from `begin` to `end` (ms)."""
    after, before = params.whole(call.params, "after"), params.whole(call.params, "before")
    begin_ms, end_ms = params.whole(call.params, "begin"), params.whole(call.params, "end")
    chosen = [
        item
        for item in items
        if (after is None or int(id_of(item)) < after)
        and (before is None or int(id_of(item)) > before)
        and (begin_ms is None or time_ms_of(item) >= begin_ms)
        and (end_ms is None or time_ms_of(item) <= end_ms)
    ]
    chosen.sort(key=lambda item: int(id_of(item)), reverse=True)
    return chosen[: params.limit(call.params, PAGE)]


def _instrument_type(call: Call, needed: bool) -> None:
    kind = params.text(call.params, "instType")
    if not kind and needed:
        raise OkxError("50014", "instType")
    if kind and kind not in _INSTRUMENT_TYPES:
        raise invalid("instType")


def _asked_for(call: Call, order: Order, state: str) -> bool:
    inst_id = params.text(call.params, "instId")
    order_type = params.one_of(call.params, "ordType", _ORDER_TYPES)
    note = call.desk.notes.get(order.order_id)
    return (
        _shown(call, order)
        and params.text(call.params, "instType") in ("", "SPOT")
        and (not inst_id or _inst_id(order) == inst_id)
        and (not order_type or (note is not None and note.order_type == order_type))
        and (not state or order_state(order) == state)
    )


def _shown(call: Call, order: Order) -> bool:
    """Whether a look-up may show the order: cancelled ones without a fill are forgotten after two hours."""
    if order.visible_at_s > call.now_s or call.desk.algos.shown_id(order) is None:
        return False
    forgotten = not order.is_open and not order.filled
    return not (forgotten and call.now_s - (order.closed_at_s or 0.0) > call.desk.unfilled_kept_s)


def _id_of(call: Call) -> Callable[[Order], str]:
    return lambda order: call.desk.algos.shown_id(order) or order.order_id


def _accepted_ms(order: Order) -> int:
    return int((order.triggered_at_s or order.accepted_at_s) * 1000)


def _inst_id(order: Order) -> str:
    return order.request.symbol.replace("/", "-")


def _object(call: Call, order: Order) -> dict[str, Any]:
    return order_object(order, call.exchange.books, call.desk)


def _order_of(call: Call, fill: Fill) -> Order:
    return call.exchange.books.orders[fill.arrival - 1]
