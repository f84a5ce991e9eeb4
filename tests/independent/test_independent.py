"""Accounts that trade by themselves: on their own balance, under their own caps, and never copied to as well."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from world import Desk, World, follower, until

from copytrade.domain.errors import Refused
from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import OrderState, Role, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import TradeRequest
from copytrade.engine.independent import IndependentDesk
from copytrade.engine.killswitch import KillState
from copytrade.ledger.replay import verify
from copytrade.settings.model import Settings
from copytrade.wiring.independent import Independents, Standing, independent_rules

QUICK: dict[str, Any] = {"cycle_s": 0.1, "start_delay_min_s": 0, "start_delay_max_s": 0, "spacing_s": 0}
ALICE, BOB = follower("alice_smith"), follower("bob_jones")
ALONE = {"cash": 1_000, "mode": "independent"}


def _world(tmp_path: Path, strategy: str = "Loner", **more: Any) -> World:
    followers = more.pop("followers", {"alice_smith": dict(ALONE), "bob_jones": 500})
    settings = {"independent": {**QUICK, "strategy": f"loner:{strategy}"}, **more.pop("settings", {})}
    return World(tmp_path, followers=followers, settings=settings, **more)


@contextlib.asynccontextmanager
async def _running(desk: Desk) -> AsyncIterator[tuple[Independents, list[str]]]:
    said: list[str] = []
    independents = Independents(desk.system, lambda alert: said.append(alert.text))
    task = asyncio.create_task(independents.run())
    try:
        yield independents, said
        assert not task.done(), "nothing ended the loops"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _own(desk: Desk, account: str) -> list[OrderRecord]:
    """Orders that the account has placed by itself."""
    rows = desk.world.orders(account.partition(":")[2])
    found = [desk.ledger.find(row["client_id"]) for row in rows]
    return [r for r in found if r is not None and r.role is Role.INDEPENDENT]


def _cycles(independents: Independents) -> dict[str, int]:
    return {each["account"]: each["cycles"] for each in independents.health()}


async def test_it_trades_on_its_own_balance_and_is_not_copied_to(tmp_path: Path) -> None:
    with _world(tmp_path, "Brief") as world:
        async with world.trading() as desk, _running(desk) as (independents, said):
            await until(lambda: desk.position("alice_smith") > 0, "alice's own purchase")
            signal = await desk.buy(1000)
            await desk.dealt_with(signal)
            assert desk.copy(signal, "alice_smith").reason is Reason.INDEPENDENT
            assert desk.copy(signal, "bob_jones").state is not OrderState.SKIPPED
            await until(lambda: len(_own(desk, ALICE)) == 2 and not desk.position("alice_smith"), "alice's own sale")
            await desk.settled()
            bought, sold = _own(desk, ALICE)
            assert (bought.side, bought.quantity.value, bought.signal_id) == (Side.BUY, Decimal("0.001"), None)
            assert (sold.side, sold.quantity) == (Side.SELL, bought.filled)
            assert len(world.plans) == 1, "its orders tell nobody anything"
            out = await desk.sell()
            await desk.dealt_with(out)
            assert desk.copy(out, "alice_smith").reason is Reason.INDEPENDENT
            await desk.settled()
            assert len(world.orders("alice_smith")) == 2
            assert any("trades by itself from now on" in text for text in said)
            assert independents.health()[0]["standing"] == "runs"
            assert independents.health()[0]["health_percent"] == 100
        verdict = verify(world.paths.ledger, desk.ledger.state)
        assert verdict.ok, verdict.problems


async def test_what_it_has_bought_by_itself_is_safe_from_the_masters_exits(tmp_path: Path) -> None:
    with _world(tmp_path) as world:
        async with world.trading() as desk, _running(desk):
            await until(lambda: desk.position("alice_smith") > 0, "alice's own purchase")
            await desk.buy(1000)
            await desk.settled()
            await desk.sell()
            await desk.settled()
            assert desk.position("alice_smith") == Decimal("0.001")
            assert desk.position("bob_jones") == 0


async def test_the_caps_of_the_account_hold(tmp_path: Path) -> None:
    alone = {**ALONE, "max_user_risk": 0.05}
    with _world(tmp_path, "Greedy", followers={"alice_smith": alone, "bob_jones": {**ALONE, "max_order": 7}}) as world:
        async with world.trading() as desk, _running(desk):
            await until(lambda: desk.position("alice_smith") and desk.position("bob_jones"), "both own purchases")
            assert desk.position("alice_smith") == Decimal("0.001")  # 5 % of 1,000 at 50,000
            assert desk.position("bob_jones") == Decimal("0.00014")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"mode": "paused"}, Reason.MODE_PAUSED),
        ({"mode": "active"}, Reason.MODE_CLOSE_ONLY),
        ({"enabled": False}, Reason.DISABLED),
        ({"instruments": {"block": ["BTC/USD"]}}, Reason.NOT_ALLOWED),
        ({"instruments": {"modes": {"BTC/USD": "close_only"}}}, Reason.INSTRUMENT_MODE),
    ],
)
async def test_what_its_user_file_forbids_is_refused(tmp_path: Path, fields: dict[str, Any], reason: Reason) -> None:
    with _world(tmp_path) as world:
        async with world.trading() as desk:
            async with _running(desk):
                await until(lambda: desk.position("alice_smith") > 0, "alice's own purchase")
                await desk.settled()
            world.users["alice_smith"].update(fields)
            world.write_users()
            desk.reload()
            engine = desk.engine
            own = IndependentDesk(engine.services, engine.lanes, engine.tracker, engine.refresher.now, ALICE)
            with pytest.raises(Refused) as refused:
                await own.place(TradeRequest("more", "BTC/USD", Side.BUY, usd=Amount.of(10)))
            assert refused.value.reason is reason
            sold = await own.place(TradeRequest("out", "BTC/USD", Side.SELL, whole=True))
            assert sold.role is Role.INDEPENDENT
            await desk.settled()
            assert desk.position("alice_smith") == 0


async def test_an_account_that_is_copied_to_cannot_place_orders_of_its_own(tmp_path: Path) -> None:
    with _world(tmp_path) as world:
        async with world.trading() as desk:
            engine = desk.engine
            own = IndependentDesk(engine.services, engine.lanes, engine.tracker, engine.refresher.now, BOB)
            with pytest.raises(Refused, match="is copied to"):
                await own.place(TradeRequest("mine", "BTC/USD", Side.BUY, usd=Amount.of(10)))
            assert world.orders("bob_jones") == []


async def test_it_never_sells_more_than_it_has_bought_by_itself(tmp_path: Path) -> None:
    """Alice has Bitcoin of her own at the venue: an exit that is too large would take those."""
    with _world(tmp_path) as world:
        world.venue.deposit("alice_smith", "BTC", Decimal(1))
        async with world.trading() as desk:
            async with _running(desk):
                await until(lambda: desk.position("alice_smith") > 0, "alice's own purchase")
                await desk.settled()
            engine = desk.engine
            own = IndependentDesk(engine.services, engine.lanes, engine.tracker, engine.refresher.now, ALICE)
            sold = await own.place(TradeRequest("out", "BTC/USD", Side.SELL, quantity=Quantity.of("0.5")))
            assert (sold.state, sold.reason) == (OrderState.STOPPED, Reason.NOTHING_TO_CLOSE)
            assert len(_orders(world)) == 1


async def test_the_kill_switch_stops_its_orders_too(tmp_path: Path) -> None:
    with _world(tmp_path) as world:
        async with world.trading() as desk:
            desk.kill.engage(KillState.HALT)
            async with _running(desk) as (independents, said):
                await until(lambda: _cycles(independents).get(ALICE, 0) >= 5, "five cycles")
                assert world.orders("alice_smith") == []
                assert len([text for text in said if "SYSTEM_DISABLED" in text]) == 1, "it is said once"
                desk.kill.lift()
                await until(lambda: desk.position("alice_smith") > 0, "a purchase once the switch is lifted")


async def test_flatten_takes_it_out(tmp_path: Path) -> None:
    with _world(tmp_path) as world:
        async with world.trading() as desk, _running(desk):
            await until(lambda: desk.position("alice_smith") > 0, "alice's own purchase")
            await desk.settled()
            desk.kill.engage(KillState.FLATTEN)
            await until(lambda: desk.kill.look() is KillState.HALT, "everybody out")
            await desk.settled()
            assert desk.position("alice_smith") == 0
            assert world.holds("alice_smith") == 0


async def test_no_side_is_changed_while_something_is_held(tmp_path: Path) -> None:
    """Copied positions leave with the master first; own ones by the own strategy."""
    with _world(tmp_path, "Brief", followers={"alice_smith": 1_000, "bob_jones": 500}) as world:
        async with world.trading() as desk, _running(desk) as (independents, said):
            await desk.buy(1000)
            await desk.settled()
            copied = desk.position("alice_smith")
            assert copied == Decimal("0.002")
            _set_mode(desk, "independent")
            waits = "once it is out of what was copied: 0.002 BTC/USD"
            await until(lambda: any(waits in text for text in said), "word of it")
            more = await desk.buy(500)
            await desk.dealt_with(more)
            assert desk.copy(more, "alice_smith").reason is Reason.INDEPENDENT
            assert ALICE not in desk.ledger.state.standing.alone
            out = await desk.sell()
            await desk.dealt_with(out)
            await until(lambda: ALICE in desk.ledger.state.standing.alone, "out, and alone")
            assert desk.copy(out, "alice_smith").filled.value == copied
            await until(lambda: desk.position("alice_smith") > 0, "its own purchase")
            _set_mode(desk, "active")
            while_it_sells = await desk.buy(500)
            await desk.dealt_with(while_it_sells)
            assert desk.copy(while_it_sells, "alice_smith").reason is Reason.INDEPENDENT
            await until(lambda: ALICE not in desk.ledger.state.standing.alone, "copied to again")
            assert [order.side for order in _own(desk, ALICE)] == [Side.BUY, Side.SELL]
            again = await desk.buy(500)
            await desk.dealt_with(again)
            assert desk.copy(again, "alice_smith").state is not OrderState.SKIPPED
            assert independents.health() == []
            await desk.settled()
        assert verify(world.paths.ledger, desk.ledger.state).ok


def _set_mode(desk: Desk, mode: str) -> None:
    desk.world.users["alice_smith"]["mode"] = mode
    desk.world.write_users()
    desk.reload()


async def test_it_goes_on_after_a_restart_with_what_it_knows(tmp_path: Path) -> None:
    with _world(tmp_path, "Brief") as world:
        async with world.trading() as desk, _running(desk):
            await until(lambda: desk.position("alice_smith") > 0, "alice's own purchase")
            await desk.settled()
        assert len(_orders(world)) == 1
        async with world.trading() as desk, _running(desk):
            assert ALICE in desk.ledger.state.standing.alone
            await until(lambda: len(_orders(world)) == 2, "the sale")
            await desk.settled()
        assert [each["side"] for each in _orders(world)] == ["buy", "sell"]


def _orders(world: World) -> list[dict[str, Any]]:
    return world.orders("alice_smith")


@pytest.mark.parametrize("kind", ["cut", "drop"])
async def test_an_order_without_an_answer_is_looked_up_and_not_placed_again(tmp_path: Path, kind: str) -> None:
    with _world(tmp_path) as world:
        world.fault(kind, "alice_smith", when="after", count=1)
        async with world.trading() as desk, _running(desk) as (independents, _):
            await until(lambda: desk.position("alice_smith") > 0, "alice's own purchase")
            seen = _cycles(independents)[ALICE]
            await until(lambda: _cycles(independents)[ALICE] > seen + 3, "further cycles")
            assert len(_orders(world)) == 1
        assert world.venue.doubles() == []


async def test_an_order_of_a_run_that_died_is_recovered_in_its_own_role(tmp_path: Path) -> None:
    """The intent is durable and the answer never came; the next run finds the order and tells nobody of it."""
    with _world(tmp_path) as world:
        world.fault("hang", "alice_smith", when="after", count=1, hang_s=30)
        async with world.trading() as desk, _running(desk):
            await until(lambda: len(_orders(world)) == 1, "the order at the venue")
        async with world.trading() as desk:
            await desk.settled()
            (record,) = _own(desk, ALICE)
            assert (record.role, record.state) == (Role.INDEPENDENT, OrderState.FILLED)
            assert world.plans == []


@pytest.mark.slow
async def test_one_venue_that_hangs_and_one_mistake_delay_nobody_else(tmp_path: Path) -> None:
    """Bob's requests hang for a minute. While his cycle stands still, the others go on cycle by cycle."""
    names = [f"user{number}" for number in range(6)]
    world = _world(
        tmp_path, followers={name: dict(ALONE) for name in [*names, "bob_jones"]},
        settings={"kraken": {"request_timeout_s": 60, "order_deadline_s": 50}},
    )  # fmt: skip
    with world:
        async with world.trading() as desk:
            world.fault("hang", "bob_jones", method=None, hang_s=60)
            async with _running(desk) as (independents, _):
                await until(lambda: _cycles(independents).get(follower("user5"), 0) >= 3, "everybody's first cycles")
                loop = independents._loops[BOB]
                assert loop.health.began_at is not None
                hung, before = loop.health.cycles, _cycles(independents)
                await until(
                    lambda: all(_cycles(independents)[follower(name)] >= before[follower(name)] + 20 for name in names),
                    "twenty more cycles of everybody else",
                )
                assert loop.health.cycles == hung, "the control: bob stood still meanwhile"
                others = [each for each in independents.health() if each["account"] != BOB]
                assert {each["health_percent"] for each in others} == {100}
                loop_ = asyncio.get_running_loop()
                began_s = loop_.time()
            assert loop_.time() - began_s < 5.0, "the loops end in time, bob's too"
            world.venue.clear_faults()


