"""Cancelling and replacing orders."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from copytrade.simulator.alpaca import params
from copytrade.simulator.alpaca.call import Answer, Call
from copytrade.simulator.alpaca.errors import invalid
from copytrade.simulator.alpaca.listing import BY_SYMBOL
from copytrade.simulator.alpaca.lists import own_view, views_of
from copytrade.simulator.alpaca.place import (
    check_account,
    check_client_id,
    check_steps,
    made_id,
    no_funds,
)
from copytrade.simulator.alpaca.shapes import view_object
from copytrade.simulator.exchange import OrderRefused
from copytrade.simulator.orders import CANCELED, Order


def cancel_order(call: Call) -> Any:
    """Ask for a cancel: 204 says that it was asked for, and a fill may come first. A list ends with any leg of it."""
    order, view = own_view(call, call.words[0])
    if not view.is_open:
        raise invalid(f'order is already in "{view.status}" state')
    _cancel(call, order)
    return Answer(204)


def cancel_orders(call: Call) -> Any:
    """Cancel every open order, each with a status of its own."""
    shown = []
    for order in list(call.account.open_orders.values()):
        _cancel(call, order)
        for view in views_of(call).flat(order):
            shown.append({"id": view.order_id, "status": 200, "body": view_object(view, call.desk)})
    return Answer(207, shown)


def replace_order(call: Call) -> Any:
    """Replace an open order that is no list's: a new order with an id of its own takes its place."""
    order, view = own_view(call, call.words[0])
    if not view.is_open:
        raise invalid(f'cannot replace order in "{view.status}" state')
    if view.order_class:
        raise invalid("replacing the orders of a list is not simulated")
    if order.request.volume_in_quote:
        raise invalid("cannot replace notional orders")
    quantity, limit_price = params.decimal(call.params, "qty"), params.decimal(call.params, "limit_price")
    stop_price = params.decimal(call.params, "stop_price")
    same = limit_price in (None, order.limit_price) and stop_price in (None, order.stop_price)
    if quantity in (None, order.volume) and same:
        raise invalid("order parameters are not changed")
    for name, asked, old in (
        ("limit_price", limit_price, order.limit_price), ("stop_price", stop_price, order.stop_price),
    ):  # fmt: skip
        if asked is not None and old is None:
            raise invalid(f"{name} is not allowed for {view.kind} orders")
    asset = BY_SYMBOL[order.request.symbol]
    check_steps(call, asset, quantity, limit_price, stop_price)
    check_account(call, asset)
    volume: Decimal = order.volume if quantity is None else quantity
    if volume <= order.filled:
        raise invalid("qty must be greater than filled_qty")
    client_id = params.text(call.params, "client_order_id") or made_id(call, "client order id")
    check_client_id(call, client_id)
    price = order.limit_price if limit_price is None else limit_price
    # What has filled stays with the first order, and the new one is for the rest.
    request = replace(order.request, volume=volume - order.filled, limit_price=price, client_id=client_id)
    if order.waits:
        request = replace(request, stop_price=order.stop_price if stop_price is None else stop_price)
    elif order.request.trigger:
        raise invalid("an order whose stop was reached cannot be replaced here")
    held = order.hold
    call.exchange.books.set_hold(call.account, order, Decimal(0))
    try:
        new = call.exchange.submit(request)
    except OrderRefused:
        call.exchange.books.set_hold(call.account, order, held)
        raise no_funds(call, asset, request, price or Decimal(0)) from None
    call.exchange.cancel(order, "Replaced", CANCELED)
    call.desk.replaced_by[order.order_id] = new.order_id
    call.desk.replaces[new.order_id] = order.order_id
    return views_of(call).object(new, nested=False, fresh="accepted")


def _cancel(call: Call, order: Order) -> None:
    if call.fault is not None and call.fault_kind == "cancel_pending":
        call.desk.cancelling.add(order.order_id)
        call.exchange.cancel_at(order, call.now_s + call.fault.delay_ms / 1000)
    else:
        call.exchange.cancel(order)
