"""What an event of the stream says about an order.

Events carry totals, but clients report that they lack an order's prices, so what an order asks for is read once and
kept for a while. It is read anew when an event shows no other progress than the one before, since then the order
was edited, and when what is left of it does not fit.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from copytrade.domain.errors import VenueError, VenueUnavailable
from copytrade.domain.money import Amount, Quantity, parse_decimal
from copytrade.domain.venue import ExecutionStatus, VenueOrder
from copytrade.venues.coinbase.orders import STATUSES, is_order_id

logger = logging.getLogger(__name__)

# Orders that are remembered, those that ended lately among them; of who has more, some are read again.
_REMEMBERED_MAX = 100


class Progress(NamedTuple):
    """How far an order has come by an event. `cost` is None when the event does not tell it exactly."""

    status: ExecutionStatus
    filled: Decimal
    cost: Decimal | None
    fee: Decimal
    left: Decimal | None


class Changes:
    """Turns events of one connection into orders. `fetch` reads an order; None is one that is none of ours."""

    def __init__(
        self, fetch: Callable[[str], Awaitable[VenueOrder | None]], clock: Callable[[], datetime]
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._known: dict[str, tuple[VenueOrder, Progress | None]] = {}

    async def read(self, event: Mapping[str, Any]) -> tuple[VenueOrder | None, ...]:
        """The order as it is now; nothing when there is nothing to tell, None when the caller has to look itself.

        Raises `VenueUnavailable` for an event that names no order.
        """
        order_id = event.get("order_id")
        if not isinstance(order_id, str) or not is_order_id(order_id):
            raise VenueUnavailable("Coinbase's stream of orders told of an order without its id")
        progress = _progress(event)
        base, last = self._known.get(order_id, (None, None))
        if base is not None and progress is not None and progress.filled < base.filled.value:
            return ()  # from before what was told last
        if base is None or progress is None or progress.cost is None or _edited(base, progress, last):
            try:
                base = await self._fetch(order_id)
            except VenueError as error:
                logger.info("an order of Coinbase's stream cannot be read: %s", error)
                return (None,)
            if base is None:
                return ()
            if progress is None:
                return (self._keep(base, None),)
            if not _ahead(progress, base):
                return (self._keep(base, progress),)
            if progress.cost is None:
                return (None,)  # the history lags behind the stream, which does not tell enough
        return (self._keep(self._advanced(base, progress), progress),)

    def _advanced(self, base: VenueOrder, progress: Progress) -> VenueOrder:
        assert progress.cost is not None  # looked at by the caller
        filled = Quantity(progress.filled)
        return replace(
            base, status=progress.status, filled=filled, quantity=max(base.quantity, filled),
            cost=Amount(progress.cost), fee=Amount(progress.fee), at=self._clock(),
        )  # fmt: skip

    def _keep(self, order: VenueOrder, progress: Progress | None) -> VenueOrder:
        self._known.pop(order.venue_order_id, None)
        if len(self._known) >= _REMEMBERED_MAX:
            self._known.pop(next(iter(self._known)))
        self._known[order.venue_order_id] = (order, progress)
        return order


def _progress(event: Mapping[str, Any]) -> Progress | None:
    """None for an event whose figures cannot be read: then the order itself is."""
    try:
        status = STATUSES[event["status"]]
        filled, fee = (parse_decimal(event[field] or "0") for field in ("cumulative_quantity", "total_fees"))
        value, leaves = event.get("filled_value"), event.get("leaves_quantity")
        cost = parse_decimal(value) if value else None
        left = parse_decimal(leaves) if leaves else None
    except (KeyError, TypeError, ValueError):
        return None
    if not filled:
        cost = Decimal(0)
        if status is ExecutionStatus.FILLED:
            status = ExecutionStatus.OPEN  # the status runs ahead of the fills
    if min(filled, fee, cost or filled) < 0:
        return None
    return Progress(status, filled, cost if cost or not filled else None, fee, left)


def _edited(base: VenueOrder, progress: Progress, last: Progress | None) -> bool:
    """Whether what the order asks for may have changed."""
    if progress.status is not ExecutionStatus.OPEN:
        return False
    return progress == last or (progress.left is not None and progress.left + progress.filled != base.quantity.value)


def _ahead(progress: Progress, order: VenueOrder) -> bool:
    """Whether the event is further than the history."""
    over = progress.status is not ExecutionStatus.OPEN and order.status is ExecutionStatus.OPEN
    return progress.filled > order.filled.value or over
