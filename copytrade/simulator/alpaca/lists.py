"""Lists of orders: OCO (two exits, of which one cancels the other) and brackets (an entry with those two exits).

To the matching engine an OCO is one order with a limit and a stop, and a bracket is its entry, followed by an OCO once
the entry has filled. To Alpaca they are two and three orders. An OCO's first order is its profit.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from copytrade.simulator.alpaca.call import Bracket, Call, Desk
from copytrade.simulator.alpaca.errors import not_found
from copytrade.simulator.alpaca.matching import SessionExchange
from copytrade.simulator.alpaca.shapes import View, simple_view, view_object
from copytrade.simulator.exchange import OrderRefused
from copytrade.simulator.ids import bytes_for
from copytrade.simulator.orders import CLOSED, NewOrder, Order

PROFIT, LOSS = "profit", "loss"


def leg_id(seed: int, order: Order, part: str) -> str:
    """The id of a leg, of the order under which its list was placed."""
    return str(uuid.UUID(bytes=bytes_for(seed, "leg", part, order.order_id, size=16), version=4))


@dataclass(frozen=True, slots=True)
class ListViews:
    """Shows an account's orders as Alpaca does."""

    exchange: SessionExchange
    desk: Desk
    seed: int

    def views(self, order: Order) -> list[View]:
        """One engine order as Alpaca's orders, the first first. The exits of a bracket are not its entry's."""
        if order.request.bracket_stop is not None:
            return self._pair(order)
        bracket = self.desk.brackets.get(order.order_id)
        return [simple_view(order, self.exchange, self.desk, "" if bracket is None else "bracket")]

    def legs(self, order: Order) -> list[View]:
        """What Alpaca shows inside an order, where it is asked to."""
        bracket = self.desk.brackets.get(order.order_id)
        if bracket is None:
            return self.views(order)[1:]
        if bracket.exits is not None:
            return self._pair(self.exchange.books.by_order_id[bracket.exits])
        return self._waiting(order, bracket)

    def flat(self, order: Order) -> list[View]:
        """Every order that an engine order stands for, each by itself."""
        bracket = self.desk.brackets.get(order.order_id)
        waiting = self._waiting(order, bracket) if bracket is not None and bracket.exits is None else []
        return [*self.views(order), *waiting]

    def object(self, order: Order, *, nested: bool, fresh: str | None = None) -> dict[str, Any]:
        """An engine order's first, with its legs inside if `nested`."""
        view, inner = self.views(order)[0], self.legs(order) if nested else []
        fresh_leg = "held" if fresh is not None else None
        legs = [view_object(leg, self.desk, fresh=fresh_leg) for leg in inner]
        return view_object(view, self.desk, fresh=fresh, legs=legs or None)

    def find(self, order_id: str) -> tuple[Order, View] | None:
        """An order by the id that Alpaca knows it by, and what it looks like."""
        books = self.exchange.books
        order = books.by_order_id.get(self.desk.legs.get(order_id, order_id))
        if order is None:
            return None
        for view in self.flat(order):
            if view.order_id == order_id:
                return order, view
        return None

    def of_fill(self, order: Order, number: int) -> View:
        """Which of Alpaca's orders a fill is of."""
        views = self.views(order)
        return next((view for view in views if any(fill.number == number for fill in view.fills)), views[0])

    def remember(self, order: Order) -> None:
        """Make the legs of a list known by their ids."""
        for view in self.flat(order):
            if view.order_id != order.order_id:
                self.desk.legs[view.order_id] = order.order_id

    def restore(self, entry_id: str, profit_price: Decimal, loss_price: Decimal) -> None:
        """Take a bracket up again; whether its exits were placed, the books know."""
        self.desk.brackets[entry_id] = bracket = Bracket(profit_price, loss_price)
        entry = self.exchange.books.by_order_id[entry_id]
        account = self.exchange.books.accounts[entry.request.account]
        placed = account.by_client_id.get(leg_id(self.seed, entry, f"{PROFIT} id"), [])
        if placed:
            bracket.exits = placed[0].order_id
            self.desk.entry_of[bracket.exits] = entry_id
        else:
            self.desk.entries_open.add(entry_id)

    def _pair(self, order: Order) -> list[View]:
        """An OCO as two orders. Until the stop is reached the loss is held; then the profit is cancelled."""
        whole = simple_view(order, self.exchange, self.desk)
        entry_id = self.desk.entry_of.get(order.order_id)
        books = self.exchange.books
        placed = order if entry_id is None else books.by_order_id[entry_id]
        over_s = order.triggered_at_s
        early = [fill for fill in whole.fills if over_s is None or fill.maker or fill.time_s < over_s]
        late = [fill for fill in whole.fills if fill not in early]
        profit = replace(
            whole,
            order_id=order.order_id if entry_id is None else leg_id(self.seed, placed, PROFIT),
            order_class="oco" if entry_id is None else "bracket",
            kind="limit",
            stop_price=None,
            fills=early,
            status=whole.status if over_s is None else "canceled",
            ended_at_s=order.closed_at_s if over_s is None else over_s,
            part=PROFIT,
        )
        status = "held" if order.is_open else "canceled"
        if over_s is not None:
            status = whole.status if late or not order.is_open else "new"
        loss = replace(
            profit,
            order_id=leg_id(self.seed, placed, LOSS),
            client_id=leg_id(self.seed, placed, f"{LOSS} client id"),
            kind="stop",
            quantity=order.volume - profit.filled if over_s is not None else order.volume,
            limit_price=None,
            stop_price=order.stop_price,
            fills=late,
            status=status,
            ended_at_s=order.closed_at_s,
            part=LOSS,
        )
        return [profit, loss]

    def _waiting(self, entry: Order, bracket: Bracket) -> list[View]:
        """A bracket's exits while its entry has not filled, and after it ended without."""
        view = simple_view(entry, self.exchange, self.desk, "bracket")
        status = "held" if entry.is_open or entry.status == CLOSED else "canceled"
        common = replace(view, side="sell", fills=[], status=status, quantity=entry.volume)
        profit = replace(
            common, order_id=leg_id(self.seed, entry, PROFIT), client_id=leg_id(self.seed, entry, f"{PROFIT} id"),
            kind="limit", limit_price=bracket.profit_price, stop_price=None, part=PROFIT,
        )  # fmt: skip
        loss = replace(
            common, order_id=leg_id(self.seed, entry, LOSS), client_id=leg_id(self.seed, entry, f"{LOSS} id"),
            kind="stop", limit_price=None, stop_price=bracket.loss_price, part=LOSS,
        )  # fmt: skip
        return [profit, loss]


