"""What a venue tells of a market's past: candles, and the figures of its last day.

Candles are floats, because indicators are: they say when to trade, and never become an amount of money.
"""

from __future__ import annotations

from dataclasses import dataclass

from copytrade.domain.money import Amount, Price

CandleRow = tuple[int, float, float, float, float, float]
"""One closed candle: start in unix seconds, open, high, low, close (quote per base), volume (base)."""


@dataclass(frozen=True, slots=True)
class DayFigures:
    """A market's last price, and what was traded there within the last 24 hours, in its quote currency."""

    symbol: str
    last: Price
    volume: Amount
