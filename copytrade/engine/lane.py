"""A lane: one account's queue. Its orders leave one after the other, in signal order; no lane waits for another.

An idle lane is a few hundred bytes and no task. Work wakes it; when the queue is empty its task ends.
"""

from __future__ import annotations

import asyncio
from collections import deque

from copytrade.domain.account import AccountId
from copytrade.domain.alerts import AlertKind
from copytrade.domain.errors import LedgerError
from copytrade.domain.events import AccountCleared, AccountParked
from copytrade.domain.instrument import base_of
from copytrade.domain.order import Effect, OrderState
from copytrade.domain.reasons import Reason
from copytrade.engine.about import concerning
from copytrade.engine.sending import Sender
from copytrade.engine.services import Services, ServiceStopping, log
from copytrade.engine.work import LaneParked, Work


class Lane:
    """The queue of one account, and whether it is parked."""

    __slots__ = ("_account", "_queue", "_sender", "_services", "_task", "_unpark")

    def __init__(self, account: AccountId, services: Services, sender: Sender) -> None:
        self._account = account
        self._services = services
        self._sender = sender
        self._queue: deque[Work] = deque()
        self._task: asyncio.Task[None] | None = None
        self._unpark: asyncio.TimerHandle | None = None

    @property
    def depth(self) -> int:
        return len(self._queue)

    @property
    def busy(self) -> bool:
        return self._task is not None

    @property
    def clears_itself(self) -> bool:
        """Whether the park ends by itself, after a time that the venue's fault asks for."""
        return self._unpark is not None and self._unpark.when() > asyncio.get_running_loop().time()

    def submit(self, work: Work, *, recovered: bool = False) -> None:
        """Queue one order. A new entry that finds the lane full ends there, with that reason; an exit never does."""
        new_entry = not recovered and not work.cancel and work.effect is Effect.ENTRY
        if new_entry and len(self._queue) >= self._services.limits.lane_queue_max:
            self._sender.stop(work, Reason.LANE_FULL, f"{len(self._queue)} orders are waiting")
            return
        self._queue.append(work)
        self.wake()

    def wake(self) -> None:
        """Work on, unless the account is parked or nothing waits. No entry waits for a parked account: it could not be
        taken up before somebody clears the fault."""
        ledger, member = self._services.ledger, self._services.roster.get(self._account)
        if ledger.failed is not None or (member is not None and member.connecting):
            return
        if parked := ledger.state.parked.get(self._account):
            if self._task is None:  # a lane that parks ends them itself
                self._end_waiting_entries(parked[1])
        elif self._task is None and self._queue:
            self._task = asyncio.create_task(self._run(), name=f"lane {self._account}")

    async def close(self, timeout_s: float) -> None:
        """Let the order that is on its way come to its answer, for so long at most."""
        self._stay_parked()
        if self._task is not None:
            _, late = await asyncio.wait({self._task}, timeout=timeout_s)
            for task in late:
                task.cancel()  # its outcome stays unknown in the ledger, and the next start looks it up
            self._stay_parked()  # the order that was waited for may have parked it

    def clear(self) -> None:
        """The account's fault is gone: take up the queue again."""
        if self._account in self._services.ledger.state.parked:
            self._services.ledger.append([AccountCleared(self._account, self._services.clock())])
        self.wake()

    async def _run(self) -> None:
        work: Work | None = None
        try:
            while self._queue:
                work = self._next()
                concerning(work.account, work.order_id, work.signal.signal_id if work.signal is not None else "")
                if await self._sender.process(work):
                    self._queue.remove(work)
        except LaneParked as parked:
            self._park(parked)
        except ServiceStopping:
            return  # nothing may be sent any more; the ledger says where the next start carries on
        except Exception as error:
            if isinstance(error, LedgerError) and self._nothing_is_kept():
                return  # the same
            # A fault of ours in one lane: what it was doing may have reached the venue, so nothing is assumed. The
            # lane parks for a while, and then begins with a look-up, as the next start would.
            log.exception("lane %s stopped by a fault in the service", self._account)
            if work is not None:
                self._sender.met_a_fault(work)
            detail = f"{type(error).__name__}, see the log"
            self._park(LaneParked(Reason.SERVICE_FAULT, detail, self._services.limits.fault_retry_s))
        finally:
            self._task = None
            if self._queue and not self._services.closing.is_set():
                self.wake()

    def _next(self) -> Work:
        """The head of the queue; but while an entry at the head waits for its rate budget, the first exit in
        another instrument goes ahead of it. So it does, and a cancel, while the head waits for an order at the venue
        that is not over: everything is tried once before the head is tried again."""
        head = self._queue[0]
        if len(self._queue) == 1:  # as in nearly every fan-out: the budget is looked at before the send anyway
            return head
        if head.waits or (
            head.effect is Effect.ENTRY and not head.maybe_sent and self._sender.budget_wait_s(head) > 0
        ):  # fmt: skip
            seen = {base_of(head.symbol)}  # one base: an entry may yet find that it goes to another market of it
            for work in self._queue:
                urgent = work.effect is Effect.EXIT or (work.cancel and head.waits)
                if urgent and not work.waits and base_of(work.symbol) not in seen:
                    return work
                seen.add(base_of(work.symbol))
            for work in self._queue:
                work.waits = False
        return head

    def _park(self, parked: LaneParked) -> None:
        services = self._services
        if services.ledger.failed is not None:
            return
        now = services.clock()
        services.ledger.append([AccountParked(self._account, parked.reason, parked.detail, now)])
        until = f"; tried again in {parked.for_s:g} s" if parked.for_s else "; run check for what to do"
        services.alert(
            AlertKind.PARKED, f"{self._account} is parked: {parked.reason.text} ({parked.detail}){until}", self._account
        )
        self._end_waiting_entries(parked.detail)
        self._stay_parked()  # an earlier park may have ended before its time
        if parked.for_s is not None:
            loop = asyncio.get_running_loop()
            self._unpark = loop.call_later(parked.for_s, self.clear)

    def _nothing_is_kept(self) -> bool:
        """Whether the ledger takes nothing in any more. That something in it cannot be read is a fault like others."""
        return self._services.ledger.failed is not None or self._services.closing.is_set()

    def _stay_parked(self) -> None:
        if self._unpark is not None:
            self._unpark.cancel()
            self._unpark = None

    def hand_over(self, detail: str) -> None:
        """The venue cannot be reached, and what is being worked on is tried until it can be: entries that wait behind
        it go to their users' next accounts. Those that have none wait on."""
        for work in self._waiting_entries():
            if self._sender.hand_over(work, Reason.VENUE_UNREACHABLE, detail):
                self._queue.remove(work)

    def _end_waiting_entries(self, detail: str) -> None:
        """Entries that provably never left end here; exits and orders that may be at the venue stay queued."""
        for work in self._waiting_entries():
            self._sender.stop(work, Reason.ACCOUNT_PARKED, detail)
            self._queue.remove(work)

    def _waiting_entries(self) -> list[Work]:
        """Entries that provably never left. Work on orders that are over is dropped."""
        waiting = []
        orders = self._services.ledger.state.orders
        for work in list(self._queue):
            record = orders.get(work.order_id)
            if record is None:
                self._queue.remove(work)
                self._sender.dropped(work)
            elif work.cancel:
                continue
            elif work.effect is Effect.ENTRY and not work.maybe_sent and record.state is not OrderState.UNKNOWN:
                waiting.append(work)
        return waiting
