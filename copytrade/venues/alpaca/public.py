"""The side of Alpaca that belongs to no account: markets, prices, the clock, and the connections all accounts share.

Alpaca shows its assets and its clock to API keys alone. They are read with the key of whichever account is connected,
the first one's as long as it works.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Unpack
from urllib.parse import quote, urlencode, urlsplit

import aiohttp

from copytrade.domain.account import AccountId
from copytrade.domain.errors import CredentialsRejected, VenueError, VenueUnavailable
from copytrade.domain.instrument import AssetClass, Instrument, MarketStatus
from copytrade.domain.money import Price, parse_decimal
from copytrade.domain.order import OrderKind
from copytrade.domain.venue import Quote
from copytrade.venues.alpaca.account import AlpacaAccount
from copytrade.venues.alpaca.clock import MarketClock
from copytrade.venues.alpaca.envelope import Answer, read_reply
from copytrade.venues.alpaca.instruments import read_instruments
from copytrade.venues.alpaca.names import MarketNames
from copytrade.venues.alpaca.options import DATA_URL, NAME, TRADING_HOSTS_SUFFIX, AlpacaOptions
from copytrade.venues.alpaca.reads import Other, SignedReads
from copytrade.venues.alpaca.stream import PATH, stream_origin, stream_session
from copytrade.venues.alpaca.tickets import kinds_of
from copytrade.venues.budget import Pace
from copytrade.venues.public_side import PublicSide, Timing
from copytrade.venues.retries import Retries
from copytrade.venues.wire import WireFailure

logger = logging.getLogger(__name__)

ASSETS, CLOCK = "/v2/assets", "/v2/clock"
CRYPTO_QUOTES, STOCK_QUOTES = "/v1beta3/crypto/us/latest/quotes", "/v2/stocks/quotes/latest"
SYMBOLS_MAX = 100  # markets in one question, which keeps its address well under any limit
_LENDERS_TRIED_MAX = 3  # keys that are tried for a read before it fails


class AlpacaVenue(PublicSide[AlpacaOptions]):
    """Fits the engine's `Venue`.

    Args:
        base_url: `https://api.alpaca.markets`, `https://paper-api.alpaca.markets`, or a simulated one. Market data
            comes from Alpaca's own host for it, and for any other address from the same one.
        options: settings of the venue.
        timing: clocks, chance and pauses (`Timing`).
    """

    _name, _title = NAME, "Alpaca"
    refuses_opposites = True  # as wash trades

    def __init__(
        self,
        base_url: str = "https://api.alpaca.markets",
        options: AlpacaOptions | None = None,
        **timing: Unpack[Timing],
    ) -> None:
        super().__init__(base_url, options or AlpacaOptions(), **timing)
        self.names = MarketNames()
        self.retries = self._made_retries(Retries)
        data_url = self.options.data_url or data_url_of(base_url)
        # The list of stocks is by far the longest answer; no other may be as long.
        listing = self._made_wire(base_url, connections=1, most_bytes=self.options.listing_max_bytes)
        self._listing = Other(listing, counted=True)
        self._data = Other(self._made_wire(data_url, connections=4), counted=False)
        self.stream_url = (self.options.stream_url or stream_origin(base_url)) + PATH
        self._streams: aiohttp.ClientSession | None = None
        self._lenders: dict[SignedReads, None] = {}
        self._hours: MarketClock | None = None
        self._listed_at: float | None = None
        pace = self.options.public_calls_per_s
        self._pace = None if pace is None else Pace(pace, self.monotonic, burst=self.options.public_burst)

    def connect_account(self, account: AccountId, key: str, secret: str) -> AlpacaAccount:
        """An account over this venue's connections; sends nothing yet. Raises `CredentialsRejected`."""
        from copytrade.venues.alpaca.signer import AlpacaSigner  # brings the SDK along: only for who trades here

        made = AlpacaAccount(self, account, AlpacaSigner(key, secret))
        self._lenders[made.reads] = None
        return made

    def forget(self, reads: SignedReads) -> None:
        """Read nothing with this key any more."""
        self._lenders.pop(reads, None)

    # -- markets and prices ------------------------------------------------------------------------------------

    def instrument(self, spelling: str) -> Instrument | None:
        """By symbol (`BTC/USD`, `BTCUSD`, `AAPL`) or asset id, in any case of letters; None when it is not listed.

        A stock outside its hours is closed: an entry would wait for the next session's opening price.
        """
        found = self.names.find(spelling)
        if found is None or found.asset_class is not AssetClass.STOCK or found.status is not MarketStatus.ONLINE:
            return found
        if self._hours is not None and self._hours.stocks_open(self.clock()):
            return found
        return replace(found, status=MarketStatus.CLOSED)

    def order_kinds(self, instrument: Instrument) -> frozenset[OrderKind]:
        """What Alpaca itself can do in this market, whatever the quantity."""
        return kinds_of(instrument)

    async def load_instruments(self) -> int:
        """Read the lists of assets, and the clock; returns how many markets there are. Raises `VenueError`.

        Without any account to read them with it returns 0, and the first account that is connected has them read.
        When it fails, the last good list stays.
        """
        if not self._lenders:
            logger.info("Alpaca shows its markets to API keys alone: they are read with the first account")
            return len(self.names)
        async with self._loading:
            return await self._load()

    async def instruments_loaded(self) -> None:
        """Read the list of markets unless it has been. Raises `VenueError`."""
        if not len(self.names):
            async with self._loading:
                if not len(self.names):
                    await self._load()

    async def _load(self) -> int:
        await self._read_clock()
        coins = await self._read(ASSETS, {"asset_class": "crypto", "status": "active"}, self._listing)
        stocks: Any = []
        if self.options.stocks:
            stocks = await self._read(ASSETS, {"asset_class": "us_equity", "status": "active"}, self._listing)
        try:
            names = await asyncio.to_thread(read_instruments, coins, stocks)  # thousands of stocks take a while
        except ValueError as error:
            raise VenueUnavailable(
                f"Alpaca's list of assets cannot be used ({error}); the last good one stays"
            ) from None
        if not len(names):
            raise VenueUnavailable("Alpaca's list of assets has none that can be used; the last good list stays")
        self.names = names
        self._listed_at = self.monotonic()
        return len(names)

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Best prices by our symbol. A market without a price is left out. Raises `VenueError`."""
        coins = [each for each in instruments if each.asset_class is AssetClass.CRYPTO]
        stocks = [each for each in instruments if each.asset_class is AssetClass.STOCK]
        quotes: dict[str, Quote] = {}
        for path, group, more in (
            (CRYPTO_QUOTES, coins, {}),
            (STOCK_QUOTES, stocks, {"feed": self.options.stock_feed}),
        ):
            for at in range(0, len(group), SYMBOLS_MAX):
                chunk = {each.venue_symbol: each for each in group[at : at + SYMBOLS_MAX]}
                body = await self._market_data(path, {"symbols": ",".join(chunk), **more})
                quotes |= _read_quotes(body, chunk, self.clock())
        return quotes

    async def _market_data(self, path: str, query: Mapping[str, str]) -> Any:
        if self._pace is not None and (wait_s := self._pace.reserve_s()) > 0:
            await self._sleep(wait_s)
        if self._lenders:
            return await self._read(path, query, self._data)

        async def attempt() -> Any:
            return await self._without_key(path, query)

        return await self.retries.run(path, attempt)

    async def _without_key(self, path: str, query: Mapping[str, str]) -> Any:
        """Prices of coins are shown to everybody."""
        target = f"{path}?{urlencode(query, quote_via=quote, safe='')}"
        try:
            async with self._data.wire.read_slot():
                reply = await self._data.wire.request("GET", target, {})
        except WireFailure as failure:
            raise VenueUnavailable(f"no answer from Alpaca to {path}: {failure.detail}") from failure
        got = read_reply(reply)
        if not isinstance(got, Answer):
            raise VenueUnavailable(
                f"no usable answer from Alpaca to {path}: {got if isinstance(got, str) else got.detail}"
            )
        return got.body

    # -- the clock ---------------------------------------------------------------------------------------------

    @property
    def offset(self) -> timedelta:
        """How far Alpaca's clock is ahead of ours."""
        return timedelta(0) if self._hours is None else self._hours.offset

    async def _read_clock(self) -> None:
        asked_at: datetime = self.clock()
        body = await self._read(CLOCK, {})
        self._hours = MarketClock.read(body, asked_at, self.clock())
        self._clock_asked_at = self.monotonic()
        if abs(self.offset.total_seconds()) > self.options.clock_skew_max_s:
            logger.warning(
                "this machine's clock is %.1f s off from Alpaca's; set the clock (NTP)", -self.offset.total_seconds()
            )

    # -- connections -------------------------------------------------------------------------------------------

    async def warm(self, connections: int) -> int:
        """See that so many connections are open; returns how many are. Never raises.

        Now and then it also reads the clock, and the list of assets, whose smallest sizes follow the prices.
        """
        try:
            if self._lenders and self._due(self._clock_asked_at, self.options.clock_refresh_s):
                self._clock_asked_at = self.monotonic()
                await self._read_clock()
            if self._lenders and self._listed_at is not None and self._due(
                self._listed_at, self.options.listing_refresh_s
            ):  # fmt: skip
                self._listed_at = self.monotonic()
                await self.load_instruments()
        except VenueError as error:
            logger.warning("Alpaca's clock and markets cannot be read now, the last ones stay: %s", error)
        return await self.wire.warm(connections)

    def stream_session(self) -> aiohttp.ClientSession:
        """What all streams of this venue's accounts are opened with."""
        if self._streams is None:
            self._streams = stream_session()
        return self._streams

    async def close(self) -> None:
        for wire in (self.wire, self._listing.wire, self._data.wire):
            await wire.close()
        if self._streams is not None:
            await self._streams.close()

    # -- inside ------------------------------------------------------------------------------------------------

    async def _read(self, path: str, query: Mapping[str, str], other: Other | None = None) -> Any:
        """A read with a lent key; a key that is turned away goes to the end of the row. Raises `VenueError`."""
        error: VenueError = VenueUnavailable("no account at Alpaca is connected to read its markets with")
        for lender in list(self._lenders)[:_LENDERS_TRIED_MAX]:
            try:
                return await lender.call("GET", path, query, other=other)
            except CredentialsRejected as rejected:
                error = rejected
                if lender in self._lenders:
                    del self._lenders[lender]
                    self._lenders[lender] = None
        raise error


def data_url_of(base_url: str) -> str:
    """Where market data is: Alpaca's own host for it, or the same address for any other."""
    host = urlsplit(base_url).hostname or ""
    return DATA_URL if host.endswith(TRADING_HOSTS_SUFFIX) else base_url


def _read_quotes(body: Any, wanted: Mapping[str, Instrument], at: datetime) -> dict[str, Quote]:
    entries = body.get("quotes") if isinstance(body, Mapping) else None
    if not isinstance(entries, Mapping):
        raise VenueUnavailable("Alpaca's answer about prices has no quotes")
    quotes: dict[str, Quote] = {}
    for symbol, instrument in wanted.items():
        entry = entries.get(symbol)
        try:
            bid, ask = (parse_decimal((entry or {})[side]) for side in ("bp", "ap"))
        except (KeyError, TypeError, ValueError):
            bid = ask = parse_decimal(0)
        if not 0 < bid <= ask:  # outside its hours a stock often has one side only
            logger.warning("Alpaca's price of %s cannot be used: %.200r", symbol, entry)
            continue
        quotes[instrument.symbol] = Quote(instrument.symbol, Price(bid), Price(ask), at)
    return quotes
