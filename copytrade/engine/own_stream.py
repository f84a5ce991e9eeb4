"""Hearing at once of what becomes of the master's resting orders: everybody's next step hangs on their end.

They are looked up in growing intervals anyhow (`fills.py`), and what is looked up is what counts. The venue's private
stream only says when to look. So it may break, lie or repeat itself: nothing is lost or done twice for that. It is
opened once an order rests. Where the master is watched for orders by hand, that stream does this as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from copytrade.domain.errors import CredentialsRejected, VenueError
from copytrade.domain.order import OrderState
from copytrade.domain.state import OrderRecord
from copytrade.engine.ports import AccountClient
from copytrade.engine.services import Services, log

_WAIT_S = 0.5  # for the first order that rests, or for the account to be connected
_AGAIN_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_REJECTED_S = 600.0  # a key that may not listen will not be allowed to soon; look-ups do without
# An order that fills in parts is told of each: one look-up is enough for all that come within so long.
_TOGETHER_S = 0.1


class OwnStream:
    """Follows the private stream of the master's account while it has, or has had, orders that rest."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._account = services.roster.master.terms.account
        self._due: set[str] = set()
        self.up = False

    async def run(self) -> None:
        """Listen until the service stops, opening the stream again whenever it breaks."""
        failures = 0
        while True:
            client = self._services.roster.master.client
            if client is None or not self._resting():
                await self._services.pause(_WAIT_S)
                continue
            rejected = False
            try:
                await self._listen(client)
            except VenueError as error:
                log.info("%s: the stream of its orders: %s", self._account, error)
                rejected = isinstance(error, CredentialsRejected)
            failures, self.up = 1 if self.up else failures + 1, False
            await self._services.pause(_REJECTED_S if rejected else _AGAIN_S[min(failures, len(_AGAIN_S)) - 1])

    async def _listen(self, client: AccountClient) -> None:
        changes = client.stream()
        try:
            async for order in changes:
                if order is None:  # it is up: what came before it was, only a look-up tells
                    self.up = True
                    self._look_soon({record.symbol for record in self._resting()})
                else:
                    self._look_soon({order.symbol})
        finally:
            if isinstance(changes, AsyncGenerator):
                await changes.aclose()

    def _look_soon(self, symbols: set[str]) -> None:
        """By instrument and not by id: a stop that triggers, or a bracket's leg, has another id at some venues."""
        if not self._due:
            asyncio.get_running_loop().call_later(_TOGETHER_S, self._look)
        self._due |= symbols

    def _look(self) -> None:
        due, self._due = self._due, set()
        for record in self._resting():
            if record.symbol in due:
                self._services.fills.look_at(record.order_id)

    def _resting(self) -> list[OrderRecord]:
        mine = self._services.ledger.state.orders.of(self._account)
        return [record for record in mine if record.state is OrderState.ACCEPTED and record.kind.rests]
