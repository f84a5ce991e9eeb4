"""The ledger: the live state, and its events made durable in the order in which they happened.

Open it with `Ledger.open(path)`, `await ledger.append([event])` to know that an event is on the disk, `close()` it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from filelock import FileLock

from copytrade.domain.account import AccountId
from copytrade.domain.errors import LedgerError, LedgerUnwritable
from copytrade.domain.events import CopiesPlanned, Event, MasterIntended, OrderExecuted, SignalEmitted, event_name
from copytrade.domain.order import Role
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal
from copytrade.domain.state import OrderRecord, State
from copytrade.domain.venue import Balances
from copytrade.domain.writing_off import PositionWrittenOff
from copytrade.ledger import families
from copytrade.ledger.chain import head as chain_head
from copytrade.ledger.chronicle import Told, told
from copytrade.ledger.faults import again, damaged, ledger_error
from copytrade.ledger.group import Group, Receipt
from copytrade.ledger.history import DEFAULT_EVERY_S, EquityHistory
from copytrade.ledger.loading import DAMAGE, load_state
from copytrade.ledger.opening import lock_file, one_moment, open_for_reading, open_for_writing
from copytrade.ledger.rows import ORDER_COLUMNS_SQL, Row, order_fields, order_from_row, signal_from_body
from copytrade.ledger.schema import MIGRATIONS, Migration
from copytrade.ledger.timing import Durations
from copytrade.ledger.writer import Writer

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Events that may wait for the disk. Lanes send nothing before their intents are durable, so waiting events are about
# as many as orders in flight; ten times the largest fan-out means that the disk has stopped answering.
PENDING_MAX = 100_000
# How long `close` and `append_sync` wait for the disk: longer than any healthy one takes, shorter than patience.
DISK_TIMEOUT_S = 30.0


def _now() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """The durable record in one SQLite file; fits `copytrade.engine.ports.Ledger`. Made by `Ledger.open`.

    Events are appended by one thread at a time (the event loop's); a thread of its own writes them.
    """

    def __init__(
        self,
        path: Path,
        state: State,
        reader: sqlite3.Connection,
        *,
        writer: Writer | None = None,
        connection: sqlite3.Connection | None = None,
        lock: FileLock | None = None,
    ) -> None:
        self.path = path
        self._state = state
        self._reader = reader
        self._writer = writer
        self._connection = connection
        self._lock = lock
        self._failed: LedgerError | None = None
        self._closed = False

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        group_ms: int = 5,
        history_every_s: float = DEFAULT_EVERY_S,
        read_only: bool = False,
        max_pages: int | None = None,
        clock: Callable[[], datetime] = _now,
        migrations: Mapping[int, Migration] = MIGRATIONS,
    ) -> Ledger:
        """Open the ledger at `path` (made if it is missing, with mode 0600; its folder must exist).

        Args:
            group_ms: how long a write that is in no hurry waits for company, in milliseconds.
            history_every_s: an account's equity is noted in `equity_history` this often, in seconds.
            read_only: take no lock, load the state as it is now, and refuse to append.
            max_pages: a limit for the file, in pages of 4 KiB; None for the disk's own.
            clock: the time now, aware and in UTC; for the date of a new file.

        Raises `LedgerUnwritable` (no folder, no permission, disk full, another process has it) or `LedgerCorrupt`
        (damaged, or written by a newer version).
        """
        path = Path(path)
        if read_only:
            reader = open_for_reading(path)
            try:
                with one_moment(reader):
                    return cls(path, load_state(path, reader), reader)
            except BaseException:
                reader.close()
                raise
        if not path.parent.is_dir():
            raise ledger_error(path, "opened", FileNotFoundError(2, "No such file or directory"))
        lock = lock_file(path)
        connection: sqlite3.Connection | None = None
        try:
            connection, epoch = open_for_writing(path, clock(), max_pages, migrations)
            state, last_seq = _load_whole(path, connection)
            ledger = cls(path, state, open_for_reading(path), connection=connection, lock=lock)
            history = EquityHistory(history_every_s)
            head = chain_head(connection)
            ledger._writer = Writer(path, connection, epoch, last_seq, group_ms / 1000, ledger._fail, history, head)
        except BaseException as fault:
            if connection is not None:
                connection.close()
            lock.release()
            if isinstance(fault, sqlite3.Error | OSError):
                raise ledger_error(path, "opened", fault) from fault
            raise
        ledger._writer.start()
        return ledger

    @property
    def state(self) -> State:
        return self._state

    @property
    def failed(self) -> LedgerError | None:
        return self._failed

    @property
    def commit_times(self) -> Durations | None:
        """How long its commits have taken; None where it is open for reading only."""
        return None if self._writer is None else self._writer.commits

    # -- writing ----------------------------------------------------------------------------------------------------

    def append(self, events: Sequence[Event], *, hurry: bool = False) -> Receipt:
        """Apply the events to the live state at once and make them durable in one transaction.

        Await the result to know that they are (it raises `LedgerError` if they never will be), or drop it. With no
        events it tells when those before are. An event that may not happen raises `IllegalMove`, `KeyError` or
        `ValueError`: alone, or first of its batch, it changes nothing; in the middle of one the ledger fails for good,
        as its state is then ahead of its file.
        """
        writer = self._writer
        if writer is None:
            raise LedgerUnwritable(f"the ledger {self.path} was opened for reading only")
        with writer.lock:
            if self._failed is not None:
                raise again(self._failed)
            if self._closed:
                raise LedgerUnwritable(f"the ledger {self.path} is closed")
            group = writer.open_group()
            if not events:
                return Receipt(writer.latest(hurry=hurry))
            if len(group.events) + len(events) > PENDING_MAX:
                raise again(self._fail(_stalled(self.path)))
            first = not group.events
            changes = self._apply(events)
            for event, changed in zip(events, changes, strict=True):
                _take_in(group, event, changed, self._state)
            group.standing.update(self._state.standing.drain())
            state = self._state
            group.counters = (
                state.signals_count, state.signals_digest, state.ended_count, state.ended_digest,
            )  # fmt: skip
            writer.stir(group, first=first, hurry=hurry)
            return Receipt(group)

    def append_sync(self, events: Sequence[Event]) -> None:
        """Append and block this thread until the events are durable: for tools without an event loop."""
        self.append(events, hurry=True).wait(DISK_TIMEOUT_S)

    def observe(self, balances: Mapping[AccountId, Balances]) -> None:
        """Keep the latest balances for whoever asks; they are observations, not history, and not replayed."""
        writer = self._writer
        if writer is None or self._failed is not None or self._closed or not balances:
            return
        with writer.lock:
            group = writer.open_group()
            first = not group.events and not group.observed
            group.observed.update(balances)
            writer.stir(group, first=first, hurry=False)

    # -- reading ----------------------------------------------------------------------------------------------------

    def find(self, order_id: str) -> OrderRecord | None:
        """Any order, open or at its end, durable or on its way to be. Raises `LedgerError`."""
        found = self._state.orders.get(order_id)
        if found is not None or self._writer is None:
            return found or self._stored(order_id)
        with self._writer.lock:
            for group in self._writer.pending():
                if order_id in group.records:
                    return group.records[order_id]
        return self._stored(order_id)

    def copies_of(self, signal_id: str, *accounts: AccountId) -> Sequence[OrderRecord]:
        """All copies of one signal, or those of the accounts that are named, in the order in which they were planned.
        Raises `LedgerError`."""
        pending = self._pending()
        return self._read(lambda: families.copies_of(self._ask, self._state.orders, pending, signal_id, accounts))

    def copies_in_parts(self, signal_id: str, limit: int) -> Iterator[Sequence[OrderRecord]]:
        """All copies of one signal, up to `limit` at a time, each account's in the order in which they were planned.
        Others may append in between. Raises `LedgerError`."""
        parts = families.copies_in_parts(self._ask, self._state.orders, self._pending, signal_id, limit)
        while (part := self._read(lambda: next(parts, None))) is not None:
            yield part

    def signal(self, signal_id: str) -> Signal | None:
        """Any signal ever emitted, durable or on its way to be. Raises `LedgerError`."""
        waiting = self._state.unplanned.get(signal_id)
        if waiting is not None:
            return waiting
        if self._writer is not None:
            with self._writer.lock:
                for group in self._writer.pending():
                    for event in group.events:
                        if isinstance(event, SignalEmitted) and event.signal.signal_id == signal_id:
                            return event.signal
        for (body,) in self._ask("SELECT body FROM signals WHERE signal_id = ?", signal_id):
            try:
                return signal_from_body(body)
            except DAMAGE as fault:
                raise damaged(self.path, f"table signals, row {signal_id}: {fault}") from fault
        return None

    def signals_of(self, family: str) -> Sequence[Signal]:
        """Every signal about the master's orders of this family (see `Signal.family`), in the order in which they
        were emitted. Raises `LedgerError`."""
        pending = self._pending()
        return self._read(lambda: families.signals_of(self._ask, pending, family))

    def family(self, family: str, *accounts: AccountId) -> Sequence[tuple[Signal, Sequence[OrderRecord]]]:
        """The same, each with its copies, or with those of the accounts that are named. Raises `LedgerError`."""
        return [(signal, self.copies_of(signal.signal_id, *accounts)) for signal in self.signals_of(family)]

    def venue_order_ids(self, account: AccountId, since: datetime) -> set[str]:
        """The venue's ids of this account's orders that were planned at `since` or later. Raises `LedgerError`."""
        rows = self._ask(
            "SELECT venue_order_id FROM orders WHERE account = ? AND planned_at >= ? AND venue_order_id IS NOT NULL",
            account, since.astimezone(UTC).isoformat(),
        )  # fmt: skip
        found = {str(row[0]) for row in rows}
        if self._writer is not None:
            with self._writer.lock:
                records = [r for group in self._writer.pending() for r in group.records.values()]
            found |= {r.venue_order_id for r in records if r.account == account and r.venue_order_id is not None}
        return found

    def history(self, account: AccountId, after: int, limit: int) -> Sequence[Told]:
        """Up to `limit` of the durable signals that follow number `after`, the first one first: each with its number,
        the master's order behind it, and this account's copies. Raises `LedgerError`."""
        pending: dict[str, OrderRecord] = {}
        if self._writer is not None:
            with self._writer.lock:
                for group in self._writer.pending():
                    pending.update(group.records)
        try:
            return told(self._reader, account, after, limit, self._state.orders, pending)
        except sqlite3.Error as fault:
            raise ledger_error(self.path, "read", fault) from fault
        except DAMAGE as fault:
            raise damaged(self.path, f"tables signals and orders: {fault}") from fault

    def was_served(self, account: AccountId) -> bool:
        """Whether the account was ever asked to copy an entry, or something that it held, while it was enabled and
        copied to. Raises `LedgerError`."""
        unserved = (Reason.DISABLED, Reason.INDEPENDENT, Reason.NOTHING_TO_CLOSE)
        if self._writer is not None:
            with self._writer.lock:
                records = [r for group in self._writer.pending() for r in group.records.values()]
            if any(r.account == account and r.role is Role.COPY and r.reason not in unserved for r in records):
                return True
        query = "SELECT 1 FROM orders WHERE account = ? AND role = ? AND reason NOT IN (?, ?, ?) LIMIT 1"
        return bool(self._ask(query, account, Role.COPY.value, *(reason.value for reason in unserved)))

    # -- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Write what is waiting, note the hash of the state, give the file free. Never raises; may be called twice."""
        if self._closed:
            return
        self._closed = True
        self._reader.close()
        if self._writer is None or self._connection is None or self._lock is None:
            return
        if not self._writer.stop(DISK_TIMEOUT_S):
            # The thread hangs in the disk and still has the file: the lock stays until this process ends.
            logger.error("the ledger %s did not finish writing within %g s", self.path, DISK_TIMEOUT_S)
            return
        try:
            if self._failed is None:
                self._connection.execute(
                    "UPDATE meta SET hash = ?, hash_seq = last_seq WHERE id = 1", (self._state.hash(),)
                )
                # A file at rest in this mode can be read without any file being made beside it.
                self._connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        except sqlite3.Error as fault:
            logger.warning("the ledger %s has no check sum from its closing (%s); nothing is lost", self.path, fault)
        finally:
            self._connection.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _fail(self, error: LedgerError) -> LedgerError:
        if self._failed is None:
            self._failed = error
        return self._failed

    def _apply(self, events: Sequence[Event]) -> list[list[tuple[OrderRecord, Row]]]:
        """The records that each event changed, with their fields as they were right after it."""
        changes = []
        for index, event in enumerate(events):
            try:
                self._refuse_repeats(event)
                changed = self._state.apply(event)
            except Exception as fault:
                if index:
                    self._fail(_half_applied(self.path, event, fault))
                raise
            changes.append([(record, order_fields(record)) for record in changed])
        return changes

    def _refuse_repeats(self, event: Event) -> None:
        """What the live state has forgotten, the file still knows. Called with the writer's lock held."""
        if isinstance(event, MasterIntended):
            self._must_be_new(event.order_id)
        elif isinstance(event, SignalEmitted):
            signal_id = event.signal.signal_id
            waiting = any(
                isinstance(other, SignalEmitted) and other.signal.signal_id == signal_id
                for group in self._writer_groups()
                for other in group.events
            )
            if waiting or self._ask("SELECT 1 FROM signals WHERE signal_id = ?", signal_id):
                raise ValueError(f"signal {signal_id} is in the ledger already: the same fact came twice")
        elif isinstance(event, CopiesPlanned) and event.signal_id not in self._state.unplanned:
            # The first plan of a signal cannot repeat an order: its ids are hashes of the signal's.
            for copy in event.copies:
                self._must_be_new(copy.order_id)

    def _must_be_new(self, order_id: str) -> None:
        known = any(order_id in group.records for group in self._writer_groups())
        if known or self._ask("SELECT 1 FROM orders WHERE order_id = ?", order_id):
            raise ValueError(f"order {order_id} is in the ledger already: the same intent came twice")

    def _writer_groups(self) -> tuple[Group, ...]:
        return () if self._writer is None else self._writer.pending()

    def _pending(self) -> tuple[Group, ...]:
        """What is on its way to the disk, to be looked at before the file is: in between it may get there."""
        if self._writer is None:
            return ()
        with self._writer.lock:
            return self._writer.pending()

    def _read(self, reading: Callable[[], T]) -> T:
        try:
            return reading()
        except DAMAGE as fault:
            raise damaged(self.path, f"tables signals and orders: {fault}") from fault

    def _stored(self, order_id: str) -> OrderRecord | None:
        for row in self._select("order_id = ?", order_id):
            return self._record(row)
        return None

    def _select(self, where: str, *keys: str) -> list[Row]:
        return self._ask(f"SELECT {ORDER_COLUMNS_SQL} FROM orders WHERE {where}", *keys)  # noqa: S608  (our words)

    def _ask(self, query: str, *keys: str) -> list[Row]:
        try:
            return self._reader.execute(query, keys).fetchall()
        except sqlite3.Error as fault:
            raise ledger_error(self.path, "read", fault) from fault

    def _record(self, row: Row) -> OrderRecord:
        try:
            return order_from_row(row)
        except DAMAGE as fault:
            raise damaged(self.path, f"table orders, row {row[0]}: {fault}") from fault


def _take_in(group: Group, event: Event, changed: list[tuple[OrderRecord, Row]], state: State) -> None:
    group.events.append(event)
    opens = isinstance(event, MasterIntended | CopiesPlanned)
    for record, fields in changed:
        order_id = record.order_id
        group.records[order_id] = record
        (group.opened if opens or order_id in group.opened else group.changed)[order_id] = fields
        if isinstance(event, OrderExecuted):
            group.positions[record.account, record.symbol] = state.positions.get((record.account, record.symbol))
    if isinstance(event, PositionWrittenOff):
        group.positions[event.account, event.symbol] = state.positions.get((event.account, event.symbol))


def _load_whole(path: Path, connection: sqlite3.Connection) -> tuple[State, int]:
    """The state and the last event's number; after a clean stop the state must be the one that was closed."""
    state = load_state(path, connection)
    last_seq, noted, noted_seq = connection.execute("SELECT last_seq, hash, hash_seq FROM meta WHERE id = 1").fetchone()
    there = connection.execute("SELECT max(seq) FROM events").fetchone()[0] or 0
    if there != last_seq:
        raise damaged(path, f"it should end with event {last_seq} and ends with event {there}")
    if noted_seq == last_seq and noted != state.hash():
        raise damaged(path, "its tables are not those that were closed last time")
    return state, last_seq


def _stalled(path: Path) -> LedgerError:
    return LedgerUnwritable(
        f"the ledger {path} is not being written: {PENDING_MAX} events wait for the disk, which has stopped answering. "
        "No order is sent any more. Look at the disk and the system's log, then start the worker again."
    )


def _half_applied(path: Path, event: Event, fault: Exception) -> LedgerError:
    return LedgerError(
        f"the ledger {path} was handed events of which {event_name(event)} may not happen ({fault}), after others of "
        "the same batch. This is a fault of the program; report it with the log. Nothing of the batch was written and "
        "no order is sent any more. Starting the worker again is safe."
    )
