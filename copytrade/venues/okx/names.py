"""Every spelling of a market, from OKX's own list, never by cutting strings: `BTC-USDT` there, `BTC/USDT` here."""

from __future__ import annotations

from collections.abc import Iterable

from copytrade.domain.instrument import Instrument


class InstrumentNames:
    """Instruments by our symbol and by OKX's `instId`, in any case of letters."""

    def __init__(self) -> None:
        self._by_spelling: dict[str, Instrument] = {}
        self._by_symbol: dict[str, Instrument] = {}

    def __len__(self) -> int:
        return len(self._by_symbol)

    def add(self, instrument: Instrument) -> bool:
        """Take in an instrument; False when its symbol is another's already."""
        if instrument.symbol in self._by_symbol:
            return False
        self._by_symbol[instrument.symbol] = instrument
        for spelling in (instrument.symbol, instrument.venue_symbol):
            self._by_spelling.setdefault(spelling.casefold(), instrument)
        return True

    def find(self, spelling: str) -> Instrument | None:
        return self._by_spelling.get(spelling.strip().casefold())

    def all(self) -> Iterable[Instrument]:
        return self._by_symbol.values()
