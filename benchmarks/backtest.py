"""How long a backtest takes: APEX on made-up candles, with followers that have limits, on one core.

    python -m benchmarks.backtest [--candles 100000] [--followers 100]
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from decimal import Decimal

import numpy as np

from copytrade.backtest.market import market_for
from copytrade.backtest.report import report
from copytrade.backtest.run import Backtest, Setup
from copytrade.domain.account import AccountId, FollowerTerms
from copytrade.domain.limits import ActingLimit
from copytrade.domain.money import Amount
from copytrade.strategy.apex.apex import Apex
from copytrade.strategy.port import Candles

_INTERVAL_S = 300
_BEGIN_S = 1_735_689_600  # 2025-01-01 UTC


def made_up(count: int, seed: int = 7) -> Candles:
    """A walk with fat tails, five steps to a candle."""
    rng = np.random.default_rng(seed)
    walk = 40_000 * np.exp(np.concatenate(([0.0], np.cumsum(rng.standard_t(4, count * 5) * 0.00045))))
    parts = np.round(np.stack([walk[np.arange(count) * 5 + step] for step in range(6)]), 1)
    return Candles(
        _INTERVAL_S, _BEGIN_S + np.arange(count) * _INTERVAL_S, parts[0].copy(), parts.max(0), parts.min(0),
        parts[5].copy(), rng.lognormal(3, 0.6, count),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candles", type=int, default=100_000)
    parser.add_argument("--followers", type=int, default=100)
    options = parser.parse_args()
    candles = made_up(options.candles)
    limit = ActingLimit(share=Decimal("0.5"))
    followers = [
        (FollowerTerms(AccountId(f"kraken:follower_{number}"), max_drawdown=limit), Amount(Decimal(1000 + 10 * number)))
        for number in range(options.followers)
    ]
    market = market_for("kraken", "BTC/USD", float(candles.open[0]), None)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    result = Backtest(Setup(candles, Apex(), "kraken", market, Amount(Decimal(10_000)), followers)).run()
    told = report(result)
    print(
        json.dumps(
            {
                "candles": len(candles), "followers": len(followers), "orders_of_the_master": len(result.orders),
                "copies": sum(each["filled"] for each in told["followers"]),
                "seconds": round(time.perf_counter() - wall_s, 1), "cpu_seconds": round(time.process_time() - cpu_s, 1),
                "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            },
            indent=2,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
