"""I4: after the kill switch is on disk, no new order leaves; what it stopped is recorded and never leaves by itself."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest
from ports import ClientAround
from world import Desk, World, until

from copytrade.domain.account import AccountId
from copytrade.domain.errors import Refused
from copytrade.domain.order import Effect, OrderState
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import OrderTicket, PlaceOutcome
from copytrade.engine.killswitch import KillState, KillSwitch
from copytrade.engine.ports import AccountClient, Gate
from copytrade.engine.service import Wiring

TWO = {"alice_smith": 1_000, "bob_jones": 500}


# -- the file itself -------------------------------------------------------------------------------------------------


def _file(text: str) -> Callable[[Path], object]:
    return lambda state: (state / "SYSTEM_DISABLED").write_text(text)


ON_DISK: dict[str, tuple[Callable[[Path], object], KillState]] = {
    "an empty file": (_file(""), KillState.HALT),
    "some other text": (_file("please stop"), KillState.HALT),
    "a huge file": (_file("close_only" * 1_000), KillState.HALT),
    "close_only": (_file(" Close_Only\n"), KillState.CLOSE_ONLY),
    "flatten": (_file("flatten"), KillState.FLATTEN),
    "a folder of that name": (lambda state: (state / "SYSTEM_DISABLED").mkdir(), KillState.HALT),
    "a link to nowhere": (lambda state: (state / "SYSTEM_DISABLED").symlink_to("nowhere"), KillState.HALT),
    "a link to itself": (lambda state: (state / "SYSTEM_DISABLED").symlink_to("SYSTEM_DISABLED"), KillState.HALT),
    "bytes that are no text": (lambda state: (state / "SYSTEM_DISABLED").write_bytes(b"\xff\xfe"), KillState.HALT),
    "the folder is gone": (lambda state: state.rmdir(), KillState.HALT),
    "a file in the folder's place": (lambda state: (state.rmdir(), state.write_text("")), KillState.HALT),
    "nothing": (lambda state: None, KillState.OFF),
}  # fmt: skip


@pytest.mark.parametrize("name", ON_DISK)
def test_what_lies_there_decides(tmp_path: Path, name: str) -> None:
    lay, expected = ON_DISK[name]
    state = tmp_path / "state"
    state.mkdir()
    lay(state)
    assert KillSwitch(state, {}).look() is expected


@pytest.mark.parametrize("value", ["true", "TRUE", " 1 ", "yes", "on"])
def test_the_environment_halts_whatever_the_file_says(tmp_path: Path, value: str) -> None:
    (tmp_path / "SYSTEM_DISABLED").write_text("close_only")
    assert KillSwitch(tmp_path, {"SYSTEM_DISABLED": value}).look() is KillState.HALT
    assert KillSwitch(tmp_path, {"SYSTEM_DISABLED": "false"}).look() is KillState.CLOSE_ONLY


def test_engage_and_lift(tmp_path: Path) -> None:
    switch = KillSwitch(tmp_path, {})
    for state in (KillState.CLOSE_ONLY, KillState.FLATTEN, KillState.HALT):
        switch.engage(state)
        assert switch.look() is state
    assert switch.lift()
    assert not switch.lift()
    assert switch.look() is KillState.OFF
    with pytest.raises(ValueError, match="lift"):
        switch.engage(KillState.OFF)
    assert list(tmp_path.iterdir()) == []


def test_what_each_state_stops() -> None:
    stopped = {(state, effect) for state in KillState for effect in Effect if state.stops(effect)}
    assert stopped == {
        (KillState.HALT, Effect.ENTRY), (KillState.HALT, Effect.EXIT),
        (KillState.CLOSE_ONLY, Effect.ENTRY), (KillState.FLATTEN, Effect.ENTRY),
    }  # fmt: skip


# -- in the middle of a fan-out --------------------------------------------------------------------------------------


@dataclass
class Watch:
    """When the last look before each order began, and when the switch had been laid down."""

    looked_at_s: dict[str, float] = field(default_factory=dict)
    laid_at_s: float = float("inf")

    def around(self, wiring: Wiring) -> Wiring:
        watch = self

        class Timed(ClientAround):
            async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
                def timed() -> None:
                    began_s = time.monotonic()
                    gate()
                    watch.looked_at_s[ticket.order_id] = began_s

                return await self.inner.place(ticket, timed)

        factory = wiring.factories["kraken"]

        def timed_client(account: AccountId) -> AccountClient:
            return Timed(factory(account))

        return replace(wiring, factories={"kraken": timed_client})

    def sent_after(self, orders: list[dict[str, object]]) -> list[object]:
        """The venue's orders whose last look began when the switch was on disk already."""
        return [o["client_id"] for o in orders if self.looked_at_s[str(o["client_id"])] > self.laid_at_s]


