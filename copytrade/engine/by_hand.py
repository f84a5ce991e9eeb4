"""Orders that somebody placed on the master's account by hand: told apart from ours, and told to the followers.

What is seen may be seen again, late, out of order, or for the first time when it is over. So every order has an id that
is a hash of the venue's own id for it, and is entered whole, in one transaction, or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from copytrade.copying.sizing import exit_fraction
from copytrade.domain.account import venue_of
from copytrade.domain.alerts import AlertKind
from copytrade.domain.events import Event, MasterIntended, OrderAccepted, OrderExecuted, SignalEmitted
from copytrade.domain.ids import fact_id, signal_id
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import NO_QUANTITY, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, OrderState, Role, Side
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import ExecutionStatus, VenueOrder
from copytrade.domain.watching import OrderAmended
from copytrade.engine.before import Before, MasterBefore
from copytrade.engine.fills import left_beside
from copytrade.engine.replaced import Replaced
from copytrade.engine.services import Services, log
from copytrade.engine.work import EmitSignal, RefreshEquity, signal_of

BY_HAND = "by hand"
_KNOWN_BEFORE = timedelta(minutes=10)  # an order of ours is planned at most so long before the venue has it
_SETTLE_WAIT_S = 2.0  # for the fills of the order before, so that a fraction is exact
_CATCH_UP_S = 2.0
_LOOK_S = 0.02
# How long an order that fills at once is given to do so: what it fills is told, and at what price.
_FILLING = timedelta(seconds=0.5)
_SOON = timedelta(seconds=10)  # one that waits for longer is looked at in turn


class Gap(StrEnum):
    """What becomes of orders that were placed by hand while nobody watched."""

    EXITS = "exits"  # told as they are: exits are copied, entries as long as they are not too old
    REPORT = "report"  # the operator is told, and nobody else
    COPY = "copy"  # copied as if they had just been placed


def hand_order_id(account: str, venue_order_id: str) -> str:
    """Of an order that was not placed here."""
    return fact_id("by hand", account, venue_order_id)


@dataclass(slots=True)
class Passed:
    """Orders of the past that are told to nobody: by venue id, those of before the watch and those of the gap."""

    history: dict[str, VenueOrder] = field(default_factory=dict)
    gap: dict[str, VenueOrder] = field(default_factory=dict)


class HandOrders:
    """Takes what a venue says of the master's orders.

    `since` is when this run began to watch, `before` the moment up to which the ledger says that all is dealt with.
    """

    def __init__(
        self, services: Services, emit: EmitSignal, refresh: RefreshEquity, soon: Callable[[], None], gap: Gap
    ) -> None:
        self._services = services
        self._emit = emit
        self._soon = soon
        self._gap = gap
        self._before = MasterBefore(services, refresh)
        self._account = services.roster.master.terms.account
        self.since = self.before = services.clock()
        self.passed = Passed()
        self._replaced = Replaced(services.ledger, self._account)
        self.undecided: dict[str, VenueOrder] = {}  # seen, and told once more is known of them

    async def take(self, order: VenueOrder, later: Sequence[VenueOrder] = (), *, listed: bool = False) -> None:
        """Take in one order as the venue has it now; `later` are those of the same list that came after it.

        `listed` says that it was read from the venue's lists, which are never older than what they said before.
        Raises `VenueError` when something that must be known cannot be read: then the order is undecided.
        """
        venue_id = order.venue_order_id
        known, record = self._known(order)
        if known:
            if record is not None:
                self._replaced.saw(record.order_id, order)
            if record is not None and record.state is OrderState.ACCEPTED:
                if record.venue_order_id != venue_id:  # another took its place under our id: first the end of this one
                    self._services.fills.look_at(record.order_id)
                    return self._wait(order)
                await self._news(record, order, listed)
        elif venue_id in self.passed.history or order.created_at < self.before:
            self.passed.history[venue_id] = order
        elif self._gap is Gap.REPORT and order.created_at < self.since:
            self.passed.gap[venue_id] = order
        elif order.status is not ExecutionStatus.OPEN and not order.filled:
            log.info("%s: order %s was over before it was seen, nothing filled", self._account, venue_id)
        elif not self._can_be_told(order):
            return self._wait(order)
        else:
            self.undecided[venue_id] = order
            await self._tell(order, [each for each in later if not self._known(each)[0]])
        self.undecided.pop(venue_id, None)

    def _wait(self, order: VenueOrder) -> None:
        self.undecided[order.venue_order_id] = order
        if self._services.clock() - order.created_at < _SOON:
            self._soon()

    # -- whose it is -----------------------------------------------------------------------------------------------

    def _known(self, order: VenueOrder) -> tuple[bool, OrderRecord | None]:
        """Whether the ledger has the order, ours or one by hand, and its record as far as that matters still."""
        ledger = self._services.ledger
        for identity in (hand_order_id(self._account, order.venue_order_id), order.client_order_id):
            record = ledger.find(identity) if identity else None
            if record is not None and record.account == self._account and not _another(record, order):
                return True, record
        if order.venue_order_id in ledger.venue_order_ids(self._account, order.created_at - _KNOWN_BEFORE):
            return True, self._open(lambda r: r.venue_order_id == order.venue_order_id)
        return False, None

    def _open(self, matches: Callable[[OrderRecord], bool]) -> OrderRecord | None:
        return next(filter(matches, self._services.ledger.state.orders.of(self._account)), None)

    def _can_be_told(self, order: VenueOrder) -> bool:
        if not order.client_order_id and self._open(lambda r: r.venue_order_id is None and _alike(r, order)):
            return False  # perhaps ours: its answer is on its way, and has the venue's id
        if order.status is not ExecutionStatus.OPEN:
            return True
        if order.kind.rests:  # if nobody can place the same, its end tells what it came to
            return _whole(order)
        # An order by value tells how much it is once it has filled.
        by_value = order.quantity <= order.filled
        return not by_value and self._services.clock() - order.created_at >= _FILLING

    # -- what is new of an order that is known ---------------------------------------------------------------------

    async def _news(self, record: OrderRecord, order: VenueOrder, listed: bool) -> None:
        if order.status is not ExecutionStatus.OPEN or order.filled > record.filled:
            await self._catch_up(record, order)
        if order.status is ExecutionStatus.OPEN and record.state is OrderState.ACCEPTED and _amended(record, order):
            if listed:
                self._amend(record, order)
            else:
                self._soon()  # what is told twice, or late, is no amendment back: the lists decide

    async def _catch_up(self, record: OrderRecord, order: VenueOrder) -> None:
        """Have the order followed now. What is told next may depend on it, so it is waited for, within bounds."""
        services, loop = self._services, asyncio.get_running_loop()
        services.fills.look_at(record.order_id)
        until = loop.time() + _CATCH_UP_S
        while record.order_id in services.ledger.state.orders and loop.time() < until:
            if order.status is ExecutionStatus.OPEN and record.filled >= order.filled:
                return
            await services.pause(_LOOK_S)

    def _amend(self, record: OrderRecord, order: VenueOrder) -> None:
        """The order has other terms. It stays the order that it was: only the followers' copies are replaced."""
        services = self._services
        intent, now = record.intent, services.clock()
        instrument = services.instrument_of(record)
        if intent is None or instrument is None:
            return
        event = OrderAmended(record.order_id, order.quantity, now, order.limit_price, order.stop_price)
        left = order.quantity - record.filled
        fraction = Decimal(0)
        if record.effect is Effect.EXIT:
            position = services.ledger.state.position(record.account, record.symbol)
            position = position + left_beside(record, record.filled, position)
            fraction = exit_fraction(position, left, instrument)
        family = intent.replaces or record.order_id
        number = len(services.ledger.signals_of(family))
        changed = replace(record, quantity=order.quantity, limit_price=order.limit_price, stop_price=order.stop_price)
        price = order.limit_price or order.stop_price or intent.price
        signal = replace(
            signal_of(changed, now), signal_id=signal_id(record.order_id, f"{SignalKind.AMENDED} {number}"),
            kind=SignalKind.AMENDED, price=price, exit_fraction=fraction, replaces=family,
            filled=intent.replaced_filled + record.filled,
        )  # fmt: skip
        services.ledger.append([event, SignalEmitted(signal)], hurry=True)
        self._emit(signal)

    # -- what is new altogether ------------------------------------------------------------------------------------

    async def _tell(self, order: VenueOrder, later: Sequence[VenueOrder]) -> None:
        services = self._services
        instrument = services.instrument(venue_of(self._account), order.symbol)
        if instrument is None:
            self.passed.history[order.venue_order_id] = order
            services.alert(
                AlertKind.NOT_COPIED,
                f"an order in {order.symbol} by hand is not copied: {self._account} is not offered that market",
                self._account,
            )
            return
        if order.side is Side.SELL:
            try:
                await asyncio.wait_for(services.fills.settled(self._account, order.symbol), _SETTLE_WAIT_S)
            except TimeoutError:
                log.warning("%s: the order before in %s is still open", self._account, order.symbol)
        price = await self._price(order, instrument)
        before = await self._before.of(order, later, instrument)
        if self._known(order)[0]:
            return  # while we looked, an answer came that says it is ours
        self._enter(order, instrument, price, before)

    async def _price(self, order: VenueOrder, instrument: Instrument) -> Price:
        if order.status is ExecutionStatus.OPEN and order.kind.rests:
            named = order.limit_price or order.stop_price
            if named is not None:
                return named
        if order.filled and order.cost:
            return Price(order.cost.value / order.filled.value)
        return (await self._services.prices.quote(instrument, self._services.limits.price_max_age_s)).side_price(
            order.side
        )

    def _enter(self, order: VenueOrder, instrument: Instrument, price: Price, before: Before) -> None:
        """The order, the venue's word on it and the signal: one transaction.

        One that is over is told as what it came to, a market order of so much at that price. One that rests is
        followed, and its end is told when it comes.
        """
        services, now = self._services, self._services.clock()
        over = order.status is not ExecutionStatus.OPEN
        rests = order.kind.rests and not over
        kind = order.kind if rests else OrderKind.MARKET
        quantity = order.filled if over else order.quantity
        effect = Effect.ENTRY if order.side is Side.BUY else Effect.EXIT
        exits = effect is Effect.EXIT
        order_id = hand_order_id(self._account, order.venue_order_id)
        created_at = min(order.created_at, now)
        old = self._replaced.by(order)
        first = old.intent if old is not None else None
        # Of an order that was changed followers are owed a share of the whole, as the master stood before the first.
        equity, cash = (first.equity_before, first.cash_before) if first else (before.equity, before.cash)
        intent = MasterIntended(
            order_id, f"{BY_HAND} {order.venue_order_id}", BY_HAND, self._account, order.symbol, order.side, effect,
            kind, quantity, price, order.limit_price if rests else None, equity, cash, before.position,
            exit_fraction(before.position, quantity, instrument) if exits else Decimal(0), now,
            order.stop_price if rests else None, beside=before.beside if exits else NO_QUANTITY,
            replaces=(first.replaces or first.order_id) if first else "",
            replaced_filled=first.replaced_filled + old.filled if first and old else NO_QUANTITY,
        )  # fmt: skip
        signal = self._signal(intent, self._told_at(created_at, now))
        events: list[Event] = [
            intent,
            OrderAccepted(order_id, order.venue_order_id, created_at, now, found=True),
            SignalEmitted(signal),
        ]
        if over:
            events.append(
                OrderExecuted(
                    order_id, ExecutionStatus.FILLED, order.filled, order.cost, order.fee, order.fee_base, now,
                    f"{BY_HAND}: a {order.kind.replace('_', '-')} order, over when it was seen",
                )
            )  # fmt: skip
        services.ledger.append(events, hurry=True)
        if order.filled:
            services.books.price_seen(order.symbol, price)
        if not over:
            services.fills.follow(order_id)
        log.info("%s: %s of %s %s by hand, order %s", self._account, order.side, quantity, order.symbol, order_id)
        self._emit(signal)

    def _signal(self, intent: MasterIntended, at: datetime) -> Signal:
        kind = SignalKind.AMENDED if intent.replaces else SignalKind.PLACED
        return Signal(
            signal_id(intent.order_id, kind), kind, intent.order_id, intent.account, intent.symbol, intent.side,
            intent.effect, intent.kind, intent.quantity + intent.replaced_filled, intent.price, intent.equity_before,
            intent.cash_before, intent.position_before, intent.exit_fraction, at, intent.limit_price,
            intent.stop_price, intent.replaces, intent.replaced_filled,
        )  # fmt: skip

    def _told_at(self, created_at: datetime, now: datetime) -> datetime:
        """From when an entry's age counts."""
        return now if self._gap is Gap.COPY and created_at < self.since else created_at


