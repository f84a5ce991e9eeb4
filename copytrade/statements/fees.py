"""The performance fee: a share of what an account has risen above its high-water mark, at the end of each period.

The mark begins at the first reading of the account's equity. Money paid in raises it by as much; money taken out lowers
it in the proportion in which it lowered the equity. So a payment neither makes a gain nor hides a loss, and who takes
half of the money out takes half of the loss that is still to be made good along. When a fee falls due the mark becomes
the equity at that moment. A fee that is paid out of the account is a payment like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from enum import StrEnum

from copytrade.statements.values import FINE, ZERO, Month, Payment, Point

CENT = Decimal("0.01")


class FeePeriod(StrEnum):
    """How often a fee falls due."""

    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"

    def ends_with(self, month: Month) -> bool:
        return month.number % {FeePeriod.MONTH: 1, FeePeriod.QUARTER: 3, FeePeriod.YEAR: 12}[self] == 0


@dataclass(frozen=True, slots=True)
class Fee:
    """Of one month. `mark_before` is the high-water mark at its start, `mark` the one that `equity` was compared with
    (payments taken in), `mark_after` the one that is carried on. `gain` is what is above it. `amount` is zero where
    nothing falls due yet (`due` is False)."""

    rate: Decimal
    mark_before: Decimal
    mark: Decimal
    equity: Decimal
    gain: Decimal
    amount: Decimal
    mark_after: Decimal
    due: bool


def performance_fee(
    months: Mapping[Month, Sequence[Point]], payments: Sequence[Payment], rate: Decimal, period: FeePeriod, last: Month
) -> Fee | None:
    """The fee of the month `last`. `months` are the readings of every month from the account's first on, oldest first.

    A payment moves the mark at the reading that first shows it. None while there is no reading at all.
    """
    mark: Decimal | None = None
    fee = None
    before: Point | None = None
    waiting = list(payments)
    for month in sorted(month for month in months if month <= last and months[month]):
        points = months[month]
        if mark is None:
            mark = points[0].equity
            waiting = [payment for payment in waiting if payment.at > points[0].at]
        mark_before = mark
        for point in points:
            mark = _moved(mark, before, point, waiting)
            before = point
        fee = _due(rate, mark_before, mark, points[-1].equity, period.ends_with(month))
        mark = fee.mark_after
    if fee is None or mark is None or before is None or before.at < last.start:
        return None
    return fee


def _moved(mark: Decimal, before: Point | None, point: Point, waiting: list[Payment]) -> Decimal:
    """The mark after the payments that this reading is the first to show."""
    with localcontext(FINE):
        while waiting and waiting[0].at <= point.at:
            amount = waiting.pop(0).amount
            if amount >= 0 or before is None:
                mark += amount
            else:
                whole = point.equity - amount  # what there was, had nothing been taken out
                mark = mark * point.equity / whole if whole > 0 else ZERO
        return max(mark, ZERO)


def _due(rate: Decimal, before: Decimal, mark: Decimal, equity: Decimal, due: bool) -> Fee:
    gain = max(FINE.subtract(equity, mark), ZERO)
    amount = FINE.multiply(gain, rate).quantize(CENT, rounding=ROUND_HALF_EVEN) if due else ZERO
    after = max(mark, equity) if due else mark
    return Fee(rate, before, mark, equity, gain, amount, after, due)


def first_reading(months: Mapping[Month, Sequence[Point]]) -> datetime | None:
    """When the account's equity was read first."""
    return min((points[0].at for points in months.values() if points), default=None)
