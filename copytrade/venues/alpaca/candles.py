"""Alpaca's candles: bars and snapshots of coins and of stocks (docs.alpaca.markets, "Historical bars", "Snapshots").

Times are RFC 3339, and a bar in which nothing was traded is left out. The running bar is among the answers, so it is
told by its time. Snapshots tell of up to 100 markets in one call here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from copytrade.domain.candles import CandleRow, DayFigures
from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import AssetClass, Instrument
from copytrade.domain.money import Amount, Price, parse_decimal
from copytrade.venues.alpaca.public import SYMBOLS_MAX, AlpacaVenue
from copytrade.venues.candle_rows import PacedCandles, closed_rows, interval_name, read_rows

logger = logging.getLogger(__name__)

CRYPTO_BARS, STOCK_BARS = "/v1beta3/crypto/us/bars", "/v2/stocks/bars"
CRYPTO_SNAPSHOTS, STOCK_SNAPSHOTS = "/v1beta3/crypto/us/snapshots", "/v2/stocks/snapshots"
_TIMEFRAMES = {60: "1Min", 300: "5Min", 900: "15Min", 1800: "30Min", 3600: "1Hour", 86400: "1Day"}
_FIELDS = ("t", "o", "h", "l", "c", "v")
# Stocks trade 6.5 of 24 hours on five of seven days, less some holidays: one hour of trading in five and a half.
_STOCK_SPAN = 6
_STOCK_SPAN_MORE_S = 4 * 86_400


class AlpacaCandles(PacedCandles[AlpacaVenue]):
    """Fits `copytrade.strategy.market_data.CandleSource`."""

    def markets(self) -> Sequence[Instrument]:
        return list(self._venue.names)

    async def candles(self, instrument: Instrument, interval_s: int, count: int) -> Sequence[CandleRow]:
        now_s = self._venue.unix_s()
        stock = instrument.asset_class is AssetClass.STOCK
        back_s = (count + 2) * interval_s
        if stock:
            back_s = back_s * _STOCK_SPAN + _STOCK_SPAN_MORE_S
        query = {
            "symbols": instrument.venue_symbol,
            "timeframe": interval_name("Alpaca", _TIMEFRAMES, interval_s),
            "start": _moment(now_s - back_s),
            "limit": str(count + 1),
            "sort": "desc",
        }
        if stock:
            query["feed"] = self._venue.options.stock_feed
        body = await self._venue._market_data(STOCK_BARS if stock else CRYPTO_BARS, query)
        bars = body.get("bars") if isinstance(body, Mapping) else None
        entries = (bars or {}).get(instrument.venue_symbol) or [] if isinstance(bars, Mapping | None) else None
        if not isinstance(entries, list):
            raise VenueUnavailable(f"Alpaca's bars of {instrument.symbol} are no list")
        found = read_rows("Alpaca", [_with_time(entry) for entry in entries], _FIELDS)
        return closed_rows(found, interval_s, self._venue.unix_s(), count)

    async def day_figures(self, instruments: Sequence[Instrument]) -> Mapping[str, DayFigures]:
        coins = [each for each in instruments if each.asset_class is AssetClass.CRYPTO]
        stocks = [each for each in instruments if each.asset_class is AssetClass.STOCK]
        figures: dict[str, DayFigures] = {}
        more = {"feed": self._venue.options.stock_feed}
        for path, group, extra in ((CRYPTO_SNAPSHOTS, coins, {}), (STOCK_SNAPSHOTS, stocks, more)):
            for at in range(0, len(group), SYMBOLS_MAX):
                chunk = {each.venue_symbol: each.symbol for each in group[at : at + SYMBOLS_MAX]}
                body = await self._venue._market_data(path, {"symbols": ",".join(chunk), **extra})
                # Coins stand under `snapshots`, stocks directly in the answer.
                entries = body.get("snapshots", body) if isinstance(body, Mapping) else {}
                for name, symbol in chunk.items():
                    if (day := _day(symbol, entries.get(name))) is not None:
                        figures[symbol] = day
        return figures

    def day_figures_calls(self, markets: int) -> int:
        return -(-markets // SYMBOLS_MAX)


def _moment(unix_s: float) -> str:
    return datetime.fromtimestamp(int(unix_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _with_time(entry: Any) -> Any:
    """The entry with its time in unix seconds."""
    try:
        return {**entry, "t": int(datetime.fromisoformat(entry["t"]).timestamp())}
    except (KeyError, TypeError, ValueError):
        raise VenueUnavailable(f"Alpaca sent a bar without a time that can be read: {entry!r:.200}") from None


def _day(symbol: str, entry: Any) -> DayFigures | None:
    """Of the present day and the one before together: a day that has just begun says little."""
    try:
        bars = [bar for bar in (entry["dailyBar"], entry.get("prevDailyBar")) if bar]
        volume = sum((parse_decimal(str(bar["v"])) * parse_decimal(str(bar["c"])) for bar in bars), parse_decimal(0))
        return DayFigures(symbol, Price(parse_decimal(str(bars[0]["c"]))), Amount(volume))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        logger.debug("Alpaca's snapshot of %s cannot be used: %.200r", symbol, entry)
        return None
