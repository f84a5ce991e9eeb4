"""One API key at Binance: orders, look-ups, balances."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueError, VenueRefusedRead, VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import ZERO
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
from copytrade.venues.binance import balances as money
from copytrade.venues.binance.changes import Changes
from copytrade.venues.binance.envelope import Fault, read_answer
from copytrade.venues.binance.errors import Limit, Refusal, classify
from copytrade.venues.binance.executions import Executions, read_legs
from copytrade.venues.binance.keys import read_key_info, without_key_info
from copytrade.venues.binance.limits import OrderLimits
from copytrade.venues.binance.listing import Listing
from copytrade.venues.binance.lookup import NO_SUCH_ORDER, Lookup
from copytrade.venues.binance.names import list_reference, split_list_reference, split_reference
from copytrade.venues.binance.options import (
    ACCOUNT_WEIGHT,
    ENTRY_ORDERS_RESERVE,
    ENTRY_RESERVE,
    EXIT_RESERVE,
    LIGHT_WEIGHT,
    ORDER_WEIGHT,
    QUERY_ORDER_WEIGHT,
)
from copytrade.venues.binance.orders import OrderView, as_execution, read_order, read_trades
from copytrade.venues.binance.reads import SignedReads
from copytrade.venues.binance.signer import (
    ACCOUNT,
    CANCEL_LIST,
    CANCEL_ORDER,
    GET_ORDER,
    KEY_PERMISSIONS,
    NEW_LIST,
    NEW_ORDER,
    BinanceSigner,
)
from copytrade.venues.binance.stream import UserStream
from copytrade.venues.binance.tickets import leg_ids, list_fields, order_fields
from copytrade.venues.pool import Gate
from copytrade.venues.wire import Reply, WireFailure

if TYPE_CHECKING:
    from copytrade.venues.binance.public import BinanceVenue

logger = logging.getLogger(__name__)

# What a cancel is told of an order or list that is over: -2011 "Unknown order sent."; lists may have the other one.
_OVER = frozenset({-2011, NO_SUCH_ORDER})
# Orders whose end was in the answer to placing them; they are asked for once, soon after.
_ENDED_MAX = 64


class BinanceAccount:
    """Speaks for one API key; fits the engine's `AccountClient`. Made by `BinanceVenue.connect_account`.

    An order's id is kept with its symbol (`BTCUSDT:28457`): Binance asks for both. A bracket goes by the id of its list
    (`BTCUSDT:L77`); a triggered order keeps its id.
    """

    def __init__(self, venue: BinanceVenue, account: AccountId, signer: BinanceSigner) -> None:
        options = venue.options
        self._venue = venue
        self._account = account
        self._signer = signer
        self._orders = OrderLimits(venue.orders_per_10_s, venue.orders_per_day, venue.unix_s)
        self._not_before = 0.0  # monotonic seconds: the venue's own word on when this account's orders may go on
        self._window = timedelta(seconds=options.order_deadline_s)
        self._margin = timedelta(seconds=options.clock_skew_max_s + options.absence_settle_s)
        self._ended: dict[str, Execution] = {}
        self._unpriced: list[str] = []
        self._reads = SignedReads(account, venue, signer)
        self._executions = Executions(account, venue, self._reads)
        self._listing = Listing(account, venue, self._reads, self._executions)

    def __repr__(self) -> str:
        return f"BinanceAccount({self._account!r})"

    @property
    def account(self) -> AccountId:
        return self._account

    @property
    def absence_wait_s(self) -> float:
        """How long after the last possible send a look-up that finds nothing proves absence."""
        return self._venue.options.absence_wait_s

    def wait_s(self, ticket: OrderTicket) -> float:
        """How long the limits of account and address make this order wait, in seconds; exits have reserves."""
        is_exit = ticket.effect is Effect.EXIT
        told_s = self._not_before - self._venue.monotonic()
        orders_s = self._orders.wait_s(EXIT_RESERVE if is_exit else ENTRY_ORDERS_RESERVE, _counts(ticket))
        address_s = self._venue.address.wait_s(ORDER_WEIGHT, EXIT_RESERVE if is_exit else ENTRY_RESERVE)
        return max(0.0, told_s, orders_s, address_s)

    @property
    def budget_left(self) -> float:
        """The share of the tightest rate limit that is not used up, 0 to 1; for monitors."""
        return min(self._orders.left, self._venue.address.left)

    # -- orders ------------------------------------------------------------------------------------------------

    async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
        """Send the order once. Raises `SendStopped` from the gate, with nothing at the venue.

        Raises `ValueError` for a price that is missing or off the tick.
        """
        venue = self._venue
        bracket = ticket.kind is OrderKind.BRACKET
        call, fields = (NEW_LIST, list_fields(ticket)) if bracket else (NEW_ORDER, order_fields(ticket))
        if not await venue.settle_clock():
            # Without it nobody could say when an order that got lost can no longer arrive.
            return NotSent("Binance's clock could not be compared with ours, so no order can be timed", venue.clock())
        async with venue.wire.slot():
            gate()
            window_ms = round(self._window.total_seconds() * 1000)
            request = self._signer.sign(call, fields, window_ms=window_ms)
            # Binance drops the request from here on, at its gate and again before its matching engine.
            deadline = datetime.fromtimestamp(request.stamped_ms / 1000, UTC) - venue.offset + self._window
            try:
                reply = await venue.wire.request(
                    request.method, request.target, request.headers, request.body, gate=gate
                )
            except WireFailure as failure:
                if failure.sent_at is None:
                    return NotSent(failure.detail, failure.at)
                sent_at, at, doubt = failure.sent_at, failure.at, failure.detail
                self._orders.charge(_counts(ticket))
                venue.address.charge(ORDER_WEIGHT)
            else:
                self._count(ticket, reply)
                verdict = self._verdict(ticket, reply)
                if not isinstance(verdict, str):
                    return verdict
                sent_at, at, doubt = reply.sent_at, reply.at, verdict
        return Unknown(doubt, sent_at, at, deadline + self._margin)

    def _count(self, ticket: OrderTicket, reply: Reply) -> None:
        """An order that succeeds weighs nothing, but counts until it fills; headers have the venue's own counts."""
        self._orders.charge(_counts(ticket))
        self._venue.address.charge(0 if reply.status == 200 else ORDER_WEIGHT)
        self._orders.observe(reply.headers)
        self._venue.address.observe(reply.headers)

    def _verdict(self, ticket: OrderTicket, reply: Reply) -> Accepted | RefusedByVenue | str:
        """The venue's word on the order, or why there is none. An answer about another order is no word on this one."""
        answer = read_answer(reply)
        if isinstance(answer, str):
            return answer
        if isinstance(answer, Fault):
            verdict = classify(answer)
            if not isinstance(verdict, Refusal):
                return f"an error that does not tell whether the order was taken: {verdict.detail}"
            return self._refused(verdict, reply)
        self._listing.seen(ticket.instrument.venue_symbol)
        if ticket.kind is OrderKind.BRACKET:
            return self._list_verdict(ticket, answer.result, reply)
        try:
            order = read_order(answer.result)
        except VenueUnavailable as error:
            return str(error)
        if order.client_id != ticket.order_id or order.symbol != ticket.instrument.venue_symbol:
            return f"an answer about another order ({order.reference})"
        self._keep_end(ticket.instrument, order, answer.result, reply.at)
        return Accepted(order.reference, reply.sent_at, reply.at)

    def _list_verdict(self, ticket: OrderTicket, result: Any, reply: Reply) -> Accepted | str:
        symbol = ticket.instrument.venue_symbol
        if not isinstance(result, dict) or result.get("listClientOrderId") != ticket.order_id:
            return "an answer about another list of orders, or about none"
        list_id = result.get("orderListId")
        if type(list_id) is not int or list_id < 0:
            return f"an answer about list {list_id!r:.40}"
        try:
            self._executions.remember_list(symbol, list_id, read_legs(result, symbol, list_id))
        except VenueUnavailable as error:
            return str(error)
        return Accepted(list_reference(symbol, list_id), reply.sent_at, reply.at)

    def _refused(self, refusal: Refusal, reply: Reply) -> RefusedByVenue:
        retry_after_s = refusal.retry_after_s
        if refusal.limit is Limit.ORDERS:
            self._orders.saturate()
            self._not_before = self._venue.monotonic() + (retry_after_s or 0.0)
        elif refusal.limit is Limit.WEIGHT:
            self._venue.limit_reached(refusal)
        if refusal.reason is Reason.DEADLINE_ELAPSED:
            self._venue.doubt_clock()
        return RefusedByVenue(
            refusal.reason, refusal.detail, reply.at, reply.sent_at, retry_after_s, refusal.parks_account
        )

    def _keep_end(self, instrument: Instrument, order: OrderView, result: Any, at: datetime) -> None:
        """Keep how an order ended when the answer to placing it says so: two calls less for most orders."""
        if order.status is ExecutionStatus.OPEN or "fills" not in result:
            return
        try:
            trades = read_trades(result["fills"], instrument, "qty")
        except VenueUnavailable as error:
            logger.warning("%s: order %s is asked for again: %s", self._account, order.reference, error)
            return
        if trades.quantity != order.executed or trades.fees.other:
            return
        self._ended[order.reference] = as_execution(order, trades, ZERO, at)
        if len(self._ended) > _ENDED_MAX:
            del self._ended[next(iter(self._ended))]

    async def cancel(self, venue_order_id: str) -> None:
        """Cancel a resting order or a bracket; one that is over already is no error. Raises `VenueError`."""
        in_list = split_list_reference(venue_order_id)
        if in_list is not None:
            call, fields = CANCEL_LIST, {"symbol": in_list[0], "orderListId": in_list[1]}
        else:
            symbol, order_id = self._split(venue_order_id)
            call, fields = CANCEL_ORDER, {"symbol": symbol, "orderId": order_id}
        answer = await self._reads.cancel(call, fields)
        if isinstance(answer, Fault) and answer.code not in _OVER:
            raise self._reads.refused(call, answer)

    # -- what became of it -------------------------------------------------------------------------------------

    async def find(self, ticket: OrderTicket, since: datetime, known: Collection[str]) -> Execution | None:
        """One full pass for `ticket.order_id` from `since` (our clock) on; see `Lookup`. Raises `VenueError`.

        A bracket is found by its profit's id. `known` is not needed: every order of ours is at Binance under its own
        client id.
        """
        venue, bracket = self._venue, ticket.kind is OrderKind.BRACKET
        since_ms = ((since + venue.offset).timestamp() - venue.options.clock_skew_max_s) * 1000
        client_id = leg_ids(ticket.order_id)[0] if bracket else ticket.order_id
        lookup = Lookup(
            self._reads.ask, self._reads.refused, ticket, since_ms, client_id=client_id,
            pages_max=venue.options.pages_max,
        )  # fmt: skip
        order = await lookup.run()
        if order is None:
            return None
        if bracket:
            return await self._executions.of_list(order.symbol, order.list_id)
        return await self._executions.of_order(order, ticket.instrument)

    async def execution(self, venue_order_id: str) -> Execution:
        """How far the order has come. Raises `VenueError`."""
        if (ended := self._ended.get(venue_order_id)) is not None:
            return ended
        in_list = split_list_reference(venue_order_id)
        if in_list is not None:
            return await self._executions.of_list(in_list[0], int(in_list[1]))
        symbol, order_id = self._split(venue_order_id)
        instrument = self._executions.instrument(symbol)
        fields = {"symbol": symbol, "orderId": order_id}
        order = read_order(await self._reads.call(GET_ORDER, fields, QUERY_ORDER_WEIGHT, urgent=True))
        if order.reference != venue_order_id:
            raise VenueUnavailable(
                f"{self._account}: Binance answers about order {order.reference:.60}; ask again later"
            )
        return await self._executions.of_order(order, instrument)

    async def orders(self, since: datetime, markets: Collection[str] = ()) -> Sequence[VenueOrder]:
        """Every order that is open now, or was placed or ended at `since` (our clock) or later; see `Listing`.

        The oldest first. Raises `VenueError`.
        """
        await self._venue.instruments_loaded()
        await self._venue.settle_clock()
        return await self._listing.read(since, markets)

    async def stream(self) -> AsyncGenerator[VenueOrder | None, None]:
        """Orders as they change; None once it is up, and where an order has changed that could not be read.

        Raises `VenueError` when it breaks.
        """
        venue, options = self._venue, self._venue.options
        await venue.instruments_loaded()
        await venue.stream_turn()
        window_ms = round(options.read_window_s * 1000)
        stream = UserStream(
            self._account, venue.stream_url, lambda: self._signer.subscription(window_ms=window_ms),
            self._stream_refused, ping_s=options.stream_ping_s, up_s=options.request_timeout_s,
        )  # fmt: skip
        changes = Changes(self._account, self._executions, self._listing)
        async with aclosing(stream.events()) as events:
            async for event in events:
                for order in [None] if event is None else await changes.read(event):
                    yield order

    def _stream_refused(self, fault: Fault) -> VenueError:
        verdict = classify(fault)
        if isinstance(verdict, Refusal) and verdict.limit is Limit.WEIGHT:
            self._venue.limit_reached(verdict)
        if isinstance(verdict, Refusal) and verdict.reason is Reason.DEADLINE_ELAPSED:
            self._venue.doubt_clock()
        return self._reads.refused("the stream of orders", fault)

    # -- money and key -----------------------------------------------------------------------------------------

    async def balances(self) -> Balances:
        """Equity, free cash and holdings in the venue's account currency. Raises `VenueError`."""
        venue, currency = self._venue, self._venue.options.currency
        result = await self._reads.call(ACCOUNT, {"omitZeroBalances": "true"}, ACCOUNT_WEIGHT)
        holdings = money.read_holdings(result)
        only_cash = set(holdings) <= {currency}
        bids = {} if only_cash else await venue.bids(currency)
        found, unpriced = money.summed(currency, holdings, bids, venue.clock())
        if unpriced != self._unpriced:
            self._unpriced = unpriced
            logger.warning(
                "%s: %s have no market against %s and count as nothing in the equity",
                self._account, ", ".join(unpriced)[:200] or "no assets any more", currency,
            )  # fmt: skip
        return found

    async def check_key(self) -> KeyReport:
        """What the key may do. Raises `VenueError`, `CredentialsRejected` among them."""
        options = self._venue.options
        if not await self._venue.has_wallet_calls():
            await self.balances()  # that key and secret are good is all that can be told
            return without_key_info(self._account)
        result = await self._reads.call(KEY_PERMISSIONS, {}, LIGHT_WEIGHT)
        return read_key_info(self._account, result, require_ip_restriction=options.require_ip_restriction)

    async def close(self) -> None:
        """Nothing to close: connections belong to the venue."""

    def _split(self, venue_order_id: str) -> tuple[str, str]:
        try:
            return split_reference(venue_order_id)
        except ValueError as error:
            raise VenueRefusedRead(f"{self._account}: {error}; it was not placed by this service at Binance") from None


def _counts(ticket: OrderTicket) -> int:
    """How many orders it is to Binance's limits of unfilled ones."""
    return 2 if ticket.kind is OrderKind.BRACKET else 1
