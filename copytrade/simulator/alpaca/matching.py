"""The shared exchange, with market hours: a stock's order waits for the session, a coin's never does."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from copytrade.simulator.alpaca.hours import StockHours
from copytrade.simulator.alpaca.listing import BY_SYMBOL
from copytrade.simulator.books import Books
from copytrade.simulator.exchange import Exchange
from copytrade.simulator.orders import Order
from copytrade.simulator.prices import PriceProcess


class SessionExchange(Exchange):
    """An exchange whose stocks fill in their hours alone."""

    def __init__(
        self, books: Books, prices: PriceProcess, hours: StockHours, fill_delay_s: float = 0.0, fill_parts: int = 1
    ) -> None:
        self.after_advance: Callable[[], None] | None = None
        self.hours = hours  # before the books' open orders are taken up again, which needs it
        super().__init__(books, prices, fill_delay_s, fill_parts)

    def advance(self, now_s: float) -> None:
        super().advance(now_s)
        if self.after_advance is not None:
            self.after_advance()

    def opens_at(self, symbol: str, time_s: float) -> float:
        """`time_s` while the market is open, else when it next is."""
        return time_s if BY_SYMBOL[symbol].is_crypto else self.hours.opens_at(time_s)

    def _fill_or_rest(self, order: Order, time_s: float) -> None:
        opens_s = self.opens_at(order.request.symbol, time_s)
        if opens_s > time_s and order.is_open:
            self.at(opens_s, lambda due_s: self._fill_or_rest(order, due_s))
            return
        super()._fill_or_rest(order, time_s)

    def _fill_maker(self, order: Order, price: Decimal | None, time_s: float) -> None:
        if order.is_open and order.resting and self.opens_at(order.request.symbol, time_s) > time_s:
            self._resting[order.request.symbol].add(order)  # the price crossed it while the market was closed
            return
        super()._fill_maker(order, price, time_s)

    def _trigger(self, order: Order, time_s: float) -> None:
        opens_s = self.opens_at(order.request.symbol, time_s)
        if opens_s > time_s:  # prices outside the session trigger nothing
            self.at(opens_s, lambda due_s: self._look_again(order, due_s))
            return
        super()._trigger(order, time_s)

    def _look_again(self, order: Order, time_s: float) -> None:
        if order.is_open and order.armed:
            order.resting = False  # a list's limit may meet the opening price as well
            self._fill_or_rest(order, time_s)
