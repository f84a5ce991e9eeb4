"""Builds the running system from the operator's files: the one place where every part meets every other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from copytrade.domain.account import AccountId
from copytrade.domain.copy import Decision
from copytrade.domain.errors import BadRequest, CopyTradeError
from copytrade.domain.money import Amount
from copytrade.domain.signal import Signal
from copytrade.engine.killswitch import KillSwitch
from copytrade.engine.ports import Clock, Venue
from copytrade.engine.service import Engine, Wiring
from copytrade.ledger.store import Ledger
from copytrade.settings.credentials import Credentials
from copytrade.settings.faults import Fault
from copytrade.settings.load import Loaded
from copytrade.settings.model import Settings
from copytrade.settings.redaction import Redactor
from copytrade.settings.watch import Change, Rejected, Watcher
from copytrade.venues.kraken.options import KrakenOptions
from copytrade.venues.kraken.public import KrakenVenue
from copytrade.wiring.accounts import KeyPair, KrakenAccounts
from copytrade.wiring.convert import copy_rules, follower_terms, limits, master_guards, master_terms
from copytrade.wiring.paper import TIER, PaperVenue
from copytrade.wiring.paths import Paths

log = logging.getLogger("copytrade.system")


class StateBusy(CopyTradeError):
    """Another process works on this state folder."""


class CannotStart(CopyTradeError):
    """The settings do not allow a start; the text says what to set."""


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who hears of things, and what a caller may exchange. `adjust` sees the wiring before the engine does."""

    alert: Callable[[str], None] = log.warning
    planned: Callable[[Signal, tuple[Decision, ...]], None] = lambda signal, copies: None
    adjust: Callable[[Wiring], Wiring] = lambda wiring: wiring
    clock: Clock = utc_now


class System:
    """Everything that runs. Use as an asynchronous context manager: inside it, the engine is ready.

    Raises `StateBusy`, `CannotStart`, `LedgerError` and `copytrade.settings.faults.SettingsError` at entry, each with
    what to do, and with nothing left running.
    """

    def __init__(self, paths: Paths, environ: Mapping[str, str], hooks: Hooks, redactor: Redactor) -> None:
        self.paths = paths
        self.redactor = redactor
        self._environ = environ
        self._hooks = hooks
        self._closers: list[Callable[[], object]] = []
        self.paper: PaperVenue | None = None
        self.engine: Engine
        self.ledger: Ledger
        self.watcher: Watcher

    @property
    def loaded(self) -> Loaded:
        return self.watcher.loaded

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    def poll_files(self) -> Change | Rejected | None:
        """Look at the operator's files once; slow when they changed, so a loop calls it in a thread."""
        return self.watcher.poll()

    def take_change(self, change: Change) -> None:
        """Put changed files in force. Called on the event loop's thread."""
        self._refuse_unenforced(change.loaded)
        for secret in change.loaded.credentials.secrets():
            self.redactor.add(secret)
        if self.paper is not None:
            self.paper.enrol(change.loaded.users)
        self.engine.apply_rules(copy_rules(change.loaded.settings), master_guards(change.loaded.settings))
        self.engine.apply_terms(follower_terms(change.loaded.settings, change.loaded.users))

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        self.watcher = Watcher(self.paths.config, self.paths.users, self._environ, self.paths.dotenv)
        for secret in self.loaded.credentials.secrets():
            self.redactor.add(secret)
        self._check_start()
        self.paths.make_state()
        self._lock_state()
        self.ledger = Ledger.open(self.paths.ledger, group_ms=self.settings.engine.ledger_group_ms)
        self._closers.append(self.ledger.close)
        base_url = await self._start_paper()
        venue = KrakenVenue(base_url, self._kraken_options(), clock=self._hooks.clock)
        accounts = KrakenAccounts(venue, self.paths.nonces, self._find_keys, self.redactor.add)
        self._closers.append(accounts.close)
        venues: dict[str, Venue] = {venue.name: venue}
        self.engine = Engine(
            self._hooks.adjust(
                Wiring(
                    ledger=self.ledger,
                    clock=self._hooks.clock,
                    kill=KillSwitch(self.paths.state, self._environ),
                    venues=venues,
                    factories={venue.name: accounts},
                    master=master_terms(self.settings),
                    followers=follower_terms(self.settings, self.loaded.users),
                    rules=copy_rules(self.settings),
                    guards=master_guards(self.settings),
                    connect_min=Amount(self.settings.guards.connect_min),
                    limits=limits(self.settings),
                    alert=self._hooks.alert,
                    planned=self._hooks.planned,
                )
            )
        )
        await self.engine.start()

    async def _stop(self) -> None:
        if hasattr(self, "engine"):
            await self.engine.stop(float(self.settings.engine.shutdown_grace_s))
        if self.paper is not None:
            await self.paper.stop()
        for close in reversed(self._closers):
            close()
        self._closers.clear()

    def _check_start(self) -> None:
        settings = self.settings
        if settings.master.venue != "kraken":
            raise CannotStart(
                f"{self.paths.config}: master.venue is {settings.master.venue!r}, which this version does not serve; "
                "set it to kraken"
            )
        self._refuse_unenforced(self.loaded)
        if settings.mode == "live" or self._own_venue():
            keys = self._find_keys(master_terms(settings).account)
            if isinstance(keys, str):
                raise CannotStart(f"the master has no credentials: {keys}")

    def _refuse_unenforced(self, loaded: Loaded) -> None:
        """A limit that somebody relies on and nobody enforces is worse than none."""
        for user in loaded.users:
            for field in ("max_daily_loss", "max_drawdown"):
                if getattr(user, field) is not None:
                    raise CannotStart(
                        f"{user.account}: {field} is not enforced by this version; take it out of the user file "
                        "rather than rely on it (max_user_risk, max_order and max_exposure are enforced)"
                    )
        if loaded.settings.master.watch:
            raise CannotStart(
                f"{self.paths.config}: master.watch is not served by this version; set it to false"
            )

    def _lock_state(self) -> None:
        lock = FileLock(self.paths.worker_lock, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise StateBusy(
                f"another process works on {self.paths.state}: stop it, or give this one another folder with --state"
            ) from None
        self._closers.append(lock.release)

    def _own_venue(self) -> bool:
        """Whether paper mode was pointed at a venue that somebody else runs on this machine."""
        return "kraken" in self.settings.overridden_venues()

    async def _start_paper(self) -> str:
        if self.settings.mode == "live" or self._own_venue():
            return self.settings.venues.kraken.base_url
        self.paper = PaperVenue(self.settings, self.paths)
        self.paper.enrol(self.loaded.users)
        await self.paper.start()
        return self.paper.base_url

    def _kraken_options(self) -> KrakenOptions:
        k, e = self.settings.venues.kraken, self.settings.engine
        paper = self.paper is not None
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
            nonce_jumps_max=e.nonce_jumps_max,
        )

    def _find_keys(self, account: AccountId) -> KeyPair | str:
        if self.paper is not None:
            return self.paper.credentials(account) or "the paper venue has no such account"
        try:
            found = self.loaded.credentials.of(account)
        except KeyError:
            raise BadRequest(f"{account} is not in the user files") from None
        if isinstance(found, Credentials):
            return found.api_key.reveal(), found.api_secret.reveal()
        return str(found)


__all__ = ["CannotStart", "Fault", "Hooks", "StateBusy", "System", "utc_now"]
