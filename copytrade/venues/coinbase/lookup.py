"""Finding an order at Coinbase by its client order id when the answer to sending it was lost.

Coinbase has no look-up by client id, so the history is read page by page and matched here: orders in any state (the
filter for open ones leaves out those that are still pending), and then the fills, whose orders are fetched one by one
when the history did not show them.

Two things keep a second send safe once this has found nothing. The first request cannot be let in any more, since its
token has expired by then. And were it to show up all the same, it carries the same client order id: Coinbase
documents that it then creates nothing and returns the order that exists, so the second send is itself a look-up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.venue import Execution, OrderTicket
from copytrade.venues.coinbase.orders import is_order_id, read_execution
from copytrade.venues.coinbase.pages import Pages, start_text

logger = logging.getLogger(__name__)

# Orders of fills that the history did not show: a history that lags by more than this is no history.
FETCHED_MAX = 50


class Lookup:
    """One full pass for one order. `since_unix_s` is on the venue's clock."""

    def __init__(
        self,
        pages: Pages,
        ticket: OrderTicket,
        since_unix_s: float,
        known: Collection[str],
        clock: Callable[[], datetime],
    ) -> None:
        self._pages = pages
        self._ticket = ticket
        self._start = start_text(since_unix_s)
        self._known = known
        self._clock = clock
        self._seen: dict[str, Mapping[str, Any]] = {}

    async def run(self) -> Execution | None:
        """Raises `VenueError` when any part failed or had no end: a pass with a hole in it proves nothing."""
        unending = (
            f"the look-up of order {self._ticket.order_id} of {self._ticket.account} since {self._start} has no end. "
            "Look the order up by hand at coinbase.com"
        )
        async for page in self._pages.read("list_orders", "orders", unending, start_date=self._start):
            for order in page:
                self._take(order)
            if found := self._chosen():
                return found  # a double, if there were one, was sent within seconds of it: it is on the same page
        missing: dict[str, None] = {}
        begin = {"start_sequence_timestamp": self._start, "product_ids": [self._ticket.instrument.venue_symbol]}
        async for page in self._pages.read("get_fills", "fills", unending, **begin):
            for fill in page:
                order_id = fill.get("order_id")
                if not isinstance(order_id, str) or not is_order_id(order_id):
                    raise VenueUnavailable("Coinbase's list of fills has one without an order id: it proves nothing")
                if order_id not in self._seen and order_id not in self._known:
                    missing[order_id] = None
        if len(missing) > FETCHED_MAX:
            raise VenueUnavailable(f"{len(missing)} fills since {self._start} belong to orders that are not listed")
        for order_id in missing:
            self._take((await self._pages.call("get_order", order_id=order_id)).get("order"))
        return self._chosen()

    def _take(self, order: Any) -> None:
        if not isinstance(order, dict) or not isinstance(order.get("order_id"), str) or "client_order_id" not in order:
            raise VenueUnavailable("Coinbase lists an order without its ids: it proves nothing")
        self._seen[order["order_id"]] = order

    def _chosen(self) -> Execution | None:
        """Filters are up to the venue, so the order's own client id decides."""
        ours = [order for order in self._seen.values() if order["client_order_id"] == self._ticket.order_id]
        if not ours:
            return None
        found = [read_execution(order, self._clock()) for order in ours]
        if len(found) > 1:
            logger.error(
                "%s: %d orders at Coinbase carry the one id %s: %s. One of them is a double: check the account by hand",
                self._ticket.account, len(found), self._ticket.order_id,
                ", ".join(each.venue_order_id for each in found),
            )  # fmt: skip
        return max(found, key=lambda each: each.quantity.value)
