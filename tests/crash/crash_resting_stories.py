"""The stories that worlds of resting orders tell, and the markets that they are told in.

A price is the same for everybody at a venue, so a world that moves it has a market to itself while it lives.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from crash_cast import Cast, all_at
from crash_lab import Lab
from crash_resting import SETTINGS
from crash_world import VenueProcess, World

Step = dict[str, Any]

# Liquid enough that a fortieth of the master's order is above every minimum and many steps of the lot.
SYMBOLS = {
    "kraken": ("BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD", "LTC/USD"),
    "binance": ("BTC/USDT", "ETH/USDT", "SOL/USDT", "LTC/USDT", "LINK/USDT", "AVAX/USDT", "DOT/USDT", "XRP/USDT"),
    "coinbase": ("BTC/USD", "ETH/USD", "SOL/USD", "LTC/USD", "LINK/USD", "AVAX/USD", "DOT/USD", "XRP/USD"),
    "alpaca": ("BTC/USD", "ETH/USD", "SOL/USD", "LTC/USD", "XRP/USD"),
    "okx": ("BTC/USDT", "ETH/USDT", "SOL/USDT", "LTC/USDT", "LINK/USDT", "AVAX/USDT", "DOT/USDT", "XRP/USDT"),
}
# The master is at the first and its followers are at the second, in markets that both have to themselves.
PAIRS = {"kraken > alpaca": ("LINK/USD", "AVAX/USD", "DOT/USD")}
USD = "900"


@dataclass(frozen=True, slots=True)
class Market:
    """A market that one world has to itself, at the master's venue and at `beyond`, where its followers are."""

    venue: str
    symbol: str
    price: Decimal
    beyond: str = ""

    @property
    def venues(self) -> list[str]:
        return [venue for venue in (self.venue, self.beyond) if venue]

    def at(self, percent: str) -> str:
        """The price so many percent away from where it stands."""
        return f"{self.price * (1 + Decimal(percent) / 100):.4f}"


class Markets:
    """Lends markets out, one world at a time. For any thread."""

    def __init__(self, venue: VenueProcess, but: Collection[str] = ()) -> None:
        """All of `SYMBOLS` but these."""
        self._venue = venue
        self._free: dict[str, queue.Queue[Market]] = {}
        for name, symbols in SYMBOLS.items():
            self._free[name] = queue.Queue()
            prices = venue.call("GET", "price", venue=name)
            for symbol in (symbol for symbol in symbols if symbol not in but):
                self._free[name].put(Market(name, symbol, Decimal(prices[symbol]["last"])))
        for pair, symbols in PAIRS.items():
            self._free[pair] = queue.Queue()
            here, beyond = pair.split(" > ")
            prices = venue.call("GET", "price", venue=here)
            for symbol in symbols:
                market = Market(here, symbol, Decimal(prices[symbol]["last"]), beyond)
                self._set_back(market)
                self._free[pair].put(market)

    @contextlib.contextmanager
    def lent(self, venue: str) -> Iterator[Market]:
        """A market of a venue or a pair at its usual price, which it gets back in the end."""
        market = self._free[venue].get()
        try:
            yield market
        finally:
            self._set_back(market)
            self._free[venue].put(market)

    def _set_back(self, market: Market) -> None:
        for venue in market.venues:
            self._venue.call("POST", "price", {"symbol": market.symbol, "price": str(market.price)}, venue)


def amended(market: Market) -> list[Step]:
    """A bid rests, is moved and made larger, fills in part for one follower and in whole for the master."""
    return [
        {"act": "place", "id": "bid", "side": "buy", "usd": USD, "kind": "limit", "limit": market.at("-0.3")},
        {"act": "amend", "of": "bid", "limit": market.at("-0.1"), "share": "1.2"},
        {"act": "fill", "who": "alice_smith", "share": "0.4"},
        {"act": "fill", "who": "master", "share": "1"},
        *leave(),
    ]


def taken_back(market: Market) -> list[Step]:
    """A bid fills in part and is taken back; an offer of what was bought fills for the master alone."""
    return [
        {"act": "place", "id": "bid", "side": "buy", "usd": USD, "kind": "limit", "limit": market.at("-0.2")},
        {"act": "fill", "who": "bob_jones", "share": "0.2"},
        {"act": "fill", "who": "master", "share": "0.5"},
        {"act": "cancel", "of": "bid"},
        {"act": "place", "id": "ask", "side": "sell", "whole": True, "kind": "limit", "limit": market.at("0.3")},
        {"act": "fill", "who": "master", "share": "1"},
        *leave(),
    ]


def hasty(market: Market) -> list[Step]:
    """Every act follows the one before while its copies are still on their way."""
    return [
        {"act": "place", "id": "bid", "side": "buy", "usd": USD, "kind": "limit", "limit": market.at("-0.3"),
         "calm": False},
        {"act": "amend", "of": "bid", "limit": market.at("-0.2"), "calm": False},
        {"act": "amend", "of": "bid", "turn": 1, "share": "0.8", "calm": False},
        {"act": "cancel", "of": "bid", "calm": False},
        {"act": "place", "id": "buy", "side": "buy", "usd": USD, "calm": False},
        {"act": "place", "id": "stop", "side": "sell", "whole": True, "kind": "stop", "stop": market.at("-3")},
        {"act": "cancel", "of": "stop", "calm": False},
        *leave(),
    ]  # fmt: skip


