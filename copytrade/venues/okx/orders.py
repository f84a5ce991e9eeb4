"""OKX's order objects: what is sent, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from copytrade.domain.errors import VenueError, VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import ZERO, Amount, Price, Quantity, parse_decimal
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.venue import Execution, ExecutionStatus, OrderTicket, VenueOrder

_STATUSES = {
    "live": ExecutionStatus.OPEN,
    "partially_filled": ExecutionStatus.OPEN,
    "filled": ExecutionStatus.FILLED,
    "canceled": ExecutionStatus.CANCELLED,  # with `accFillSz` > 0 when it was filled in part before
    "mmp_canceled": ExecutionStatus.CANCELLED,
}
_ID_MAX = 40
_MILLISECONDS_MAX = 14  # digits: until the year 5138


_ORDER_TYPES = {
    OrderKind.MARKET: "market",
    OrderKind.IOC_LIMIT: "ioc",
    OrderKind.LIMIT: "limit",
    OrderKind.POST_ONLY: "post_only",
}
# What people may have placed by other means. A fill-or-kill order has the price of an immediate one; of a type that
# OKX adds, an order with a price is nearest to a limit order, one without to a market order.
_KINDS = {
    **{word: kind for kind, word in _ORDER_TYPES.items()},
    "fok": OrderKind.IOC_LIMIT,
    "optimal_limit_ioc": OrderKind.MARKET,
}
ORDER_KINDS = frozenset(_ORDER_TYPES)
_ALGO = ":algo"


def order_fields(ticket: OrderTicket) -> dict[str, Any]:
    """The parameters of the SDK's `place_order`. Raises `ValueError` for a price that is missing or off the tick.

    `tgtCcy` says that the size of a market order is in the base asset; without it OKX takes that of a purchase for
    an amount of the quote currency. `banAmend` has a purchase refused that OKX would else make smaller by itself.
    """
    fields: dict[str, Any] = {
        "instId": ticket.instrument.venue_symbol,
        "tdMode": "cash",
        "side": ticket.side.value,
        "ordType": _ORDER_TYPES[ticket.kind],
        "sz": str(ticket.quantity),
        "clOrdId": ticket.order_id,
    }
    if ticket.kind is not OrderKind.MARKET:
        return fields | {"px": price_text(ticket, ticket.limit_price, "limit_price")}
    fields["tgtCcy"] = "base_ccy"
    if ticket.side is Side.BUY:
        fields["banAmend"] = True
    return fields


def price_text(ticket: OrderTicket, price: Price | None, what: str) -> str:
    """A price of an order as it is sent. Raises `ValueError` when it is missing or off the tick."""
    if price is None:
        raise ValueError(f"order {ticket.order_id} is a {ticket.kind} order without a {what}")
    if price.value <= 0 or price.value % ticket.instrument.tick:
        raise ValueError(
            f"order {ticket.order_id}: {what} {price} is off the tick {ticket.instrument.tick} of "
            f"{ticket.instrument.symbol}"
        )
    return str(price)


def joined_id(inst_id: str, order_id: str, *, algo: bool = False) -> str:
    """Our name of an order at OKX: `BTC-USDT:312269865356374016`, as OKX finds an order only by both.

    `BTC-USDT:algo:312269865356374016` is one that waits for a price ("algo order"). It keeps this name when it has
    been triggered, although OKX then places an ordinary order under an id of its own.
    """
    return f"{inst_id}{_ALGO if algo else ''}:{order_id}"


class Named(NamedTuple):
    """What such a name says."""

    inst_id: str
    order_id: str
    algo: bool


def split_id(venue_order_id: str) -> Named:
    """What a name says. Raises `VenueError`."""
    inst_id, colon, order_id = venue_order_id.rpartition(":")
    algo = inst_id.endswith(_ALGO)
    inst_id = inst_id.removesuffix(_ALGO)
    if not colon or not inst_id or ":" in inst_id or not is_order_id(order_id):
        raise VenueError(f"{venue_order_id!r:.80} names no order at OKX: give INSTRUMENT:ORDER, as in BTC-USDT:3122")
    return Named(inst_id, order_id, algo)


def is_order_id(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _ID_MAX


def read_execution(order: Any, instrument: Instrument, at: datetime) -> Execution:
    """An order object as totals so far. Raises `VenueUnavailable` for what is none.

    OKX takes its fee out of what an order receives, the base asset for a purchase, and writes it as a negative
    number; a positive one is a rebate, and counts as no fee.
    """
    try:
        if order["instId"] != instrument.venue_symbol or not is_order_id(order["ordId"]):
            raise ValueError(f"it is order {order['ordId']!r:.40} of {order['instId']!r:.40}")
        quantity = _amount(order, "accFillSz")
        price = _amount(order, "avgPx")
        if quantity and not price:
            raise ValueError("accFillSz without avgPx")
        fee = max(ZERO, -_number(order, "fee"))
        currency = order["feeCcy"]
        if fee and currency not in (instrument.base, instrument.quote):
            raise ValueError(f"the fee is in {currency!r:.20}")
        in_base = currency == instrument.base
        return Execution(
            venue_order_id=joined_id(instrument.venue_symbol, order["ordId"]),
            status=_STATUSES[order["state"]],
            quantity=Quantity(quantity),
            cost=Amount(quantity * price),
            fee=Amount(ZERO if in_base else fee),
            fee_base=Quantity(fee if in_base else ZERO),
            at=at,
            detail=str(order.get("cancelSourceReason") or "")[:200],
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise VenueUnavailable(
            f"OKX's answer about an order of {instrument.venue_symbol} cannot be read: {error!r:.200}"
        ) from None


def read_order(order: Mapping[str, Any], instrument: Instrument, at: datetime) -> VenueOrder:
    """An order object as a list entry. Raises `VenueUnavailable` for what is none. `at` is when it was read."""
    execution = read_execution(order, instrument, at)
    try:
        price = optional_price(order, "px")
        by_value = order.get("tgtCcy") == "quote_ccy"
        unknown = OrderKind.MARKET if price is None else OrderKind.LIMIT
        over = execution.status is not ExecutionStatus.OPEN
        return VenueOrder(
            venue_order_id=execution.venue_order_id,
            client_order_id=str(order.get("clOrdId") or ""),
            symbol=instrument.symbol,
            side=Side(order["side"]),
            kind=_KINDS.get(order["ordType"], unknown),
            quantity=execution.quantity if by_value else Quantity(_amount(order, "sz")),
            limit_price=price,
            stop_price=None,
            status=execution.status,
            filled=execution.quantity,
            cost=execution.cost,
            fee=execution.fee,
            fee_base=execution.fee_base,
            created_at=moment_of(order, "cTime"),
            at=moment_of(order, "uTime") if over else at,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise VenueUnavailable(
            f"OKX's list has an order of {instrument.venue_symbol} that cannot be read: {error!r:.200}"
        ) from None


def optional_price(order: Mapping[str, Any], field: str) -> Price | None:
    """A price, None where there is none: empty text, 0, or -1 for "at the market". Raises `ValueError`."""
    value = order.get(field)
    if value is None or value == "":
        return None
    price = parse_decimal(value)
    return Price(price) if price > 0 else None


def moment_of(entry: Mapping[str, Any], field: str) -> datetime:
    """A time of OKX's, given in milliseconds. Raises `KeyError` or `ValueError`."""
    value = entry[field]
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > _MILLISECONDS_MAX:
        raise ValueError(f"{field} is {value!r:.40}")
    return datetime.fromtimestamp(int(value) / 1000, UTC)


def rows(data: list[Any], what: str) -> list[Mapping[str, Any]]:
    """A list of objects. Raises `VenueUnavailable` for anything else."""
    if not all(isinstance(row, dict) for row in data):
        raise VenueUnavailable(f"OKX's list of {what} has something else in it: it proves nothing")
    return data


def _number(order: Mapping[str, Any], field: str) -> Decimal:
    """A figure; OKX writes empty text for one that there is not yet."""
    value = order[field]
    return ZERO if value == "" else parse_decimal(value)


def _amount(order: Mapping[str, Any], field: str) -> Decimal:
    value = _number(order, field)
    if value < 0:
        raise ValueError(f"{field} is {value}, expected 0 or more")
    return value
