"""Kraken's order types: what each is called, which prices it has, and how it is worded.

Source: docs.kraken.com, AddOrder: `price` is the limit of a limit order and the trigger of a triggered one, whose
limit is `price2`; `trigger` is the price that is watched.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from copytrade.simulator.orders import NewOrder, Order


@dataclass(frozen=True, slots=True)
class Kind:
    """One order type: the trigger of the matching engine ("" for none), and whether it has a limit."""

    name: str
    trigger: str
    has_limit: bool


KINDS = {
    kind.name: kind
    for kind in (
        Kind("market", "", False),
        Kind("limit", "", True),
        Kind("stop-loss", "stop", False),
        Kind("stop-loss-limit", "stop", True),
        Kind("take-profit", "take_profit", False),
        Kind("take-profit-limit", "take_profit", True),
    )
}
_BY_SHAPE = {(kind.trigger, kind.has_limit): kind for kind in KINDS.values()}


def kind_of(request: NewOrder) -> Kind:
    """The type of an order."""
    return _BY_SHAPE[request.trigger, request.limit_price is not None]


def prices_of(order: Order) -> tuple[Decimal | None, Decimal | None]:
    """`price` and `price2` of an order as it is now."""
    if order.request.trigger:
        return order.stop_price, order.limit_price
    return order.limit_price, None


def misc_of(order: Order) -> str:
    """`misc`: that a stop was reached ("stopped"), a profit ("touched"), that the order was amended."""
    words = []
    if order.request.trigger and order.triggered_at_s is not None:
        words.append("stopped" if order.request.trigger == "stop" else "touched")
    if order.amended:
        words.append("amended")
    return ",".join(words)
