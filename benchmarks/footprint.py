"""`python -m benchmarks.footprint`: memory of an idle follower; how long the worker and the commands take to start."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.contender import Job
from benchmarks.processes import REPOSITORY, ContenderProcess, VenueProcess

FEW = 10
STOP_TIMEOUT_S = 30.0
READY = "is ready"


def idle_follower_kb(folder: Path, many: int) -> float:
    """What one more connected follower adds to the memory of an idle system, in KiB, from two systems' difference.

    Both have the same number of open connections, so that these do not count.
    """
    with VenueProcess(2 * (many + 1)) as venue:
        sizes = []
        for place, followers in enumerate((FEW, many)):
            accounts = venue.accounts[place * (many + 1) :][: followers + 1]
            with tempfile.TemporaryDirectory(dir=folder) as place_to_work:
                job = Job(venue.url, accounts, venue.price(), FEW, place_to_work)
                with ContenderProcess("benchmarks.service", job) as service:
                    sizes.append(service.idle_kb)
    return (sizes[1] - sizes[0]) / (many - FEW)


def worker_start_s(folder: Path) -> float:
    """From the command to the line that says it is ready: `run_master.py` with its sample files and a new state."""
    with tempfile.TemporaryDirectory(dir=folder) as state:
        started = time.perf_counter()
        command = [sys.executable, "run_master.py", "--state", state]
        with subprocess.Popen(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as worker:
            assert worker.stdout is not None
            said = []
            for line in worker.stdout:
                said.append(line)
                if READY in line:
                    break
            took_s = time.perf_counter() - started
            worker.send_signal(signal.SIGTERM)
            worker.communicate(timeout=STOP_TIMEOUT_S)
        if not said or READY not in said[-1]:
            raise RuntimeError("the worker did not start: " + "".join(said)[-500:])
        return took_s


def help_s() -> float:
    """`python -m copytrade --help`."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "copytrade", "--help"], cwd=REPOSITORY, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> int:
    """Measure, print, and write JSON if asked to. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    parser.add_argument("--followers", type=int, default=2000, help="idle ones, compared with 10")
    parser.add_argument("--runs", type=int, default=5, help="of each start")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "state", help="a real disk")
    parser.add_argument("--json", type=Path, default=None, help="write the figures there as well")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="benchmark-", dir=options.folder))
    try:
        found: dict[str, Any] = {
            "idle_follower_kb": idle_follower_kb(folder, options.followers),
            "worker_start_s": _median(lambda: worker_start_s(folder), options.runs),
            "help_s": _median(help_s, options.runs),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{os.cpu_count()} cores\n")
    print("| figure | measured |\n| --- | ---: |")
    print(f"| memory of one more idle follower ({options.followers:,} beside {FEW}) | "
          f"{found['idle_follower_kb']:.1f} KiB |")  # fmt: skip
    print(f"| `python run_master.py` until it is ready (median of {options.runs}) | {found['worker_start_s']:.2f} s |")
    print(f"| `python -m copytrade --help` (median of {options.runs}) | {found['help_s']:.2f} s |")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def _median(measure: Callable[[], float], runs: int) -> float:
    return statistics.median(measure() for _ in range(runs))


if __name__ == "__main__":
    sys.exit(main())
