"""Where a simulated venue keeps its records, so that it carries on after its process was killed."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_encode = json.JSONEncoder(separators=(",", ":")).encode
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS records "
    "(kind TEXT NOT NULL, id NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID"
)


class Store:
    """Records by kind and id, written together by `flush`.

    SQLite in WAL mode without fsync: what `flush` wrote outlives a `kill -9` of the process (the operating
    system has it), not a loss of power. A simulator needs no more, and a flush costs some 50 microseconds.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the file at `path`, readable by its owner alone. Raises OSError or sqlite3.Error."""
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        # The server's thread is not always the one that opened the file; the venue's lock keeps calls apart.
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute(_SCHEMA)
        self._pending: dict[tuple[str, int | str], dict[str, Any]] = {}

    @property
    def unsaved(self) -> bool:
        """Whether something was put since the last flush."""
        return bool(self._pending)

    def put(self, kind: str, record_id: int | str, body: dict[str, Any]) -> None:
        """Note a record to be written; the last one put for a kind and id counts."""
        self._pending[(kind, record_id)] = body

    def flush(self) -> None:
        """Write everything noted, in one transaction.

        Raises sqlite3.Error; the notes are kept for the next try.
        """
        if not self._pending:
            return
        rows = [(kind, record_id, _encode(body)) for (kind, record_id), body in self._pending.items()]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._pending.clear()

    def load(self, kind: str) -> Iterator[tuple[Any, dict[str, Any]]]:
        """All written records of a kind, by id."""
        for record_id, body in self._db.execute("SELECT id, body FROM records WHERE kind = ? ORDER BY id", (kind,)):
            yield record_id, json.loads(body)

    def close(self) -> None:
        """Flush and close the file."""
        self.flush()
        self._db.close()
