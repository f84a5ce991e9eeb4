"""Alpaca's names for markets, turned into ours by its own list of assets, never by cutting strings.

A coin's market is `BTC/USD` for both; `BTCUSD` is its older form, which positions still carry. A stock is `AAPL` for
both: with a slash it would be taken for a coin of that name, and some stocks share their name with one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from copytrade.domain.instrument import Instrument

logger = logging.getLogger(__name__)


class MarketNames:
    """Instruments by every spelling of theirs, in any case of letters."""

    def __init__(self) -> None:
        self._by_spelling: dict[str, Instrument] = {}
        self._by_symbol: dict[str, Instrument] = {}

    def __len__(self) -> int:
        return len(self._by_symbol)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_symbol.values())

    def add(self, instrument: Instrument, spellings: Iterable[str]) -> bool:
        """Take in a market; False when its symbol is another's already. A spelling stays with its first market."""
        if instrument.symbol in self._by_symbol:
            return False
        self._by_symbol[instrument.symbol] = instrument
        for spelling in (instrument.symbol, *spellings):
            taken = self._by_spelling.setdefault(spelling.casefold(), instrument)
            if taken is not instrument:
                logger.warning("Alpaca spells %s and %s both %.40r", taken.symbol, instrument.symbol, spelling)
        return True

    def find(self, spelling: str) -> Instrument | None:
        return self._by_spelling.get(spelling.strip().casefold())
