"""Late joiners and leavers: who takes up what the master holds, once, and who is closed when it goes."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from world import MASTER, Desk, World, follower, until

from copytrade.domain.ids import signal_id
from copytrade.domain.order import OrderState
from copytrade.domain.signal import SignalKind

ONE = {"alice_smith": 1_000}
D = Decimal


BETTER: dict[str, Any] = {"copy": {"late_join": "better_price_only"}}


def join(user: str, symbol: str = "BTC/USD", number: int = 0) -> str:
    return signal_id(f"join {follower(user)} {symbol}{f' {number}' if number else ''}", SignalKind.JOIN)


async def enrolled(desk: Desk, user: str, **fields: object) -> None:
    """Put a follower on the list, as the operator does, and wait until it has been looked at."""
    desk.world.enrol(user, {"cash": 1_000, **fields})
    desk.reload()
    await until(lambda: desk.alerts_of(user, "joins while the master holds"), f"{user} has joined")
    assert follower(user) in desk.ledger.state.joined


async def test_a_late_joiner_takes_up_nothing_unless_told_to(tmp_path: Path) -> None:
    with World(tmp_path, followers=ONE) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            await enrolled(desk, "bob_jones")
            assert desk.ledger.signal(join("bob_jones")) is None
            assert desk.alerts_of("bob_jones", "joins while the master holds BTC/USD")
            assert follower("alice_smith") not in desk.ledger.state.joined
            out = await desk.sell()
            await desk.settled()
            assert desk.copy(out, "bob_jones").state is OrderState.SKIPPED


async def test_a_late_joiner_takes_up_all_of_it_once(tmp_path: Path) -> None:
    with World(tmp_path, followers=ONE, settings={"copy": {"late_join": "full"}}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.buy("500", "ETH/USD")
            await desk.settled()
            await enrolled(desk, "bob_jones", max_user_risk=1)
            for symbol in ("BTC/USD", "ETH/USD"):
                (copy,) = await desk.dealt_with(join("bob_jones", symbol))
                assert copy.account == follower("bob_jones")
            await desk.settled()
            assert desk.position("bob_jones") == D("0.002")
            found = await desk.engine.reconciler.look(follower("bob_jones"))
            assert [(row.symbol, row.explained, abs(row.error) < D("0.00001")) for row in found] == [
                ("BTC/USD", True, True), ("ETH/USD", True, True),
            ]  # fmt: skip
        async with world.trading() as desk:
            await desk.engine.joiner.look()
            await desk.settled()
            assert len(world.orders("bob_jones")) == 2
            await desk.sell()
            await desk.settled()
            assert world.holds("bob_jones") == 0


@pytest.mark.parametrize("late", ["none", "full"])
async def test_who_was_on_the_list_from_the_start_joins_nothing(tmp_path: Path, late: str) -> None:
    with World(tmp_path, followers=ONE, settings={"copy": {"late_join": late}}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
        async with world.trading() as desk:
            await desk.engine.joiner.look()
            assert desk.ledger.state.joined == {}
            assert desk.position("alice_smith") == D("0.002")


async def test_who_was_disabled_before_and_is_enabled_now_joins_late(tmp_path: Path) -> None:
    followers = {**ONE, "bob_jones": {"cash": 1_000, "enabled": False, "late_join": "full", "max_user_risk": 1}}
    with World(tmp_path, followers=followers) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            await desk.engine.joiner.look()
            assert desk.ledger.state.joined == {}
            world.users["bob_jones"]["enabled"] = True
            world.write_users()
            desk.reload()
            await until(lambda: desk.alerts_of("bob_jones", "joins while"), "bob has joined")
            await desk.dealt_with(join("bob_jones"))
            await desk.settled()
            assert desk.position("bob_jones") == D("0.002")


async def test_a_better_price_is_waited_for_across_a_restart(tmp_path: Path) -> None:
    settings = {"copy": {"late_join": "better_price_only"}}
    with World(tmp_path, followers=ONE, settings=settings) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.price("BTC/USD", 50_100)
            world.clock.ahead_s += 10
            await enrolled(desk, "bob_jones")
            await desk.engine.joiner.look()
            assert desk.ledger.signal(join("bob_jones")) is None
        world.price("BTC/USD", 49_900)
        async with world.trading() as desk:
            await until(lambda: desk.ledger.signal(join("bob_jones")), "the better price is taken")
            await desk.dealt_with(join("bob_jones"))
            await desk.settled()
            assert desk.position("bob_jones") > D("0.0019")


async def test_no_better_price_is_waited_for_once_the_master_has_sold_or_the_window_is_over(tmp_path: Path) -> None:
    settings = {"copy": {"late_join": "better_price_only", "late_join_window_s": 600}}
    with World(tmp_path, followers=ONE, settings=settings) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.price("BTC/USD", 50_100)
            world.clock.ahead_s += 10
            await enrolled(desk, "bob_jones")
            await desk.sell("0.01")
            await desk.settled()
            await enrolled(desk, "carol_white")
            world.price("BTC/USD", 49_900)
            world.clock.ahead_s += 601
            await desk.engine.joiner.look()
            await desk.engine.joiner.look()
            assert [desk.ledger.signal(join(user)) for user in ("bob_jones", "carol_white")] == [None, None]


@pytest.mark.parametrize(("on_leave", "left"), [("close", "0"), ("keep", "0.002")])
async def test_who_is_disabled_is_closed_or_kept(tmp_path: Path, on_leave: str, left: str) -> None:
    with World(tmp_path, followers={**ONE, "bob_jones": {"cash": 1_000, "on_leave": on_leave}}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.users["bob_jones"]["enabled"] = False
            world.write_users()
            desk.reload()
            await desk.engine.reconciler.repair(follower("bob_jones"), desk.engine.reconciler.rules.repair)
            await desk.settled()
            assert (world.holds("bob_jones"), world.holds("alice_smith")) == (D(left), D("0.002"))


async def test_who_is_taken_off_the_list_is_closed(tmp_path: Path) -> None:
    with World(tmp_path, followers={**ONE, "bob_jones": 1_000}, settings={"copy": {"on_leave": "close"}}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            del world.users["bob_jones"]
            world.write_users()
            desk.reload()
            await desk.engine.reconciler.repair(follower("bob_jones"), desk.engine.reconciler.rules.repair)
            await desk.settled()
            assert (world.holds("bob_jones"), world.holds("alice_smith")) == (0, D("0.002"))


async def test_one_follower_is_flattened_in_one_instrument_and_its_resting_entry_taken_back(tmp_path: Path) -> None:
    with World(tmp_path, followers={**ONE, "bob_jones": 1_000}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.buy("1000", "ETH/USD")
            await desk.settled()
            (signal,) = await desk.engine.mender.take_out(follower("bob_jones"), ["BTC/USD"], "by hand")
            await desk.dealt_with(signal)
            await desk.settled()
            assert (world.holds("bob_jones"), world.holds("alice_smith")) == (0, D("0.002"))
            assert world.holds("bob_jones", "ETH") > 0
            (again,) = await desk.engine.mender.take_out(follower("bob_jones"), ["BTC/USD"], "by hand")
            assert again == signal
            (row,) = [r for r in await desk.engine.reconciler.look(follower("bob_jones")) if r.symbol == "BTC/USD"]
            assert dict(row.causes) == {"by_hand": D("-0.002")}


async def test_an_exit_while_a_follower_was_disabled_is_no_service(tmp_path: Path) -> None:
    followers: dict[str, Any] = {**ONE, "bob_jones": {"cash": 1_000, "enabled": False}}
    with World(tmp_path, followers=followers, settings={"copy": {"late_join": "full"}}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            await desk.sell("0.01")
            await desk.settled()
            world.users["bob_jones"]["enabled"] = True
            world.write_users()
            desk.reload()
            await until(lambda: follower("bob_jones") in desk.ledger.state.joined, "bob has joined", 5)
            await desk.settled()
            assert desk.position("bob_jones") == pytest.approx(D("0.001"), rel=D("0.01"))


async def test_who_is_about_to_copy_an_order_does_not_join_it_as_well(tmp_path: Path) -> None:
    settings = {"copy": {"late_join": "full"}}
    with World(tmp_path, followers=ONE, settings=settings) as world:
        async with world.trading() as desk:
            await desk.buy("500")
            await desk.settled()
            desk.engine.fanout._signals.put_nowait = lambda waiting: held.append(waiting)  # the fan-out is busy
            held: list[Any] = []
            await desk.buy("500")
            await until(lambda: desk.ledger.state.position(MASTER, "BTC/USD").value == D("0.02"), "the master's fill")
            world.enrol("bob_jones", 1_000)
            desk.reload()
            await until(lambda: desk.engine.services.roster.followers[follower("bob_jones")].client, "bob")
            await desk.engine.joiner.look()
            del desk.engine.fanout._signals.put_nowait
            for waiting in held:
                desk.engine.fanout._signals.put_nowait(waiting)
            await desk.settled()
            await desk.engine.joiner.look()
            await desk.settled()
            assert desk.position("bob_jones") <= D("0.002"), world.orders("bob_jones")
