"""The kill switch: one file that stops everything, looked at before every single send.

The file is looked at anew each time: that is one system call, and any answer kept in memory would be an answer from
before somebody touched the file.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from copytrade.domain.order import Effect

FILE_NAME = "SYSTEM_DISABLED"
ENVIRONMENT_NAME = "SYSTEM_DISABLED"
_TRUE = frozenset({"1", "true", "yes", "on"})
_DIRECTORY_TRUSTED_S = 0.02  # the file is looked at every time; that its folder is still there, once in so long
_TEXT_MAX_BYTES = 256  # the longest word we know has 10 letters; a file larger than this is somebody's accident


class KillState(StrEnum):
    """What may leave."""

    OFF = "off"
    CLOSE_ONLY = "close_only"
    FLATTEN = "flatten"
    HALT = "halt"

    def stops(self, effect: Effect) -> bool:
        """Whether an order with this effect must stay. Anything but OFF stops entries; HALT stops exits too."""
        if self is KillState.OFF:
            return False
        return self is KillState.HALT or effect is Effect.ENTRY


class KillSwitch:
    """Looks at `state/SYSTEM_DISABLED` and the environment. Whatever cannot be looked at counts as HALT."""

    def __init__(self, state_dir: Path, environ: Mapping[str, str]) -> None:
        self._directory = os.fspath(state_dir)
        self._path = os.path.join(self._directory, FILE_NAME)
        self._environ = environ
        self._directory_seen_at = -1.0

    @property
    def path(self) -> Path:
        return Path(self._path)

    def look(self) -> KillState:
        """The state right now."""
        if self._environ.get(ENVIRONMENT_NAME, "").strip().lower() in _TRUE:
            return KillState.HALT
        try:
            os.lstat(self._path)
        except FileNotFoundError:
            return self._absent()
        except OSError:
            return KillState.HALT
        return self._read()

    def _absent(self) -> KillState:
        """No such file means OFF only if the directory it would be in is really there."""
        now = time.monotonic()
        if now - self._directory_seen_at < _DIRECTORY_TRUSTED_S:
            return KillState.OFF
        try:
            there = stat.S_ISDIR(os.stat(self._directory).st_mode)
        except OSError:
            return KillState.HALT
        if not there:
            return KillState.HALT
        self._directory_seen_at = now
        return KillState.OFF

    def _read(self) -> KillState:
        try:
            with open(self._path, "rb") as file:
                text = file.read(_TEXT_MAX_BYTES).decode("utf-8", "replace").strip().lower()
        except OSError:
            return KillState.HALT
        if text in (KillState.CLOSE_ONLY, KillState.FLATTEN):
            return KillState(text)
        return KillState.HALT

    def engage(self, state: KillState) -> None:
        """Put the switch on disk, durably. `OFF` is not for this: see `lift`."""
        if state is KillState.OFF:
            raise ValueError("engage takes a state that stops something; lift() takes the switch away")
        temporary = f"{self._path}.{os.getpid()}.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, b"" if state is KillState.HALT else state.value.encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, self._path)

    def lift(self) -> bool:
        """Take the file away. False if there was none. An environment that says SYSTEM_DISABLED still stops."""
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            return False
        return True
