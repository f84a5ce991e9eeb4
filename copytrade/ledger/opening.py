"""Opening the ledger file: lock it, see that it is whole and of our version, and set up the connections."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from copytrade.domain.errors import LedgerUnwritable
from copytrade.ledger.faults import damaged, ledger_error
from copytrade.ledger.schema import MIGRATIONS, Migration, bring_up_to_date, create, version_of
from copytrade.ledger.writer import WAL_KEPT_BYTES

# Other connections hold SQLite's own locks for milliseconds (a reader that opens, a checkpoint).
BUSY_TIMEOUT_S = 5.0
# A full check reads every page and compares every index with its table: about 0.3 s for this much. Larger files get
# the quick check (pages and their order), and that for at most so long, as a start must not take minutes.
FULL_CHECK_BYTES_MAX = 32 << 20
QUICK_CHECK_S_MAX = 5.0
_STEPS_BETWEEN_LOOKS = 10_000  # of SQLite's machine; far below a millisecond


def lock_file(path: Path) -> FileLock:
    """Take the lock of the ledger at `path`, for as long as its writer lives. Raises `LedgerUnwritable`."""
    lock = FileLock(f"{path}.lock", timeout=0, mode=0o600, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise LedgerUnwritable(
            f"the ledger {path} is in use by another copytrade process, which holds {path}.lock. "
            "Stop that process, or give this one another folder with --state."
        ) from None
    except (OSError, NotImplementedError) as fault:
        if isinstance(fault, OSError):
            raise ledger_error(path, "opened", fault) from fault
        raise LedgerUnwritable(
            f"the ledger {path} cannot be locked: its file system has no file locks. Name another folder with --state."
        ) from fault
    return lock


def open_for_writing(
    path: Path, created_at: datetime, max_pages: int | None, migrations: Mapping[int, Migration] = MIGRATIONS
) -> tuple[sqlite3.Connection, int]:
    """The writer's connection and the epoch under which it owns the file. The lock must be held.

    A missing file is made; one that is there must be a whole ledger. Raises `LedgerError`.
    """
    connection: sqlite3.Connection | None = None
    try:
        _find_or_create(path, created_at)
        with path.open("rb+"):  # SQLite itself would open a file that it may not write, and fail later
            pass
        path.chmod(0o600)
        connection = _connect(path, "rw")
        check(path, connection)
        bring_up_to_date(path, connection, migrations)
        if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise LedgerUnwritable(
                f"the ledger {path} cannot be kept here: its file system has no shared memory between processes "
                "(a network drive?). Name a folder on a local disk with --state."
            )
        for setting in ("synchronous = FULL", "fullfsync = 1", "checkpoint_fullfsync = 1", "wal_autocheckpoint = 0"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
        if max_pages is not None:
            connection.execute(f"PRAGMA max_page_count = {max_pages:d}")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE meta SET writer_epoch = writer_epoch + 1 WHERE id = 1")
        epoch: int = connection.execute("SELECT writer_epoch FROM meta WHERE id = 1").fetchone()[0]
        connection.execute("COMMIT")
        return connection, epoch
    except BaseException as fault:
        if connection is not None:
            connection.close()
        if isinstance(fault, sqlite3.Error | OSError):
            raise ledger_error(path, "opened", fault) from fault
        raise


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write and makes no file. Raises `LedgerError`."""
    if not path.exists():
        raise LedgerUnwritable(
            f"there is no ledger at {path} yet: it is made when the worker first runs (python run_master.py). "
            "If it ran elsewhere, name its folder with --state."
        )
    try:
        connection = _connect(path, "ro")
        try:
            connection.execute("PRAGMA query_only = 1")
            version_of(path, connection)
        except BaseException:
            connection.close()
            raise
        return connection
    except (sqlite3.Error, OSError) as fault:
        raise ledger_error(path, "read", fault) from fault


def check(
    path: Path,
    connection: sqlite3.Connection,
    full_bytes_max: int = FULL_CHECK_BYTES_MAX,
    quick_s_max: float = QUICK_CHECK_S_MAX,
) -> None:
    """See that the file is whole, within the bounds above. Raises `LedgerCorrupt`, or `sqlite3.Error`."""
    small = path.stat().st_size <= full_bytes_max
    until = time.monotonic() + quick_s_max
    if not small:
        connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS_BETWEEN_LOOKS)
    try:
        found = connection.execute("PRAGMA integrity_check(3)" if small else "PRAGMA quick_check(3)").fetchall()
    except sqlite3.OperationalError as fault:
        if getattr(fault, "sqlite_errorcode", 0) != sqlite3.SQLITE_INTERRUPT:
            raise
        return  # as far as the time went, nothing was found
    finally:
        connection.set_progress_handler(None, 0)
    if found != [("ok",)]:
        raise damaged(path, "; ".join(str(row[0]) for row in found))


@contextlib.contextmanager
def one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """All reads inside see the file as it was at the first of them, whatever is written meanwhile."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def _find_or_create(path: Path, created_at: datetime) -> None:
    leftover = path.with_name(path.name + "-wal")
    if path.exists():
        if path.stat().st_size == 0:
            raise damaged(path, "it is empty, and this service never leaves it so")
        return
    if leftover.exists() and leftover.stat().st_size:
        raise damaged(path, f"the file itself is gone, but {leftover.name} with its latest records is still there")
    create(path, created_at)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # Used by one thread at a time, but not always by the one that opened it.
    return sqlite3.connect(
        f"file:{quote(os.fspath(path.absolute()))}?mode={mode}",
        uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S, check_same_thread=False,
    )  # fmt: skip
