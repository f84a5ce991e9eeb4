"""OKX's candles: the public calls market/candles and market/tickers (www.okx.com/docs-v5, "Market Data").

At most 300 rows, newest first; the last field of a row is 0 while the candle is running. One call to tickers tells of
every market.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from copytrade.domain.candles import CandleRow, DayFigures
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Price, parse_decimal
from copytrade.venues.candle_rows import CandlesOf, closed_rows, interval_name, read_rows
from copytrade.venues.okx.options import PUBLIC_PER_2_S
from copytrade.venues.okx.orders import rows
from copytrade.venues.okx.public import TICKERS, OkxVenue

logger = logging.getLogger(__name__)

CANDLES = "/api/v5/market/candles"
_BARS = {60: "1m", 300: "5m", 900: "15m", 1800: "30m", 3600: "1H", 14400: "4H", 86400: "1Dutc"}
_ROWS_MAX = 300
_FIELDS = (0, 1, 2, 3, 4, 5)
_CONFIRMED = "1"


class OkxCandles(CandlesOf[OkxVenue]):
    """Fits `copytrade.strategy.market_data.CandleSource`."""

    @property
    def calls_per_s(self) -> float:
        return PUBLIC_PER_2_S[CANDLES] / 2

    def markets(self) -> Sequence[Instrument]:
        return list(self._venue.online())

    async def candles(self, instrument: Instrument, interval_s: int, count: int) -> Sequence[CandleRow]:
        """One call, so 299 closed candles at most."""
        query = {
            "instId": instrument.venue_symbol,
            "bar": interval_name("OKX", _BARS, interval_s),
            "limit": str(min(count + 1, _ROWS_MAX)),
        }
        entries = await self._venue._public(CANDLES, query)
        confirmed = [each for each in entries if isinstance(each, list) and str(each[-1:][0]) == _CONFIRMED]
        found = read_rows("OKX", confirmed, _FIELDS, scale=1000)
        return closed_rows(found, interval_s, self._venue.now().timestamp(), count)

    async def day_figures(self, instruments: Sequence[Instrument]) -> Mapping[str, DayFigures]:
        wanted = {each.venue_symbol: each.symbol for each in instruments}
        figures: dict[str, DayFigures] = {}
        for entry in rows(await self._venue._public(TICKERS, {"instType": "SPOT"}), "prices"):
            symbol = wanted.get(str(entry.get("instId")))
            if symbol is None:
                continue
            try:
                # For spot markets `volCcy24h` is the volume in the quote currency.
                last, volume = parse_decimal(entry["last"]), parse_decimal(entry["volCcy24h"])
            except (KeyError, ValueError):
                logger.warning("OKX's day figures of %s cannot be used: %.200r", symbol, entry)
                continue
            figures[symbol] = DayFigures(symbol, Price(last), Amount(volume))
        return figures

    def day_figures_calls(self, markets: int) -> int:
        return 1 if markets else 0
