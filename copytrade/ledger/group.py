"""What becomes durable together: the events of one transaction, what they changed, and who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Generator
from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.errors import LedgerError
from copytrade.domain.events import Event
from copytrade.domain.money import Quantity
from copytrade.domain.standing import Key
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import Balances
from copytrade.ledger.faults import again
from copytrade.ledger.rows import Row

Counters = tuple[int, int, int, int]
"""signals_count, signals_digest, ended_count, ended_digest of the live state."""


class Group:
    """One transaction in the making. Filled under the ledger's lock, then handed whole to the writer.

    An order that changes several times in one group is written once, as it last was.
    """

    __slots__ = (
        "_done", "_lock", "_signalled", "_waiters", "changed", "counters", "error", "events", "hurry",
        "observed", "opened", "positions", "records", "standing",
    )  # fmt: skip

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.opened: dict[str, Row] = {}  # fields of orders that the file does not have yet, in planning order
        self.changed: dict[str, Row] = {}  # fields of orders that it has
        self.records: dict[str, OrderRecord] = {}  # the records behind both
        self.positions: dict[tuple[AccountId, str], Quantity | None] = {}  # None: flat
        self.standing: dict[Key, str | None] = {}  # None: gone
        self.observed: dict[AccountId, Balances] = {}
        self.counters: Counters | None = None
        self.hurry = False
        self.error: LedgerError | None = None
        self._done = False
        self._lock = threading.Lock()
        self._waiters: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        self._signalled: threading.Event | None = None

    @property
    def done(self) -> bool:
        return self._done

    def settle(self, error: LedgerError | None) -> None:
        """Wake everybody: the events are durable, or `error` says why they are not. Called once, by the writer."""
        with self._lock:
            self.error = error
            self._done = True
            waiters, self._waiters = self._waiters, {}
            if self._signalled is not None:
                self._signalled.set()
        for loop, futures in waiters.items():
            with contextlib.suppress(RuntimeError):  # that loop was closed: nobody waits there any more
                loop.call_soon_threadsafe(_wake, futures)

    async def settled(self) -> None:
        """Return when durable; raise the `LedgerError` if it never will be."""
        if not self._done:
            loop = asyncio.get_running_loop()
            waiter: asyncio.Future[None] | None = None
            with self._lock:
                if not self._done:
                    waiter = loop.create_future()
                    self._waiters.setdefault(loop, []).append(waiter)
            if waiter is not None:
                await waiter
        self._raise_error()

    def wait(self, timeout_s: float) -> None:
        """As `settled`, for a thread without an event loop. Raises `TimeoutError` too."""
        with self._lock:
            if not self._done and self._signalled is None:
                self._signalled = threading.Event()
            signalled = self._signalled
        if not self._done and signalled is not None and not signalled.wait(timeout_s):
            raise TimeoutError(f"the ledger's disk did not finish a write within {timeout_s:g} s")
        self._raise_error()

    def _raise_error(self) -> None:
        if self.error is not None:
            raise again(self.error)


def _wake(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():  # a waiter that was cancelled meanwhile is done
            future.set_result(None)


class Receipt:
    """What `append` gives back. Await it (any number of times, by any number of tasks) or drop it."""

    __slots__ = ("_group",)

    def __init__(self, group: Group) -> None:
        self._group = group

    @property
    def done(self) -> bool:
        """Whether the write is over, well or not."""
        return self._group.done

    def __await__(self) -> Generator[Any, None, None]:
        return self._group.settled().__await__()

    def wait(self, timeout_s: float) -> None:
        """Block this thread until durable. Raises `LedgerError`, or `TimeoutError`."""
        self._group.wait(timeout_s)
