"""The rules of copying as values, and what is known of a follower when a signal is planned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from copytrade.domain.account import FollowerTerms
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import NO_AMOUNT, NO_QUANTITY, Amount, Price, Quantity
from copytrade.domain.order import OrderKind
from copytrade.domain.reasons import Reason

_MIN_CASH_TO_BUY = Amount(Decimal("5.00"))
_MINIMUM_TRADING_BALANCE = Amount(Decimal("25.00"))


class Basis(StrEnum):
    """What the size of a copy is scaled by."""

    EQUITY = "equity"
    CASH = "cash"


class BelowMinimum(StrEnum):
    """What to do with an entry under the venue's minimum."""

    SKIP = "skip"
    ROUND_UP = "round_up"


@dataclass(frozen=True, slots=True)
class CopyRules:
    """The operator's settings for copying. Amounts are in quote currency, ages and lifetimes in seconds.

    `fee_rate` is the allowance for the venue's taker fee when an entry is held against free cash.
    """

    basis: Basis = Basis.EQUITY
    entry_ttl_s: int = 60
    max_slippage: Decimal = Decimal("0.005")
    below_minimum: BelowMinimum = BelowMinimum.SKIP
    entry_kind: OrderKind = OrderKind.MARKET
    equity_max_age_s: int = 600
    fee_rate: Decimal = Decimal("0.004")
    min_cash_to_buy: Amount = _MIN_CASH_TO_BUY
    minimum_trading_balance: Amount = _MINIMUM_TRADING_BALANCE


@dataclass(frozen=True, slots=True)
class FollowerBook:
    """One follower's account as it stands when a signal is planned.

    `equity` and `cash` were read at `equity_at`, in `currency`; `reserved` is what approved entries since then will
    have taken out of that cash. `position` is the copied position in the signal's instrument, `exposure` the value of
    all copied positions. `unsettled` says that an earlier order in the instrument is not at its end, so that the
    position is not yet known. `unreachable` says why nothing can be sent to the account at all. `instrument` is the
    market that stands for the signal's at this account's venue, `symbol` our spelling of it (the signal's own when
    empty), and `price` what an order would meet there now, as far as it is known.
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
