"""Orders and fills of the past. There is no look-up by `client_order_id`, as at the venue."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from copytrade.simulator.coinbase import params
from copytrade.simulator.coinbase.call import Call
from copytrade.simulator.coinbase.change_order import own_order
from copytrade.simulator.coinbase.errors import invalid, not_found
from copytrade.simulator.coinbase.listing import BY_SYMBOL
from copytrade.simulator.coinbase.shapes import fill_object, order_object, status_of
from copytrade.simulator.orders import Fill, Order

PAGE_DEFAULT = 100
PAGE_MAX = 1_000
STATUSES = {
    "OPEN", "FILLED", "CANCELLED", "EXPIRED", "FAILED", "PENDING", "QUEUED", "CANCEL_QUEUED", "EDIT_QUEUED",
    "UNKNOWN_ORDER_STATUS",
}  # fmt: skip


def get_order(call: Call) -> Any:
    """Get Order, by the venue's own id."""
    order = own_order(call, call.path_part)
    if order is None:
        raise not_found("order")
    return {"order": _shown(call, order)}


def list_orders(call: Call) -> Any:
    """List Orders, newest first. The filter OPEN does not show orders that are PENDING."""
    query = call.query
    statuses = set(params.several(query, "order_status"))
    if statuses - STATUSES:
        raise invalid("order_status is not known")
    if call.desk.rules.open_status_alone and "OPEN" in statuses and len(statuses) > 1:
        raise invalid("OPEN cannot be combined with another order_status")
    limit = params.integer(query, "limit", PAGE_DEFAULT, PAGE_MAX)
    below = _cursor(call)
    first_s, last_s = params.instant(query, "start_date"), params.instant(query, "end_date")
    products, ids = set(params.several(query, "product_ids")), set(params.several(query, "order_ids"))
    side = params.one(query, "order_side")
    ignore = call.fault_kind == "ignore_filter"
    found = []
    for order in _newest_first(call):
        filtered = (
            (first_s is not None and order.accepted_at_s < first_s)
            or (last_s is not None and order.accepted_at_s > last_s)
            or (products and BY_SYMBOL[order.request.symbol].product_id not in products)
            or (ids and order.order_id not in ids)
            or (side and side.lower() != order.request.side)
        )
        if (filtered and not ignore) or (below is not None and order.arrival >= below):
            continue
        if statuses and status_of(order, call.desk) not in statuses:
            continue
        found.append(order)
        if len(found) > limit:
            break
    page, more = found[:limit], len(found) > limit
    return {
        "orders": [_shown(call, order) for order in page],
        "sequence": "0",
        "has_next": more,
        "cursor": str(page[-1].arrival) if more else "",
    }


def get_fills(call: Call) -> Any:
    """List Fills, newest first; a fill is listed a little later than its order shows it."""
    query = call.query
    limit = params.integer(query, "limit", PAGE_DEFAULT, PAGE_MAX)
    below = _cursor(call)
    first_s = params.instant(query, "start_sequence_timestamp")
    last_s = params.instant(query, "end_sequence_timestamp")
    products, ids = set(params.several(query, "product_ids")), set(params.several(query, "order_ids"))
    ignore = call.fault_kind == "ignore_filter"
    orders = call.exchange.books.orders

    def matching() -> Iterator[tuple[Fill, Order]]:
        for fill in reversed(call.account.fills):
            order = orders[fill.arrival - 1]
            hidden = fill.time_s + call.desk.rules.fills_lag_s > call.now_s or order.visible_at_s > call.now_s
            filtered = (
                (first_s is not None and fill.time_s < first_s)
                or (last_s is not None and fill.time_s > last_s)
                or (products and BY_SYMBOL[order.request.symbol].product_id not in products)
                or (ids and order.order_id not in ids)
            )
            if not hidden and not (filtered and not ignore) and (below is None or fill.number < below):
                yield fill, order

    found = list(islice(matching(), limit + 1))
    page, more = found[:limit], len(found) > limit
    return {
        "fills": [fill_object(fill, order) for fill, order in page],
        "cursor": str(page[-1][0].number) if more else "",
    }


def _newest_first(call: Call) -> list[Order]:
    account = call.account
    orders = [*account.open_orders.values(), *account.closed_orders]
    visible = [order for order in orders if order.visible_at_s <= call.now_s]
    return sorted(visible, key=lambda order: order.arrival, reverse=True)


def _cursor(call: Call) -> int | None:
    cursor = params.one(call.query, "cursor")
    if not cursor:
        return None
    if not (cursor.isascii() and cursor.isdigit()) or len(cursor) > 15:
        raise invalid("cursor is not one of ours")
    return int(cursor)


def _shown(call: Call, order: Order) -> dict[str, Any]:
    fills = call.exchange.books.fills
    return order_object(order, call.desk, [fills[number - 1].time_s for number in order.fills])
