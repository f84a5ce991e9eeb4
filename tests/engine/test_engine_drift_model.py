"""Random trading of the whole copier: every difference between a follower and the master has its cause."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from drift_world import Tally, act, close_everything, limitless, look_at_everybody, mixed_followers, set_faults
from world import World

from copytrade.copying import drift
from copytrade.venues.kraken.options import TIERS


async def run(root: Path, seed: int, actions: int) -> Tally:
    chance, tally = random.Random(seed), Tally()
    with World(root, followers=mixed_followers(6, seed), simulator={"rate_limits": False}) as world:
        async with world.trading() as desk:
            set_faults(world, seed)
            for number in range(actions):
                await act(desk, chance, number, tally)
                if number % 10 == 9:
                    await desk.settled()
                    await look_at_everybody(desk, tally)
            await close_everything(desk, tally)
    return tally


@pytest.fixture(autouse=True)
def _no_rate_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TIERS, "pro", limitless())


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_difference_has_its_cause_and_all_are_flat_in_the_end(tmp_path: Path, seed: int) -> None:
    tally = await run(tmp_path, seed, 30)
    assert tally.unexplained == []
    assert tally.rows > 20
    assert {"unfilled", "cap: capped_by_risk"} <= set(tally.causes)


async def test_control_an_ideal_by_what_the_master_asked_for_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fold that takes the master's wish for its fill never comes to flat with it."""
    monkeypatch.setattr(drift, "_fractions", lambda signal, master, end: (signal.exit_fraction / 2,) * 2)
    tally = await run(tmp_path, 1, 30)
    assert tally.unexplained
