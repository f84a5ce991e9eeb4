"""Limits that trip: every look at an account's money is judged, and what a limit asks for is done.

A limit trips on what the venue says of the equity, never on an estimate; between two looks the positions are valued at
current prices, and an account that seems to have passed a limit is looked at once more at once. What stops entries is
the trip in the ledger: the plan looks there, and the last look again (`engine/last_look.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from copytrade.copying.flows import Flow, flow_of, price_known, unexplained
from copytrade.copying.limits import REASONS, Breach, Usage, acting_limits, breaches, day_of, next_mark, usage
from copytrade.domain.account import AccountId, FollowerTerms, user_of, venue_of
from copytrade.domain.alerts import AlertKind
from copytrade.domain.errors import BadRequest, LedgerError, VenueError
from copytrade.domain.events import CancelAsked, Event, SignalEmitted
from copytrade.domain.ids import signal_id
from copytrade.domain.instrument import Instrument
from copytrade.domain.limits import EquityMarked, LimitAction, LimitName, LimitRearmed, LimitTripped, Rearm, Trip
from copytrade.domain.money import NO_AMOUNT, NO_QUANTITY, Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, OrderState, Role, Side
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import Balances
from copytrade.engine.services import Services, ServiceStopping, log
from copytrade.engine.work import EmitSignal, RefreshEquity, Work, cancel_work

_PRICE_MAX_AGE_S = 30.0  # for the value of a payment; the threshold for one is wider than what prices do meanwhile
_UNCLEAR_MAX = timedelta(seconds=20)  # orders on their way blur the balances; somebody who always trades is judged too
_READ_WAIT_S = 10.0
_READS_AT_ONCE = 8
_WITHOUT_A_BREAK = 100  # accounts judged, about a millisecond: orders on their way out go first
_CLOSING_TRIES = 3  # an entry that was on its way may fill after the first; what is left after three needs a person


class LimitKeeper:
    """Marks every account's equity, trips its limits, and arms them again."""

    def __init__(
        self, services: Services, emit: EmitSignal, submit: Callable[[Work], None], read: RefreshEquity
    ) -> None:
        self._services = services
        self._emit = emit
        self._submit = submit
        self._read = read
        self._unclear: dict[AccountId, datetime] = {}
        self._prices_then: dict[AccountId, dict[str, Price]] = {}
        services.books.is_dust = self._dust

    # -- what the outside asks for ------------------------------------------------------------------------------------

    def usage(self, account: AccountId) -> tuple[Usage, ...]:
        """Each limit of a follower and how much of it is used; nothing for an account that nobody knows."""
        services = self._services
        member = services.roster.followers.get(account)
        if member is None:
            return ()
        standing, balances = services.ledger.state.standing, services.books.balances(account)
        return usage(
            member.terms, standing.marks.get(account), balances.equity if balances else None,
            standing.trips.get(account, {}), services.books.exposure(account),
            len(services.books.instruments(account)),
        )  # fmt: skip

    def rearm(self, account: AccountId, limit: LimitName | None = None) -> list[LimitName]:
        """Let entries through again that a limit stops, or all of them; returns which. Losses count anew from now on.

        Raises `BadRequest` when the account has no such limit that has tripped, `LedgerError` when it cannot be noted.
        """
        trips = self._services.ledger.state.standing.trips.get(account, {})
        names = [name for name in trips if limit in (None, name)]
        if not names:
            raise BadRequest(f"{limit or 'no limit'} of {account} has {'not ' if limit else ''}tripped: see limits")
        for name in names:
            self._rearm(account, name, "by hand")
        return names

    async def take(self, account: AccountId, balances: Balances) -> None:
        """Judge what the venue has just said of an account. Never raises for what a venue or the disk can do."""
        member = self._services.roster.followers.get(account)
        if member is None or not acting_limits(member.terms):
            return
        try:
            if await self._mark(account, balances):
                await self._judge(account, member.terms, balances.equity)
        except LedgerError as error:
            log.error("%s: limits cannot be kept: %s", account, error)  # nothing is sent any more either

    async def run(self) -> None:
        """Watch the limits between two looks at the balances, until the service stops."""
        try:
            while True:
                await self._services.pause(self._services.limits.limits_watch_every_s)
                await self.look()
        except ServiceStopping:
            return

    async def look(self) -> None:
        """One round over all followers."""
        services = self._services
        trips = services.ledger.state.standing.trips
        followers = [
            (account, member.terms)
            for account, member in services.roster.followers.items()
            if _watched(member.terms) or account in trips
        ]
        await self._refresh_prices({account for account, _ in followers})
        positions, passed = services.ledger.state.positions, []
        for number, (account, terms) in enumerate(followers):
            if number % _WITHOUT_A_BREAK == 0:
                await asyncio.sleep(0)
            if tripped := trips.get(account):
                self._rearm_due(account, terms, dict(tripped))
                if positions.of(account):
                    await self._close_again(account)
            balances = services.books.balances(account)
            if balances is not None and acting_limits(terms):
                mark = services.ledger.state.standing.marks.get(account)
                estimate = balances.equity + self._moved(account)
                if self._untripped(account, breaches(terms, mark, estimate)):
                    passed.append(account)
        slots = asyncio.Semaphore(_READS_AT_ONCE)
        await asyncio.gather(*(self._look_at(account, slots) for account in passed))

    # -- what losses are counted from ---------------------------------------------------------------------------------

    async def _mark(self, account: AccountId, balances: Balances) -> bool:
        """Bring the account's mark up to date. False while its money cannot be told from payments."""
        services = self._services
        prices = await self._worth(account, balances)
        now = services.clock()
        mark = services.ledger.state.standing.marks.get(account)
        flow = Flow(NO_AMOUNT, False)
        if mark is not None:
            flow = flow_of(unexplained(mark.holdings, balances.holdings), prices or {}, balances.equity)
            unclear = prices is None or (flow.differs and self._moving(account))
            if unclear and now - self._unclear.setdefault(account, now) < _UNCLEAR_MAX:
                return False
        self._unclear.pop(account, None)
        new = next_mark(mark, balances.equity, balances.holdings, flow, balances.at)
        if new is not None:
            if flow.paid:
                log.info("%s: %s %s seems to have been paid in (less than zero: out)", account, flow.paid,
                         balances.currency)  # fmt: skip
            services.ledger.append(
                [
                    EquityMarked(
                        account, new.day, new.start, new.base, new.flows, new.high_water, new.holdings, balances.at
                    )
                ]
            )
        self._prices_then[account] = services.books.prices(venue_of(account))
        return True

    async def _worth(self, account: AccountId, balances: Balances) -> dict[str, Price] | None:
        """Prices of the assets that changed without an order of ours; None where one cannot be read now."""
        services, venue = self._services, venue_of(account)
        mark = services.ledger.state.standing.marks.get(account)
        prices: dict[str, Price] = {}
        for asset in unexplained(mark.holdings, balances.holdings) if mark is not None else ():
            known = price_known(asset, balances.currency)
            instrument = services.instrument(venue, f"{asset}/{balances.currency}") or services.instrument(venue, asset)
            if known is not None:
                prices[asset] = known
            elif instrument is not None and instrument.quote == balances.currency:
                try:
                    prices[asset] = (await services.prices.quote(instrument, _PRICE_MAX_AGE_S)).bid
                except VenueError as error:
                    log.info("%s: no price for a change of its %s: %s", account, asset, error)
                    return None
        return prices

    def _moving(self, account: AccountId) -> bool:
        """Whether an order of ours may have filled that the ledger does not know the fills of."""
        return any(
            r.state in (OrderState.APPROVED, OrderState.UNKNOWN)
            or (r.state is OrderState.ACCEPTED and not r.kind.rests)
            for r in self._services.ledger.state.orders.of(account)
        )  # fmt: skip

    # -- tripping -----------------------------------------------------------------------------------------------------

    def _untripped(self, account: AccountId, found: list[Breach]) -> list[Breach]:
        trips: Mapping[LimitName, Trip] = self._services.ledger.state.standing.trips.get(account, {})
        return [breach for breach in found if breach.limit not in trips]

    async def _judge(self, account: AccountId, terms: FollowerTerms, equity: Amount) -> None:
        services = self._services
        standing = services.ledger.state.standing
        found = self._untripped(account, breaches(terms, standing.marks.get(account), equity))
        if not found:
            return
        closes = any(breach.acting.action is LimitAction.FLATTEN for breach in found)
        prices = await self._prices_of(account) if closes else {}
        now = services.clock()
        events: list[Event] = []
        signals: list[Signal] = []
        found = self._untripped(account, found)
        for breach in found:
            acting = breach.acting
            events.append(LimitTripped(account, breach.limit, breach.detail, acting.action, acting.rearm, now))
            if acting.action is LimitAction.FLATTEN and not signals:
                trip = Trip(breach.limit, breach.detail, acting.action, acting.rearm, now)
                signals = [self._closing(account, trip, symbol, price, 0) for symbol, price in prices.items()]
        if not events:
            return
        back = [r for r in services.ledger.state.orders.of(account) if _resting_entry(r)]
        asked = [CancelAsked(r.order_id, REASONS[found[0].limit], now) for r in back if r.cancel is None]
        # One transaction: a crash can leave neither a trip whose closing is forgotten nor a closing without a trip.
        services.ledger.append([*events, *asked, *map(SignalEmitted, signals)], hurry=True)
        for record in back:
            self._submit(cancel_work(record, None))
        for signal in signals:
            self._emit(signal)
        for breach in found:
            services.alert(
                AlertKind.LIMIT_TRIPPED,
                f"{account}: {breach.limit} has tripped ({breach.detail}): {_done(account, breach)}",
                account,
            )

    async def _close_again(self, account: AccountId) -> None:
        """Close what is still held although a limit asks for it to be closed: an entry may have filled since."""
        services = self._services
        state = services.ledger.state
        trips = [t for t in state.standing.trips.get(account, {}).values() if t.action is LimitAction.FLATTEN]
        if not trips or any(signal.target == account for signal in state.unplanned.values()):
            return
        busy = {r.symbol for r in state.orders.of(account) if r.role is Role.COPY}
        for symbol, price in (await self._prices_of(account, busy)).items():
            for attempt in range(_CLOSING_TRIES):
                signal = self._closing(account, trips[0], symbol, price, attempt)
                if services.ledger.signal(signal.signal_id) is None:
                    services.ledger.append([SignalEmitted(signal)], hurry=True)
                    self._emit(signal)
                    break

    def _closing(self, account: AccountId, trip: Trip, symbol: str, price: Price, attempt: int) -> Signal:
        """The signal that takes one account out of one market. The same trip gives the same signals."""
        identity = signal_id(f"{trip.limit} {account} {trip.at.isoformat()} {symbol} {attempt}", SignalKind.FLATTEN)
        master = self._services.roster.master.terms.account
        return Signal(
            identity, SignalKind.FLATTEN, "", master, symbol, Side.SELL, Effect.EXIT, OrderKind.MARKET, NO_QUANTITY,
            price, None, None, NO_QUANTITY, Decimal(1), self._services.clock(), target=account,
        )  # fmt: skip

    # -- arming again -------------------------------------------------------------------------------------------------

    def _rearm_due(self, account: AccountId, terms: FollowerTerms, trips: Mapping[LimitName, Trip]) -> None:
        acting = dict(acting_limits(terms))
        mark = self._services.ledger.state.standing.marks.get(account)
        balances = self._services.books.balances(account)
        for name, trip in trips.items():
            if name not in acting:
                self._rearm(account, name, "the limit is no longer set")
                continue
            # The new day must have been marked: the old one's loss would trip the limit again.
            new_day = mark is not None and mark.day > day_of(trip.at)
            if trip.rearm is Rearm.BY_HAND or not new_day or balances is None:
                continue
            if name is not LimitName.MIN_EQUITY or not breaches(terms, mark, balances.equity):
                self._rearm(account, name, "next day")

    def _rearm(self, account: AccountId, name: LimitName, by: str) -> None:
        services = self._services
        balances = services.books.balances(account)
        # A new day counts from its own first equity; the drawdown always starts anew, or it would trip again at once.
        anew = by == "by hand" or name is LimitName.MAX_DRAWDOWN
        equity = balances.equity if balances is not None and anew else None
        services.ledger.append([LimitRearmed(account, name, by, equity, services.clock())], hurry=True)
        services.alert(AlertKind.LIMIT_ARMED, f"{account}: {name} is armed again ({by})", account)

    # -- prices and positions -----------------------------------------------------------------------------------------

    async def _look_at(self, account: AccountId, slots: asyncio.Semaphore) -> None:
        async with slots:
            await self._read(account, _READ_WAIT_S)

    async def _refresh_prices(self, watched: set[AccountId]) -> None:
        """Current prices of what accounts with limits hold, one call for each venue where it has such a call."""
        services = self._services
        markets: dict[str, dict[str, Instrument]] = {}
        for account in watched:
            for symbol in services.ledger.state.positions.of(account):
                if (instrument := services.instrument(venue_of(account), symbol)) is not None:
                    markets.setdefault(instrument.venue, {})[symbol] = instrument
        for venue, instruments in markets.items():
            try:
                await services.prices.refresh(venue, list(instruments.values()))
            except VenueError as error:
                log.info("prices of %s for the limits cannot be read now: %s", venue, error)
            for symbol, instrument in instruments.items():
                if (quote := services.prices.fresh(instrument, _PRICE_MAX_AGE_S)) is not None:
                    services.books.price_seen(symbol, quote.bid, venue)

    def _moved(self, account: AccountId) -> Amount:
        """How much the copied positions have gained since the last look at the balances."""
        then, gained = self._prices_then.get(account, {}), Decimal(0)
        for symbol, quantity in self._services.ledger.state.positions.of(account).items():
            now, before = self._services.books.price(symbol, venue_of(account)), then.get(symbol)
            if now is not None and before is not None:
                gained += quantity.value * (now.value - before.value)
        return Amount(gained)

    async def _prices_of(self, account: AccountId, busy: set[str] | None = None) -> dict[str, Price]:
        """What the account holds and could sell, each at its price; without those for which there is none yet."""
        services, found = self._services, {}
        held = services.ledger.state.positions.of(account)
        for symbol in [s for s, q in held.items() if s not in (busy or ()) and not self._dust(account, s, q)]:
            instrument = services.instrument(venue_of(account), symbol)
            price = services.books.price(symbol, venue_of(account))
            if instrument is not None:
                try:
                    price = (await services.prices.quote(instrument, services.limits.price_max_age_s)).bid
                except VenueError as error:
                    log.info("%s is closed for %s without a fresh price: %s", symbol, account, error)
            if price is not None:
                found[symbol] = price
        return found

    def _dust(self, account: AccountId, symbol: str, quantity: Quantity) -> bool:
        """Whether so little of a market is left that it cannot be sold."""
        instrument = self._services.instrument(venue_of(account), symbol)
        return instrument is not None and quantity < max(instrument.min_quantity, Quantity(instrument.lot_step))


def _watched(terms: FollowerTerms) -> bool:
    """Whether the account has a limit that prices alone can bring it past."""
    return (
        terms.max_daily_loss is not None or terms.max_drawdown is not None or terms.min_equity is not None
        or terms.max_exposure is not None
    )  # fmt: skip


def _resting_entry(record: OrderRecord) -> bool:
    return record.role is Role.COPY and record.effect is Effect.ENTRY and record.kind.rests


def _done(account: AccountId, breach: Breach) -> str:
    what = "its copied positions are closed, " if breach.acting.action is LimitAction.FLATTEN else ""
    until = "the next day (UTC)" if breach.acting.rearm is Rearm.NEXT_DAY else f"`rearm {user_of(account)}`"
    return f"{what}no entries until {until}"
