"""Drift: what is reported, what is repaired by which setting, and what is left to the operator."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from world import Desk, World, follower, until

from copytrade.console import drifting
from copytrade.copying.drift import DriftRow, Repair
from copytrade.domain.account import AccountId
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import Effect, OrderKind, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind
from copytrade.domain.venue import Accepted, OrderTicket
from copytrade.engine import reconcile
from copytrade.engine.desk import TradeRequest
from copytrade.engine.killswitch import KillState

TWO = {"alice_smith": 1_000, "bob_jones": 500}
D = Decimal


async def row(desk: Desk, user: str, symbol: str = "BTC/USD") -> DriftRow:
    rows = [r for r in await desk.engine.reconciler.look(follower(user), fresh=True) if r.symbol == symbol]
    assert len(rows) == 1, rows
    assert rows[0].explained, rows[0]
    return rows[0]


def causes(found: DriftRow) -> dict[str, Decimal]:
    return dict(found.causes)


async def test_a_copy_that_went_well_has_no_drift(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            found = await row(desk, "alice_smith")
            assert [found.ideal, found.actual, found.held, found.error] == [D("0.002"), D("0.002"), D("0.002"), D(0)]
            assert desk.engine.reconciler.report(follower("alice_smith")) == [found]
            assert desk.engine.reconciler.report(follower("bob_jones")) == []


async def test_a_cap_a_skip_and_a_partial_fill_are_told_apart(tmp_path: Path) -> None:
    followers = {
        "alice_smith": {"cash": 1_000, "max_order": 60}, "bob_jones": {"cash": 500, "mode": "paused"},
        "carol_white": 1_000,
    }  # fmt: skip
    with World(tmp_path, followers=followers) as world:
        async with world.trading() as desk:
            world.fault("partial_cancel", "carol_white", fraction="0.5", count=1)
            await desk.buy("1000")
            await desk.settled()
            assert causes(await row(desk, "alice_smith")) == {"cap: capped_by_max_order": D("-0.0008")}
            assert causes(await row(desk, "bob_jones")) == {"skip: mode_paused": D("-0.001")}
            carol = await row(desk, "carol_white")
            assert causes(carol) == {"unfilled": D("-0.001")}
            assert (carol.value, carol.ideal) == (D(-50), D("0.002"))
            assert carol.share is not None
            assert abs(carol.share + D("0.05")) < D("0.001")


async def test_what_the_master_did_not_get_is_no_ones_ideal(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            world.fault("partial_cancel", "master", fraction="0.25", count=1)
            await desk.buy("1000")
            await desk.settled()
            found = await row(desk, "alice_smith")
            assert (found.ideal, causes(found)) == (D("0.0005"), {"master_partial": D("0.0015")})
            await desk.sell()
            await desk.settled()
            assert [world.holds(user) for user in TWO] == [0, 0]
            assert await desk.engine.reconciler.look(follower("alice_smith")) == []


async def test_an_exit_that_failed_is_repaired_once_and_only_if_told_to(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            alice = follower("alice_smith")
            desk.system.engine.services.roster.followers.pop(alice)  # as if she had not been on the list
            member = desk.engine.services.roster
            out = await desk.sell()
            await desk.settled()
            assert [c.account for c in desk.copies(out)] == [follower("bob_jones")]
        async with world.trading() as desk:
            assert member is not desk.engine.services.roster
            assert await desk.engine.reconciler.repair(alice, Repair.REPORT) == []
            assert (await row(desk, "alice_smith")).ideal == 0
            (signal,) = await desk.engine.reconciler.repair(alice, Repair.EXITS)
            told = desk.ledger.signal(signal)
            assert told is not None
            assert (told.kind, told.target) == (SignalKind.REPAIR, alice)
            assert await desk.engine.reconciler.repair(alice, Repair.EXITS) == []  # it is on its way
            await desk.settled()
            assert world.holds("alice_smith") == 0
            assert [c.account for c in desk.copies(signal)] == [alice]
            assert await desk.engine.reconciler.repair(alice, Repair.EXITS) == []


async def test_a_repair_is_not_doubled_by_a_crash_between_deciding_and_answering(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            alice, engine = follower("alice_smith"), desk.engine
            rows = await engine.reconciler.look(alice, fresh=True)
            seen = await engine.reconciler.book.look(alice)
            engine.mender.master_is_out = lambda symbol: True
            first = await engine.mender.mend(alice, rows, seen, Repair.EXITS, by_hand=True)
            await desk.settled()
            again = await engine.mender.mend(alice, rows, seen, Repair.EXITS, by_hand=True)
            assert (len(first), again) == (1, [])
            assert len(world.orders("alice_smith")) == 2


async def test_missing_entries_are_bought_by_repair_all_within_the_price(tmp_path: Path) -> None:
    with World(tmp_path, followers={**TWO, "carol_white": {"cash": 1_000, "mode": "paused"}}) as world:
        async with world.trading() as desk:
            world.fault("partial_cancel", "alice_smith", fraction="0.5", count=1)
            await desk.buy("1000")
            await desk.settled()
            reconciler, alice = desk.engine.reconciler, follower("alice_smith")
            assert await reconciler.repair(alice, Repair.EXITS) == []
            world.price("BTC/USD", 51_000)  # 2 % above what the master paid
            world.clock.ahead_s += 10  # no quote from before is fresh
            assert await reconciler.repair(alice, Repair.ALL) == []
            world.price("BTC/USD", 50_100)
            world.clock.ahead_s += 10
            (signal,) = await reconciler.repair(alice, Repair.ALL)
            await desk.settled()
            assert desk.copies(signal)[0].filled.value == D("0.001")
            assert causes(await row(desk, "alice_smith")) == {}
            carol = follower("carol_white")
            assert await reconciler.repair(carol, Repair.ALL) == []
            assert causes(await row(desk, "carol_white")) == {"skip: mode_paused": D("-0.002")}


async def test_what_was_sold_by_hand_is_told_and_not_sold_again(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.venue.deposit("alice_smith", "BTC", D("-0.0015"))
            found = await row(desk, "alice_smith")
            assert (found.missing, found.error, causes(found)) == (
                D("0.0015"), D("-0.0015"), {"by_hand": D("-0.0015")},
            )  # fmt: skip
            assert desk.alerts_of("alice_smith", "0.0015", "by hand")
            await row(desk, "alice_smith")
            assert len(desk.alerts_of("alice_smith", "by hand")) == 1
            out = await desk.sell()
            await desk.settled()
            assert desk.copy(out, "alice_smith").state is OrderState.HELD
            await desk.engine.reconciler.repair(follower("alice_smith"), Repair.EXITS)
            await until(lambda: world.holds("alice_smith") == 0, "what is there is sold")
            assert desk.copy(out, "alice_smith").quantity.value == D("0.0005")


async def test_orders_of_others_are_listed_and_left_alone(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            alice, engine = follower("alice_smith"), desk.engine
            assert (await engine.reconciler.not_ours(alice)).orders == ()
            instrument = engine.services.instrument("kraken", "BTC/USD")
            member = engine.services.roster.get(alice)
            assert instrument is not None
            assert member is not None
            assert member.client is not None
            ticket = OrderTicket(
                "by-another-program", alice, instrument, Side.SELL, Effect.EXIT, OrderKind.LIMIT, Quantity.of("0.001"),
                Price.of(60_000),
            )  # fmt: skip
            assert isinstance(await member.client.place(ticket, lambda: None), Accepted)
            (found,) = (await engine.reconciler.not_ours(alice)).orders
            assert (found.client_order_id, found.quantity) == ("by-another-program", Quantity.of("0.001"))
            await engine.reconciler.repair(alice, Repair.ALL)
            assert [order["status"] for order in world.orders("alice_smith")] == ["closed", "open"]


async def test_exits_of_a_lifted_kill_switch_are_placed_by_repair_and_not_before(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.on_plan = lambda: desk.kill.engage(KillState.HALT)
            out = await desk.sell()
            await desk.dealt_with(out)
            await desk.settled()
            alice = follower("alice_smith")
            assert desk.copy(out, "alice_smith").reason is Reason.KILL_SWITCH
            rows, seen = await desk.engine.reconciler.look(alice), await desk.engine.reconciler.book.look(alice)
            for repair in Repair:  # the switch is still on
                assert await desk.engine.mender.mend(alice, rows, seen, repair, by_hand=True) == []
            world.on_plan = lambda: None
            desk.kill.lift()
            await desk.engine.mender.mend(alice, rows, seen, Repair.REPORT)
            assert desk.copy(out, "alice_smith").state is OrderState.HELD
            await desk.engine.mender.mend(alice, rows, seen, Repair.EXITS)
            await until(lambda: world.holds("alice_smith") == 0, "alice is out")
            assert desk.copy(out, "bob_jones").state is OrderState.HELD


@pytest.mark.parametrize("repair", list(Repair))
async def test_a_refused_exit_is_tried_again_by_itself_with_growing_pauses(tmp_path: Path, repair: Repair) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.fault("error", "alice_smith", error="EOrder:Some new rule", when="before", count=2)
            out = await desk.sell()
            await desk.settled()
            alice, mender = follower("alice_smith"), desk.engine.mender
            rows = await desk.engine.reconciler.look(alice, fresh=True)
            seen = await desk.engine.reconciler.book.look(alice)
            await mender.mend(alice, rows, seen, repair)
            await until(lambda: len(desk.alerts_of("alice_smith", "is held")) == 2, "refused again, loudly")
            await mender.mend(alice, rows, seen, repair)
            assert desk.copy(out, "alice_smith").state is OrderState.HELD  # not yet
            await mender.mend(alice, rows, seen, repair, by_hand=True)
            await until(lambda: world.holds("alice_smith") == 0, "alice is out")


async def test_dust_is_named_and_swept_with_the_next_exit(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.fault("partial_cancel", "alice_smith", fraction="0.9995", count=1)
            await desk.sell()
            await desk.settled()
            found = await row(desk, "alice_smith")
            assert found.dust
            assert found.actual == D("0.000001")
            assert found.value == D("0.05")
            assert await desk.engine.reconciler.repair(follower("alice_smith"), Repair.EXITS) == []
            await desk.buy("1000")
            await desk.settled()
            await desk.sell()
            await desk.settled()
            assert world.holds("alice_smith") == 0


async def test_exits_under_the_minimum_are_made_good_once_they_come_to_it(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 150}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            alice = follower("alice_smith")
            assert desk.position("alice_smith") == D("0.0003")
            out = await desk.sell("0.003")
            await desk.settled()
            assert desk.copy(out, "alice_smith").reason is Reason.BELOW_MINIMUM
            assert causes(await row(desk, "alice_smith")) == {"skip: below_minimum": D("0.000045")}
            assert await desk.engine.reconciler.repair(alice, Repair.EXITS) == []
            await desk.sell("0.001")
            await desk.settled()
            (signal,) = await desk.engine.reconciler.repair(alice, Repair.EXITS)
            await desk.settled()
            assert desk.copies(signal)[0].filled.value == D("0.00006")
            assert (await row(desk, "alice_smith")).error == 0


async def test_everybody_is_looked_at_in_turn_without_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "_FIRST_AFTER_S", 0.0)
    monkeypatch.setattr(reconcile, "_ROUND_AT_START_S", 0.0)
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            for user in TWO:
                desk.engine.reconciler.soon(follower(user))
            await until(
                lambda: all(desk.engine.reconciler.report(follower(user)) for user in TWO), "everybody is looked at"
            )


async def test_a_start_goes_back_to_where_the_master_was_out_and_no_further(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            for usd in (700, 900):
                await desk.buy(usd)
                await desk.settled()
                world.fault("partial_cancel", "alice_smith", fraction="0.999", count=1)
                await desk.sell()
                await desk.settled()
            await desk.buy("1000")
            await desk.settled()
            before = {user: await row(desk, user) for user in TWO}
        async with world.trading() as desk:
            after = {user: await row(desk, user) for user in TWO}
            seen = await desk.engine.reconciler.book.look(follower("bob_jones"))
            assert seen.start == 4
            for user in TWO:
                assert (after[user].ideal, after[user].error) == (before[user].ideal, before[user].error)
            assert "earlier" in causes(after["alice_smith"])
            await desk.sell()
            await desk.settled()
            assert world.holds("alice_smith") == 0
        async with world.trading() as desk:
            assert await desk.engine.reconciler.look(follower("alice_smith")) == []
            assert (await desk.engine.reconciler.book.look(follower("bob_jones"))).start == 6


async def test_what_an_open_order_keeps_from_being_repaired_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            world.fault("partial_cancel", "bob_jones", fraction="0.5", count=1)
            await desk.buy("1000")
            await desk.settled()
            await desk.place(
                TradeRequest("rests", "BTC/USD", Side.BUY, quantity=Quantity.of("0.02"), kind=OrderKind.LIMIT,
                             limit=Price.of(45_000))
            )  # fmt: skip
            copies = desk.ledger.state.orders
            await until(
                lambda: [r.state for r in copies.of(follower("bob_jones"))] == [OrderState.ACCEPTED], "bob's copy rests"
            )
            done = await drifting.reconcile(desk.engine, {"repair": "all"})
            assert done["signals"] == []
            assert [(o["account"], o["state"]) for o in done["waiting"]] == [("kraken:bob_jones", "accepted")]
            drifting._show_repairs(done)
            told = capsys.readouterr().out
            assert "kraken:bob_jones: BTC/USD is left as it is while an order in it is open: buy" in told
            assert "nothing was sent" in told
            assert "nothing to do" not in told


async def test_a_fault_in_the_reckoning_of_one_account_ends_nobody_elses_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reckon = reconcile.Reconciler._reckon

    async def broken(self: reconcile.Reconciler, account: AccountId) -> list[DriftRow]:
        if account == follower("alice_smith"):
            raise KeyError("BTC/USD")
        return await reckon(self, account)

    with World(tmp_path, followers=TWO) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            monkeypatch.setattr(reconcile.Reconciler, "_reckon", broken)
            for user in TWO:
                await desk.engine.reconciler._look_quietly(follower(user))
            assert "reconciling kraken:alice_smith" in caplog.text
            assert [row.symbol for row in desk.engine.reconciler.report(follower("bob_jones"))] == ["BTC/USD"]
