"""Builds the running system from the operator's files: the one place where every part meets every other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from copytrade.domain.account import AccountId
from copytrade.domain.alerts import Alert, AlertKind, Tell
from copytrade.domain.copy import Decision
from copytrade.domain.money import Amount
from copytrade.domain.signal import Signal
from copytrade.engine.killswitch import KillSwitch
from copytrade.engine.ports import Clock
from copytrade.engine.service import Engine, Wiring
from copytrade.ledger.store import Ledger
from copytrade.settings.load import Loaded
from copytrade.settings.model import Settings
from copytrade.settings.redaction import Redactor
from copytrade.settings.watch import Change, Rejected
from copytrade.wiring.convert import (
    copy_rules,
    drift_rules,
    follower_terms,
    limits,
    master_guards,
    master_terms,
    watch_rules,
)
from copytrade.wiring.ground import CannotStart, Ground, StateBusy, venues_in_use
from copytrade.wiring.paper import PaperVenues
from copytrade.wiring.paths import Paths

log = logging.getLogger("copytrade.system")


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who hears of things, and what a caller may exchange. `adjust` sees the wiring before the engine does."""

    alert: Tell = lambda alert: log.warning("%s", alert)
    planned: Callable[[Signal, tuple[Decision, ...]], None] = lambda signal, copies: None
    adjust: Callable[[Wiring], Wiring] = lambda wiring: wiring
    clock: Clock = utc_now


class System:
    """Everything that runs. Use as an asynchronous context manager: inside it, the engine is ready.

    Entering raises `StateBusy`, `CannotStart`, `LedgerError` and `copytrade.settings.faults.SettingsError`, each with
    what to do, and with nothing left running.
    """

    ledger: Ledger
    engine: Engine

    def __init__(self, paths: Paths, environ: Mapping[str, str], hooks: Hooks, redactor: Redactor) -> None:
        self.paths = paths
        self._environ = environ
        self._hooks = hooks
        self.ground = Ground(paths, environ, hooks.clock, redactor)
        # What the loops beside trading say of themselves, for pages and commands; set by whoever runs them.
        self.progress: Callable[[], dict[str, Any]] = dict

    @property
    def loaded(self) -> Loaded:
        return self.ground.loaded

    @property
    def settings(self) -> Settings:
        return self.ground.settings

    @property
    def paper(self) -> PaperVenues | None:
        return self.ground.paper

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
        """Look at the operator's files once; slow when they changed, so a loop calls it in a thread.

        Files that were written and say what they said before are a change without news: a mode that was put in force
        ahead of them (`flatten --instrument`) ends with it.
        """
        watcher = self.ground.watcher
        rereads = watcher.rereads
        change = watcher.poll()
        return Change(watcher.loaded, changed={}) if change is None and watcher.rereads > rereads else change

    def take_change(self, change: Change) -> None:
        """Put changed files in force, on the event loop's thread. Raises `CannotStart` for what is not served."""
        self.ground.take_secrets(change.loaded)
        for name in venues_in_use(change.loaded):
            if name not in self.ground.venues:
                self.ground.add_venue(name)
                self.engine.add_venue(self.ground.venues[name], self.ground.factories[name])
        if self.paper is not None:
            self.paper.enrol(change.loaded.users)
        settings = change.loaded.settings
        self.engine.apply_rules(copy_rules(settings), master_guards(settings), settings.copying.stand_ins)
        self.engine.apply_drift_rules(drift_rules(settings))
        self.engine.apply_terms(follower_terms(change.loaded.settings, change.loaded.users))

    async def _start(self) -> None:
        await self.ground.open()
        self.ground.require_master_keys()
        inner = self.settings.engine
        self.ledger = Ledger.open(
            self.paths.ledger,
            group_ms=inner.ledger_group_ms,
            history_every_s=60.0 * inner.equity_history_minutes,
        )
        followers = follower_terms(self.settings, self.loaded.users)
        self._warn_of_orphans(followers)
        wiring = Wiring(
            ledger=self.ledger,
            clock=self._hooks.clock,
            kill=KillSwitch(self.paths.state, self._environ),
            venues=dict(self.ground.venues),
            factories=dict(self.ground.factories),
            master=master_terms(self.settings),
            followers=followers,
            rules=copy_rules(self.settings),
            guards=master_guards(self.settings),
            connect_min=Amount(self.settings.guards.connect_min),
            limits=limits(self.settings),
            stand_ins=self.settings.copying.stand_ins,
            alert=self._hooks.alert,
            planned=self._hooks.planned,
            drift=drift_rules(self.settings),
            watch=watch_rules(self.settings),
        )
        self.engine = Engine(self._hooks.adjust(wiring))
        await self.engine.start()

    async def _stop(self) -> None:
        if hasattr(self, "engine"):
            await self.engine.stop(float(self.settings.engine.shutdown_grace_s))
        if hasattr(self, "ledger"):
            self.ledger.close()
        await self.ground.close()

    def _warn_of_orphans(self, followers: Mapping[AccountId, object]) -> None:
        """Copied positions of accounts that are in no user file: nothing will take them out."""
        master = master_terms(self.settings).account
        for (account, symbol), quantity in self.ledger.state.positions.items():
            if account not in followers and account != master and quantity:
                self._hooks.alert(
                    Alert(
                        AlertKind.EXIT_IMPOSSIBLE,
                        f"{account} holds {quantity} copied {symbol} and is in no user file: its exits cannot be "
                        "placed; enrol it again (enabled: false is enough), or close the position by hand",
                        account,
                    )
                )


__all__ = ["CannotStart", "Hooks", "StateBusy", "System", "utc_now"]
