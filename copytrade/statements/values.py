"""The facts that a statement is made of. Amounts are plain decimals in the currency that stands beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal

ZERO, ONE = Decimal(0), Decimal(1)
FINE = Context(prec=50, rounding=ROUND_HALF_EVEN)
"""For all divisions and products here: what is lost at the fiftieth digit is nobody's money."""


@dataclass(frozen=True, slots=True)
class Trade:
    """One order's fills, as of its end. `quantity` is of the base asset, `cost` what was paid for it or got for it in
    the quote currency, without fees; `fee` is in the quote currency, `fee_base` was taken out of the base asset."""

    at: datetime
    order_id: str
    symbol: str
    buy: bool
    quantity: Decimal
    cost: Decimal
    fee: Decimal = ZERO
    fee_base: Decimal = ZERO

    @property
    def currency(self) -> str:
        return currency_of(self.symbol)

    @property
    def price(self) -> Decimal:
        return FINE.divide(self.cost, self.quantity) if self.quantity else ZERO

    @property
    def fees(self) -> Decimal:
        """Both kinds, in the quote currency; what was taken in base at the order's own price."""
        return FINE.add(self.fee, FINE.multiply(self.fee_base, self.price))

    @property
    def arrived(self) -> Decimal:
        """What the position grew or shrank by."""
        return FINE.subtract(self.quantity, self.fee_base) if self.buy else self.quantity


@dataclass(frozen=True, slots=True)
class Gone:
    """So much of what was copied the account's owner has sold or taken away by itself: `at` is when it was seen."""

    at: datetime
    symbol: str
    quantity: Decimal


def currency_of(symbol: str) -> str:
    """The quote currency of a market; a stock is paid in dollars."""
    return symbol.rpartition("/")[2] if "/" in symbol else "USD"


@dataclass(frozen=True, slots=True)
class Point:
    """An account's equity and free cash at one moment."""

    at: datetime
    equity: Decimal
    cash: Decimal


@dataclass(frozen=True, slots=True)
class Payment:
    """Money that came into an account, or left it (negative)."""

    at: datetime
    amount: Decimal


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month in UTC."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """From `2026-11`. Raises `ValueError`."""
        year, _, number = text.partition("-")
        if not (len(year) == 4 and year.isdecimal() and len(number) == 2 and number.isdecimal()):
            raise ValueError(f"{text!r:.40} is no month: write it like 2026-11")
        month = cls(int(year), int(number))
        if not (1 <= month.number <= 12 and 2000 <= month.year <= 9998):
            raise ValueError(f"{text!r:.40} is no month: write it like 2026-11")
        return month

    @classmethod
    def of(cls, at: datetime) -> Month:
        at = at.astimezone(UTC)
        return cls(at.year, at.month)

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first moment that is not in it."""
        return self.next().start

    @property
    def last(self) -> datetime:
        return self.end - timedelta(microseconds=1)

    def next(self) -> Month:
        return Month(self.year + 1, 1) if self.number == 12 else Month(self.year, self.number + 1)

    def through(self, last: Month) -> Iterator[Month]:
        """This one and all up to `last`."""
        month = self
        while month <= last:
            yield month
            month = month.next()

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"
