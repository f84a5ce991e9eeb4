"""Binance's clock against ours."""

from __future__ import annotations

from datetime import datetime, timedelta

_MILLISECOND_S = 0.001


class ClockOffset:
    """How far the venue's clock is ahead of ours, from answers to `time`, which names milliseconds.

    One answer says: between `server - answered` and `server + 1 ms - asked`. Several narrow that down. While zero is
    possible, zero it is: most clocks are right, and a correction by guess would make them wrong. An answer that took
    longer than `error_max_s` is not taken: whoever proves an order absent by the clock relies on that bound.
    """

    def __init__(self, error_max_s: float) -> None:
        self._error_max_s = error_max_s
        self._low_s = float("-inf")
        self._high_s = float("inf")
        self.offset = timedelta(0)
        self.known = False

    def observe(self, server_ms: int, asked_at: datetime, answered_at: datetime) -> bool:
        """Take in one answer; says whether it could be used."""
        if not 0 <= (answered_at - asked_at).total_seconds() <= self._error_max_s:
            return False
        server_s = server_ms / 1000
        low_s = server_s - answered_at.timestamp()
        high_s = server_s + _MILLISECOND_S - asked_at.timestamp()
        if max(low_s, self._low_s) <= min(high_s, self._high_s):
            low_s, high_s = max(low_s, self._low_s), min(high_s, self._high_s)
        self._low_s, self._high_s = low_s, high_s  # a contradiction means that a clock was set: begin again
        seconds = 0.0 if low_s <= 0 <= high_s else (low_s + high_s) / 2
        self.offset = timedelta(seconds=seconds)
        self.known = True
        return True
