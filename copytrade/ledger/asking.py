"""A connection for questions, which a page may close while a thread is still asking.

Whoever waits for a thread's answer may be cancelled, and the thread goes on. Python's sqlite3 does not bear that a
connection is closed under a query: it has taken a whole process down (CPython 3.11, in its cache of statements).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from copytrade.domain.errors import LedgerError
from copytrade.ledger.faults import ledger_error
from copytrade.ledger.opening import open_for_reading


class Questions:
    """Questions to the ledger file at `path`, one at a time, from any thread. Raises `LedgerError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        self._connection: sqlite3.Connection | None = open_for_reading(path)
        self._connection.row_factory = sqlite3.Row

    def close(self) -> None:
        """Wait for the question that is being answered; those that come later raise `LedgerError`."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def ask(self, query: str, values: Sequence[Any]) -> list[Any]:
        """All rows of the answer, each a `sqlite3.Row`."""
        with self._turn:
            if self._connection is None:
                raise LedgerError(f"the ledger {self._path} is not being read here any more: its page was closed")
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as fault:
                raise ledger_error(self._path, "read", fault) from fault
