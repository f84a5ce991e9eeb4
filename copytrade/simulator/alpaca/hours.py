"""When US stocks trade: 9:30 to 16:00 in New York, Monday to Friday, without the exchanges' holidays.

Early closes (the afternoons before some holidays) are left out.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
_OPENS, _CLOSES = time(9, 30), time(16, 0)


class StockHours:
    """The sessions. With `always_open` there is one that never ends, for tests of other things."""

    def __init__(self, always_open: bool = False) -> None:
        self.always_open = always_open

    def is_open(self, time_s: float) -> bool:
        """Whether stocks trade at `time_s` (unix seconds)."""
        if self.always_open:
            return True
        opens_s, closes_s = self._session_ending_after(time_s)
        return opens_s <= time_s < closes_s

    def opens_at(self, time_s: float) -> float:
        """`time_s` itself while stocks trade, else when they next do."""
        return time_s if self.always_open else max(time_s, self._session_ending_after(time_s)[0])

    def next_open(self, time_s: float) -> float:
        """When the next session begins, after `time_s`."""
        opens_s, closes_s = self._session_ending_after(time_s)
        return opens_s if opens_s > time_s else self._session_ending_after(closes_s)[0]

    def next_close(self, time_s: float) -> float:
        """When the session that runs or comes next ends."""
        return self._session_ending_after(time_s)[1]

    def _session_ending_after(self, time_s: float) -> tuple[float, float]:
        day = datetime.fromtimestamp(time_s, UTC).astimezone(NEW_YORK).date()
        while True:
            session = session_of(day)
            if session is not None and session[1] > time_s:
                return session
            day += timedelta(days=1)


@lru_cache(maxsize=4_000)
def session_of(day: date) -> tuple[float, float] | None:
    """Begin and end of a day's session in unix seconds; None on a day without one."""
    if day.weekday() >= 5 or day in _holidays(day.year):
        return None
    begin = datetime.combine(day, _OPENS, NEW_YORK)
    end = datetime.combine(day, _CLOSES, NEW_YORK)
    return begin.timestamp(), end.timestamp()


@lru_cache(maxsize=64)
def _holidays(year: int) -> frozenset[date]:
    """The full holidays of the New York Stock Exchange; those that fall on a Saturday are kept on the Friday."""
    fixed = [date(year, 6, 19), date(year, 7, 4), date(year, 12, 25)]
    days = {day + timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0)) for day in fixed}
    new_year = date(year, 1, 1)
    if new_year.weekday() != 5:  # on a Saturday it is not made up for
        days.add(new_year + timedelta(days=1 if new_year.weekday() == 6 else 0))
    memorial = date(year, 5, 31)
    days.update(
        {
            _nth_weekday(year, 1, 0, 3),
            _nth_weekday(year, 2, 0, 3),
            _easter(year) - timedelta(days=2),
            memorial - timedelta(days=memorial.weekday()),
            _nth_weekday(year, 9, 0, 1),
            _nth_weekday(year, 11, 3, 4),
        }
    )
    return frozenset(days)


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


def _easter(year: int) -> date:
    """Easter Sunday by the Gregorian computus (Meeus)."""
    golden, century, rest = year % 19, year // 100, year % 100
    skipped, leap_rest = divmod(century, 4)
    correction = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - skipped - correction + 15) % 30
    leaps, years = divmod(rest, 4)
    weekday = (32 + 2 * leap_rest + 2 * leaps - epact - years) % 7
    shift = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * shift + 114, 31)
    return date(year, month, day + 1)
