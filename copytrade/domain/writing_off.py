"""What is written down when the owner of an account has sold or taken away what was copied to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from copytrade.domain.account import AccountId
from copytrade.domain.money import Quantity
from copytrade.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class PositionWrittenOff:
    """So much of a copied position is no longer at the venue, and counts as copied no more. `quantity` is of the base
    asset, above zero and at most the position; `detail` says what was seen there, and who decided."""

    account: AccountId
    symbol: str
    quantity: Quantity
    reason: Reason
    at: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class WrittenOff:
    """The same as the live state remembers it. `after` is the number of signals that the ledger held by then: what
    they led to comes before it, and what any later one leads to after it."""

    after: int
    symbol: str
    quantity: Quantity
    at: datetime
