"""Between values and the columns of the ledger's tables.

An order record keeps changing, so its fields are picked out when an event is applied (`order_fields`, one call into
C), and put into words later, on the writer's thread (`order_row`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any, cast

from copytrade.domain.account import AccountId
from copytrade.domain.events import MasterIntended, SignalEmitted, event_from_json, event_to_json
from copytrade.domain.money import Amount, Price, Quantity, plain
from copytrade.domain.order import Effect, OrderKind, OrderState, Role, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import Balances

Row = tuple[Any, ...]

_FIXED = ("order_id", "role", "signal_id", "account", "side", "effect", "leg", "planned_at", "intent")
_CHANGING = (
    "symbol", "kind", "state", "reason", "detail", "quantity", "price", "limit_price", "venue_order_id",
    "sent_at", "acked_at", "ended_at", "filled", "fee_base", "cost", "fee", "stop_price", "cancel", "profit",
    "ideal",
)  # fmt: skip
ORDER_COLUMNS = _FIXED + _CHANGING
ORDER_COLUMNS_SQL = ", ".join(ORDER_COLUMNS)

order_fields = cast(Callable[[OrderRecord], Row], attrgetter(*ORDER_COLUMNS))
"""The fields of a record as they are now, in the order of `ORDER_COLUMNS`."""


to_json = json.JSONEncoder(separators=(",", ":")).encode
"""Compact JSON text. `json.dumps` with separators would make a new encoder for each of thousands of events."""


def order_row(fields: Row) -> Row:
    """All columns of a record, from its `order_fields`."""
    order_id, role, signal_id, account, side, effect, leg, planned_at, intent = fields[: len(_FIXED)]
    return (
        order_id, role._value_, signal_id, account, side._value_, effect._value_, leg, planned_at.isoformat(),
        None if intent is None else to_json(event_to_json(intent)), *_changing_columns(fields),
    )  # fmt: skip


def order_change(fields: Row) -> Row:
    """The id of a record and the columns that can change, from its `order_fields`."""
    return (fields[0], *_changing_columns(fields))


def _changing_columns(fields: Row) -> Row:
    # `_value_` is what an enum's `value` looks up, slowly; there are 15,000 of these for 5,000 copies.
    (
        symbol, kind, state, reason, detail, quantity, price, limit_price, venue_order_id,
        sent_at, acked_at, ended_at, filled, fee_base, cost, fee, stop_price, cancel, profit, ideal,
    ) = fields[len(_FIXED) :]  # fmt: skip
    return (
        symbol, kind._value_, state._value_, reason._value_, detail, plain(quantity.value),
        None if price is None else plain(price.value),
        None if limit_price is None else plain(limit_price.value), venue_order_id,
        None if sent_at is None else sent_at.isoformat(),
        None if acked_at is None else acked_at.isoformat(),
        None if ended_at is None else ended_at.isoformat(),
        plain(filled.value), plain(fee_base.value), plain(cost.value), plain(fee.value),
        None if stop_price is None else plain(stop_price.value), None if cancel is None else cancel._value_,
        None if profit is None else plain(profit.value), plain(ideal.value),
    )  # fmt: skip


def order_from_row(row: Sequence[Any]) -> OrderRecord:
    """The inverse of `order_row`. Raises `ValueError`, `TypeError`, `KeyError` or `ArithmeticError` on damage."""
    (
        order_id, role, signal_id, account, side, effect, leg, planned_at, intent,
        symbol, kind, state, reason, detail, quantity, price, limit_price, venue_order_id,
        sent_at, acked_at, ended_at, filled, fee_base, cost, fee, stop_price, cancel, profit, ideal,
    ) = row  # fmt: skip
    return OrderRecord(
        order_id=order_id, role=Role(role), signal_id=signal_id, account=AccountId(account), symbol=symbol,
        side=Side(side), effect=Effect(effect), kind=OrderKind(kind), state=OrderState(state), reason=Reason(reason),
        detail=detail, quantity=Quantity(Decimal(quantity)), price=None if price is None else Price(Decimal(price)),
        limit_price=None if limit_price is None else Price(Decimal(limit_price)), leg=leg,
        planned_at=datetime.fromisoformat(planned_at), venue_order_id=venue_order_id,
        sent_at=_time(sent_at), acked_at=_time(acked_at), ended_at=_time(ended_at),
        filled=Quantity(Decimal(filled)), fee_base=Quantity(Decimal(fee_base)), cost=Amount(Decimal(cost)),
        fee=Amount(Decimal(fee)), intent=None if intent is None else _intent(intent),
        stop_price=None if stop_price is None else Price(Decimal(stop_price)),
        cancel=None if cancel is None else Reason(cancel),
        profit=None if profit is None else Price(Decimal(profit)), ideal=Quantity(Decimal(ideal)),
    )  # fmt: skip


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _intent(text: str) -> MasterIntended:
    event = event_from_json("MasterIntended", json.loads(text))
    assert isinstance(event, MasterIntended)
    return event


def signal_row(signal: Signal, written_at: datetime) -> Row:
    """The columns of `signals`, all but `planned_at`."""
    return (
        signal.signal_id, signal.at.isoformat(), signal.account, signal.symbol, signal.side.value,
        signal.effect.value, plain(signal.quantity.value), plain(signal.price.value), signal.master_order_id,
        to_json(event_to_json(SignalEmitted(signal))), signal.family, written_at.isoformat(),
    )  # fmt: skip


def signal_from_body(body: str) -> Signal:
    """From the column `body`. Raises as `order_from_row` does."""
    event = event_from_json("SignalEmitted", json.loads(body))
    assert isinstance(event, SignalEmitted)
    return event.signal


def balances_row(account: AccountId, seen: Balances) -> Row:
    holdings = to_json({asset: plain(quantity) for asset, quantity in seen.holdings.items()})
    return (
        account, seen.currency, plain(seen.equity.value), plain(seen.cash.value), plain(seen.held.value),
        holdings, seen.at.isoformat(),
    )  # fmt: skip


# -- many rows in few statements ------------------------------------------------------------------------------------

# Python's sqlite3 lets go of the interpreter lock and takes it back at every step of a statement. While the event
# loop is busy each taking back can wait for 5 ms, so a row per step (executemany) would take minutes for thousands
# of rows. Each statement here takes many rows in one step. 256 rows of 27 columns are 6,912 parameters; SQLite
# allows 32,766 (sqlite.org/limits.html).
_ROWS_PER_STATEMENT = (256, 64, 16, 4, 1)


def write_rows(connection: sqlite3.Connection, statement: Callable[[int], str], rows: Sequence[Row]) -> int:
    """Run `statement(number of rows)` over all rows, in order; returns how many rows of the table it touched."""
    start = touched = 0
    for size in _ROWS_PER_STATEMENT:
        while len(rows) - start >= size:
            part = rows[start : start + size]
            touched += connection.execute(statement(size), list(chain.from_iterable(part))).rowcount
            start += size
    return touched


def _values(rows: int, columns: int) -> str:
    one = "(" + ",".join("?" * columns) + ")"
    return ",".join([one] * rows)


def _insert(table: str, columns: str, rows: int, verb: str = "INSERT") -> str:
    return " ".join([verb, "INTO", table, f"({columns})", "VALUES", _values(rows, columns.count(",") + 1)])


@cache
def insert_events(rows: int) -> str:
    return _insert("events", "seq, at, name, body, chain", rows)


@cache
def insert_signals(rows: int) -> str:
    columns = "signal_id, at, account, symbol, side, effect, quantity, price, master_order_id, body, family, written_at"
    return _insert("signals", columns, rows)


@cache
def insert_orders(rows: int) -> str:
    return _insert("orders", ORDER_COLUMNS_SQL, rows)


@cache
def update_orders(rows: int) -> str:
    """From `order_change` rows. The `changed` rows drive: one look-up by id for each."""
    sets = ", ".join(f"{column} = changed.column{place}" for place, column in enumerate(_CHANGING, start=2))
    values = _values(rows, len(_CHANGING) + 1)
    return " ".join(
        ["UPDATE orders SET", sets, "FROM (VALUES", values, ") AS changed WHERE orders.order_id = changed.column1"]
    )


@cache
def replace_positions(rows: int) -> str:
    return _insert("positions", "account, symbol, quantity", rows, "INSERT OR REPLACE")


@cache
def delete_positions(rows: int) -> str:
    return " ".join(["DELETE FROM positions WHERE (account, symbol) IN (VALUES", _values(rows, 2), ")"])


@cache
def replace_standing(rows: int) -> str:
    return _insert("standing", "kind, account, name, body", rows, "INSERT OR REPLACE")


@cache
def delete_standing(rows: int) -> str:
    return " ".join(["DELETE FROM standing WHERE (kind, account, name) IN (VALUES", _values(rows, 3), ")"])


@cache
def replace_balances(rows: int) -> str:
    return _insert("balances", "account, currency, equity, cash, held, holdings, at", rows, "INSERT OR REPLACE")


@cache
def insert_history(rows: int) -> str:
    return _insert("equity_history", "account, at, equity, cash, currency", rows, "INSERT OR REPLACE")


@cache
def last_history(rows: int) -> str:
    """For each of so many accounts, when its latest row is of: one step into the index each."""
    latest = "(SELECT max(at) FROM equity_history WHERE account = asked.column1)"
    return " ".join(["SELECT asked.column1,", latest, "FROM (VALUES", _values(rows, 1), ") AS asked"])
