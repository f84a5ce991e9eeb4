"""The one way bytes reach a venue: requests over a pool of open connections to one origin.

The caller takes a slot first, then builds and signs its request, then sends it, so that nonce and deadline are
stamped last. What a caller must be able to trust:

- A request is written at most once. Nothing is retried, no redirect is followed, no proxy or cookie is used.
- The gate is called with the connection open and nothing left to do but write. If it raises, nothing is written.
- A failure says whether bytes may have left. From the moment the connection is handed over for writing, they may.
- Waiting, bodies and connections are bounded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from datetime import datetime
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from copytrade.venues.pool import CONNECT_TIMEOUT_S, SENDING, Clock, Gate, GatedConnector, Sending

logger = logging.getLogger(__name__)

# Reads together use at most this share of the connections, so that orders find one however many reads are about.
READS_SHARE = 0.25
# aiohttp rounds time limits above this threshold up to whole seconds; ours are exact.
_NEVER_ROUND_S = 1e9
# Parsed addresses that are kept; where a venue has order ids in its paths there would be no end of them.
_URLS_MAX = 1_000


class Reply(NamedTuple):
    """What a venue answered. With `too_big` the body was longer than the cap and is cut. Header names in any case."""

    status: int
    body: bytes
    too_big: bool
    sent_at: datetime
    at: datetime
    headers: Mapping[str, str] = MappingProxyType({})


class WireFailure(Exception):
    """No reply. `sent_at` is None when it is certain that no byte of the request was written.

    Carries no cause: the exceptions of an HTTP client hold the request's headers, and with them the API key.
    """

    def __init__(self, detail: str, *, sent_at: datetime | None, at: datetime) -> None:
        super().__init__(detail)
        self.detail = detail
        self.sent_at = sent_at
        self.at = at


class _Slot:
    """`async with` on it waits for the right to send one request."""

    __slots__ = ("_in_use", "_semaphores")

    def __init__(self, in_use: list[int], *semaphores: asyncio.Semaphore) -> None:
        self._in_use = in_use
        self._semaphores = semaphores

    async def __aenter__(self) -> None:
        taken = 0
        try:
            for semaphore in self._semaphores:
                await semaphore.acquire()
                taken += 1
        except BaseException:
            for semaphore in self._semaphores[:taken]:
                semaphore.release()
            raise
        self._in_use[0] += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in_use[0] -= 1
        for semaphore in self._semaphores:
            semaphore.release()


class Wire:
    """Connections to one origin (`https://api.kraken.com`), opened when they are first needed, for one event loop.

    Args:
        base_url: scheme, host and port.
        clock: the time now, UTC.
        max_connections: how many requests may be under way at once; whoever comes later waits for a slot.
        keepalive_s: how long an idle connection is trusted. Shorter than the venue's own limit, or an order may be
            written to a connection that the venue is closing at that moment.
        timeout_s: total time limit of one request, connecting and reading included.
        body_max_bytes: a longer reply is cut and marked.
    """

    def __init__(
        self,
        base_url: str,
        *,
        clock: Clock,
        max_connections: int = 250,
        keepalive_s: float = 60.0,
        timeout_s: float = 10.0,
        body_max_bytes: int = 2_000_000,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ValueError("base_url must be like https://api.kraken.com, without credentials or query")
        self.base_url = base_url.rstrip("/")
        self._clock = clock
        self._max_connections = max_connections
        self._keepalive_s = keepalive_s
        self._timeout_s = timeout_s
        self._body_max_bytes = body_max_bytes
        self._in_use = [0]
        slots = asyncio.Semaphore(max_connections)
        self._slot = _Slot(self._in_use, slots)
        self._read_slot = _Slot(self._in_use, asyncio.Semaphore(max(1, int(max_connections * READS_SHARE))), slots)
        self._urls: dict[str, URL] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}
        self._session: aiohttp.ClientSession | None = None
        self._connector: GatedConnector | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"Wire({self.base_url!r}, in_use={self._in_use[0]})"

    def slot(self) -> _Slot:
        """The right to send one request. Sign inside it: time spent waiting for it is not on the deadline."""
        return self._slot

    def read_slot(self) -> _Slot:
        """A slot for a read; all reads together leave most of the connections to orders."""
        return self._read_slot

    def post(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        gate: Gate | None = None,
        timeout_s: float | None = None,
    ) -> Coroutine[Any, Any, Reply]:
        """Write `body` once and read the reply; call it within a slot.

        Raises `WireFailure`, and whatever the gate raises, then with nothing written. A cancellation passes
        through and says nothing about whether bytes left.
        """
        return self._send("POST", self._url(path), body, headers, gate, timeout_s)

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        gate: Gate | None = None,
        timeout_s: float | None = None,
    ) -> Coroutine[Any, Any, Reply]:
        """Like `post`, for any method. `target` is the path with its query, sent byte for byte as it was signed."""
        url = self._url(target) if "?" not in target else URL(self.base_url + target, encoded=True)
        return self._send(method, url, body, headers, gate, timeout_s)

    async def get(self, path: str, query: Mapping[str, str], *, timeout_s: float | None = None) -> Reply:
        """A public read; call it within a slot. Raises `WireFailure`."""
        url = self._url(path)
        return await self._send("GET", url.with_query(query) if query else url, None, {}, None, timeout_s)

    async def warm(self, connections: int) -> int:
        """See that so many connections are open, those in use included, without sending anything.

        Opens what is missing and replaces what has been idle for longer than `keepalive_s`. Returns how many are
        open. Never raises for what a network can do.
        """
        in_use = self._in_use[0]
        wanted = min(connections, self._max_connections) - in_use
        if wanted <= 0 or self._closed:
            return in_use
        session, connector = self._open()
        return in_use + await connector.warm(session, self._url("/"), wanted)

    async def close(self) -> None:
        """Close every connection; a later request fails with nothing sent."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    # -- inside ------------------------------------------------------------------------------------------------

    async def _send(
        self,
        method: str,
        url: URL,
        body: bytes | None,
        headers: Mapping[str, str],
        gate: Gate | None,
        timeout_s: float | None,
    ) -> Reply:
        sending = Sending(gate)
        if self._closed:
            raise WireFailure("the service is stopping: its connections are closed", sent_at=None, at=self._clock())
        session = self._session or self._open()[0]
        token = SENDING.set(sending)
        try:
            async with session.request(
                method,
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=self._timeout(self._timeout_s if timeout_s is None else timeout_s),
            ) as response:
                raw, too_big = await self._read(response)
                if too_big:
                    response.close()  # the rest of the body still comes: the connection is of no use any more
                sent_at = sending.left_at or self._clock()
                return Reply(response.status, raw, too_big, sent_at, self._clock(), response.headers)
        except Exception as error:
            stopped, detail = sending.stopped, _words(error)
        finally:
            SENDING.reset(token)
        # Raised out here, so that neither has the client's exception (with its headers) as its context.
        if stopped is not None:
            raise stopped
        raise WireFailure(detail, sent_at=sending.left_at, at=self._clock())

    async def _read(self, response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
        limit = self._body_max_bytes
        raw = await response.content.read(limit + 1)
        if len(raw) <= limit and not response.content.at_eof():
            parts = [raw]
            left = limit + 1 - len(raw)
            while left > 0 and (part := await response.content.read(left)):
                parts.append(part)
                left -= len(part)
            raw = b"".join(parts)
        return raw[:limit], len(raw) > limit

    def _open(self) -> tuple[aiohttp.ClientSession, GatedConnector]:
        if self._session is None or self._connector is None:
            self._connector = GatedConnector(self._clock, self._max_connections, self._keepalive_s)
            self._session = aiohttp.ClientSession(
                connector=self._connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,  # no proxy and no .netrc from the environment
                auto_decompress=False,  # a few bytes cannot become gigabytes; a reply compressed unasked is unreadable
                headers={"User-Agent": "copytrade", "Accept-Encoding": "identity"},
            )
        return self._session, self._connector

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            if len(self._urls) >= _URLS_MAX:
                self._urls.clear()
            url = self._urls[path] = URL(self.base_url + path, encoded=True)
        return url

    def _timeout(self, total_s: float) -> aiohttp.ClientTimeout:
        timeout = self._timeouts.get(total_s)
        if timeout is None:
            timeout = self._timeouts[total_s] = aiohttp.ClientTimeout(
                total=total_s, connect=min(CONNECT_TIMEOUT_S, total_s), ceil_threshold=_NEVER_ROUND_S
            )
        return timeout


def _words(error: Exception) -> str:
    """What went wrong, without anything of the request in it."""
    if isinstance(error, asyncio.TimeoutError):
        return f"no complete answer in time ({type(error).__name__})"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}: {error.os_error.strerror or error.os_error}"
    if isinstance(error, OSError):
        return f"the connection broke: {error.strerror or type(error).__name__}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the venue closed the connection without an answer"
    return f"no usable answer ({type(error).__name__})"
