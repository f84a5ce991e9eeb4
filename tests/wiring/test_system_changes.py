"""Changes while the system runs: followers come, change, go; settings change; and what the start refuses."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from world import World, follower, until

from copytrade.domain.copy import Approved
from copytrade.domain.order import OrderState
from copytrade.domain.reasons import Reason
from copytrade.settings.watch import Rejected
from copytrade.wiring.system import CannotStart, StateBusy

TWO = {"alice_smith": 1_000, "bob_jones": 500}
D = Decimal


async def test_a_follower_enrolled_while_running_is_copied_to(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.enrol("carol_white", 2_000)
            desk.reload()
            roster = desk.engine.services.roster
            await until(lambda: roster.followers[follower("carol_white")].client, "carol is connected")
            signal = await desk.buy("1000")
            await desk.settled()
            assert desk.copy(signal, "carol_white").state is OrderState.FILLED
            assert len(world.orders("alice_smith")) == 2


async def test_a_follower_without_credentials_is_said_and_connected_once_they_are_there(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        secret = world.dotenv.pop("KRAKEN_USER_BOB_JONES_API_SECRET")
        world.write_dotenv()
        async with world.trading() as desk:
            copies = await desk.dealt_with(await desk.buy("1000"))
            assert copies[1].reason is Reason.NO_CREDENTIALS
            assert desk.alerts_of("kraken:bob_jones", "KRAKEN_USER_BOB")
            world.dotenv["KRAKEN_USER_BOB_JONES_API_SECRET"] = secret
            world.write_dotenv()
            desk.reload()
            bob = desk.engine.services.roster.followers[follower("bob_jones")]
            await until(lambda: bob.client, "bob is connected")
            signal = await desk.buy("1000")
            await desk.settled()
            assert desk.copy(signal, "bob_jones").state is OrderState.FILLED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"enabled": False}, Reason.DISABLED),
        ({"mode": "paused"}, Reason.MODE_PAUSED),
        ({"mode": "close_only"}, Reason.MODE_CLOSE_ONLY),
        ({"mode": "disarmed"}, Reason.MODE_DISARMED),
        ({"instruments": {"block": ["BTC/USD"]}}, Reason.NOT_ALLOWED),
    ],
)
async def test_a_follower_that_is_taken_out_gets_no_entry_and_still_its_exit(
    tmp_path: Path, change: dict[str, object], reason: Reason
) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.users["bob_jones"] = change
            world.write_users()
            desk.reload()
            skipped = await desk.dealt_with(await desk.buy("500"))
            assert (skipped[1].state, skipped[1].reason) == (OrderState.SKIPPED, reason)
            out = await desk.sell()
            await desk.settled()
            if reason is Reason.MODE_DISARMED:  # nothing flows: the exit is held until somebody says otherwise
                assert desk.copy(out, "bob_jones").state is OrderState.HELD
                assert world.holds("bob_jones") > 0
            else:
                assert world.holds("bob_jones") == 0
            assert world.holds("alice_smith") == 0


@pytest.mark.parametrize("change", [{"mode": "paused"}, {"enabled": False}, None])
async def test_a_change_between_the_plan_and_the_send_counts(tmp_path: Path, change: dict[str, object] | None) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:

            def take_bob_out() -> None:
                if change is None:
                    del world.users["bob_jones"]
                else:
                    world.users["bob_jones"] = change
                world.write_users()
                desk.reload()

            world.on_plan = take_bob_out
            signal = await desk.buy("1000")
            await desk.settled()
            assert desk.copy(signal, "bob_jones").state is OrderState.STOPPED
            assert desk.copy(signal, "alice_smith").state is OrderState.FILLED
            assert world.orders("bob_jones") == []


async def test_a_removed_follower_with_a_position_still_exits_and_then_is_left_alone(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            del world.users["bob_jones"]
            world.write_users()
            desk.reload()
            assert desk.alerts_of("kraken:bob_jones", "has left", "BTC/USD")
            await desk.buy("500")
            await desk.sell()
            await desk.settled()
            assert world.holds("bob_jones") == desk.position("bob_jones") == 0
            assert len(world.orders("bob_jones")) == 2
            last = await desk.buy("500")
            await desk.settled()
            assert [copy.account for copy in desk.copies(last)] == [follower("alice_smith")]


async def test_a_follower_in_no_file_at_the_start_is_named_when_it_holds_something(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
        del world.users["bob_jones"]
        world.write_users()
        async with world.trading() as desk:
            assert desk.alerts_of("kraken:bob_jones", "0.001", "in no user file")


async def test_changed_limits_count_for_the_next_signal(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.users["alice_smith"] = {"multiplier": 0.5}
            world.users["bob_jones"] = {"max_order": 20}
            world.write_users()
            desk.reload()
            await desk.buy("1000", "ETH/USD")
            await desk.settled()
            planned = [c for c in world.plans[-1][1] if isinstance(c, Approved)]
            assert [c.reason for c in planned] == [Reason.SIZED_BY_RATIO, Reason.CAPPED_BY_MAX_ORDER]
            costs = [(c.quantity * c.price).value for c in planned]
            assert D(49) < costs[0] < D(51)
            assert costs[1] <= 20


async def test_changed_settings_count_for_the_next_signal(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            world.write_settings(copy={"max_user_risk": 0.01})
            desk.reload()
            await desk.buy("1000")
            await desk.settled()
            costs = [(c.quantity * c.price).value for c in world.plans[0][1] if isinstance(c, Approved)]
            assert costs == [D(10), D(5)]


async def test_a_mode_that_was_ahead_of_the_files_ends_once_they_are_written_as_they_were(tmp_path: Path) -> None:
    """`flatten --instrument` and `resume --instrument` between two looks at the files."""
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            desk.engine.close_only(follower("bob_jones"), ["BTC/USD"])
            stopped = await desk.dealt_with(await desk.buy("1000"))
            assert [copy.reason for copy in stopped] == [Reason.SIZED_BY_RATIO, Reason.INSTRUMENT_MODE]
            assert desk.system.poll_files() is None
            world.write_users()
            desk.reload()
            copies = await desk.dealt_with(await desk.buy("1000"))
            assert [copy.reason for copy in copies] == [Reason.SIZED_BY_RATIO] * 2


async def test_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            (world.paths.users / "retail_kraken.json").write_text('[{"user_id": "alice_smith", ')
            assert isinstance(desk.system.poll_files(), Rejected)
            await desk.buy("1000")
            await desk.settled()
            assert [world.holds(user) for user in TWO] == [D("0.002"), D("0.001")]


# -- what the start refuses ------------------------------------------------------------------------------------------


async def test_two_systems_never_work_on_one_state_folder(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            with pytest.raises(StateBusy, match="--state"):
                async with world.trading():
                    raise AssertionError("the second one has started")
            await desk.buy("1000")
            await desk.settled()


async def test_live_without_the_masters_keys_does_not_start(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        del world.environ["KRAKEN_MASTER_API_KEY"]
        with pytest.raises(CannotStart, match="KRAKEN_MASTER_API_KEY"):
            async with world.trading():
                raise AssertionError("it has started")
        assert not (world.paths.state / "ledger.sqlite3").exists()
