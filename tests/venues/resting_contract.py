"""What every venue's account must do with orders that rest: each venue's tests run this against its simulator.

A subclass gives `kinds` (what its venue does natively in `symbol`), `place_method` and `listing_methods` as its
simulator names them, and two fixtures: `lab` as for `account_contract`, and `brisk_lab`, the same with a stream that
counts as silent after about a second. The account holds 10,000 of the currency and 1 BTC, the price is 50,000 without a
spread. A subclass says where its venue differs.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from resting_base import CANCELLED, FILLED, OPEN, RESTING, WAIT_S, Case, let_through
from stream_contract import StreamContract

from copytrade.domain.errors import VenueError
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, RefusedByVenue, Unknown, VenueOrder

__all__ = ["WAIT_S", "Case", "RestingContract", "let_through"]


class RestingContract(StreamContract):
    """Tests of the kinds that rest, of `cancel` and of `orders`; those of the stream come with them."""

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
