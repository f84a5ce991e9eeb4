"""`kill -9` at every step of the life of orders that rest: placed, amended, taken back, filled for one and not for the
other, between a profit and a stop. Nobody is left with an order that the master no longer has, nobody has two of one.

The whole of it, every boundary of every story, runs with CRASH_ALL=1 (`make kills`).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from crash_lab import SIGKILLED, Lab, Tally
from crash_resting_evidence import examine_resting
from crash_resting_random import CALLS
from crash_resting_stories import Markets, resting_world, stories

SEED = 20_240_609
ALL = os.environ.get("CRASH_ALL") == "1"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(7_200 if ALL else 300)]  # ALL is some thousands of worlds

# What must come first in every story's life, so that an end before it is the same as for any other order.
FIRST = "ledger MasterIntended: asked"
VENUES = ("kraken", "binance", "coinbase", "alpaca", "okx", "kraken > alpaca")
# What dies at these is dealt with by test_kill_nine.py: reads that change nothing, and the life of any order.
ELSEWHERE = ("asked", "balances", "check_key", "quotes", "load_instruments", "find", "last look")
SHORT = VENUES if ALL else ("kraken", "binance")  # in `make test`
LONGER = ("kraken", "binance")  # one without brackets and one that has them; the others have a short run in `make test`
KINDS = {
    "kraken": ("amended", "taken back", "hasty", "at profit", "at stop"), "binance": ("amended", "at profit"),
    "coinbase": ("amended",), "alpaca": ("timed out",), "okx": ("amended", "at profit"), "kraken > alpaca": ("beside",),
}  # fmt: skip


@pytest.fixture(scope="module")
def markets(lab: Lab) -> Markets:
    return Markets(lab.venue)


def kill(name: str, nth: int = 1) -> dict[str, Any]:
    return {"kill": {"nth": nth, "name": name}}


def told(
    lab: Lab, markets: Markets, venue: str, story: str, runs: list[dict[str, Any]], *faults: dict[str, Any]
) -> Callable[[], Tally]:
    """A case: one world that tells the story, killed as `runs` say, with the faults in force until the last run."""

    def live() -> Tally:
        with markets.lent(venue) as market:
            world = resting_world(lab, f"{venue} {story} {runs[0]}", market, stories(venue)[story](market))
            for fault in faults:
                world.fault(**fault)
            return lab.live(world, runs, examine_resting)

    return live


def passed(lab: Lab, markets: Markets, venue: str, story: str) -> list[str]:
    """The boundaries that one run without a kill comes to, in its order; from the master's first order on."""
    with markets.lent(venue) as market:
        world = resting_world(lab, f"{venue} {story} unharmed", market, stories(venue)[story](market))
        assert world.run(lab.workers) == 0, world.log()
        found = examine_resting(world)
        assert found.clean, (found, world.log())
        return list(world.result()["passed"])


@pytest.mark.parametrize("venue", SHORT)
def test_killed_at_every_kind_of_step_and_again_while_recovering(lab: Lab, markets: Markets, venue: str) -> None:
    """Each kind of boundary that orders have which rest is died at in one of the stories; with CRASH_ALL each boundary
    of each story."""
    chance = random.Random(SEED)
    cases: list[Callable[[], Tally]] = []
    seen: set[str] = set()
    for story in stories(venue) if ALL else KINDS[venue]:
        names = passed(lab, markets, venue, story)
        start = names.index(FIRST)
        for nth, name in enumerate(names[start:], start + 1):
            if not ALL and (name in seen or any(word in name for word in ELSEWHERE)):
                continue
            seen.add(name)
            after_ms = chance.uniform(0.1, 4.0) if nth % 4 == 0 else 0.0
            again = [{"kill": {"nth": start + chance.randint(1, 40)}} for _ in range(nth % 3 == 0)]
            first = {"kill": {"nth": nth, "after_ms": after_ms}}
            cases.append(told(lab, markets, venue, story, [first, *again]))
    if not ALL:
        cases = chance.sample(cases, min(len(cases), 10))
    tally = lab.run(f"resting orders at {venue}", cases)
    tally.assert_clean()
    assert tally.kills.total() >= len(cases) // 2, tally.line()
    assert not ALL or tally.killed_recovering >= len(cases) // 6, tally.line()


# Around the transactions and the calls that only orders that rest have.
DEATHS = (
    ("CancelAsked+CopiesPlanned: durable", 1), ("CancelAsked+CopiesPlanned: asked", 1), ("cancel copy: asked", 2),
    ("cancel copy: answered", 1), ("cancel master: asked", 1), ("cancel master: answered", 1),
    ("OrderExecuted+SignalEmitted: asked", 1), ("OrderExecuted+SignalEmitted: durable", 1),
    ("OrderExecuted+SignalEmitted: durable", 2), ("market:", 1), ("market:", 2), ("CopyDecided: durable", 1),
    ("OrderExecuted+CopiesPlanned: asked", 1), ("OrderExecuted+CopiesPlanned: durable", 2),
)  # fmt: skip
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "drop", "when": "after"}, {"kind": "drop", "when": "before"}, {"kind": "status", "when": "before"},
)  # fmt: skip


