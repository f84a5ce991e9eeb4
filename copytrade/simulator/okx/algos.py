"""Orders that wait for a price: placing, cancelling, amending and looking them up.

Of OKX's types these are simulated: `conditional` (one side: a stop or a profit), `oco` (both, one cancels the other)
and `trigger`. They are triggered by the last price. The header `expTime` means nothing to these calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import ROUND_DOWN, Decimal
from functools import partial
from typing import Any

from copytrade.domain.money import plain
from copytrade.simulator.exchange import OrderRefused
from copytrade.simulator.okx import params
from copytrade.simulator.okx.algobook import (
    CANCELED,
    CANCELLED_BY_USER,
    EFFECTIVE,
    FAILED,
    LIVE,
    PROFIT,
    STOP,
    TRIGGER,
    Algo,
    new_order,
    newest_first,
)
from copytrade.simulator.okx.call import Call, OrderNote, Rows
from copytrade.simulator.okx.errors import OkxError, invalid
from copytrade.simulator.okx.listing import BY_INST_ID, BY_SYMBOL, MAX_LIMIT_SIZE, OkxInstrument
from copytrade.simulator.okx.params import Params
from copytrade.simulator.okx.place import check_size, find_instrument
from copytrade.simulator.okx.shapes import algo_object
from copytrade.simulator.orders import NewOrder, Order

CANCEL_MAX = 10
PAGE = 100
AT_MARKET = "-1"
CONDITIONAL, OCO = "conditional", "oco"
SIMULATED = (CONDITIONAL, OCO, TRIGGER)
TYPES = (*SIMULATED, "move_order_stop", "chase", "iceberg", "twap")
_PRICE_NAMES = {STOP: ("slTriggerPx", "slOrdPx"), PROFIT: ("tpTriggerPx", "tpOrdPx"), TRIGGER: ("triggerPx", "orderPx")}
# Asked for and not simulated: refused rather than half done.
_UNSIMULATED = ("attachAlgoOrds", "closeFraction", "advanceOrdType", "ccy", "posSide")


def place_algo(call: Call) -> Rows:
    """POST /trade/order-algo."""
    return Rows([_row(call.params, lambda: _place(call, call.params))])


def cancel_algos(call: Call) -> Rows:
    """POST /trade/cancel-algos: a list of at most ten."""
    return Rows([_row(row, partial(_cancel, call, row)) for row in call.rows(CANCEL_MAX)])


def amend_algo(call: Call) -> Rows:
    """POST /trade/amend-algos."""
    row = _row(call.params, lambda: _amend(call, call.params))
    row["reqId"] = params.text(call.params, "reqId")
    return Rows([row])


def algo_details(call: Call) -> list[Any]:
    """GET /trade/order-algo: by `algoId`, or the newest with that `algoClOrdId`."""
    algo = _named(call, call.params)
    by_client_id = not params.text(call.params, "algoId")
    if algo is None or (by_client_id and call.fault_kind == "ignore_filter"):
        raise OkxError("51603")
    return [algo_object(algo, call.desk)]


def algos_pending(call: Call) -> list[Any]:
    """GET /trade/orders-algo-pending."""
    return _listed(call, {LIVE})


def algos_history(call: Call) -> list[Any]:
    """GET /trade/orders-algo-history: of the last three months, of one state or by id."""
    state = params.one_of(call.params, "state", (EFFECTIVE, CANCELED, FAILED))
    if not state and not params.text(call.params, "algoId"):
        raise OkxError("50015", "state, algoId")
    return _listed(call, {state} if state else {EFFECTIVE, CANCELED, FAILED})


# -- placing ---------------------------------------------------------------------------------------------------


def _row(values: Params, act: Callable[[], str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "algoId": values.get("algoId") if isinstance(values.get("algoId"), str) else "",
        "clOrdId": "",
        "algoClOrdId": values.get("algoClOrdId") if isinstance(values.get("algoClOrdId"), str) else "",
        "tag": values.get("tag") if isinstance(values.get("tag"), str) else "",
        "sCode": "0",
        "sMsg": "",
    }
    try:
        row["algoId"] = act()
    except OkxError as error:
        if not error.per_order:
            raise
        row["sCode"], row["sMsg"] = error.code, error.message
    return row


def _place(call: Call, values: Params) -> str:
    """The id of a new order. Raises OkxError."""
    instrument = find_instrument(call, values)
    if params.required(values, "tdMode") != "cash":
        raise invalid("tdMode")
    params.required(values, "side")
    side = params.one_of(values, "side", ("buy", "sell"))
    params.required(values, "ordType")
    order_type = params.one_of(values, "ordType", TYPES)
    if order_type not in SIMULATED or any(values.get(name) not in (None, "", []) for name in _UNSIMULATED):
        raise invalid("ordType")
    if params.one_of(values, "tpOrdKind", ("condition", "limit")) == "limit":
        raise OkxError("51094")
    client_id, tag = params.client_id(values, "algoClOrdId"), params.tag(values)
    size_text = params.required(values, "sz")
    params.decimal(size_text, "sz")
    last = call.exchange.prices.quote(instrument.market.symbol, call.now_s).last
    prices = _prices(values, instrument, order_type)
    target = _target(values, order_type, side, prices)
    requests = {}
    for which, (trigger_name, order_name) in _PRICE_NAMES.items():
        if trigger_name in prices:
            limit = None if prices[order_name] == AT_MARKET else Decimal(prices[order_name])
            trigger = Decimal(prices[trigger_name])
            kind = _kind(which, side, trigger, last)
            requests[which] = _request(call, instrument, side, size_text, target, kind, trigger, limit)
    if call.fault_kind == "reject_funds":
        raise OkxError("51008", instrument.market.quote if side == "buy" else instrument.market.base)
    waiting = [each for each in call.desk.algos.of(call.account.name) if _live(call, each)]
    if client_id and any(each.client_id == client_id for each in waiting):
        raise OkxError("51065")
    next(iter(requests.values())).client_id = client_id
    algo = Algo(
        algo_id="", account=call.account.name, symbol=instrument.market.symbol, side=side, order_type=order_type,
        client_id=client_id or "", tag=tag, size=size_text, target=target, last=plain(last), created_s=call.now_s,
        prices=prices,
    )  # fmt: skip
    try:
        return call.desk.algos.place(algo, requests, partial(_submit, call, algo))
    except OrderRefused:
        raise OkxError("51065") from None


def _submit(call: Call, algo: Algo, request: NewOrder) -> Order:
    hidden_s = call.fault.hide_s if call.fault is not None and call.fault.kind == "hide" else 0.0
    partly = call.fault is not None and call.fault.kind == "partial_cancel"
    share = Decimal(call.fault.fraction) if call.fault is not None and partly else None
    order = call.exchange.submit(request, hidden_s=hidden_s, cancel_after_fraction=share)
    kind = "market" if request.limit_price is None else "limit"
    call.desk.note(order, OrderNote(kind, algo.tag, algo.target if kind == "market" else "", algo.size))
    return order


def _prices(values: Params, instrument: OkxInstrument, order_type: str) -> dict[str, str]:
    """The prices that the type takes, each checked; a trigger needs its order price. Raises OkxError."""
    sides: tuple[str, ...] = (TRIGGER,) if order_type == TRIGGER else (STOP, PROFIT)
    prices: dict[str, str] = {}
    for side in sides:
        trigger_name, order_name = _PRICE_NAMES[side]
        if params.text(values, f"{trigger_name}Type") not in ("", "last"):
            raise OkxError("51415")
        trigger, order = params.text(values, trigger_name), params.text(values, order_name)
        if not trigger and not order:
            continue
        if not trigger or not order:
            raise OkxError("50014", order_name if trigger else trigger_name)
        _check_tick(instrument, trigger, trigger_name)
        if order != AT_MARKET:
            _check_tick(instrument, order, order_name)
        prices |= {trigger_name: trigger, order_name: order}
    needed = len(sides) if order_type in (OCO, TRIGGER) else 1
    if len(prices) < 2 * needed:
        raise OkxError("50014", next(name for side in sides for name in _PRICE_NAMES[side] if name not in prices))
    if order_type == CONDITIONAL and "slTriggerPx" in prices:
        return {name: price for name, price in prices.items() if name in _PRICE_NAMES[STOP]}  # only the stop counts
    return prices


def _check_tick(instrument: OkxInstrument, text: str, name: str) -> None:
    if params.decimal(text, name) % instrument.market.tick_size:
        raise invalid(name)


def _target(values: Params, order_type: str, side: str, prices: dict[str, str]) -> str:
    """What the size counts: the base asset, but the quote currency for a market purchase unless told otherwise."""
    asked = params.one_of(values, "tgtCcy", ("base_ccy", "quote_ccy"))
    if asked and order_type == TRIGGER:
        raise OkxError("51281")
    at_market = AT_MARKET in prices.values()
    if not at_market or order_type == TRIGGER:
        return ""
    return asked or ("quote_ccy" if side == "buy" else "base_ccy")


def _kind(which: str, side: str, trigger: Decimal, last: Decimal) -> str:
    """The engine's word for a trigger. Raises OkxError for a stop or profit that the price has passed already."""
    rises = trigger > last
    if which == TRIGGER:
        return "stop" if rises == (side == "buy") else "take_profit"
    wrong = {(PROFIT, "buy"): "51277", (STOP, "buy"): "51278", (PROFIT, "sell"): "51279", (STOP, "sell"): "51280"}
    if trigger == last or rises != ((which == STOP) == (side == "buy")):
        raise OkxError(wrong[which, side])
    return "stop" if which == STOP else "take_profit"


