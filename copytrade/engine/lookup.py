"""Looking an order up whose outcome is unknown, until it is found or can no longer be there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from copytrade.domain.alerts import AlertKind
from copytrade.domain.errors import CredentialsRejected, VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import Execution, OrderTicket
from copytrade.engine.ports import AccountClient
from copytrade.engine.services import Services

# Orders of ours that the venue may report beside the one we look for: from a little before it was planned.
_KNOWN_BEFORE = timedelta(minutes=10)
_PASSES_BEFORE_ALERT = 4
_PASSES_BEFORE_UNREACHABLE = 3


class Lookup:
    """Turns "unknown" into "there" or "provably not there". It guesses nothing and gives up never."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def until_known(
        self,
        ticket: OrderTicket,
        record: OrderRecord,
        absent_after: datetime | None,
        client: AccountClient,
        unreachable: Callable[[str], None],
    ) -> Execution | None:
        """The order as the venue has it, or None once that proves that it never got there.

        A pass that was begun after `absent_after` (without one: after the last send that a dead process could have
        made) and that found nothing is the proof. A pass that failed proves nothing. Raises `CredentialsRejected`
        as a parked lane's cause through the caller, and `ServiceStopping`. `unreachable` is told of each failure of a
        venue that has failed several times running.
        """
        services = self._services
        if absent_after is None:
            absent_after = services.started_at + timedelta(seconds=client.absence_wait_s)
        delays = services.limits.lookup_delays_s
        failures = 0
        while True:
            asked_at = services.clock()
            try:
                known = services.ledger.venue_order_ids(record.account, record.planned_at - _KNOWN_BEFORE)
                execution = await client.find(ticket, record.planned_at, known)
            except CredentialsRejected:
                raise
            except VenueError as error:
                failures += 1
                if failures == _PASSES_BEFORE_ALERT:
                    services.alert(
                        AlertKind.OUTCOME_UNKNOWN,
                        f"{record.account}: the outcome of order {record.order_id} is unknown and the venue cannot "
                        f"be asked ({error}); nothing else of this account is sent until it can",
                        record.account,
                    )
                if failures >= _PASSES_BEFORE_UNREACHABLE and isinstance(error, VenueUnavailable):
                    unreachable(str(error))
                wait_s = delays[min(failures - 1, len(delays) - 1)]
                if isinstance(error, VenueRefusedRead) and error.retry_after_s is not None:
                    wait_s = max(wait_s, error.retry_after_s)
                await services.pause(wait_s)
                continue
            if execution is not None:
                return execution
            if asked_at > absent_after:
                return None
            # Look once more as soon as it can be a proof, and not in between: each pass costs a Starter key a third
            # of its read budget.
            await services.pause((absent_after - services.clock()).total_seconds() + 0.001)
