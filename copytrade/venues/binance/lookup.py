"""Finding an order at Binance by its client order id when the answer to sending it was lost.

Binance keeps a client order id unique among open orders only, and takes it again once its order has filled: a second
request for a market order would trade a second time. So nothing may be sent again before this look-up has found
nothing, after the receive window of the first request, past which Binance refuses it even before its matching engine.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from copytrade.domain.errors import VenueError, VenueUnavailable
from copytrade.domain.venue import OrderTicket
from copytrade.venues.binance.envelope import Answer, Fault
from copytrade.venues.binance.options import ALL_ORDERS_WEIGHT, QUERY_ORDER_WEIGHT
from copytrade.venues.binance.orders import OrderView, read_order
from copytrade.venues.binance.signer import ALL_ORDERS, GET_ORDER

logger = logging.getLogger(__name__)

NO_SUCH_ORDER = -2013
PAGE = 1_000  # the longest that allOrders gives
# The list is filtered by the venue's clock and by when orders came in: look a little further back.
OVERLAP_MS = 60_000


class Ask(Protocol):
    """A signed read: its answer, or `VenueError`."""

    def __call__(
        self, call: str, fields: dict[str, str], weight: int, *, urgent: bool = False
    ) -> Awaitable[Answer | Fault]: ...


class Lookup:
    """One full pass for one order of the ticket's market, by its client id.

    `since_ms` is on the venue's clock, milliseconds since 1970.
    """

    def __init__(
        self,
        ask: Ask,
        refused: Callable[[str, Fault], VenueError],
        ticket: OrderTicket,
        since_ms: float,
        *,
        client_id: str,
        pages_max: int,
    ) -> None:
        self._ask = ask
        self._refused = refused
        self._ticket = ticket
        self._client_id = client_id
        self._symbol = ticket.instrument.venue_symbol
        self._start_ms = math.floor(since_ms) - OVERLAP_MS
        self._pages_max = pages_max

    async def run(self) -> OrderView | None:
        """By the client id first, then in the list of all orders, open ones included.

        The second look is for an index by client id that lags behind or is wrong. Raises `VenueError` when any part
        failed or had no end: a pass with a hole in it proves nothing.
        """
        fields = {"symbol": self._symbol, "origClientOrderId": self._client_id}
        answer = await self._ask(GET_ORDER, fields, QUERY_ORDER_WEIGHT, urgent=True)
        if isinstance(answer, Answer):
            order = read_order(answer.result)
            if self._is_ours(order):
                return order
        elif answer.code != NO_SUCH_ORDER:
            raise self._refused(GET_ORDER, answer)
        return await self._in_list()

    async def _in_list(self) -> OrderView | None:
        found: list[OrderView] = []
        fields = {"symbol": self._symbol, "startTime": str(self._start_ms), "limit": str(PAGE)}
        for _ in range(self._pages_max):
            page = await self._page(fields)
            found += [read_order(entry) for entry in page if entry["clientOrderId"] == self._client_id]
            if len(page) < PAGE:
                return self._best([order for order in found if self._is_ours(order)])
            fields = {"symbol": self._symbol, "orderId": str(page[-1]["orderId"] + 1), "limit": str(PAGE)}
        raise VenueError(
            f"{self._ticket.account}: more than {self._pages_max * PAGE} orders in {self._symbol}: the look-up of "
            f"order {self._ticket.order_id} has no end. Look the order up by hand at binance.com"
        )

    async def _page(self, fields: dict[str, str]) -> list[dict[str, Any]]:
        answer = await self._ask(ALL_ORDERS, fields, ALL_ORDERS_WEIGHT, urgent=True)
        if isinstance(answer, Fault):
            raise self._refused(ALL_ORDERS, answer)
        page = answer.result
        if not isinstance(page, list) or not all(_is_order(entry) for entry in page):
            raise VenueUnavailable("Binance's list of orders has something else in it: it proves nothing")
        return page

    def _is_ours(self, order: OrderView) -> bool:
        return order.client_id == self._client_id and order.symbol == self._symbol

    def _best(self, orders: list[OrderView]) -> OrderView | None:
        if len(orders) > 1:
            logger.error(
                "%s: %d orders at Binance carry the one id %s: %s. One of them is a double: check the account by hand",
                self._ticket.account, len(orders), self._client_id, ", ".join(each.reference for each in orders),
            )  # fmt: skip
        return max(orders, key=lambda order: order.executed, default=None)


def _is_order(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("clientOrderId"), str) and type(entry.get("orderId")) is int