class LooksOnce(KillSwitch):
    """What must not be: an answer that is kept."""

    kept: KillState | None = None

    def look(self) -> KillState:
        if self.kept is None:
            self.kept = super().look()
        return self.kept


async def _halt_half_way(world: World, desk: Desk, watch: Watch) -> list[OrderRecord]:
    """Buy, and lay the switch down from another thread once the venue has seen fifty orders."""

    def lay() -> None:
        give_up_at_s = time.monotonic() + 30
        while len(world.venue.orders()) < 50 and time.monotonic() < give_up_at_s:
            time.sleep(0.001)
        os.close(os.open(world.paths.state / "SYSTEM_DISABLED", os.O_CREAT | os.O_WRONLY))
        watch.laid_at_s = time.monotonic()

    thread = threading.Thread(target=lay)
    thread.start()
    try:
        signal = await desk.buy("1000")
        return await desk.dealt_with(signal)
    finally:
        thread.join()


def _crowd(tmp_path: Path) -> World:
    """200 followers behind eight connections, so that a fan-out takes a while."""
    return World(
        tmp_path, followers={f"f{n:03}": 1_000 for n in range(200)}, settings={"kraken": {"max_connections": 8}}
    )


async def test_nothing_leaves_after_the_switch_is_on_disk_and_the_rest_is_recorded(tmp_path: Path) -> None:
    with _crowd(tmp_path) as world:
        watch = Watch()
        async with world.trading(watch.around) as desk:
            world.fault("delay", when="before", delay_ms=15)
            copies = await _halt_half_way(world, desk, watch)
            await desk.settled()
            at_venue = world.venue.orders()
            assert watch.sent_after(at_venue) == []
            stopped = [c for c in copies if c.state is OrderState.STOPPED]
            assert 50 <= len(at_venue) < 200
            assert len(stopped) == 201 - len(at_venue)  # the master's own order is at the venue too
            assert {c.reason for c in stopped} == {Reason.KILL_SWITCH}

            world.venue.clear_faults()
            desk.kill.lift()
            await desk.dealt_with(await desk.buy("500"))
            await desk.settled()
        async with world.trading() as desk:
            await desk.settled()
        ever = {order["client_id"] for order in world.venue.orders()}
        assert ever.isdisjoint(c.order_id for c in stopped)


async def test_control_a_switch_that_is_looked_at_once_is_caught(tmp_path: Path) -> None:
    with _crowd(tmp_path) as world:
        watch = Watch()

        def careless(wiring: Wiring) -> Wiring:
            return watch.around(replace(wiring, kill=LooksOnce(world.paths.state, world.environ)))

        async with world.trading(careless) as desk:
            world.fault("delay", when="before", delay_ms=15)
            await _halt_half_way(world, desk, watch)
            assert watch.sent_after(world.venue.orders())


# -- entries and exits under it --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["file", "environment", "folder", "link"])
async def test_the_master_is_stopped_as_well(tmp_path: Path, how: str) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            switch = world.paths.state / "SYSTEM_DISABLED"
            {
                "file": lambda: switch.touch(),
                "environment": lambda: world.environ.update(SYSTEM_DISABLED="true"),
                "folder": lambda: switch.mkdir(),
                "link": lambda: switch.symlink_to("nowhere"),
            }[how]()
            with pytest.raises(Refused, match="kill switch"):
                await desk.buy("1000")
            await until(lambda: desk.alerts_of("kill switch", "halt"), "the operator is told")
            assert world.venue.orders() == []


