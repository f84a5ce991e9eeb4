"""The book of orders that wait for a price ("algo orders"), beside the book of ordinary ones.

Each is one order of the matching engine that is triggered, or two of which one cancels the other. It holds no money
until then. Once triggered it is shown as an ordinary order with an id of its own; if the money does not suffice in
that moment, it has failed and there is no such order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from copytrade.simulator.exchange import Exchange
from copytrade.simulator.orders import NewOrder, Order
from copytrade.simulator.storage import Store

LIVE, EFFECTIVE, CANCELED, FAILED = "live", "effective", "canceled", "order_failed"
CANCELLED_BY_USER = "User requested"
OTHER_SIDE = "The other side of the order was triggered"
NO_FUNDS = "Insufficient funds"
STOP, PROFIT, TRIGGER = "sl", "tp", "trigger"


@dataclass(slots=True)
class Algo:
    """One waiting order. Prices are text as they were given, `-1` for the market; `legs` and `placed` go by side."""

    algo_id: str
    account: str
    symbol: str
    side: str
    order_type: str
    client_id: str
    tag: str
    size: str
    target: str
    last: str
    created_s: float
    prices: dict[str, str]
    legs: dict[str, str] = field(default_factory=dict)
    placed: dict[str, str] = field(default_factory=dict)
    updated_s: float = 0.0


class AlgoBook:
    """All waiting orders of the venue. `now_s` is the exchange's time."""

    def __init__(self, exchange: Exchange, store: Store | None) -> None:
        self._exchange = exchange
        self._store = store
        self._algos: dict[str, Algo] = {}
        self._by_leg: dict[str, tuple[Algo, str]] = {}
        self._by_placed: dict[str, str] = {}
        self._by_account: dict[str, list[Algo]] = {}
        self._last_placed = 0
        exchange.on_trigger = self._triggered
        if store is not None:
            for _, record in store.load("okx algo"):
                self._index(Algo(**record))

    def place(self, algo: Algo, requests: dict[str, NewOrder], submit: Callable[[NewOrder], Order]) -> str:
        """Take an order with a side for each of `requests`; its id is that of the first. Raises OrderRefused."""
        for side, request in requests.items():
            algo.legs[side] = submit(request).order_id
        algo.algo_id = next(iter(algo.legs.values()))
        self._index(algo)
        self.save(algo)
        return algo.algo_id

    def get(self, algo_id: str) -> Algo | None:
        """By its id."""
        return self._algos.get(algo_id)

    def of(self, account: str) -> list[Algo]:
        """All of an account, the oldest first."""
        return self._by_account.get(account, [])

    def orders(self, algo: Algo) -> dict[str, Order]:
        """The engine's orders behind it, by side."""
        by_id = self._exchange.books.by_order_id
        return {side: by_id[order_id] for side, order_id in algo.legs.items()}

    def state(self, algo: Algo) -> str:
        """`live`, `effective`, `canceled` or `order_failed`."""
        orders = self.orders(algo).values()
        if any(_failed(order) for order in orders):
            return FAILED
        if algo.placed:
            return EFFECTIVE
        return LIVE if any(order.is_open for order in orders) else CANCELED

    def changed_s(self, algo: Algo) -> float:
        """When it was triggered, ended or amended."""
        times = [algo.created_s, algo.updated_s]
        for order in self.orders(algo).values():
            times.append(order.triggered_at_s or 0.0)
            if order.triggered_at_s is None:
                times.append(order.closed_at_s or 0.0)
        return max(times)

    def cancel(self, algo: Algo, cancel: Callable[[Order], object]) -> None:
        """End it before it was triggered."""
        for order in self.orders(algo).values():
            cancel(order)

    def side_of(self, order: Order) -> tuple[Algo, str] | None:
        """The waiting order that an order of the engine belongs to, and which side of it."""
        return self._by_leg.get(order.order_id)

    def shown_id(self, order: Order) -> str | None:
        """Under which id an order of the engine is an ordinary order; None while it waits, and if it never was one."""
        found = self._by_leg.get(order.order_id)
        if found is None:
            return order.order_id
        return None if _failed(order) else found[0].placed.get(found[1])

    def named(self, order_id: str) -> Order | None:
        """The ordinary order of that id, those that were triggered among them."""
        found = self._exchange.books.by_order_id.get(self._by_placed.get(order_id, order_id))
        return found if found is not None and self.shown_id(found) == order_id else None

    def save(self, algo: Algo) -> None:
        """Note it for the store."""
        if self._store is not None:
            self._store.put("okx algo", algo.algo_id, asdict(algo))

    def _index(self, algo: Algo) -> None:
        self._algos[algo.algo_id] = algo
        self._by_account.setdefault(algo.account, []).append(algo)
        for side, order_id in algo.legs.items():
            self._by_leg[order_id] = (algo, side)
        for side, order_id in algo.placed.items():
            self._by_placed[order_id] = algo.legs[side]
            self._last_placed = max(self._last_placed, int(order_id))

    def _triggered(self, order: Order) -> None:
        """One side was reached: it becomes an ordinary order, newer than all there are, and the other side ends."""
        found = self._by_leg.get(order.order_id)
        if found is None:
            return
        algo, side = found
        books = self._exchange.books
        self._last_placed = max(int(books.make_order_id(len(books.orders))), self._last_placed) + 1
        algo.placed[side] = str(self._last_placed)
        self._by_placed[algo.placed[side]] = order.order_id
        self.save(algo)
        for other_side, other in self.orders(algo).items():
            if other_side != side:
                self._exchange.cancel(other, OTHER_SIDE)


def newest_first(algos: Iterable[Algo]) -> list[Algo]:
    """By their ids."""
    return sorted(algos, key=lambda algo: int(algo.algo_id), reverse=True)


def new_order(values: dict[str, Any]) -> NewOrder:
    """An order of the engine that holds no money before it is triggered."""
    return NewOrder(**values, holds_at_trigger=True)


def _failed(order: Order) -> bool:
    """Whether the money did not suffice when the price was reached."""
    return order.triggered_at_s is not None and not order.is_open and not order.filled and order.reason == NO_FUNDS
