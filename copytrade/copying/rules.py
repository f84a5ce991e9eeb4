"""The rules of copying as values, and what is known of a follower when a signal is planned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from copytrade.domain.account import FollowerTerms
from copytrade.domain.instrument import Instrument
from copytrade.domain.limits import Carry, Trip
from copytrade.domain.money import NO_AMOUNT, NO_QUANTITY, Amount, Price, Quantity
from copytrade.domain.order import OrderKind
from copytrade.domain.reasons import Reason

_MIN_CASH_TO_BUY = Amount(Decimal("5.00"))
_MINIMUM_TRADING_BALANCE = Amount(Decimal("25.00"))
ALL_KINDS = frozenset(OrderKind)


class Basis(StrEnum):
    """What the size of a copy is scaled by."""

    EQUITY = "equity"
    CASH = "cash"


class BelowMinimum(StrEnum):
    """What to do with an entry under the venue's minimum."""

    SKIP = "skip"
    ROUND_UP = "round_up"
    CARRY = "carry"  # kept for the next signal of the same instrument


class OnMasterFill(StrEnum):
    """What becomes of a copy that still rests when the master's order has filled. An exit is always chased."""

    LEAVE = "leave"
    CHASE = "chase"  # cancelled, and what is missing bought at once, within `max_slippage` of the master's fill
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class CopyRules:
    """The operator's settings for copying. Amounts are in quote currency, ages and lifetimes in seconds.

    `fee_rate` is the allowance for the venue's taker fee when an entry is held against free cash. `stop_limit_gap`
    is how far beyond its stop a stop-limit order may fill that stands for a stop order, as a share of the price.
    What is carried is taken up while the price is within `carry_price_bound` of its own, a share as well.
    """

    basis: Basis = Basis.EQUITY
    entry_ttl_s: int = 60
    max_slippage: Decimal = Decimal("0.005")
    below_minimum: BelowMinimum = BelowMinimum.SKIP
    entry_kind: OrderKind = OrderKind.MARKET
    equity_max_age_s: int = 600
    fee_rate: Decimal = Decimal("0.004")
    stop_limit_gap: Decimal = Decimal("0.01")
    on_master_fill: OnMasterFill = OnMasterFill.CHASE
    master_fill_grace_s: float = 5.0
    min_cash_to_buy: Amount = _MIN_CASH_TO_BUY
    minimum_trading_balance: Amount = _MINIMUM_TRADING_BALANCE
    carry_price_bound: Decimal = Decimal("0.02")
    carry_max_age_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class FollowerBook:
    """One follower's account as it stands when a signal is planned.

    `equity` and `cash` were read at `equity_at`, in `currency`; `reserved` is what approved entries since then will
    have taken out of that cash. `position` is the copied position in the signal's instrument, `exposure` the value of
    all copied positions. `unsettled` says that an earlier order in the instrument is not at its end, so that the
    position is not yet known. `unreachable` says why nothing can be sent to the account at all. `instrument` is the
    market that stands for the signal's at this account's venue, `symbol` our spelling of it (the signal's own when
    empty), `market_known` says that it was looked for in the venue's list and not only in one that has yet to be read,
    and `price` is what an order would meet there now, as far as it is known. `kinds` are the orders that the
    venue has in that market.

    Where the signal is about orders that the account has copies of already (its family), `wanted` is what these were
    to come to in all and `chained` what of it has filled.

    `trip` is a limit that has tripped, `instruments` how many other markets the account holds or is entering. `carried`
    is what earlier signals of the instrument left over; unless `may_carry`, it is left alone and nothing is added.
    `alone` says that the account trades by itself: what it holds was not copied.
    """

    terms: FollowerTerms
    instrument: Instrument | None
    currency: str = "USD"
    equity: Amount | None = None
    cash: Amount | None = None
    equity_at: datetime | None = None
    reserved: Amount = NO_AMOUNT
    position: Quantity = NO_QUANTITY
    exposure: Amount = NO_AMOUNT
    unsettled: bool = False
    unreachable: tuple[Reason, str] | None = None
    price: Price | None = None
    symbol: str = ""
    market_known: bool = True
    kinds: frozenset[OrderKind] = ALL_KINDS
    wanted: Quantity = NO_QUANTITY
    chained: Quantity = NO_QUANTITY
    trip: Trip | None = None
    instruments: int = 0
    carried: Carry | None = None
    may_carry: bool = True
    alone: bool = False
