"""What OKX's error codes mean for an order: refused for certain, or nothing that can be trusted.

Codes are text of five digits (OKX's v5 error code pages). A code is a refusal only when it is in the tables below, or
when it is one of the order family (`51...`) in the row of an order that has no id. Everything else leaves the order
unknown, to be looked up by its client order id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from copytrade.domain.reasons import Reason

# The limits are counted over two seconds.
RATE_RETRY_S = 2.0
_TEXT_MAX = 200


@dataclass(frozen=True, slots=True)
class Refusal:
    """The venue definitely did not take the order (or the read)."""

    reason: Reason
    detail: str = ""
    retry_after_s: float | None = None
    parks_account: bool = False
    doubts_clock: bool = False


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """The code does not say whether the order was taken. `passing` is set where asking again may help a read."""

    detail: str
    passing: bool = False


Verdict = Refusal | Ambiguous

_BAD_KEY = Refusal(Reason.BAD_KEY, parks_account=True)
_NO_PERMISSION = Refusal(Reason.NO_PERMISSION, parks_account=True)
_LIMITED = Refusal(Reason.RATE_LIMITED, retry_after_s=RATE_RETRY_S)
_INVALID = Refusal(Reason.INVALID_ORDER)
_TOO_SMALL = Refusal(Reason.BELOW_MINIMUM)
_NO_FUNDS = Refusal(Reason.INSUFFICIENT_FUNDS)
# By a wrong clock or a slow way there, and definitely not processed: the clock is read anew before the next try.
_LATE = Refusal(Reason.DEADLINE_ELAPSED, retry_after_s=1.0, doubts_clock=True)

_TABLE: dict[str, Refusal] = {
    "50000": _INVALID,
    "50002": _INVALID,
    "50006": _INVALID,
    "50011": _LIMITED,
    "50014": _INVALID,
    "50015": _INVALID,
    "50024": _INVALID,
    "50030": _NO_PERMISSION,
    "50035": _NO_PERMISSION,
    "50036": _LATE,
    "50037": _LATE,
    "50040": _LIMITED,
    "50061": _LIMITED,
    "50100": _BAD_KEY,
    "50101": _BAD_KEY,
    "50102": _LATE,
    "50103": _BAD_KEY,
    "50104": _BAD_KEY,
    "50105": _BAD_KEY,
    "50106": _BAD_KEY,
    "50107": _BAD_KEY,
    "50110": _NO_PERMISSION,
    "50111": _BAD_KEY,
    "50112": _BAD_KEY,
    "50113": _BAD_KEY,
    "50114": _BAD_KEY,
    "50119": _BAD_KEY,
    "50120": _NO_PERMISSION,
    "50122": _TOO_SMALL,
    "51000": _INVALID,
    "51001": Refusal(Reason.NOT_LISTED),
    "51005": _INVALID,
    "51006": Refusal(Reason.VENUE_REFUSED),
    "51008": _NO_FUNDS,
    "51020": _TOO_SMALL,
    "51024": Refusal(Reason.LOCKED_OUT, parks_account=True),
    "51121": _INVALID,
    # The price that is to trigger the order has been reached already.
    "51277": Refusal(Reason.VENUE_REFUSED),
    "51278": Refusal(Reason.VENUE_REFUSED),
    "51279": Refusal(Reason.VENUE_REFUSED),
    "51280": Refusal(Reason.VENUE_REFUSED),
}
# A repeated client id means that our own earlier request may be at the venue: never a refusal.
# `51065`, `51068`: the same of orders that wait for a price.
DUPLICATES = frozenset({"50071", "51011", "51016", "51065", "51068"})
# `50004`: "does not mean success or failure". `50001`, `50013`, `50026`: the system is busy, down or at fault.
_PASSING = frozenset({"50001", "50004", "50013", "50026"})
# New texts of the order family that can follow an order which was taken.
_DOUBTFUL = re.compile(
    r"duplicate|exist|time.?out|timed out|unavailable|busy|internal|system|unknown|try again|clordid|client order",
    re.IGNORECASE,
)
NOT_THERE = frozenset({"51603"})
# "Filled, cancelled or does not exist", "already being cancelled": what a cancel was to bring about.
CANCEL_IS_OVER = frozenset({"51400", "51410", "51603"})
# Why OKX cancelled an order (`cancelSource`): it was to be a maker and would have taken.
WOULD_HAVE_FILLED = "31"


def classify(code: str, message: str, *, row: bool = False) -> Verdict:
    """What a code other than `0` says. `row`: it stood in the row of an order that has no order id."""
    detail = f"{code} {message}"[:_TEXT_MAX]
    known = _TABLE.get(code)
    if known is not None:
        return Refusal(known.reason, detail, known.retry_after_s, known.parks_account, known.doubts_clock)
    if row and code not in DUPLICATES and _is_order_code(code) and not _DOUBTFUL.search(message):
        return Refusal(Reason.VENUE_REFUSED, detail)
    return Ambiguous(detail, passing=code in _PASSING)


def _is_order_code(code: str) -> bool:
    return len(code) == 5 and code.isascii() and code.isdigit() and code.startswith("51")
