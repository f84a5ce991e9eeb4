"""`kill -9` at every step of the life of a trade, in the first run and while the next ones recover: none lost, none
doubled, by the records of a venue in a process of its own. And a control that must fail."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from crash_cast import FOLLOWERS
from crash_evidence import doubts, examine
from crash_lab import SIGKILLED, Lab, Tally

ALL = os.environ.get("CRASH_ALL") == "1"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800 if ALL else 300)]

SEED = 20_240_607
SYMBOL = "BTC/USD"
BUY = {"id": "buy-1", "symbol": SYMBOL, "side": "buy", "usd": "800"}
SELL = {"id": "sell-1", "symbol": SYMBOL, "side": "sell", "whole": True}
CALM: Sequence[dict[str, Any]] = (BUY, SELL)
# The exit is asked for while the entry's copies are still on their way.
HASTY: Sequence[dict[str, Any]] = ({**BUY, "drain": False}, SELL)


@pytest.fixture(scope="module")
def steps_of_a_trade(lab: Lab) -> list[str]:
    """The boundaries that one run without a kill comes to, in its order."""
    world = lab.world("unharmed", CALM)
    assert world.run(lab.workers) == 0, world.log()
    found = examine(world)
    assert found.clean, found
    assert found.orders == 8, "a buy and a sell of the master and its three followers"
    return list(world.result()["passed"])


def test_killed_at_every_step_and_again_while_recovering(lab: Lab, steps_of_a_trade: list[str]) -> None:
    """Each kind of boundary of an unharmed run is a place to die in the first run; where the next die is drawn."""
    chance = random.Random(SEED)
    boundaries = len(steps_of_a_trade)
    start = steps_of_a_trade.index("ledger MasterIntended: asked")

    def case(nth: int) -> Callable[[], Tally]:
        steps = HASTY if nth % 3 == 0 else CALM
        # A recovery passes the start-up's boundaries again; most second kills go behind them, where it recovers.
        again = [{"kill": {"nth": chance.randint(1, start)}}] if nth % 8 == 0 else []
        again += [{"kill": {"nth": start + chance.randint(1, 40)}} for _ in range(1 + nth % 2)]
        first = {"kill": {"nth": nth, "after_ms": chance.uniform(0.1, 4.0) if nth % 4 == 0 else 0.0}}
        return lambda: lab.live(lab.world(f"step{nth}", steps), [first, *again])

    # Each kind of step where it comes first, and of the others every thirtieth (with CRASH_ALL every fourth): the rest
    # are the same for another account.
    firsts = {steps_of_a_trade.index(name) + 1 for name in steps_of_a_trade}
    every = 4 if ALL else 30
    cases = [case(nth) for nth in sorted(firsts | set(range(every, boundaries + 1, every)))]
    tally = lab.run("every step", cases)
    tally.assert_clean()
    assert tally.kills.total() >= len(cases), tally.line()
    assert tally.killed_recovering >= len(cases) // 6, tally.line()
    assert tally.in_doubt_and_there >= len(cases) // 8, tally.line()
    assert tally.in_doubt_and_not_there >= len(cases) // 8, tally.line()
    missed = {name for name in steps_of_a_trade if name not in tally.kills}
    assert len(missed) <= len(set(steps_of_a_trade)) // 5, f"no process died at {sorted(missed)}"


def test_killed_at_the_steps_of_a_look_up(lab: Lab) -> None:
    """Recovery's own steps by name: asking, having found, having found nothing, and what is written next."""
    deaths = ["find: asked", "find: nothing", "find: found", "OrderAccepted: applied", "OrderAccepted: durable"]

    def case(death: str, nth: int, first: str) -> Callable[[], Tally]:
        runs = [{"kill": {"nth": 1 + nth, "name": first}}] + [{"kill": {"nth": nth, "name": death}}] * 2
        return lambda: lab.live(lab.world(f"{first}, {death} {nth}", HASTY), runs)

    firsts = ["place copy buy: bytes out", "place copy sell: last look 2", "place copy sell: answered"]
    cases = [case(death, nth, first) for death in deaths for nth in (1, 2) for first in firsts]
    cases += [case(death, 1, f"place master {side}: bytes out") for death in deaths for side in ("buy", "sell")]
    tally = lab.run("look-ups", cases)
    tally.assert_clean()
    assert tally.killed_recovering >= 30, tally.line()


def test_killed_between_a_signal_and_its_plan(lab: Lab) -> None:
    """A signal that nobody has answered is answered by the next run, before its followers are connected again."""

    def case(death: str, again: str) -> Callable[[], Tally]:
        runs = [{"kill": {"nth": nth, "name": name}} for nth, name in ((1, death), (1, again))]
        return lambda: lab.live(lab.world(f"{death}, {again}", CALM), runs)

    deaths = ["SignalEmitted: durable", "CopiesPlanned: asked", "CopiesPlanned: applied", "CopiesPlanned: durable"]
    tally = lab.run("unplanned signals", [case(death, again) for death in deaths for again in deaths])
    tally.assert_clean()
    assert tally.kills.total() >= 20, tally.line()


def test_killed_from_outside_at_any_moment(lab: Lab) -> None:
    """Moments between the boundaries: inside a commit, inside a parse, while the thread that writes is at work."""
    chance = random.Random(SEED + 1)

    def case(number: int) -> Callable[[], Tally]:
        runs = [{"kill_from_outside_ms": chance.uniform(20, 900)}]
        runs += [{"kill_from_outside_ms": chance.uniform(20, 700)} for _ in range(2)]
        return lambda: lab.live(lab.world(f"outside{number}", HASTY if number % 2 else CALM), runs)

    cases = [case(number) for number in range(40 if ALL else 12)]
    tally = lab.run("from outside", cases)
    tally.assert_clean()
    assert tally.kills.total() >= len(cases) // 2, tally.line()


