"""Equity over time: one row for each account and so many seconds, also across restarts and from older ledgers."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from ledger_samples import START, follower, intent

from copytrade.domain.money import Amount
from copytrade.domain.venue import Balances
from copytrade.ledger.history import EquityHistory
from copytrade.ledger.reader import LedgerReader
from copytrade.ledger.replay import verify
from copytrade.ledger.store import Ledger


def seen(equity: int, minute: float) -> Balances:
    at = START + timedelta(minutes=minute)
    return Balances("USD", Amount(Decimal(equity)), Amount.of("5.50"), {"USD": Decimal("5.5")}, at)


def curve(path: Path, which: int = 0, **asked: datetime | int) -> list[str]:
    with LedgerReader(path) as reader:
        return [row["equity"] for row in reader.equity_history(follower(which), **asked)]  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite3"


def observe(path: Path, *observed: tuple[int, int, float]) -> None:
    """One run of the service: each observation in a transaction of its own."""
    with Ledger.open(path, group_ms=0, history_every_s=900) as ledger:
        for number, (which, equity, minute) in enumerate(observed):
            ledger.observe({follower(which): seen(equity, minute)})
            ledger.append_sync([intent(f"{minute} {number} {which}")])


def test_one_row_in_so_many_minutes_and_each_account_by_itself(path: Path) -> None:
    observe(path, (0, 100, 0), (0, 101, 5), (1, 200, 7), (0, 102, 15), (0, 103, 29.9), (1, 201, 22), (0, 104, 31))
    assert curve(path) == ["100", "102", "104"]
    assert curve(path, 1) == ["200", "201"]
    assert verify(path).ok


def test_a_restart_carries_on_where_the_last_run_stopped(path: Path) -> None:
    observe(path, (0, 100, 0))
    observe(path, (0, 101, 10), (0, 102, 16))
    assert curve(path) == ["100", "102"]


def test_a_reader_asks_for_a_time_and_a_number(path: Path) -> None:
    observe(path, *[(0, 100 + n, 15 * n) for n in range(6)])
    assert curve(path, limit=2) == ["104", "105"]
    assert curve(path, since=START + timedelta(minutes=60)) == ["104", "105"]
    assert curve(path, since=START + timedelta(minutes=15), until=START + timedelta(minutes=30)) == ["101", "102"]
    with LedgerReader(path) as reader:
        first = reader.equity_history(follower(0))[0]
    assert first == {
        "account": follower(0), "at": START.isoformat(), "equity": "100", "cash": "5.5", "currency": "USD",
    }  # fmt: skip


def test_a_ledger_of_version_1_gets_the_table_and_keeps_its_state(path: Path) -> None:
    observe(path, (0, 100, 0))
    with Ledger.open(path, read_only=True) as ledger:
        before = ledger.state.hash()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE equity_history")
        connection.execute("DROP TABLE notes")
        connection.execute("ALTER TABLE signals DROP COLUMN written_at")
        connection.execute("DROP INDEX signals_family")
        connection.execute("ALTER TABLE signals DROP COLUMN family")
        connection.execute("ALTER TABLE orders DROP COLUMN stop_price")
        connection.execute("ALTER TABLE orders DROP COLUMN cancel")
        connection.execute("ALTER TABLE orders DROP COLUMN profit")
        connection.execute("DROP TABLE standing")
        connection.execute("DROP TABLE joined")
        connection.execute("ALTER TABLE orders DROP COLUMN ideal")
        connection.execute("DROP INDEX events_operator")
        connection.execute("ALTER TABLE events DROP COLUMN chain")
        connection.execute("UPDATE meta SET schema_version = 1")
    with Ledger.open(path) as ledger:
        assert ledger.state.hash() == before
    observe(path, (0, 101, 1))
    assert curve(path) == ["101"]
    assert verify(path).ok
    with contextlib.closing(sqlite3.connect(path.with_name("ledger.sqlite3.v1.bak"))) as backup:
        assert backup.execute("SELECT schema_version FROM meta").fetchone() == (1,)


def test_a_thousand_accounts_in_one_transaction(path: Path) -> None:
    with Ledger.open(path) as ledger:
        ledger.observe({follower(n): seen(n, 0) for n in range(1000)})
    assert curve(path, 999) == ["999"]


def test_a_rhythm_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="every_s"):
        EquityHistory(0)
