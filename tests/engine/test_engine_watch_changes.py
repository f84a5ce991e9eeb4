"""Orders by hand that are changed: in place, by another order in their place, faster than followers can follow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hand import TWO, Hand, copied, signal_of, signals, sizes, told, watched, watching
from ports import ClientAround, around_clients
from world import MASTER, Desk, World, follower, until

from copytrade.copying.drift import Cause
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.signal import SignalKind
from copytrade.domain.venue import Balances, VenueOrder
from copytrade.engine import replaced
from copytrade.engine.by_hand import hand_order_id
from copytrade.engine.desk import TradeRequest
from copytrade.ledger.replay import verify

D = Decimal
PLACED, AMENDED, CANCELLED, FILLED = SignalKind.PLACED, SignalKind.AMENDED, SignalKind.CANCELLED, SignalKind.FILLED


def resting(world: World, user: str) -> list[tuple[str, Decimal]]:
    """Limit and quantity of what rests at the venue."""
    shown = [order for order in world.orders(user) if order["status"] == "open"]
    return [(order["limit_price"], round(D(order["volume"]), 5)) for order in shown]


async def test_an_order_in_anothers_place_is_the_same_order_to_the_followers(tmp_path: Path) -> None:
    """Kraken's EditOrder, Binance's cancelReplace: the old one is cancelled, the new one has an id of its own."""
    with watched(tmp_path) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            first = hand.buy("0.02", 45_000)
            await copied(desk, first)
            hand.fill(first, "0.005")
            for user in TWO:
                (copy,) = world.orders(user)
                world.venue.fill_part(copy["order_id"], D(copy["volume"]) / 4)
            second = hand.replace(first, "0.01", 46_000)
            await copied(desk, second, AMENDED)
            signal = desk.ledger.signal(told(second, AMENDED))
            assert signal is not None
            assert signal.family == hand_order_id(MASTER, first)
            assert (str(signal.quantity), str(signal.filled)) == ("0.015", "0.005")
            await until(lambda: [len(resting(world, user)) for user in TWO] == [1, 1], "one order each")
            assert [resting(world, user) for user in TWO] == [[("46000", D("0.001"))], [("46000", D("0.0005"))]]
            third = hand.replace(second, "0.01", 46_500)
            await copied(desk, third, AMENDED)
            world.price("BTC/USD", 46_400)
            await copied(desk, third, FILLED)
            await desk.settled()
            assert [round(desk.position(user), 5) for user in TWO] == [D("0.0015"), D("0.00075")]
            kinds = [PLACED, CANCELLED, AMENDED, CANCELLED, AMENDED, FILLED]
            await until(lambda: [kind for kind, _ in signals(world)] == kinds, "all is answered")
            assert [row for user in TWO for row in await drift_of(desk, user)] == []
        assert verify(world.paths.ledger).ok


async def test_what_took_an_orders_place_while_nobody_worked_is_the_same_order_too(tmp_path: Path) -> None:
    with watched(tmp_path) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            first = hand.buy("0.02", 45_000)
            await copied(desk, first)
        second = hand.replace(first, "0.021", 45_500)
        async with world.trading() as desk:
            await watching(desk)
            await copied(desk, second, AMENDED)
            await until(lambda: resting(world, "alice_smith") == [("45500", D("0.0021"))], "the copy has moved")
            assert len(resting(world, "bob_jones")) == 1


async def test_an_order_placed_later_than_one_was_cancelled_is_another(tmp_path: Path) -> None:
    """The control: it is by the moment that they are told apart."""
    with watched(tmp_path) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            first = hand.buy("0.02", 45_000)
            await copied(desk, first)
            hand.cancel(first)
            await copied(desk, first, CANCELLED)
            world.clock.ahead_s += replaced._SAME_MOMENT.total_seconds() + 1
            await copied(desk, hand.buy("0.02", 45_000))
            assert [kind for kind, _ in signals(world)] == [PLACED, CANCELLED, PLACED]


async def test_an_order_of_ours_that_is_replaced_by_hand_under_our_client_id_is_not_lost(tmp_path: Path) -> None:
    """Whether EditOrder hands the client id on is not documented: the new order must be seen either way."""
    with watched(tmp_path, master={"watch_check_s": 1}) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            own = await desk.place(
                TradeRequest("own", "BTC/USD", Side.BUY, quantity=Quantity.of("0.02"), kind=OrderKind.LIMIT,
                             limit=Price.of(45_000))
            )  # fmt: skip
            assert own.venue_order_id is not None
            await until(lambda: [len(resting(world, user)) for user in TWO] == [1, 1], "the copies rest")
            second = hand.replace(own.venue_order_id, "0.02", 46_000, client_id=own.order_id)
            await copied(desk, second, AMENDED)
            await until(lambda: resting(world, "alice_smith") == [("46000", D("0.002"))], "the copy has moved")
            world.price("BTC/USD", 45_900)
            await copied(desk, second, FILLED)
            await desk.settled()
            assert desk.position("master") == D("0.02")
            assert [round(desk.position(user), 5) for user in TWO] == [D("0.002"), D("0.001")]


async def test_a_change_and_a_cancel_that_come_at_once_leave_everybody_their_share(tmp_path: Path) -> None:
    """The copy of the changed order is never sized. What was filled of the changed order is owed all the same."""
    with watched(tmp_path, limits={}, kraken={"order_deadline_s": 2}) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            order = hand.buy("0.02", 49_900)
            await copied(desk, order)
            world.fault("delay", method="CancelOrder", delay_ms=600)
            hand.amend(order, quantity="0.03", limit=49_950)
            await until(lambda: (AMENDED, "0.03") in signals(world), "the amendment is told")
            hand.fill(order, "0.012")
            hand.cancel(order)
            await copied(desk, order, CANCELLED)
            await desk.settled()
            assert [round(desk.position(user), 5) for user in TWO] == [D("0.0012"), D("0.0006")]


async def test_a_cancel_names_the_price_that_the_order_had_by_then(tmp_path: Path) -> None:
    with watched(tmp_path) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            order = hand.buy("0.02", 45_000)
            await copied(desk, order)
            hand.amend(order, limit=45_500)
            await desk.dealt_with((await signal_of(world, AMENDED)).signal_id)
            hand.cancel(order)
            await copied(desk, order, CANCELLED)
            told = [(signal.kind, signal.price) for signal, _ in world.plans]
            assert told == [
                (PLACED, Price.of(45_000)), (AMENDED, Price.of(45_500)), (CANCELLED, Price.of(45_500)),
            ]  # fmt: skip


async def test_an_exit_that_the_master_takes_back_at_the_last_moment_is_not_kept_for_the_operator(
    tmp_path: Path,
) -> None:
    with watched(tmp_path) as world:
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            await copied(desk, hand.buy("0.02"))
            await desk.settled()
            orders = []

            def cancel() -> None:  # the copies are planned and have not left
                if signals(world)[-1][0] is PLACED and orders:
                    hand.cancel(orders.pop())

            world.on_plan = cancel
            orders.append(hand.sell("0.01", 60_000))
            (order,) = orders
            copies = await copied(desk, order, PLACED)
            await copied(desk, order, CANCELLED)
            await until(lambda: not desk.ledger.state.orders, "nothing is open")
            assert {desk.ledger.find(copy.order_id).state for copy in copies} <= {  # type: ignore[union-attr]
                OrderState.CANCELLED, OrderState.STOPPED,
            }  # fmt: skip
            assert not desk.alerts_of("is held")


@pytest.mark.slow  # what is looked at is looked at by polling, again and again
async def test_sales_by_hand_that_were_not_seen_one_by_one_are_shares_of_what_was_held(tmp_path: Path) -> None:
    """Beside what was bought here the master held as much before, and sells on while its account is read."""
    with watched(tmp_path, master_cash=9_000) as world:
        world.venue.deposit("master", "BTC", D("0.02"))
        hand = Hand(world.venue)
        async with world.trading() as desk:
            await watching(desk)
            await copied(desk, hand.buy("0.02"))
            await desk.settled()
        rest = hand.sell("0.01", 60_000)
        sold: list[str] = []

        class SellsMeanwhile(ClientAround):
            async def balances(self) -> Balances:
                if self.account == MASTER and looked:
                    sold.append(hand.sell("0.02"))
                    looked.clear()
                return await self.inner.balances()

            async def orders(self, since: datetime, markets: Collection[str] = ()) -> Sequence[VenueOrder]:
                found = await self.inner.orders(since, markets)
                looked.extend(found if not sold else ())
                return found

            def stream(self) -> AsyncIterator[VenueOrder | None]:
                return self.inner.stream()

        looked: list[VenueOrder] = []
        async with world.trading(around_clients(SellsMeanwhile)) as desk:
            # A quarter of the forty hundredths that were held, whatever was sold since.
            assert sizes(await copied(desk, rest)) == ["0.0005", "0.00025"]
            (other,) = sold
            await copied(desk, other)
            await until(lambda: [round(desk.position(user), 5) for user in TWO] == [D("0.001"), D("0.0005")], "half")
        assert verify(world.paths.ledger).ok


async def drift_of(desk: Desk, user: str) -> list[object]:
    """Differences from the master that have no cause by name."""
    rows = await desk.engine.reconciler.look(follower(user), fresh=True)
    nameless = [
        row for row in rows
        if not row.explained or any(cause.startswith(Cause.UNEXPLAINED) and part for cause, part in row.causes)
    ]  # fmt: skip
    return list(nameless)