def _request(
    call: Call, instrument: OkxInstrument, side: str, size_text: str, target: str, kind: str, trigger: Decimal,
    limit: Decimal | None,
) -> NewOrder:  # fmt: skip
    market, size = instrument.market, Decimal(size_text)
    in_quote = target == "quote_ccy" and limit is None
    base = (size / trigger).quantize(market.lot_step, rounding=ROUND_DOWN) if in_quote else size
    check_size(instrument, base, MAX_LIMIT_SIZE)
    return new_order(
        {
            "account": call.account.name, "symbol": market.symbol, "side": side,
            "volume": size if in_quote and side == "buy" else base, "limit_price": limit,
            "volume_in_quote": in_quote and side == "buy", "fee_in_base": side == "buy", "trigger": kind,
            "stop_price": trigger,
        }
    )  # fmt: skip


# -- changing --------------------------------------------------------------------------------------------------


def _cancel(call: Call, values: Params) -> str:
    algo = _live_one(call, values, "51400")
    exchange = call.exchange
    if call.fault is not None and call.fault.kind == "cancel_pending":
        due_s = call.now_s + call.fault.delay_ms / 1000
        call.desk.algos.cancel(algo, lambda order: exchange.cancel_at(order, due_s))
    else:
        call.desk.algos.cancel(algo, lambda order: exchange.cancel(order, CANCELLED_BY_USER))
    return algo.algo_id


