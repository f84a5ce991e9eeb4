"""Orders as Alpaca shows them, and how it writes numbers: text without trailing zeros.

A list is one order to the matching engine and several to Alpaca. Here each of them is a `View` of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from copytrade.simulator.alpaca.call import Desk
from copytrade.simulator.alpaca.listing import BY_SYMBOL
from copytrade.simulator.alpaca.matching import SessionExchange
from copytrade.simulator.alpaca.params import nanoseconds
from copytrade.simulator.orders import CANCELED, CLOSED, EXPIRED, ZERO, Fill, Order

_BILLIONTH = Decimal("0.000000001")
OPEN_WORDS = frozenset({"new", "accepted", "held", "partially_filled", "pending_cancel", "pending_new"})


def plain(value: Decimal) -> str:
    """A number as text: `0.02`, `2100`, never an exponent."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def optional(value: Decimal | None) -> str | None:
    """A number as text, or null."""
    return None if value is None else plain(value)


@dataclass(frozen=True, slots=True)
class View:
    """One order as its owner sees it. `part` is empty, or says which leg of a list it is (`profit`, `loss`)."""

    order: Order
    order_id: str
    client_id: str | None
    kind: str
    order_class: str
    side: str
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    status: str
    fills: Sequence[Fill]
    ended_at_s: float | None
    part: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self.status in OPEN_WORDS

    @property
    def filled(self) -> Decimal:
        """How much has filled, in base units."""
        return sum((fill.volume for fill in self.fills), ZERO)


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
    if order.status == EXPIRED and order.request.time_in_force == "GTC":
        return desk.unverified.aged_orders
    return {CLOSED: "filled", CANCELED: "canceled", EXPIRED: "expired"}[order.status]


def kind_of(order: Order) -> str:
    """The type that the order was placed as."""
    limited = order.limit_price is not None
    if order.request.trigger:
        return "stop_limit" if limited else "stop"
    return "limit" if limited else "market"


def simple_view(order: Order, exchange: SessionExchange, desk: Desk, order_class: str = "") -> View:
    """An order that is one to Alpaca too."""
    return View(
        order=order,
        order_id=order.order_id,
        client_id=order.request.client_id,
        kind=kind_of(order),
        order_class=order_class,
        side=order.request.side,
        quantity=order.volume,
        limit_price=order.limit_price,
        stop_price=order.stop_price,
        status=status_of(order, exchange, desk),
        fills=[exchange.books.fills[number - 1] for number in order.fills],
        ended_at_s=order.closed_at_s,
    )


def time_in_force(order: Order) -> str:
    """As it was asked for; the exchange knows a day order as one with an end."""
    return "day" if order.request.time_in_force == "GTD" else order.request.time_in_force.lower()


def view_object(view: View, desk: Desk, *, fresh: str | None = None, legs: list[Any] | None = None) -> dict[str, Any]:
    """An order as every call shows it. `fresh` is the status in the answer to placing it, which never shows a fill."""
    order, request = view.order, view.order.request
    asset = BY_SYMBOL[request.symbol]
    status = fresh or view.status
    filled = ZERO if fresh else view.filled
    cost = sum((fill.cost for fill in view.fills), ZERO)
    average = (cost / filled).quantize(_BILLIONTH, rounding=ROUND_HALF_EVEN) if filled else None
    ended_at, accepted_at = nanoseconds(view.ended_at_s), nanoseconds(order.accepted_at_s)
    last_s = view.ended_at_s or (view.fills[-1].time_s if view.fills else order.accepted_at_s)
    return {
        "id": view.order_id,
        "client_order_id": view.client_id,
        "created_at": accepted_at,
        "updated_at": accepted_at if fresh else nanoseconds(last_s),
        "submitted_at": accepted_at,
        "filled_at": ended_at if status == "filled" else None,
        "expired_at": ended_at if status == "expired" else None,
        "canceled_at": ended_at if status == "canceled" else None,
        "failed_at": None,
        "replaced_at": ended_at if status == "replaced" else None,
        "replaced_by": desk.replaced_by.get(view.order_id),
        "replaces": desk.replaces.get(view.order_id),
        "asset_id": asset.asset_id,
        "symbol": asset.symbol,
        "asset_class": "crypto" if asset.is_crypto else "us_equity",
        "notional": plain(order.volume) if request.volume_in_quote else None,
        "qty": None if request.volume_in_quote else plain(view.quantity),
        "filled_qty": plain(filled),
        "filled_avg_price": optional(average),
        "order_class": view.order_class,
        "order_type": view.kind,
        "type": view.kind,
        "side": view.side,
        "position_intent": "buy_to_open" if view.side == "buy" else "sell_to_close",
        "time_in_force": time_in_force(order),
        "limit_price": optional(view.limit_price),
        "stop_price": optional(view.stop_price),
        "status": status,
        "extended_hours": False,
        "legs": legs,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
        "subtag": None,
        "source": None,
        "expires_at": nanoseconds(request.expires_at_s),
    }
