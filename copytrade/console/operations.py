"""What the commands do to a running system, the same inside the worker and in a command that runs without one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from copytrade.domain.account import venue_of
from copytrade.domain.errors import BadRequest, CopyTradeError
from copytrade.domain.ids import signal_id
from copytrade.domain.money import Amount, Price, Quantity, parse_decimal
from copytrade.domain.order import OrderKind, OrderState, Role, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import TradeRequest
from copytrade.engine.service import Engine

Json = dict[str, Any]
_OVER_WAIT_S = 2.0  # for copies that are taken back to be reported as over; what takes longer is on its way back
_LOOK_S = 0.02
COPIES_WAIT_S = 30.0  # for every copy of a trade to have its answer; what takes longer is reported as it stands


@dataclass(frozen=True, slots=True)
class TradeOrder:
    """A `trade` as it was typed, checked as far as it can be without a venue."""

    instrument: str
    side: str
    usd: str | None = None
    quantity: str | None = None
    whole: bool = False
    request_id: str = ""
    limit: str | None = None
    stop: str | None = None
    take_profit: str | None = None
    ioc: bool = False
    post_only: bool = False

    def to_json(self) -> Json:
        return {
            "do": "trade", "instrument": self.instrument, "side": self.side, "usd": self.usd,
            "quantity": self.quantity, "whole": self.whole, "request_id": self.request_id or uuid.uuid4().hex,
            "limit": self.limit, "stop": self.stop, "take_profit": self.take_profit, "ioc": self.ioc,
            "post_only": self.post_only,
        }  # fmt: skip


def trade_request(body: Json) -> TradeRequest:
    """Read a trade from JSON. Raises `BadRequest` naming the value."""
    if missing := [name for name in ("request_id", "instrument", "side") if not isinstance(body.get(name), str)]:
        raise BadRequest(f"a trade needs {', '.join(missing)} as text; is the worker another version?")
    try:
        side = Side(str(body["side"]).lower())
    except ValueError:
        raise BadRequest(f"side is {body['side']!r}: give buy or sell") from None
    try:
        usd = None if body.get("usd") is None else Amount(parse_decimal(str(body["usd"])))
        quantity = None if body.get("quantity") is None else Quantity(parse_decimal(str(body["quantity"])))
    except ValueError as error:
        raise BadRequest(f"the amount is {error}") from None
    for what in (usd, quantity):
        if what is not None and what.value <= 0:
            raise BadRequest(f"the amount must be above zero, not {what}")
    if (usd is not None) + (quantity is not None) + bool(body.get("whole")) != 1:
        raise BadRequest("say how much in exactly one way: --usd, --quantity or --all")
    kind, limit, stop = order_terms(body)
    return TradeRequest(
        str(body["request_id"]), str(body["instrument"]), side, usd, quantity, bool(body.get("whole")), "trade",
        kind, limit, stop,
    )  # fmt: skip


def order_terms(body: Json) -> tuple[OrderKind, Price | None, Price | None]:
    """The kind that the given prices make, its limit and its stop. Raises `BadRequest` for prices that make none."""
    limit, stop, profit = (price(body, name) for name in ("limit", "stop", "take_profit"))
    ioc, post_only = bool(body.get("ioc")), bool(body.get("post_only"))
    if (ioc or post_only) and (limit is None or stop is not None or profit is not None or (ioc and post_only)):
        raise BadRequest("--ioc and --post-only, one of them, go with --limit alone")
    if stop is not None and profit is not None:
        if limit is not None:
            raise BadRequest("--stop and --take-profit make a bracket, which takes no --limit")
        return OrderKind.BRACKET, profit, stop
    if stop is not None:
        return (OrderKind.STOP if limit is None else OrderKind.STOP_LIMIT), limit, stop
    if profit is not None:
        return (OrderKind.TAKE_PROFIT if limit is None else OrderKind.TAKE_PROFIT_LIMIT), limit, profit
    if limit is None:
        return OrderKind.MARKET, None, None
    return (OrderKind.IOC_LIMIT if ioc else OrderKind.POST_ONLY if post_only else OrderKind.LIMIT), limit, None


def price(body: Json, name: str) -> Price | None:
    """A price as it was typed. Raises `BadRequest`."""
    text = body.get(name)
    if text is None:
        return None
    try:
        return Price(parse_decimal(str(text)))
    except ValueError as error:
        raise BadRequest(f"--{name.replace('_', '-')} is {error}") from None


async def cancel(engine: Engine, body: Json) -> Json:
    """Take a master order back, with every copy of it. Raises `BadRequest`."""
    order_id = str(body.get("order_id", ""))
    before = {copy.order_id for copy in _family(engine, engine.services.ledger.find(order_id)) if not copy.state.final}
    record = await engine.changes.cancel(order_id)
    return await _changed(engine, record, SignalKind.CANCELLED, before)


async def amend(engine: Engine, body: Json) -> Json:
    """Place a resting master order anew under other terms, and every copy of it. Raises `CopyTradeError`."""
    quantity = None
    if body.get("quantity") is not None:
        try:
            quantity = Quantity(parse_decimal(str(body["quantity"])))
        except ValueError as error:
            raise BadRequest(f"--quantity is {error}") from None
        if quantity.value <= 0:
            raise BadRequest(f"--quantity is {quantity}, and must be above zero; cancel takes the order back")
    limit, stop, profit = (price(body, name) for name in ("limit", "stop", "take_profit"))
    if quantity is None and limit is None and stop is None and profit is None:
        raise BadRequest("say what to change: --quantity, --limit, --stop or --take-profit")
    order_id = str(body.get("order_id", ""))
    known = engine.services.ledger.state.orders.get(order_id)
    if known is not None and (known.kind is OrderKind.BRACKET or known.profit is not None):
        limit = profit or limit
    elif known is not None and known.kind in (OrderKind.TAKE_PROFIT, OrderKind.TAKE_PROFIT_LIMIT):
        stop = profit or stop
    elif known is not None and profit is not None:
        raise BadRequest(f"a {known.kind} order has no take-profit to change: cancel it and place a bracket")
    record = await engine.changes.amend(order_id, quantity=quantity, limit=limit, stop=stop)
    return await _changed(engine, record, SignalKind.AMENDED)


def _family(engine: Engine, record: OrderRecord | None) -> list[OrderRecord]:
    """Every copy of a master's order, and of those whose place it took."""
    if record is None or record.intent is None:
        return []
    family = engine.services.ledger.family(record.intent.replaces or record.order_id)
    return [copy for _, of_signal in family for copy in of_signal]


