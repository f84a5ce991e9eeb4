"""Placing orders, one or a batch. The answer is an acknowledgement: it never shows a fill.

Checks come in this order: parameters, instrument, size and price, then what the matching engine looks at (expiry,
rate, duplicate, money). What OKX does quietly is done quietly here: a market purchase by base size that is not
affordable is made smaller unless `banAmend`, and a post-only order that would cross is taken and then cancelled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any

from copytrade.simulator.exchange import OrderRefused
from copytrade.simulator.okx import params
from copytrade.simulator.okx.call import Call, OrderNote, Rows
from copytrade.simulator.okx.errors import OkxError, invalid
from copytrade.simulator.okx.listing import BY_INST_ID, MAX_LIMIT_SIZE, MAX_MARKET_SIZE, OkxInstrument
from copytrade.simulator.okx.params import Params
from copytrade.simulator.orders import NewOrder

BATCH_MAX = 20
LIVE = "live"
STATES = (LIVE, "suspend", "preopen", "test")
ORDER_TYPES = ("market", "limit", "post_only", "fok", "ioc")
POST_ONLY_CANCELLED = "The post-only order would take liquidity"
_TIME_IN_FORCE = {"fok": "FOK", "ioc": "IOC"}
# Asked for and not simulated: refused rather than half done.
_UNSIMULATED = ("attachAlgoOrds", "pxUsd", "pxVol", "ccy", "posSide")


@dataclass(frozen=True, slots=True)
class Checked:
    """An order whose parameters hold."""

    instrument: OkxInstrument
    request: NewOrder
    note: OrderNote
    may_shrink: bool
    post_only: bool


def place_order(call: Call) -> Rows:
    """POST /trade/order."""
    return Rows([_row(call.params, lambda: _place(call, call.params))])


def place_batch(call: Call) -> Rows:
    """POST /trade/batch-orders, at most twenty, each with its own verdict."""
    rows = call.rows(BATCH_MAX)
    return Rows([_row(row, lambda row=row: _place(call, row), batch=True) for row in rows])  # type: ignore[misc]


def _row(values: Params, place: Callable[[], str], *, batch: bool = False) -> dict[str, Any]:
    """The row of one order; an error about the whole request passes through unless it is one of a batch."""
    client_id = values.get("clOrdId")
    tag = values.get("tag")
    row: dict[str, Any] = {
        "clOrdId": client_id if isinstance(client_id, str) else "",
        "ordId": "",
        "tag": tag if isinstance(tag, str) else "",
        "sCode": "0",
        "sMsg": "",
    }
    try:
        row["ordId"] = place()
    except OkxError as error:
        if not error.per_order and not batch:
            raise
        row["sCode"], row["sMsg"] = error.code, error.message
    return row


def _place(call: Call, values: Params) -> str:
    """The id of a new order. Raises OkxError."""
    checked = check_order(call, values)
    call.check_expiry()
    call.count_order()
    request, account = checked.request, call.account
    if call.fault_kind == "reject_funds":
        raise OkxError("51008", checked.instrument.market.quote)
    known = account.by_client_id.get(request.client_id or "", ())
    if any(order.is_open for order in known):
        raise OkxError("51016")
    if request.side == "buy" and request.limit_price is None and not request.volume_in_quote:
        request.volume = _affordable(call, checked)
    hidden_s = call.fault.hide_s if call.fault is not None and call.fault.kind == "hide" else 0.0
    partial = call.fault is not None and call.fault.kind == "partial_cancel"
    share = Decimal(call.fault.fraction) if call.fault is not None and partial else None
    try:
        order = call.exchange.submit(request, hidden_s=hidden_s, cancel_after_fraction=share)
    except OrderRefused as refused:
        raise _refusal(refused, checked) from None
    call.desk.note(order, checked.note)
    if checked.post_only and _would_cross(call, request):
        call.exchange.cancel(order, POST_ONLY_CANCELLED)
    return order.order_id


def check_order(call: Call, values: Params) -> Checked:
    """Everything about an order that can be checked before the matching engine sees it. Raises OkxError."""
    instrument = find_instrument(call, values)
    if params.required(values, "tdMode") != "cash":
        raise invalid("tdMode")
    params.required(values, "side")
    side = params.one_of(values, "side", ("buy", "sell"))
    params.required(values, "ordType")
    order_type = params.one_of(values, "ordType", ORDER_TYPES)
    for name in _UNSIMULATED:
        if values.get(name) not in (None, "", []):
            raise invalid(name)
    client_id, tag = params.client_id(values), params.tag(values)
    size_text = params.required(values, "sz")
    size = params.decimal(size_text, "sz")
    market = order_type == "market"
    target = params.one_of(values, "tgtCcy", ("base_ccy", "quote_ccy")) if market else ""
    target = target or (("quote_ccy" if side == "buy" else "base_ccy") if market else "")
    limit_price = None
    if not market:
        limit_price = params.decimal(params.required(values, "px"), "px")
        check_price(call, instrument, side, limit_price)
    in_quote = target == "quote_ccy"
    volume = _volume(call, instrument, side, size, in_quote)
    request = NewOrder(
        account=call.account.name,
        symbol=instrument.market.symbol,
        side=side,
        volume=volume,
        limit_price=limit_price,
        volume_in_quote=in_quote and side == "buy",
        time_in_force=_TIME_IN_FORCE.get(order_type, "GTC"),
        fee_in_base=side == "buy",
        client_id=client_id,
    )
    note = OrderNote(order_type, tag, target, size_text)
    return Checked(instrument, request, note, not params.flag(values, "banAmend"), order_type == "post_only")


def find_instrument(call: Call, values: Params) -> OkxInstrument:
    """The instrument of `instId`, which must be open for trade. Raises OkxError."""
    instrument = BY_INST_ID.get(params.required(values, "instId"))
    if instrument is None or call.desk.states.get(instrument.market.symbol, LIVE) != LIVE:
        raise OkxError("51001")
    return instrument


def check_price(call: Call, instrument: OkxInstrument, side: str, price: Decimal) -> None:
    """Raise OkxError unless a price is on the tick and within the band around the last price."""
    if price % instrument.market.tick_size:
        raise invalid("px")
    last = call.exchange.prices.quote(instrument.market.symbol, call.now_s).last
    band = call.desk.price_band
    if price > last * (1 + band) if side == "buy" else price < last * (1 - band):
        raise OkxError("51006")


def check_size(instrument: OkxInstrument, volume: Decimal, most: Decimal) -> None:
    """Raise OkxError unless a base quantity is on the lot and within bounds."""
    if volume % instrument.market.lot_step:
        raise OkxError("51121")
    if volume < instrument.market.order_min:
        raise OkxError("51020")
    if volume > most:
        raise OkxError("51005")


def _volume(call: Call, instrument: OkxInstrument, side: str, size: Decimal, in_quote: bool) -> Decimal:
    """What the exchange is to trade: base units, or quote units for a purchase by amount."""
    market = instrument.market
    if not in_quote:
        check_size(instrument, size, MAX_LIMIT_SIZE)
        return size
    quote = call.exchange.prices.quote(market.symbol, call.now_s)
    price = quote.ask if side == "buy" else quote.bid
    base = (size / price).quantize(market.lot_step, rounding=ROUND_DOWN)
    if size != round(size, market.cost_decimals):
        raise invalid("sz")
    check_size(instrument, base, MAX_MARKET_SIZE)
    return size if side == "buy" else base


def _affordable(call: Call, checked: Checked) -> Decimal:
    """The base size of a market purchase: all of it, or what the money pays for where OKX may make it smaller.

    While such an order is open OKX freezes some five per cent more than its cost.
    """
    market, volume = checked.instrument.market, checked.request.volume
    price = call.exchange.prices.quote(market.symbol, call.now_s).ask * (1 + call.desk.market_buy_extra)
    free = call.account.available(market.quote)
    if volume * price <= free:
        return volume
    shrunk = (free / price).quantize(market.lot_step, rounding=ROUND_DOWN)
    if not checked.may_shrink or shrunk < market.order_min:
        raise OkxError("51008", market.quote)
    return shrunk


def _would_cross(call: Call, request: NewOrder) -> bool:
    quote = call.exchange.prices.quote(request.symbol, call.now_s)
    price = request.limit_price
    return price is not None and (price >= quote.ask if request.side == "buy" else price <= quote.bid)


def _refusal(refused: OrderRefused, checked: Checked) -> OkxError:
    if refused.reason == OrderRefused.DUPLICATE_CLIENT_ID:
        return OkxError("51016")
    market = checked.instrument.market
    return OkxError("51008", market.quote if checked.request.side == "buy" else market.base)
