"""The indicators against a second library (talipp), and against plain loops where there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from apex_cases import walk
from talipp.indicators import ADX, ATR, EMA, MACD, RSI, SMA
from talipp.ohlcv import OHLCV

from copytrade.strategy import indicators
from copytrade.strategy.port import Candles

SEEDS = range(12)
COUNT = 400
# Both begin an average in their own way; after so many candles that is forgotten (an EMA 50 keeps 0.00003 of it).
SETTLED = 300


def talipp_values(candles: Candles, make: Callable[[Any], Sequence[Any]], pick: Callable[[Any], Any]) -> Any:
    found = [None if value is None else pick(value) for value in make(candles)]
    return np.array([math.nan if value is None else value for value in found], dtype=float)


def closes(candles: Candles) -> list[float]:
    return candles.close.tolist()


def candle_values(c: Candles) -> list[OHLCV]:
    columns = (c.open.tolist(), c.high.tolist(), c.low.tolist(), c.close.tolist(), c.volume.tolist())
    return [OHLCV(*row) for row in zip(*columns, strict=True)]


PAIRS: dict[str, tuple[Callable[[Candles], Any], Callable[[Candles], Any]]] = {
    **{
        f"EMA {n}": (
            lambda c, n=n: indicators.ema(c.close, n),
            lambda c, n=n: talipp_values(c, lambda c: EMA(n, closes(c)), lambda v: v),
        )
        for n in (9, 21, 50)
    },
    **{
        f"RSI {n}": (
            lambda c, n=n: indicators.rsi(c.close, n),
            lambda c, n=n: talipp_values(c, lambda c: RSI(n, closes(c)), lambda v: v),
        )
        for n in (9, 14)
    },
    "MACD histogram": (
        lambda c: indicators.macd_histogram(c.close, 12, 26, 9),
        lambda c: talipp_values(c, lambda c: MACD(12, 26, 9, closes(c)), lambda v: v.histogram),
    ),
    "ADX 14": (
        lambda c: indicators.adx(c.high, c.low, c.close, 14),
        lambda c: talipp_values(c, lambda c: ADX(14, 14, candle_values(c)), lambda v: v.adx),
    ),
    "ATR 14": (
        lambda c: indicators.atr(c.high, c.low, c.close, 14),
        lambda c: talipp_values(c, lambda c: ATR(14, candle_values(c)), lambda v: v),
    ),
    "mean volume 5": (
        lambda c: indicators.mean(c.volume, 5),
        lambda c: talipp_values(c, lambda c: SMA(5, c.volume.tolist()), lambda v: v),
    ),
}
# The largest difference that is allowed, in the indicator's own unit, at prices near 100.
ALLOWED = {"MACD histogram": 1e-6, "ADX 14": 1e-4, "ATR 14": 1e-8, "RSI 9": 1e-9, "RSI 14": 1e-7, "EMA 50": 1e-8}


def largest_difference(name: str) -> float:
    """Over random markets, from candle `SETTLED` on."""
    ours, theirs = PAIRS[name]
    worst = 0.0
    for seed in SEEDS:
        candles = walk(seed, COUNT)
        left, right = ours(candles)[SETTLED:], theirs(candles)[SETTLED:]
        assert len(left) == len(right) == COUNT - SETTLED
        assert not np.isnan(left).any()
        worst = max(worst, float(np.max(np.abs(left - right))))
    return worst


@pytest.mark.parametrize("name", PAIRS)
def test_an_indicator_agrees_with_a_second_library(name: str, record_property: Callable[[str, object], None]) -> None:
    worst = largest_difference(name)
    record_property(f"largest difference, {name}", worst)
    assert worst <= ALLOWED.get(name, 1e-9)


@pytest.mark.parametrize("name", ["EMA 21", "RSI 14", "ADX 14", "ATR 14"])
def test_that_comparison_sees_a_period_that_is_off_by_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = {"EMA 21": "ema", "RSI 14": "rsi", "ADX 14": "adx", "ATR 14": "atr"}[name]
    right = getattr(indicators, real)
    monkeypatch.setattr(indicators, real, lambda *given: right(*given[:-1], given[-1] + 1))
    assert largest_difference(name) > 1e-3


def plain_vwap(candles: Candles, period: int) -> list[float]:
    """The definition, word by word."""
    values = []
    for end in range(1, len(candles) + 1):
        traded = value = 0.0
        for place in range(end - period, end):
            if place < 0:
                break
            typical = (candles.high[place] + candles.low[place] + candles.close[place]) / 3
            traded += candles.volume[place]
            value += typical * candles.volume[place]
        values.append(value / traded if end >= period and traded > 0 else math.nan)
    return values


@pytest.mark.parametrize("seed", range(5))
def test_the_vwap_is_its_definition(seed: int) -> None:
    candles = walk(seed, 250)
    ours = indicators.vwap(candles.high, candles.low, candles.close, candles.volume, 100)
    assert np.isnan(ours[:99]).all()
    np.testing.assert_allclose(ours, plain_vwap(candles, 100), rtol=1e-13)


def test_the_vwap_does_not_depend_on_how_much_was_loaded() -> None:
    candles = walk(1, 400)

    def last(c: Candles) -> float:
        return float(indicators.vwap(c.high, c.low, c.close, c.volume, 100)[-1])

    assert last(candles) == pytest.approx(last(candles.last(100)), rel=1e-14)


def test_there_is_no_vwap_where_nothing_was_traded() -> None:
    still = np.zeros(120)
    candles = walk(1, 120)
    assert np.isnan(indicators.vwap(candles.high, candles.low, candles.close, still, 100)).all()


def test_indicators_have_no_value_before_their_period() -> None:
    few = walk(1, 8)
    for values in (
        indicators.ema(few.close, 9), indicators.rsi(few.close, 9), indicators.macd_histogram(few.close, 12, 26, 9),
        indicators.adx(few.high, few.low, few.close, 14), indicators.atr(few.high, few.low, few.close, 14),
        indicators.mean(few.volume, 9), indicators.vwap(few.high, few.low, few.close, few.volume, 100),
        indicators.lowest(few.low, 10), indicators.highest(few.high, 10),
    ):  # fmt: skip
        assert len(values) == 8
        assert np.isnan(values).all()


def test_the_extremes_of_the_last_candles() -> None:
    values = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    assert indicators.lowest(values, 3)[2:].tolist() == [1.0, 1.0, 2.0]
    assert indicators.highest(values, 3)[2:].tolist() == [3.0, 5.0, 5.0]
