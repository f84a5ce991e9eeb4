"""Cancelling, replacing and amending orders."""

from __future__ import annotations

from typing import Any

from copytrade.simulator.binance import params, shapes
from copytrade.simulator.binance.call import Call
from copytrade.simulator.binance.errors import (
    ID_MISMATCH,
    NO_SUCH_ORDER,
    UNKNOWN_ORDER,
    BinanceError,
    filter_failure,
    missing,
    not_simulated,
)
from copytrade.simulator.binance.listing import BinanceSymbol
from copytrade.simulator.binance.parts import BY_USER, Part
from copytrade.simulator.binance.place_order import check_order, made_client_id, place
from copytrade.simulator.exchange import OrderRefused
from copytrade.simulator.orders import Order

RESTRICTIONS = ("ONLY_NEW", "ONLY_PARTIALLY_FILLED")
REPLACE_MODES = ("STOP_ON_FAILURE", "ALLOW_FAILURE")
LIMIT_MODES = ("DO_NOTHING", "CANCEL_ONLY")


def cancel_order(call: Call) -> Any:
    """`DELETE /api/v3/order`: the reply has the order's id as `origClientOrderId` and a new one of its own."""
    symbol = params.symbol(call.params)
    new_id = params.client_id(call.params, "newClientOrderId")
    return cancelled(call, _to_cancel(call, symbol, "orderId", "origClientOrderId"), new_id)


def cancel_all(call: Call) -> Any:
    """`DELETE /api/v3/openOrders`: every open order of one symbol, lists among them."""
    symbol = params.symbol(call.params)
    orders = [o for o in call.account.open_orders.values() if o.request.symbol == symbol.market.symbol]
    if not orders:
        raise BinanceError(*UNKNOWN_ORDER)
    answers = []
    for order in orders:
        parts = call.parts(order)
        answers.append(cancelled(call, parts[0], None) if len(parts) == 1 else cancelled_list(call, order, None))
    return answers


def cancel_replace(call: Call) -> Any:
    """`POST /api/v3/order/cancelReplace`: 400 when nothing was done, 409 when half of it was."""
    symbol = params.symbol(call.params)
    mode_message = "Data sent for parameter 'cancelReplaceMode' is not valid."
    mode = params.choice(call.params, "cancelReplaceMode", REPLACE_MODES, -1130, mode_message)
    if mode is None:
        raise missing("cancelReplaceMode")
    limit_mode_message = "Data sent for parameter 'orderRateLimitExceededMode' is not valid."
    params.choice(call.params, "orderRateLimitExceededMode", LIMIT_MODES, -1130, limit_mode_message)
    checked = check_order(call)  # a new order that cannot be leaves the old one alone
    done: dict[str, Any] | None = None
    cancel_error = order_error = None
    placed: dict[str, Any] | None = None
    try:
        part = _to_cancel(call, symbol, "cancelOrderId", "cancelOrigClientOrderId")
        done = cancelled(call, part, params.client_id(call.params, "cancelNewClientOrderId"))
    except BinanceError as error:
        if error.code != UNKNOWN_ORDER[0]:
            raise
        cancel_error = error
    if cancel_error is None or mode == "ALLOW_FAILURE":
        try:
            placed = place(call, checked)
        except BinanceError as error:
            order_error = error
    attempted = placed is not None or order_error is not None
    data = {
        "cancelResult": "FAILURE" if cancel_error else "SUCCESS",
        "newOrderResult": ("FAILURE" if order_error else "SUCCESS") if attempted else "NOT_ATTEMPTED",
        "cancelResponse": cancel_error.body() if cancel_error else done,
        "newOrderResponse": order_error.body() if order_error else placed,
    }
    if cancel_error is None and order_error is None:
        return data
    if done is not None or placed is not None:
        raise BinanceError(-2021, "Order cancel-replace partially failed.", status=409, data=data)
    raise BinanceError(-2022, "Order cancel-replace failed.", data=data)


