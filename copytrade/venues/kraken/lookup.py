"""Finding an order at Kraken by its client order id when the answer to sending it was lost.

Kraken keeps a `cl_ord_id` unique among open orders only, so a second request for an order that has filled would
fill once more: nothing may be sent again before this look-up has found nothing, after the order's deadline.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.money import ZERO, parse_decimal
from copytrade.domain.venue import Execution, OrderTicket
from copytrade.venues.kraken.orders import orders_in, read_execution
from copytrade.venues.kraken.pages import HISTORY_COST, OVERLAP_S, PAGE, QUERY_MAX, FirstCall, chunks, pages

logger = logging.getLogger(__name__)

class Lookup:
    """One full pass for one order. Times are the venue's, in seconds since 1970."""

    def __init__(
        self,
        call: FirstCall,
        ticket: OrderTicket,
        pair_key: str,
        since_unix_s: float,
        known: Collection[str],
        *,
        pages_max: int,
        clock: Callable[[], datetime],
    ) -> None:
        # The whole lane waits for what became of the order.
        self._call = functools.partial(call, first=True)
        self._ticket = ticket
        self._pairs = {pair_key, ticket.instrument.venue_symbol}
        self._since_s = since_unix_s
        self._start = str(math.floor(since_unix_s) - OVERLAP_S)
        self._known = known
        self._pages_max = pages_max
        self._clock = clock
        self._seen: dict[str, Mapping[str, Any]] = {}

    async def run(self) -> Execution | None:
        """Open orders first and closed ones after, so that an order that closes in between is seen once at least.

        Raises `VenueError` when any part failed or had no end: a pass with a hole in it proves nothing.
        """
        # Whole lists, not the filter by client id: whether that is complete at once is not documented, and the same
        # number of calls reads everything. A Starter key has fifteen calls, so each of them counts.
        self._take(orders_in(await self._call("OpenOrders", {}), "open"))
        if found := self._chosen():
            return found
        filtered = False
        async for page in self._pages("ClosedOrders", "closed"):
            self._take(page)
            if found := self._chosen():
                return found
            if len(page) == PAGE and not filtered:  # a busy account: the filter may spare the other pages
                filtered = True
                by_id = {"cl_ord_id": self._ticket.order_id, "start": self._start}
                self._take(orders_in(await self._call("ClosedOrders", by_id, cost=HISTORY_COST), "closed"))
                if found := self._chosen():
                    return found
        missing: set[str] = set()
        async for page in self._pages("TradesHistory", "trades"):
            missing.update(self._orders_of(page))
        for chunk in chunks(sorted(missing - self._seen.keys()), QUERY_MAX):
            found_orders = await self._call("QueryOrders", {"txid": ",".join(chunk)})
            self._take(orders_in({"orders": found_orders}, "orders"))
        return self._chosen() or self._by_shape()

    def _pages(self, method: str, part: str) -> AsyncGenerator[Mapping[str, Any], None]:
        no_end = (
            f"the look-up of order {self._ticket.order_id} of {self._ticket.account} has no end. "
            "Look the order up by hand at kraken.com"
        )
        return pages(self._call, method, part, {"start": self._start}, self._pages_max, no_end)

    def _take(self, orders: Mapping[str, Mapping[str, Any]]) -> None:
        # Whether a filter was applied is up to the venue, so the order's own id decides. The later answer wins.
        self._seen.update(orders)

    def _orders_of(self, trades: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
        for trade in trades.values():
            txid = trade.get("ordertxid")
            if not isinstance(txid, str):
                raise VenueUnavailable("Kraken's list of trades has one without an order id: it proves nothing")
            if trade.get("pair") in self._pairs and trade.get("type") == self._ticket.side and txid not in self._known:
                yield txid

    def _chosen(self) -> Execution | None:
        return self._best({id_: order for id_, order in self._seen.items() if self._is_ours(order)})

    def _is_ours(self, order: Mapping[str, Any]) -> bool:
        return bool(order.get("cl_ord_id") == self._ticket.order_id)

    def _by_shape(self) -> Execution | None:
        """When no order carries a client id at all, the one that looks like ours and is no other order of ours."""
        if not self._seen or any("cl_ord_id" in order for order in self._seen.values()):
            return None
        alike = {id_: order for id_, order in self._seen.items() if id_ not in self._known and self._looks_ours(order)}
        if alike:
            logger.warning(
                "%s: Kraken lists no client order ids; order %s is taken to be %s by its pair, side, volume and time",
                self._ticket.account, self._ticket.order_id, ", ".join(alike),
            )  # fmt: skip
        return self._best(alike)

    def _looks_ours(self, order: Mapping[str, Any]) -> bool:
        descr = order.get("descr")
        try:
            return (
                isinstance(descr, dict)
                and descr.get("pair") in self._pairs
                and descr.get("type") == self._ticket.side
                and parse_decimal(order["vol"]) == self._ticket.quantity.value
                and float(order["opentm"]) >= self._since_s
            )
        except (KeyError, TypeError, ValueError) as error:
            raise VenueUnavailable(f"Kraken lists an order that cannot be read: {error!r:.200}") from None

    def _best(self, orders: Mapping[str, Mapping[str, Any]]) -> Execution | None:
        if not orders:
            return None
        found = [read_execution(txid, order, self._clock()) for txid, order in orders.items()]
        if len(found) > 1:
            logger.error(
                "%s: %d orders at Kraken carry the one id %s: %s. One of them is a double: check the account by hand",
                self._ticket.account, len(found), self._ticket.order_id, ", ".join(orders),
            )  # fmt: skip
        return max(found, key=lambda each: each.quantity.value if each.quantity else ZERO)
