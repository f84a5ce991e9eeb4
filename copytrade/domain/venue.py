"""What goes to a venue and what comes back, in words that no venue owns.

Sending an order has four outcomes. `Accepted` and `RefusedByVenue` are the venue's word. `NotSent` is proof that no
byte of the order left the process. `Unknown` is everything else, and is never resolved by a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from copytrade.domain.account import AccountId
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import NO_AMOUNT, Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class OrderTicket:
    """An order as it is handed to a venue. `order_id` is the client order id on the wire.

    `limit_price` and `stop_price` are there where the kind has them, both on the instrument's tick. A bracket's limit
    is its profit and its stop the price that triggers its loss.
    """

    order_id: str
    account: AccountId
    instrument: Instrument
    side: Side
    effect: Effect
    kind: OrderKind
    quantity: Quantity
    limit_price: Price | None = None
    stop_price: Price | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue has the order. `sent_at` is when its bytes left, `at` when the answer was read."""

    venue_order_id: str
    sent_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class RefusedByVenue:
    """The venue definitely does not have the order.

    `retry_after_s` is set where the same order may well be taken later (rate limit, closed market).
    `parks_account` is set where nothing of this account can succeed until somebody acts (bad key, lockout);
    with `parks_for_s` the account may be tried again by itself after so long.
    """

    reason: Reason
    detail: str
    at: datetime
    sent_at: datetime | None = None
    retry_after_s: float | None = None
    parks_account: bool = False
    parks_for_s: int | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the order left: the connection could not be made. Sending again is safe."""

    detail: str
    at: datetime
    retry_after_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Unknown:
    """Bytes left and no answer came that can be trusted.

    Before `absent_after` a look-up that finds nothing proves nothing: the order may still be on its way.
    """

    detail: str
    sent_at: datetime
    at: datetime
    absent_after: datetime


PlaceOutcome = Accepted | RefusedByVenue | NotSent | Unknown


class ExecutionStatus(StrEnum):
    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Execution:
    """How far an order has come at the venue: totals so far, not increments.

    `quantity` is the executed volume in base units, `cost` its value in the quote currency, `fee` what the venue took
    in the quote currency, `fee_base` what it took out of the base asset instead. `expired` says that nobody cancelled
    it: the venue ended it because its time was up.
    """

    venue_order_id: str
    status: ExecutionStatus
    quantity: Quantity
    cost: Amount
    fee: Amount
    at: datetime
    fee_base: Quantity = field(default_factory=lambda: Quantity(Decimal(0)))
    detail: str = ""
    expired: bool = False


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue lists it, whoever placed it. Totals so far, not increments.

    `client_order_id` is empty where the order has none. `symbol` is our spelling, `quantity` is in base units: what is
    still to be known of an order by value is reckoned from its fills, and is what has filled so far. `created_at` is
    when the venue took the order, `at` when this was so, and `ended_at` when the venue ended it, where an order is
    changed by cancelling it for a new one (with an id of its own) and that moment is told.
    """

    venue_order_id: str
    client_order_id: str
    symbol: str
    side: Side
    kind: OrderKind
    quantity: Quantity
    limit_price: Price | None
    stop_price: Price | None
    status: ExecutionStatus
    filled: Quantity
    cost: Amount
    fee: Amount
    created_at: datetime
    at: datetime
    fee_base: Quantity = field(default_factory=lambda: Quantity(Decimal(0)))
    ended_at: datetime | None = None

    @property
    def execution(self) -> Execution:
        """How far it has come."""
        return Execution(
            self.venue_order_id, self.status, self.filled, self.cost, self.fee, self.at, self.fee_base
        )


@dataclass(frozen=True, slots=True)
class Balances:
    """An account's money at one moment, in `currency`.

    `equity` is cash plus positions at current prices, `cash` what is free to spend, `holdings` the whole balance of
    each asset by its plain name (`BTC`), held amounts included.
    """

    currency: str
    equity: Amount
    cash: Amount
    holdings: Mapping[str, Decimal]
    at: datetime
    held: Amount = NO_AMOUNT


@dataclass(frozen=True, slots=True)
class Quote:
    """The best prices of one instrument at `at`."""

    symbol: str
    bid: Price
    ask: Price
    at: datetime

    def side_price(self, side: Side) -> Price:
        """What an order of this side would pay or get now."""
        return self.ask if side is Side.BUY else self.bid


@dataclass(frozen=True, slots=True)
class KeyReport:
    """What an API key may do. `problems` refuse the account, `warnings` are shown."""

    account: AccountId
    permissions: tuple[str, ...]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
