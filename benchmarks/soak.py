"""Random trades, random deaths of the worker, random faults of the venue, for as long as asked; then the venue's own
records are held against the ledger. `make soak` runs it; prints JSON, and ends with 1 if anything was lost or doubled.

The processes, worlds and checks are those of tests/crash; here the seed decides everything instead of a list of steps.
Most worlds have a market of their own at one of the five venues and orders that rest: limits, stops and brackets,
amended, taken back, filled in part for some, reached by the price; there every difference between positions must have
its cause by name as well. The others trade at market alone, at Kraken or with a follower at every venue.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO), str(REPO / "tests" / "crash")]

from crash_cast import KRAKEN, VENUES, mixed  # noqa: E402
from crash_evidence import Findings, doubts, examine  # noqa: E402
from crash_resting_evidence import examine_resting  # noqa: E402
from crash_resting_random import FAULTS as LOST_ANSWERS  # noqa: E402
from crash_resting_random import WHO, random_fault, random_story  # noqa: E402
from crash_resting_stories import Markets, at_rest, cast_at, in_market  # noqa: E402
from crash_worker import STUCK  # noqa: E402
from crash_world import VenueProcess, Workers, World  # noqa: E402

Fault = tuple[str, int]  # its venue, and its id there

SIGKILLED = -9
ROUND_S = 120.0  # then a new venue and an empty folder: the venue keeps every order and account it ever had
SYMBOLS = ("BTC/USD", "BTC/USDT")  # of worlds that trade at market alone: nobody moves these prices
PLAIN_SHARE = 0.35  # of such worlds
AT_KRAKEN: tuple[dict[str, Any], ...] = (
    {"method": "AddOrder", "kind": "drop", "when": "after"},
    {"method": "AddOrder", "kind": "drop", "when": "before"},
    {"method": "AddOrder", "kind": "cut", "when": "after"},
    {"method": "AddOrder", "kind": "hang", "when": "after"},
    {"method": "AddOrder", "kind": "hang", "when": "before"},
    {"method": "AddOrder", "kind": "empty", "when": "after"},
    {"method": "AddOrder", "kind": "truncated_json", "when": "after"},
    {"method": "AddOrder", "kind": "status", "when": "after", "status": 502},
    {"method": "AddOrder", "kind": "status", "when": "before", "status": 520},
    {"method": "AddOrder", "kind": "error", "when": "after", "error": "EService:Unavailable"},
    {"method": "AddOrder", "kind": "error", "when": "before", "error": "EGeneral:Internal error"},
    {"method": "AddOrder", "kind": "error", "when": "before", "error": "EAPI:Invalid nonce"},
    {"method": "AddOrder", "kind": "delay", "when": "before", "delay_ms": 700},
    {"method": "AddOrder", "kind": "delay", "when": "after", "delay_ms": 700},
    {"method": "AddOrder", "kind": "hide", "hide_s": 2},
    {"method": "OpenOrders", "kind": "drop", "when": "after"},
    {"method": "OpenOrders", "kind": "status", "when": "before", "status": 502},
    {"method": "ClosedOrders", "kind": "error", "when": "before", "error": "EService:Busy"},
    {"method": "ClosedOrders", "kind": "ignore_filter"},
    {"method": "TradesHistory", "kind": "cut", "when": "after"},
    {"method": "QueryOrders", "kind": "status", "when": "after", "status": 504},
)


@dataclass
class Totals:
    """What the worlds came to so far. Added to from several threads, under `lock`."""

    worlds: int = 0
    worlds_of_resting_orders: int = 0
    runs: int = 0
    orders: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    kills_while_recovering: int = 0
    in_doubt_and_there: int = 0
    in_doubt_and_not_there: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def random_trades(chance: random.Random, symbol: str, *, halves: bool) -> list[dict[str, Any]]:
    """Buys, wholes and `halves` in a legal order, ending flat.

    Sizes keep the smallest follower's exits above its venue's minimum: an exit that is too small is skipped with a
    reason, which is right and would have to be told from a lost one.
    """
    steps: list[dict[str, Any]] = []
    held = "nothing"
    for number in range(chance.randint(2, 7)):
        more = ["half"] if halves else []
        choices = {"nothing": ["buy"], "all": ["buy", "whole", *more], "half": ["buy", "whole"]}[held]
        what = chance.choice(choices)
        step: dict[str, Any] = {"id": f"trade-{number}", "symbol": symbol, "drain": chance.random() < 0.5}
        if what == "buy":
            step |= {"side": "buy", "usd": str(chance.randint(800, 950))}
        elif what == "half":
            # Sized by the position, so what came before must have come to its end in every run alike.
            steps[-1]["drain"] = True
            step |= {"side": "sell", "share": "0.5"}
        else:
            step |= {"side": "sell", "whole": True}
        steps.append(step)
        held = {"buy": "all", "half": "half", "whole": "nothing"}[what]
    if held != "nothing":
        steps.append({"id": "trade-last", "symbol": symbol, "side": "sell", "whole": True})
    return steps


def random_death(chance: random.Random) -> dict[str, Any]:
    """A kill at a boundary, a little after one, or from outside at any moment."""
    if chance.random() < 0.4:
        return {"kill_from_outside_ms": chance.uniform(20, 2500)}
    after_ms = chance.uniform(0.1, 5.0) if chance.random() < 0.4 else 0.0
    return {"kill": {"nth": chance.randint(1, 240), "after_ms": after_ms}}


def live(
    number: int, seed: int, folder: Path, venue: VenueProcess, workers: Workers, markets: Markets, totals: Totals
) -> None:
    """One world from its first trade to the check of its records."""
    chance = random.Random(f"{seed} {number}")
    if chance.random() < PLAIN_SHARE:
        cast = chance.choice([KRAKEN, mixed(chance.choice(list(VENUES)))])
        steps = random_trades(chance, cast.symbol, halves=cast is KRAKEN)
        world = World.make(f"w{number}", folder, venue, steps, cast)
        last(world, chance, number, seed, workers, totals, lambda: _plain_fault(world, chance))
        return
    with markets.lent(chance.choice(list(VENUES))) as market:
        steps = in_market(random_story(chance, market), market)
        world = at_rest(World.make(f"w{number}", folder, venue, steps, cast_at(market.venue)), market)
        last(world, chance, number, seed, workers, totals, lambda: _fault(world, chance))


def _plain_fault(world: World, chance: random.Random) -> Fault:
    """Kraken's own kinds where everybody is there, else a lost or late answer to an order, whatever its venue."""
    users = [world.cast.seats[0].user, *(member.user for member in world.cast.members if member.enabled)]
    user = chance.choice(users)
    kind = chance.choice(AT_KRAKEN if world.cast is KRAKEN else LOST_ANSWERS)
    return world.cast.seat(user).venue, world.fault(user, count=chance.randint(1, 2), **kind)