LATE: dict[str, dict[str, Any]] = {
    "late on the wire": {"kind": "delay", "when": "before", "delay_ms": 1500},
    "late in the listings": {"kind": "hide", "hide_s": 2},
}


@pytest.mark.parametrize("late", LATE)
def test_killed_while_an_order_is_still_on_its_way(lab: Lab, late: str) -> None:
    """The next run looks before the order can be seen: to find nothing too early must not pass for absence."""

    def case(who: str, side: str) -> Callable[[], Tally]:
        def live() -> Tally:
            world = lab.world(f"{late}, {who} {side}", CALM)
            users = ["master"] if who == "master" else list(FOLLOWERS)
            for user in users:  # the exit is the second order of an account
                world.fault(user, count=1, every=1 if side == "buy" else 2, **LATE[late])
            return lab.live(world, [{"kill": {"nth": len(users), "name": f"place {who} {side}: bytes out"}}])

        return live

    tally = lab.run(late, [case(who, side) for who in ("master", "copy") for side in ("buy", "sell")])
    tally.assert_clean()
    assert tally.kills.total() == 4, tally.line()
    assert tally.in_doubt_and_there + tally.in_doubt_and_not_there >= 8, tally.line()


FAULTS: dict[str, dict[str, Any]] = {
    "drop after accept": {"kind": "drop", "when": "after"},
    "drop before accept": {"kind": "drop", "when": "before"},
    "half an answer": {"kind": "cut", "when": "after"},
    "hang after accept": {"kind": "hang", "when": "after"},
    "502 after accept": {"kind": "status", "when": "after", "status": 502},
    "502 before accept": {"kind": "status", "when": "before", "status": 502},
    "unavailable after accept": {"kind": "error", "when": "after", "error": "EService:Unavailable"},
    "unavailable before accept": {"kind": "error", "when": "before", "error": "EService:Unavailable"},
    "exit cut short": {"kind": "partial_cancel", "fraction": "0.5"},
}


@pytest.mark.parametrize("death", ["OrderUnknown: applied", "find: asked", "find: found", "OrderExecuted"])
def test_killed_while_the_venue_misbehaves(lab: Lab, death: str) -> None:
    """Each kind of lost answer, once for the master and once for a follower, with kills on top."""

    def case(name: str, user: str, nth: int) -> Callable[[], Tally]:
        def live() -> Tally:
            world = lab.world(f"{name}, {user}, {death}", HASTY)
            # An entry that is cut short is no fault of a copy's; the exit is the second order of an account.
            every = 2 if name == "exit cut short" else 1
            world.fault(user, count=1, every=every, **FAULTS[name])
            return lab.live(world, [{"kill": {"nth": nth, "name": death}}, {"kill": {"nth": nth + 1, "name": death}}])

        return live

    users = {name: ("bob_jones",) if name == "exit cut short" else ("master", "bob_jones") for name in FAULTS}
    cases = [case(name, user, 1) for name in FAULTS for user in users[name]]
    tally = lab.run(f"venue at fault, killed at {death}", cases)
    tally.assert_clean()
    assert tally.kills.total() >= 5, tally.line()


def test_killed_between_an_exit_cut_short_and_its_next_leg(lab: Lab) -> None:
    """The venue ends an exit half-way; what is left must be sold once, whatever dies in between."""
    deaths = [(f"CopiesPlanned: {moment}", 3) for moment in ("asked", "applied", "durable")]  # of buy, sell, next leg
    deaths += [(f"CopyDecided: {moment}", 1) for moment in ("asked", "applied", "durable")]
    deaths += [(f"place copy sell: {moment}", 4) for moment in ("asked", "last look 2", "bytes out", "answered")]

    def case(name: str, nth: int) -> Callable[[], Tally]:
        def live() -> Tally:
            world = lab.world(f"next leg, {name}", CALM)
            world.fault("alice_smith", count=1, every=2, kind="partial_cancel", fraction="0.5")
            tally = lab.live(world, [{"kill": {"nth": nth, "name": name}}])
            assert tally.orders == 9, f"a buy and a sell of four accounts, and alice's next leg: {world.orders()}"
            return tally

        return live

    tally = lab.run("next legs", [case(name, nth) for name, nth in deaths])
    tally.assert_clean()
    assert tally.kills.total() == len(deaths), tally.line()


def test_control_without_look_ups_doubles_are_made_and_seen(lab: Lab) -> None:
    """A worker that takes every order in doubt to be absent, and one that looks, die at the same steps: the first
    must double every order that the venue had, and the checker must see each; the second none."""
    names = [f"place {who} buy: {moment}" for who in ("copy", "master") for moment in ("answered", "bytes out")]

    def blind(name: str) -> Callable[[], Tally]:
        def live() -> Tally:
            world = lab.world(f"blind, {name}", CALM)
            assert world.run(lab.workers, blind=True, kill={"nth": 1, "name": name}) == SIGKILLED
            there, not_there = doubts(world)
            world.run(lab.workers, blind=True)
            found = examine(world)
            assert len(found.doubled) == there, (found, there)
            return Tally(1, found.orders, Counter(world.kills()), 0, there, not_there, [(world, found)])

        return live

    def sighted(name: str) -> Callable[[], Tally]:
        return lambda: lab.live(lab.world(f"sighted, {name}", CALM), [{"kill": {"nth": 1, "name": name}}])

    control = lab.run("control without look-ups", [blind(name) for name in names])
    assert control.doubled >= len(names), control.line()
    lab.run("the same with look-ups", [sighted(name) for name in names]).assert_clean()
