"""Open connections to one origin, and the last look before one of them is written to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

Gate = Callable[[], None]
Clock = Callable[[], datetime]

# A TCP and TLS handshake takes a few hundred milliseconds anywhere on earth; ten times that is a dead host.
CONNECT_TIMEOUT_S = 5.0


class Sending:
    """One request on its way through the connector."""

    __slots__ = ("gate", "left_at", "stopped")

    def __init__(self, gate: Gate | None) -> None:
        self.gate = gate
        self.left_at: datetime | None = None
        self.stopped: BaseException | None = None


# A request gets its connection in the task that sends it, so the task's context leads from one to the other.
SENDING: ContextVar[Sending | None] = ContextVar("copytrade_sending", default=None)


class GatedConnector(aiohttp.TCPConnector):
    """A connection pool that asks the gate when a connection is there, before it is handed over for writing.

    aiohttp's trace callbacks run at the same points, but one that raises loses the connection without closing it
    (3.14.5, `BaseConnector._get`), and a trace costs every request tens of microseconds.
    """

    def __init__(self, clock: Clock, connections_max: int, keepalive_s: float) -> None:
        # No limit here: the slots of `Wire` are the limit, taken before anything is signed.
        super().__init__(limit=0, keepalive_timeout=keepalive_s, ttl_dns_cache=60)
        self._clock = clock
        self._keepalive_s = keepalive_s
        self._tries_max = connections_max * 2 + 1  # every idle connection may turn out spoiled once
        self._used_at: WeakKeyDictionary[ResponseHandler, float] = WeakKeyDictionary()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        sending = SENDING.get()
        if sending is None:  # warming: nothing will be written
            return await super().connect(req, traces, timeout)
        connection = await super().connect(req, traces, timeout)
        if connection.protocol is None or connection.protocol.should_close:
            connection.close()
            connection = await self._unspoiled(req, traces, timeout)
        if sending.gate is not None:
            try:
                sending.gate()
            except BaseException as stop:
                sending.stopped = stop
                connection.release()
                raise
        if connection.protocol is not None:
            self._used_at[connection.protocol] = time.monotonic()
        sending.left_at = self._clock()
        return connection

    async def _unspoiled(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """A connection on which nothing unread lies: a late second reply must not answer the next request."""
        for _ in range(self._tries_max):
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is not None and not connection.protocol.should_close:
                return connection
            connection.close()
        raise aiohttp.ClientConnectionError("the venue sends unasked-for data on every new connection")

    async def warm(self, session: aiohttp.ClientSession, url: URL, wanted: int) -> int:
        """Have `wanted` idle connections, and replace those that have been idle for too long; returns how many."""
        ready = 0
        for retiring in (True, False):  # the second round opens again what the first one closed for its age
            tasks = [asyncio.create_task(self._idle(session, url)) for _ in range(wanted)]
            try:
                # After one turn of the loop a task that found a pooled connection is done, and every other one has
                # begun to open a new one and takes none from the pool any more. So the pooled ones go back at
                # once, and an order that comes during the handshakes of the others finds them.
                await asyncio.sleep(0)
                kept = [self._put_back(task) for task in tasks if task.done()]
                opening = [task for task in tasks if not task.done()]
                if opening:
                    await asyncio.wait(opening)
                kept += [self._put_back(task) for task in opening]
            except BaseException:
                for task in tasks:
                    task.cancel()
                    task.add_done_callback(self._put_back)
                raise
            ready = sum(kept)
            if ready == wanted or not retiring:
                break
        return ready

    async def _idle(self, session: aiohttp.ClientSession, url: URL) -> Connection:
        loop = asyncio.get_running_loop()
        request = aiohttp.ClientRequest("GET", url, loop=loop, session=session)
        return await self.connect(request, [], aiohttp.ClientTimeout(connect=CONNECT_TIMEOUT_S))

    def _put_back(self, task: asyncio.Task[Connection]) -> bool:
        """Into the pool with a connection that is fit to be used, away with any other; says which it was."""
        if task.cancelled() or task.exception() is not None:
            return False
        connection = task.result()
        protocol = connection.protocol
        if protocol is None:
            return False
        # The pool would take every look of ours for a use, so the age since a real one is kept here.
        age_s = time.monotonic() - self._used_at.setdefault(protocol, time.monotonic())
        if protocol.should_close or age_s > self._keepalive_s:
            connection.close()
            return False
        connection.release()
        return True
