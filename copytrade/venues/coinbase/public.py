"""The public side of Coinbase: products, prices, its clock, and the connections that its accounts share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Unpack
from urllib.parse import quote, urlsplit

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.instrument import Instrument, MarketStatus
from copytrade.domain.money import Price, parse_decimal
from copytrade.domain.order import OrderKind
from copytrade.domain.venue import Quote
from copytrade.venues.budget import Pace
from copytrade.venues.coinbase import probes
from copytrade.venues.coinbase.account import CoinbaseAccount
from copytrade.venues.coinbase.clock import ClockOffset, ClockReading
from copytrade.venues.coinbase.envelope import Rejection, read_reply
from copytrade.venues.coinbase.errors import Refusal, classify_rejection
from copytrade.venues.coinbase.instruments import read_products
from copytrade.venues.coinbase.names import ProductNames
from copytrade.venues.coinbase.options import NAME, CoinbaseOptions
from copytrade.venues.coinbase.orders import entries_in
from copytrade.venues.public_side import PublicSide, Timing
from copytrade.venues.retries import Retries
from copytrade.venues.wire import Reply, WireFailure

logger = logging.getLogger(__name__)

_PREFIX = "/api/v3/brokerage"
_PRODUCTS_PAGE = 250
_PRODUCTS_PAGES_MAX = 40  # 10,000 products: ten times what Coinbase lists
_CLOCK_MOVED_S = 1.0  # tokens are dated in whole seconds
_STREAMS_BURST = 2  # with six a second that is eight in the first second, which Coinbase allows


class CoinbaseVenue(PublicSide[CoinbaseOptions]):
    """Fits the engine's `Venue`.

    Args:
        base_url: `https://api.coinbase.com`, or a simulated one. Its host is part of what is signed, so a request
            that was meant for one host is worth nothing at another.
        options: settings of the venue.
        timing: clocks, chance and pauses (`Timing`).
    """

    _name, _title = NAME, "Coinbase"
    refuses_opposites = False

    def __init__(
        self,
        base_url: str = "https://api.coinbase.com",
        options: CoinbaseOptions | None = None,
        **timing: Unpack[Timing],
    ) -> None:
        super().__init__(base_url, options or CoinbaseOptions(), **timing)
        self.retries = self._made_retries(Retries)
        self.products = ProductNames()
        self.absent_after = timedelta(seconds=self.options.absence_wait_s)
        self._host = urlsplit(base_url).netloc
        self._clock_offset = ClockOffset()
        self._asking_clock = asyncio.Lock()
        public = self.options.public_calls_per_s
        self.kinds = probes.Kinds()
        self.stream_url = self.options.stream_base(base_url)
        self._stream_pace = Pace(self.options.stream_connects_per_s, self.monotonic, burst=_STREAMS_BURST)
        self._pace = None if public is None else Pace(public, self.monotonic, burst=self.options.public_burst)

    def connect_account(self, account: AccountId, key: str, secret: str) -> CoinbaseAccount:
        """An account over this venue's connections; sends nothing yet. Raises `CredentialsRejected`."""
        from copytrade.venues.coinbase.signer import CoinbaseSigner  # the SDK costs 0.3 s and 30 MB: not before now

        life_s, early_s = self.options.token_life_s, self.options.clock_skew_max_s
        signer = CoinbaseSigner(key, secret, self._host, self.unix_s, life_s=life_s, early_s=early_s)
        return CoinbaseAccount(self, account, signer)

    # -- markets and prices ------------------------------------------------------------------------------------

    def instrument(self, spelling: str) -> Instrument | None:
        """By product id or our symbol, in any case of letters; None when Coinbase does not list it."""
        return self.products.find(spelling)

    def order_kinds(self, instrument: Instrument) -> frozenset[OrderKind]:
        """What Coinbase itself can do: no stop that becomes a market order. All spot markets are alike."""
        return self.kinds.native

    async def ask_for_kinds(self, call: probes.Call) -> None:
        """See whether spot accounts have stops and brackets, by one account's signed reads; once. Never raises."""
        if self.kinds.asked:
            return
        self.kinds.asked = True
        try:
            await self.instruments_loaded()
            markets = [each for each in self.products if each.quote == self.currency]
            markets = [each for each in markets if each.status is MarketStatus.ONLINE]
            market = min(markets, key=lambda each: (each.base != "BTC", each.symbol), default=None)
            best = None if market is None else (await self.quotes([market])).get(market.symbol)
            if market is not None and best is not None:
                await probes.ask(self.kinds, call, market, best)
        except VenueError as error:
            logger.warning("Coinbase cannot be asked for its order kinds; they count as documented: %s", error)

    async def stream_turn(self) -> None:
        """Wait until one more stream may be opened: Coinbase counts connections by address."""
        if (wait_s := self._stream_pace.reserve_s()) > 0:
            await self._sleep(wait_s)

    async def load_instruments(self) -> int:
        """Read the list of spot products, and the venue's clock; returns how many products. Raises `VenueError`.

        When it fails, the last good list stays.
        """
        async with self._loading:
            return await self._load()

    async def instruments_loaded(self) -> None:
        """Read the list of products if it has not been read yet. Raises `VenueError`."""
        if not len(self.products):
            async with self._loading:
                if not len(self.products):
                    await self._load()

    async def _load(self) -> int:
        await self._refresh_clock()
        names = ProductNames()
        for page in range(_PRODUCTS_PAGES_MAX):
            query = {"product_type": "SPOT", "limit": str(_PRODUCTS_PAGE), "offset": str(page * _PRODUCTS_PAGE)}
            entries = entries_in(await self._public("/market/products", query), "products")
            added = read_products(entries, names)
            # An answer that does not know the limit has everything at once, and the next one nothing new.
            if len(entries) != _PRODUCTS_PAGE or not added:
                break
        if not len(names):
            raise VenueUnavailable("Coinbase's list of products has none that can be used; the last good list stays")
        self.products = names
        return len(names)

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Best prices by our symbol, one call each: Coinbase's call for several is for signed requests only.

        A market without a price is left out. Raises `VenueError` when no market could be asked for.
        """
        asked = [self._quote(instrument) for instrument in instruments]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        quotes: dict[str, Quote] = {}
        failures: list[VenueError] = []
        for instrument, answer in zip(instruments, answers, strict=True):
            if isinstance(answer, VenueError):
                logger.warning("Coinbase's price of %s cannot be had: %s", instrument.symbol, answer)
                failures.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            elif answer is not None:
                quotes[instrument.symbol] = answer
        if failures and not quotes:
            raise failures[0]
        return quotes

    async def _quote(self, instrument: Instrument) -> Quote | None:
        path = f"/market/products/{quote(instrument.venue_symbol, safe='')}/ticker"
        body = await self._public(path, {"limit": "1"})
        try:
            bid, ask = (parse_decimal(body[side]) for side in ("best_bid", "best_ask"))
        except (KeyError, ValueError):
            bid = ask = parse_decimal(0)
        if not 0 < bid <= ask:
            logger.warning("Coinbase's price of %s cannot be used: %.200r", instrument.symbol, body)
            return None
        return Quote(instrument.symbol, Price(bid), Price(ask), self.clock())

    # -- the clock ---------------------------------------------------------------------------------------------

    @property
    def offset(self) -> timedelta:
        """How far Coinbase's clock is ahead of ours."""
        return self._clock_offset.offset

    def clock_reading(self) -> ClockReading:
        """What a token that is signed now is dated by."""
        return ClockReading(self._clock_offset.offset, self.monotonic())

    async def clock_was_wrong(self, reading: ClockReading) -> bool:
        """After a token was refused: whether the clock it was dated by was wrong. Asks the venue once for all."""
        async with self._asking_clock:
            if self._clock_asked_at is None or self._clock_asked_at <= reading.at_s:
                await self._refresh_clock()
        return abs((self._clock_offset.offset - reading.offset).total_seconds()) >= _CLOCK_MOVED_S

    async def _refresh_clock(self) -> None:
        try:
            self._clock_offset.observe(*await self._ask_clock())
        except (VenueError, KeyError, TypeError, ValueError) as error:
            logger.warning("Coinbase's clock could not be read, the last offset stays: %s", error)
            return
        finally:
            self._clock_asked_at = self.monotonic()
        if abs(self._clock_offset.seconds) > self.options.clock_skew_max_s:
            logger.warning(
                "this machine's clock is %.1f s off from Coinbase's; tokens are corrected, but set the clock (NTP)",
                -self._clock_offset.seconds,
            )

    async def _ask_clock(self) -> tuple[int, datetime, datetime]:
        """Milliseconds at the venue, and between which moments of ours it told them."""
        body, reply = await self._public_reply("/time", {})
        return int(body["epochMillis"]), reply.sent_at, reply.at

    # -- connections -------------------------------------------------------------------------------------------

    async def warm(self, connections: int) -> int:
        """See that so many connections are open; returns how many are. Never raises.

        Opening them sends no request. Now and then it also asks for the clock, which is one.
        """
        if self._due(self._clock_asked_at, self.options.clock_refresh_s):
            await self._refresh_clock()
        return await self.wire.warm(connections)

    async def close(self) -> None:
        await self.wire.close()

    # -- public calls ------------------------------------------------------------------------------------------

    async def _public(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        return (await self._public_reply(path, query))[0]

    async def _public_reply(self, path: str, query: Mapping[str, str]) -> tuple[Mapping[str, Any], Reply]:
        async def attempt() -> tuple[Mapping[str, Any], Reply]:
            return await self._public_once(path, query)

        return await self.retries.run(path, attempt)

    async def _public_once(self, path: str, query: Mapping[str, str]) -> tuple[Mapping[str, Any], Reply]:
        if self._pace is not None and (wait_s := self._pace.reserve_s()) > 0:
            await self._sleep(wait_s)
        try:
            async with self.wire.read_slot():
                reply = await self.wire.get(_PREFIX + path, query)
        except WireFailure as failure:
            raise VenueUnavailable(f"no answer from Coinbase to {path}: {failure.detail}") from failure
        got = read_reply(reply)
        if isinstance(got, str):
            raise VenueUnavailable(f"no usable answer from Coinbase to {path}: {got}")
        if isinstance(got, Rejection):
            verdict = classify_rejection(got)
            if isinstance(verdict, Refusal) and verdict.retry_after_s is None:
                raise VenueRefusedRead(f"Coinbase refuses {path}: {verdict.detail}")
            raise VenueUnavailable(f"Coinbase cannot answer {path} now: {verdict.detail}")
        return got.body, reply
