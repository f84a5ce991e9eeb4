"""Serves simulated venues on loopback, each at a port of its own: HTTP, streams, and admin calls under `/sim/`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Sequence
from types import TracebackType

from aiohttp import web

from copytrade.simulator.admin import answer_admin
from copytrade.simulator.faults import ENGINE_KINDS, Fault
from copytrade.simulator.sockets import StreamFront
from copytrade.simulator.venue import Incoming, Reply, SimulatedVenue

HUGE_BODY_BYTES = 10 << 20
BACKLOG = 4_096  # thousands of accounts may connect at once when a worker starts
STOP_TIMEOUT_S = 1.0  # hung answers are released first, so what is left needs no longer
START_TIMEOUT_S = 30.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PAGE = b"<html><head><title>%d</title></head><body><h1>%d</h1><hr>cloudflare</body></html>\n"
_log = logging.getLogger(__name__)


class _NoAnswer(Exception):
    """The connection is to be closed without an answer."""


class SimulatorServer:
    """Serves `venues` on the running event loop.

    With `port` other than 0 the venues take that port and those after it.
    """

    def __init__(
        self,
        venues: Sequence[SimulatedVenue],
        host: str = "127.0.0.1",
        port: int = 0,
        reply_delay_ms: int = 0,
    ) -> None:
        if host not in _LOOPBACK:
            raise ValueError(f"host is {host}: the simulator is unprotected and serves loopback only, give 127.0.0.1")
        if len({venue.name for venue in venues}) != len(venues) or not venues:
            raise ValueError("give at least one venue, and each only once")
        self.venues = {venue.name: venue for venue in venues}
        self.reply_delay_ms = reply_delay_ms
        self._host = host
        self._port = port
        self._fronts: dict[str, _Front] = {}

    async def start(self) -> None:
        """Begin to serve. Raises OSError if a port is taken."""
        try:
            for place, venue in enumerate(self.venues.values()):
                front = _Front(venue, self.reply_delay_ms)
                self._fronts[venue.name] = front
                await front.start(self._host, self._port + place if self._port else 0)
        except BaseException:
            await self.stop()
            raise

    def url(self, venue: str) -> str:
        """Base URL of a venue, without a slash at the end. Raises KeyError before `start`."""
        return self._fronts[venue].url

    def admin_url(self, venue: str) -> str:
        """Base URL of a venue's admin calls."""
        return f"{self.url(venue)}/sim"

    async def stop(self) -> None:
        """Close every connection, save, and stop. The venues' stores stay open; `close` them when done."""
        for front in self._fronts.values():
            await front.stop()
        self._fronts.clear()
        for venue in self.venues.values():
            venue.save()

    async def __aenter__(self) -> SimulatorServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class _Front:
    """One venue's HTTP server."""

    def __init__(self, venue: SimulatedVenue, reply_delay_ms: int) -> None:
        self._venue = venue
        self._reply_delay_s = reply_delay_ms / 1000
        self._stopping = asyncio.Event()
        self._saved: asyncio.Future[None] | None = None
        self._last_reply: dict[str, Reply] = {}
        self._streams = StreamFront(venue, self._durable)
        # The low-level server: no router and no middleware, which would cost half of the time a request
        # takes.
        server = web.Server(self._serve, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=STOP_TIMEOUT_S)
        self.url = ""

    async def start(self, host: str, port: int) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=BACKLOG)
        await site.start()
        address = self._runner.addresses[0]
        self.url = f"http://{f'[{address[0]}]' if ':' in address[0] else address[0]}:{address[1]}"

    async def stop(self) -> None:
        self._stopping.set()
        await self._streams.stop()
        await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = await request.read() if request.can_read_body else b""
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._streams.serve(request, self._incoming(request, body))
            reply = await self._reply(request, body)
        except _NoAnswer:
            _close(request)
            return web.Response()
        except web.HTTPException as error:
            return web.Response(status=error.status, text=error.reason)
        return web.Response(
            body=reply.body,
            status=reply.status,
            headers={"Content-Type": reply.content_type, **(reply.headers or {})},
        )

    async def _reply(self, request: web.BaseRequest, body: bytes) -> Reply:
        url = request.rel_url
        if url.raw_path.startswith("/sim/") or url.raw_path == "/sim":
            reply = answer_admin(self._venue, request.method, url.raw_path, url.query, body)
            await self._durable()
            return reply
        venue = self._venue
        incoming = self._incoming(request, body)
        with venue.lock:
            method, account, key = venue.identify(incoming)
            venue.counts.request(incoming.path, key)
            faults = venue.faults.strike(method, account, key)
        if not faults and not self._reply_delay_s:
            reply = venue.handle(incoming, None)
        else:
            reply = await self._faulty(request, incoming, faults, key)
        await self._durable()
        if key is not None and venue.faults.keep_replies:
            self._last_reply[key] = reply
        return reply

    def _incoming(self, request: web.BaseRequest, body: bytes) -> Incoming:
        return Incoming(
            verb=request.method,
            path=request.rel_url.raw_path,
            query=request.rel_url.raw_query_string,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            remote=request.remote or "",
            arrived_at_s=self._venue.clock(),
        )

    async def _faulty(
        self, request: web.BaseRequest, incoming: Incoming, faults: list[Fault], key: str | None
    ) -> Reply:
        for fault in faults:
            if fault.kind == "delay" and fault.when == "before":
                await self._pause(fault.delay_ms / 1000)
        main = next((fault for fault in faults if fault.kind != "delay"), None)
        if main is not None and main.kind in ENGINE_KINDS:
            reply = self._venue.handle(incoming, main)
        elif main is not None and main.when == "before":
            reply = await self._strike(request, main, self._venue.error_reply(main.error), key)
        else:
            reply = self._venue.handle(incoming, None)
            await self._durable()
        for fault in faults:
            if fault.kind == "delay" and fault.when == "after":
                await self._pause(fault.delay_ms / 1000)
        await self._pause(self._reply_delay_s)
        if main is not None and main.when == "after" and main.kind not in ENGINE_KINDS:
            reply = await self._strike(request, main, reply, key)
        return reply

    async def _strike(self, request: web.BaseRequest, fault: Fault, reply: Reply, key: str | None) -> Reply:
        """What leaves instead of `reply`. Raises _NoAnswer if nothing does."""
        kind = fault.kind
        if kind == "hang":
            await self._pause(fault.hang_s)
        if kind == "cut" and request.transport is not None:
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(reply.body)}\r\n\r\n"
            request.transport.write(head.encode() + reply.body[: len(reply.body) // 2])
        if kind in ("drop", "hang", "cut"):
            raise _NoAnswer
        if kind == "stale":
            return self._last_reply.get(key or "", reply)
        page = _PAGE % (fault.status, fault.status)
        replies = {
            "status": Reply(page, fault.status, "text/html; charset=UTF-8"),
            "error": self._venue.error_reply(fault.error),
            "truncated_json": Reply(reply.body[: len(reply.body) // 2]),
            "empty": Reply(b""),
            "redirect": Reply(b"", 302, "text/html", {"Location": fault.location}),
            "no_content": Reply(b"", 204),
        }
        return Reply(b" " * HUGE_BODY_BYTES) if kind == "huge" else replies[kind]

    async def _pause(self, seconds: float) -> None:
        """Wait, but not past the stop of the server."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _durable(self) -> None:
        """Return once every change is written; requests of one turn of the loop share one write."""
        if not self._venue.unsaved:
            return
        if self._saved is None:
            loop = asyncio.get_running_loop()
            self._saved = loop.create_future()
            loop.call_soon(self._save)
        await asyncio.shield(self._saved)

    def _save(self) -> None:
        saved, self._saved = self._saved, None
        if saved is None:
            return
        try:
            self._venue.save()
        except Exception as error:
            _log.exception("the simulator could not write its store; make room on the disk or start it without one")
            saved.set_exception(error)
            saved.exception()  # those who wait raise it; nobody may be waiting any more
        else:
            saved.set_result(None)


def _close(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.close()


class ServerThread:
    """A SimulatorServer in a thread with an event loop of its own; use it as a context manager."""

    def __init__(
        self,
        venues: Sequence[SimulatedVenue],
        host: str = "127.0.0.1",
        port: int = 0,
        reply_delay_ms: int = 0,
    ) -> None:
        self.server = SimulatorServer(venues, host, port, reply_delay_ms)
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._main, name="simulator", daemon=True)

    def start(self) -> None:
        """Begin to serve; returns once it does. Raises what kept it from starting."""
        self._thread.start()
        if not self._ready.wait(START_TIMEOUT_S):
            raise TimeoutError(f"the simulator did not start within {START_TIMEOUT_S} s")
        if self._error is not None:
            self._thread.join()
            raise self._error

    def stop(self) -> None:
        """Stop serving and wait for the thread to end."""
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # its loop may have ended between the check and the call
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.is_alive():
            self._thread.join()

    def url(self, venue: str) -> str:
        """Base URL of a venue."""
        return self.server.url(venue)

    def admin_url(self, venue: str) -> str:
        """Base URL of a venue's admin calls."""
        return self.server.admin_url(venue)

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with self.server:
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> ServerThread:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
