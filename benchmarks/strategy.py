"""How long APEX takes to decide: 1,000 markets of 300 candles, beside a plain pandas version of the same rules.

    python -m benchmarks.strategy [--markets 1000] [--candles 300] [--rounds 5]

Both are given the same candles. How many entries differ is printed as well: pandas begins its averages another way,
which after 300 candles can only matter at a boundary. The best of several rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from copytrade.domain.money import Amount
from copytrade.strategy.apex.apex import Apex
from copytrade.strategy.port import Candles, Funds, View

FUNDS = Funds(Amount.of(10_000), Amount.of(10_000))


def random_market(seed: int, count: int) -> Candles:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0.0001, 0.002, count)))
    opening = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opening, close) * (1 + abs(rng.normal(0, 0.001, count)))
    low = np.minimum(opening, close) * (1 - abs(rng.normal(0, 0.001, count)))
    return Candles(300, 300 * np.arange(count), opening, high, low, close, rng.uniform(1, 10, count))


# -- the plain version: what one would write with pandas, market by market --------------------------------------------


def frame_of(candles: Candles) -> pd.DataFrame:
    columns = {name: getattr(candles, name) for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame(columns)


def wilder(values: pd.Series, period: int) -> pd.Series:
    return values.ewm(alpha=1 / period, adjust=False, min_periods=period).mean()


def rsi(close: pd.Series, period: int) -> pd.Series:
    change = close.diff()
    gain, loss = wilder(change.clip(lower=0), period), wilder(-change.clip(upper=0), period)
    return 100 - 100 / (1 + gain / loss)


def indicators(frame: pd.DataFrame) -> pd.DataFrame:
    close, high, low = frame["close"], frame["high"], frame["low"]
    for span in (9, 21, 50):
        frame[f"ema{span}"] = close.ewm(span=span, adjust=False).mean()
    frame["rsi9"], frame["rsi14"] = rsi(close, 9), rsi(close, 14)
    macd = close.ewm(span=12, adjust=False).mean() - close.ewm(span=26, adjust=False).mean()
    frame["histogram"] = macd - macd.ewm(span=9, adjust=False).mean()
    before = close.shift()
    ranges = pd.concat([high - low, (high - before).abs(), (low - before).abs()], axis=1).max(axis=1)
    frame["atr"] = wilder(ranges, 14)
    up, down = high.diff(), -low.diff()
    plus = 100 * wilder(up.where((up > down) & (up > 0), 0.0), 14) / frame["atr"]
    minus = 100 * wilder(down.where((down > up) & (down > 0), 0.0), 14) / frame["atr"]
    frame["adx"] = wilder(100 * (plus - minus).abs() / (plus + minus), 14)
    typical = (high + low + close) / 3
    frame["vwap"] = (typical * frame["volume"]).rolling(100).sum() / frame["volume"].rolling(100).sum()
    frame["mean5"], frame["mean2"] = frame["volume"].rolling(5).mean(), frame["volume"].rolling(2).mean()
    return frame


def enters(frame: pd.DataFrame) -> bool:
    """The long entry on the last row."""
    now, last = frame.iloc[-1], frame.iloc[-2]
    passes = (
        now["close"] > now["vwap"] and now["ema9"] > now["ema21"] > now["ema50"] and now["histogram"] > 0
        and now["adx"] > 20 and now["volume"] > 0.5 * now["mean5"]
    )  # fmt: skip
    near = any(abs(now["close"] / now[level] - 1) <= 0.005 for level in ("ema21", "vwap"))
    rising = 30 <= now["rsi14"] <= 70 and now["rsi14"] > last["rsi14"] and now["rsi9"] > last["rsi9"]
    engulfs = (
        last["close"] < last["open"] and now["close"] > now["open"]
        and now["open"] <= last["close"] and now["close"] >= last["open"]
    )  # fmt: skip
    body = abs(now["close"] - now["open"])
    top, bottom = max(now["open"], now["close"]), min(now["open"], now["close"])
    hammer = body > 0 and bottom - now["low"] >= 2 * body and now["high"] - top <= body
    grows, volume = now["histogram"] > last["histogram"], now["volume"] >= 0.6 * now["mean2"]
    return bool(passes) and sum(map(bool, (near, rising, engulfs or hammer, grows, volume))) >= 3


# -- measuring ------------------------------------------------------------------------------------------------------


def best_of(rounds: int, work: Callable[[], Any]) -> tuple[float, Any]:
    took, answer = [], None
    for _ in range(rounds):
        started = time.perf_counter()
        answer = work()
        took.append(time.perf_counter() - started)
    return min(took), answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markets", type=int, default=1000)
    parser.add_argument("--candles", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    markets = [random_market(seed, given.candles) for seed in range(given.markets)]
    views = [
        View(f"M{number}/USD", candles.closed_at_s, FUNDS, candles=candles, into_candle_s=6.0)
        for number, candles in enumerate(markets)
    ]
    apex = Apex()
    apex.decide(views[0])  # TA-Lib is imported by the first decision
    ours_s, decisions = best_of(given.rounds, lambda: apex.decide_all(views))
    pandas_s, entries = best_of(1, lambda: [enters(indicators(frame_of(candles))) for candles in markets])
    found = [decision.wish is not None for decision in decisions]
    print(
        json.dumps(
            {
                "markets": given.markets,
                "candles_each": given.candles,
                "cores": os.cpu_count(),
                "apex_s": round(ours_s, 4),
                "plain_pandas_s": round(pandas_s, 3),
                "ratio": round(pandas_s / ours_s, 1),
                "entries_apex": sum(found),
                "entries_plain_pandas": sum(entries),
                "entries_that_differ": sum(one is not other for one, other in zip(found, entries, strict=True)),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
