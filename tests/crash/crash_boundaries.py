"""The steps of a trade's life as boundaries in the engine's ports, and the process that kills itself at one of them.

Every wrapper hands its call on unchanged. Each boundary has a name; when the one that was asked for is reached, the
process notes it in a file and sends itself SIGKILL: nothing is flushed, closed or caught after that.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import AsyncGenerator, Awaitable, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from copytrade.domain.account import AccountId
from copytrade.domain.errors import LedgerError
from copytrade.domain.events import CancelAsked, Event, OrderExecuted, event_name
from copytrade.domain.instrument import Instrument
from copytrade.domain.order import OrderKind
from copytrade.domain.signal import Signal
from copytrade.domain.state import OrderRecord, State
from copytrade.domain.venue import Balances, Execution, KeyReport, OrderTicket, PlaceOutcome, Quote, VenueOrder
from copytrade.domain.watching import OrdersWatched
from copytrade.engine.ports import AccountClient, Gate, Ledger, Venue
from copytrade.engine.roster import AccountFactory
from copytrade.engine.service import Wiring


@dataclass(frozen=True, slots=True)
class KillPlan:
    """Die at the `nth` (from 1) boundary whose name contains `name`; with `after_ms`, that long after it."""

    nth: int
    name: str = ""
    after_ms: float = 0.0


class Killer:
    """Counts boundaries and ends the process at the planned one."""

    def __init__(self, plan: KillPlan | None, notes: Path) -> None:
        self._plan = plan
        self._notes = notes
        self._matched = 0
        self._lock = threading.Lock()
        self.passed: list[str] = []

    def boundary(self, name: str) -> None:
        """The process has come to this step."""
        self.passed.append(name)
        plan = self._plan
        if plan is None or plan.name not in name:
            return
        with self._lock:
            self._matched += 1
            due = self._matched == plan.nth
        if not due:
            return
        if plan.after_ms:
            timer = threading.Timer(plan.after_ms / 1000, self._die, [f"soon after {name}"])
            timer.daemon = True
            timer.start()
        else:
            self._die(name)

    def _die(self, name: str) -> None:
        note_kill(self._notes, name)
        os.kill(os.getpid(), signal.SIGKILL)


def note_kill(notes: Path, name: str) -> None:
    """Write down where a process was killed. One write call: whole or not there."""
    line = json.dumps({"at": name}) + "\n"
    descriptor = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


class BoundedLedger:
    """The ledger with boundaries before an append, after it was applied in memory, and once it is durable.

    Three controls that must be seen: with `forgetful` nobody writes down which copies are to be taken back, with
    `split` the end of a master's order and the signal of it are two transactions, and with `unmarked` nobody writes
    down since when the master is watched.
    """

    def __init__(
        self, inner: Ledger, killer: Killer, *, forgetful: bool = False, split: bool = False, unmarked: bool = False
    ) -> None:
        self._inner = inner
        self._unmarked = unmarked
        self._killer = killer
        self._forgetful = forgetful
        self._split = split
        self._watchers: set[asyncio.Task[None]] = set()

    @property
    def state(self) -> State:
        return self._inner.state

    @property
    def failed(self) -> LedgerError | None:
        return self._inner.failed

    def append(self, events: Sequence[Event], *, hurry: bool = False) -> Awaitable[None]:
        if self._forgetful and len(events) > 1:
            events = [event for event in events if not isinstance(event, CancelAsked)]
        if self._unmarked:
            events = [event for event in events if not isinstance(event, OrdersWatched)]
            if not events:
                return asyncio.ensure_future(asyncio.sleep(0))
        if self._split and len(events) > 1 and isinstance(events[0], OrderExecuted):
            self._append(events[:1], hurry=True)
            events = events[1:]
        return self._append(events, hurry=hurry)

    def _append(self, events: Sequence[Event], *, hurry: bool) -> Awaitable[None]:
        names = "+".join(event_name(event) for event in events)
        self._killer.boundary(f"ledger {names}: asked")
        receipt = self._inner.append(events, hurry=hurry)
        self._killer.boundary(f"ledger {names}: applied")
        # Watched even when the caller drops the receipt: durable and not yet acted on is a place to die at, too.
        watcher = asyncio.create_task(self._durable(receipt, names))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        return watcher

    async def _durable(self, receipt: Awaitable[None], names: str) -> None:
        await receipt
        self._killer.boundary(f"ledger {names}: durable")

    def find(self, order_id: str) -> OrderRecord | None:
        return self._inner.find(order_id)

    def copies_of(self, signal_id: str, *accounts: AccountId) -> Sequence[OrderRecord]:
        return self._inner.copies_of(signal_id, *accounts)

    def copies_in_parts(self, signal_id: str, limit: int) -> Iterator[Sequence[OrderRecord]]:
        return self._inner.copies_in_parts(signal_id, limit)

    def signals_of(self, family: str) -> Sequence[Signal]:
        return self._inner.signals_of(family)

    def family(self, family: str, *accounts: AccountId) -> Sequence[tuple[Signal, Sequence[OrderRecord]]]:
        return self._inner.family(family, *accounts)

    def history(
        self, account: AccountId, after: int, limit: int
    ) -> Sequence[tuple[int, Signal, OrderRecord | None, Sequence[OrderRecord]]]:
        return self._inner.history(account, after, limit)

    def was_served(self, account: AccountId) -> bool:
        return self._inner.was_served(account)

    def signal(self, signal_id: str) -> Signal | None:
        return self._inner.signal(signal_id)

    def venue_order_ids(self, account: AccountId, since: datetime) -> set[str]:
        return self._inner.venue_order_ids(account, since)

    def observe(self, balances: Mapping[AccountId, Balances]) -> None:
        self._inner.observe(balances)


class BoundedClient:
    """An account with boundaries around every call, and inside a send: at each last look and once bytes are out.

    With `blind` the first look-up of each order claims at once that it is not there: the control that must produce
    doubles, wherever a venue takes a client order id twice.
    """

    def __init__(self, inner: AccountClient, killer: Killer, blind: bool) -> None:
        self._inner = inner
        self._killer = killer
        self._blind = blind
        self._denied: set[str] = set()

    @property
    def account(self) -> AccountId:
        return self._inner.account

    @property
    def absence_wait_s(self) -> float:
        return 0.0 if self._blind else self._inner.absence_wait_s

    async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
        what = f"place {'master' if self.account.endswith(':master') else 'copy'} {ticket.side}"
        loop = asyncio.get_running_loop()
        looks = 0

        def bytes_out() -> None:
            self._killer.boundary(f"{what}: bytes out")

        def bounded_gate() -> None:
            nonlocal looks
            gate()
            looks += 1
            self._killer.boundary(f"{what}: last look {looks}")
            if looks > 1:
                # The connection is handed over for writing when this returns. aiohttp writes in the next turn of the
                # loop, so two turns from here the bytes are in the socket and no answer has been read yet.
                loop.call_soon(loop.call_soon, bytes_out)

        self._killer.boundary(f"{what}: asked")
        outcome = await self._inner.place(ticket, bounded_gate)
        self._killer.boundary(f"{what}: answered")
        return outcome

    async def find(self, ticket: OrderTicket, since: datetime, known: Collection[str]) -> Execution | None:
        self._killer.boundary("find: asked")
        if self._blind and ticket.order_id not in self._denied:
            self._denied.add(ticket.order_id)
            return None
        execution = await self._inner.find(ticket, since, known)
        self._killer.boundary(f"find: {'nothing' if execution is None else 'found'}")
        return execution

    async def execution(self, venue_order_id: str) -> Execution:
        self._killer.boundary("execution: asked")
        execution = await self._inner.execution(venue_order_id)
        self._killer.boundary("execution: answered")
        return execution

    async def cancel(self, venue_order_id: str) -> None:
        what = f"cancel {'master' if self.account.endswith(':master') else 'copy'}"
        self._killer.boundary(f"{what}: asked")
        await self._inner.cancel(venue_order_id)
        self._killer.boundary(f"{what}: answered")

    async def orders(self, since: datetime, markets: Collection[str] = ()) -> Sequence[VenueOrder]:
        self._killer.boundary("orders: asked")
        orders = await self._inner.orders(since, markets)
        self._killer.boundary("orders: answered")
        return orders

    async def stream(self) -> AsyncGenerator[VenueOrder | None, None]:
        self._killer.boundary("stream: asked")
        async with aclosing(self._inner.stream()) as changes:  # type: ignore[type-var]
            async for order in changes:
                self._killer.boundary(f"stream: {'up' if order is None else f'{order.kind} {order.status}'}")
                yield order

    async def balances(self) -> Balances:
        self._killer.boundary("balances: asked")
        balances = await self._inner.balances()
        self._killer.boundary("balances: answered")
        return balances

    async def check_key(self) -> KeyReport:
        self._killer.boundary("check_key: asked")
        report = await self._inner.check_key()
        self._killer.boundary("check_key: answered")
        return report

    def wait_s(self, ticket: OrderTicket) -> float:
        return self._inner.wait_s(ticket)

    async def close(self) -> None:
        await self._inner.close()


class BoundedVenue:
    """The public side of the venue with boundaries around its two calls."""

    def __init__(self, inner: Venue, killer: Killer) -> None:
        self._inner = inner
        self._killer = killer

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def currency(self) -> str:
        return self._inner.currency

    @property
    def refuses_opposites(self) -> bool:
        return self._inner.refuses_opposites

    def instrument(self, spelling: str) -> Instrument | None:
        return self._inner.instrument(spelling)

    def order_kinds(self, instrument: Instrument) -> frozenset[OrderKind]:
        return self._inner.order_kinds(instrument)

    async def load_instruments(self) -> int:
        self._killer.boundary("load_instruments: asked")
        count = await self._inner.load_instruments()
        self._killer.boundary("load_instruments: answered")
        return count

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        self._killer.boundary("quotes: asked")
        quotes = await self._inner.quotes(instruments)
        self._killer.boundary("quotes: answered")
        return quotes

    async def warm(self, connections: int) -> int:
        return await self._inner.warm(connections)

    async def close(self) -> None:
        await self._inner.close()


def with_boundaries(
    wiring: Wiring, killer: Killer, *, blind: bool = False, forgetful: bool = False, split: bool = False,
    unmarked: bool = False,
) -> Wiring:  # fmt: skip
    """The same wiring, with a boundary at every step that leaves the engine. The four flags are controls."""

    def bounded(factory: AccountFactory) -> AccountFactory:
        return lambda account: BoundedClient(factory(account), killer, blind)

    return replace(
        wiring,
        ledger=BoundedLedger(wiring.ledger, killer, forgetful=forgetful, split=split, unmarked=unmarked),
        venues={name: BoundedVenue(venue, killer) for name, venue in wiring.venues.items()},
        factories={name: bounded(factory) for name, factory in wiring.factories.items()},
    )