async def test_a_state_folder_that_is_moved_away_halts(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            world.paths.state.rename(tmp_path / "elsewhere")
            with pytest.raises(Refused, match="kill switch"):
                await desk.buy("1000")
            (tmp_path / "elsewhere").rename(world.paths.state)
            assert world.venue.orders() == []


async def test_close_only_lets_exits_flow(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            desk.kill.engage(KillState.CLOSE_ONLY)
            with pytest.raises(Refused, match="close_only"):
                await desk.buy("1000")
            await desk.dealt_with(await desk.sell())
            await desk.settled()
            assert [world.holds(user) for user in ("master", *TWO)] == [0, 0, 0]


async def test_halted_exits_are_held_and_leave_at_the_operators_word(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.on_plan = lambda: desk.kill.engage(KillState.HALT)
            copies = await desk.dealt_with(await desk.sell())
            assert {(c.state, c.reason) for c in copies} == {(OrderState.HELD, Reason.KILL_SWITCH)}
            assert len(desk.alerts_of("held", "place-exits")) == 2
            world.on_plan = lambda: None
            desk.kill.lift()
        async with world.trading() as desk:
            await desk.settled()
            assert [len(world.orders(user)) for user in TWO] == [1, 1]  # lifting alone places nothing
            assert desk.engine.recovered["held"] == 2
            assert desk.engine.place_held_exits() == 2
            await until(lambda: not desk.ledger.state.orders, "the held exits are at their end")
            assert [world.holds(user) for user in TWO] == [0, 0]
            assert desk.engine.place_held_exits() == 0
        assert world.venue.doubles() == []


async def test_a_held_exit_sells_what_is_held_when_it_is_placed_and_no_more_than_it_was_for(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.on_plan = lambda: desk.kill.engage(KillState.HALT)
            await desk.dealt_with(await desk.sell("0.01"))  # half: 0.001 of the 0.002 that alice holds
            world.on_plan = lambda: None
            desk.kill.lift()
            await desk.buy("1000")
            await desk.settled()
            held = desk.position("alice_smith")
            desk.engine.place_held_exits()
            await until(lambda: not desk.ledger.state.orders, "the held exit is at its end")
            assert held - desk.position("alice_smith") == Decimal("0.001")


async def test_flatten_takes_everyone_out_and_then_halts(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.buy("500", "ETH/USD")
            await desk.settled()
            desk.kill.engage(KillState.FLATTEN)
            await until(lambda: desk.kill.look() is KillState.HALT, "the switch halts")
            await desk.settled()
            assert desk.ledger.state.positions == {}
            assert [world.holds(user, coin) for user in ("master", *TWO) for coin in ("BTC", "ETH")] == [0] * 6
            with pytest.raises(Refused, match="kill switch"):
                await desk.buy("1000")


async def test_flatten_also_takes_out_whoever_was_left_behind(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.fault("error", "bob_jones", error="EOrder:Some rule", when="before", count=1)
            out = await desk.sell()
            await desk.settled()
            assert desk.copy(out, "bob_jones").state is OrderState.HELD
            assert desk.position("bob_jones") > 0
            desk.kill.engage(KillState.FLATTEN)
            await until(lambda: desk.kill.look() is KillState.HALT, "the switch halts")
            await desk.settled()
            assert desk.ledger.state.positions == {}
            assert world.holds("bob_jones") == 0


async def test_flatten_takes_out_orders_whose_fills_are_not_known_yet(tmp_path: Path) -> None:
    """The venue has filled the entries, and nobody has asked it yet."""
    with World(tmp_path, followers=TWO, limits={"fill_delays_s": (60.0,)}) as world:
        async with world.trading() as desk:
            await desk.dealt_with(await desk.buy("1000"))
            assert desk.ledger.state.positions == {}
            desk.kill.engage(KillState.FLATTEN)
            await until(lambda: desk.kill.look() is KillState.HALT, "the switch halts")
            assert [world.holds(user) for user in ("master", *TWO)] == [0, 0, 0]


async def test_flatten_does_not_make_others_wait_for_one_that_hangs(tmp_path: Path) -> None:
    patient = {"kraken": {"request_timeout_s": 20}, "engine": {"shutdown_grace_s": 0}}
    with World(tmp_path, followers=TWO, settings=patient) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.buy("500", "ETH/USD")
            await desk.settled()
            world.fault("hang", "bob_jones", None, when="before", hang_s=60)
            desk.kill.engage(KillState.FLATTEN)
            coins = ("BTC", "ETH")
            await until(
                lambda: not any(world.holds(user, coin) for user in ("master", "alice_smith") for coin in coins),
                "the others are out",
            )
            assert all(world.holds("bob_jones", coin) for coin in coins)  # still hanging: nobody waited for it
            world.venue.clear_faults()
