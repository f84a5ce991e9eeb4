"""Realised and unrealised profit of each instrument, by average cost or first in, first out.

A purchase costs what was paid and its fee; what the venue took out of the base asset makes each remaining unit dearer.
A sale brings what was got less its fee, and takes the cost of what was sold out of the books. What the owner has taken
away leaves the books at its cost: what it brought, or is worth elsewhere, is nobody's profit here. Currencies are never
added to each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, localcontext
from enum import StrEnum

from copytrade.statements.values import FINE, ZERO, Gone, Trade, currency_of


class CostMethod(StrEnum):
    """Which units a sale sells: all of them in part, or the oldest ones."""

    AVERAGE = "average"
    FIFO = "fifo"


@dataclass(slots=True)
class Book:
    """What is held of one instrument and what it has cost. `unmatched` was sold without having been bought here: it is
    in no profit, as nobody knows what it cost."""

    method: CostMethod
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    bought: Decimal = ZERO
    sold: Decimal = ZERO
    trades: int = 0
    unmatched: Decimal = ZERO
    lots: deque[tuple[Decimal, Decimal]] = field(default_factory=deque)  # quantity and its whole cost, oldest first

    @property
    def quantity(self) -> Decimal:
        return sum((quantity for quantity, _ in self.lots), ZERO)

    @property
    def cost(self) -> Decimal:
        return sum((cost for _, cost in self.lots), ZERO)

    def take(self, trade: Trade) -> None:
        """The next trade in time."""
        with localcontext(FINE):
            self.trades += 1
            self.fees += trade.fees
            if trade.buy:
                self.bought += trade.cost
                self._buy(trade.arrived, trade.cost + trade.fee)
            else:
                self.sold += trade.cost
                self._sell(trade.arrived, trade.cost - trade.fee)

    def _buy(self, quantity: Decimal, cost: Decimal) -> None:
        if self.method is CostMethod.AVERAGE and self.lots:
            held, paid = self.lots.pop()
            quantity, cost = quantity + held, cost + paid
        if quantity > 0:
            self.lots.append((quantity, cost))
        else:  # all of it went into the fee
            self.realised -= cost

    def _sell(self, quantity: Decimal, proceeds: Decimal) -> None:
        if quantity <= 0:
            return
        known = min(quantity, self.quantity)
        self.unmatched += quantity - known
        self.realised += proceeds * known / quantity - self._out(known)

    def take_away(self, quantity: Decimal) -> None:
        """The owner has taken so much of it, at most what there is."""
        with localcontext(FINE):
            self._out(min(quantity, self.quantity))

    def _out(self, quantity: Decimal) -> Decimal:
        """Take so much off the books, which must be there, and return what it had cost."""
        left, cost = quantity, ZERO
        while left > 0:
            held, paid = self.lots.popleft()
            if held <= left:
                left, cost = left - held, cost + paid
                continue
            part = paid * left / held
            self.lots.appendleft((held - left, paid - part))
            left, cost = ZERO, cost + part
        return cost


@dataclass(frozen=True, slots=True)
class Valued:
    """A price, and when it was one."""

    price: Decimal
    at: datetime | None


@dataclass(frozen=True, slots=True)
class InstrumentProfit:
    """One instrument in one month. `unrealised` is at the end, `unrealised_before` at the start; None while no price is
    known. `profit` is what the month came to: realised, and the change of what is not."""

    symbol: str
    currency: str
    trades: int
    bought: Decimal
    sold: Decimal
    fees: Decimal
    realised: Decimal
    quantity: Decimal
    cost: Decimal
    price: Decimal | None
    priced_at: datetime | None
    unrealised: Decimal | None
    unrealised_before: Decimal | None
    unmatched: Decimal

    @property
    def profit(self) -> Decimal | None:
        if self.unrealised is None or self.unrealised_before is None:
            return None
        return self.realised + self.unrealised - self.unrealised_before


def profits(
    trades: Iterable[Trade], start: datetime, end: datetime, before: Mapping[str, Valued],
    after: Mapping[str, Valued], method: CostMethod, gone: Sequence[Gone] = (),
) -> tuple[list[InstrumentProfit], list[Trade]]:  # fmt: skip
    """Each instrument from `start` until before `end`, and the trades in between, in their order.

    `trades` and what is `gone` are all of the account, those before `start` included; `before` and `after` are prices
    at both ends.
    """
    books: dict[str, Book] = {}
    opening: dict[str, tuple[Decimal, Decimal]] = {}
    within: list[Trade] = []
    began = False
    happened: list[tuple[datetime, str, Trade | Gone]] = [(t.at, t.order_id, t) for t in trades]
    happened += [(each.at, "", each) for each in gone]
    for at, _, each in sorted((h for h in happened if h[0] < end), key=lambda h: h[:2]):
        if at >= start and not began:
            opening, began = _opened(books), True
        book = books.setdefault(each.symbol, Book(method))
        if isinstance(each, Gone):
            book.take_away(each.quantity)
            continue
        book.take(each)
        if at >= start:
            within.append(each)
    if not began:
        opening = _opened(books)
    rows = [_row(symbol, book, opening.get(symbol), before, after) for symbol, book in sorted(books.items())]
    return [row for row in rows if row.trades or row.quantity], within


def _opened(books: dict[str, Book]) -> dict[str, tuple[Decimal, Decimal]]:
    """What is held as the month begins; what was counted before it is counted no more."""
    held = {}
    for symbol, book in books.items():
        held[symbol] = (book.quantity, book.cost)
        book.realised = book.fees = book.bought = book.sold = book.unmatched = ZERO
        book.trades = 0
    return held


def _row(
    symbol: str, book: Book, opening: tuple[Decimal, Decimal] | None, before: Mapping[str, Valued],
    after: Mapping[str, Valued],
) -> InstrumentProfit:  # fmt: skip
    quantity, cost = opening or (ZERO, ZERO)
    valued = after.get(symbol)
    return InstrumentProfit(
        symbol=symbol, currency=currency_of(symbol), trades=book.trades,
        bought=book.bought, sold=book.sold, fees=book.fees, realised=book.realised, quantity=book.quantity,
        cost=book.cost, price=None if valued is None else valued.price,
        priced_at=None if valued is None else valued.at,
        unrealised=_unrealised(book.quantity, book.cost, valued),
        unrealised_before=_unrealised(quantity, cost, before.get(symbol)), unmatched=book.unmatched,
    )  # fmt: skip


def _unrealised(quantity: Decimal, cost: Decimal, valued: Valued | None) -> Decimal | None:
    if not quantity:
        return ZERO
    return None if valued is None else FINE.subtract(FINE.multiply(quantity, valued.price), cost)
