"""Where candles come from, and what is done to them before a strategy sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from copytrade.domain.candles import CandleRow, DayFigures
from copytrade.domain.instrument import AssetClass, Instrument
from copytrade.strategy.port import Candles


class CandleSource(Protocol):
    """The public market data of one venue; each venue's `candles.py` has one that fits."""

    @property
    def calls_per_s(self) -> float:
        """How many candle calls a second the venue's public limits allow to this address."""
        ...

    @property
    def offset_s(self) -> float:
        """How far the venue's clock is ahead of ours, in seconds."""
        ...

    def markets(self) -> Sequence[Instrument]:
        """Every market of the venue's own list."""
        ...

    async def candles(self, instrument: Instrument, interval_s: int, count: int) -> Sequence[CandleRow]:
        """The last closed candles, oldest first, `count` at most; the running one is not among them.

        Raises `VenueError`, and `ValueError` for an interval that the venue does not have.
        """
        ...

    async def day_figures(self, instruments: Sequence[Instrument]) -> Mapping[str, DayFigures]:
        """Price and volume of the last day by symbol, in few calls. Raises `VenueError`."""
        ...

    def day_figures_calls(self, markets: int) -> int:
        """How many calls `day_figures` takes for so many markets."""
        ...


def fill_gaps(rows: Sequence[CandleRow], interval_s: int, until_s: float) -> list[CandleRow]:
    """The rows with a candle for every interval up to the last that has closed at `until_s`.

    Some venues leave out a candle in which nothing was traded. Its price is the close before it, its volume 0.
    """
    filled: list[CandleRow] = []
    for row in rows:
        while filled and filled[-1][0] + interval_s < row[0]:
            filled.append(_still(filled[-1], interval_s))
        filled.append(row)
    while filled and filled[-1][0] + 2 * interval_s <= until_s:
        filled.append(_still(filled[-1], interval_s))
    return filled


def _still(before: CandleRow, interval_s: int) -> CandleRow:
    close = before[4]
    return (before[0] + interval_s, close, close, close, close, 0.0)


def as_candles(rows: Sequence[CandleRow], instrument: Instrument, interval_s: int, count: int, now_s: float) -> Candles:
    """What a strategy sees: the last `count` candles, without gaps where the market never closes.

    A stock's market closes at night: its candles stand one after the other as they came. Raises `ValueError`.
    """
    if instrument.asset_class is AssetClass.CRYPTO:
        # No more can be wanted: a market that was still for longer than all of them is not worth filling up.
        recent = [row for row in rows if row[0] >= now_s - (count + 2) * interval_s]
        rows = fill_gaps(recent, interval_s, now_s)
    return Candles.of_rows(list(rows)[-count:], interval_s)
