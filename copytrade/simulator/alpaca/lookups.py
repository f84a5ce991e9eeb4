"""Orders by id, by client order id, and in lists."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from copytrade.simulator.alpaca import params
from copytrade.simulator.alpaca.call import Call
from copytrade.simulator.alpaca.errors import malformed, not_found
from copytrade.simulator.alpaca.listing import find_asset
from copytrade.simulator.alpaca.shapes import order_object
from copytrade.simulator.orders import Order

LIST_DEFAULT, LIST_MAX = 50, 500


def get_order(call: Call) -> Any:
    """An order by the venue's id."""
    return order_object(call.own_order(call.words[0]), call.exchange, call.desk)


def get_order_by_client_id(call: Call) -> Any:
    """An order by its client order id. Under the fault `ignore_filter` the newest order of the account instead."""
    client_id = params.text(call.params, "client_order_id")
    if not client_id:
        raise malformed("client_order_id is required")
    found = call.account.by_client_id.get(client_id, [])
    if call.fault_kind == "ignore_filter":
        found = [order for order in call.exchange.books.orders if order.request.account == call.account.name][-1:]
    found = [order for order in found if call.visible(order)]
    if not found:
        raise not_found(f"order not found for {client_id}")
    return order_object(found[-1], call.exchange, call.desk)


def list_orders(call: Call) -> Any:
    """A list of orders: open ones unless asked otherwise, newest first, by when they were submitted.

    `after` and `until` exclude their own moment; `before_order_id` and `after_order_id` exclude their own order.
    """
    values = call.params
    status = params.choice(values, "status", "open", ("open", "closed", "all"))
    limit = params.integer(values, "limit", LIST_DEFAULT, 1, LIST_MAX)
    ascending = params.choice(values, "direction", "desc", ("asc", "desc")) == "asc"
    side = params.text(values, "side")
    symbols = {found.symbol for name in params.names(values, "symbols") if (found := find_asset(name)) is not None}
    filtered = bool(params.text(values, "symbols")) and call.fault_kind != "ignore_filter"
    after_s, until_s = params.instant(values, "after"), params.instant(values, "until")
    after, before = _arrival(call, "after_order_id"), _arrival(call, "before_order_id")

    def wanted(order: Order) -> bool:
        return (
            call.visible(order)
            and (status == "all" or order.is_open == (status == "open"))
            and (not filtered or order.request.symbol in symbols)
            and (not side or order.request.side == side)
            and (after_s is None or order.accepted_at_s > after_s)
            and (until_s is None or order.accepted_at_s < until_s)
            and (after is None or order.arrival > after)
            and (before is None or order.arrival < before)
        )

    mine = _orders_of(call, status)
    ordered = mine if ascending else reversed(mine)
    page = islice((order for order in ordered if wanted(order)), limit)
    return [order_object(order, call.exchange, call.desk) for order in page]


def _orders_of(call: Call, status: str) -> list[Order]:
    """The account's orders by arrival."""
    account = call.account
    orders: Iterable[Order] = account.open_orders.values()
    if status != "open":
        orders = [*account.closed_orders, *(orders if status == "all" else [])]
    return sorted(orders, key=lambda order: order.arrival)


def _arrival(call: Call, name: str) -> int | None:
    order_id = params.text(call.params, name)
    return call.own_order(order_id).arrival if order_id else None
