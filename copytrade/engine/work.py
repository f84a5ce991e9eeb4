"""One order's work in a lane, and the words that lanes, sender and fan-out share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from copytrade.domain.account import AccountId
from copytrade.domain.copy import Approved, Deferred
from copytrade.domain.ids import signal_id
from copytrade.domain.money import Quantity
from copytrade.domain.order import Effect, Role
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord


class LaneParked(Exception):
    """Nothing of this account can go on until its fault is cleared, or for `for_s` seconds."""

    def __init__(self, reason: Reason, detail: str, for_s: int | None) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.for_s = reason, detail, for_s


@dataclass(slots=True)
class Work:
    """One order in a lane. `approved` is None while it waits to be sized; `ceiling` bounds a released exit."""

    order_id: str
    account: AccountId
    symbol: str
    effect: Effect
    role: Role
    signal: Signal | None
    approved: Approved | None
    maybe_sent: bool = False
    absent_after: datetime | None = None
    ceiling: Quantity | None = None


class Onward(Protocol):
    """Where an entry goes that cannot be placed at its account."""

    def elsewhere(self, work: Work, reason: Reason) -> Deferred | None:
        """The copy at the user's next account, or None."""
        ...

    def submit(self, work: Work) -> None: ...


EmitSignal = Callable[[Signal], None]
RefreshEquity = Callable[[AccountId, float], Awaitable[None]]
"""Read an account's balances now, waiting so many seconds at most; leaves the books as they are if it cannot."""


def approved_of(record: OrderRecord) -> Approved:
    """The approval that an order in the ledger stands for."""
    assert record.price is not None, "an approved order has a price"
    return Approved(
        record.order_id, record.signal_id or "", record.account, record.symbol, record.side, record.effect,
        record.kind, record.quantity, record.price, record.limit_price, record.reason, record.detail, record.leg,
    )  # fmt: skip


def signal_of(record: OrderRecord, at: datetime) -> Signal:
    """What a master order that was accepted at `at` tells the followers."""
    intent = record.intent
    assert intent is not None, "a master order keeps its intent"
    return Signal(
        signal_id(record.order_id, SignalKind.PLACED), SignalKind.PLACED, record.order_id, record.account,
        record.symbol, record.side, record.effect, record.kind, record.quantity, intent.price, intent.equity_before,
        intent.cash_before, intent.position_before, intent.exit_fraction, at,
    )  # fmt: skip
