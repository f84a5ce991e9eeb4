"""The live state: a fold over events. Replaying the ledger through the same fold gives the same state, by hash.

The state holds what is still open (orders not at their end, positions, parked accounts). Orders at their end live on
in the ledger's tables; here they remain as a sum of their digests, which is what makes two states comparable.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from copytrade.domain.account import AccountId
from copytrade.domain.by_account import OpenOrders, Positions
from copytrade.domain.copy import Approved, Decision, Deferred, Skipped
from copytrade.domain.events import (
    AccountCleared,
    AccountParked,
    CancelAsked,
    CopiesPlanned,
    CopyDecided,
    Event,
    FollowerJoined,
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
    StrategyNoted,
    event_to_json,
)
from copytrade.domain.independence import IndependenceBegan, IndependenceEnded
from copytrade.domain.limits import EquityMarked, LimitRearmed, LimitTripped
from copytrade.domain.money import NO_QUANTITY, Quantity
from copytrade.domain.operating import OperatorActed
from copytrade.domain.order import Move, OrderKind, OrderState, Role, Side, next_state
from copytrade.domain.reasons import Reason
from copytrade.domain.record import OrderRecord, digest_of
from copytrade.domain.signal import Signal
from copytrade.domain.standing import Standing
from copytrade.domain.venue import ExecutionStatus
from copytrade.domain.watching import OrderAmended, OrdersWatched, WatchEnded
from copytrade.domain.writing_off import PositionWrittenOff, WrittenOff

__all__ = ["DIGEST_MODULUS", "Listener", "OrderRecord", "State", "signal_digest"]

DIGEST_MODULUS = 1 << 128


class Listener(Protocol):
    """Told of what has happened, within `apply`. It may keep the records, which go on changing until they are final,
    and must raise nothing: the event has happened."""

    def emitted(self, signal: Signal) -> None: ...

    def planned(self, signal_id: str, records: Sequence[OrderRecord]) -> None:
        """Copies of one signal, those that ended at once included."""
        ...

    def ended(self, record: OrderRecord) -> None:
        """An order that was open is at its end."""
        ...


def signal_digest(signal: Signal) -> int:
    """A number for the whole content of a signal, below `DIGEST_MODULUS`."""
    return digest_of(event_to_json(SignalEmitted(signal)))


def _clean(text: str) -> str:
    """Text as a file can hold it. A venue's message may carry half a surrogate pair, which no UTF-8 file takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


