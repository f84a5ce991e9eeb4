"""Equity over time: one row for each account and so many seconds, taken from the observations as they come.

Observations, not events: they are not replayed; `sealing.py` puts each day under the chain once it is over. They are
what curves are drawn from and what statements measure a month by.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime, timedelta

from copytrade.domain.account import AccountId
from copytrade.domain.money import plain
from copytrade.domain.venue import Balances
from copytrade.ledger.rows import Row, last_history

# A year of one account is then 35,000 rows of about 60 bytes; a thousand accounts write 96,000 rows a day.
DEFAULT_EVERY_S = 900.0
_ASKED_AT_ONCE = 256


class EquityHistory:
    """Which observations are due for the table `equity_history`. Belongs to the writer's thread.

    An observation is due when the account's last row is `every_s` old. The first after a start looks into the file.
    """

    def __init__(self, every_s: float = DEFAULT_EVERY_S) -> None:
        if every_s <= 0:
            raise ValueError("the history needs every_s > 0")
        self._every = timedelta(seconds=every_s)
        self._last: dict[AccountId, datetime | None] = {}

    def due(self, connection: sqlite3.Connection, observed: Mapping[AccountId, Balances]) -> list[Row]:
        """The rows to write now. Raises `sqlite3.Error`."""
        self._look_up(connection, [account for account in observed if account not in self._last])
        rows = []
        for account, seen in observed.items():
            last = self._last[account]
            if last is not None and seen.at - last < self._every:
                continue
            self._last[account] = seen.at
            rows.append((account, seen.at.isoformat(), plain(seen.equity.value), plain(seen.cash.value), seen.currency))
        return rows

    def _look_up(self, connection: sqlite3.Connection, accounts: list[AccountId]) -> None:
        for start in range(0, len(accounts), _ASKED_AT_ONCE):
            part = accounts[start : start + _ASKED_AT_ONCE]
            for account, at in connection.execute(last_history(len(part)), part).fetchall():
                self._last[AccountId(account)] = None if at is None else datetime.fromisoformat(at)