def _alike(record: OrderRecord, order: VenueOrder) -> bool:
    on_its_way = record.state in (OrderState.APPROVED, OrderState.UNKNOWN)
    return on_its_way and record.role is Role.MASTER and (record.symbol, record.side) == (order.symbol, order.side)


def _another(record: OrderRecord, order: VenueOrder) -> bool:
    """Whether the order is none of ours though it has our id for one: whoever changes an order where that makes a new
    one may hand its client id on (Kraken does not say whether EditOrder does). The old one is over by then."""
    changed = record.state is OrderState.CANCELLED and record.venue_order_id not in (None, order.venue_order_id)
    return changed and record.ended_at is not None and record.cancel is None


def _whole(order: VenueOrder) -> bool:
    """Whether the order has a size, and the prices of its kind."""
    limit, stop = order.limit_price is not None, order.stop_price is not None
    return bool(order.quantity) and (limit or not order.kind.has_limit) and (stop or not order.kind.has_stop)


def _amended(record: OrderRecord, order: VenueOrder) -> bool:
    """Whether the terms at the venue are not those that we know. What stands in for an order has its own, and is ours
    to change."""
    ours_to_change = record.profit is not None or record.cancel is not None
    plain = (OrderKind.LIMIT, OrderKind.POST_ONLY)  # whether it may take is no term that a copy has to follow
    same = record.kind is order.kind or (record.kind in plain and order.kind in plain)
    if ours_to_change or not same or not record.kind.rests or not _whole(order):
        return False
    terms: list[tuple[Price | Quantity | None, Price | Quantity | None]] = [(record.quantity, order.quantity)]
    if record.kind.has_limit:
        terms.append((record.limit_price, order.limit_price))
    if record.kind.has_stop:
        terms.append((record.stop_price, order.stop_price))
    return any(ours != theirs for ours, theirs in terms)
