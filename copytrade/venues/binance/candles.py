"""Binance's candles: the public calls klines and ticker/24hr (REST page, "Market Data endpoints").

At most 1,000 rows, oldest first; the last is of the candle that is still running. Weights: 2 for klines, 80 for the
day figures of all symbols.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from copytrade.domain.candles import CandleRow, DayFigures
from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Price, parse_decimal
from copytrade.venues.binance.public import BinanceVenue
from copytrade.venues.candle_rows import CandlesOf, closed_rows, interval_name, read_rows

logger = logging.getLogger(__name__)

KLINES_WEIGHT = 2
DAY_TICKERS_WEIGHT = 80
_ROWS_MAX = 1000
_INTERVALS = {60: "1m", 300: "5m", 900: "15m", 1800: "30m", 3600: "1h", 14400: "4h", 86400: "1d"}
_FIELDS = (0, 1, 2, 3, 4, 5)


class BinanceCandles(CandlesOf[BinanceVenue]):
    """Fits `copytrade.strategy.market_data.CandleSource`."""

    @property
    def calls_per_s(self) -> float:
        """By the address's weight in a minute, as the venue's own list of limits has it."""
        return self._venue.address.weight.limit / 60 / KLINES_WEIGHT

    def markets(self) -> Sequence[Instrument]:
        return list(self._venue.symbols)

    async def candles(self, instrument: Instrument, interval_s: int, count: int) -> Sequence[CandleRow]:
        query = {
            "symbol": instrument.venue_symbol,
            "interval": interval_name("Binance", _INTERVALS, interval_s),
            "limit": str(min(count + 1, _ROWS_MAX)),
        }
        entries = await self._venue._public("klines", query, KLINES_WEIGHT)
        if not isinstance(entries, list):
            raise VenueUnavailable(f"Binance's candles of {instrument.symbol} are no list")
        found = read_rows("Binance", entries, _FIELDS, scale=1000)
        return closed_rows(found, interval_s, self._venue.unix_s(), count)

    async def day_figures(self, instruments: Sequence[Instrument]) -> Mapping[str, DayFigures]:
        wanted = {each.venue_symbol: each.symbol for each in instruments}
        # The answer about all symbols is as long as their list, and is read over the same connections.
        entries = await self._venue._public("ticker/24hr", {}, DAY_TICKERS_WEIGHT, wire=self._venue._list_wire)
        if not isinstance(entries, list):
            raise VenueUnavailable("Binance's day figures are no list")
        figures: dict[str, DayFigures] = {}
        for entry in entries:
            try:
                symbol = wanted.get(entry["symbol"])
                if symbol is None:
                    continue
                last, volume = parse_decimal(entry["lastPrice"]), parse_decimal(entry["quoteVolume"])
            except (KeyError, TypeError, ValueError):
                logger.warning("Binance's day figures cannot be used: %.200r", entry)
                continue
            figures[symbol] = DayFigures(symbol, Price(last), Amount(volume))
        return figures

    def day_figures_calls(self, markets: int) -> int:
        return 1 if markets else 0
