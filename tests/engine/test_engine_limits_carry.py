"""What is carried below the minimum, in the running system: durable, replayed, taken away by the master's exits."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ports import ClientAround, around_clients
from world import Desk, World, follower, until

from copytrade.domain.order import OrderState
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Balances
from copytrade.engine.killswitch import KillState
from copytrade.engine.ports import AccountClient
from copytrade.ledger.replay import verify

D = Decimal
ALICE = follower("alice_smith")
CARRY: dict[str, Any] = {"copy": {"below_minimum": "carry"}}
# The venue takes no less than 0.00005 bitcoin, 2.50; of a master order of 100 an account of 100 is to buy for 1.
POOR = {"alice_smith": 100, "bob_jones": 1_000}


class Waiting(ClientAround):
    """A client whose balances are told once the test says so."""

    def __init__(self, inner: AccountClient) -> None:
        super().__init__(inner)
        self.go = asyncio.Event()
        self.go.set()

    async def balances(self) -> Balances:
        await self.go.wait()
        return await super().balances()


def kept(desk: Desk) -> Decimal:
    carried = desk.ledger.state.standing.carried.get(ALICE, {}).get("BTC/USD")
    return D(0) if carried is None else carried.quantity.value


async def test_small_entries_come_together_over_a_restart(tmp_path: Path) -> None:
    with World(tmp_path, followers=POOR, settings=CARRY) as world:
        async with world.trading() as desk:
            for _ in range(2):
                signal = await desk.buy("100")
                await desk.settled()
                assert desk.copy(signal, "alice_smith").reason is Reason.CARRIED
            assert not world.orders("alice_smith")
            before = kept(desk)
            assert D("0.000039") < before < D("0.000041")
        assert verify(world.paths.ledger).ok
        async with world.trading() as desk:
            assert kept(desk) == before
            signal = await desk.buy("100")
            await desk.settled()
            copy = desk.copy(signal, "alice_smith")
            assert copy.state is OrderState.FILLED
            assert "carried" in copy.detail
            assert D("0.000059") < copy.quantity.value < D("0.000061")
            assert kept(desk) == 0
        assert verify(world.paths.ledger).ok


@pytest.mark.parametrize("why", [Reason.KILL_SWITCH, Reason.ENTRY_EXPIRED, Reason.MODE_PAUSED])
async def test_what_a_copy_took_up_that_was_stopped_is_carried_again(tmp_path: Path, why: Reason) -> None:
    with World(tmp_path, followers=POOR, settings=CARRY) as world:

        def stop(desk: Desk) -> None:
            """When the plan is durable and no copy has left."""
            if why is Reason.KILL_SWITCH:
                desk.kill.engage(KillState.HALT)
            elif why is Reason.ENTRY_EXPIRED:
                world.clock.ahead_s += 120
            else:
                world.users["alice_smith"]["mode"] = "paused"
                world.write_users()
                desk.reload()

        async with world.trading() as desk:
            for _ in range(2):
                await desk.buy("100")
                await desk.settled()
            before = kept(desk)
            world.on_plan = lambda: stop(desk)
            signal = await desk.buy("100")
            await desk.settled()
            world.on_plan = lambda: None
            copy = desk.copy(signal, "alice_smith")
            assert (copy.state, copy.reason) == (OrderState.STOPPED, why)
            assert copy.quantity.value > before
            assert kept(desk) == before
        assert verify(world.paths.ledger).ok
        desk.kill.lift()
        world.users["alice_smith"]["mode"] = "active"
        world.write_users()
        async with world.trading() as desk:
            assert kept(desk) == before
            signal = await desk.buy("100")
            await desk.settled()
            copy = desk.copy(signal, "alice_smith")
            assert copy.state is OrderState.FILLED
            assert D("0.000059") < copy.quantity.value < D("0.000061")
            assert kept(desk) == 0
            assert desk.ledger.state.standing.taken == {}
        assert verify(world.paths.ledger).ok


async def test_a_copy_that_a_crash_kept_from_leaving_gives_back_what_it_took_up(tmp_path: Path) -> None:
    """Planned and durable, then the worker dies; the next one finds it absent, and too old."""
    with World(tmp_path, followers=POOR, settings=CARRY) as world:
        async with world.trading() as desk:
            for _ in range(2):
                await desk.buy("100")
                await desk.settled()
            before = kept(desk)
            world.on_plan = desk.engine.services.closing.set  # nothing leaves any more, as if the worker had died there
            signal = await desk.buy("100")
            await until(lambda: world.plans[-1][0].signal_id == signal, "the plan to be durable")
        world.on_plan = lambda: None
        world.clock.ahead_s += 120
        async with world.trading() as desk:
            await desk.settled()
            copy = desk.copy(signal, "alice_smith")
            assert (copy.state, copy.reason) == (OrderState.STOPPED, Reason.ENTRY_EXPIRED)
            assert kept(desk) == before
            assert not world.orders("alice_smith")
        assert verify(world.paths.ledger).ok


async def test_signals_at_once_take_up_what_is_carried_only_once(tmp_path: Path) -> None:
    with World(tmp_path, followers=POOR, settings=CARRY) as world:
        async with world.trading() as desk:
            signals = await asyncio.gather(*(desk.buy("100") for _ in range(8)))
            for signal in signals:
                await desk.dealt_with(signal)
            await desk.settled()
            due = sum((D(100) / 50_000 * 100 / 10_000 for _ in signals), D(0))
            had = desk.position("alice_smith") + kept(desk)
            assert due * D("0.98") < had <= due * D("1.01")  # equities fall by fees on the way
            assert len(world.orders("alice_smith")) == 2


async def test_the_masters_exit_takes_away_what_is_carried(tmp_path: Path) -> None:
    with World(tmp_path, followers=POOR, settings=CARRY) as world:
        async with world.trading() as desk:
            await desk.buy("100")
            await desk.settled()
            whole = kept(desk)
            await desk.sell("0.001")  # half of what the master has
            await until(lambda: kept(desk) == whole / 2, "half of it kept")
            await desk.sell()
            await until(lambda: kept(desk) == 0, "nothing kept")
            await desk.settled()
        async with world.trading() as desk:
            assert kept(desk) == 0
        assert verify(world.paths.ledger).ok


async def test_a_copy_sized_late_is_carried_unless_the_master_is_leaving(tmp_path: Path) -> None:
    with World(tmp_path, followers=POOR, settings=CARRY) as world:
        clients: list[Waiting] = []

        def make(inner: AccountClient) -> AccountClient:
            clients.append(Waiting(inner))
            return clients[-1]

        async with world.trading(around_clients(make)) as desk:
            world.clock.ahead_s += 700  # what is known of the equity has become too old
            late = await desk.buy("100")
            await desk.settled()
            assert desk.copy(late, "alice_smith").reason is Reason.CARRIED
            assert kept(desk) > 0
            world.clock.ahead_s += 700
            (client,) = (each for each in clients if each.account == ALICE)
            client.go.clear()
            left = await desk.buy("100")
            out = await desk.sell()  # while the entry waits for its size
            await until(lambda: desk.copies(out), "the exit planned")
            client.go.set()
            await desk.settled()
            assert desk.copy(left, "alice_smith").reason is Reason.BELOW_MINIMUM
            assert kept(desk) == 0
