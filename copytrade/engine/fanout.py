"""The fan-out: one signal becomes every follower's copy. Signals are answered one after the other, in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from copytrade.copying.plan import plan
from copytrade.copying.rules import FollowerBook
from copytrade.domain.account import venue_of
from copytrade.domain.copy import Approved, Decision, Skipped
from copytrade.domain.events import CopiesPlanned
from copytrade.domain.instrument import Instrument
from copytrade.domain.order import Effect, Role
from copytrade.domain.signal import Signal
from copytrade.engine.lanes import Lanes
from copytrade.engine.sending import Work
from copytrade.engine.services import Services
from copytrade.engine.tracker import Tracker

Planned = Callable[[Signal, tuple[Decision, ...]], None]


class FanOut:
    """Plans each signal, makes the plans durable in one transaction, and hands the copies to their lanes."""

    def __init__(self, services: Services, lanes: Lanes, tracker: Tracker, planned: Planned) -> None:
        self._services = services
        self._lanes = lanes
        self._tracker = tracker
        self._planned = planned
        self._signals: asyncio.Queue[Signal] = asyncio.Queue()

    def emit(self, signal: Signal) -> None:
        """A signal that has been appended to the ledger; it is answered as soon as those before it are."""
        self._tracker.expect(signal.signal_id, ["the plan"])
        self._signals.put_nowait(signal)

    async def run(self) -> None:
        """Answer signals until cancelled, or until the ledger fails."""
        while True:
            await self.answer(await self._signals.get())

    async def answer(self, signal: Signal) -> tuple[Decision, ...]:
        """Answer one signal for every follower. Raises `LedgerError`, in which case nothing was sent."""
        services = self._services
        services.books.price_seen(signal.symbol, signal.price)
        now = services.clock()
        copies = plan(signal, self._books(signal), services.rules, now)
        # The ledger commits in order, so this commit carries the signal with it if that is still on its way.
        durable = services.ledger.append([CopiesPlanned(signal.signal_id, copies, now)], hurry=True)
        to_send = [copy for copy in copies if not isinstance(copy, Skipped)]
        self._tracker.expect(signal.signal_id, [copy.order_id for copy in to_send])
        for copy in to_send:
            if isinstance(copy, Approved) and copy.effect is Effect.ENTRY:
                services.books.reserve(copy.account, copy.order_id, copy.quantity * copy.price)
        await durable
        for copy in to_send:
            approved = copy if isinstance(copy, Approved) else None
            self._lanes.submit(
                Work(copy.order_id, copy.account, copy.symbol, copy.effect, Role.COPY, signal, approved)
            )
        self._planned(signal, copies)
        return copies

    def _books(self, signal: Signal) -> list[FollowerBook]:
        services = self._services
        unsettled = services.books.unsettled()
        instruments: dict[str, Instrument | None] = {}
        books = []
        for account, member in services.roster.followers.items():
            venue = venue_of(account)
            if venue not in instruments:
                instruments[venue] = services.instrument(venue, signal.symbol)
            if member.left and not services.ledger.state.position(account, signal.symbol):
                continue
            key = (account, signal.symbol)
            books.append(services.books.book(member, signal.symbol, instruments[venue], key in unsettled))
        return books
