"""Alpaca's rate limit: so many requests a minute and account, told in headers with every answer.

Source: Alpaca's support page on API calls (200 a minute, 1,000 with a paid plan). That it counts whole minutes is an
assumption; `X-Ratelimit-Reset` names the second in which the next one begins.
"""

from __future__ import annotations

import math

REQUESTS_PER_MINUTE = 200
WINDOW_S = 60
ACCOUNTS_MAX = 100_000  # accounts with a count; then all counts start afresh


class MinuteLimit:
    """Counts by account."""

    def __init__(self, enforced: bool, per_minute: int) -> None:
        if per_minute < 1:
            raise ValueError(f"requests_per_minute is {per_minute}: give a number from 1")
        self.enforced = enforced
        self.per_minute = per_minute
        self._counts: dict[str, tuple[int, int]] = {}

    def allows(self, account: str, now_s: float) -> bool:
        """Count a request; False when it is one too many."""
        window = math.floor(now_s / WINDOW_S)
        seen, count = self._counts.get(account, (window, 0))
        count = count + 1 if seen == window else 1
        if len(self._counts) >= ACCOUNTS_MAX and account not in self._counts:
            self._counts.clear()
        self._counts[account] = (window, count)
        return not self.enforced or count <= self.per_minute

    def headers(self, account: str, now_s: float) -> dict[str, str]:
        """What every answer says about it."""
        window = math.floor(now_s / WINDOW_S)
        seen, count = self._counts.get(account, (window, 0))
        left = self.per_minute - (count if seen == window and self.enforced else 0)
        return {
            "X-Ratelimit-Limit": str(self.per_minute),
            "X-Ratelimit-Remaining": str(max(0, left)),
            "X-Ratelimit-Reset": str((window + 1) * WINDOW_S),
        }
