"""What the console shows out of the ledger's file, in the shapes that pages and API share. Called in threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from copytrade.domain.reasons import Reason
from copytrade.ledger.reader import LedgerReader
from copytrade.ledger.sealing import SEALED

Json = dict[str, Any]
Redact = Callable[[str], str]

SIGNALS_MAX = 200
ORDERS_MAX = 400  # a row is about 450 bytes: the answer stays under 200 KB
_DETAIL_MAX = 160
_CURVE_POINTS_MAX = 400  # more than a screen has columns for

COPY_COLUMNS = (
    "account", "leg", "state", "quantity", "filled", "price", "planned_ms", "sent_ms", "acked_ms", "ended_ms",
    "reason", "detail", "venue_order_id",
)  # fmt: skip
"""A row of a fan-out. Times are milliseconds after the signal."""


class Records:
    """Answers from the file at `path`. All raise `LedgerError`."""

    def __init__(self, path: Path, redact: Redact) -> None:
        self._path = path
        self._redact = redact

    def signals(self, limit: int) -> list[Json]:
        with LedgerReader(self._path) as reader:
            return [_signal(record) for record in reader.signals(limit=min(limit, SIGNALS_MAX))]

    def signal(self, signal_id: str) -> Json | None:
        """One signal with its master order and all its copies; None for an unknown one."""
        with LedgerReader(self._path) as reader:
            found = reader.signal(signal_id)
            if found is None:
                return None
            master = reader.order(found["master_order_id"])
            copies = reader.copies(signal_id=signal_id, limit=100_000)[::-1]
        rows = [copy_row(copy, found["at"], self._redact) for copy in copies]
        return {
            "signal": _signal(found),
            "master": None if master is None else self._order(master),
            "columns": COPY_COLUMNS,
            "rows": rows,
            "reasons": reason_texts({row[10] for row in rows}),
        }

    def orders(self, **asked: Any) -> list[Json]:
        with LedgerReader(self._path) as reader:
            return [self._order(record) for record in reader.orders(**asked)]

    def account(self, account: str) -> Json:
        """Positions, the last copies, and the curve of one account."""
        with LedgerReader(self._path) as reader:
            return {
                "positions": [
                    {"symbol": row["symbol"], "quantity": row["quantity"]} for row in reader.positions(account)
                ],
                "orders": [self._order(record) for record in reader.orders(account=account, limit=100)],
                "curve": _curve(reader.equity_history(account)),
            }

    def seen(self, limit: int) -> list[Json]:
        """What the worker saw of operators' acts that stand in no line of their file, newest first: a kill switch that
        was touched, files that were edited."""
        with LedgerReader(self._path) as reader:
            acts = reader.operator_acts(10 * limit)
        return [
            {
                "at": act["at"], "who": act["by"], "where": act["source"], "what": act["what"],
                "asked": {"seen": self._redact(act["target"])}, "outcome": act["outcome"], "hash": "",
            }
            for act in acts if not act["record"] and act["what"] != SEALED
        ][:limit]  # fmt: skip

    def size(self) -> Json:
        """How large the ledger is."""
        with LedgerReader(self._path) as reader:
            counts = reader.counts()
        wal = self._path.with_name(self._path.name + "-wal")
        return {
            "events": counts["events"], "signals": counts["signals"], "orders": counts["orders"],
            "open": counts["open"], "by_state": counts["orders_by_state"], "created_at": counts["created_at"],
            "bytes": self._path.stat().st_size, "wal_bytes": wal.stat().st_size if wal.exists() else 0,
        }  # fmt: skip

    def _order(self, record: Mapping[str, Any]) -> Json:
        kept = (
            "order_id", "role", "signal_id", "account", "symbol", "side", "effect", "state", "quantity", "price",
            "filled", "cost", "fee", "venue_order_id", "planned_at", "sent_at", "acked_at", "ended_at",
        )  # fmt: skip
        return {
            **{name: record[name] for name in kept},
            "reason": Reason(record["reason"]).text,
            "detail": self._redact(record["detail"])[:_DETAIL_MAX],
        }


def copy_row(copy: Mapping[str, Any], signal_at: str, redact: Redact) -> list[Any]:
    """One row of a fan-out, in the order of `COPY_COLUMNS`."""
    began = datetime.fromisoformat(signal_at)
    detail = redact(copy["detail"])[:_DETAIL_MAX] if copy["detail"] else ""
    return [
        copy["account"], copy["leg"], copy["state"], copy["quantity"], copy["filled"], copy["price"],
        _after(began, copy["planned_at"]), _after(began, copy["sent_at"]), _after(began, copy["acked_at"]),
        _after(began, copy["ended_at"]), copy["reason"], detail, copy["venue_order_id"],
    ]  # fmt: skip


def last_of(order: Mapping[str, Any]) -> list[Any]:
    """The last order of an account, for its row in the overview."""
    return [order["planned_at"], order["side"], order["symbol"], order["state"], order["signal_id"]]


def reason_texts(reasons: set[str]) -> dict[str, str]:
    return {reason: Reason(reason).text for reason in sorted(reasons)}


def _signal(record: Mapping[str, Any]) -> Json:
    kept = ("signal_id", "at", "symbol", "side", "effect", "quantity", "price", "kind", "planned_at", "copies")
    return {name: record[name] for name in kept}


def _after(began: datetime, at: str | None) -> int | None:
    return None if at is None else round((datetime.fromisoformat(at) - began).total_seconds() * 1000)


def _curve(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """As many points as a screen can show, the first and the last among them."""
    step = max(1, -(-len(rows) // _CURVE_POINTS_MAX))
    kept = [*rows[::step], *rows[-1:]] if rows and (len(rows) - 1) % step else rows[::step]
    return [[row["at"], row["equity"]] for row in kept]
