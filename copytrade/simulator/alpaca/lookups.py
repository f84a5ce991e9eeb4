"""Orders by id, by client order id, and in lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from copytrade.simulator.alpaca import params
from copytrade.simulator.alpaca.call import Call
from copytrade.simulator.alpaca.errors import malformed, not_found
from copytrade.simulator.alpaca.listing import find_asset
from copytrade.simulator.alpaca.lists import own_view, views_of
from copytrade.simulator.alpaca.shapes import View, view_object
from copytrade.simulator.orders import Order

LIST_DEFAULT, LIST_MAX = 50, 500


def get_order(call: Call) -> Any:
    """An order by the venue's id."""
    order, view = own_view(call, call.words[0])
    first = not view.part or view.order_id == order.order_id
    if first and params.text(call.params, "nested") == "true":
        return views_of(call).object(order, nested=True)
    return view_object(view, call.desk)


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
    return views_of(call).object(found[-1], nested=False)


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
            and (not filtered or order.request.symbol in symbols)
            and (after_s is None or order.accepted_at_s > after_s)
            and (until_s is None or order.accepted_at_s < until_s)
            and (after is None or order.arrival > after)
            and (before is None or order.arrival < before)
        )

    def shown(view: View) -> bool:
        return (status == "all" or view.is_open == (status == "open")) and (not side or view.side == side)

    mine = [order for order in _orders_of(call, status) if wanted(order)]
    ordered = mine if ascending else reversed(mine)
    page = islice((entry for order in ordered for entry in _entries(call, order, shown)), limit)
    return list(page)


def _entries(call: Call, order: Order, shown: Callable[[View], bool]) -> Iterator[dict[str, Any]]:
    """An engine order as entries of a list: by itself each, or with `nested` the legs inside their first."""
    views = views_of(call)
    if params.text(call.params, "nested") != "true":
        yield from (view_object(view, call.desk) for view in views.flat(order) if shown(view))
    elif order.order_id not in call.desk.entry_of and shown(views.views(order)[0]):
        yield views.object(order, nested=True)


def _orders_of(call: Call, status: str) -> list[Order]:
    """The account's orders by arrival. One that is open may be several, some of which are over."""
    account = call.account
    orders: Iterable[Order] = account.open_orders.values()
    if status != "open":
        orders = [*account.closed_orders, *orders]
    return sorted(orders, key=lambda order: order.arrival)


def _arrival(call: Call, name: str) -> int | None:
    order_id = params.text(call.params, name)
    return own_view(call, order_id)[0].arrival if order_id else None
