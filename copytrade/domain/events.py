"""The union of things that happen. The ledger holds nothing else, and the live state changes in no other way.

Each event turns into a JSON object and back without loss (decimals as text, times as ISO 8601 in UTC).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.copy import Approved, Decision, Deferred, Skipped
from copytrade.domain.independence import IndependenceBegan, IndependenceEnded
from copytrade.domain.limits import (
    Carry,
    EquityMarked,
    LimitAction,
    LimitName,
    LimitRearmed,
    LimitTripped,
    Rearm,
    carry_from_json,
    carry_to_json,
    holdings_from_json,
    holdings_to_json,
)
from copytrade.domain.money import NO_QUANTITY, Amount, Price, Quantity
from copytrade.domain.operating import OperatorActed
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.venue import ExecutionStatus
from copytrade.domain.watching import OrderAmended, OrdersWatched, WatchEnded
from copytrade.domain.writing_off import PositionWrittenOff

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MasterIntended:
    """A master order is about to be placed, or was placed by hand; with it goes all that its signal will say.

    `beside` is what the account held then that no order here had bought, and that an exit may sell.
    """

    order_id: str
    request_id: str
    source: str
    account: AccountId
    symbol: str
    side: Side
    effect: Effect
    kind: OrderKind
    quantity: Quantity
    price: Price
    limit_price: Price | None
    equity_before: Amount | None
    cash_before: Amount | None
    position_before: Quantity
    exit_fraction: Decimal
    at: datetime
    stop_price: Price | None = None
    replaces: str = ""
    replaced_filled: Quantity = NO_QUANTITY
    profit: Price | None = None
    beside: Quantity = NO_QUANTITY


@dataclass(frozen=True, slots=True)
class SignalEmitted:
    """The master's act is a fact that followers will answer."""

    signal: Signal


@dataclass(frozen=True, slots=True)
class CopiesPlanned:
    """Every follower's answer to one signal, in one event: all of them are durable or none is."""

    signal_id: str
    copies: tuple[Decision, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class CopyDecided:
    """A deferred copy was sized or skipped, or an approved one was sized again before it was first sent."""

    copy: Approved | Skipped
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderAccepted:
    """The venue has the order. `found` says that a look-up told us, not the answer to the send."""

    order_id: str
    venue_order_id: str
    sent_at: datetime | None
    at: datetime
    found: bool = False


@dataclass(frozen=True, slots=True)
class OrderRefused:
    """The venue said no, for good."""

    order_id: str
    reason: Reason
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderUnknown:
    """Bytes left and no trustworthy answer came."""

    order_id: str
    detail: str
    sent_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderProvedAbsent:
    """The venue does not have the order and no longer can get it."""

    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderStopped:
    """The order will never be sent."""

    order_id: str
    reason: Reason
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderHeld:
    """An exit cannot be placed now and is kept for the operator."""

    order_id: str
    reason: Reason
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderReleased:
    """A held exit is to be placed after all, sized by what is held now."""

    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """The order is to be taken back: if it has not left yet it never will, else the venue is asked to cancel it."""

    order_id: str
    reason: Reason
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderExecuted:
    """How far the order has come at the venue: totals, so that hearing it twice changes nothing."""

    order_id: str
    status: ExecutionStatus
    quantity: Quantity
    cost: Amount
    fee: Amount
    fee_base: Quantity
    at: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AccountParked:
    """Nothing of this account can succeed until its fault is cleared."""

    account: AccountId
    reason: Reason
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class AccountCleared:
    """The account works again."""

    account: AccountId
    at: datetime


@dataclass(frozen=True, slots=True)
class StrategyNoted:
    """What a strategy remembers of one market from now on: JSON text of its own, "" for nothing any more."""

    strategy: str
    account: AccountId
    symbol: str
    memory: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FollowerJoined:
    """From now on the follower is served. `held` is what the master held then, as JSON text: quantity by symbol."""

    account: AccountId
    held: str
    at: datetime


Event = (
    MasterIntended
    | SignalEmitted
    | CopiesPlanned
    | CopyDecided
    | OrderAccepted
    | OrderRefused
    | OrderUnknown
    | OrderProvedAbsent
    | OrderStopped
    | OrderHeld
    | OrderReleased
    | CancelAsked
    | OrderExecuted
    | AccountParked
    | AccountCleared
    | StrategyNoted
    | FollowerJoined
    | EquityMarked
    | LimitTripped
    | LimitRearmed
    | OrdersWatched
    | WatchEnded
    | OrderAmended
    | IndependenceBegan
    | IndependenceEnded
    | OperatorActed
    | PositionWrittenOff
)

_BY_NAME: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        MasterIntended,
        SignalEmitted,
        CopiesPlanned,
        CopyDecided,
        OrderAccepted,
        OrderRefused,
        OrderUnknown,
        OrderProvedAbsent,
        OrderStopped,
        OrderHeld,
        OrderReleased,
        CancelAsked,
        OrderExecuted,
        AccountParked,
        AccountCleared,
        StrategyNoted,
        FollowerJoined,
        EquityMarked,
        LimitTripped,
        LimitRearmed,
        OrdersWatched,
        WatchEnded,
        OrderAmended,
        IndependenceBegan,
        IndependenceEnded,
        OperatorActed,
        PositionWrittenOff,
    )
}

