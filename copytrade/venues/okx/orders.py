"""OKX's order objects: what is sent, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from copytrade.domain.errors import VenueError, VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import ZERO, Amount, Quantity, parse_decimal
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.venue import Execution, ExecutionStatus, OrderTicket

_STATUSES = {
    "live": ExecutionStatus.OPEN,
    "partially_filled": ExecutionStatus.OPEN,
    "filled": ExecutionStatus.FILLED,
    "canceled": ExecutionStatus.CANCELLED,  # with `accFillSz` > 0 when it was filled in part before
    "mmp_canceled": ExecutionStatus.CANCELLED,
}
_ID_MAX = 40


def order_fields(ticket: OrderTicket) -> dict[str, Any]:
    """The parameters of the SDK's `place_order`.

    `tgtCcy` says that the size of a market order is in the base asset; without it OKX takes that of a purchase for
    an amount of the quote currency. `banAmend` has a purchase refused that OKX would else make smaller by itself.
    """
    fields: dict[str, Any] = {
        "instId": ticket.instrument.venue_symbol,
        "tdMode": "cash",
        "side": ticket.side.value,
        "ordType": "market",
        "sz": str(ticket.quantity),
        "clOrdId": ticket.order_id,
    }
    if ticket.kind is OrderKind.IOC_LIMIT:
        if ticket.limit_price is None:
            raise ValueError(f"order {ticket.order_id} is a limit order without a limit price")
        return fields | {"ordType": "ioc", "px": str(ticket.limit_price)}
    fields["tgtCcy"] = "base_ccy"
    if ticket.side is Side.BUY:
        fields["banAmend"] = True
    return fields


def joined_id(inst_id: str, order_id: str) -> str:
    """Our name of an order at OKX, `BTC-USDT:312269865356374016`: OKX finds an order only by both."""
    return f"{inst_id}:{order_id}"


def split_id(venue_order_id: str) -> tuple[str, str]:
    """The `instId` and `ordId` of such a name. Raises `VenueError`."""
    inst_id, colon, order_id = venue_order_id.rpartition(":")
    if not colon or not inst_id or not is_order_id(order_id):
        raise VenueError(f"{venue_order_id!r:.80} names no order at OKX: give INSTRUMENT:ORDER, as in BTC-USDT:3122")
    return inst_id, order_id


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
