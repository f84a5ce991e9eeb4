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
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO), str(REPO / "tests" / "support")]

from drift_tally import Tally, ends  # noqa: E402
from drift_venues import VENUES, Link  # noqa: E402
from drift_world import DriftWorld, Master, calm, cash_of, lift_limits, mixed_followers  # noqa: E402
from world import Desk  # noqa: E402

_LOOK_EVERY = 50  # acts; one look reads every balance
_SAY_EVERY = 100
_INTERIM_EVERY = 500
_CALM_SHARE = 0.35  # of the acts are waited for to their end; the others come one upon the other


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


@dataclass
class Run:
    """One run, and what it has come to so far."""

    world: DriftWorld
    asked: argparse.Namespace
    tally: Tally = field(default_factory=Tally)
    acts: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)
    found: dict[str, Any] = field(default_factory=dict)

    async def trade(self, venues: VenuesProcess) -> None:
        """All acts, and everybody out of the market in the end. SIGINT or SIGTERM ends the acts early, no more."""
        chance, enough = random.Random(self.asked.seed), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, enough.set)
        async with self.world.trading() as desk:
            gc.freeze()
            self.world.set_faults()
            master = Master(desk, self.world, chance, self.acts)
            while master.number < self.asked.actions and not enough.is_set():
                await master.act()
                if chance.random() < _CALM_SHARE:
                    await calm(desk, self.world)
                if master.number % _LOOK_EVERY == 0:
                    await calm(desk, self.world)
                    await self.tally.look_at_everybody(master)
                    self.world.top_up()
                if master.number % _SAY_EVERY == 0:
                    self._say()
                if self.asked.interim is not None and master.number % _INTERIM_EVERY == 0:
                    await self._count(desk)
                    self.asked.interim.write_text(json.dumps(self.report(venues), indent=2) + "\n", encoding="utf-8")
            await calm(desk, self.world)
            await self.tally.look_at_everybody(master)
            await self.tally.close_everything(master)
            await self._count(desk)

    async def _count(self, desk: Desk) -> None:
        """What venues and ledger say, with nothing on its way."""
        await calm(desk, self.world)
        taken, doubled = self.world.orders(), self.world.doubled()
        self.found = {"orders": taken, "doubled": doubled, **await ends(desk, self.world)}

    def _say(self) -> None:
        wrong, seconds = self.tally.unexplained, time.monotonic() - self.began
        text = f"{sum(self.acts.values())} acts, {seconds:.0f} s, {self.tally.rows} rows, {len(wrong)} unexplained"
        print(text, wrong[-1:], f"slow: {self.world.slow[-1:]}", file=sys.stderr, flush=True)

    def report(self, venues: VenuesProcess) -> dict[str, Any]:
        """The figures, as JSON values."""
        tally, found, seconds = self.tally, dict(self.found), time.monotonic() - self.began
        doubled = found.pop("doubled")
        worker_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        by_cause = sorted(tally.worst.items(), key=lambda entry: -entry[1])
        return {
            "actions": sum(self.acts.values()), "of": dict(self.acts.most_common()),
            "followers": self.asked.followers, "venues": len(self.world.links), "master": self.asked.master,
            "seed": self.asked.seed, "seconds": round(seconds, 1), "orders_per_s": round(found["orders"] / seconds, 1),
            "worker_cpu_s": round(time.process_time(), 1), **found,
            "orders_that_the_ledger_does_not_know": found["orders"] - found["orders_in_ledger"],
            "doubled": len(doubled), "unexplained": tally.unexplained[:50], "rows": tally.rows,
            "rows_that_add_up_exactly": tally.exact, "looks_taken_again": tally.read_again,
            "causes": dict(tally.causes.most_common()), "worst_error_share_of_equity": f"{tally.worst_share:.4%}",
            "ideal_over_master_share": tally.spread_of_ideals(), "ideals_compared": len(tally.ideals),
            "ideals_far_from_the_master": len(tally.outliers), "of_these": tally.outliers[:10],
            "worst_share_of_equity_by_cause": {cause: f"{share:.6%}" for cause, share in by_cause},
            "worst_rounding_in_lot_steps_per_order": f"{tally.worst_rounding:.3f}",
            "slow": self.world.slow[:20], "slow_times": len(self.world.slow),
            "alerts": dict(self.world.alerts.most_common(12)),
            "peak_mb": {"worker": worker_mb, "venues": venues.peak_mb()},
        }  # fmt: skip

    @property
    def right(self) -> bool:
        """Whether everything was explained, and nothing doubled or lost."""
        unknown = self.found["orders"] - self.found["orders_in_ledger"]
        wrong = self.tally.unexplained or self.found["doubled"] or unknown or any(self.found["lost"].values())
        return not wrong and self.tally.exact == self.tally.rows > 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actions", type=int, default=10_000)
    parser.add_argument("--followers", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--master", choices=VENUES, default="kraken", help="the master's venue")
    parser.add_argument("--interim", type=Path, help="where to write the report so far, every 500 acts")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)
    lift_limits()
    gc.set_threshold(50_000, 20, 100)
    followers = mixed_followers(asked.followers, asked.seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        VenuesProcess(asked.seed, cash_of(followers, asked.master)) as venues,
    ):
        run = Run(DriftWorld(Path(folder), venues.links, followers, master=asked.master), asked)
        asyncio.run(run.trade(venues))
        report = run.report(venues)
    print(json.dumps(report, indent=2))
    return 0 if run.right else 1


if __name__ == "__main__":
    raise SystemExit(main())
