"""Random trading of the whole copier at five venues: every difference of a follower from the master has its cause."""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from drift_tally import Tally, ends
from drift_venues import InThread
from drift_world import DriftWorld, Master, calm, cash_of, lift_limits, mixed_followers

from copytrade.copying import drift
from copytrade.copying.drift import Cause
from copytrade.venues.kraken import options as kraken_options
from copytrade.venues.okx import options as okx_options

FOLLOWERS = 10


async def run(root: Path, seed: int, actions: int, master_venue: str = "kraken") -> Tally:
    """So many acts, with a look after every ten; what the looks found."""
    followers, tally = mixed_followers(FOLLOWERS, seed), Tally()
    with InThread(seed, cash_of(followers, master_venue)) as venues:
        world = DriftWorld(root, venues.links, followers, master=master_venue, copy={"max_user_risk": 0.04})
        async with world.trading() as desk:
            world.set_faults()
            chance = random.Random(seed)
            master = Master(desk, world, chance, Counter())
            for number in range(1, actions + 1):
                await master.act()
                if chance.random() < 0.35:
                    await calm(desk, world)
                if number % 10 == 0:
                    await calm(desk, world)
                    await tally.look_at_everybody(master)
                    world.top_up()
            await tally.close_everything(master)
            found = await ends(desk, world)
            assert not any(found["lost"].values()), found
            assert not found["held"], found
            assert world.orders() == found["orders_in_ledger"]
            assert world.doubled() == []
    return tally


@pytest.fixture(autouse=True)
def _no_rate_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in (kraken_options.TIERS, okx_options.READS_PER_2_S, okx_options.PUBLIC_PER_2_S):
        for key, value in list(table.items()):
            monkeypatch.setitem(table, key, value)  # put back when the test is over
    lift_limits()


@pytest.mark.parametrize(("seed", "master_venue"), [(1, "kraken"), (2, "binance")])
async def test_every_difference_has_its_cause_and_all_are_flat_in_the_end(
    tmp_path: Path, seed: int, master_venue: str
) -> None:
    tally = await run(tmp_path, seed, 40, master_venue)
    assert tally.unexplained == []
    assert tally.exact == tally.rows > 40
    assert {"unfilled", "rounding", "fee", "cap"} <= {cause.partition(": ")[0] for cause in tally.causes}
    assert tally.ideals
    assert all(Decimal("0.7") < ideal < Decimal("1.4") for ideal in tally.ideals)  # what the rule makes of equities


async def test_control_an_ideal_by_what_the_master_asked_for_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fold that takes the master's wish for its fill never comes to flat with it."""
    monkeypatch.setattr(drift, "_fractions", lambda signal, master, end: (signal.exit_fraction / 2,) * 2)
    tally = await run(tmp_path, 1, 30)
    assert tally.unexplained


@pytest.mark.parametrize("lost", [Cause.ROUNDING, Cause.CAP, Cause.FEE])
async def test_control_a_cause_that_is_left_out_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: Cause
) -> None:
    whole = drift.Drift._add

    def without(self: drift.Drift, cause: str, part: Decimal) -> None:
        if cause.partition(": ")[0] != lost:
            whole(self, cause, part)

    monkeypatch.setattr(drift.Drift, "_add", without)
    """What is not put down to its cause falls to rounding, and is far too much for that."""
    tally = await run(tmp_path, 1, 20)
    assert tally.unexplained
