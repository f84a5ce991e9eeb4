"""Indicators over columns of candles: TA-Lib's, and a VWAP in numpy, which TA-Lib lacks.

Each takes and gives columns of one length. Where an indicator has no value yet, it is NaN, and every comparison with
NaN is false: no rule holds on a value that is not there.

TA-Lib is imported by the first call, so that only who runs APEX pays for it. (Its package looks for pandas and imports
it where it is installed; nothing here uses that.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from copytrade.strategy.port import Column

_talib: Any = None


def load() -> None:
    """Import TA-Lib now. Raises `ImportError` where it is not installed."""
    _library()


def _library() -> Any:
    """TA-Lib's own functions, without the wrapper that looks at each argument for a pandas or polars series."""
    global _talib
    if _talib is None:
        import talib  # noqa: F401  (loads and initialises the C library)
        from talib import _ta_lib

        _talib = _ta_lib
    return _talib


def ema(values: Column, period: int) -> Column:
    """Exponential moving average, begun with the mean of the first `period` values."""
    found: Column = _library().EMA(values, period)
    return found


def mean(values: Column, period: int) -> Column:
    """The mean of the last `period` values, the present one among them."""
    result = np.full(len(values), np.nan)
    if len(values) >= period:
        result[period - 1 :] = sliding_window_view(values, period).mean(axis=1)
    return result


def rsi(close: Column, period: int) -> Column:
    """Relative strength index after Wilder, 0 to 100."""
    found: Column = _library().RSI(close, period)
    return found


def macd_histogram(close: Column, fast: int, slow: int, signal: int) -> Column:
    """MACD less its signal line, in the unit of the price."""
    found: Column = _library().MACD(close, fast, slow, signal)[2]
    return found


def adx(high: Column, low: Column, close: Column, period: int) -> Column:
    """Average directional index after Wilder, 0 to 100: how strong a trend is, whichever way it goes."""
    found: Column = _library().ADX(high, low, close, period)
    return found


def atr(high: Column, low: Column, close: Column, period: int) -> Column:
    """Average true range after Wilder, in the unit of the price."""
    found: Column = _library().ATR(high, low, close, period)
    return found


def vwap(high: Column, low: Column, close: Column, volume: Column, period: int) -> Column:
    """The mean of the typical price (high + low + close) / 3 over the last `period` candles, weighted by volume.

    It rolls. Crypto markets have no session: one anchored at midnight UTC would be a single candle five minutes later,
    where every price is near it, and would jump every night. And it must not depend on how many candles somebody
    happened to load, so it looks back over as many as every decision has. NaN where nothing was traded in all of them.
    """
    result = np.full(len(close), np.nan)
    if len(close) >= period:
        typical = (high + low + close) / 3
        traded = sliding_window_view(volume, period).sum(axis=1)
        value = sliding_window_view(typical * volume, period).sum(axis=1)
        np.divide(value, traded, out=result[period - 1 :], where=traded > 0)
    return result


def lowest(values: Column, period: int) -> Column:
    """The lowest of the last `period` values, the present one among them."""
    found: Column = _library().MIN(values, period)
    return found


def highest(values: Column, period: int) -> Column:
    """The highest of the last `period` values, the present one among them."""
    found: Column = _library().MAX(values, period)
    return found
