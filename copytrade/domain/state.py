"""The live state: a fold over events. Replaying the ledger through the same fold gives the same state, by hash.

The state holds what is still open (orders not at their end, positions, parked accounts). Orders at their end live on
in the ledger's tables; here they remain as a sum of their digests, which is what makes two states comparable.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.copy import Approved, Decision, Deferred, Skipped
from copytrade.domain.events import (
    AccountCleared,
    AccountParked,
    CopiesPlanned,
    CopyDecided,
    Event,
    MasterIntended,
    OrderAccepted,
    OrderExecuted,
    OrderHeld,
    OrderProvedAbsent,
    OrderRefused,
    OrderReleased,
    OrderStopped,
    OrderUnknown,
    SignalEmitted,
)
from copytrade.domain.money import NO_AMOUNT, NO_QUANTITY, Amount, Price, Quantity
from copytrade.domain.order import Effect, Move, OrderKind, OrderState, Role, Side, next_state
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal
from copytrade.domain.venue import ExecutionStatus

_DIGEST_MODULUS = 1 << 128


@dataclass(slots=True)
class OrderRecord:
    """All that is known of one order, the master's or a copy's. Changed by `State.apply` alone."""

    order_id: str
    role: Role
    signal_id: str | None
    account: AccountId
    symbol: str
    side: Side
    effect: Effect
    kind: OrderKind
    state: OrderState
    reason: Reason
    detail: str
    quantity: Quantity
    price: Price | None
    limit_price: Price | None
    leg: int
    planned_at: datetime
    venue_order_id: str | None = None
    sent_at: datetime | None = None
    acked_at: datetime | None = None
    ended_at: datetime | None = None
    filled: Quantity = NO_QUANTITY
    fee_base: Quantity = NO_QUANTITY
    cost: Amount = NO_AMOUNT
    fee: Amount = NO_AMOUNT
    intent: MasterIntended | None = None

    @property
    def arrived(self) -> Quantity:
        """What the order added to (or took from) the position: fills less what the venue took in base as its fee.

        A fee taken in base on a sell has no part in the position: the venue took it from what was sold.
        """
        return self.filled - self.fee_base if self.side is Side.BUY else self.filled

    def canonical(self) -> list[Any]:
        """The fields that make two records the same, in a fixed order, as JSON values."""
        return [
            self.order_id, self.role.value, self.signal_id, self.account, self.symbol, self.side.value,
            self.effect.value, self.kind.value, self.state.value, self.reason.value, self.detail,
            str(self.quantity), _text(self.price), _text(self.limit_price), self.leg,
            self.planned_at.isoformat(), self.venue_order_id, _when(self.sent_at), _when(self.acked_at),
            _when(self.ended_at), str(self.filled), str(self.fee_base), str(self.cost), str(self.fee),
        ]  # fmt: skip

    def digest(self) -> int:
        encoded = json.dumps(self.canonical(), separators=(",", ":")).encode()
        return int.from_bytes(hashlib.sha256(encoded).digest()[:16], "big")


def _text(value: Price | None) -> str | None:
    return None if value is None else str(value)


def _when(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


@dataclass(slots=True)
class State:
    """What is open now, and digests of what is over."""

    orders: dict[str, OrderRecord] = field(default_factory=dict)
    positions: dict[tuple[AccountId, str], Quantity] = field(default_factory=dict)
    parked: dict[AccountId, tuple[Reason, str]] = field(default_factory=dict)
    unplanned: dict[str, Signal] = field(default_factory=dict)
    signals_count: int = 0
    signals_digest: int = 0
    ended_count: int = 0
    ended_digest: int = 0

    def position(self, account: AccountId, symbol: str) -> Quantity:
        """The copied position (for the master: the position its orders here have built)."""
        return self.positions.get((account, symbol), NO_QUANTITY)

    def apply(self, event: Event) -> list[OrderRecord]:
        """Take one event in, and return the order records that it changed, those at their end included.

        Raises `IllegalMove` for an event that the table of order life does not allow, and `KeyError` for one about
        an order that is not open: both are programming errors, and the caller must not carry on.
        """
        return _HANDLERS[type(event)](self, event)

    def hash(self) -> str:
        """A digest of the whole state; equal states have equal hashes."""
        body = {
            "orders": sorted((r.canonical() for r in self.orders.values()), key=lambda row: str(row[0])),
            "positions": sorted([a, s, str(q)] for (a, s), q in self.positions.items() if q),
            "parked": sorted([a, r.value, d] for a, (r, d) in self.parked.items()),
            "unplanned": sorted(self.unplanned),
            "signals": [self.signals_count, self.signals_digest],
            "ended": [self.ended_count, self.ended_digest],
        }
        return hashlib.sha256(json.dumps(body, separators=(",", ":")).encode()).hexdigest()

    # -- one handler for each event ------------------------------------------------------------------------------

    def _master_intended(self, e: MasterIntended) -> list[OrderRecord]:
        record = OrderRecord(
            order_id=e.order_id, role=Role.MASTER, signal_id=None, account=e.account, symbol=e.symbol, side=e.side,
            effect=e.effect, kind=e.kind, state=next_state(None, Move.APPROVE), reason=Reason.MASTER_ORDER,
            detail=e.source, quantity=e.quantity, price=e.price, limit_price=e.limit_price, leg=0,
            planned_at=e.at, intent=e,
        )  # fmt: skip
        return [self._open(record)]

    def _signal_emitted(self, e: SignalEmitted) -> list[OrderRecord]:
        self.unplanned[e.signal.signal_id] = e.signal
        self.signals_count += 1
        encoded = int.from_bytes(hashlib.sha256(e.signal.signal_id.encode()).digest()[:16], "big")
        self.signals_digest = (self.signals_digest + encoded) % _DIGEST_MODULUS
        return []

    def _copies_planned(self, e: CopiesPlanned) -> list[OrderRecord]:
        records = [self._open(_copy_record(copy, e.at)) for copy in e.copies]
        self.unplanned.pop(e.signal_id, None)
        return records

    def _copy_decided(self, e: CopyDecided) -> list[OrderRecord]:
        record = self.orders[e.copy.order_id]
        record.reason, record.detail = e.copy.reason, e.copy.detail
        if isinstance(e.copy, Approved):
            record.kind, record.quantity = e.copy.kind, e.copy.quantity
            record.price, record.limit_price = e.copy.price, e.copy.limit_price
        return [self._move(record, Move.APPROVE if isinstance(e.copy, Approved) else Move.SKIP, e.at)]

    def _accepted(self, e: OrderAccepted) -> list[OrderRecord]:
        record = self.orders[e.order_id]
        record.venue_order_id, record.acked_at = e.venue_order_id, e.at
        record.sent_at = e.sent_at or record.sent_at
        return [self._move(record, Move.ACCEPT, e.at)]

    def _refused(self, e: OrderRefused) -> list[OrderRecord]:
        return [self._say(self.orders[e.order_id], Move.REFUSE, e)]

    def _unknown(self, e: OrderUnknown) -> list[OrderRecord]:
        record = self.orders[e.order_id]
        record.sent_at = e.sent_at
        return [self._move(record, Move.LOSE, e.at)]

    def _proved_absent(self, e: OrderProvedAbsent) -> list[OrderRecord]:
        record = self.orders[e.order_id]
        record.sent_at = None
        return [self._move(record, Move.PROVE_ABSENT, e.at)]

    def _stopped(self, e: OrderStopped) -> list[OrderRecord]:
        return [self._say(self.orders[e.order_id], Move.STOP, e)]

    def _held(self, e: OrderHeld) -> list[OrderRecord]:
        return [self._say(self.orders[e.order_id], Move.HOLD, e)]

    def _released(self, e: OrderReleased) -> list[OrderRecord]:
        record = self.orders[e.order_id]
        record.reason, record.detail = Reason.BY_OPERATOR, ""
        return [self._move(record, Move.RELEASE, e.at)]

    def _executed(self, e: OrderExecuted) -> list[OrderRecord]:
        record = self.orders[e.order_id]
        before = record.arrived
        record.filled, record.cost, record.fee, record.fee_base = e.quantity, e.cost, e.fee, e.fee_base
        if e.detail:
            record.detail = e.detail
        change = record.arrived - before
        key = (record.account, record.symbol)
        held = self.positions.get(key, NO_QUANTITY)
        self.positions[key] = held + change if record.side is Side.BUY else held - change
        if not self.positions[key]:
            del self.positions[key]
        return [self._move(record, _PROGRESS_MOVES[e.status], e.at)]

    def _parked(self, e: AccountParked) -> list[OrderRecord]:
        self.parked[e.account] = (e.reason, e.detail)
        return []

    def _cleared(self, e: AccountCleared) -> list[OrderRecord]:
        self.parked.pop(e.account, None)
        return []

    # -- shared -----------------------------------------------------------------------------------------------

    def _open(self, record: OrderRecord) -> OrderRecord:
        if record.order_id in self.orders:
            raise ValueError(f"order {record.order_id} is open already: the same intent came twice")
        if record.state.final:
            record.ended_at = record.planned_at
            self._end(record)
        else:
            self.orders[record.order_id] = record
        return record

    def _say(self, record: OrderRecord, move: Move, e: OrderRefused | OrderStopped | OrderHeld) -> OrderRecord:
        record.reason, record.detail = e.reason, e.detail
        return self._move(record, move, e.at)

    def _move(self, record: OrderRecord, move: Move, at: datetime) -> OrderRecord:
        record.state = next_state(record.state, move)
        if record.state.final:
            record.ended_at = at
            del self.orders[record.order_id]
            self._end(record)
        return record

    def _end(self, record: OrderRecord) -> None:
        self.ended_count += 1
        self.ended_digest = (self.ended_digest + record.digest()) % _DIGEST_MODULUS


_HANDLERS: dict[type[Any], Callable[[State, Any], list[OrderRecord]]] = {
    MasterIntended: State._master_intended,
    SignalEmitted: State._signal_emitted,
    CopiesPlanned: State._copies_planned,
    CopyDecided: State._copy_decided,
    OrderAccepted: State._accepted,
    OrderRefused: State._refused,
    OrderUnknown: State._unknown,
    OrderProvedAbsent: State._proved_absent,
    OrderStopped: State._stopped,
    OrderHeld: State._held,
    OrderReleased: State._released,
    OrderExecuted: State._executed,
    AccountParked: State._parked,
    AccountCleared: State._cleared,
}

_PROGRESS_MOVES = {
    ExecutionStatus.OPEN: Move.PROGRESS,
    ExecutionStatus.FILLED: Move.FILL,
    ExecutionStatus.CANCELLED: Move.CANCEL,
}


def _copy_record(copy: Decision, at: datetime) -> OrderRecord:
    approved = copy if isinstance(copy, Approved) else None
    move = Move.APPROVE if approved else Move.SKIP if isinstance(copy, Skipped) else Move.DEFER
    assert approved or isinstance(copy, Skipped | Deferred)
    return OrderRecord(
        order_id=copy.order_id, role=Role.COPY, signal_id=copy.signal_id, account=copy.account, symbol=copy.symbol,
        side=copy.side, effect=copy.effect, kind=approved.kind if approved else OrderKind.MARKET,
        state=next_state(None, move), reason=copy.reason, detail=copy.detail,
        quantity=approved.quantity if approved else NO_QUANTITY, price=approved.price if approved else None,
        limit_price=approved.limit_price if approved else None, leg=copy.leg, planned_at=at,
    )  # fmt: skip
