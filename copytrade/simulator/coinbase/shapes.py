"""Orders and fills as Coinbase shows them: every number is text."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from copytrade.simulator.coinbase.call import Desk
from copytrade.simulator.coinbase.listing import BY_SYMBOL
from copytrade.simulator.coinbase.params import rfc3339
from copytrade.simulator.orders import CANCELED, CLOSED, EXPIRED, ZERO, Fill, NewOrder, Order

_STATUSES = {CLOSED: "FILLED", CANCELED: "CANCELLED", EXPIRED: "EXPIRED"}
TIME_IN_FORCE = {
    "GTC": "GOOD_UNTIL_CANCELLED",
    "GTD": "GOOD_UNTIL_DATE_TIME",
    "IOC": "IMMEDIATE_OR_CANCEL",
    "FOK": "FILL_OR_KILL",
}


def number(value: Decimal) -> str:
    """A number as text, without an exponent and without zeros at the end."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def status_of(order: Order, desk: Desk) -> str:
    """PENDING until the order has met the market, OPEN while it rests in the book."""
    if not order.is_open:
        return _STATUSES[order.status]
    if order.order_id in desk.cancelling:
        return "CANCEL_QUEUED"
    if order.waits:
        return desk.rules.stop_status
    return "OPEN" if order.resting or order.filled or order.triggered_at_s is not None else "PENDING"


def type_of(request: NewOrder) -> str:
    """What kind of order it is, in the word of the history."""
    if request.bracket_stop is not None:
        return "BRACKET"
    if request.trigger:
        return "STOP_LIMIT"
    return "MARKET" if request.limit_price is None else "LIMIT"


def trigger_status(order: Order) -> str:
    """Whether an order waits for a price."""
    if order.stop_price is None:
        return "INVALID_ORDER_TYPE"
    return "STOP_PENDING" if order.armed else "STOP_TRIGGERED"


def configuration(order: Order, desk: Desk) -> dict[str, Any]:
    """An order's configuration as it was sent, or with the figures of its last edit."""
    sent = desk.configurations.get(order.order_id) or _made_up(order)
    if not order.amended or not desk.rules.edits_configure:
        return sent
    name, values = next(iter(sent.items()))
    changed = {"limit_price": order.limit_price, "base_size": order.volume}
    if order.stop_price is not None:
        changed["stop_trigger_price" if order.request.bracket_stop is not None else "stop_price"] = order.stop_price
    shown = {field: number(value) for field, value in changed.items() if value is not None}
    return {name: {**{field: value for field, value in values.items() if field != "quote_size"}, **shown}}


def _made_up(order: Order) -> dict[str, Any]:
    """The configuration of an order that came to the matching engine on another way than a request."""
    request = order.request
    sizes = {"quote_size" if request.volume_in_quote else "base_size": number(request.volume)}
    if request.limit_price is None:
        return {"market_market_ioc": sizes}
    limit = {**sizes, "limit_price": number(request.limit_price)}
    if request.bracket_stop is not None:
        return {"trigger_bracket_gtc": {**limit, "stop_trigger_price": number(request.bracket_stop)}}
    if request.stop_price is not None:
        direction = "STOP_DIRECTION_STOP_UP" if order.rises_to_trigger else "STOP_DIRECTION_STOP_DOWN"
        stop = {"stop_price": number(request.stop_price), "stop_direction": direction}
        return {"stop_limit_stop_limit_gtc": {**limit, **stop}}
    if request.time_in_force == "IOC":
        return {"sor_limit_ioc": limit}
    return {"limit_limit_gtc": {**limit, "post_only": request.post_only}}


def order_object(order: Order, desk: Desk, fill_times_s: list[float]) -> dict[str, Any]:
    """An order as the history gives it; `fill_times_s` are those of its fills, oldest first."""
    request = order.request
    done = order.cost if request.volume_in_quote else order.filled
    share = min(done / order.volume, Decimal(1)) * 100 if order.volume else ZERO
    if order.status == CLOSED:
        share = Decimal(100)
    sign = 1 if request.side == "buy" else -1
    reason = order.reason or ""
    shown = {"last_update_time": rfc3339(updated_s(order, fill_times_s))} if desk.rules.update_times else {}
    return {
        "order_id": order.order_id,
        "product_id": BY_SYMBOL[request.symbol].product_id,
        "user_id": request.account,
        "order_configuration": configuration(order, desk),
        "side": request.side.upper(),
        "client_order_id": request.client_id,
        "status": status_of(order, desk),
        "time_in_force": TIME_IN_FORCE[request.time_in_force],
        "created_time": rfc3339(order.accepted_at_s),
        "completion_percentage": format(share.quantize(Decimal("0.01")), "f"),
        "filled_size": number(order.filled),
        "average_filled_price": number(order.cost / order.filled) if order.filled else "0",
        "fee": "",
        "number_of_fills": str(len(order.fills)),
        "filled_value": number(order.cost),
        "pending_cancel": order.order_id in desk.cancelling,
        "size_in_quote": request.volume_in_quote,
        "total_fees": number(order.fee),
        "size_inclusive_of_fees": request.volume_in_quote and desk.rules.quote_size_includes_fee,
        "total_value_after_fees": number(order.cost + sign * order.fee),
        "trigger_status": trigger_status(order),
        "order_type": type_of(request),
        "reject_reason": "REJECT_REASON_UNSPECIFIED",
        "settled": order.status == CLOSED,
        "product_type": "SPOT",
        "reject_message": "",
        "cancel_message": "" if order.status == CLOSED else reason,
        "order_placement_source": "RETAIL_ADVANCED",
        "outstanding_hold_amount": number(order.hold),
        "is_liquidation": False,
        "last_fill_time": rfc3339(fill_times_s[-1]) if fill_times_s else None,
        "edit_history": list(desk.edits.get(order.order_id, [])),
        **shown,
    }


def updated_s(order: Order, fill_times_s: list[float]) -> float:
    """When an order last changed; edits apart."""
    moments = (order.accepted_at_s, order.triggered_at_s, order.closed_at_s, *fill_times_s[-1:])
    return max(moment for moment in moments if moment is not None)


def fill_object(fill: Fill, order: Order) -> dict[str, Any]:
    """A fill; of an order by amount its size counts the quote currency."""
    request = order.request
    in_quote = request.volume_in_quote
    return {
        "entry_id": f"entry-{fill.fill_id}",
        "trade_id": fill.fill_id,
        "order_id": order.order_id,
        "trade_time": rfc3339(fill.time_s),
        "trade_type": "FILL",
        "price": number(fill.price),
        "size": number(fill.cost if in_quote else fill.volume),
        "commission": number(fill.fee),
        "product_id": BY_SYMBOL[request.symbol].product_id,
        "sequence_timestamp": rfc3339(fill.time_s),
        "liquidity_indicator": "MAKER" if fill.maker else "TAKER",
        "size_in_quote": in_quote,
        "user_id": request.account,
        "side": request.side.upper(),
    }
