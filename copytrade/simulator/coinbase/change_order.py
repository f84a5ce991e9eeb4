"""Cancels and edits: answered per item, with HTTP 200 even when all of them fail."""

from __future__ import annotations

from typing import Any

from copytrade.simulator.coinbase import params
from copytrade.simulator.coinbase.call import Call
from copytrade.simulator.coinbase.errors import invalid
from copytrade.simulator.coinbase.listing import BY_SYMBOL
from copytrade.simulator.coinbase.shapes import number
from copytrade.simulator.exchange import OrderRefused
from copytrade.simulator.orders import Order

CANCEL_MAX = 100
_NO_FAILURE = "UNKNOWN_CANCEL_FAILURE_REASON"


def cancel_orders(call: Call) -> Any:
    """Cancel Orders. Success means that the cancel was asked for."""
    ids = call.body.get("order_ids")
    if not isinstance(ids, list) or not 1 <= len(ids) <= CANCEL_MAX or not all(type(each) is str for each in ids):
        raise invalid(f"order_ids needs 1 to {CANCEL_MAX} order ids")
    results = []
    for order_id in ids:
        failure = _cancel(call, order_id)
        results.append({"success": failure is None, "failure_reason": failure or _NO_FAILURE, "order_id": order_id})
    return {"results": results}


def _cancel(call: Call, order_id: str) -> str | None:
    order = own_order(call, order_id)
    if order is None or not order.is_open:
        return "UNKNOWN_CANCEL_ORDER"
    if order_id in call.desk.cancelling:
        return "DUPLICATE_CANCEL_REQUEST"
    if call.fault is not None and call.fault.kind == "cancel_pending":
        call.desk.cancelling.add(order_id)
        call.exchange.cancel_at(order, call.now_s + call.fault.delay_ms / 1000)
    else:
        call.exchange.cancel(order)
    return None


def edit_order(call: Call) -> Any:
    """Edit Order: an open order with a limit gets another price and size and keeps its id. Both have to be sent.

    A stop-limit order or a bracket may get another stop as well, as long as it was not triggered.
    """
    order = own_order(call, params.text(call.body, "order_id"))
    price, size = params.decimal(call.body, "price"), params.decimal(call.body, "size")
    stop = params.decimal(call.body, "stop_price")
    if order is None:
        return _not_edited("ORDER_NOT_FOUND")
    market = BY_SYMBOL[order.request.symbol].market
    if order.request.time_in_force != "GTC" or order.limit_price is None:
        return _not_edited("ONLY_LIMIT_ORDER_EDITS_SUPPORTED")
    if not order.is_open:
        return _not_edited("ONLY_OPEN_ORDERS_CAN_BE_EDITED")
    if not price or price % market.tick_size:
        return _not_edited("INVALID_EDITED_PRICE")
    if not size or size % market.lot_step or size < market.order_min or size * price < market.cost_min:
        return _not_edited("INVALID_EDITED_SIZE")
    if stop is not None and (order.stop_price is None or stop % market.tick_size):
        return _not_edited("INVALID_EDITED_STOP_PRICE")
    if stop is not None and not order.armed:
        return _not_edited("STOP_ALREADY_TRIGGERED")
    try:
        call.exchange.amend(order, size, price, stop_price=stop)
    except OrderRefused as refused:
        too_small = refused.reason == OrderRefused.TOO_SMALL
        return _not_edited("CANNOT_EDIT_TO_BELOW_FILLED_SIZE" if too_small else "COMMANDER_REJECTED_EDIT_ORDER")
    edit = {"price": number(price), "size": number(size), "replace_accept_timestamp": params.rfc3339(call.now_s)}
    call.desk.edits.setdefault(order.order_id, []).append(edit)
    call.keep(order.order_id)
    return {"success": True, "errors": []}


def own_order(call: Call, order_id: str) -> Order | None:
    """An order of the account that its calls can see."""
    order = call.exchange.books.by_order_id.get(order_id)
    if order is None or order.request.account != call.account.name or order.visible_at_s > call.now_s:
        return None
    return order


def _not_edited(reason: str) -> dict[str, Any]:
    return {"success": False, "errors": [{"edit_failure_reason": reason, "preview_failure_reason": ""}]}
