"""The trades of every account in the order in which the ledger learned of them, each under the number of its event.

A trade is an order that is over and has filled, in whole or in part. Its event is told once; a number that was seen
is all that a reader has to keep to go on from there.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copytrade.ledger.faults import ledger_error
from copytrade.ledger.opening import one_moment, open_for_reading

Record = dict[str, Any]

_TRADES = """
SELECT e.seq, e.body ->> '$.at' AS at, o.account, o.symbol, o.side, o.effect, o.role, o.kind, o.order_id,
       o.venue_order_id, o.signal_id, e.body ->> '$.quantity' AS quantity, e.body ->> '$.cost' AS cost,
       e.body ->> '$.fee' AS fee, e.body ->> '$.fee_base' AS fee_base, e.body ->> '$.status' AS status, o.reason,
       o.detail, o.planned_at
FROM events e JOIN orders o ON o.order_id = e.body ->> '$.order_id'
WHERE e.seq > ? AND e.seq <= ? AND e.name = 'OrderExecuted' AND e.body ->> '$.status' <> 'open'
  AND CAST(e.body ->> '$.quantity' AS REAL) > 0
ORDER BY e.seq LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Trades:
    """What followed a number: `upto` is the number to go on from, `ledger` tells one ledger file from another."""

    ledger: str
    upto: int
    trades: tuple[Record, ...]


def trades_after(path: Path, after: int, limit: int, ledger: str | None = None) -> Trades:
    """Up to `limit` trades that follow event number `after`, oldest first; all from the first if the file is not the
    one that `ledger` names. Money is text. Makes no file, and may be asked while the worker writes.

    Raises `LedgerError`.
    """
    with contextlib.closing(open_for_reading(path)) as connection:
        connection.row_factory = sqlite3.Row
        try:
            with one_moment(connection):
                meta = connection.execute("SELECT created_at, last_seq FROM meta WHERE id = 1").fetchone()
                begin = after if ledger in (None, meta["created_at"]) and after <= meta["last_seq"] else 0
                if begin == meta["last_seq"]:
                    return Trades(meta["created_at"], begin, ())
                found = connection.execute(_TRADES, (begin, meta["last_seq"], limit)).fetchall()
        except sqlite3.Error as fault:
            raise ledger_error(path, "read", fault) from fault
    upto = found[-1]["seq"] if len(found) == limit else meta["last_seq"]
    return Trades(meta["created_at"], upto, tuple(dict(row) for row in found))
