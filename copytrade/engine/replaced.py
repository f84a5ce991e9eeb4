"""Orders that took another's place at venues which change an order by cancelling it for a new one.

Kraken's EditOrder and Binance's cancelReplace leave an order that is cancelled and another with an id of its own, and
nothing in either names the other. What was cancelled by hand in the very moment in which an order of the same market,
side and kind came is what that order took the place of; should a quick program have meant two orders, everybody gets
the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from copytrade.domain.account import AccountId
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import ExecutionStatus, VenueOrder
from copytrade.engine.ports import Ledger

# The venue does both at once; its two times are of different moments of its work. A person takes longer.
_SAME_MOMENT = timedelta(seconds=0.5)
_CLOCKS = timedelta(milliseconds=200)  # by which the new order may seem to be the earlier
_KEPT_MAX = 100  # cancelled orders; those of the last seconds are asked for


@dataclass(frozen=True, slots=True)
class _Cancelled:
    symbol: str
    side: Side
    kind: OrderKind
    at: datetime


class Replaced:
    """Remembers what the hand has cancelled of one account's orders."""

    def __init__(self, ledger: Ledger, account: AccountId) -> None:
        self._ledger = ledger
        self._account = account
        self._cancelled: dict[str, _Cancelled] = {}

    def saw(self, order_id: str, order: VenueOrder) -> None:
        """The venue says this of an order of the ledger's."""
        if order.status is ExecutionStatus.CANCELLED and order.kind.rests and order.ended_at is not None:
            self._cancelled[order_id] = _Cancelled(order.symbol, order.side, order.kind, order.ended_at)
            if len(self._cancelled) > _KEPT_MAX:
                del self._cancelled[next(iter(self._cancelled))]

    def by(self, order: VenueOrder) -> OrderRecord | None:
        """The master's order that this new one took the place of; None if there is none."""
        if order.status is not ExecutionStatus.OPEN or not order.kind.rests:
            return None
        for order_id, cancelled in reversed(self._cancelled.items()):
            after = order.created_at - cancelled.at
            alike = (cancelled.symbol, cancelled.side, cancelled.kind) == (order.symbol, order.side, order.kind)
            if alike and -_CLOCKS <= after <= _SAME_MOMENT:
                record = self._ledger.find(order_id)
                if record is not None and self._open_to_change(record):
                    return record
        return None

    def _open_to_change(self, record: OrderRecord) -> bool:
        """Whether its end is known, was the hand's doing, and nothing else took its place."""
        intent = record.intent
        if intent is None or record.state is not OrderState.CANCELLED or record.cancel is not None:
            return False
        family = self._ledger.family(intent.replaces or record.order_id)
        begun = [signal.master_order_id for signal, _ in family if not signal.kind.follows_up]
        return bool(begun) and begun[-1] == record.order_id
