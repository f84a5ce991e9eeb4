"""Orders and trades as Kraken shows them: which values are numbers, which text, with how many decimals."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from copytrade.simulator.kraken.kinds import kind_of, misc_of, prices_of
from copytrade.simulator.kraken.listing import BY_SYMBOL, KrakenPair
from copytrade.simulator.orders import ZERO, Fill, NewOrder, Order

VOLUME_STEP = Decimal("0.00000001")


def fixed(value: Decimal, decimals: int) -> str:
    """A number as text with this many decimals."""
    return format(value.quantize(Decimal(1).scaleb(-decimals)), "f")


def order_flags(request: NewOrder) -> str:
    """The `oflags` of an order, with Kraken's default of fees in the quote currency written out."""
    flags = ["fcib" if request.fee_in_base else "fciq"]
    if request.post_only:
        flags.append("post")
    if request.volume_in_quote:
        flags.append("viqc")
    return ",".join(flags)


def order_text(
    pair: KrakenPair, request: NewOrder, volume: Decimal, price: Decimal | None, price2: Decimal | None = None
) -> str:
    """The `descr.order` line: `buy 1.25000000 XBTUSD @ limit 27500.0`, `... @ stop loss 48000.0 -> limit 47000.0`."""
    kind, decimals = kind_of(request), pair.market.price_decimals
    how = kind.name.removesuffix("-limit").replace("-", " ")
    if price is not None:
        how = f"{how} {fixed(price, decimals)}"
    if price2 is not None:
        how = f"{how} -> limit {fixed(price2, decimals)}"
    return f"{request.side} {fixed(volume, 8)} {pair.altname} @ {how}"


def order_object(order: Order, fill_ids: list[str] | None = None) -> dict[str, Any]:
    """An order as OpenOrders, ClosedOrders and QueryOrders give it.

    With `viqc`, `vol` and `vol_exec` count the quote currency ("base currency unless viqc set in oflags",
    Kraken's Order page).
    """
    request = order.request
    pair = BY_SYMBOL[request.symbol]
    market = pair.market
    price_decimals = market.price_decimals
    executed = order.cost if request.volume_in_quote else order.filled
    average = order.cost / order.filled if order.filled else ZERO
    price, price2 = prices_of(order)
    shown: dict[str, Any] = {
        "refid": None,
        "userref": request.user_ref if request.user_ref is not None else 0,
        "status": order.status,
        "opentm": round(order.accepted_at_s, 6),
        "starttm": 0,
        "expiretm": int(request.expires_at_s) if request.expires_at_s is not None else 0,
        "descr": {
            "pair": pair.altname,
            "type": request.side,
            "ordertype": kind_of(request).name,
            "price": "0" if price is None else fixed(price, price_decimals),
            "price2": "0" if price2 is None else fixed(price2, price_decimals),
            "leverage": "none",
            "order": order_text(pair, request, order.volume, price, price2),
            "close": "",
        },
        "vol": fixed(order.volume, 8),
        "vol_exec": fixed(executed, 8),
        "cost": fixed(order.cost, market.cost_decimals),
        "fee": fixed(order.fee, market.cost_decimals),
        "price": fixed(average, price_decimals),
        "stopprice": fixed(order.stop_price or ZERO, price_decimals),
        "limitprice": fixed(ZERO, price_decimals),
        "misc": misc_of(order),
        "oflags": order_flags(request),
    }
    if request.trigger:
        shown["trigger"] = "last"
    if request.client_id is not None:
        shown["cl_ord_id"] = request.client_id
    if fill_ids is not None:
        shown["trades"] = fill_ids
    if not order.is_open:
        shown["reason"] = order.reason
        shown["closetm"] = round(order.closed_at_s or 0.0, 6)
    return shown


def trade_object(fill: Fill, order: Order) -> dict[str, Any]:
    """A trade as TradesHistory and QueryTrades give it; `pair` is the result key here."""
    request = order.request
    pair = BY_SYMBOL[request.symbol]
    return {
        "ordertxid": order.order_id,
        "postxid": "TKH2SE-M7IF5-CFI7LT",
        "pair": pair.key,
        "time": round(fill.time_s, 6),
        "type": request.side,
        "ordertype": kind_of(request).name,
        "price": fixed(fill.price, pair.market.price_decimals),
        "cost": fixed(fill.cost, pair.market.cost_decimals),
        "fee": fixed(fill.fee, pair.market.cost_decimals),
        "vol": fixed(fill.volume, 8),
        "margin": "0.00000",
        "leverage": "0",
        "misc": "",
        "trade_id": fill.number,
        "maker": fill.maker,
    }
