"""Rate budgets: what a venue allows an account, counted here so that it is not exceeded.

Clocks are monotonic seconds and are passed in; costs and levels are in the venue's own units.
"""

from __future__ import annotations

from collections.abc import Callable

Seconds = Callable[[], float]


class DecayCounter:
    """A counter that calls raise and time lowers; over `maximum` the venue refuses.

    Args:
        maximum: the venue's limit.
        decay_per_s: how much the counter falls each second.
        clock: monotonic seconds.
        reserve: how much at the top is kept for urgent calls (exits): the others see a lower maximum.
    """

    __slots__ = ("_at", "_clock", "_decay_per_s", "_level", "_maximum", "_reserve")

    def __init__(self, maximum: float, decay_per_s: float, clock: Seconds, *, reserve: float = 0.0) -> None:
        if not (maximum > 0 and decay_per_s > 0 and 0 <= reserve < maximum):
            raise ValueError("a counter needs maximum > 0, decay_per_s > 0 and 0 <= reserve < maximum")
        self._maximum = maximum
        self._decay_per_s = decay_per_s
        self._clock = clock
        self._reserve = reserve
        self._level = 0.0
        self._at = clock()

    @property
    def level(self) -> float:
        """Where the counter stands now."""
        now = self._clock()
        self._level = max(0.0, self._level - max(0.0, now - self._at) * self._decay_per_s)
        self._at = now
        return self._level

    @property
    def left(self) -> float:
        """The share of the limit that is not used up now, 0 to 1."""
        return max(0.0, 1.0 - self.level / self._maximum)

    def wait_s(self, cost: float, *, urgent: bool = False) -> float:
        """How long until a call of this cost fits; 0 when it fits now.

        A cost above the maximum fits when the counter is empty, so that no call waits for ever.
        """
        room = self._maximum if urgent else self._maximum - self._reserve
        over = self.level - max(0.0, room - cost)
        return over / self._decay_per_s if over > 0 else 0.0

    def take(self, cost: float, *, urgent: bool = False) -> bool:
        """Charge the cost if it fits now; says whether it did."""
        if self.wait_s(cost, urgent=urgent) > 0:
            return False
        self.charge(cost)
        return True

    def charge(self, cost: float) -> None:
        """Count a call that is made whatever the counter says."""
        self._level = self.level + cost

    def saturate(self) -> None:
        """The venue says that the limit is reached: its count is the true one."""
        self._level = max(self.level, self._maximum)


class Pace:
    """At most so many calls a second, with a burst: for limits by IP address.

    Every caller is given its own moment at once, so callers leave in the order in which they asked.
    """

    __slots__ = ("_burst_s", "_clock", "_interval_s", "_next_at")

    def __init__(self, per_s: float, clock: Seconds, *, burst: int = 1) -> None:
        if not (per_s > 0 and burst >= 1):
            raise ValueError("a pace needs per_s > 0 and burst >= 1")
        self._interval_s = 1.0 / per_s
        self._burst_s = (burst - 1) * self._interval_s
        self._clock = clock
        self._next_at = clock() - self._burst_s

    def reserve_s(self) -> float:
        """Take the next free moment; returns how long to wait for it."""
        now = self._clock()
        at = max(self._next_at, now - self._burst_s)
        self._next_at = at + self._interval_s
        return max(0.0, at - now)
