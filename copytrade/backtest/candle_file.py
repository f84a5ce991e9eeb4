"""Candles from a file: CSV or Parquet, with the column names that exports usually have.

A file that is not what it seems is refused with the row and what is wrong there: a backtest on a candle that was read
wrongly gives figures that nobody can see are wrong.
"""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from copytrade.domain.candles import CandleRow
from copytrade.domain.errors import CopyTradeError
from copytrade.strategy.market_data import fill_gaps
from copytrade.strategy.port import Candles

COLUMNS = {
    "time": ("timestamp", "time", "date", "datetime", "open_time", "opentime", "start", "start_time", "unix", "ts"),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price"),
    "close": ("close", "c", "close_price"),
    "volume": ("volume", "vol", "v", "base_volume", "volume_base"),
}
"""Our names and how files spell them, in any case; of several in one file the first one here is taken."""

ROWS_MAX = 5_000_000  # ten years of one-minute candles; more would not fit the memory of a small machine
# A file with more holes than candles is two files, or was exported with the wrong interval.
_FILLED_SHARE_MAX = 1.0
_SMALLEST_S = 1
# Seconds since 1970 stay below this until the year 5138; milliseconds, micro- and nanoseconds are above.
_SECONDS_MAX = 1e11
_PARQUET = (".parquet", ".pq")


class BadCandles(CopyTradeError):
    """The file's candles cannot be used; the text names the file, the row, and what to do."""


@dataclass(frozen=True, slots=True)
class History:
    """Candles without holes, oldest first. `filled` of them were missing in the file and have volume 0."""

    candles: Candles
    filled: int


def read_history(path: Path, interval_s: int) -> History:
    """The file's candles at `interval_s`, joined together from shorter ones where the file has those; 0 takes them as
    they are.

    Raises `BadCandles`.
    """
    rows = list(_in_order(path, _parsed(path, _records(path))))
    if len(rows) < 2:
        raise BadCandles(f"{path} has {len(rows)} candles: a backtest needs at least two")
    own_s = min(later[1][0] - earlier[1][0] for earlier, later in pairwise(rows))
    interval_s = interval_s or own_s
    if own_s < _SMALLEST_S or interval_s % own_s:
        raise BadCandles(
            f"{path} has candles of {own_s} s, and the strategy wants {interval_s} s: give a file of {interval_s} s "
            "or of a shorter interval that fits into it, or set the strategy's interval (apex.interval_s)"
        )
    for row, candle in rows:
        if (candle[0] - rows[0][1][0]) % own_s:
            raise BadCandles(
                f"{path}, row {row}: it starts at {_when(candle[0])}, off the file's step of {own_s} s from "
                f"{_when(rows[0][1][0])}: the file mixes intervals"
            )
    found = [candle for _, candle in rows]
    missing = (found[-1][0] - found[0][0]) // own_s + 1 - len(found)
    if missing > _FILLED_SHARE_MAX * len(found):
        raise BadCandles(
            f"{path} has {len(found)} candles and {missing} holes between them at its step of {own_s} s: "
            "check the interval it was exported with"
        )
    filled = fill_gaps(found, own_s, float(found[-1][0] + own_s))
    return History(Candles.of_rows(_joined(filled, own_s, interval_s), interval_s), len(filled) - len(found))


# -- from the file ----------------------------------------------------------------------------------------------------

Record = tuple[int, Sequence[Any]]
"""The row's number as an editor shows it, and its six values in the order of `COLUMNS`."""


def _records(path: Path) -> Iterator[Record]:
    if not path.is_file():
        raise BadCandles(f"there is no file {path}: give one with --candles")
    return _parquet(path) if path.suffix.lower() in _PARQUET else _csv(path)


def _csv(path: Path) -> Iterator[Record]:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        first = file.readline()
        if not first.strip():
            raise BadCandles(f"{path} is empty: its first row must name the columns")
        delimiter = max(",;\t", key=first.count)
        places = _places(path, next(csv.reader([first], delimiter=delimiter)))
        last = max(places)
        reader = csv.reader(file, delimiter=delimiter)
        for cells in reader:
            row = reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) <= last:
                raise BadCandles(f"{path}, row {row}: it has {len(cells)} cells and needs {last + 1}: cut off?")
            yield row, [cells[place] for place in places]


def _parquet(path: Path) -> Iterator[Record]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise BadCandles(
            f"{path} is a Parquet file, and reading those needs pyarrow: .venv/bin/pip install pyarrow, or export the "
            "candles as CSV"
        ) from None
    try:
        table = parquet.read_table(path)
    except Exception as error:  # of many kinds, and all of them say that the file is none
        raise BadCandles(f"{path} cannot be read as Parquet: {error}") from error
    places = _places(path, table.column_names)
    columns = [table.column(place).to_pylist() for place in places]
    yield from enumerate(zip(*columns, strict=True), start=1)


