"""How commands reach a running worker: one JSON object a line over a Unix socket in `state/`.

The socket is in a folder that only its owner can enter, which is all the protection it has and all it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from copytrade.domain.errors import BadRequest, CopyTradeError, Refused

LINE_MAX_BYTES = 16 << 20  # the answer about a signal with 10,000 copies is about 5 MB
_PATH_MAX_BYTES = 100  # the kernel's limit for a socket's path is 108 on Linux and 104 elsewhere
_CONNECT_TIMEOUT_S = 2.0

log = logging.getLogger("copytrade.control")

Json = dict[str, Any]
Handler = Callable[[Json], Awaitable[Json]]


def socket_path(wanted: Path) -> Path:
    """Where the socket is: `state/worker.sock`, or for a path too long for one, a private folder made from it."""
    absolute = wanted.absolute()
    if len(os.fsencode(absolute)) <= _PATH_MAX_BYTES:
        return absolute
    digest = hashlib.sha256(os.fsencode(absolute)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"copytrade-{os.getuid()}" / f"{digest}.sock"


class ControlServer:
    """Answers commands inside the worker."""

    def __init__(self, path: Path, handlers: dict[str, Handler]) -> None:
        self._path = socket_path(path)
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. A socket left over from a worker that died is replaced: the caller holds the lock on `state/`."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._path.parent.stat().st_uid != os.getuid():
            raise CopyTradeError(f"{self._path.parent} belongs to another user; use a shorter path for --state")
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=LINE_MAX_BYTES)
        self._path.chmod(0o600)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for task in list(self._clients):
                task.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)
            await self._server.wait_closed()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            answer = await self._answer(await _line(reader))
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass  # the asker went away; what it asked for goes on all the same
        finally:
            self._clients.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, line: bytes) -> Json:
        try:
            request = json.loads(line)
            handler = self._handlers[request["do"]]
        except (ValueError, KeyError, TypeError):
            return {"error": "bad_request", "message": "the worker does not know this command; is it another version?"}
        try:
            return {"result": await handler(request)}
        except Refused as error:
            return {"error": "refused", "reason": error.reason.value, "message": str(error)}
        except BadRequest as error:
            return {"error": "bad_request", "message": str(error)}
        except CopyTradeError as error:
            return {"error": "failed", "message": str(error)}
        except Exception as error:
            log.exception("the command %s failed", request["do"])
            return _failed(f"a fault in the worker ({type(error).__name__}), see its log; then look at status")


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError:  # longer than any command is: answered like one that nobody knows
        return b""


def ask(path: Path, request: Json, timeout_s: float) -> Json | None:
    """Ask the worker; None when there is none. Raises `TimeoutError` when it does not answer in time.

    What keeps it from answering at all comes back as an answer with an error.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_CONNECT_TIMEOUT_S)
        place = socket_path(path)
        try:
            client.connect(os.fspath(place))
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return None
        except (TimeoutError, BlockingIOError):
            return _failed("the worker takes no commands now (stopped, or very busy); nothing was asked of it")
        except OSError as error:
            return _failed(f"the worker cannot be asked, {place}: {error.strerror}; use the account it runs under")
        client.settimeout(timeout_s)
        try:
            received = _exchange(client, json.dumps(request).encode() + b"\n")
        except (ConnectionResetError, BrokenPipeError):
            received = b""
    if not received.endswith(b"\n"):
        return _failed("the worker stopped before it answered; look at status")
    if len(received) > LINE_MAX_BYTES:
        return _failed("the worker's answer is too long to read; look at status")
    answer: Json = json.loads(received)
    return answer


def _exchange(client: socket.socket, line: bytes) -> bytes:
    """Send one line; the line that comes back, cut off where the worker stopped or the bound is passed."""
    client.sendall(line)
    received = bytearray()
    while not received.endswith(b"\n") and len(received) <= LINE_MAX_BYTES:
        part = client.recv(1 << 16)
        if not part:
            break
        received += part
    return bytes(received)


def _failed(message: str) -> Json:
    return {"error": "failed", "message": message}
