"""The latest prices, read at most once at a time for each market however many ask, and kept ready where copies go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from copytrade.domain.account import venue_of
from copytrade.domain.errors import VenueError
from copytrade.domain.instrument import Instrument
from copytrade.domain.venue import Quote
from copytrade.engine.ports import Clock, Venue
from copytrade.engine.services import Services, ServiceStopping, log

_KEPT_AFTER_TRADE = timedelta(hours=1)
# As many as the strategy may hold (guards.max_positions). Coinbase is asked market by market: eight in two seconds
# leave more than half of its ten calls a second to what cannot wait.
_SYMBOLS_MAX = 8
_AFTER_FAILURE = timedelta(seconds=15)  # a venue in trouble is not asked harder; a copy asks it by itself


class PriceBoard:
    """Quotes by venue and symbol."""

    def __init__(self, venues: Mapping[str, Venue], clock: Clock) -> None:
        self._venues = venues
        self._clock = clock
        self._quotes: dict[tuple[str, str], Quote] = {}
        self._reading: dict[tuple[str, str], asyncio.Task[Quote]] = {}

    def fresh(self, instrument: Instrument, max_age_s: float) -> Quote | None:
        """The quote, if it is not older than `max_age_s`."""
        quote = self._quotes.get((instrument.venue, instrument.symbol))
        if quote is None or (self._clock() - quote.at).total_seconds() > max_age_s:
            return None
        return quote

    async def quote(self, instrument: Instrument, max_age_s: float) -> Quote:
        """A quote not older than `max_age_s`; asks the venue if need be. Raises `VenueError`."""
        if quote := self.fresh(instrument, max_age_s):
            return quote
        key = (instrument.venue, instrument.symbol)
        task = self._reading.get(key)
        if task is None:
            task = asyncio.create_task(self._read(instrument))
            self._reading[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        return await asyncio.shield(task)  # one asker that goes away must not take the answer from the others

    async def refresh(self, venue: str, instruments: Sequence[Instrument]) -> None:
        """Read several markets of one venue, in one call where it has such a call. Raises `VenueError`."""
        for symbol, quote in (await self._venues[venue].quotes(instruments)).items():
            self._quotes[venue, symbol] = quote

    def _done(self, key: tuple[str, str], task: asyncio.Task[Quote]) -> None:
        self._reading.pop(key, None)
        if not task.cancelled():
            task.exception()  # every asker got it; without one, nobody is left to tell

    async def _read(self, instrument: Instrument) -> Quote:
        quotes = await self._venues[instrument.venue].quotes([instrument])
        quote = quotes.get(instrument.symbol)
        if quote is None:
            raise VenueError(f"{instrument.venue} sent no price for {instrument.symbol}")
        self._quotes[instrument.venue, instrument.symbol] = quote
        return quote


class PriceKeeper:
    """Keeps the quotes fresh that the next fan-out will ask for, so that neither routing nor the slippage check has to
    read one while copies wait.

    Those are the followers' markets, at other venues than the master's (the desk reads that one with each order), that
    stand for what the master holds or has traded within the last hour.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._traded: dict[str, datetime] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, datetime] = {}

    def traded(self, symbol: str) -> None:
        """The master has traded this."""
        self._traded.pop(symbol, None)
        self._traded[symbol] = self._services.clock()  # behind all others: the latest comes last

    async def run(self) -> None:
        """Keep quotes fresh until the service stops. Never raises for what a venue can do."""
        services = self._services
        try:
            while True:
                await services.pause(services.limits.price_keep_every_s)
                self.look()
        except ServiceStopping:
            for task in list(self._reading.values()):
                task.cancel()
            await asyncio.gather(*self._reading.values(), return_exceptions=True)

    def look(self) -> list[str]:
        """Begin one round, one read for each venue; returns the venues that are asked.

        None while orders are on their way out, and no venue whose last read is still going on or has just failed.
        """
        services, asked = self._services, []
        if services.sends_in_flight:
            return []
        now = services.clock()
        for venue, instruments in self.wanted().items():
            if venue in self._reading or self._not_before.get(venue, now) > now:
                continue
            task = self._reading[venue] = asyncio.create_task(self._read(venue, instruments))
            task.add_done_callback(partial(self._ended, venue))
            asked.append(venue)
        return asked

    @property
    def reading(self) -> list[str]:
        """The venues whose answer is still to come."""
        return list(self._reading)

    def _ended(self, venue: str, task: asyncio.Task[None]) -> None:
        self._reading.pop(venue, None)

    def wanted(self) -> dict[str, list[Instrument]]:
        """The markets to keep fresh, by venue."""
        services = self._services
        master = services.roster.master.terms.account
        venues = {
            venue_of(account) for account, m in services.roster.followers.items() if m.client is not None and not m.left
        }
        markets = [(symbol, services.instrument(venue_of(master), symbol)) for symbol in self._symbols()]
        wanted: dict[str, list[Instrument]] = {}
        for venue in sorted(venues - {venue_of(master)}):
            found = [services.markets.listing(venue, s, own.asset_class) for s, own in markets if own is not None]
            if listed := list(dict.fromkeys(instrument for instrument in found if instrument is not None)):
                wanted[venue] = listed
        return wanted

    def _symbols(self) -> list[str]:
        """What the master has traded within the hour, the latest first, then what else it holds."""
        services = self._services
        since = services.clock() - _KEPT_AFTER_TRADE
        self._traded = {symbol: at for symbol, at in self._traded.items() if at >= since}
        master = services.roster.master.terms.account
        held = services.ledger.state.positions.of(master)
        return list(dict.fromkeys([*reversed(self._traded), *held]))[:_SYMBOLS_MAX]

    async def _read(self, venue: str, instruments: Sequence[Instrument]) -> None:
        try:
            await self._services.prices.refresh(venue, instruments)
        except VenueError as error:
            log.info("prices of %s are not kept fresh for now: %s", venue, error)
            self._not_before[venue] = self._services.clock() + _AFTER_FAILURE
        except Exception:
            log.exception("reading prices of %s", venue)
            self._not_before[venue] = self._services.clock() + _AFTER_FAILURE
