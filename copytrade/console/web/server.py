"""Serves the console from the worker's own event loop, and never stands in the way of trading.

A port that is taken, a missing certificate, a folder that cannot be written: each is told, and the worker trades on.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import uvicorn

from copytrade.console.web.access import Brake, Sessions, TokenFile
from copytrade.console.web.actions import Actions
from copytrade.console.web.app import Console, Parts, Probes, create_app
from copytrade.console.web.audit import AuditFile, AuditTrail
from copytrade.console.web.guard import Names
from copytrade.console.web.hub import Hub
from copytrade.console.web.logtail import LogTail
from copytrade.console.web.records import Records
from copytrade.console.web.sources import Sources
from copytrade.domain.alerts import Tell
from copytrade.settings.console import ConsoleSettings

log = logging.getLogger("copytrade.console")

_BACKLOG = 128
_KEEP_ALIVE_S = 30
_STOP_S = 2.0  # open streams are told to end; whoever does not is cut off
# OpenSSL would else ask the terminal for the password of an encrypted key, and the worker would wait for it.
_NO_PASSWORD = "-"  # noqa: S105
RENEWED_EVERY_S = 60.0  # certificates are renewed every few weeks, by somebody who does not restart the worker
_CONNECTIONS_MAX = 256  # open pages and monitors; more are turned away rather than slow the worker down


class CannotServe(Exception):
    """The console cannot be served; the text says what to do. Trading goes on without it."""


class _Server(uvicorn.Server):
    """Leaves the process's signals to the worker."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ConsoleServer:
    """The console at an address. `start` raises `CannotServe`; `stop` may be called in any case."""

    def __init__(
        self,
        settings: ConsoleSettings,
        state: Path,
        ledger: Path,
        sources: Sources,
        actions: Actions,
        probes: Probes,
        tail: LogTail,
        redact: Callable[[str], str],
        clock: Callable[[], datetime],
        audit: AuditTrail | None = None,
        alert: Tell | None = None,
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._actions = actions
        self._probes = probes
        self._tail = tail
        self._redact = redact
        self._records = Records(ledger, redact)
        self._hub = Hub(sources, self._records, ledger, tail, redact)
        self._audit = audit or AuditFile(state, clock, redact)
        self._alert = alert or tail.alert
        self._tokens = TokenFile(state)
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self.renewed_every_s = RENEWED_EVERY_S
        self.port = 0
        self.note = ""

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        if self._settings.public_url is not None:
            return self._settings.public_url
        scheme = "https" if self._settings.tls_cert is not None else "http"
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"{scheme}://{host}:{self.port}"

    async def start(self) -> None:
        """Listen and answer. `note` then says what the operator should know, if anything."""
        taken = self._bind()
        self.port = taken.getsockname()[1]
        try:
            config = self._config(self._app())
            config.load()
        except (OSError, ValueError) as error:
            taken.close()
            raise CannotServe(f"the console cannot start: {error}; see console.tls_cert and console.tls_key") from error
        self._server = _Server(config)
        self._task = asyncio.create_task(self._serve(self._server, taken), name="console")
        if config.ssl is not None:
            self._renewing = asyncio.create_task(self._follow_certificate(config.ssl), name="console certificate")

    async def stop(self) -> None:
        await self._hub.close()
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        if self._server is not None:
            self._server.should_exit = True
        if self._task is not None:
            _, late = await asyncio.wait({self._task}, timeout=_STOP_S)
            for task in late:
                task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # -- inside ------------------------------------------------------------------------------------------------------

    async def _serve(self, server: _Server, taken: socket.socket) -> None:
        try:
            await server.serve(sockets=[taken])
        except Exception:  # the pages are gone, the orders are not
            log.exception("the console has ended; trading goes on")
        finally:
            taken.close()

    async def _follow_certificate(self, used: ssl.SSLContext) -> None:
        """Take a renewed certificate over for whoever connects from then on. One that is no good is left and told."""
        files = (str(self._settings.tls_cert), str(self._settings.tls_key))
        known = await asyncio.to_thread(_marks, files)
        while True:
            await asyncio.sleep(self.renewed_every_s)
            marks = await asyncio.to_thread(_marks, files)
            if marks == known:
                continue
            known = marks
            try:
                await asyncio.to_thread(_renew, used, files)
            except (OSError, ValueError) as error:
                log.warning("the console's new certificate cannot be used, the old one stays in force: %s", error)
            else:
                log.info("the console's new certificate is in force")

    def _bind(self) -> socket.socket:
        """The port that was asked for, or a free one when somebody else has it."""
        host, port = self._settings.host, self._settings.port
        try:
            return _listening(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not self._settings.local:
                raise CannotServe(f"the console cannot listen at {host}:{port} ({error.strerror})") from error
        self.note = f"port {port} is taken, so the console took a free one (console.port)"
        try:
            return _listening(host, 0)
        except OSError as error:
            raise CannotServe(f"the console cannot listen at {host} ({error.strerror})") from error

    def _app(self) -> Console:
        settings = self._settings
        name = f"copytrade_{self.port}"  # cookies know no ports, and several workers may run on one machine
        return create_app(
            Parts(
                settings=settings, sources=self._sources, actions=self._actions, records=self._records, hub=self._hub,
                audit=self._audit, tail=self._tail, tokens=self._tokens,
                sessions=Sessions(self._tokens, settings.session_hours * 3600, time.monotonic),
                brake=Brake(time.monotonic), probes=self._probes, names=Names.of(settings, self.port),
                cookie_name=f"__Host-{name}" if settings.secure else name, redact=self._redact, alert=self._alert,
            )
        )  # fmt: skip

    def _config(self, app: Console) -> uvicorn.Config:
        return uvicorn.Config(
            app.guarded, http="h11", ws="none", lifespan="off", log_config=None, log_level="warning",
            access_log=False,
            server_header=False, proxy_headers=False, timeout_keep_alive=_KEEP_ALIVE_S, backlog=_BACKLOG,
            limit_concurrency=_CONNECTIONS_MAX, timeout_graceful_shutdown=1,
            ssl_certfile=self._settings.tls_cert, ssl_keyfile=self._settings.tls_key,
            ssl_keyfile_password=_NO_PASSWORD,
        )  # fmt: skip


def _marks(files: tuple[str, str]) -> list[tuple[int, int] | None]:
    """What changes when one of the files does."""
    found: list[tuple[int, int] | None] = []
    for file in files:
        try:
            status = os.stat(file)
        except OSError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_size))
    return found


def _renew(used: ssl.SSLContext, files: tuple[str, str]) -> None:
    """Raises `OSError` and `ValueError` for files that do not fit, with nothing changed."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*files, password=_NO_PASSWORD)
    used.load_cert_chain(*files, password=_NO_PASSWORD)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off; else each answer would wait 40 ms for it.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(_BACKLOG)  # at once: whoever reads the address on the screen may come before the server has begun
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made
