"""Taking an order back, in its account's lane: behind what is on its way, ahead of what takes its place."""

from __future__ import annotations

from collections.abc import Sequence

from copytrade.domain.alerts import AlertKind
from copytrade.domain.errors import CredentialsRejected, VenueError
from copytrade.domain.events import CancelAsked, OrderStopped
from copytrade.domain.order import OrderState
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.engine.ports import AccountClient
from copytrade.engine.services import Services
from copytrade.engine.tracker import Tracker
from copytrade.engine.work import LaneParked, Work, cancel_work

_TRIES = 3  # then the lane goes on, and whoever follows the order goes on trying


class Canceller:
    """Processes the cancels of all lanes. The kill switch does not stop them: a cancel takes risk away."""

    def __init__(self, services: Services, tracker: Tracker) -> None:
        self._services = services
        self._tracker = tracker

    async def process(self, work: Work) -> None:
        """Take one order back. What the venue then says of it, a fill that came first among it, is its end.

        Raises `LaneParked` and `ServiceStopping`, both with the work left as the ledger has it.
        """
        record = self._services.ledger.state.orders.get(work.order_id)
        if record is not None and record.state in (OrderState.DEFERRED, OrderState.HELD):
            reason = record.cancel or Reason.MASTER_CANCELLED
            self._services.ledger.append([OrderStopped(work.order_id, reason, "", self._services.clock())])
        elif record is not None and record.state is OrderState.ACCEPTED:
            assert record.venue_order_id is not None, "an accepted order has the venue's id"
            await self._cancel(work, record.venue_order_id)
            self._services.fills.taken_back(work.order_id)
        self._tracker.done(work.signal.signal_id if work.signal else work.order_id, work.order_id)

    async def take_back(self, records: Sequence[OrderRecord], reason: Reason) -> None:
        """The same for orders that are in the way of the one that the lane is working on. Raises as `process` does."""
        services = self._services
        asked = [CancelAsked(r.order_id, reason, services.clock()) for r in records if r.cancel is None]
        await services.ledger.append(asked, hurry=True)
        for record in records:
            await self.process(cancel_work(record, None))

    async def _cancel(self, work: Work, venue_order_id: str) -> None:
        for attempt in range(_TRIES):
            try:
                await self._client(work).cancel(venue_order_id)
            except CredentialsRejected as error:
                detail = f"order {work.order_id} cannot be cancelled: {error}"
                raise LaneParked(Reason.BAD_KEY, detail, None) from error
            except VenueError as error:
                if attempt == _TRIES - 1:
                    self._services.alert(
                        AlertKind.CANCEL_FAILED,
                        f"{work.account}: order {work.order_id} in {work.symbol} could not be cancelled ({error}); "
                        "it is tried again until the order is over",
                        work.account,
                    )
                    return
                await self._services.pause(self._services.limits.retry_delays_s[attempt])
            else:
                return

    def _client(self, work: Work) -> AccountClient:
        member = self._services.roster.get(work.account)
        if member is None or member.client is None:
            raise LaneParked(Reason.NOT_CONNECTED, f"order {work.order_id} cannot be cancelled", None)
        return member.client
