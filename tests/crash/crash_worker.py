"""A worker that can be killed: one process per run, made by forking a parent that has only imported the code.

The parent reads one job per line of JSON from standard input and answers each with one line when the child that did
it has ended. Forking before any thread, socket or file of ours is open saves two thirds of a second of imports for
each of several hundred runs; the child is a process of its own, and what kills it is SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import logging
import os
import selectors
import signal
import sys
import time
import traceback
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from crash_boundaries import Killer, KillPlan, note_kill, with_boundaries
from crash_cast import VENUES
from crash_resting import put_right, quickly, tell
from crash_strategy import decide
from crash_watch import forget_identities, watch

from copytrade.domain.errors import Refused, VenueError
from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import OrderState, Side
from copytrade.engine.desk import TradeRequest
from copytrade.engine.service import Wiring
from copytrade.ledger.replay import verify
from copytrade.settings.redaction import Redactor
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import Hooks, System

DRAIN_MAX_S = 60.0  # the slowest way to an end here: several look-ups of 3 s each, on a machine that is busy
PLACE_TRIES_MAX = 20
STUCK = 3  # exit status: started and traded, but something did not come to its end in time


async def trade(job: dict[str, Any]) -> int:
    """One run of the worker: start (which is recovering), hand in every order again, wait until all is final."""
    world = Path(job["world"])
    plan = KillPlan(**job["kill"]) if job.get("kill") else None
    killer = Killer(plan, world / "kills.jsonl")
    controls = {name: job.get(name, False) for name in ("blind", "forgetful", "split", "unmarked")}
    resting, watched = bool(job.get("admin")), bool(job.get("watched"))
    if job.get("nameless"):
        forget_identities()

    def adjust(wiring: Wiring) -> Wiring:
        return with_boundaries(quickly(wiring) if resting else wiring, killer, **controls)

    hooks = Hooks(alert=lambda alert: logging.warning("%s", alert), adjust=adjust)
    paths = Paths(world / "copytrade.yaml", world / "users", world / "state", world / ".env")
    async with System(paths, job["environ"], hooks, Redactor()) as system:
        done = await tell(system, job["steps"], job, killer) if resting and not watched else True
        if watched:
            done = await watch(system, job)
        for step in [] if resting else job["steps"]:
            if "candle" in step:
                done = done and await drained(system)
                await decide(system, step, world)
            else:
                await place(system, step)
            if step.get("drain", True):
                done = done and await drained(system)
        # A story of resting orders has come to rest by now: what is open stays open.
        done = done and (not system.ledger.state.orders if resting else await drained(system))
        left = [f"{r.order_id} {r.account} {r.side} {r.state}" for r in system.ledger.state.orders.values()]
        recovered = system.engine.recovered
        drift = await put_right(system, world) if resting and done else []
    verdict = verify(paths.ledger, system.ledger.state)
    problems = [*verdict.problems, *drift]
    result = {"passed": killer.passed, "recovered": recovered, "left": left, "problems": problems}
    (world / "result.json").write_text(json.dumps(result))
    return 0 if done else STUCK


async def place(system: System, step: dict[str, Any]) -> None:
    """Hand in one order, as often as its operator would: what was refused for a passing cause is asked again."""
    side = Side(step["side"])
    quantity = None
    if "share" in step:
        master = system.engine.services.roster.master.terms.account
        held = system.ledger.state.position(master, step["symbol"]).value
        quantity = Quantity((held * Decimal(step["share"])).quantize(Decimal("1E-8")))
    request = TradeRequest(
        step["id"],
        step["symbol"],
        side,
        usd=Amount(Decimal(step["usd"])) if "usd" in step else None,
        quantity=quantity,
        whole=step.get("whole", False),
    )
    for attempt in range(PLACE_TRIES_MAX):
        try:
            await system.engine.desk.place(request)
            return
        except (Refused, VenueError) as error:
            logging.warning("attempt %d of %s: %s", attempt, step["id"], error)
            await asyncio.sleep(0.5)
    raise SystemExit(f"{step['id']} was refused {PLACE_TRIES_MAX} times")


async def drained(system: System) -> bool:
    """Wait until no order is open and no signal unanswered; False when that takes too long, or waits for a person."""
    state = system.ledger.state
    give_up_at = time.monotonic() + DRAIN_MAX_S
    while state.orders or state.unplanned:
        if time.monotonic() > give_up_at or any(r.state is OrderState.HELD for r in state.orders.values()):
            return False
        await asyncio.sleep(0.02)
    return True


def run_child(job: dict[str, Any]) -> NoReturn:
    """Do one job in this process and end it, without a way back into the parent's loop."""
    status = 70
    try:
        log = os.open(Path(job["world"]) / "worker.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s %(message)s", force=True)
        logging.info("-- run: kill %s", job.get("kill") or job.get("kill_from_outside_ms"))
        status = asyncio.run(trade(job))
    except BaseException:
        traceback.print_exc()
    finally:
        logging.shutdown()
        os._exit(status)


class ForkServer:
    """Forks a child for every job, reaps it, and kills it from outside when the job says so."""

    def __init__(self) -> None:
        self._jobs: dict[int, dict[str, Any]] = {}
        self._due: dict[int, float] = {}
        self._buffer = b""

    def serve(self) -> None:
        """Until standard input ends; then whoever still runs is killed."""
        readable, writable = os.pipe()
        os.set_blocking(writable, False)
        os.set_blocking(readable, False)
        signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(0, selectors.EVENT_READ)
            selector.register(readable, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(self._wait_s()):
                    if key.fd == readable:
                        with contextlib.suppress(BlockingIOError):
                            os.read(readable, 4096)
                    elif not self._read(selector):
                        return self._end()
                self._kill_due()
                self._reap()

    def _wait_s(self) -> float | None:
        return max(0.0, min(self._due.values()) - time.monotonic()) if self._due else None

    def _read(self, selector: selectors.BaseSelector) -> bool:
        received = os.read(0, 65536)
        *lines, self._buffer = (self._buffer + received).split(b"\n")
        for line in lines:
            self._start(json.loads(line))
        return bool(received)

    def _start(self, job: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            run_child(job)
        self._jobs[pid] = job
        if (after_ms := job.get("kill_from_outside_ms")) is not None:
            self._due[pid] = time.monotonic() + after_ms / 1000

    def _kill_due(self) -> None:
        now = time.monotonic()
        for pid in [pid for pid, at in self._due.items() if at <= now]:
            del self._due[pid]
            # Not reaped yet, so the number cannot belong to anybody else.
            os.kill(pid, signal.SIGKILL)
            self._jobs[pid]["killed_from_outside"] = True

    def _reap(self) -> None:
        while self._jobs:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            job = self._jobs.pop(pid)
            self._due.pop(pid, None)
            code = os.waitstatus_to_exitcode(status)
            if code == -signal.SIGKILL and job.get("killed_from_outside"):
                note_kill(Path(job["world"]) / "kills.jsonl", "from outside")
            sys.stdout.write(json.dumps({"job": job["job"], "code": code}) + "\n")
            sys.stdout.flush()

    def _end(self) -> None:
        for pid in self._jobs:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


# What a worker imports only for an account that needs it; here the children should find it imported.
PRELOADED = (
    *(f"copytrade.venues.{venue}.{room}" for venue in VENUES for room in ("public", "account", "signer")),
    "okx.Account", "okx.Trade", "encodings.utf_8_sig",
)  # fmt: skip

if __name__ == "__main__":
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # or each child's first collection would write to, and so copy, every page that it shares with this one
    ForkServer().serve()
