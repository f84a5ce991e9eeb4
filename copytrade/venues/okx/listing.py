"""Every order of an account, whoever placed it: ordinary ones, and those that wait for a price.

OKX's lists go by when an order was placed, and this asks for what ended lately too. Finished ordinary orders are all
listed for a week after their end (`orders-history`), but for cancelled ones without a fill, which are forgotten after
two hours. Lists are read as far back as a week before the moment asked for. What is older and ends is known here from
the reading before, where it was open, and is asked for by its id.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from copytrade.domain.instrument import Instrument
from copytrade.domain.venue import ExecutionStatus, VenueOrder
from copytrade.venues.okx.algos import ENDED, TYPES, Algo, NotFollowed, as_order, combined, read_algo
from copytrade.venues.okx.following import Following, Placed
from copytrade.venues.okx.lookup import ORDERS_REACH, OVERLAP
from copytrade.venues.okx.orders import is_order_id, read_order, split_id
from copytrade.venues.okx.paging import Lists, older_than

logger = logging.getLogger(__name__)

# An order that is older than this when it ends is known from the reading before, or to whoever placed it.
RESTS_MAX = timedelta(days=7)
Find = Callable[[str], Instrument | None]
One = Callable[[Instrument, str], Awaitable[VenueOrder | None]]


class Listing:
    """Reads all orders of one account. `find` gives the instrument of an `instId`, `one` a single ordinary order."""

    def __init__(self, lists: Lists, following: Following, placed: Placed, one: One, find: Find) -> None:
        self._lists = lists
        self._following = following
        self._placed = placed
        self._one = one
        self._find = find
        self._open_before: dict[str, VenueOrder] = {}
        self._told: set[str] = set()

    async def read(self, since: datetime, now: datetime, at: datetime) -> Sequence[VenueOrder]:
        """What is open now, or was placed or ended at `since` or later, the oldest first. Raises `VenueError`.

        `since` and `now` are on OKX's clock, `at` is the time for the list. Open orders are read first: one that ends
        in between is then seen at its end.
        """
        since -= OVERLAP
        children: dict[str, list[VenueOrder]] = {}
        found = await self._ordinary(since, now, at, children)
        for algo in await self._waiting(since, children, found):
            order = await self._with_children(algo, children.get(algo.algo_id, []), at)
            found[order.venue_order_id] = order
        carried = await self._add_gone(found)
        self._open_before = carried | {name: order for name, order in found.items() if _is_open(order)}
        wanted = [each for each in found.values() if _is_open(each) or max(each.created_at, each.at) >= since]
        return sorted(wanted, key=lambda each: each.created_at)

    # -- inside ------------------------------------------------------------------------------------------------

    async def _ordinary(
        self, since: datetime, now: datetime, at: datetime, children: dict[str, list[VenueOrder]]
    ) -> dict[str, VenueOrder]:
        """Ordinary orders by name; those that a waiting one became go to `children`, by its id."""
        everything: dict[str, tuple[str, VenueOrder]] = {}
        history = "get_orders_history" if now - since < ORDERS_REACH else "get_orders_history_archive"
        for call in ("get_order_list", history):
            until = older_than(since - RESTS_MAX, "cTime")
            async for page in self._lists.pages(call, "ordId", {"instType": "SPOT"}, until):
                for row in page:
                    instrument = self._market(row)
                    if instrument is not None:
                        order = read_order(row, instrument, at)
                        everything[order.venue_order_id] = (str(row.get("algoId") or ""), order)
        found = {}
        for name, (algo_id, order) in everything.items():
            if is_order_id(algo_id):
                children.setdefault(algo_id, []).append(order)
            else:
                found[name] = order
        return found

    async def _waiting(
        self, since: datetime, children: Mapping[str, list[VenueOrder]], found: dict[str, VenueOrder]
    ) -> list[Algo]:
        """The waiting orders that matter: those that wait, ended at `since` or later, or became a listed order.

        Orders that came of one of a type which is not followed are added to `found`, each by itself.
        """
        algos: dict[str, Algo] = {}
        asked: list[tuple[str, dict[str, str]]] = [("order_algos_list", {"ordType": each}) for each in TYPES]
        asked += [("order_algos_history", {"ordType": each, "state": state}) for each in TYPES for state in ENDED]
        for call, fields in asked:
            until = older_than(since - RESTS_MAX, "cTime")
            async for page in self._lists.pages(call, "algoId", {"instType": "SPOT", **fields}, until):
                for row in page:
                    instrument = self._market(row)
                    if instrument is not None:
                        algo = read_algo(row, instrument)
                        algos[algo.algo_id] = algo
        kept = [
            algo
            for algo in algos.values()
            if algo.waits or algo.updated_at >= since or algo.algo_id in children or algo.name in self._open_before
        ]
        for algo_id, placed in children.items():
            if algo_id not in algos:  # too old for the lists, or of a type that is not asked for
                try:
                    kept.append(await self._following.named(split_id(placed[0].venue_order_id).inst_id, algo_id))
                except NotFollowed:
                    found.update({each.venue_order_id: each for each in placed})
        return kept

    async def _with_children(self, algo: Algo, known: Sequence[VenueOrder], at: datetime) -> VenueOrder:
        """The entry of a waiting order; what it became is asked for where no list has it."""
        placed = [each.execution for each in known]
        have = {split_id(each.venue_order_id).order_id for each in placed}
        missing = [order_id for order_id in algo.placed if order_id not in have]
        placed += [await self._placed(algo.instrument, order_id) for order_id in missing]
        execution = combined(algo, placed, at)
        if execution.status is not ExecutionStatus.OPEN and not missing:
            execution = combined(algo, placed, max([algo.updated_at, *(each.at for each in known)]))
        return as_order(algo, execution)

    async def _add_gone(self, found: dict[str, VenueOrder]) -> dict[str, VenueOrder]:
        """Add what was open at the last reading and is in no list now; returns what OKX does not show at all."""
        carried = {}
        for name in self._open_before.keys() - found.keys():
            inst_id, order_id, algo = split_id(name)
            instrument = self._find(inst_id)
            if instrument is None:
                continue
            order = await (self._following.order(inst_id, order_id) if algo else self._one(instrument, order_id))
            if order is None:
                carried[name] = self._open_before[name]
            else:
                found[name] = order
        return carried

    def _market(self, row: Mapping[str, Any]) -> Instrument | None:
        """The market of an entry; None for one that OKX does not list as a spot market, which is told once."""
        inst_id = str(row.get("instId"))
        instrument = self._find(inst_id)
        if instrument is None and inst_id not in self._told:
            self._told.add(inst_id)
            logger.warning("OKX lists orders of %.40r, which is none of its spot markets; they are left out", inst_id)
        return instrument


def _is_open(order: VenueOrder) -> bool:
    return order.status is ExecutionStatus.OPEN
