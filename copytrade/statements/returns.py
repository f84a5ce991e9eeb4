"""Time-weighted return and how far it is from the master's.

Between two readings of an account's equity, what was paid in is taken off the later one; the factors of all readings
are multiplied. So it does not matter when, or how much, money came or went. A payment counts at the reading that first
shows it: within one rhythm of the history (15 minutes as it comes) it is not told from profit any finer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext

from copytrade.statements.values import FINE, ONE, ZERO, Payment, Point

DAYS_MIN = 2  # of a deviation: one day deviates from nothing


@dataclass(frozen=True, slots=True)
class Return:
    """A return over `start` to `end` as a share (0.05 is 5 %), and each day's (UTC)."""

    start: datetime
    end: datetime
    total: Decimal
    daily: dict[date, Decimal]


@dataclass(frozen=True, slots=True)
class Tracking:
    """Against the master over the same time: both returns, follower less master, and the standard deviation of the
    daily differences (the tracking error; None for less than two days)."""

    follower: Decimal
    master: Decimal
    difference: Decimal
    error: Decimal | None
    days: int


def time_weighted(points: Sequence[Point], payments: Sequence[Payment]) -> Return | None:
    """The return over all readings, oldest first; None for less than two of them, or none above zero."""
    if len(points) < 2:
        return None
    moments = [point.at for point in points]
    flows: dict[int, Decimal] = {}
    for payment in payments:
        place = bisect_left(moments, payment.at)  # the first reading at or after it
        if 0 < place < len(points):
            flows[place] = flows.get(place, ZERO) + payment.amount
    daily: dict[date, Decimal] = {}
    total, known = ONE, False
    with localcontext(FINE):
        for place in range(1, len(points)):
            before, after = points[place - 1].equity, points[place]
            day = after.at.astimezone(UTC).date()
            daily.setdefault(day, ONE)
            if before <= 0:
                continue  # nothing was there to gain or lose
            factor = (after.equity - flows.get(place, ZERO)) / before
            known = True
            total *= factor
            daily[day] *= factor
        shares = {day: factor - ONE for day, factor in daily.items()}
        return Return(points[0].at, points[-1].at, total - ONE, shares) if known else None


def tracking(follower: Return, master: Return) -> Tracking:
    """The two returns are taken to be of the same time. Days that one of them lacks count as unchanged there."""
    with localcontext(FINE):
        days = sorted(follower.daily.keys() | master.daily.keys())
        apart = [follower.daily.get(day, ZERO) - master.daily.get(day, ZERO) for day in days]
        error = None
        if len(days) >= DAYS_MIN:
            mean = sum(apart, ZERO) / len(apart)
            error = (sum(((each - mean) ** 2 for each in apart), ZERO) / (len(apart) - 1)).sqrt()
        return Tracking(follower.total, master.total, follower.total - master.total, error, len(days))
