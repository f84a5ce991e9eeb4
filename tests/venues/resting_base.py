"""What the tests of resting orders are made of, at every venue: the cases, and steps that several tests take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

from copytrade.domain.money import Price
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.venue import Accepted, Execution, ExecutionStatus, OrderTicket, VenueOrder
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


class RestingBase:
    """What a venue's tests say about it, and the steps."""

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
