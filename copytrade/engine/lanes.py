"""All lanes, made when first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from copytrade.domain.account import AccountId
from copytrade.engine.lane import Lane
from copytrade.engine.sending import Sender
from copytrade.engine.services import Services
from copytrade.engine.work import Work


class Lanes:
    """Finds the lane of an account."""

    def __init__(self, services: Services, sender: Sender) -> None:
        self._services = services
        self._sender = sender
        self._lanes: dict[AccountId, Lane] = {}

    def of(self, account: AccountId) -> Lane:
        lane = self._lanes.get(account)
        if lane is None:
            lane = self._lanes[account] = Lane(account, self._services, self._sender)
        return lane

    def submit(self, work: Work, *, recovered: bool = False) -> None:
        """Queue one order in its account's lane; a full lane never turns away what an earlier run had approved."""
        self.of(work.account).submit(work, recovered=recovered)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    async def close(self, timeout_s: float) -> None:
        await asyncio.gather(*(lane.close(timeout_s) for lane in self._lanes.values()))
