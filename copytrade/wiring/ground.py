"""The ground that the running system and `check` stand on: settings, the lock on `state/`, venue and credentials."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from filelock import FileLock, Timeout

from copytrade.domain.account import AccountId, venue_of
from copytrade.domain.errors import BadRequest, CopyTradeError
from copytrade.engine.ports import Clock
from copytrade.settings.credentials import Credentials
from copytrade.settings.load import Loaded
from copytrade.settings.model import Settings
from copytrade.settings.notify import secret_parts
from copytrade.settings.redaction import Redactor
from copytrade.settings.watch import Watcher
from copytrade.wiring.convert import master_terms
from copytrade.wiring.paper import PaperVenues
from copytrade.wiring.paths import Paths
from copytrade.wiring.venues import Accounts, ConnectingVenue, Keys, make_venue


class StateBusy(CopyTradeError):
    """Another process works on this state folder."""


class CannotStart(CopyTradeError):
    """The settings do not allow a start; the text says what to set."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """Revealed credentials, on their way to an adapter."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)


class Ground:
    """Settings read, `state/` locked, paper venues running if there are to be any, and the venues' adapters made.

    `open` raises `StateBusy`, `CannotStart` and `copytrade.settings.faults.SettingsError`, each with what to do.
    """

    def __init__(self, paths: Paths, environ: Mapping[str, str], clock: Clock, redactor: Redactor) -> None:
        self.paths = paths
        self.clock = clock
        self.redactor = redactor
        self.watcher = Watcher(paths.config, paths.users, environ, paths.dotenv)
        self.paper: PaperVenues | None = None
        self.venues: dict[str, ConnectingVenue] = {}
        self.factories: dict[str, Accounts] = {}
        self.take_secrets(self.watcher.loaded)
        self._closers: list[Callable[[], object]] = []

    @property
    def loaded(self) -> Loaded:
        return self.watcher.loaded

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    async def open(self) -> None:
        """Lock, start, connect nothing yet."""
        try:
            self.paths.make_state()
            self._lock_state()
        except OSError as error:
            raise CannotStart(
                f"{self.paths.state} cannot be used ({error.strerror}): make it a folder that this user may write to, "
                "or name another one with --state"
            ) from error
        names = venues_in_use(self.loaded)
        await self._start_paper(names)
        for name in names:
            self.add_venue(name)

    async def close(self) -> None:
        """Stop the paper venues, give keys and lock back. Connections are closed by whoever used the adapters."""
        if self.paper is not None:
            await self.paper.stop()
        for close in reversed(self._closers):
            close()
        self._closers.clear()

    def add_venue(self, name: str) -> None:
        """Make the adapter of one more venue. Raises `CannotStart` for one that paper mode did not start with."""
        paper = self.paper is not None and name in self.paper.names
        if self.settings.mode == "paper" and not paper and name not in self.settings.overridden_venues():
            raise CannotStart(f"the paper venue {name} is started with the worker: restart it")
        assert not paper or self.paper is not None
        base_url = self.paper.base_url(name) if paper and self.paper else self._base_url(name)
        venue = make_venue(name, base_url, self.settings, self.clock, paper=paper)
        accounts = Accounts(venue, self.paths.nonces, self.find_keys, self.redactor.add)
        self.venues[name], self.factories[name] = venue, accounts
        self._closers.append(accounts.close)

    def take_secrets(self, loaded: Loaded) -> None:
        """Let the redactor know every secret before anything can log one."""
        for secret in loaded.credentials.secrets():
            self.redactor.add(secret)
        for address in loaded.environment.notify.values():
            for part in secret_parts(address.reveal()):
                self.redactor.add(part)

    def find_keys(self, account: AccountId) -> Keys | str:
        """The credentials, or which variables to set. Raises `BadRequest` for an account that nobody has."""
        if self.paper is not None and venue_of(account) in self.paper.names:
            return self.paper.keys(account) or "the paper venue has no such account"
        try:
            found = self.loaded.credentials.of(account)
        except KeyError:
            raise BadRequest(f"{account} is not in the user files") from None
        if isinstance(found, Credentials):
            passphrase = None if found.passphrase is None else found.passphrase.reveal()
            return KeySet(found.api_key.reveal(), found.api_secret.reveal(), passphrase)
        return str(found)

    def require_master_keys(self) -> None:
        """Raises `CannotStart` naming the variables when real credentials are needed and there are none."""
        keys = self.find_keys(master_terms(self.settings).account)
        if isinstance(keys, str):
            raise CannotStart(f"the master has no credentials: {keys}")

    # -- inside ----------------------------------------------------------------------------------------------------

    def _lock_state(self) -> None:
        lock = FileLock(self.paths.worker_lock, timeout=0, mode=0o600)
        try:
            lock.acquire()
        except Timeout:
            raise StateBusy(
                f"another process works on {self.paths.state}: stop it, or give this one another folder with --state"
            ) from None
        self._closers.append(lock.release)

    def _base_url(self, name: str) -> str:
        return self.settings.venues.of(name).base_url  # type: ignore[arg-type]

    async def _start_paper(self, names: Collection[str]) -> None:
        # A venue that paper mode was pointed at on this machine is used as it is, with credentials like a real one.
        embedded = set(names) - set(self.settings.overridden_venues())
        if self.settings.mode == "live" or not embedded:
            return
        try:
            self.paper = PaperVenues(self.settings, self.paths, embedded)
            self.paper.enrol(self.loaded.users)
        except (OSError, sqlite3.Error) as error:
            raise CannotStart(
                f"the simulated venues cannot keep their files in {self.paths.paper} ({error}): see that the disk is "
                f"writable and has room; if a file is damaged, start afresh with another folder (--state)"
            ) from error
        await self.paper.start()


def venues_in_use(loaded: Loaded) -> list[str]:
    """The master's venue, and every venue that a user has an account at."""
    return sorted({loaded.settings.master.venue, *(user.broker_type for user in loaded.users)})
