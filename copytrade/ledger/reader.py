"""What other programs (the command line, a page) may ask the ledger, while the worker writes it.

Answers are plain dictionaries by column, money as text, times as ISO 8601 in UTC; newest first unless said otherwise.
Nothing here writes or makes a file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from copytrade.domain.errors import LedgerCorrupt
from copytrade.domain.order import OrderState, Role
from copytrade.ledger.asking import Questions
from copytrade.ledger.faults import damaged

Record = dict[str, Any]

# A page of answers; a caller that wants more asks for it by `limit`, up to what fits a screen's memory.
DEFAULT_LIMIT = 100
LIMIT_MAX = 100_000


class LedgerReader:
    """Questions to the ledger file at `path`. Raises `LedgerError`: there is none yet, it is damaged, or newer."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._questions = Questions(self.path)

    def close(self) -> None:
        self._questions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def signals(self, limit: int = DEFAULT_LIMIT, since: datetime | None = None) -> list[Record]:
        """What the master did. `planned_at` is None while followers have not been asked yet.

        Each has the counts of its copies by state under `copies`, for example `{"filled": 97, "skipped": 3}`.
        """
        where, values = ("WHERE at >= ?", [since.astimezone(UTC).isoformat()]) if since else ("", [])
        return self._signals(f"{where} ORDER BY rowid DESC LIMIT ?", [*values, _bounded(limit)])

    def signal(self, signal_id: str) -> Record | None:
        """One signal, as `signals` tells it."""
        found = self._signals("WHERE signal_id = ?", [signal_id])
        return found[0] if found else None

    def _signals(self, rest: str, values: Sequence[Any]) -> list[Record]:
        found = self._ask(f"SELECT * FROM signals {rest}", values)  # noqa: S608  (our words; values are bound)
        for record in found:
            body = self._json("signals", record["signal_id"], record.pop("body"))["signal"]
            for name in ("kind", "order_kind", "equity_before", "cash_before", "position_before", "exit_fraction"):
                record[name] = body[name]
            record["copies"] = self._count("orders WHERE signal_id = ?", [record["signal_id"]])
        return found

    def orders(
        self,
        *,
        signal_id: str | None = None,
        account: str | None = None,
        state: OrderState | str | None = None,
        role: Role | str | None = None,
        since: datetime | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> list[Record]:
        """Orders of the master and copies, by any of these."""
        asked = {
            "signal_id = ?": signal_id,
            "account = ?": account,
            "state = ?": None if state is None else str(OrderState(state)),
            "role = ?": None if role is None else str(Role(role)),
            "planned_at >= ?": None if since is None else since.astimezone(UTC).isoformat(),
        }
        terms = [term for term, value in asked.items() if value is not None]
        where = f"WHERE {' AND '.join(terms)}" if terms else ""
        values = [value for value in asked.values() if value is not None]
        return self._orders(f"{where} ORDER BY n DESC LIMIT ?", [*values, _bounded(limit)])

    def copies(
        self,
        *,
        signal_id: str | None = None,
        account: str | None = None,
        state: OrderState | str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> list[Record]:
        """Followers' answers, by any of these."""
        return self.orders(signal_id=signal_id, account=account, state=state, role=Role.COPY, limit=limit)

    def order(self, order_id: str) -> Record | None:
        found = self._orders("WHERE order_id = ?", [order_id])
        return found[0] if found else None

    def fills(self, account: str) -> list[Record]:
        """All orders of one account of which something has filled, oldest first."""
        return self._orders("WHERE account = ? AND filled != '0' ORDER BY n", [account])

    def price_before(self, symbol: str, at: datetime) -> Record | None:
        """The `price` that the last order in this market before `at` was reckoned with, of any account, and its `at`;
        None when there was none."""
        query = (
            "SELECT price, planned_at AS at FROM orders WHERE symbol = ? AND planned_at < ? AND price IS NOT NULL "
            "ORDER BY planned_at DESC LIMIT 1"
        )
        found = self._ask(query, [symbol, at.astimezone(UTC).isoformat()])
        return found[0] if found else None

    def open_orders(self, limit: int = LIMIT_MAX) -> list[Record]:
        """Orders that are not at their end, oldest first."""
        return self._orders("WHERE ended_at IS NULL ORDER BY n LIMIT ?", [_bounded(limit)])

    def held_exits(self, limit: int = LIMIT_MAX) -> list[Record]:
        """Exits kept for the operator's word, oldest first."""
        held = str(OrderState.HELD)
        return self._orders("WHERE ended_at IS NULL AND state = ? ORDER BY n LIMIT ?", [held, _bounded(limit)])

    def positions(self, account: str | None = None) -> list[Record]:
        """Copied positions (for the master: what its orders here have built) that are not flat, by account."""
        if account is None:
            return self._ask("SELECT account, symbol, quantity FROM positions ORDER BY account, symbol", [])
        query = "SELECT account, symbol, quantity FROM positions WHERE account = ? ORDER BY symbol"
        return self._ask(query, [account])

    def balances(self) -> list[Record]:
        """The latest observation of each account; `holdings` is quantities by asset."""
        found = self._ask("SELECT * FROM balances ORDER BY account", [])
        for record in found:
            record["holdings"] = self._json("balances", record["account"], record["holdings"])
        return found

    def equity_history(
        self, account: str, since: datetime | None = None, until: datetime | None = None, limit: int = LIMIT_MAX
    ) -> list[Record]:
        """`at`, `equity`, `cash`, `currency` of one account, oldest first: the latest `limit` rows of the time asked
        for (`since` and `until` included)."""
        terms, values = ["account = ?"], [account]
        for term, at in (("at >= ?", since), ("at <= ?", until)):
            if at is not None:
                terms.append(term)
                values.append(at.astimezone(UTC).isoformat())
        query = f"SELECT * FROM equity_history WHERE {' AND '.join(terms)} ORDER BY at DESC LIMIT ?"  # noqa: S608
        return self._ask(query, [*values, _bounded(limit)])[::-1]

    def parked(self) -> list[Record]:
        """Accounts that wait for somebody to clear their fault."""
        return self._ask("SELECT account, reason, detail, at FROM parked ORDER BY account", [])

    def notes(self, account: str | None = None) -> list[Record]:
        """What strategies remember of each market; `memory` is an object."""
        where, values = ("WHERE account = ?", [account]) if account is not None else ("", [])
        found = self._ask(f"SELECT * FROM notes {where} ORDER BY account, symbol", values)  # noqa: S608  (our words)
        for record in found:
            record["memory"] = self._json("notes", f"{record['account']} {record['symbol']}", record["memory"])
        return found

    def counts(self) -> Record:
        """How much there is: `signals`, `unplanned`, `orders`, `open`, `ended`, `events`, and `orders_by_state`."""
        meta = self._ask("SELECT signals_count, ended_count, last_seq, created_at FROM meta WHERE id = 1", [])[0]
        open_now = self._count("orders WHERE ended_at IS NULL", [])
        unplanned = self._ask("SELECT count(*) AS n FROM signals WHERE planned_at IS NULL", [])[0]["n"]
        return {
            "created_at": meta["created_at"],
            "events": meta["last_seq"],
            "signals": meta["signals_count"],
            "unplanned": unplanned,
            "orders": meta["ended_count"] + sum(open_now.values()),
            "open": sum(open_now.values()),
            "ended": meta["ended_count"],
            "orders_by_state": self._count("orders", []),
        }

    def events(self, after: int | None = None, limit: int = DEFAULT_LIMIT) -> list[Record]:
        """Events as `seq, at, name, body`, oldest first: the latest ones, or those that follow number `after`."""
        columns = "SELECT seq, at, name, body FROM events"
        if after is None:
            found = self._ask(f"{columns} ORDER BY seq DESC LIMIT ?", [_bounded(limit)])[::-1]
        else:
            found = self._ask(f"{columns} WHERE seq > ? ORDER BY seq LIMIT ?", [after, _bounded(limit)])
        for record in found:
            record["body"] = self._json("events", record["seq"], record["body"])
        return found

    def operator_acts(self, limit: int = LIMIT_MAX) -> list[Record]:
        """The bodies of `OperatorActed` events, newest first."""
        query = "SELECT seq, body FROM events WHERE name = 'OperatorActed' ORDER BY seq DESC LIMIT ?"
        return [self._json("events", row["seq"], row["body"]) for row in self._ask(query, [_bounded(limit)])]

    # -- inside -----------------------------------------------------------------------------------------------------

    def _orders(self, rest: str, values: Sequence[Any]) -> list[Record]:
        found = self._ask(f"SELECT * FROM orders {rest}", values)  # noqa: S608  (our words; values are bound)
        for record in found:
            del record["n"], record["intent"]
        return found

    def _count(self, which: str, values: Sequence[Any]) -> dict[str, int]:
        found = self._ask(f"SELECT state, count(*) AS n FROM {which} GROUP BY state ORDER BY state", values)  # noqa: S608
        return {record["state"]: record["n"] for record in found}

    def _ask(self, query: str, values: Sequence[Any]) -> list[Record]:
        return [dict(row) for row in self._questions.ask(query, values)]

    def _json(self, table: str, row: object, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as fault:
            error: LedgerCorrupt = damaged(self.path, f"table {table}, row {row}: {fault}")
            raise error from fault


def _bounded(limit: int) -> int:
    return max(0, min(limit, LIMIT_MAX))
