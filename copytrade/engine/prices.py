"""The latest prices, read at most once at a time for each venue however many ask."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from copytrade.domain.errors import VenueError
from copytrade.domain.instrument import Instrument
from copytrade.domain.venue import Quote
from copytrade.engine.ports import Clock, Venue


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
