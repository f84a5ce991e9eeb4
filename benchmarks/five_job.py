"""What the two contenders of `five_venues` are told: where each venue is, and which accounts they have there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.signing import VENUES

# Alpaca takes no order for coins under 10 USD.
MASTER_USD = 200
FOLLOWER_USD = 20
Keys = dict[str, str]
"""`key`, `secret` and at OKX `passphrase` of one account."""


@dataclass(frozen=True)
class FiveJob:
    """`venues` are `{name: {"url": ..., "price": ..., "followers": [Keys]}}`; the master trades at Kraken.

    `connections` is for each venue; `folder` is a disk path to work in.
    """

    master: Keys
    venues: dict[str, dict[str, Any]]
    connections: int
    folder: str

    @property
    def url(self) -> str:
        """Of the master's venue."""
        url: str = self.venues["kraken"]["url"]
        return url

    @property
    def followers(self) -> list[tuple[str, Keys]]:
        """Every follower's venue and keys, the venues taking turns as they would where followers come as they come."""
        longest = max(len(venue["followers"]) for venue in self.venues.values())
        return [
            (name, self.venues[name]["followers"][place])
            for place in range(longest)
            for name in VENUES
            if place < len(self.venues[name]["followers"])
        ]

    def volume(self, venue: str) -> str:
        """One follower's order, in the base asset, on Binance's lot step, the coarsest of the five."""
        return f"{FOLLOWER_USD / float(self.venues[venue]['price']):.5f}"
