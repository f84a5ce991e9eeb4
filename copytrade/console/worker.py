"""The worker: starts the system, follows the operator's files, answers commands, stops without dropping anything."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import logging
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from copytrade.console.attending import Attendants
from copytrade.console.control import ControlServer
from copytrade.console.drifting import drift, flatten, reconcile
from copytrade.console.independents import progress
from copytrade.console.journal import JournalKeeper, TradeJournal
from copytrade.console.limiting import limits, rearm
from copytrade.console.logs import set_up_logging
from copytrade.console.operations import amend, cancel, trade
from copytrade.console.report import Report
from copytrade.console.switching import FLATTEN_TIMEOUT_S
from copytrade.console.trail_keeper import TrailKeeper
from copytrade.console.web.logtail import LogTail
from copytrade.domain.account import user_of
from copytrade.domain.alerts import Alert, Tell
from copytrade.domain.errors import CopyTradeError
from copytrade.engine.killswitch import KillState
from copytrade.engine.services import ServiceStopping
from copytrade.settings.faults import SettingsError
from copytrade.settings.redaction import Redactor
from copytrade.settings.watch import Rejected
from copytrade.wiring.independent import Independents
from copytrade.wiring.paths import Paths
from copytrade.wiring.strategy import make_runner
from copytrade.wiring.system import Hooks, System

FILES_EVERY_S = 0.5  # a change takes effect within two seconds, a slow disk and a large folder included
ONCE_WAIT_S = 30.0  # for the answers of a venue in trouble; what takes longer is carried on with at the next start
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = logging.getLogger("copytrade.worker")


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT. 0 after a clean stop, 1 when it cannot start or the ledger failed, 2 for usage."""
    options = _options(arguments)
    _allow_many_files()
    paths = Paths(options.config, options.users, options.state, Path(".env"))
    redactor = Redactor()
    set_up_logging(redactor)
    try:
        return asyncio.run(_run(paths, options.once, redactor))
    except (CopyTradeError, SettingsError) as error:
        sys.stderr.write(redactor.redact(f"run_master: {error}\n"))
        return 1
    except (ServiceStopping, KeyboardInterrupt):
        return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run_master.py", description="Copies the master's trades to its followers.")
    parser.add_argument("--config", type=Path, default=Path("config/copytrade.yaml"), help="settings (%(default)s)")
    parser.add_argument("--users", type=Path, default=Path("config/users"), help="follower files (%(default)s)")
    parser.add_argument("--state", type=Path, default=Path("state"), help="ledger, nonces, kill switch (%(default)s)")
    parser.add_argument("--once", action="store_true", help="recover, let the strategy decide once, and stop")
    return parser.parse_args(arguments)


def _allow_many_files() -> None:
    """As many open files as the system allows: each account has its nonce file open, each connection its socket."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):  # then the limit stays, and accounts beyond it say so
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Screen:
    """Writes to standard output, redacted, and never fails because nobody reads it."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def __call__(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(self._redactor.redact(text) + "\n")
            sys.stdout.flush()


class Alarm:
    """Tells the operator on every way there is: the screen, the console's log, messages."""

    def __init__(self, screen: Screen, tail: LogTail) -> None:
        self._screen = screen
        self._tail = tail
        self.attendants: Attendants | None = None

    def __call__(self, alert: Alert) -> None:
        self._screen(f"!! {alert}")
        self._tail.alert(alert)
        if self.attendants is not None:
            self.attendants.notifier.alert(alert)


