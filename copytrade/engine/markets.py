"""Which market at one venue stands for a market at another.

`USD`, `USDC` and `USDT` are different currencies. Where the operator lets one stand for another (`copy.stand_ins`), a
master's BTC/USD may be copied to a follower's BTC/USDT; a stock is never copied to a market of another class.
"""

from __future__ import annotations

from collections.abc import Mapping

from copytrade.domain.account import venue_of
from copytrade.domain.instrument import AssetClass, Instrument
from copytrade.domain.signal import Signal
from copytrade.engine.ports import Venue

StandIns = Mapping[str, tuple[str, ...]]
"""For each quote currency those that may stand for it, the best liked first."""


class Markets:
    """Finds the market that answers a signal, at any venue."""

    def __init__(self, venues: Mapping[str, Venue], stand_ins: StandIns) -> None:
        self._venues = venues
        self.stand_ins = stand_ins

    def instrument(self, venue: str, symbol: str) -> Instrument | None:
        """The market itself, by any spelling of that venue."""
        found = self._venues.get(venue)
        return found.instrument(symbol) if found else None

    def listing(self, venue: str, symbol: str, asset_class: AssetClass) -> Instrument | None:
        """The market at `venue` that stands for `symbol`. Of those that may, the one in the currency that accounts
        there are measured in comes first: they could pay for no other."""
        adapter = self._venues.get(venue)
        if adapter is None:
            return None
        paid_in = f"/{adapter.currency}"
        for name in sorted(self.names(symbol), key=lambda name: not name.endswith(paid_in)):
            found = self.instrument(venue, name)
            if found is not None and found.asset_class is asset_class:
                return found
        return None

    def answering(self, venue: str, signal: Signal) -> Instrument | None:
        """The market at `venue` that stands for a signal's."""
        own = self.instrument(venue_of(signal.account), signal.symbol)
        return self.listing(venue, signal.symbol, own.asset_class if own else AssetClass.CRYPTO)

    def names(self, symbol: str) -> tuple[str, ...]:
        """`BTC/USD`, and what may stand for it: `BTC/USDC`, `BTC/USDT`."""
        base, _, quote = symbol.rpartition("/")
        return (symbol, *(f"{base}/{other}" for other in self.stand_ins.get(quote, ())))
