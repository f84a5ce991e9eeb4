"""Binance's limits: weight per address and minute, unfilled orders per account; what comes after too many.

Source: Binance's REST page, "LIMITS", and its page on unfilled orders. Windows are whole minutes, ten seconds and
days of the clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from copytrade.simulator.binance.errors import BinanceError
from copytrade.simulator.orders import Order

MINUTE_S = 60
BAN_FIRST_S = 120.0
BAN_MAX_S = 3 * 86_400.0
IGNORED_MAX = 10  # so many 429s within one ban's length, and an address is banned; the number is not published
ADDRESSES_MAX = 10_000  # then the counters start afresh


@dataclass(slots=True)
class Address:
    """What one address has used, and whether it is banned. Times in unix seconds."""

    minute: int = -1
    weight: int = 0
    refused: int = 0
    ban_s: float = BAN_FIRST_S
    banned_until_s: float = 0.0


class WeightLimit:
    """Request weight per address."""

    def __init__(self, enabled: bool, per_minute: int) -> None:
        self.enabled = enabled
        self.per_minute = per_minute
        self._addresses: dict[str, Address] = {}

    def used(self, remote: str, now_s: float) -> int:
        """The weight used in this minute."""
        return self._at(remote, now_s).weight

    def charge(self, remote: str, weight: int, now_s: float) -> None:
        """Count a request. Raises BinanceError: 429 over the limit, 418 while banned for going on after that.

        Without the limit nothing is used up: clients hold back by what they are told.
        """
        if not self.enabled:
            return
        address = self._at(remote, now_s)
        if now_s < address.banned_until_s:
            raise self._banned(address, remote, now_s)
        address.weight += weight
        if address.weight <= self.per_minute:
            return
        address.refused += 1
        if address.refused > IGNORED_MAX:
            address.banned_until_s = now_s + address.ban_s
            address.ban_s = min(address.ban_s * 2, BAN_MAX_S)
            address.refused = 0
            raise self._banned(address, remote, now_s)
        left_s = math.ceil((address.minute + 1) * MINUTE_S - now_s)
        raise BinanceError(
            -1003,
            f"Too much request weight used; current limit is {self.per_minute} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API.",
            headers={"Retry-After": str(max(left_s, 1))},
        )

    def give_back(self, remote: str, weight: int, now_s: float) -> None:
        """A call that costs nothing when it succeeds did."""
        address = self._at(remote, now_s)
        address.weight = max(0, address.weight - weight)

    def _at(self, remote: str, now_s: float) -> Address:
        address = self._addresses.get(remote)
        if address is None:
            if len(self._addresses) >= ADDRESSES_MAX:
                self._addresses.clear()
            address = self._addresses[remote] = Address()
        minute = math.floor(now_s / MINUTE_S)
        if minute != address.minute:
            if address.weight <= self.per_minute:
                address.refused = 0
            address.minute, address.weight = minute, 0
        return address

    @staticmethod
    def _banned(address: Address, remote: str, now_s: float) -> BinanceError:
        until_ms = math.ceil(address.banned_until_s * 1000)
        return BinanceError(
            -1003,
            f"Way too much request weight used; IP banned until {until_ms}. Please use WebSocket Streams for live "
            "updates to avoid bans.",
            status=418,
            headers={"Retry-After": str(math.ceil(address.banned_until_s - now_s))},
        )


@dataclass(slots=True)
class Window:
    """A count of orders in one span of the clock."""

    letter: str
    interval: str
    number: int
    length_s: int
    limit: int
    current: int = -1
    count: int = 0

    def at(self, now_s: float) -> Window:
        """The same window, begun anew if its time is over."""
        current = math.floor(now_s / self.length_s)
        if current != self.current:
            self.current, self.count = current, 0
        return self


@dataclass(slots=True)
class OrderCounter:
    """The unfilled orders of one account: each order counts until it has its first fill."""

    windows: tuple[Window, Window]
    unfilled: dict[int, tuple[Order, int, tuple[int, int]]] = field(default_factory=dict)

    def settle(self, now_s: float) -> None:
        """Give back what orders that have filled had counted, in the windows where they did."""
        windows = [window.at(now_s) for window in self.windows]
        for arrival, (order, counted, counted_in) in list(self.unfilled.items()):
            if order.filled:
                for window, number in zip(windows, counted_in, strict=True):
                    if window.current == number:
                        window.count = max(0, window.count - counted)
            if order.filled or not order.is_open:
                del self.unfilled[arrival]

    def check(self, now_s: float, orders: int = 1) -> None:
        """Raise BinanceError when so many more orders are too many."""
        self.settle(now_s)
        for window in self.windows:
            if window.count + orders > window.limit:
                left_s = math.ceil((window.current + 1) * window.length_s - now_s)
                raise BinanceError(
                    -1015,
                    f"Too many new orders; current limit is {window.limit} orders per {window.number} "
                    f"{window.interval}.",
                    headers={"Retry-After": str(max(left_s, 1))},
                )

    def add(self, order: Order, now_s: float, orders: int = 1) -> None:
        """Count an order that was taken; a list counts as the orders in it."""
        first, second = (window.at(now_s) for window in self.windows)
        first.count += orders
        second.count += orders
        self.unfilled[order.arrival] = (order, orders, (first.current, second.current))


class OrderLimit:
    """The counters of all accounts: they live as long as the venue, one entry per account."""

    def __init__(self, enabled: bool, per_10_s: int, per_day: int) -> None:
        self.enabled = enabled
        self.per_10_s = per_10_s
        self.per_day = per_day
        self._counters: dict[str, OrderCounter] = {}

    def of(self, account: str) -> OrderCounter:
        """The counter of an account."""
        counter = self._counters.get(account)
        if counter is None:
            counter = self._counters[account] = OrderCounter(
                (
                    Window("10S", "SECOND", 10, 10, self.per_10_s),
                    Window("1D", "DAY", 1, 86_400, self.per_day),
                )
            )
        return counter


Weigher = Callable[[dict[str, str]], int]
"""What a call costs, by its parameters."""
