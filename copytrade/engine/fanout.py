"""The fan-out: one signal becomes every follower's copy. Signals are answered one after the other, in their order."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from copytrade.copying.limits import TRIPPED
from copytrade.copying.routing import UNREACHABLE, answer_user, first_that_can, in_order
from copytrade.copying.rules import FollowerBook
from copytrade.domain.account import AccountId, user_of, venue_of
from copytrade.domain.alerts import AlertKind
from copytrade.domain.copy import Approved, Decision, Deferred, Skipped
from copytrade.domain.errors import LedgerError
from copytrade.domain.events import CancelAsked, CopiesPlanned
from copytrade.domain.ids import copy_id
from copytrade.domain.instrument import Instrument, base_of
from copytrade.domain.money import Price
from copytrade.domain.order import Effect, OrderKind, OrderState, Role
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.chains import Chain, Key
from copytrade.engine.clearing import in_the_way, left_behind
from copytrade.engine.followups import follow_up
from copytrade.engine.lanes import Lanes
from copytrade.engine.services import Services, log
from copytrade.engine.tracker import Tracker
from copytrade.engine.work import Work, cancel_work, leaving

# Python looks for cycles among new objects whenever there are 700 more of them. A copy on its way is some dozens, all
# in use, so a fan-out to 1,000 would be searched a hundred times for nothing: a tenth of its CPU time.
_COLLECT_EVERY = 20_000

# Without a price nothing is sent; a venue that cannot be reached fails at that first.
_HANDED_OVER = UNREACHABLE | {Reason.PRICE_UNKNOWN, Reason.EQUITY_UNKNOWN}
_NOT_ELSEWHERE = TRIPPED | {Reason.CARRIED}

Planned = Callable[[Signal, tuple[Decision, ...]], None]


class FanOut:
    """Plans each signal, makes the plans durable in one transaction, and hands the copies to their lanes."""

    def __init__(self, services: Services, lanes: Lanes, tracker: Tracker, planned: Planned) -> None:
        self._services = services
        self._lanes = lanes
        self._tracker = tracker
        self._planned = planned
        self._signals: asyncio.PriorityQueue[tuple[bool, int, Signal]] = asyncio.PriorityQueue()
        self._emitted = itertools.count()
        self._in_grace: dict[str, tuple[Signal, asyncio.TimerHandle]] = {}

    def emit(self, signal: Signal) -> None:
        """A signal that has been appended to the ledger; it is answered as soon as those before it are.

        One that says that the master's resting order has filled waits a little: the followers' may be filling too. An
        exit does not overtake it: whoever catches up after that would be left in what the master has sold.
        """
        self._tracker.expect(signal.signal_id, ["the plan"])
        if signal.effect is Effect.EXIT:
            for waiting, timer in list(self._in_grace.values()):
                if base_of(waiting.symbol) == base_of(signal.symbol):
                    timer.cancel()
                    self._grace_over(waiting)
        if signal.kind is SignalKind.FILLED:
            grace_s = self._services.rules.master_fill_grace_s
            left_s = grace_s - (self._services.clock() - signal.at).total_seconds()
            if left_s > 0:
                timer = asyncio.get_running_loop().call_later(left_s, self._grace_over, signal)
                self._in_grace[signal.signal_id] = (signal, timer)
                return
        self._answer_soon(signal)

    def _grace_over(self, signal: Signal) -> None:
        self._in_grace.pop(signal.signal_id, None)
        self._answer_soon(signal)

    def _answer_soon(self, signal: Signal) -> None:
        # When a falling market trips the limits of thousands, each is closed by a signal of its own. What the master
        # does next is not kept waiting for them: the whole position goes either way.
        last = bool(signal.target) and signal.kind is SignalKind.FLATTEN
        self._signals.put_nowait((last, next(self._emitted), signal))

    async def run(self) -> None:
        """Answer signals until cancelled, or until the ledger fails.

        A signal that cannot be planned for a fault of ours stays in the ledger as it is, is told of, and does not keep
        the next ones waiting; the next start tries it again.
        """
        usual = gc.get_threshold()
        gc.set_threshold(_COLLECT_EVERY, *usual[1:])
        try:
            while True:
                _, _, signal = await self._signals.get()
                try:
                    await self.answer(signal)
                except LedgerError:
                    raise
                except Exception as error:
                    log.exception("planning signal %s", signal.signal_id)
                    self._services.alert(
                        AlertKind.NOT_PLANNED,
                        f"signal {signal.signal_id} ({signal.kind} {signal.side} {signal.symbol}) could not be planned "
                        f"({type(error).__name__}, see the log): no follower has answered it; restart to try again",
                    )
        finally:
            gc.set_threshold(*usual)

    async def answer(self, signal: Signal) -> tuple[Decision, ...]:
        """Answer one signal for every follower. Raises `LedgerError`, in which case nothing was sent."""
        services = self._services
        if signal.order_kind is OrderKind.MARKET:
            services.books.price_seen(signal.symbol, signal.price)
        if signal.kind is SignalKind.AMENDED or signal.kind.follows_up:
            await services.chains.load(signal)
        now = services.clock()
        asked, back, copies = self._decided(signal, now)
        # The ledger commits in order, so this commit carries the signal with it if that is still on its way.
        durable = services.ledger.append([*asked, CopiesPlanned(signal.signal_id, copies, now)], hurry=True)
        to_send = [copy for copy in copies if not isinstance(copy, Skipped)]
        self._tracker.expect(signal.signal_id, [order.order_id for order in (*back, *to_send)])
        for copy in to_send:
            if isinstance(copy, Approved) and copy.effect is Effect.ENTRY:
                services.books.reserve(copy.account, copy.order_id, copy.quantity * copy.price)
        await durable
        for record in back:
            self._lanes.submit(cancel_work(record, signal))
        for copy in to_send:
            approved = copy if isinstance(copy, Approved) else None
            self._lanes.submit(Work(copy.order_id, copy.account, copy.symbol, copy.effect, Role.COPY, signal, approved))
        self._planned(signal, copies)
        return copies

    def _decided(
        self, signal: Signal, now: datetime
    ) -> tuple[list[CancelAsked], list[OrderRecord], tuple[Decision, ...]]:
        """What is asked back, of which orders, and everybody's copies."""
        services, rules = self._services, self._services.rules
        copies: list[Decision] = []
        if signal.kind is not SignalKind.AMENDED and not signal.kind.follows_up:
            copies += [copy for books in self._users(signal) for copy in answer_user(signal, books, rules, now)]
            if signal.effect is Effect.ENTRY:
                return [], [], tuple(copies)
            left = () if signal.order_kind.rests or signal.target else self._left_behind(signal)
            return self._exits_first(signal, copies, now, left)
        known = services.chains.all(signal)
        found = follow_up(signal, known, services.roster.followers.keys(), rules)
        anew: list[Decision] = []
        if signal.kind is SignalKind.AMENDED or signal.exit_fraction:
            # Followers without a copy of the order are asked anew: they take the changed order as a new one, and
            # whoever holds what the master has sold sells it too.
            served = _Served(signal, known)
            answered = {copy.account for copy in found.copies}
            for books in self._users(signal, served=served):
                answers = answer_user(signal, books, rules, now, answered)
                anew += [a for a in answers if a.reason is not Reason.NOTHING_TO_CLOSE or not signal.kind.follows_up]
        left = self._left_behind(signal) if signal.kind.follows_up and signal.exit_fraction else []
        asked = found.asked(signal, now, services.ledger.find(signal.master_order_id))
        if signal.effect is Effect.ENTRY:
            return asked, found.back, (*found.copies, *anew)
        known_back = {record.order_id for record in (*found.back, *found.told)}
        more, back, decided = self._exits_first(signal, anew, now, left)
        asked += [each for each in more if each.order_id not in known_back]
        back = [record for record in back if record.order_id not in known_back]
        return asked, [*found.back, *back], (*found.copies, *decided)

    def _left_behind(self, signal: Signal) -> list[OrderRecord]:
        return left_behind(self._services, signal, self._resting())

    def _resting(self, only: str = "") -> list[OrderRecord]:
        """Everybody's copies that may rest at a venue, or one account's."""
        state = self._services.ledger.state
        orders = state.orders.of(AccountId(only)) if only else state.orders.values()
        return [r for r in orders if r.kind.rests and r.role is Role.COPY]

    def _exits_first(
        self, signal: Signal, copies: Sequence[Decision], now: datetime, left: Sequence[OrderRecord]
    ) -> tuple[list[CancelAsked], list[OrderRecord], tuple[Decision, ...]]:
        """An exit that leaves at once must not find its base held by an exit that rests, nor be refused for an entry
        that rests: those are taken back first, and the exit is sized when they are over. So is what is `left` of
        entries. An exit that is deferred anyway sees to that itself, in its lane."""
        resting: dict[tuple[AccountId, str], list[OrderRecord]] = {}
        for record in self._resting(signal.target):
            resting.setdefault((record.account, record.symbol), []).append(record)
        asked = [CancelAsked(record.order_id, Reason.MASTER_FILLED, now) for record in left]
        back: list[OrderRecord] = list(left)
        decided: list[Decision] = []
        for copy in copies:
            mine = resting.get((copy.account, copy.symbol), [])
            if isinstance(copy, Approved) and (blocking := in_the_way(self._services, copy, mine)):
                again = (None, Reason.MAKES_WAY)  # the latter would be placed again
                asked += [CancelAsked(r.order_id, Reason.EXIT_FIRST, now) for r in blocking if r.cancel in again]
                back += blocking
                copy = Deferred(
                    copy.order_id, copy.signal_id, copy.account, copy.symbol, copy.side, copy.effect,
                    Reason.WAITS_FOR_FILLS, Reason.EXIT_FIRST.text, copy.leg,
                )  # fmt: skip
            decided.append(copy)
        return asked, back, tuple(decided)

    def elsewhere(self, work: Work, reason: Reason) -> Deferred | None:
        """The copy at the user's next account, for an entry that provably cannot be placed at this one; None when
        the user has no other account that can take it.

        As in the plan, `failover` says whether it may go on from an account that cannot be reached. From one that
        turns out, when a deferred entry is sized, not to be able to take it (it cannot pay, does not list it), it goes
        on in any case; what a venue refuses is not tried at another.
        """
        services, signal = self._services, work.signal
        member = services.roster.get(work.account)
        if signal is None or work.effect is Effect.EXIT or member is None or signal.kind.follows_up:
            return None
        # What the master has taken back is not placed at all, and what took the place of an order that this account
        # had a copy of is its alone.
        record = services.ledger.state.orders.get(work.order_id)
        if record is None or record.cancel is not None:
            return None
        if signal.kind is SignalKind.AMENDED and services.chains.of(signal, work.account, work.symbol).symbol:
            return None
        # What a limit stops, or keeps for later, is not done elsewhere instead.
        if reason in _NOT_ELSEWHERE or services.ledger.state.standing.trip(work.account) is not None:
            return None
        goes_on = member.terms.failover if reason in _HANDED_OVER else work.approved is None
        if not goes_on or leaving(services.ledger.state, work):
            return None
        user = user_of(work.account)
        mine = services.roster.of_user(user)
        if len(mine) < 2:
            return None
        known = services.ledger.copies_of(signal.signal_id, *mine)
        if any(copy.filled for copy in known):  # the next account would buy all of it; this is the rest of an order
            return None  # that the venue ended
        tried = {copy.account for copy in known}
        books = [book for books in self._users(signal, user) for book in books]
        left = [book for book in in_order(signal, books) if book.terms.account not in tried]
        if not left:
            return None
        found = first_that_can(signal, left, services.rules, services.clock())
        if isinstance(found, Skipped):
            return None
        # Deferred: its lane sizes it, and makes that durable before it can leave.
        why = Reason.WAITS_FOR_MARKETS if found.reason is Reason.WAITS_FOR_MARKETS else Reason.FAILOVER
        return Deferred(
            copy_id(signal.signal_id, found.account), signal.signal_id, found.account, found.symbol, found.side,
            found.effect, why, f"{work.account}: {reason.text}",
        )  # fmt: skip

    def _users(
        self, signal: Signal, only: str | None = None, served: _Served | None = None
    ) -> Iterable[list[FollowerBook]]:
        """Each user's accounts as they stand, in the order of the user files; or those of one user. Without those that
        are `served`.

        For an exit an account comes once for each market that it holds in the signal's stead.
        """
        services, exits = self._services, signal.effect is Effect.EXIT
        followers = services.roster.followers
        accounts: Iterable[AccountId] = followers if only is None else services.roster.of_user(only)
        if target := AccountId(signal.target):
            accounts = [target] if target in followers and only in (None, user_of(target)) else []
        if served is not None:
            accounts = [account for account in accounts if not served.whole(account)]
        markets = _Listings(services, signal)
        users: dict[str, list[FollowerBook]] = {}
        for account in accounts:
            member = followers[account]
            unsettled = services.books.unsettled(account)
            entering = services.books.entering(account) if exits else set()
            to_be_found = markets.to_be_found(account)
            for symbol, instrument, price in markets.at(account):
                held_here = services.ledger.state.position(account, symbol)
                if member.left and not held_here and symbol not in entering:
                    continue
                kinds = services.kinds(instrument)
                moving = symbol in unsettled or bool(to_be_found)
                if symbol in entering:  # asked first, where it may be all that there is to sell
                    moving = moving or signal.exit_fraction >= 1 or not held_here
                if served is not None and served.here(account, symbol, holds=bool(held_here) or moving):
                    continue
                book = services.books.book(member, symbol, instrument, moving, price, kinds, carried_of=signal.symbol)
                if symbol in to_be_found or (member.connecting and instrument is None):
                    book = replace(book, market_known=False)
                users.setdefault(user_of(account), []).append(book)
        return users.values()


