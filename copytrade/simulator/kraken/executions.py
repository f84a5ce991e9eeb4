"""Execution reports: an order's events as the channel `executions` shows them. Numbers are JSON numbers here."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from copytrade.simulator.kraken.kinds import kind_of
from copytrade.simulator.orders import CANCELED, CLOSED, EXPIRED, ZERO, Fill, Order

_STATUSES = {CLOSED: "filled", CANCELED: "canceled", EXPIRED: "expired"}


def opened(order: Order, exec_type: str, time_s: float) -> dict[str, Any]:
    """The full report of an order, as it has when it is received, amended, or in a snapshot."""
    request = order.request
    status = "pending_new" if exec_type == "pending_new" else "partially_filled" if order.filled else "new"
    report: dict[str, Any] = {
        "order_id": order.order_id,
        "order_userref": request.user_ref or 0,
        "symbol": request.symbol,
        "cum_qty": float(order.filled),
        "cum_cost": float(order.cost),
        "avg_price": float(_average(order)),
        "time_in_force": request.time_in_force,
        "exec_type": exec_type,
        "side": request.side,
        "order_type": kind_of(request).name,
        "order_status": _STATUSES.get(order.status, status),
        "fee_usd_equiv": float(order.fee),
        "fee_ccy_pref": "fcib" if request.fee_in_base else "fciq",
        "timestamp": instant(time_s),
    }
    # By value, Kraken tells the money under a name of its own and no volume.
    report["cash_order_qty" if request.volume_in_quote else "order_qty"] = float(order.volume)
    if order.limit_price is not None:
        report.update(limit_price=float(order.limit_price), limit_price_type="static")
    if request.post_only:
        report["post_only"] = True
    if order.amended:
        report["amended"] = True
    return {**report, **_ids(order), **_triggers(order)}


def sparse(
    order: Order, exec_type: str, status: str, time_s: float, *, totals: bool = False, triggers: bool = False
) -> dict[str, Any]:
    """A report of what changed alone."""
    report: dict[str, Any] = {
        "timestamp": instant(time_s),
        "order_status": status,
        "exec_type": exec_type,
        "order_userref": order.request.user_ref or 0,
        "order_id": order.order_id,
        **_ids(order),
    }
    if totals:
        report.update(cum_qty=float(order.filled), cum_cost=float(order.cost), avg_price=float(_average(order)))
    if order.reason is not None and exec_type in ("canceled", "expired"):
        report["reason"] = order.reason
    return {**report, **_triggers(order)} if triggers else report


def trade(order: Order, fill: Fill) -> dict[str, Any]:
    """The report of one trade. Its status is `partially_filled`, also when it fills the whole order."""
    request = order.request
    base, quote = request.symbol.split("/")
    asset, fee = (base, fill.fee_base) if request.fee_in_base else (quote, fill.fee)
    return {
        "order_id": order.order_id,
        "order_userref": request.user_ref or 0,
        "exec_id": fill.fill_id,
        "exec_type": "trade",
        "trade_id": fill.number,
        "symbol": request.symbol,
        "side": request.side,
        "last_qty": float(fill.volume),
        "last_price": float(fill.price),
        "liquidity_ind": "m" if fill.maker else "t",
        "cost": float(fill.cost),
        "order_status": "partially_filled",
        "order_type": kind_of(request).name,
        "cum_qty": float(order.filled),
        "cum_cost": float(order.cost),
        "avg_price": float(_average(order)),
        "fees": [{"asset": asset, "qty": float(fee)}],
        "timestamp": instant(fill.time_s),
        **_ids(order),
    }


def instant(time_s: float) -> str:
    """A time as `2023-09-22T10:33:05.709982Z`."""
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _ids(order: Order) -> dict[str, Any]:
    return {} if order.request.client_id is None else {"cl_ord_id": order.request.client_id}


def _triggers(order: Order) -> dict[str, Any]:
    if order.stop_price is None:
        return {}
    price = float(order.stop_price)
    shown: dict[str, Any] = {"reference": "last", "price": price, "price_type": "static", "actual_price": price}
    if order.triggered_at_s is None:
        return {"triggers": {**shown, "status": "untriggered"}}
    return {"triggers": {**shown, "status": "triggered", "timestamp": instant(order.triggered_at_s)}}


def _average(order: Order) -> Decimal:
    return order.cost / order.filled if order.filled else ZERO
