"""The one stream behind all open pages: looks a few times a second while somebody watches, and sends what changed.

However many pages are open, each change is found once, encoded once, and written to those who asked for it. While
orders are being sent it waits: the pages may be late, the orders may not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from copytrade.console.web.logtail import LogTail
from copytrade.console.web.records import COPY_COLUMNS, Records, copy_row, last_of, reason_texts
from copytrade.console.web.sources import LiveRow, Sources
from copytrade.domain.errors import LedgerError
from copytrade.ledger.feed import Changes, LedgerFeed

log = logging.getLogger("copytrade.console")

Json = dict[str, Any]
Row = tuple[LiveRow, list[Any] | None]

EVERY_S = 0.25  # four looks a second are as many as an eye can follow
BUSY_WAIT_MAX_S = 3.0  # longer than a fan-out to 5,000; a service that never stops sending is still shown, this often
_BUSY_POLL_S = 0.05  # each costs the loop 15 microseconds
_CALM_S = 0.15  # several group commits of the ledger
_ROWS_AT_ONCE = 100  # about half a millisecond, then everybody else has a turn
_ROWS_EVERY = 4  # looks: modes, equities and lanes once a second, orders at every look
_KEEP_ALIVE_S = 15.0  # proxies close what is silent for longer
SUBSCRIBERS_MAX = 64
_QUEUE_MAX = 64  # a page that is so far behind starts over

ROW_COLUMNS = (*LiveRow.__slots__, "last")


@dataclass(slots=True, eq=False)
class Subscription:
    """One open page: its topics, and what waits to be sent to it."""

    topics: frozenset[str]
    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(_QUEUE_MAX))

    def put(self, message: bytes) -> None:
        """Never waits. A page that does not keep up is told to start over, once it reads again."""
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            self.end()

    def end(self) -> None:
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


class TooManyWatchers(Exception):
    """So many pages are open that one more would cost those that are."""


class Hub:
    """Feeds all streams. `close` ends them; it may be called twice."""

    def __init__(
        self, sources: Sources, records: Records, ledger: Path, tail: LogTail, redact: Callable[[str], str]
    ) -> None:
        self._sources = sources
        self._records = records
        self._ledger = ledger
        self._tail = tail
        self._redact = redact
        self._subscriptions: set[Subscription] = set()
        self._task: asyncio.Task[None] | None = None
        self._feed: LedgerFeed | None = None
        self._last: dict[str, list[Any]] = {}
        self._rows: dict[str, Row] = {}
        self._head: Json = {}
        self._health: Json = {}
        self._logged = 0
        self._signal_at: dict[str, str | None] = {}
        self._looks = 0
        self._busy_at = float("-inf")
        self._starting = asyncio.Lock()

    # -- for the routes ----------------------------------------------------------------------------------------------

    async def subscribe(self, topics: Iterable[str], alive: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Messages for these topics, the present state first. Ends when `alive` says no or the page falls behind.

        Topics are `overview`, `signals`, `signal:ID`, `account:ID`, `orders`, `health` and `log`. Raises
        `TooManyWatchers` and `LedgerError`.
        """
        if len(self._subscriptions) >= SUBSCRIBERS_MAX:
            raise TooManyWatchers("too many pages are open; close some of them")
        await self._start()
        topics = frozenset(topics)
        subscription = Subscription(topics)
        # Registered before its signals are read: what changes meanwhile is sent too early rather than not at all.
        for topic in subscription.topics:
            if topic.startswith("signal:"):
                self._signal_at.setdefault(topic, None)
        self._subscriptions.add(subscription)
        try:
            read = {topic: await self._read_signal(topic) for topic in topics if topic.startswith("signal:")}
        except BaseException:
            self._subscriptions.discard(subscription)
            raise
        for message in self._present(subscription.topics, read):
            subscription.put(message)
        return self._drain(subscription, alive)

    async def overview(self) -> Json:
        """All accounts as they stand now, for a program or a first look."""
        await self._start()
        rows = [_encoded(*each) for each in (await self._rows_now()).values()]
        return {"columns": ROW_COLUMNS, "all": True, "rows": rows}

    async def quiet(self) -> None:
        """Return when no fan-out is under way and none has just been, or after a while all the same.

        The last outcomes of a fan-out are still on their way to the disk when nothing is on the wire any more.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + BUSY_WAIT_MAX_S
        while (now := loop.time()) < until:
            if self._sources.busy():
                self._busy_at = now
            elif now - self._busy_at >= _CALM_S:
                return
            await asyncio.sleep(_BUSY_POLL_S)

    async def close(self) -> None:
        for subscription in list(self._subscriptions):
            subscription.end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._feed is not None:
            self._feed.close()
            self._feed = None

    # -- watching ----------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        async with self._starting:
            if self._task is not None and not self._task.done():
                return
            await self.quiet()
            if self._feed is None:
                self._feed = await asyncio.to_thread(LedgerFeed, self._ledger)
            await self._follow(Changes(reset=True))
            await self._look_at_rows()
            self._task = asyncio.create_task(self._run(), name="console stream")

    async def _run(self) -> None:
        """Look until nobody has watched for a while. A look that fails is told in the log, and the next one tries."""
        idle = 0
        while idle * EVERY_S < _KEEP_ALIVE_S:
            await asyncio.sleep(EVERY_S)
            await self.quiet()
            idle = 0 if self._subscriptions else idle + 1
            try:
                await self._look()
            except LedgerError as error:
                log.warning("the console cannot read the ledger: %s", error)

    async def _look(self) -> None:
        assert self._feed is not None
        self._looks += 1
        changes = await asyncio.to_thread(self._feed.poll)
        topics = {topic for subscription in self._subscriptions for topic in subscription.topics}
        touched = await self._follow(changes) if changes else set()
        if not topics:
            return
        if self._looks % _ROWS_EVERY == 0 or touched:
            self._send("overview", {"rows": await self._look_at_rows()})
        self._send_head()
        if changes.signals and "signals" in topics:
            self._send("signals", {"changed": changes.signals})
        for topic in topics:
            if topic.startswith("signal:"):
                await self._send_signal(topic, changes)
            elif topic.startswith("account:") and (changes.reset or topic.partition(":")[2] in touched):
                self._send(topic, {"changed": True})
        if changes.orders or changes.reset:
            self._send("orders", {"changed": True})
        if "health" in topics and self._looks % _ROWS_EVERY == 0:
            self._send_health()
        if self._tail.last != self._logged:
            lines, self._logged = self._tail.lines(self._logged), self._tail.last
            self._send("log", {"lines": lines})

    async def _follow(self, changes: Changes) -> set[str]:
        """Take changes into the last order of each account; the accounts they touched."""
        assert self._feed is not None
        orders = await asyncio.to_thread(self._feed.last_orders) if changes.reset else changes.orders
        for order in orders:
            known = self._last.get(order["account"])
            if known is None or known[0] <= order["planned_at"]:
                self._last[order["account"]] = last_of(order)
        return {order["account"] for order in orders}

    async def _look_at_rows(self) -> list[list[Any]]:
        """The rows that are not as they were at the last look; from now on they are."""
        present = await self._rows_now()
        changed = [_encoded(*now) for account, now in present.items() if self._rows.get(account) != now]
        changed += [[account, None] for account in self._rows if account not in present]
        self._rows = present
        return changed

    async def _rows_now(self) -> dict[str, Row]:
        """All rows as they are; made a part at a time, so that nobody waits behind them."""
        present: dict[str, Row] = {}
        for number, row in enumerate(self._sources.accounts(), start=1):
            present[row.account] = (row, self._last.get(row.account))
            if number % _ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
                if self._sources.busy():
                    await self.quiet()
        return present

    # -- what is sent ------------------------------------------------------------------------------------------------

    async def _read_signal(self, topic: str) -> Json | None:
        found = await asyncio.to_thread(self._records.signal, topic.partition(":")[2])
        if found is not None:
            self._signal_at[topic] = found["signal"]["at"]
        return found

    def _present(self, topics: frozenset[str], read: Mapping[str, Json | None]) -> list[bytes]:
        """The state that a page starts with: of accounts as of the last look, as changes are told from there."""
        self._head = self._sources.head()
        messages = [_message("head", self._head)]
        for topic in sorted(topics):
            if topic == "overview":
                rows = [_encoded(*each) for each in self._rows.values()]
                messages.append(_message(topic, {"columns": ROW_COLUMNS, "all": True, "rows": rows}))
            elif (found := read.get(topic)) is not None:
                messages.append(_message(topic, {**found, "all": True}))
            elif topic == "health":
                self._health = self._sources.health()
                messages.append(_message(topic, self._health))
            elif topic == "log":
                messages.append(_message(topic, {"lines": self._tail.lines(), "all": True}))
        return messages

    async def _send_signal(self, topic: str, changes: Changes) -> None:
        signal_id = topic.partition(":")[2]
        orders = [o for o in changes.orders if o["signal_id"] == signal_id and o["role"] == "copy"]
        began = self._signal_at.get(topic)
        if changes.reset or (orders and began is None):  # opened before the ledger's file had the signal
            found = await self._read_signal(topic)
            if found is not None:
                self._to(topic, _message(topic, {**found, "all": True}))
        elif orders and began is not None:
            rows = [copy_row(order, began, self._redact) for order in orders]
            reasons = reason_texts({row[10] for row in rows})
            self._send(topic, {"columns": COPY_COLUMNS, "rows": rows, "reasons": reasons})

    def _send_head(self) -> None:
        head = self._sources.head()
        if head != self._head:
            self._head = head
            self._to(None, _message("head", head))

    def _send_health(self) -> None:
        health = self._sources.health()
        if health != self._health:
            self._health = health
            self._send("health", health)

    def _send(self, topic: str, body: Json) -> None:
        if body.get("rows", True):
            self._to(topic, _message(topic, body))

    def _to(self, topic: str | None, message: bytes) -> None:
        for subscription in list(self._subscriptions):
            if topic is None or topic in subscription.topics:
                subscription.put(message)

    async def _drain(self, subscription: Subscription, alive: Callable[[], bool]) -> AsyncIterator[bytes]:
        try:
            while alive():
                message: bytes | None = b": still here\n\n"
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_KEEP_ALIVE_S):
                        message = await subscription.queue.get()
                if message is None or not alive():
                    return
                yield message
        finally:
            self._subscriptions.discard(subscription)


def _encoded(row: LiveRow, last: list[Any] | None) -> list[Any]:
    return [*(getattr(row, name) for name in LiveRow.__slots__), last]


def _message(topic: str, body: Json) -> bytes:
    """One event of the stream. JSON has no line breaks of its own, so it is one line of data."""
    return f"event: update\ndata: {json.dumps([topic, body], separators=(',', ':'))}\n\n".encode()
