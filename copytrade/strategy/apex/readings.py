"""What APEX reads off a market: its last candles and the values of all indicators there.

The same record serves one market, many at once, and a whole history: a field holds one value for each market, or for
each candle, and the rules work element by element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from copytrade.strategy import indicators
from copytrade.strategy.apex.figures import Figures

if TYPE_CHECKING:
    from copytrade.strategy.port import Candles, Column


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Columns of equal length; `..._before` is the value one candle earlier."""

    open: Column
    high: Column
    low: Column
    close: Column
    volume: Column
    open_before: Column
    close_before: Column
    vwap: Column
    ema_fast: Column
    ema_middle: Column
    ema_slow: Column
    rsi_fast: Column
    rsi_fast_before: Column
    rsi_slow: Column
    rsi_slow_before: Column
    histogram: Column
    histogram_before: Column
    adx: Column
    atr: Column
    volume_mean: Column
    volume_mean_short: Column
    swing_low: Column
    swing_high: Column

    def __len__(self) -> int:
        return len(self.close)

    def row(self, index: int) -> Readings:
        """One market, or one candle, as columns of one value."""
        at = slice(index, index + 1) if index != -1 else slice(-1, None)
        return Readings(*(getattr(self, name)[at] for name in NAMES))


NAMES = tuple(field.name for field in fields(Readings))


def over_history(candles: Candles, figures: Figures) -> Readings:
    """The readings at every candle; NaN where an indicator has no value yet."""
    c, f = candles, figures
    rsi_fast, rsi_slow = indicators.rsi(c.close, f.rsi_fast), indicators.rsi(c.close, f.rsi_slow)
    histogram = indicators.macd_histogram(c.close, f.macd_fast, f.macd_slow, f.macd_signal)
    return Readings(
        open=c.open,
        high=c.high,
        low=c.low,
        close=c.close,
        volume=c.volume,
        open_before=_before(c.open),
        close_before=_before(c.close),
        vwap=indicators.vwap(c.high, c.low, c.close, c.volume, f.vwap_candles),
        ema_fast=indicators.ema(c.close, f.ema_fast),
        ema_middle=indicators.ema(c.close, f.ema_middle),
        ema_slow=indicators.ema(c.close, f.ema_slow),
        rsi_fast=rsi_fast,
        rsi_fast_before=_before(rsi_fast),
        rsi_slow=rsi_slow,
        rsi_slow_before=_before(rsi_slow),
        histogram=histogram,
        histogram_before=_before(histogram),
        adx=indicators.adx(c.high, c.low, c.close, f.adx_period),
        atr=indicators.atr(c.high, c.low, c.close, f.atr_period),
        volume_mean=indicators.mean(c.volume, f.volume_candles),
        volume_mean_short=indicators.mean(c.volume, f.volume_candles_short),
        swing_low=indicators.lowest(c.low, f.swing_candles),
        swing_high=indicators.highest(c.high, f.swing_candles),
    )


def at_the_end(candles: Sequence[Candles], figures: Figures) -> Readings:
    """The readings at the last candle of each market, one row for each. Every market has at least `candles_min`."""
    table = np.empty((len(NAMES), len(candles)))
    for place, each in enumerate(candles):
        table[:, place] = _last(each, figures)
    return Readings(*table)


def _last(c: Candles, f: Figures) -> list[float]:
    """As `over_history(...).row(-1)`, in the order of `NAMES`, without what the last candle does not need."""
    rsi_fast, rsi_slow = indicators.rsi(c.close, f.rsi_fast), indicators.rsi(c.close, f.rsi_slow)
    histogram = indicators.macd_histogram(c.close, f.macd_fast, f.macd_slow, f.macd_signal)
    window = c.last(f.vwap_candles)
    return [
        c.open[-1], c.high[-1], c.low[-1], c.close[-1], c.volume[-1], c.open[-2], c.close[-2],
        indicators.vwap(window.high, window.low, window.close, window.volume, f.vwap_candles)[-1],
        indicators.ema(c.close, f.ema_fast)[-1], indicators.ema(c.close, f.ema_middle)[-1],
        indicators.ema(c.close, f.ema_slow)[-1],
        rsi_fast[-1], rsi_fast[-2], rsi_slow[-1], rsi_slow[-2], histogram[-1], histogram[-2],
        indicators.adx(c.high, c.low, c.close, f.adx_period)[-1],
        indicators.atr(c.high, c.low, c.close, f.atr_period)[-1],
        c.volume[-f.volume_candles :].mean(), c.volume[-f.volume_candles_short :].mean(),
        c.low[-f.swing_candles :].min(), c.high[-f.swing_candles :].max(),
    ]  # fmt: skip


def _before(values: Column) -> Column:
    shifted = np.empty_like(values)
    shifted[0] = np.nan
    shifted[1:] = values[:-1]
    return shifted
