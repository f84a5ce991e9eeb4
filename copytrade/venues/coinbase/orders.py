"""Coinbase's order objects: what an accepted order is answered with, and what the history shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Quantity, parse_decimal
from copytrade.domain.order import Side
from copytrade.domain.venue import Execution, ExecutionStatus, OrderTicket, VenueOrder
from copytrade.venues.coinbase.kinds import read_terms

# Ids are UUIDs; anything that would need quoting in a path is none.
is_order_id = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch
# docs.cdp.coinbase.com, Get Order, `status`. UNKNOWN_ORDER_STATUS is left out: it says that the venue does not know.
STATUSES = {
    "PENDING": ExecutionStatus.OPEN,
    "QUEUED": ExecutionStatus.OPEN,
    "OPEN": ExecutionStatus.OPEN,
    "CANCEL_QUEUED": ExecutionStatus.OPEN,
    "EDIT_QUEUED": ExecutionStatus.OPEN,
    "FILLED": ExecutionStatus.FILLED,
    "CANCELLED": ExecutionStatus.CANCELLED,  # with `filled_size` > 0 when it was filled in part before
    "EXPIRED": ExecutionStatus.CANCELLED,
    "FAILED": ExecutionStatus.CANCELLED,  # taken, and then turned down by the matching engine
}
_NO_REASON = "REJECT_REASON_UNSPECIFIED"


def accepted_id(ticket: OrderTicket, body: Mapping[str, Any]) -> str | None:
    """The venue's order id in the answer to this very order; None unless the answer names the order.

    The answer repeats client id, product and side. One that was meant for another request (a late one, one from a
    cache) is so told apart.
    """
    told = body.get("success_response")
    if body.get("success") is not True or not isinstance(told, dict) or body.get("error_response"):
        return None
    order_id = told.get("order_id")
    ours = (
        told.get("client_order_id") == ticket.order_id
        and told.get("product_id") == ticket.instrument.venue_symbol
        and told.get("side") == ticket.side.value.upper()
    )
    return order_id if ours and isinstance(order_id, str) and is_order_id(order_id) else None


def read_execution(order: Any, at: datetime) -> Execution:
    """An order object as totals so far. Raises `VenueUnavailable` for what is none.

    `filled_size` counts the base asset, `filled_value` and `total_fees` the quote currency: Coinbase takes its fee in
    the quote currency on both sides.
    """
    try:
        order_id = order["order_id"]
        if not is_order_id(order_id):
            raise ValueError("order_id is no id")
        status = STATUSES[order["status"]]
        filled = _amount(order, "filled_size")
        if status is ExecutionStatus.FILLED and not filled:
            status = ExecutionStatus.OPEN  # the status runs ahead of the fills: how much it was is not told yet
        return Execution(
            venue_order_id=order_id,
            status=status,
            quantity=Quantity(filled),
            cost=Amount(_amount(order, "filled_value")),
            fee=Amount(_amount(order, "total_fees")),
            at=at,
            detail=_detail(order),
            expired=order["status"] == "EXPIRED",
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise VenueUnavailable(f"Coinbase's answer about an order cannot be read: {error!r:.200}") from None


def read_order(order: Mapping[str, Any], instrument: Instrument, at: datetime, offset: timedelta) -> VenueOrder:
    """An order object of `instrument`, whoever placed it; `offset` is how far Coinbase's clock is ahead of ours.

    Raises `VenueUnavailable` for what is none. A state that Coinbase itself does not know counts as open: nothing has
    ended that is not told to have ended.
    """
    known = order if order.get("status") in STATUSES else {**order, "status": "OPEN"}
    execution = read_execution(known, at)
    try:
        side = Side(order["side"].lower())
        terms = read_terms(order, side, instrument.lot_step)
        created = datetime.fromisoformat(order["created_time"])
        if created.tzinfo is None:
            raise ValueError("created_time has no offset")
        client_id = order.get("client_order_id") or ""
        if not isinstance(client_id, str):
            raise ValueError("client_order_id is no text")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise VenueUnavailable(f"Coinbase's order {execution.venue_order_id} cannot be read: {error!r:.200}") from None
    return VenueOrder(
        venue_order_id=execution.venue_order_id,
        client_order_id=client_id,
        symbol=instrument.symbol,
        side=side,
        kind=terms.kind,
        quantity=terms.quantity or execution.quantity,
        limit_price=terms.limit_price,
        stop_price=terms.stop_price,
        status=execution.status,
        filled=execution.quantity,
        cost=execution.cost,
        fee=execution.fee,
        created_at=created - offset,
        at=at,
    )


def entries_in(body: Mapping[str, Any], part: str) -> list[Mapping[str, Any]]:
    """The list under `part` of an answer. Raises `VenueUnavailable` for anything but a list of objects."""
    entries = body.get(part)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise VenueUnavailable(f"Coinbase's answer has no list of {part!r}: it proves nothing")
    return entries


def _detail(order: Mapping[str, Any]) -> str:
    """Why an order ended early, in the venue's words."""
    reject = order.get("reject_reason")
    parts = [reject if reject != _NO_REASON else "", order.get("reject_message"), order.get("cancel_message")]
    return "; ".join(part for part in parts if isinstance(part, str) and part)[:200]


def _amount(order: Mapping[str, Any], field: str) -> Decimal:
    value = parse_decimal(order[field] or "0")  # the venue leaves figures empty until there is something to say
    if value < 0:
        raise ValueError(f"{field} is {value}, expected 0 or more")
    return value
