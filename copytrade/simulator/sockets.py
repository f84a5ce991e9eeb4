"""Serves a venue's private streams: the sockets, the clock that ticks while anybody listens, and the faults."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import WSMsgType, web

from copytrade.simulator.streams import Message, Ping, StreamEnd, StreamSession, Subscription
from copytrade.simulator.venue import Incoming, SimulatedVenue

TICK_S = 0.05  # resting orders fill and heartbeats leave with at most this delay
MESSAGE_MAX_BYTES = 1 << 20
CLOSE_TIMEOUT_S = 0.5
GARBAGE = '{"what": "is th'


class StreamFront:
    """The open private streams of one venue.

    `durable` returns once every change is on file: a client is told nothing that a kill of the venue could undo.
    """

    def __init__(self, venue: SimulatedVenue, durable: Callable[[], Awaitable[None]]) -> None:
        self._venue = venue
        self._durable = durable
        self._connections: set[_Connection] = set()
        self._ticker: asyncio.Task[None] | None = None

    async def serve(self, request: web.BaseRequest, incoming: Incoming) -> web.StreamResponse:
        """Answer a request to open a stream, and serve the stream to its end."""
        venue = self._venue
        with venue.lock:
            refused = venue.faults.strike_stream(("stream_refuse",), None) is not None
            session = None if refused else venue.open_stream(incoming)
        if session is None:
            return web.Response(status=503 if refused else 404)
        connection = _Connection(venue, session, self._durable, request)
        try:
            await connection.socket.prepare(request)
        except ConnectionError:  # whoever asked was gone before the answer
            connection.leave()
            return web.Response(status=400)
        self._connections.add(connection)
        if self._ticker is None:
            self._ticker = asyncio.get_running_loop().create_task(self._tick())
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            connection.leave()
        return connection.socket

    async def stop(self) -> None:
        """Drop every connection."""
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
        for connection in list(self._connections):
            connection.drop()

    async def _tick(self) -> None:
        """Time passes at a venue when somebody asks; while there are listeners, this asks."""
        venue = self._venue
        while True:
            await asyncio.sleep(TICK_S)
            if not self._connections:
                continue
            with venue.lock:
                venue.exchange.advance(venue.clock())
                for connection in list(self._connections):
                    connection.tick(venue.exchange.now_s)


class _Connection:
    """One socket, and the session that speaks over it. Messages leave in the order in which they came to be."""

    def __init__(
        self,
        venue: SimulatedVenue,
        session: StreamSession,
        durable: Callable[[], Awaitable[None]],
        request: web.BaseRequest,
    ) -> None:
        self.socket = web.WebSocketResponse(
            timeout=CLOSE_TIMEOUT_S, autoping=False, compress=False, max_msg_size=MESSAGE_MAX_BYTES
        )
        self._venue = venue
        self._session = session
        self._durable = durable
        self._request = request
        self._subscription: Subscription | None = None
        self._outgoing: list[Message] = []
        self._end: StreamEnd | None = None
        self._silent = False
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Serve until either side ends it."""
        with self._venue.lock:
            self._ask(self._session.opened, self._venue.clock())
        sender = asyncio.get_running_loop().create_task(self._send())
        reader = asyncio.get_running_loop().create_task(self._read())
        try:
            await asyncio.wait((sender, reader), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sender, reader):
                task.cancel()
            await asyncio.gather(sender, reader, return_exceptions=True)

    def tick(self, now_s: float) -> None:
        """Let time pass for this connection; under the venue's lock."""
        subscription, faults = self._subscription, self._venue.faults
        if subscription is not None and subscription.overflowed:
            self.drop()
            return
        struck = faults.strike_stream(("stream_drop", "stream_silent"), self._session.account)
        if struck is not None:
            self._silent = True
            if struck.kind == "stream_drop":
                self.drop()
                return
        self._ask(self._session.tick, now_s)
        if subscription:
            self._wake.set()

    def drop(self) -> None:
        """Break the connection as a network does: without a word."""
        if self._request.transport is not None:
            self._request.transport.abort()

    def leave(self) -> None:
        """Listen no more."""
        with self._venue.lock:
            if self._subscription is not None:
                self._venue.books.streams.unsubscribe(self._subscription)
                self._subscription = None

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type is WSMsgType.PING:
                if not self._silent:
                    await self.socket.pong(message.data)
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                with self._venue.lock:
                    self._venue.exchange.advance(self._venue.clock())
                    self._collect()  # what happened before the question comes before the answer
                    self._ask(self._session.received, message.data, self._venue.exchange.now_s)
                    self._follow()
            elif message.type is not WSMsgType.PONG:
                return

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            with self._venue.lock:
                self._collect()
                outgoing, self._outgoing = self._outgoing, []
            await self._durable()
            for message in () if self._silent else outgoing:
                if isinstance(message, str):
                    await self.socket.send_str(message)
                elif isinstance(message, Ping):
                    await self.socket.ping(message)
                else:
                    await self.socket.send_bytes(message)
            if self._end is not None:
                await self.socket.close(code=self._end.code, message=self._end.reason.encode())
                return

    def _ask(self, say: Callable[..., Sequence[Message]], *values: object) -> None:
        """Have the session say something, and pass it on."""
        if self._end is not None:
            return
        try:
            said = say(*values)
        except StreamEnd as end:
            self._end = end
            said = end.messages
        if said or self._end is not None:
            self._outgoing.extend(said)
            self._wake.set()

    def _collect(self) -> None:
        """Put the changes into the venue's words, with what faults make of them."""
        if self._subscription is None:
            return
        for change in self._subscription.take():
            before = len(self._outgoing)
            self._ask(self._session.changed, change)
            if len(self._outgoing) == before:
                continue
            kinds = ("stream_skip", "stream_repeat", "stream_garbage")
            struck = self._venue.faults.strike_stream(kinds, self._session.account)
            if struck is not None:
                said = self._outgoing[before:]
                instead: dict[str, list[Message]]
                instead = {"stream_skip": [], "stream_repeat": [*said, *said], "stream_garbage": [GARBAGE]}
                self._outgoing[before:] = instead[struck.kind]

    def _follow(self) -> None:
        """Listen to the account that the session is logged in to."""
        account, streams = self._session.account, self._venue.books.streams
        if self._subscription is not None and self._subscription.account != account:
            streams.unsubscribe(self._subscription)
            self._subscription = None
        if self._subscription is None and account is not None:
            self._subscription = streams.subscribe(account)