class _Served:
    """Who has a copy already of the order that a signal tells the change or the end of, and needs no other."""

    def __init__(self, signal: Signal, known: Mapping[Key, Chain]) -> None:
        self._entry = signal.effect is Effect.ENTRY
        self._in_it = {key for key, chain in known.items() if chain.wanted or chain.open}
        # An entry is one account's of a user. An exit is every account's that holds something, market by market where
        # the signal says what share of each goes. Where it tells how much of an earlier order was sold, that goes by
        # what was held then: what was bought since has no part in it, unless all goes.
        by_market = signal.kind is SignalKind.AMENDED or signal.exit_fraction >= 1
        looking = {account for (account, _), chain in known.items() if any(map(_finds_its_market, chain.open))}
        self._users = {user_of(account) for account, _ in self._in_it} if self._entry else set()
        self._partly = {account for account, _ in self._in_it} - looking if by_market else set()
        self._accounts = {account for account, _ in self._in_it} - self._partly

    def whole(self, account: AccountId) -> bool:
        """Whether nothing more is asked for the account."""
        return user_of(account) in self._users if self._entry else account in self._accounts

    def here(self, account: AccountId, symbol: str, *, holds: bool) -> bool:
        """Whether nothing is in this market, of an account that something is asked for elsewhere."""
        return account in self._partly and ((account, symbol) in self._in_it or not holds)


