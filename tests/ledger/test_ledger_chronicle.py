"""The master's signals in their order: reading the next few of them costs the same however long the history is."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from copytrade.domain.account import AccountId
from copytrade.domain.money import NO_QUANTITY, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.signal import Signal, SignalKind
from copytrade.ledger import schema
from copytrade.ledger.chronicle import told
from copytrade.ledger.rows import insert_signals, signal_row

AT = datetime(2026, 1, 1, tzinfo=UTC)
MASTER = AccountId("kraken:master")


@pytest.mark.parametrize("signals", [1, 5, 50, 200])
def test_no_look_goes_through_all_orders_that_an_account_ever_had(signals: int) -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema._TABLES)
    for number in range(signals):
        signal = Signal(
            f"signal {number}", SignalKind.PLACED, f"order {number}", MASTER, "BTC/USD", Side.BUY, Effect.ENTRY,
            OrderKind.MARKET, Quantity.of("1"), Price.of(1), None, None, NO_QUANTITY, Decimal(0), AT,
        )  # fmt: skip
        connection.execute(insert_signals(1), signal_row(signal, AT))
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    assert len(told(connection, AccountId("okx:alice_smith"), 0, 200, {}, {})) == signals
    connection.set_trace_callback(None)
    of_orders = [query for query in asked if "FROM orders" in query]
    assert len(of_orders) == 2
    for query in of_orders:
        steps = " ".join(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {query}"))
        assert "orders_by_account" not in steps, steps
        assert "SCAN" not in steps, steps
    connection.close()
