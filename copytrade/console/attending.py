"""What runs beside trading for the operator: messages, the regular check, and figures for monitors.

Nothing of it may stop trading: what fails here is logged, and the rest goes on.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from copytrade.console.notify.watching import Notifier
from copytrade.domain.account import venue_of
from copytrade.domain.alerts import Alert, AlertKind, Tell
from copytrade.wiring.strategy_runner import StrategyRunner
from copytrade.wiring.system import System

log = logging.getLogger("copytrade.operator")


class Attendants:
    """Made before the system starts, so that what happens while it starts is told as well."""

    def __init__(self, system: System, redact: Callable[[str], str], clock: Callable[[], Any]) -> None:
        self._system = system
        self._runner: StrategyRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._metrics: Any = None
        self._left = False
        targets = system.settings.notify
        self.notifier = Notifier(targets, system.loaded.environment.notify, clock, redact)
        self.notifier.start()

    def start(self, runner: StrategyRunner | None, tell: Tell) -> None:
        """The system runs: begin to look after it. `tell` is for what the operator should see."""
        self._runner = runner
        for fault in self.notifier.faults:
            tell(Alert(AlertKind.CANNOT_TELL, fault))
        ledger = self._system.paths.ledger
        self._tasks = [
            self._task(lambda: self.notifier.run(ledger, self._busy), "messages"),
            self._task(lambda: self._check(tell), "regular check"),
        ]

    async def leave(self) -> None:
        """Let go of the system, which is about to stop. Alerts are still told."""
        self._left = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.close)
            self._metrics = None

    async def stop(self) -> None:
        """End everything; messages that wait are sent, for a few seconds at most. May be called in any case."""
        await self.leave()
        await asyncio.to_thread(self.notifier.close)

    async def metrics(self) -> str:
        """The text for Prometheus. The packages that it takes are imported beside trading, with the first question."""
        if self._left:
            return ""  # the last question of a monitor, in the instant of the stop
        if self._metrics is None:
            self._metrics = await asyncio.to_thread(self._make_metrics)
        text: str = await self._metrics.text()
        return text

    def venue_facts(self, name: str) -> Mapping[str, str]:
        """For the console's page on health: what is left of a venue's rate limits, and the scanner's breaker."""
        facts = {}
        members = [m for m in self._system.engine.services.roster if venue_of(m.terms.account) == name and m.client]
        left = [budget for m in members if (budget := getattr(m.client, "budget_left", None)) is not None]
        if left:
            facts["rate limit left"] = f"{min(left):.0%} at the busiest account"
        if (told := self._progress().get(name)) is not None:
            facts["scanner"] = f"{told.get('progress')}; breaker {str(told.get('breaker')).replace('_', ' ')}"
        return facts

    # -- inside ------------------------------------------------------------------------------------------------------

    def _make_metrics(self) -> Any:
        module: Any = importlib.import_module("copytrade.console.metrics")
        return module.Metrics(self._system, self._progress, self.notifier.counts)

    def _progress(self) -> Mapping[str, Mapping[str, Any]]:
        return {} if self._runner is None else self._runner.scanner.progress()

    def _busy(self) -> bool:
        services = self._system.engine.services
        return bool(services.sends_in_flight or services.ledger.state.unplanned)

    async def _check(self, tell: Tell) -> None:
        from copytrade.console.checkup import Checkup

        await Checkup(self._system, tell).run(self._system.settings.check)

    def _task(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> asyncio.Task[None]:
        async def guarded() -> None:
            try:
                await work()
            except Exception:  # an operator without messages is better off than one without trading
                log.exception("%s: ended by a fault; trading goes on without it until a restart", name)

        return asyncio.create_task(guarded(), name=name)
