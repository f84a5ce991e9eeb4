"""Amending and cancelling orders, and the dead man's switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from copytrade.simulator.exchange import OrderRefused
from copytrade.simulator.okx import params
from copytrade.simulator.okx.call import Call, Rows
from copytrade.simulator.okx.errors import OkxError, invalid
from copytrade.simulator.okx.listing import BY_INST_ID, BY_SYMBOL, MAX_LIMIT_SIZE
from copytrade.simulator.okx.params import Params
from copytrade.simulator.okx.place import check_price, check_size
from copytrade.simulator.orders import Order

BATCH_MAX = 20
CANCEL_ALL_AFTER_S = (10, 120)
CANCELLED_BY_USER = "User requested"


def cancel_order(call: Call) -> Rows:
    """POST /trade/cancel-order by `ordId` or `clOrdId`; the order's end is seen by looking it up."""
    return Rows([_row(call.params, lambda: _cancel(call, call.params))])


def cancel_batch(call: Call) -> Rows:
    """POST /trade/cancel-batch-orders, at most twenty."""
    return Rows([_row(row, lambda row=row: _cancel(call, row)) for row in call.rows(BATCH_MAX)])  # type: ignore[misc]


def amend_order(call: Call) -> Rows:
    """POST /trade/amend-order: `newSz` is the new total, what has filled included."""
    values = call.params
    row = _row(values, lambda: _amend(call, values))
    row["reqId"] = params.text(values, "reqId")
    return Rows([row])


def cancel_all_after(call: Call) -> list[Any]:
    """POST /trade/cancel-all-after: 0 disarms."""
    params.required(call.params, "timeOut")
    seconds = params.whole(call.params, "timeOut") or 0
    if seconds and not CANCEL_ALL_AFTER_S[0] <= seconds <= CANCEL_ALL_AFTER_S[1]:
        raise invalid("timeOut")
    trigger_s = call.now_s + seconds if seconds else None
    call.exchange.cancel_all_at(call.account.name, trigger_s)
    now_ms = int(call.now_s * 1000)
    return [
        {
            "triggerTime": "0" if trigger_s is None else str(now_ms + seconds * 1000),
            "tag": params.tag(call.params),
            "ts": str(now_ms),
        }
    ]


def _row(values: Params, act: Callable[[], str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "clOrdId": params.text(values, "clOrdId"),
        "ordId": params.text(values, "ordId"),
        "sCode": "0",
        "sMsg": "",
    }
    try:
        row["ordId"] = act()
    except OkxError as error:
        if not error.per_order:
            raise
        row["sCode"], row["sMsg"] = error.code, error.message
    return row


def _cancel(call: Call, values: Params) -> str:
    order = _open_order(call, values, "51400")
    if call.fault is not None and call.fault.kind == "cancel_pending":
        call.exchange.cancel_at(order, call.now_s + call.fault.delay_ms / 1000)
    else:
        call.exchange.cancel(order, CANCELLED_BY_USER)
    return call.desk.algos.shown_id(order) or order.order_id


def _amend(call: Call, values: Params) -> str:
    order = _open_order(call, values, "51503")
    new_size, new_price = params.text(values, "newSz"), params.text(values, "newPx")
    if not new_size and not new_price:
        raise OkxError("50015", "newSz, newPx")
    call.check_expiry()
    call.count_order()
    instrument = BY_SYMBOL[order.request.symbol]
    if order.limit_price is None:
        raise invalid("newPx")
    price = params.decimal(new_price, "newPx") if new_price else order.limit_price
    volume = params.decimal(new_size, "newSz") if new_size else order.volume
    check_price(call, instrument, order.request.side, price)
    check_size(instrument, volume, MAX_LIMIT_SIZE)
    try:
        call.exchange.amend(order, volume, price)
    except OrderRefused as refused:
        code = "51008" if refused.reason == OrderRefused.FUNDS else "51503"
        raise OkxError(code, instrument.market.quote) from None
    return call.desk.algos.shown_id(order) or order.order_id


def _open_order(call: Call, values: Params, code: str) -> Order:
    """The open order that `ordId` (which counts first) or `clOrdId` names. Raises OkxError with `code` for none."""
    if params.required(values, "instId") not in BY_INST_ID:
        raise OkxError("51001")
    order = named_order(call, values)
    if order is None or not order.is_open:
        raise OkxError(code)
    return order


def named_order(call: Call, values: Params) -> Order | None:
    """The account's order by `ordId`, else the newest by `clOrdId`, of the instrument `instId`. Raises OkxError."""
    order_id, client_id = params.text(values, "ordId"), params.client_id(values)
    if not order_id and client_id is None:
        raise OkxError("50015", "ordId, clOrdId")
    symbol = BY_INST_ID[params.required(values, "instId")].market.symbol
    if order_id:
        order = call.desk.algos.named(order_id)
        mine = order is not None and order.request.account == call.account.name
        candidates = [order] if order is not None and mine else []
    else:
        named = call.account.by_client_id.get(client_id or "", ())
        candidates = [order for order in named if call.desk.algos.side_of(order) is None]
    same = [order for order in candidates if order.request.symbol == symbol]
    return same[-1] if same else None
