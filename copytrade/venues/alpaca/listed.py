"""Alpaca's orders in the words of the list of orders, whoever placed them."""

from __future__ import annotations

import logging
from datetime import datetime
from decimal import Decimal

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.venue import VenueOrder
from copytrade.venues.alpaca.clock import read_time
from copytrade.venues.alpaca.names import MarketNames
from copytrade.venues.alpaca.orders import Group, Order, amount_of, asked_quantity, read_execution

logger = logging.getLogger(__name__)

# A limit on the closing or opening auction (`cls`, `opg`) waits for it as a resting one does.
_AT_ONCE = ("ioc", "fok")
# A trailing stop is a stop at the price where it stands now; Alpaca shows that price as `stop_price`.
_KINDS = {
    "market": OrderKind.MARKET,
    "limit": OrderKind.LIMIT,
    "stop": OrderKind.STOP,
    "stop_limit": OrderKind.STOP_LIMIT,
    "trailing_stop": OrderKind.STOP,
}
_TOLD_MAX = 1_000  # odd orders that were warned of; beyond that nobody reads on


class OddOrders:
    """Warns of each order that cannot be told of, once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def warn(self, account: str, order: Order, why: str) -> None:
        key = f"{order.get('id')!s:.64}"
        if key not in self._told and len(self._told) < _TOLD_MAX:
            self._told.add(key)
            logger.warning("%s: order %s at Alpaca is left out: %s", account, key, why)


def read_listed(group: Group, names: MarketNames, crypto_fee_rate: Decimal, at: datetime) -> VenueOrder | None:
    """One order as the list of orders tells it; None for a market that is not listed (an option, say).

    An order that was replaced keeps the ids of the first, and has price and quantity of the last. Raises
    `VenueUnavailable` for what is no order.
    """
    first, last = group.chain[0], group.last
    instrument = names.find(str(first.get("symbol", "")))
    if instrument is None:
        return None
    execution = read_execution(group, crypto_fee_rate, at, lenient=True)
    try:
        kind = _kind(group)
        limit, stop = _prices(group)
        asked = asked_quantity(group)
        if (kind.has_limit and limit is None) or (kind.has_stop and stop is None):
            raise ValueError(f"a {kind} order without its price")
        return VenueOrder(
            venue_order_id=execution.venue_order_id,
            client_order_id=str(first.get("client_order_id") or ""),
            symbol=instrument.symbol,
            side=Side(first["side"]),
            kind=kind,
            quantity=execution.quantity if asked is None else Quantity(asked),
            limit_price=limit if kind.has_limit else None,
            stop_price=stop if kind.has_stop else None,
            status=execution.status,
            filled=execution.quantity,
            cost=execution.cost,
            fee=execution.fee,
            created_at=read_time(first["submitted_at"]),
            at=at,
            fee_base=execution.fee_base,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise VenueUnavailable(
            f"Alpaca lists order {last.get('id')!s:.64}, which cannot be read: {error!r:.200}"
        ) from None


def _kind(group: Group) -> OrderKind:
    if any(leg.get("stop_price") is not None for leg in group.legs):
        return OrderKind.BRACKET
    order = group.last
    if order["type"] == "limit" and order.get("time_in_force") in _AT_ONCE:
        return OrderKind.IOC_LIMIT
    known = _KINDS.get(str(order["type"]))
    if known is not None:
        return known
    # A type that is new: the nearest that has the same prices.
    limited, stopped = order.get("limit_price") is not None, order.get("stop_price") is not None
    if stopped:
        return OrderKind.STOP_LIMIT if limited else OrderKind.STOP
    return OrderKind.LIMIT if limited else OrderKind.MARKET


def _prices(group: Group) -> tuple[Price | None, Price | None]:
    """Limit and stop. In a list the limit is the profit's and the stop the loss's (whose own limit has no place)."""
    limit = group.last.get("limit_price")
    stops = [leg.get("stop_price") for leg in group.legs if leg.get("stop_price") is not None]
    stop = stops[-1] if stops else group.last.get("stop_price")
    return _price(limit), _price(stop)


def _price(value: object) -> Price | None:
    return None if value is None else Price(amount_of(value))