async def _run(paths: Paths, once: bool, redactor: Redactor) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    screen = Screen(redactor)
    reports: list[Report] = []
    tail = LogTail(redactor.redact)
    alert = Alarm(screen, tail)
    hooks = Hooks(
        alert=alert,
        planned=lambda signal, copies: reports[0].planned(signal, copies) if reports else None,
    )
    system = System(paths, os.environ, hooks, redactor)
    attendants = Attendants(system, redactor.redact, hooks.clock)
    alert.attendants = attendants
    starting = asyncio.create_task(system.__aenter__())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # asked to stop while a venue does not answer
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await attendants.stop()
        return 0
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(attendants.stop)
        await starting
        journal = _journal(system, alert)
        if journal is not None:
            stack.push_async_callback(journal.write)  # once more when all is over: the last fills came in the end
        stack.push_async_exit(system)
        set_up_logging(redactor, system.settings.log.level, system.settings.log.format)
        report = Report(system.ledger, system.engine.tracker, screen)
        reports.append(report)
        _greet(system, screen)
        server = ControlServer(paths.socket, _handlers(system))
        await server.start()
        stack.push_async_callback(server.stop)
        runner = make_runner(system, alert)
        if once:
            await _settle(system, report, 0 if runner is None else await runner.step())
            return 0
        if system.settings.console.enabled:
            logging.getLogger().addHandler(tail)
            stack.callback(logging.getLogger().removeHandler, tail)
            serving = _serve_console(system, attendants, redactor, tail, screen, alert)
            stack.push_async_callback(_end, asyncio.create_task(serving))
        attendants.start(runner, alert)
        stack.push_async_callback(attendants.leave)
        keeper = TrailKeeper(
            system.ledger, paths.state, system.engine.services.kill, system.engine.services.clock, redactor.redact
        )
        stack.push_async_callback(keeper.stop)
        await keeper.start()
        tasks = [asyncio.create_task(_follow_files(system, screen, keeper))]
        if journal is not None:
            tasks.append(asyncio.create_task(journal.run()))
        if runner is not None:
            tasks.append(asyncio.create_task(runner.run()))
        independents = Independents(system, alert)
        tasks.append(asyncio.create_task(independents.run()))
        system.progress = lambda: progress(runner, independents)
        failed = await _until(stopping, tasks, system)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        screen("stopping: orders on their way are followed to their answer first")
    return 1 if failed else 0


def _journal(system: System, alert: Tell) -> JournalKeeper | None:
    given, paths = system.settings.journal, system.paths
    if not given.enabled:
        return None
    return JournalKeeper(TradeJournal(paths.state, paths.ledger, given.max_mb * 1_000_000, given.keep), 1.0, alert)


