"""Alpaca's order objects: what is sent, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_UP, Decimal
from typing import Any

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import AssetClass
from copytrade.domain.money import ZERO, Amount, Quantity, parse_decimal
from copytrade.domain.order import OrderKind
from copytrade.domain.venue import Execution, ExecutionStatus, OrderTicket

REPLACED = "replaced"
# docs.alpaca.markets, "Order lifecycle". Two that look like an end are none: an order that is `done_for_day` goes on
# the next day, one that is `calculated` waits for its settlement.
_STATUSES = {
    "new": ExecutionStatus.OPEN, "partially_filled": ExecutionStatus.OPEN, "filled": ExecutionStatus.FILLED,
    "done_for_day": ExecutionStatus.OPEN, "canceled": ExecutionStatus.CANCELLED, "expired": ExecutionStatus.CANCELLED,
    REPLACED: ExecutionStatus.CANCELLED, "pending_cancel": ExecutionStatus.OPEN,
    "pending_replace": ExecutionStatus.OPEN, "pending_review": ExecutionStatus.OPEN, "accepted": ExecutionStatus.OPEN,
    "pending_new": ExecutionStatus.OPEN, "accepted_for_bidding": ExecutionStatus.OPEN, "stopped": ExecutionStatus.OPEN,
    "rejected": ExecutionStatus.CANCELLED, "suspended": ExecutionStatus.OPEN, "calculated": ExecutionStatus.OPEN,
    "held": ExecutionStatus.OPEN,
}  # fmt: skip
# Fees in a coin are on its nine decimals; rounded up, so that no exit asks for more than arrived.
_FEE_STEP = Decimal("0.000000001")


def order_fields(ticket: OrderTicket) -> dict[str, str]:
    """The fields of a new order, numbers as plain decimal text.

    A stock's market order is good for the day, the one time in force that Alpaca takes for fractions of shares; a
    coin's is good till cancelled, and either fills at once.
    """
    fields = {
        "symbol": ticket.instrument.venue_symbol,
        "qty": str(ticket.quantity),
        "side": ticket.side.value,
        "type": "market",
        "time_in_force": "day" if ticket.instrument.asset_class is AssetClass.STOCK else "gtc",
        "client_order_id": ticket.order_id,
    }
    if ticket.kind is OrderKind.IOC_LIMIT:
        if ticket.limit_price is None:
            raise ValueError(f"order {ticket.order_id} is a limit order without a limit price")
        fields |= {"type": "limit", "time_in_force": "ioc", "limit_price": str(ticket.limit_price)}
    return fields


def accepted_id(ticket: OrderTicket, body: Any) -> str | None:
    """The venue's order id in the answer to placing this very order; None when the answer is not about it."""
    if not isinstance(body, dict) or body.get("client_order_id") != ticket.order_id:
        return None
    order_id = body.get("id")
    return order_id if isinstance(order_id, str) and 0 < len(order_id) <= 64 else None


def read_execution(orders: Sequence[Any], crypto_fee_rate: Decimal, at: datetime) -> Execution:
    """An order as totals so far, from its object and those of the orders that replaced it, in their order.

    Alpaca's orders carry no fee: for a coin it is reckoned by the rate, out of what the account received. Raises
    `VenueUnavailable` for what is no order.
    """
    try:
        first, last = orders[0], orders[-1]
        quantity, cost = ZERO, ZERO
        for order in orders:
            filled = _amount(order["filled_qty"])
            quantity += filled
            cost += filled * _amount(order["filled_avg_price"]) if filled else ZERO
        fee, fee_base = ZERO, ZERO
        if first["asset_class"] == "crypto":
            if first["side"] == "buy":
                fee_base = (quantity * crypto_fee_rate).quantize(_FEE_STEP, rounding=ROUND_UP)
            else:
                fee = (cost * crypto_fee_rate).quantize(_FEE_STEP, rounding=ROUND_UP)
        status = last["status"]
        return Execution(
            venue_order_id=_text(first["id"]),
            status=_STATUSES[status],
            quantity=Quantity(quantity),
            cost=Amount(cost),
            fee=Amount(fee),
            fee_base=Quantity(fee_base),
            at=at,
            detail="" if status in ("filled", "canceled") else str(status),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise VenueUnavailable(f"Alpaca's answer about an order cannot be read: {error!r:.200}") from None


def orders_in(body: Any, what: str) -> list[Mapping[str, Any]]:
    """A list of objects. Raises `VenueUnavailable` for anything else."""
    if not isinstance(body, list) or not all(isinstance(entry, dict) for entry in body):
        raise VenueUnavailable(f"Alpaca's list of {what} is no list of objects: it proves nothing")
    return body


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected a text, got {value!r:.40}")
    return value


def _amount(value: Any) -> Decimal:
    amount = parse_decimal(value)
    if amount < 0:
        raise ValueError(f"expected 0 or more, got {amount}")
    return amount
