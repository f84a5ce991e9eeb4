"""The master's orders that replaced each other, and the copies of them: what their chains are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from copytrade.domain.account import AccountId
from copytrade.domain.events import SignalEmitted
from copytrade.domain.signal import Signal
from copytrade.domain.state import OrderRecord
from copytrade.ledger.group import Group
from copytrade.ledger.rows import ORDER_COLUMNS_SQL, Row, order_from_row, signal_from_body

Ask = Callable[..., list[Row]]
"""Runs a query with its keys."""

Live = Mapping[str, OrderRecord]
"""Open orders, which the file may be behind on."""


def signals_of(ask: Ask, pending: Iterable[Group], family: str) -> list[Signal]:
    """The signals of one family in the order in which they were emitted.

    `pending` was looked at before, or a signal that becomes durable in between would be seen nowhere. Raises what
    reading a spoiled row can raise.
    """
    late = [e.signal for group in pending for e in group.events if isinstance(e, SignalEmitted)]
    rows = ask("SELECT body FROM signals WHERE family = ? ORDER BY rowid", family)
    found = {signal.signal_id: signal for signal in (signal_from_body(body) for (body,) in rows)}
    for signal in late:
        if signal.family == family:
            found.setdefault(signal.signal_id, signal)
    return list(found.values())


def copies_of(
    ask: Ask, live: Live, pending: Sequence[Group], signal_id: str, accounts: Sequence[AccountId]
) -> list[OrderRecord]:
    """The copies of a signal, or those of some accounts, in the order in which they were planned. `pending` was looked
    at before. Raises what reading a spoiled row can raise."""
    late = [group.records[order_id] for group in pending for order_id in group.opened]
    which = f"AND account IN ({','.join('?' * len(accounts))})" if accounts else ""
    # `+n`: to save the sorting, SQLite would else go through every order there is.
    query = f"SELECT {ORDER_COLUMNS_SQL} FROM orders WHERE signal_id = ? {which} ORDER BY +n"  # noqa: S608  (our words)
    found = {}
    for row in ask(query, signal_id, *accounts):
        found[row[0]] = _newest(row[0], live, pending) or order_from_row(row)
    for record in late:
        if record.signal_id == signal_id and (not accounts or record.account in accounts):
            found.setdefault(record.order_id, record)
    return list(found.values())


def copies_in_parts(
    ask: Ask, live: Live, pending: Callable[[], Sequence[Group]], signal_id: str, limit: int
) -> Iterator[Sequence[OrderRecord]]:
    """The copies of a signal account by account, up to `limit` at a time, each account's in the order in which they
    were planned; at the end those that are not in the file yet. Others may write in between: what is planned after
    the first part is asked for may be among them or not. Raises what reading a spoiled row can raise."""
    late = {order_id: group.records[order_id] for group in pending() for order_id in group.opened}
    query = (
        f"SELECT {ORDER_COLUMNS_SQL}, n FROM orders INDEXED BY orders_by_signal "  # noqa: S608  (our words)
        "WHERE signal_id = ? AND (account, n) > (?, ?) ORDER BY account, n LIMIT ?"
    )
    account, number = "", 0
    while True:
        groups = pending()
        rows = ask(query, signal_id, account, number, limit)
        part = [_newest(row[0], live, groups) or order_from_row(row[:-1]) for row in rows]
        for record in part:
            late.pop(record.order_id, None)
        if part:
            yield part
        if len(rows) < limit:
            break
        account, number = part[-1].account, rows[-1][-1]
    yield [record for record in late.values() if record.signal_id == signal_id]


def _newest(order_id: str, live: Live, pending: Iterable[Group]) -> OrderRecord | None:
    """The record of an order that the file may be behind on: it is open, or its end is on its way to the disk."""
    if (record := live.get(order_id)) is not None:
        return record
    return next((group.records[order_id] for group in pending if order_id in group.records), None)
