"""One API key at Coinbase: orders, look-ups, balances."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import aclosing
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from copytrade.domain.account import AccountId
from copytrade.domain.errors import CredentialsRejected, VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.order import Effect
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import (
    Accepted,
    Balances,
    Execution,
    ExecutionStatus,
    KeyReport,
    NotSent,
    OrderTicket,
    PlaceOutcome,
    RefusedByVenue,
    Unknown,
    VenueOrder,
)
from copytrade.venues.coinbase import balances as money
from copytrade.venues.coinbase.allowance import Allowance
from copytrade.venues.coinbase.changes import Changes
from copytrade.venues.coinbase.envelope import Rejection, read_reply
from copytrade.venues.coinbase.errors import Refusal, classify_failure, classify_rejection
from copytrade.venues.coinbase.keys import read_permissions
from copytrade.venues.coinbase.listing import Listing
from copytrade.venues.coinbase.lookup import Lookup
from copytrade.venues.coinbase.orders import accepted_id, entries_in, read_execution
from copytrade.venues.coinbase.pages import Pages
from copytrade.venues.coinbase.reads import SignedReads
from copytrade.venues.coinbase.stream import StreamRefused, Up, UserChannel
from copytrade.venues.pool import Gate
from copytrade.venues.wire import Reply, WireFailure

if TYPE_CHECKING:
    from copytrade.venues.coinbase.public import CoinbaseVenue
    from copytrade.venues.coinbase.signer import CoinbaseSigner  # brings the SDK along

logger = logging.getLogger(__name__)

_WALLETS_PAGE = 250  # the most that clients report to get
_BIDS_MAX = 50  # products in one question, which keeps its address well under any limit


class CoinbaseAccount:
    """Speaks for one API key; fits the engine's `AccountClient`. Made by `CoinbaseVenue.connect_account`."""

    def __init__(self, venue: CoinbaseVenue, account: AccountId, signer: CoinbaseSigner) -> None:
        self._venue = venue
        self._account = account
        self._signer = signer
        self._options = venue.options
        self._allowance = Allowance(venue.options, venue.monotonic, venue.unix_s)
        self._unpriced: tuple[str, ...] = ()
        self._reads = SignedReads(
            account, venue.wire, signer, self._allowance, venue.retries, venue.options, venue.clock_reading,
            venue.clock_was_wrong,
        )  # fmt: skip
        self._pages = Pages(self._reads.ask, self._reads.refused, venue.options.pages_max)
        self._listing = Listing(
            account, self._pages, venue.instrument, venue.clock, lambda: venue.offset, venue.options.orders_lookback_s
        )

    def __repr__(self) -> str:
        return f"CoinbaseAccount({self._account!r})"

    @property
    def account(self) -> AccountId:
        return self._account

    @property
    def absence_wait_s(self) -> float:
        """How long after the last possible send a look-up that finds nothing proves absence."""
        return self._options.absence_wait_s

    def wait_s(self, ticket: OrderTicket) -> float:
        """How long the account's rate budget makes this order wait, in seconds; exits have a reserve of their own."""
        return self._allowance.wait_s(urgent=ticket.effect is Effect.EXIT)

    @property
    def budget_left(self) -> float:
        """The share of the tightest rate limit that is not used up, 0 to 1; for monitors."""
        return self._allowance.left

    # -- orders ------------------------------------------------------------------------------------------------

    async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
        """Send the order once. Raises `SendStopped` from the gate, with no order at the venue."""
        venue = self._venue
        async with venue.wire.slot():
            gate()
            signed_at, reading = venue.clock(), venue.clock_reading()
            request = self._signer.sign_order(ticket)
            self._allowance.charge()
            try:
                reply = await venue.wire.request(
                    request.method, request.target, request.headers, request.body, gate=gate
                )
            except WireFailure as failure:
                if failure.sent_at is None:
                    return NotSent(failure.detail, failure.at)
                return Unknown(failure.detail, failure.sent_at, failure.at, signed_at + venue.absent_after)
        self._allowance.observe(reply.headers)
        verdict = self._verdict(ticket, reply)
        if isinstance(verdict, Accepted):
            return verdict
        if isinstance(verdict, Refusal) and verdict.reason is Reason.BAD_KEY:
            if await venue.clock_was_wrong(reading):
                why = "the token was not taken for its date: a clock had been set, and is corrected now"
                return RefusedByVenue(Reason.DEADLINE_ELAPSED, why, reply.at, reply.sent_at, retry_after_s=1.0)
            if not await self._key_is_rejected():
                verdict = "the token was turned away, yet the key is good: what answered need not be Coinbase"
        if isinstance(verdict, Refusal):
            venue.kinds.refused(ticket.kind, verdict.detail)
            return self._refused(verdict, reply)
        return Unknown(verdict, reply.sent_at, reply.at, signed_at + venue.absent_after)

    def _verdict(self, ticket: OrderTicket, reply: Reply) -> Accepted | Refusal | str:
        """The venue's word on the order, or why there is none."""
        got = read_reply(reply)
        if isinstance(got, str):
            return got
        if isinstance(got, Rejection):
            rejected = classify_rejection(got)
            return rejected if isinstance(rejected, Refusal) else rejected.detail
        order_id = accepted_id(ticket, got.body)
        if order_id is not None:
            return Accepted(order_id, reply.sent_at, reply.at)
        told = got.body.get("success_response")
        if got.body.get("success") is not False or (isinstance(told, dict) and told.get("order_id")):
            return "an answer that is not about this order, or contradicts itself"
        failed = classify_failure(got.body)
        return failed if isinstance(failed, Refusal) else failed.detail

    def _refused(self, refusal: Refusal, reply: Reply) -> RefusedByVenue:
        if refusal.reason is Reason.RATE_LIMITED:
            self._allowance.refused(refusal.retry_after_s or 0.0)
        return RefusedByVenue(
            refusal.reason, refusal.detail, reply.at, reply.sent_at, refusal.retry_after_s, refusal.parks_account
        )

    async def _key_is_rejected(self) -> bool:
        """Whether a read is turned away as the order was. The 401 is one plain word that any server could have sent."""
        try:
            await self._reads.call("get_api_key_permissions", urgent=True)
        except CredentialsRejected:
            return True
        except VenueError:
            return False
        return False

    async def cancel(self, venue_order_id: str) -> None:
        """Cancel a resting order; one that is over already is no error. Raises `VenueError`."""
        # Cancelling twice is cancelling once, so this may be repeated.
        body = await self._reads.call("cancel_orders", urgent=True, order_ids=[venue_order_id])
        results = {result.get("order_id"): result for result in entries_in(body, "results")}
        result = results.get(venue_order_id)
        if result is None:
            raise VenueUnavailable(f"{self._account}: Coinbase's answer does not speak of order {venue_order_id}")
        if result.get("success") is True or result.get("failure_reason") == "DUPLICATE_CANCEL_REQUEST":
            return
        # The words for an order that is over are not published, so the order itself is asked.
        if (await self.execution(venue_order_id)).status is ExecutionStatus.OPEN:
            raise VenueRefusedRead(
                f"{self._account}: Coinbase does not cancel order {venue_order_id} "
                f"({result.get('failure_reason')!s:.80}); cancel it by hand at coinbase.com if it stays open"
            )

    # -- what became of it -------------------------------------------------------------------------------------

    async def find(self, ticket: OrderTicket, since: datetime, known: Collection[str]) -> Execution | None:
        """One full pass for `ticket.order_id` from `since` (our clock) on; see `Lookup`. Raises `VenueError`."""
        since_unix_s = since.timestamp() + self._venue.offset.total_seconds() - self._options.clock_skew_max_s
        return await Lookup(self._pages, ticket, since_unix_s, known, self._venue.clock).run()

    async def execution(self, venue_order_id: str) -> Execution:
        """How far the order has come. Raises `VenueError`."""
        return read_execution(await self._order(venue_order_id), self._venue.clock())

    async def orders(self, since: datetime, markets: Collection[str] = ()) -> Sequence[VenueOrder]:
        """Every spot order that is open now, or was placed or ended since; see `Listing`. Raises `VenueError`."""
        await self._venue.instruments_loaded()
        return await self._listing.run(since)

    async def stream(self) -> AsyncIterator[VenueOrder | None]:
        """The orders as they change, None for "look yourself", first of all once it is up. Raises `VenueError`."""
        venue, options = self._venue, self._options
        await venue.instruments_loaded()
        await venue.stream_turn()
        reading = venue.clock_reading()
        channel = UserChannel(
            venue.stream_url, self._signer.stream_token, up_s=options.request_timeout_s,
            silence_s=options.stream_silence_s, message_max_bytes=options.body_max_bytes,
        )  # fmt: skip
        changes = Changes(self._own_order, venue.clock)
        try:
            async with aclosing(channel.changes()) as told:
                async for change in told:
                    if isinstance(change, Up):
                        yield None
                    else:
                        for order in await changes.read(change.order):
                            yield order
        except StreamRefused as error:
            refused = error
        else:
            return
        if await venue.clock_was_wrong(reading):
            raise VenueUnavailable(f"{self._account}: the stream did not take the token: a clock had been set")
        if await self._key_is_rejected():
            raise CredentialsRejected(f"{self._account}: {refused}. Check key and secret; make a new key if need be")
        raise VenueUnavailable(f"{self._account}: {refused}")

    async def _own_order(self, venue_order_id: str) -> VenueOrder | None:
        return self._listing.order(await self._order(venue_order_id))

    async def _order(self, venue_order_id: str) -> dict[str, Any]:
        got = await self._reads.ask("get_order", order_id=venue_order_id)
        if isinstance(got, Rejection):
            if got.status == 404:
                raise VenueUnavailable(
                    f"{self._account}: Coinbase does not show order {venue_order_id}; ask again later"
                )
            raise self._reads.refused("get_order", got)
        order = got.body.get("order")
        if not isinstance(order, dict) or order.get("order_id") != venue_order_id:
            raise VenueUnavailable(f"{self._account}: Coinbase's answer is not about order {venue_order_id}")
        return order

    # -- money and key -----------------------------------------------------------------------------------------

    async def balances(self) -> Balances:
        """Equity, free cash and holdings in the account's currency. Raises `VenueError`."""
        wallets = money.read_wallets(await self._accounts())
        prices = await self._prices([asset for asset, wallet in wallets.items() if wallet.total])
        balances, unpriced = money.as_balances(self._options.currency, wallets, prices, self._venue.clock())
        if unpriced != self._unpriced:
            self._unpriced = unpriced
            if unpriced:
                logger.warning("%s: no price for %s; equity is without them", self._account, ", ".join(unpriced))
        return balances

    async def check_key(self) -> KeyReport:
        """What the key may do. Raises `VenueError`. The first that is asked also tells which order kinds there are."""
        report = read_permissions(self._account, await self._reads.call("get_api_key_permissions"))
        if not report.problems:
            await self._venue.ask_for_kinds(self._reads.call)
        return report

    async def close(self) -> None:
        """Nothing to close: connections belong to the venue."""

    async def _accounts(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        cursor: str | None = None
        for _ in range(self._options.pages_max):
            body = await self._reads.call("get_accounts", limit=_WALLETS_PAGE, cursor=cursor)
            found.extend(dict(entry) for entry in entries_in(body, "accounts"))
            following = body.get("cursor")
            if body.get("has_next") is False:
                return found
            if body.get("has_next") is not True or not isinstance(following, str) or following in ("", cursor):
                break
            cursor = following
        raise VenueUnavailable(f"{self._account}: Coinbase's list of wallets has no end: equity cannot be told")

    async def _prices(self, assets: list[str]) -> dict[str, Decimal]:
        """Best bids of these assets in the account's currency, as far as Coinbase has such a product."""
        await self._venue.instruments_loaded()
        currency = self._options.currency
        listed = {asset: self._venue.instrument(f"{asset}/{currency}") for asset in assets}
        products = {asset: found.venue_symbol for asset, found in listed.items() if found is not None}
        bids: dict[str, Decimal] = {}
        wanted = sorted(products.values())
        for at in range(0, len(wanted), _BIDS_MAX):
            body = await self._reads.call("get_best_bid_ask", product_ids=wanted[at : at + _BIDS_MAX])
            bids |= money.read_bids(body)
        return {asset: bids[product] for asset, product in products.items() if product in bids}
