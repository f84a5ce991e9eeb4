"""Kraken's names for assets and pairs, turned into ours by its own lists, never by cutting strings.

`XXBT` (key), `XBT` (altname) and `BTC` (ours) are one asset; `XXBTZUSD` (key), `XBTUSD` (altname), `XBT/USD` (wsname)
and `BTC/USD` (ours, and Kraken's newer interfaces') are one pair.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from copytrade.domain.instrument import Instrument

logger = logging.getLogger(__name__)

# The two assets whose Kraken altname is not what the rest of the world calls them.
PLAIN_NAMES = {"XBT": "BTC", "XDG": "DOGE"}


class AssetNames:
    """Assets by any of their names."""

    def __init__(self) -> None:
        self._plain: dict[str, str] = {}
        self._keys: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._plain)

    @classmethod
    def from_listing(cls, assets: Mapping[str, Any]) -> AssetNames:
        """From the result of `Assets`; entries that are no assets are left out with a warning."""
        names = cls()
        for key, entry in assets.items():
            altname = entry.get("altname") if isinstance(entry, dict) else None
            if not isinstance(altname, str) or not altname:
                logger.warning("Kraken lists asset %.40r without an altname; it is left out", key)
                continue
            plain = PLAIN_NAMES.get(altname, altname)
            names._plain[key] = plain
            names._plain.setdefault(altname, plain)
            names._keys.setdefault(plain, key)
        return names

    def plain(self, name: str) -> str | None:
        """Our name for a key or altname; None for an asset that Kraken does not list."""
        return self._plain.get(name)

    def key(self, plain: str) -> str:
        """Kraken's key (`ZUSD`) for our name; the name itself when it is not known."""
        return self._keys.get(plain, plain)


class PairNames:
    """Instruments by every spelling of theirs, in any case of letters."""

    def __init__(self) -> None:
        self._by_spelling: dict[str, Instrument] = {}
        self._by_symbol: dict[str, Instrument] = {}
        self._keys: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._by_symbol)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_symbol.values())

    def add(self, instrument: Instrument, key: str, spellings: Iterable[str]) -> bool:
        """Take in a pair; False when its symbol is another pair's already. A spelling stays with its first pair."""
        if instrument.symbol in self._by_symbol:
            return False
        self._by_symbol[instrument.symbol] = instrument
        self._keys[instrument.symbol] = key
        for spelling in (instrument.symbol, key, *spellings):
            taken = self._by_spelling.setdefault(spelling.casefold(), instrument)
            if taken is not instrument:
                logger.warning("Kraken spells %s and %s both %.40r", taken.symbol, instrument.symbol, spelling)
        return True

    def find(self, spelling: str) -> Instrument | None:
        return self._by_spelling.get(spelling.strip().casefold())

    def key(self, symbol: str) -> str:
        """The key under which results speak of the pair; the symbol itself when it is not known."""
        return self._keys.get(symbol, symbol)
