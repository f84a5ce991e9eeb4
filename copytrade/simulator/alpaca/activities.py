"""Account activities: fills, and the crypto fees of each, which Alpaca enters at the end of the day.

The fee is taken out of what is received when the order fills; only its entry comes later.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from copytrade.simulator.alpaca import params
from copytrade.simulator.alpaca.call import Call
from copytrade.simulator.alpaca.errors import malformed
from copytrade.simulator.alpaca.listing import BY_SYMBOL
from copytrade.simulator.alpaca.lists import views_of
from copytrade.simulator.alpaca.params import nanoseconds
from copytrade.simulator.alpaca.shapes import plain
from copytrade.simulator.ids import bytes_for
from copytrade.simulator.orders import ZERO, Fill, Order

KINDS = ("FILL", "CFEE")
# Alpaca has these, and a simulated account never has any.
_EMPTY_KINDS = ("ACATC", "ACATS", "CSD", "CSW", "DIV", "FEE", "INT", "JNLC", "JNLS", "MISC", "PTC", "TRANS")
PAGE_DEFAULT, PAGE_MAX = 100, 100


def activities(call: Call) -> Any:
    """Activities of the kinds in `activity_types`, or of all."""
    kinds = params.names(call.params, "activity_types") or list(KINDS)
    return _shown(call, kinds)


def activities_of_kind(call: Call) -> Any:
    """Activities of the kind in the path."""
    return _shown(call, [call.words[0].upper()])


def _shown(call: Call, kinds: list[str]) -> list[dict[str, Any]]:
    for kind in kinds:
        if kind not in KINDS and kind not in _EMPTY_KINDS:
            raise malformed(f"invalid activity type: {kind}")
    values = call.params
    size = params.integer(values, "page_size", PAGE_DEFAULT, 1, PAGE_MAX)
    ascending = params.choice(values, "direction", "desc", ("asc", "desc")) == "asc"
    after_s, until_s, day = params.instant(values, "after"), params.instant(values, "until"), params.day(values, "date")
    if day is not None:
        after_s = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() - 1e-6
        until_s = after_s + 86_400 + 1e-6
    entries = [
        (time_s, entry)
        for time_s, entry in _entries(call, kinds)
        if (after_s is None or time_s > after_s) and (until_s is None or time_s < until_s)
    ]
    entries.sort(key=lambda item: item[1]["id"], reverse=not ascending)
    found = [entry for _, entry in entries]
    if token := params.text(values, "page_token"):
        found = [entry for entry in found if (entry["id"] > token if ascending else entry["id"] < token)]
    return found[:size]


def _entries(call: Call, kinds: list[str]) -> Iterator[tuple[float, dict[str, Any]]]:
    done: dict[int, Any] = {}
    for fill in call.account.fills:
        order = call.exchange.books.orders[fill.arrival - 1]
        done[fill.arrival] = done.get(fill.arrival, ZERO) + fill.volume
        if not call.visible(order):
            continue
        if "FILL" in kinds:
            yield fill.time_s, _fill(call, fill, order, done[fill.arrival])
        if "CFEE" in kinds and BY_SYMBOL[order.request.symbol].is_crypto:
            entered_s = fill.time_s if call.desk.unverified.fees_at_once else _end_of_day(fill.time_s)
            if entered_s <= call.now_s:
                yield entered_s, _fee(call, fill, order, entered_s)


def _fill(call: Call, fill: Fill, order: Order, cumulative: Any) -> dict[str, Any]:
    left = max(ZERO, order.volume - cumulative)
    if order.request.volume_in_quote:
        left = ZERO
    return {
        "id": _activity_id(call, fill.time_s, "fill", fill.number),
        "activity_type": "FILL",
        "transaction_time": nanoseconds(fill.time_s),
        "type": "fill" if not left else "partial_fill",
        "price": plain(fill.price),
        "qty": plain(fill.volume),
        "side": order.request.side,
        "symbol": order.request.symbol,
        "leaves_qty": plain(left),
        "order_id": views_of(call).of_fill(order, fill.number).order_id,
        "cum_qty": plain(cumulative),
        "order_status": "filled" if not left else "partially_filled",
    }


def _fee(call: Call, fill: Fill, order: Order, entered_s: float) -> dict[str, Any]:
    asset = BY_SYMBOL[order.request.symbol]
    in_base = order.request.fee_in_base
    return {
        "id": _activity_id(call, entered_s, "fee", fill.number),
        "activity_type": "CFEE",
        "date": f"{datetime.fromtimestamp(fill.time_s, UTC):%Y-%m-%d}",
        "net_amount": "0" if in_base else plain(-fill.fee),
        "description": "Coin Pair Transaction Fee (Non USD)" if in_base else "Coin Pair Transaction Fee (USD)",
        "symbol": asset.plain_symbol,
        "qty": plain(-fill.fee_base) if in_base else "0",
        "price": plain(fill.price),
        "status": "executed",
    }


def _end_of_day(time_s: float) -> float:
    day = datetime.fromtimestamp(time_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (day + timedelta(days=1)).timestamp()


def _activity_id(call: Call, time_s: float, kind: str, number: int) -> str:
    moment = datetime.fromtimestamp(time_s, UTC)
    tail = uuid.UUID(bytes=bytes_for(call.seed, kind, number, size=16), version=4)
    return f"{moment:%Y%m%d%H%M%S}{moment.microsecond // 1000:03d}::{tail}"