@dataclass(slots=True)
class State:
    """What is open now, and digests of what is over."""

    orders: OpenOrders[OrderRecord] = field(default_factory=OpenOrders)
    positions: Positions = field(default_factory=Positions)
    parked: dict[AccountId, tuple[Reason, str]] = field(default_factory=dict)
    notes: dict[tuple[AccountId, str], tuple[str, str]] = field(default_factory=dict)  # strategy and its memory
    joined: dict[AccountId, tuple[datetime, str]] = field(default_factory=dict)  # when, and the master's holdings
    unplanned: dict[str, Signal] = field(default_factory=dict)
    standing: Standing = field(default_factory=Standing)
    signals_count: int = 0
    signals_digest: int = 0
    ended_count: int = 0
    ended_digest: int = 0
    listeners: list[Listener] = field(default_factory=list, repr=False, compare=False)  # no part of the state

    def position(self, account: AccountId, symbol: str) -> Quantity:
        """The copied position (for the master: the position its orders here have built)."""
        return self.positions.get((account, symbol), NO_QUANTITY)

    def apply(self, event: Event) -> list[OrderRecord]:
        """Take one event in, and return the order records that it changed, those at their end included.

        Raises `IllegalMove` for an event that the table of order life does not allow, `KeyError` for one about an
        order that is not open, and `ValueError` for an intent or a signal that came before. All are programming
        errors, and all are raised before anything is changed.
        """
        return _HANDLERS[type(event)](self, event)

    def hash(self) -> str:
        """A digest of the whole state; equal states have equal hashes."""
        body = {
            "orders": sorted((r.canonical() for r in self.orders.values()), key=lambda row: str(row[0])),
            "positions": sorted([a, s, str(q)] for (a, s), q in self.positions.items() if q),
            "parked": sorted([a, r.value, d] for a, (r, d) in self.parked.items()),
            "notes": sorted([a, s, *note] for (a, s), note in self.notes.items()),
            "unplanned": sorted([key, signal_digest(signal)] for key, signal in self.unplanned.items()),
            "standing": self.standing.canonical(),
            "joined": sorted([a, at.isoformat(), held] for a, (at, held) in self.joined.items()),
            "signals": [self.signals_count, self.signals_digest],
            "ended": [self.ended_count, self.ended_digest],
        }
        return hashlib.sha256(json.dumps(body, separators=(",", ":")).encode()).hexdigest()

    # -- one handler for each event: everything that can raise comes before the first change -----------------------

    def _master_intended(self, e: MasterIntended) -> list[OrderRecord]:
        role = Role.INDEPENDENT if e.account in self.standing.alone else Role.MASTER
        record = OrderRecord(
            order_id=e.order_id, role=role, signal_id=None, account=e.account, symbol=e.symbol, side=e.side,
            effect=e.effect, kind=e.kind, state=next_state(None, Move.APPROVE), reason=Reason.MASTER_ORDER,
            detail=_clean(e.source), quantity=e.quantity, price=e.price, limit_price=e.limit_price, leg=0,
            planned_at=e.at, intent=e, stop_price=e.stop_price, profit=e.profit,
        )  # fmt: skip
        self._must_be_new([e.order_id])
        return [self._open(record)]

    def _signal_emitted(self, e: SignalEmitted) -> list[OrderRecord]:
        if e.signal.signal_id in self.unplanned:
            raise ValueError(f"signal {e.signal.signal_id} waits to be planned already: the same fact came twice")
        self.unplanned[e.signal.signal_id] = e.signal
        self.signals_count += 1
        self.signals_digest = (self.signals_digest + signal_digest(e.signal)) % DIGEST_MODULUS
        for listener in self.listeners:
            listener.emitted(e.signal)
        return []

    def _copies_planned(self, e: CopiesPlanned) -> list[OrderRecord]:
        self._must_be_new([copy.order_id for copy in e.copies])
        records = [self._open(_copy_record(copy, e.at)) for copy in e.copies]
        self._carry(e.copies)
        signal = self.unplanned.pop(e.signal_id, None)
        if signal is not None:
            self.standing.answered(signal)
        for listener in self.listeners:
            listener.planned(e.signal_id, records)
        return records

    def _copy_decided(self, e: CopyDecided) -> list[OrderRecord]:
        copy = e.copy
        record, after = self._moved(copy.order_id, Move.APPROVE if isinstance(copy, Approved) else Move.SKIP)
        record.reason, record.detail = copy.reason, _clean(copy.detail)
        record.ideal = copy.ideal
        record.symbol = copy.symbol  # a copy that waited for its venue's list of markets has found its own
        if isinstance(copy, Approved):
            record.kind, record.quantity = copy.kind, copy.quantity
            record.price, record.limit_price, record.stop_price = copy.price, copy.limit_price, copy.stop_price
            record.profit = copy.profit
        self._carry([copy])
        return [self._enter(record, after, e.at)]

    def _accepted(self, e: OrderAccepted) -> list[OrderRecord]:
        record, after = self._moved(e.order_id, Move.ACCEPT)
        record.venue_order_id, record.acked_at = _clean(e.venue_order_id), e.at
        record.sent_at = e.sent_at or record.sent_at
        self.standing.placed(record.account, record.order_id)
        return [self._enter(record, after, e.at)]

    def _refused(self, e: OrderRefused) -> list[OrderRecord]:
        return [self._say(Move.REFUSE, e)]

    def _unknown(self, e: OrderUnknown) -> list[OrderRecord]:
        record, after = self._moved(e.order_id, Move.LOSE)
        record.sent_at = e.sent_at
        return [self._enter(record, after, e.at)]

    def _proved_absent(self, e: OrderProvedAbsent) -> list[OrderRecord]:
        record, after = self._moved(e.order_id, Move.PROVE_ABSENT)
        record.sent_at = None
        return [self._enter(record, after, e.at)]

    def _stopped(self, e: OrderStopped) -> list[OrderRecord]:
        return [self._say(Move.STOP, e)]

    def _held(self, e: OrderHeld) -> list[OrderRecord]:
        return [self._say(Move.HOLD, e)]

    def _released(self, e: OrderReleased) -> list[OrderRecord]:
        record, after = self._moved(e.order_id, Move.RELEASE)
        record.reason, record.detail = Reason.BY_OPERATOR, ""
        return [self._enter(record, after, e.at)]

    def _cancel_asked(self, e: CancelAsked) -> list[OrderRecord]:
        record = self.orders.get(e.order_id)
        if record is None:
            raise KeyError(f"order {e.order_id} is not open and cannot be taken back")
        record.cancel = e.reason
        return [record]

    def _executed(self, e: OrderExecuted) -> list[OrderRecord]:
        record, after = self._moved(e.order_id, _PROGRESS_MOVES[e.status])
        before = record.arrived
        paid = _paid(record)
        record.filled, record.cost, record.fee, record.fee_base = e.quantity, e.cost, e.fee, e.fee_base
        if e.detail:
            record.detail = _clean(e.detail)
        change = record.arrived - before
        self.standing.executed(record.account, record.symbol, record.side, change.value, _paid(record) - paid)
        key = (record.account, record.symbol)
        held = self.positions.get(key, NO_QUANTITY)
        self.positions[key] = held + change if record.side is Side.BUY else held - change
        if record.intent is not None and record.intent.beside and self.positions[key].value < 0:
            self.positions[key] = NO_QUANTITY  # what no order here had bought was sold too
        if not self.positions[key]:
            del self.positions[key]
        return [self._enter(record, after, e.at)]

    def _amended(self, e: OrderAmended) -> list[OrderRecord]:
        record, after = self._moved(e.order_id, Move.PROGRESS)
        record.quantity, record.limit_price, record.stop_price = e.quantity, e.limit_price, e.stop_price
        return [self._enter(record, after, e.at)]

    def _parked(self, e: AccountParked) -> list[OrderRecord]:
        self.parked[e.account] = (e.reason, _clean(e.detail))
        return []

    def _cleared(self, e: AccountCleared) -> list[OrderRecord]:
        self.parked.pop(e.account, None)
        return []

    def _noted(self, e: StrategyNoted) -> list[OrderRecord]:
        if e.memory:
            self.notes[e.account, e.symbol] = (_clean(e.strategy), _clean(e.memory))
        else:
            self.notes.pop((e.account, e.symbol), None)
        return []

    def _marked(self, e: EquityMarked) -> list[OrderRecord]:
        self.standing.marked(e)
        return []

    def _tripped(self, e: LimitTripped) -> list[OrderRecord]:
        self.standing.tripped(e)
        return []

    def _rearmed(self, e: LimitRearmed) -> list[OrderRecord]:
        self.standing.rearmed(e)
        return []

    def _watched(self, e: OrdersWatched | WatchEnded) -> list[OrderRecord]:
        self.standing.watch(e.account, e.before if isinstance(e, OrdersWatched) else None)
        return []

    def _independence(self, e: IndependenceBegan | IndependenceEnded) -> list[OrderRecord]:
        self.standing.independence(e.account, e.at if isinstance(e, IndependenceBegan) else None)
        return []

    def _joined(self, e: FollowerJoined) -> list[OrderRecord]:
        self.joined[e.account] = (e.at, _clean(e.held))
        return []

    def _written_off(self, e: PositionWrittenOff) -> list[OrderRecord]:
        key = (e.account, e.symbol)
        held = self.positions.get(key, NO_QUANTITY)
        if not NO_QUANTITY < e.quantity <= held:
            raise ValueError(f"{e.quantity} {e.symbol} of {e.account} cannot be written off: {held} is held")
        self.positions[key] = held - e.quantity
        if not self.positions[key]:
            del self.positions[key]
        self.standing.write_off(e.account, WrittenOff(self.signals_count, e.symbol, e.quantity, e.at))
        return []

    # -- shared -----------------------------------------------------------------------------------------------

    def _carry(self, copies: Iterable[Decision]) -> None:
        for copy in copies:
            if not isinstance(copy, Deferred) and copy.carry is not None:
                self.standing.carry(copy.account, copy.carry)
            if isinstance(copy, Approved) and copy.taken is not None:
                self.standing.take_up(copy.account, copy.order_id, copy.taken)

    def _must_be_new(self, order_ids: list[str]) -> None:
        if len(set(order_ids)) != len(order_ids):
            raise ValueError("one plan names the same order twice")
        for order_id in order_ids:
            if order_id in self.orders:
                raise ValueError(f"order {order_id} is open already: the same intent came twice")

    def _open(self, record: OrderRecord) -> OrderRecord:
        if record.state.final:
            record.ended_at = record.planned_at
            self._end(record)
        else:
            self.orders[record.order_id] = record
        return record

    def _moved(self, order_id: str, move: Move) -> tuple[OrderRecord, OrderState]:
        """The open order and the state that the move leads to; nothing is changed yet."""
        record = self.orders.get(order_id)
        if record is None:
            raise KeyError(f"order {order_id} is not open and cannot {move}")
        return record, next_state(record.state, move)

    def _say(self, move: Move, e: OrderRefused | OrderStopped | OrderHeld) -> OrderRecord:
        record, after = self._moved(e.order_id, move)
        record.reason, record.detail = e.reason, _clean(e.detail)
        if after.final:
            self.standing.not_placed(record.account, record.order_id)
        return self._enter(record, after, e.at)

    def _enter(self, record: OrderRecord, after: OrderState, at: datetime) -> OrderRecord:
        record.state = after
        if after.final:
            record.ended_at = at
            del self.orders[record.order_id]
            self._end(record)
            for listener in self.listeners:
                listener.ended(record)
        return record

    def _end(self, record: OrderRecord) -> None:
        self.ended_count += 1
        self.ended_digest = (self.ended_digest + record.digest()) % DIGEST_MODULUS


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
    CancelAsked: State._cancel_asked,
    OrderExecuted: State._executed,
    AccountParked: State._parked,
    AccountCleared: State._cleared,
    StrategyNoted: State._noted,
    FollowerJoined: State._joined,
    EquityMarked: State._marked,
    LimitTripped: State._tripped,
    LimitRearmed: State._rearmed,
    OrdersWatched: State._watched,
    WatchEnded: State._watched,
    OrderAmended: State._amended,
    IndependenceBegan: State._independence,
    IndependenceEnded: State._independence,
    PositionWrittenOff: State._written_off,
    OperatorActed: lambda _state, _event: [],  # told, and nothing here depends on it
}

