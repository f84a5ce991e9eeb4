"""The public side of Kraken: markets, prices, its clock, and the connections that its accounts share."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Unpack

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Price, parse_decimal
from copytrade.domain.order import OrderKind
from copytrade.domain.venue import Quote
from copytrade.venues.budget import Pace
from copytrade.venues.kraken.account import KrakenAccount
from copytrade.venues.kraken.clock import ClockOffset
from copytrade.venues.kraken.envelope import read_envelope
from copytrade.venues.kraken.errors import Refusal, classify
from copytrade.venues.kraken.instruments import read_instruments
from copytrade.venues.kraken.kinds import NATIVE
from copytrade.venues.kraken.names import AssetNames, PairNames
from copytrade.venues.kraken.options import NAME, KrakenOptions
from copytrade.venues.kraken.signer import KrakenSigner, NonceSource
from copytrade.venues.kraken.socket import PATH
from copytrade.venues.public_side import PublicSide, Timing
from copytrade.venues.retries import Retries
from copytrade.venues.wire import WireFailure

logger = logging.getLogger(__name__)

# How many accepted order ids are remembered to notice an answer that comes twice: two rounds of 10,000 followers.
_ANSWERS_MAX = 20_000


class KrakenVenue(PublicSide[KrakenOptions]):
    """Fits the engine's `Venue`.

    Args:
        base_url: `https://api.kraken.com`, or a simulated one.
        options: settings of the venue.
        timing: clocks, chance and pauses (`Timing`).
    """

    _name, _title = NAME, "Kraken"
    refuses_opposites = False

    def __init__(
        self, base_url: str = "https://api.kraken.com", options: KrakenOptions | None = None, **timing: Unpack[Timing]
    ) -> None:
        super().__init__(base_url, options or KrakenOptions(), **timing)
        self.retries = self._made_retries(Retries)
        self.pairs = PairNames()
        self.order_deadline = timedelta(seconds=self.options.deadline_s)
        self.absence_margin = timedelta(seconds=self.options.clock_skew_max_s + self.options.absence_settle_s)
        self._assets = AssetNames()
        self._clock_offset = ClockOffset()
        self._answers: dict[str, None] = {}
        public, orders = self.options.public_calls_per_s, self.options.ip_orders_per_s
        self._public_pace = None if public is None else Pace(public, self.monotonic, burst=self.options.public_burst)
        self._order_pace = None if orders is None else Pace(orders, self.monotonic)
        self._stream_pace = Pace(
            self.options.stream_connects_per_s, self.monotonic, burst=self.options.stream_connects_burst
        )
        self.stream_url = self.options.stream_base(base_url) + PATH

    def connect_account(self, account: AccountId, key: str, secret: str, nonces: NonceSource) -> KrakenAccount:
        """An account over this venue's connections; sends nothing yet. Raises `CredentialsRejected`."""
        return KrakenAccount(self, account, KrakenSigner(key, secret, nonces))

    # -- markets and prices ------------------------------------------------------------------------------------

    def instrument(self, spelling: str) -> Instrument | None:
        """By key, altname, wsname or our symbol, in any case of letters; None when Kraken does not list it."""
        return self.pairs.find(spelling)

    def order_kinds(self, instrument: Instrument) -> frozenset[OrderKind]:
        """What Kraken itself can do: everything but brackets, in every market."""
        return NATIVE

    async def load_instruments(self) -> int:
        """Read the lists of assets and pairs, and the venue's clock; returns how many pairs. Raises `VenueError`.

        When it fails, the last good list stays.
        """
        async with self._loading:
            return await self._load()

    async def assets_loaded(self) -> AssetNames:
        """The names of assets, read first if they have not been yet. Raises `VenueError`."""
        if not self._assets:
            async with self._loading:
                if not self._assets:
                    await self._load()
        return self._assets

    async def _load(self) -> int:
        await self._refresh_clock()
        assets = AssetNames.from_listing(await self._public("Assets", {}))
        pairs = read_instruments(await self._public("AssetPairs", {}), assets)
        if not len(pairs):
            raise VenueUnavailable("Kraken's list of markets has none that can be used; the last good list stays")
        self._assets, self.pairs = assets, pairs
        return len(pairs)

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Best prices by our symbol, in one call. A market without a price is left out. Raises `VenueError`."""
        if not instruments:
            return {}
        result = await self._public("Ticker", {"pair": ",".join(each.venue_symbol for each in instruments)})
        at = self.clock()
        quotes: dict[str, Quote] = {}
        for key, entry in result.items():
            instrument = self.pairs.find(key)  # the answer speaks of XXBTZUSD where XBTUSD was asked for
            if instrument is None:
                continue
            try:
                bid, ask = (parse_decimal(entry[side][0]) for side in ("b", "a"))
            except (KeyError, IndexError, TypeError, ValueError):
                bid = ask = parse_decimal(0)
            if not 0 < bid <= ask:
                logger.warning("Kraken's price of %s cannot be used: %.200r", instrument.symbol, entry)
                continue
            quotes[instrument.symbol] = Quote(instrument.symbol, Price(bid), Price(ask), at)
        return quotes

    # -- the clock ---------------------------------------------------------------------------------------------

    @property
    def offset(self) -> timedelta:
        """How far Kraken's clock is ahead of ours."""
        return self._clock_offset.offset

    def doubt_clock(self) -> None:
        """An order came too late by Kraken's clock: ask for it again at the next occasion."""
        self._clock_asked_at = None

    async def _refresh_clock(self) -> None:
        asked_at = self.clock()
        try:
            result = await self._public("Time", {})
            self._clock_offset.observe(int(result["unixtime"]), asked_at, self.clock())
        except (VenueError, KeyError, TypeError, ValueError) as error:
            logger.warning("Kraken's clock could not be read, ours is taken to be right: %s", error)
            return
        self._clock_asked_at = self.monotonic()
        if abs(self._clock_offset.seconds) > self.options.clock_skew_max_s:
            logger.warning(
                "this machine's clock is %.1f s off from Kraken's; deadlines are corrected, but set the clock (NTP)",
                -self._clock_offset.seconds,
            )

    # -- connections -------------------------------------------------------------------------------------------

    async def warm(self, connections: int) -> int:
        """See that so many connections are open; returns how many are. Never raises.

        Opening them sends no request: Kraken takes about one public call a second, so warming by calls would take
        minutes. Now and then it also asks for the clock, which is one.
        """
        if self._due(self._clock_asked_at, self.options.clock_refresh_s):
            await self._refresh_clock()
        return await self.wire.warm(connections)

    async def order_pace(self) -> None:
        """Wait for this address's turn to send an order, if such a limit is set."""
        if self._order_pace is not None and (wait_s := self._order_pace.reserve_s()) > 0:
            await self._sleep(wait_s)

    async def stream_turn(self) -> None:
        """Wait for this address's turn to open a stream."""
        if (wait_s := self._stream_pace.reserve_s()) > 0:
            await self._sleep(wait_s)

    def answered_before(self, txid: str) -> bool:
        """Whether this order id was in an earlier answer; from now on it was."""
        if txid in self._answers:
            return True
        self._answers[txid] = None
        if len(self._answers) > _ANSWERS_MAX:
            del self._answers[next(iter(self._answers))]
        return False

    async def close(self) -> None:
        await self.wire.close()

    # -- public calls ------------------------------------------------------------------------------------------

    async def _public(self, method: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        async def attempt() -> Mapping[str, Any]:
            return await self._public_once(method, query)

        return await self.retries.run(method, attempt)

    async def _public_once(self, method: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        if self._public_pace is not None and (wait_s := self._public_pace.reserve_s()) > 0:
            await self._sleep(wait_s)
        try:
            async with self.wire.read_slot():
                reply = await self.wire.get(f"/0/public/{method}", query)
        except WireFailure as failure:
            raise VenueUnavailable(f"no answer from Kraken to {method}: {failure.detail}") from failure
        envelope = read_envelope(reply)
        if isinstance(envelope, str):
            raise VenueUnavailable(f"no usable answer from Kraken to {method}: {envelope}")
        if envelope.errors:
            verdict = classify(envelope.errors, self.unix_s())
            if isinstance(verdict, Refusal) and verdict.limit is None:
                raise VenueRefusedRead(f"Kraken refuses {method}: {verdict.detail}")
            raise VenueUnavailable(f"Kraken cannot answer {method} now: {verdict.detail}")
        if not isinstance(envelope.result, dict):
            raise VenueUnavailable(f"Kraken's answer to {method} is no object")
        return envelope.result
