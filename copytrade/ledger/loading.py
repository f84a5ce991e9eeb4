"""From tables to a live state, and the state that the tables say when every row is counted again."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.money import Quantity
from copytrade.domain.reasons import Reason
from copytrade.domain.state import DIGEST_MODULUS, State, signal_digest
from copytrade.ledger.faults import damaged, ledger_error
from copytrade.ledger.rows import ORDER_COLUMNS_SQL, order_from_row, signal_from_body

DAMAGE = (ValueError, TypeError, LookupError, ArithmeticError, AssertionError, AttributeError)
"""What reading a spoiled value can raise."""


def load_state(path: Path, connection: sqlite3.Connection) -> State:
    """The live state, from what is open and the counters in `meta`. Raises `LedgerError`."""
    try:
        return _load(path, connection, recount=False)
    except sqlite3.Error as fault:
        raise ledger_error(path, "read", fault) from fault


def recount_state(path: Path, connection: sqlite3.Connection) -> State:
    """The same, with the counters and digests taken from every row of `orders` and `signals`. Raises `LedgerError`."""
    try:
        return _load(path, connection, recount=True)
    except sqlite3.Error as fault:
        raise ledger_error(path, "read", fault) from fault


def _load(path: Path, connection: sqlite3.Connection, *, recount: bool) -> State:
    state = State()
    _orders(path, connection, state, recount)
    _signals(path, connection, state, recount)
    if not recount:
        _counters(path, connection, state)
    for account, symbol, quantity in connection.execute("SELECT account, symbol, quantity FROM positions"):
        try:
            state.positions[AccountId(account), symbol] = Quantity(Decimal(quantity))
        except DAMAGE as fault:
            raise _spoiled(path, "positions", f"{account} {symbol}", fault) from fault
    for account, reason, detail in connection.execute("SELECT account, reason, detail FROM parked"):
        try:
            state.parked[AccountId(account)] = (Reason(reason), detail)
        except DAMAGE as fault:
            raise _spoiled(path, "parked", account, fault) from fault
    for account, symbol, strategy, memory in connection.execute("SELECT account, symbol, strategy, memory FROM notes"):
        state.notes[AccountId(account), symbol] = (strategy, memory)
    for account, at, held in connection.execute("SELECT account, at, held FROM joined"):
        try:
            state.joined[AccountId(account)] = (datetime.fromisoformat(at), held)
        except DAMAGE as fault:
            raise _spoiled(path, "joined", account, fault) from fault
    for kind, account, name, body in connection.execute("SELECT kind, account, name, body FROM standing"):
        try:
            state.standing.load((kind, AccountId(account), name), body)
        except DAMAGE as fault:
            raise _spoiled(path, "standing", f"{kind} {account} {name}", fault) from fault
    return state


def _orders(path: Path, connection: sqlite3.Connection, state: State, recount: bool) -> None:
    which = "" if recount else "WHERE ended_at IS NULL"
    for row in connection.execute(f"SELECT {ORDER_COLUMNS_SQL} FROM orders {which} ORDER BY n"):  # noqa: S608  (our words)
        try:
            record = order_from_row(row)
            if record.state.final is not (record.ended_at is not None):
                raise ValueError(f"it is {record.state} and ended at {record.ended_at}")
            if record.state.final:
                state.ended_count += 1
                state.ended_digest = (state.ended_digest + record.digest()) % DIGEST_MODULUS
            else:
                state.orders[record.order_id] = record
        except DAMAGE as fault:
            raise _spoiled(path, "orders", row[0], fault) from fault


def _signals(path: Path, connection: sqlite3.Connection, state: State, recount: bool) -> None:
    which = "" if recount else "WHERE planned_at IS NULL"
    query = f"SELECT signal_id, body, planned_at FROM signals {which} ORDER BY rowid"  # noqa: S608  (our words)
    for signal_id, body, planned_at in connection.execute(query):
        try:
            signal = signal_from_body(body)
            if signal.signal_id != signal_id:
                raise ValueError(f"its body is of signal {signal.signal_id}")
        except DAMAGE as fault:
            raise _spoiled(path, "signals", signal_id, fault) from fault
        if planned_at is None:
            state.unplanned[signal_id] = signal
        if recount:
            state.signals_count += 1
            state.signals_digest = (state.signals_digest + signal_digest(signal)) % DIGEST_MODULUS


def _counters(path: Path, connection: sqlite3.Connection, state: State) -> None:
    row = connection.execute(
        "SELECT signals_count, signals_digest, ended_count, ended_digest FROM meta WHERE id = 1"
    ).fetchone()
    try:
        state.signals_count, state.signals_digest = int(row[0]), int(row[1], 16)
        state.ended_count, state.ended_digest = int(row[2]), int(row[3], 16)
    except DAMAGE as fault:
        raise _spoiled(path, "meta", "1", fault) from fault


def _spoiled(path: Path, table: str, row: Any, fault: Exception) -> Exception:
    return damaged(path, f"table {table}, row {row}: {type(fault).__name__}: {fault}")
