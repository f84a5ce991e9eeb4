"""Candles and strategies for the tests of the backtest, all made up from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np

from copytrade.backtest.desk import DeskGuards
from copytrade.backtest.market import market_for
from copytrade.backtest.run import Setup
from copytrade.domain.account import AccountId, FollowerTerms
from copytrade.domain.money import Amount
from copytrade.domain.order import Side
from copytrade.strategy.port import Candles, Decision, Needs, Strategy, View, Wish

BEGIN_S = 1_767_225_600  # 2026-01-01 UTC
INTERVAL_S = 300


def random_candles(count: int, seed: int = 7, price: float = 40_000.0) -> Candles:
    """A walk with fat tails: trends, falls and sharp rebounds."""
    rng = np.random.default_rng(seed)
    walk = np.exp(np.concatenate(([0.0], np.cumsum(rng.standard_t(4, count * 5) * 0.00045)))) * price
    parts = np.round(np.stack([walk[np.arange(count) * 5 + step] for step in range(6)]), 1)
    return Candles(
        INTERVAL_S, BEGIN_S + np.arange(count) * INTERVAL_S, parts[0].copy(), parts.max(0), parts.min(0),
        parts[5].copy(), rng.lognormal(3, 0.6, count),
    )  # fmt: skip


def candles_of(*rows: tuple[float, float, float, float]) -> Candles:
    """From open, high, low, close."""
    return Candles.of_rows([(BEGIN_S + n * INTERVAL_S, *row, 10.0) for n, row in enumerate(rows)], INTERVAL_S)


class Scripted:
    """Does what the script says after each candle: `amount`, a negative share of what is held, or None."""

    name = "scripted"
    needs = Needs(interval_s=INTERVAL_S, candles=3, candles_min=1)

    def __init__(self, script: Callable[[int, View], float | None]) -> None:
        self._script = script
        self.seen: list[View] = []

    def decide(self, view: View) -> Decision:
        self.seen.append(view)
        number = round((view.at_s - BEGIN_S) / INTERVAL_S) - 1
        wanted = self._script(number, view)
        if wanted is None:
            return Decision()
        if wanted > 0:
            return Decision(wish=Wish(str(number), Side.BUY, amount=Amount(Decimal(repr(wanted)))))
        if wanted == -1:
            return Decision(wish=Wish(str(number), Side.SELL, whole=True))
        return Decision(wish=Wish(str(number), Side.SELL, quantity=view.held.scaled(Decimal(repr(-wanted)))))


def in_and_out(number: int, view: View) -> float | None:
    """Buys for 800, buys for 400, sells half, sells the rest; and again."""
    step = number % 12
    return {1: 800.0, 4: 400.0, 7: -0.5, 10: -1}.get(step)


def follower(name: str, cash: str = "1000", **terms: object) -> tuple[FollowerTerms, Amount]:
    return FollowerTerms(AccountId(f"kraken:{name}"), **terms), Amount.of(cash)  # type: ignore[arg-type]


def setup(
    candles: Candles, strategy: Strategy, followers: Sequence[tuple[FollowerTerms, Amount]] = (), **more: object
) -> Setup:
    market = market_for("kraken", "BTC/USD", float(candles.open[0]), Decimal("0.004"))
    return Setup(
        candles, strategy, "kraken", market, Amount(Decimal(10_000)), followers, desk=DeskGuards(), **more
    )  # type: ignore[arg-type]
