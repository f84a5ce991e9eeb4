"""Candles from files: the spellings that exports have, and what is wrong with a bad one, by its row."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from backtest_cases import BEGIN_S

from copytrade.backtest.candle_file import BadCandles, read_history

HEAD = "timestamp,open,high,low,close,volume"
GOOD = [f"{BEGIN_S + n * 300},{100 + n},{102 + n},{99 + n},{101 + n},{n + 1}" for n in range(5)]


def _file(tmp_path: Path, *lines: str, name: str = "candles.csv") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("head", "times"),
    [
        (HEAD, [BEGIN_S, BEGIN_S + 300, BEGIN_S + 600]),
        ("Date,Open,High,Low,Close,Volume BTC,Volume", ["2026-01-01", "2026-01-01 00:05:00", "2026-01-01T00:10"]),
        ("Open Time,Open,High,Low,Close,Volume", [BEGIN_S * 1000, BEGIN_S * 1000 + 300_000, BEGIN_S * 1000 + 600_000]),
        ("t,o,h,l,c,v", [BEGIN_S * 10**6, BEGIN_S * 10**6 + 300 * 10**6, BEGIN_S * 10**6 + 600 * 10**6]),
        ("time;open;high;low;close;vol", ["2026-01-01T01:00:00+01:00", "2026-01-01T00:05:00Z", "2026-01-01 00:10 UTC"]),
    ],
)
def test_usual_names_and_times(tmp_path: Path, head: str, times: list[object]) -> None:
    mark = ";" if ";" in head else ","
    more = f"{mark}7" if "BTC" in head else ""
    rows = [f"{at}{mark}100{mark}102{mark}99{mark}101{mark}3{more}" for at in times]
    if head == "t,o,h,l,c,v":
        head = "ts,o,h,l,c,v"
    candles = read_history(_file(tmp_path, head, *rows), 300).candles
    assert candles.time.tolist() == [BEGIN_S, BEGIN_S + 300, BEGIN_S + 600]
    assert candles.volume.tolist() == ([7.0] * 3 if more else [3.0] * 3)


def test_newest_first_is_turned_round_and_holes_are_filled(tmp_path: Path) -> None:
    history = read_history(_file(tmp_path, HEAD, *reversed([GOOD[0], GOOD[1], GOOD[4]])), 300)
    assert history.candles.time.tolist() == [BEGIN_S + n * 300 for n in range(5)]
    assert history.filled == 2
    assert history.candles.volume.tolist() == [1, 2, 0, 0, 5]
    assert history.candles.close.tolist() == [101, 102, 102, 102, 105]


def test_shorter_candles_are_joined(tmp_path: Path) -> None:
    rows = [f"{BEGIN_S - 120 + n * 60},{100 + n},{102 + n},{99 - n},{101 + n},1" for n in range(14)]
    candles = read_history(_file(tmp_path, HEAD, *rows), 300).candles
    assert candles.time.tolist() == [BEGIN_S, BEGIN_S + 300]
    assert candles.open.tolist() == [102, 107]
    assert candles.high.tolist() == [108, 113]
    assert candles.low.tolist() == [93, 88]
    assert candles.close.tolist() == [107, 112]
    assert candles.volume.tolist() == [5, 5]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "is empty"),
        (["time,open,high,low,volume", "1,1,1,1,1"], "no column for the close"),
        ([HEAD, GOOD[0]], "1 candles"),
        ([HEAD, GOOD[0], "1767225900,101,103,x,102,1"], "row 3: the low is 'x', which is no number"),
        ([HEAD, GOOD[0], "1767225900,101,103,nan,102,1"], "row 3: the low is 'nan'"),
        ([HEAD, GOOD[0], "1767225900,101,103,0,102,1"], "row 3: a price is not above zero"),
        ([HEAD, GOOD[0], "1767225900,101,103,100,102,-1"], "row 3: the volume -1.0 is below zero"),
        ([HEAD, GOOD[0], "1767225900,101,101.5,100,102,1"], "row 3: it opens at 101.0 and closes at 102.0, outside"),
        ([HEAD, GOOD[0], "1767225900,101,103"], "row 3: it has 3 cells and needs 6"),
        ([HEAD, GOOD[0], "yesterday,101,103,100,102,1"], "row 3: the time is 'yesterday'"),
        ([HEAD, GOOD[0], "1767225900.5,101,103,100,102,1"], "row 3: the time is '1767225900.5', not the start"),
        ([HEAD, GOOD[0], GOOD[1], GOOD[1]], "row 4: 2026-01-01T00:05:00Z is there twice, in row 3 too"),
        ([HEAD, GOOD[0], GOOD[2], GOOD[1], GOOD[3]], "row 4: 2026-01-01T00:05:00Z comes after"),
        ([HEAD, *GOOD, "1767227130,101,103,100,102,1"], "candles of 30 s|off the file's step"),
        ([HEAD, *GOOD[:2], "1767325500,101,103,100,102,1"], "holes between them"),
    ],
)
def test_a_bad_file_is_refused_with_the_row(tmp_path: Path, lines: list[str], says: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(BadCandles, match=says) as refused:
        read_history(path, 300)
    assert "bad.csv" in str(refused.value)


def test_an_interval_that_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(BadCandles, match=r"candles of 300 s, and the strategy wants 60 s: .*apex.interval_s"):
        read_history(_file(tmp_path, HEAD, *GOOD), 60)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadCandles, match="there is no file"):
        read_history(tmp_path / "none.csv", 300)


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    from pyarrow import csv, parquet

    as_csv = _file(tmp_path, HEAD, *GOOD)
    as_parquet = tmp_path / "candles.parquet"
    parquet.write_table(csv.read_csv(as_csv), as_parquet)
    one, other = read_history(as_csv, 300).candles, read_history(as_parquet, 300).candles
    assert one.time.tolist() == other.time.tolist()
    assert one.close.tolist() == other.close.tolist()
    as_parquet.write_bytes(b"PAR1 not at all")
    with pytest.raises(BadCandles, match="cannot be read as Parquet"):
        read_history(as_parquet, 300)


def test_parquet_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)  # as Python marks a module that is not to be had
    path = tmp_path / "candles.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(BadCandles, match="pip install pyarrow"):
        read_history(path, 300)
