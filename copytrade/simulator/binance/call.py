"""One call on its way through the simulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from copytrade.simulator.binance.errors import NO_SUCH_ORDER, BinanceError
from copytrade.simulator.binance.keys import ApiKey
from copytrade.simulator.binance.limits import OrderLimit
from copytrade.simulator.binance.listing import BinanceSymbol
from copytrade.simulator.binance.params import Params
from copytrade.simulator.binance.parts import Lists, Part, list_id, parts_of
from copytrade.simulator.exchange import Exchange
from copytrade.simulator.faults import Fault
from copytrade.simulator.orders import Account, Order
from copytrade.simulator.prices import Candle

TRADING = "TRADING"
STATUSES = (TRADING, "HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY")
LOOKUP_CHOICES = ("newest", "oldest")


@dataclass(frozen=True, slots=True)
class Unverified:
    """How the simulator behaves where Binance's documentation leaves it open; each can be had the other way.

    `reuse_cancelled_ids`: a client order id may be used again once its order was cancelled or expired (the text names
    filled orders alone). `reused_id_shows`: which order a look-up of a reused id shows. `recv_window_code`: the code
    for a recvWindow above a minute. `strict_params`: an unknown parameter is refused with -1104.
    """

    reuse_cancelled_ids: bool = True
    reused_id_shows: str = "newest"
    recv_window_code: int = -1131
    strict_params: bool = True

    def __post_init__(self) -> None:
        if self.reused_id_shows not in LOOKUP_CHOICES:
            raise ValueError(f"reused_id_shows is {self.reused_id_shows!r}: give one of {', '.join(LOOKUP_CHOICES)}")


@dataclass(slots=True)
class Desk:
    """What the venue keeps besides the exchange: order counters, lists of orders, named limits, statuses of symbols,
    candles."""

    orders: OrderLimit
    lists: Lists
    unverified: Unverified
    weight_per_minute: int
    statuses: dict[str, str] = field(default_factory=dict)
    candles: dict[tuple[str, int], list[Candle]] = field(default_factory=dict)
    ids_made: int = 0

    def status(self, symbol: BinanceSymbol) -> str:
        """The status of a symbol."""
        return self.statuses.get(symbol.market.symbol, TRADING)


@dataclass(slots=True)
class PublicCall:
    """A call without a key."""

    exchange: Exchange
    desk: Desk
    params: Params
    now_s: float


@dataclass(slots=True)
class Call(PublicCall):
    """A call that has passed key, timestamp, signature and permission."""

    api_key: ApiKey
    account: Account
    fault: Fault | None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def fault_kind(self) -> str | None:
        """Kind of the fault that strikes this call."""
        return None if self.fault is None else self.fault.kind

    def visible(self, order: Order) -> bool:
        """Whether lookups show the order already."""
        return order.visible_at_s <= self.now_s

    def parts(self, order: Order) -> tuple[Part, ...]:
        """What is shown of an order of the engine: one order, or the two of a list."""
        fills = [self.exchange.books.fills[number - 1] for number in order.fills]
        return parts_of(order, self.desk.lists.of(order), fills)

    def own_order(self, symbol: BinanceSymbol, order_id: int) -> Part:
        """An order of the account in this symbol by the venue's id. Raises BinanceError."""
        by_id = self.exchange.books.by_order_id
        order = by_id.get(str(order_id)) or by_id.get(str(order_id - 1))
        if order is None or order.request.symbol != symbol.market.symbol or not self.mine(order):
            raise BinanceError(*NO_SUCH_ORDER)
        for part in self.parts(order):
            if part.order_id == order_id:
                return part
        raise BinanceError(*NO_SUCH_ORDER)

    def own_list(self, number: int) -> Order | None:
        """A list of the account by its id."""
        for order in self.own_lists():
            if list_id(order) == number:
                return order
        return None

    def own_lists(self) -> list[Order]:
        """Every list of the account, the oldest first."""
        orders = [self.exchange.books.by_order_id[order_id] for order_id in self.desk.lists.ids]
        return [order for order in orders if self.mine(order)]

    def mine(self, order: Order) -> bool:
        """Whether the order is the account's, and not hidden."""
        return order.request.account == self.account.name and self.visible(order)


Handler = Callable[[Call], Any]
PublicHandler = Callable[[PublicCall], Any]
