"""What the messages of OKX's streams say about orders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from copytrade.domain.errors import VenueError, VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.venue import VenueOrder
from copytrade.venues.okx.algos import NotFollowed, as_order, combined, read_algo
from copytrade.venues.okx.following import Following
from copytrade.venues.okx.orders import is_order_id, read_order
from copytrade.venues.okx.stream import ALGOS

logger = logging.getLogger(__name__)

Said = tuple[VenueOrder | None, ...]
LOOK: Said = (None,)  # something changed that this does not tell: whoever reads should look for themselves


class Events:
    """Reads the entries of one account's streams. An ordinary order's has all totals; a waiting one's has none, so
    once it has been triggered its orders are asked for."""

    def __init__(
        self,
        account: str,
        following: Following,
        find: Callable[[str], Instrument | None],
        clock: Callable[[], datetime],
    ) -> None:
        self._account = account
        self._following = following
        self._find = find
        self._clock = clock
        self._told: set[str] = set()

    async def read(self, channel: str, row: Mapping[str, Any]) -> Said:
        """Orders, None to look for oneself, or nothing. Raises `VenueUnavailable` for what is no order."""
        inst_id = row.get("instId")
        if not isinstance(inst_id, str):
            raise VenueUnavailable(f"{self._account}: OKX's stream tells of an order without its market")
        instrument = self._find(inst_id)
        if instrument is None:
            if inst_id not in self._told:
                self._told.add(inst_id)
                logger.warning("%s: OKX tells of orders of %.40r, which it does not list", self._account, inst_id)
            return ()
        if channel == ALGOS:
            return await self._waiting(row, instrument)
        order = read_order(row, instrument, self._clock())
        algo_id = row.get("algoId")
        if not is_order_id(algo_id):
            return (order,)
        return await self._followed(inst_id, str(algo_id), otherwise=(order,))

    async def _waiting(self, row: Mapping[str, Any], instrument: Instrument) -> Said:
        try:
            algo = read_algo(row, instrument)
        except NotFollowed:
            return ()
        if not algo.placed and (algo.waits or algo.ended_alone):
            return (as_order(algo, combined(algo, (), self._clock())),)
        return await self._followed(instrument.venue_symbol, algo.algo_id, otherwise=())

    async def _followed(self, inst_id: str, algo_id: str, *, otherwise: Said) -> Said:
        try:
            return (await self._following.order(inst_id, algo_id),)
        except NotFollowed:
            return otherwise
        except VenueError as error:
            logger.warning("%s: an order that was triggered could not be read: %s", self._account, error)
            return LOOK
