"""Orders of one market that wait for the price: limit orders to fill, others to be triggered."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from decimal import Decimal

from copytrade.simulator.orders import Order


class RestingOrders:
    """Buys by highest price, sells by lowest, each by arrival within a price.

    An order that closed, or was amended to another price, is dropped when it comes to the top: removing it at
    once would cost a search through the heap.
    """

    def __init__(self) -> None:
        self._buys: list[tuple[Decimal, int, Order]] = []
        self._sells: list[tuple[Decimal, int, Order]] = []

    def __bool__(self) -> bool:
        return bool(self._buys or self._sells)

    def add(self, order: Order) -> None:
        """Put in an order with a limit price; one that is in already at that price may be put in again."""
        price = order.limit_price
        if price is None:
            raise AssertionError(f"order {order.order_id} has no limit price and cannot rest")
        if order.request.side == "buy":
            heapq.heappush(self._buys, (-price, order.arrival, order))
        else:
            heapq.heappush(self._sells, (price, order.arrival, order))

    def crossed(self, bid: Decimal, ask: Decimal) -> Iterator[Order]:
        """Take out and give every order the market trades through: buys at or above `ask`, sells at or below `bid`.

        An order still open after its turn has to be added again by the caller, which then meets it at the
        next call.
        """
        taken = [*_take(self._buys, -ask), *_take(self._sells, bid)]
        for order in taken:
            if order.is_open and order.resting:
                yield order


def _take(heap: list[tuple[Decimal, int, Order]], reach: Decimal) -> list[Order]:
    """Pop every order whose sort key is at most `reach`, once each, without those whose price changed."""
    taken: dict[int, Order] = {}
    while heap and heap[0][0] <= reach:
        key, arrival, order = heapq.heappop(heap)
        if order.limit_price == abs(key):
            taken[arrival] = order
    return list(taken.values())


class ArmedOrders:
    """Orders with a trigger, by how near the price is to it. Like resting orders, stale ones are dropped at the top."""

    def __init__(self) -> None:
        # By the side whose price counts (ask for purchases, bid for sales) and whether it has to rise.
        self._heaps: dict[tuple[str, bool], list[tuple[Decimal, int, Order]]] = {}

    def __bool__(self) -> bool:
        return any(self._heaps.values())

    def add(self, order: Order) -> None:
        """Put in an armed order; one that is in already with that trigger may be put in again."""
        stop = order.stop_price
        if stop is None:
            raise AssertionError(f"order {order.order_id} has no stop price and cannot be triggered")
        rises = order.rises_to_trigger
        heap = self._heaps.setdefault((order.request.side, rises), [])
        heapq.heappush(heap, (stop if rises else -stop, order.arrival, order))

    def reached(self, bid: Decimal, ask: Decimal) -> list[Order]:
        """Take out every order whose trigger the price has reached, by arrival."""
        found: dict[int, Order] = {}
        for (side, rises), heap in self._heaps.items():
            price = ask if side == "buy" else bid
            reach = price if rises else -price
            while heap and heap[0][0] <= reach:
                key, arrival, order = heapq.heappop(heap)
                if order.is_open and order.armed and order.stop_price == abs(key):
                    found[arrival] = order
        return [found[arrival] for arrival in sorted(found)]
