"""Accounts and the terms a follower trades under."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, NewType

from copytrade.domain.money import Amount

if TYPE_CHECKING:
    from copytrade.domain.limits import ActingLimit

AccountId = NewType("AccountId", str)
"""`<venue>:<user_id>`, for example `kraken:alice_smith`."""

MASTER_USER = "master"


def account_id(venue: str, user_id: str) -> AccountId:
    return AccountId(f"{venue}:{user_id}")


def venue_of(account: AccountId) -> str:
    return account.partition(":")[0]


def user_of(account: AccountId) -> str:
    return account.partition(":")[2]


class Mode(StrEnum):
    """What flows to a follower."""

    ACTIVE = "active"
    CLOSE_ONLY = "close_only"
    PAUSED = "paused"
    DISARMED = "disarmed"
    INDEPENDENT = "independent"  # nothing is copied: the account runs a strategy of its own


class LateJoin(StrEnum):
    """Whether a follower takes up what the master holds already when it joins."""

    NONE = "none"
    BETTER_PRICE_ONLY = "better_price_only"  # than the master has paid on average
    FULL = "full"


class OnLeave(StrEnum):
    """What becomes of the copied positions of a follower that is disabled or taken out of the user files."""

    KEEP = "keep"  # they follow the master out
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class FollowerTerms:
    """What the operator has set for one follower's account. Amounts are in the account's quote currency.

    `prefer` and `failover` matter to a user with accounts at several venues: which venue an entry goes to when the
    master's own is none of them, and whether it may go to the next one while the first cannot be reached. `modes` are
    those of single instruments, by our spelling of them.
    """

    account: AccountId
    name: str = ""
    enabled: bool = True
    mode: Mode = Mode.ACTIVE
    multiplier: Decimal = Decimal(1)
    max_user_risk: Decimal = Decimal("0.10")
    max_order: Amount | None = None
    max_exposure: Amount | None = None
    max_positions: int | None = None
    max_daily_loss: ActingLimit | None = None
    max_drawdown: ActingLimit | None = None
    min_equity: ActingLimit | None = None
    modes: Mapping[str, Mode] = field(default_factory=dict, hash=False)
    allowed: frozenset[str] | None = None
    blocked: frozenset[str] = frozenset()
    prefer: tuple[str, ...] = ()
    failover: bool = False
    late_join: LateJoin = LateJoin.NONE
    on_leave: OnLeave = OnLeave.KEEP

    def mode_of(self, symbols: Iterable[str]) -> tuple[Mode, str]:
        """The strictest mode that is set for one of these spellings of an instrument, and the spelling; `ACTIVE` and
        no spelling where there is none."""
        found, name = Mode.ACTIVE, ""
        for symbol in symbols if self.modes else ():
            mode = self.modes.get(symbol, Mode.ACTIVE)
            if _STRICTNESS.index(mode) > _STRICTNESS.index(found):
                found, name = mode, symbol
        return found, name


_STRICTNESS = tuple(Mode)
