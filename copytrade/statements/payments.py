"""Money in and out of an account: as told by the operator's list, else as inferred from the history of equity.

Inferred: between two readings the free cash has changed by more than the account's own copies explain, and the equity
has changed with it. What the owner trades by hand changes the cash alone. A payment in coins changes no cash and is not
seen here; nor is one that comes within the same reading as a move of the market of its own size.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from itertools import pairwise

from copytrade.statements.values import FINE, ZERO, Payment, Point, Trade

THRESHOLD_SHARE = Decimal("0.002")
"""Of equity. Below it are fees and interest, and prices that moved between two readings."""
THRESHOLD_MIN = Decimal(1)
COLUMNS = ("account", "at", "amount")


def inferred(points: Sequence[Point], trades: Sequence[Trade]) -> list[Payment]:
    """From readings and the account's own trades, both oldest first."""
    found = []
    moments = [trade.at for trade in trades]
    with localcontext(FINE):
        for before, after in pairwise(points):
            own = trades[bisect_right(moments, before.at) : bisect_right(moments, after.at)]
            paid = sum((_cash(trade) for trade in own), ZERO)
            unexplained = after.cash - before.cash - paid
            risen = after.equity - before.equity
            threshold = max(THRESHOLD_MIN, THRESHOLD_SHARE * max(before.equity, ZERO))
            if abs(unexplained) > threshold and abs(risen - unexplained) <= abs(unexplained) / 2:
                found.append(Payment(after.at, unexplained))
    return found


def _cash(trade: Trade) -> Decimal:
    """By how much the trade changed the free cash."""
    return -(trade.cost + trade.fee) if trade.buy else trade.cost - trade.fee


def listed(text: str, source: str) -> dict[str, list[Payment]]:
    """The operator's list: CSV with `account,at,amount`, like `kraken:alice_smith,2026-11-10T09:30:00Z,500`; negative
    for what left. By account, oldest first. Raises `ValueError` with line and remedy."""
    rows = csv.reader(text.splitlines())
    head = next(rows, None)
    if head is None or tuple(cell.strip() for cell in head) != COLUMNS:
        raise ValueError(f"{source}, line 1: the first line must be {','.join(COLUMNS)}")
    found: dict[str, list[Payment]] = {}
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(COLUMNS):
            raise ValueError(f"{source}, line {rows.line_num}: it must have {len(COLUMNS)} fields, {','.join(COLUMNS)}")
        account, at, amount = (cell.strip() for cell in row)
        try:
            payment = Payment(_moment(at), _amount(amount))
        except (ValueError, ArithmeticError):
            raise ValueError(
                f"{source}, line {rows.line_num}: write the time like 2026-11-10T09:30:00Z and the amount like 500.00"
            ) from None
        found.setdefault(account, []).append(payment)
    for payments in found.values():
        payments.sort(key=lambda payment: payment.at)
    return found


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _amount(text: str) -> Decimal:
    amount = Decimal(text)
    if not amount.is_finite() or not amount:
        raise ValueError(text)
    return amount


def within(payments: Sequence[Payment], after: datetime, until: datetime) -> list[Payment]:
    """Those later than `after`, up to and with `until`; `payments` are oldest first."""
    moments = [payment.at for payment in payments]
    return list(payments[bisect_right(moments, after) : bisect_right(moments, until)])
