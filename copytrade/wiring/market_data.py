"""Candles and day figures of every connected venue, each through its adapter's own `candles.py`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from copytrade.domain.instrument import Instrument
from copytrade.strategy.market_data import CandleSource, as_candles
from copytrade.strategy.port import Candles, Needs

_CLASSES = {
    "kraken": "KrakenCandles",
    "coinbase": "CoinbaseCandles",
    "alpaca": "AlpacaCandles",
    "okx": "OkxCandles",
    "binance": "BinanceCandles",
}


class MarketData:
    """The candle sources by venue, made when first asked for. `venues` may grow while running."""

    def __init__(self, venues: Mapping[str, Any]) -> None:
        self._venues = venues
        self._sources: dict[str, CandleSource] = {}

    @property
    def names(self) -> list[str]:
        """The venues there are."""
        return list(self._venues)

    def of(self, venue: str) -> CandleSource:
        """Raises `KeyError` for a venue that is not connected."""
        if venue not in self._sources:
            adapter = self._venues[venue]
            module = importlib.import_module(f"copytrade.venues.{venue}.candles")
            self._sources[venue] = getattr(module, _CLASSES[venue])(adapter)
        return self._sources[venue]


async def read_candles(data: MarketData, instrument: Instrument, needs: Needs, now_s: float) -> Candles:
    """The market's closed candles from the instrument's own venue. Raises `VenueError`, `ValueError`.

    `now_s` is the venue's time in unix seconds.
    """
    rows = await data.of(instrument.venue).candles(instrument, needs.interval_s, needs.candles)
    return as_candles(rows, instrument, needs.interval_s, needs.candles, now_s)