_PROGRESS_MOVES = {
    ExecutionStatus.OPEN: Move.PROGRESS,
    ExecutionStatus.FILLED: Move.FILL,
    ExecutionStatus.CANCELLED: Move.CANCEL,
}


def _paid(record: OrderRecord) -> Decimal:
    """What a buy took out of the quote currency so far, or what a sale brought in."""
    return record.cost.value + record.fee.value if record.side is Side.BUY else record.cost.value - record.fee.value


def _copy_record(copy: Decision, at: datetime) -> OrderRecord:
    approved = copy if isinstance(copy, Approved) else None
    move = Move.APPROVE if approved else Move.SKIP if isinstance(copy, Skipped) else Move.DEFER
    assert approved or isinstance(copy, Skipped | Deferred)
    return OrderRecord(
        order_id=copy.order_id, role=Role.COPY, signal_id=copy.signal_id, account=copy.account, symbol=copy.symbol,
        side=copy.side, effect=copy.effect, kind=approved.kind if approved else OrderKind.MARKET,
        state=next_state(None, move), reason=copy.reason, detail=_clean(copy.detail),
        quantity=approved.quantity if approved else NO_QUANTITY, price=approved.price if approved else None,
        limit_price=approved.limit_price if approved else None, leg=copy.leg, planned_at=at,
        stop_price=approved.stop_price if approved else None, profit=approved.profit if approved else None,
        ideal=NO_QUANTITY if isinstance(copy, Deferred) else copy.ideal,
    )  # fmt: skip
