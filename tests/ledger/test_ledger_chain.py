"""The chain of hashes: whatever is done to an event afterwards is found, and where. And without it, it is not."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from ledger_samples import START, History, accepted, approved, filled, follower, intent, plan, signal

from copytrade.domain.errors import LedgerError
from copytrade.domain.events import SignalEmitted
from copytrade.domain.operating import OperatorActed
from copytrade.ledger.chain import GENESIS, PROBLEMS_MAX, ChainVerdict, follow, link
from copytrade.ledger.replay import verify
from copytrade.ledger.store import Ledger

SIGNAL = signal("one")
EVENTS = 80
COLUMNS = ("name", "at", "body", "chain")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed ledger of many kinds of events, written in groups and over two starts."""
    path = tmp_path_factory.mktemp("chain") / "ledger.sqlite3"
    history = History(5)
    for _ in range(2):
        with Ledger.open(path, group_ms=0) as ledger:
            for drawn in range(EVENTS // 2 - 1):
                ledger.append([history.draw(ledger.state)], hurry=bool(drawn % 3))
            ledger.append_sync([acted("kill")])
    return path


@pytest.fixture(scope="module")
def copy(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A copy to be spoiled inside transactions that are rolled back."""
    path = tmp_path_factory.mktemp("spoiled") / "ledger.sqlite3"
    shutil.copy(whole, path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def acted(what: str) -> OperatorActed:
    return OperatorActed(what, "alice", "127.0.0.1", "done", "", START, "halt")


@contextlib.contextmanager
def spoiling(connection: sqlite3.Connection, statement: str, *values: object) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        assert connection.execute(statement, values).rowcount > 0
        yield
    finally:
        connection.execute("ROLLBACK")


def look(path: Path, expect: str | None = None) -> ChainVerdict:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return follow(connection, expect)


def blind(previous: bytes, seq: int, name: bytes, at: bytes, body: bytes) -> bytes:
    """A link that leaves out what an event says: a chain without its point."""
    return link(previous, seq, b"", b"", b"")


def test_a_chain_as_it_was_written_is_whole(whole: Path) -> None:
    verdict = look(whole)
    assert verdict.ok, verdict.problems
    assert verdict.seq == EVENTS
    assert len(bytes.fromhex(verdict.head)) == 32


def test_a_new_ledger_stands_at_the_beginning(tmp_path: Path) -> None:
    Ledger.open(tmp_path / "ledger.sqlite3").close()
    verdict = look(tmp_path / "ledger.sqlite3", GENESIS.hex())
    assert verdict.ok
    assert (verdict.seq, verdict.head, verdict.expected_at) == (0, GENESIS.hex(), 0)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seq=st.integers(1, EVENTS), column=st.sampled_from(COLUMNS), place=st.floats(0, 1, exclude_max=True),
    other=st.integers(1, 255),
)  # fmt: skip
def test_any_changed_byte_is_found_where_it_is(
    copy: sqlite3.Connection, seq: int, column: str, place: float, other: int
) -> None:
    (kept,) = copy.execute(f"SELECT CAST({column} AS BLOB) FROM events WHERE seq = ?", (seq,)).fetchone()
    spoiled = bytearray(kept)
    spoiled[int(place * len(kept))] ^= other
    kind = "BLOB" if column == "chain" else "TEXT"
    with spoiling(copy, f"UPDATE events SET {column} = CAST(? AS {kind}) WHERE seq = ?", bytes(spoiled), seq):
        verdict = follow(copy)
    assert verdict.first_break == seq
    assert f"event {seq} " in verdict.problems[0]
    assert len(verdict.problems) <= 2


@pytest.mark.parametrize("seq", range(1, EVENTS + 1))
def test_an_event_that_is_taken_out_is_found(copy: sqlite3.Connection, seq: int) -> None:
    with spoiling(copy, "DELETE FROM events WHERE seq = ?", seq):
        verdict = follow(copy)
    assert verdict.first_break == seq
    assert "missing" in verdict.problems[0] or f"should end with event {EVENTS}" in verdict.problems[0]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pair=st.lists(st.integers(1, EVENTS), min_size=2, max_size=2, unique=True).map(sorted), whole_rows=st.booleans())
def test_two_events_that_change_places_are_found(
    copy: sqlite3.Connection, pair: list[int], whole_rows: bool
) -> None:
    columns = COLUMNS if whole_rows else COLUMNS[:-1]
    same = ["SELECT name, at, body FROM events WHERE seq = ?"]
    assume(copy.execute(same[0], pair[:1]).fetchone() != copy.execute(same[0], pair[1:]).fetchone())
    sets = ", ".join(f"{c} = (SELECT {c} FROM events AS o WHERE o.seq = ?1 + ?2 - events.seq)" for c in columns)
    with spoiling(copy, f"UPDATE events SET {sets} WHERE seq IN (?1, ?2)", *pair):
        verdict = follow(copy)
    assert verdict.first_break == pair[0]


def test_events_taken_off_the_end_are_found(copy: sqlite3.Connection) -> None:
    for left in range(EVENTS):
        with spoiling(copy, "DELETE FROM events WHERE seq > ?", left):
            verdict = follow(copy)
        assert verdict.first_break == left + 1
        assert verdict.problems == (f"the ledger should end with event {EVENTS} and ends with event {left}",)


def test_an_event_put_in_is_found(copy: sqlite3.Connection) -> None:
    put_in = "INSERT INTO events SELECT ? + 1, at, name, body, chain FROM events WHERE seq = ?"
    with spoiling(copy, put_in, EVENTS, EVENTS):
        assert follow(copy).first_break == EVENTS + 1
    with spoiling(copy, "INSERT INTO events SELECT 0, at, name, body, chain FROM events WHERE seq = 1"):
        assert not follow(copy).ok


def rewrite(connection: sqlite3.Connection, start: int) -> None:
    """What somebody who knows the code would do: change one event and make all hashes behind it anew."""
    before = connection.execute("SELECT chain FROM events WHERE seq = ?", (start - 1,)).fetchone()
    previous = GENESIS if before is None else before[0]
    connection.execute("UPDATE events SET body = replace(body, 'T12', 'T11') WHERE seq = ?", (start,))
    for seq, name, at, body in connection.execute(
        "SELECT seq, name, at, body FROM events WHERE seq >= ? ORDER BY seq", (start,)
    ).fetchall():
        previous = link(previous, seq, name.encode(), at.encode(), body.encode())
        connection.execute("UPDATE events SET chain = ? WHERE seq = ?", (previous, seq))


def test_a_chain_made_anew_is_told_by_a_hash_noted_elsewhere(whole: Path, tmp_path: Path) -> None:
    noted = look(whole)
    path = Path(shutil.copy(whole, tmp_path))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        (earlier,) = connection.execute("SELECT lower(hex(chain)) FROM events WHERE seq = 29").fetchone()
        rewrite(connection, 30)
    anew = look(path, noted.head)
    assert anew.ok  # by itself it is whole
    assert anew.head != noted.head
    assert anew.expected_at is None
    assert look(whole, noted.head).expected_at == EVENTS
    assert look(path, earlier).expected_at == 29  # noted before the change: nothing up to there was touched
    assert look(whole, earlier).expected_at == 29


def test_where_everything_is_broken_the_first_are_told(copy: sqlite3.Connection) -> None:
    with spoiling(copy, "UPDATE events SET body = body || ' '"):
        verdict = follow(copy)
    assert (verdict.first_break, len(verdict.problems)) == (1, PROBLEMS_MAX)


# -- controls -------------------------------------------------------------------------------------------------------


def test_without_the_chain_a_changed_record_passes(whole: Path, tmp_path: Path) -> None:
    """The replay compares what events *do*; who acted, and when, does nothing to it."""
    path = Path(shutil.copy(whole, tmp_path))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE events SET body = replace(body, 'alice', 'mallory') WHERE name = 'OperatorActed'")
        assert verify(path).ok
        assert not follow(connection).ok


def test_a_check_that_does_not_read_the_events_would_not_see_it(tmp_path: Path) -> None:
    """A file whose hashes were made by the blind link: the blind check accepts any change, so the tests above bite."""
    path = tmp_path / "ledger.sqlite3"
    with Ledger.open(path) as ledger:
        ledger.append_sync([acted("kill"), acted("unkill")])
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        previous = GENESIS
        for seq in (1, 2):
            previous = blind(previous, seq, b"", b"", b"")
            connection.execute("UPDATE events SET chain = ? WHERE seq = ?", (previous, seq))
        connection.execute("UPDATE events SET body = replace(body, 'alice', 'mallory')")
        assert follow(connection, link=blind).ok
        assert follow(connection).first_break == 1


# -- how it comes about ---------------------------------------------------------------------------------------------


def test_an_older_ledger_is_chained_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    first = approved(SIGNAL, follower(0)).order_id
    with Ledger.open(path) as ledger:
        ledger.append([intent("one"), SignalEmitted(SIGNAL), plan(SIGNAL, 250), accepted(first), filled(first)])
        for number in range(250):  # more than one part
            ledger.append([acted(f"sign in {number}")])
    expected = look(path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP INDEX events_operator")
        connection.execute("ALTER TABLE events DROP COLUMN chain")
        connection.execute("UPDATE meta SET schema_version = 8")
    with Ledger.open(path) as ledger:
        assert look(path) == expected
        ledger.append_sync([acted("the first that is written chained")])
    assert look(path).ok
    assert look(path, expected.head).expected_at == expected.seq


def test_a_write_that_failed_leaves_the_chain_whole(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with Ledger.open(path, max_pages=200) as ledger:
        with contextlib.suppress(LedgerError):
            for number in range(10_000):
                ledger.append_sync([acted(f"{number} " + "x" * 2000)])
        assert ledger.failed is not None
    with Ledger.open(path) as ledger:
        ledger.append_sync([acted("after the disk was full")])
    verdict = look(path)
    assert verdict.ok, verdict.problems
    assert verdict.seq > 10
