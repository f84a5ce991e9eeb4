"""What every venue's account must do with orders that rest: each venue's tests run this against its simulator.

A subclass gives `kinds` (what its venue does natively in `symbol`), `place_method` and `listing_methods` as its
simulator names them, and two fixtures: `lab` as for `account_contract`, and `brisk_lab`, the same with a stream that
counts as silent after about a second. The account holds 10,000 of the currency and 1 BTC, the price is 50,000 without a
spread. A subclass says where its venue differs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

import pytest

from copytrade.domain.errors import VenueError
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import (
    Accepted,
    Execution,
    ExecutionStatus,
    OrderTicket,
    RefusedByVenue,
    Unknown,
    VenueOrder,
)
from copytrade.simulator.orders import NewOrder, Order

OPEN, FILLED, CANCELLED = ExecutionStatus.OPEN, ExecutionStatus.FILLED, ExecutionStatus.CANCELLED
RESTING = tuple(kind for kind in OrderKind if kind.rests)
WAIT_S = 10.0  # far more than anything here takes: a test that gets this far has failed
POLL_S = 0.02


def let_through() -> None:
    """A gate that is open."""


class Case(NamedTuple):
    """An order that rests while the price is 50,000, a price that ends it, and what a unit then costs."""

    side: Side
    limit: str | None
    stop: str | None
    reached: str
    unit_cost: str


class RestingContract:
    """Tests of the kinds that rest, of `cancel`, `orders` and `stream`."""

    kinds: frozenset[OrderKind]
    place_method: str
    listing_methods: tuple[str, ...]  # every call that reading the list of orders makes
    symbol = "BTC/USD"
    page = 50  # orders on one page of the venue's lists
    post_only_is_cancelled = False  # a post-only order that would fill is taken and cancelled, not refused
    stream_notices_gaps = False  # the venue numbers its events
    connections = 1  # of one stream
    cases: ClassVar = {
        OrderKind.LIMIT: Case(Side.BUY, "49000", None, "48900", "49000"),
        OrderKind.POST_ONLY: Case(Side.SELL, "51000", None, "51100", "51000"),
        OrderKind.STOP: Case(Side.SELL, None, "48000", "47900", "47900"),
        OrderKind.STOP_LIMIT: Case(Side.SELL, "47000", "48000", "47900", "47900"),
        OrderKind.TAKE_PROFIT: Case(Side.SELL, None, "52000", "52100", "52100"),
        OrderKind.TAKE_PROFIT_LIMIT: Case(Side.SELL, "51500", "52000", "52100", "52100"),
        OrderKind.BRACKET: Case(Side.SELL, "52000", "48000", "52100", "52000"),
    }  # fmt: skip

    # -- what the tests are made of ----------------------------------------------------------------------------

    def ticket(self, lab: Any, kind: OrderKind, name: str = "one", quantity: str = "0.01") -> OrderTicket:
        case = self.cases[kind]
        plain: OrderTicket = lab.order(name, side=case.side, quantity=quantity)
        return replace(
            plain,
            kind=kind,
            limit_price=None if case.limit is None else Price.of(case.limit),
            stop_price=None if case.stop is None else Price.of(case.stop),
        )

    async def rest(self, lab: Any, kind: OrderKind, name: str = "one", quantity: str = "0.01") -> Accepted:
        """An order that is placed and rests."""
        outcome = await lab.account.place(self.ticket(lab, kind, name, quantity), let_through)
        assert isinstance(outcome, Accepted), outcome
        return outcome

    def price(self, lab: Any, price: str) -> None:
        lab.sim.set_price(self.symbol, Decimal(price))

    def stranger(self, lab: Any, side: str = "buy", limit: str = "40000", **more: Any) -> Order:
        """An order that somebody else placed with the same account, without an id of ours."""
        sim = lab.sim
        with sim.lock:
            sim.exchange.advance(sim.clock())
            order: Order = sim.exchange.submit(
                NewOrder("alice_smith", self.symbol, side, Decimal("0.001"), Decimal(limit), **more)
            )
            sim.exchange.advance(sim.clock())
        return order

    def now(self, lab: Any) -> datetime:
        return datetime.fromtimestamp(lab.sim.clock(), UTC)

    async def settled(self, lab: Any, venue_order_id: str, status: ExecutionStatus) -> Execution:
        """The order's execution once it has this status; venues may tell of a fill a moment later."""
        async with asyncio.timeout(WAIT_S):
            while True:
                execution: Execution = await lab.account.execution(venue_order_id)
                if execution.status is status:
                    return execution
                await asyncio.sleep(POLL_S)

    def native(self, kind: OrderKind, lab: Any) -> bool:
        """Whether the venue has this kind; where it has not, it must not say that it has."""
        if kind in self.kinds:
            return True
        assert kind not in lab.venue.order_kinds(lab.venue.instrument(self.symbol))
        return False

    # -- kinds -------------------------------------------------------------------------------------------------

    async def test_says_which_kinds_it_has(self, lab):
        told = lab.venue.order_kinds(lab.venue.instrument(self.symbol))
        assert told == self.kinds
        assert {OrderKind.MARKET, OrderKind.IOC_LIMIT, OrderKind.LIMIT} <= told

    @pytest.mark.parametrize("kind", RESTING)
    async def test_order_rests_until_the_price_gets_there(self, lab, kind):
        if not self.native(kind, lab):
            return
        case = self.cases[kind]
        placed = await self.rest(lab, kind)
        execution = await lab.account.execution(placed.venue_order_id)
        assert (execution.status, execution.quantity) == (OPEN, Quantity.of(0))
        self.price(lab, case.reached)
        execution = await self.settled(lab, placed.venue_order_id, FILLED)
        assert execution.venue_order_id == placed.venue_order_id
        assert execution.quantity == Quantity.of("0.01")
        assert execution.cost.value == Decimal(case.unit_cost) / 100

    async def test_bracket_sells_once_at_its_loss(self, lab):
        if not self.native(OrderKind.BRACKET, lab):
            return
        placed = await self.rest(lab, OrderKind.BRACKET)
        self.price(lab, "47900")
        execution = await self.settled(lab, placed.venue_order_id, FILLED)
        assert (execution.quantity, execution.cost.value) == (Quantity.of("0.01"), Decimal(479))
        self.price(lab, "52100")
        assert (await lab.account.execution(placed.venue_order_id)).quantity == Quantity.of("0.01")

    @pytest.mark.parametrize("kind", [OrderKind.STOP_LIMIT, OrderKind.TAKE_PROFIT_LIMIT])
    async def test_triggered_order_that_has_to_wait_is_still_the_same_order(self, lab, kind):
        """The price leaps over the limit: triggered, the order rests at its limit, under whatever id."""
        if not self.native(kind, lab):
            return
        away = {OrderKind.STOP_LIMIT: ("46000", "47000"), OrderKind.TAKE_PROFIT_LIMIT: ("52100", "52500")}
        leap, limit = away[kind]
        ticket = replace(self.ticket(lab, kind), limit_price=Price.of(limit))
        placed = await lab.account.place(ticket, let_through)
        assert isinstance(placed, Accepted), placed
        self.price(lab, leap)
        assert (await lab.account.execution(placed.venue_order_id)).status is OPEN
        found = await lab.account.find(ticket, placed.sent_at, ())
        assert (found.venue_order_id, found.status) == (placed.venue_order_id, OPEN)
        assert [order.status for order in await lab.account.orders(placed.sent_at)] == [OPEN]
        await lab.account.cancel(placed.venue_order_id)
        assert (await self.settled(lab, placed.venue_order_id, CANCELLED)).quantity == Quantity.of(0)

    async def test_post_only_order_that_would_fill_is_not_taken(self, lab):
        if not self.native(OrderKind.POST_ONLY, lab):
            return
        crossing = replace(self.ticket(lab, OrderKind.POST_ONLY), limit_price=Price.of(49_000))
        outcome = await lab.account.place(crossing, let_through)
        if self.post_only_is_cancelled and isinstance(outcome, Accepted):
            execution = await self.settled(lab, outcome.venue_order_id, CANCELLED)
            assert execution.quantity == Quantity.of(0)
            return
        assert isinstance(outcome, RefusedByVenue), outcome
        assert outcome.reason is Reason.POST_ONLY_WOULD_FILL
        assert not outcome.parks_account

    @pytest.mark.parametrize("kind", RESTING)
    async def test_price_off_the_tick_is_a_mistake_of_ours_and_not_sent(self, lab, kind):
        if not self.native(kind, lab):
            return
        ticket = self.ticket(lab, kind)
        for name in ("limit_price", "stop_price"):
            price = getattr(ticket, name)
            if price is not None:
                wrong = replace(ticket, **{name: Price(price.value + Decimal("0.00000001"))})
                with pytest.raises(ValueError, match=name):
                    await lab.account.place(wrong, let_through)
                with pytest.raises(ValueError, match=name):
                    await lab.account.place(replace(ticket, **{name: None}), let_through)
        assert lab.orders() == []

    # -- cancelling --------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("kind", RESTING)
    async def test_cancel_ends_it_and_frees_its_money(self, lab, kind):
        if not self.native(kind, lab):
            return
        before = await lab.account.balances()
        placed = await self.rest(lab, kind)
        await lab.account.cancel(placed.venue_order_id)
        execution = await self.settled(lab, placed.venue_order_id, CANCELLED)
        assert execution.quantity == Quantity.of(0)
        assert (await lab.account.balances()).cash == before.cash
        self.price(lab, self.cases[kind].reached)
        assert (await lab.account.execution(placed.venue_order_id)).status is CANCELLED
        await lab.account.cancel(placed.venue_order_id)  # once more is no error

    @pytest.mark.parametrize("kind", RESTING)
    async def test_cancel_that_comes_after_the_fill_is_no_error(self, lab, kind):
        if not self.native(kind, lab):
            return
        placed = await self.rest(lab, kind)
        self.price(lab, self.cases[kind].reached)
        await lab.account.cancel(placed.venue_order_id)
        execution = await lab.account.execution(placed.venue_order_id)
        assert (execution.status, execution.quantity) == (FILLED, Quantity.of("0.01"))

    async def test_cancel_whose_answer_was_lost_is_repeated(self, lab):
        placed = await self.rest(lab, OrderKind.LIMIT)
        lab.fault("status", when="after", status=502, count=1)
        await lab.account.cancel(placed.venue_order_id)
        assert (await self.settled(lab, placed.venue_order_id, CANCELLED)).quantity == Quantity.of(0)

    # -- finding -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("kind", RESTING)
    async def test_resting_order_whose_answer_was_lost_is_found(self, lab, kind):
        if not self.native(kind, lab):
            return
        ticket = self.ticket(lab, kind)
        lab.fault("drop", when="after", method=self.place_method, count=1)
        outcome = await lab.account.place(ticket, let_through)
        assert isinstance(outcome, Unknown), outcome
        found = await lab.account.find(ticket, outcome.sent_at, ())
        assert (found.status, found.quantity) == (OPEN, Quantity.of(0))
        assert len(lab.orders()) == 1
        assert (await lab.account.execution(found.venue_order_id)).status is OPEN
        await lab.account.cancel(found.venue_order_id)
        again = await lab.account.find(ticket, outcome.sent_at, ())
        assert (again.venue_order_id, again.status) == (found.venue_order_id, CANCELLED)

    @pytest.mark.parametrize("kind", RESTING)
    async def test_order_that_was_triggered_while_its_answer_was_lost_is_found(self, lab, kind):
        if not self.native(kind, lab):
            return
        ticket = self.ticket(lab, kind)
        lab.fault("drop", when="after", method=self.place_method, count=1)
        outcome = await lab.account.place(ticket, let_through)
        self.price(lab, self.cases[kind].reached)
        found = await lab.account.find(ticket, outcome.sent_at, ())
        assert (found.status, found.quantity) == (FILLED, Quantity.of("0.01"))

    # -- the list of orders ------------------------------------------------------------------------------------

    @pytest.mark.parametrize("kind", RESTING)
    async def test_list_tells_all_of_an_order(self, lab, kind):
        if not self.native(kind, lab):
            return
        ticket = self.ticket(lab, kind)
        placed = await self.rest(lab, kind)
        (listed,) = await lab.account.orders(self.now(lab) - timedelta(minutes=1))
        assert listed == VenueOrder(
            venue_order_id=placed.venue_order_id, client_order_id=ticket.order_id, symbol=self.symbol,
            side=ticket.side, kind=kind, quantity=ticket.quantity, limit_price=ticket.limit_price,
            stop_price=ticket.stop_price, status=OPEN, filled=Quantity.of(0), cost=listed.execution.cost,
            fee=listed.fee, created_at=listed.created_at, at=listed.at,
        )  # fmt: skip
        assert (listed.cost.value, listed.fee.value) == (0, 0)
        assert abs(listed.created_at - self.now(lab)) < timedelta(seconds=WAIT_S)
        self.price(lab, self.cases[kind].reached)
        await self.settled(lab, placed.venue_order_id, FILLED)
        (listed,) = await lab.account.orders(self.now(lab) - timedelta(minutes=1))
        execution = await lab.account.execution(placed.venue_order_id)
        assert (listed.venue_order_id, listed.client_order_id) == (placed.venue_order_id, ticket.order_id)
        assert (listed.status, listed.kind, listed.filled) == (FILLED, kind, Quantity.of("0.01"))
        assert (listed.cost, listed.fee, listed.fee_base) == (execution.cost, execution.fee, execution.fee_base)

    async def test_list_has_what_is_open_and_what_was_placed_or_ended_since(self, lab):
        over_before = self.stranger(lab)
        lab.sim.exchange.cancel(over_before)
        open_before = self.stranger(lab, limit="41000")
        ended_since = self.stranger(lab, limit="42000")
        lab.time.now_s += 7_200  # longer than any overlap a venue's filters need
        since = self.now(lab) - timedelta(minutes=30)
        with lab.sim.lock:
            lab.sim.exchange.advance(lab.sim.clock())
            lab.sim.exchange.cancel(ended_since)
        ours = await self.rest(lab, OrderKind.LIMIT)
        filled = await lab.account.place(lab.order("market"), let_through)
        await self.settled(lab, filled.venue_order_id, FILLED)
        listed = await lab.account.orders(since)
        prices = {order.limit_price for order in listed}
        assert {Price.of(41_000), Price.of(42_000), Price.of(49_000)} <= prices
        assert Price.of(40_000) not in prices, "what was over before is not listed"
        assert [order.created_at for order in listed] == sorted(order.created_at for order in listed)
        by_price = {order.limit_price: order for order in listed}
        assert by_price[Price.of(41_000)].status is OPEN
        assert by_price[Price.of(42_000)].status is CANCELLED
        assert by_price[Price.of(49_000)].venue_order_id == ours.venue_order_id
        assert open_before.is_open
        (market,) = [order for order in listed if order.kind is OrderKind.MARKET]
        assert (market.venue_order_id, market.filled) == (filled.venue_order_id, Quantity.of("0.001"))

    async def test_list_tells_whose_orders_they_are(self, lab):
        self.stranger(lab, client_id=None)
        await self.rest(lab, OrderKind.LIMIT)
        ours = self.ticket(lab, OrderKind.LIMIT).order_id
        ids = [order.client_order_id for order in await lab.account.orders(self.now(lab) - timedelta(minutes=1))]
        assert ids.count(ours) == 1
        assert len(ids) == 2

    async def test_list_has_no_holes_between_its_pages(self, lab):
        """More open and more closed orders than two pages hold."""
        count = 2 * self.page + 3
        since = self.now(lab) - timedelta(minutes=1)
        for number in range(2 * count):
            order = self.stranger(lab, limit=str(30_000 + number))
            if number < count:  # at once, so that the money suffices
                lab.sim.exchange.cancel(order)
        listed = await lab.account.orders(since)
        assert len({order.venue_order_id for order in listed}) == len(listed) == 2 * count
        assert {order.limit_price for order in listed} == {Price.of(30_000 + number) for number in range(2 * count)}
        assert sum(order.status is OPEN for order in listed) == count

    async def test_every_hole_in_the_list_is_an_error(self, lab):
        self.stranger(lab)
        for method in self.listing_methods:
            lab.sim.faults.remove()
            lab.fault("error", when="before", method=method, error=lab.passing_error)
            with pytest.raises(VenueError):
                await lab.account.orders(self.now(lab) - timedelta(minutes=1))
        assert self.listing_methods

    async def test_list_tells_partial_fills(self, lab):
        lab.fault("partial_cancel", method=self.place_method, fraction="0.25", count=1)
        await lab.account.place(lab.order(quantity="0.004"), let_through)
        await lab.account.balances()  # time for the fill
        (listed,) = await lab.account.orders(self.now(lab) - timedelta(minutes=1))
        assert (listed.status, listed.quantity) == (CANCELLED, Quantity.of("0.004"))
        assert listed.filled == Quantity.of("0.001")
        assert listed.cost.value == 50

    # -- the stream --------------------------------------------------------------------------------------------

    async def up(self, stream: AsyncIterator[VenueOrder | None]) -> None:
        """Once the stream says that it is up."""
        async with asyncio.timeout(WAIT_S):
            assert await anext(stream) is None

    async def to_its_end(self, stream: AsyncIterator[VenueOrder | None]) -> None:
        """Listen until the stream raises."""
        async with asyncio.timeout(WAIT_S):
            async for _ in stream:
                pass

    async def told(
        self, lab: Any, stream: AsyncIterator[VenueOrder | None], wanted: Callable[[VenueOrder], bool]
    ) -> VenueOrder:
        """The first order the stream tells of that is as wanted; where it says to look, the list is read."""
        async with asyncio.timeout(WAIT_S):
            async for order in stream:
                heard = await lab.account.orders(self.now(lab) - timedelta(minutes=1)) if order is None else [order]
                for each in heard:
                    if wanted(each):
                        return each
        raise AssertionError("the stream ended without a word")

    @pytest.mark.parametrize("kind", RESTING)
    async def test_stream_tells_of_an_order_from_its_beginning_to_its_fill(self, lab, kind):
        if not self.native(kind, lab):
            return
        ticket = self.ticket(lab, kind)
        async with aclosing(lab.account.stream()) as stream:
            await self.up(stream)
            placed = await self.rest(lab, kind)
            order = await self.told(lab, stream, lambda order: order.status is OPEN)
            assert (order.venue_order_id, order.client_order_id) == (placed.venue_order_id, ticket.order_id)
            assert (order.symbol, order.side, order.kind) == (self.symbol, ticket.side, kind)
            assert (order.quantity, order.filled) == (ticket.quantity, Quantity.of(0))
            assert (order.limit_price, order.stop_price) == (ticket.limit_price, ticket.stop_price)
            self.price(lab, self.cases[kind].reached)
            order = await self.told(lab, stream, lambda order: order.status is FILLED)
            execution = await lab.account.execution(placed.venue_order_id)
            assert (order.venue_order_id, order.client_order_id) == (placed.venue_order_id, ticket.order_id)
            assert (order.kind, order.filled, order.cost) == (kind, Quantity.of("0.01"), execution.cost)
            assert (order.fee, order.fee_base) == (execution.fee, execution.fee_base)

    async def test_stream_tells_of_a_market_order(self, lab):
        async with aclosing(lab.account.stream()) as stream:
            await self.up(stream)
            placed = await lab.account.place(lab.order(), let_through)
            order = await self.told(lab, stream, lambda order: order.status is FILLED)
            assert (order.venue_order_id, order.filled) == (placed.venue_order_id, Quantity.of("0.001"))
            assert order.kind is OrderKind.MARKET

    @pytest.mark.parametrize("kind", RESTING)
    async def test_stream_tells_of_a_cancel(self, lab, kind):
        if not self.native(kind, lab):
            return
        async with aclosing(lab.account.stream()) as stream:
            await self.up(stream)
            placed = await self.rest(lab, kind)
            await lab.account.cancel(placed.venue_order_id)
            order = await self.told(lab, stream, lambda order: order.status is CANCELLED)
            assert (order.venue_order_id, order.filled) == (placed.venue_order_id, Quantity.of(0))

    async def test_stream_tells_of_orders_that_somebody_else_placed(self, lab):
        async with aclosing(lab.account.stream()) as stream:
            await self.up(stream)
            self.stranger(lab, limit="41000")
            order = await self.told(lab, stream, lambda order: order.limit_price == Price.of(41_000))
            assert order.status is OPEN

    async def test_stream_that_breaks_is_an_error_and_the_list_tells_what_it_missed(self, lab):
        async with aclosing(lab.account.stream()) as stream:
            await self.up(stream)
            lab.fault("stream_drop", count=1)
            with pytest.raises(VenueError):
                await self.to_its_end(stream)
        placed = await self.rest(lab, OrderKind.LIMIT)
        self.price(lab, "48900")
        async with aclosing(lab.account.stream()) as stream:
            await self.up(stream)
            (listed,) = await lab.account.orders(self.now(lab) - timedelta(minutes=1))
            assert (listed.venue_order_id, listed.status) == (placed.venue_order_id, FILLED)
            await lab.account.place(lab.order("two"), let_through)
            order = await self.told(lab, stream, lambda order: order.filled == Quantity.of("0.001"))
            assert order.quantity == Quantity.of("0.001")

    async def test_stream_that_tells_garbage_is_an_error(self, lab):
        async with aclosing(lab.account.stream()) as stream:
            await self.up(stream)
            lab.fault("stream_garbage", count=1)
            await self.rest(lab, OrderKind.LIMIT)
            with pytest.raises(VenueError):
                await self.to_its_end(stream)

    async def test_stream_that_goes_silent_is_an_error(self, brisk_lab):
        lab = brisk_lab
        async with aclosing(lab.account.stream()) as stream:
            await self.up(stream)
            lab.fault("stream_silent", count=1)
            with pytest.raises(VenueError):
                await self.to_its_end(stream)

    async def test_stream_on_which_nothing_happens_stays_up(self, brisk_lab):
        """The control of the test before: with signs of life, a quiet account is no silent stream."""
        lab = brisk_lab
        async with aclosing(lab.account.stream()) as stream:
            await self.up(stream)
            reading = asyncio.ensure_future(anext(stream))
            done, _ = await asyncio.wait([reading], timeout=2.5)
            assert not done, reading.exception() if reading.done() else ""
            await lab.account.place(lab.order(), let_through)
            async with asyncio.timeout(WAIT_S):
                await reading

    async def test_stream_that_cannot_be_opened_is_an_error(self, lab):
        lab.fault("stream_refuse")
        async with aclosing(lab.account.stream()) as stream:
            with pytest.raises(VenueError):
                async with asyncio.timeout(WAIT_S):
                    await anext(stream)

    async def test_event_told_twice_counts_once(self, lab):
        async with aclosing(lab.account.stream()) as stream:
            await self.up(stream)
            lab.fault("stream_repeat")
            await lab.account.place(lab.order(), let_through)
            order = await self.told(lab, stream, lambda order: order.status is FILLED)
            assert order.filled == Quantity.of("0.001")
            await lab.account.place(lab.order("two", quantity="0.002"), let_through)
            order = await self.told(lab, stream, lambda order: order.quantity == Quantity.of("0.002") == order.filled)
            assert order.cost.value == 100

    async def test_event_that_is_left_out_is_noticed_where_events_are_numbered(self, lab):
        async with aclosing(lab.account.stream()) as stream:
            await self.up(stream)
            lab.fault("stream_skip", count=1)
            await self.rest(lab, OrderKind.LIMIT)
            second = await self.rest(lab, OrderKind.LIMIT, "two")
            if not self.stream_notices_gaps:  # what comes after the gap is told, and the gap is for the list to close
                order = await self.told(lab, stream, lambda order: order.venue_order_id == second.venue_order_id)
                assert order.status is OPEN
                return
            with pytest.raises(VenueError):
                await self.to_its_end(stream)

    async def test_closing_the_stream_closes_its_connection(self, lab):
        async with aclosing(lab.account.stream()) as stream:
            await self.up(stream)
            assert sum(lab.sim.listeners().values()) == self.connections
        async with asyncio.timeout(WAIT_S):
            while lab.sim.listeners():
                await asyncio.sleep(POLL_S)

    async def test_no_secret_is_logged_on_the_way(self, lab, caplog):
        caplog.set_level(0)
        async with aclosing(lab.account.stream()) as stream:
            await self.up(stream)
            lab.fault("stream_garbage", count=1)
            placed = await self.rest(lab, OrderKind.LIMIT)
            with pytest.raises(VenueError) as error:
                await self.to_its_end(stream)
        await lab.account.cancel(placed.venue_order_id)
        told = caplog.text + str(error.value) + repr(error.value.__context__) + repr(error.value.__cause__)
        assert lab.secret not in told
        assert lab.key not in told
