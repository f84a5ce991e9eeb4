"""Binance's names of markets, turned into ours by its own list, never by cutting strings.

`BTCUSDT` is `BTC/USDT` because `exchangeInfo` says so; where the base ends cannot be seen from the text.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from copytrade.domain.instrument import Instrument

logger = logging.getLogger(__name__)


class SymbolNames:
    """Instruments by the venue's spelling and by ours, in any case of letters."""

    def __init__(self) -> None:
        self._by_spelling: dict[str, Instrument] = {}
        self._by_symbol: dict[str, Instrument] = {}

    def __len__(self) -> int:
        return len(self._by_symbol)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_symbol.values())

    def add(self, instrument: Instrument) -> bool:
        """Take in a market; False when its assets are another one's already."""
        if instrument.symbol in self._by_symbol:
            return False
        self._by_symbol[instrument.symbol] = instrument
        for spelling in (instrument.symbol, instrument.venue_symbol):
            taken = self._by_spelling.setdefault(spelling.casefold(), instrument)
            if taken is not instrument:
                logger.warning("Binance spells %s and %s both %.40r", taken.symbol, instrument.symbol, spelling)
        return True

    def find(self, spelling: str) -> Instrument | None:
        """By either spelling."""
        return self._by_spelling.get(spelling.strip().casefold())


def order_reference(venue_symbol: str, order_id: int) -> str:
    """The venue's order id as the rest of the service keeps it: Binance's ids are asked for with their symbol."""
    return f"{venue_symbol}:{order_id}"


def split_reference(reference: str) -> tuple[str, str]:
    """Symbol and id of `order_reference`. Raises `ValueError`."""
    venue_symbol, separator, order_id = reference.rpartition(":")
    if not separator or not venue_symbol or not (order_id.isascii() and order_id.isdigit()):
        raise ValueError(f"{reference!r:.60} is no order reference such as BTCUSDT:123")
    return venue_symbol, order_id
