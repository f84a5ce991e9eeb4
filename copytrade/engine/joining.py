"""Late joiners: a follower that is first enabled while the master holds positions.

Whoever was on the list when a signal was answered has its copy, be it a skipped one; so a follower that was never asked
while it was enabled, and finds the master in a position, has come late. That is noted once, for good.
"""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

from copytrade.copying.drift import DriftRules
from copytrade.domain.account import AccountId, LateJoin, venue_of
from copytrade.domain.alerts import AlertKind
from copytrade.domain.errors import VenueError
from copytrade.domain.events import Event, FollowerJoined, SignalEmitted
from copytrade.domain.ids import signal_id
from copytrade.domain.money import Price, Quantity, plain
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.signal import Signal, SignalKind
from copytrade.engine.drift_book import MasterBook
from copytrade.engine.roster import Member
from copytrade.engine.services import Services, log
from copytrade.engine.work import EmitSignal, RefreshEquity

_EVERY_S = 1.0
_READ_WAIT_S = 5.0
_AT_ONCE = 200  # looked up in the ledger before others go on


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
        signals = [await self._signal(account, s, q) for s, q in held.items()] if late is LateJoin.FULL else []
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
            identity = _identity(account, symbol)
            if symbol not in held or services.ledger.signal(identity) is not None:
                continue
            book = await self._master.look(symbol)
            if book.price is None or (book.last_exit is not None and book.last_exit >= at):
                continue
            signal = await self._signal(account, symbol, Quantity(Decimal(quantity)))
            if signal.price.value <= book.price and services.ledger.signal(identity) is None:
                await services.ledger.append([SignalEmitted(signal)], hurry=True)
                self._emit(signal)

    async def _signal(self, account: AccountId, symbol: str, quantity: Quantity) -> Signal:
        """The master's position as if it were bought now. Raises `VenueError`."""
        services = self._services
        master = services.roster.master.terms.account
        instrument = services.instrument(venue_of(master), symbol)
        if instrument is None:
            raise VenueError(f"{venue_of(master)} no longer lists {symbol}")
        quote = await services.prices.quote(instrument, services.limits.price_max_age_s)
        balances = services.books.balances(master)
        max_age_s = services.limits.master_equity_max_age_s
        if balances is None or (services.clock() - balances.at).total_seconds() > max_age_s:
            await self._refresh(master, _READ_WAIT_S)
            balances = services.books.balances(master)
        if balances is None:
            raise VenueError("the master's equity has not been read yet")
        return Signal(
            _identity(account, symbol), SignalKind.JOIN, "", master, symbol, Side.BUY, Effect.ENTRY, OrderKind.MARKET,
            quantity, Price(quote.ask.value), balances.equity, balances.cash, quantity, Decimal(0), services.clock(),
            target=account,
        )  # fmt: skip


def _identity(account: AccountId, symbol: str) -> str:
    """One account joins each of the master's instruments once."""
    return signal_id(f"join {account} {symbol}", SignalKind.JOIN)
