"""Kraken's order objects: what is sent, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.money import Amount, Quantity, parse_decimal
from copytrade.domain.order import OrderKind
from copytrade.domain.venue import Execution, ExecutionStatus, OrderTicket
from copytrade.venues.kraken.kinds import price_fields

_STATUSES = {
    "pending": ExecutionStatus.OPEN,
    "open": ExecutionStatus.OPEN,
    "closed": ExecutionStatus.FILLED,
    "canceled": ExecutionStatus.CANCELLED,  # with `vol_exec` > 0 when it was filled in part before
    "expired": ExecutionStatus.CANCELLED,
}


def order_fields(ticket: OrderTicket, deadline: datetime) -> dict[str, str]:
    """The fields of `AddOrder`. `deadline` is on the venue's clock. Raises `ValueError` as `price_fields` does.

    `oflags=fciq` asks for the fee in the quote currency on both sides. Without it Kraken prefers the base currency
    when selling, and a sale of everything that is held would lack the fee.
    """
    return {
        **price_fields(ticket),
        "type": ticket.side.value,
        "volume": str(ticket.quantity),
        "pair": ticket.instrument.venue_symbol,
        "oflags": "fciq,post" if ticket.kind is OrderKind.POST_ONLY else "fciq",
        "cl_ord_id": ticket.order_id,
        "deadline": deadline.isoformat(timespec="milliseconds")[:-6] + "Z",
    }


def accepted_id(result: Any) -> str | None:
    """The venue's order id in the result of `AddOrder`; None unless there is exactly one."""
    ids = result.get("txid") if isinstance(result, dict) else None
    if isinstance(ids, list) and len(ids) == 1 and isinstance(ids[0], str) and 0 < len(ids[0]) <= 64:
        return ids[0]
    return None


def read_execution(txid: str, order: Any, at: datetime) -> Execution:
    """An order object as totals so far. Raises `VenueUnavailable` for what is none."""
    try:
        flags = str(order.get("oflags") or "").split(",")
        fee = _amount(order, "fee")
        in_base = "fcib" in flags
        return Execution(
            venue_order_id=txid,
            status=_STATUSES[order["status"]],
            quantity=Quantity(_amount(order, "vol_exec")),
            cost=Amount(_amount(order, "cost")),
            fee=Amount(Decimal(0) if in_base else fee),
            fee_base=Quantity(fee if in_base else Decimal(0)),
            at=at,
            detail=str(order.get("reason") or order.get("misc") or "")[:200],
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise VenueUnavailable(f"Kraken's answer about order {txid:.64} cannot be read: {error!r:.200}") from None


def orders_in(result: Any, part: str) -> Mapping[str, Any]:
    """The orders (or trades) by their ids under `part` of a result. Raises `VenueUnavailable` for anything else."""
    orders = result.get(part) if isinstance(result, dict) else None
    if not isinstance(orders, dict) or not all(isinstance(order, dict) for order in orders.values()):
        raise VenueUnavailable(f"Kraken's answer has no list of {part!r}: it proves nothing")
    return orders


def _amount(order: Mapping[str, Any], field: str) -> Decimal:
    value = parse_decimal(order[field])
    if value < 0:
        raise ValueError(f"{field} is {value}, expected 0 or more")
    return value
