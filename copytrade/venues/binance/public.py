"""The public side of Binance: markets, prices, its clock, and the connections and limits that its accounts share."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Unpack

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Price, parse_decimal
from copytrade.domain.order import OrderKind
from copytrade.domain.venue import Quote
from copytrade.venues.binance.clock import ClockOffset
from copytrade.venues.binance.envelope import Fault, read_answer
from copytrade.venues.binance.errors import RATE_RETRY_S, Limit, Refusal, classify
from copytrade.venues.binance.instruments import read_instruments, read_limits
from copytrade.venues.binance.limits import AddressLimits
from copytrade.venues.binance.names import SymbolNames
from copytrade.venues.binance.options import (
    BOOK_TICKER_WEIGHT,
    ENTRY_RESERVE,
    EXCHANGE_INFO_WEIGHT,
    LIGHT_WEIGHT,
    NAME,
    READ_RESERVE,
    STREAM_WEIGHT,
    BinanceOptions,
)
from copytrade.venues.binance.stream import PATH
from copytrade.venues.budget import Pace
from copytrade.venues.public_side import PublicSide, Timing
from copytrade.venues.retries import Retries
from copytrade.venues.wire import Reply, Wire, WireFailure

if TYPE_CHECKING:
    from copytrade.venues.binance.account import BinanceAccount

logger = logging.getLogger(__name__)

# More symbols than this make the address longer than proxies like; all of them weigh the same.
_SYMBOLS_MAX = 100
_LIST_CONNECTIONS = 2
_LIST_TIMEOUT_S = 30.0


class BinanceVenue(PublicSide[BinanceOptions]):
    """Fits the engine's `Venue`.

    Args:
        base_url: `https://api.binance.com`, or a simulated one.
        options: settings of the venue.
        timing: clocks, chance and pauses (`Timing`).
    """

    _name, _title = NAME, "Binance"
    refuses_opposites = False

    def __init__(
        self, base_url: str = "https://api.binance.com", options: BinanceOptions | None = None, **timing: Unpack[Timing]
    ) -> None:
        super().__init__(base_url, options or BinanceOptions(), **timing)
        # The list of symbols is longer than any other answer may be.
        self._list_wire = self._made_wire(
            base_url, connections=_LIST_CONNECTIONS, timeout_s=_LIST_TIMEOUT_S,
            most_bytes=self.options.exchange_info_max_bytes,
        )  # fmt: skip
        self.retries = self._made_retries(Retries)
        self.address = AddressLimits(
            self.options.weight_per_minute, self.options.requests_per_5_min, self.unix_s, self.monotonic
        )
        self.orders_per_10_s = self.options.orders_per_10_s
        self.orders_per_day = self.options.orders_per_day
        self.symbols = SymbolNames()
        self.stream_url = self.options.stream_origin(base_url) + PATH
        self._stream_pace = Pace(self.options.stream_connects_per_s, self.monotonic)
        self._clock_offset = ClockOffset(self.options.clock_skew_max_s)
        self._clock_doubted = False
        self._clock_lock = asyncio.Lock()
        self._bids: dict[str, dict[str, Decimal]] = {}
        self._bids_at: float | None = None
        self._bids_lock = asyncio.Lock()
        self._tickers: Mapping[str, tuple[Decimal, Decimal]] = {}
        self._wallet_calls: bool | None = None
        self._wallet_probe: asyncio.Task[bool] | None = None

    def connect_account(self, account: AccountId, key: str, secret: str) -> BinanceAccount:
        """An account over this venue's connections; sends nothing yet. Raises `CredentialsRejected`."""
        # The SDK takes most of a second and tens of megabytes to import: only who trades here pays for it.
        from copytrade.venues.binance.account import BinanceAccount
        from copytrade.venues.binance.signer import BinanceSigner

        return BinanceAccount(self, account, BinanceSigner(key, secret, self.venue_now))

    # -- markets and prices ------------------------------------------------------------------------------------

    def instrument(self, spelling: str) -> Instrument | None:
        """By `BTC/USDT` or `BTCUSDT`, in any case of letters; None when Binance does not list it."""
        return self.symbols.find(spelling)

    def order_kinds(self, instrument: Instrument) -> frozenset[OrderKind]:
        """What Binance itself can do in this market, by its list (`orderTypes`, `ocoAllowed`)."""
        return self.symbols.kinds(instrument)

    async def instruments_loaded(self) -> None:
        """See that the list of symbols has been read. Raises `VenueError`."""
        if not len(self.symbols):
            await self.load_instruments()

    async def load_instruments(self) -> int:
        """Read the list of symbols, the venue's limits and its clock; returns how many symbols. Raises `VenueError`.

        When it fails, the last good list stays.
        """
        async with self._loading:
            await self.refresh_clock()
            query = {"showPermissionSets": "false"}
            result = await self._public("exchangeInfo", query, EXCHANGE_INFO_WEIGHT, wire=self._list_wire)
            symbols = await asyncio.to_thread(read_instruments, result)
            if not len(symbols):
                raise VenueUnavailable("Binance's list of markets has none that can be used; the last good list stays")
            self.symbols = symbols
            self._take_limits(read_limits(result))
            return len(symbols)

    def _take_limits(self, limits: Mapping[tuple[str, str, int], int]) -> None:
        self.address.weight.limit = limits.get(("REQUEST_WEIGHT", "MINUTE", 1), self.address.weight.limit)
        self.address.requests.limit = limits.get(("RAW_REQUESTS", "MINUTE", 5), self.address.requests.limit)
        self.orders_per_10_s = limits.get(("ORDERS", "SECOND", 10), self.orders_per_10_s)
        self.orders_per_day = limits.get(("ORDERS", "DAY", 1), self.orders_per_day)

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        """Best prices by our symbol, in one call. A market without a price is left out. Raises `VenueError`."""
        if not instruments:
            return {}
        names = [instrument.venue_symbol for instrument in instruments]
        query = {"symbols": json.dumps(names, separators=(",", ":"))} if len(names) <= _SYMBOLS_MAX else {}
        tickers = _read_tickers(
            await self._public("ticker/bookTicker", query, BOOK_TICKER_WEIGHT, reserve=ENTRY_RESERVE)
        )
        at = self.clock()
        return {
            each.symbol: Quote(each.symbol, Price(bid), Price(ask), at)
            for each in instruments
            if each.venue_symbol in tickers
            for bid, ask in (tickers[each.venue_symbol],)
        }

    async def bids(self, currency: str) -> dict[str, Decimal]:
        """What one unit of each asset fetches in `currency`, not older than `valuation_max_age_s`.

        Raises `VenueError`.
        """
        await self.instruments_loaded()
        async with self._bids_lock:
            at = self._bids_at
            if at is None or self.monotonic() - at > self.options.valuation_max_age_s:
                self._tickers = _read_tickers(await self._public("ticker/bookTicker", {}, BOOK_TICKER_WEIGHT))
                self._bids_at = self.monotonic()
                self._bids.clear()
            if currency not in self._bids:
                self._bids[currency] = self._bids_in(currency)
            return self._bids[currency]

    def _bids_in(self, currency: str) -> dict[str, Decimal]:
        prices: dict[str, Decimal] = {}
        for instrument in self.symbols:
            if instrument.venue_symbol not in self._tickers:
                continue
            bid, ask = self._tickers[instrument.venue_symbol]
            if instrument.quote == currency:
                prices[instrument.base] = bid
            elif instrument.base == currency:
                prices.setdefault(instrument.quote, 1 / ask)
        return prices

    # -- the clock ---------------------------------------------------------------------------------------------

    @property
    def offset(self) -> timedelta:
        """How far Binance's clock is ahead of ours."""
        return self._clock_offset.offset

    def venue_now(self) -> datetime:
        """Binance's time now, UTC."""
        return self.now()

    def doubt_clock(self) -> None:
        """A request was too late or too early by Binance's clock: it is asked for before the next one is signed."""
        self._clock_doubted = True

    async def settle_clock(self) -> bool:
        """Ask for the venue's clock if it is in doubt or was never compared. Never raises for what a venue can do.

        Returns whether the two clocks have ever been compared.
        """
        if self._clock_doubted or not self._clock_offset.known:
            async with self._clock_lock:
                if self._clock_doubted or not self._clock_offset.known:  # one asks for all
                    await self._ask_clock()
        return self._clock_offset.known

    def compare_clock(self, server_ms: int, asked_at: datetime, answered_at: datetime) -> bool:
        """Take in what the venue's clock said between two moments of ours; says whether that was exact enough."""
        return self._clock_offset.observe(server_ms, asked_at, answered_at)

    async def refresh_clock(self) -> None:
        """Compare the clocks. Never raises for what a venue can do; the offset is then taken to be as before."""
        async with self._clock_lock:
            await self._ask_clock()

    async def _ask_clock(self) -> None:
        try:
            # Without repeats: the moments of sending and answering must be those of one request.
            reply = await self._get("/api/v3/time", {}, LIGHT_WEIGHT, ENTRY_RESERVE, self.wire)
            server_ms = _read_answered(reply, "time")["serverTime"]
            if type(server_ms) is not int:
                raise ValueError(f"serverTime is {server_ms!r:.40}")
        except (VenueError, KeyError, TypeError, ValueError) as error:
            logger.warning("Binance's clock could not be read, its offset is taken to be as before: %s", error)
            return
        finally:
            self._clock_doubted = False  # an answer that fails as well must not hold up every order
        if not self.compare_clock(server_ms, reply.sent_at, reply.at):
            took_s = (reply.at - reply.sent_at).total_seconds()
            logger.warning("Binance took %.1f s to tell its clock, too long to compare it with ours", took_s)
            return
        self._clock_asked_at = self.monotonic()
        if abs(self.offset.total_seconds()) > self.options.clock_skew_max_s:
            logger.warning(
                "this machine's clock is %.1f s off from Binance's; timestamps are corrected, but set the clock (NTP)",
                -self.offset.total_seconds(),
            )

    # -- connections and limits --------------------------------------------------------------------------------

    async def warm(self, connections: int) -> int:
        """See that so many connections are open; returns how many are. Never raises. Now and then it asks the time."""
        if self._due(self._clock_asked_at, self.options.clock_refresh_s):
            await self.refresh_clock()
        return await self.wire.warm(connections)

    async def afford(self, what: str, weight: int, reserve: float) -> None:
        """Wait until a call fits into the address's limits. Raises `VenueRefusedRead` when that takes too long."""
        waited_s = 0.0
        # Whoever waited looks again: of all that wait for one turn of the limit, only some fit into the next span.
        while (wait_s := self.address.wait_s(weight, reserve)) > 0:
            waited_s += wait_s
            if waited_s > self.options.read_total_s:
                raise VenueRefusedRead(f"{what} has to wait {wait_s:.0f} s for Binance's rate limit", math.ceil(wait_s))
            await self._sleep(wait_s)
        self.address.charge(weight)

    async def stream_turn(self) -> None:
        """Wait until one more stream may be opened, and see that the clock is right for it. Raises `VenueError`."""
        await self.settle_clock()
        await self._sleep(self._stream_pace.reserve_s())
        await self.afford("the stream of orders", STREAM_WEIGHT, READ_RESERVE)

    def limit_reached(self, refusal: Refusal) -> None:
        """The venue says that this address has asked too much: everybody here stops until it may go on."""
        wait_s = refusal.retry_after_s or RATE_RETRY_S
        self.address.stop_for(wait_s)
        logger.warning("Binance says that this address has reached its limit; going on in %.0f s", wait_s)

    async def has_wallet_calls(self) -> bool:
        """Whether the venue has `/sapi`, where a key can be asked about (its test net has not). Raises `VenueError`.

        Asked once however many accounts connect at a time; they share a failure too, and who asks later tries again.
        """
        if self._wallet_calls is not None:
            return self._wallet_calls
        if self._wallet_probe is None:
            self._wallet_probe = asyncio.create_task(self._probe_wallet_calls())
            self._wallet_probe.add_done_callback(self._wallet_probed)
        return await asyncio.shield(self._wallet_probe)  # one account that gives up must not take it from the others

    async def _probe_wallet_calls(self) -> bool:
        reply = await self._get("/sapi/v1/account/apiRestrictions", {}, LIGHT_WEIGHT, READ_RESERVE, self.wire)
        return reply.status != 404  # without a key, 401 is the answer of a call that is there

    def _wallet_probed(self, probe: asyncio.Task[bool]) -> None:
        self._wallet_probe = None
        if not probe.cancelled() and probe.exception() is None:
            self._wallet_calls = probe.result()

    async def close(self) -> None:
        """Close every connection."""
        await self.wire.close()
        await self._list_wire.close()

    async def _public(
        self,
        path: str,
        query: Mapping[str, str],
        weight: int,
        *,
        reserve: float = READ_RESERVE,
        wire: Wire | None = None,
    ) -> Any:
        async def attempt() -> Any:
            return await self._public_once(path, query, weight, reserve, wire or self.wire)

        return await self.retries.run(path, attempt)

    async def _public_once(self, path: str, query: Mapping[str, str], weight: int, reserve: float, wire: Wire) -> Any:
        reply = await self._get(f"/api/v3/{path}", query, weight, reserve, wire)
        # A list of megabytes would stop every order of this process while it is read.
        answer = await asyncio.to_thread(read_answer, reply) if wire is self._list_wire else read_answer(reply)
        if isinstance(answer, str):
            raise VenueUnavailable(f"no usable answer from Binance to {path}: {answer}")
        if isinstance(answer, Fault):
            verdict = classify(answer)
            if isinstance(verdict, Refusal) and verdict.limit is Limit.WEIGHT:
                self.limit_reached(verdict)
                raise VenueRefusedRead(
                    f"Binance refuses {path}: {answer}", math.ceil(verdict.retry_after_s or 0) or None
                )
            if isinstance(verdict, Refusal):
                raise VenueRefusedRead(f"Binance refuses {path}: {answer}")
            raise VenueUnavailable(f"Binance cannot answer {path} now: {answer}")
        return answer.result

    async def _get(self, path: str, query: Mapping[str, str], weight: int, reserve: float, wire: Wire) -> Reply:
        await self.afford(path, weight, reserve)
        try:
            async with wire.read_slot():
                reply = await wire.get(path, query)
        except WireFailure as failure:
            raise VenueUnavailable(f"no answer from Binance to {path}: {failure.detail}") from failure
        self.address.observe(reply.headers)
        return reply


def _read_answered(reply: Reply, path: str) -> Any:
    answer = read_answer(reply)
    if isinstance(answer, str | Fault):
        raise VenueUnavailable(f"no usable answer from Binance to {path}: {answer}")
    return answer.result


def _read_tickers(result: Any) -> dict[str, tuple[Decimal, Decimal]]:
    """Bid and ask by the venue's symbol; those that cannot be used are left out. Raises `VenueUnavailable`."""
    if not isinstance(result, list):
        raise VenueUnavailable("Binance's answer about prices is no list")
    tickers: dict[str, tuple[Decimal, Decimal]] = {}
    for entry in result:
        try:
            bid, ask = parse_decimal(entry["bidPrice"]), parse_decimal(entry["askPrice"])
            symbol = entry["symbol"]
        except (KeyError, TypeError, ValueError):
            logger.warning("Binance's price %.200r cannot be used", entry)
            continue
        if 0 < bid <= ask and isinstance(symbol, str):
            tickers[symbol] = (bid, ask)
    return tickers
