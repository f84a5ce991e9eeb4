"""Changes the follower files: all of a change or nothing, and never so that they are worse than before.

A change is made on the texts in memory, checked by the rules that the worker reads the files with, and only then
written: beside the file, flushed, and moved into its place. Somebody who reads meanwhile sees the old file or the new.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from . import json_edit
from .faults import Fault, SettingsError
from .json_file import json_list_of
from .users import User, UsersFile, repeated_accounts, users_files, users_of

LOCK_FILE = ".users.lock"  # hidden files are not read as followers
LOCK_WAIT_S = 10.0  # a change takes milliseconds; who waits this long waits for something that hangs
_NEW_FILE_MODE = 0o640

Check = Callable[[list[UsersFile]], list[Fault]]
"""Faults that only show in the whole: of all files as they would be."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One follower's account and where it is written: its file, and which object of it."""

    user: User
    file: Path
    at: int


class UsersEdit:
    """The follower files while they are being changed. Made by `editing`."""

    def __init__(self, directory: Path, check: Check) -> None:
        self._directory = directory
        self._check = check
        self._before: dict[Path, str] = {}
        self._texts: dict[Path, str] = {}
        for path in users_files(directory):
            self._before[path] = self._texts[path] = _read(path)
        self._faults_before = self._faults()

    def entries(self) -> list[Entry]:
        """Every account in files without faults, as they stand now, in the order of the files."""
        return [
            Entry(placed.user, path, at)
            for path, text in sorted(self._texts.items())
            for at, placed in enumerate(_parsed(path, text).users)
        ]

    def find(self, who: str) -> list[Entry]:
        """The entries of a user (`alice`) or of one account (`kraken:alice`). Empty if there are none."""
        return [entry for entry in self.entries() if who in (entry.user.user_id, entry.user.account)]

    def set(self, entry: Entry, key: str, value: Any) -> None:
        """Give one entry another value. Entries stay valid."""
        self._texts[entry.file] = json_edit.set_member(self._texts[entry.file], entry.at, key, value)

    def add(self, file: Path, objects: Sequence[Mapping[str, Any]]) -> None:
        """More accounts in `file`, which may not exist yet. Raises `SettingsError` when it is broken as it is."""
        text = self._texts.get(file, "")
        if text and (broken := _parsed(file, text).faults):
            raise SettingsError(broken)
        self._texts[file] = json_edit.append_objects(text, objects)

    def remove(self, entry: Entry) -> None:
        """Take one entry out. Entries that were found before no longer hold."""
        self._texts[entry.file] = json_edit.remove_object(self._texts[entry.file], entry.at)

    def write(self) -> list[Fault]:
        """Check and put on disk; returns faults that were there before and keep the worker from taking this over.

        Raises `SettingsError` with what the change would break (then nothing was written), and `OSError`.
        """
        after = self._faults()
        known = {_essence(fault) for fault in self._faults_before}
        if new := [fault for fault in after if _essence(fault) not in known]:
            raise SettingsError(new)
        changed = {path: text for path, text in self._texts.items() if text != self._before.get(path)}
        # All of it lies ready on the disk before the first file moves.
        spares = {path: _spare(path, text) for path, text in changed.items()}
        for path, spare in spares.items():
            os.replace(spare, path)
        if changed:
            _flush(self._directory)
        return after

    def _faults(self) -> list[Fault]:
        files = [_parsed(path, text) for path, text in sorted(self._texts.items())]
        faults = [fault for file in files for fault in file.faults]
        repeated = repeated_accounts([placed for file in files for placed in file.users])
        return [*faults, *repeated, *self._check([file for file in files if not file.faults])]


@contextlib.contextmanager
def editing(directory: Path, check: Check = lambda files: []) -> Iterator[UsersEdit]:
    """The files under their lock: one change after the other. Raises `SettingsError` and `OSError`."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / LOCK_FILE, timeout=LOCK_WAIT_S, mode=0o660)
    try:
        lock.acquire()
    except Timeout:
        remedy = "Wait for the other command, or end it"
        raise SettingsError([Fault(str(directory), 0, "", "is being changed by another command", remedy)]) from None
    try:
        yield UsersEdit(directory, check)
    finally:
        lock.release()


def _read(path: Path) -> str:
    """The text with its line ends and its byte order mark as they are. Broken bytes make a fault, not a crash."""
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _parsed(path: Path, text: str) -> UsersFile:
    return users_of(json_list_of(str(path), text.encode("utf-8", "surrogateescape")))


def _essence(fault: Fault) -> tuple[str, str, str]:
    """A fault without its line, which a change elsewhere in the file moves."""
    return fault.file, fault.field, fault.problem


def _spare(path: Path, text: str) -> Path:
    """The text in a file beside `path`, on the disk, with the owner and the permissions of the one it will replace."""
    spare = path.with_name(f".{path.name}.{os.getpid()}.new")
    known = path.stat() if path.exists() else None
    descriptor = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _NEW_FILE_MODE)
    try:
        if known is not None:
            os.fchmod(descriptor, known.st_mode & 0o777)
            with contextlib.suppress(PermissionError):  # only root can give a file away, and only root needs to
                os.fchown(descriptor, known.st_uid, known.st_gid)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
        os.fsync(descriptor)
    except BaseException:
        spare.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return spare


def _flush(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