def _fault(world: World, chance: random.Random) -> Fault:
    venue = world.cast.master
    return venue, world.fault(chance.choice(WHO), count=chance.randint(1, 2), **random_fault(chance, venue))


def last(
    world: World, chance: random.Random, number: int, seed: int, workers: Workers, totals: Totals,
    fault: Callable[[], Fault],
) -> None:  # fmt: skip
    """Run a world through its deaths and faults, then to its end, and check what became of it."""
    deaths = [random_death(chance) for _ in range(chance.randint(1, 5))]
    resting = bool(world.more)
    found: Findings | None = None
    killed_at_first = there = not_there = 0
    try:
        for turn, death in enumerate(deaths):
            faults = [fault() for _ in range(chance.randint(0, 3))]
            code = world.run(workers, **death)
            for at, fault_id in faults:
                world.venue.call("DELETE", f"faults?id={fault_id}", venue=at)
            if code == SIGKILLED:
                killed_at_first += turn == 0
                doubt = doubts(world)
                there, not_there = there + doubt[0], not_there + doubt[1]
            elif code not in (0, STUCK):
                raise AssertionError(f"run {turn} ended with {code}")
        if (code := world.run(workers)) not in (0, STUCK):
            raise AssertionError(f"the last run ended with {code}")
        found = examine_resting(world) if resting else examine(world, sized_by_ratio=False)
    except Exception as error:
        found = Findings(wrong=[f"{type(error).__name__}: {error}"])
    kills = world.kills()
    if not found.clean:
        sys.stderr.write(f"world {number} of seed {seed}, killed {kills}: {found}\n{world.steps}\n{world.log()}\n")
    with totals.lock:
        totals.worlds += 1
        totals.worlds_of_resting_orders += resting
        totals.runs += len(deaths) + 1
        totals.orders += found.orders
        totals.kills.update(kills)
        totals.kills_while_recovering += len(kills) - killed_at_first
        totals.in_doubt_and_there += there
        totals.in_doubt_and_not_there += not_there
        for name in ("lost", "doubled", "wrong"):
            getattr(totals, name).extend(f"world {number}: {text}" for text in getattr(found, name))


