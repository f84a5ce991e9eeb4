"""Starting is recovering: whatever state the last run left an order in, it ends once and only once at the venue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from ports import ClientAround, LedgerAround, around_clients
from world import Desk, World, follower, until

from copytrade.domain.events import CopiesPlanned, Event
from copytrade.domain.money import Amount
from copytrade.domain.order import OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import OrderTicket, PlaceOutcome
from copytrade.engine.desk import TradeRequest
from copytrade.engine.ports import Gate
from copytrade.engine.services import ServiceStopping

SHORT_STOP = {"engine": {"shutdown_grace_s": 0}}


class Dies(ClientAround):
    """Takes the process's part of dying: the order leaves or does not, and nobody writes down which."""

    async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
        if "before" in ticket.account:
            await _for_ever()
        outcome = await self.inner.place(ticket, gate)
        if "after" in ticket.account:
            await _for_ever()
        return outcome


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def test_every_state_that_a_stop_can_leave_is_carried_on_with(tmp_path: Path) -> None:
    users = ["before", "after", "unknownthere", "unknownabsent", "accepted", "well"]
    with World(tmp_path, followers=dict.fromkeys(users, 1_000), settings=SHORT_STOP) as world:
        async with world.trading(around_clients(Dies)) as desk:
            world.fault("drop", "unknownthere", count=1)
            world.fault("drop", "unknownabsent", when="before", count=1)
            for user in ("unknownthere", "unknownabsent"):
                world.fault("status", user, "OpenOrders", status=503, when="before")
            world.fault("status", "accepted", "QueryOrders", status=503, when="before")
            signal = await desk.buy("1000")
            expected = {
                "before": OrderState.APPROVED, "after": OrderState.APPROVED,
                "unknownthere": OrderState.UNKNOWN, "unknownabsent": OrderState.UNKNOWN,
                "accepted": OrderState.ACCEPTED, "well": OrderState.FILLED,
            }  # fmt: skip
            await until(lambda: _states(desk, signal) == expected, "each order is where it is to be left")
            await until(lambda: world.orders("after"), "the order that nobody wrote down is at the venue")
        world.venue.clear_faults()
        async with world.trading() as desk:
            assert desk.engine.recovered == {"to_look_up": 4, "to_size": 0, "to_follow": 1, "held": 0, "signals": 0}
            await desk.settled()
            assert _states(desk, signal) == dict.fromkeys(users, OrderState.FILLED)
            assert {user: world.holds(user) for user in users} == dict.fromkeys(users, Decimal("0.002"))
        assert {user: len(world.orders(user)) for user in users} == dict.fromkeys(users, 1)


async def test_an_entry_that_never_left_is_not_sent_when_the_restart_comes_too_late(tmp_path: Path) -> None:
    with World(tmp_path, followers={"before": 1_000, "after": 1_000}, settings=SHORT_STOP) as world:
        async with world.trading(around_clients(Dies)) as desk:
            signal = await desk.buy("1000")
            await until(lambda: world.orders("after"), "one of the two orders is at the venue")
        world.clock.ahead_s += 61
        async with world.trading() as desk:
            await desk.settled()
            late, there = desk.copy(signal, "before"), desk.copy(signal, "after")
            assert (late.state, late.reason) == (OrderState.STOPPED, Reason.ENTRY_EXPIRED)
            assert there.state is OrderState.FILLED
        assert [len(world.orders(user)) for user in ("before", "after")] == [0, 1]


class StopsAtThePlan(LedgerAround):
    """The signal is written, and its plan is not."""

    def append(self, events: Sequence[Event], *, hurry: bool = False) -> Awaitable[None]:
        if any(isinstance(event, CopiesPlanned) for event in events):
            raise ServiceStopping
        return self.inner.append(events, hurry=hurry)


async def test_a_signal_that_was_never_planned_is_planned_at_the_next_start(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}, settings=SHORT_STOP) as world:
        async with world.trading(lambda w: replace(w, ledger=StopsAtThePlan(w.ledger))) as desk:
            signal = await desk.buy("1000")
            assert desk.ledger.state.unplanned.keys() == {signal}
        async with world.trading() as desk:
            assert desk.engine.recovered["signals"] == 1
            await desk.settled()
            assert desk.copy(signal, "alice_smith").state is OrderState.FILLED
        assert [len(world.orders(user)) for user in ("master", "alice_smith")] == [1, 1]


async def test_an_exit_that_waited_for_fills_is_sized_at_the_next_start(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}, settings=SHORT_STOP) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await until(lambda: desk.position("master"), "the master's order is filled")
            await desk.settled()
            world.fault("status", "alice_smith", "QueryOrders", status=503, when="before")
            await desk.buy("500")
            await until(lambda: desk.position("master") == Decimal("0.03"), "the master's second order is filled")
            out = await desk.sell()
            await until(lambda: desk.copies(out), "the exit is planned")
            assert desk.copy(out, "alice_smith").state is OrderState.DEFERRED
        world.venue.clear_faults()
        async with world.trading() as desk:
            assert desk.engine.recovered["to_size"] == 1
            await desk.settled()
            assert world.holds("alice_smith") == desk.position("alice_smith") == 0
        assert world.venue.doubles() == []


@pytest.mark.parametrize("at_the_venue", [True, False])
async def test_a_master_order_in_doubt_is_looked_up_before_anything_else(tmp_path: Path, at_the_venue: bool) -> None:
    wish = TradeRequest("the wish", "BTC/USD", Side.BUY, usd=Amount.of("1000"))

    class DiesAtTheMaster(ClientAround):
        async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
            if at_the_venue:
                await self.inner.place(ticket, gate)
            await _for_ever()
            raise AssertionError("for ever is over")

    with World(tmp_path, followers={"alice_smith": 1_000}, settings=SHORT_STOP) as world:
        async with world.trading(around_clients(DiesAtTheMaster)) as desk:
            waiting = asyncio.create_task(desk.place(wish))
            await until(lambda: desk.ledger.state.orders, "the intent is written")
            await until(lambda: bool(world.orders("master")) is at_the_venue, "the order left, or did not")
        await asyncio.gather(waiting, return_exceptions=True)
        async with world.trading() as desk:
            again = await desk.place(wish)
            await desk.settled()
            assert desk.ledger.find(again.order_id) is not None
            assert world.holds("alice_smith") == Decimal("0.002")
        assert [len(world.orders(user)) for user in ("master", "alice_smith")] == [1, 1]


def _states(desk: Desk, signal: str) -> dict[str, OrderState]:
    return {copy.account.removeprefix(follower("")): copy.state for copy in desk.copies(signal)}


