"""OpenOrders, ClosedOrders, QueryOrders, TradesHistory and QueryTrades."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from copytrade.simulator.kraken import params
from copytrade.simulator.kraken.call import Call
from copytrade.simulator.kraken.errors import UNKNOWN_ORDER, KrakenError, invalid
from copytrade.simulator.kraken.shapes import order_object, trade_object
from copytrade.simulator.orders import Fill, Order

Item = TypeVar("Item", Order, Fill)
PAGE = 50
QUERY_ORDERS_MAX = 50
QUERY_TRADES_MAX = 20


def open_orders(call: Call) -> Any:
    """OpenOrders, newest first."""
    orders: Iterable[Order] = reversed(list(call.account.open_orders.values()))
    user_ref, client_id = params.user_ref(call.params), params.client_id(call.params)
    with_trades = params.flag(call.params, "trades")
    return {
        "open": {
            order.order_id: _shown(call, order, with_trades)
            for order in orders
            if _visible(call, order)
            and (user_ref is None or order.request.user_ref == user_ref)
            and (client_id is None or order.request.client_id == client_id)
        }
    }


def closed_orders(call: Call) -> Any:
    """ClosedOrders, newest first, fifty a page; start exclusive, end inclusive, each a time or a txid."""
    user_ref, client_id = params.user_ref(call.params), params.client_id(call.params)
    if call.fault_kind == "ignore_filter":
        client_id = None
    which = params.text(call.params, "closetime", "both") or "both"
    if which not in ("open", "close", "both"):
        raise invalid("closetime")
    start_s, end_s = _bound(call, "start"), _bound(call, "end")
    account = call.account
    if client_id is not None:
        candidates = account.by_client_id.get(client_id, [])
    elif user_ref is not None:
        candidates = account.by_user_ref.get(user_ref, [])
    else:
        candidates = account.closed_orders
    if candidates is not account.closed_orders:
        candidates = sorted(
            (order for order in candidates if not order.is_open), key=lambda order: order.closed_at_s or 0.0
        )
    if user_ref is not None:
        candidates = [order for order in candidates if order.request.user_ref == user_ref]
    plain = start_s is None and end_s is None and account.hidden_until_s <= call.now_s
    matching = reversed(candidates) if plain else _within(call, candidates, which, start_s, end_s)
    with_trades = params.flag(call.params, "trades")
    page, count = _page(call, matching, len(candidates) if plain else None)
    shown: dict[str, Any] = {"closed": {order.order_id: _shown(call, order, with_trades) for order in page}}
    if not params.flag(call.params, "without_count"):
        shown["count"] = count
    return shown


def query_orders(call: Call) -> Any:
    """QueryOrders by txid, at most fifty; an id that is not the account's refuses the call."""
    ids = _ids(call, QUERY_ORDERS_MAX)
    with_trades = params.flag(call.params, "trades")
    user_ref = params.user_ref(call.params)
    shown: dict[str, Any] = {}
    for txid in ids:
        order = call.exchange.books.by_order_id.get(txid)
        if order is None or order.request.account != call.account.name or not _visible(call, order):
            raise KrakenError(UNKNOWN_ORDER)
        if user_ref is None or order.request.user_ref == user_ref:
            shown[txid] = _shown(call, order, with_trades)
    return shown


def trades_history(call: Call) -> Any:
    """TradesHistory, newest first, fifty a page."""
    kind = params.text(call.params, "type", "all") or "all"
    if kind not in ("all", "any position", "closed position", "closing position", "no position"):
        raise invalid("type")
    fills = call.account.fills if kind in ("all", "no position") else []  # spot alone: no trade has a position
    start_s, end_s = _bound(call, "start"), _bound(call, "end")
    low = 0 if start_s is None else bisect_left(fills, True, key=lambda fill: fill.time_s > start_s)
    high = len(fills) if end_s is None else bisect_left(fills, True, key=lambda fill: fill.time_s > end_s)
    matching: Iterable[Fill] = (fills[place] for place in range(high - 1, low - 1, -1))
    count: int | None = max(high - low, 0)
    if call.account.hidden_until_s > call.now_s:
        matching = [fill for fill in matching if _visible(call, call.exchange.books.orders[fill.arrival - 1])]
        count = len(matching)
    page, total = _page(call, matching, count)
    trades = {fill.fill_id: trade_object(fill, call.exchange.books.orders[fill.arrival - 1]) for fill in page}
    return {"trades": trades} if params.flag(call.params, "without_count") else {"trades": trades, "count": total}


def query_trades(call: Call) -> Any:
    """QueryTrades by trade id, at most twenty."""
    shown: dict[str, Any] = {}
    for fill_id in _ids(call, QUERY_TRADES_MAX):
        fill = call.exchange.books.by_fill_id.get(fill_id)
        order = None if fill is None else call.exchange.books.orders[fill.arrival - 1]
        mine = order is not None and order.request.account == call.account.name and _visible(call, order)
        if fill is None or order is None or not mine:
            raise invalid("txid")
        shown[fill_id] = trade_object(fill, order)
    return shown


def _ids(call: Call, most: int) -> list[str]:
    ids = [part.strip() for part in params.text(call.params, "txid").split(",") if part.strip()]
    if not 1 <= len(ids) <= most:
        raise invalid("txid")
    return ids


def _visible(call: Call, order: Order) -> bool:
    return order.visible_at_s <= call.now_s


def _shown(call: Call, order: Order, with_trades: bool) -> dict[str, Any]:
    fill_ids = [call.exchange.books.fills[number - 1].fill_id for number in order.fills] if with_trades else None
    return order_object(order, fill_ids)


def _bound(call: Call, name: str) -> float | None:
    """A time in unix seconds, or the opening time of the order a txid names."""
    value = params.text(call.params, name)
    if value in ("", "0"):
        return None
    order = call.exchange.books.by_order_id.get(value)
    if order is not None and order.request.account == call.account.name:
        return order.accepted_at_s
    return float(params.decimal(value, name))


def _within(call: Call, closed: list[Order], which: str, start_s: float | None, end_s: float | None) -> Iterator[Order]:
    """Closed orders in the span, newest first.

    It stops at the first that closed before the span: none after it is in.
    """
    for order in reversed(closed):
        closed_s = order.closed_at_s or 0.0
        if start_s is not None and closed_s <= start_s:
            return
        times = {
            "open": (order.accepted_at_s,),
            "close": (closed_s,),
            "both": (order.accepted_at_s, closed_s),
        }[which]
        if _visible(call, order) and any(
            (start_s is None or time_s > start_s) and (end_s is None or time_s <= end_s) for time_s in times
        ):
            yield order


def _page(call: Call, matching: Iterable[Item], count: int | None) -> tuple[list[Item], int]:
    offset = params.integer(call.params, "ofs", 0, 0, 1 << 31)
    if count is None:
        everything = list(matching)
        return everything[offset : offset + PAGE], len(everything)
    return list(islice(matching, offset, offset + PAGE)), count
