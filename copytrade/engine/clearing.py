"""What has to be taken back before an exit can leave at once: what holds its base, and what a venue refuses it for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from copytrade.domain.account import venue_of
from copytrade.domain.copy import Approved
from copytrade.domain.order import Effect
from copytrade.domain.signal import Signal
from copytrade.domain.state import OrderRecord
from copytrade.engine.services import Services


def in_the_way(services: Services, copy: Approved, resting: Sequence[OrderRecord]) -> list[OrderRecord]:
    """Of an account's orders that rest in the market, those that keep this exit from filling."""
    if copy.effect is not Effect.EXIT or copy.kind.rests or not resting:
        return []
    venue = services.venues.get(venue_of(copy.account))
    opposites = venue is not None and venue.refuses_opposites
    entries = [r for r in resting if r.effect is Effect.ENTRY] if opposites else []
    exits = [r for r in resting if r.effect is Effect.EXIT]
    held = sum((r.quantity.value - r.filled.value for r in exits), copy.quantity.value)
    position = services.ledger.state.position(copy.account, copy.symbol).value
    return [*entries, *exits] if entries or held > position else []


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
