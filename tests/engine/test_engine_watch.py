"""Orders that the master places by hand reach every follower, once, by the stream or without it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hand import TWO, Hand, copied, signal_of, signals, sizes, watched, watching
from world import MASTER, until

from copytrade.domain.ids import signal_id
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind
from copytrade.engine import by_hand
from copytrade.engine.by_hand import hand_order_id
from copytrade.engine.desk import TradeRequest
from copytrade.ledger.replay import verify

D = Decimal


async def test_a_market_order_by_hand_is_copied_and_so_is_the_way_out(tmp_path: Path) -> None:
    with watched(tmp_path) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            bought = hand.buy("0.02")
            assert sizes(await copied(desk, bought)) == ["0.002", "0.001"]
            await desk.settled()
            sold = hand.sell("0.01")
            assert sizes(await copied(desk, sold)) == ["0.001", "0.0005"]
            await desk.settled()
            out = hand.sell("0.01")
            assert [c.reason for c in await copied(desk, out)] == [Reason.WHOLE_POSITION] * 2
            await desk.settled()
            assert not desk.ledger.state.positions
            assert signals(world) == [(SignalKind.PLACED, quantity) for quantity in ("0.02", "0.01", "0.01")]
            assert [len(world.orders(user)) for user in TWO] == [3, 3]
            record = desk.ledger.find(hand_order_id(MASTER, bought))
            assert record is not None
            assert (record.detail.split(":")[0], record.state, record.venue_order_id) == (
                "by hand", OrderState.FILLED, bought,
            )  # fmt: skip
        assert verify(world.paths.ledger).ok


async def test_a_purchase_by_value_is_told_as_what_it_bought(tmp_path: Path) -> None:
    with watched(tmp_path) as world:
        async with world.trading() as desk:
            await watching(desk)
            bought = Hand(world.venue).buy("1000", volume_in_quote=True)
            assert sizes(await copied(desk, bought)) == ["0.002", "0.001"]
            assert (await signal_of(world, SignalKind.PLACED)).quantity == Quantity.of("0.02")


async def test_a_limit_by_hand_rests_for_all_and_its_end_is_told(tmp_path: Path) -> None:
    with watched(tmp_path) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            filled, cancelled = hand.buy("0.02", 45_000), hand.buy("0.02", 40_000)
            copies = [*await copied(desk, filled), *await copied(desk, cancelled)]
            assert [(c.kind, str(c.limit_price)) for c in copies] == [
                (OrderKind.LIMIT, limit) for limit in ("45000", "45000", "40000", "40000")
            ]
            hand.cancel(cancelled)
            await copied(desk, cancelled, SignalKind.CANCELLED)
            world.price("BTC/USD", 44_900)
            await copied(desk, filled, SignalKind.FILLED)
            await desk.settled()
            assert [desk.position(user) for user in TWO] == [D("0.002"), D("0.001")]
            assert [len(world.orders(user)) for user in TWO] == [2, 2]
        assert verify(world.paths.ledger).ok


async def test_an_amendment_by_hand_moves_every_copy_and_counts_what_had_filled(tmp_path: Path) -> None:
    with watched(tmp_path) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            order = hand.buy("0.02", 45_000)
            await copied(desk, order)
            hand.fill(order, "0.005")
            for user in TWO:
                (copy,) = world.orders(user)
                world.venue.fill_part(copy["order_id"], D(copy["volume"]) / 4)
            hand.amend(order, quantity="0.01", limit=46_000)
            await until(lambda: (SignalKind.AMENDED, "0.01") in signals(world), "the amendment is told")
            assert (await signal_of(world, SignalKind.AMENDED)).filled == Quantity.of("0.005")
            await desk.dealt_with((await signal_of(world, SignalKind.AMENDED)).signal_id)
            for user, left in zip(TWO, ("0.0005", "0.00025"), strict=True):
                (order_now,) = [o for o in world.orders(user) if o["status"] == "open"]
                # Their equity has grown a little by what they bought below the market's price.
                assert (D(order_now["limit_price"]), round(D(order_now["volume"]), 5)) == (D(46_000), D(left))
            world.price("BTC/USD", 45_900)
            await desk.settled()
            assert [round(desk.position(user), 5) for user in TWO] == [D("0.001"), D("0.0005")]
            assert desk.position("master") == D("0.01")
        assert verify(world.paths.ledger).ok


async def test_orders_of_our_own_are_not_taken_for_the_hands(tmp_path: Path) -> None:
    kinds = (OrderKind.LIMIT, OrderKind.POST_ONLY, OrderKind.STOP, OrderKind.STOP_LIMIT, OrderKind.BRACKET)
    with watched(tmp_path, master={"watch_check_s": 1}, limits={}) as world:
        async with world.trading() as desk:
            await watching(desk)
            await desk.buy(1_000)
            await desk.settled()
            placed = []
            for kind in kinds:
                limit = 60_000 if kind is OrderKind.BRACKET else 44_000 if kind is OrderKind.STOP_LIMIT else 55_000
                record = await desk.place(
                    TradeRequest(
                        f"own {kind}", "BTC/USD", Side.SELL, quantity=Quantity.of("0.004"), kind=kind,
                        limit=Price.of(limit) if kind.has_limit else None,
                        stop=Price.of(45_000) if kind.has_stop else None,
                    )
                )  # fmt: skip
                placed.append(record)
                await desk.dealt_with(signal_id(record.order_id, SignalKind.PLACED))
            watcher = desk.engine.watcher
            assert watcher is not None
            seen = watcher.looked_at
            await until(lambda: watcher.looked_at not in (seen, None), "one more look-up")
            assert [signal.kind for signal, _ in world.plans] == [SignalKind.PLACED] * (1 + len(kinds))
            assert {signal.master_order_id for signal, _ in world.plans} >= {record.order_id for record in placed}


async def test_an_order_of_ours_whose_answer_was_lost_is_not_taken_for_the_hands(tmp_path: Path) -> None:
    with watched(tmp_path) as world:
        async with world.trading() as desk:
            await watching(desk)
            world.fault("drop", user="master", count=1)
            world.fault("status", user="master", method="OpenOrders", count=3)
            signal = await desk.buy(1_000)
            await desk.dealt_with(signal)
            await desk.settled()
            assert len(world.plans) == 1
            assert [desk.position(user) for user in TWO] == [D("0.002"), D("0.001")]


async def test_selling_half_of_what_was_held_before_sells_half_of_what_is_copied(tmp_path: Path) -> None:
    with watched(tmp_path, master_cash=7_000) as world:
        world.venue.deposit("master", "BTC", D("0.06"))
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            await copied(desk, hand.buy("0.02"))
            await desk.settled()
            half = hand.sell("0.04")
            assert sizes(await copied(desk, half)) == ["0.001", "0.0005"]
            await desk.settled()
            assert desk.position("master") == 0  # never short, whatever else it holds
            resting = hand.sell("0.02", 60_000)
            assert sizes(await copied(desk, resting)) == ["0.0005", "0.00025"]
            world.price("BTC/USD", 60_100)
            await copied(desk, resting, SignalKind.FILLED)
            assert (await signal_of(world, SignalKind.FILLED)).exit_fraction == D("0.5")
            await desk.settled()
            assert [desk.position(user) for user in TWO] == [D("0.0005"), D("0.00025")]
            await copied(desk, hand.sell("0.02"))
            await desk.settled()
            assert not desk.ledger.state.positions
        assert verify(world.paths.ledger).ok


async def test_the_kill_switch_stops_the_copies_and_not_the_telling(tmp_path: Path) -> None:
    with watched(tmp_path) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            await copied(desk, hand.buy("0.02"))
            await desk.settled()
            world.paths.state.joinpath("SYSTEM_DISABLED").touch()
            bought, sold = hand.buy("0.01"), hand.sell("0.03")
            assert {c.state for c in await copied(desk, bought)} == {OrderState.STOPPED}
            assert {c.state for c in await copied(desk, sold)} == {OrderState.HELD}
            assert desk.position("master") == 0
            assert [len(world.orders(user)) for user in TWO] == [1, 1]


# -- controls --------------------------------------------------------------------------------------------------------


async def test_without_the_same_id_for_the_same_order_everything_is_copied_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(range(1_000))
    monkeypatch.setattr(by_hand, "hand_order_id", lambda *parts: hand_order_id(f"{next(drawn)}", parts[1]))
    monkeypatch.setattr(by_hand, "_KNOWN_BEFORE", -by_hand._KNOWN_BEFORE)
    with watched(tmp_path, master={"watch_check_s": 1}) as world:
        async with world.trading() as desk:
            await watching(desk)
            Hand(world.venue).buy("0.02")
            await until(lambda: len(world.plans) > 1, "the copy of a copy")


async def test_with_the_ledgers_word_on_client_ids_ignored_our_own_orders_are_copied_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_hand.HandOrders, "_known", lambda self, order: (False, None))
    with watched(tmp_path) as world:
        async with world.trading() as desk:
            await watching(desk)
            await desk.buy(1_000)
            await until(lambda: len(world.plans) > 1, "the order told a second time")
