"""Kraken's two counters: calls per key, and the trading engine's per account and pair.

Both rise by the cost of a call and decay with time. Source: Kraken's "Spot rate limits" and "Trading limits"
pages.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tier:
    """What an account's verification level allows; decays are per second."""

    name: str
    calls_max: float
    calls_decay: float
    trading_max: float
    trading_decay: float
    open_orders_max: int


TIERS = {
    "starter": Tier("starter", 15, 0.33, 60, 1.0, 60),
    "intermediate": Tier("intermediate", 20, 0.5, 125, 2.34, 80),
    "pro": Tier("pro", 20, 1.0, 180, 3.75, 225),
}
# Cost of a call to the first counter; calls that are not here cost 1.
CALL_COST = {
    "AddOrder": 0,
    "AddOrderBatch": 0,
    "AmendOrder": 0,
    "EditOrder": 0,
    "CancelOrder": 0,
    "CancelOrderBatch": 0,
    "CancelAll": 0,
    "CancelAllOrdersAfter": 0,
    "TradesHistory": 2,
    "QueryTrades": 2,
    "Ledgers": 2,
    "QueryLedgers": 2,
}
# Penalty by the age of the order in seconds: the first row whose bound is above the age counts.
_CANCEL_PENALTY = ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1))
_AMEND_PENALTY = ((5, 3), (10, 2), (15, 1))


def cancel_penalty(age_s: float) -> int:
    """What a cancel of an order of this age costs."""
    return next((cost for bound_s, cost in _CANCEL_PENALTY if age_s < bound_s), 0)


def amend_penalty(age_s: float) -> int:
    """What an amendment of an order of this age costs, besides its fixed 1."""
    return next((cost for bound_s, cost in _AMEND_PENALTY if age_s < bound_s), 0)


class DecayingCounter:
    """A counter that falls by `decay` a second and refuses what would lift it above `limit`."""

    __slots__ = ("_at_s", "_value", "decay", "limit")

    def __init__(self, limit: float, decay: float) -> None:
        self.limit = limit
        self.decay = decay
        self._value = 0.0
        self._at_s = 0.0

    def value(self, now_s: float) -> float:
        """Where it stands at `now_s`."""
        return max(0.0, self._value - max(0.0, now_s - self._at_s) * self.decay)

    def allows(self, cost: float, now_s: float) -> bool:
        """Add `cost` and say True, or say False and leave it as it is."""
        value = self.value(now_s)
        if value + cost > self.limit:
            return False
        self._value = value + cost
        self._at_s = max(now_s, self._at_s)
        return True

    def add(self, cost: float, now_s: float) -> None:
        """Add `cost` without asking: a penalty is never a reason to refuse the call that earns it."""
        self._value = self.value(now_s) + cost
        self._at_s = max(now_s, self._at_s)
