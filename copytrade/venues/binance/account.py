"""One API key at Binance: orders, look-ups, balances."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueRefusedRead, VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import ZERO
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
)
from copytrade.venues.binance import balances as money
from copytrade.venues.binance.envelope import Fault, read_answer
from copytrade.venues.binance.errors import Limit, Refusal, classify
from copytrade.venues.binance.keys import read_key_info, without_key_info
from copytrade.venues.binance.limits import OrderLimits
from copytrade.venues.binance.lookup import Lookup
from copytrade.venues.binance.names import split_reference
from copytrade.venues.binance.options import (
    ACCOUNT_WEIGHT,
    ENTRY_ORDERS_RESERVE,
    ENTRY_RESERVE,
    EXIT_RESERVE,
    LIGHT_WEIGHT,
    ORDER_TRADES_WEIGHT,
    ORDER_WEIGHT,
    QUERY_ORDER_WEIGHT,
)
from copytrade.venues.binance.orders import (
    Fees,
    OrderView,
    Trades,
    as_execution,
    order_fields,
    read_order,
    read_trades,
)
from copytrade.venues.binance.reads import SignedReads
from copytrade.venues.binance.signer import (
    ACCOUNT,
    CANCEL_ORDER,
    GET_ORDER,
    KEY_PERMISSIONS,
    MY_TRADES,
    NEW_ORDER,
    BinanceSigner,
)
from copytrade.venues.pool import Gate
from copytrade.venues.wire import Reply, WireFailure

if TYPE_CHECKING:
    from copytrade.venues.binance.public import BinanceVenue

logger = logging.getLogger(__name__)

UNKNOWN_ORDER = -2011
TRADES_PAGE = 1_000  # the longest that myTrades gives
TRADES_PAGES_MAX = 20  # an order that filled in 20,000 pieces is no order of a follower's
# Orders whose end was in the answer to placing them; they are asked for once, soon after.
_ENDED_MAX = 64


class BinanceAccount:
    """Speaks for one API key; fits the engine's `AccountClient`. Made by `BinanceVenue.connect_account`.

    An order's id is kept with its symbol (`BTCUSDT:28457`): Binance asks for both.
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
        orders_s = self._orders.wait_s(EXIT_RESERVE if is_exit else ENTRY_ORDERS_RESERVE)
        address_s = self._venue.address.wait_s(ORDER_WEIGHT, EXIT_RESERVE if is_exit else ENTRY_RESERVE)
        return max(0.0, told_s, orders_s, address_s)

    # -- orders ------------------------------------------------------------------------------------------------

    async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
        """Send the order once. Raises `SendStopped` from the gate, with nothing at the venue."""
        venue = self._venue
        fields = order_fields(ticket)
        if not await venue.settle_clock():
            # Without it nobody could say when an order that got lost can no longer arrive.
            return NotSent("Binance's clock could not be compared with ours, so no order can be timed", venue.clock())
        async with venue.wire.slot():
            gate()
            window_ms = round(self._window.total_seconds() * 1000)
            request = self._signer.sign(NEW_ORDER, fields, window_ms=window_ms)
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
                self._orders.charge()
                venue.address.charge(ORDER_WEIGHT)
            else:
                self._count(reply)
                verdict = self._verdict(ticket, reply)
                if not isinstance(verdict, str):
                    return verdict
                sent_at, at, doubt = reply.sent_at, reply.at, verdict
        return Unknown(doubt, sent_at, at, deadline + self._margin)

    def _count(self, reply: Reply) -> None:
        """An order that succeeds weighs nothing, but counts until it fills; headers have the venue's own counts."""
        self._orders.charge()
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
        try:
            order = read_order(answer.result)
        except VenueUnavailable as error:
            return str(error)
        if order.client_id != ticket.order_id or order.symbol != ticket.instrument.venue_symbol:
            return f"an answer about another order ({order.reference})"
        self._keep_end(ticket.instrument, order, answer.result, reply.at)
        return Accepted(order.reference, reply.sent_at, reply.at)

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
        """Cancel a resting order; one that is over already is no error. Raises `VenueError`."""
        symbol, order_id = self._split(venue_order_id)
        fields = {"symbol": symbol, "orderId": order_id}
        answer = await self._reads.ask(CANCEL_ORDER, fields, ORDER_WEIGHT, urgent=True)
        if isinstance(answer, Fault) and answer.code != UNKNOWN_ORDER:
            raise self._reads.refused(CANCEL_ORDER, answer)

    # -- what became of it -------------------------------------------------------------------------------------

    async def find(self, ticket: OrderTicket, since: datetime, known: Collection[str]) -> Execution | None:
        """One full pass for `ticket.order_id` from `since` (our clock) on; see `Lookup`. Raises `VenueError`.

        `known` is not needed: every order of ours is at Binance under its own client id.
        """
        venue = self._venue
        since_ms = ((since + venue.offset).timestamp() - venue.options.clock_skew_max_s) * 1000
        lookup = Lookup(self._reads.ask, self._reads.refused, ticket, since_ms, pages_max=venue.options.pages_max)
        order = await lookup.run()
        return None if order is None else await self._execution(order, ticket.instrument)

    async def execution(self, venue_order_id: str) -> Execution:
        """How far the order has come. Raises `VenueError`."""
        if (ended := self._ended.get(venue_order_id)) is not None:
            return ended
        symbol, order_id = self._split(venue_order_id)
        instrument = self._venue.instrument(symbol)
        if instrument is None:
            raise VenueUnavailable(f"{self._account}: Binance's list of markets has no {symbol}; read the list again")
        fields = {"symbol": symbol, "orderId": order_id}
        order = read_order(await self._reads.call(GET_ORDER, fields, QUERY_ORDER_WEIGHT, urgent=True))
        if order.reference != venue_order_id:
            raise VenueUnavailable(
                f"{self._account}: Binance answers about order {order.reference:.60}; ask again later"
            )
        return await self._execution(order, instrument)

    async def _execution(self, order: OrderView, instrument: Instrument) -> Execution:
        if not order.executed:
            trades = Trades(ZERO, ZERO, Fees(ZERO, ZERO, {}))
        else:
            trades = await self._trades(order, instrument)
            if trades.quantity < order.executed:
                raise VenueUnavailable(
                    f"{self._account}: Binance's trades of order {order.reference} come to {trades.quantity} of "
                    f"{order.executed} so far; they are asked for again"
                )
        other_fee = await self._in_quote(trades.fees.other, instrument.quote)
        return as_execution(order, trades, other_fee, self._venue.clock())

    async def _trades(self, order: OrderView, instrument: Instrument) -> Trades:
        entries: list[Any] = []
        fields = {"symbol": order.symbol, "orderId": str(order.order_id), "limit": str(TRADES_PAGE)}
        for _ in range(TRADES_PAGES_MAX):
            page = await self._reads.call(MY_TRADES, fields, ORDER_TRADES_WEIGHT, urgent=True)
            if not isinstance(page, list) or not all(_is_trade_of(entry, order.order_id) for entry in page):
                raise VenueUnavailable("Binance's list of trades has something else in it; it is asked for again")
            entries += page
            if len(page) < TRADES_PAGE:
                return read_trades(entries, instrument, "qty")
            fields["fromId"] = str(page[-1]["id"] + 1)
        raise VenueRefusedRead(
            f"{self._account}: order {order.reference} has more trades than can be read; check it by hand"
        )

    async def _in_quote(self, fees: Mapping[str, Decimal], quote: str) -> Decimal:
        """Fees in a third asset (BNB) in units of the quote currency, at its price now: the trade's own is not told."""
        if not fees:
            return ZERO
        bids = await self._venue.bids(quote)
        unpriced = [asset for asset in fees if asset not in bids]
        if unpriced:
            logger.warning("%s: a fee in %s has no price in %s", self._account, ", ".join(unpriced), quote)
        return sum((amount * bids[asset] for asset, amount in fees.items() if asset in bids), ZERO)

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


def _is_trade_of(entry: Any, order_id: int) -> bool:
    return isinstance(entry, dict) and entry.get("orderId") == order_id and type(entry.get("id")) is int
