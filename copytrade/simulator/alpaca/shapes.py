"""Orders as Alpaca shows them, and how it writes numbers: text without trailing zeros."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from copytrade.simulator.alpaca.call import Desk
from copytrade.simulator.alpaca.listing import BY_SYMBOL
from copytrade.simulator.alpaca.matching import SessionExchange
from copytrade.simulator.alpaca.params import nanoseconds
from copytrade.simulator.orders import CANCELED, CLOSED, EXPIRED, Order

_BILLIONTH = Decimal("0.000000001")


def plain(value: Decimal) -> str:
    """A number as text: `0.02`, `2100`, never an exponent."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def optional(value: Decimal | None) -> str | None:
    """A number as text, or null."""
    return None if value is None else plain(value)


def average_price(order: Order) -> Decimal | None:
    """The average price of what has filled, on nine decimals; None before the first fill."""
    if not order.filled:
        return None
    return (order.cost / order.filled).quantize(_BILLIONTH, rounding=ROUND_HALF_EVEN)


def status_of(order: Order, exchange: SessionExchange, desk: Desk) -> str:
    """The word for how far an order has come."""
    if order.order_id in desk.replaced_by:
        return "replaced"
    if order.is_open:
        if order.order_id in desk.cancelling:
            return "pending_cancel"
        if order.filled:
            return "partially_filled"
        waits = exchange.opens_at(order.request.symbol, exchange.now_s) > exchange.now_s
        return "accepted" if waits else "new"
    return {CLOSED: "filled", CANCELED: "canceled", EXPIRED: "expired"}[order.status]


def time_in_force(order: Order) -> str:
    """As it was asked for; the exchange knows a day order as one with an end."""
    return "day" if order.request.time_in_force == "GTD" else order.request.time_in_force.lower()


def order_object(order: Order, exchange: SessionExchange, desk: Desk, status: str | None = None) -> dict[str, Any]:
    """An order as every call shows it. `status` is that of the answer to placing it, which never shows a fill."""
    request = order.request
    asset = BY_SYMBOL[request.symbol]
    fresh = status is not None
    status = status or status_of(order, exchange, desk)
    last_fill_s = exchange.books.fills[order.fills[-1] - 1].time_s if order.fills else None
    ended_at = nanoseconds(order.closed_at_s)
    kind = "market" if order.limit_price is None else "limit"
    accepted_at = nanoseconds(order.accepted_at_s)
    return {
        "id": order.order_id,
        "client_order_id": request.client_id,
        "created_at": accepted_at,
        "updated_at": accepted_at if fresh else nanoseconds(order.closed_at_s or last_fill_s or order.accepted_at_s),
        "submitted_at": accepted_at,
        "filled_at": ended_at if status == "filled" else None,
        "expired_at": ended_at if status == "expired" else None,
        "canceled_at": ended_at if status == "canceled" else None,
        "failed_at": None,
        "replaced_at": ended_at if status == "replaced" else None,
        "replaced_by": desk.replaced_by.get(order.order_id),
        "replaces": desk.replaces.get(order.order_id),
        "asset_id": asset.asset_id,
        "symbol": asset.symbol,
        "asset_class": "crypto" if asset.is_crypto else "us_equity",
        "notional": plain(order.volume) if request.volume_in_quote else None,
        "qty": None if request.volume_in_quote else plain(order.volume),
        "filled_qty": "0" if fresh else plain(order.filled),
        "filled_avg_price": None if fresh else optional(average_price(order)),
        "order_class": "",
        "order_type": kind,
        "type": kind,
        "side": request.side,
        "position_intent": "buy_to_open" if request.side == "buy" else "sell_to_close",
        "time_in_force": time_in_force(order),
        "limit_price": optional(order.limit_price),
        "stop_price": None,
        "status": status,
        "extended_hours": False,
        "legs": None,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
        "subtag": None,
        "source": None,
        "expires_at": nanoseconds(request.expires_at_s),
    }
