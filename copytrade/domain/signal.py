"""A signal: what the master did, as a fact, with how things stood just before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from copytrade.domain.account import AccountId
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, Side


class SignalKind(StrEnum):
    PLACED = "placed"
    FLATTEN = "flatten"  # no order of the master: the operator takes every follower out


@dataclass(frozen=True, slots=True)
class Signal:
    """One act of the master.

    `price` is the price the master saw when it placed the order; followers' sizes, minimums and slippage are
    reckoned from it. `equity_before` and `cash_before` are the master's, in its quote currency, before the order.
    `exit_fraction` is the share of its position that an exit closes, 0 < fraction <= 1, and 0 for an entry.
    """

    signal_id: str
    kind: SignalKind
    master_order_id: str
    account: AccountId
    symbol: str
    side: Side
    effect: Effect
    order_kind: OrderKind
    quantity: Quantity
    price: Price
    equity_before: Amount | None
    cash_before: Amount | None
    position_before: Quantity
    exit_fraction: Decimal
    at: datetime
