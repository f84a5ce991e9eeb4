"""What a course of money comes to: equity at each close, drawdown, and how far two courses lie apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from copytrade.backtest.accounts import Course
from copytrade.strategy.port import Candles

if TYPE_CHECKING:
    from copytrade.strategy.port import Column

_DAY_S = 86_400


def holdings(course: Course, candles: Candles) -> tuple[Column, Column]:
    """Cash and position during each candle."""
    lengths = np.diff([*course.since, len(candles)])
    return np.repeat(course.cash, lengths), np.repeat(course.held, lengths)


def equity(course: Course, candles: Candles) -> Column:
    """At the close of each candle."""
    cash, held = holdings(course, candles)
    return cash + held * candles.close


def drawdown(course: Course, candles: Candles) -> Column:
    """How far the lowest equity of each candle was under the highest close before it, as a share from 0 to 1.

    Orders fill at the open, so what is held at the low is what is held during the candle.
    """
    cash, held = holdings(course, candles)
    closes = cash + held * candles.close
    high = np.maximum.accumulate(np.concatenate(([float(course.start.value)], closes[:-1])))
    lows = cash + held * candles.low
    fallen: Column = np.subtract(1.0, lows / np.maximum(high, 1e-12))
    fallen[fallen < 0] = 0.0
    return fallen


def daily(values: Column, candles: Candles) -> Column:
    """The last value of each UTC day."""
    days = candles.time // _DAY_S
    last = np.append(np.flatnonzero(np.diff(days)), len(days) - 1)
    found: Column = values[last]
    return found


def tracking_error(follower: Column, master: Column, starts: tuple[float, float], candles: Candles) -> float | None:
    """The standard deviation of the difference between the daily returns of the two; None for less than two days."""
    pairs = zip((follower, master), starts, strict=True)
    days = [np.concatenate(([start], daily(each, candles))) for each, start in pairs]
    if len(days[0]) < 3:
        return None
    ours, theirs = (np.diff(each) / each[:-1] for each in days)
    return float(np.std(ours - theirs, ddof=1))
