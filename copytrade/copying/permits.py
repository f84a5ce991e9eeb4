"""Whether a follower's terms let an entry through: what the operator has set for it, and nothing else. Pure."""

from __future__ import annotations

from collections.abc import Collection

from copytrade.domain.account import FollowerTerms, Mode
from copytrade.domain.reasons import Reason

MODE_REASONS = {
    Mode.CLOSE_ONLY: Reason.MODE_CLOSE_ONLY,
    Mode.PAUSED: Reason.MODE_PAUSED,
    Mode.DISARMED: Reason.MODE_DISARMED,
    Mode.INDEPENDENT: Reason.INDEPENDENT,
}
"""What is said of an entry that a mode stops."""


def withheld(
    terms: FollowerTerms, symbols: Collection[str], *, left: bool = False, own: Mode = Mode.ACTIVE
) -> tuple[Reason, str] | None:
    """Why no entry in an instrument may leave by these terms, with a detail; None where it may.

    `symbols` are all spellings of the instrument. `left`: the account is in no user file any more. `own` is the mode in
    which such entries flow: `INDEPENDENT` for those that an account places by itself.
    """
    if left:
        return Reason.NO_LONGER_ENROLLED, ""
    if not terms.enabled:
        return Reason.DISABLED, ""
    if terms.mode is not own:
        return MODE_REASONS.get(terms.mode, Reason.MODE_CLOSE_ONLY), ""
    mode, name = terms.mode_of(symbols)
    if mode is not Mode.ACTIVE:
        return Reason.INSTRUMENT_MODE, f"{name} is {mode}"
    if not allowed(terms, symbols):
        return Reason.NOT_ALLOWED, ", ".join(sorted(set(symbols)))
    return None


def allowed(terms: FollowerTerms, symbols: Collection[str]) -> bool:
    """By the follower's own lists, under any of these spellings."""
    names = set(symbols)
    return not names & terms.blocked and (terms.allowed is None or bool(names & terms.allowed))
