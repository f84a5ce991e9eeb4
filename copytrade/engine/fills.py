"""Following accepted orders to their end. Off the hot path: a fan-out in progress goes first."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Awaitable, Callable
from datetime import datetime

from copytrade.domain.account import AccountId
from copytrade.domain.alerts import AlertKind
from copytrade.domain.copy import Deferred
from copytrade.domain.errors import LedgerError, VenueError
from copytrade.domain.events import CopiesPlanned, Event, MasterIntended, OrderExecuted, SignalEmitted
from copytrade.domain.money import NO_QUANTITY, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, OrderState, Role, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import Execution, ExecutionStatus
from copytrade.engine.about import concerning
from copytrade.engine.books import on_its_way
from copytrade.engine.brackets import rest_at_profit
from copytrade.engine.resting_again import next_leg, placed_again
from copytrade.engine.services import Services, ServiceStopping, log
from copytrade.engine.work import end_signal_of

_YIELD_S = 0.02  # how long a poll steps aside while orders are on their way out
_YIELDS_MAX = 50  # and how often: fills must be followed even under a steady stream of signals
_SEEN_WAIT_S = 3.0  # for what resting orders have filled so far, before an exit is sized by what is known

OrderEnded = Callable[[OrderRecord, Deferred | None, Signal | None], None]
"""Told of each order that is over, with the follow-up that an exit needs which was cut short, and with the signal that
the end of a master's order is."""


PlaceRest = Callable[[MasterIntended, Awaitable[None]], None]
"""Told of the order that sells the rest of a master's bracket, and when it is durable."""


