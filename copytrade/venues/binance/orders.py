"""Binance's orders and trades, as its answers tell them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import ZERO, Amount, Quantity, parse_decimal
from copytrade.domain.venue import Execution, ExecutionStatus
from copytrade.venues.binance.names import order_reference

NO_LIST = -1
_STATUSES = {
    "NEW": ExecutionStatus.OPEN,
    "PENDING_NEW": ExecutionStatus.OPEN,
    "PARTIALLY_FILLED": ExecutionStatus.OPEN,
    "PENDING_CANCEL": ExecutionStatus.OPEN,
    "FILLED": ExecutionStatus.FILLED,
    "CANCELED": ExecutionStatus.CANCELLED,
    "REJECTED": ExecutionStatus.CANCELLED,
    # The engine ends what it cannot fill: a market order without liquidity, an IOC order at its limit.
    "EXPIRED": ExecutionStatus.CANCELLED,
    "EXPIRED_IN_MATCH": ExecutionStatus.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as Binance shows it. Its cost and fees are taken from its trades: an order does not tell fees.

    `word` is its status in Binance's words, with the reason why it ended where there is one. `list_id` is that of the
    list (OCO and the like) that it is part of, -1 for none.
    """

    symbol: str
    order_id: int
    client_id: str
    status: ExecutionStatus
    word: str
    executed: Decimal
    list_id: int = NO_LIST

    @property
    def reference(self) -> str:
        return order_reference(self.symbol, self.order_id)


@dataclass(frozen=True, slots=True)
class Fees:
    """What an order's trades took: in the quote currency, in the base asset, and in any other (BNB)."""

    quote: Decimal
    base: Decimal
    other: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Trades:
    """The sum of an order's trades."""

    quantity: Decimal
    cost: Decimal
    fees: Fees


def read_order(entry: Any) -> OrderView:
    """An order object of any call. Raises `VenueUnavailable` for what is none."""
    try:
        order_id = entry["orderId"]
        if type(order_id) is not int or order_id < 0:
            raise ValueError(f"orderId is {order_id!r:.40}")
        return OrderView(
            symbol=_text(entry, "symbol"),
            order_id=order_id,
            client_id=_text(entry, "clientOrderId"),
            status=_STATUSES[entry["status"]],
            word=_word(entry),
            executed=_amount(entry, "executedQty"),
            list_id=_list_id(entry),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise VenueUnavailable(f"Binance's answer about an order cannot be read: {error!r:.200}") from None


def read_trades(entries: Any, instrument: Instrument, quantity_field: str) -> Trades:
    """The sum of `fills` of an answer (`qty`), or of `myTrades`. Raises `VenueUnavailable`."""
    quantity = cost = in_quote = in_base = ZERO
    other: dict[str, Decimal] = {}
    try:
        for entry in _list(entries):
            size = _amount(entry, quantity_field)
            quantity += size
            cost += _amount(entry, "quoteQty") if "quoteQty" in entry else size * _amount(entry, "price")
            fee, asset = _amount(entry, "commission"), entry["commissionAsset"]
            if asset == instrument.base:
                in_base += fee
            elif asset == instrument.quote:
                in_quote += fee
            elif fee:
                other[_text(entry, "commissionAsset")] = other.get(asset, ZERO) + fee
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise VenueUnavailable(f"Binance's list of trades cannot be read: {error!r:.200}") from None
    return Trades(quantity, cost, Fees(in_quote, in_base, other))


def as_execution(order: OrderView, trades: Trades, other_fee: Decimal, at: datetime) -> Execution:
    """Totals of an order; `other_fee` is what was taken in a third asset, in units of the quote currency.

    Quantity and cost are those of the trades, which may be a moment newer than the order's.
    """
    # Of an order that is open or has filled it would say nothing new, in the place of how the order was sized.
    words = [order.word] if order.status is ExecutionStatus.CANCELLED else []
    words += [f"fee {amount:f} {asset}" for asset, amount in trades.fees.other.items()]
    detail = f"Binance: {', '.join(words)}" if words else ""
    return Execution(
        venue_order_id=order.reference,
        status=order.status,
        quantity=Quantity(trades.quantity),
        cost=Amount(trades.cost),
        fee=Amount(trades.fees.quote + other_fee),
        fee_base=Quantity(trades.fees.base),
        at=at,
        detail=detail[:200],
    )


def _word(entry: Mapping[str, Any]) -> str:
    """The status; an order that the engine ended may say why (`expiryReason`, since 2026)."""
    reason = entry.get("expiryReason")
    word = str(entry["status"])
    return f"{word} ({reason:.60})" if isinstance(reason, str) and reason else word


def _list_id(entry: Mapping[str, Any]) -> int:
    list_id = entry.get("orderListId", NO_LIST)
    if type(list_id) is not int:
        raise ValueError(f"orderListId is {list_id!r:.40}")
    return list_id


def _list(entries: Any) -> Iterable[Any]:
    if not isinstance(entries, list):
        raise ValueError(f"expected a list, got {type(entries).__name__}")
    return entries


def _text(entry: Mapping[str, Any], field: str) -> str:
    value = entry[field]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{field} is {value!r:.40}, expected text")
    return value


def _amount(entry: Mapping[str, Any], field: str) -> Decimal:
    value = parse_decimal(entry[field])
    if value < 0:
        raise ValueError(f"{field} is {value}, expected 0 or more")
    return value
