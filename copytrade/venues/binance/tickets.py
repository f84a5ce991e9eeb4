"""What is sent to place an order, and which kinds of orders a market takes.

Source: Binance's REST page, "New order" and "New order list - OCO". Every kind of ours is one of Binance's types, but
for the bracket, which is a list of two orders (OCO) under one id: a `LIMIT_MAKER` at the profit and a `STOP_LOSS`.
What happens to one of them first ends the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from copytrade.domain.money import Price
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.venue import OrderTicket

_TYPES = {
    OrderKind.MARKET: "MARKET",
    OrderKind.IOC_LIMIT: "LIMIT",
    OrderKind.LIMIT: "LIMIT",
    OrderKind.POST_ONLY: "LIMIT_MAKER",
    OrderKind.STOP: "STOP_LOSS",
    OrderKind.STOP_LIMIT: "STOP_LOSS_LIMIT",
    OrderKind.TAKE_PROFIT: "TAKE_PROFIT",
    OrderKind.TAKE_PROFIT_LIMIT: "TAKE_PROFIT_LIMIT",
}
_TIMES_IN_FORCE = {
    OrderKind.IOC_LIMIT: "IOC",
    OrderKind.LIMIT: "GTC",
    OrderKind.STOP_LIMIT: "GTC",
    OrderKind.TAKE_PROFIT_LIMIT: "GTC",
}
_LIST_TYPES = {"LIMIT_MAKER", "STOP_LOSS"}
# Appended to the id of a bracket. Ids of ours are 18 letters and digits, Binance's may be twice as long.
_PROFIT, _LOSS = "P", "S"


def kinds_of(entry: Mapping[str, Any]) -> frozenset[OrderKind]:
    """The kinds that a market takes, from its entry in `exchangeInfo`: many take no market stops, some no lists."""
    types = entry["orderTypes"]
    kinds = {kind for kind, word in _TYPES.items() if word in types}
    if entry.get("ocoAllowed") is True and set(types) >= _LIST_TYPES:
        kinds.add(OrderKind.BRACKET)
    return frozenset(kinds)


def order_fields(ticket: OrderTicket) -> dict[str, str]:
    """The fields of a new order. Its answer is asked for with fills, which saves asking for them.

    Raises `ValueError` for a price that is missing or off the tick.
    """
    fields = {
        "symbol": ticket.instrument.venue_symbol,
        "side": ticket.side.value.upper(),
        "type": _TYPES[ticket.kind],
        "quantity": str(ticket.quantity),
        "newClientOrderId": ticket.order_id,
        "newOrderRespType": "FULL",
    }
    if ticket.kind in _TIMES_IN_FORCE:
        fields["timeInForce"] = _TIMES_IN_FORCE[ticket.kind]
    if ticket.kind.has_limit:
        fields["price"] = _price(ticket, "limit_price", ticket.limit_price)
    if ticket.kind.has_stop:
        fields["stopPrice"] = _price(ticket, "stop_price", ticket.stop_price)
    return fields


def list_fields(ticket: OrderTicket) -> dict[str, str]:
    """The fields of a bracket: a sale's profit is above the price, a purchase's below it.

    Raises `ValueError` for a price that is missing or off the tick.
    """
    profit_id, loss_id = leg_ids(ticket.order_id)
    profit, loss = ("above", "below") if ticket.side is Side.SELL else ("below", "above")
    return {
        "symbol": ticket.instrument.venue_symbol,
        "side": ticket.side.value.upper(),
        "quantity": str(ticket.quantity),
        "listClientOrderId": ticket.order_id,
        f"{profit}Type": "LIMIT_MAKER",
        f"{profit}ClientOrderId": profit_id,
        f"{profit}Price": _price(ticket, "limit_price", ticket.limit_price),
        f"{loss}Type": "STOP_LOSS",
        f"{loss}ClientOrderId": loss_id,
        f"{loss}StopPrice": _price(ticket, "stop_price", ticket.stop_price),
        "newOrderRespType": "RESULT",
    }


def leg_ids(order_id: str) -> tuple[str, str]:
    """The client ids of a bracket's orders, the profit's first: Binance wants one for each, beside the list's own."""
    return order_id + _PROFIT, order_id + _LOSS


def bracket_id(profit_id: str, loss_id: str) -> str:
    """The client id of the list whose orders have these. One that was not made by `leg_ids` goes by its profit's."""
    return profit_id[:-1] if leg_ids(profit_id[:-1]) == (profit_id, loss_id) else profit_id


def _price(ticket: OrderTicket, field: str, price: Price | None) -> str:
    if price is None:
        raise ValueError(f"order {ticket.order_id} is a {ticket.kind} order without a {field}")
    if price.value <= 0 or price.value % ticket.instrument.tick:
        raise ValueError(
            f"order {ticket.order_id}: its {field} {price} is off the tick {ticket.instrument.tick} of "
            f"{ticket.instrument.symbol}"
        )
    return str(price)