async def test_a_strategy_that_fails_is_told_of_and_asked_again(tmp_path: Path) -> None:
    with _world(tmp_path, "Broken") as world:
        async with world.trading() as desk, _running(desk) as (independents, said):
            await until(lambda: _cycles(independents).get(ALICE, 0) >= 4, "four cycles")
            assert any("the strategy failed at BTC/USD (RuntimeError: no idea)" in text for text in said)
            assert desk.position("alice_smith") == 0


async def test_without_a_strategy_it_says_so_once_and_waits(tmp_path: Path) -> None:
    with _world(tmp_path, "NotThere") as world:
        async with world.trading() as desk, _running(desk) as (independents, said):
            await until(lambda: independents.health(), "a word on alice")
            await independents.reconcile()
            assert len(said) == 1
            assert "has no class NotThere" in said[0]
            assert independents.health()[0]["standing"] == Standing.WAITS


async def test_loops_begin_one_after_the_other_after_a_drawn_delay(tmp_path: Path) -> None:
    followers = {f"user{number}": dict(ALONE) for number in range(4)}
    slow = {"cycle_s": 150, "start_delay_min_s": 30, "start_delay_max_s": 60, "spacing_s": 10, "seed": 3}
    begins = []
    for _ in range(2):
        folder = tmp_path / str(len(begins))
        folder.mkdir()
        with World(folder, followers=followers, settings={"independent": {**slow, "strategy": "loner:Loner"}}) as world:
            async with world.trading() as desk, _running(desk) as (independents, _):
                await until(lambda: len(independents._loops) == 4, "all loops")
                begins.append([loop._begins_in_s for loop in independents._loops.values()])
                assert set(_cycles(independents).values()) == {0}
    for found in begins:
        assert 29 < found[0] < 60
        assert [later - found[0] for later in found] == pytest.approx([0, 10, 20, 30], abs=0.5)
    assert begins[0][0] == pytest.approx(begins[1][0], abs=0.5)


def test_paper_mode_is_short_unless_it_is_said_otherwise() -> None:
    paper, live = Settings(), Settings(mode="live")
    assert (independent_rules(live).cycle_s, independent_rules(live).spacing_s) == (150, 10)
    assert (independent_rules(live).start_delay_min_s, independent_rules(live).start_delay_max_s) == (30, 60)
    assert (independent_rules(paper).cycle_s, independent_rules(paper).start_delay_max_s) == (15, 2)
    said = Settings.model_validate({"independent": {"cycle_s": 7, "start_delay_max_s": 90}})
    assert independent_rules(said).cycle_s == 7
    assert independent_rules(said).start_delay_max_s == 90
    assert independent_rules(said).spacing_s == 0.2
