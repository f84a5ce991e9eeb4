"""Binance's names of markets, turned into ours by its own list, never by cutting strings.

`BTCUSDT` is `BTC/USDT` because `exchangeInfo` says so; where the base ends cannot be seen from the text.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from copytrade.domain.instrument import Instrument
from copytrade.domain.order import OrderKind

logger = logging.getLogger(__name__)

_LIST = "L"


class SymbolNames:
    """Instruments by the venue's spelling and by ours, in any case of letters."""

    def __init__(self) -> None:
        self._by_spelling: dict[str, Instrument] = {}
        self._by_symbol: dict[str, Instrument] = {}
        self._kinds: dict[str, frozenset[OrderKind]] = {}

    def __len__(self) -> int:
        return len(self._by_symbol)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_symbol.values())

    def add(self, instrument: Instrument, kinds: frozenset[OrderKind] = frozenset()) -> bool:
        """Take in a market and the kinds of orders it takes; False when its assets are another one's already."""
        if instrument.symbol in self._by_symbol:
            return False
        self._by_symbol[instrument.symbol] = instrument
        self._kinds[instrument.symbol] = kinds
        for spelling in (instrument.symbol, instrument.venue_symbol):
            taken = self._by_spelling.setdefault(spelling.casefold(), instrument)
            if taken is not instrument:
                logger.warning("Binance spells %s and %s both %.40r", taken.symbol, instrument.symbol, spelling)
        return True

    def find(self, spelling: str) -> Instrument | None:
        """By either spelling."""
        return self._by_spelling.get(spelling.strip().casefold())

    def kinds(self, instrument: Instrument) -> frozenset[OrderKind]:
        """The kinds of orders that a market takes; none for one that is not listed."""
        return self._kinds.get(instrument.symbol, frozenset())


def order_reference(venue_symbol: str, order_id: int) -> str:
    """The venue's order id as the rest of the service keeps it: Binance's ids are asked for with their symbol."""
    return f"{venue_symbol}:{order_id}"


def split_reference(reference: str) -> tuple[str, str]:
    """Symbol and id of `order_reference`. Raises `ValueError`."""
    venue_symbol, separator, order_id = reference.rpartition(":")
    if not separator or not venue_symbol or not (order_id.isascii() and order_id.isdigit()):
        raise ValueError(f"{reference!r:.60} is no order reference such as BTCUSDT:123")
    return venue_symbol, order_id


def list_reference(venue_symbol: str, list_id: int) -> str:
    """The same for a list of orders that is one order of ours: `BTCUSDT:L77`."""
    return f"{venue_symbol}:{_LIST}{list_id}"


def split_list_reference(reference: str) -> tuple[str, str] | None:
    """Symbol and list id of `list_reference`, None for what is none."""
    venue_symbol, separator, list_id = reference.rpartition(f":{_LIST}")
    if not separator or not venue_symbol or not (list_id.isascii() and list_id.isdigit()):
        return None
    return venue_symbol, list_id
