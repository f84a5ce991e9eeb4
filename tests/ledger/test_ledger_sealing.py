"""Seals of the days of the history of equity: the same for the same readings, another for any change."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from copytrade.ledger.asking import Questions
from copytrade.ledger.sealing import Seal, days_to_seal, seal_of
from copytrade.ledger.store import Ledger

DAY = date(2026, 3, 2)
ROWS = [
    ("kraken:ann", "2026-03-01T23:59:59+00:00", "900", "900", "USD"),
    ("kraken:ann", "2026-03-02T00:00:00+00:00", "1000", "900", "USD"),
    ("kraken:ann", "2026-03-02T12:00:00+00:00", "1010", "900", "USD"),
    ("okx:ben", "2026-03-02T08:00:00.123456+00:00", "77.5", "70", "USDT"),
    ("okx:ben", "2026-03-03T00:00:00+00:00", "78", "70", "USDT"),
]


def change(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount > 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "ledger.sqlite3"
    with Ledger.open(made):
        pass
    with contextlib.closing(sqlite3.connect(made)) as connection, connection:
        connection.executemany("INSERT INTO equity_history VALUES (?, ?, ?, ?, ?)", ROWS)
    return made


def seal(path: Path, day: date = DAY) -> Seal:
    with contextlib.closing(Questions(path)) as questions:
        return seal_of(questions, day)


def days(path: Path, last: date | None, now: datetime) -> list[str]:
    with contextlib.closing(Questions(path)) as questions:
        return [day.isoformat() for day in days_to_seal(questions, last, now)]


def test_a_day_has_its_readings_from_midnight_to_midnight(path: Path) -> None:
    first = seal(path)
    assert (first.readings, first.day) == (3, DAY)
    assert seal(path) == first
    assert Seal.of_text(first.text()) == first
    change(path, "UPDATE equity_history SET equity = '901' WHERE at < '2026-03-02'")
    change(path, "DELETE FROM equity_history WHERE at >= '2026-03-03'")
    assert seal(path) == first


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE equity_history SET equity = '1010.5' WHERE equity = '1010'",
        "UPDATE equity_history SET cash = '90' WHERE equity = '1010'",
        "UPDATE equity_history SET currency = 'USD' WHERE account = 'okx:ben'",
        "UPDATE equity_history SET at = '2026-03-02T12:00:01+00:00' WHERE equity = '1010'",
        "UPDATE equity_history SET account = 'kraken:bob' WHERE equity = '1010'",
        "DELETE FROM equity_history WHERE equity = '77.5'",
        "INSERT INTO equity_history VALUES ('kraken:ann', '2026-03-02T13:00:00+00:00', '1', '1', 'USD')",
    ],
)
def test_any_change_of_that_day_is_another_seal(path: Path, statement: str) -> None:
    first = seal(path)
    change(path, statement)
    assert seal(path).digest != first.digest


def test_days_are_sealed_once_they_are_over_and_settled(path: Path) -> None:
    assert days(path, None, datetime(2026, 3, 2, 0, 9, tzinfo=UTC)) == []
    assert days(path, None, datetime(2026, 3, 2, 0, 10, tzinfo=UTC)) == ["2026-03-01"]
    assert days(path, None, datetime(2026, 3, 4, 9, tzinfo=UTC)) == ["2026-03-01", "2026-03-02", "2026-03-03"]
    assert days(path, DAY, datetime(2026, 3, 5, 9, tzinfo=UTC)) == ["2026-03-03", "2026-03-04"]
    assert days(path, DAY, datetime(2026, 3, 1, 9, tzinfo=UTC)) == [], "a clock that went back"


def test_an_empty_history_and_a_day_without_readings(path: Path) -> None:
    assert seal(path, date(2027, 1, 1)).readings == 0
    change(path, "DELETE FROM equity_history")
    assert days(path, None, datetime(2026, 3, 4, tzinfo=UTC)) == []


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"day":"x","readings":1,"sha256":"a"}'])
def test_what_is_no_seal_is_told(text: str) -> None:
    with pytest.raises(ValueError):
        Seal.of_text(text)
