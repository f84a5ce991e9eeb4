"""A signal: what the master did, as a fact, with how things stood just before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from copytrade.domain.account import AccountId
from copytrade.domain.money import NO_QUANTITY, Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, Side


class SignalKind(StrEnum):
    """What the master did. The last three are no acts of the master's: somebody's position is put right."""

    PLACED = "placed"
    AMENDED = "amended"  # placed in the stead of an order that was taken back
    CANCELLED = "cancelled"  # a resting order ended before it was filled in whole
    FILLED = "filled"  # a resting order was filled in whole
    FLATTEN = "flatten"  # the operator takes followers out
    REPAIR = "repair"  # one follower's position is brought back to what the master's implies
    JOIN = "join"  # one follower takes up what the master holds already

    @property
    def follows_up(self) -> bool:
        """Whether it tells the end of an order that an earlier signal told the beginning of."""
        return self in (SignalKind.CANCELLED, SignalKind.FILLED)


@dataclass(frozen=True, slots=True)
class Signal:
    """One act of the master.

    `price` is the price the master saw when it placed the order; followers' sizes, minimums and slippage are
    reckoned from it. `equity_before` and `cash_before` are the master's, in its quote currency, before the order.
    `exit_fraction` is the share of its position that an exit closes, 0 < fraction <= 1, and 0 for an entry.

    `limit_price` and `stop_price` are those of the master's order. Orders that replace each other are one family:
    `replaces` is the id of the first of them, empty for that one itself. `filled` is what the family had filled when
    this happened. `target` names the only account that is meant, where not everybody is.

    A follower that joins late pays no more than `limit_price`, where its signal has one: the master's average.
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
    limit_price: Price | None = None
    stop_price: Price | None = None
    replaces: str = ""
    filled: Quantity = NO_QUANTITY
    target: str = ""

    @property
    def family(self) -> str:
        """The id that the master's orders have in common which replaced each other."""
        return self.replaces or self.master_order_id

    @property
    def own_size(self) -> bool:
        """Whether `quantity` is what the one account lacks, and not the master's that its share is made of."""
        return self.kind is SignalKind.REPAIR or (self.kind is SignalKind.JOIN and self.equity_before is None)
