"""Watching the master: its account's orders as they change, and the look-ups that close every gap of the stream.

The stream makes it quick, the look-ups make it certain. Both tell the same orders to `HandOrders`, one at a time, and
which of them comes first makes no difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from copytrade.domain.account import venue_of
from copytrade.domain.alerts import AlertKind
from copytrade.domain.errors import CredentialsRejected, LedgerError, VenueError, VenueUnavailable
from copytrade.domain.events import Event
from copytrade.domain.instrument import base_of
from copytrade.domain.venue import ExecutionStatus, VenueOrder
from copytrade.domain.watching import OrdersWatched, WatchEnded
from copytrade.engine.by_hand import Gap, HandOrders
from copytrade.engine.ports import AccountClient
from copytrade.engine.services import Services, ServiceStopping, log
from copytrade.engine.work import EmitSignal, RefreshEquity

_AGAIN_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STEADY_S = 10.0  # a stream that was up for so long is opened again at once
_REJECTED_S = 60.0  # asking with a key that may not listen helps nobody
_ALERT_AFTER_S = 60.0
_CLIENT_S = 0.5
_SOON_S = 0.25
_READ_PAUSE_MAX_S = 5.0
# A list shows an order within seconds. What is older by so much has been in one that was read whole.
_OVERLAP = timedelta(seconds=60)
_MARK_EVERY = timedelta(minutes=10)
_NAMED_MAX = 10  # orders that an alert names one by one


@dataclass(frozen=True, slots=True)
class WatchRules:
    """`poll_s` is how often the orders are looked up while there is no stream, `check_s` while there is one."""

    gap: Gap = Gap.EXITS
    poll_s: float = 2.0
    check_s: float = 30.0


class Watcher:
    """Sees the orders that are placed on the master's account by hand."""

    def __init__(self, services: Services, emit: EmitSignal, refresh: RefreshEquity, rules: WatchRules) -> None:
        self._services = services
        self._rules = rules
        self._account = services.roster.master.terms.account
        self._hand = HandOrders(services, emit, refresh, self._look_soon, rules.gap)
        self._turn = asyncio.Lock()
        self._look = asyncio.Event()
        self._marked = services.clock()
        self._reported = False
        self._odd: set[str] = set()
        self.stream_up = False
        self.looked_at: datetime | None = None  # when the last look-up that was whole began
        services.books.remember(self._account)

    def begin(self) -> None:
        """Note from when on orders are copied, where this account is watched for the first time."""
        services, now = self._services, self._services.clock()
        self._hand.since = now
        before = services.ledger.state.standing.watched.get(self._account)
        if before is None:
            services.ledger.append([OrdersWatched(self._account, now, now)], hurry=True)
        self._hand.before = before or now
        self._marked = now

    # -- the stream --------------------------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Follow the stream, and open it again whenever it breaks, until the service stops."""
        loop = asyncio.get_running_loop()
        failures, down_since, told = 0, loop.time(), False
        while True:
            client = await self._client()
            up_since = None
            try:
                changes = client.stream()
                try:
                    async for order in changes:
                        if order is None:
                            if told:
                                self._services.alert(
                                    AlertKind.STREAM_UP,
                                    f"{self._account}: the stream of its orders is up again",
                                    self._account,
                                )
                            up_since, self.stream_up, told = up_since or loop.time(), True, False
                            self._look.set()
                        else:
                            await self._take([order], listed=False)
                finally:
                    self.stream_up = False
                    if isinstance(changes, AsyncGenerator):
                        await changes.aclose()
                raise VenueUnavailable("the stream ended")
            except VenueError as error:
                if up_since is not None:
                    down_since = loop.time()
                steady = up_since is not None and loop.time() - up_since > _STEADY_S
                failures = 1 if steady else failures + 1
                log.info("%s: the stream of orders: %s", self._account, error)
                rejected = isinstance(error, CredentialsRejected)
                if not told and (rejected or loop.time() - down_since > _ALERT_AFTER_S):
                    told = True
                    self._services.alert(
                        AlertKind.STREAM_DOWN,
                        f"{self._account}: the stream of its orders is down ({error}); orders by hand are looked for "
                        f"every {self._rules.poll_s:g} s until it is up again",
                        self._account,
                    )
                wait_s = _REJECTED_S if rejected else _AGAIN_S[min(failures, len(_AGAIN_S)) - 1]
            self._look.set()
            await self._services.pause(wait_s)

    # -- the look-ups ------------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Look the orders up in turn, and whenever the stream says so, until the service stops."""
        loop = asyncio.get_running_loop()
        blind_since, told = loop.time(), False
        while True:
            client = await self._client()
            began = loop.time()
            self._look.clear()
            try:
                await self._look_up(client)
            except VenueError as error:
                log.info("%s: its orders could not be looked up: %s", self._account, error)
                if not told and not self.stream_up and loop.time() - blind_since > _ALERT_AFTER_S:
                    told = True
                    self._services.alert(
                        AlertKind.ORDERS_UNSEEN,
                        f"{self._account}: orders by hand cannot be seen ({error}); they are dealt with once they can",
                        self._account,
                    )
            else:
                if told:
                    self._services.alert(
                        AlertKind.ORDERS_SEEN, f"{self._account}: orders by hand are seen again", self._account
                    )
                blind_since, told = loop.time(), False
            # A key with few requests to spend must have some left for its orders: half of the time it is not asked.
            took_s = loop.time() - began
            await self._services.pause(min(took_s, _READ_PAUSE_MAX_S))
            wait_s = self._rules.check_s if self.stream_up else self._rules.poll_s
            await self._services.pause_until(self._look, wait_s)

    async def _look_up(self, client: AccountClient) -> None:
        asked_at = self._services.clock()
        since = min([self._seen_until(), *(each.created_at for each in self._hand.undecided.values())])
        orders = await client.orders(since, self._markets())
        await self._take(orders, listed=True)
        self._forget_gone({each.venue_order_id for each in orders}, asked_at)
        self.looked_at = asked_at
        self._report()
        self._mark(asked_at)

    def _forget_gone(self, listed: set[str], asked_at: datetime) -> None:
        """An order that no list shows any more has been cancelled before anything of it filled."""
        for venue_id, order in list(self._hand.undecided.items()):
            if venue_id not in listed and order.created_at < asked_at - _OVERLAP:
                del self._hand.undecided[venue_id]

    def _markets(self) -> set[str]:
        """Where somebody holds or waits for something: what the master sold there while nobody looked must be found,
        be it what it had held before it was watched. Followers may hold a market that stands for the master's."""
        state, currency = self._services.ledger.state, self._services.venues[venue_of(self._account)].currency
        known = {symbol for _, symbol in state.positions} | {record.symbol for record in state.orders.values()}
        return known | {f"{base_of(symbol)}/{currency}" for symbol in known if "/" in symbol}

    def _seen_until(self) -> datetime:
        return (self.looked_at or self._hand.before) - _OVERLAP

    def _mark(self, asked_at: datetime) -> None:
        """Write down every now and then how far all is dealt with, so that the next start need not read it again."""
        now = self._services.clock()
        before = min([asked_at - _OVERLAP, *(each.created_at for each in self._hand.undecided.values())])
        due = now - self._marked >= _MARK_EVERY
        if self._rules.gap is Gap.REPORT:  # what was reported is not to be copied by a later run
            before, due = max(before, self._hand.since), due or self._hand.before < self._hand.since
        if due and before > self._hand.before:
            self._services.ledger.append([OrdersWatched(self._account, before, now)])
            self._hand.before, self._marked = before, now

    def _report(self) -> None:
        """After the first look-up: say which orders nobody copies."""
        if self._reported:
            return
        self._reported = True
        rest = [each for each in self._hand.passed.history.values() if each.status is ExecutionStatus.OPEN]
        if rest:
            self._services.alert(
                AlertKind.NOT_COPIED,
                f"{self._account}: orders that rest since before it was watched are not copied: {_named(rest)}",
                self._account,
            )
        missed = list(self._hand.passed.gap.values())
        if missed:
            self._services.alert(
                AlertKind.NOT_COPIED,
                f"{self._account}: orders placed by hand while nobody watched are not copied (master.watch_gap: "
                f"report): {_named(missed)}; compare the followers' positions with the master's",
                self._account,
            )

    # -- both --------------------------------------------------------------------------------------------------------

    async def _take(self, orders: Sequence[VenueOrder], *, listed: bool) -> None:
        """Hand orders on. One that cannot be dealt with now is looked at again, and holds up none of the others."""
        async with self._turn:
            for index, order in enumerate(orders):
                if self._services.closing.is_set():
                    raise ServiceStopping
                try:
                    await self._hand.take(order, orders[index + 1 :], listed=listed)
                except VenueError as error:
                    log.warning("%s: order %s has to wait: %s", self._account, order.venue_order_id, error)
                except (LedgerError, ServiceStopping):
                    raise
                except Exception as error:
                    log.exception("order %s of %s", order.venue_order_id, self._account)
                    if order.venue_order_id not in self._odd:
                        self._odd.add(order.venue_order_id)
                        self._services.alert(
                            AlertKind.NOT_COPIED,
                            f"{self._account}: order {order.venue_order_id} in {order.symbol}, placed by hand, could "
                            f"not be taken in ({type(error).__name__}): compare the followers' positions",
                            self._account,
                        )

    def _look_soon(self) -> None:
        asyncio.get_running_loop().call_later(_SOON_S, self._look.set)

    async def _client(self) -> AccountClient:
        """The master's connection, once there is one."""
        while (client := self._services.roster.master.client) is None:
            await self._services.pause(_CLIENT_S)
        return client


def end_watch(services: Services) -> None:
    """The account is not watched by this run: should it be again, what is placed meanwhile is history."""
    account = services.roster.master.terms.account
    if account in services.ledger.state.standing.watched:
        ended: list[Event] = [WatchEnded(account, services.clock())]
        with suppress(LedgerError):
            services.ledger.append(ended)


def _named(orders: Sequence[VenueOrder]) -> str:
    words = [f"{o.side} {o.quantity} {o.symbol} ({o.venue_order_id})" for o in orders[:_NAMED_MAX]]
    return ", ".join([*words, *([f"and {len(orders) - _NAMED_MAX} more"] if len(orders) > _NAMED_MAX else [])])
