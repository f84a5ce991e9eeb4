"""What changes while somebody waits: nothing is asked of an order, an account or a position that has moved on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from world import Desk, World, follower, until

from copytrade.domain.account import Mode
from copytrade.domain.errors import Refused
from copytrade.domain.ids import signal_id
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Price
from copytrade.domain.order import OrderKind, OrderState, Role, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind
from copytrade.domain.venue import Quote
from copytrade.engine.desk import TradeRequest
from copytrade.engine.independent import IndependentDesk, change_of_sides
from copytrade.engine.ports import Venue
from copytrade.engine.roster import Member
from copytrade.engine.service import Wiring

D = Decimal
ALICE, BOB = follower("alice_smith"), follower("bob_jones")
TWO = {"alice_smith": 1_000, "bob_jones": 500}
SOON: dict[str, Any] = {"resting_delays_s": (0.02, 0.05, 0.1)}
NO_GRACE = {"copy": {"master_fill_grace_s": 0}}


class Door:
    """Shut, it keeps whoever comes to it; `kept` says how many are there."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.kept = 0

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def through(self) -> None:
        self.kept += 1
        await self._open.wait()
        self.kept -= 1


class VenueAround:
    """A venue whose prices come through a door, those of at least so much: they are read before it, told behind it."""

    def __init__(self, inner: Venue, door: Door, least: int) -> None:
        self._inner = inner
        self._door = door
        self._least = Price.of(least)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        found = await self._inner.quotes(instruments)
        if any(quote.bid >= self._least for quote in found.values()):
            await self._door.through()
        return found


def prices_through(door: Door, least: int = 0) -> Callable[[Wiring], Wiring]:
    def adjust(wiring: Wiring) -> Wiring:
        venues: dict[str, Any] = {name: VenueAround(venue, door, least) for name, venue in wiring.venues.items()}
        return replace(wiring, venues=venues)

    return adjust


async def bracket(desk: Desk, profit: int, stop: int) -> None:
    """The master's whole position between a profit and a stop, once every copy of it is at the venue."""
    record = await desk.place(
        TradeRequest(
            f"bracket {profit} {stop}", "BTC/USD", Side.SELL, whole=True, kind=OrderKind.BRACKET,
            limit=Price.of(profit), stop=Price.of(stop),
        )
    )  # fmt: skip
    assert record.state is OrderState.ACCEPTED, (record.reason, record.detail)
    await desk.dealt_with(signal_id(record.order_id, SignalKind.PLACED))


async def test_a_stop_that_fills_while_the_price_of_its_profit_is_on_its_way_is_left_alone(tmp_path: Path) -> None:
    """And the next bracket leaves at its profit: the watch goes on."""
    limits = {**SOON, "price_keep_every_s": 0.05}
    with World(tmp_path, followers=TWO, limits=limits, settings=NO_GRACE) as world:
        door = Door()
        async with world.trading(prices_through(door, 55_000)) as desk:
            await desk.buy("1000")
            await desk.settled()
            await bracket(desk, 55_000, 48_000)
            door.shut()
            world.price("BTC/USD", 55_100)
            await until(lambda: door.kept, "the price of the profit is on its way")
            world.price("BTC/USD", 47_900)
            await until(lambda: not desk.ledger.state.positions, "everybody's stop has filled")
            await desk.settled()
            door.open()
            world.price("BTC/USD", 50_000)
            await desk.buy("1000")
            await desk.settled()
            assert not desk.alerts_of("background task failed")
            await bracket(desk, 55_000, 45_000)
            world.price("BTC/USD", 55_100)
            await until(lambda: not desk.ledger.state.positions, "everybody out at the profit")
            await desk.settled()
            assert [world.holds(user) for user in ("master", *TWO)] == [0, 0, 0]


async def _change_sides(desk: Desk, member: Member) -> None:
    change = change_of_sides(desk.engine.services, member)
    assert change is not None
    assert not isinstance(change, str), change
    await desk.ledger.append([change])


async def test_an_account_that_is_copied_to_again_while_its_own_order_waits_for_a_price_places_nothing(
    tmp_path: Path,
) -> None:
    """Its order would be taken for one of the master's, and copied to everybody."""
    followers = {"alice_smith": {"cash": 1_000, "mode": "independent"}, "bob_jones": 500}
    with World(tmp_path, followers=followers) as world:
        door = Door()
        async with world.trading(prices_through(door)) as desk:
            engine = desk.engine
            alice = engine.services.roster.followers[ALICE]
            await _change_sides(desk, alice)
            own = IndependentDesk(engine.services, engine.lanes, engine.tracker, engine.refresher.now, ALICE)
            door.shut()
            world.clock.ahead_s += 60  # no price is fresh
            request = TradeRequest("own", "BTC/USD", Side.BUY, usd=Amount.of(50))
            placing = asyncio.create_task(own.place(request))
            await until(lambda: door.kept, "the price is on its way")
            alice.terms = replace(alice.terms, mode=Mode.ACTIVE)
            await _change_sides(desk, alice)
            door.open()
            with pytest.raises(Refused) as refused:
                await placing
            assert refused.value.reason is Reason.INDEPENDENT
            await desk.settled()
            assert world.plans == []
            assert world.orders("alice_smith") == world.orders("bob_jones") == []
            bought = await desk.dealt_with(await desk.buy("1000"))
            assert [copy.role for copy in bought] == [Role.COPY, Role.COPY]
