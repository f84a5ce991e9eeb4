"""Positions that an owner sold or took away by hand: written off on proof, and on nothing less."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from world import Desk, World, follower

from copytrade.console import drifting
from copytrade.console.statement import Asked, run_statement
from copytrade.copying.drift import ByHand, DriftRow, Repair
from copytrade.domain.errors import BadRequest
from copytrade.domain.ids import signal_id
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind
from copytrade.engine import reconcile
from copytrade.engine.desk import TradeRequest
from copytrade.engine.writing_off import WriteOffs
from copytrade.ledger.replay import verify

TWO = {"alice_smith": 1_000, "bob_jones": 500}
ALICE = follower("alice_smith")
ALONE: dict[str, Any] = {"drift": {"by_hand": "write_off"}}
D = Decimal


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "_PROOF_BY_HAND_S", 0.01)


async def row(desk: Desk) -> DriftRow | None:
    rows = await desk.engine.reconciler.look(ALICE, fresh=True)
    assert all(each.explained for each in rows), rows
    return rows[0] if rows else None


def causes(found: DriftRow | None) -> dict[str, Decimal]:
    return {} if found is None else dict(found.causes)


def take_away(world: World, quantity: str) -> None:
    """The owner withdraws so much, or sells it: nobody here hears of it."""
    world.venue.deposit("alice_smith", "BTC", -D(quantity))


async def by_itself(desk: Desk) -> None:
    """What the reconciler does in its turn."""
    await desk.engine.reconciler._look_quietly(ALICE)


async def test_at_the_operators_word_and_the_rest_follows_the_master_out(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            take_away(world, "0.0015")
            found = await drifting.reconcile(desk.engine, {"user": "alice_smith", "repair": "exits", "write_off": True})
            assert found["written_off"] == [
                {"account": ALICE, "instrument": "BTC/USD", "quantity": "0.0015", "left": "0.0005", "ended_exits": 0}
            ]
            assert (found["notes"], found["failed"], desk.position("alice_smith")) == ([], 0, D("0.0005"))
            assert causes(await row(desk)) == {"by_hand": D("-0.0015")}
            assert desk.alerts_of("alice_smith", "0.0015 BTC/USD is written off", "by the operator")
            again = await drifting.reconcile(desk.engine, {"user": "alice_smith", "repair": "exits", "write_off": True})
            assert (again["written_off"], again["notes"]) == ([], [])
            half = await desk.sell("0.01")
            await desk.settled()
            assert desk.copy(half, "alice_smith").filled.value == D("0.00025")
            assert causes(await row(desk)) == {"by_hand": D("-0.00075")}
            out = await desk.sell()
            await desk.settled()
            assert desk.copy(out, "alice_smith").state is OrderState.FILLED
            assert [world.holds(user) for user in TWO] == [0, 0]
            assert await row(desk) is None
        assert verify(world.paths.ledger).ok
        async with world.trading() as desk:
            assert await row(desk) is None


async def test_the_statement_tells_what_was_written_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            take_away(world, "0.0015")
            await desk.engine.reconciler.write_off(ALICE, "by the operator")
            await desk.sell("0.01")
            await desk.settled()
        capsys.readouterr()
        asked = Asked("alice_smith", None, "json", None, ["BTC/USD=50000"])
        assert run_statement(world.paths, asked, world.clock.utc()) == 0
        (told,) = json.loads(capsys.readouterr().out)
        assert [each["quantity"] for each in told["instruments"]] == ["0.00025"]
        assert {each["cause"]: D(each["quantity"]) for each in told["causes"]} == {"by_hand": D("-0.00075")}
        assert "0.0015 was written off" in " ".join(told["notes"])


async def test_exits_that_were_kept_for_it_end_with_a_reason(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            take_away(world, "0.002")
            out = await desk.sell()
            await desk.settled()
            assert desk.copy(out, "alice_smith").state is OrderState.HELD
            done, notes = await desk.engine.reconciler.write_off(ALICE, "by the operator")
            assert [(each.quantity, each.left, each.exits) for each in done] == [(D("0.002"), D(0), 1)]
            ended = desk.copy(out, "alice_smith")
            assert (ended.state, ended.reason, notes) == (OrderState.STOPPED, Reason.GONE_BY_HAND, [])
            assert "0.002 of 0.002 is gone" in ended.detail
            assert not desk.ledger.state.orders
            assert await row(desk) is None
            await desk.buy("1000")
            await desk.settled()
            assert desk.position("alice_smith") > D("0.0017"), "it takes part in what comes next"
        assert verify(world.paths.ledger).ok


async def test_a_held_exit_of_what_is_still_there_stays_and_is_placed(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            take_away(world, "0.0015")
            out = await desk.sell()
            await desk.settled()
            assert desk.copy(out, "alice_smith").state is OrderState.HELD
            await drifting.reconcile(desk.engine, {"user": "alice_smith", "repair": "exits", "write_off": True})
            await desk.settled()
            assert desk.copy(out, "alice_smith").filled.value == D("0.0005")
            assert (world.holds("alice_smith"), desk.position("alice_smith")) == (0, 0)


async def test_nothing_is_written_off_while_an_order_of_it_is_open(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            placed = await desk.place(
                TradeRequest("bid", "BTC/USD", Side.BUY, quantity=Quantity.of("0.01"), kind=OrderKind.LIMIT,
                             limit=Price.of(40_000))
            )  # fmt: skip
            bid = signal_id(placed.order_id, SignalKind.PLACED)
            await desk.dealt_with(bid)
            take_away(world, "0.002")
            done, notes = await desk.engine.reconciler.write_off(ALICE, "by the operator")
            assert (done, desk.position("alice_smith")) == ([], D("0.002"))
            assert desk.copy(bid, "alice_smith").order_id in notes[0]


async def test_a_venue_that_cannot_be_asked_twice_proves_nothing(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            take_away(world, "0.002")
            assert (await row(desk)) is not None
            world.fault("status", user="alice_smith", method="BalanceEx", when="before", status=503)
            done, notes = await desk.engine.reconciler.write_off(ALICE, "by the operator")
            assert (done, desk.position("alice_smith")) == ([], D("0.002"))
            assert "could not be read twice" in notes[0]


async def test_it_is_for_one_user_at_a_time(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            with pytest.raises(BadRequest, match="name the user"):
                await drifting.reconcile(desk.engine, {"user": None, "repair": "exits", "write_off": True})


async def test_by_itself_only_where_that_is_set_and_two_looks_a_minute_apart_agree(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, settings=ALONE) as world:
        async with world.trading() as desk:
            assert desk.engine.reconciler.rules.by_hand is ByHand.WRITE_OFF
            await desk.buy("1000")
            await desk.settled()
            take_away(world, "0.0015")
            for ahead_s in (0, 30, 20):
                world.clock.ahead_s += ahead_s
                await row(desk)
                await by_itself(desk)
                assert desk.position("alice_smith") == D("0.002"), "not yet"
            world.clock.ahead_s += 30
            take_away(world, "-0.0005")  # some of it came back meanwhile
            await row(desk)
            await by_itself(desk)
            assert desk.position("alice_smith") == D("0.001")
            assert causes(await row(desk)) == {"by_hand": D("-0.001")}
            assert desk.alerts_of("alice_smith", "written off", "drift.by_hand")


async def test_what_is_seen_again_in_between_begins_anew(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, settings=ALONE) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            for _ in range(3):  # away and back again, as where it is lent or staked for a while
                take_away(world, "0.0015")
                await row(desk)
                world.clock.ahead_s += 50
                take_away(world, "-0.0015")
                await row(desk)
                world.clock.ahead_s += 50
                await by_itself(desk)
            assert desk.position("alice_smith") == D("0.002")


async def test_a_report_alone_writes_nothing_off(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            take_away(world, "0.002")
            for _ in range(3):
                await row(desk)
                world.clock.ahead_s += 400
                await by_itself(desk)
            assert desk.position("alice_smith") == D("0.002")


async def test_what_moved_since_it_was_seen_is_not_written_off(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            take_away(world, "0.0015")
            await row(desk)
            world.clock.ahead_s += 61
            await row(desk)
            seen = desk.engine.reconciler._gone.proved(ALICE, 60)["BTC/USD"]
            await desk.buy("500")
            await desk.settled()
            assert await desk.engine.reconciler._gone.write_off(ALICE, "BTC/USD", seen, "late") is None
            assert desk.position("alice_smith") > D("0.002")


async def test_a_crash_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    """The event and the end of the exits are one transaction: a start finds both or neither."""
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            take_away(world, "0.002")
            out = await desk.sell()
            await desk.settled()
        async with world.trading() as desk:  # nothing of what was seen outlives a restart, and nothing is decided twice
            assert desk.engine.reconciler._gone.proved(ALICE, 0.0) == {}
            assert desk.copy(out, "alice_smith").state is OrderState.HELD
            batches: list[list[str]] = []
            append = desk.ledger.append

            def noted(events: Any, **how: Any) -> Any:
                batches.append([type(event).__name__ for event in events])
                return append(events, **how)

            desk.engine.services.ledger.append = noted  # type: ignore[method-assign]
            await desk.engine.reconciler.write_off(ALICE, "by the operator")
            assert ["PositionWrittenOff", "OrderStopped"] in batches
        async with world.trading() as desk:
            assert (desk.position("alice_smith"), desk.copy(out, "alice_smith").state) == (0, OrderState.STOPPED)
            assert await row(desk) is None
            assert await desk.engine.reconciler.repair(ALICE, Repair.ALL) == []
        assert verify(world.paths.ledger).ok


async def test_after_a_restart_the_causes_still_add_up(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            take_away(world, "0.0015")
            await desk.engine.reconciler.write_off(ALICE, "by the operator")
            await desk.buy("500")
            await desk.settled()
            before = causes(await row(desk))
        async with world.trading() as desk:
            assert causes(await row(desk)) == before
            take_away(world, "0.0005")
            await desk.engine.reconciler.write_off(ALICE, "by the operator")
            after = causes(await row(desk))
            assert after["by_hand"] == before["by_hand"] - D("0.0005")
            assert "unexplained" not in after


async def test_control_one_look_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests find a proof that is none: what is lent for a minute would be given up."""
    proved = WriteOffs.proved
    monkeypatch.setattr(
        WriteOffs, "proved",
        lambda self, account, apart_s: {s: seen for (a, s), seen in self._seen.items() if a == account}
        if apart_s else proved(self, account, apart_s),
    )  # fmt: skip
    with World(tmp_path, followers=TWO, settings=ALONE) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            take_away(world, "0.0015")
            await row(desk)
            await by_itself(desk)
            assert desk.position("alice_smith") == D("0.0005")
