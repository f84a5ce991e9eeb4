"""What every venue's candle reader is made of, and what it does with the rows of an answer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Generic, Protocol, TypeVar

from copytrade.domain.candles import CandleRow
from copytrade.domain.errors import VenueUnavailable

UNLIMITED_CALLS_PER_S = 1_000.0
"""For a simulated venue without limits: the scanner is then held back by its own work alone."""


class CandleVenue(Protocol):
    """What a candle reader asks of any venue."""

    @property
    def offset(self) -> timedelta: ...


class PacedOptions(Protocol):
    @property
    def public_calls_per_s(self) -> float | None: ...


class PacedVenue(CandleVenue, Protocol):
    """A venue whose options say how many public calls a second it takes, None for no limit."""

    @property
    def options(self) -> PacedOptions: ...


V = TypeVar("V", bound=CandleVenue)
P = TypeVar("P", bound=PacedVenue)


class CandlesOf(Generic[V]):
    """The part of `copytrade.strategy.market_data.CandleSource` that is the same at every venue."""

    def __init__(self, venue: V) -> None:
        self._venue = venue

    @property
    def offset_s(self) -> float:
        return self._venue.offset.total_seconds()


class PacedCandles(CandlesOf[P]):
    """Where candles are public calls like any other."""

    @property
    def calls_per_s(self) -> float:
        return self._venue.options.public_calls_per_s or UNLIMITED_CALLS_PER_S


def read_rows(venue: str, entries: Iterable[Any], fields: tuple[Any, ...], scale: int = 1) -> list[CandleRow]:
    """Rows from an answer. `fields` are the places (keys or numbers) of time, open, high, low, close, volume in each
    entry; `scale` is how many of its units of time make a second. Raises `VenueUnavailable` for what is no candle."""
    rows = []
    for entry in entries:
        try:
            at, *figures = (entry[place] for place in fields)
            opening, high, low, close, volume = (float(figure) for figure in figures)
            row = (int(at) // scale, opening, high, low, close, volume)
        except (KeyError, IndexError, TypeError, ValueError, OverflowError):
            raise VenueUnavailable(f"{venue} sent a candle that cannot be used: {entry!r:.200}") from None
        inside = low <= min(opening, close) <= max(opening, close) <= high
        if not all(map(math.isfinite, row)) or low <= 0 or volume < 0 or not inside:
            raise VenueUnavailable(f"{venue} sent a candle that cannot be used: {entry!r:.200}")
        rows.append(row)
    return rows


def closed_rows(rows: Iterable[CandleRow], interval_s: int, now_s: float, count: int) -> list[CandleRow]:
    """The last `count` that have closed at `now_s` by the venue's clock, oldest first, each once."""
    closed = {row[0]: row for row in rows if row[0] + interval_s <= now_s}
    return [closed[at] for at in sorted(closed)][-count:]


def interval_name(venue: str, names: Mapping[int, str], interval_s: int) -> str:
    """The venue's word for an interval. Raises `ValueError`."""
    if interval_s not in names:
        raise ValueError(
            f"{venue} has no candles of {interval_s} s: take one of {', '.join(map(str, sorted(names)))}"
        )
    return names[interval_s]
