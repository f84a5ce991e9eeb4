"""The tables of the ledger file, its versions, and the way from an older version to this one.

`events` is the truth and only grows; the other tables are its fold, kept in the same transactions, so that a start
need not replay years of events and other programs can ask simple questions. Money is text, times are ISO 8601 in UTC.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from copytrade.domain.errors import LedgerCorrupt
from copytrade.ledger.chain import chain_existing
from copytrade.ledger.faults import damaged, ledger_error
from copytrade.ledger.loading import recount_state

# A new version is due for every change of a table, and for one of `OrderRecord.canonical` or of an event's JSON too:
# the digests kept in `meta` are made of these. Coming from an older version, they are counted anew.
VERSION = 9
CHAINED_SINCE = 9  # the version in which events got their hashes
APPLICATION_ID = 0x43505954  # "CPYT": lets `file` and us tell a ledger from any other SQLite file

_TABLES = """
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    schema_version INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    writer_epoch INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    signals_count INTEGER NOT NULL,
    signals_digest TEXT NOT NULL,
    ended_count INTEGER NOT NULL,
    ended_digest TEXT NOT NULL,
    hash TEXT,
    hash_seq INTEGER
);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    chain BLOB NOT NULL
);
CREATE INDEX events_operator ON events (seq) WHERE name = 'OperatorActed';
CREATE TABLE signals (
    signal_id TEXT PRIMARY KEY,
    at TEXT NOT NULL,
    account TEXT NOT NULL,
    symbol TEXT NOT NULL,
    side TEXT NOT NULL,
    effect TEXT NOT NULL,
    quantity TEXT NOT NULL,
    price TEXT NOT NULL,
    master_order_id TEXT NOT NULL,
    body TEXT NOT NULL,
    planned_at TEXT,
    family TEXT NOT NULL DEFAULT '',
    written_at TEXT
);
CREATE INDEX signals_unplanned ON signals (signal_id) WHERE planned_at IS NULL;
CREATE INDEX signals_family ON signals (family);
CREATE TABLE orders (
    n INTEGER PRIMARY KEY,
    order_id TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    signal_id TEXT,
    account TEXT NOT NULL,
    symbol TEXT NOT NULL,
    side TEXT NOT NULL,
    effect TEXT NOT NULL,
    leg INTEGER NOT NULL,
    planned_at TEXT NOT NULL,
    intent TEXT,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    quantity TEXT NOT NULL,
    price TEXT,
    limit_price TEXT,
    venue_order_id TEXT,
    sent_at TEXT,
    acked_at TEXT,
    ended_at TEXT,
    filled TEXT NOT NULL,
    fee_base TEXT NOT NULL,
    cost TEXT NOT NULL,
    fee TEXT NOT NULL,
    stop_price TEXT,
    cancel TEXT,
    profit TEXT,
    ideal TEXT NOT NULL DEFAULT '0'
);
CREATE INDEX orders_by_signal ON orders (signal_id, account);
CREATE INDEX orders_by_account ON orders (account);
CREATE INDEX orders_by_planned_at ON orders (planned_at);
CREATE INDEX orders_open ON orders (n) WHERE ended_at IS NULL;
CREATE TABLE positions (
    account TEXT NOT NULL,
    symbol TEXT NOT NULL,
    quantity TEXT NOT NULL,
    PRIMARY KEY (account, symbol)
) WITHOUT ROWID;
CREATE TABLE parked (
    account TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE balances (
    account TEXT PRIMARY KEY,
    currency TEXT NOT NULL,
    equity TEXT NOT NULL,
    cash TEXT NOT NULL,
    held TEXT NOT NULL,
    holdings TEXT NOT NULL,
    at TEXT NOT NULL
) WITHOUT ROWID;
"""
_EQUITY_HISTORY = """
CREATE TABLE equity_history (
    account TEXT NOT NULL,
    at TEXT NOT NULL,
    equity TEXT NOT NULL,
    cash TEXT NOT NULL,
    currency TEXT NOT NULL,
    PRIMARY KEY (account, at)
) WITHOUT ROWID;
"""
_NOTES = """
CREATE TABLE notes (
    account TEXT NOT NULL,
    symbol TEXT NOT NULL,
    strategy TEXT NOT NULL,
    memory TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (account, symbol)
) WITHOUT ROWID;
"""
_STANDING = """
CREATE TABLE standing (
    kind TEXT NOT NULL,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, account, name)
) WITHOUT ROWID;
"""

_JOINED = """
CREATE TABLE joined (
    account TEXT PRIMARY KEY,
    at TEXT NOT NULL,
    held TEXT NOT NULL
) WITHOUT ROWID;
"""

Migration = Callable[[sqlite3.Connection], None]
"""Takes a file from one version to the next, inside a transaction that is not its own. Must not commit."""


def _add_equity_history(connection: sqlite3.Connection) -> None:
    connection.execute(_EQUITY_HISTORY)


def _resting_orders(connection: sqlite3.Connection) -> None:
    """Stop prices, cancels, and families of the master's orders."""
    connection.execute("ALTER TABLE orders ADD COLUMN stop_price TEXT")
    connection.execute("ALTER TABLE orders ADD COLUMN cancel TEXT")
    connection.execute("ALTER TABLE signals ADD COLUMN family TEXT NOT NULL DEFAULT ''")
    connection.execute("UPDATE signals SET family = master_order_id")
    connection.execute("CREATE INDEX signals_family ON signals (family)")
    connection.execute("DROP INDEX orders_by_signal")
    connection.execute("CREATE INDEX orders_by_signal ON orders (signal_id, account)")


