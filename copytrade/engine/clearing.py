"""What has to be taken back before an exit can leave at once: what holds its base, and what a venue refuses it for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from copytrade.domain.account import venue_of
from copytrade.domain.copy import Approved
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.signal import Signal
from copytrade.domain.state import OrderRecord
from copytrade.engine.services import Services

_PLAIN_LIMITS = frozenset({OrderKind.LIMIT, OrderKind.POST_ONLY, OrderKind.IOC_LIMIT})


def in_the_way(services: Services, copy: Approved, resting: Sequence[OrderRecord]) -> list[OrderRecord]:
    """Of an account's orders that rest in the market, those that keep this exit from being taken, or from filling."""
    if copy.effect is not Effect.EXIT or not resting:
        return []
    entries = opposites(services, copy, resting)
    if copy.kind.rests:
        return entries
    exits = [r for r in resting if r.effect is Effect.EXIT]
    held = sum((r.quantity.value - r.filled.value for r in exits), copy.quantity.value)
    position = services.ledger.state.position(copy.account, copy.symbol).value
    return [*entries, *exits] if entries or held > position else []


def opposites(services: Services, order: Approved, open_orders: Iterable[OrderRecord]) -> list[OrderRecord]:
    """The orders on the other side of the market that its venue refuses this one for, if it is one that does.

    Two limits may stand that do not cross; whatever has a trigger, and an order at market, could meet any other.
    Source: docs.alpaca.markets, "User protection".
    """
    venue = services.venues.get(venue_of(order.account))
    if venue is None or not venue.refuses_opposites:
        return []
    return [r for r in open_orders if r.side is not order.side and not _stand_apart(order, r)]


def _stand_apart(order: Approved, other: OrderRecord) -> bool:
    if not (order.kind in _PLAIN_LIMITS and other.kind in _PLAIN_LIMITS and order.limit_price and other.limit_price):
        return False
    buys, sells = (order, other) if order.side is Side.BUY else (other, order)
    assert buys.limit_price is not None
    assert sells.limit_price is not None
    return buys.limit_price < sells.limit_price


def left_behind(services: Services, signal: Signal, resting: Iterable[OrderRecord]) -> list[OrderRecord]:
    """Entries that rest on although the master's order behind them is over, once the master has left the instrument:
    what they bought would be bought to stay."""
    if signal.exit_fraction < 1 or signal.target:
        return []
    orders = services.ledger.state.orders
    over: dict[str, bool] = {}
    found = []
    for record in resting:
        if record.effect is not Effect.ENTRY or record.signal_id is None or record.cancel is not None:
            continue
        if record.signal_id not in over:
            behind = services.ledger.signal(record.signal_id)
            over[record.signal_id] = (
                behind is not None and behind.symbol == signal.symbol and behind.master_order_id not in orders
            )  # fmt: skip
        if over[record.signal_id]:
            found.append(record)
    return found