async def _serve_console(
    system: System, attendants: Attendants, redactor: Redactor, tail: LogTail, screen: Screen, alert: Tell
) -> None:
    """The web page, until cancelled. What it stands on takes half a second to import: that is done beside trading."""
    starting = await asyncio.to_thread(importlib.import_module, "copytrade.console.web.starting")
    server = await starting.start_console(
        system, redactor, tail, screen, venue_facts=attendants.venue_facts, metrics=attendants.metrics, alert=alert
    )
    if server is not None:
        try:
            await asyncio.Event().wait()
        finally:
            await server.stop()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _until(stopping: asyncio.Task[Any], tasks: list[asyncio.Task[None]], system: System) -> bool:
    """Wait for the signal to stop, or for something that must not go on. True when it was the latter."""
    while not stopping.done():
        await asyncio.wait({stopping, *tasks}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
        if system.ledger.failed is not None:
            log.error("%s", system.ledger.failed)
            return True
    return False


async def _settle(system: System, report: Report, placed: int) -> None:
    """For `--once`: every signal answered, every copy at its end, and all of it printed."""
    for identity in list(system.ledger.state.unplanned):
        await system.engine.tracker.wait(identity, ONCE_WAIT_S)
    # A plan that is being written is neither unplanned nor under way yet: its report is what can be waited for.
    await report.drain(placed, ONCE_WAIT_S)
    await system.engine.quiesce(ONCE_WAIT_S)


def _greet(system: System, screen: Screen) -> None:
    roster, state = system.engine.services.roster, system.ledger.state
    ready = sum(1 for m in roster.followers.values() if m.client is not None)
    who = f"master {roster.master.terms.account}, {ready} of {len(roster.followers)} followers connected"
    screen(f"copytrade is ready: {system.settings.mode} mode, {who}, strategy {system.settings.master.strategy}")
    for name in system.paper.names if system.paper is not None else ():
        assert system.paper is not None
        url, admin_url = system.paper.base_url(name), system.paper.admin_url(name)
        screen(f"  simulated venue at {url} ({name}), its orders at {admin_url}/orders")
    for warning in system.loaded.warnings:
        screen(f"!! {warning}")
    alone = len(system.ground.venues) == 1 and system.settings.mode == "live"
    if alone and not system.settings.guards.suppress_single_exchange_warning:
        screen("!! only one venue is connected: its trouble stops all trading (SUPPRESS_SINGLE_EXCHANGE_WARNING=true)")
    for member in roster:
        balances = system.engine.services.books.balances(member.terms.account)
        if member.unreachable is not None and member.terms.enabled:
            reason, detail = member.unreachable
            screen(f"  {user_of(member.terms.account)}: not connected: {reason.text} {detail}".rstrip())
        elif balances is not None and len(roster.followers) <= 20:
            off = "" if member.terms.enabled else " (not enabled)"
            screen(f"  {user_of(member.terms.account)}: equity {balances.equity.value:,.2f} {balances.currency}{off}")
    recovered = {name: count for name, count in system.engine.recovered.items() if count}
    if recovered:
        words = (f"{count} {what.replace('_', ' ')}" for what, count in recovered.items())
        screen(f"  carried on from the last run: {', '.join(words)}")
    if state.parked:
        screen(f"  parked: {', '.join(sorted(state.parked))}")
    kill = system.engine.services.kill
    if kill.look() is not KillState.OFF:
        screen(f"!! the kill switch is on ({kill.look()}): {kill.path}")


def _handlers(system: System) -> dict[str, Any]:
    engine = system.engine

    async def do_trade(body: dict[str, Any]) -> dict[str, Any]:
        return await trade(engine, body)

    async def do_place_exits(_: dict[str, Any]) -> dict[str, Any]:
        return {"placed": engine.place_held_exits()}

    async def do_limits(body: dict[str, Any]) -> dict[str, Any]:
        return limits(engine, body)

    async def do_rearm(body: dict[str, Any]) -> dict[str, Any]:
        return rearm(engine, body)

    async def do_wait_flattened(_: dict[str, Any]) -> dict[str, Any]:
        return {"flattened": await engine.wait_flattened(FLATTEN_TIMEOUT_S)}

    async def do_check(body: dict[str, Any]) -> dict[str, Any]:
        from copytrade.console.checking import check_running

        return await check_running(system, body.get("venue"), body.get("user"))

    async def do_drift(body: dict[str, Any]) -> dict[str, Any]:
        return await drift(engine, body)

    async def do_reconcile(body: dict[str, Any]) -> dict[str, Any]:
        return await reconcile(engine, body)

    async def do_flatten(body: dict[str, Any]) -> dict[str, Any]:
        return await flatten(engine, body)

    async def do_top(_: dict[str, Any]) -> dict[str, Any]:
        from copytrade.console.top import live_rows

        return live_rows(system, system.ground.redactor.redact)

    async def do_progress(_: dict[str, Any]) -> dict[str, Any]:
        return system.progress()

    async def do_cancel(body: dict[str, Any]) -> dict[str, Any]:
        return await cancel(engine, body)

    async def do_amend(body: dict[str, Any]) -> dict[str, Any]:
        return await amend(engine, body)

    return {
        "progress": do_progress,
        "trade": do_trade, "cancel": do_cancel, "amend": do_amend, "top": do_top, "place_exits": do_place_exits,
        "wait_flattened": do_wait_flattened, "check": do_check, "limits": do_limits, "rearm": do_rearm,
        "drift": do_drift, "reconcile": do_reconcile, "flatten": do_flatten,
    }  # fmt: skip


async def _follow_files(system: System, screen: Screen, keeper: TrailKeeper) -> None:
    while True:
        await asyncio.sleep(FILES_EVERY_S)
        change = await asyncio.to_thread(system.poll_files)
        if change is None:
            continue
        if isinstance(change, Rejected):
            for fault in change.faults:
                screen(f"!! not taken over, the last good files stay in force: {fault}")
            continue
        try:
            system.take_change(change)
        except CopyTradeError as error:
            screen(f"!! not taken over: {error}")
            continue
        lines = _change_lines(change)
        for line in lines:
            screen(line)
        if lines:
            keeper.files_changed(lines)


def _change_lines(change: Any) -> list[str]:
    lines = [f"enrolled {user.account}" for user in change.added]
    lines += [f"!! left: {user.account}" for user in change.removed]
    lines += [f"{account}: {'; '.join(map(str, fields))}" for account, fields in dict(change.changed).items()]
    late = "has changed; an account that is connected uses the new one after a restart"
    came_or_went = {user.account for user in (*change.added, *change.removed)}  # and their keys with them
    lines += [f"!! the key of {account} {late}" for account in change.credentials if account not in came_or_went]
    lines += [f"settings: {changed}" for changed in change.settings]
    lines += [f"!! takes effect after a restart: {changed}" for changed in change.needs_restart]
    lines += [f"!! {path} is gone, and with it {', '.join(accounts)}" for path, accounts in change.left]
    lines += [f"!! not taken over: {fault}" for fault in change.rejected]
    return lines
