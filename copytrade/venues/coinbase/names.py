"""Coinbase's products by every spelling of theirs, from its own list, never by cutting strings."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from copytrade.domain.instrument import Instrument

logger = logging.getLogger(__name__)

# Coinbase changes these two into each other at par and without a fee; there is no market between them.
PAR = {"USD": "USDC", "USDC": "USD"}


class ProductNames:
    """Instruments by our symbol (`BTC/USD`) and by product id (`BTC-USD`), in any case of letters.

    `BTC-USD` and `BTC-USDC` share an order book but not a wallet: an order settles in the quote currency of the
    product that it names, so they stay two instruments.
    """

    def __init__(self) -> None:
        self._by_spelling: dict[str, Instrument] = {}
        self._by_symbol: dict[str, Instrument] = {}

    def __len__(self) -> int:
        return len(self._by_symbol)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_symbol.values())

    def add(self, instrument: Instrument, spellings: Iterable[str]) -> bool:
        """Take in a product; False when its symbol is another's already. A spelling stays with its first product."""
        if instrument.symbol in self._by_symbol:
            return False
        self._by_symbol[instrument.symbol] = instrument
        for spelling in (instrument.symbol, instrument.venue_symbol, *spellings):
            taken = self._by_spelling.setdefault(spelling.casefold(), instrument)
            if taken is not instrument:
                logger.warning("Coinbase spells %s and %s both %.40r", taken.symbol, instrument.symbol, spelling)
        return True

    def find(self, spelling: str) -> Instrument | None:
        return self._by_spelling.get(spelling.strip().casefold())
