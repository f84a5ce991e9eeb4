"""Candles that many accounts look at, read once: the same market at the same venue is the same for all of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from copytrade.domain.candles import CandleRow, DayFigures
from copytrade.domain.instrument import Instrument
from copytrade.engine.ports import Clock
from copytrade.strategy.market_data import CandleSource
from copytrade.wiring.market_data import MarketData

# A market in which nothing was traded lately, or whose last candle the venue does not show yet, is asked about again.
_OLD_AGAIN_S = 10.0
_Key = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class _Kept:
    rows: Sequence[CandleRow]
    until_s: float  # by the venue's clock


class SharedSource:
    """A venue's candles, each read at most once until the next one has closed. Asking together is one request."""

    def __init__(self, source: CandleSource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._kept: dict[_Key, _Kept] = {}
        self._reading: dict[_Key, asyncio.Task[Sequence[CandleRow]]] = {}

    @property
    def calls_per_s(self) -> float:
        return self._source.calls_per_s

    @property
    def offset_s(self) -> float:
        return self._source.offset_s

    def markets(self) -> Sequence[Instrument]:
        return self._source.markets()

    async def day_figures(self, instruments: Sequence[Instrument]) -> Mapping[str, DayFigures]:
        return await self._source.day_figures(instruments)

    def day_figures_calls(self, markets: int) -> int:
        return self._source.day_figures_calls(markets)

    async def candles(self, instrument: Instrument, interval_s: int, count: int) -> Sequence[CandleRow]:
        """As `CandleSource.candles`."""
        key = (instrument.symbol, interval_s, count)
        kept = self._kept.get(key)
        if kept is not None and self._now_s() < kept.until_s:
            return kept.rows
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = asyncio.create_task(self._read(key, instrument))
            reading.add_done_callback(lambda done: self._over(key, done))
        return await asyncio.shield(reading)  # one that stops waiting must not end it for the others

    async def close(self) -> None:
        """End what is being read."""
        reading = list(self._reading.values())
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    def _over(self, key: _Key, done: asyncio.Task[Sequence[CandleRow]]) -> None:
        del self._reading[key]
        if not done.cancelled():
            done.exception()  # whoever waited for it has it; perhaps nobody waits any more

    async def _read(self, key: _Key, instrument: Instrument) -> Sequence[CandleRow]:
        _, interval_s, count = key
        rows = await self._source.candles(instrument, interval_s, count)
        now_s = self._now_s()
        closes_s = (math.floor(now_s / interval_s) + 1) * interval_s
        newest = bool(rows) and rows[-1][0] + 2 * interval_s >= closes_s
        self._kept[key] = _Kept(rows, closes_s if newest else min(closes_s, now_s + _OLD_AGAIN_S))
        return rows

    def _now_s(self) -> float:
        now: datetime = self._clock()
        return now.timestamp() + self._source.offset_s


class SharedMarketData(MarketData):
    """`MarketData` for many accounts."""

    def __init__(self, venues: Mapping[str, Any], clock: Clock) -> None:
        super().__init__(venues)
        self._clock = clock
        self._shared: dict[str, SharedSource] = {}

    def of(self, venue: str) -> CandleSource:
        if venue not in self._shared:
            self._shared[venue] = SharedSource(super().of(venue), self._clock)
        return self._shared[venue]

    async def close(self) -> None:
        """End what is being read."""
        for source in self._shared.values():
            await source.close()
