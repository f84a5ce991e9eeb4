"""What every venue's stream of orders must do; part of `resting_contract`."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import timedelta

import pytest
from resting_base import CANCELLED, FILLED, OPEN, POLL_S, RESTING, WAIT_S, RestingBase, let_through

from copytrade.domain.errors import VenueError
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind


class StreamContract(RestingBase):
    """Tests of the stream of an account's orders."""

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
