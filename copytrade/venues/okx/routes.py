"""The two ways an order goes to OKX: as an ordinary order, or as one that waits for a price."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from copytrade.domain.order import OrderKind
from copytrade.domain.venue import OrderTicket
from copytrade.venues.okx.algos import ALGO_KINDS, algo_fields
from copytrade.venues.okx.options import ALGO_ORDERS_PER_2_S, ORDERS_PER_2_S
from copytrade.venues.okx.orders import ORDER_KINDS, order_fields


class Route(NamedTuple):
    """The SDK's call, what it takes, where its answer has the ids, and how often it may be made."""

    call: str
    fields: Callable[[OrderTicket], dict[str, Any]]
    id_field: str
    client_field: str
    per_2_s: float
    has_deadline: bool
    algo: bool


_ORDINARY = Route("place_order", order_fields, "ordId", "clOrdId", ORDERS_PER_2_S, has_deadline=True, algo=False)
_WAITING = Route(
    "place_algo_order", algo_fields, "algoId", "algoClOrdId", ALGO_ORDERS_PER_2_S, has_deadline=False, algo=True
)
NATIVE = ORDER_KINDS | ALGO_KINDS


def route_of(kind: OrderKind) -> Route:
    """The way of an order of this kind."""
    return _WAITING if kind in ALGO_KINDS else _ORDINARY
