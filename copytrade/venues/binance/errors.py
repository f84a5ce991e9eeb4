"""What Binance's error codes mean for an order: refused for certain, or nothing that can be trusted.

Codes are those of Binance's errors page. A code is a refusal only when it is in the tables below; everything else
leaves the order unknown, to be looked up by its client order id.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from copytrade.domain.reasons import Reason
from copytrade.venues.binance.envelope import Fault

RATE_RETRY_S = 5.0
# A market is halted and opened by hand at Binance, not within seconds.
MARKET_RETRY_S = 60.0
STATUS_BANNED = 418
BAN_S = 120  # the shortest ban, where the answer does not say how long


class Limit(Enum):
    """Which count of ours the venue's word corrects."""

    WEIGHT = "weight"  # of the address
    ORDERS = "orders"  # of the account


@dataclass(frozen=True, slots=True)
class Refusal:
    """The venue definitely did not take the order (or the read)."""

    reason: Reason
    detail: str = ""
    retry_after_s: float | None = None
    parks_account: bool = False
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """The error does not say whether the order was taken. `passing` is set where asking again may help a read."""

    detail: str
    passing: bool = False


Verdict = Refusal | Ambiguous

_INVALID = Refusal(Reason.INVALID_ORDER)
_BAD_KEY = Refusal(Reason.BAD_KEY, parks_account=True)
_REFUSED = Refusal(Reason.VENUE_REFUSED)
_CODES: dict[int, Refusal] = {
    -1002: Refusal(Reason.NO_PERMISSION, parks_account=True),
    -1003: Refusal(Reason.RATE_LIMITED, retry_after_s=RATE_RETRY_S, limit=Limit.WEIGHT),
    -1013: _INVALID,
    -1015: Refusal(Reason.RATE_LIMITED, retry_after_s=RATE_RETRY_S, limit=Limit.ORDERS),
    -1020: _REFUSED,
    -1021: Refusal(Reason.DEADLINE_ELAPSED, retry_after_s=1.0),
    -1022: _BAD_KEY,
    -1121: Refusal(Reason.NOT_LISTED),
    -2010: _REFUSED,
    -2014: _BAD_KEY,
    # An unknown key, an address that the key is not open to, or a permission that it lacks: Binance does not say which.
    -2015: _BAD_KEY,
}
# All codes of this group are about the request itself, which then never reaches the matching engine.
_REQUEST_CODES = range(-1199, -1099)
# What the engine says with -2010 or a filter with -1013, by a part of the message.
_MESSAGES: dict[int, tuple[tuple[str, Refusal], ...]] = {
    -1013: (
        ("NOTIONAL", Refusal(Reason.BELOW_MINIMUM)),
        ("LOT_SIZE", _INVALID),
        ("MAX_NUM", _REFUSED),
        ("MAX_POSITION", _REFUSED),
    ),
    -2010: (
        ("insufficient balance", Refusal(Reason.INSUFFICIENT_FUNDS)),
        ("Market is closed", Refusal(Reason.MARKET_CLOSED, retry_after_s=MARKET_RETRY_S)),
        ("LOT_SIZE filter minimum", Refusal(Reason.BELOW_MINIMUM)),
        ("would immediately match", Refusal(Reason.POST_ONLY_WOULD_FILL)),
        ("action is disabled on this account", Refusal(Reason.NO_PERMISSION, parks_account=True)),
    ),
}
# "Duplicate order sent": an order under this id is at the venue, most likely our own from an earlier request.
_DOUBTFUL = "duplicate"
_PASSING = frozenset({-1000, -1001, -1006, -1007, -1008, -1016})


def classify(fault: Fault) -> Verdict:
    """What an error says about the request that it answers."""
    detail = str(fault)
    if _DOUBTFUL in fault.message.lower() and fault.code in (-2010, -1013):
        return Ambiguous(detail)
    refusal = _CODES.get(fault.code)
    if refusal is None and fault.code in _REQUEST_CODES:
        refusal = _INVALID
    if refusal is None:
        return Ambiguous(detail, passing=fault.code in _PASSING)
    for part, special in _MESSAGES.get(fault.code, ()):
        if part in fault.message:
            refusal = special
            break
    retry_after_s = refusal.retry_after_s
    if refusal.limit is not None:
        least_s = BAN_S if fault.status == STATUS_BANNED else refusal.retry_after_s
        retry_after_s = least_s if fault.retry_after_s is None else float(max(fault.retry_after_s, 1))
    return replace(refusal, detail=detail, retry_after_s=retry_after_s)
