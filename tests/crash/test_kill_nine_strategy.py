"""`kill -9` at every step of the life of a strategy's position: each profit step is taken once, and no stop is lost.

By the records of a venue in a process of its own: whatever dies, the master buys once, sells half, a quarter and the
rest, each once, and its followers end flat as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from crash_cast import KRAKEN
from crash_evidence import examine
from crash_lab import SIGKILLED, Lab, Tally
from crash_strategy import CANDLES, bought_and_sold
from crash_world import World

ALL = os.environ.get("CRASH_ALL") == "1"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800 if ALL else 300)]

STORY = ["buy", "sell", "sell", "sell"]
STEPS = [{"candle": number} for number in range(CANDLES)]
# Large enough accounts that a quarter of the smallest position is above the venue's minimum.
CAST = replace(KRAKEN, members=tuple(member for member in KRAKEN.members if member.user != "carol_white"))


def told_by_the_venue(world: World) -> tuple[list[str], bool]:
    """The master's orders, and whether everybody is flat at the end."""
    sides, held = bought_and_sold([order for order in world.orders() if order["user"] == "master"])
    return sides, not held


@pytest.fixture(scope="module")
def steps_of_a_position(lab: Lab) -> list[str]:
    """The boundaries that one run without a kill comes to, in its order."""
    world = lab.world("apex unharmed", STEPS, CAST)
    assert world.run(lab.workers) == 0, world.log()
    assert examine(world, sized_by_ratio=False).clean
    assert told_by_the_venue(world) == (STORY, True), world.log()
    return list(world.result()["passed"])


def lives(lab: Lab, name: str, runs: list[dict[str, Any]], wrong: list[str]) -> Callable[[], Tally]:
    def live() -> Tally:
        world = lab.world(name, STEPS, CAST)
        tally = lab.live(world, runs)
        story = told_by_the_venue(world)
        if story != (STORY, True):
            wrong.append(f"{world.name} (killed {world.kills()}): {story}\n{world.log()}")
        return tally

    return live


def test_no_step_is_taken_twice_and_no_stop_is_lost(lab: Lab, steps_of_a_position: list[str]) -> None:
    """Every boundary around the master's orders and the memory is a place to die, once and again while recovering."""
    passed = steps_of_a_position
    first = next(number for number, name in enumerate(passed, 1) if "MasterIntended" in name)
    own = [
        number for number, name in enumerate(passed, 1)
        if number >= first and ("master" in name.lower() or "StrategyNoted" in name or "SignalEmitted" in name)
    ]  # fmt: skip
    others = [number for number in range(first, len(passed) + 1, 6) if number not in own]
    if not ALL:  # each kind of step where it comes first, and every fourth of the others
        firsts = {passed.index(passed[number - 1], first - 1) + 1 for number in own}
        own = sorted(firsts | set(own[::4]))
        others = others[::4]
    wrong: list[str] = []
    cases = []
    for nth in [*own, *others]:
        runs = [{"kill": {"nth": nth}}]
        if nth % 3 == 0:
            runs.append({"kill": {"nth": first + nth % 17}})
        cases.append(lives(lab, f"apex step {nth}", runs, wrong))
    tally = lab.run("strategy", cases)
    assert wrong == [], wrong[:2]
    tally.assert_clean()
    assert tally.kills.total() >= len(own), tally.line()
    names = {passed[number - 1] for number in own}
    missed = names - set(tally.kills)
    assert not missed, f"no process died at {sorted(missed)}"
    assert any("MasterIntended+StrategyNoted: applied" in name for name in names)


def test_that_the_proof_sees_a_strategy_that_forgets(lab: Lab, steps_of_a_position: list[str]) -> None:
    """The control: without its memory of what it asked for, a step is taken again."""
    name = "place master sell: answered"
    assert name in steps_of_a_position
    world = lab.world("apex forgetful", [{**step, "forgetful": True} for step in STEPS], CAST)
    assert world.run(lab.workers, kill={"nth": 1, "name": name}) == SIGKILLED
    world.run(lab.workers)
    sides, _ = told_by_the_venue(world)
    assert sides != STORY