def amend_keep_priority(call: Call) -> Any:
    """`PUT /api/v3/order/amend/keepPriority`: less of an open order; its client id changes unless it is sent along."""
    symbol = params.symbol(call.params)
    order = find_order(call, symbol, "orderId", "origClientOrderId").order
    quantity = params.decimal(call.params, "newQty")
    if quantity is None:
        raise missing("newQty")
    old_id = order.request.client_id or ""
    new_id = params.client_id(call.params, "newClientOrderId") or made_client_id(call, "amend")
    if not order.is_open:
        raise BinanceError(-2038, "Order amend rejected: the order is not open.")
    if call.desk.lists.of(order) is not None:
        raise not_simulated("amending an order of a list")
    if quantity % symbol.market.lot_step or quantity < symbol.market.order_min:
        raise filter_failure("LOT_SIZE")
    if not order.filled < quantity < order.volume:
        raise BinanceError(-2038, "Invalid amend (increase) order request sent.")
    others = [other for other in call.account.by_client_id.get(new_id, []) if other is not order]
    if any(other.is_open for other in others):
        raise BinanceError(-2038, "Duplicate order sent.")
    try:
        call.exchange.amend(order, quantity, None)
    except OrderRefused:
        raise BinanceError(-2038, "Order amend rejected.") from None
    if new_id != old_id:
        call.account.by_client_id[old_id].remove(order)
        order.request.client_id = new_id
        call.account.by_client_id.setdefault(new_id, []).append(order)
        call.exchange.books.save_order(order)
    amended = {**shapes.order_core(call.parts(order)[0]), "origClientOrderId": old_id, "preventedQty": "0.00000000"}
    execution = order.arrival * 1_000 + len(order.fills)
    return {"transactTime": shapes.milliseconds(call.now_s), "executionId": execution, "amendedOrder": amended}


def find_order(call: Call, symbol: BinanceSymbol, id_name: str, client_id_name: str) -> Part:
    """The account's order that one of two parameters names, or both. Raises BinanceError."""
    order_id = params.integer(call.params, id_name)
    client_id = params.client_id(call.params, client_id_name)
    if order_id is not None:
        part = call.own_order(symbol, order_id)
        if client_id is not None and part.client_id != client_id:
            raise BinanceError(*ID_MISMATCH)
        return part
    if client_id is None:
        raise BinanceError(-1102, f"Param '{client_id_name}' or '{id_name}' must be sent, but both were empty/null!")
    named = [
        part
        for order in _named(call, client_id)
        if order.request.symbol == symbol.market.symbol and call.visible(order)
        for part in call.parts(order)
        if part.client_id == client_id
    ]
    if not named:
        raise BinanceError(*NO_SUCH_ORDER)
    still_open = [part for part in named if part.is_open]
    newest = call.desk.unverified.reused_id_shows == "newest"
    return (still_open or named)[-1 if newest else 0]


def cancelled(call: Call, part: Part, new_id: str | None) -> dict[str, Any]:
    """Cancel an open order, with its list if it is in one; returns the reply."""
    cancel_id = new_id or made_client_id(call, "cancel")
    if call.fault is not None and call.fault.kind == "cancel_pending":
        call.exchange.cancel_at(part.order, call.now_s + call.fault.delay_ms / 1000)
        return shapes.cancelled(part, cancel_id, call.now_s, "PENDING_CANCEL")
    call.exchange.cancel(part.order, BY_USER)
    (now,) = (each for each in call.parts(part.order) if each.order_id == part.order_id)
    return shapes.cancelled(now, cancel_id, call.now_s)


def cancelled_list(call: Call, order: Order, new_id: str | None) -> dict[str, Any]:
    """Cancel both orders of an open list; returns the reply."""
    cancel_id = new_id or made_client_id(call, "cancel")
    if call.fault is not None and call.fault.kind == "cancel_pending":
        call.exchange.cancel_at(order, call.now_s + call.fault.delay_ms / 1000)
    else:
        call.exchange.cancel(order, BY_USER)
    parts = call.parts(order)
    reports = [shapes.cancelled(part, cancel_id, call.now_s) for part in parts]
    return {**shapes.list_object(parts, call.now_s), "orderReports": reports}


def _named(call: Call, client_id: str) -> list[Order]:
    """Orders that go by a client id themselves, or of which one of a list's two does."""
    lists = call.desk.lists
    single = [order for order in call.account.by_client_id.get(client_id, []) if lists.of(order) is None]
    hand = [order for order in call.account.open_orders.values() if f"web_{order.order_id}" == client_id]
    return single + hand + lists.by_client_id.get((call.account.name, client_id), [])


def _to_cancel(call: Call, symbol: BinanceSymbol, id_name: str, client_id_name: str) -> Part:
    """The open order that is to be cancelled; everything else is an unknown order here."""
    message = "Data sent for parameter 'cancelRestrictions' is not valid."
    restriction = params.choice(call.params, "cancelRestrictions", RESTRICTIONS, -1130, message)
    try:
        part = find_order(call, symbol, id_name, client_id_name)
    except BinanceError as error:
        if error.code != NO_SUCH_ORDER[0]:
            raise
        raise BinanceError(*UNKNOWN_ORDER) from None
    if not part.is_open:
        raise BinanceError(*UNKNOWN_ORDER)
    if restriction is not None and part.status != restriction.removeprefix("ONLY_"):
        raise BinanceError(-2011, "Order was not canceled due to cancel restrictions.")
    return part