class FillFollower:
    """Polls every accepted order until the venue says it is over, at growing intervals."""

    def __init__(self, services: Services, ended: OrderEnded, rest: PlaceRest) -> None:
        self._services = services
        self._rest = rest
        self._ended = ended
        self._due: list[tuple[float, int, str]] = []
        self._polls: dict[str, int] = {}
        self._polling: set[str] = set()
        self._once_more: set[str] = set()
        self._followed: dict[AccountId, set[str]] = {}
        self._asked_back: set[str] = set()
        self._sequence = 0
        self._next_look: dict[str, int] = {}  # of what is due several times the last word counts
        self._wake = asyncio.Event()
        self._changed: dict[AccountId, asyncio.Event] = {}
        self._slots = asyncio.Semaphore(services.limits.fill_concurrency)
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, order_id: str) -> None:
        """Start to follow an accepted order."""
        if order_id not in self._polls:
            self._polls[order_id] = 0
            if (record := self._services.ledger.state.orders.get(order_id)) is not None:
                self._followed.setdefault(record.account, set()).add(order_id)
            self._schedule(order_id, self._services.limits.fill_delays_s[0])

    def hurry(self, account: AccountId, symbol: str) -> None:
        """Somebody waits for the fills of this account: poll its orders in the instrument now."""
        for record in self._at_venue(account, symbol):
            self.look_at(record.order_id)

    def look_at(self, order_id: str) -> None:
        """Ask about an order now, out of its turn; once more where a look is under way, which was begun before this."""
        if order_id in self._polling:
            self._once_more.add(order_id)
        self._schedule(order_id, 0.0)

    def taken_back(self, order_id: str) -> None:
        """The venue has been asked to cancel it: look now, and soon again should it not be over. A look that is under
        way was begun before that."""
        if order_id in self._polling:
            self._once_more.add(order_id)
        if order_id in self._polls:
            self._polls[order_id] = 0
            self._schedule(order_id, 0.0)

    def all_resting(self, symbol: str) -> list[OrderRecord]:
        """Everybody's orders of the instrument that rest at a venue."""
        orders = self._services.ledger.state.orders.values()
        return [r for r in orders if r.symbol == symbol and r.state is OrderState.ACCEPTED and r.kind.rests]

    async def settled(self, account: AccountId, symbol: str, *, within_s: float = math.inf) -> bool:
        """True once no order of this account in the instrument is at the venue unfinished, other than those that may
        rest there; False when that has not come within so many seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while self._at_venue(account, symbol):
            if loop.time() >= until:
                return False
            self.hurry(account, symbol)
            changed = self._changed.setdefault(account, asyncio.Event())
            changed.clear()
            await self._services.pause_until(changed, 1.0)
        return True

    async def seen(self, account: AccountId, symbol: str, *, exits: bool = False) -> None:
        """Ask about the entries that rest for this account in the instrument, and the exits if told to: nobody looks at
        them often. A venue that does not tell within a few seconds holds nothing up."""
        resting = self.resting(account, symbol)
        asked = [record.order_id for record in resting if exits or record.effect is Effect.ENTRY]
        try:
            async with asyncio.timeout(_SEEN_WAIT_S):
                for order_id in asked:
                    await self._see(order_id)
        except (VenueError, TimeoutError) as error:
            log.info("%s: what its orders in %s have filled is not known: %s", account, symbol, error)

    async def _see(self, order_id: str) -> None:
        while order_id in self._polling:
            await self._services.pause(_YIELD_S)
        self._polling.add(order_id)
        try:
            await self._ask(order_id)
        finally:
            self._polling.discard(order_id)
            if order_id in self._polls:
                self._schedule(order_id, 0.0 if order_id in self._once_more else self._delays(order_id)[0])
            self._once_more.discard(order_id)

    def resting(self, account: AccountId, symbol: str) -> list[OrderRecord]:
        """The account's orders of the instrument that rest at its venue, as far as nobody wants them back."""
        orders = self._services.ledger.state.orders
        mine = [orders.get(order_id) for order_id in sorted(self._followed.get(account, ()))]
        return [
            r for r in mine if r and r.symbol == symbol and r.state is OrderState.ACCEPTED and not on_its_way(r)
        ]  # fmt: skip

    def at_rest(self, account: AccountId, symbol: str) -> list[OrderRecord]:
        """The same with those that are on their way back."""
        return [*self.resting(account, symbol), *(r for r in self._at_venue(account, symbol) if r.kind.rests)]

    async def run(self) -> None:
        """Poll until the service stops."""
        loop = asyncio.get_running_loop()
        try:
            while not self._services.closing.is_set():
                wait_s = self._due[0][0] - loop.time() if self._due else 5.0
                if wait_s > 0:
                    self._wake.clear()
                    await self._services.pause_until(self._wake, wait_s)
                    continue
                _, sequence, order_id = heapq.heappop(self._due)
                if self._next_look.get(order_id) != sequence:
                    continue
                del self._next_look[order_id]
                if order_id in self._polls and order_id not in self._polling:
                    await self._slots.acquire()
                    if order_id in self._polling:  # somebody has begun to ask meanwhile, and sees to the next look
                        self._slots.release()
                        continue
                    self._polling.add(order_id)
                    task = asyncio.create_task(self._poll(order_id))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        except ServiceStopping:
            pass
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _at_venue(self, account: AccountId, symbol: str) -> list[OrderRecord]:
        orders = self._services.ledger.state.orders
        mine = [orders.get(order_id) for order_id in self._followed.get(account, ())]
        return [r for r in mine if r and r.symbol == symbol and r.state is OrderState.ACCEPTED and on_its_way(r)]

    def _forget(self, record: OrderRecord) -> None:
        mine = self._followed.get(record.account, set())
        mine.discard(record.order_id)
        if not mine:
            self._followed.pop(record.account, None)

    def _schedule(self, order_id: str, delay_s: float) -> None:
        self._sequence += 1
        entry = (asyncio.get_running_loop().time() + delay_s, self._sequence, order_id)
        heapq.heappush(self._due, entry)
        self._next_look[order_id] = self._sequence
        if self._due[0] is entry:  # otherwise another one comes first, and `run` waits for that
            self._wake.set()

    async def _poll(self, order_id: str) -> None:
        services = self._services
        again, about = True, None
        if (record := services.ledger.state.orders.get(order_id)) is not None:
            about = record.account
            concerning(about, order_id, record.signal_id or "")
        try:
            for _ in range(_YIELDS_MAX if self._can_wait(order_id) else 0):
                if not services.sends_in_flight:
                    break
                await services.pause(_YIELD_S)
            again = await self._ask(order_id)
        except ServiceStopping:
            return
        except LedgerError as error:
            again = services.ledger.failed is None  # else nothing more can be entered: the next start follows it anew
            log.error("following order %s: %s", order_id, error)
        except VenueError as error:
            if self._polls.get(order_id, 0) == len(services.limits.fill_delays_s):
                services.alert(
                    AlertKind.FILLS_UNREADABLE, f"the fills of order {order_id} cannot be read: {error}", about
                )
        except Exception:
            log.exception("following order %s", order_id)
        finally:
            self._slots.release()
            self._polling.discard(order_id)
            if order_id in self._once_more:
                self._once_more.discard(order_id)
                self._schedule(order_id, 0.0)
            elif again and order_id in self._polls:
                self._polls[order_id] += 1
                delays = self._delays(order_id)
                self._schedule(order_id, delays[min(self._polls[order_id], len(delays) - 1)])

    def _delays(self, order_id: str) -> tuple[float, ...]:
        record = self._services.ledger.state.orders.get(order_id)
        limits = self._services.limits
        resting = record is not None and record.kind.rests and record.cancel is None
        return limits.resting_delays_s if resting else limits.fill_delays_s

    def _can_wait(self, order_id: str) -> bool:
        """Whether others' orders on their way out go first. Nobody waits for a copy's fill; but everybody's next step
        hangs on what became of the master's order, and an account's on one that is being taken back."""
        record = self._services.ledger.state.orders.get(order_id)
        return record is not None and record.role is Role.COPY and record.cancel is None

    async def _ask(self, order_id: str) -> bool:
        """Poll once. True when the order is to be polled again."""
        record = self._services.ledger.state.orders.get(order_id)
        if record is None or record.venue_order_id is None:
            self._polls.pop(order_id, None)
            return False
        member = self._services.roster.get(record.account)
        if member is None or member.client is None:
            return True
        execution = await member.client.execution(record.venue_order_id)
        if record.cancel is not None and execution.status is ExecutionStatus.OPEN:
            # Its lane has asked the venue to cancel it. Should that have failed, it is tried until the order is over.
            if order_id in self._asked_back:
                await member.client.cancel(record.venue_order_id)
            self._asked_back.add(order_id)
        return self.take(record, execution)

    def take(self, record: OrderRecord, execution: Execution) -> bool:
        """Enter what the venue says of an accepted order. True while it is not at its end."""
        services = self._services
        news = (
            execution.status is not ExecutionStatus.OPEN
            or execution.quantity != record.filled
            or execution.fee != record.fee
        )
        following, told, rest, durable = None, None, None, None
        if news and record.order_id in services.ledger.state.orders:
            now = services.clock()
            events: list[Event] = [
                OrderExecuted(
                    record.order_id, execution.status, execution.quantity, execution.cost, execution.fee,
                    execution.fee_base, now, execution.detail,
                )
            ]  # fmt: skip
            following = follow_up(record, execution) or placed_again(services.ledger, record, execution)
            if following is not None:
                # In the same transaction: a crash between the two would leave the follower in the position, or
                # without the order that is to take it out.
                events.append(CopiesPlanned(following.signal_id, (following,), now))
            if (rest := rest_at_profit(services, record, execution, now)) is not None:
                events.append(rest)
            told = self._told(record, execution, now)
            if told is not None:  # in the same transaction as well: this fact is told once or never
                events.append(SignalEmitted(told))
            durable = services.ledger.append(events, hurry=told is not None)
            if execution.quantity:
                services.books.price_seen(record.symbol, Price(execution.cost.value / execution.quantity.value))
        if execution.status is ExecutionStatus.OPEN:
            return True
        self._polls.pop(record.order_id, None)
        self._asked_back.discard(record.order_id)
        self._forget(record)
        services.books.ended(record, services.clock())
        if changed := self._changed.get(record.account):
            changed.set()
        self._ended(record, following, told)
        if rest is not None and durable is not None:
            self._rest(rest, durable)
        return False

    def _told(self, record: OrderRecord, execution: Execution, now: datetime) -> Signal | None:
        """What the end of a master's order tells the followers, unless its beginning has told it all."""
        over = execution.status is not ExecutionStatus.OPEN
        if record.role is not Role.MASTER or not over or record.kind is OrderKind.MARKET:
            return None
        held = self._held(record)
        if record.side is Side.BUY:
            left = held + (execution.quantity - execution.fee_base) - record.arrived
        else:
            left = held + record.arrived - execution.quantity
            left = left + left_beside(record, execution.quantity, left)
        instrument = self._services.instrument_of(record)
        out = left < max(instrument.min_quantity, Quantity(instrument.lot_step)) if instrument else not left
        return end_signal_of(record, execution, left, now, out=out)

    def _held(self, but: OrderRecord) -> Quantity:
        """What the account holds in the order's market. Others at market that the venue has taken are bound to fill and
        were told when they were taken: they count as filled, or whoever has just bought more would be held for out."""
        state = self._services.ledger.state
        held = state.position(but.account, but.symbol)
        for record in state.orders.of(but.account):
            at_market = record.kind is OrderKind.MARKET and record.state is OrderState.ACCEPTED
            if at_market and record.symbol == but.symbol and record.order_id != but.order_id:
                left = record.quantity - record.filled
                held = held + left if record.side is Side.BUY else held - left
        return held


def left_beside(record: OrderRecord, filled: Quantity, left: Quantity) -> Quantity:
    """What an order by hand leaves of that which no order here had bought, so that both together are what is left."""
    intent = record.intent
    if intent is None or not intent.beside:
        return NO_QUANTITY
    bought_here = intent.position_before - intent.beside
    taken = max(NO_QUANTITY, filled - bought_here)
    return max(NO_QUANTITY, intent.beside - taken) + max(NO_QUANTITY, NO_QUANTITY - left)


def follow_up(record: OrderRecord, execution: Execution) -> Deferred | None:
    """The next leg of a copy's exit that ended at the venue before all of it was sold; None when there is no need."""
    cut_short = execution.status is ExecutionStatus.CANCELLED and execution.quantity < record.quantity
    if record.role is not Role.COPY or record.effect is not Effect.EXIT or not cut_short:
        return None
    if record.kind is not OrderKind.MARKET and record.cancel is not Reason.PROFIT_REACHED:
        return None  # the end of the master's own order says what becomes of it
    return next_leg(record, Reason.WAITS_FOR_FILLS, f"{execution.quantity} of {record.quantity} was sold")
