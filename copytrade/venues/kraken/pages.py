"""Kraken's lists of what is over, page by page."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Mapping
from typing import Any, Protocol

from copytrade.domain.errors import VenueError
from copytrade.venues.kraken.orders import orders_in

# Kraken filters by its own clock and, for closed orders, by when they opened or closed: look a little further back.
OVERLAP_S = 60
PAGE = 50  # orders or trades a page (docs.kraken.com, ClosedOrders and TradesHistory)
QUERY_MAX = 50  # order ids in one QueryOrders
# Whether ClosedOrders counts as a history call (2 on the REST counter) is not documented; TradesHistory does.
HISTORY_COST = 2.0


class Call(Protocol):
    """A signed read: its result, or `VenueError`."""

    def __call__(self, method: str, fields: Mapping[str, str] | None = None, *, cost: float = 1) -> Awaitable[Any]: ...


class FirstCall(Call, Protocol):
    """One that can also go ahead of the others."""

    def __call__(
        self, method: str, fields: Mapping[str, str] | None = None, *, cost: float = 1, first: bool = False
    ) -> Awaitable[Any]: ...


async def pages(
    call: Call, method: str, part: str, fields: Mapping[str, str], pages_max: int, no_end: str
) -> AsyncGenerator[Mapping[str, Any], None]:
    """Page by page, the newest first. New entries push older ones down a page: a page may overlap the last, and none
    is missed. Raises `VenueError`, with `no_end` in its text when there are more than `pages_max`.
    """
    offset = 0
    for _ in range(pages_max):
        page = orders_in(await call(method, {**fields, "ofs": str(offset)}, cost=HISTORY_COST), part)
        yield page
        offset += len(page)
        if len(page) < PAGE:
            return
    raise VenueError(f"more than {offset} {part} since {fields.get('start', 'ever')}: {no_end}")


def chunks(items: list[str], size: int) -> list[list[str]]:
    """The items in lists of at most `size`."""
    return [items[at : at + size] for at in range(0, len(items), size)]
