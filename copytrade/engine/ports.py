"""What the engine needs from the world, in its own words. Ledger and venues fit these without importing them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from copytrade.domain.account import AccountId
from copytrade.domain.errors import LedgerError
from copytrade.domain.events import Event
from copytrade.domain.instrument import Instrument
from copytrade.domain.order import OrderKind
from copytrade.domain.signal import Signal
from copytrade.domain.state import OrderRecord, State
from copytrade.domain.venue import Balances, Execution, KeyReport, OrderTicket, PlaceOutcome, Quote, VenueOrder

Gate = Callable[[], None]
"""The last look. Called with the connection open and nothing left to do but write; raises `SendStopped` to stop."""

Clock = Callable[[], datetime]
"""The time now, aware and in UTC."""


class Ledger(Protocol):
    """The durable record, and the live state that is its fold."""

    @property
    def state(self) -> State: ...

    @property
    def failed(self) -> LedgerError | None:
        """Set for good once a write failed: from then on nothing may be sent."""
        ...

    def append(self, events: Sequence[Event], *, hurry: bool = False) -> Awaitable[None]:
        """Apply the events to the live state at once and make them durable in one transaction.

        The result can be awaited: it returns when they are durable and raises `LedgerError` if they are not.
        Without `hurry` the write may wait a few milliseconds for company. Events become durable in the order
        in which they were appended. Raises `LedgerError` at once, with nothing applied, when `failed` is set.
        """
        ...

    def find(self, order_id: str) -> OrderRecord | None:
        """Any order, open or at its end."""
        ...

    def copies_of(self, signal_id: str, *accounts: AccountId) -> Sequence[OrderRecord]:
        """All copies of one signal, open or at their end, in the order in which they were planned; or those of the
        accounts that are named, which costs a thousandth of it where thousands follow."""
        ...

    def copies_in_parts(self, signal_id: str, limit: int) -> Iterator[Sequence[OrderRecord]]:
        """All copies of one signal, up to `limit` at a time, each account's in the order in which they were planned.

        Others may append in between: what is planned after the first part was asked for may be among them or not.
        """
        ...

    def signals_of(self, family: str) -> Sequence[Signal]:
        """Every signal about the master's orders that replaced each other, in the order in which they were emitted.

        `family` is the id of the first of those orders.
        """
        ...

    def family(self, family: str, *accounts: AccountId) -> Sequence[tuple[Signal, Sequence[OrderRecord]]]:
        """The same, each with its copies, or with those of the accounts that are named."""
        ...

    def signal(self, signal_id: str) -> Signal | None:
        """Any signal ever emitted."""
        ...

    def venue_order_ids(self, account: AccountId, since: datetime) -> set[str]:
        """The venue's ids of all orders of this account that were planned at `since` or later."""
        ...

    def history(
        self, account: AccountId, after: int, limit: int
    ) -> Sequence[tuple[int, Signal, OrderRecord | None, Sequence[OrderRecord]]]:
        """Up to `limit` of the durable signals that follow number `after`, the first one first: each with its number,
        the master's order behind it, and this account's copies."""
        ...

    def was_served(self, account: AccountId) -> bool:
        """Whether the account was ever asked to copy something while it was enabled."""
        ...

    def observe(self, balances: Mapping[AccountId, Balances]) -> None:
        """Keep the latest balances for whoever asks; they are observations, not history, and not replayed."""
        ...


class AccountClient(Protocol):
    """One API key at one venue. Calls of one account are made one after the other by its lane and its readers."""

    @property
    def account(self) -> AccountId: ...

    @property
    def absence_wait_s(self) -> float:
        """How long after the last possible send a look-up that finds nothing is a proof of absence."""
        ...

    async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
        """Send the order once. Never raises for what a venue or a network can do; `SendStopped` from the gate
        and `NonceUnavailable` pass through, both before any byte left."""
        ...

    async def find(self, ticket: OrderTicket, since: datetime, known: Collection[str]) -> Execution | None:
        """One full pass over open orders, closed orders and trades for `ticket.order_id`, from `since` on.

        `known` are venue order ids that belong to other orders of ours. Raises `VenueError` when any part of the
        pass failed: a pass with a hole in it proves nothing.
        """
        ...

    async def execution(self, venue_order_id: str) -> Execution:
        """How far the order has come. Raises `VenueError`."""
        ...

    async def cancel(self, venue_order_id: str) -> None:
        """Cancel a resting order; one that is over already is no error. Raises `VenueError`."""
        ...

    async def orders(self, since: datetime, markets: Collection[str] = ()) -> Sequence[VenueOrder]:
        """Every order of the account that is open now, or was placed or ended at `since` or later, whoever placed it.

        The oldest first. `markets` are looked at in any case: where a venue lists finished orders by market alone, one
        in which nothing is held or open any more would not be found. Raises `VenueError` when any part of the reading
        failed.
        """
        ...

    def stream(self) -> AsyncIterator[VenueOrder | None]:
        """The account's orders as they change, from the venue's private stream.

        Yields None once the stream is up: what happened before is for `orders` to say. Raises `VenueError` when it
        breaks, goes silent for longer than the venue's heartbeat, or tells something that cannot be understood; the
        caller opens a new one. Closing the iterator closes the connection.
        """
        ...

    async def balances(self) -> Balances:
        """Equity, free cash and holdings now. Raises `VenueError`."""
        ...

    async def check_key(self) -> KeyReport:
        """What the key may do. Raises `VenueError`, `CredentialsRejected` among them."""
        ...

    def wait_s(self, ticket: OrderTicket) -> float:
        """How long the account's rate budget makes this order wait; 0 when it can leave now."""
        ...

    async def close(self) -> None: ...


class Venue(Protocol):
    """The public side of one venue, shared by its accounts."""

    @property
    def name(self) -> str: ...

    @property
    def currency(self) -> str:
        """The quote currency that its accounts are measured in."""
        ...

    def instrument(self, spelling: str) -> Instrument | None:
        """By any spelling the venue uses, or ours. None when the venue does not list it."""
        ...

    @property
    def refuses_opposites(self) -> bool:
        """Whether an order is refused that could meet a resting one of the same account on the other side."""
        ...

    def order_kinds(self, instrument: Instrument) -> frozenset[OrderKind]:
        """What the venue itself can do in this market. For the rest the engine has a stand-in, or skips."""
        ...

    async def load_instruments(self) -> int:
        """Read the venue's list of markets; returns how many. Raises `VenueError`."""
        ...

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Best prices now, by our symbol. Raises `VenueError`."""
        ...

    async def warm(self, connections: int) -> int:
        """See that so many connections are open and idle; returns how many are. Never raises."""
        ...

    async def close(self) -> None: ...
