"""The ground that the running system and `check` stand on: settings, the lock on `state/`, venue and credentials."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from filelock import FileLock, Timeout

from copytrade.domain.account import AccountId
from copytrade.domain.errors import BadRequest, CopyTradeError
from copytrade.engine.ports import Clock
from copytrade.settings.credentials import Credentials
from copytrade.settings.load import Loaded
from copytrade.settings.model import Settings
from copytrade.settings.redaction import Redactor
from copytrade.settings.watch import Watcher
from copytrade.venues.kraken.options import KrakenOptions
from copytrade.venues.kraken.public import KrakenVenue
from copytrade.wiring.accounts import KeyPair, KrakenAccounts
from copytrade.wiring.convert import master_terms
from copytrade.wiring.paper import TIER, PaperVenue
from copytrade.wiring.paths import Paths


class StateBusy(CopyTradeError):
    """Another process works on this state folder."""


class CannotStart(CopyTradeError):
    """The settings do not allow a start; the text says what to set."""


class Ground:
    """Settings read, `state/` locked, the paper venue running if there is to be one, and the venue's adapter made.

    `open` raises `StateBusy`, `CannotStart` and `copytrade.settings.faults.SettingsError`, each with what to do.
    """

    venue: KrakenVenue
    accounts: KrakenAccounts

    def __init__(self, paths: Paths, environ: Mapping[str, str], clock: Clock, redactor: Redactor) -> None:
        self.paths = paths
        self.clock = clock
        self.redactor = redactor
        self.watcher = Watcher(paths.config, paths.users, environ, paths.dotenv)
        self.paper: PaperVenue | None = None
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
        refuse_unserved(self.loaded, self.paths)
        try:
            self.paths.make_state()
            self._lock_state()
        except OSError as error:
            raise CannotStart(
                f"{self.paths.state} cannot be used ({error.strerror}): make it a folder that this user may write to, "
                "or name another one with --state"
            ) from error
        base_url = await self._start_paper()
        self.venue = KrakenVenue(base_url, self._kraken_options(), clock=self.clock)
        self.accounts = KrakenAccounts(self.venue, self.paths.nonces, self.find_keys, self.redactor.add)
        self._closers.append(self.accounts.close)

    async def close(self) -> None:
        """Stop the paper venue, give keys and lock back. The venue's connections are closed by whoever used them."""
        if self.paper is not None:
            await self.paper.stop()
        for close in reversed(self._closers):
            close()
        self._closers.clear()

    def take_secrets(self, loaded: Loaded) -> None:
        """Let the redactor know every secret before anything can log one."""
        for secret in loaded.credentials.secrets():
            self.redactor.add(secret)

    def find_keys(self, account: AccountId) -> KeyPair | str:
        """Key and secret, or which variables to set. Raises `BadRequest` for an account that nobody has."""
        if self.paper is not None:
            return self.paper.credentials(account) or "the paper venue has no such account"
        try:
            found = self.loaded.credentials.of(account)
        except KeyError:
            raise BadRequest(f"{account} is not in the user files") from None
        if isinstance(found, Credentials):
            return found.api_key.reveal(), found.api_secret.reveal()
        return str(found)

    def require_master_keys(self) -> None:
        """Raises `CannotStart` naming the variables when real credentials are needed and there are none."""
        if self.paper is None:
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

    async def _start_paper(self) -> str:
        # Paper mode that was pointed at a venue on this machine uses that one, with credentials like a real one.
        if self.settings.mode == "live" or "kraken" in self.settings.overridden_venues():
            return self.settings.venues.kraken.base_url
        try:
            self.paper = PaperVenue(self.settings, self.paths)
            self.paper.enrol(self.loaded.users)
        except (OSError, sqlite3.Error) as error:
            raise CannotStart(
                f"the simulated venue cannot keep its file in {self.paths.paper} ({error}): see that the disk is "
                f"writable and has room; if the file is damaged, start afresh with another folder (--state)"
            ) from error
        await self.paper.start()
        return self.paper.base_url

    def _kraken_options(self) -> KrakenOptions:
        k, paper = self.settings.venues.kraken, self.paper is not None
        return KrakenOptions(
            tier=TIER if paper else k.tier,
            max_connections=k.max_connections,
            keepalive_s=float(k.keepalive_s),
            request_timeout_s=float(k.request_timeout_s),
            order_deadline_s=float(k.order_deadline_s),
            absence_settle_s=float(k.absence_settle_s),
            clock_skew_max_s=float(k.clock_skew_max_s),
            body_max_bytes=k.body_max_bytes,
            ip_orders_per_s=None if k.ip_orders_per_s is None else float(k.ip_orders_per_s),
            public_calls_per_s=None if paper else 1.0,
            nonce_jumps_max=self.settings.engine.nonce_jumps_max,
        )


def refuse_unserved(loaded: Loaded, paths: Paths) -> None:
    """Raises `CannotStart` for settings that this version reads but does not act on.

    A limit that somebody relies on and nobody enforces is worse than none.
    """
    if loaded.settings.master.venue != "kraken":
        raise CannotStart(
            f"{paths.config}: master.venue is {loaded.settings.master.venue!r}, which this version does not serve; "
            "set it to kraken"
        )
    if loaded.settings.master.watch:
        raise CannotStart(f"{paths.config}: master.watch is not served by this version; set it to false")
    for user in loaded.users:
        for field in ("max_daily_loss", "max_drawdown"):
            if getattr(user, field) is not None:
                raise CannotStart(
                    f"{user.account}: {field} is not enforced by this version; take it out of the user file rather "
                    "than rely on it (max_user_risk, max_order and max_exposure are enforced)"
                )
