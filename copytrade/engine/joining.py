"""Late joiners: a follower that is first enabled while the master holds positions.

Whoever was on the list when a signal was answered has its copy, be it a skipped one; so a follower that was never asked
while it was enabled, and finds the master in a position, has come late. That is noted once, for good.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from decimal import Decimal

from copytrade.copying.drift import DriftRules
from copytrade.copying.joins import lacking
from copytrade.copying.sizing import exact
from copytrade.domain.account import AccountId, LateJoin, venue_of
from copytrade.domain.alerts import AlertKind
from copytrade.domain.errors import VenueError
from copytrade.domain.events import Event, FollowerJoined, SignalEmitted
from copytrade.domain.ids import signal_id
from copytrade.domain.money import NO_QUANTITY, Price, Quantity, plain
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.drift_book import MasterBook
from copytrade.engine.roster import Member
from copytrade.engine.services import Services, log
from copytrade.engine.work import EmitSignal, RefreshEquity

_EVERY_S = 1.0
_READ_WAIT_S = 5.0
_AT_ONCE = 200  # looked up in the ledger before others go on
_AGAIN_S = 10.0  # between two entries of one joining: a book that has nothing at the price is not asked each second
_AGAIN_MAX_S = 600.0
_DOUBLED_MAX = 10


@dataclass(frozen=True, slots=True)
class _Try:
    """The entries before it, and what the last of them lacked: nothing is said of that for the first one."""

    number: int
    rest: Quantity = NO_QUANTITY


class Joiner:
    """Notes who joins late, and has them take up what the master holds as far as their terms say."""

    def __init__(
        self, services: Services, emit: EmitSignal, refresh: RefreshEquity, master: MasterBook, rules: DriftRules
    ) -> None:
        self._services = services
        self._emit = emit
        self._refresh = refresh
        self._master = master
        self.rules = rules
        self._served: set[AccountId] = set()
        self._tries: dict[tuple[AccountId, str], list[OrderRecord]] = {}  # the entries of a joining that are over

    async def run(self) -> None:
        """Look for late joiners until the service stops."""
        while True:
            await self.look()
            await self._services.pause(_EVERY_S)

    async def look(self) -> None:
        """Once. Raises `LedgerError`."""
        services = self._services
        held = self._held()
        for place, (account, member) in enumerate(list(services.roster.followers.items())):
            if not member.terms.enabled or member.left or account in self._served:
                continue
            if account in services.ledger.state.standing.alone:  # it may join later, once it is copied to
                continue
            if place % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            try:
                if account in services.ledger.state.joined:
                    await self._still_joining(account, member, held)
                elif not held or services.ledger.was_served(account):
                    self._served.add(account)
                elif member.client is not None:
                    await self._joins(account, member, held)
            except VenueError as error:
                log.warning("%s joins later: %s", account, error)

    def _held(self) -> dict[str, Quantity]:
        """What the master holds and could sell."""
        services = self._services
        master = services.roster.master.terms.account
        found = {}
        for symbol, quantity in services.ledger.state.positions.of(master).items():
            instrument = services.instrument(venue_of(master), symbol)
            if instrument is not None and quantity >= max(instrument.min_quantity, Quantity(instrument.lot_step)):
                found[symbol] = quantity
        return found

    async def _joins(self, account: AccountId, member: Member, held: dict[str, Quantity]) -> None:
        """The moment of joining: noted together with the signals that go out at once."""
        late, now = member.terms.late_join, self._services.clock()
        taken = held.items() if late is LateJoin.FULL else ()
        signals = [await self._signal(account, s, q, _identity(account, s)) for s, q in taken]
        waits = {s: plain(q.value) for s, q in held.items()} if late is LateJoin.BETTER_PRICE_ONLY else {}
        state = self._services.ledger.state
        if account in state.joined or self._services.ledger.was_served(account):
            return  # a signal was answered while the prices were read
        if any(not signal.target for signal in state.unplanned.values()):
            return  # what it tells may be in the master's position already, and everybody is about to copy it
        events: list[Event] = [FollowerJoined(account, json.dumps(waits, sort_keys=True), now)]
        events += [SignalEmitted(signal) for signal in signals]
        await self._services.ledger.append(events, hurry=True)
        for signal in signals:
            self._emit(signal)
        self._services.alert(
            AlertKind.JOINED,
            f"{account} joins while the master holds {', '.join(sorted(held))}; late_join: {late}"
            + (" (nothing is bought for it now)" if late is LateJoin.NONE else ""),
            account,
        )

    async def _still_joining(self, account: AccountId, member: Member, held: dict[str, Quantity]) -> None:
        """Try what waits for a better price, until the window is over or the master has sold some of it."""
        services = self._services
        at, body = services.ledger.state.joined[account]
        waits: dict[str, str] = json.loads(body)
        over = (services.clock() - at).total_seconds() > self.rules.join_window_s
        if not waits or over or member.terms.late_join is not LateJoin.BETTER_PRICE_ONLY:
            self._served.add(account)
            return
        if member.client is None:
            return
        for symbol, quantity in waits.items():
            if symbol not in held:
                continue
            book = await self._master.look(symbol)
            if book.price is None or (book.last_exit is not None and book.last_exit >= at):
                continue
            next_try = self._next_try(account, symbol)
            if next_try is None:
                continue
            limit = Price(exact(book.price).value)
            signal = await self._better_price(account, symbol, Quantity(Decimal(quantity)), limit, next_try)
            if signal is None or self._master_leaves(symbol) or self._next_try(account, symbol) != next_try:
                continue
            await services.ledger.append([SignalEmitted(signal)], hurry=True)
            self._emit(signal)

    def _next_try(self, account: AccountId, symbol: str) -> _Try | None:
        """The next entry of this joining; None while one is on its way, shortly after it, and where it is over.

        Each is for no more than the one before it lacked when it was over, and its id is its number: whatever a crash
        comes between, no part is bought twice. Where less is held than has been bought by now, somebody has taken the
        follower out. Raises `LedgerError`.
        """
        ledger = self._services.ledger
        tries = self._tries.setdefault((account, symbol), [])
        while ledger.signal(_identity(account, symbol, len(tries))) is not None:
            known = ledger.copies_of(_identity(account, symbol, len(tries)), account)
            if not known or not known[-1].state.final:
                return None
            tries.append(known[-1])
        if not tries:
            return _Try(0)
        last = tries[-1]
        bought = sum((record.arrived for record in tries), NO_QUANTITY)
        if not lacking(last) or bought > ledger.state.position(account, last.symbol):
            return None
        wait_s = min(_AGAIN_MAX_S, _AGAIN_S * 2 ** min(len(tries) - 1, _DOUBLED_MAX))
        if (self._services.clock() - (last.ended_at or last.planned_at)).total_seconds() < wait_s:
            return None
        return _Try(len(tries), lacking(last))

    async def _better_price(
        self, account: AccountId, symbol: str, quantity: Quantity, limit: Price, next_try: _Try
    ) -> Signal | None:
        """The signal of one entry at `limit` or better, while the price where it would be bought is no worse; None
        while it is, or where the rest is too small for an order. Raises `VenueError`."""
        services = self._services
        identity = _identity(account, symbol, next_try.number)
        signal = await self._signal(account, symbol, quantity, identity, limit)
        instrument = services.markets.answering(venue_of(account), signal)
        if instrument is None:  # the plan says so
            return signal if not next_try.number else None
        ask = (await services.prices.quote(instrument, services.limits.price_max_age_s)).ask
        if ask > limit:
            return None
        signal = replace(signal, price=ask)
        if not next_try.number:
            return signal
        rest = next_try.rest.rounded_down(instrument.lot_step)
        if instrument.below_minimum(Side.BUY, rest, ask):
            return None
        return replace(signal, quantity=next_try.rest, equity_before=None, cash_before=None)

    def _master_leaves(self, symbol: str) -> bool:
        """Whether an exit of the master's at market is on its way, or one that nobody has answered yet: what it sells
        is not joined any more."""
        services = self._services
        state, master = services.ledger.state, services.roster.master.terms.account
        orders = [r for r in state.orders.of(master) if r.symbol == symbol and r.effect is Effect.EXIT]
        told = [s for s in state.unplanned.values() if s.symbol == symbol and not s.target]
        return any(not r.kind.rests for r in orders) or any(s.effect is Effect.EXIT for s in told)

    async def _signal(
        self, account: AccountId, symbol: str, quantity: Quantity, identity: str, limit: Price | None = None
    ) -> Signal:
        """The master's position as if it were bought now. Raises `VenueError`."""
        services = self._services
        master = services.roster.master.terms.account
        instrument = services.instrument(venue_of(master), symbol)
        if instrument is None:
            raise VenueError(f"{venue_of(master)} no longer lists {symbol}")
        price = limit
        if price is None:
            price = (await services.prices.quote(instrument, services.limits.price_max_age_s)).ask
        balances = services.books.balances(master)
        max_age_s = services.limits.master_equity_max_age_s
        if balances is None or (services.clock() - balances.at).total_seconds() > max_age_s:
            await self._refresh(master, _READ_WAIT_S)
            balances = services.books.balances(master)
        if balances is None:
            raise VenueError("the master's equity has not been read yet")
        return Signal(
            identity, SignalKind.JOIN, "", master, symbol, Side.BUY, Effect.ENTRY, OrderKind.IOC_LIMIT, quantity,
            price, balances.equity, balances.cash, quantity, Decimal(0), services.clock(), limit, target=account,
        )  # fmt: skip


def _identity(account: AccountId, symbol: str, number: int = 0) -> str:
    """One account joins each of the master's instruments once. Where it waits for a better price that may take several
    entries."""
    return signal_id(f"join {account} {symbol}{f' {number}' if number else ''}", SignalKind.JOIN)
