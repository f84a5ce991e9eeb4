"""Starting is recovering: what the ledger says is open is carried on with, whether the last run ended well or not."""

from __future__ import annotations

from copytrade.domain.money import Quantity
from copytrade.domain.order import OrderState, Role
from copytrade.domain.state import OrderRecord
from copytrade.engine.fanout import FanOut
from copytrade.engine.lanes import Lanes
from copytrade.engine.resting_again import leg_before
from copytrade.engine.services import Services
from copytrade.engine.tracker import Tracker
from copytrade.engine.work import Work, approved_of, cancel_work


def recover(services: Services, lanes: Lanes, fanout: FanOut, tracker: Tracker) -> dict[str, int]:
    """Put every open order back where it belongs, and answer signals that were never planned.

    An order that was approved may have left in the instant before the last run died, so it is looked up first. A
    deferred one cannot have left. Held exits stay held. Returns how many of each there were.
    """
    state = services.ledger.state
    counts = {"to_look_up": 0, "to_size": 0, "to_follow": 0, "held": 0, "signals": len(state.unplanned)}
    for record in sorted(state.orders.values(), key=lambda r: (r.planned_at, r.role is Role.COPY)):
        if record.state is OrderState.HELD:
            counts["held"] += 1
        elif record.state is OrderState.ACCEPTED:
            counts["to_follow"] += 1
            services.fills.follow(record.order_id)
        else:
            work = work_of(services, record)
            counts["to_look_up" if work.maybe_sent else "to_size"] += 1
            key = work.signal.signal_id if work.signal else work.order_id
            tracker.expect(key, {*tracker.pending(key), work.order_id})
            lanes.submit(work, recovered=True)
        if record.cancel is not None:  # behind the order itself, where that is still on its way
            lanes.submit(cancel_work(record, None), recovered=True)
    for signal in list(state.unplanned.values()):
        fanout.emit(signal)
    return counts


def work_of(services: Services, record: OrderRecord, *, maybe_sent: bool = True) -> Work:
    """The work that an open order in the ledger stands for; an approved one may have been sent by an earlier run."""
    signal = services.ledger.signal(record.signal_id) if record.signal_id else None
    deferred = record.state is OrderState.DEFERRED
    return Work(
        record.order_id, record.account, record.symbol, record.effect, record.role, signal,
        None if deferred else approved_of(record),
        maybe_sent=maybe_sent and not deferred,
        ceiling=_ceiling(services, record) if deferred else None,
    )  # fmt: skip


def _ceiling(services: Services, record: OrderRecord) -> Quantity | None:
    """What a deferred exit may sell at most: what it was sized to before it was held, or what its last leg left."""
    if record.quantity:
        return record.quantity
    before = leg_before(services.ledger, record)
    return None if before is None else before.quantity - before.filled
