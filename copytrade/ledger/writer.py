"""The one thread that writes the ledger: everything that is waiting becomes one transaction (group commit)."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from copytrade.domain.errors import LedgerError, LedgerUnwritable
from copytrade.domain.events import (
    AccountCleared,
    AccountParked,
    CopiesPlanned,
    Event,
    FollowerJoined,
    SignalEmitted,
    StrategyNoted,
    event_name,
    event_to_json,
)
from copytrade.domain.money import plain
from copytrade.ledger import rows
from copytrade.ledger.chain import GENESIS, link
from copytrade.ledger.faults import damaged, ledger_error
from copytrade.ledger.group import Group
from copytrade.ledger.history import EquityHistory
from copytrade.ledger.timing import Durations

logger = logging.getLogger(__name__)

# Balances ride with the next events, or are written by themselves once a second: they are observations, and ten
# thousand accounts refreshed in turn must not cost a disk flush each.
OBSERVED_EVERY_S = 1.0
# Size of the -wal file from which it is copied back into the main file: when nothing waits, and at the latest, so that
# it stays small and opening after a crash stays quick. Once copied it is cut back to WAL_KEPT_BYTES and begun anew.
CHECKPOINT_BYTES = 4 << 20
CHECKPOINT_BYTES_MAX = 64 << 20
WAL_KEPT_BYTES = 1 << 20

# How long a thread waits before it asks another one for the interpreter. An event loop that is busy and makes a system
# call every half a millisecond gives the interpreter away and takes it back before a waiting thread is awake; such a
# thread only gets its turn by asking. With CPython's 5 ms it never asks, and the writer was seen to stand still for
# seconds in the middle of a fan-out; with this it gets its share. Only threads that compete pay for it.
SWITCH_INTERVAL_S_MAX = 0.0005

FileIdentity = tuple[int, int]


class Writer:
    """Commits groups, one after the other, over its own connection.

    `path` is the file, `connection` an open one in autocommit mode, `epoch` the number under which this writer owns
    the file, `last_seq` the last event in it and `chain` that event's hash. `failed` is called once, before anybody
    is told, when a write fails; from then on nothing more is written.
    """

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        epoch: int,
        last_seq: int,
        group_s: float,
        failed: Callable[[LedgerError], object],
        history: EquityHistory | None = None,
        chain: bytes = GENESIS,
    ) -> None:
        self.last_seq = last_seq
        self.commits = Durations()
        self._chain = chain
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._connection = connection
        self._epoch = epoch
        self._group_s = group_s
        self._failed = failed
        self._history = history or EquityHistory()
        self._identity = _identity(path)
        self._wal_identity = _identity(self._wal)
        self._closing = False
        self._wake = threading.Condition(threading.Lock())
        self._open = Group()
        self._in_flight: Group | None = None
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)

    # -- for the thread that appends --------------------------------------------------------------------------------

    @property
    def lock(self) -> threading.Condition:
        """Held while a group is filled or read."""
        return self._wake

    def open_group(self) -> Group:
        """The group that takes what is appended now. Call with the lock held."""
        return self._open

    def pending(self) -> tuple[Group, ...]:
        """Groups that are not durable yet, oldest first. Call with the lock held."""
        return (self._open,) if self._in_flight is None else (self._in_flight, self._open)

    def latest(self, *, hurry: bool) -> Group:
        """The group after which all that has been appended is durable; a settled one if it is already. With the lock
        held. An open group without events may never be written, so nobody is to wait for that."""
        if self._open.events:
            self.stir(self._open, first=False, hurry=hurry)
            return self._open
        if self._in_flight is not None:
            return self._in_flight
        durable = Group()
        durable.settle(None)
        return durable

    def stir(self, group: Group, *, first: bool, hurry: bool) -> None:
        """Tell the thread that `group` has something (`first`), or must not wait (`hurry`). With the lock held."""
        if hurry and not group.hurry:
            group.hurry = True
            self._wake.notify_all()
        elif first:
            self._wake.notify_all()

    def start(self) -> None:
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL_S_MAX))
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Write what is waiting, then end the thread. False when it did not end in time."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # -- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            group = self._next_group()
            if group is None:
                return
            began_s = time.monotonic()
            try:
                self._commit(group)
            except Exception as fault:
                self._give_up(group, fault)
                return
            self.commits.observe(time.monotonic() - began_s)
            with self._wake:
                self._in_flight = None
                idle = not self._open.events
            group.settle(None)
            self._checkpoint(idle)

    def _next_group(self) -> Group | None:
        """Wait for something to write, then for company; None when the ledger closes and nothing is left."""
        with self._wake:
            group = self._open
            while not group.events and not self._closing:
                if group.observed:
                    self._wake.wait(OBSERVED_EVERY_S)
                    if not group.events:
                        break
                else:
                    self._wake.wait()
            until = time.monotonic() + self._group_s
            while group.events and not group.hurry and not self._closing:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._wake.wait(left)
            if not group.events and not group.observed:
                return None
            self._open = Group()
            self._in_flight = group
            return group

    def _give_up(self, group: Group, fault: Exception) -> None:
        if isinstance(fault, LedgerError):
            error = fault
        elif isinstance(fault, sqlite3.Error | OSError):
            error = ledger_error(self._path, "written", fault)
            error.__cause__ = fault
        else:
            error = LedgerError(
                f"the ledger {self._path} could not take a record ({type(fault).__name__}: {fault}). This is a fault "
                "of the program; report it with the log. Starting the worker again is safe."
            )
            error.__cause__ = fault
        logger.error("%s", error)
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as second:
            logger.warning("the failed write could not be rolled back cleanly (%s); a restart will do it", second)
        with self._wake:  # from here on nothing can be added to a group
            self._failed(error)
            waiting = self._open
            self._closing = True
        # Both groups stay in view as pending: what is asked for in memory is still answered.
        group.settle(error)
        waiting.settle(error)

    # -- one transaction --------------------------------------------------------------------------------------------

    def _commit(self, group: Group) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        seq, chain = self._write_events(group.events)
        opened = [rows.order_row(fields) for fields in group.opened.values()]
        rows.write_rows(self._connection, rows.insert_orders, opened)
        changed = [rows.order_change(fields) for fields in group.changed.values()]
        if (touched := rows.write_rows(self._connection, rows.update_orders, changed)) != len(changed):
            raise damaged(self._path, f"{len(changed)} orders changed and only {touched} of them are in it")
        self._write_positions(group)
        self._write_standing(group)
        balances = [rows.balances_row(account, seen) for account, seen in group.observed.items()]
        rows.write_rows(self._connection, rows.replace_balances, balances)
        if group.observed:
            due = self._history.due(self._connection, group.observed)
            rows.write_rows(self._connection, rows.insert_history, due)
        self._write_meta(group, seq)
        execute("COMMIT")
        self._still_ours()
        self.last_seq, self._chain = seq, chain

    def _write_events(self, events: list[Event]) -> tuple[int, bytes]:
        seq, chain = self.last_seq, self._chain
        event_rows: list[rows.Row] = []
        signals: list[rows.Row] = []
        others: list[Event] = []
        for event in events:
            seq += 1
            at = (event.signal.at if isinstance(event, SignalEmitted) else event.at).isoformat()
            name, body = event_name(event), rows.to_json(event_to_json(event))
            chain = link(chain, seq, name.encode(), at.encode(), body.encode())
            event_rows.append((seq, at, name, body, chain))
            if isinstance(event, SignalEmitted):
                signals.append(rows.signal_row(event.signal, datetime.now(UTC)))
            elif isinstance(event, CopiesPlanned | AccountParked | AccountCleared | StrategyNoted | FollowerJoined):
                others.append(event)
        rows.write_rows(self._connection, rows.insert_events, event_rows)
        rows.write_rows(self._connection, rows.insert_signals, signals)
        for event in others:
            self._write_other(event)
        return seq, chain

    def _write_other(self, event: Event) -> None:
        execute = self._connection.execute
        if isinstance(event, CopiesPlanned):
            # A later plan of the same signal (the next leg of an exit) leaves the first date in place.
            execute(
                "UPDATE signals SET planned_at = ? WHERE signal_id = ? AND planned_at IS NULL",
                (event.at.isoformat(), event.signal_id),
            )
        elif isinstance(event, AccountParked):
            detail = event.detail.encode("utf-8", "replace").decode()
            execute(
                "INSERT OR REPLACE INTO parked (account, reason, detail, at) VALUES (?, ?, ?, ?)",
                (event.account, event.reason.value, detail, event.at.isoformat()),
            )
        elif isinstance(event, AccountCleared):
            execute("DELETE FROM parked WHERE account = ?", (event.account,))
        elif isinstance(event, StrategyNoted):
            self._write_note(event)
        elif isinstance(event, FollowerJoined):
            held = event.held.encode("utf-8", "replace").decode()
            execute("INSERT OR REPLACE INTO joined VALUES (?, ?, ?)", (event.account, event.at.isoformat(), held))

    def _write_note(self, event: StrategyNoted) -> None:
        key = (event.account, event.symbol)
        if not event.memory:
            self._connection.execute("DELETE FROM notes WHERE account = ? AND symbol = ?", key)
            return
        strategy, memory = (text.encode("utf-8", "replace").decode() for text in (event.strategy, event.memory))
        self._connection.execute(
            "INSERT OR REPLACE INTO notes (account, symbol, strategy, memory, at) VALUES (?, ?, ?, ?, ?)",
            (*key, strategy, memory, event.at.isoformat()),
        )

    def _write_positions(self, group: Group) -> None:
        held = [
            (account, symbol, plain(quantity.value))
            for (account, symbol), quantity in group.positions.items()
            if quantity is not None
        ]
        flat = [key for key, quantity in group.positions.items() if quantity is None]
        rows.write_rows(self._connection, rows.replace_positions, held)
        rows.write_rows(self._connection, rows.delete_positions, flat)

    def _write_standing(self, group: Group) -> None:
        kept = [(*key, body) for key, body in group.standing.items() if body is not None]
        gone = [key for key, body in group.standing.items() if body is None]
        rows.write_rows(self._connection, rows.replace_standing, kept)
        rows.write_rows(self._connection, rows.delete_standing, gone)

    def _write_meta(self, group: Group, seq: int) -> None:
        if group.counters is None:  # observations only
            owned = self._connection.execute(
                "UPDATE meta SET last_seq = ? WHERE writer_epoch = ?", (seq, self._epoch)
            ).rowcount
        else:
            signals_count, signals_digest, ended_count, ended_digest = group.counters
            owned = self._connection.execute(
                "UPDATE meta SET last_seq = ?, signals_count = ?, signals_digest = ?, ended_count = ?, "
                "ended_digest = ? WHERE writer_epoch = ?",
                (seq, signals_count, f"{signals_digest:x}", ended_count, f"{ended_digest:x}", self._epoch),
            ).rowcount
        if owned != 1:  # somebody deleted the lock file and opened the ledger a second time
            raise self._taken_over("another process has taken over the ledger %s")

    # -- the file itself --------------------------------------------------------------------------------------------

    def _still_ours(self) -> None:
        """After each commit, before anybody is told: what was written is in the file that the next start will read."""
        if _identity(self._path) != self._identity:
            raise self._taken_over("the ledger %s was deleted, moved or replaced while in use")
        if _identity(self._wal) != self._wal_identity:
            raise self._taken_over("the -wal file of the ledger %s was deleted, moved or replaced while in use")

    def _taken_over(self, what: str) -> LedgerUnwritable:
        return LedgerUnwritable(
            f"{what % self._path}. No order is sent from here any more. Stop every copytrade process, put the latest "
            "file back if one was moved, and start one worker; it compares with the venues before it trades."
        )

    def _checkpoint(self, idle: bool) -> None:
        try:
            size = os.stat(self._wal).st_size
            if size < (CHECKPOINT_BYTES if idle else CHECKPOINT_BYTES_MAX):
                return
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except (sqlite3.Error, OSError) as fault:
            # Nothing is lost: all of it is in the -wal file. If the disk is at fault the next commit will say so.
            logger.warning("the ledger's -wal file could not be copied back into %s (%s)", self._path, fault)


def _identity(path: Path) -> FileIdentity | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