def bracket(market: Market, percent: str) -> list[Step]:
    """A position between a profit and a stop; the price goes where `percent` says."""
    return [
        {"act": "place", "id": "buy", "side": "buy", "usd": USD},
        {"act": "place", "id": "bracket", "side": "sell", "whole": True, "kind": "bracket", "limit": market.at("2"),
         "stop": market.at("-2")},
        {"act": "price", "price": market.at(percent)},
        *leave(),
    ]  # fmt: skip


def at_profit(market: Market) -> list[Step]:
    return bracket(market, "2.2")


def at_stop(market: Market) -> list[Step]:
    return bracket(market, "-2.2")


def timed_out(market: Market) -> list[Step]:
    """The venue ends a follower's bid and then its offer, whose time is up, while the master's rest on."""
    return [
        {"act": "place", "id": "bid", "side": "buy", "usd": USD, "kind": "limit", "limit": market.at("-0.3")},
        {"act": "fill", "who": "alice_smith", "share": "0.4"},
        {"act": "expire", "who": "alice_smith"},
        {"act": "stands", "side": "buy"},
        {"act": "amend", "of": "bid", "limit": market.at("-0.1")},
        {"act": "expire", "who": "bob_jones"},
        {"act": "fill", "who": "master", "share": "1"},
        {"act": "place", "id": "stop", "side": "sell", "whole": True, "kind": "stop", "stop": market.at("-3")},
        {"act": "expire", "who": "bob_jones"},
        {"act": "expire", "who": "alice_smith"},
        {"act": "stands", "side": "sell"},
        *leave(),
    ]


def bought_anew(market: Market) -> list[Step]:
    """A bid is taken back, and then the same is bought at market."""
    return [
        {"act": "place", "id": "bid", "side": "buy", "usd": USD, "kind": "limit", "limit": market.at("-0.3")},
        {"act": "cancel", "of": "bid"},
        {"act": "place", "id": "buy", "side": "buy", "usd": USD},
        *leave(),
    ]


def beside(market: Market) -> list[Step]:
    """The master adds to a position whose stop rests, and bids for more beside it. Its followers are at a venue that
    takes nothing beside a stop."""
    return [
        {"act": "place", "id": "buy", "side": "buy", "usd": USD},
        {"act": "place", "id": "stop", "side": "sell", "whole": True, "kind": "stop", "stop": market.at("-2")},
        {"act": "place", "id": "more", "side": "buy", "usd": USD},
        {"act": "stands", "side": "sell"},
        {"act": "place", "id": "bid", "side": "buy", "usd": USD, "kind": "limit", "limit": market.at("-0.2")},
        {"act": "expire", "who": "bob_jones"},
        {"act": "fill", "who": "master", "share": "1"},
        {"act": "stands", "side": "sell"},
        {"act": "price", "price": market.at("-2.2"), "calm": False},
        *leave(),
    ]


def leave() -> list[Step]:
    """Whatever became of the rest: the master takes its orders back, and sells what it has."""
    return [
        {"act": "cancel", "of": "bid"}, {"act": "cancel", "of": "bracket"}, {"act": "cancel", "of": "stop"},
        {"act": "cancel", "of": "ask"}, {"act": "place", "id": "out", "side": "sell", "whole": True},
    ]  # fmt: skip


STORIES: dict[str, Callable[[Market], list[Step]]] = {
    "amended": amended, "taken back": taken_back, "hasty": hasty, "at profit": at_profit, "at stop": at_stop,
}  # fmt: skip
# Those of one venue alone, and of a pair.
SPECIAL: dict[str, dict[str, Callable[[Market], list[Step]]]] = {
    "kraken": {"bought anew": bought_anew}, "alpaca": {"timed out": timed_out}, "kraken > alpaca": {"beside": beside},
}  # fmt: skip


def stories(venue: str) -> dict[str, Callable[[Market], list[Step]]]:
    """The stories that a venue, or a pair, has."""
    return {**({} if venue in PAIRS else STORIES), **SPECIAL.get(venue, {})}


def cast_at(venue: str, beyond: str = "") -> Cast:
    """A master, two followers whose share is large enough for every minimum, and one who is not enabled; those at
    `beyond`, if it is given."""
    cast = all_at(venue)
    members = [member for member in cast.members if member.user != "carol_white"]
    return replace(cast, members=tuple(replace(member, venues=(beyond or venue,)) for member in members))


def resting_world(lab: Lab, name: str, market: Market, steps: list[Step]) -> World:
    """A world that tells these steps in its market."""
    return at_rest(lab.world(name, in_market(steps, market), cast_at(market.venue, market.beyond)), market)


def in_market(steps: list[Step], market: Market) -> list[Step]:
    return [{**step, "symbol": market.symbol} for step in steps]


def at_rest(world: World, market: Market) -> World:
    """The same world, whose worker is told of steps that rest."""
    with (world.folder / "copytrade.yaml").open("a") as settings:
        settings.write(SETTINGS)
    world.more = {"admin": {venue: world.venue.urls[venue] for venue in market.venues}}
    return world
