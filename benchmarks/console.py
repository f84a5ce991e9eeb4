"""`python -m benchmarks.console`: what five open pages cost a fan-out, and how long the first page takes.

One service, its runs in pairs: one with no page open and one with five, and every other pair the other way round, so
that nothing that grows from run to run counts for or against the pages. The five are read by a process of their own,
which has a core to share with the simulated venue; what is measured is the service. See docs/console.md.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.contender import Job
from benchmarks.fanout import make_folder
from benchmarks.processes import REPOSITORY, ContenderProcess, VenueProcess

_RESAMPLES = 10_000  # the ends of the interval are then steady to the digit that is shown
_SHARE = 0.95


def main() -> int:
    """Measure and print. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--followers", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=20, help="of runs with and without pages; an even number")
    parser.add_argument("--delay", type=int, default=50, help="the venue's answer to an order, ms")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "state", help="a real disk, for the ledger")
    options = parser.parse_args()
    wall: dict[bool, list[float]] = {False: [], True: []}
    cpu: dict[bool, list[float]] = {False: [], True: []}
    with make_folder(options.folder) as folder, VenueProcess(options.followers + 1) as venue:
        job = Job(venue.url, venue.accounts, venue.price(), 250, str(folder))
        with ContenderProcess("benchmarks.console_service", job) as service:
            venue.delay_orders(options.delay)
            for number in (-1, 0, *numbers(options.pairs)):
                sample = service.run(number)
                service.settle()
                if number > 0:  # the first ones fill caches
                    wall[number % 2 == 0].append(sample["wall_s"] * 1000)
                    cpu[number % 2 == 0].append(sample["cpu_s"] * 1000)
    for name, values in (("wall", wall), ("CPU", cpu)):
        ratios = [five / none for none, five in zip(values[False], values[True], strict=True)]
        low, high = interval(ratios)
        print(
            f"{name}: {statistics.median(values[False]):.0f} ms without pages, {statistics.median(values[True]):.0f} "
            f"ms with five; of {len(ratios)} pairs the median is {statistics.median(ratios) - 1:+.1%}, "
            f"with {_SHARE:.0%} between {low - 1:+.1%} and {high - 1:+.1%}"
        )
    return 0


def numbers(pairs: int) -> Iterator[int]:
    """The runs in their order: odd ones have no page, even ones five. Pair 1 is 1, 2; pair 2 is 4, 3; and so on."""
    for pair in range(pairs):
        none, five = 2 * pair + 1, 2 * pair + 2
        yield from (none, five) if pair % 2 == 0 else (five, none)


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Where the median of these would lie in `_SHARE` of all repetitions: a bootstrap, the same at each call."""
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(_RESAMPLES))
    outside = round(_RESAMPLES * (1 - _SHARE) / 2)
    return medians[outside], medians[-1 - outside]


if __name__ == "__main__":
    sys.exit(main())
