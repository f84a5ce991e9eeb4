"""Orders and trades as Binance shows them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from copytrade.simulator.binance.listing import BY_MARKET, fixed
from copytrade.simulator.orders import CANCELED, CLOSED, OPEN, ZERO, Fill, NewOrder, Order

BY_USER = "User requested"
SELF_TRADE_MODE = "EXPIRE_MAKER"


def milliseconds(time_s: float) -> int:
    """Unix time as Binance counts it."""
    return int(time_s * 1000)


def order_type(request: NewOrder) -> str:
    """The type under which an order was placed."""
    if request.limit_price is None:
        return "MARKET"
    return "LIMIT_MAKER" if request.post_only else "LIMIT"


def order_status(order: Order) -> str:
    """A cancel by the account's holder is CANCELED; what the engine ends by itself is EXPIRED."""
    if order.status == OPEN:
        return "PARTIALLY_FILLED" if order.filled else "NEW"
    if order.status == CLOSED:
        return "FILLED"
    return "CANCELED" if order.status == CANCELED and order.reason == BY_USER else "EXPIRED"


def original_quantity(order: Order) -> Decimal:
    """The quantity asked for; of an order by amount of money, what it came to."""
    return order.filled if order.request.volume_in_quote else order.volume


def order_core(order: Order) -> dict[str, Any]:
    """What every reply about an order has in common."""
    request = order.request
    return {
        "symbol": BY_MARKET[request.symbol].name,
        "orderId": int(order.order_id),
        "orderListId": -1,
        "clientOrderId": request.client_id,
        "price": fixed(order.limit_price or ZERO),
        "origQty": fixed(original_quantity(order)),
        "executedQty": fixed(order.filled),
        "origQuoteOrderQty": fixed(order.request.volume if request.volume_in_quote else ZERO),
        "cummulativeQuoteQty": fixed(order.cost),
        "status": order_status(order),
        "timeInForce": request.time_in_force,
        "type": order_type(request),
        "side": request.side.upper(),
    }


def ack(order: Order) -> dict[str, Any]:
    """The shortest answer to a new order."""
    core = order_core(order)
    shown = {name: core[name] for name in ("symbol", "orderId", "orderListId", "clientOrderId")}
    return {**shown, "transactTime": milliseconds(order.accepted_at_s)}


def result(order: Order) -> dict[str, Any]:
    """The middle answer to a new order."""
    at_ms = milliseconds(order.accepted_at_s)
    return {
        **order_core(order),
        "transactTime": at_ms,
        "workingTime": at_ms,
        "selfTradePreventionMode": SELF_TRADE_MODE,
    }


def full(order: Order, fills: list[Fill]) -> dict[str, Any]:
    """The longest answer to a new order: with its fills so far."""
    shown = [
        {
            "price": fixed(fill.price),
            "qty": fixed(fill.volume),
            **commission(fill, order),
            "tradeId": int(fill.fill_id),
        }
        for fill in fills
    ]
    return {**result(order), "fills": shown}


def commission(fill: Fill, order: Order) -> dict[str, str]:
    """The fee of a trade and its asset: what was bought, or the money for what was sold."""
    market = BY_MARKET[order.request.symbol].market
    if order.request.fee_in_base:
        return {"commission": fixed(fill.fee_base), "commissionAsset": market.base}
    return {"commission": fixed(fill.fee), "commissionAsset": market.quote}


def order_object(order: Order, fills: list[Fill]) -> dict[str, Any]:
    """An order as lookups show it."""
    at_ms = milliseconds(order.accepted_at_s)
    updated_s = order.closed_at_s or (fills[-1].time_s if fills else order.accepted_at_s)
    return {
        **order_core(order),
        "stopPrice": fixed(ZERO),
        "icebergQty": fixed(ZERO),
        "time": at_ms,
        "updateTime": milliseconds(updated_s),
        "isWorking": True,
        "workingTime": at_ms,
        "selfTradePreventionMode": SELF_TRADE_MODE,
    }


def trade_object(fill: Fill, order: Order) -> dict[str, Any]:
    """A trade as myTrades shows it."""
    return {
        "symbol": BY_MARKET[order.request.symbol].name,
        "id": int(fill.fill_id),
        "orderId": int(order.order_id),
        "orderListId": -1,
        "price": fixed(fill.price),
        "qty": fixed(fill.volume),
        "quoteQty": fixed(fill.cost),
        **commission(fill, order),
        "time": milliseconds(fill.time_s),
        "isBuyer": order.request.side == "buy",
        "isMaker": fill.maker,
        "isBestMatch": True,
    }
