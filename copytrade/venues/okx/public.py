"""The public side of OKX: markets, prices, its clock, and the connections that its accounts share."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Unpack
from urllib.parse import urlencode

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.instrument import Instrument, MarketStatus
from copytrade.domain.money import Price, parse_decimal
from copytrade.domain.order import OrderKind
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Quote
from copytrade.venues.budget import Pace
from copytrade.venues.okx.account import OkxAccount
from copytrade.venues.okx.clock import ClockOffset
from copytrade.venues.okx.envelope import OK, read_envelope
from copytrade.venues.okx.errors import Refusal, classify
from copytrade.venues.okx.instruments import read_instruments
from copytrade.venues.okx.names import InstrumentNames
from copytrade.venues.okx.options import NAME, PUBLIC_PER_2_S, TIMESTAMP_WINDOW_S, OkxOptions
from copytrade.venues.okx.orders import rows
from copytrade.venues.okx.reads import OkxRetries, counter_for
from copytrade.venues.okx.routes import NATIVE
from copytrade.venues.okx.signer import OkxSigner
from copytrade.venues.public_side import PublicSide, Timing
from copytrade.venues.wire import WireFailure

logger = logging.getLogger(__name__)

TIME = "/api/v5/public/time"
INSTRUMENTS = "/api/v5/public/instruments"
TICKER = "/api/v5/market/ticker"
TICKERS = "/api/v5/market/tickers"
Read = Callable[[str, Mapping[str, str]], Awaitable[list[Any]]]
# A doubted clock is read anew, but not at every order while OKX goes on refusing.
CLOCK_RETRY_S = 2.0


class OkxVenue(PublicSide[OkxOptions]):
    """Fits the engine's `Venue`.

    Args:
        base_url: `https://www.okx.com`, `https://eea.okx.com`, or a simulated one.
        options: settings of the venue.
        timing: clocks, chance and pauses (`Timing`).
    """

    _name, _title = NAME, "OKX"
    refuses_opposites = False

    def __init__(
        self, base_url: str = "https://www.okx.com", options: OkxOptions | None = None, **timing: Unpack[Timing]
    ) -> None:
        super().__init__(base_url, options or OkxOptions(), **timing)
        self.retries = self._made_retries(OkxRetries)
        self.order_deadline = timedelta(seconds=self.options.order_deadline_s)
        self._names = InstrumentNames()
        self._online: list[Instrument] = []
        self._clock_offset = ClockOffset()
        self._clock_doubted = False
        self._stream_pace = Pace(self.options.stream_connects_per_s, self.monotonic)
        self._counters = {path: counter_for(most, self.monotonic) for path, most in PUBLIC_PER_2_S.items()}

    def connect_account(self, account: AccountId, key: str, secret: str, passphrase: str) -> OkxAccount:
        """An account over this venue's connections; sends nothing yet. Raises `CredentialsRejected`."""
        return OkxAccount(self, account, OkxSigner(key, secret, passphrase, demo=self.options.demo))

    # -- markets and prices ------------------------------------------------------------------------------------

    def instrument(self, spelling: str) -> Instrument | None:
        """By `instId` or our symbol, in any case of letters; None when OKX does not list it."""
        return self._names.find(spelling)

    def online(self) -> Sequence[Instrument]:
        """The markets that are open for trade."""
        return self._online

    def order_kinds(self, instrument: Instrument) -> frozenset[OrderKind]:
        """What OKX itself can do: in its spot markets everything, orders that wait for a price included."""
        return NATIVE

    async def listed(self, inst_id: str) -> Instrument:
        """The instrument of an `instId`, the list read first if it has not been yet. Raises `VenueError`."""
        await self.instruments_loaded()
        instrument = self._names.find(inst_id)
        if instrument is None:
            raise VenueError(f"OKX does not list {inst_id!r:.40}; look its orders up by hand at okx.com")
        return instrument

    async def load_instruments(self) -> int:
        """Read the list of spot markets, and the venue's clock; returns how many markets. Raises `VenueError`.

        When it fails, the last good list stays.
        """
        async with self._loading:
            return await self._load()

    async def instruments_loaded(self) -> None:
        """Read the list of markets unless it has been. Raises `VenueError`."""
        if not len(self._names):
            async with self._loading:
                if not len(self._names):
                    await self._load()

    async def _load(self) -> int:
        await self._refresh_clock()
        names = read_instruments(await self._public(INSTRUMENTS, {"instType": "SPOT"}))
        if not len(names):
            raise VenueUnavailable("OKX's list of markets has none that can be used; the last good list stays")
        self._names = names
        self._online = [each for each in names.all() if each.status is MarketStatus.ONLINE]
        return len(names)

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Best prices by our symbol, in one call. A market without a price is left out. Raises `VenueError`."""
        if not instruments:
            return {}
        if len(instruments) == 1:
            tickers = await self._public(TICKER, {"instId": instruments[0].venue_symbol})
        else:
            tickers = await self._public(TICKERS, {"instType": "SPOT"})
        at = self.clock()
        wanted = {each.venue_symbol: each for each in instruments}
        quotes: dict[str, Quote] = {}
        for ticker in rows(tickers, "prices"):
            instrument = wanted.get(str(ticker.get("instId")))
            if instrument is None:
                continue
            try:
                bid, ask = parse_decimal(ticker["bidPx"]), parse_decimal(ticker["askPx"])
            except (KeyError, ValueError):
                bid = ask = parse_decimal(0)
            if not 0 < bid <= ask:
                logger.warning("OKX's price of %s cannot be used: %.200r", instrument.symbol, ticker)
                continue
            quotes[instrument.symbol] = Quote(instrument.symbol, Price(bid), Price(ask), at)
        return quotes

    # -- the clock ---------------------------------------------------------------------------------------------

    @property
    def offset(self) -> timedelta:
        """How far OKX's clock is ahead of ours."""
        return self._clock_offset.offset

    @property
    def absence_margin(self) -> timedelta:
        """What has to pass after an order's deadline, on our clock, before not finding it is a proof.

        While OKX's clock has not been read, ours may be off by as much as OKX takes in a timestamp.
        """
        options = self.options
        skew_s = options.clock_skew_max_s if self._clock_offset.known else TIMESTAMP_WINDOW_S
        return timedelta(seconds=skew_s + options.absence_settle_s)

    def doubt_clock(self) -> None:
        """A request came too late by OKX's clock: read it before the next one is signed."""
        self._clock_doubted = True

    async def check_clock(self) -> None:
        """Read OKX's clock if there is cause to doubt what we think of it. Never raises.

        Once and no more: an order may be waiting behind it.
        """
        asked_at = self._clock_asked_at
        if self._clock_doubted and (asked_at is None or self.monotonic() - asked_at >= CLOCK_RETRY_S):
            await self._refresh_clock(self._public_once)

    async def _refresh_clock(self, read: Read | None = None) -> None:
        self._clock_asked_at = self.monotonic()
        asked_at = self.clock()
        try:
            data = await (read or self._public)(TIME, {})
            self._clock_offset.observe(int(data[0]["ts"]), asked_at, self.clock())
        except (VenueError, IndexError, KeyError, TypeError, ValueError) as error:
            logger.warning("OKX's clock could not be read, ours is taken to be right: %s", error)
            return
        self._clock_doubted = False
        off_s = self.offset.total_seconds()
        if abs(off_s) > self.options.clock_skew_max_s:
            logger.warning(
                "this machine's clock is %.1f s off from OKX's; timestamps are corrected, but set the clock (NTP)",
                -off_s,
            )

    # -- connections -------------------------------------------------------------------------------------------

    async def warm(self, connections: int) -> int:
        """See that so many connections are open; returns how many are. Never raises.

        Opening them sends no request. Now and then it also asks for the clock, which is one.
        """
        if self._due(self._clock_asked_at, self.options.clock_refresh_s):
            await self._refresh_clock()
        return await self.wire.warm(connections)

    async def stream_turn(self) -> None:
        """Wait until one more stream may be opened, and see that the clock is right for its login."""
        await self.instruments_loaded()
        wait_s = self._stream_pace.reserve_s()
        if wait_s > 0:
            await self.retries.sleep(wait_s)
        await self.check_clock()

    async def close(self) -> None:
        await self.wire.close()

    # -- public calls ------------------------------------------------------------------------------------------

    async def _public(self, path: str, query: Mapping[str, str]) -> list[Any]:
        async def attempt() -> list[Any]:
            return await self._public_once(path, query)

        return await self.retries.run(path, attempt)

    async def _public_once(self, path: str, query: Mapping[str, str]) -> list[Any]:
        counter = self._counters[path]
        await self.retries.afford(path, counter)
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            async with self.wire.read_slot():
                reply = await self.wire.request("GET", target, {"x-simulated-trading": self.options.flag})
        except WireFailure as failure:
            raise VenueUnavailable(f"no answer from OKX to {path}: {failure.detail}") from failure
        envelope = read_envelope(reply)
        if isinstance(envelope, str):
            raise VenueUnavailable(f"no usable answer from OKX to {path}: {envelope}")
        if envelope.code == OK:
            return envelope.data
        verdict = classify(envelope.code, envelope.message)
        if isinstance(verdict, Refusal) and verdict.reason is not Reason.RATE_LIMITED:
            raise VenueRefusedRead(f"OKX refuses {path}: {verdict.detail}")
        if isinstance(verdict, Refusal):
            counter.saturate()
        raise VenueUnavailable(f"OKX cannot answer {path} now: {verdict.detail}")
