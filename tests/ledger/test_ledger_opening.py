"""Opening: what is damaged, foreign, newer, older, locked or out of reach, and what the operator is told."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from ledger_samples import START, intent, plan, signal

from copytrade.domain.errors import LedgerCorrupt, LedgerError, LedgerUnwritable
from copytrade.domain.events import SignalEmitted
from copytrade.ledger import schema
from copytrade.ledger.opening import check
from copytrade.ledger.reader import LedgerReader
from copytrade.ledger.replay import replay, verify
from copytrade.ledger.store import Ledger

SIGNAL = signal("one")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger with 2,000 copies, closed."""
    path = tmp_path / "ledger.sqlite3"
    with Ledger.open(path) as ledger:
        ledger.append_sync([intent("one"), SignalEmitted(SIGNAL), plan(SIGNAL, 2000)])
    return path


def opens(path: Path) -> LedgerError | None:
    error: LedgerError | None = None
    try:
        Ledger.open(path).close()
    except LedgerError as raised:
        error = raised
    assert error is None or str(path) in str(error)
    return error


def edit(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


# -- fresh ----------------------------------------------------------------------------------------------------------


def test_a_new_ledger_is_private_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with Ledger.open(path, clock=lambda: START) as ledger:
        ledger.append_sync([intent("a")])
        for name in ("ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-shm", "ledger.sqlite3.lock"):
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o600, name
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["ledger.sqlite3", "ledger.sqlite3.lock"]
    with LedgerReader(path) as reader:
        assert reader.counts()["created_at"] == START.isoformat()


def test_a_file_that_others_could_read_is_made_private(path: Path) -> None:
    path.chmod(0o644)
    assert opens(path) is None
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_a_crash_left_of_a_file_in_the_making_is_swept_up(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    path.with_name("ledger.sqlite3.new").write_bytes(b"half")
    assert opens(path) is None


def test_commits_are_flushed_to_the_disk(path: Path) -> None:
    with Ledger.open(path) as ledger:
        assert ledger._connection is not None
        asked = {name: ledger._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous",)}
        assert asked == {"synchronous": 2}
        assert ledger._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


# -- damage ---------------------------------------------------------------------------------------------------------


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_off_a_few_bytes(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


def text_instead(path: Path) -> None:
    path.write_text("this is not a database, it is a note\n" * 100)


def zeros_in_the_middle(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(bytes(8192))


def another_database(path: Path) -> None:
    path.unlink()
    edit(path, "CREATE TABLE recipes (name TEXT)")


def no_version(path: Path) -> None:
    edit(path, "DELETE FROM meta")


def missing_events(path: Path) -> None:
    edit(path, "DELETE FROM events WHERE seq = 3")


def spoiled_number(path: Path) -> None:
    edit(path, "UPDATE orders SET quantity = '1.0.0' WHERE n = 2")


def quietly_changed(path: Path) -> None:
    edit(path, "UPDATE orders SET quantity = '1' WHERE n = 2")


def a_table_less(path: Path) -> None:
    edit(path, "DROP TABLE positions")


def only_the_wal_is_left(path: Path) -> None:
    path.rename(path.with_name("ledger.sqlite3-wal"))


DAMAGES = [
    empty, cut_in_half, cut_off_a_few_bytes, text_instead, zeros_in_the_middle, another_database, no_version,
    missing_events, spoiled_number, quietly_changed, a_table_less, only_the_wal_is_left,
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_ledger_is_not_opened(path: Path, damage: object) -> None:
    assert callable(damage)
    damage(path)
    error = opens(path)
    assert isinstance(error, LedgerCorrupt)
    assert "backup" in str(error)
    again = opens(path)  # and looking at it has not made it look whole
    assert isinstance(again, LedgerCorrupt)


@pytest.mark.parametrize("spot", range(1, 16))
def test_a_page_of_zeros_anywhere_is_noticed(path: Path, spot: int) -> None:
    pages = path.stat().st_size // 4096
    with path.open("r+b") as file:
        file.seek(pages * spot // 16 * 4096)
        if not any(file.read(4096)):
            pytest.skip("that page is empty anyway")
        file.seek(pages * spot // 16 * 4096)
        file.write(bytes(4096))
    error = opens(path)
    if error is None:  # inside a long text the shape of the file stays whole: then the replay notices
        assert not verify(path).ok
    else:
        assert isinstance(error, LedgerCorrupt)


def test_the_quick_check_of_a_large_file_gives_up_in_time(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        check(path, connection, full_bytes_max=0, quick_s_max=-1.0)
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (3,)


def test_the_quick_check_finds_a_broken_page(path: Path) -> None:
    zeros_in_the_middle(path)
    broken = (LedgerCorrupt, sqlite3.DatabaseError)  # SQLite lists what it can read past, and gives up at the rest
    with contextlib.closing(sqlite3.connect(path)) as connection, pytest.raises(broken):
        check(path, connection, full_bytes_max=0)
    assert isinstance(opens(path), LedgerCorrupt)


# -- versions -------------------------------------------------------------------------------------------------------


def test_a_newer_ledger_is_left_alone(path: Path) -> None:
    edit(path, "UPDATE meta SET schema_version = 99")
    before = path.read_bytes()
    error = opens(path)
    assert isinstance(error, LedgerCorrupt)
    assert "newer version" in str(error)
    assert path.read_bytes() == before
    with pytest.raises(LedgerCorrupt, match="newer version"):
        LedgerReader(path)


def make_v0(path: Path) -> None:
    """As a version 0 might have been: no legs, and parked accounts not known yet."""
    edit(
        path,
        "ALTER TABLE orders DROP COLUMN leg",
        "DROP TABLE parked",
        "DROP TABLE equity_history",
        "DROP TABLE notes",
        "DROP TABLE standing",
        "ALTER TABLE signals DROP COLUMN written_at",
        "DROP INDEX signals_family",
        "ALTER TABLE signals DROP COLUMN family",
        "ALTER TABLE orders DROP COLUMN stop_price",
        "ALTER TABLE orders DROP COLUMN cancel",
        "ALTER TABLE orders DROP COLUMN profit",
        "ALTER TABLE orders DROP COLUMN ideal",
        "DROP TABLE joined",
        "DROP INDEX events_operator",
        "ALTER TABLE events DROP COLUMN chain",
        "UPDATE meta SET schema_version = 0, signals_digest = 'abc'",
    )


def from_v0(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE orders ADD COLUMN leg INTEGER NOT NULL DEFAULT 0")
    connection.execute("CREATE TABLE parked (account TEXT PRIMARY KEY, reason TEXT, detail TEXT, at TEXT)")


def test_an_older_ledger_is_brought_up_to_date_with_a_backup_beside_it(path: Path) -> None:
    expected = replay(path).hash()
    make_v0(path)
    with Ledger.open(path, migrations={**schema.MIGRATIONS, 0: from_v0}) as ledger:
        assert ledger.state.hash() == expected
        ledger.append_sync([intent("afterwards")])
    assert verify(path).ok
    backup = path.with_name("ledger.sqlite3.v0.bak")
    assert backup.stat().st_mode & 0o777 == 0o600
    with contextlib.closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT schema_version FROM meta").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (2001,)
    assert opens(path) is None


def fails_half_way(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE orders ADD COLUMN leg INTEGER NOT NULL DEFAULT 0")
    connection.execute("CREATE TABLE orders (a)")


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    make_v0(path)
    with pytest.raises(LedgerError, match=f"version 0 to {schema.VERSION}"):
        Ledger.open(path, migrations={0: fails_half_way})
    with Ledger.open(path, migrations={**schema.MIGRATIONS, 0: from_v0}) as ledger:
        assert len(ledger.state.orders) == 2001


def test_a_version_without_a_way_from_it_is_refused(path: Path) -> None:
    make_v0(path)
    with pytest.raises(LedgerCorrupt, match="knows no way"):
        Ledger.open(path)
    assert set(schema.MIGRATIONS) == set(range(1, schema.VERSION))


# -- out of reach ---------------------------------------------------------------------------------------------------


def test_a_missing_folder(tmp_path: Path) -> None:
    error = opens(tmp_path / "missing" / "ledger.sqlite3")
    assert isinstance(error, LedgerUnwritable)
    assert "does not exist" in str(error)
    assert not (tmp_path / "missing").exists()


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").mkdir()
    assert isinstance(opens(tmp_path / "ledger.sqlite3"), LedgerUnwritable)


def test_a_second_writer_is_turned_away_and_told_why(path: Path) -> None:
    with Ledger.open(path) as ledger:
        error = opens(path)
        assert isinstance(error, LedgerUnwritable)
        assert f"{path}.lock" in str(error)
        ledger.append_sync([intent("still mine")])
    assert opens(path) is None


def test_a_second_writer_in_another_process(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from copytrade.ledger.store import Ledger\n"
        "ledger = Ledger.open(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read(); ledger.close()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "open\n"
        assert isinstance(opens(path), LedgerUnwritable)
        other.kill()
    assert opens(path) is None


NOBODY = 65534
OPEN_AS_NOBODY = """
import os, sys
from pathlib import Path
from copytrade.ledger.store import Ledger
from copytrade.domain.errors import LedgerUnwritable
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
try:
    Ledger.open(Path(sys.argv[1]))
except LedgerUnwritable as error:
    print(error)
"""


@pytest.mark.parametrize("read_only", ["file", "folder", "both"])
def test_without_permission(read_only: str) -> None:
    # Root may write anywhere, so another user tries, in a folder that it can reach.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state" / "ledger.sqlite3"
        Path(folder).chmod(0o755)
        path.parent.mkdir()
        Ledger.open(path).close()
        for owned in (path, path.parent, Path(f"{path}.lock")):
            if os.getuid() == 0:
                os.chown(owned, NOBODY, NOBODY)
        if read_only != "folder":
            path.chmod(0o400)
        if read_only != "file":
            Path(f"{path}.lock").unlink()
            path.parent.chmod(0o500)
        done = subprocess.run(
            [sys.executable, "-c", OPEN_AS_NOBODY, str(path)],
            capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "PYTHONPATH": os.getcwd()},
        )  # fmt: skip
        path.parent.chmod(0o700)
        assert done.returncode == 0, done.stderr
        assert "writable for this user" in done.stdout
        assert str(path) in done.stdout


# -- reading only ---------------------------------------------------------------------------------------------------


def test_reading_makes_no_file(path: Path) -> None:
    before = sorted(entry.name for entry in path.parent.iterdir())
    assert verify(path).ok
    with LedgerReader(path) as reader:
        assert reader.counts()["orders"] == 2001
        assert sorted(entry.name for entry in path.parent.iterdir()) == before
    assert sorted(entry.name for entry in path.parent.iterdir()) == before


def test_no_ledger_yet(tmp_path: Path) -> None:
    for ask in (LedgerReader, replay, verify, lambda path: Ledger.open(path, read_only=True)):
        with pytest.raises(LedgerUnwritable, match=r"no ledger at .* yet"):
            ask(tmp_path / "ledger.sqlite3")
    assert list(tmp_path.iterdir()) == []


def test_reading_damage_is_an_error_too(path: Path) -> None:
    text_instead(path)
    for ask in (LedgerReader, replay, verify, lambda path: Ledger.open(path, read_only=True)):
        with pytest.raises(LedgerCorrupt):
            ask(path)
