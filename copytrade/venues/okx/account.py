"""One API key at OKX: orders, look-ups, balances."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.instrument import Instrument, MarketStatus
from copytrade.domain.order import Effect, OrderKind
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
from copytrade.venues.budget import DecayCounter
from copytrade.venues.okx import balances as money
from copytrade.venues.okx.algos import ALGO_KINDS
from copytrade.venues.okx.envelope import OK, Envelope, read_envelope
from copytrade.venues.okx.errors import CANCEL_IS_OVER, NOT_THERE, WOULD_HAVE_FILLED, Refusal, classify
from copytrade.venues.okx.events import Events
from copytrade.venues.okx.following import Following
from copytrade.venues.okx.keys import read_config
from copytrade.venues.okx.listing import Listing
from copytrade.venues.okx.lookup import Lookup
from copytrade.venues.okx.options import ACCOUNT_ORDERS_PER_2_S, EXIT_RESERVE, TIMESTAMP_WINDOW_S
from copytrade.venues.okx.orders import is_order_id, joined_id, read_execution, read_order, rows, split_id
from copytrade.venues.okx.paging import Lists
from copytrade.venues.okx.reads import SignedReads, counter_for
from copytrade.venues.okx.routes import Route, route_of
from copytrade.venues.okx.signer import OkxSigner
from copytrade.venues.okx.stream import OrderStream
from copytrade.venues.okx.vanished import Vanished
from copytrade.venues.pool import Gate
from copytrade.venues.wire import Reply, WireFailure

if TYPE_CHECKING:
    from copytrade.venues.okx.public import OkxVenue

logger = logging.getLogger(__name__)

# Codes of an answer whose word on the order stands in its row: taken, all failed, some failed.
_IN_ROW = (OK, "1", "2")
# How long an accepted post-only order is looked at: others wait behind it.
_GLANCE_S = 1.0
# More markets that an account may not trade are counted, not shown.
_SHOWN_MAX = 5


class OkxAccount:
    """Speaks for one API key; fits the engine's `AccountClient`. Made by `OkxVenue.connect_account`.

    The venue order ids it gives and takes are `BTC-USDT:312269865356374016`, and for orders that wait for a price
    `BTC-USDT:algo:312269865356374016`.
    """

    def __init__(self, venue: OkxVenue, account: AccountId, signer: OkxSigner) -> None:
        self._venue = venue
        self._account = account
        self._signer = signer
        self._orders: dict[tuple[str, str], DecayCounter] = {}
        self._all_orders = counter_for(ACCOUNT_ORDERS_PER_2_S, venue.monotonic, reserve_share=EXIT_RESERVE)
        self._not_before = 0.0  # monotonic seconds: the venue's own word on when to come again
        self._reads = SignedReads(
            account, venue.wire, signer, venue.retries, venue.monotonic, venue.now, venue.check_clock, venue.doubt_clock
        )
        self._vanished = Vanished(self._reads.call, venue.monotonic, venue.clock)
        reads, lists = self._reads, Lists(account, self._reads.ask, self._reads.refused, venue.options.pages_max)
        self._following = Following(reads.ask, reads.refused, lists, self._placed, venue.listed, venue.clock)
        self._listing = Listing(lists, self._following, self._placed, self._one, venue.instrument)
        self._made_at_s = venue.monotonic()
        self._algos_sent: set[str] = set()

    def __repr__(self) -> str:
        return f"OkxAccount({self._account!r})"

    @property
    def account(self) -> AccountId:
        return self._account

    @property
    def absence_wait_s(self) -> float:
        """How long after the last possible send a look-up that finds nothing proves absence.

        OKX drops an order that reaches it after its `expTime`; on top come what our clock may be off and what an
        order may take to show up. Client ids do not help: OKX takes one again as soon as its order has ended.
        """
        return (self._venue.order_deadline + self._venue.absence_margin).total_seconds()

    @property
    def budget_left(self) -> float:
        """The share of the tightest rate limit that is not used up, 0 to 1; for monitors."""
        return min(counter.left for counter in (self._all_orders, *self._orders.values()))

    def wait_s(self, ticket: OrderTicket) -> float:
        """How long the account's rate budget makes this order wait, in seconds; exits have a reserve of their own."""
        urgent = ticket.effect is Effect.EXIT
        return max(
            0.0,
            self._not_before - self._venue.monotonic(),
            self._counter(ticket).wait_s(1, urgent=urgent),
            self._all_orders.wait_s(1, urgent=urgent),
        )

    # -- orders ------------------------------------------------------------------------------------------------

    async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
        """Send the order once. Raises `SendStopped` from the gate, with nothing sent, and `ValueError` for a ticket
        with a price that is missing or off the tick."""
        venue, route = self._venue, route_of(ticket.kind)
        fields = route.fields(ticket)
        await venue.check_clock()
        async with venue.wire.slot():
            gate()
            signed_at = venue.clock()
            expires = signed_at + venue.order_deadline
            # OKX looks at `expTime` for ordinary orders alone; what comes after the timestamp's window it drops always.
            deadline = expires if route.has_deadline else signed_at + timedelta(seconds=TIMESTAMP_WINDOW_S)
            request = self._signer.sign(route.call, fields, signed_at + venue.offset, expires=expires + venue.offset)
            try:
                reply = await venue.wire.post(request.target, request.body, request.headers, gate=gate)
            except WireFailure as failure:
                if failure.sent_at is None:
                    return NotSent(failure.detail, failure.at)
                self._charge(ticket)
                return Unknown(failure.detail, failure.sent_at, failure.at, deadline + venue.absence_margin)
        self._charge(ticket)
        verdict = self._verdict(ticket, route, reply)
        if isinstance(verdict, str):
            return Unknown(verdict, reply.sent_at, reply.at, deadline + venue.absence_margin)
        if isinstance(verdict, Accepted) and ticket.kind is OrderKind.POST_ONLY:
            return await self._if_it_rests(ticket.instrument, verdict)
        return verdict

    async def _if_it_rests(self, instrument: Instrument, accepted: Accepted) -> Accepted | RefusedByVenue:
        """OKX takes a post-only order that would have filled and cancels it at once: to us that is a refusal.

        Asked once and no more. Without an answer it counts as accepted, and following it tells the end.
        """
        inst_id, order_id, _ = split_id(accepted.venue_order_id)
        try:
            async with asyncio.timeout(_GLANCE_S):
                envelope = await self._reads.ask_once("get_order", {"instId": inst_id, "ordId": order_id})
            order = rows(envelope.data, "orders")[0]
            execution = read_execution(order, instrument, self._venue.clock())
        except (VenueError, IndexError, TimeoutError):
            return accepted
        over = execution.status is ExecutionStatus.CANCELLED and not execution.quantity
        if order.get("ordId") != order_id or not over or order.get("cancelSource") != WOULD_HAVE_FILLED:
            return accepted
        detail = execution.detail or "cancelled at once: it would have taken liquidity"
        return RefusedByVenue(Reason.POST_ONLY_WOULD_FILL, detail, execution.at, accepted.sent_at)

    def _verdict(self, ticket: OrderTicket, route: Route, reply: Reply) -> Accepted | RefusedByVenue | str:
        """The venue's word on the order, or why there is none.

        OKX's own code is not enough: the row of the order has one too, and a success may carry a failed row. A row
        about another client id is an answer to something else; a failed one with an order id contradicts itself.
        """
        envelope = read_envelope(reply)
        if isinstance(envelope, str):
            return envelope
        if envelope.code not in _IN_ROW:
            if any(not isinstance(row, dict) or row.get(route.id_field) for row in envelope.data):
                return f"an order id together with an error: {envelope.code} {envelope.message}"[:200]
            return self._judged(ticket, reply, envelope.code, envelope.message, row=False)
        if len(envelope.data) != 1 or not isinstance(envelope.data[0], dict):
            return f"an answer with {len(envelope.data)} orders in it, expected one"
        row = envelope.data[0]
        order_id, client_id, code = row.get(route.id_field), row.get(route.client_field), row.get("sCode")
        if client_id != ticket.order_id and (client_id or order_id):
            return f"an answer about another order ({client_id!r:.40})"
        if code == OK and envelope.code == OK and is_order_id(order_id):
            name = joined_id(ticket.instrument.venue_symbol, str(order_id), algo=route.algo)
            return Accepted(name, reply.sent_at, reply.at)
        if not isinstance(code, str) or code == OK or order_id:
            return f"an answer at odds with itself: code {envelope.code}, sCode {code!r:.20}, ordId {order_id!r:.40}"
        return self._judged(ticket, reply, code, str(row.get("sMsg", "")), row=True)

    def _judged(self, ticket: OrderTicket, reply: Reply, code: str, message: str, *, row: bool) -> RefusedByVenue | str:
        verdict = classify(code, message, row=row)
        if not isinstance(verdict, Refusal):
            return f"an error that does not tell whether the order was taken: {verdict.detail}"
        retry_after_s = verdict.retry_after_s
        if verdict.reason is Reason.RATE_LIMITED:
            counter = self._counter(ticket)
            counter.saturate()
            retry_after_s = max(retry_after_s or 0.0, counter.wait_s(1, urgent=True))
            self._not_before = self._venue.monotonic() + retry_after_s
        if verdict.doubts_clock:
            self._venue.doubt_clock()
        return RefusedByVenue(
            verdict.reason, verdict.detail, reply.at, reply.sent_at, retry_after_s, verdict.parks_account
        )

    async def cancel(self, venue_order_id: str) -> None:
        """Cancel a resting order; one that is over already is no error. Raises `VenueError`.

        One that waited for a price and was triggered meanwhile has become an order, which is cancelled then.
        """
        inst_id, order_id, algo = split_id(venue_order_id)
        if not algo:
            await self._cancel("cancel_order", {"instId": inst_id, "ordId": order_id})
        elif not await self._cancel("cancel_algo_order", {"orders_data": [{"instId": inst_id, "algoId": order_id}]}):
            for placed in await self._following.open_orders(inst_id, order_id):
                await self._cancel("cancel_order", {"instId": inst_id, "ordId": placed})

    async def _cancel(self, call: str, fields: dict[str, Any]) -> bool:
        """Cancel; says whether there was something to cancel. Cancelling twice is once, so this may be repeated."""
        envelope = await self._reads.ask(call, fields)
        code, message = envelope.code, envelope.message
        if code in _IN_ROW:
            code, message = _row_code(envelope)
        if code != OK and code not in CANCEL_IS_OVER:
            raise self._reads.refused(call, code, message)
        return code == OK

    # -- what became of it -------------------------------------------------------------------------------------

    async def find(self, ticket: OrderTicket, since: datetime, known: Collection[str]) -> Execution | None:
        """One full pass for `ticket.order_id` from `since` (our clock) on; see `Lookup`. Raises `VenueError`.

        `known` is not needed: OKX shows the client id with every order and trade.
        """
        venue = self._venue
        if ticket.kind in ALGO_KINDS:
            found = await self._following.find(ticket, since + venue.offset)
            if found is None:
                self._prove_absence(ticket)
            return found
        lookup = Lookup(
            self._reads.ask, self._reads.refused, ticket, since + venue.offset, venue.now(),
            pages_max=venue.options.pages_max, clock=venue.clock,
        )  # fmt: skip
        return await lookup.run()

    def _prove_absence(self, ticket: OrderTicket) -> None:
        """Raise `VenueRefusedRead` while a process before this one may have sent such an order, and it be on its way.

        `absence_wait_s` is that of orders with a deadline; for those without one it is too short after a restart.
        """
        wait_s = self._unproved_s()
        if wait_s > 0 and ticket.order_id not in self._algos_sent:
            raise VenueRefusedRead(
                f"{self._account}: order {ticket.order_id} is not at OKX, which is no proof before {wait_s:.0f} s",
                math.ceil(wait_s),
            )

    def _unproved_s(self) -> float:
        """For how long an order without a deadline, sent before this client was made, may still arrive."""
        age_s = self._venue.monotonic() - self._made_at_s
        return TIMESTAMP_WINDOW_S + self._venue.absence_margin.total_seconds() - age_s

    async def execution(self, venue_order_id: str) -> Execution:
        """How far the order has come. Raises `VenueError`."""
        inst_id, order_id, algo = split_id(venue_order_id)
        if algo:
            return await self._following.execution(await self._following.named(inst_id, order_id))
        return await self._placed(await self._venue.listed(inst_id), order_id)

    async def orders(self, since: datetime, markets: Collection[str] = ()) -> Sequence[VenueOrder]:
        """Every order that is open now, or was placed or ended at `since` or later, whoever placed it; see `Listing`.

        Raises `VenueError`.
        """
        venue = self._venue
        await venue.instruments_loaded()
        return await self._listing.read(since + venue.offset, venue.now(), venue.clock())

    def stream(self) -> AsyncIterator[VenueOrder | None]:
        """The account's orders as they change; see `OrderStream`. Raises `VenueError` where it is read."""
        venue = self._venue
        events = Events(self._account, self._following, venue.instrument, venue.clock)
        return OrderStream(
            self._account, venue.options.stream_origin(venue.wire.base_url),
            lambda: self._signer.login(venue.now()), events.read, silence_s=venue.options.stream_ping_s,
            timeout_s=venue.options.request_timeout_s, turn=venue.stream_turn,
            headers={"x-simulated-trading": venue.options.flag}, doubt_clock=venue.doubt_clock,
        ).run()  # fmt: skip

    async def _placed(self, instrument: Instrument, order_id: str) -> Execution:
        """How far an ordinary order has come, also one that OKX has forgotten. Raises `VenueError`."""
        order = await self._shown(instrument, order_id)
        if order is None:
            return await self._vanished.execution(instrument, order_id)
        return read_execution(order, instrument, self._venue.clock())

    async def _one(self, instrument: Instrument, order_id: str) -> VenueOrder | None:
        """The list entry of an ordinary order, None when OKX does not show it. Raises `VenueError`."""
        order = await self._shown(instrument, order_id)
        return None if order is None else read_order(order, instrument, self._venue.clock())

    async def _shown(self, instrument: Instrument, order_id: str) -> Any:
        inst_id = instrument.venue_symbol
        envelope = await self._reads.ask("get_order", {"instId": inst_id, "ordId": order_id})
        if envelope.code in NOT_THERE:
            return None
        if envelope.code != OK:
            raise self._reads.refused("get_order", envelope.code, envelope.message)
        orders = rows(envelope.data, "orders")
        name = joined_id(inst_id, order_id)
        self._vanished.shown(name)
        if len(orders) != 1 or orders[0].get("ordId") != order_id:
            raise VenueUnavailable(f"{self._account}: OKX does not show order {name}; ask again later")
        return orders[0]

    # -- money and key -----------------------------------------------------------------------------------------

    async def balances(self) -> Balances:
        """Equity, free cash and holdings of the trading account, in `options.currency`. Raises `VenueError`."""
        venue, currency = self._venue, self._venue.options.currency
        holdings = money.read_holdings(await self._reads.call("get_account_balance"))
        await venue.instruments_loaded()
        listed = [venue.instrument(f"{asset}/{currency}") for asset in holdings if asset != currency]
        priced = [each for each in listed if each is not None and each.status is MarketStatus.ONLINE]
        quotes = await venue.quotes(priced)
        return money.as_balances(self._account, currency, holdings, quotes, venue.clock())

    async def check_key(self) -> KeyReport:
        """What the key may do, and which of the venue's markets this account may not trade. Raises `VenueError`."""
        report = read_config(self._account, await self._reads.call("get_account_config"))
        warnings = [*report.warnings, *await self._closed_to_us()]
        return KeyReport(report.account, report.permissions, report.problems, tuple(warnings))

    async def close(self) -> None:
        """Nothing to close: connections belong to the venue."""

    # -- inside ------------------------------------------------------------------------------------------------

    async def _closed_to_us(self) -> list[str]:
        """A warning if OKX's list of markets for this account lacks some of the public list: regions differ."""
        await self._venue.instruments_loaded()
        try:
            mine = rows(await self._reads.call("get_instruments", {"instType": "SPOT"}), "markets")
        except VenueError as error:
            return [f"which markets this account may trade could not be read: {error}"]
        open_to_us = {row.get("instId") for row in mine}
        closed = [each.symbol for each in self._venue.online() if each.venue_symbol not in open_to_us]
        if not closed:
            return []
        return [f"OKX does not let this account trade {len(closed)} markets: {', '.join(closed[:_SHOWN_MAX])}..."]

    def _charge(self, ticket: OrderTicket) -> None:
        self._counter(ticket).charge(1)
        self._all_orders.charge(1)
        if ticket.kind in ALGO_KINDS and self._unproved_s() > 0:  # later it makes no difference
            self._algos_sent.add(ticket.order_id)

    def _counter(self, ticket: OrderTicket) -> DecayCounter:
        route = route_of(ticket.kind)
        scope = (route.call, ticket.instrument.venue_symbol)
        counter = self._orders.get(scope)
        if counter is None:
            counter = self._orders[scope] = counter_for(
                route.per_2_s, self._venue.monotonic, reserve_share=EXIT_RESERVE
            )
        return counter


def _row_code(envelope: Envelope) -> tuple[str, str]:
    """Code and words of the one row of an answer about an order. Raises `VenueUnavailable`."""
    found = rows(envelope.data, "orders")
    if len(found) != 1 or not isinstance(found[0].get("sCode"), str):
        raise VenueUnavailable("OKX's answer about an order has no code for it")
    return found[0]["sCode"], str(found[0].get("sMsg", ""))
