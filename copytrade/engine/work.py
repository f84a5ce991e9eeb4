"""One order's work in a lane, and the words that lanes, sender and fan-out share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from copytrade.domain.account import AccountId, user_of
from copytrade.domain.copy import Approved, Deferred
from copytrade.domain.ids import signal_id
from copytrade.domain.instrument import base_of
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import Effect, OrderKind, OrderState, Role
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord, State
from copytrade.domain.venue import Execution, ExecutionStatus


class LaneParked(Exception):
    """Nothing of this account can go on until its fault is cleared, or for `for_s` seconds."""

    def __init__(self, reason: Reason, detail: str, for_s: float | None) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.for_s = reason, detail, for_s


class NotSettled(Exception):  # a condition inside the engine, never shown
    """An order of the same market is still at the venue that must be over first; others of the lane may go ahead."""


@dataclass(slots=True)
class Work:
    """One order in a lane, to be placed or taken back. `approved` is None while it waits to be sized; `ceiling`
    bounds a released exit. `signal` is what asks for it."""

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
    durable: Awaitable[None] | None = None  # what must be on the disk before the order may leave, if that is not sure
    cancel: bool = False  # the order is to be taken back, not placed
    waits: bool = False  # when last tried, an earlier order of its market was still at the venue


class Onward(Protocol):
    """Where an entry goes that cannot be placed at its account."""

    def elsewhere(self, work: Work, reason: Reason) -> Deferred | None:
        """The copy at the user's next account, or None."""
        ...

    def submit(self, work: Work) -> None: ...

    def hand_over(self, account: AccountId, detail: str) -> None:
        """Send the entries elsewhere that wait at an account while its venue cannot be reached."""
        ...


EmitSignal = Callable[[Signal], None]
RefreshEquity = Callable[[AccountId, float], Awaitable[None]]
"""Read an account's balances now, waiting so many seconds at most; leaves the books as they are if it cannot."""


def approved_of(record: OrderRecord) -> Approved:
    """The approval that an order in the ledger stands for."""
    assert record.price is not None, "an approved order has a price"
    return Approved(
        record.order_id, record.signal_id or "", record.account, record.symbol, record.side, record.effect,
        record.kind, record.quantity, record.price, record.limit_price, record.reason, record.detail, record.leg,
        record.stop_price, record.profit,
    )  # fmt: skip


def leaving(state: State, work: Work) -> bool:
    """Whether an exit of a later signal waits behind this entry: it would not find what the entry bought at another
    account, and the follower would stay in a position that the master has left."""
    planned_at = state.orders[work.order_id].planned_at
    return any(
        base_of(r.symbol) == base_of(work.symbol) and r.effect is Effect.EXIT
        and r.state is not OrderState.HELD and r.planned_at >= planned_at
        for r in state.orders.of(work.account)
    )  # fmt: skip


def lets_go(work: Work, reason: Reason, detail: str) -> str:
    """What the operator does about an exit that is held for this reason. `detail` names the instrument that has a mode
    of its own."""
    if reason not in (Reason.MODE_DISARMED, Reason.INSTRUMENT_MODE):
        return "unkill --place-exits places it"
    only = f" --instrument {(detail.split() or [work.symbol])[0]}" if reason is Reason.INSTRUMENT_MODE else ""
    return f"resume {user_of(work.account)}{only} lets it go, and drift repair places it then"


def cancel_work(record: OrderRecord, signal: Signal | None) -> Work:
    """The work of taking an order back."""
    return Work(
        record.order_id, record.account, record.symbol, record.effect, record.role, signal, None, cancel=True
    )


def signal_of(record: OrderRecord, at: datetime) -> Signal:
    """What a master order that was accepted at `at` tells the followers.

    An order that took another's place tells of both together: the quantity is what the master wants in all.
    """
    intent = record.intent
    assert intent is not None, "a master order keeps its intent"
    kind = SignalKind.AMENDED if intent.replaces else SignalKind.PLACED
    # A stop with a profit is a bracket to everybody whose venue has them.
    order_kind, limit = (OrderKind.BRACKET, record.profit) if record.profit else (record.kind, record.limit_price)
    return Signal(
        signal_id(record.order_id, kind), kind, record.order_id, record.account, record.symbol, record.side,
        record.effect, order_kind, record.quantity + intent.replaced_filled, intent.price, intent.equity_before,
        intent.cash_before, intent.position_before, intent.exit_fraction, at, limit, record.stop_price,
        intent.replaces, intent.replaced_filled,
    )  # fmt: skip


def end_signal_of(
    record: OrderRecord, execution: Execution, position_after: Quantity, at: datetime, *, out: bool
) -> Signal:
    """What the end of a master order tells that did not fill at once: how much of it the master got, and at what
    price. `out` says that the master has nothing left of the instrument that could be sold."""
    intent = record.intent
    assert intent is not None, "a master order keeps its intent"
    kind = SignalKind.FILLED if execution.status is ExecutionStatus.FILLED else SignalKind.CANCELLED
    filled = execution.quantity
    # The price that it has by now: an amendment in place by hand changes no intent.
    named = record.limit_price if record.kind is not OrderKind.BRACKET else None
    price = named or record.stop_price or intent.price
    if filled and execution.cost:
        price = Price(execution.cost.value / filled.value)
    fraction = Decimal(0)
    if record.effect is Effect.EXIT and filled:
        fraction = Decimal(1) if out else filled.value / (position_after + filled).value
    return Signal(
        signal_id(record.order_id, kind), kind, record.order_id, record.account, record.symbol, record.side,
        record.effect, record.kind, record.quantity + intent.replaced_filled, price, intent.equity_before,
        intent.cash_before, intent.position_before, fraction, at, record.limit_price, record.stop_price,
        intent.replaces, filled + intent.replaced_filled,
    )  # fmt: skip