def views_of(call: Call) -> ListViews:
    """What shows the orders of a call's account."""
    return ListViews(call.exchange, call.desk, call.seed)


def own_view(call: Call, order_id: str) -> tuple[Order, View]:
    """An order of the account by Alpaca's id, and what it looks like. Raises AlpacaError."""
    found = views_of(call).find(order_id.lower())
    if found is None or found[0].request.account != call.account.name or not call.visible(found[0]):
        raise not_found(f"order not found for {order_id}")
    return found


def place_exits(views: ListViews) -> None:
    """Place the exits of every bracket whose entry has filled since the last time."""
    exchange, desk = views.exchange, views.desk
    for entry_id in list(desk.entries_open):
        entry = exchange.books.by_order_id[entry_id]
        if entry.is_open:
            continue
        desk.entries_open.discard(entry_id)
        if entry.status != CLOSED:
            continue
        bracket = desk.brackets[entry_id]
        request = NewOrder(
            account=entry.request.account,
            symbol=entry.request.symbol,
            side="sell",
            volume=entry.volume,
            limit_price=bracket.profit_price,
            bracket_stop=bracket.loss_price,
            time_in_force=entry.request.time_in_force,
            expires_at_s=entry.request.expires_at_s,
            client_id=leg_id(views.seed, entry, f"{PROFIT} id"),
        )
        try:
            exits = exchange.submit(request)
        except OrderRefused:  # sold by another order meanwhile
            continue
        bracket.exits = exits.order_id
        desk.entry_of[exits.order_id] = entry_id
        views.remember(exits)
