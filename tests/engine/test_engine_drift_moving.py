"""Drift while orders move: what is not yet known to be over is nobody's to repair."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from world import World, follower, until

from copytrade.copying.drift import DriftRow, Repair
from copytrade.domain.account import AccountId
from copytrade.domain.ids import signal_id
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind
from copytrade.engine.desk import TradeRequest
from copytrade.engine.drift_book import DriftBook, Look
from copytrade.engine.ports import Ledger
from copytrade.engine.repair import Mender
from copytrade.engine.services import Services

D = Decimal
SOON = {"resting_delays_s": (0.02, 0.05, 0.1)}
NO_GRACE = {"copy": {"master_fill_grace_s": 0}}


async def bought_and_known_of_the_follower_alone(root: Path) -> tuple[list[str], Decimal]:
    """The signals of a repair while the master's fill cannot be read, and what the follower holds after it."""
    with World(root, followers={"alice_smith": 1_000}) as world:
        async with world.trading() as desk:
            world.fault("status", "master", "QueryOrders", status=503, when="before")
            signal = await desk.buy("1000")
            await until(lambda: desk.copy(signal, "alice_smith").state is OrderState.FILLED, "the copy has filled")
            emitted = await desk.engine.reconciler.repair(follower("alice_smith"), Repair.EXITS)
            world.venue.clear_faults()
            await desk.settled()
            return emitted, world.holds("alice_smith")


async def test_a_copy_that_is_known_to_have_filled_before_the_masters_order_is_not_sold(tmp_path: Path) -> None:
    assert await bought_and_known_of_the_follower_alone(tmp_path) == ([], D("0.002"))


async def test_control_by_the_look_of_the_moment_it_is_sold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the drift of what is over swapped for that of the moment."""
    mend = Mender.mend

    async def by_the_moment(
        self: Mender, account: AccountId, rows: Sequence[DriftRow], seen: Look, repair: Repair, *, by_hand: bool
    ) -> list[str]:
        seen = replace(seen, over=seen.fold, moving=frozenset())
        return await mend(self, account, rows, seen, repair, by_hand=by_hand)

    monkeypatch.setattr(Mender, "mend", by_the_moment)
    emitted, held = await bought_and_known_of_the_follower_alone(tmp_path)
    assert (len(emitted), held) == (1, 0)


async def test_what_the_master_had_asked_for_too_much_is_not_sold_for_an_order_of_its_that_is_not_over(
    tmp_path: Path,
) -> None:
    """Of the first order the master got half and the copy all, which is nobody's to repair. Of the second the copy was
    refused, and the master's fill is not known: that looks like a delay."""
    with World(tmp_path, followers={"alice_smith": 100}) as world:
        async with world.trading() as desk:
            world.fault("partial_cancel", "master", fraction="0.5", count=1)
            await desk.buy("900")
            await desk.settled()
            world.fault("status", "master", "QueryOrders", status=503, when="before")
            world.fault("error", "alice_smith", error="EOrder:Some new rule", when="before", count=1)
            second = await desk.buy("480")
            await until(lambda: desk.copy(second, "alice_smith").state is OrderState.REFUSED, "the copy was refused")
            assert await desk.engine.reconciler.repair(follower("alice_smith"), Repair.EXITS) == []
            world.venue.clear_faults()
            await desk.settled()
            assert world.holds("alice_smith") == D("0.00018")


async def test_what_a_resting_exit_owes_is_sold_once(tmp_path: Path) -> None:
    """The master's limit has filled in part, and the follower's was refused: its end catches up, a repair does not."""
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.fault("error", "alice_smith", error="EOrder:Some new rule", when="before", count=1)
            request = TradeRequest(
                "out by half", "BTC/USD", Side.SELL, quantity=Quantity.of("0.01"), kind=OrderKind.LIMIT,
                limit=Price.of(51_000),
            )  # fmt: skip
            record = await desk.place(request)
            assert record.venue_order_id is not None
            orders = desk.ledger.state.orders
            world.venue.fill_part(record.venue_order_id, D("0.005"))
            desk.engine.services.fills.look_at(record.order_id)
            await until(lambda: orders[record.order_id].filled == Quantity.of("0.005"), "a quarter is out")
            await until(lambda: len(orders) == 1, "the copy was refused")
            assert await desk.engine.reconciler.repair(follower("alice_smith"), Repair.EXITS) == []
            await desk.engine.changes.cancel(record.order_id)
            await desk.settled()
            assert world.holds("alice_smith") == D("0.0015")


