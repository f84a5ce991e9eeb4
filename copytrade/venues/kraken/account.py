"""One API key at Kraken: orders, look-ups, balances, and the stream of its orders."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueUnavailable
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
from copytrade.venues.budget import DecayCounter
from copytrade.venues.kraken import balances as money
from copytrade.venues.kraken.changes import Ask, Changes
from copytrade.venues.kraken.envelope import read_envelope
from copytrade.venues.kraken.errors import Limit, Refusal, classify
from copytrade.venues.kraken.keys import last_nonce, read_key_info, read_withdraw_probe
from copytrade.venues.kraken.kinds import price_fields
from copytrade.venues.kraken.listing import OrderList
from copytrade.venues.kraken.lookup import Lookup
from copytrade.venues.kraken.options import NONCE_STEPS_MS
from copytrade.venues.kraken.orders import accepted_id, order_fields, orders_in, read_execution
from copytrade.venues.kraken.reads import SignedReads
from copytrade.venues.kraken.signer import KrakenSigner
from copytrade.venues.kraken.socket import ExecutionsSocket, Up
from copytrade.venues.kraken.trading import ADD_ORDER_COST, TradingCounters
from copytrade.venues.kraken.traffic import Traffic
from copytrade.venues.pool import Gate
from copytrade.venues.wire import Reply, WireFailure

if TYPE_CHECKING:
    from copytrade.venues.kraken.public import KrakenVenue

logger = logging.getLogger(__name__)


class KrakenAccount:
    """Speaks for one API key; fits the engine's `AccountClient`. Made by `KrakenVenue.connect_account`."""

    def __init__(self, venue: KrakenVenue, account: AccountId, signer: KrakenSigner) -> None:
        self._venue = venue
        self._account = account
        self._signer = signer
        self._options = venue.options
        limits = venue.options.limits
        self._traffic = Traffic(venue.wire)
        self._trading = TradingCounters(limits, venue.monotonic)
        self._rest = DecayCounter(limits.rest_max, limits.rest_decay_per_s, venue.monotonic)
        self._not_before = 0.0  # monotonic seconds: the venue's own word on when to come again
        self._reads = SignedReads(
            account, venue.wire, signer, self._traffic, self._rest, venue.retries, venue.options, venue.unix_s
        )
        self._list = OrderList(
            account, self._reads.call, venue.instrument, lambda: venue.offset, venue.clock,
            clock_skew_max_s=venue.options.clock_skew_max_s, pages_max=venue.options.pages_max,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"KrakenAccount({self._account!r})"

    @property
    def account(self) -> AccountId:
        return self._account

    @property
    def absence_wait_s(self) -> float:
        """How long after the last possible send a look-up that finds nothing proves absence."""
        return self._options.absence_wait_s

    def wait_s(self, ticket: OrderTicket) -> float:
        """How long the account's rate budget makes this order wait, in seconds; exits have a reserve of their own."""
        told_s = self._not_before - self._venue.monotonic()
        urgent = ticket.effect is Effect.EXIT
        return max(0.0, told_s, self._trading.of(ticket.instrument.symbol).wait_s(ADD_ORDER_COST, urgent=urgent))

    @property
    def budget_left(self) -> float:
        """The share of the tightest rate limit that is not used up, 0 to 1; for monitors."""
        return min(self._rest.left, self._trading.left)

    @property
    def nonce_jumps(self) -> int:
        """How often the nonces had to jump since the start; for monitors."""
        return self._signer.jumps

    # -- orders ------------------------------------------------------------------------------------------------

    async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
        """Send the order once; again only after Kraken has refused its nonce, which is certain not to be an order.

        Raises `SendStopped` from the gate and `NonceUnavailable`, and `ValueError` for an order that Kraken has no kind
        or no price for, all with no order at the venue.
        """
        price_fields(ticket)  # a mistake of ours is found before the gate is asked and a nonce is drawn
        async with self._traffic.order():
            steps_ms = iter(NONCE_STEPS_MS[: self._options.nonce_jumps_max])
            while True:  # at most once more than there are steps
                if self._options.ip_orders_per_s is not None:
                    await self._venue.order_pace()
                outcome = await self._place_once(ticket, gate)
                if not isinstance(outcome, RefusedByVenue) or outcome.reason is not Reason.BAD_NONCE:
                    return outcome
                step_ms = next(steps_ms, None)
                if step_ms is None:
                    return replace(outcome, parks_account=True)
                logger.warning("%s: Kraken refuses the nonce; going on %d s ahead", self._account, step_ms // 1000)
                self._signer.jump(step_ms)

    async def _place_once(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
        venue = self._venue
        async with venue.wire.slot():
            gate()
            signed_at = venue.clock()
            deadline = signed_at + venue.order_deadline
            request = self._signer.sign("AddOrder", order_fields(ticket, deadline + venue.offset))
            try:
                reply = await venue.wire.post(request.path, request.body, request.headers, gate=gate)
            except WireFailure as failure:
                if failure.sent_at is None:
                    return NotSent(failure.detail, failure.at)
                sent_at, at, doubt = failure.sent_at, failure.at, failure.detail
            else:
                verdict = self._verdict(ticket, reply)
                if not isinstance(verdict, str):
                    return verdict
                sent_at, at, doubt = reply.sent_at, reply.at, verdict
        self._trading.of(ticket.instrument.symbol).charge(ADD_ORDER_COST)
        return Unknown(doubt, sent_at, at, deadline + venue.absence_margin)

    def _verdict(self, ticket: OrderTicket, reply: Reply) -> Accepted | RefusedByVenue | str:
        """The venue's word on the order, or why there is none.

        A list of errors beside an order id contradicts itself and is no word at all; warnings beside it are shown.
        """
        envelope = read_envelope(reply)
        if isinstance(envelope, str):
            return envelope
        txid = accepted_id(envelope.result)
        if envelope.warnings:
            logger.warning("%s: Kraken warns: %s", self._account, "; ".join(envelope.warnings)[:200])
        if not envelope.errors:
            if txid is None:
                return "an answer with neither an error nor one order id"
            if self._venue.answered_before(txid):
                return f"an answer that was given before, to another order ({txid})"
            self._trading.placed(txid, ticket.instrument.symbol)
            return Accepted(txid, reply.sent_at, reply.at)
        detail = "; ".join(envelope.errors)[:200]
        if isinstance(envelope.result, dict) and envelope.result.get("txid"):
            return f"an order id together with errors: {detail}"
        verdict = classify(envelope.errors, self._venue.unix_s())
        if not isinstance(verdict, Refusal):
            return f"errors that do not tell whether the order was taken: {detail}"
        return self._refused(ticket, verdict, reply)

    def _refused(self, ticket: OrderTicket, refusal: Refusal, reply: Reply) -> RefusedByVenue:
        counter = self._trading.of(ticket.instrument.symbol)
        counter.charge(ADD_ORDER_COST)
        retry_after_s = refusal.retry_after_s
        if refusal.limit is Limit.TRADING:
            counter.saturate()
            retry_after_s = max(retry_after_s or 0.0, counter.wait_s(ADD_ORDER_COST, urgent=True))
        elif refusal.limit is Limit.REST:
            self._rest.saturate()
            retry_after_s = max(retry_after_s or 0.0, self._rest.wait_s(1))
        if refusal.reason is Reason.RATE_LIMITED and retry_after_s:
            self._not_before = self._venue.monotonic() + retry_after_s
        if refusal.reason is Reason.DEADLINE_ELAPSED:
            self._venue.doubt_clock()
        return RefusedByVenue(
            refusal.reason, refusal.detail, reply.at, reply.sent_at, retry_after_s,
            refusal.parks_account, refusal.parks_for_s,
        )  # fmt: skip

    async def cancel(self, venue_order_id: str) -> None:
        """Cancel a resting order; one that is over already is no error. Raises `VenueError`."""
        # Cancelling twice is cancelling once, so this may be repeated; it goes in an order's turn. It never waits for
        # the trading counter, on which a cancel of a young order weighs most: what it adds there is waited for by the
        # next order.
        self._trading.cancelled(venue_order_id)
        envelope = await self._reads.ask("CancelOrder", {"txid": venue_order_id}, cost=0, urgent=True)
        if envelope.errors and not all(error.startswith("EOrder:Unknown order") for error in envelope.errors):
            raise self._reads.refused("CancelOrder", envelope)

    # -- what became of it -------------------------------------------------------------------------------------

    async def find(self, ticket: OrderTicket, since: datetime, known: Collection[str]) -> Execution | None:
        """One full pass for `ticket.order_id` from `since` (our clock) on; see `Lookup`. Raises `VenueError`."""
        lookup = Lookup(
            self._reads.call,
            ticket,
            self._venue.pairs.key(ticket.instrument.symbol),
            since.timestamp() + self._venue.offset.total_seconds() - self._options.clock_skew_max_s,
            known,
            pages_max=self._options.pages_max,
            clock=self._venue.clock,
        )
        return await lookup.run()

    async def execution(self, venue_order_id: str) -> Execution:
        """How far the order has come. Raises `VenueError`."""
        result = await self._reads.call("QueryOrders", {"txid": venue_order_id})
        orders = orders_in({"orders": result}, "orders")
        if venue_order_id not in orders:
            raise VenueUnavailable(f"{self._account}: Kraken does not show order {venue_order_id}; ask again later")
        return read_execution(venue_order_id, orders[venue_order_id], self._venue.clock())

    async def orders(self, since: datetime, markets: Collection[str] = ()) -> Sequence[VenueOrder]:
        """Every order that is open, or was placed or ended at `since` or later. Raises `VenueError`."""
        return await self._list.since(since)

    async def stream(self) -> AsyncGenerator[VenueOrder | None, None]:
        """The account's orders as they change; see the engine's port. Raises `VenueError`."""
        venue, options = self._venue, self._options
        await venue.stream_turn()
        answer = await self._reads.call("GetWebSocketsToken")
        token = answer.get("token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token:
            raise VenueUnavailable(f"{self._account}: Kraken's answer to GetWebSocketsToken has no token")
        socket = ExecutionsSocket(
            venue.stream_url, token, open_s=options.request_timeout_s, silence_s=options.stream_silence_s,
            message_max_bytes=options.stream_message_max_bytes,
        )  # fmt: skip
        changes = Changes(venue.instrument, lambda: venue.offset, self._list.leave_out)
        async with aclosing(socket.reports()) as reports:
            async for report in reports:
                if isinstance(report, Up):
                    yield None
                    continue
                change = changes.take(report.fields, live=report.live)
                if isinstance(change, Ask):
                    order = await self._list.one(change.order_id)
                    if order is not None:
                        changes.learn(order)
                        # The stream can be ahead of the lists: then it is for the caller to look again.
                        yield None if change.over and order.status is ExecutionStatus.OPEN else order
                elif change is not None:
                    yield change

    # -- money and key -----------------------------------------------------------------------------------------

    async def balances(self) -> Balances:
        """Equity, free cash and holdings in the venue's account currency. Raises `VenueError`."""
        venue, currency = self._venue, self._options.currency
        assets = await venue.assets_loaded()
        envelope = await self._reads.ask("BalanceEx")
        if _unknown_method(envelope.errors):
            envelope = await self._reads.ask("Balance")
        if envelope.errors:
            raise self._reads.refused("BalanceEx", envelope)
        holdings = money.read_holdings(envelope.result, assets)
        trade = await self._reads.ask("TradeBalance", {"asset": assets.key(currency)})
        if not trade.errors:
            equity = money.read_equity(trade.result)
        elif _unknown_method(trade.errors) or _denied(trade.errors):
            listed = {asset: venue.instrument(f"{asset}/{currency}") for asset in holdings}
            instruments = {asset: instrument for asset, instrument in listed.items() if instrument is not None}
            quotes = await venue.quotes(list(instruments.values())) if instruments else {}
            equity = money.summed_equity(self._account, currency, holdings, instruments, quotes)
        else:
            raise self._reads.refused("TradeBalance", trade)
        return money.as_balances(currency, holdings, equity, venue.clock())

    async def check_key(self) -> KeyReport:
        """What the key may do; also takes note of the last nonce that Kraken saw. Raises `VenueError`."""
        envelope = await self._reads.ask("GetApiKeyInfo")
        if not envelope.errors:
            report = read_key_info(self._account, envelope.result)
            if (nonce := last_nonce(envelope.result)) is not None:
                self._signer.raise_to(nonce)
            return report
        if not _unknown_method(envelope.errors):
            raise self._reads.refused("GetApiKeyInfo", envelope)
        probe = await self._reads.ask("WithdrawMethods")
        return read_withdraw_probe(self._account, probe.errors)

    async def close(self) -> None:
        """Nothing to close: connections belong to the venue, the nonce source to whoever made it."""


def _unknown_method(errors: list[str]) -> bool:
    return any(error.startswith("EGeneral:Unknown method") for error in errors)


def _denied(errors: list[str]) -> bool:
    return any(error.startswith("EGeneral:Permission denied") for error in errors)
