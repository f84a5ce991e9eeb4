"""Hand-made readings and candles for the tests of APEX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from copytrade.domain.money import Amount, Quantity
from copytrade.strategy.apex.apex import Moment
from copytrade.strategy.apex.readings import Readings
from copytrade.strategy.port import Candles, Funds, Memory, View

FUNDS = Funds(Amount.of(10_000), Amount.of(10_000))

# A market that fulfils every rule of a long entry, with a margin at each.
GOOD: dict[str, float] = {
    "open": 99.6, "high": 100.2, "low": 99.5, "close": 100.0, "volume": 10.0, "open_before": 99.9,
    "close_before": 99.7, "vwap": 99.8, "ema_fast": 99.9, "ema_middle": 99.7, "ema_slow": 99.0, "rsi_fast": 60.0,
    "rsi_fast_before": 55.0, "rsi_slow": 58.0, "rsi_slow_before": 54.0, "histogram": 0.20, "histogram_before": 0.10,
    "adx": 35.0, "atr": 1.20, "volume_mean": 10.0, "volume_mean_short": 10.0, "swing_low": 98.50, "swing_high": 100.5,
}  # fmt: skip


def reading(**values: float) -> Readings:
    """One market: `GOOD`, but for these values."""
    given = {**GOOD, **values}
    return Readings(*(np.array([given[field.name]]) for field in fields(Readings)))


def mirrored(**values: float) -> Readings:
    """The mirror image of `reading(...)` at 100, which fulfils what a short signal asks."""
    given = {**GOOD, **values}
    turned = {**given, **{name: 200 - given[name] for name in GOOD if name not in UNTURNED}}
    turned["high"], turned["low"] = 200 - given["low"], 200 - given["high"]
    turned["swing_low"], turned["swing_high"] = 200 - given["swing_high"], 200 - given["swing_low"]
    for name in ("rsi_fast", "rsi_fast_before", "rsi_slow", "rsi_slow_before"):
        turned[name] = 100 - given[name]
    turned["histogram"], turned["histogram_before"] = -given["histogram"], -given["histogram_before"]
    return Readings(*(np.array([turned[field.name]]) for field in fields(Readings)))


UNTURNED = frozenset({"volume", "adx", "atr", "volume_mean", "volume_mean_short", "histogram", "histogram_before"})


def bars(*rows: Sequence[float], interval_s: int = 300) -> Candles:
    """Candles from (open, high, low, close) or (open, high, low, close, volume)."""
    return Candles.of_rows(
        [(number * interval_s, *row[:4], row[4] if len(row) > 4 else 1.0) for number, row in enumerate(rows)],  # type: ignore[misc]
        interval_s,
    )


def walk(seed: int, count: int, drift: float = 0.0, wildness: float = 0.002, start_s: int = 0) -> Candles:
    """A random market."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(drift, wildness, count)))
    opening = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opening, close) * (1 + abs(rng.normal(0, wildness / 2, count)))
    low = np.minimum(opening, close) * (1 - abs(rng.normal(0, wildness / 2, count)))
    time = start_s + 300 * np.arange(count, dtype=np.int64)
    return Candles(300, time, opening, high, low, close, rng.uniform(1, 10, count))


def moment(close: float, **values: Any) -> Moment:
    """What one candle says; no signal unless one is given."""
    given: dict[str, Any] = {
        "atr": 1.20, "adx": 35.0, "swing_low": 98.50, "long": 0, "short": 0, "crossed": False, **values,
    }  # fmt: skip
    return Moment(close, **given)


def seen(held: str = "0", memory: Memory | None = None, at_s: float = 600.0, funds: Funds = FUNDS) -> View:
    """A view without candles, for `decide_on`."""
    return View("BTC/USD", at_s, funds, Quantity.of(held), memory, None, 6.0)
