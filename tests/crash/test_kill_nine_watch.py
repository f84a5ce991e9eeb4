"""`kill -9` of a worker that watches a master whose hand trades, before, between and after the deaths: what the hand
did since somebody watches is copied once, nothing from before is, and everybody is flat when the hand is.

The whole of it, every boundary of a long story and many random ones, runs with CRASH_ALL=1 (`make kills`).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from crash_evidence import Findings
from crash_hand import Act, Hand, buy, full_story, random_story, sell, short_story
from crash_lab import SIGKILLED, Lab, Tally
from crash_resting_stories import Market, Markets, at_rest, cast_at, in_market
from crash_watch_evidence import examine_watched, notes
from crash_world import World

SEED = 20_241_121
ALL = os.environ.get("CRASH_ALL") == "1"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(7_200 if ALL else 300)]
VENUES = ("kraken", "binance")
WATCH = "strategy: none, watch: true, watch_poll_s: 0.2, watch_check_s: 1"


@pytest.fixture(scope="module")
def markets(lab: Lab) -> Markets:
    return Markets(lab.venue)


def kill(name: str, nth: int = 1) -> dict[str, Any]:
    return {"kill": {"nth": nth, "name": name}}


def watched_world(lab: Lab, name: str, market: Market) -> World:
    """A world whose worker watches the master in its market."""
    steps = in_market([{"act": "watch"}], market)
    world = at_rest(lab.world(name, steps, cast_at(market.venue)), market)
    path = world.folder / "copytrade.yaml"
    path.write_text(path.read_text().replace("strategy: none", WATCH))
    world.more["watched"] = True
    return world


def case(
    lab: Lab, markets: Markets, venue: str, acts: Sequence[Act], runs: Sequence[dict[str, Any]], seed: int,
    *, pause_max_s: float = 0.15, judge: Callable[[World], Findings] = examine_watched, **flags: bool,
) -> Callable[[], Tally]:  # fmt: skip
    """A world in which the hand does `acts` while workers are killed as `runs` say; `down_s` of a run is how long
    nobody works after it."""

    def live() -> Tally:
        with markets.lent(venue) as market:
            world = watched_world(lab, f"{venue} by hand {seed}", market)
            world.more |= flags
            hand = Hand(world, market, acts, seed, pause_max_s)
            hand.before()
            hand.begin()

            def judged(world: World) -> Findings:
                hand.end()
                found = judge(world)
                if not found.clean:
                    found.wrong.append(notes(world))
                return found

            return lab.live(world, runs, judged)

    return live


def passed(lab: Lab, markets: Markets, venue: str) -> list[str]:
    """The boundaries that one run without a kill comes to, in its order."""
    with markets.lent(venue) as market:
        world = watched_world(lab, f"{venue} by hand unharmed", market)
        hand = Hand(world, market, full_story(venue), SEED)
        hand.before()
        hand.begin()
        assert world.run(lab.workers) == 0, world.log()
        hand.end()
        found = examine_watched(world)
        assert found.clean, (found, notes(world), world.log())
        return list(world.result()["passed"])


TOLD = "MasterIntended+OrderAccepted+SignalEmitted"
# Each kind of step that a watcher passes, where it comes first or somewhat later.
DEATHS = (
    ("stream: asked", 1), ("stream: up", 1), ("orders: asked", 2), ("orders: answered", 2), ("stream: limit open", 1),
    ("stream: stop open", 1), ("stream: limit cancelled", 1),
    (f"{TOLD}: asked", 2), (f"{TOLD}: applied", 2),
    (f"{TOLD}: durable", 3),
    (f"{TOLD}+OrderExecuted: applied", 1),
    (f"{TOLD}+OrderExecuted: durable", 2),
    ("OrderAmended+SignalEmitted: asked", 1), ("OrderAmended+SignalEmitted: applied", 1),
    ("OrderAmended+SignalEmitted: durable", 1), ("OrderExecuted+SignalEmitted: asked", 1),
    ("OrderExecuted+SignalEmitted: durable", 2), ("CancelAsked+CopiesPlanned: durable", 1),
    ("CopiesPlanned: durable", 2), ("place copy buy: bytes out", 2), ("cancel copy: asked", 1),
)  # fmt: skip


def test_killed_at_every_kind_of_step(lab: Lab, markets: Markets) -> None:
    """The hand does all that it can, the worker dies at a kind of step, and again while it recovers. With CRASH_ALL, at
    every boundary that an unharmed run comes to."""
    chance = random.Random(SEED)
    cases = []
    for number, (name, nth) in enumerate(chance.sample(DEATHS, 4) if not ALL else ()):
        again = [{"kill": {"nth": chance.randint(10, 60)}} for _ in range(number % 3)]
        # Kraken lets a key ask about once a second, so that what is seldom there is tried at length with CRASH_ALL.
        venue, acts = ("kraken", short_story()) if number == 0 else ("binance", full_story("binance"))
        cases.append(case(lab, markets, venue, acts, [kill(name, nth), *again], number))
    for venue in VENUES if ALL else ():
        for nth, _ in enumerate(passed(lab, markets, venue), 1):
            again = [{"kill": {"nth": chance.randint(10, 60)}} for _ in range(nth % 3)]
            first = {"kill": {"nth": nth, "after_ms": chance.uniform(0, 3) * (nth % 2)}}
            cases.append(case(lab, markets, venue, full_story(venue), [first, *again], nth))
    tally = lab.run("orders by hand, at every step", cases)
    tally.assert_clean()
    assert tally.kills.total() >= len(cases) * 3 // 4, tally.line()


def test_killed_from_outside_at_any_moment(lab: Lab, markets: Markets) -> None:
    """Random hands, and deaths at random."""
    chance = random.Random(SEED + 1)
    cases = []
    for number in range(200 if ALL else 2):
        venue = VENUES[number % 2] if ALL else "binance"
        runs = [{"kill_from_outside_ms": chance.uniform(200, 1500)} for _ in range(chance.randint(1, 4))]
        cases.append(case(lab, markets, venue, random_story(chance, venue), runs, number))
    tally = lab.run("orders by hand, from outside", cases)
    tally.assert_clean()
    assert tally.kills.total() >= len(cases), tally.line()


# -- controls ----------------------------------------------------------------------------------------------------------


def test_control_an_order_by_hand_without_a_lasting_id_is_copied_twice(lab: Lab, markets: Markets) -> None:
    acts = [buy("in"), buy("more")]
    tally = case(lab, markets, "binance", acts, [kill("SignalEmitted: durable", 2)], 1, nameless=True)()
    ((_, found),) = tally.findings
    assert found.doubled, found


@pytest.mark.parametrize("unmarked", [True, False])
def test_control_a_watch_whose_beginning_is_forgotten_loses_what_came_while_nobody_worked(
    lab: Lab, markets: Markets, unmarked: bool
) -> None:
    with markets.lent("binance") as market:
        world = watched_world(lab, f"control unmarked {unmarked}", market)
        world.more["unmarked"] = unmarked
        hand = Hand(world, market, [buy("in"), sell("half", "0.5"), buy("bid", limit="-0.3")], 2)
        hand.before()
        hand.begin()
        assert world.run(lab.workers, **kill("SignalEmitted: asked")) == SIGKILLED, world.log()
        hand.end()  # nobody works until it has done all
        assert world.run(lab.workers) == 0, world.log()
        found = examine_watched(world)
        assert bool(found.lost) is unmarked, found
