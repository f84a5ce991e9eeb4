"""What Coinbase's errors mean for an order: refused for certain, or nothing that can be trusted.

Two kinds: errors of the gateway (4xx, `envelope.Rejection`), and orders that the venue will not take, which are HTTP
200 with `success: false` and up to three fields of reasons. A gateway error counts only when status and word are in
the table. A failed order is the venue's definite word by its shape, unless a reason says that nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from copytrade.domain.reasons import Reason
from copytrade.venues.coinbase.envelope import Rejection

# Windows of one second, so the next one may do; a little more lets several accounts come back apart.
RATE_RETRY_S = 2.0
# Flags of a product change by an operator's hand at Coinbase, not within seconds.
MARKET_RETRY_S = 60.0
LIQUIDITY_RETRY_S = 5.0
_TEXT_MAX = 200


@dataclass(frozen=True, slots=True)
class Refusal:
    """The venue definitely did not take the order (or the read)."""

    reason: Reason
    detail: str = ""
    retry_after_s: float | None = None
    parks_account: bool = False


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Whether the order was taken cannot be told."""

    detail: str


Verdict = Refusal | Ambiguous

_BAD_KEY = Refusal(Reason.BAD_KEY, parks_account=True)
_LIMIT = Refusal(Reason.RATE_LIMITED, retry_after_s=RATE_RETRY_S)
_GATEWAY: dict[tuple[int, str], Refusal] = {
    (400, "invalid_argument"): Refusal(Reason.INVALID_ORDER),
    (401, "unauthorized"): _BAD_KEY,
    (401, "unauthenticated"): _BAD_KEY,
    (403, "permission_denied"): Refusal(Reason.NO_PERMISSION, parks_account=True),
    (404, "not_found"): Refusal(Reason.VENUE_REFUSED),
    # The body of a 429 is not published; these are the words that clients report.
    (429, "rate_limit_exceeded"): _LIMIT,
    (429, "resource_exhausted"): _LIMIT,
}

# In the order in which they are tried, on each reason without its PREVIEW_ or similar prefix.
_FAILURES: tuple[tuple[re.Pattern[str], Refusal], ...] = tuple(
    (re.compile(pattern), refusal)
    for pattern, refusal in (
        (r"INSUFFICIENT_FUNDS?\b|INVALID_LEDGER_BALANCE", Refusal(Reason.INSUFFICIENT_FUNDS)),
        (r"LIMIT_PRICE_POST_ONLY", Refusal(Reason.POST_ONLY_WOULD_FILL)),
        # The price that is to trigger the order has been reached already.
        (r"STOP_PRICE_(ABOVE|BELOW)_LAST_TRADE|INVALID_BRACKET_STOP_TRIGGER_PRICE", Refusal(Reason.VENUE_REFUSED)),
        (r"SIZE_TOO_SMALL", Refusal(Reason.BELOW_MINIMUM)),
        (r"INVALID_PRODUCT_ID|INELIGIBLE_PAIR", Refusal(Reason.NOT_LISTED)),
        (
            r"ORDER_ENTRY_DISABLED|UNTRADABLE_PRODUCT|TRADING_SESSION|VIEW_ONLY|CANCEL_ONLY|LIMIT_ONLY",
            Refusal(Reason.MARKET_CLOSED, retry_after_s=MARKET_RETRY_S),
        ),
        (r"NO_LIQUIDITY", Refusal(Reason.VENUE_REFUSED, retry_after_s=LIQUIDITY_RETRY_S)),
        (r"RATE_LIMIT|TOO_MANY_REQUESTS", _LIMIT),
        (r"^INVALID_|UNSUPPORTED_|NOT_SUPPORTED|STOP_PRICE|TRIGGER_PRICE", Refusal(Reason.INVALID_ORDER)),
    )
)
# These fill a field where there is nothing to say.
_NOTHING = re.compile(r"UNKNOWN_FAILURE_REASON|UNKNOWN_PREVIEW_FAILURE_REASON|PREVIEW_UNKNOWN\w*|UNKNOWN|")
# A reason that may mean our own earlier request, or that the venue itself does not know.
_DOUBTFUL = re.compile(r"DUPLICATE|CLIENT_ORDER_ID|ALREADY|TIMEOUT|TIMED_OUT|UNAVAILABLE|INTERNAL|PENDING|IN_PROGRESS")
# Spot accounts of this kind have no such orders, whatever their prices.
_NO_SUCH_KIND = re.compile(r"UNSUPPORTED_ORDER_CONFIGURATION|INVALID_ORDER_CONFIG|BRACKET_ORDER_NOT_SUPPORTED")
_REASON_FIELDS = ("error", "preview_failure_reason", "new_order_failure_reason")


def classify_rejection(rejection: Rejection) -> Verdict:
    """What an error of the gateway says about the request."""
    known = _GATEWAY.get((rejection.status, rejection.word.lower()))
    if known is None:
        return Ambiguous(f"HTTP {rejection.status}, {rejection.detail}")
    return replace(known, detail=rejection.detail)


def classify_failure(body: Mapping[str, Any]) -> Verdict:
    """What `success: false` says about the order. Without a reason in it, nothing."""
    told = body.get("error_response")
    if not isinstance(told, dict):
        return Ambiguous("a failed order without an error")
    reasons = [told.get(field) for field in _REASON_FIELDS]
    words = [word for word in reasons if isinstance(word, str) and not _NOTHING.fullmatch(word)]
    parts = [*dict.fromkeys(words), *(text for text in (told.get("message"),) if isinstance(text, str) and text)]
    detail = "; ".join(parts)[:_TEXT_MAX]
    if not words or any(_DOUBTFUL.search(word) for word in words):
        return Ambiguous(f"a failed order that may be there all the same: {detail or 'no reason given'}")
    bare = [word.removeprefix("PREVIEW_") for word in words]
    for pattern, refusal in _FAILURES:
        if any(pattern.search(word) for word in bare):
            return replace(refusal, detail=detail)
    return Refusal(Reason.VENUE_REFUSED, detail)


def says_no_such_kind(words: str) -> bool:
    """Whether a refusal's detail, or the errors of a preview, mean that the venue has no such order kind."""
    return _NO_SUCH_KIND.search(words) is not None
