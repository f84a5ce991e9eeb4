"""Alpaca's order objects, as they come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_UP, Decimal
from typing import Any, NamedTuple

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.money import ZERO, Amount, Quantity, parse_decimal
from copytrade.domain.venue import Execution, ExecutionStatus, OrderTicket
from copytrade.venues.alpaca.clock import read_time

Order = Mapping[str, Any]

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


def accepted_id(ticket: OrderTicket, body: Any) -> str | None:
    """The venue's order id in the answer to placing this very order; None when the answer is not about it."""
    if not isinstance(body, dict) or body.get("client_order_id") != ticket.order_id:
        return None
    order_id = body.get("id")
    return order_id if isinstance(order_id, str) and 0 < len(order_id) <= 64 else None


class Group(NamedTuple):
    """One order with whatever belongs to it.

    `chain` is the order and those that replaced it, in their order; `legs` are the other leg of an OCO, and what
    replaced that. A leg on the other side (a bracket's exits) is an order of its own and not in here.
    """

    chain: Sequence[Order]
    legs: Sequence[Order] = ()

    @property
    def last(self) -> Order:
        """The order that stands for the chain now."""
        return self.chain[-1]


def read_execution(
    group: Group, crypto_fee_rate: Decimal, at: datetime, *, lenient: bool = False
) -> Execution:
    """An order as totals so far, over its chain and its legs.

    Alpaca's orders carry no fee: for a coin it is reckoned by the rate, out of what the account received. Raises
    `VenueUnavailable` for what is no order, and unless `lenient` for a status that is not known: it counts as open.
    """
    try:
        first, last = group.chain[0], group.last
        quantity, cost = ZERO, ZERO
        for order in (*group.chain, *group.legs):
            filled = amount_of(order["filled_qty"])
            quantity += filled
            cost += filled * amount_of(order["filled_avg_price"]) if filled else ZERO
        fee, fee_base = ZERO, ZERO
        if first["asset_class"] == "crypto":
            if first["side"] == "buy":
                fee_base = (quantity * crypto_fee_rate).quantize(_FEE_STEP, rounding=ROUND_UP)
            else:
                fee = (cost * crypto_fee_rate).quantize(_FEE_STEP, rounding=ROUND_UP)
        status, word = _status_of(group, quantity, lenient), str(last["status"])
        return Execution(
            venue_order_id=_text(first["id"]),
            status=status,
            quantity=Quantity(quantity),
            cost=Amount(cost),
            fee=Amount(fee),
            fee_base=Quantity(fee_base),
            at=at,
            detail="" if status is ExecutionStatus.FILLED else _detail(word, last),
            expired=status is ExecutionStatus.CANCELLED and out_of_time(last),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise VenueUnavailable(f"Alpaca's answer about an order cannot be read: {error!r:.200}") from None


def is_open(order: Order) -> bool:
    """Whether an order object may still change; one in a state that is not known here may."""
    return _STATUSES.get(str(order.get("status")), ExecutionStatus.OPEN) is ExecutionStatus.OPEN


def asked_quantity(group: Group) -> Decimal | None:
    """How much was asked for in all; None for an order by value.

    What filled before an order was replaced stays with it, and the one that replaced it is for the rest.
    """
    if group.last.get("qty") is None:
        return None
    return sum((amount_of(order["filled_qty"]) for order in group.chain[:-1]), ZERO) + amount_of(group.last["qty"])


def _status_of(group: Group, filled: Decimal, lenient: bool) -> ExecutionStatus:
    ends = [_STATUSES.get(str(order["status"])) for order in (group.last, *group.legs)]
    if None in ends and not lenient:
        raise ValueError(f"status {group.last['status']!r:.40} is not known")
    if not group.legs:
        return ends[0] or ExecutionStatus.OPEN
    # The legs of a list end one after the other: it is over when all that was asked for has filled, or none is left.
    asked = asked_quantity(group)
    if asked is not None and filled >= asked:
        return ExecutionStatus.FILLED
    open_ = ExecutionStatus.OPEN in ends or None in ends
    return ExecutionStatus.OPEN if open_ else ExecutionStatus.CANCELLED


def out_of_time(order: Order) -> bool:
    """Whether the venue ended the order because its time was up.

    docs.alpaca.markets, "Orders at Alpaca": an order for the day expires with it; one that is good till cancelled is
    cancelled by Alpaca 90 days later, at `expires_at`, and whether it is called expired or cancelled is not said.
    """
    status, until = order.get("status"), order.get("expires_at")
    if status == "expired":
        return order.get("time_in_force") not in ("ioc", "fok")
    ended = order.get("canceled_at")
    if status != "canceled" or not isinstance(until, str) or not isinstance(ended, str):
        return False
    try:
        return read_time(ended) >= read_time(until)
    except ValueError:
        return False  # what it has filled counts all the same


def _detail(status: str, order: Order) -> str:
    if status == "filled" or (status == "canceled" and not out_of_time(order)):
        return ""
    if status == "expired" and order.get("time_in_force") == "day":
        return "expired with the trading day (Alpaca keeps fractions of shares no longer)"
    if out_of_time(order):
        return "ended by Alpaca, which keeps orders for 90 days"
    return status


def orders_in(body: Any, what: str) -> list[Mapping[str, Any]]:
    """A list of objects. Raises `VenueUnavailable` for anything else."""
    if not isinstance(body, list) or not all(isinstance(entry, dict) for entry in body):
        raise VenueUnavailable(f"Alpaca's list of {what} is no list of objects: it proves nothing")
    return body


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected a text, got {value!r:.40}")
    return value


def amount_of(value: Any) -> Decimal:
    """A number from 0 on. Raises `ValueError`."""
    amount = parse_decimal(value)
    if amount < 0:
        raise ValueError(f"expected 0 or more, got {amount}")
    return amount
