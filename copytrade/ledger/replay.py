"""The proof that the ledger is right: its events, folded again from the first, give the state of its tables.

replay(path)                    the state that the events give
verify(path, live)              compares that with the tables, and with a live state
follow_chain(path)              follows the hashes from event to event: whether they are what was written
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from copytrade.domain.errors import LedgerCorrupt, LedgerError
from copytrade.domain.events import Event, event_from_json
from copytrade.domain.state import State
from copytrade.ledger.chain import ChainVerdict, follow
from copytrade.ledger.faults import damaged, ledger_error
from copytrade.ledger.loading import DAMAGE, load_state, recount_state
from copytrade.ledger.opening import one_moment, open_for_reading
from copytrade.ledger.schema import CHAINED_SINCE, version_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found: hashes of one moment of the file, and in `problems` every difference, in words."""

    events: int
    replay_hash: str
    tables_hash: str
    loaded_hash: str
    live_hash: str | None
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def events_of(path: Path, connection: sqlite3.Connection) -> Iterator[Event]:
    """Every event in the order in which it happened. Raises `LedgerError`, also for a hole in the numbers."""
    expected = 0
    try:
        for seq, name, body in connection.execute("SELECT seq, name, body FROM events ORDER BY seq"):
            expected += 1
            if seq != expected:
                raise damaged(path, f"event {expected} is missing: after {expected - 1} comes {seq}")
            try:
                event = event_from_json(name, json.loads(body))
            except DAMAGE as fault:
                raise damaged(path, f"event {seq} ({name}): {type(fault).__name__}: {fault}") from fault
            yield event
    except sqlite3.Error as fault:
        raise ledger_error(path, "read", fault) from fault


def replay(path: Path, *, new_state: Callable[[], State] = State) -> State:
    """The state that the events of the ledger at `path` give. Works while a worker writes. Raises `LedgerError`."""
    with contextlib.closing(open_for_reading(path)) as connection, one_moment(connection):
        return _fold(path, connection, new_state())[0]


def verify(path: Path, live: State | None = None, *, new_state: Callable[[], State] = State) -> Verdict:
    """Compare the events of the ledger with its tables, every row counted, and with `live` if it is given.

    A live state is comparable once all that was appended is durable. `new_state` makes the state to fold into.
    Raises `LedgerError` where the file cannot be read; differences are in the verdict, with damage that only shows
    in the reading of a value.
    """
    problems: list[str] = []
    with contextlib.closing(open_for_reading(path)) as connection, one_moment(connection):
        replayed, events = State(), 0
        tables = loaded = State()
        try:
            replayed, events = _fold(path, connection, new_state())
            tables = recount_state(path, connection)
            loaded = load_state(path, connection)
        except LedgerCorrupt as fault:
            problems.append(str(fault))
    replay_hash = replayed.hash()
    if not problems:
        problems += _differences("the events give", replayed, "the tables hold", tables)
        problems += _differences("the events give", replayed, "the table meta counts", loaded)
        if live is not None:
            problems += _differences("the events give", replayed, "the live state holds", live)
    return Verdict(
        events, replay_hash, tables.hash(), loaded.hash(), None if live is None else live.hash(), tuple(problems)
    )


def follow_chain(path: Path, expect: str | None = None) -> ChainVerdict:
    """Follow the chain of hashes through the ledger at `path`, as `chain.follow` tells. Works while a worker writes.

    Raises `LedgerError`, also for a file from before events were chained.
    """
    with contextlib.closing(open_for_reading(path)) as connection, one_moment(connection):
        if (version := version_of(path, connection)) < CHAINED_SINCE:
            raise LedgerError(
                f"the ledger {path} is of version {version}, in which events were not chained yet: start the worker "
                "once (python run_master.py), that chains them"
            )
        try:
            return follow(connection, expect)
        except sqlite3.Error as fault:
            raise ledger_error(path, "read", fault) from fault


def _fold(path: Path, connection: sqlite3.Connection, state: State) -> tuple[State, int]:
    count = 0
    for event in events_of(path, connection):
        count += 1
        try:
            state.apply(event)
        except DAMAGE as fault:
            raise damaged(path, f"event {count} may not happen: {type(fault).__name__}: {fault}") from fault
    return state, count


def _differences(one: str, left: State, other: str, right: State) -> list[str]:
    """Where two states part, in words; empty when their hashes agree."""
    if left.hash() == right.hash():
        return []
    found = []
    for order_id in sorted(left.orders.keys() | right.orders.keys()):
        ours, theirs = left.orders.get(order_id), right.orders.get(order_id)
        if ours is None or theirs is None or ours.canonical() != theirs.canonical():
            found.append(f"order {order_id}: {one} {ours}, {other} {theirs}")
    for key in sorted(left.positions.keys() | right.positions.keys()):
        if left.positions.get(key) != right.positions.get(key):
            found.append(f"position {key}: {one} {left.positions.get(key)}, {other} {right.positions.get(key)}")
    if left.parked != right.parked:
        found.append(f"parked accounts: {one} {left.parked}, {other} {right.parked}")
    if left.notes != right.notes:
        found.append(f"notes of strategies: {one} {left.notes}, {other} {right.notes}")
    if left.standing.canonical() != right.standing.canonical():
        found.append(
            f"limits and carried entries: {one} {left.standing.canonical()}, {other} {right.standing.canonical()}"
        )
    if left.joined != right.joined:
        found.append(f"followers that joined: {one} {left.joined}, {other} {right.joined}")
    if left.unplanned != right.unplanned:
        found.append(f"unplanned signals: {one} {sorted(left.unplanned)}, {other} {sorted(right.unplanned)}")
    if (left.signals_count, left.signals_digest) != (right.signals_count, right.signals_digest):
        found.append(f"signals: {one} {left.signals_count}, {other} {right.signals_count}, or their contents differ")
    if (left.ended_count, left.ended_digest) != (right.ended_count, right.ended_digest):
        found.append(f"ended orders: {one} {left.ended_count}, {other} {right.ended_count}, or their contents differ")
    return found or [f"the hashes differ: {one} {left.hash()}, {other} {right.hash()}"]
