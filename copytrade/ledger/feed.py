"""What has changed in the ledger since the last look, for a page that shows it while the worker writes it.

It follows the file's own list of events over a connection of its own, so that nothing on the way of an order knows of
it, and an unwatched page costs nothing. SQLite finds the ids inside the events; nothing is parsed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from copytrade.ledger.asking import Questions

Record = dict[str, Any]

# Past so many new events a look from scratch is cheaper than following each; a fan-out to 1,000 makes about 3,000.
EVENTS_MAX = 20_000
_IDS_AT_ONCE = 500

_COLUMNS = (
    "order_id, role, signal_id, account, symbol, side, effect, leg, planned_at, state, reason, detail, quantity, "
    "price, venue_order_id, sent_at, acked_at, ended_at, filled, cost, fee"
)
_CHANGES = """
SELECT coalesce(body ->> '$.order_id', body ->> '$.copy.order_id'),
       CASE name WHEN 'CopiesPlanned' THEN body ->> '$.signal_id' END,
       CASE name WHEN 'SignalEmitted' THEN body ->> '$.signal.signal_id' END
FROM events WHERE seq > ? AND seq <= ?
"""
# The last copy of each account: one step into the index for each, however long the ledger is.
_LAST = """
WITH RECURSIVE accounts(account) AS (
    SELECT min(account) FROM orders
    UNION ALL
    SELECT (SELECT min(account) FROM orders WHERE account > accounts.account) FROM accounts
    WHERE accounts.account IS NOT NULL
)
SELECT max_n FROM (
    SELECT (SELECT max(n) FROM orders WHERE orders.account = accounts.account) AS max_n FROM accounts
    WHERE account IS NOT NULL
)
"""


@dataclass(slots=True)
class Changes:
    """Orders that changed, as they are now; signals that came; `reset` when there was too much to tell apart."""

    orders: list[Record] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    reset: bool = False

    def __bool__(self) -> bool:
        return bool(self.orders or self.signals or self.reset)


class LedgerFeed:
    """Follows one ledger file. Used by one thread at a time, but for `close`. All methods raise `LedgerError`."""

    def __init__(self, path: Path) -> None:
        self._questions = Questions(path)
        self._ask = self._questions.ask
        self._seq = self._last_seq()

    def close(self) -> None:
        self._questions.close()

    def last_orders(self) -> list[Record]:
        """The latest order of each account, the master's among them."""
        numbers = [row[0] for row in self._ask(_LAST, ())]
        return self._in_parts("n", numbers)

    def poll(self) -> Changes:
        """What is new since the last call, or since this was made."""
        since, self._seq = self._seq, self._last_seq()
        if self._seq == since:
            return Changes()
        if self._seq - since > EVENTS_MAX:
            return Changes(reset=True)
        return self._between(since, self._seq)

    def take(self, events_max: int) -> Changes | None:
        """The next part of what is new, so many events at most, for somebody who must not miss any; None: no more."""
        since = self._seq
        self._seq = min(self._last_seq(), since + events_max)
        return None if self._seq == since else self._between(since, self._seq)

    def _between(self, since: int, until: int) -> Changes:
        orders: dict[str, None] = {}
        planned: list[str] = []
        signals: list[str] = []
        for order_id, plan, signal in self._ask(_CHANGES, (since, until)):
            if order_id is not None:
                orders[order_id] = None
            if plan is not None:
                planned.append(plan)
            if signal is not None:
                signals.append(signal)
        found = self._in_parts("signal_id", planned)
        known = {record["order_id"] for record in found}
        found += self._in_parts("order_id", [order_id for order_id in orders if order_id not in known])
        return Changes(found, [*signals, *(plan for plan in planned if plan not in signals)])

    def _in_parts(self, column: str, keys: Sequence[Any]) -> list[Record]:
        found: list[Record] = []
        for start in range(0, len(keys), _IDS_AT_ONCE):
            part = keys[start : start + _IDS_AT_ONCE]
            marks = ",".join("?" * len(part))
            query = f"SELECT {_COLUMNS} FROM orders WHERE {column} IN ({marks}) ORDER BY n"  # noqa: S608  (our words)
            found += [dict(row) for row in self._ask(query, part)]
        return found

    def _last_seq(self) -> int:
        return int(self._ask("SELECT last_seq FROM meta WHERE id = 1", ())[0][0])
