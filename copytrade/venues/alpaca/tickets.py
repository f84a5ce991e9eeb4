"""What is sent to place an order, and which kinds of orders each market takes.

Sources: docs.alpaca.markets, "Orders at Alpaca" (types, times in force, OCO), "Fractional trading", "Crypto orders".
"""

from __future__ import annotations

from typing import Any

from copytrade.domain.instrument import AssetClass, Instrument
from copytrade.domain.money import Price
from copytrade.domain.order import OrderKind
from copytrade.domain.venue import OrderTicket

# Coins: market, limit and stop-limit; no plain stop, no post-only, no lists.
_COIN_KINDS = frozenset({OrderKind.MARKET, OrderKind.IOC_LIMIT, OrderKind.LIMIT, OrderKind.STOP_LIMIT})
# Fractions of shares are "DAY orders" and "simple orders" (both are Alpaca's refusals, code 42210000): no IOC, no OCO.
# Copies are fractions nearly always, so where fractions are allowed only what they may be is promised.
_FRACTION_KINDS = frozenset({OrderKind.MARKET, OrderKind.LIMIT, OrderKind.STOP, OrderKind.STOP_LIMIT})
_SHARE_KINDS = _FRACTION_KINDS | {OrderKind.IOC_LIMIT, OrderKind.BRACKET}
_TYPES = {
    OrderKind.MARKET: "market",
    OrderKind.IOC_LIMIT: "limit",
    OrderKind.LIMIT: "limit",
    OrderKind.STOP: "stop",
    OrderKind.STOP_LIMIT: "stop_limit",
    OrderKind.BRACKET: "limit",
}


def kinds_of(instrument: Instrument) -> frozenset[OrderKind]:
    """The kinds that Alpaca itself can do in this market, whatever the quantity.

    A stop to buy a stock is not quite one: Alpaca makes a stop-limit of it, 2.5 % above the stop (4 % under 50 USD).
    """
    if instrument.asset_class is not AssetClass.STOCK:
        return _COIN_KINDS
    return _SHARE_KINDS if instrument.lot_step >= 1 else _FRACTION_KINDS


def order_fields(ticket: OrderTicket) -> dict[str, Any]:
    """The fields of a new order, numbers as plain decimal text.

    A stock's market order is good for the day, the one time in force that Alpaca takes for fractions of shares; a
    coin's is good till cancelled, and either fills at once. What rests is good till cancelled, but for fractions of
    shares, which end with the trading day. Raises `ValueError` for a kind that Alpaca does not have and for a price
    that is missing or off the tick.
    """
    kind, stock = ticket.kind, ticket.instrument.asset_class is AssetClass.STOCK
    if kind not in _TYPES or (not stock and kind not in _COIN_KINDS):
        raise ValueError(f"order {ticket.order_id}: Alpaca has no {kind} orders for {ticket.instrument.symbol}")
    fields: dict[str, Any] = {
        "symbol": ticket.instrument.venue_symbol,
        "qty": str(ticket.quantity),
        "side": ticket.side.value,
        "type": _TYPES[kind],
        "time_in_force": _time_in_force(ticket, stock),
        "client_order_id": ticket.order_id,
    }
    if kind is OrderKind.BRACKET:
        fields["order_class"] = "oco"
        fields["take_profit"] = {"limit_price": _price(ticket, "limit_price")}
        fields["stop_loss"] = {"stop_price": _price(ticket, "stop_price")}
        return fields
    if kind.has_limit:
        fields["limit_price"] = _price(ticket, "limit_price")
    if kind.has_stop:
        fields["stop_price"] = _price(ticket, "stop_price")
    return fields


def _time_in_force(ticket: OrderTicket, stock: bool) -> str:
    if ticket.kind is OrderKind.IOC_LIMIT:
        return "ioc"
    quantity = ticket.quantity.value
    fraction = quantity != quantity.to_integral_value()
    return "day" if stock and (fraction or ticket.kind is OrderKind.MARKET) else "gtc"


def _price(ticket: OrderTicket, name: str) -> str:
    price: Price | None = getattr(ticket, name)
    if price is None:
        raise ValueError(f"order {ticket.order_id} is a {ticket.kind} order without a {name}")
    if price.value <= 0 or price.value % ticket.instrument.tick:
        raise ValueError(
            f"order {ticket.order_id}: its {name} {price} is off the tick {ticket.instrument.tick} of "
            f"{ticket.instrument.symbol}"
        )
    return str(price)
