"""Finding an order at OKX by its client order id when the answer to sending it was lost.

OKX keeps a `clOrdId` unique among pending orders only: once a market order has filled, a second request with the same
id fills once more. So nothing may be sent again before this look-up has found nothing, after the order's `expTime`.

What can be found: an order that has filled in whole or in part, for three months; an open one; a cancelled one without
a fill, for two hours. After those two hours such an order looks as if it had never been: nothing was bought or sold by
it, so taking it for absent is harmless.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.venue import Execution, OrderTicket
from copytrade.venues.okx.envelope import OK
from copytrade.venues.okx.errors import NOT_THERE
from copytrade.venues.okx.orders import is_order_id, read_execution, rows
from copytrade.venues.okx.paging import Ask, Lists, Refused, milliseconds, older_than

logger = logging.getLogger(__name__)

# Times are OKX's own: look a little further back.
OVERLAP = timedelta(seconds=60)
# How far the quick lists reach back, less an hour for the time a look-up takes; beyond it the slower ones are read.
ORDERS_REACH = timedelta(days=7) - timedelta(hours=1)
FILLS_REACH = timedelta(days=3) - timedelta(hours=1)


class Lookup:
    """One full pass for one order. `since` and `now` are on OKX's clock."""

    def __init__(
        self,
        ask: Ask,
        refused: Refused,
        ticket: OrderTicket,
        since: datetime,
        now: datetime,
        *,
        pages_max: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._ask = ask
        self._refused = refused
        self._ticket = ticket
        self._inst_id = ticket.instrument.venue_symbol
        self._since = since - OVERLAP
        self._age = now - self._since
        self._lists = Lists(ticket.account, ask, refused, pages_max)
        self._clock = clock
        self._seen: dict[str, Mapping[str, Any]] = {}

    async def run(self) -> Execution | None:
        """The order by its id, or else open orders first and finished ones after: one that ends in between is seen.

        Raises `VenueError` when any part failed or had no end: a pass with a hole in it proves nothing.
        """
        one = await self._one({"clOrdId": self._ticket.order_id})
        if one is not None:
            self._take([one])
            if found := self._chosen():
                return found
        async for page in self._pages("get_order_list", "ordId"):
            self._take(page)
        history = "get_orders_history" if self._age < ORDERS_REACH else "get_orders_history_archive"
        async for page in self._pages(history, "ordId", begin=self._begin):
            self._take(page)
        if found := self._chosen():
            return found
        missing: set[str] = set()
        if self._age < FILLS_REACH:
            trades = self._pages("get_fills", "billId", begin=self._begin)
        else:
            trades = self._pages("get_fills_history", "billId")  # the SDK gives it no `begin`
        async for page in trades:
            missing.update(self._orders_of(page))
        for order_id in sorted(missing):
            order = await self._one({"ordId": order_id})
            if order is None:
                raise VenueUnavailable(f"OKX shows a trade of order {order_id} and not the order: it proves nothing")
            self._take([order])
        return self._chosen()

    async def _one(self, by: Mapping[str, str]) -> Mapping[str, Any] | None:
        envelope = await self._ask("get_order", {"instId": self._inst_id, **by})
        if envelope.code in NOT_THERE:
            return None
        if envelope.code != OK:
            raise self._refused("get_order", envelope.code, envelope.message)
        found = rows(envelope.data, "orders")
        if len(found) != 1:
            raise VenueUnavailable(f"OKX answers {len(found)} orders where one was asked for: it proves nothing")
        return found[0]

    def _pages(self, call: str, id_field: str, **more: str) -> AsyncIterator[list[Mapping[str, Any]]]:
        fields = {"instType": "SPOT", "instId": self._inst_id, **more}
        return self._lists.pages(call, id_field, fields, older_than(self._since, "ts"))

    @property
    def _begin(self) -> str:
        return str(milliseconds(self._since))

    def _take(self, orders: list[Mapping[str, Any]]) -> None:
        # Whether a filter was applied is up to the venue, so the order's own id decides. The later answer wins.
        for order in orders:
            if not is_order_id(order.get("ordId")) or not isinstance(order.get("clOrdId"), str):
                raise VenueUnavailable("OKX lists an order without its ids: it proves nothing")
            if order["clOrdId"] == self._ticket.order_id:
                self._seen[order["ordId"]] = order

    def _orders_of(self, trades: list[Mapping[str, Any]]) -> set[str]:
        found = set()
        for trade in trades:
            if not is_order_id(trade.get("ordId")):
                raise VenueUnavailable("OKX lists a trade without its order's id: it proves nothing")
            if trade.get("clOrdId") == self._ticket.order_id:
                found.add(trade["ordId"])
        return found

    def _chosen(self) -> Execution | None:
        found = [read_execution(order, self._ticket.instrument, self._clock()) for order in self._seen.values()]
        if len(found) > 1:
            logger.error(
                "%s: %d orders at OKX carry the one id %s: %s. One of them is a double: check the account by hand",
                self._ticket.account, len(found), self._ticket.order_id, ", ".join(self._seen),
            )  # fmt: skip
        return max(found, key=lambda each: each.quantity.value, default=None)
