"""Entries that rest are taken back when the terms let them through no more; what rests to leave stays."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from world import Desk, World, follower, until

from copytrade.copying.drift import Repair
from copytrade.domain.ids import signal_id
from copytrade.domain.independence import IndependenceBegan
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import TradeRequest
from copytrade.engine.independent import IndependentDesk
from copytrade.engine.killswitch import KillState
from copytrade.engine.withdrawing import Withdrawals
from copytrade.ledger.replay import verify

TWO = {"alice_smith": 1_000, "bob_jones": 500}
SOON: dict[str, Any] = {"resting_delays_s": (0.02, 0.05, 0.1)}
NO_GRACE = {"copy": {"master_fill_grace_s": 0}}
D = Decimal


async def rests(
    desk: Desk, price: int = 45_000, side: Side = Side.BUY, kind: OrderKind = OrderKind.LIMIT, quantity: str = "0.02"
) -> str:
    """The master's resting order, once every copy of it is at the venue; returns the signal."""
    record = await desk.place(
        TradeRequest(
            f"{kind} {side} {price}", "BTC/USD", side, quantity=Quantity.of(quantity), kind=kind,
            limit=Price.of(price) if kind.has_limit else None, stop=Price.of(price) if kind.has_stop else None,
        )
    )  # fmt: skip
    identity = signal_id(record.order_id, SignalKind.PLACED)
    await desk.dealt_with(identity)
    return identity


def open_at(world: World, user: str) -> list[dict[str, Any]]:
    return [order for order in world.orders(user) if order["status"] == "open"]


def change(world: World, desk: Desk, user: str, **fields: Any) -> None:
    """Put other terms of a user into its file, and have them taken over."""
    if fields.pop("removed", False):
        del world.users[user]
    else:
        world.users[user].update(fields)
    world.write_users()
    desk.reload()


async def over(desk: Desk, signal: str, user: str) -> OrderRecord:
    await until(lambda: desk.copy(signal, user).state.final, "the copy to be over")
    return desk.copy(signal, user)


CHANGES: dict[str, tuple[dict[str, Any], Reason]] = {
    "paused": ({"mode": "paused"}, Reason.MODE_PAUSED),
    "close_only": ({"mode": "close_only"}, Reason.MODE_CLOSE_ONLY),
    "disarmed": ({"mode": "disarmed"}, Reason.MODE_DISARMED),
    "independent": ({"mode": "independent"}, Reason.INDEPENDENT),
    "disabled": ({"enabled": False}, Reason.DISABLED),
    "removed": ({"removed": True}, Reason.NO_LONGER_ENROLLED),
    "the instrument's mode": ({"instruments": {"modes": {"BTC/USD": "paused"}}}, Reason.INSTRUMENT_MODE),
    "blocked": ({"instruments": {"block": ["BTC/USD"]}}, Reason.NOT_ALLOWED),
    "not in the list": ({"instruments": {"allow": ["ETH/USD"]}}, Reason.NOT_ALLOWED),
}


