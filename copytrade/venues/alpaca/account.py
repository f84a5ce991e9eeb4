"""One API key at Alpaca: orders, look-ups, balances."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.order import Effect
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import (
    Accepted,
    Balances,
    Execution,
    KeyReport,
    NotSent,
    OrderTicket,
    PlaceOutcome,
    RefusedByVenue,
    Unknown,
    VenueOrder,
)
from copytrade.venues.alpaca.balances import read_balances
from copytrade.venues.alpaca.envelope import Problem, read_reply
from copytrade.venues.alpaca.errors import Known, Refusal, classify
from copytrade.venues.alpaca.groups import gather, head, is_list, members
from copytrade.venues.alpaca.history import OrderHistory
from copytrade.venues.alpaca.keys import read_account
from copytrade.venues.alpaca.limits import MinuteBudget
from copytrade.venues.alpaca.listed import OddOrders, read_listed
from copytrade.venues.alpaca.lookup import ORDERS, Lookup
from copytrade.venues.alpaca.options import ENTRY_SHARE, EXIT_SHARE
from copytrade.venues.alpaca.orders import REPLACED, Group, Order, accepted_id, is_open, read_execution
from copytrade.venues.alpaca.reads import SignedReads
from copytrade.venues.alpaca.stream import TradeUpdates
from copytrade.venues.alpaca.tickets import order_fields
from copytrade.venues.pool import Gate
from copytrade.venues.wire import Reply, WireFailure

if TYPE_CHECKING:
    from copytrade.venues.alpaca.public import AlpacaVenue
    from copytrade.venues.alpaca.signer import AlpacaSigner  # brings the SDK along

logger = logging.getLogger(__name__)

ACCOUNT, POSITIONS = "/v2/account", "/v2/positions"
_order_id = re.compile(r"[0-9a-fA-F-]{1,64}").fullmatch
# Ids that the venue calls taken, until their order is found: one of each account at a time, since its lane waits.
_TAKEN_MAX = 100


class AlpacaAccount:
    """Speaks for one API key; fits the engine's `AccountClient`. Made by `AlpacaVenue.connect_account`."""

    def __init__(self, venue: AlpacaVenue, account: AccountId, signer: AlpacaSigner) -> None:
        self._venue = venue
        self._account = account
        self._signer = signer
        self._options = venue.options
        self._budget = MinuteBudget(venue.options.requests_per_minute, venue.monotonic, venue.unix_s)
        self._taken: dict[str, None] = {}
        self._odd = OddOrders()
        self._history = OrderHistory(self._list, self._order, venue.now, venue.options.history_pages_max)
        self.reads = SignedReads(account, venue.wire, signer, self._budget, venue.retries, venue.options, venue.unix_s)

    def __repr__(self) -> str:
        return f"AlpacaAccount({self._account!r})"

    @property
    def account(self) -> AccountId:
        return self._account

    @property
    def absence_wait_s(self) -> float:
        """How long after the last possible send a look-up that finds nothing counts as a proof of absence.

        See `AlpacaOptions`: a second send is harmless at any time, and this is about orders that are given up.
        """
        return self._options.late_order_s

    def wait_s(self, ticket: OrderTicket) -> float:
        """How long the account's requests a minute make this order wait, in seconds; exits have a reserve."""
        return self._budget.wait_s(EXIT_SHARE if ticket.effect is Effect.EXIT else ENTRY_SHARE)

    @property
    def budget_left(self) -> float:
        """The share of the tightest rate limit that is not used up, 0 to 1; for monitors."""
        return self._budget.left

    # -- orders ------------------------------------------------------------------------------------------------

    async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
        """Send the order once. Raises `SendStopped` from the gate, with no order at the venue."""
        venue = self._venue
        async with venue.wire.slot():
            gate()
            request = self._signer.sign("POST", ORDERS, body=order_fields(ticket))
            self._budget.charge()
            try:
                reply = await venue.wire.request(
                    request.method, request.target, request.headers, request.body, gate=gate
                )
            except WireFailure as failure:
                if failure.sent_at is None:
                    return NotSent(failure.detail, failure.at)
                return self._unknown(ticket, failure.detail, failure.sent_at, failure.at)
        self._budget.observe(reply.headers)
        return self._verdict(ticket, reply)

    def _verdict(self, ticket: OrderTicket, reply: Reply) -> PlaceOutcome:
        """The venue's word on the order; unknown where there is none."""
        got = read_reply(reply)
        if isinstance(got, str):
            return self._unknown(ticket, got, reply.sent_at, reply.at)
        if not isinstance(got, Problem):
            order_id = accepted_id(ticket, got.body)
            if order_id is not None:
                return Accepted(order_id, reply.sent_at, reply.at)
            return self._unknown(ticket, "an answer that is not about this order", reply.sent_at, reply.at)
        verdict = classify(got, self._venue.unix_s())
        if isinstance(verdict, Refusal):
            if verdict.reason is Reason.RATE_LIMITED:
                self._budget.refused(verdict.retry_after_s or 0.0)
            return RefusedByVenue(
                verdict.reason, verdict.detail, reply.at, reply.sent_at, verdict.retry_after_s, verdict.parks_account
            )
        if isinstance(verdict, Known):
            self._note_taken(ticket.order_id)
        return self._unknown(ticket, verdict.detail, reply.sent_at, reply.at)

    def _unknown(self, ticket: OrderTicket, detail: str, sent_at: datetime, at: datetime) -> Unknown:
        exits = ticket.effect is Effect.EXIT
        wait_s = self._options.late_exit_s if exits else self._options.late_order_s
        return Unknown(detail, sent_at, at, at + timedelta(seconds=wait_s))

    def _note_taken(self, order_id: str) -> None:
        self._taken[order_id] = None
        if len(self._taken) > _TAKEN_MAX:
            del self._taken[next(iter(self._taken))]

    async def cancel(self, venue_order_id: str) -> None:
        """Ask for a resting order to be cancelled; one that is over already is no error. Raises `VenueError`.

        Alpaca's yes says that it was asked for: a fill may come first. A list ends with any of its legs, and the first
        may be over while the other still works; an order may have been replaced by one of another id. So a no leads
        to a second look.
        """
        if await self._cancelled(venue_order_id):
            return
        for order in members(await gather(await self._order(venue_order_id, urgent=True), self._order)):
            if is_open(order) and order.get("id") != venue_order_id:
                await self._cancelled(str(order.get("id")))

    async def _cancelled(self, order_id: str) -> bool:
        """Whether Alpaca took the request; False when the order cannot be cancelled (any more)."""
        # Cancelling twice is cancelling once, so this may be repeated.
        got = await self.reads.ask("DELETE", f"{ORDERS}/{order_id}", urgent=True)
        if isinstance(got, Problem):
            if got.status != 422:
                raise self.reads.refused(f"DELETE {ORDERS}", got)
            return False
        return True

    # -- what became of it -------------------------------------------------------------------------------------

    async def find(self, ticket: OrderTicket, since: datetime, known: Collection[str]) -> Execution | None:
        """One full pass for `ticket.order_id` from `since` (our clock) on; see `Lookup`. Raises `VenueError`."""
        await self._venue.instruments_loaded()
        skew = self._venue.offset - timedelta(seconds=self._options.clock_skew_max_s)
        lookup = Lookup(
            self.reads.ask,
            self.reads.refused,
            ticket,
            since + skew,
            known,
            self._venue.names,
            pages_max=self._options.pages_max,
        )
        order = await lookup.run()
        if order is not None:
            self._taken.pop(ticket.order_id, None)
            # Whatever found it may have shown it without its legs.
            return await self._followed(await self._order(str(order.get("id"))) if is_list(order) else order)
        if ticket.order_id in self._taken:
            raise VenueUnavailable(
                f"{self._account}: Alpaca says that order {ticket.order_id} is there, yet does not show it; ask again "
                "later"
            )
        return None

    async def execution(self, venue_order_id: str) -> Execution:
        """How far the order has come. Raises `VenueError`."""
        return await self._followed(await self._order(venue_order_id))

    async def _followed(self, order: Order) -> Execution:
        """An order with whatever replaced it: somebody may have changed it by hand, which makes new orders of it."""
        group = await gather(order, self._order)
        return read_execution(group, self._options.crypto_fee_rate, self._venue.clock())

    async def _order(self, order_id: str, *, urgent: bool = False) -> Order:
        if not _order_id(order_id):
            raise VenueUnavailable(f"{self._account}: {order_id!r:.80} is no order id of Alpaca's")
        got = await self.reads.ask("GET", f"{ORDERS}/{order_id}", {"nested": "true"}, urgent=urgent)
        if isinstance(got, Problem):
            if got.status == 404:
                raise VenueUnavailable(f"{self._account}: Alpaca does not show order {order_id}; ask again later")
            raise self.reads.refused(f"GET {ORDERS}/{order_id}", got)
        if not isinstance(got.body, dict) or got.body.get("id") != order_id:
            raise VenueUnavailable(f"{self._account}: Alpaca's answer is not about order {order_id}")
        return got.body

    # -- all orders --------------------------------------------------------------------------------------------

    async def orders(self, since: datetime, markets: Collection[str] = ()) -> Sequence[VenueOrder]:
        """Every order that is open now, or was placed or ended at `since` (our clock) or later; the oldest first.

        Raises `VenueError`.
        """
        await self._venue.instruments_loaded()
        skew = self._venue.offset - timedelta(seconds=self._options.clock_skew_max_s)
        found = [self._listed(group) for group in await self._history.groups(since + skew)]
        return sorted((each for each in found if each is not None), key=lambda each: each.created_at)

    async def stream(self) -> AsyncGenerator[VenueOrder | None, None]:
        """Orders as they change; None when it is up, and when an event says only that something did.

        Raises `VenueError` when it breaks.
        """
        await self._venue.instruments_loaded()
        options = self._options
        updates = TradeUpdates(self._account, options.stream_heartbeat_s, options.request_timeout_s)
        session, url = self._venue.stream_session(), self._venue.stream_url
        async with aclosing(updates.events(session, url, self._signer.stream_login())) as events:
            async for order in events:
                if order is None:
                    yield None
                    continue
                group = await self._changed(order)
                if group is None:
                    yield None
                elif (listed := self._listed(group)) is not None:
                    yield listed

    async def _changed(self, order: Order) -> Group | None:
        """What an event is about, with all that belongs to it; None for a leg, which does not name its list."""
        if is_list(order):
            if order.get("order_class") != "oco" or order.get("type") != "limit":
                return None
            return await gather(await self._order(str(order.get("id"))), self._order)
        if order.get("replaces") is None and order.get("status") != REPLACED:
            return Group([order])
        return await gather(await head(order, self._order), self._order)

    def _listed(self, group: Group) -> VenueOrder | None:
        """An order in our words; one that makes no sense is left out of the list, and not the list for it."""
        try:
            found = read_listed(group, self._venue.names, self._options.crypto_fee_rate, self._venue.clock())
        except VenueUnavailable as error:
            self._odd.warn(self._account, group.last, str(error))
            return None
        if found is None:
            self._odd.warn(self._account, group.last, f"{group.last.get('symbol')!s:.40} is not listed here")
        return found

    async def _list(self, path: str, query: Mapping[str, str]) -> Any:
        return await self.reads.call("GET", path, query)

    # -- money and key -----------------------------------------------------------------------------------------

    async def balances(self) -> Balances:
        """Equity, free cash and holdings in the account's currency. Raises `VenueError`."""
        await self._venue.instruments_loaded()
        body = await self.reads.call("GET", ACCOUNT)
        positions = await self.reads.call("GET", POSITIONS)
        return read_balances(
            self._account, self._options.currency, body, positions, self._venue.names, self._venue.clock()
        )

    async def check_key(self) -> KeyReport:
        """Whether the account may be traded with; what the key may do, Alpaca does not tell. Raises `VenueError`."""
        report = read_account(self._account, await self.reads.call("GET", ACCOUNT))
        # Alpaca shows its markets to keys alone, so the first good one is what they are read with.
        await self._venue.instruments_loaded()
        return report

    async def close(self) -> None:
        """Connections belong to the venue; it only stops reading with this key."""
        self._venue.forget(self.reads)
