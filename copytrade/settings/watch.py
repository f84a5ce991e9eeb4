"""Notices when the operator's files change, and says what that means."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from .faults import Fault, SettingsError
from .load import (
    Loaded,
    combine,
    list_users_files,
    read_environment_or_faults,
    read_settings_or_faults,
)
from .model import Settings
from .users import User, UsersFile, read_users_file

# Sections that shape connections, lanes and the simulated venues, which are built once at the start.
RESTART_SECTIONS = (
    "mode", "master", "apex", "venues", "paper", "engine", "console", "check", "notify", "journal", "independent",
    "log",
)  # fmt: skip

_Mark = tuple[int, int, int, int] | None
# The directory's mark says only whether it could be listed: its time changes with every editor's spare copy.
_LISTED: _Mark = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Changed:
    """One figure, before and after."""

    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.field}: {self.before} -> {self.after}"


@dataclass(frozen=True, slots=True)
class Change:
    """What is different from the state before. It is in force in `loaded` already.

    Attributes:
        loaded: the new state. Settings that need a restart still have their old values in it.
        added, removed: accounts that came and went.
        changed: account to its changed fields.
        credentials: accounts whose credentials came, went or changed.
        settings: changed settings that are in force.
        needs_restart: changed settings that are not in force until a restart.
        left: files that disappeared, each with the accounts that left with it. Worth an alert: it may be a
            slip.
        rejected: faults of files that were refused whole in the same round; their last good content stays.
    """

    loaded: Loaded
    added: tuple[User, ...] = ()
    removed: tuple[User, ...] = ()
    changed: Mapping[str, tuple[Changed, ...]] = ()  # type: ignore[assignment]
    credentials: tuple[str, ...] = ()
    settings: tuple[Changed, ...] = ()
    needs_restart: tuple[Changed, ...] = ()
    left: tuple[tuple[str, tuple[str, ...]], ...] = ()
    rejected: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """Files changed, but nothing of that could be used; everything stays as it was."""

    faults: tuple[Fault, ...]


class Watcher:
    """Compares cheap marks of the files at every `poll` and reads again what differs.

    It has no thread and no timer of its own. Each file stands for itself: a broken one keeps its last good
    content while the others' changes take effect, so that one follower's slip holds up nobody else. A file
    that is caught half-written is refused like a broken one and read again at its next mark.
    """

    def __init__(
        self,
        config_path: Path,
        users_dir: Path,
        environ: Mapping[str, str],
        dotenv_path: Path | None = None,
    ) -> None:
        """Reads everything.

        Raises:
            SettingsError: as `load` does; there is no last good state to keep yet.
        """
        self._config_path, self._users_dir = config_path, users_dir
        self._environ, self._dotenv_path = dict(environ), dotenv_path
        self._files: dict[Path, UsersFile] = {}
        # Read once in vain because the whole did not fit together; to be read again with the next change.
        self._pending: set[Path] = set()
        self.rereads = 0  # how often a poll has read files again, be it that they said what they had said before
        self._marks = self._look([])
        faults: list[Fault] = []
        environment = read_environment_or_faults(self._environ, dotenv_path, faults)
        settings, self._notes = read_settings_or_faults(config_path, environment, faults)
        list_users_files(users_dir, faults)
        for path in self._marks:
            if path not in self._others():
                self._files[path] = read_users_file(path)
                faults += self._files[path].faults
        if faults:
            raise SettingsError(faults)
        self.loaded = combine(config_path, settings, self._notes, self._files.values(), environment)

    def poll(self) -> Change | Rejected | None:
        """Look once; never raises for what is in the files.

        Costs one directory listing and a `stat` of each file when nothing changed. Otherwise it reads what
        changed, so an event loop calls it in a thread.
        """
        faults: list[Fault] = []
        marks = self._look(faults)
        if marks == self._marks:
            return None
        # Marks were taken before reading: a file that changes meanwhile is read again at the next poll.
        before, self._marks = self._marks, marks
        touched = {path for path in marks.keys() | before.keys() if marks.get(path) != before.get(path)}
        touched |= self._pending
        if faults:
            self._pending = touched
            return Rejected(tuple(faults))
        self.rereads += 1
        return self._reread(touched)

    def _others(self) -> set[Path | None]:
        """Places that are watched and are no users' files."""
        return {self._config_path, self._dotenv_path, self._users_dir}

    def _look(self, faults: list[Fault]) -> dict[Path, _Mark]:
        paths = [self._config_path, *list_users_files(self._users_dir, faults)]
        if self._dotenv_path is not None:
            paths.append(self._dotenv_path)
        marks = {path: _mark(path) for path in paths}
        marks[self._users_dir] = None if faults else _LISTED
        if faults:  # an unreadable directory is not an empty one: its files stay in force
            marks.update({path: self._marks.get(path) for path in self._files})
        return marks

    def _reread(self, touched: set[Path]) -> Change | Rejected | None:
        rejected: list[Fault] = []
        files, left = self._reread_users(touched, rejected)
        settings, notes, environment = self.loaded.settings, self._notes, self.loaded.environment
        if touched & {self._config_path, self._dotenv_path}:
            faults: list[Fault] = []
            new_environment = read_environment_or_faults(self._environ, self._dotenv_path, faults)
            new_settings, new_notes = read_settings_or_faults(self._config_path, new_environment, faults)
            rejected += faults
            if not faults:
                settings, notes, environment = new_settings, new_notes, new_environment
        wanted = settings
        settings = _without_restart_sections(self.loaded.settings, settings)
        try:
            loaded = combine(self._config_path, settings, notes, files.values(), environment)
        except SettingsError as error:
            self._pending = touched
            return Rejected((*rejected, *error.faults))
        self._pending = set()
        change = _compare(self.loaded, loaded, wanted, left, tuple(rejected))
        self._files, self._notes, self.loaded = files, notes, loaded
        if change.loaded is loaded and _says_nothing(change):
            return Rejected(tuple(rejected)) if rejected else None
        return change

    def _reread_users(
        self, touched: set[Path], rejected: list[Fault]
    ) -> tuple[dict[Path, UsersFile], tuple[tuple[str, tuple[str, ...]], ...]]:
        files = dict(self._files)
        left = []
        for path in sorted(path for path in touched if path not in self._others()):
            if path not in self._marks:
                gone = files.pop(path, None)
                if gone is not None and gone.users:
                    left.append((str(path), tuple(each.user.account for each in gone.users)))
                continue
            read = read_users_file(path)
            if read.faults:
                rejected += read.faults
            else:
                files[path] = read
        return {path: files[path] for path in sorted(files)}, tuple(left)


