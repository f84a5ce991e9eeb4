"""Accounts and the terms a follower trades under."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NewType

from copytrade.domain.money import Amount

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


@dataclass(frozen=True, slots=True)
class FollowerTerms:
    """What the operator has set for one follower's account. Amounts are in the account's quote currency.

    `prefer` and `failover` matter to a user with accounts at several venues: which venue an entry goes to when the
    master's own is none of them, and whether it may go to the next one while the first cannot be reached.
    """

    account: AccountId
    name: str = ""
    enabled: bool = True
    mode: Mode = Mode.ACTIVE
    multiplier: Decimal = Decimal(1)
    max_user_risk: Decimal = Decimal("0.10")
    max_order: Amount | None = None
    max_exposure: Amount | None = None
    allowed: frozenset[str] | None = None
    blocked: frozenset[str] = frozenset()
    prefer: tuple[str, ...] = ()
    failover: bool = False