def calls_of(venue: str) -> Sequence[Sequence[str]]:
    """What the master's cancels, one follower's orders and the other's looks are called where each of them is."""
    here, _, beyond = venue.partition(" > ")
    return CALLS[here][0], CALLS[beyond or here][1], CALLS[beyond or here][2]


@pytest.mark.parametrize("venue", SHORT)
def test_killed_while_the_venue_misbehaves(lab: Lab, markets: Markets, venue: str) -> None:
    """Cancels, orders and looks whose answers are lost, for the master and for a follower, with kills on top."""
    chance = random.Random(SEED + 1)
    cases = []
    short = not ALL and venue not in LONGER
    every = [story for story in stories(venue) if story != "at stop"]
    if not ALL:
        every = chance.sample(every, min(len(every), 4))
    for story in KINDS[venue][:1] if short else every:
        for name, nth in DEATHS if ALL else chance.sample(DEATHS, 2 if short else 1):
            faults = [
                {**chance.choice(FAULTS), "user": user, "method": method, "count": 2}
                for user, methods in zip(("master", "alice_smith", "bob_jones"), calls_of(venue), strict=True)
                for method in methods
            ]
            cases.append(told(lab, markets, venue, story, [kill(name, nth), kill("find: asked")], *faults))
    tally = lab.run(f"resting orders, {venue} at fault", cases)
    tally.assert_clean()
    assert tally.kills.total() >= len(cases) // 2, tally.line()


def test_killed_from_outside_at_any_moment(lab: Lab, markets: Markets) -> None:
    """Moments between the boundaries, in every story."""
    chance = random.Random(SEED + 2)

    def runs() -> list[dict[str, Any]]:
        return [{"kill_from_outside_ms": chance.uniform(100, 900)}, {"kill_from_outside_ms": chance.uniform(60, 600)}]

    every = [(venue, story) for venue in VENUES for story in stories(venue)]
    chosen = every * 8 if ALL else chance.sample(every, 5)
    cases = [told(lab, markets, venue, story, runs()) for venue, story in chosen]
    tally = lab.run("resting orders, from outside", cases)
    tally.assert_clean()
    assert tally.kills.total() >= len(cases) // 2, tally.line()


def control(
    lab: Lab, markets: Markets, story: str, death: dict[str, Any], venue: str = "kraken", **flags: bool
) -> tuple[Any, Any]:
    """What is found of a world whose ledger leaves something out, and of one that dies at the same step whole."""
    found = []
    for how in (flags, {}):
        with markets.lent(venue) as market:
            world = resting_world(lab, f"control {story} {how}", market, stories(venue)[story](market))
            assert world.run(lab.workers, **death, **how) == SIGKILLED, world.log()
            world.run(lab.workers)
            found.append(examine_resting(world))
    broken, whole = found
    assert whole.clean, whole
    return broken, whole


def test_control_a_cancel_that_nobody_wrote_down_is_seen(lab: Lab, markets: Markets) -> None:
    """A copy that is taken back without a durable word of it is still at the venue when the next one is placed."""
    broken, _ = control(lab, markets, "bought anew", kill("cancel copy: asked"), forgetful=True)
    assert any("two orders to buy at once" in text for text in broken.doubled), broken


def test_control_an_end_that_is_told_in_a_transaction_of_its_own_is_seen(lab: Lab, markets: Markets) -> None:
    """The master's order is over, and the signal of it is lost: wherever the disk took the two apart, which is up to
    the disk, so that several worlds are tried."""
    death = kill("SignalEmitted: asked", 2)
    for _ in range(8):
        broken, _ = control(lab, markets, "taken back", death, split=True)
        if any("signals of the end" in text for text in broken.lost):
            return
    raise AssertionError(f"not seen in eight worlds: {broken}")


def test_control_an_exit_whose_next_leg_is_told_in_a_transaction_of_its_own_is_seen(
    lab: Lab, markets: Markets
) -> None:
    """The stop has made way for an entry, and the ledger has nothing of the one that was to follow it."""
    death = kill("CopiesPlanned: asked", 4)  # behind those of the purchase, the stop, and the second purchase
    for _ in range(8):
        broken, _ = control(lab, markets, "beside", death, "kraken > alpaca", split=True)
        if any("0 resting orders to sell" in text for text in broken.lost):
            return
    raise AssertionError(f"not seen in eight worlds: {broken}")
