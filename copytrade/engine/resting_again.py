"""Copies that are placed a second time because the master's order rests on and theirs does not.

Three things end a copy at the venue that nobody wants over: its time is up (Alpaca ends orders for fractions of a share
with the trading day, and others after 90 days); it made way for an entry that the venue would have refused beside it;
or it was an exit whose base another one needed that leaves at market for a part of the position. Either way the next
leg of the copy is planned in the transaction that tells the end: at no moment is the ledger without the order, and a
start after a crash carries on with it. Since the first has ended by the venue's own word, the next one doubles nothing.
"""

from __future__ import annotations

from copytrade.domain.copy import Deferred
from copytrade.domain.ids import copy_id
from copytrade.domain.money import Quantity
from copytrade.domain.order import Effect, OrderState, Role
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import Execution, ExecutionStatus
from copytrade.engine.ports import Ledger


def placed_again(ledger: Ledger, record: OrderRecord, execution: Execution) -> Deferred | None:
    """The next leg of a copy that rested and has ended; None where it is over for good.

    Where the master's order is over too, or on its way back, the signal of that says what becomes of the copy.
    """
    cut_short = execution.status is ExecutionStatus.CANCELLED and execution.quantity < record.quantity
    if record.role is not Role.COPY or not record.kind.rests or not cut_short or record.signal_id is None:
        return None
    made_way = record.cancel is Reason.MAKES_WAY or _for_an_exit(record)
    timed_out = record.cancel is None and execution.expired
    if not (made_way or timed_out) or not _master_rests(ledger, record.signal_id):
        return None
    why = record.cancel.text if made_way and record.cancel else execution.detail
    return next_leg(record, Reason.RESTS_AGAIN, f"{why}; {execution.quantity} of {record.quantity} had filled")


def next_leg(record: OrderRecord, reason: Reason, detail: str) -> Deferred:
    """What takes the place of a copy that was cut short, to be sized in its lane."""
    assert record.signal_id is not None, "a copy answers a signal"
    first = record.order_id == copy_id(record.signal_id, record.account, record.leg)
    order_id = copy_id(record.signal_id, record.account, record.leg + 1, "" if first else record.symbol)
    return Deferred(
        order_id, record.signal_id, record.account, record.symbol, record.side, record.effect, reason, detail,
        record.leg + 1,
    )  # fmt: skip


def leg_before(ledger: Ledger, record: OrderRecord) -> OrderRecord | None:
    """The copy whose place this one takes."""
    if not record.leg or record.signal_id is None:
        return None
    for before in ledger.copies_of(record.signal_id, record.account):
        if (before.account, before.symbol, before.leg) == (record.account, record.symbol, record.leg - 1):
            return before
    return None


def rests_again(ledger: Ledger, record: OrderRecord) -> Quantity | None:
    """How much of a resting copy's next leg is to rest again; None for an order that is no such leg.

    What a stop had not sold when its profit was reached leaves at market. The record's own reason does not tell: it
    changes when the leg is held and released.
    """
    before = leg_before(ledger, record)
    if before is None or not before.kind.rests or before.cancel is Reason.PROFIT_REACHED:
        return None
    return before.quantity - before.filled


def market_legs(ledger: Ledger, record: OrderRecord) -> int:
    """How often an exit was cut short at market, this leg included; those that rested before do not count."""
    assert record.signal_id is not None, "a copy answers a signal"
    legs = ledger.copies_of(record.signal_id, record.account)
    mine = [leg for leg in legs if (leg.account, leg.symbol) == (record.account, record.symbol)]
    return sum(1 for leg in mine if leg.leg <= record.leg and not leg.kind.rests)


def made_way_for_an_exit(ledger: Ledger, record: OrderRecord) -> bool:
    """Whether this copy takes the place of an exit whose base another one has sold: of a whole position it finds
    nothing, or dust, and nobody needs to hear of that."""
    before = leg_before(ledger, record)
    return before is not None and _for_an_exit(before)


def _for_an_exit(record: OrderRecord) -> bool:
    return record.cancel is Reason.EXIT_FIRST and record.effect is Effect.EXIT


def _master_rests(ledger: Ledger, signal_id: str) -> bool:
    signal = ledger.signal(signal_id)
    behind = None if signal is None else ledger.state.orders.get(signal.master_order_id)
    return behind is not None and behind.state is OrderState.ACCEPTED and behind.cancel is None

