"""`python -m benchmarks.resting`: how long a cancel and an amendment of the master's take to reach N resting copies.

Beside it, in the same run and at the same delay of the venue, how long the entry of the same copies took, and what a
bare client needs for as many entries and cancels. Prints JSON; docs/benchmarks.md says how to read the others.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.contender import Job
from benchmarks.fanout import make_folder
from benchmarks.processes import REPOSITORY, ContenderProcess, VenueProcess, ask_admin


class DelayedVenue(VenueProcess):
    """Answers to cancels are as late as those to orders."""

    def delay_both(self, delay_ms: int) -> None:
        for method in ("AddOrder", "CancelOrder"):
            ask_admin(self._admin_url, "POST", "faults", {"kind": "delay", "method": method, "delay_ms": delay_ms})


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Medians of the runs, in milliseconds, and their ratios. Raises `ContenderFailed`."""
    size = options.followers + 1
    samples: dict[str, list[dict[str, Any]]] = {"bare": [], "service": []}
    with DelayedVenue(2 * size) as venue, tempfile.TemporaryDirectory(dir=folder) as own:
        job = Job(venue.url, venue.accounts[:size], venue.price(), options.connections, own)
        rest = dataclasses.replace(job, accounts=venue.accounts[size:])
        with (
            ContenderProcess("benchmarks.resting_bare", rest) as bare,
            ContenderProcess("benchmarks.resting_service", job) as service,
        ):
            pair = {"bare": bare, "service": service}
            venue.delay_both(options.delay_ms)
            for number in range(options.runs + 1):
                for name, contender in pair.items():
                    sample = contender.run(number)
                    contender.settle()
                    if number:  # first runs fill caches and are nobody's measure
                        samples[name].append(sample)
                        sys.stderr.write(f"{name}: {sample}\n")
        errors = venue.errors()
    found = {
        name: {
            key.replace("_s", "_ms"): round(1000 * statistics.median(sample[key] for sample in runs), 1)
            for key in runs[0] if key.endswith("_s")
        }
        for name, runs in samples.items()
    }  # fmt: skip
    ours = found["service"]
    ratios = {
        "cancel_to_entry": round(ours["cancel_ms"] / ours["entry_ms"], 2),
        "amend_to_entry": round(ours["amend_ms"] / ours["entry_ms"], 2),
        "cancel_to_bare_cancel": round(ours["cancel_ms"] / found["bare"]["cancel_ms"], 2),
        "entry_to_bare_entry": round(ours["entry_ms"] / found["bare"]["entry_ms"], 2),
    }
    return {
        "followers": options.followers, "delay_ms": options.delay_ms, "runs": options.runs,
        "connections": options.connections, **found, "ratios": ratios, "errors": errors,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resting", description=__doc__)
    parser.add_argument("--followers", type=int, default=1000)
    parser.add_argument("--delay-ms", type=int, default=50, help="the venue's answer to an order and to a cancel")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--connections", type=int, default=250)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "state", help="a real disk, for the ledger")
    options = parser.parse_args()
    with make_folder(options.folder) as folder:
        sys.stdout.write(json.dumps(measure(options, folder), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
