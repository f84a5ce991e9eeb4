"""Finding an order at Alpaca by its client order id when the answer to sending it was lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from copytrade.domain.errors import VenueError, VenueUnavailable
from copytrade.domain.venue import OrderTicket
from copytrade.venues.alpaca.clock import read_time
from copytrade.venues.alpaca.envelope import Answer, Problem
from copytrade.venues.alpaca.names import MarketNames
from copytrade.venues.alpaca.orders import orders_in

BY_CLIENT_ID = "/v2/orders:by_client_order_id"
ORDERS = "/v2/orders"
FILLS = "/v2/account/activities/FILL"
ORDERS_PAGE, FILLS_PAGE = 500, 100
# Alpaca filters by its own clock: look a little further back than ours says.
OVERLAP = timedelta(seconds=60)

Order = Mapping[str, Any]


class Ask(Protocol):
    """A signed read: the answer or the venue's error, or `VenueError`."""

    def __call__(
        self, method: str, path: str, query: Mapping[str, str] | None = None
    ) -> Awaitable[Answer | Problem]: ...


class Lookup:
    """One full pass for one order: by its client id, then every order, then every fill. `since` on the venue's clock.

    The first alone should do. The others are there because nothing says how soon an order is found by its client id
    after it was taken, and a list of orders may be complete sooner than an index, and the other way around.
    """

    def __init__(
        self,
        ask: Ask,
        refused: Callable[[str, Problem], VenueError],
        ticket: OrderTicket,
        since: datetime,
        known: Collection[str],
        names: MarketNames,
        *,
        pages_max: int,
    ) -> None:
        self._ask = ask
        self._refused = refused
        self._ticket = ticket
        self._since = (since - OVERLAP).astimezone(UTC)
        self._known = known
        self._names = names
        self._pages_max = pages_max
        self._seen: set[str] = set()

    async def run(self) -> Order | None:
        """The order's object, or None. Raises `VenueError` when any part failed or had no end: that proves nothing."""
        return await self._by_client_id() or await self._in_orders() or await self._in_fills()

    async def _by_client_id(self) -> Order | None:
        got = await self._ask("GET", BY_CLIENT_ID, {"client_order_id": self._ticket.order_id})
        if isinstance(got, Problem):
            if got.status == 404 and got.code // 10_000 == 4041:
                return None
            raise self._refused(f"GET {BY_CLIENT_ID}", got)
        (order,) = orders_in([got.body], "orders")
        # Whether the question was understood is up to the venue, so the order's own id decides.
        if not self._is_ours(order):
            raise VenueUnavailable(
                f"{self._ticket.account}: Alpaca answers about another order than {self._ticket.order_id}: it proves "
                "nothing"
            )
        return order

    async def _in_orders(self) -> Order | None:
        """Every order since, oldest first, so that new ones come at the end and none is missed between two pages."""
        after = self._since
        for _ in range(self._pages_max):
            query = {"status": "all", "direction": "asc", "limit": str(ORDERS_PAGE), "after": written(after)}
            page = orders_in(await self._call(ORDERS, query), "orders")
            for order in page:
                if self._is_ours(order):
                    return order
            fresh = {str(order.get("id")) for order in page} - self._seen
            self._seen |= fresh
            if len(page) < ORDERS_PAGE:
                return None
            # A moment earlier, as several orders may share the last one's time.
            later = time_of(page[-1], "submitted_at") - timedelta(milliseconds=1)
            if not fresh or later < after:
                break
            after = later
        raise self._without_end("orders")

    async def _in_fills(self) -> Order | None:
        """The orders of fills that look like ours and are in no list so far."""
        token: str | None = None
        for _ in range(self._pages_max):
            query = {"direction": "asc", "page_size": str(FILLS_PAGE), "after": written(self._since)}
            page = orders_in(
                await self._call(FILLS, query if token is None else {**query, "page_token": token}), "fills"
            )
            for order_id in self._strange_orders(page):
                order = await self._order(order_id)
                if self._is_ours(order):
                    return order
            if len(page) < FILLS_PAGE:
                return None
            last = page[-1].get("id")
            if not isinstance(last, str) or last == token:
                break
            token = last
        raise self._without_end("fills")

    def _strange_orders(self, fills: list[Order]) -> list[str]:
        found = []
        for fill in fills:
            order_id, symbol = fill.get("order_id"), fill.get("symbol")
            if not isinstance(order_id, str) or not isinstance(symbol, str):
                raise VenueUnavailable("Alpaca's list of fills has one without an order id: it proves nothing")
            listed = self._names.find(symbol)
            alike = fill.get("side") == self._ticket.side and listed in (None, self._ticket.instrument)
            if alike and order_id not in self._seen and order_id not in self._known:
                self._seen.add(order_id)
                found.append(order_id)
        return found

    async def _order(self, order_id: str) -> Order:
        (order,) = orders_in([await self._call(f"{ORDERS}/{order_id}", {"nested": "false"})], "orders")
        return order

    async def _call(self, path: str, query: Mapping[str, str]) -> Any:
        got = await self._ask("GET", path, query)
        if isinstance(got, Problem):
            raise self._refused(f"GET {path}", got)
        return got.body

    def _is_ours(self, order: Order) -> bool:
        return bool(order.get("client_order_id") == self._ticket.order_id)

    def _without_end(self, what: str) -> VenueError:
        return VenueError(
            f"{self._ticket.account}: the {what} since {written(self._since)} have no end: the look-up of order "
            f"{self._ticket.order_id} proves nothing. Look the order up by hand at alpaca.markets"
        )


def written(moment: datetime) -> str:
    """A time as Alpaca's filters take it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_of(order: Order, field: str) -> datetime:
    """A time of an order's. Raises `VenueUnavailable`."""
    try:
        return read_time(order.get(field))
    except ValueError as error:
        raise VenueUnavailable(f"Alpaca lists an order without a time ({error}): it proves nothing") from None
