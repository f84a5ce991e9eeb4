"""Runs many small worlds at once, kills their workers, and adds up what became of them."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crash_cast import KRAKEN, Cast
from crash_evidence import Findings, doubts, examine
from crash_worker import STUCK
from crash_world import VenueProcess, Workers, World

AT_ONCE = 10  # worlds at a time: they mostly wait for order deadlines to pass, so two cores carry more than two
SIGKILLED = -9


@dataclass
class Tally:
    """What a batch of worlds came to."""

    worlds: int = 0
    orders: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    killed_recovering: int = 0
    in_doubt_and_there: int = 0
    in_doubt_and_not_there: int = 0
    findings: list[tuple[World, Findings]] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return sum(len(found.lost) for _, found in self.findings)

    @property
    def doubled(self) -> int:
        return sum(len(found.doubled) for _, found in self.findings)

    @property
    def wrong(self) -> int:
        return sum(len(found.wrong) for _, found in self.findings)

    def line(self) -> str:
        return (
            f"{self.worlds} worlds, {self.orders} orders at the venue, {self.kills.total()} kills -9 at "
            f"{len(self.kills)} steps ({self.killed_recovering} while recovering), leaving "
            f"{self.in_doubt_and_there} orders in doubt that were at the venue and {self.in_doubt_and_not_there} that "
            f"were not: {self.lost} lost, {self.doubled} doubled, {self.wrong} wrong"
        )

    def assert_clean(self) -> None:
        """Nothing lost, doubled or wrong; otherwise the first worlds that were not, with their kills and logs."""
        shown = [
            f"{world.name} (killed {world.kills()}): {found.lost + found.doubled + found.wrong}\n{world.log()}"
            for world, found in self.findings[:3]
        ]
        assert not self.findings, f"{self.line()}; {len(self.findings)} worlds are not clean\n" + "\n".join(shown)


@dataclass
class Lab:
    """The venues, the workers, and room for worlds."""

    venue: VenueProcess
    workers: Workers
    folder: Path
    report: list[str]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def world(self, name: str, steps: Sequence[dict[str, Any]], cast: Cast = KRAKEN) -> World:
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        return World.make(f"{next(self.numbers)}-{plain}", self.folder, self.venue, steps, cast)

    def run(self, name: str, cases: Sequence[Callable[[], Tally]]) -> Tally:
        """Run every case, some at a time; the sum of what they came to."""
        total = Tally()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for tally in pool.map(lambda case: case(), cases):
                total.worlds += tally.worlds
                total.orders += tally.orders
                total.kills.update(tally.kills)
                total.killed_recovering += tally.killed_recovering
                total.in_doubt_and_there += tally.in_doubt_and_there
                total.in_doubt_and_not_there += tally.in_doubt_and_not_there
                total.findings += tally.findings
        self.report.append(f"{name}: {total.line()}")
        return total

    def live(
        self, world: World, runs: Sequence[dict[str, Any]], judge: Callable[[World], Findings] = examine
    ) -> Tally:
        """Run a world as many times as there are `runs`, each of which may be killed, then once to its end."""
        tally = Tally(worlds=1)
        for number, how in enumerate([*runs, {}]):
            before = len(world.kills())
            code = world.run(self.workers, **how)
            if code != SIGKILLED:
                # A run that is stuck leaves open orders behind, and those are findings below.
                assert code in (0, STUCK), f"{world.name} run {number} ended with {code}\n{world.log()}"
                continue
            assert len(world.kills()) == before + 1, f"{world.name} was killed by nobody of ours"
            tally.killed_recovering += number > 0
            there, not_there = doubts(world)
            tally.in_doubt_and_there += there
            tally.in_doubt_and_not_there += not_there
        tally.kills.update(world.kills())
        found = judge(world)
        tally.orders = found.orders
        if not found.clean:
            tally.findings.append((world, found))
        return tally
