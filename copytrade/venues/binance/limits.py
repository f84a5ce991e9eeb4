"""Binance's limits, counted here so that they are not exceeded, and corrected by what the venue's headers say.

Weight counts per address and minute, requests per address and five minutes, unfilled orders per account, in ten seconds
and in a day (REST page, "LIMITS"). The venue's windows are whole spans of its clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

# Our clock and the venue's differ a little, and requests under way at the turn of a window count in the next one.
SHARE_USED = 0.95
MINUTE_S, FIVE_MINUTES_S, TEN_SECONDS_S, DAY_S = 60, 300, 10, 86_400
WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"
ORDER_HEADERS = {TEN_SECONDS_S: "X-MBX-ORDER-COUNT-10S", DAY_S: "X-MBX-ORDER-COUNT-1D"}

UnixSeconds = Callable[[], float]


class Window:
    """A count within whole spans of the clock.

    Args:
        limit: the venue's.
        length_s: of a span.
        venue_unix_s: the venue's clock.
    """

    __slots__ = ("_current", "_length_s", "_unix_s", "_used", "limit")

    def __init__(self, limit: int, length_s: int, venue_unix_s: UnixSeconds) -> None:
        self.limit = limit
        self._length_s = length_s
        self._unix_s = venue_unix_s
        self._current = -1
        self._used = 0

    @property
    def used(self) -> int:
        """What is used up in the present span."""
        current = math.floor(self._unix_s() / self._length_s)
        if current > self._current:  # a clock that is set back does not open a span anew
            self._current, self._used = current, 0
        return self._used

    @property
    def left(self) -> float:
        """The share of the limit that is not used up in the present span, 0 to 1."""
        return max(0.0, 1.0 - self.used / self.limit)

    def wait_s(self, cost: int, reserve: float = 0.0) -> float:
        """How long until a call of this cost fits, with a share of the limit left over; 0 when it fits now.

        One that never fits waits for a fresh span.
        """
        used = self.used
        if not used or used + cost <= self.limit * (SHARE_USED - reserve):
            return 0.0
        return max(0.0, (self._current + 1) * self._length_s - self._unix_s()) + 0.01

    def charge(self, cost: int) -> None:
        """Count a call that is made."""
        self._used = self.used + cost

    def give_back(self, cost: int) -> None:
        """A call that was counted weighed nothing."""
        self._used = max(0, self.used - cost)

    def observe(self, used: int) -> None:
        """The venue's own count, which knows of other programs as well; calls under way may make ours higher."""
        self._used = max(self.used, used)

    def correct(self, used: int) -> None:
        """The venue's own count where nothing else is under way: it may be lower than ours."""
        _ = self.used
        self._used = used

    def saturate(self) -> None:
        """The venue says that the limit is reached: its count is the true one."""
        self._used = max(self.used, self.limit)


class AddressLimits:
    """What this machine's address may do; shared by all accounts. `monotonic` is in seconds."""

    def __init__(
        self,
        weight_per_minute: int,
        requests_per_5_min: int,
        venue_unix_s: UnixSeconds,
        monotonic: Callable[[], float],
    ) -> None:
        self.weight = Window(weight_per_minute, MINUTE_S, venue_unix_s)
        self.requests = Window(requests_per_5_min, FIVE_MINUTES_S, venue_unix_s)
        self._monotonic = monotonic
        self._not_before = 0.0

    def wait_s(self, weight: int, reserve: float) -> float:
        """How long a call of this weight has to wait, in seconds."""
        told_s = self._not_before - self._monotonic()
        return max(0.0, told_s, self.weight.wait_s(weight, reserve), self.requests.wait_s(1, reserve))

    @property
    def left(self) -> float:
        """The share that is not used up of the tighter limit."""
        return min(self.weight.left, self.requests.left)

    def charge(self, weight: int) -> None:
        """Count a call that is made."""
        self.weight.charge(weight)
        self.requests.charge(1)

    def give_back(self, weight: int) -> None:
        """A call that was counted weighed nothing, though it was a request."""
        self.weight.give_back(weight)

    def observe(self, headers: Mapping[str, str]) -> None:
        """Take over what an answer says about the weight used."""
        if (used := read_count(headers, WEIGHT_HEADER)) is not None:
            self.weight.observe(used)

    def stop_for(self, seconds: float) -> None:
        """The venue says when to come again, to every account at this address; going on meanwhile earns a ban."""
        self._not_before = max(self._not_before, self._monotonic() + seconds)


class OrderLimits:
    """What one account may do: orders that have not filled yet."""

    def __init__(self, per_10_s: int, per_day: int, venue_unix_s: UnixSeconds) -> None:
        self._windows = {
            TEN_SECONDS_S: Window(per_10_s, TEN_SECONDS_S, venue_unix_s),
            DAY_S: Window(per_day, DAY_S, venue_unix_s),
        }

    def wait_s(self, reserve: float, orders: int = 1) -> float:
        """How long the next so many orders have to wait, in seconds."""
        return max(window.wait_s(orders, reserve) for window in self._windows.values())

    @property
    def left(self) -> float:
        """The share that is not used up of the tighter limit."""
        return min(window.left for window in self._windows.values())

    def charge(self, orders: int = 1) -> None:
        """Count orders that are sent."""
        for window in self._windows.values():
            window.charge(orders)

    def observe(self, headers: Mapping[str, str]) -> None:
        """Take over the counts of an answer: lower than ours when orders have filled, which gives them back."""
        for length_s, name in ORDER_HEADERS.items():
            if (used := read_count(headers, name)) is not None:
                self._windows[length_s].correct(used)

    def saturate(self) -> None:
        """The venue refused an order as one too many."""
        self._windows[TEN_SECONDS_S].saturate()


def read_count(headers: Mapping[str, str], name: str) -> int | None:
    """A header that counts; None when it is not there or no number."""
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
