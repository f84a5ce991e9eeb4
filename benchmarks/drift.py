"""Tracking error under random trading: how far followers of mixed size are from the master, and whether all of it is
explained. `make drift` runs it; prints JSON, and ends with 1 if anything is not explained.

The venue is simulated, over HTTP, and now and then refuses an order or ends it early, the master's too. Rate limits are
off on both sides. Sizes, trades and faults come from the seed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO), str(REPO / "tests" / "support")]

from drift_world import Tally, act, close_everything, limitless, look_at_everybody, mixed_followers, set_faults  # noqa: E402
from world import Desk, World  # noqa: E402

from copytrade.venues.kraken.options import TIERS  # noqa: E402

_LOOKS = 20  # at everybody, over the whole run: one reads every balance


async def trade(world: World, seed: int, actions: int, tally: Tally) -> None:
    chance = random.Random(seed)
    async with world.trading() as desk:
        set_faults(world, seed)
        for number in range(actions):
            await act(desk, chance, number, tally)
            if number % max(1, actions // _LOOKS) == 0:
                await desk.settled()
                await look_at_everybody(desk, tally)
                said = f"{number} actions, {tally.rows} rows, {len(tally.unexplained)} unexplained"
                print(said, file=sys.stderr, flush=True)
        await desk.settled()
        await look_at_everybody(desk, tally)
        await close_everything(desk, tally)
        tally.orders = orders_of(desk)


def orders_of(desk: Desk) -> int:
    return sum(len(desk.world.orders(name)) for name in ("master", *desk.world.users))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actions", type=int, default=10_000)
    parser.add_argument("--followers", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    TIERS["pro"] = limitless()
    tally, began = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        world = World(
            Path(folder), followers=mixed_followers(asked.followers, asked.seed), master_cash=10_000,
            simulator={"rate_limits": False},
        )  # fmt: skip
        with world:
            asyncio.run(trade(world, asked.seed, asked.actions, tally))
        doubles = world.venue.doubles()
    report = {
        "actions": tally.actions, "refused": tally.refused, "followers": asked.followers, "seed": asked.seed,
        "orders": tally.orders, "seconds": round(time.monotonic() - began, 1), "rows": tally.rows,
        "unexplained": tally.unexplained[:50], "doubled": len(doubles),
        "worst_error_share_of_equity": f"{tally.worst_share:.4%}",
        "worst_rounding_in_lot_steps": f"{tally.worst_rounding:.2f}", "causes": dict(tally.causes.most_common()),
    }  # fmt: skip
    print(json.dumps(report, indent=2))
    return 1 if tally.unexplained or doubles or not tally.rows else 0


if __name__ == "__main__":
    raise SystemExit(main())
