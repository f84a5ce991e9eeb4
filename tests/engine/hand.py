"""The master's hand: orders on its account that no program of ours placed, as on the venue's own page."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from copytrade.simulator.orders import NewOrder, Order
from copytrade.simulator.venue import SimulatedVenue

D = Decimal


class Hand:
    """Places, changes and takes back orders of one account at a simulated venue."""

    def __init__(self, venue: SimulatedVenue, account: str = "master", symbol: str = "BTC/USD") -> None:
        self.venue = venue
        self.account = account
        self.symbol = symbol

    def buy(self, quantity: str, limit: int | None = None, **more: Any) -> str:
        return self._place("buy", quantity, limit, **more)

    def sell(self, quantity: str, limit: int | None = None, **more: Any) -> str:
        return self._place("sell", quantity, limit, **more)

    def cancel(self, order_id: str) -> None:
        with self.venue.lock:
            self.venue.exchange.advance(self.venue.clock())
            self.venue.exchange.cancel(self._order(order_id))

    def amend(self, order_id: str, *, quantity: str | None = None, limit: int | None = None) -> None:
        with self.venue.lock:
            self.venue.exchange.advance(self.venue.clock())
            self.venue.exchange.amend(
                self._order(order_id), None if quantity is None else D(quantity), None if limit is None else D(limit)
            )

    def fill(self, order_id: str, quantity: str) -> None:
        self.venue.fill_part(order_id, D(quantity))

    def _place(self, side: str, quantity: str, limit: int | None, **more: Any) -> str:
        with self.venue.lock:
            self.venue.exchange.advance(self.venue.clock())
            order = self.venue.exchange.submit(
                NewOrder(self.account, self.symbol, side, D(quantity), None if limit is None else D(limit), **more)
            )
            self.venue.exchange.advance(self.venue.clock())
            return order.order_id

    def _order(self, order_id: str) -> Order:
        return self.venue.books.by_order_id[order_id]
