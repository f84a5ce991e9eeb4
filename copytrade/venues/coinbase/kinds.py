"""Order kinds at Coinbase: which of ours it has, how each is asked for, and what a listed order is to us.

Spot has no stop that becomes a market order. What it has is documented under Create Order, `order_configuration`. A
stop-limit order triggers upwards or downwards (`stop_direction`), whichever its side, so it is our take-profit limit
as well. A bracket is one order there: its limit rests, and when its stop trigger is reached it becomes a limit order
five per cent beyond.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from copytrade.domain.money import Price, Quantity, floor_to, parse_decimal
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.venue import OrderTicket

NATIVE = frozenset(
    {
        OrderKind.MARKET, OrderKind.IOC_LIMIT, OrderKind.LIMIT, OrderKind.POST_ONLY, OrderKind.STOP_LIMIT,
        OrderKind.TAKE_PROFIT_LIMIT, OrderKind.BRACKET,
    }
)  # fmt: skip
# Whether spot accounts get these is disputed: documentation and SDK have them, some clients report that they are
# refused (`UNSUPPORTED_ORDER_CONFIGURATION`, `BRACKET_ORDER_NOT_SUPPORTED`). So the venue is asked, see `probes.py`.
STOP_KINDS = frozenset({OrderKind.STOP_LIMIT, OrderKind.TAKE_PROFIT_LIMIT})
DISPUTED = STOP_KINDS | {OrderKind.BRACKET}

_CALLS = {
    OrderKind.MARKET: "market_order",
    OrderKind.IOC_LIMIT: "limit_order_ioc",
    OrderKind.LIMIT: "limit_order_gtc",
    OrderKind.POST_ONLY: "limit_order_gtc",
    OrderKind.STOP_LIMIT: "stop_limit_order_gtc",
    OrderKind.TAKE_PROFIT_LIMIT: "stop_limit_order_gtc",
    OrderKind.BRACKET: "trigger_bracket_order_gtc",
}
_UP, _DOWN = "STOP_DIRECTION_STOP_UP", "STOP_DIRECTION_STOP_DOWN"


def order_call(ticket: OrderTicket) -> tuple[str, dict[str, Any]]:
    """The SDK's call for a ticket and its arguments, sizes and prices as plain decimal text.

    Raises `ValueError` for a kind that Coinbase has not, and for a price that is missing or off the tick.
    """
    call = _CALLS.get(ticket.kind)
    if call is None:
        raise ValueError(f"order {ticket.order_id} is a {ticket.kind} order, which Coinbase does not have")
    arguments: dict[str, Any] = {
        "client_order_id": ticket.order_id,
        "product_id": ticket.instrument.venue_symbol,
        "side": ticket.side.value.upper(),
        "base_size": str(ticket.quantity),
    }
    if ticket.kind.has_limit:
        arguments["limit_price"] = _price(ticket, "limit_price", ticket.limit_price)
    if call == "limit_order_gtc":
        arguments["post_only"] = ticket.kind is OrderKind.POST_ONLY
    if ticket.kind is OrderKind.BRACKET:
        arguments["stop_trigger_price"] = _price(ticket, "stop_price", ticket.stop_price)
    elif ticket.kind.has_stop:
        arguments["stop_price"] = _price(ticket, "stop_price", ticket.stop_price)
        upwards = (ticket.side is Side.BUY) is (ticket.kind is OrderKind.STOP_LIMIT)
        arguments["stop_direction"] = _UP if upwards else _DOWN
    return call, arguments


def _price(ticket: OrderTicket, name: str, price: Price | None) -> str:
    if price is None:
        raise ValueError(f"order {ticket.order_id} is a {ticket.kind} order without a {name}")
    if price.value <= 0 or price.value % ticket.instrument.tick:
        raise ValueError(f"order {ticket.order_id}: its {name} {price} is off the tick {ticket.instrument.tick}")
    return str(price)


class Terms(NamedTuple):
    """What an order at Coinbase asks for, in our words. `quantity` is None for one by value alone."""

    kind: OrderKind
    quantity: Quantity | None
    limit_price: Price | None
    stop_price: Price | None


_IMMEDIATE_LIMITS = ("sor_limit_ioc", "limit_limit_fok")


def read_terms(order: Mapping[str, Any], side: Side, lot_step: Decimal) -> Terms:
    """The terms of a listed order. Raises `KeyError`, `TypeError` or `ValueError` for figures that are none.

    The kind follows from the configuration's name and prices; one that is new to us (TWAP and scaled orders are among
    those that exist) is the nearest of ours that has the same prices. Edits are told in `edit_history`, the last of
    which counts: whether the configuration shows them too is not published.
    """
    configuration = order.get("order_configuration") or {}
    if not isinstance(configuration, dict):
        raise ValueError("order_configuration is no object")
    name, values = next(iter(configuration.items()), ("", {}))
    if not isinstance(values, dict):
        raise ValueError(f"{name} is no object")
    limit, stop = _number(values, "limit_price"), _number(values, "stop_price") or _number(values, "stop_trigger_price")
    size, value = _number(values, "base_size"), _number(values, "quote_size")
    edits = order.get("edit_history")
    if isinstance(edits, list) and edits and isinstance(edits[-1], dict):
        limit, size = _number(edits[-1], "price") or limit, _number(edits[-1], "size") or size
    if size is None and value is not None and limit is not None:
        size = floor_to(value / limit, lot_step)
    return Terms(
        _kind(name, values, side, limit is not None, stop is not None),
        None if size is None else Quantity(size),
        None if limit is None else Price(limit),
        None if stop is None else Price(stop),
    )


def _kind(name: str, values: Mapping[str, Any], side: Side, has_limit: bool, has_stop: bool) -> OrderKind:
    if has_stop and name.startswith("trigger_bracket"):
        return OrderKind.BRACKET if has_limit else OrderKind.STOP
    if has_stop:
        against = (values.get("stop_direction", _UP if side is Side.BUY else _DOWN) == _UP) is (side is Side.BUY)
        if has_limit:
            return OrderKind.STOP_LIMIT if against else OrderKind.TAKE_PROFIT_LIMIT
        return OrderKind.STOP if against else OrderKind.TAKE_PROFIT
    if not has_limit:
        return OrderKind.MARKET
    if name in _IMMEDIATE_LIMITS:
        return OrderKind.IOC_LIMIT
    return OrderKind.POST_ONLY if values.get("post_only") is True else OrderKind.LIMIT


def _number(values: Mapping[str, Any], field: str) -> Decimal | None:
    """A positive figure; absent, empty and zero are None."""
    value = parse_decimal(values.get(field) or "0")
    if value < 0:
        raise ValueError(f"{field} is {value}, expected 0 or more")
    return value or None