async def _changed(
    engine: Engine, record: OrderRecord, kind: SignalKind, before: Collection[str] = frozenset()
) -> Json:
    """The order as it stands now, with the copies of its change, or those of `before` that were taken back with it."""
    identity = signal_id(record.order_id, kind)
    await engine.tracker.wait(identity, COPIES_WAIT_S)
    copies = engine.services.ledger.copies_of(identity)
    if kind is SignalKind.CANCELLED:
        await _over(engine, before)
        copies = [copy for copy in _family(engine, record) if copy.order_id in before and copy.cancel is not None]
    return {
        "master": order_json(record), "signal_id": identity, "copies": [order_json(copy) for copy in copies],
        "summary": summary(copies),
    }  # fmt: skip


async def trade(engine: Engine, body: Json) -> Json:
    """Place one master order, wait for its copies, and tell how they fared.

    Raises `BadRequest`, `Refused` and other `CopyTradeError`s when nothing was placed.
    """
    master_venue = venue_of(engine.services.roster.master.terms.account)
    if (wanted := body.get("venue")) is not None and str(wanted).lower() != master_venue:
        raise BadRequest(f"--venue is {wanted}, but the master trades at {master_venue}: leave --venue out")
    record = await engine.desk.place(trade_request(body))
    identity = signal_id(record.order_id, SignalKind.PLACED)
    ledger = engine.services.ledger
    if record.venue_order_id is None:
        resting = _holders(engine, record)
        return {"master": order_json(record), "signal_id": None, "copies": [], "summary": summary([]),
                "held_by": resting}  # fmt: skip
    await engine.tracker.wait(identity, COPIES_WAIT_S)
    copies = ledger.copies_of(identity)
    return {
        "master": order_json(record),
        "signal_id": identity,
        "copies": [order_json(copy) for copy in copies],
        "summary": summary(copies),
    }


def _holders(engine: Engine, refused: OrderRecord) -> list[str]:
    """The master's resting orders that hold what a refused one wanted: venues do not take a second order for it."""
    if refused.reason is not Reason.INSUFFICIENT_FUNDS:
        return []
    orders = engine.services.ledger.state.orders.values()
    return [
        other.order_id for other in orders
        if other.role is Role.MASTER and other.state is OrderState.ACCEPTED and other.side is refused.side
        and (other.symbol == refused.symbol or other.side is Side.BUY)
    ]  # fmt: skip


async def _over(engine: Engine, order_ids: Collection[str]) -> None:
    """Until these orders are over, or for as long as an operator likes to wait: venues confirm a cancel a little after
    they have taken it."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _OVER_WAIT_S
    while loop.time() < until and not engine.services.ledger.state.orders.keys().isdisjoint(order_ids):
        await engine.services.pause(_LOOK_S)


def order_json(record: OrderRecord) -> Json:
    """An order for people and programs; money as text."""
    return {
        "order_id": record.order_id,
        "account": record.account,
        "instrument": record.symbol,
        "side": record.side.value,
        "effect": record.effect.value,
        "state": record.state.value,
        "quantity": str(record.quantity),
        "price": None if record.price is None else str(record.price),
        "cost": None if record.price is None else str(record.quantity * record.price),
        "kind": record.kind.value,
        "limit_price": None if record.limit_price is None else str(record.limit_price),
        "stop_price": None if record.stop_price is None else str(record.stop_price),
        "take_profit": None if record.profit is None else str(record.profit),
        "taken_back": None if record.cancel is None else record.cancel.text,
        "venue_order_id": record.venue_order_id,
        "filled": str(record.filled),
        "reason": record.reason.value,
        "reason_text": record.reason.text,
        "detail": record.detail,
        "planned_at": record.planned_at.isoformat(),
        "sent_at": None if record.sent_at is None else record.sent_at.isoformat(),
        "acked_at": None if record.acked_at is None else record.acked_at.isoformat(),
        "ended_at": None if record.ended_at is None else record.ended_at.isoformat(),
    }


def summary(copies: list[OrderRecord] | Any) -> Json:
    """How many copies are at the venue, failed, were skipped, or still wait for their answer."""
    placed = (OrderState.ACCEPTED, OrderState.FILLED, OrderState.CANCELLED)
    counts = {"placed": 0, "failed": 0, "skipped": 0, "waiting": 0}
    for copy in copies:
        if copy.state in placed:
            counts["placed"] += 1
        elif copy.state in (OrderState.REFUSED, OrderState.STOPPED):
            counts["failed"] += 1
        else:
            counts["skipped" if copy.state is OrderState.SKIPPED else "waiting"] += 1
    return counts


def error_json(error: CopyTradeError) -> Json:
    return {"error": type(error).__name__, "message": str(error)}
