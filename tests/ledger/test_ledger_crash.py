"""A writer that is killed at any moment: all that was acknowledged is there, and nothing is there by half."""

from __future__ import annotations

import contextlib
import os
import random
import signal as signals
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from ledger_samples import History

from copytrade.domain.events import CopiesPlanned
from copytrade.domain.state import State
from copytrade.ledger.opening import open_for_reading
from copytrade.ledger.replay import events_of, follow_chain, replay, verify
from copytrade.ledger.store import Ledger

KILLS = 24
COPIES_MAX = 120

WRITER = """
import asyncio, os, sys
from pathlib import Path
from ledger_samples import History
from copytrade.ledger.store import Ledger

async def write(path, seed):
    ledger = Ledger.open(path, group_ms=1)
    history = History(seed, copies_max=int(sys.argv[3]))
    appended = 0
    async def acknowledge(receipt, number):
        await receipt
        os.write(1, b"%d\\n" % number)
    waiting = set()
    while True:
        for _ in range(7):
            receipt = ledger.append([history.draw(ledger.state)], hurry=appended % 3 == 0)
            appended += 1
            task = asyncio.ensure_future(acknowledge(receipt, appended))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        await receipt

asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))
"""


def run_and_kill(path: Path, seed: int, after_acknowledgements: int) -> int:
    """Let a writer run until it has acknowledged so many events, kill it; returns how many it acknowledged in all."""
    folders = [str(Path(__file__).parent), os.getcwd()]
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(seed), str(COPIES_MAX)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
    ) as writer:
        assert writer.stdout is not None
        last = 0
        for line in writer.stdout:
            last = int(line)
            if last >= after_acknowledgements:
                break
        writer.send_signal(signals.SIGKILL)
        for line in writer.stdout:
            if line.endswith(b"\n"):
                last = max(last, int(line))
    assert writer.returncode == -signals.SIGKILL
    return last


@pytest.mark.slow
def test_killed_at_random_moments_nothing_acknowledged_is_lost_and_nothing_is_half(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    moments = random.Random(2025)
    for seed in range(KILLS):
        before = replay(path) if path.exists() else State()
        there_before = count_events(path)
        acknowledged = run_and_kill(path, seed, moments.randint(1, 120))
        assert acknowledged >= 1

        with Ledger.open(path) as ledger:
            verdict = verify(path, ledger.state)
            assert verdict.ok, verdict.problems
            chain = follow_chain(path)
            assert chain.ok, chain.problems
        with contextlib.closing(open_for_reading(path)) as connection:
            written = list(events_of(path, connection))[there_before:]
        assert len(written) >= acknowledged
        # The writer draws its events from the seed and the state it found, so we can draw the same ones.
        history = History(seed, copies_max=COPIES_MAX)
        for event in written:
            drawn = history.draw(before)
            assert event == drawn
            before.apply(drawn)
    all_copies_or_none(path)


def count_events(path: Path) -> int:
    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])


def all_copies_or_none(path: Path) -> None:
    with contextlib.closing(open_for_reading(path)) as connection:
        plans = [event for event in events_of(path, connection) if isinstance(event, CopiesPlanned)]
        rows = dict(connection.execute("SELECT signal_id, count(*) FROM orders WHERE role = 'copy' GROUP BY signal_id"))
    assert {plan.signal_id: len(plan.copies) for plan in plans if plan.copies} == rows
    assert sum(rows.values()) > 500
