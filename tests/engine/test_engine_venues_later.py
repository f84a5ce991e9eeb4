"""Venues that are slow to list their markets at a start: copies wait for the list, and not for ever."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from ports import LedgerAround
from venues_world import VenuesDesk, VenuesWorld
from world import until

from copytrade.domain.events import CopiesPlanned, Event
from copytrade.domain.order import OrderState
from copytrade.domain.reasons import Reason
from copytrade.engine.service import Wiring
from copytrade.engine.services import ServiceStopping

D = Decimal
ALICE = "okx:alice_smith"
# The start goes on while the list of markets is still on its way.
HASTY = {"connect_wait_s": 0.02}
STEP = D("0.00000001")


class StopsAtThePlan(LedgerAround):
    """The signal is written, and its plan is not."""

    def append(self, events: Sequence[Event], *, hurry: bool = False) -> Awaitable[None]:
        if any(isinstance(event, CopiesPlanned) for event in events):
            raise ServiceStopping
        return self.inner.append(events, hurry=hurry)


def stops_at_the_plan(wiring: Wiring) -> Wiring:
    return replace(wiring, ledger=StopsAtThePlan(wiring.ledger))


def world_of(tmp_path: Path) -> VenuesWorld:
    world = VenuesWorld(tmp_path, users={"alice_smith": {"okx": 1_000}}, limits=HASTY)
    world.venue_settings["okx"] = {"request_timeout_s": 20}
    world.write_settings()
    return world


async def unplanned(world: VenuesWorld) -> str:
    """The master buys, and the worker dies before the plan; from now on OKX takes its time over its markets."""
    async with world.trading(stops_at_the_plan) as desk:
        await connected(desk)
        signal = await desk.buy("1000")
        assert desk.ledger.state.unplanned.keys() == {signal}
    world.sims["okx"].add_fault("delay", when="before", method="GET /public/instruments", delay_ms=1_500)
    return signal


async def connected(desk: VenuesDesk) -> None:
    for venue, user in (("kraken", "master"), ("okx", "alice_smith")):
        await until(lambda venue=venue, user=user: desk.connected(venue, user), f"{user} is connected")  # type: ignore[misc]


async def waiting(desk: VenuesDesk, signal: str) -> None:
    await until(lambda: desk.copies(signal), "the signal is planned")
    copy = desk.copy(signal, ALICE)
    assert (copy.state, copy.reason, copy.symbol) == (OrderState.DEFERRED, Reason.WAITS_FOR_MARKETS, "BTC/USD"), copy
    assert desk.engine.services.instrument("okx", "BTC/USDT") is None


async def test_an_entry_waits_for_the_markets_of_its_venue_and_is_placed_in_its_own(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world:
        signal = await unplanned(world)
        async with world.trading() as desk:
            await waiting(desk, signal)
            await desk.settled()
            copy = desk.copy(signal, ALICE)
            assert (copy.state, copy.symbol) == (OrderState.FILLED, "BTC/USDT")
            assert [order["symbol"] for order in world.orders("okx", "alice_smith")] == ["BTC/USDT"]
            held = desk.position(ALICE, "BTC/USDT")
            assert held > 0 == desk.position(ALICE, "BTC/USD")
        async with world.trading() as desk:  # in the tables too, and in what they are checked against
            assert desk.copy(signal, ALICE).symbol == "BTC/USDT"
            assert desk.position(ALICE, "BTC/USDT") == held


async def test_an_entry_that_waited_too_long_for_the_markets_of_its_venue_expires(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world:
        signal = await unplanned(world)
        async with world.trading() as desk:
            await waiting(desk, signal)
            world.clock.ahead_s += 61
            await desk.settled()
            copy = desk.copy(signal, ALICE)
            assert (copy.state, copy.reason) == (OrderState.SKIPPED, Reason.ENTRY_EXPIRED)
            assert world.orders("okx", "alice_smith") == []


async def test_the_wait_outlives_another_restart(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world:
        signal = await unplanned(world)
        async with world.trading() as desk:
            await waiting(desk, signal)
        async with world.trading() as desk:
            await desk.settled()
            assert desk.copy(signal, ALICE).symbol == "BTC/USDT"
            assert [order["symbol"] for order in world.orders("okx", "alice_smith")] == ["BTC/USDT"]


async def test_what_the_venue_turns_out_not_to_list_is_told_so(tmp_path: Path) -> None:
    async with world_of(tmp_path) as world:
        world.copy = {}
        world.write_settings()
        signal = await unplanned(world)
        world.sims["okx"].clear_faults()
        world.sims["okx"].add_fault("delay", when="before", method="GET /public/instruments", delay_ms=1_500)
        async with world.trading() as desk:
            await waiting(desk, signal)
            await desk.settled()
            assert desk.copy(signal, ALICE).reason is Reason.QUOTE_DIFFERS  # it lists BTC/USD; alice's money is USDT
            assert world.orders("okx", "alice_smith") == []


async def test_an_exit_behind_an_entry_that_waits_for_its_market_follows_it_there(tmp_path: Path) -> None:
    """Both were planned under the master's spelling; the follower must not stay in what the entry found."""
    async with world_of(tmp_path) as world:
        signal = await unplanned(world)
        async with world.trading() as desk:
            await waiting(desk, signal)
            await until(lambda: desk.connected("kraken", "master"), "the master is connected")
            await until(lambda: desk.position("kraken:master"), "the master's own purchase has filled")
            half = str(desk.position("kraken:master") / 2)
            part = await desk.sell(half)
            await until(lambda: desk.copies(part), "the exit is planned")
            planned = desk.copy(part, ALICE)
            assert (planned.state, planned.reason) == (OrderState.DEFERRED, Reason.WAITS_FOR_MARKETS)
            out = await desk.sell()
            await desk.settled()
            assert [desk.copy(each, ALICE).symbol for each in (signal, part, out)] == ["BTC/USDT"] * 3
            assert [order["side"] for order in world.orders("okx", "alice_smith")] == ["buy", "sell", "sell"]
            assert world.holds("okx", "alice_smith") < STEP


@pytest.mark.parametrize("listed", [False, True])
async def test_an_exit_takes_along_what_an_entry_finds_in_a_market_that_is_held_already(
    tmp_path: Path, listed: bool
) -> None:
    """With the list still to be read, and with the list there but the entry not sized yet."""
    async with world_of(tmp_path) as world:
        async with world.trading() as desk:
            await connected(desk)
            await desk.buy("1000")
            await desk.settled()
        signal = await unplanned(world)
        world.sims["okx"].add_fault("delay", when="before", method="GET /account/config", delay_ms=1_500)
        async with world.trading() as desk:
            await waiting(desk, signal)
            await until(lambda: desk.connected("kraken", "master"), "the master is connected")
            if listed:
                await until(lambda: desk.engine.services.instrument("okx", "BTC/USDT"), "the list is there")
            out = await desk.sell()
            await until(lambda: desk.copies(out), "the exit is planned")
            assert desk.copy(signal, ALICE).state is OrderState.DEFERRED
            await desk.settled()
            assert world.holds("okx", "alice_smith") < STEP
            assert {order["symbol"] for order in world.orders("okx", "alice_smith")} == {"BTC/USDT"}
