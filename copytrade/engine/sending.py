"""From an approved order to its outcome: the last look, the send, and what each of the four answers leads to.

This file is where an order could be doubled or lost, so its rules are few:

- Only an `Approved` is sent, its intent is durable, and `work.maybe_sent` is set before the first byte can leave.
- `maybe_sent` is taken back by nothing but proof: the gate stopped it, the connection failed before any byte, the
  venue refused it, or a full look-up after the last moment it could arrive found nothing.
- An order that may have been sent is looked up before anything else is done with it, after a restart as well.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from copytrade.domain.account import venue_of
from copytrade.domain.alerts import AlertKind
from copytrade.domain.copy import Approved, Deferred, Skipped
from copytrade.domain.errors import CredentialsRejected, NonceUnavailable, SendStopped
from copytrade.domain.events import (
    CopiesPlanned,
    CopyDecided,
    Event,
    OrderAccepted,
    OrderHeld,
    OrderProvedAbsent,
    OrderRefused,
    OrderStopped,
    OrderUnknown,
    SignalEmitted,
)
from copytrade.domain.order import Effect, OrderKind, OrderState, Role
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import Accepted, NotSent, OrderTicket, RefusedByVenue, Unknown
from copytrade.engine.cancelling import Canceller
from copytrade.engine.last_look import LastLook
from copytrade.engine.late_sizing import LateSizer
from copytrade.engine.lookup import Lookup
from copytrade.engine.making_way import WayMaker
from copytrade.engine.ports import AccountClient
from copytrade.engine.services import Services, ServiceStopping
from copytrade.engine.tracker import Tracker
from copytrade.engine.work import (
    EmitSignal,
    LaneParked,
    NotSettled,
    Onward,
    RefreshEquity,
    Work,
    approved_of,
    lets_go,
    signal_of,
)

_TRIES_BESIDE = 2  # a cancel may take the venue a moment longer than it says
_TRIES_BEFORE_FAILOVER = 3  # with their pauses about two seconds: a venue that is only restarting is waited for


class Sender:
    """Processes the work of all lanes; keeps nothing of its own between two calls."""

    def __init__(
        self, services: Services, tracker: Tracker, emit: EmitSignal, refresh: RefreshEquity, onward: Onward
    ) -> None:
        self._onward = onward
        self._services = services
        self._tracker = tracker
        self._emit = emit
        self._lookup = Lookup(services)
        self._gate = LastLook(services)
        self._canceller = Canceller(services, tracker)
        self._sizer = LateSizer(services, self._canceller, refresh)
        self._way = WayMaker(services, self._canceller)

    # -- the way of one order --------------------------------------------------------------------------------------

    async def process(self, work: Work) -> bool:
        """Bring one order to its answer. False when it must stay queued because others may go first.

        Raises `LaneParked` and `ServiceStopping`, both with the work left as the ledger has it.
        """
        if work.durable is not None:
            await work.durable
            work.durable = None
        if work.cancel:
            await self._canceller.process(work)
            return True
        record = self._record(work)
        if record is None or record.state not in (OrderState.DEFERRED, OrderState.APPROVED, OrderState.UNKNOWN):
            self.finished(work)
            return True
        if record.cancel is not None and not work.maybe_sent:
            self.stop(work, record.cancel, "")
            return True
        client = self._client(work, record)
        if client is None:
            return True
        if work.maybe_sent and not await self._proved_absent(work, record, client):
            self.finished(work)
            return True
        try:
            approved = await self._approved(work)
            if approved is None:
                work.waits = False
                self.finished(work)
                return True
            sent = await self._send(work, approved, client)
        except NotSettled:
            work.waits = True
            return False
        work.waits = False
        return sent

    def budget_wait_s(self, work: Work) -> float:
        """How long the account's budget would hold this order back now."""
        member = self._services.roster.get(work.account)
        if work.approved is None or member is None or member.client is None:
            return 0
        ticket = self._ticket(work.approved)
        return member.client.wait_s(ticket) if ticket else 0

    def stop(self, work: Work, reason: Reason, detail: str) -> None:
        """End an order that provably never left."""
        self._end(work, OrderStopped(work.order_id, reason, detail, self._services.clock()))

    def hand_over(self, work: Work, reason: Reason, detail: str) -> bool:
        """End an entry here that provably never left, if it can go elsewhere; False when it cannot."""
        if self._onward.elsewhere(work, reason) is None:
            return False
        self.stop(work, reason, detail)
        return True

    def met_a_fault(self, work: Work) -> None:
        """What may have been sent a moment ago can still arrive: it is not absent before that is over. And others of
        the account go ahead of it."""
        member = self._services.roster.get(work.account)
        if work.maybe_sent and work.absent_after is None and member is not None and member.client is not None:
            work.absent_after = self._services.clock() + timedelta(seconds=member.client.absence_wait_s)
        work.waits = True

    def finished(self, work: Work) -> None:
        """Tell whoever waits that this order has had its answer."""
        record = self._record(work)
        if record is None or record.state is not OrderState.ACCEPTED:
            known = record or self._services.ledger.find(work.order_id)
            if known is not None:
                self._services.books.ended(known, self._services.clock())
        self._tracker.done(_key(work), work.order_id)

    def dropped(self, work: Work) -> None:
        """Tell whoever waits that there is nothing left to do for this order."""
        self._tracker.done(_key(work), work.order_id)

    # -- sizing what was deferred ------------------------------------------------------------------------------------

    async def _approved(self, work: Work) -> Approved | None:
        """The approval to send under: the planned one, or for a deferred copy one that is decided now."""
        services, approved = self._services, work.approved
        if approved is not None:
            held = services.ledger.state.position(approved.account, work.symbol)
            if work.role is not Role.COPY or work.effect is Effect.ENTRY or approved.quantity <= held:
                return approved
        record = self._record(work)
        assert record is not None
        return await self._take(work, await self._sizer.decide(work, record))

    async def _take(self, work: Work, decision: Approved | Skipped | Deferred) -> Approved | None:
        now = self._services.clock()
        if isinstance(decision, Deferred):
            if work.effect is Effect.EXIT:
                self._hold(work, decision.reason, decision.detail)
                return None
            d = decision
            decision = Skipped(
                d.order_id, d.signal_id, d.account, d.symbol, d.side, d.effect, Reason.EQUITY_UNKNOWN, d.detail, d.leg
            )
        if isinstance(decision, Approved) and work.ceiling is not None and work.ceiling < decision.quantity:
            decision = self._sizer.lowered(decision, work.ceiling)
        if isinstance(decision, Skipped):
            if work.approved is not None:  # what it was to sell has been sold by others while it waited
                self.stop(work, decision.reason, decision.detail)
            else:
                self._end(work, CopyDecided(decision, now))
            return None
        work.approved = decision
        if decision.effect is Effect.ENTRY:
            self._services.books.reserve(decision.account, decision.order_id, decision.quantity * decision.price)
        # The size is part of the intent: it is durable before the order can leave.
        await self._services.ledger.append([CopyDecided(decision, now)], hurry=True)
        return decision

    # -- the send ------------------------------------------------------------------------------------------------------

    async def _send(self, work: Work, approved: Approved, client: AccountClient) -> bool:
        services = self._services
        ticket = self._ticket(approved)
        if ticket is None:
            self._cannot_place(work, Reason.NOT_LISTED, approved.symbol)
            return True
        retries = 0
        while True:
            stop = await self._gate.price_stop(work, approved, ticket)
            wait_s = client.wait_s(ticket)
            # The gate looks twice more before a byte leaves; here only if something else would be done or said first.
            if stop is not None or wait_s > 0:
                stop = self._gate.last_look(work, approved) or stop
            if stop is not None:
                self._stopped(work, stop)
                return True
            if wait_s > 0:
                await services.pause(min(wait_s, 0.5))
                if work.effect is Effect.ENTRY:
                    return False
                continue
            if others := self._way.refused_for(work, approved):
                stop = self._gate.last_look(work, approved) or self._way.stop(work, approved, others)
                if stop is not None:
                    self._stopped(work, stop)
                    return True
                await self._way.clear(work, others)
                continue
            outcome = await self._place(work, approved, ticket, client)
            if outcome is None:
                return True
            if isinstance(outcome, Accepted):
                self._accepted(work, outcome.venue_order_id, outcome.sent_at, outcome.at)
                return True
            if isinstance(outcome, Unknown):
                self._append(OrderUnknown(work.order_id, outcome.detail, outcome.sent_at, outcome.at))
                work.absent_after = outcome.absent_after
                record = self._record(work)
                assert record is not None
                if not await self._proved_absent(work, record, client):
                    self.finished(work)
                    return True
                continue
            retry_after_s = self._retry_after_s(work, outcome, retries)
            if retry_after_s is None:
                self._refused(work, outcome)
                return True
            retries += 1
            await services.pause(retry_after_s)

    async def _place(
        self, work: Work, approved: Approved, ticket: OrderTicket, client: AccountClient
    ) -> Accepted | RefusedByVenue | NotSent | Unknown | None:
        """One send. None when the last look stopped it. `maybe_sent` is true exactly while it may be."""
        services = self._services

        def gate() -> None:
            if (stop := self._gate.last_look(work, approved)) is not None:
                raise stop

        work.maybe_sent = True
        services.sends_in_flight += 1
        try:
            outcome = await client.place(ticket, gate)
        except SendStopped as stop:
            work.maybe_sent = False
            self._stopped(work, stop)
            return None
        except NonceUnavailable as error:
            work.maybe_sent = False
            raise LaneParked(Reason.BAD_NONCE, str(error), None) from error
        finally:
            services.sends_in_flight -= 1
        if isinstance(outcome, RefusedByVenue | NotSent):
            work.maybe_sent = False
        return outcome

    # -- what each answer leads to ---------------------------------------------------------------------------------

    def _accepted(
        self, work: Work, venue_order_id: str, sent_at: datetime | None, at: datetime, *, found: bool = False
    ) -> None:
        events: list[Event] = [OrderAccepted(work.order_id, venue_order_id, sent_at, at, found)]
        signal = None
        if work.role is Role.MASTER:
            record = self._record(work)
            assert record is not None
            # Found by a look-up, perhaps by a later run: then it was placed long before `at`, and the followers'
            # entries must count their age from that.
            signal = signal_of(record, record.sent_at or record.planned_at if found else at)
            events.append(SignalEmitted(signal))
        # The last answer to a signal has no company to wait for on its way to the disk.
        last = self._tracker.is_last(_key(work), work.order_id)
        self._services.ledger.append(events, hurry=last or signal is not None)
        self._services.fills.follow(work.order_id)
        accepted = self._record(work)
        if accepted is not None and accepted.kind.rests:
            self._services.books.rests(accepted, at)
        self.finished(work)
        if signal is not None:
            self._emit(signal)

    async def _proved_absent(self, work: Work, record: OrderRecord, client: AccountClient) -> bool:
        """Look the order up until it is found or can no longer be there. False when it was found."""
        ticket = self._ticket(approved_of(record))
        if ticket is None:
            raise LaneParked(Reason.NOT_LISTED, f"{record.symbol} is no longer listed, yet an order may be open", None)
        try:
            execution = await self._lookup.until_known(
                ticket, record, work.absent_after, client, lambda detail: self._onward.hand_over(work.account, detail)
            )
        except CredentialsRejected as error:
            raise LaneParked(Reason.BAD_KEY, f"order {work.order_id} cannot be looked up: {error}", None) from error
        if execution is not None:
            self._accepted(work, execution.venue_order_id, record.sent_at, self._services.clock(), found=True)
            return False
        if record.state is OrderState.UNKNOWN:
            self._append(OrderProvedAbsent(work.order_id, self._services.clock()))
        work.maybe_sent, work.absent_after = False, None
        return True

    def _retry_after_s(self, work: Work, outcome: RefusedByVenue | NotSent, retries: int) -> float | None:
        """How long to wait before the same order is tried again, or None when it is not to be."""
        delays = self._services.limits.retry_delays_s
        backoff_s = delays[min(retries, len(delays) - 1)]
        if isinstance(outcome, NotSent) and retries >= _TRIES_BEFORE_FAILOVER:
            if work.effect is Effect.EXIT:  # it stays, but the entries behind it need not
                self._onward.hand_over(work.account, outcome.detail)
            elif self._onward.elsewhere(work, Reason.VENUE_UNREACHABLE) is not None:
                return None
        elif isinstance(outcome, RefusedByVenue):
            if outcome.parks_account or outcome.retry_after_s is None:
                return None
            if outcome.reason is Reason.OPPOSITE_ORDER and retries >= _TRIES_BESIDE:
                return None  # our own orders have made way: it is somebody else's, and may stand for days
            backoff_s = max(backoff_s, outcome.retry_after_s)
        if retries == len(delays):
            self._services.alert(
                AlertKind.ORDER_REFUSED,
                f"order {work.order_id} ({work.effect}) is still refused: {outcome.detail}",
                work.account,
            )
        started_at = self._entry_started_at(work)
        if started_at is None:
            return backoff_s  # an exit is tried for as long as it takes
        left_s = self._services.rules.entry_ttl_s - (self._services.clock() - started_at).total_seconds()
        return backoff_s if left_s > backoff_s else None

    def _refused(self, work: Work, outcome: RefusedByVenue | NotSent) -> None:
        if isinstance(outcome, NotSent):
            self.stop(work, Reason.VENUE_UNREACHABLE, outcome.detail)
            return
        if outcome.parks_account:
            parked = LaneParked(outcome.reason, outcome.detail, outcome.parks_for_s)
            if work.effect is Effect.ENTRY or work.role is not Role.COPY:
                self._end(work, OrderRefused(work.order_id, outcome.reason, outcome.detail, outcome.at))
            raise parked
        self._cannot_place(work, outcome.reason, outcome.detail)

    def _cannot_place(self, work: Work, reason: Reason, detail: str) -> None:
        """A definite no: final for entries and for the master; a copy's exit is kept for the operator."""
        resting = work.approved is not None and work.approved.kind is not OrderKind.MARKET
        if work.effect is Effect.EXIT and work.role is Role.COPY and not resting:
            self._hold(work, reason, detail)
            self.finished(work)
            return
        if work.effect is Effect.EXIT and work.role is Role.COPY:
            self._services.alert(
                AlertKind.ORDER_REFUSED,
                f"the order that was to take {work.account} out of {work.symbol} later was refused: {reason.text} "
                f"{detail}; it leaves at market once the master's order has filled",
                work.account,
            )
        self._end(work, OrderRefused(work.order_id, reason, detail, self._services.clock()))

    def _end(self, work: Work, event: OrderStopped | OrderRefused | CopyDecided) -> None:
        """End an order that is certainly not at the venue. Where the user's next account is to take an entry over,
        that is planned in the same transaction: a crash in between can neither lose it nor place it twice."""
        reason = event.copy.reason if isinstance(event, CopyDecided) else event.reason
        other = self._onward.elsewhere(work, reason)
        events: list[Event] = [event]
        if other is not None:
            events.append(CopiesPlanned(other.signal_id, (other,), event.at))
            self._tracker.expect(other.signal_id, {*self._tracker.pending(other.signal_id), other.order_id})
        self._append(*events)
        self.finished(work)
        if other is not None:
            self._onward.submit(
                Work(other.order_id, other.account, other.symbol, other.effect, Role.COPY, work.signal, None)
            )

    def _stopped(self, work: Work, stop: SendStopped) -> None:
        if stop.reason in (Reason.SHUTTING_DOWN, Reason.LEDGER_FAILED):
            raise ServiceStopping  # the ledger still says approved, and the next start carries on from there
        record = self._services.ledger.state.orders.get(work.order_id)
        taken_back = record is not None and record.cancel is stop.reason  # the master has no such order any more
        if work.effect is Effect.EXIT and work.role is Role.COPY and not taken_back:
            self._hold(work, stop.reason, stop.detail)
            self.finished(work)
        else:
            self.stop(work, stop.reason, stop.detail)

    def _hold(self, work: Work, reason: Reason, detail: str) -> None:
        self._append(OrderHeld(work.order_id, reason, detail, self._services.clock()))
        self._services.alert(
            AlertKind.EXIT_HELD,
            f"an exit of {work.symbol} for {work.account} is held: {reason.text} {detail}".rstrip()
            + f"; {lets_go(work, reason, detail)}",
            work.account,
        )

    # -- small things -------------------------------------------------------------------------------------------------

    def _append(self, *events: Event) -> None:
        self._services.ledger.append(events)

    def _record(self, work: Work) -> OrderRecord | None:
        return self._services.ledger.state.orders.get(work.order_id)

    def _client(self, work: Work, record: OrderRecord) -> AccountClient | None:
        """The account's client. Without one an entry that never left ends; anything else waits in a parked lane."""
        member = self._services.roster.get(work.account)
        if member is not None and member.client is not None:
            return member.client
        reason, detail = (Reason.DISABLED, "no longer enrolled") if member is None else member.unreachable or (
            Reason.NOT_CONNECTED, ""
        )  # fmt: skip
        if work.effect is Effect.ENTRY and not work.maybe_sent:
            self.stop(work, reason, detail)
            return None
        raise LaneParked(reason, detail, None)

    def _ticket(self, approved: Approved) -> OrderTicket | None:
        instrument = self._services.instrument(venue_of(approved.account), approved.symbol)
        if instrument is None:
            return None
        return OrderTicket(
            approved.order_id, approved.account, instrument, approved.side, approved.effect, approved.kind,
            approved.quantity, approved.limit_price, approved.stop_price,
        )  # fmt: skip

    def _entry_started_at(self, work: Work) -> datetime | None:
        if work.effect is Effect.EXIT:
            return None
        record = self._record(work)
        if record is not None and record.leg:
            return record.planned_at  # it rests again
        return work.signal.at if work.signal else record.planned_at if record else None


def _key(work: Work) -> str:
    """Under what the tracker counts this order."""
    return work.signal.signal_id if work.signal else work.order_id