def _amend(call: Call, values: Params) -> str:
    algo = _live_one(call, values, "51503")
    instrument = BY_SYMBOL[algo.symbol]
    new_size = params.text(values, "newSz")
    changes = {
        name: params.text(values, _new(name)) for side in algo.legs for name in _PRICE_NAMES[side]
        if params.text(values, _new(name))
    }  # fmt: skip
    if not new_size and not changes:
        raise OkxError("50015", "newSz, newSlTriggerPx")
    for name, price in changes.items():
        if (price == AT_MARKET) is not (algo.prices[name] == AT_MARKET):
            raise invalid(_new(name))  # from a limit order to a market order or back
        if price != AT_MARKET:
            _check_tick(instrument, price, _new(name))
    if new_size:
        check_size(instrument, params.decimal(new_size, "newSz"), MAX_LIMIT_SIZE)
    prices = algo.prices | changes
    last = call.exchange.prices.quote(algo.symbol, call.now_s).last
    for side in algo.legs:
        _kind(side, algo.side, Decimal(prices[_PRICE_NAMES[side][0]]), last)
    for side, order in call.desk.algos.orders(algo).items():
        trigger, limit = (Decimal(prices[name]) for name in _PRICE_NAMES[side])
        call.exchange.amend(
            order, Decimal(new_size) if new_size else None, None if limit < 0 else limit, stop_price=trigger
        )
    algo.prices, algo.size, algo.updated_s = prices, new_size or algo.size, call.now_s
    call.desk.algos.save(algo)
    return algo.algo_id


def _new(name: str) -> str:
    """`slTriggerPx` as an amendment names it: `newSlTriggerPx`; a trigger order's price is `newOrdPx`."""
    return "newOrdPx" if name == "orderPx" else f"new{name[0].upper()}{name[1:]}"


# -- looking up ------------------------------------------------------------------------------------------------


def _live(call: Call, algo: Algo) -> bool:
    return call.desk.algos.state(algo) == LIVE


def _live_one(call: Call, values: Params, code: str) -> Algo:
    if params.required(values, "instId") not in BY_INST_ID:
        raise OkxError("51001")
    algo = _named(call, values)
    if algo is None or BY_SYMBOL[algo.symbol].inst_id != values["instId"] or not _live(call, algo):
        raise OkxError(code)
    return algo


def _named(call: Call, values: Params) -> Algo | None:
    """The account's order by `algoId`, else the newest by `algoClOrdId`, if it is shown. Raises OkxError."""
    algo_id, client_id = params.text(values, "algoId"), params.client_id(values, "algoClOrdId")
    if not algo_id and client_id is None:
        raise OkxError("50015", "algoId, algoClOrdId")
    mine = [algo for algo in call.desk.algos.of(call.account.name) if _shown(call, algo)]
    if algo_id:
        return next((algo for algo in mine if algo.algo_id == algo_id), None)
    return next((algo for algo in reversed(mine) if algo.client_id == client_id), None)


def _listed(call: Call, states: Iterable[str]) -> list[Any]:
    params.required(call.params, "ordType")
    types = params.text(call.params, "ordType").split(",")
    if any(each not in TYPES for each in types) or (len(types) > 1 and set(types) != {CONDITIONAL, OCO}):
        raise invalid("ordType")
    inst_id, algo_id = params.text(call.params, "instId"), params.text(call.params, "algoId")
    after, before = params.whole(call.params, "after"), params.whole(call.params, "before")
    found = [
        algo
        for algo in call.desk.algos.of(call.account.name)
        if _shown(call, algo)
        and algo.order_type in types
        and call.desk.algos.state(algo) in states
        and params.text(call.params, "instType") in ("", "SPOT")
        and (not inst_id or BY_SYMBOL[algo.symbol].inst_id == inst_id)
        and (not algo_id or algo.algo_id == algo_id)
        and (after is None or int(algo.algo_id) < after)
        and (before is None or int(algo.algo_id) > before)
    ]
    page = newest_first(found)[: params.limit(call.params, PAGE)]
    return [algo_object(algo, call.desk) for algo in page]


def _shown(call: Call, algo: Algo) -> bool:
    return all(order.visible_at_s <= call.now_s for order in call.desk.algos.orders(algo).values())