def _places(path: Path, header: Sequence[str]) -> list[int]:
    names = [name.strip().strip('"').lower().replace(" ", "_") for name in header]
    places = []
    for ours, spellings in COLUMNS.items():
        found = [names.index(spelling) for spelling in spellings if spelling in names]
        if not found:
            raise BadCandles(
                f"{path} has no column for the {ours}: its first row is {', '.join(header)!r}; name the column one of "
                f"{', '.join(spellings)}"
            )
        places.append(found[0])
    return places


# -- values -----------------------------------------------------------------------------------------------------------


def _parsed(path: Path, records: Iterable[Record]) -> Iterator[tuple[int, CandleRow]]:
    for count, (row, values) in enumerate(records):
        if count >= ROWS_MAX:
            raise BadCandles(f"{path} has more than {ROWS_MAX:,} rows: cut it, or take a longer interval")
        try:
            start_s = _seconds(values[0])
        except ValueError as error:
            raise BadCandles(f"{path}, row {row}: {error}") from None
        opening, high, low, close, volume = (
            _number(path, row, name, value) for name, value in zip(list(COLUMNS)[1:], values[1:], strict=True)
        )
        if min(opening, high, low, close) <= 0:
            raise BadCandles(f"{path}, row {row}: a price is not above zero")
        if volume < 0:
            raise BadCandles(f"{path}, row {row}: the volume {volume} is below zero")
        if high < max(opening, close, low) or low > min(opening, close):
            raise BadCandles(
                f"{path}, row {row}: it opens at {opening} and closes at {close}, outside its high {high} and low {low}"
            )
        yield row, (start_s, opening, high, low, close, volume)


def _number(path: Path, row: int, name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise BadCandles(f"{path}, row {row}: the {name} is {value!r}, which is no number") from None
    if not -1e18 < number < 1e18:
        raise BadCandles(f"{path}, row {row}: the {name} is {value!r}, which is no number to count with")
    return number


def _seconds(value: Any) -> int:
    """The start of a candle in unix seconds, from what files write. Raises `ValueError`."""
    if isinstance(value, datetime):
        return _whole(_utc(value).timestamp(), value)
    if isinstance(value, date):
        return int(datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp())
    try:
        number = float(value)
    except (TypeError, ValueError):
        return _iso(value)
    if not 0 < number < 1e20:
        raise ValueError(f"the time is {value!r}, which is no time")
    while number >= _SECONDS_MAX:
        number /= 1000
    return _whole(number, value)


def _iso(value: Any) -> int:
    text = str(value).strip().removesuffix("UTC").strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"the time is {value!r}: write unix seconds or milliseconds, or like 2026-01-31T14:05:00Z"
        ) from None
    return _whole(_utc(moment).timestamp(), value)


def _utc(moment: datetime) -> datetime:
    """A time that names no zone is UTC."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _whole(seconds: float, value: Any) -> int:
    if abs(seconds - round(seconds)) > 1e-6:
        raise ValueError(f"the time is {value!r}, not the start of a candle: those start at whole seconds")
    return round(seconds)


def _in_order(path: Path, rows: Iterable[tuple[int, CandleRow]]) -> Iterator[tuple[int, CandleRow]]:
    """Oldest first. A file that is newest first throughout is turned round."""
    found = list(rows)
    if len(found) > 1 and found[0][1][0] > found[-1][1][0]:
        found.reverse()
    for (before, earlier), (row, later) in pairwise(found):
        if later[0] == earlier[0]:
            raise BadCandles(f"{path}, row {row}: {_when(later[0])} is there twice, in row {before} too")
        if later[0] < earlier[0]:
            raise BadCandles(
                f"{path}, row {row}: {_when(later[0])} comes after {_when(earlier[0])} in row {before}: sort the file "
                "by time"
            )
    return iter(found)


def _joined(rows: Sequence[CandleRow], own_s: int, interval_s: int) -> list[CandleRow]:
    """Candles of `interval_s` out of shorter ones; one that the file does not have in full is left out."""
    if own_s == interval_s:
        return list(rows)
    count = interval_s // own_s
    first = next((place for place, row in enumerate(rows) if row[0] % interval_s == 0), len(rows))
    joined = []
    for start in range(first, len(rows) - count + 1, count):
        part = rows[start : start + count]
        joined.append(
            (part[0][0], part[0][1], max(r[2] for r in part), min(r[3] for r in part), part[-1][4],
             sum(r[5] for r in part))
        )  # fmt: skip
    return joined


def _when(start_s: int) -> str:
    return f"{datetime.fromtimestamp(start_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
