"""Coinbase's candles: the public calls product candles and products (docs.cdp.coinbase.com, "Public Products").

At most 350 candles between two times, newest first, as text; one in which nothing was traded may be left out. The list
of products, read by pages, also tells of their last day.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from copytrade.domain.candles import CandleRow, DayFigures
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Price, parse_decimal
from copytrade.venues.candle_rows import PacedCandles, closed_rows, interval_name, read_rows
from copytrade.venues.coinbase.orders import entries_in
from copytrade.venues.coinbase.public import CoinbaseVenue

logger = logging.getLogger(__name__)

_GRANULARITIES = {
    60: "ONE_MINUTE", 300: "FIVE_MINUTE", 900: "FIFTEEN_MINUTE", 1800: "THIRTY_MINUTE", 3600: "ONE_HOUR",
    7200: "TWO_HOUR", 21600: "SIX_HOUR", 86400: "ONE_DAY",
}  # fmt: skip
_ROWS_MAX = 349  # 350 is what is commonly stated, and both ends of the span count
_FIELDS = ("start", "open", "high", "low", "close", "volume")
_PAGE = 250
_PAGES_MAX = 40


class CoinbaseCandles(PacedCandles[CoinbaseVenue]):
    """Fits `copytrade.strategy.market_data.CandleSource`."""

    def markets(self) -> Sequence[Instrument]:
        return list(self._venue.products)

    async def candles(self, instrument: Instrument, interval_s: int, count: int) -> Sequence[CandleRow]:
        """One call, so 348 closed candles at most."""
        now_s = self._venue.unix_s()
        granularity = interval_name("Coinbase", _GRANULARITIES, interval_s)
        span = min(count + 1, _ROWS_MAX - 1)
        start_s = int(now_s) // interval_s * interval_s - (span - 1) * interval_s
        query = {"start": str(start_s), "end": str(int(now_s)), "granularity": granularity, "limit": str(span + 1)}
        path = f"/market/products/{quote(instrument.venue_symbol, safe='')}/candles"
        entries = entries_in(await self._venue._public(path, query), "candles")
        return closed_rows(read_rows("Coinbase", entries, _FIELDS), interval_s, self._venue.unix_s(), count)

    async def day_figures(self, instruments: Sequence[Instrument]) -> Mapping[str, DayFigures]:
        wanted = {each.venue_symbol: each.symbol for each in instruments}
        figures: dict[str, DayFigures] = {}
        for page in range(_PAGES_MAX):
            query = {"product_type": "SPOT", "limit": str(_PAGE), "offset": str(page * _PAGE)}
            entries = entries_in(await self._venue._public("/market/products", query), "products")
            for entry in entries:
                symbol = wanted.get(str(entry.get("product_id")))
                if symbol is not None and (day := _day(symbol, entry)) is not None:
                    figures[symbol] = day
            if len(entries) != _PAGE:
                break
        return figures

    def day_figures_calls(self, markets: int) -> int:
        """By the whole list of products, whatever share of it is wanted."""
        return len(self._venue.products) // _PAGE + 1 if markets else 0


def _day(symbol: str, entry: Mapping[str, Any]) -> DayFigures | None:
    try:
        last, volume = parse_decimal(entry["price"]), parse_decimal(entry["volume_24h"])
    except (KeyError, ValueError):
        # A product that has not traded for long has an empty price; without figures it stays in.
        logger.debug("Coinbase's day figures of %s cannot be used: %.200r", symbol, entry)
        return None
    return DayFigures(symbol, Price(last), Amount(max(Decimal(0), volume * last)))
