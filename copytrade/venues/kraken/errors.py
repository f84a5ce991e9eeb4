"""What Kraken's error texts mean for an order: refused for certain, or nothing that can be trusted.

The texts are `<E|W><Category>:<Message>[:<detail>]` (docs.kraken.com, "Spot errors"). A text is a refusal only when
it is in the tables below; everything else leaves the order unknown, to be looked up by its client order id.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from copytrade.domain.reasons import Reason

# How long Kraken locks a key out is not documented; reports say fifteen minutes, and probing makes it longer.
LOCKOUT_S = 900
# "Restricted for seconds" after the limit; half of that is asked again for nothing.
RATE_RETRY_S = 5.0
# A market mode changes by an operator's hand at Kraken, not within seconds.
MARKET_RETRY_S = 60.0
_THROTTLE_MAX_S = 60.0
_TEXT_MAX = 200


class Limit(Enum):
    """Which counter of ours the venue's word corrects."""

    REST = "rest"
    TRADING = "trading"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The venue definitely did not take the order (or the read)."""

    reason: Reason
    detail: str = ""
    retry_after_s: float | None = None
    parks_account: bool = False
    parks_for_s: int | None = None
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """The errors do not say whether the order was taken. `passing` is set where asking again may help a read."""

    detail: str
    passing: bool = False


Verdict = Refusal | Ambiguous

_BAD_KEY = Refusal(Reason.BAD_KEY, parks_account=True)
_LIMIT = Refusal(Reason.RATE_LIMITED, retry_after_s=RATE_RETRY_S, limit=Limit.REST)
_INVALID = Refusal(Reason.INVALID_ORDER)
_REFUSED = Refusal(Reason.VENUE_REFUSED)
_TOO_SMALL = Refusal(Reason.BELOW_MINIMUM)
_NO_FUNDS = Refusal(Reason.INSUFFICIENT_FUNDS)

# In the order in which they are tried; each matches the text itself and the text with a detail after a colon.
_TABLE: tuple[tuple[str, Refusal], ...] = (
    ("EAPI:Invalid key", _BAD_KEY),
    ("EAPI:Invalid signature", _BAD_KEY),
    ("EAPI:Invalid nonce", Refusal(Reason.BAD_NONCE)),
    ("EAPI:Rate limit exceeded", _LIMIT),
    ("EAPI:Feature disabled", _REFUSED),
    ("EGeneral:Permission denied", Refusal(Reason.NO_PERMISSION, parks_account=True)),
    ("EGeneral:Temporary lockout", Refusal(Reason.LOCKED_OUT, parks_account=True, parks_for_s=LOCKOUT_S)),
    # It was sent well ahead of its deadline, and Kraken wants two seconds of that to be left: so it came late.
    ("EGeneral:Invalid arguments:deadline", Refusal(Reason.DEADLINE_ELAPSED, retry_after_s=1.0)),
    ("EGeneral:Invalid arguments", _INVALID),
    ("EGeneral:Unknown method", _REFUSED),
    # A country where this one market may not be traded; the account's other markets go on (ccxt issue 26987).
    ("EAccount:Invalid permissions", _REFUSED),
    ("EService:Deadline elapsed", Refusal(Reason.DEADLINE_ELAPSED, retry_after_s=1.0)),
    ("EQuery:Unknown asset pair", Refusal(Reason.NOT_LISTED)),
    ("EQuery:Unknown asset", Refusal(Reason.NOT_LISTED)),
    ("EOrder:Insufficient funds", _NO_FUNDS),
    ("EOrder:Insufficient margin", _NO_FUNDS),
    ("EOrder:Order minimum not met", _TOO_SMALL),
    ("EOrder:Cost minimum not met", _TOO_SMALL),
    ("EOrder:Post only order", Refusal(Reason.POST_ONLY_WOULD_FILL)),
    ("EOrder:Tick size check failed", _INVALID),
    ("EOrder:Invalid price", _INVALID),
    ("EOrder:Rate limit exceeded", Refusal(Reason.RATE_LIMITED, retry_after_s=RATE_RETRY_S, limit=Limit.TRADING)),
    ("EOrder:Domain rate limit exceeded", Refusal(Reason.RATE_LIMITED, retry_after_s=RATE_RETRY_S)),
)
_MARKET_MODE = re.compile(r"EService:Market in \w+ mode")
_THROTTLED = re.compile(r"EService:Throttled(?::(\d{1,12}))?:?")
# Texts of these two families are refusals even when they are new to us, but for the exceptions below.
_REFUSING_FAMILIES = ("EOrder:", "EQuery:")
# The exact text for a repeated `cl_ord_id` is not documented. Any text that may be it can mean that our own earlier
# request is at the venue, and those about time and load can follow an order that was taken.
_DOUBTFUL = re.compile(
    r"duplicate|cl_?ord_?id|timeout|timed out|unavailable|busy|internal|unknown error|try again", re.IGNORECASE
)
_PASSING = re.compile(r"EService:(Unavailable|Busy|Timeout)|EGeneral:(Internal error|Too many requests)", re.IGNORECASE)


def split(entries: Sequence[str]) -> tuple[list[str], list[str]]:
    """The errors and the warnings of an envelope. What does not begin with `W` counts as an error."""
    return [text for text in entries if not text.startswith("W")], [text for text in entries if text.startswith("W")]


def classify(errors: Sequence[str], venue_unix_s: float) -> Verdict:
    """What a non-empty list of errors (without warnings) says about the request.

    One doubtful text makes the whole list ambiguous. Of several refusals the one that parks the account counts, or
    else the first. `venue_unix_s` is the venue's time now: `Throttled` names the moment it ends.
    """
    detail = "; ".join(errors)[:_TEXT_MAX]
    refusals: list[Refusal] = []
    for text in errors:
        refusal = _refusal(text, venue_unix_s)
        if refusal is None:
            return Ambiguous(detail, passing=all(_PASSING.match(_tidy(each)) for each in errors))
        refusals.append(refusal)
    chosen = next((refusal for refusal in refusals if refusal.parks_account), refusals[0])
    return Refusal(chosen.reason, detail, chosen.retry_after_s, chosen.parks_account, chosen.parks_for_s, chosen.limit)


def _refusal(text: str, venue_unix_s: float) -> Refusal | None:
    text = _tidy(text)
    if _DOUBTFUL.search(text):
        return None
    for known, refusal in _TABLE:
        if text == known or text.startswith(known + ":"):
            return refusal
    if _MARKET_MODE.fullmatch(text):
        return Refusal(Reason.MARKET_CLOSED, retry_after_s=MARKET_RETRY_S)
    if throttled := _THROTTLED.fullmatch(text):
        left_s = float(throttled[1]) - venue_unix_s if throttled[1] else RATE_RETRY_S
        return Refusal(Reason.RATE_LIMITED, retry_after_s=min(max(left_s, 1.0), _THROTTLE_MAX_S), limit=Limit.REST)
    return _REFUSED if text.startswith(_REFUSING_FAMILIES) else None


def _tidy(text: str) -> str:
    """Both spellings of `EService: Throttled` and the like as one."""
    return re.sub(r"\s*:\s*", ":", text.strip())
