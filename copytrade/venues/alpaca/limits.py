"""Requests a minute of one account: by our own count, and by what Alpaca's answers say is left."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping

from copytrade.venues.alpaca.errors import reset_wait_s
from copytrade.venues.budget import Seconds

_SPAN_S = 60


class MinuteBudget:
    """Never more than the limit within any sixty seconds, so it holds whichever sixty the venue counts.

    Args:
        limit: requests a minute; the header `X-Ratelimit-Limit` replaces it (paid plans have more).
        monotonic: seconds that only rise.
        venue_unix_s: the venue's time, in which it says when the limit is full again.
    """

    __slots__ = ("_limit", "_monotonic", "_sent", "_told_left", "_told_until", "_unix_s", "_used")

    def __init__(self, limit: int, monotonic: Seconds, venue_unix_s: Callable[[], float]) -> None:
        self._limit = limit
        self._monotonic = monotonic
        self._unix_s = venue_unix_s
        self._sent: deque[list[int]] = deque()  # [second, how many], at most one entry for each of sixty-one seconds
        self._used = 0
        self._told_left = 0
        self._told_until = 0.0

    def wait_s(self, share: float) -> float:
        """How long until one more request fits into this share of the limit; 0 when it fits now."""
        now = self._monotonic()
        self._forget(now)
        room = max(1, int(self._limit * share))
        told_s = 0.0
        if now < self._told_until and self._told_left <= self._limit - room:
            told_s = self._told_until - now
        over = self._used + 1 - room
        if over <= 0:
            return told_s
        for second, count in self._sent:
            over -= count
            if over <= 0:
                return max(told_s, second + _SPAN_S + 1 - now)
        return max(told_s, float(_SPAN_S))

    @property
    def left(self) -> float:
        """The share of the minute's requests that is not used up, 0 to 1."""
        now = self._monotonic()
        self._forget(now)
        told = self._told_left if now < self._told_until else self._limit
        return max(0.0, min(self._limit - self._used, told) / self._limit)

    def charge(self) -> None:
        """Count a request that is made."""
        second = math.floor(self._monotonic())
        if self._sent and self._sent[-1][0] >= second:
            self._sent[-1][1] += 1
        else:
            self._sent.append([second, 1])
        self._used += 1
        self._told_left -= 1

    def observe(self, headers: Mapping[str, str]) -> None:
        """Take over what an answer says; it knows of other programs with the same account."""
        limit, left = (headers.get(f"X-Ratelimit-{name}", "") for name in ("Limit", "Remaining"))
        if not all(text.isascii() and text.isdigit() and len(text) <= 6 for text in (limit, left)):
            return
        self._limit = max(int(limit), 1)
        self._told_left = int(left)
        self._told_until = self._monotonic() + reset_wait_s(headers, self._unix_s())

    def refused(self, retry_after_s: float) -> None:
        """The venue says that it was too much."""
        self._told_left = 0
        self._told_until = max(self._told_until, self._monotonic() + retry_after_s)

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0][0] + _SPAN_S + 1 <= now:
            self._used -= self._sent.popleft()[1]
