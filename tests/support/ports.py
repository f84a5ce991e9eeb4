"""Ports with something around them: what a test puts between the engine and a real account or a real ledger.

Everything passes through to the real part; a test overrides the one call that it watches or spoils.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from copytrade.domain.account import AccountId
from copytrade.domain.errors import LedgerError
from copytrade.domain.events import Event
from copytrade.domain.signal import Signal
from copytrade.domain.state import OrderRecord, State
from copytrade.domain.venue import Balances, Execution, KeyReport, OrderTicket, PlaceOutcome
from copytrade.engine.ports import AccountClient, Gate, Ledger
from copytrade.engine.service import Wiring


class ClientAround:
    """An account's client that hands every call on."""

    def __init__(self, inner: AccountClient) -> None:
        self.inner = inner

    @property
    def account(self) -> AccountId:
        return self.inner.account

    @property
    def absence_wait_s(self) -> float:
        return self.inner.absence_wait_s

    async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
        return await self.inner.place(ticket, gate)

    async def find(self, ticket: OrderTicket, since: datetime, known: Collection[str]) -> Execution | None:
        return await self.inner.find(ticket, since, known)

    async def execution(self, venue_order_id: str) -> Execution:
        return await self.inner.execution(venue_order_id)

    async def cancel(self, venue_order_id: str) -> None:
        await self.inner.cancel(venue_order_id)

    async def balances(self) -> Balances:
        return await self.inner.balances()

    async def check_key(self) -> KeyReport:
        return await self.inner.check_key()

    def wait_s(self, ticket: OrderTicket) -> float:
        return self.inner.wait_s(ticket)

    async def close(self) -> None:
        await self.inner.close()


def around_clients(make: Callable[[AccountClient], AccountClient]) -> Callable[[Wiring], Wiring]:
    """An `adjust` that puts `make` around every account's client."""

    def adjust(wiring: Wiring) -> Wiring:
        factory = wiring.factories["kraken"]
        return replace(wiring, factories={"kraken": lambda account: make(factory(account))})

    return adjust


class LedgerAround:
    """A ledger that hands every call on."""

    def __init__(self, inner: Ledger) -> None:
        self.inner = inner

    @property
    def state(self) -> State:
        return self.inner.state

    @property
    def failed(self) -> LedgerError | None:
        return self.inner.failed

    def append(self, events: Sequence[Event], *, hurry: bool = False) -> Awaitable[None]:
        return self.inner.append(events, hurry=hurry)

    def find(self, order_id: str) -> OrderRecord | None:
        return self.inner.find(order_id)

    def copies_of(self, signal_id: str, *accounts: AccountId) -> Sequence[OrderRecord]:
        return self.inner.copies_of(signal_id, *accounts)

    def copies_in_parts(self, signal_id: str, limit: int) -> Iterator[Sequence[OrderRecord]]:
        return self.inner.copies_in_parts(signal_id, limit)

    def signals_of(self, family: str) -> Sequence[Signal]:
        return self.inner.signals_of(family)

    def family(self, family: str, *accounts: AccountId) -> Sequence[tuple[Signal, Sequence[OrderRecord]]]:
        return self.inner.family(family, *accounts)

    def signal(self, signal_id: str) -> Signal | None:
        return self.inner.signal(signal_id)

    def venue_order_ids(self, account: AccountId, since: datetime) -> set[str]:
        return self.inner.venue_order_ids(account, since)

    def history(
        self, account: AccountId, after: int, limit: int
    ) -> Sequence[tuple[int, Signal, OrderRecord | None, Sequence[OrderRecord]]]:
        return self.inner.history(account, after, limit)

    def was_served(self, account: AccountId) -> bool:
        return self.inner.was_served(account)

    def observe(self, balances: Mapping[AccountId, Balances]) -> None:
        self.inner.observe(balances)
