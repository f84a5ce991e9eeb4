"""Every order of an account that is open, or was placed or ended since a moment: what one listing is made of.

Coinbase's list is filtered by when an order was created, and no filter tells when it ended. So one listing reads

1. the orders that are open now, however old;
2. those created since, in any state (the filter for open ones leaves out those that are still pending);
3. the fills since, and the orders that they belong to;
4. those that an earlier listing saw open and that none of the above shows: they have ended meanwhile;
5. the first time, when there is no earlier listing: older orders that were pending then, and those that were cancelled
   since (by `last_update_time`, which newer answers have).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.venue import ExecutionStatus, VenueOrder
from copytrade.venues.coinbase.orders import is_order_id, read_order
from copytrade.venues.coinbase.pages import OVERLAP_S, Pages, start_text

logger = logging.getLogger(__name__)

_IDS_MAX = 50  # orders asked for by id in one question, which keeps its address well under any limit
_NOT_YET_OPEN = ("PENDING", "QUEUED", "CANCEL_QUEUED", "EDIT_QUEUED")
_OVER = ("CANCELLED", "EXPIRED", "FAILED")
_UNENDING = "the list of orders has no end. Ask for a shorter time, or raise venues.coinbase.pages_max"


class Listing:
    """The listings of one account, one after the other.

    Args:
        find: an instrument by its product id; None for what is not listed.
        clock, offset: our time now, and how far Coinbase's clock is ahead of it.
        lookback_s: how old an order may be whose end the first listing has to notice.
    """

    def __init__(
        self,
        account: str,
        pages: Pages,
        find: Callable[[str], Instrument | None],
        clock: Callable[[], datetime],
        offset: Callable[[], timedelta],
        lookback_s: float,
    ) -> None:
        self._account = account
        self._pages = pages
        self._find = find
        self._clock = clock
        self._offset = offset
        self._lookback_s = lookback_s
        self._open: frozenset[str] = frozenset()
        self._covered_until: datetime | None = None
        self._passed_over: set[str] = set()

    async def run(self, since: datetime) -> list[VenueOrder]:
        """The oldest first. Raises `VenueError` when any part failed: what was seen open stays remembered."""
        begun_at = self._clock()
        begin = since if self._covered_until is None else min(since, self._covered_until)
        begin_s = (begin + self._offset()).timestamp()
        seen: dict[str, Mapping[str, Any]] = {}
        await self._take(seen, order_status=["OPEN"])
        if self._covered_until is None:
            await self._first(seen, begin_s)
        await self._take(seen, start_date=start_text(begin_s))
        ended = await self._filled(begin_s) | self._open
        await self._fetch(seen, ended - seen.keys())
        orders = self._read(seen.values())
        self._open = frozenset(order.venue_order_id for order in orders if order.status is ExecutionStatus.OPEN)
        self._covered_until = begun_at
        return sorted(orders, key=lambda order: (order.created_at, order.venue_order_id))

    def order(self, told: Mapping[str, Any]) -> VenueOrder | None:
        """One order object in our words; None for one of a market that we do not list. Raises `VenueUnavailable`."""
        product = told.get("product_id")
        if told.get("product_type", "SPOT") not in ("SPOT", "", "UNKNOWN_PRODUCT_TYPE"):
            return None  # futures are no business of ours
        instrument = self._find(product) if isinstance(product, str) else None
        if instrument is None:
            if str(product) not in self._passed_over:
                self._passed_over.add(str(product))
                logger.warning("%s: orders of %.40r are left out: Coinbase does not list it", self._account, product)
            return None
        return read_order(told, instrument, self._clock(), self._offset())

    async def _take(self, seen: dict[str, Mapping[str, Any]], **filters: Any) -> None:
        """Read one list to its end. What is read later is newer and wins."""
        async for page in self._pages.read("list_orders", "orders", f"{self._account}: {_UNENDING}", **filters):
            for order in page:
                order_id = order.get("order_id")
                if not isinstance(order_id, str) or not is_order_id(order_id):
                    raise VenueUnavailable("Coinbase lists an order without its id: the list proves nothing")
                seen[order_id] = order

    async def _first(self, seen: dict[str, Mapping[str, Any]], begin_s: float) -> None:
        over: dict[str, Mapping[str, Any]] = {}
        try:
            await self._take(seen, order_status=list(_NOT_YET_OPEN))
            await self._take(over, order_status=list(_OVER), start_date=start_text(begin_s - self._lookback_s))
        except (VenueUnavailable, CredentialsRejected):
            raise
        except VenueError as error:
            # A filter that is refused, or more orders than we are ready to read. What an account did long before the
            # start must not keep it from being listed at all.
            logger.warning("%s: older orders that ended meanwhile may go unnoticed: %s", self._account, error)
        for order_id, order in over.items():
            if _updated_s(order) >= begin_s - OVERLAP_S:
                seen.setdefault(order_id, order)

    async def _filled(self, begin_s: float) -> frozenset[str]:
        """The ids of orders that filled since."""
        ids: set[str] = set()
        start = start_text(begin_s)
        unending = f"{self._account}: {_UNENDING}"
        async for page in self._pages.read("get_fills", "fills", unending, start_sequence_timestamp=start):
            for fill in page:
                order_id = fill.get("order_id")
                if not isinstance(order_id, str) or not is_order_id(order_id):
                    raise VenueUnavailable("Coinbase's list of fills has one without an order id: it proves nothing")
                ids.add(order_id)
        return frozenset(ids)

    async def _fetch(self, seen: dict[str, Mapping[str, Any]], ids: Collection[str]) -> None:
        """Read these orders by id. One that is not shown is asked for alone, which tells a filter from a hole."""
        wanted = sorted(ids)
        for at in range(0, len(wanted), _IDS_MAX):
            await self._take(seen, order_ids=wanted[at : at + _IDS_MAX])
        for order_id in wanted:
            if order_id not in seen:
                self._open -= {order_id}  # should it never be shown again, the next listing goes on without it
                told = (await self._pages.call("get_order", order_id=order_id)).get("order")
                if not isinstance(told, dict) or told.get("order_id") != order_id:
                    raise VenueUnavailable(f"Coinbase's answer about order {order_id} is about something else")
                seen[order_id] = told

    def _read(self, told: Collection[Mapping[str, Any]]) -> list[VenueOrder]:
        return [order for order in map(self.order, told) if order is not None]


def _updated_s(order: Mapping[str, Any]) -> float:
    """When an order last changed, as far as it is told; unix seconds on the venue's clock."""
    moments = [0.0]
    for field in ("last_update_time", "last_fill_time"):
        try:
            moments.append(datetime.fromisoformat(order[field]).timestamp())
        except (KeyError, TypeError, ValueError):
            continue
    return max(moments)
