"""Seeded prices that move, a pure function of seed, market and time: runs with one seed see one history.

The logarithm of a price is a sum of value noise over octaves: level k changes every 2^k steps with an
amplitude that grows with the square root of that length. Up to the longest octave it spreads like a random
walk; beyond, it comes back, so a simulator that runs for months does not drift to zero. Being a function and
not a running sum, it needs no state to survive a restart.

The noise is a float because it is made up, not money; it becomes a Decimal on the market's tick before anyone
trades on it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

from copytrade.simulator.markets import Market

LEVELS = 18  # 2^18 steps of a second are three days: the longest swing
CACHE_ENTRIES_MAX = 200_000  # some 20 MB; then it is emptied, which costs time and changes nothing
_MASK = (1 << 64) - 1
# Each octave adds its own share of a step's variance; this makes the change over one step about one
# `volatility`.
_SCALE = 0.75


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid, best ask and last price of a market, in quote units per base unit, each on its tick."""

    bid: Decimal
    ask: Decimal
    last: Decimal


@dataclass(frozen=True, slots=True)
class Candle:
    """One bar: `start_s` in unix seconds, prices in quote units, volume in base units."""

    start_s: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    count: int


def _mix(value: int) -> int:
    """Scatter 64 bits (the finaliser of splitmix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class PriceProcess:
    """Prices of all markets of one venue.

    `volatility` is the standard deviation of the change of the logarithm over one second (0.0001 is about 3 %
    a day); 0 freezes every price at its start. `spread` is ask less bid as a fraction of the price; 0 makes
    them equal. Prices change every `step_s`.
    """

    def __init__(
        self, seed: int, markets: Iterable[Market], volatility: float, spread: Decimal, step_s: float = 1.0
    ) -> None:
        if not 0 <= volatility <= 0.1:
            raise ValueError(
                f"volatility is {volatility}: give a fraction per second between 0 and 0.1, such as 0.0001"
            )
        if not 0 <= spread < Decimal("0.5"):
            raise ValueError(f"spread is {spread}: give a fraction of the price between 0 and 0.5, such as 0.0002")
        if step_s <= 0:
            raise ValueError(f"step_s is {step_s}: give the seconds between two prices, above 0")
        self.volatility = volatility
        self.spread = spread
        self.step_s = step_s
        self._markets = {market.symbol: market for market in markets}
        self._anchors = {market.symbol: market.start_price for market in self._markets.values()}
        self._seeds = {
            symbol: int.from_bytes(hashlib.blake2b(f"{seed}:{symbol}".encode(), digest_size=8).digest(), "big")
            for symbol in self._markets
        }
        self._lattice: dict[tuple[int, int, int], float] = {}
        self._quotes: dict[str, tuple[int, Quote]] = {}

    @property
    def frozen(self) -> bool:
        """Whether prices only move when they are set."""
        return self.volatility == 0

    def step_of(self, time_s: float) -> int:
        """Number of the price step that holds at `time_s` (unix seconds)."""
        return math.floor(time_s / self.step_s)

    def quote(self, symbol: str, time_s: float) -> Quote:
        """Bid, ask and last of `symbol` at `time_s`. Raises KeyError for a market that is not listed."""
        return self.quote_at_step(symbol, self.step_of(time_s))

    def quote_at_step(self, symbol: str, step: int) -> Quote:
        """The quote of `symbol` during price step `step`. Raises KeyError for a market that is not listed."""
        cached = self._quotes.get(symbol)
        if cached is not None and cached[0] == step:
            return cached[1]
        market = self._markets[symbol]
        middle = self._middle(symbol, step)
        tick = market.tick_size
        half = middle * self.spread / 2
        quote = Quote(
            bid=max(_to_tick(middle - half, tick, ROUND_FLOOR if half else ROUND_HALF_EVEN), tick),
            ask=max(_to_tick(middle + half, tick, ROUND_CEILING if half else ROUND_HALF_EVEN), tick),
            last=max(_to_tick(middle, tick, ROUND_HALF_EVEN), tick),
        )
        self._quotes[symbol] = (step, quote)
        return quote

    def set_price(self, symbol: str, price: Decimal, time_s: float) -> None:
        """Make `price` the price of `symbol` at `time_s`; it moves on from there.

        Raises KeyError or ValueError.
        """
        if symbol not in self._markets:
            raise KeyError(symbol)
        if not price.is_finite() or price <= 0:
            raise ValueError(f"price of {symbol} is {price}: give a number above 0")
        factor = self._factor(symbol, self.step_of(time_s))
        self._anchors[symbol] = price if factor == 1.0 else price / Decimal(factor)
        self._quotes.pop(symbol, None)

    def anchors(self) -> dict[str, str]:
        """What has to be kept over a restart besides the seed: each market's anchor, as text."""
        return {symbol: str(anchor) for symbol, anchor in self._anchors.items()}

    def restore(self, anchors: dict[str, str]) -> None:
        """Take over anchors that `anchors()` gave; markets no longer listed are left out."""
        for symbol, anchor in anchors.items():
            if symbol in self._anchors:
                self._anchors[symbol] = Decimal(anchor)
        self._quotes.clear()

    def candles(self, symbol: str, interval_s: int, last_start_s: int, count: int) -> list[Candle]:
        """`count` bars of `interval_s` up to the one that starts at `last_start_s`, oldest first.

        A bar is sampled at its ends and at three places inside, not at every step: a price in between may lie
        outside it.
        """
        market = self._markets[symbol]

        def sample(time_s: float) -> Decimal:
            return _to_tick(self._middle(symbol, self.step_of(time_s)), market.tick_size, ROUND_HALF_EVEN)

        bars = []
        opening = sample(last_start_s - interval_s * (count - 1))
        for start_s in range(last_start_s - interval_s * (count - 1), last_start_s + 1, interval_s):
            samples = [opening, *(sample(start_s + interval_s * part / 4) for part in range(1, 5))]
            trades = 5 + _mix(self._seeds[symbol] ^ start_s) % 60
            volume = (market.order_min * trades * 40).quantize(market.lot_step)
            bars.append(Candle(start_s, opening, max(samples), min(samples), samples[-1], volume, trades))
            opening = samples[-1]
        return bars

    def _middle(self, symbol: str, step: int) -> Decimal:
        factor = self._factor(symbol, step)
        anchor = self._anchors[symbol]
        return anchor if factor == 1.0 else anchor * Decimal(factor)

    def _factor(self, symbol: str, step: int) -> float:
        if self.volatility == 0:
            return 1.0
        if len(self._lattice) > CACHE_ENTRIES_MAX:
            self._lattice.clear()
        seed = self._seeds[symbol]
        walk = 0.0
        for level in range(LEVELS):
            index, inside = divmod(step, 1 << level)
            left = self._noise(seed, level, index)
            if inside:
                left += (self._noise(seed, level, index + 1) - left) * inside / (1 << level)
            walk += left * math.sqrt(1 << level)
        return math.exp(self.volatility * math.sqrt(self.step_s) * _SCALE * walk)

    def _noise(self, seed: int, level: int, index: int) -> float:
        """A number in [-1, 1), always the same for the same three."""
        place = (seed, level, index)
        value = self._lattice.get(place)
        if value is None:
            value = _mix(seed ^ _mix(index * 64 + level & _MASK)) / (1 << 63) - 1.0
            self._lattice[place] = value
        return value


def _to_tick(price: Decimal, tick: Decimal, rounding: str) -> Decimal:
    return (price / tick).quantize(Decimal(1), rounding=rounding) * tick
