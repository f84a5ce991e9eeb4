"""`kill -9` at each step of taking entries back and of writing off: the next start leaves no half of either."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from dying import STEPS
from world import World, follower, until

from copytrade.domain.ids import signal_id
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind
from copytrade.engine.desk import TradeRequest
from copytrade.ledger.replay import replay, verify

ONE = {"alice_smith": 1_000}
SOON: dict[str, Any] = {"resting_delays_s": (0.02, 0.05, 0.1)}
NO_GRACE = {"copy": {"master_fill_grace_s": 0}}
ALICE = follower("alice_smith")
D = Decimal


async def killed(world: World, step: str) -> None:
    """Run a worker on this world's files until it kills itself at the step."""
    program = Path(__file__).with_name("dying.py")
    environment = {**os.environ, **world.environ, "PYTHONPATH": str(program.parents[2])}
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(program), str(world.paths.config.parent), step, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await child.communicate()
    assert child.returncode == -signal.SIGKILL, said.decode()


@pytest.mark.parametrize("step", [step for step in STEPS if not step.startswith("written")])
async def test_an_entry_of_a_paused_follower_is_taken_back_in_spite_of_it(tmp_path: Path, step: str) -> None:
    with World(tmp_path, followers=ONE, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            record = await desk.place(
                TradeRequest("bid", "BTC/USD", Side.BUY, quantity=Quantity.of("0.02"), kind=OrderKind.LIMIT,
                             limit=Price.of(45_000))
            )  # fmt: skip
            signal_of = signal_id(record.order_id, SignalKind.PLACED)
            await desk.dealt_with(signal_of)
        world.users["alice_smith"]["mode"] = "paused"
        world.write_users()
        await killed(world, step)
        (order,) = world.orders("alice_smith")
        (left,) = [r for r in replay(world.paths.ledger).orders.values() if r.account == ALICE]
        if step in ("before the venue hears", "the venue has heard"):
            assert left.cancel is Reason.MODE_PAUSED, "on the disk before the venue hears of it"
        assert order["status"] == ("canceled" if step == "the venue has heard" else "open")
        async with world.trading() as desk:
            await until(lambda: desk.copy(signal_of, "alice_smith").state.final, "the copy to be over")
            copy = desk.copy(signal_of, "alice_smith")
            assert (copy.state, copy.cancel) == (OrderState.CANCELLED, Reason.MODE_PAUSED)
            assert [each["status"] for each in world.orders("alice_smith")] == ["canceled"]
        assert verify(world.paths.ledger).ok


@pytest.mark.parametrize("step", [step for step in STEPS if step.startswith("written")])
async def test_a_position_and_its_exits_are_written_off_together_or_not_at_all(tmp_path: Path, step: str) -> None:
    with World(tmp_path, followers=ONE) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.venue.deposit("alice_smith", "BTC", D("-0.002"))
            out = await desk.sell()
            await desk.settled()
            assert desk.copy(out, "alice_smith").state is OrderState.HELD
        await killed(world, step)
        async with world.trading() as desk:
            there = (desk.position("alice_smith"), desk.copy(out, "alice_smith").state)
            done = (D(0), OrderState.STOPPED)
            assert there == done or (step == "written off" and there == (D("0.002"), OrderState.HELD))
            world.clock.ahead_s += 60  # three starts in a row have used up what the venue lets the key ask
            await desk.engine.reconciler.write_off(ALICE, "by the operator")
            assert (desk.position("alice_smith"), desk.copy(out, "alice_smith").state) == done
            assert len(desk.ledger.state.standing.gone[ALICE]) == 1, "once"
        assert verify(world.paths.ledger).ok