def _mark(path: Path) -> _Mark:
    try:
        status = path.stat()
    except OSError:
        return None
    kind = stat.S_IFMT(status.st_mode)
    return (
        status.st_ino,
        status.st_size if stat.S_ISREG(kind) else -1,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _without_restart_sections(current: Settings, wanted: Settings) -> Settings:
    return wanted.model_copy(update={name: getattr(current, name) for name in RESTART_SECTIONS})


def _compare(
    old: Loaded,
    new: Loaded,
    wanted: Settings,
    left: tuple[tuple[str, tuple[str, ...]], ...],
    rejected: tuple[Fault, ...],
) -> Change:
    old_users = {user.account: user for user in old.users}
    new_users = {user.account: user for user in new.users}
    both = [account for account in new_users if account in old_users]
    differing = {account: _fields(old_users[account], new_users[account]) for account in both}
    keys = old.credentials.by_account.keys() | new.credentials.by_account.keys()
    return Change(
        new,
        tuple(user for account, user in new_users.items() if account not in old_users),
        tuple(user for account, user in old_users.items() if account not in new_users),
        {account: fields for account, fields in differing.items() if fields},
        tuple(sorted(a for a in keys if old.credentials.by_account.get(a) != new.credentials.by_account.get(a))),
        _fields(old.settings, new.settings),
        _fields(new.settings, wanted),
        left,
        rejected,
    )


def _fields(old: BaseModel, new: BaseModel, prefix: str = "") -> tuple[Changed, ...]:
    changed: list[Changed] = []
    if old == new:
        return ()
    for name, field in type(old).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        key = f"{prefix}{field.alias or name}"
        if isinstance(before, BaseModel) and isinstance(after, BaseModel):
            changed += _fields(before, after, f"{key}.")
        elif before != after:
            changed.append(Changed(key, before, after))
    return tuple(changed)


def _says_nothing(change: Change) -> bool:
    return not (
        change.added
        or change.removed
        or change.changed
        or change.credentials
        or change.settings
        or change.needs_restart
        or change.left
    )
