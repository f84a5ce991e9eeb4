"""What is written down of watching an account whose orders somebody else may place, too."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from copytrade.domain.account import AccountId
from copytrade.domain.money import Price, Quantity


@dataclass(frozen=True, slots=True)
class OrdersWatched:
    """The account's orders from before `before` are dealt with: each is in the ledger, or is never to be copied."""

    account: AccountId
    before: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class WatchEnded:
    """The account is watched no more. Should it be again, what was placed meanwhile is history."""

    account: AccountId
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderAmended:
    """A resting order has other terms from now on, under the id that it had: `quantity` is in all."""

    order_id: str
    quantity: Quantity
    at: datetime
    limit_price: Price | None = None
    stop_price: Price | None = None
