"""AmendOrder, the cancels, and the dead man's switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from copytrade.simulator.exchange import OrderRefused
from copytrade.simulator.ids import letters_for
from copytrade.simulator.kraken import errors, params
from copytrade.simulator.kraken.add_order import DEADLINE_MAX_S, check_minimums, check_price, refusal
from copytrade.simulator.kraken.call import Call
from copytrade.simulator.kraken.errors import KrakenError, invalid
from copytrade.simulator.kraken.limits import amend_penalty, cancel_penalty
from copytrade.simulator.kraken.listing import BY_SYMBOL
from copytrade.simulator.orders import ZERO, Order

CANCEL_BATCH_MAX = 50
CANCEL_ALL_AFTER_MAX_S = 86_400


def amend_order(call: Call) -> Any:
    """AmendOrder: changes volume, limit or trigger of an open order that rests; it keeps its txid and client id."""
    txid, client_id = params.text(call.params, "txid"), params.client_id(call.params)
    if bool(txid) == bool(client_id):
        raise invalid("txid")
    quantity, price = params.text(call.params, "order_qty"), params.text(call.params, "limit_price")
    trigger = params.text(call.params, "trigger_price")
    if not quantity and not price and not trigger:
        raise invalid("order_qty")
    deadline = params.text(call.params, "deadline")
    if deadline:
        deadline_s = params.instant(deadline, "deadline")
        if deadline_s - call.arrived_s > DEADLINE_MAX_S:
            raise invalid("deadline")
        if call.now_s >= deadline_s:
            raise KrakenError(errors.DEADLINE_ELAPSED)
    order = _open_order(call, txid, client_id)
    if order.limit_price is None and (price or not order.waits):
        raise invalid("limit_price")
    if trigger and not order.waits:
        raise invalid("trigger_price")
    pair = BY_SYMBOL[order.request.symbol]
    new_volume = params.decimal(quantity, "order_qty") if quantity else order.volume
    new_price = params.decimal(price, "limit_price") if price else order.limit_price
    new_stop = params.decimal(trigger, "trigger_price") if trigger else order.stop_price
    if new_volume != round(new_volume, pair.market.lot_decimals):
        raise invalid("order_qty")
    for each, field in ((new_price, "limit_price"), (new_stop, "trigger_price")):
        if each is not None:
            check_price(pair, each, field)
    check_minimums(pair, new_volume, new_volume * (new_price or new_stop or ZERO))
    if call.desk.rate_limits:
        cost = 1 + amend_penalty(call.now_s - order.accepted_at_s)
        if not call.desk.counter(call.account.name, order.request.symbol, call.tier).allows(cost, call.now_s):
            raise KrakenError(errors.ORDER_RATE_LIMIT)
    try:
        post_only = params.flag(call.params, "post_only")
        call.exchange.amend(order, new_volume, new_price, post_only, stop_price=new_stop)
    except OrderRefused as refused:
        raise refusal(refused) from None
    changes = (str(new_volume), str(new_price), str(new_stop))
    letters = letters_for(0, order.order_id, *changes, call.api_key.nonce, count=16)
    return {"amend_id": f"T{letters[:5]}-{letters[5:10]}-{letters[10:16]}"}


def cancel_order(call: Call) -> Any:
    """CancelOrder by txid, userref or cl_ord_id; a txid made of digits is a userref, as Kraken has it."""
    orders = _to_cancel(call, call.params)
    if not orders:
        raise KrakenError(errors.UNKNOWN_ORDER)
    if call.fault is not None and call.fault.kind == "cancel_pending":
        for order in orders:
            call.exchange.cancel_at(order, call.now_s + call.fault.delay_ms / 1000)
        return {"count": len(orders), "pending": True}
    return {"count": _cancel(call, orders)}


def cancel_order_batch(call: Call) -> Any:
    """CancelOrderBatch: txids and client ids, in one list or two."""
    count = 0
    entries: list[Any] = []
    for name in ("orders", "cl_ord_ids"):
        part = call.params.get(name) or []
        if not isinstance(part, list):
            raise invalid(name)
        entries.extend(part)
    if not 1 <= len(entries) <= CANCEL_BATCH_MAX:
        raise invalid("orders")
    for entry in entries:
        value = entry.get("txid") or entry.get("cl_ord_id") if isinstance(entry, dict) else entry
        if not isinstance(value, str):
            raise invalid("orders")
        named = call.exchange.books.by_order_id.get(value)
        name = "cl_ord_id" if named is None and not value.isdigit() else "txid"
        count += _cancel(call, _to_cancel(call, {name: value}))
    return {"count": count}


def cancel_all(call: Call) -> Any:
    """CancelAll."""
    return {"count": _cancel(call, list(call.account.open_orders.values()))}


def cancel_all_orders_after(call: Call) -> Any:
    """CancelAllOrdersAfter: 0 disarms."""
    timeout = params.text(call.params, "timeout")
    if not timeout:
        raise invalid("timeout")
    timeout_s = params.integer(call.params, "timeout", 0, 0, CANCEL_ALL_AFTER_MAX_S)
    trigger_s = call.now_s + timeout_s if timeout_s else None
    call.exchange.cancel_all_at(call.account.name, trigger_s)
    return {
        "currentTime": params.rfc3339(call.now_s),
        "triggerTime": "0" if trigger_s is None else params.rfc3339(trigger_s),
    }


def _open_order(call: Call, txid: str, client_id: str | None) -> Order:
    found = _to_cancel(call, {"txid": txid} if txid else {"cl_ord_id": client_id})
    if not found:
        raise KrakenError(errors.UNKNOWN_ORDER)
    return found[0]


def _to_cancel(call: Call, values: Mapping[str, Any]) -> list[Order]:
    """The account's open orders that a txid, userref or client id names."""
    txid, client_id = params.text(values, "txid"), params.client_id(values)
    user_ref = params.user_ref(values)
    if txid.removeprefix("-").isdigit():
        txid, user_ref = "", params.user_ref({"userref": txid})
    if sum((bool(txid), client_id is not None, user_ref is not None)) != 1:
        raise invalid("txid")
    if txid:
        order = call.exchange.books.by_order_id.get(txid)
        mine = order is not None and order.request.account == call.account.name
        return [order] if order is not None and mine and order.is_open else []
    if client_id is not None:
        found = call.account.by_client_id.get(client_id, [])
    else:
        found = call.account.by_user_ref.get(user_ref or 0, [])
    return [order for order in found if order.is_open]


def _cancel(call: Call, orders: list[Order]) -> int:
    for order in orders:
        if call.desk.rate_limits:
            penalty = cancel_penalty(call.now_s - order.accepted_at_s)
            call.desk.counter(call.account.name, order.request.symbol, call.tier).add(penalty, call.now_s)
        call.exchange.cancel(order)
    return len(orders)
