"""The accounts of a backtest: what they hold in the course of it, and what became of every order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from copytrade.backtest.gap import Gap
from copytrade.backtest.limits import LimitWatch
from copytrade.backtest.market import BacktestMarket, Fill
from copytrade.domain.account import AccountId, FollowerTerms
from copytrade.domain.money import Amount
from copytrade.domain.order import Side


@dataclass(frozen=True, slots=True)
class Order:
    """One order of the master that reached the venue. `candle` is the number of the one at whose open it was filled,
    `at_s` that moment; `fraction` is the share of the position that a sale closed."""

    candle: int
    at_s: int
    side: Side
    fill: Fill
    why: str
    fraction: float


@dataclass(slots=True)
class Course:
    """An account's money over time: from the candle `since[n]` on it had `cash[n]` and held `held[n]`. Floats, for
    curves; the exact figures are the venue's."""

    account: AccountId
    start: Amount
    since: list[int] = field(default_factory=list)
    cash: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    fees: float = 0.0
    orders: int = 0

    def note(self, candle: int, market: BacktestMarket, fill: Fill | None = None) -> None:
        """Take down what the account has now."""
        if self.since and self.since[-1] == candle:
            for column in (self.since, self.cash, self.held):
                column.pop()
        self.since.append(candle)
        self.cash.append(float(market.cash(self.account).value))
        self.held.append(float(market.held(self.account).value))
        if fill is not None:
            self.fees += float(fill.fee.value)
            self.orders += 1


@dataclass(slots=True)
class Follower:
    """One follower's account, with its limits, its gap to the master, and its copies by what became of them."""

    terms: FollowerTerms
    course: Course
    watch: LimitWatch
    gap: Gap
    filled: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    capped: Counter[str] = field(default_factory=Counter)
    tripped: list[str] = field(default_factory=list)

    @property
    def account(self) -> AccountId:
        return self.terms.account
