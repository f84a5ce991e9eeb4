"""Every order of an account, kept up to date with few requests.

Alpaca lists orders by when they were submitted, and by nothing else: an order that was placed last month and ended a
minute ago is in no list of the last hour. So the orders of the past are read once, as far back as an open one can be
from, and what was open then is watched from there on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from copytrade.domain.errors import VenueUnavailable
from copytrade.venues.alpaca.clock import read_time
from copytrade.venues.alpaca.groups import Read, exits, gather, head, is_list, legs_of, members
from copytrade.venues.alpaca.lookup import ORDERS, ORDERS_PAGE, OVERLAP, time_of, written
from copytrade.venues.alpaca.orders import Group, Order, is_open, orders_in

logger = logging.getLogger(__name__)

# docs.alpaca.markets, "Order aging": what is good till cancelled ends 90 days after it was created.
OLDEST_OPEN = timedelta(days=90)
# Callers that look back differently far share what is known, if they are no further apart than this.
KEPT_FOR = timedelta(hours=1)
_TICK = timedelta(milliseconds=1)
_MOVING = ("status", "filled_qty", "qty", "limit_price", "stop_price", "replaced_by")
_ENDS = ("filled_at", "canceled_at", "expired_at", "failed_at", "replaced_at")

Call = Callable[[str, Mapping[str, str]], Awaitable[Any]]
"""A read by path and query. Raises `VenueError`."""


class OrderHistory:
    """The orders of one account. Times are on the venue's clock.

    Args:
        call, read: lists, and single orders with their legs.
        now: the venue's time.
        pages_max: how many pages of 500 orders are read at most. Beyond, an order that is older than all of them and
            ended since is not told of; those that are open are, however old.
    """

    def __init__(self, call: Call, read: Read, now: Callable[[], datetime], pages_max: int) -> None:
        self._call = call
        self._read = read
        self._now = now
        self._pages_max = pages_max
        self._orders: dict[str, Order] = {}
        self._covered_from: datetime | None = None  # every order that was open then, or came later, is known
        self._read_until: datetime | None = None
        self._busy = asyncio.Lock()

    async def groups(self, since: datetime) -> list[Group]:
        """What is open, or was placed or ended at `since` or later. Raises `VenueError`."""
        async with self._busy:
            began = self._now()
            if self._covered_from is None or self._read_until is None or since < self._covered_from:
                known: dict[str, Order] = {}
                await self._pages(known, {"status": "all", "nested": "true"}, since - OLDEST_OPEN)
                covered_from = since
            else:
                known = dict(self._orders)
                await self._pages(known, {"status": "all", "nested": "true"}, self._read_until - OVERLAP)
                covered_from = max(self._covered_from, since - KEPT_FOR)
            await self._refresh(known)
            groups = await self._grouped(known)
            # Only now, when nothing failed: what was half read counts as not read.
            self._orders = self._worth_keeping(known, groups, covered_from)
            self._covered_from, self._read_until = covered_from, began
        return [group for group in groups if _reaches(group, since)]

    async def _pages(self, found: dict[str, Order], query: Mapping[str, str], after: datetime | None) -> None:
        """Orders submitted after a moment into `found`, from the newest back. New ones that come meanwhile are at the
        top, and for the next time."""
        until: datetime | None = None
        seen: set[str] = set()
        for _ in range(self._pages_max):
            asked = {**query, "direction": "desc", "limit": str(ORDERS_PAGE)}
            if after is not None:
                asked["after"] = written(after)
            if until is not None:
                asked["until"] = written(until)
            page = orders_in(await self._call(ORDERS, asked), "orders")
            fresh = {_id(order): order for order in page if _id(order) not in seen}
            seen |= set(fresh)
            found |= fresh
            if len(page) < ORDERS_PAGE:
                return
            # A moment later, as several orders may share the last one's time.
            earlier = time_of(page[-1], "submitted_at") + _TICK
            if not fresh or (until is not None and earlier >= until):
                raise VenueUnavailable("more orders share one moment than Alpaca shows on a page: the list has a hole")
            until = earlier
        logger.warning(
            "an account at Alpaca has more than %d orders since %s: ends of older ones may go untold",
            self._pages_max * ORDERS_PAGE, "ever" if after is None else written(after),
        )  # fmt: skip

    async def _refresh(self, known: dict[str, Order]) -> None:
        """Bring what was open up to now: from the list of open orders, and one by one what is not in it any more."""
        opened: dict[str, Order] = {}
        await self._pages(opened, {"status": "open", "nested": "false"}, None)
        inner = {_id(leg) for order in known.values() for leg in legs_of(order)}
        for key, order in list(known.items()):
            if key in inner:
                del known[key]  # its list tells of it
            elif any(is_open(each) for each in (order, *legs_of(order))):
                if not legs_of(order) and not is_list(order) and key in opened:
                    known[key] = opened[key]
                elif not _unchanged(order, opened):
                    known[key] = await self._read(key)
        for key, order in opened.items():
            if key not in known and key not in inner:
                known[key] = order  # older than what was read back

    async def _grouped(self, known: dict[str, Order]) -> list[Group]:
        async def look(order_id: str) -> Order:
            if order_id not in known:
                known[order_id] = await self._read(order_id)
            return known[order_id]

        groups: dict[str, Group] = {}
        inner = {_id(leg) for order in known.values() for leg in legs_of(order)}
        for order in list(known.values()):
            first = await head(order, look)
            if _id(first) in groups or _id(first) in inner:  # a leg that was replaced is its list's
                continue
            groups[_id(first)] = group = await gather(first, look)
            if is_list(first) and (legs := await exits(group.last, look)) is not None:
                groups[_id(legs.chain[0])] = legs
        return list(groups.values())

    def _worth_keeping(
        self, known: dict[str, Order], groups: list[Group], covered_from: datetime
    ) -> dict[str, Order]:
        kept = {_id(order) for group in groups if _reaches(group, covered_from) for order in members(group)}
        return {
            key: order
            for key, order in known.items()
            if key in kept or any(_id(leg) in kept for leg in legs_of(order))
        }


def _unchanged(order: Order, opened: Mapping[str, Order]) -> bool:
    """Whether the open orders of a list are as they were; what is held may not count as open."""
    for each in (order, *legs_of(order)):
        now = opened.get(_id(each))
        if is_open(each) and now is None and each.get("status") != "held":
            return False
        if now is not None and any(now.get(field) != each.get(field) for field in _MOVING):
            return False
    return is_open(order) or any(_id(leg) in opened for leg in legs_of(order))


def _reaches(group: Group, since: datetime) -> bool:
    """Whether a group is open, or was placed or ended at `since` or later."""
    orders = list(members(group))
    if any(is_open(order) for order in orders) or time_of(group.chain[0], "submitted_at") >= since:
        return True
    return any(_ended_at(order) >= since for order in orders)


def _ended_at(order: Order) -> datetime:
    try:
        ends = [read_time(order[field]) for field in _ENDS if order.get(field) is not None]
        return max(ends) if ends else read_time(order.get("updated_at"))
    except ValueError as error:
        raise VenueUnavailable(f"Alpaca lists an order whose end cannot be read ({error})") from None


def _id(order: Order) -> str:
    order_id = order.get("id")
    if not isinstance(order_id, str) or not 0 < len(order_id) <= 64:
        raise VenueUnavailable("Alpaca lists an order without an id: its list cannot be used")
    return order_id