def soak(minutes: float, seed: int, at_once: int) -> dict[str, Any]:
    """Live world after world, `at_once` at a time, until the time is over."""
    totals = Totals()
    struck: Counter[str] = Counter()
    numbers = itertools.count()
    until = time.monotonic() + minutes * 60
    while time.monotonic() < until:
        struck += soak_round(min(until, time.monotonic() + ROUND_S), seed, at_once, numbers, totals)
    return {
        "seed": seed,
        "minutes": minutes,
        "worlds": totals.worlds,
        "worlds_of_resting_orders": totals.worlds_of_resting_orders,
        "runs": totals.runs,
        "kills": totals.kills.total(),
        "kills_while_recovering": totals.kills_while_recovering,
        "steps_killed_at": len(totals.kills),
        "faults_struck": struck,
        "orders_at_venue": totals.orders,
        "in_doubt_and_at_venue": totals.in_doubt_and_there,
        "in_doubt_and_not_at_venue": totals.in_doubt_and_not_there,
        "lost": len(totals.lost),
        "doubled": len(totals.doubled),
        "wrong": len(totals.wrong),
        "findings": (totals.doubled + totals.lost + totals.wrong)[:20],
    }


def soak_round(until: float, seed: int, at_once: int, numbers: Iterator[int], totals: Totals) -> Counter[str]:
    """Worlds at one venue until `until` (monotonic seconds); which faults struck how often."""
    venues = tuple(VENUES)
    with tempfile.TemporaryDirectory() as name, VenueProcess(venues=venues) as venue, Workers() as workers:
        markets = Markets(venue, but=SYMBOLS)

        def lane() -> None:
            while time.monotonic() < until:
                with totals.lock:
                    number = next(numbers)
                live(number, seed, Path(name), venue, workers, markets, totals)

        with ThreadPoolExecutor(at_once) as pool:
            for future in [pool.submit(lane) for _ in range(at_once)]:
                future.result()
        if "Traceback" in venue.complaints():
            totals.wrong.append(f"the simulated venue stumbled: {venue.complaints()}")
        struck = [Counter(venue.call("GET", "requests", venue=name)["faults_struck"]) for name in venues]
        return sum(struck, Counter())


def main() -> int:
    parser = argparse.ArgumentParser(description="Random trades, kills and venue faults; prints what came of them.")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="repeats a run's draws; drawn and printed if missing")
    parser.add_argument("--at-once", type=int, default=10, help="worlds at a time (%(default)s)")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    result = soak(options.minutes, seed, options.at_once)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 1 if result["lost"] or result["doubled"] or result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