async def test_what_a_resting_entry_owes_is_bought_once(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            world.fault("error", "alice_smith", error="EOrder:Some new rule", when="before", count=1)
            request = TradeRequest(
                "in", "BTC/USD", Side.BUY, usd=Amount.of(980), kind=OrderKind.LIMIT, limit=Price.of(49_000)
            )
            record = await desk.place(request)
            assert record.venue_order_id is not None
            orders = desk.ledger.state.orders
            world.venue.fill_part(record.venue_order_id, D("0.01"))
            desk.engine.services.fills.look_at(record.order_id)
            await until(lambda: orders[record.order_id].filled == Quantity.of("0.01"), "half is in")
            await until(lambda: len(orders) == 1, "the copy was refused")
            world.price("BTC/USD", 49_001)
            world.clock.ahead_s += 10
            assert await desk.engine.reconciler.repair(follower("alice_smith"), Repair.ALL) == []


async def test_what_is_left_of_an_exit_that_was_cut_short_is_not_tried_for_ever(tmp_path: Path) -> None:
    """Kraken takes no less than 0.00005 BTC: the rest is left in the position, at its end, and nothing is held."""
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            world.fault("partial_cancel", "alice_smith", fraction="0.6", count=1)
            out = await desk.sell("0.001")  # of 0.02: 0.0001 of the 0.002 here
            await desk.settled()
            first, rest = desk.copies(out)
            assert (first.filled.value, rest.leg) == (D("0.00006"), 1)
            assert (rest.state, rest.reason) == (OrderState.SKIPPED, Reason.BELOW_MINIMUM)
            (row,) = await desk.engine.reconciler.look(follower("alice_smith"), fresh=True)
            assert row.causes == (("unfilled", D("0.00004")),)
            await desk.sell()
            await desk.settled()
            assert world.holds("alice_smith") == 0


async def test_balances_that_were_asked_for_before_a_fill_lack_nothing(tmp_path: Path) -> None:
    """The answer comes after the fill, and is from before it."""
    patient = {"kraken": {"request_timeout_s": 20}}
    with World(tmp_path, followers={"alice_smith": 1_000}, settings=patient) as world:
        async with world.trading() as desk:
            asked = sum(n for path, n in world.venue.requests()["paths"].items() if "Balance" in path)
            world.fault("delay", "alice_smith", method=None, delay_ms=1_500, when="after", count=1)
            reading = asyncio.create_task(desk.engine.refresher.now(follower("alice_smith"), 20.0))
            await until(
                lambda: sum(n for p, n in world.venue.requests()["paths"].items() if "Balance" in p) > asked,
                "the venue is asked",
            )
            await desk.buy("1000")
            await desk.settled()
            rows = await desk.engine.reconciler.look(follower("alice_smith"), fresh=True)
            await reading
            assert [(row.actual, row.missing) for row in rows] == [(D("0.002"), D(0))]
            assert not desk.alerts_of("by hand")


async def test_what_comes_behind_an_exit_that_is_held_is_gone_through_once(tmp_path: Path) -> None:
    with World(tmp_path, followers={"alice_smith": 1_000}) as world:
        world.venue.set_price("ETH/USD", D(2_000))
        async with world.trading() as desk:
            alice, book, ledger = follower("alice_smith"), desk.engine.reconciler.book, desk.ledger
            await desk.buy("1000")
            await desk.settled()
            world.fault("error", "alice_smith", error="EOrder:Some new rule", when="before", count=1)
            out = await desk.sell("0.01")
            await desk.settled()
            assert desk.copy(out, "alice_smith").state is OrderState.HELD
            for _ in range(4):
                await desk.buy("100", "ETH/USD")
                await desk.settled()
                await desk.sell(symbol="ETH/USD")
                await desk.settled()
            await same_as_anew(book, desk.engine.services, alice)
            read: list[int] = []
            history = ledger.history
            desk.engine.services.ledger = Counting(ledger, read)  # type: ignore[assignment]
            await book.look(alice)
            desk.engine.services.ledger = ledger
            assert sum(read) == 0, "nothing has happened since"
            assert len(history(alice, 0, 100)) == 10
            assert [r.order_id for r in (await book.look(alice)).open] == [desk.copy(out, "alice_smith").order_id]
            desk.engine.place_held_exits()
            await until(lambda: world.holds("alice_smith") == D("0.001"), "the held exit is placed")
            await desk.settled()
            await same_as_anew(book, desk.engine.services, alice)


class Counting:
    """The ledger; notes how many signals are read of its history."""

    def __init__(self, ledger: Ledger, read: list[int]) -> None:
        self._ledger, self._read = ledger, read

    def history(self, account: AccountId, after: int, limit: int) -> Sequence[object]:
        found = self._ledger.history(account, after, limit)
        self._read.append(len(found))
        return found

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)


async def same_as_anew(book: DriftBook, services: Services, account: AccountId) -> None:
    """The book has the drift that one has which begins at the first signal."""
    for _ in range(2):
        kept, anew = await book.look(account), await DriftBook(services).look(account)
        assert (kept.fold.drifts, kept.over.drifts) == (anew.fold.drifts, anew.over.drifts)
        assert (kept.latest, kept.open) == (anew.latest, anew.open)


