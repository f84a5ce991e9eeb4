"""What Alpaca's errors mean for an order: refused for certain, already there, or nothing that can be trusted.

One code stands for many things (40310000 is funds, minimums and suspended accounts alike), some answers have no code,
and the status does not always fit the code, so the message decides. Sources: Alpaca's order pages, the tests and issues
of alpaca-py (260) and Alpaca-API (236, 264), what clients report.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from copytrade.domain.reasons import Reason
from copytrade.venues.alpaca.envelope import Problem

# Whole minutes are counted; a reset further off than that is not about these calls.
RATE_RETRY_MAX_S = 60.0
RATE_RETRY_S = 5.0
# A session opens or a halt ends by the minute, not by the second.
MARKET_RETRY_S = 60.0
# An order on the other side that is in the way is over within moments, or stays for good.
OPPOSITE_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """The venue definitely did not take the order (or the read)."""

    reason: Reason
    detail: str = ""
    retry_after_s: float | None = None
    parks_account: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """The venue has an order under this client id already: an earlier request of ours, under whose id no other goes."""

    detail: str


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """The error does not say whether the order was taken."""

    detail: str


Verdict = Refusal | Known | Ambiguous

# Texts about time, load and the venue's own trouble can follow an order that was taken.
_DOUBTFUL = re.compile(r"time.?out|timed out|unavailable|internal|unknown error|try again|gateway|busy", re.IGNORECASE)
_NOT_UNIQUE = re.compile(r"client_order_id.*(unique|exist|duplicate)|duplicate.*client_order_id", re.IGNORECASE)
_BAD_KEY = re.compile(r"(not|un)\s?authori[sz]ed|forbidden|invalid (api )?key|access key verification", re.IGNORECASE)
# In the order in which they are tried. What matches none keeps the meaning of its code.
_MESSAGES: tuple[tuple[re.Pattern[str], Refusal], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), refusal)
    for pattern, refusal in (
        (r"insufficient scope", Refusal(Reason.NO_PERMISSION, parks_account=True)),
        (r"insufficient (buying power|balance|qty|day trading|quantity|funds)", Refusal(Reason.INSUFFICIENT_FUNDS)),
        # docs.alpaca.markets, "User protection", coins too: nothing is taken that could meet an open order of the same
        # account, and a resting stop could meet anything.
        (r"wash trade", Refusal(Reason.OPPOSITE_ORDER, retry_after_s=OPPOSITE_RETRY_S)),
        (r"minimal|minimum (order|amount|qty|notional)|must be >= ", Refusal(Reason.BELOW_MINIMUM)),
        (r"rejected by user request|suspend|not allowed to trade|trading (is )?(blocked|disabled|restricted)|"
         r"account (is |has been )?(blocked|restricted|closed|disabled)",
         Refusal(Reason.NO_PERMISSION, parks_account=True)),
        # Coins only: stocks of the same account go on.
        (r"crypto orders not allowed|not eligible to trade crypto", Refusal(Reason.NO_PERMISSION)),
        (r"(asset|symbol).*not found|could not find asset|invalid symbol", Refusal(Reason.NOT_LISTED)),
        (r"market hours|market is (closed|not open)|halted|is not (active|tradable)",
         Refusal(Reason.MARKET_CLOSED, retry_after_s=MARKET_RETRY_S)),
    )
)  # fmt: skip


def classify(problem: Problem, venue_unix_s: float) -> Verdict:
    """What an error says about the request. `venue_unix_s`: the venue's time now."""
    detail = problem.detail
    if _NOT_UNIQUE.search(problem.message):
        return Known(detail)
    if problem.status == 429:
        return _rate_limited(problem, venue_unix_s)
    if problem.status not in (400, 401, 403, 404, 422) or _DOUBTFUL.search(problem.message):
        return Ambiguous(detail)
    for pattern, refusal in _MESSAGES:
        if pattern.search(problem.message):
            return Refusal(refusal.reason, detail, refusal.retry_after_s, refusal.parks_account)
    if problem.code // 10_000 == 4011 or (problem.code == 0 and _BAD_KEY.search(problem.message)):
        return Refusal(Reason.BAD_KEY, detail, parks_account=True)
    if problem.code == 0:
        return Ambiguous(detail)  # no code and no words of the trading API's: perhaps not from there
    if problem.status in (400, 422):
        return Refusal(Reason.INVALID_ORDER, detail)
    return Refusal(Reason.VENUE_REFUSED, detail)


def _rate_limited(problem: Problem, venue_unix_s: float) -> Verdict:
    """The limiter's own word names the limit and that nothing is left; any other 429 may follow an order taken."""
    if problem.headers.get("X-Ratelimit-Remaining") != "0":
        return Ambiguous(problem.detail)
    return Refusal(Reason.RATE_LIMITED, problem.detail, retry_after_s=reset_wait_s(problem.headers, venue_unix_s))


def reset_wait_s(headers: Mapping[str, str], venue_unix_s: float) -> float:
    """How long until the limit is full again, within bounds."""
    reset = headers.get("X-Ratelimit-Reset", "")
    if not (reset.isascii() and reset.isdigit()) or len(reset) > 12:
        return RATE_RETRY_S
    return min(max(int(reset) - venue_unix_s, 1.0), RATE_RETRY_MAX_S)
