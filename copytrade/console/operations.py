"""What the commands do to a running system, the same inside the worker and in a command that runs without one."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from copytrade.domain.account import venue_of
from copytrade.domain.errors import BadRequest, CopyTradeError
from copytrade.domain.ids import signal_id
from copytrade.domain.money import Amount, Quantity, parse_decimal
from copytrade.domain.order import OrderState, Side
from copytrade.domain.signal import SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import TradeRequest
from copytrade.engine.service import Engine

Json = dict[str, Any]
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

    def to_json(self) -> Json:
        return {
            "do": "trade", "instrument": self.instrument, "side": self.side, "usd": self.usd,
            "quantity": self.quantity, "whole": self.whole, "request_id": self.request_id or uuid.uuid4().hex,
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
    return TradeRequest(
        str(body["request_id"]), str(body["instrument"]), side, usd, quantity, bool(body.get("whole")), "trade"
    )


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
        return {"master": order_json(record), "signal_id": None, "copies": [], "summary": summary([])}
    await engine.tracker.wait(identity, COPIES_WAIT_S)
    copies = ledger.copies_of(identity)
    return {
        "master": order_json(record),
        "signal_id": identity,
        "copies": [order_json(copy) for copy in copies],
        "summary": summary(copies),
    }


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
