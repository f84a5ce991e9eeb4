"""What Coinbase allows one account, by our own count and by what its answers say."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from copytrade.venues.budget import DecayCounter, Seconds
from copytrade.venues.coinbase.options import EXIT_RESERVE, CoinbaseOptions

# Coinbase counts by the second; a header that asks for more than a minute is not about these calls.
_WAIT_MAX_S = 60.0
_EPOCH_S = 1e9  # a reset given as a date is above this, one given as a wait far below


class Allowance:
    """The signed calls of one account. Exits may use all of it, everything else leaves them a quarter.

    The headers are `x-ratelimit-limit`, `-remaining` and `-reset` (the names are those of the official SDK; whether
    reset is a wait or a date is not published, and both are read), and `retry-after`.
    """

    def __init__(self, options: CoinbaseOptions, monotonic: Seconds, venue_unix_s: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._venue_unix_s = venue_unix_s
        reserve = options.calls_burst * EXIT_RESERVE
        self._counter = DecayCounter(options.calls_burst, options.calls_per_s, monotonic, reserve=reserve)
        self._not_before = 0.0  # monotonic seconds: nothing leaves before
        self._others_not_before = 0.0  # nothing but exits

    def wait_s(self, *, urgent: bool) -> float:
        """How long until one more call may leave."""
        told = self._not_before if urgent else max(self._not_before, self._others_not_before)
        return max(0.0, told - self._monotonic(), self._counter.wait_s(1, urgent=urgent))

    @property
    def left(self) -> float:
        """The share of the burst that is not used up, 0 to 1."""
        return self._counter.left

    def charge(self) -> None:
        """Count a call that is made."""
        self._counter.charge(1)

    def refused(self, retry_after_s: float) -> None:
        """The venue says that it was too much."""
        self._counter.saturate()
        self._not_before = max(self._not_before, self._monotonic() + min(retry_after_s, _WAIT_MAX_S))

    def observe(self, headers: Mapping[str, str]) -> None:
        """Take note of what an answer says is left."""
        retry_after_s = _number(headers.get("retry-after"))
        if retry_after_s is not None:
            self._not_before = max(self._not_before, self._monotonic() + min(retry_after_s, _WAIT_MAX_S))
        limit, left, reset = (_number(headers.get(f"x-ratelimit-{name}")) for name in ("limit", "remaining", "reset"))
        if limit is None or left is None or reset is None:
            return
        wait_s = reset - self._venue_unix_s() if reset > _EPOCH_S else reset
        until = self._monotonic() + min(max(wait_s, 0.0), _WAIT_MAX_S)
        if left <= limit * EXIT_RESERVE:
            self._others_not_before = max(self._others_not_before, until)
        if left <= 0:
            self._not_before = max(self._not_before, until)


def _number(text: str | None) -> float | None:
    if text is None or not text.isascii() or not text.strip().isdigit() or len(text) > 15:
        return None
    return float(text)
