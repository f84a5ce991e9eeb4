"""The master's signals in their order, each with its order and one account's copies: what drift is reckoned from."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence

from copytrade.domain.account import AccountId
from copytrade.domain.signal import Signal
from copytrade.domain.state import OrderRecord
from copytrade.ledger.rows import ORDER_COLUMNS_SQL, order_from_row, signal_from_body

_ASKED_AT_ONCE = 500  # below SQLite's bound of 999 values in one statement of its older versions

Told = tuple[int, Signal, OrderRecord | None, Sequence[OrderRecord]]
"""The signal's number, the signal, the master's order behind it if there is one, and the copies."""


def told(
    connection: sqlite3.Connection, account: AccountId, after: int, limit: int,
    live: Mapping[str, OrderRecord], pending: Mapping[str, OrderRecord],
) -> list[Told]:  # fmt: skip
    """Up to `limit` signals that follow number `after`, the first one first. What is not durable yet is not among them.

    `live` and `pending` are the orders that are open, and those that are on their way to the file: it may be behind on
    them, or not have them yet. Raises `sqlite3.Error`, and what reading a
    spoiled row can raise.
    """
    rows = connection.execute(
        "SELECT rowid, body FROM signals WHERE rowid > ? ORDER BY rowid LIMIT ?", (after, min(limit, _ASKED_AT_ONCE))
    ).fetchall()
    signals = [(int(number), signal_from_body(body)) for number, body in rows]
    copies: dict[str, list[OrderRecord]] = {}
    ids = [signal.signal_id for _, signal in signals]

    def newer(order_id: str) -> OrderRecord | None:
        return live.get(order_id) or pending.get(order_id)

    found = {r.order_id: r for r in _orders(connection, "account = ? AND signal_id IN", ids, newer, account)}
    wanted = set(ids)
    for record in pending.values():
        if record.account == account and record.signal_id in wanted:
            found.setdefault(record.order_id, record)
    for record in found.values():
        copies.setdefault(record.signal_id or "", []).append(record)
    names = list({signal.master_order_id for _, signal in signals if signal.master_order_id})
    masters = {record.order_id: record for record in _orders(connection, "order_id IN", names, newer)}
    return [(n, s, masters.get(s.master_order_id), copies.get(s.signal_id, [])) for n, s in signals]


def _orders(
    connection: sqlite3.Connection, which: str, keys: Sequence[str], newer: Callable[[str], OrderRecord | None],
    *first: str,
) -> Iterable[OrderRecord]:  # fmt: skip
    if not keys:
        return
    marks = ",".join("?" * len(keys))
    # `+n`: to save the sorting of a few rows, SQLite would else go through every order that the account ever had.
    query = f"SELECT {ORDER_COLUMNS_SQL} FROM orders WHERE {which} ({marks}) ORDER BY +n"  # noqa: S608  (our words)
    for row in connection.execute(query, (*first, *keys)).fetchall():
        yield newer(row[0]) or order_from_row(row)
