"""Limits that act: what trips, what happens then, and the figures of an account that they are judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.money import Amount, Price, Quantity, plain


class LimitName(StrEnum):
    """A limit of a follower, by its name in the settings."""

    MAX_ORDER = "max_order"
    MAX_EXPOSURE = "max_exposure"
    MAX_POSITIONS = "max_positions"
    MAX_DAILY_LOSS = "max_daily_loss"
    MAX_DRAWDOWN = "max_drawdown"
    MIN_EQUITY = "min_equity"


class LimitAction(StrEnum):
    """What a limit does once it has tripped."""

    BLOCK = "block"  # no entries
    FLATTEN = "flatten"  # no entries, and what was copied is closed


class Rearm(StrEnum):
    """When a limit that has tripped lets entries through again."""

    NEXT_DAY = "next_day"  # UTC
    BY_HAND = "by_hand"


@dataclass(frozen=True, slots=True)
class ActingLimit:
    """One limit as it is set: an amount of the account's currency, or a share, one of the two."""

    amount: Amount | None = None
    share: Decimal | None = None
    action: LimitAction = LimitAction.BLOCK
    rearm: Rearm = Rearm.NEXT_DAY


@dataclass(frozen=True, slots=True)
class Trip:
    """A limit that has tripped and was not armed again."""

    limit: LimitName
    detail: str
    action: LimitAction
    rearm: Rearm
    at: datetime


@dataclass(frozen=True, slots=True)
class Mark:
    """What an account's losses are counted from. Amounts are in its quote currency.

    `start` is the first equity read on `day` (UTC), `flows` what was paid in since (negative: taken out). `base` and
    `high_water` are the day's first and the highest equity ever read, moved by each payment in the same proportion as
    it moved the equity, so that a payment makes neither a loss nor a gain. `holdings` is what the account ought to
    hold of each asset: as read when this was marked, and changed by our own fills since.
    """

    day: str
    start: Amount
    base: Amount
    flows: Amount
    high_water: Amount
    holdings: Mapping[str, Decimal]
    at: datetime


@dataclass(frozen=True, slots=True)
class Carry:
    """Entries under the venue's minimum that wait for company: so much of the master's `symbol`, at this price on
    average, the oldest of it from `since`. A quantity of zero says that nothing is kept any more."""

    symbol: str
    quantity: Quantity
    price: Price
    since: datetime


@dataclass(frozen=True, slots=True)
class EquityMarked:
    """An account's losses are counted from these figures from now on."""

    account: AccountId
    day: str
    start: Amount
    base: Amount
    flows: Amount
    high_water: Amount
    holdings: Mapping[str, Decimal]
    at: datetime


@dataclass(frozen=True, slots=True)
class LimitTripped:
    """No entries of this account until the limit is armed again."""

    account: AccountId
    limit: LimitName
    detail: str
    action: LimitAction
    rearm: Rearm
    at: datetime


@dataclass(frozen=True, slots=True)
class LimitRearmed:
    """The limit lets entries through again. Where `equity` is known, its losses are counted from that anew."""

    account: AccountId
    limit: LimitName
    by: str
    equity: Amount | None
    at: datetime


def carry_to_json(carry: Carry) -> dict[str, Any]:
    return {
        "symbol": carry.symbol, "quantity": str(carry.quantity), "price": str(carry.price),
        "since": carry.since.isoformat(),
    }  # fmt: skip


def carry_from_json(body: dict[str, Any]) -> Carry:
    """The inverse. Raises `KeyError`, `ValueError` or `TypeError`."""
    return Carry(
        body["symbol"], Quantity.of(body["quantity"]), Price.of(body["price"]), datetime.fromisoformat(body["since"])
    )


def holdings_to_json(holdings: Mapping[str, Decimal]) -> dict[str, str]:
    return {asset: plain(holdings[asset]) for asset in sorted(holdings)}


def holdings_from_json(body: dict[str, str]) -> dict[str, Decimal]:
    """The inverse. Raises `ValueError` or `TypeError`."""
    return {str(asset): Amount.of(quantity).value for asset, quantity in body.items()}
