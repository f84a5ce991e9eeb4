"""Orders that OKX took and does not show any more: cancelled without a fill, and forgotten after two hours.

It happens to whoever was away for longer than that. Left alone such an order would stay open in our books for good,
and an exit with it. Ended by a guess, it could be sold twice. So: no list of open orders, finished orders or trades
shows it, and that stays so for as long as no list can be behind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import NO_AMOUNT, NO_QUANTITY
from copytrade.domain.venue import Execution, ExecutionStatus
from copytrade.venues.budget import Seconds
from copytrade.venues.okx.orders import joined_id, read_execution, rows

# OKX names no delay of its lists; ten minutes are far beyond any that was reported.
GONE_AFTER_S = 600.0
# Orders of one account that are missing at a time; the oldest begins afresh.
_MISSING_MAX = 1_000


class Call(Protocol):
    """A signed read: its data, or `VenueError`."""

    def __call__(self, call: str, fields: Mapping[str, Any] | None = None) -> Awaitable[list[Any]]: ...


class Vanished:
    """Since when orders of one account have been missing."""

    def __init__(self, call: Call, monotonic: Seconds, clock: Callable[[], datetime]) -> None:
        self._call = call
        self._monotonic = monotonic
        self._clock = clock
        self._missing_since: dict[str, float] = {}

    def shown(self, name: str) -> None:
        """An order is there."""
        self._missing_since.pop(name, None)

    async def execution(self, instrument: Instrument, order_id: str) -> Execution:
        """What the lists say of an order that the look-up by its id does not find.

        Raises `VenueUnavailable` while it is missing for less than `GONE_AFTER_S`, and `VenueError`.
        """
        name = joined_id(instrument.venue_symbol, order_id)
        order = await self._listed(instrument, order_id)
        if order is not None:
            self.shown(name)
            return read_execution(order, instrument, self._clock())
        now_s = self._monotonic()
        since_s = self._missing_since.setdefault(name, now_s)
        if len(self._missing_since) > _MISSING_MAX:
            del self._missing_since[next(iter(self._missing_since))]
        if now_s - since_s < GONE_AFTER_S:
            raise VenueUnavailable(f"OKX does not show order {name}, in no list of orders or trades; ask again later")
        detail = "OKX shows neither the order nor a trade of it any more: cancelled without a fill over two hours ago"
        return Execution(
            name, ExecutionStatus.CANCELLED, NO_QUANTITY, NO_AMOUNT, NO_AMOUNT, self._clock(), detail=detail
        )

    async def _listed(self, instrument: Instrument, order_id: str) -> Mapping[str, Any] | None:
        about = {"instType": "SPOT", "instId": instrument.venue_symbol}
        for call in ("get_order_list", "get_orders_history_archive"):
            # Lists come newest first by id; this one begins with the order itself, if it is in there.
            page = rows(await self._call(call, about | {"after": str(int(order_id) + 1)}), "orders")
            for order in page:
                if order.get("ordId") == order_id:
                    return order
        for call in ("get_fills", "get_fills_history"):
            if await self._call(call, about | {"ordId": order_id}):
                raise VenueUnavailable(f"OKX shows trades of order {order_id} and not the order; ask again later")
        return None