def _add_notes(connection: sqlite3.Connection) -> None:
    """What strategies remember."""
    connection.execute(_NOTES)


def _when_written(connection: sqlite3.Connection) -> None:
    """When a signal was on its way to the disk: one of the times that a copy's delay is made of."""
    connection.execute("ALTER TABLE signals ADD COLUMN written_at TEXT")


def _linked_profits(connection: sqlite3.Connection) -> None:
    """The price at which a stop is taken back and its rest sold."""
    connection.execute("ALTER TABLE orders ADD COLUMN profit TEXT")


def _add_standing(connection: sqlite3.Connection) -> None:
    """What losses are counted from, limits that have tripped, entries that are carried."""
    connection.execute(_STANDING)


def _ideals_and_joining(connection: sqlite3.Connection) -> None:
    """What the rule of copying alone asked for, and since when each follower is served."""
    connection.execute("ALTER TABLE orders ADD COLUMN ideal TEXT NOT NULL DEFAULT '0'")
    connection.execute(_JOINED)


def _chain_events(connection: sqlite3.Connection) -> None:
    """A chain of hashes through all events, those that are there included."""
    connection.execute("ALTER TABLE events ADD COLUMN chain BLOB NOT NULL DEFAULT x''")
    connection.execute("CREATE INDEX events_operator ON events (seq) WHERE name = 'OperatorActed'")
    chain_existing(connection)


MIGRATIONS: Mapping[int, Migration] = {
    1: _add_equity_history,
    2: _resting_orders,
    3: _add_notes,
    4: _when_written,
    5: _linked_profits,
    6: _add_standing,
    7: _ideals_and_joining,
    8: _chain_events,
}
"""By the version they start from. Version 1 was the first released."""


def create(path: Path, created_at: datetime) -> None:
    """Make an empty ledger at `path`, whole or not at all: it is built beside it and moved into place.

    So a file that is there but empty is always damage, and is never taken for a fresh start.
    Raises `sqlite3.Error` or `OSError`.
    """
    building = path.with_name(path.name + ".new")
    building.unlink(missing_ok=True)
    os.close(os.open(building, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(building, isolation_level=None)) as connection:
            tables = " ".join([_TABLES, _EQUITY_HISTORY, _NOTES, _STANDING, _JOINED])
            connection.executescript(f"PRAGMA synchronous = FULL; BEGIN; {tables}")
            connection.execute(
                "INSERT INTO meta VALUES (1, ?, ?, 0, 0, 0, '0', 0, '0', NULL, NULL)", (VERSION, created_at.isoformat())
            )
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("COMMIT")
        building.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            building.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a new name in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def version_of(path: Path, connection: sqlite3.Connection) -> int:
    """The version of the file. Raises `LedgerCorrupt` for a newer one and for a database that is no ledger."""
    found = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()
    if not found[0]:
        raise damaged(path, "it is a database, but not a ledger: it has no table meta")
    rows = connection.execute("SELECT schema_version FROM meta").fetchall()
    if len(rows) != 1 or type(rows[0][0]) is not int or rows[0][0] < 0:
        raise damaged(path, f"its version is not readable: {rows!r}")
    version: int = rows[0][0]
    if version > VERSION:
        raise LedgerCorrupt(
            f"the ledger {path} was written by a newer version of this service (its version is {version}, this one "
            f"knows up to {VERSION}). Install that newer version, or put back a backup from before the upgrade."
        )
    return version


def bring_up_to_date(
    path: Path,
    connection: sqlite3.Connection,
    migrations: Mapping[int, Migration] = MIGRATIONS,
) -> Path | None:
    """Take an older file to `VERSION` in one transaction, after a copy of it was put beside it.

    Returns the path of that copy (`ledger.sqlite3.v<old>.bak`), or None when there was nothing to do.
    Raises `LedgerCorrupt` where it cannot be done; the file is then as it was.
    """
    version = version_of(path, connection)
    if version == VERSION:
        return None
    backup = path.with_name(f"{path.name}.v{version}.bak")
    _back_up(connection, backup)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in range(version, VERSION):
            if step not in migrations:
                raise LedgerCorrupt(
                    f"the ledger {path} is of version {step}, from which this service knows no way to version "
                    f"{VERSION}. Start it once with a release that does, or put back a newer backup."
                )
            migrations[step](connection)
        counted = recount_state(path, connection)  # digests are of this version's fields
        connection.execute(
            "UPDATE meta SET schema_version = ?, hash = NULL, hash_seq = NULL, signals_count = ?, "
            "signals_digest = ?, ended_count = ?, ended_digest = ?",
            (
                VERSION, counted.signals_count, f"{counted.signals_digest:x}",
                counted.ended_count, f"{counted.ended_digest:x}",
            ),
        )  # fmt: skip
        connection.execute("COMMIT")
    except sqlite3.Error as fault:
        connection.execute("ROLLBACK")
        raise ledger_error(path, f"brought from version {version} to {VERSION}", fault) from fault
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return backup


def _back_up(connection: sqlite3.Connection, backup: Path) -> None:
    building = backup.with_name(backup.name + ".new")
    building.unlink(missing_ok=True)
    os.close(os.open(building, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with contextlib.closing(sqlite3.connect(building)) as copy:
        connection.backup(copy)  # takes in what is still in the -wal file, which copying the file would not
    descriptor = os.open(building, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    building.replace(backup)
    sync_folder(backup.parent)
