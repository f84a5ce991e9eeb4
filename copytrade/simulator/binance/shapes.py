"""Orders, lists of orders and trades as Binance shows them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from copytrade.simulator.binance.listing import BY_MARKET, fixed
from copytrade.simulator.binance.parts import Part
from copytrade.simulator.orders import ZERO, Fill, Order

SELF_TRADE_MODE = "EXPIRE_MAKER"
NOT_WORKING = -1  # in place of the time since when an order is in the market


def milliseconds(time_s: float) -> int:
    """Unix time as Binance counts it."""
    return int(time_s * 1000)


def symbol_name(order: Order) -> str:
    """The venue's name of an order's market."""
    return BY_MARKET[order.request.symbol].name


def original_quantity(part: Part) -> Decimal:
    """The quantity asked for; of an order by amount of money, what it came to."""
    return part.executed if part.order.request.volume_in_quote else part.order.volume


def order_core(part: Part) -> dict[str, Any]:
    """What every reply about an order has in common; the stop price is there for the types that have one."""
    request = part.order.request
    core = {
        "symbol": symbol_name(part.order),
        "orderId": part.order_id,
        "orderListId": part.list_id,
        "clientOrderId": part.client_id,
        "price": fixed(part.price),
        "origQty": fixed(original_quantity(part)),
        "executedQty": fixed(part.executed),
        "origQuoteOrderQty": fixed(request.volume if request.volume_in_quote else ZERO),
        "cummulativeQuoteQty": fixed(part.cost),
        "status": part.status,
        "timeInForce": request.time_in_force,
        "type": part.type,
        "side": request.side.upper(),
    }
    return core if part.stop is None else {**core, "stopPrice": fixed(part.stop)}


def ack(part: Part) -> dict[str, Any]:
    """The shortest answer to a new order."""
    core = order_core(part)
    shown = {name: core[name] for name in ("symbol", "orderId", "orderListId", "clientOrderId")}
    return {**shown, "transactTime": milliseconds(part.order.accepted_at_s)}


def result(part: Part) -> dict[str, Any]:
    """The middle answer to a new order."""
    return {
        **order_core(part),
        "transactTime": milliseconds(part.order.accepted_at_s),
        "workingTime": working_ms(part),
        "selfTradePreventionMode": SELF_TRADE_MODE,
    }


def full(part: Part) -> dict[str, Any]:
    """The longest answer to a new order: with its fills so far."""
    shown = [
        {
            "price": fixed(fill.price),
            "qty": fixed(fill.volume),
            **commission(fill, part.order),
            "tradeId": int(fill.fill_id),
        }
        for fill in part.fills
    ]
    return {**result(part), "fills": shown}


def commission(fill: Fill, order: Order) -> dict[str, str]:
    """The fee of a trade and its asset: what was bought, or the money for what was sold."""
    market = BY_MARKET[order.request.symbol].market
    if order.request.fee_in_base:
        return {"commission": fixed(fill.fee_base), "commissionAsset": market.base}
    return {"commission": fixed(fill.fee), "commissionAsset": market.quote}


def order_object(part: Part) -> dict[str, Any]:
    """An order as lookups show it."""
    return {
        "stopPrice": fixed(ZERO),
        **order_core(part),
        "icebergQty": fixed(ZERO),
        "time": milliseconds(part.order.accepted_at_s),
        "updateTime": milliseconds(part.updated_s),
        "isWorking": part.works,
        "workingTime": working_ms(part),
        "selfTradePreventionMode": SELF_TRADE_MODE,
    }


def cancelled(part: Part, cancel_id: str, at_s: float, status: str | None = None) -> dict[str, Any]:
    """The answer to a cancel: the order's id as `origClientOrderId`, and the cancel's own in its place."""
    return {
        **order_core(part),
        "origClientOrderId": part.client_id,
        "clientOrderId": cancel_id,
        "status": part.status if status is None else status,
        "transactTime": milliseconds(at_s),
        "selfTradePreventionMode": SELF_TRADE_MODE,
    }


def list_object(parts: Sequence[Part], at_s: float) -> dict[str, Any]:
    """A list of orders as look-ups show it, without what became of its orders."""
    done = not any(part.is_open for part in parts)
    first = parts[0]
    return {
        "orderListId": first.list_id,
        "contingencyType": "OCO",
        "listStatusType": "ALL_DONE" if done else "EXEC_STARTED",
        "listOrderStatus": "ALL_DONE" if done else "EXECUTING",
        "listClientOrderId": first.order.request.client_id,
        "transactionTime": milliseconds(at_s),
        "symbol": symbol_name(first.order),
        "orders": [
            {"symbol": symbol_name(part.order), "orderId": part.order_id, "clientOrderId": part.client_id}
            for part in parts
        ],
    }


def working_ms(part: Part) -> int:
    """Since when an order is in the market: from its trigger on, if it has one."""
    if not part.works:
        return NOT_WORKING
    triggered_s = part.order.triggered_at_s if part.stop is not None else None
    return milliseconds(triggered_s or part.order.accepted_at_s)


def trade_object(fill: Fill, part: Part) -> dict[str, Any]:
    """A trade as myTrades shows it."""
    return {
        "symbol": symbol_name(part.order),
        "id": int(fill.fill_id),
        "orderId": part.order_id,
        "orderListId": part.list_id,
        "price": fixed(fill.price),
        "qty": fixed(fill.volume),
        "quoteQty": fixed(fill.cost),
        **commission(fill, part.order),
        "time": milliseconds(fill.time_s),
        "isBuyer": part.order.request.side == "buy",
        "isMaker": fill.maker,
        "isBestMatch": True,
    }
