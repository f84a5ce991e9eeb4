"""`python -m benchmarks.fanout`: one order for N followers, placed in four ways, side by side in one run.

See docs/benchmarks.md for what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.ccxt_environment import ccxt_python
from benchmarks.contender import Job
from benchmarks.processes import REPOSITORY, ContenderFailed, ContenderProcess, VenueProcess

SERIAL_MAX = 100  # one after the other at 50 ms, 1,000 orders take a minute
CCXT_AT = 100
# By the number of followers: fewer runs where a run is long and, with that many orders in it, steady.
RUNS = ((100, 7), (1000, 9), (1 << 30, 3))
SERIAL_RUNS = 1


class Measurement:
    """Everything that is measured with one number of followers: one venue process for all contenders and delays."""

    def __init__(self, followers: int, options: argparse.Namespace, folder: Path) -> None:
        self.followers = followers
        self.options = options
        self.rows: list[report.Row] = []
        self.notes: list[str] = []
        self._folder = folder
        self._number = 0

    def measure(self) -> None:
        """Fill `rows` and `notes`. Raises `ContenderFailed`."""
        runs = self.options.runs or next(runs for most, runs in RUNS if self.followers <= most)
        size = self.followers + 1
        with VenueProcess(2 * size) as venue, tempfile.TemporaryDirectory(dir=self._folder) as folder:
            # Accounts of its own for ours: it may read a balance while the other is sending, and the higher nonce of
            # the one would make the venue refuse the other's.
            job = Job(venue.url, venue.accounts[:size], venue.price(), self.options.connections, folder)
            rest = dataclasses.replace(job, accounts=venue.accounts[size:])
            with (
                ContenderProcess("benchmarks.bare_aiohttp", rest) as bare,
                ContenderProcess("benchmarks.service", job) as service,
            ):
                pair = {"bare": bare, "service": service}
                for contender in pair.values():  # first runs fill caches and are nobody's measure
                    self._run(venue, contender)
                for delay_ms in self.options.delays:
                    venue.delay_orders(delay_ms)
                    self._in_turns(venue, pair, delay_ms, runs)
            if self.followers <= SERIAL_MAX:
                self._alone("serial", venue, rest, SERIAL_RUNS, sys.executable, "benchmarks.serial_krakenex")
            if self.followers == CCXT_AT and not self.options.no_ccxt:
                self._ccxt(venue, rest, runs)
            if errors := venue.errors():
                self.notes.append(f"{self.followers} followers: the venue answered with errors: {errors}")

    def _in_turns(
        self, venue: VenueProcess, pair: dict[str, ContenderProcess], delay_ms: int, runs: int
    ) -> None:
        samples: dict[str, list[dict[str, Any]]] = {name: [] for name in pair}
        for turn in range(runs):
            for name in pair if turn % 2 else reversed(pair):
                samples[name].append(self._run(venue, pair[name]))
        for name, contender in pair.items():
            self._add(name, delay_ms, samples[name], contender.idle_kb)

    def _alone(self, name: str, venue: VenueProcess, job: Job, runs: int, python: str, module: str) -> None:
        with ContenderProcess(module, job, python) as contender:
            for delay_ms in self.options.delays:
                venue.delay_orders(delay_ms)
                samples = [self._run(venue, contender) for _ in range(runs)]
                self._add(name, delay_ms, samples, contender.idle_kb)

    def _ccxt(self, venue: VenueProcess, job: Job, runs: int) -> None:
        try:
            self._alone("ccxt", venue, job, runs, ccxt_python(), "benchmarks.gather_ccxt")
        except (OSError, subprocess.SubprocessError, ContenderFailed) as error:
            self.notes.append(f"ccxt could not be measured: {error}")

    def _run(self, venue: VenueProcess, contender: ContenderProcess) -> dict[str, Any]:
        self._number += 1
        before = venue.cpu_s()
        sample = contender.run(self._number)
        venue_cpu_s = venue.cpu_s() - before
        contender.settle()
        return {**sample, "venue_cpu_s": venue_cpu_s}

    def _add(self, name: str, delay_ms: int, samples: list[dict[str, Any]], idle_kb: int) -> None:
        row = report.make_row(name, self.followers, delay_ms, samples, idle_kb)
        self.rows.append(row)
        sys.stderr.write(f"{self.followers} followers, {delay_ms} ms, {name}: {row.wall_ms:.0f} ms\n")


def main() -> int:
    """Measure, print, and write JSON if asked to. Returns the exit status."""
    options = _options()
    rows: list[report.Row] = []
    notes: list[str] = []
    started = datetime.now(UTC)
    with make_folder(options.folder) as folder:
        for followers in options.followers:
            measurement = Measurement(followers, options, folder)
            try:
                measurement.measure()
            except ContenderFailed as error:
                notes.append(f"{followers} followers: {error}")
            rows += measurement.rows
            notes += measurement.notes
    found = report.ratios(rows)
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    print(f"{started:%Y-%m-%d %H:%M} UTC, {machine}, {options.connections} connections\n")
    print(report.table(rows), "\n")
    print(report.ratio_table(found))
    for note in notes:
        print(f"\nNote: {note}")
    if options.json is not None:
        result = {
            "at": started.isoformat(), "machine": machine, "connections": options.connections,
            "rows": [asdict(row) for row in rows], "ratios": found, "notes": notes,
        }  # fmt: skip
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if len(rows) == 0 else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=__doc__)
    parser.add_argument("--followers", type=_numbers, default=[10, 100, 1000, 5000], help="like 10,100,1000,5000")
    parser.add_argument("--delays", type=_numbers, default=[0, 50], help="the venue's answer to an order, ms")
    parser.add_argument("--runs", type=int, default=None, help="of each contender; default by the number of followers")
    parser.add_argument("--connections", type=int, default=250, help="at most so many, for ours and the bare client")
    parser.add_argument("--no-ccxt", action="store_true", help="leave ccxt out (it is installed at the first run)")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "state", help="a real disk, for the ledger")
    parser.add_argument("--json", type=Path, default=None, help="write the figures there as well")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if not all(0 <= number <= 10_000 for number in numbers):
        raise argparse.ArgumentTypeError("give numbers from 0 to 10000")
    return numbers


@contextlib.contextmanager
def make_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, gone in the end."""
    folder = Path(tempfile.mkdtemp(prefix="benchmark-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