@pytest.mark.parametrize(("fields", "reason"), list(CHANGES.values()), ids=list(CHANGES))
async def test_an_entry_that_rests_is_taken_back(tmp_path: Path, fields: dict[str, Any], reason: Reason) -> None:
    with World(tmp_path, followers=TWO, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            signal = await rests(desk)
            change(world, desk, "alice_smith", **fields)
            copy = await over(desk, signal, "alice_smith")
            assert (copy.state, copy.cancel) == (OrderState.CANCELLED, reason)
            assert not open_at(world, "alice_smith")
            assert len(open_at(world, "bob_jones")) == len(open_at(world, "master")) == 1
            assert len(desk.alerts_of("alice_smith", "taken back", reason.text)) == 1
            world.price("BTC/USD", 44_900)
            await desk.settled()
            assert [desk.position(user) for user in TWO] == [D(0), D("0.001")]
        assert verify(world.paths.ledger).ok


UNTOUCHED: dict[str, dict[str, Any]] = {
    "a smaller cap": {"max_order": 10},
    "another instrument's mode": {"instruments": {"modes": {"ETH/USD": "paused"}}},
    "a block of another": {"instruments": {"block": ["ETH/USD"]}},
    "a list with it": {"instruments": {"allow": ["BTC/USD"]}},
}


@pytest.mark.parametrize("fields", list(UNTOUCHED.values()), ids=list(UNTOUCHED))
async def test_other_changes_leave_what_rests_alone(tmp_path: Path, fields: dict[str, Any]) -> None:
    with World(tmp_path, followers=TWO, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            signal = await rests(desk)
            change(world, desk, "alice_smith", **fields)
            assert desk.copy(signal, "alice_smith").cancel is None
            assert desk.engine.withdrawals.look() == 0
            world.price("BTC/USD", 44_900)
            await desk.settled()
            assert desk.position("alice_smith") == D("0.002")


async def test_what_had_filled_stays_and_leaves_with_the_master(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            signal = await rests(desk)
            (order,) = open_at(world, "alice_smith")
            world.venue.fill_part(order["order_id"], D("0.0005"))
            change(world, desk, "alice_smith", mode="paused")
            copy = await over(desk, signal, "alice_smith")
            assert (copy.state, copy.filled.value) == (OrderState.CANCELLED, D("0.0005"))
            world.price("BTC/USD", 44_900)
            await desk.settled()
            assert desk.position("alice_smith") == D("0.0005")
            await desk.sell()
            await desk.settled()
            assert [world.holds(user) for user in TWO] == [0, 0]


@pytest.mark.parametrize("mode", ["paused", "disarmed"])
async def test_a_stop_that_rests_stays(tmp_path: Path, mode: str) -> None:
    with World(tmp_path, followers=TWO, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            signal = await rests(desk, 40_000, Side.SELL, OrderKind.STOP)
            change(world, desk, "alice_smith", mode=mode)
            assert desk.copy(signal, "alice_smith").cancel is None
            assert len(open_at(world, "alice_smith")) == 1
            world.price("BTC/USD", 39_900)
            await until(lambda: world.holds("alice_smith") == 0, "the stop to sell")


async def test_what_an_account_placed_by_itself_is_taken_back_as_well(tmp_path: Path) -> None:
    alone = {"alice_smith": {"cash": 1_000, "mode": "independent"}}
    with World(tmp_path, followers=alone, limits=SOON) as world:
        async with world.trading() as desk:
            engine, alice = desk.engine, follower("alice_smith")
            desk.ledger.append([IndependenceBegan(alice, world.clock.utc())])
            own = IndependentDesk(engine.services, engine.lanes, engine.tracker, engine.refresher.now, alice)
            bids = [
                await own.place(
                    TradeRequest(f"own {price}", "BTC/USD", Side.BUY, usd=Amount.of(50), kind=OrderKind.LIMIT,
                                 limit=Price.of(price))
                )
                for price in (45_000, 44_000)
            ]  # fmt: skip
            assert [bid.state for bid in bids] == [OrderState.ACCEPTED] * 2
            assert engine.withdrawals.look() == 0, "in its own mode it may"
            change(world, desk, "alice_smith", mode="paused")
            await until(lambda: not desk.ledger.state.orders, "both to be over")
            ended = [desk.ledger.find(bid.order_id) for bid in bids]
            assert [(e.state, e.cancel) for e in ended if e] == [(OrderState.CANCELLED, Reason.MODE_PAUSED)] * 2
            assert not open_at(world, "alice_smith")


async def test_one_that_the_answer_is_not_known_of_is_looked_up_and_taken_back(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            # The venue takes the order, the answer is lost, and look-ups fail until the follower is paused.
            world.fault("drop", user="alice_smith", when="after", count=1)
            for method in ("OpenOrders", "ClosedOrders", "QueryOrders"):
                world.fault("status", user="alice_smith", method=method, when="before", status=503)
            record = await desk.place(
                TradeRequest("bid", "BTC/USD", Side.BUY, quantity=Quantity.of("0.02"), kind=OrderKind.LIMIT,
                             limit=Price.of(45_000))
            )  # fmt: skip
            signal = signal_id(record.order_id, SignalKind.PLACED)
            await until(lambda: desk.copies(signal) and desk.copy(signal, "alice_smith").state is OrderState.UNKNOWN,
                        "an unknown outcome")  # fmt: skip
            change(world, desk, "alice_smith", mode="paused")
            world.venue.clear_faults()
            copy = await over(desk, signal, "alice_smith")
            assert (copy.state, copy.cancel) == (OrderState.CANCELLED, Reason.MODE_PAUSED)
            assert not open_at(world, "alice_smith")


async def test_terms_that_changed_while_nothing_ran_are_put_in_force_by_the_start(tmp_path: Path) -> None:
    with World(tmp_path, followers={**TWO, "carol_white": 500}, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            signal = await rests(desk)
        world.users["alice_smith"]["mode"] = "paused"
        del world.users["carol_white"]
        world.write_users()
        async with world.trading() as desk:
            copy = await over(desk, signal, "alice_smith")
            assert (copy.state, copy.cancel) == (OrderState.CANCELLED, Reason.MODE_PAUSED)
            # Nobody has her key any more: the operator is told which order to cancel.
            (order,) = open_at(world, "carol_white")
            assert desk.copy(signal, "carol_white").cancel is Reason.NO_LONGER_ENROLLED
            assert desk.alerts_of("carol_white", "in no user file", order["order_id"])
            world.users["carol_white"] = {"enabled": False}
            world.write_users()
            desk.reload()
            await over(desk, signal, "carol_white")
            assert not open_at(world, "carol_white")
            assert len(open_at(world, "bob_jones")) == 1
        assert verify(world.paths.ledger).ok


async def test_a_cancel_that_a_stop_came_in_between_is_asked_for_by_the_next_start(tmp_path: Path) -> None:
    """The asking is on the disk before the venue hears of it."""
    with World(tmp_path, followers=TWO, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            signal = await rests(desk)
            world.fault("status", user="alice_smith", method="CancelOrder", when="before", status=503)
            change(world, desk, "alice_smith", mode="paused")
        assert len(open_at(world, "alice_smith")) == 1
        world.venue.clear_faults()
        async with world.trading() as desk:
            copy = await over(desk, signal, "alice_smith")
            assert (copy.state, copy.cancel) == (OrderState.CANCELLED, Reason.MODE_PAUSED)
            assert not open_at(world, "alice_smith")


async def test_resumed_it_takes_part_in_what_the_order_does_next(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            signal = await rests(desk)
            change(world, desk, "alice_smith", mode="paused")
            await over(desk, signal, "alice_smith")
            change(world, desk, "alice_smith", mode="active")
            (master,) = [r for r in desk.ledger.state.orders.values() if r.account == "kraken:master"]
            changed = await desk.engine.changes.amend(master.order_id, limit=Price.of(46_000))
            await desk.dealt_with(signal_id(changed.order_id, SignalKind.AMENDED))
            (order,) = open_at(world, "alice_smith")
            assert D(order["limit_price"]) == 46_000


async def test_what_the_master_got_meanwhile_is_missing_by_the_operators_will(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            signal = await rests(desk)
            change(world, desk, "alice_smith", mode="paused")
            await over(desk, signal, "alice_smith")
            world.price("BTC/USD", 44_900)
            await desk.settled()
            alice = follower("alice_smith")
            (found,) = await desk.engine.reconciler.look(alice, fresh=True)
            assert dict(found.causes) == {"skip: mode_paused": D("-0.002")}
            change(world, desk, "alice_smith", mode="active")
            assert await desk.engine.reconciler.repair(alice, Repair.ALL) == [], "it was left out on purpose"


async def test_the_kill_switch_leaves_what_rests_and_says_so(tmp_path: Path) -> None:
    with World(tmp_path, followers=TWO, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            await rests(desk)
            desk.kill.engage(KillState.CLOSE_ONLY)
            await until(lambda: desk.alerts_of("close_only", "3 resting entries stay"), "to be told")
            assert [len(open_at(world, user)) for user in ("master", *TWO)] == [1, 1, 1]
            # A pause is a word about one follower: its cancel leaves whatever the switch says.
            desk.kill.engage(KillState.HALT)
            change(world, desk, "alice_smith", mode="paused")
            await until(lambda: not open_at(world, "alice_smith"), "the cancel to leave")
            world.price("BTC/USD", 44_900)
            await until(lambda: desk.position("bob_jones") == D("0.001"), "what rests to fill")


async def test_nothing_is_taken_back_without_the_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: these tests find a change that nobody compares with what rests."""
    monkeypatch.setattr(Withdrawals, "look", lambda self, accounts=None: 0)
    with World(tmp_path, followers=TWO, limits=SOON, settings=NO_GRACE) as world:
        async with world.trading() as desk:
            signal = await rests(desk)
            change(world, desk, "alice_smith", mode="paused")
            assert desk.copy(signal, "alice_smith").cancel is None
            world.price("BTC/USD", 44_900)
            await desk.settled()
            assert desk.position("alice_smith") == D("0.002")
