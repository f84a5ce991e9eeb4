"""Coinbase's clock against ours."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

_MILLISECOND_S = 0.001


class ClockReading(NamedTuple):
    """What a token was dated by, and when (monotonic seconds)."""

    offset: timedelta
    at_s: float


class ClockOffset:
    """How far the venue's clock is ahead of ours, from answers to its time call, which counts milliseconds.

    One answer says: between `told - answered` and `told + 1 ms - asked`. Several narrow that down. While zero is
    possible, zero it is: most clocks are right, and a correction by guess would make them wrong.
    """

    def __init__(self) -> None:
        self._low_s = float("-inf")
        self._high_s = float("inf")
        self.offset = timedelta(0)

    def observe(self, epoch_millis: int, asked_at: datetime, answered_at: datetime) -> None:
        told_s = epoch_millis / 1000
        low_s = told_s - answered_at.timestamp()
        high_s = told_s + _MILLISECOND_S - asked_at.timestamp()
        if max(low_s, self._low_s) <= min(high_s, self._high_s):
            low_s, high_s = max(low_s, self._low_s), min(high_s, self._high_s)
        self._low_s, self._high_s = low_s, high_s  # a contradiction means that a clock was set: begin again
        self.offset = timedelta(seconds=0.0 if low_s <= 0 <= high_s else (low_s + high_s) / 2)

    @property
    def seconds(self) -> float:
        return self.offset.total_seconds()
