"""Order kinds at Kraken: what is sent for each, and which kind an order of Kraken's is.

Source: docs.kraken.com, AddOrder: `price` is the limit of a limit order and the trigger of a triggered one, whose limit
is `price2`. A trigger watches the last price of the market unless asked otherwise. There is no order with a profit and
a loss of which one cancels the other: `close[...]` makes a second order once the first has filled, which is another
thing, so a bracket is none of Kraken's kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from copytrade.domain.money import Price, parse_decimal
from copytrade.domain.order import OrderKind
from copytrade.domain.venue import OrderTicket

ORDER_TYPES: Mapping[OrderKind, str] = {
    OrderKind.MARKET: "market",
    OrderKind.IOC_LIMIT: "limit",
    OrderKind.LIMIT: "limit",
    OrderKind.POST_ONLY: "limit",
    OrderKind.STOP: "stop-loss",
    OrderKind.STOP_LIMIT: "stop-loss-limit",
    OrderKind.TAKE_PROFIT: "take-profit",
    OrderKind.TAKE_PROFIT_LIMIT: "take-profit-limit",
}
NATIVE = frozenset(ORDER_TYPES)

# Kraken's other types by the kind that has the same prices: an iceberg order shows less than it has, the stop of a
# trailing order moves, and settling a position is a market order.
_KINDS = {
    "market": OrderKind.MARKET,
    "settle-position": OrderKind.MARKET,
    "limit": OrderKind.LIMIT,
    "iceberg": OrderKind.LIMIT,
    "stop-loss": OrderKind.STOP,
    "trailing-stop": OrderKind.STOP,
    "stop-loss-limit": OrderKind.STOP_LIMIT,
    "trailing-stop-limit": OrderKind.STOP_LIMIT,
    "take-profit": OrderKind.TAKE_PROFIT,
    "take-profit-limit": OrderKind.TAKE_PROFIT_LIMIT,
}


class Shape(NamedTuple):
    """What kind of order it is, with its prices."""

    kind: OrderKind
    limit_price: Price | None
    stop_price: Price | None


def price_fields(ticket: OrderTicket) -> dict[str, str]:
    """The type and prices of an order as `AddOrder` takes them.

    Raises `ValueError` for a kind that Kraken does not have, and for a price that is missing or off the tick: they are
    mistakes of ours that no venue has to find.
    """
    kind = ticket.kind
    order_type = ORDER_TYPES.get(kind)
    if order_type is None:
        raise ValueError(f"order {ticket.order_id} is a {kind}: Kraken has no such order in {ticket.instrument.symbol}")
    fields = {"ordertype": order_type}
    if kind.has_stop:
        fields["price"] = _on_tick(ticket, "stop_price", ticket.stop_price)
    if kind.has_limit:
        fields["price2" if kind.has_stop else "price"] = _on_tick(ticket, "limit_price", ticket.limit_price)
    if kind is OrderKind.IOC_LIMIT:
        fields["timeinforce"] = "IOC"
    return fields


def _on_tick(ticket: OrderTicket, name: str, price: Price | None) -> str:
    instrument = ticket.instrument
    if price is None:
        raise ValueError(f"order {ticket.order_id} is a {ticket.kind} without a {name}")
    if price.value <= 0 or price.value % instrument.tick:
        raise ValueError(
            f"order {ticket.order_id}: {name} {price} is not on the tick {instrument.tick} of {instrument.symbol}"
        )
    return str(price)


def listed_shape(order: Mapping[str, Any]) -> Shape:
    """Kind and prices of an order object of the REST interface. Raises `ValueError` for a kind without its prices.

    A triggered order keeps its type in the lists; should it be shown as the limit or market order it has become,
    `misc` and `stopprice` still tell what it was.
    """
    descr = order["descr"]
    first, second = _price(descr.get("price")), _price(descr.get("price2"))
    stop, limit = _price(order.get("stopprice")), _price(order.get("limitprice"))
    kind = _KINDS.get(str(descr.get("ordertype"))) or _nearest(limit or second or (None if stop else first), stop)
    if kind.has_stop:
        return _complete(kind, limit=second or limit, stop=first or stop)
    misc = str(order.get("misc") or "").split(",")
    reached = "touched" if "touched" in misc else "stopped" if "stopped" in misc else ""
    if reached and stop is not None:
        was = {
            ("stopped", False): OrderKind.STOP, ("stopped", True): OrderKind.STOP_LIMIT,
            ("touched", False): OrderKind.TAKE_PROFIT, ("touched", True): OrderKind.TAKE_PROFIT_LIMIT,
        }[reached, kind.has_limit]  # fmt: skip
        return _complete(was, limit=first or limit, stop=stop)
    if kind is OrderKind.LIMIT and "post" in str(order.get("oflags") or "").split(","):
        kind = OrderKind.POST_ONLY
    return _complete(kind, limit=first or limit, stop=None)


def streamed_shape(report: Mapping[str, Any]) -> Shape:
    """Kind and prices of an execution report of the stream. Raises `ValueError` for a kind without its prices."""
    triggers = report.get("triggers")
    stop = None
    if isinstance(triggers, dict):
        relative = triggers.get("price_type", "static") != "static"
        stop = _price(triggers.get("actual_price")) or (None if relative else _price(triggers.get("price")))
    limit = None if report.get("limit_price_type", "static") != "static" else _price(report.get("limit_price"))
    kind = _KINDS.get(str(report.get("order_type"))) or _nearest(limit, stop)
    if kind is OrderKind.LIMIT and report.get("post_only") is True:
        kind = OrderKind.POST_ONLY
    elif kind is OrderKind.LIMIT and report.get("time_in_force") == "IOC":
        kind = OrderKind.IOC_LIMIT
    return _complete(kind, limit=limit, stop=stop)


def _nearest(limit: Price | None, stop: Price | None) -> OrderKind:
    """For a type that is new to us: the kind that has the same prices."""
    if stop is not None:
        return OrderKind.STOP if limit is None else OrderKind.STOP_LIMIT
    return OrderKind.MARKET if limit is None else OrderKind.LIMIT


def _complete(kind: OrderKind, limit: Price | None, stop: Price | None) -> Shape:
    for needed, price, name in ((kind.has_limit, limit, "limit"), (kind.has_stop, stop, "stop")):
        if needed and price is None:
            raise ValueError(f"it is a {kind} order without a {name} price that can be read")
    return Shape(kind, limit if kind.has_limit else None, stop if kind.has_stop else None)


def _price(value: Any) -> Price | None:
    """A price above zero; None for none, and for one that is relative (`+5.0%`)."""
    if value is None or (isinstance(value, str) and not value[:1].isdigit()):
        return None
    try:
        price = parse_decimal(value)
    except ValueError:
        return None
    return Price(price) if price > Decimal(0) else None
