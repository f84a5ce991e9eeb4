"""Orders and fills as OKX shows them: every value a text, empty where there is none."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from copytrade.domain.money import plain
from copytrade.simulator.books import Books
from copytrade.simulator.okx.algobook import EFFECTIVE, FAILED, TRIGGER, Algo
from copytrade.simulator.okx.call import OrderNote, TradingDesk
from copytrade.simulator.okx.listing import BY_SYMBOL
from copytrade.simulator.orders import CANCELED, CLOSED, EXPIRED, OPEN, ZERO, Fill, Order

_DEFAULT_NOTE = OrderNote("limit", "", "", "")
# OKX's numbers for why an order was cancelled: by the user, by the system, a post-only order that would have taken.
_CANCEL_SOURCES = {"User requested": "1", "The post-only order would take liquidity": "31"}


def milliseconds(time_s: float | None) -> str:
    """A time as text in milliseconds since 1970."""
    return "" if time_s is None else str(int(time_s * 1000))


def order_state(order: Order) -> str:
    """`live`, `partially_filled`, `filled` or `canceled`."""
    states = {CLOSED: "filled", CANCELED: "canceled", EXPIRED: "canceled"}
    if order.status == OPEN:
        return "partially_filled" if order.filled else "live"
    return states[order.status]


def order_object(order: Order, books: Books, desk: TradingDesk) -> dict[str, Any]:
    """An order as `/trade/order`, `/trade/orders-pending` and the histories give it.

    The fee is negative, in the base asset for purchases and in the quote currency for sales.
    """
    request = order.request
    instrument = BY_SYMBOL[request.symbol]
    market = instrument.market
    note = desk.notes.get(order.order_id, _DEFAULT_NOTE)
    fills = [books.fills[number - 1] for number in order.fills]
    last = fills[-1] if fills else None
    fee = sum((fill.fee_base if request.fee_in_base else fill.fee for fill in fills), ZERO)
    average = (order.cost / order.filled).quantize(market.cost_step) if order.filled else None
    changed_s = order.closed_at_s or (last.time_s if last else order.accepted_at_s)
    cancelled = order.status in (CANCELED, EXPIRED)
    of_algo = desk.algos.side_of(order)
    client_id = "" if of_algo else request.client_id or ""
    return {
        "instType": "SPOT",
        "instId": instrument.inst_id,
        "tgtCcy": note.target,
        "ccy": "",
        "ordId": desk.algos.shown_id(order) or order.order_id,
        "clOrdId": client_id,
        "algoId": of_algo[0].algo_id if of_algo else "",
        "algoClOrdId": of_algo[0].client_id if of_algo else "",
        "source": ("6" if of_algo[1] == TRIGGER else "7") if of_algo else "",
        "tag": note.tag,
        "px": "" if order.limit_price is None else plain(order.limit_price),
        "sz": plain(order.volume),
        "pnl": "0",
        "ordType": note.order_type,
        "side": request.side,
        "posSide": "",
        "tdMode": "cash",
        "accFillSz": plain(order.filled),
        "fillPx": "" if last is None else plain(last.price),
        "tradeId": "" if last is None else last.fill_id,
        "fillSz": "0" if last is None else plain(last.volume),
        "fillTime": milliseconds(None if last is None else last.time_s),
        "state": order_state(order),
        "avgPx": "" if average is None else plain(average),
        "lever": "",
        "feeCcy": market.base if request.fee_in_base else market.quote,
        "fee": plain(-fee),
        "rebateCcy": market.quote if request.fee_in_base else market.base,
        "rebate": "0",
        "category": "normal",
        "reduceOnly": "false",
        "cancelSource": _CANCEL_SOURCES.get(order.reason or "", "0") if cancelled else "",
        "cancelSourceReason": (order.reason or "") if cancelled else "",
        "uTime": milliseconds(changed_s),
        "cTime": milliseconds(order.triggered_at_s or order.accepted_at_s),
    }


def algo_object(algo: Algo, desk: TradingDesk, state: str | None = None) -> dict[str, Any]:
    """A waiting order as the algo calls give it; `state` stands in for its own."""
    state = desk.algos.state(algo) if state is None else state
    placed = list(algo.placed.items()) if state == EFFECTIVE else []
    triggered = [order for order in desk.algos.orders(algo).values() if order.triggered_at_s is not None]
    prices = {name: algo.prices.get(name, "") for name in ("slTriggerPx", "slOrdPx", "tpTriggerPx", "tpOrdPx")}
    return {
        "instType": "SPOT", "instId": BY_SYMBOL[algo.symbol].inst_id, "algoId": algo.algo_id,
        "algoClOrdId": algo.client_id, "clOrdId": "", "ordId": placed[-1][1] if placed else "",
        "ordIdList": [order_id for _, order_id in placed], "ordType": algo.order_type, "side": algo.side,
        "posSide": "net", "tdMode": "cash", "sz": algo.size, "tgtCcy": algo.target, "tag": algo.tag, "ccy": "",
        "lever": "", "state": state, **prices, "slTriggerPxType": "last" if prices["slTriggerPx"] else "",
        "tpTriggerPxType": "last" if prices["tpTriggerPx"] else "", "triggerPx": algo.prices.get("triggerPx", ""),
        "triggerPxType": "last" if "triggerPx" in algo.prices else "", "ordPx": algo.prices.get("orderPx", ""),
        "actualSz": plain(triggered[0].volume) if placed else "0", "actualPx": "",
        "actualSide": placed[-1][0] if placed and placed[-1][0] != TRIGGER else "", "last": algo.last,
        "failCode": "51008" if state == FAILED else "", "closeFraction": "", "callbackRatio": "",
        "callbackSpread": "", "activePx": "", "moveTriggerPx": "", "reduceOnly": "false", "quickMgnType": "",
        "amendPxOnTriggerType": "0", "attachAlgoOrds": [], "linkedOrd": {"ordId": ""},
        "triggerTime": milliseconds(triggered[0].triggered_at_s) if triggered else "",
        "cTime": milliseconds(algo.created_s), "uTime": milliseconds(desk.algos.changed_s(algo)),
    }  # fmt: skip


def fill_object(fill: Fill, order: Order, desk: TradingDesk) -> dict[str, Any]:
    """A trade as `/trade/fills` and `/trade/fills-history` give it."""
    request = order.request
    market = BY_SYMBOL[request.symbol].market
    fee = fill.fee_base if request.fee_in_base else fill.fee
    note = desk.notes.get(order.order_id, _DEFAULT_NOTE)
    return {
        "instType": "SPOT",
        "instId": BY_SYMBOL[request.symbol].inst_id,
        "tradeId": fill.fill_id,
        "ordId": desk.algos.shown_id(order) or order.order_id,
        "clOrdId": "" if desk.algos.side_of(order) else request.client_id or "",
        "billId": fill.fill_id,
        "tag": note.tag,
        "fillPx": plain(fill.price),
        "fillSz": plain(fill.volume),
        "side": request.side,
        "posSide": "net",
        "execType": "M" if fill.maker else "T",
        "feeCcy": market.base if request.fee_in_base else market.quote,
        "fee": plain(-fee),
        "ts": milliseconds(fill.time_s),
        "fillTime": milliseconds(fill.time_s),
    }


def fixed(value: Decimal, decimals: int) -> str:
    """A number as text with this many decimals."""
    return format(value.quantize(Decimal(1).scaleb(-decimals)), "f")
