"""The matching engine's counters, one for each market of an account.

Source: docs.kraken.com, "Trading rate limits": an order adds 1, whether it is taken or refused; a cancel adds the more
the younger the order is, and nothing once it is five minutes old.
"""

from __future__ import annotations

from copytrade.venues.budget import DecayCounter, Seconds
from copytrade.venues.kraken.options import EXIT_RESERVE, Tier

ADD_ORDER_COST = 1.0
# Age in seconds below which a cancel has this cost; the first row that holds counts.
_CANCEL_COSTS = ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1))
_OLD_S = _CANCEL_COSTS[-1][0]


class TradingCounters:
    """The counters of one account, and the young orders whose cancel would weigh on them."""

    __slots__ = ("_counters", "_limits", "_monotonic", "_young")

    def __init__(self, limits: Tier, monotonic: Seconds) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._counters: dict[str, DecayCounter] = {}
        self._young: dict[str, tuple[str, float]] = {}

    def of(self, symbol: str) -> DecayCounter:
        """The counter of a market; a part of it is kept for exits."""
        counter = self._counters.get(symbol)
        if counter is None:
            limits = self._limits
            counter = self._counters[symbol] = DecayCounter(
                limits.trading_max,
                limits.trading_decay_per_s,
                self._monotonic,
                reserve=limits.trading_max * EXIT_RESERVE,
            )
        return counter

    @property
    def left(self) -> float:
        """The share that is not used up of the fullest counter."""
        return min((counter.left for counter in self._counters.values()), default=1.0)

    def placed(self, venue_order_id: str, symbol: str) -> None:
        """An order was taken."""
        self.of(symbol).charge(ADD_ORDER_COST)
        now = self._monotonic()
        while self._young:  # in the order in which they came, so the old ones are in front
            oldest = next(iter(self._young))
            if now - self._young[oldest][1] < _OLD_S:
                break
            del self._young[oldest]
        self._young[venue_order_id] = (symbol, now)

    def cancelled(self, venue_order_id: str) -> None:
        """A cancel leaves. Of an order that is not known here nothing is counted: it is old, or somebody else's."""
        symbol, placed_at = self._young.pop(venue_order_id, ("", 0.0))
        if symbol:
            age_s = self._monotonic() - placed_at
            self.of(symbol).charge(next((float(cost) for bound_s, cost in _CANCEL_COSTS if age_s < bound_s), 0.0))
