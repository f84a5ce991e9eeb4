"""The rules of APEX v7.1 that look at candles, one function each.

Each takes `Readings` and works element by element: for one market, for many at once, or along a history. The answer to
a question that needs a value which is not there (NaN) is no.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from copytrade.strategy.apex.figures import Figures
from copytrade.strategy.apex.readings import Readings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Yes = NDArray[np.bool_]
    Counts = NDArray[np.int64]

# -- the market filter ------------------------------------------------------------------------------------------------


def price_side(r: Readings, up: bool) -> Yes:
    """The close is above the VWAP (below, for a short)."""
    return r.close > r.vwap if up else r.close < r.vwap


def averages_in_order(r: Readings, up: bool) -> Yes:
    """EMA 9 above EMA 21 above EMA 50 (reversed, for a short)."""
    if up:
        return (r.ema_fast > r.ema_middle) & (r.ema_middle > r.ema_slow)
    return (r.ema_fast < r.ema_middle) & (r.ema_middle < r.ema_slow)


def momentum_side(r: Readings, up: bool) -> Yes:
    """The MACD histogram is above zero (below, for a short)."""
    return r.histogram > 0 if up else r.histogram < 0


def trend_is_strong(r: Readings, f: Figures) -> Yes:
    """ADX above 20."""
    return r.adx > f.adx_min


def volume_is_there(r: Readings, f: Figures) -> Yes:
    """Volume above 50 % of its mean over 5 candles, the present one among them."""
    return r.volume > f.volume_filter * r.volume_mean


def market_filter(r: Readings, f: Figures, *, up: bool) -> Yes:
    """All five of the above."""
    return (
        price_side(r, up) & averages_in_order(r, up) & momentum_side(r, up) & trend_is_strong(r, f)
        & volume_is_there(r, f)
    )  # fmt: skip


def volume_floor(r: Readings, f: Figures) -> Yes:
    """At least 30 % of the mean volume: below it nothing is bought, whatever else the filter is set to."""
    return (r.volume_mean > 0) & (r.volume >= f.volume_floor * r.volume_mean)


# -- the five entry points --------------------------------------------------------------------------------------------


def near_support(r: Readings, f: Figures) -> Yes:
    """The price is within 0.5 % of EMA 21 or of the VWAP."""
    return (abs(r.close - r.ema_middle) <= f.near * r.ema_middle) | (abs(r.close - r.vwap) <= f.near * r.vwap)


def rsi_agrees(r: Readings, f: Figures, *, up: bool) -> Yes:
    """RSI 14 between 30 and 70 and rising, RSI 9 rising with it (falling, for a short)."""
    inside = (r.rsi_slow >= f.rsi_low) & (r.rsi_slow <= f.rsi_high)
    if up:
        return inside & (r.rsi_slow > r.rsi_slow_before) & (r.rsi_fast > r.rsi_fast_before)
    return inside & (r.rsi_slow < r.rsi_slow_before) & (r.rsi_fast < r.rsi_fast_before)


def engulfing(r: Readings, *, up: bool) -> Yes:
    """A candle whose body covers the one before, which went the other way."""
    if up:
        return (
            (r.close_before < r.open_before) & (r.close > r.open)
            & (r.open <= r.close_before) & (r.close >= r.open_before)
        )  # fmt: skip
    return (
        (r.close_before > r.open_before) & (r.close < r.open)
        & (r.open >= r.close_before) & (r.close <= r.open_before)
    )  # fmt: skip


def hammer(r: Readings, f: Figures, *, up: bool) -> Yes:
    """A small body at the top of a long lower wick (for a short: at the bottom of a long upper one).

    The long wick is at least twice the body, the other at most as long as the body. A candle without a body is none.
    """
    body = abs(r.close - r.open)
    above, below = r.high - np.maximum(r.open, r.close), np.minimum(r.open, r.close) - r.low
    long, short = (below, above) if up else (above, below)
    return (body > 0) & (long >= f.hammer_wick * body) & (short <= body)


def candle_turns(r: Readings, f: Figures, *, up: bool) -> Yes:
    """Bullish engulfing or hammer (bearish engulfing or shooting star, for a short)."""
    return engulfing(r, up=up) | hammer(r, f, up=up)


def momentum_grows(r: Readings, *, up: bool) -> Yes:
    """The MACD histogram is rising (falling, for a short)."""
    return r.histogram > r.histogram_before if up else r.histogram < r.histogram_before


def entry_volume(r: Readings, f: Figures) -> Yes:
    """Volume at least 60 % of its mean over the last 2 candles, the present one among them."""
    return (r.volume > 0) & (r.volume >= f.entry_volume * r.volume_mean_short)


def entry_points(r: Readings, f: Figures, *, up: bool) -> Counts:
    """How many of the five hold."""
    points: Any = (
        near_support(r, f), rsi_agrees(r, f, up=up), candle_turns(r, f, up=up), momentum_grows(r, up=up),
        entry_volume(r, f),
    )  # fmt: skip
    held: Counts = np.sum(points, axis=0)
    return held


# -- what follows from them -------------------------------------------------------------------------------------------


def signal(r: Readings, f: Figures, *, up: bool) -> Counts:
    """The entry points where filter, volume floor and points all say go; 0 elsewhere."""
    points = entry_points(r, f, up=up)
    goes = market_filter(r, f, up=up) & volume_floor(r, f) & (points >= f.points_min)
    return np.where(goes, points, 0)


def averages_crossed(r: Readings) -> Yes:
    """EMA 9 is under EMA 21.

    An entry needs it above, so for a long position this means that it has crossed since; the state is asked for and
    not the moment, so that a cross which happened while nobody looked counts as well.
    """
    return r.ema_fast < r.ema_middle
