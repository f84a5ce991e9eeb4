"""Who did what from where: one line for each action of the console, and for each command that edits followers.

Each line is chained to the one before it by hash.

The file is `state/console_audit.jsonl`, for this user's eyes alone; it only grows.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from copytrade.domain.alerts import Alert, AlertKind

AUDIT_FILE = "console_audit.jsonl"
_TAIL_BYTES = 256 << 10  # as far back as the page shows; older lines are in the file
_START = "0" * 64

Json = dict[str, Any]


class AuditTrail(Protocol):
    """Keeps records of what operators did."""

    async def record(self, who: str, where: str, what: str, **more: Any) -> None:
        """Keep one record, durably. Raises `OSError` when that cannot be done."""
        ...

    async def latest(self, limit: int) -> list[Json]:
        """The last records, newest first."""
        ...


class AuditFile:
    """The trail as a file. Writes happen in a thread: a slow disk must not hold up the event loop."""

    def __init__(self, state: Path, clock: Callable[[], datetime], redact: Callable[[str], str]) -> None:
        self.path = state / AUDIT_FILE
        self._clock = clock
        self._redact = redact
        self._lock = threading.Lock()
        self._last = _START
        self._size = 0  # of the file that `_last` is the end of

    async def record(self, who: str, where: str, what: str, **more: Any) -> None:
        await asyncio.to_thread(self.keep, who, where, what, **more)

    def keep(self, who: str, where: str, what: str, **more: Any) -> None:
        """`record` for a caller without an event loop: a command."""
        at = self._clock().isoformat(timespec="milliseconds")
        body = {"at": at, "who": who, "where": where, "what": what, **more}
        self._append(json.loads(self._redact(json.dumps(body))))

    async def latest(self, limit: int) -> list[Json]:
        lines = await asyncio.to_thread(self._tail)
        return [json.loads(line) for line in lines[::-1][:limit]]

    def _append(self, body: Json) -> None:
        with self._lock:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # commands write to it as well; closing gives it back
                if os.fstat(descriptor).st_size != self._size:
                    lines = self._tail()
                    self._last = json.loads(lines[-1])["hash"] if lines else _START
                digest = chained(self._last, body)
                os.write(descriptor, json.dumps({**body, "hash": digest}).encode() + b"\n")
                os.fsync(descriptor)
                self._last, self._size = digest, os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)

    def _tail(self) -> list[str]:
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL_BYTES))
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return []
        lines = text.splitlines()
        return lines[1:] if size > _TAIL_BYTES else lines


def not_kept(error: OSError) -> Alert:
    """What the operator is told when a record cannot be kept."""
    return Alert(AlertKind.RECORD_NOT_KEPT, f"the console's audit trail cannot be written: {error}")


def chained(before: str, body: Json) -> str:
    """The hash of a record, which depends on the one before it."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{before}{text}".encode()).hexdigest()


def hashes(path: Path) -> set[str]:
    """The hash of every line that has one. Raises `OSError`."""
    found = set()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found.add(str(json.loads(line)["hash"]))
    return found


def first_break(path: Path) -> int | None:
    """The number of the first line (from 1) that was changed, put in or follows one that was taken out; None: whole."""
    last = _START
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            body = json.loads(line)
            digest = body.pop("hash")
        except (ValueError, KeyError, AttributeError):
            return number
        if digest != chained(last, body):
            return number
        last = digest
    return None
