"""Tracking error under random trading: how far followers of mixed size at five venues are from the master, and whether
all of it is explained. `make drift` runs it; prints JSON, and ends with 1 if anything is unexplained, doubled or lost.

The venues are simulated, over HTTP, in a process of their own, and now and then refuse an order, end it early or lose
an answer, the master's too. Rate limits are off on both sides. Sizes, trades and prices come from the seed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO), str(REPO / "tests" / "support")]

from drift_tally import Tally, count_ends  # noqa: E402
from drift_venues import VENUES, Link  # noqa: E402
from drift_world import DriftWorld, Master, calm, cash_of, lift_limits, mixed_followers  # noqa: E402

_LOOK_EVERY = 50  # acts; one look reads every balance


class VenuesProcess:
    """The five venues in a process of their own."""

    def __init__(self, seed: int, accounts: dict[str, dict[str, str]]) -> None:
        command = [sys.executable, str(REPO / "tests" / "support" / "drift_venues.py")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"seed": seed, "accounts": accounts}) + "\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        self.links = {name: Link(name, about["url"], about["keys"]) for name, about in told.items()}

    def peak_mb(self) -> int:
        """The most memory that it has had (Linux; 0 elsewhere)."""
        try:
            lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


async def trade(world: DriftWorld, seed: int, actions: int, tally: Tally, acts: Counter[str]) -> dict[str, Any]:
    chance, began = random.Random(seed), time.monotonic()
    async with world.trading() as desk:
        gc.freeze()
        world.set_faults()
        master = Master(desk, world, chance, acts)
        for number in range(1, actions + 1):
            await master.act()
            if chance.random() < 0.35:
                await calm(desk, world)
            if number % _LOOK_EVERY == 0:
                await calm(desk, world)
                await tally.look_at_everybody(master)
                world.top_up()
            if number % 100 == 0:
                at_s = time.monotonic() - began
                _say(f"{number} acts, {at_s:.0f} s, {tally.rows} rows, slow: {world.slow[-1:]}", tally)
        await calm(desk, world)
        await tally.look_at_everybody(master)
        await tally.close_everything(master)
        taken, doubled = world.orders(), world.doubled()
        ends = await asyncio.to_thread(count_ends, desk, world.paths.ledger)
    return {"orders": taken, "doubled": doubled, **ends}


def _say(text: str, tally: Tally) -> None:
    print(f"{text}, {len(tally.unexplained)} unexplained {tally.unexplained[-1:]}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actions", type=int, default=10_000)
    parser.add_argument("--followers", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--master", choices=VENUES, default="kraken", help="the master's venue")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    lift_limits()
    gc.set_threshold(50_000, 20, 100)
    followers = mixed_followers(asked.followers, asked.seed)
    tally, acts, began = Tally(), Counter[str](), time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        VenuesProcess(asked.seed, cash_of(followers, asked.master)) as venues,
    ):
        world = DriftWorld(Path(folder), venues.links, followers, master=asked.master)
        found = asyncio.run(trade(world, asked.seed, asked.actions, tally, acts))
        venues_mb = venues.peak_mb()
    seconds = time.monotonic() - began
    doubled, lost = found.pop("doubled"), found["lost"]
    unknown = found["orders"] - found["orders_in_ledger"]
    report = {
        "actions": sum(acts.values()), "of": dict(acts.most_common()), "followers": asked.followers,
        "venues": len(VENUES), "master": asked.master, "seed": asked.seed, "seconds": round(seconds, 1),
        "orders_per_s": round(found["orders"] / seconds, 1), **found, "orders_that_the_ledger_does_not_know": unknown,
        "doubled": len(doubled), "unexplained": tally.unexplained[:50], "rows": tally.rows,
        "rows_that_add_up_exactly": tally.exact, "looks_taken_again": tally.read_again,
        "causes": dict(tally.causes.most_common()),
        "worst_error_share_of_equity": f"{tally.worst_share:.4%}",
        "ideal_over_master_share": tally.spread_of_ideals(),
        "worst_share_of_equity_by_cause": {c: f"{s:.6%}" for c, s in sorted(tally.worst.items(), key=lambda e: -e[1])},
        "worst_rounding_in_lot_steps_per_order": f"{tally.worst_rounding:.3f}",
        "slow": world.slow[:20], "slow_times": len(world.slow), "alerts": dict(world.alerts.most_common(12)),
        "peak_mb": {"worker": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "venues": venues_mb},
    }  # fmt: skip
    print(json.dumps(report, indent=2))
    wrong = tally.unexplained or doubled or unknown or any(lost.values()) or tally.exact != tally.rows
    return 1 if wrong or not tally.rows else 0


if __name__ == "__main__":
    raise SystemExit(main())