_ENUMS: dict[str, Any] = {
    "side": Side,
    "effect": Effect,
    "reason": Reason,
    "status": ExecutionStatus,
    "limit": LimitName,
    "action": LimitAction,
    "rearm": Rearm,
}
_QUANTITIES = frozenset({"quantity", "position_before", "fee_base", "filled", "replaced_filled", "ideal", "beside"})
_PRICES = frozenset({"price", "limit_price", "stop_price", "profit"})
_AMOUNTS = frozenset({"equity_before", "cash_before", "cost", "fee", "start", "base", "flows", "high_water", "equity"})
_TIMES = frozenset({"at", "sent_at", "before"})
# Fields that came later. Left out while they say nothing, so that what older versions wrote reads and counts the same.
_LATER = frozenset(
    {"stop_price", "profit", "replaces", "replaced_filled", "filled", "target", "carry", "taken", "ideal", "beside"}
)


def event_name(event: Event) -> str:
    return type(event).__name__


def event_to_json(event: Event) -> Json:
    """The event's fields as JSON values."""
    if isinstance(event, CopiesPlanned):
        return {
            "signal_id": event.signal_id,
            "copies": [_copy_to_json(copy) for copy in event.copies],
            "at": event.at.isoformat(),
        }
    if isinstance(event, CopyDecided):
        return {"copy": _copy_to_json(event.copy), "at": event.at.isoformat()}
    if isinstance(event, SignalEmitted):
        signal = _fields_to_json(event.signal)
        if event.signal.limit_price is None:
            del signal["limit_price"]
        return {"signal": signal}
    return _fields_to_json(event)


def event_from_json(name: str, body: Json) -> Event:
    """The inverse of `event_to_json`. Raises `KeyError`, `ValueError` or `TypeError` on what is no event."""
    cls = _BY_NAME[name]
    if cls is CopiesPlanned:
        return CopiesPlanned(
            body["signal_id"],
            tuple(_copy_from_json(copy) for copy in body["copies"]),
            datetime.fromisoformat(body["at"]),
        )
    if cls is CopyDecided:
        copy = _copy_from_json(body["copy"])
        if isinstance(copy, Deferred):
            raise ValueError("a decision cannot be to defer")
        return CopyDecided(copy, datetime.fromisoformat(body["at"]))
    if cls is SignalEmitted:
        fields = _fields_from_json(body["signal"], kind=SignalKind)
        return SignalEmitted(Signal(**fields))
    event: Event = cls(**_fields_from_json(body, kind=OrderKind))
    return event


_AS_THEY_ARE = frozenset({type(None), str, int, bool})
_MONEY = frozenset({Quantity, Amount, Price})


def _plain_value(value: Any) -> Any:
    # Looked up by type, not by isinstance: thousands of outcomes of one signal pass here, a dozen fields each.
    cls = type(value)
    if cls in _AS_THEY_ARE:
        return value
    if cls in _MONEY:
        return str(value.value)
    if isinstance(value, datetime):
        return value.isoformat()
    if cls is Carry:
        return carry_to_json(value)
    if isinstance(value, Mapping):
        return holdings_to_json(value)
    return str(value)  # Decimal and the string enums


def _fields_to_json(record: Any) -> Json:
    fields = {}
    for name in record.__slots__:
        value = getattr(record, name)
        if value or name not in _LATER:
            fields[name] = _plain_value(value)
    return fields


def _fields_from_json(body: Json, kind: type[OrderKind] | type[SignalKind]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in body.items():
        if value is None:
            fields[name] = None
        elif name in _QUANTITIES:
            fields[name] = Quantity(Decimal(value))
        elif name in _PRICES:
            fields[name] = Price(Decimal(value))
        elif name in _AMOUNTS:
            fields[name] = Amount(Decimal(value))
        elif name in _TIMES:
            fields[name] = datetime.fromisoformat(value)
        elif name in _ENUMS:
            fields[name] = _ENUMS[name](value)
        elif name == "kind":
            fields[name] = kind(value)
        elif name == "order_kind":
            fields[name] = OrderKind(value)
        elif name == "exit_fraction":
            fields[name] = Decimal(value)
        elif name in ("carry", "taken"):
            fields[name] = carry_from_json(value)
        elif name == "holdings":
            fields[name] = holdings_from_json(value)
        else:
            fields[name] = value
    return fields


def _copy_to_json(copy: Decision) -> Json:
    # Written out by hand: a signal for 10,000 followers is 10,000 of these between the plan and the wire.
    if type(copy) is Approved:
        limit = copy.limit_price
        body: Json = {
            "is": "approved",
            "order_id": copy.order_id,
            "signal_id": copy.signal_id,
            "account": copy.account,
            "symbol": copy.symbol,
            "side": copy.side.value,
            "effect": copy.effect.value,
            "kind": copy.kind.value,
            "quantity": str(copy.quantity.value),
            "price": str(copy.price.value),
            "limit_price": None if limit is None else str(limit.value),
            "reason": copy.reason.value,
            "detail": copy.detail,
            "leg": copy.leg,
        }
        if copy.stop_price is not None:
            body["stop_price"] = str(copy.stop_price.value)
        if copy.profit is not None:
            body["profit"] = str(copy.profit.value)
        if copy.carry is not None:
            body["carry"] = carry_to_json(copy.carry)
        if copy.taken is not None:
            body["taken"] = carry_to_json(copy.taken)
        if copy.ideal:
            body["ideal"] = str(copy.ideal.value)
        return body
    body = _fields_to_json(copy)
    body["is"] = "skipped" if type(copy) is Skipped else "deferred"
    return body


def _copy_from_json(body: Json) -> Decision:
    fields = _fields_from_json({k: v for k, v in body.items() if k != "is"}, kind=OrderKind)
    cls: Any = {"approved": Approved, "skipped": Skipped, "deferred": Deferred}[body["is"]]
    copy: Decision = cls(**fields)
    return copy
