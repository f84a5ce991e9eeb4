"""What Binance shows of an order: one order, or the two of a list (OCO) that stand for a single one in the engine.

The engine knows a bracket: a limit order that becomes a market order when its stop is reached. Binance shows it as a
`LIMIT_MAKER` and a `STOP_LOSS` with ids of their own, in a list with an id of its own. The two share the bracket's
money; the limit order has the fills it made as a maker, the stop the others. What happens to one ends the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from copytrade.simulator.orders import CANCELED, CLOSED, OPEN, ZERO, Fill, NewOrder, Order

BY_USER = "User requested"
NO_LIST = -1
FIRST_LIST_ID = 160_000
_TRIGGERED = {"stop": "STOP_LOSS", "take_profit": "TAKE_PROFIT"}


@dataclass(frozen=True, slots=True)
class ListIds:
    """The client ids of a list's two orders; the list's own is that of the engine's order."""

    profit: str
    loss: str


@dataclass(slots=True)
class Lists:
    """The lists of all accounts. `save` notes one for the store."""

    save: Callable[[str, ListIds], None]
    ids: dict[str, ListIds] = field(default_factory=dict)
    by_client_id: dict[tuple[str, str], list[Order]] = field(default_factory=dict)

    def add(self, order: Order, ids: ListIds, *, stored: bool = False) -> None:
        """Enter the list that a new order of the engine stands for."""
        self.ids[order.order_id] = ids
        for client_id in (ids.profit, ids.loss):
            self.by_client_id.setdefault((order.request.account, client_id), []).append(order)
        if not stored:
            self.save(order.order_id, ids)

    def of(self, order: Order) -> ListIds | None:
        """The ids of the list that an order stands for; None for a single order."""
        return self.ids.get(order.order_id)


@dataclass(frozen=True, slots=True)
class Part:
    """One order as Binance shows it. `updated_s` is in unix seconds; `works` says whether it is in the market."""

    order: Order
    order_id: int
    client_id: str
    list_id: int
    type: str
    price: Decimal
    stop: Decimal | None
    status: str
    executed: Decimal
    cost: Decimal
    fills: tuple[Fill, ...]
    works: bool
    updated_s: float

    @property
    def is_open(self) -> bool:
        return self.status in ("NEW", "PARTIALLY_FILLED")


def list_id(order: Order) -> int:
    """The id of the list that an order stands for."""
    return FIRST_LIST_ID + order.arrival


def loss_id(order: Order) -> int:
    """The id of the second order of a list; the venue leaves every second id free for it."""
    return int(order.order_id) + 1


def order_type(request: NewOrder) -> str:
    """The type under which a single order was placed."""
    if request.trigger:
        return _TRIGGERED[request.trigger] + ("" if request.limit_price is None else "_LIMIT")
    if request.limit_price is None:
        return "MARKET"
    return "LIMIT_MAKER" if request.post_only else "LIMIT"


def parts_of(order: Order, ids: ListIds | None, fills: Sequence[Fill]) -> tuple[Part, ...]:
    """What is shown of an order of the engine, `fills` being its own so far."""
    if ids is None:
        return (_single(order, fills),)
    return _profit(order, ids, fills), _loss(order, ids, fills)


def _single(order: Order, fills: Sequence[Fill]) -> Part:
    request = order.request
    updated_s = order.closed_at_s or (fills[-1].time_s if fills else order.triggered_at_s or order.accepted_at_s)
    stop = (order.stop_price or request.stop_price) if request.trigger else None
    return Part(
        order=order,
        order_id=int(order.order_id),
        client_id=request.client_id or f"web_{order.order_id}",  # placed by hand, as by Binance's own page
        list_id=NO_LIST,
        type=order_type(request),
        price=order.limit_price or ZERO,
        stop=stop,
        status=_status(order, order.filled),
        executed=order.filled,
        cost=order.cost,
        fills=tuple(fills),
        works=not order.waits,
        updated_s=updated_s,
    )


def _profit(order: Order, ids: ListIds, fills: Sequence[Fill]) -> Part:
    own = tuple(fill for fill in fills if fill.maker)
    over = order.triggered_at_s is not None
    return _leg(
        order, int(order.order_id), ids.profit, "LIMIT_MAKER", order.limit_price or ZERO, None, own,
        over_s=order.triggered_at_s if over else None, works=True,
    )  # fmt: skip


def _loss(order: Order, ids: ListIds, fills: Sequence[Fill]) -> Part:
    profits = [fill for fill in fills if fill.maker]
    over = order.triggered_at_s is None and bool(profits)
    return _leg(
        order, loss_id(order), ids.loss, "STOP_LOSS", ZERO, order.request.bracket_stop,
        tuple(fill for fill in fills if not fill.maker),
        over_s=profits[0].time_s if over else None, works=order.triggered_at_s is not None,
    )  # fmt: skip


def _leg(
    order: Order,
    order_id: int,
    client_id: str,
    kind: str,
    price: Decimal,
    stop: Decimal | None,
    fills: tuple[Fill, ...],
    *,
    over_s: float | None,
    works: bool,
) -> Part:
    """One order of a list; `over_s` is when the other one ended it."""
    executed = sum((fill.volume for fill in fills), ZERO)
    last_s = fills[-1].time_s if fills else order.accepted_at_s
    return Part(
        order=order,
        order_id=order_id,
        client_id=client_id,
        list_id=list_id(order),
        type=kind,
        price=price,
        stop=stop,
        status="EXPIRED" if over_s is not None else _status(order, executed),
        executed=executed,
        cost=sum((fill.cost for fill in fills), ZERO),
        fills=fills,
        works=works,
        updated_s=over_s or order.closed_at_s or last_s,
    )


def _status(order: Order, executed: Decimal) -> str:
    """A cancel by the account's holder is CANCELED; what the engine ends by itself is EXPIRED."""
    if order.status == OPEN:
        return "PARTIALLY_FILLED" if executed else "NEW"
    if order.status == CLOSED:
        return "FILLED"
    return "CANCELED" if order.status == CANCELED and order.reason == BY_USER else "EXPIRED"
