"""The console of a running worker: its parts from the system, its token, its address on the screen."""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from copytrade.console import health
from copytrade.console.web import engine_calls
from copytrade.console.web.access import TokenFile
from copytrade.console.web.actions import EngineActions, SetMode
from copytrade.console.web.app import Probes
from copytrade.console.web.logtail import LogTail
from copytrade.console.web.server import CannotServe, ConsoleServer
from copytrade.console.web.sources import DriftProvider, EngineSources, FactsProvider
from copytrade.domain.account import Mode
from copytrade.domain.alerts import Tell
from copytrade.settings.redaction import Redactor
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import System

log = logging.getLogger("copytrade.console")

Say = Callable[[str], None]
MetricsText = Callable[[], Awaitable[str]]


async def start_console(
    system: System,
    redactor: Redactor,
    tail: LogTail,
    say: Say,
    *,
    drift: DriftProvider | None = None,
    venue_facts: FactsProvider | None = None,
    metrics: MetricsText | None = None,
    reconcile: Callable[[str | None], Any] | None = None,
    flatten: Callable[[str], Any] | None = None,
    alert: Tell | None = None,
) -> ConsoleServer | None:
    """Serve it and tell where; None when that cannot be done, which is told too. Never raises."""
    settings, engine = system.settings, system.engine
    drift = drift or partial(engine_calls.drift_words, engine)
    reconcile = reconcile or partial(engine_calls.reconcile, engine)
    flatten = flatten or partial(engine_calls.flatten, engine)
    sources = EngineSources(
        engine, settings.mode, settings.master.strategy, redactor.redact, drift, venue_facts, lambda: system.progress()
    )
    actions = EngineActions(engine, mode_setter(system.paths), reconcile, flatten)
    server = ConsoleServer(
        settings.console, system.paths.state, system.paths.ledger, sources, actions, probes(system, metrics), tail,
        redactor.redact, engine.services.clock, alert=alert,
    )  # fmt: skip
    try:
        await server.start()
        say(f"console: {server.url}{f' ({server.note})' if server.note else ''}")
        show_first_token(TokenFile(system.paths.state), redactor, say)
    except (CannotServe, OSError) as error:
        say(f"!! {error}; trading goes on without the console")
        await server.stop()
        return None
    except Exception as error:  # a page must never be what stops an order
        log.exception("the console cannot start")
        say(f"!! the console cannot start ({type(error).__name__}, see the log); trading goes on without it")
        await server.stop()
        return None
    return server


def show_first_token(tokens: TokenFile, redactor: Redactor, say: Say) -> None:
    """Make the first token and show it to whoever sits at the terminal; where nobody does, say how to make one.

    It goes past the redactor on purpose, and only here; from then on the redactor knows it. Raises `OSError`.
    """
    if tokens.exists():
        return
    if not sys.stdout.isatty():  # a log or a journal would keep it
        say("  no token yet, so nobody can sign in: make one with python -m copytrade console-token --new")
        return
    token = tokens.renew()
    sys.stdout.write(f"  sign in with this token, which is shown only now: {token}\n")
    sys.stdout.flush()
    redactor.add(token)


def probes(system: System, metrics: MetricsText | None) -> Probes:
    """What monitors ask, of this system."""
    return Probes(lambda: health.healthy(system), lambda: health.ready(system), metrics)


def mode_setter(paths: Paths) -> SetMode:
    """What edits the user files."""

    def set_mode(account: str, mode: Mode, instrument: str = "") -> None:
        from copytrade.console.enrolling import set_mode_for_console

        set_mode_for_console(paths, account, mode, instrument)

    return set_mode
