"""Orders that wait for a price, asked for one by one: read, cancelled, looked up, and followed once triggered."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.venue import Execution, ExecutionStatus, OrderTicket, VenueOrder
from copytrade.venues.okx.algos import ENDED, Algo, algo_fields, as_order, combined, read_algo
from copytrade.venues.okx.envelope import OK
from copytrade.venues.okx.errors import NOT_THERE
from copytrade.venues.okx.lookup import OVERLAP
from copytrade.venues.okx.orders import is_order_id, rows
from copytrade.venues.okx.paging import Ask, Lists, Refused, older_than

logger = logging.getLogger(__name__)


class Placed(Protocol):
    """How far an ordinary order of `instrument` has come, or `VenueError`."""

    def __call__(self, instrument: Instrument, order_id: str) -> Awaitable[Execution]: ...


class Following:
    """The waiting orders of one account. `listed` gives the instrument of an `instId`."""

    def __init__(
        self,
        ask: Ask,
        refused: Refused,
        lists: Lists,
        placed: Placed,
        listed: Callable[[str], Awaitable[Instrument]],
        clock: Callable[[], datetime],
    ) -> None:
        self._ask = ask
        self._refused = refused
        self._lists = lists
        self._placed = placed
        self._listed = listed
        self._clock = clock

    async def algo(self, instrument: Instrument, **by: str) -> Algo | None:
        """One by `algoId` or `algoClOrdId`, None when OKX does not show it. Raises `VenueError`."""
        envelope = await self._ask("get_algo_order_details", by)
        if envelope.code in NOT_THERE or (envelope.code == OK and not envelope.data):
            return None
        if envelope.code != OK:
            raise self._refused("get_algo_order_details", envelope.code, envelope.message)
        found = rows(envelope.data, "waiting orders")
        # Whether the filter was applied is up to the venue, so the order's own ids decide.
        if len(found) != 1 or any(found[0].get(field) != value for field, value in by.items()):
            raise VenueUnavailable("OKX's answer about a waiting order is about others: it proves nothing")
        return read_algo(found[0], instrument)

    async def named(self, inst_id: str, algo_id: str) -> Algo:
        """One that is known to have been there. Raises `VenueError`.

        Unlike an ordinary order without a fill, a cancelled one stays to be seen for three months.
        """
        instrument = await self._listed(inst_id)
        algo = await self.algo(instrument, algoId=algo_id)
        if algo is None:
            raise VenueUnavailable(
                f"OKX does not show the waiting order {inst_id}:{algo_id}; it is asked again later. If that goes on, "
                "look the order up by hand at okx.com"
            )
        return algo

    async def execution(self, algo: Algo) -> Execution:
        """How far it has come, with the orders it became. Raises `VenueError`."""
        placed = [await self._placed(algo.instrument, order_id) for order_id in algo.placed]
        return combined(algo, placed, self._clock())

    async def order(self, inst_id: str, algo_id: str) -> VenueOrder:
        """Its list entry as of now. Raises `VenueError`."""
        algo = await self.named(inst_id, algo_id)
        return as_order(algo, await self.execution(algo))

    async def open_orders(self, inst_id: str, algo_id: str) -> list[str]:
        """Ids of the ordinary orders that it became and that are still open. Raises `VenueError`."""
        algo = await self.named(inst_id, algo_id)
        if not algo.placed and not algo.ended_alone:
            raise VenueUnavailable(f"OKX is just placing the order of {algo.name}; cancel it again in a moment")
        return [
            order_id
            for order_id in algo.placed
            if (await self._placed(algo.instrument, order_id)).status is ExecutionStatus.OPEN
        ]

    async def find(self, ticket: OrderTicket, since: datetime) -> Execution | None:
        """One full pass for `ticket.order_id`: by the id, then the waiting ones, then those that are over.

        `since` is on OKX's clock. Raises `VenueError` when any part failed: a pass with a hole proves nothing.
        """
        instrument, client_id = ticket.instrument, ticket.order_id
        algo = await self.algo(instrument, algoClOrdId=client_id)
        if algo is not None:
            return await self.execution(algo)
        order_type = algo_fields(ticket)["ordType"]
        about = {"ordType": order_type, "instType": "SPOT", "instId": instrument.venue_symbol}
        found: dict[str, Mapping[str, Any]] = {}
        await self._search("order_algos_list", about, client_id, since, found)
        for state in ENDED:
            await self._search("order_algos_history", about | {"state": state}, client_id, since, found)
        if len(found) > 1:
            logger.error(
                "%s: %d waiting orders at OKX carry the one id %s: %s. One of them is a double: check by hand",
                ticket.account, len(found), client_id, ", ".join(found),
            )  # fmt: skip
        executions = [await self.execution(read_algo(row, instrument)) for row in found.values()]
        return max(executions, key=lambda each: each.quantity.value, default=None)

    async def _search(
        self, call: str, about: Mapping[str, str], client_id: str, since: datetime, found: dict[str, Mapping[str, Any]]
    ) -> None:
        async for page in self._lists.pages(call, "algoId", about, older_than(since - OVERLAP, "cTime")):
            for row in page:
                if not is_order_id(row.get("algoId")) or not isinstance(row.get("algoClOrdId"), str):
                    raise VenueUnavailable("OKX lists a waiting order without its ids: it proves nothing")
                if row["algoClOrdId"] == client_id:
                    found[row["algoId"]] = row
