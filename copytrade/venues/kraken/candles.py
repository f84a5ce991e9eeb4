"""Kraken's candles: the public calls OHLC and Ticker (docs.kraken.com, "Get OHLC Data", "Get Ticker Information").

OHLC gives at most 720 rows, and the last of them is of the candle that is still running. Ticker without a pair tells
of every market in one call.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from copytrade.domain.candles import CandleRow, DayFigures
from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Price, parse_decimal
from copytrade.venues.candle_rows import PacedCandles, closed_rows, interval_name, read_rows
from copytrade.venues.kraken.public import KrakenVenue

logger = logging.getLogger(__name__)

_MINUTES = {60: "1", 300: "5", 900: "15", 1800: "30", 3600: "60", 14400: "240", 86400: "1440"}
_FIELDS = (0, 1, 2, 3, 4, 6)  # the sixth is the candle's own VWAP


class KrakenCandles(PacedCandles[KrakenVenue]):
    """Fits `copytrade.strategy.market_data.CandleSource`.

    About one public call a second for each address; OHLC also counts for each pair by itself.
    """

    def markets(self) -> Sequence[Instrument]:
        return list(self._venue.pairs)

    async def candles(self, instrument: Instrument, interval_s: int, count: int) -> Sequence[CandleRow]:
        query = {
            "pair": instrument.venue_symbol,
            "interval": interval_name("Kraken", _MINUTES, interval_s),
            "since": str(max(0, int(self._venue.unix_s()) - (count + 2) * interval_s)),
        }
        result = await self._venue._public("OHLC", query)
        # Besides `last` there is one entry, under a spelling of the pair that need not be the one asked for.
        lists = [rows for name, rows in result.items() if name != "last"]
        if len(lists) != 1 or not isinstance(lists[0], list):
            raise VenueUnavailable(f"Kraken's candles of {instrument.symbol} are not one list")
        return closed_rows(read_rows("Kraken", lists[0], _FIELDS), interval_s, self._venue.unix_s(), count)

    async def day_figures(self, instruments: Sequence[Instrument]) -> Mapping[str, DayFigures]:
        wanted = {each.symbol for each in instruments}
        figures: dict[str, DayFigures] = {}
        for key, entry in (await self._venue._public("Ticker", {})).items():
            instrument = self._venue.pairs.find(key)
            if instrument is not None and instrument.symbol in wanted:
                day = _day(instrument.symbol, entry)
                if day is not None:
                    figures[instrument.symbol] = day
        return figures

    def day_figures_calls(self, markets: int) -> int:
        return 1 if markets else 0


def _day(symbol: str, entry: Any) -> DayFigures | None:
    try:
        last, volume, mean = (parse_decimal(entry[name][place]) for name, place in (("c", 0), ("v", 1), ("p", 1)))
    except (KeyError, IndexError, TypeError, ValueError):
        logger.warning("Kraken's day figures of %s cannot be used: %.200r", symbol, entry)
        return None
    return DayFigures(symbol, Price(last), Amount(volume * mean))
