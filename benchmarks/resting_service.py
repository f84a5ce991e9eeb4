"""Ours, with orders that rest: one limit order for everybody, taken back; another one, amended.

Each fan-out is timed from the moment its signal is handed to the ledger until the venue has answered for the last
account and what was written of it is durable.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from benchmarks.contender import SYMBOL, serve
from benchmarks.service import RUN_TIMEOUT_S, Service, TimedLedger
from copytrade.domain.events import Event, SignalEmitted
from copytrade.domain.ids import signal_id
from copytrade.domain.money import Amount, Price
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.signal import SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import TradeRequest
from copytrade.engine.service import Wiring
from copytrade.ledger.group import Receipt
from copytrade.ledger.store import Ledger

_AWAY = Decimal("0.95")  # of the price: far enough that nothing fills


@dataclass(frozen=True)
class RestingSample:
    """One run, in seconds. `over_s`: until the ledger has the end of every copy that was taken back; `amend_s`: from
    the signal that the old order is gone until every copy of the new one is at the venue."""

    entry_s: float
    cancel_s: float
    over_s: float
    amend_s: float


class SignalTimes(TimedLedger):
    """Notes when each signal was handed over, by its id."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self.at: dict[str, float] = {}

    def append(self, events: Sequence[Event], *, hurry: bool = False) -> Receipt:
        if isinstance(events[-1], SignalEmitted):
            self.at[events[-1].signal.signal_id] = time.perf_counter()
        return super().append(events, hurry=hurry)


class RestingService(Service):
    """The same system as in the other measurements."""

    _ledger: SignalTimes

    async def run(self, number: int) -> RestingSample:  # type: ignore[override]
        entry_s, placed = await self._place(f"entry {number}")
        await self._rested(placed)
        cancel_s, over_s = await self._cancel(placed)
        await self.settle()
        _, placed = await self._place(f"to amend {number}")
        await self._rested(placed)
        amend_s, changed = await self._amend(placed)
        await self._rested(changed)
        await self._engine.changes.cancel(changed.order_id)
        await self.settle()
        return RestingSample(entry_s, cancel_s, over_s, amend_s)

    @property
    def _engine(self):  # type: ignore[no-untyped-def]
        assert self._system is not None
        return self._system.engine

    async def _place(self, name: str) -> tuple[float, OrderRecord]:
        await self._warm()
        limit = Price(Decimal(self._job.price) * _AWAY)
        request = TradeRequest(
            name, SYMBOL, Side.BUY, usd=Amount(Decimal(self.master_usd)), kind=OrderKind.LIMIT, limit=limit
        )
        record = await self._engine.desk.place(request)
        took_s = await self._answered(signal_id(record.order_id, SignalKind.PLACED))
        self._check(record, SignalKind.PLACED)
        return took_s, record

    async def _cancel(self, placed: OrderRecord) -> tuple[float, float]:
        await self._warm()
        signal = signal_id(placed.order_id, SignalKind.CANCELLED)
        await self._engine.changes.cancel(placed.order_id)
        took_s = await self._answered(signal)
        await self.settle()
        return took_s, time.perf_counter() - self._ledger.at[signal]

    async def _amend(self, placed: OrderRecord) -> tuple[float, OrderRecord]:
        await self._warm()
        assert placed.limit_price is not None
        changed = await self._engine.changes.amend(
            placed.order_id, limit=Price(placed.limit_price.value * Decimal("0.99"))
        )
        await self._answered(signal_id(changed.order_id, SignalKind.AMENDED))
        self._check(changed, SignalKind.AMENDED)
        gone = self._ledger.at[signal_id(placed.order_id, SignalKind.CANCELLED)]
        return time.perf_counter() - gone, changed

    async def _answered(self, signal: str) -> float:
        """Wait until the venue has answered for everybody; how long after the signal that was."""
        if not await self._engine.tracker.wait(signal, RUN_TIMEOUT_S):
            raise TimeoutError(f"{len(self._engine.tracker.pending(signal))} accounts have no answer")
        assert self._ledger.latest is not None
        await self._ledger.latest
        return time.perf_counter() - self._ledger.at[signal]

    def _check(self, record: OrderRecord, kind: SignalKind) -> None:
        """Every copy is at the venue, or the figures would be nobody's."""
        copies = self._ledger.copies_of(signal_id(record.order_id, kind))
        there = [copy for copy in copies if copy.state is OrderState.ACCEPTED]
        if len(there) != len(self._job.followers):
            why = sorted({f"{copy.state} {copy.reason} {copy.detail}" for copy in copies})
            raise RuntimeError(f"{len(there)} of {len(self._job.followers)} copies rest at the venue; {why[:5]}")

    async def _rested(self, record: OrderRecord) -> None:
        """Let what a fan-out leaves to do pass by: balances, and a first look at every order."""
        await asyncio.sleep(1.0)

    def _time_the_ledger(self, wiring: Wiring) -> Wiring:
        assert isinstance(wiring.ledger, Ledger)
        self._ledger = SignalTimes(wiring.ledger)
        return dataclasses.replace(wiring, ledger=self._ledger)


if __name__ == "__main__":
    serve(RestingService)
