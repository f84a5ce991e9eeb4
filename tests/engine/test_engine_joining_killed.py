"""`kill -9` at each step of an entry that waited for a better price: nothing is bought twice, and nothing forgotten."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from dying_joiner import STEPS
from test_engine_joining import join
from test_engine_joining_prices import BOB, ONE, TWO_HOURS, owed, tried, waiting
from world import World

from copytrade.domain.order import OrderState
from copytrade.ledger.replay import verify


async def killed(world: World, step: str, number: int) -> None:
    """Run a worker on this world's files until it kills itself at the step of the entry of that number."""
    program = Path(__file__).with_name("dying_joiner.py")
    environment = {**os.environ, **world.environ, "PYTHONPATH": str(program.parents[2])}
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(program), str(world.paths.config.parent), step, join("bob_jones", number=number),
        str(world.clock.ahead_s), env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await child.communicate()
    assert child.returncode == -signal.SIGKILL, said.decode()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("number", [0, 1])
async def test_nothing_is_doubled_and_nothing_forgotten(tmp_path: Path, step: str, number: int) -> None:
    with World(tmp_path, followers=ONE, settings=TWO_HOURS) as world:
        async with world.trading() as desk:
            await waiting(desk)
            world.fault("partial_cancel", "bob_jones", fraction="0.25", count=1)
            if number:
                await tried(desk, 0, 49_900)
        world.price("BTC/USD", 49_900)
        world.clock.ahead_s += 700
        await killed(world, step, number)
        async with world.trading() as desk:
            first = await tried(desk, 0)
            whole = desk.copy(join("bob_jones"), "bob_jones").quantity.value
            last = await tried(desk, 1)
            assert (first.filled.value, last.state) == (whole / 4, OrderState.FILLED)
            assert len(world.orders("bob_jones")) == 2
            assert world.holds("bob_jones") == desk.ledger.state.position(BOB, "BTC/USD").value == whole
            assert await owed(desk) == {}
        assert world.venue.doubles() == []
        assert verify(world.paths.ledger).ok
