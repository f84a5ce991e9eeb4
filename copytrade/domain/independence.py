"""What is written down of accounts that trade by themselves: since when, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from copytrade.domain.account import AccountId


@dataclass(frozen=True, slots=True)
class IndependenceBegan:
    """From now on the account runs a strategy of its own and is not copied to. It holds nothing that was copied."""

    account: AccountId
    at: datetime


@dataclass(frozen=True, slots=True)
class IndependenceEnded:
    """From now on the account is copied to again. It holds nothing that it bought by itself."""

    account: AccountId
    at: datetime
