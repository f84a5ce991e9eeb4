"""Requests a second: 30 by account for signed calls, 10 by address for public ones.

Coinbase's older rate-limit page gives these figures; today's are not published for Advanced Trade. The headers are
the ones that the official SDK reads; `x-ratelimit-reset` counts the seconds until the window is over.
"""

from __future__ import annotations

import math

PRIVATE_PER_S = 30
NAMES_MAX = 20_000  # accounts or addresses with a window; then the windows start afresh


class Windows:
    """A fixed window of one second for each name."""

    def __init__(self, per_s: int) -> None:
        if per_s < 1:
            raise ValueError(f"the limit is {per_s} requests a second: give at least 1")
        self.per_s = per_s
        self._counts: dict[str, tuple[int, int]] = {}

    def take(self, name: str, now_s: float) -> tuple[bool, dict[str, str]]:
        """Count one request; says whether it is allowed, and the headers that go with the answer."""
        window = math.floor(now_s)
        if len(self._counts) >= NAMES_MAX:
            self._counts.clear()
        begun, used = self._counts.get(name, (window, 0))
        if begun != window:
            used = 0
        allowed = used < self.per_s
        used += allowed
        self._counts[name] = (window, used)
        headers = {
            "x-ratelimit-limit": str(self.per_s),
            "x-ratelimit-remaining": str(self.per_s - used),
            "x-ratelimit-reset": str(max(1, math.ceil(window + 1 - now_s))),
        }
        return allowed, headers
