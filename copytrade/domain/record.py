"""One order as the ledger keeps it: all that is known of it, the master's or a copy's."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.events import MasterIntended, event_to_json
from copytrade.domain.money import NO_AMOUNT, NO_QUANTITY, Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, OrderState, Role, Side
from copytrade.domain.reasons import Reason


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
    stop_price: Price | None = None
    cancel: Reason | None = None
    profit: Price | None = None
    ideal: Quantity = NO_QUANTITY

    @property
    def arrived(self) -> Quantity:
        """What the order added to (or took from) the position: fills less what the venue took in base as its fee.

        A fee taken in base on a sell has no part in the position: the venue took it from what was sold.
        """
        return self.filled - self.fee_base if self.side is Side.BUY else self.filled

    def canonical(self) -> list[Any]:
        """The fields that make two records the same, in a fixed order, as JSON values."""
        fields = [
            self.order_id, self.role.value, self.signal_id, self.account, self.symbol, self.side.value,
            self.effect.value, self.kind.value, self.state.value, self.reason.value, self.detail,
            str(self.quantity), _text(self.price), _text(self.limit_price), self.leg,
            self.planned_at.isoformat(), self.venue_order_id, _when(self.sent_at), _when(self.acked_at),
            _when(self.ended_at), str(self.filled), str(self.fee_base), str(self.cost), str(self.fee),
            None if self.intent is None else event_to_json(self.intent),
        ]  # fmt: skip
        if self.stop_price is not None or self.cancel is not None:  # orders without count as they always did
            fields += [_text(self.stop_price), None if self.cancel is None else self.cancel.value]
        if self.profit is not None:
            fields.append(_text(self.profit))
        if self.ideal:
            fields.append(f"ideal {self.ideal}")
        return fields

    def digest(self) -> int:
        return digest_of(self.canonical())


def digest_of(body: Any) -> int:
    """A number for some JSON values, of 128 bits."""
    encoded = json.dumps(body, separators=(",", ":")).encode()
    return int.from_bytes(hashlib.sha256(encoded).digest()[:16], "big")


def _text(value: Price | None) -> str | None:
    return None if value is None else str(value)


def _when(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