def _finds_its_market(record: OrderRecord) -> bool:
    return record.state is OrderState.DEFERRED and record.reason is Reason.WAITS_FOR_MARKETS


_Listing = tuple[str, Instrument | None, Price | None]


class _Listings:
    """What stands for a signal's market at each venue, found once a signal."""

    def __init__(self, services: Services, signal: Signal) -> None:
        self._services = services
        self._signal = signal
        self._by_venue: dict[str, _Listing] = {}
        self._base = base_of(signal.symbol)
        self._others = set(services.ledger.state.positions.of(signal.account)) - {signal.symbol}

    def at(self, account: AccountId) -> Sequence[_Listing]:
        """Our spelling of each market, the market, and its price as far as it is known.

        One for an entry. An exit goes where the positions are, whatever stands for the market by now: what stood for
        it when they were bought may have been another.
        """
        venue = venue_of(account)
        found = self._by_venue.get(venue)
        if found is None:
            found = self._by_venue[venue] = self._find(venue)
        held = self._markets_held(account) if self._signal.effect is Effect.EXIT else None
        if not held:
            return (found,)
        return [
            found if symbol == found[0] else (symbol, self._services.instrument(venue, symbol), None)
            for symbol in sorted(held, key=lambda symbol: symbol != found[0])
        ]

    def _markets_held(self, account: AccountId) -> dict[str, None]:
        """For an exit, the markets of the same base that the account has a position or an order in.

        A stand-in may have been taken out of the settings since the entry. What the master holds itself is left out:
        that is not a stand-in for the signal's market but a copy of the other one.
        """
        state = self._services.ledger.state
        may_hold = [*state.positions.of(account), *(r.symbol for r in state.orders.of(account))]
        return {s: None for s in may_hold if base_of(s) == self._base and s not in self._others}

    def to_be_found(self, account: AccountId) -> set[str]:
        """Where an entry of the account in the signal's base will know its market only when its lane sizes it. What it
        buys may come to any of the account's markets that stand for the signal's."""
        if self._signal.effect is Effect.ENTRY:
            return set()
        mine = self._services.ledger.state.orders.of(account)
        return {
            r.symbol for r in mine
            if r.effect is Effect.ENTRY and _finds_its_market(r) and base_of(r.symbol) == self._base
        }  # fmt: skip

    def _find(self, venue: str) -> _Listing:
        services, signal = self._services, self._signal
        instrument = services.markets.answering(venue, signal)
        if instrument is None:
            return signal.symbol, None, None
        quote = services.prices.fresh(instrument, services.limits.price_max_age_s)
        return instrument.symbol, instrument, quote.side_price(signal.side) if quote else None
