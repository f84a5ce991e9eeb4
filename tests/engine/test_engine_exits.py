"""I3 for exits: a follower's exit sells what was copied and arrived, all of it in the end, and nothing of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from ports import ClientAround, around_clients
from world import World, follower, until

from copytrade.domain.copy import Deferred
from copytrade.domain.ids import copy_id
from copytrade.domain.money import Quantity
from copytrade.domain.order import OrderState
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import Execution, OrderTicket

TWO = {"alice_smith": 1_000, "bob_jones": 500}
D = Decimal


async def test_the_master_closes_in_parts_and_everyone_with_it(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            await desk.sell("0.005")
            await desk.settled()
            assert [desk.position(user) for user in TWO] == [D("0.0015"), D("0.00075")]
            await desk.sell("0.01")
            await desk.settled()
            assert desk.position("alice_smith") == D("0.00050001")  # two thirds, rounded down to the lot step
            await desk.sell()
            await desk.settled()
            assert [world.holds(user) for user in ("master", *TWO)] == [0, 0, 0]


async def test_what_a_follower_bought_itself_is_not_sold(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        world.venue.deposit("alice_smith", "BTC", D("0.5"))
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            assert desk.position("alice_smith") > 0
            await desk.sell()
            await desk.settled()
            assert world.holds("alice_smith") == D("0.5")
            assert desk.position("alice_smith") == 0


async def test_a_sell_of_what_the_master_had_not_bought_here_is_not_copied(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        world.venue.deposit("master", "BTC", D("1"))
        async with world.trading() as desk:
            await desk.buy("500", "ETH/USD")
            await desk.settled()
            copies = await desk.dealt_with(await desk.sell("0.1"))
            assert {c.reason for c in copies} == {Reason.NOTHING_TO_CLOSE}
            assert [world.holds(user, "ETH") for user in TWO] != [0, 0]


async def test_an_exit_waits_for_the_entrys_fill_and_sells_exactly_what_arrived(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, simulator={"fill_delay_ms": 150, "fill_parts": 3}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            out = await desk.sell()
            await until(lambda: desk.copies(out), "the exit is planned")
            await desk.settled()
            assert [(c.state, c.filled) for c in desk.copies(out)] == [
                (OrderState.FILLED, Quantity.of("0.002")), (OrderState.FILLED, Quantity.of("0.001")),
            ]  # fmt: skip
            assert [world.holds(user) for user in ("master", *TWO)] == [0, 0, 0]


async def test_an_exit_behind_an_entry_that_fills_in_part_sells_that_part(tmp_path: Path) -> None:
    slow = {"fill_delays_s": (60.0,)}  # nobody asks for fills until the exit does
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=slow) as world:
        async with world.trading() as desk:
            world.fault("partial_cancel", "alice_smith", fraction="0.25", count=1)
            await desk.dealt_with(await desk.buy("1000"))
            out = await desk.sell()
            await desk.dealt_with(out)
            (planned,) = [copies for _, copies in world.plans if copies[0].signal_id == out]
            assert isinstance(planned[0], Deferred)
            assert str(desk.copy(out, "alice_smith").quantity) == "0.0005"
            assert world.holds("alice_smith") == 0


async def test_an_exit_cut_short_is_followed_by_one_for_the_rest(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.fault("partial_cancel", "bob_jones", fraction="0.3", count=2)
            out = await desk.sell()
            await desk.settled()
            legs = [copy for copy in desk.copies(out) if copy.account == follower("bob_jones")]
            assert [str(leg.filled) for leg in legs] == ["0.0003", "0.00021", "0.00049"]
            assert [leg.order_id for leg in legs] == [copy_id(out, follower("bob_jones"), n) for n in range(3)]
            assert [leg.state for leg in legs] == [OrderState.CANCELLED, OrderState.CANCELLED, OrderState.FILLED]
            assert world.holds("bob_jones") == world.holds("alice_smith") == 0
        assert world.venue.doubles() == []


async def test_the_rest_of_a_partial_exit_is_of_that_exit_and_not_of_the_position(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.fault("partial_cancel", "alice_smith", fraction="0.5", count=1)
            await desk.sell("0.01")  # half of what the master holds: 0.001 of alice's 0.002
            await desk.settled()
            await until(lambda: not desk.ledger.state.orders, "the second leg is at its end")
            assert world.holds("alice_smith") == desk.position("alice_smith") == D("0.001")


async def test_an_exit_that_is_cut_short_again_and_again_is_held_with_an_alert(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.fault("partial_cancel", "alice_smith", fraction="0.1")
            out = await desk.sell()
            await desk.settled()
            await until(lambda: desk.alerts_of("alice_smith", "held", "cut short"), "the operator is told")
            last = desk.copies(out)[-1]
            assert (last.state, last.leg) == (OrderState.HELD, 6)
            world.venue.clear_faults()
            desk.engine.place_held_exits()
            await until(lambda: not desk.ledger.state.orders, "the rest is sold")
            assert world.holds("alice_smith") == 0


async def test_a_fee_taken_in_coins_is_not_sold(tmp_path: Path) -> None:
    class TakesItsFeeInCoins(ClientAround):
        async def execution(self, venue_order_id: str) -> Execution:
            told = await self.inner.execution(venue_order_id)
            return replace(told, fee_base=Quantity.of("0.000008")) if told.quantity.value == D("0.002") else told

    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading(around_clients(TakesItsFeeInCoins)) as desk:
            await desk.buy("1000")
            await desk.settled()
            assert desk.position("alice_smith") == D("0.001992")
            out = await desk.sell()
            await desk.settled()
            assert str(desk.copy(out, "alice_smith").filled) == "0.001992"
            assert desk.position("alice_smith") == 0


@pytest.mark.parametrize("error", ["EOrder:Insufficient funds", "EOrder:Some new rule", "EGeneral:Invalid arguments"])
async def test_a_refused_exit_is_held_and_told_and_placed_at_the_operators_word(tmp_path: Path, error: str) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.fault("error", "bob_jones", error=error, when="before", count=1)
            out = await desk.sell()
            await desk.dealt_with(out)
            await desk.settled()
            assert desk.copy(out, "bob_jones").state is OrderState.HELD
            assert desk.alerts_of("bob_jones", "held", error)
            assert desk.engine.place_held_exits() == 1
            await until(lambda: not desk.ledger.state.orders, "the held exit is at its end")
            assert world.holds("bob_jones") == 0


async def test_a_position_that_is_gone_from_the_venue_is_not_sold_into_the_followers_own(tmp_path: Path) -> None:
    """The follower sold its coins by hand: the venue refuses the exit, and it is held, not made smaller in silence."""
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.venue.deposit("alice_smith", "BTC", -world.holds("alice_smith"))
            out = await desk.sell()
            await desk.settled()
            copy = desk.copy(out, "alice_smith")
            assert (copy.state, copy.reason) == (OrderState.HELD, Reason.INSUFFICIENT_FUNDS)


async def test_an_exit_whose_position_was_sold_while_it_waited_ends_and_the_lane_goes_on(tmp_path: Path) -> None:
    """A held exit that is released goes ahead of a planned one, by a moment, and leaves it nothing to sell."""
    waits_for: list[Callable[[], bool]] = []

    class Dawdling(ClientAround):
        def wait_s(self, ticket: OrderTicket) -> float:
            dawdles = ticket.instrument.symbol == "ETH/USD" and any(not over() for over in waits_for)
            return 0.02 if dawdles else self.inner.wait_s(ticket)

    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading(around_clients(Dawdling)) as desk:

            def mine() -> list[OrderRecord]:
                return list(desk.ledger.state.orders.of(follower("alice_smith")))

            for symbol in ("BTC/USD", "ETH/USD"):
                await desk.buy("1000", symbol)
                await desk.settled()
                world.fault("error", "alice_smith", when="before", error="EOrder:Some new rule", count=1)
                await desk.sell(symbol=symbol)
                await desk.settled()
            assert [(r.symbol, r.state) for r in mine()] == [(s, OrderState.HELD) for s in ("BTC/USD", "ETH/USD")]
            world.fault("error", "alice_smith", when="before", error="EOrder:Some new rule", count=1)
            await desk.buy("1000")
            await desk.settled()
            waits_for.append(lambda: not desk.position("alice_smith"))
            selling = asyncio.create_task(desk.sell())
            while not any(record.state is OrderState.APPROVED for record in mine()):
                await asyncio.sleep(0)
            assert desk.engine.place_held_exits() == 2  # before the exit that was planned this moment is in its lane
            out = await selling
            await desk.settled()
            copy = desk.copy(out, "alice_smith")
            assert (copy.state, copy.reason) == (OrderState.STOPPED, Reason.NOTHING_TO_CLOSE)
            assert [world.holds("alice_smith", base) for base in ("BTC", "ETH")] == [0, 0]
            assert not desk.ledger.state.parked
            assert all(row.explained for row in await desk.engine.reconciler.look(follower("alice_smith"), fresh=True))
            again = await desk.buy("1000")
            await desk.settled()
            assert desk.copy(again, "alice_smith").state is OrderState.FILLED