@pytest.mark.parametrize("looked_at", [True, False])
async def test_nothing_is_repaired_beside_an_order_that_is_not_over_or_is_newer_than_the_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_at: bool
) -> None:
    """A copy holds too much, which is to be put right; but the master has just asked for more, and the copy of that has
    been refused, so that in the end it holds too little. Without the second question it is sold all the same."""
    if not looked_at:
        monkeypatch.setattr(Mender, "_told_since", lambda *_: False)
    with World(tmp_path, followers={"alice_smith": 150}) as world:
        async with world.trading() as desk:
            alice, engine = follower("alice_smith"), desk.engine
            await desk.buy("1000")
            await desk.settled()
            for quantity in ("0.003", "0.001"):  # both under the minimum here, and over it together
                await desk.sell(quantity)
                await desk.settled()
            before = await engine.reconciler.look(alice, fresh=True), await engine.reconciler.book.look(alice)
            world.fault("status", "master", "QueryOrders", status=503, when="before")
            world.fault("error", "alice_smith", error="EOrder:Some new rule", when="before", count=1)
            more = await desk.buy("900")
            await until(lambda: desk.copy(more, "alice_smith").state is OrderState.REFUSED, "the copy was refused")
            assert await engine.reconciler.repair(alice, Repair.EXITS) == []
            emitted = await engine.mender.mend(alice, *before, Repair.EXITS, by_hand=True)
            assert len(emitted) == (0 if looked_at else 1)
            world.venue.clear_faults()
            await desk.settled()
            (row,) = await engine.reconciler.look(alice, fresh=True)
            rounding = abs(dict(row.causes)["rounding"])
            assert (rounding < D("0.0000001")) is looked_at, row


async def test_an_exit_of_the_masters_counts_what_its_resting_orders_have_filled_unseen(tmp_path: Path) -> None:
    """Half is out by a limit that filled a moment ago, and half of the other half is sold now: a quarter stays."""
    unseen = {"resting_delays_s": (60.0,)}
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=unseen, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            request = TradeRequest(
                "out by half", "BTC/USD", Side.SELL, quantity=Quantity.of("0.01"), kind=OrderKind.LIMIT,
                limit=Price.of(50_100),
            )  # fmt: skip
            record = await desk.place(request)
            await desk.dealt_with(signal_id(record.order_id, SignalKind.PLACED))
            world.price("BTC/USD", 50_200)
            out = desk.ledger.signal(await desk.sell("0.005"))
            assert out is not None
            assert (out.position_before, out.exit_fraction) == (Quantity.of("0.01"), D("0.5"))
            await desk.settled()
            assert [world.holds(user) for user in ("master", "alice_smith")] == [D("0.005"), D("0.0005")]


async def test_a_copy_that_was_left_to_rest_and_fills_later_has_no_cause_left(tmp_path: Path) -> None:
    """Looked at before it fills, and again after: what lacked then was on its way, and is there now."""
    settings = {"copy": {"master_fill_grace_s": 0, "on_master_fill": "leave"}}
    with World(tmp_path, followers={"alice_smith": 1_000}, limits=SOON, settings=settings) as world:
        async with world.trading() as desk:
            bid = TradeRequest("bid", "BTC/USD", Side.BUY, quantity=Quantity.of("0.02"), kind=OrderKind.LIMIT,
                               limit=Price.of(49_900))  # fmt: skip
            placed = await desk.place(bid)
            await desk.dealt_with(signal_id(placed.order_id, SignalKind.PLACED))
            (mine,), (hers,) = world.orders("master"), world.orders("alice_smith")
            world.venue.fill_part(mine["order_id"], D("0.02"))
            await until(lambda: desk.ledger.find(placed.order_id).state is OrderState.FILLED, "the master's fill")
            await desk.dealt_with(signal_id(placed.order_id, SignalKind.FILLED))
            await desk.dealt_with(await desk.buy("500"))
            await until(lambda: desk.position("alice_smith") == D("0.001"), "what came behind it")
            (row,) = await desk.engine.reconciler.look(follower("alice_smith"))
            assert dict(row.causes) == {"delay": D("-0.002")}
            (row,) = await desk.engine.reconciler.look(follower("alice_smith"))
            assert dict(row.causes) == {"delay": D("-0.002")}, "from where the reckoning had been left"
            world.venue.fill_part(hers["order_id"], D("0.002"))
            await until(lambda: desk.position("alice_smith") == D("0.003"), "her fill")
            (row,) = await desk.engine.reconciler.look(follower("alice_smith"))
            assert (row.error, row.causes) == (0, ())
