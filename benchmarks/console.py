"""`python -m benchmarks.console`: what five open pages cost a fan-out, and how long the first page takes.

One service, its runs in turns with no page open and with five. The five are read by a process of their own, which has
a core to share with the simulated venue; what is measured is the service. See docs/console.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from benchmarks.contender import Job
from benchmarks.fanout import make_folder
from benchmarks.processes import REPOSITORY, ContenderProcess, VenueProcess


def main() -> int:
    """Measure and print. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--followers", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=9, help="runs without and with pages, in turns")
    parser.add_argument("--delay", type=int, default=50, help="the venue's answer to an order, ms")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "state", help="a real disk, for the ledger")
    options = parser.parse_args()
    wall: dict[bool, list[float]] = {False: [], True: []}
    cpu: dict[bool, list[float]] = {False: [], True: []}
    with make_folder(options.folder) as folder, VenueProcess(options.followers + 1) as venue:
        job = Job(venue.url, venue.accounts, venue.price(), 250, str(folder))
        with ContenderProcess("benchmarks.console_service", job) as service:
            venue.delay_orders(options.delay)
            for number in range(-1, 2 * options.pairs + 1):
                sample = service.run(number)
                service.settle()
                if number > 0:  # the first ones fill caches
                    wall[number % 2 == 0].append(sample["wall_s"] * 1000)
                    cpu[number % 2 == 0].append(sample["cpu_s"] * 1000)
    for name, values in (("wall", wall), ("CPU", cpu)):
        none, five = statistics.median(values[False]), statistics.median(values[True])
        ratios = sorted(b / a for a, b in zip(values[False], values[True], strict=True))
        low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        print(
            f"{name}: {none:.0f} ms without pages, {five:.0f} ms with five: {five / none - 1:+.1%} "
            f"(pairs: median {statistics.median(ratios) - 1:+.1%}, middle half {low - 1:+.1%} to {high - 1:+.1%})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
