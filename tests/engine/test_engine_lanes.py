"""Lanes: one account's orders leave in signal order; what is looked at right before an entry leaves."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from ports import ClientAround, around_clients
from world import World, follower, until

from copytrade.domain.ids import copy_id
from copytrade.domain.order import Effect, OrderState
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import OrderTicket
from copytrade.engine.ports import AccountClient
from copytrade.engine.service import Wiring

ALICE = {"alice_smith": 1_000}


# -- order -----------------------------------------------------------------------------------------------------------


async def test_each_account_trades_in_signal_order_however_the_venue_dawdles(tmp_path: Path) -> None:
    users = {"alice_smith": 1_000, "bob_jones": 2_000, "carol_white": 500}
    with World(tmp_path, followers=users) as world:
        async with world.trading() as desk:
            for n, user in enumerate(users):
                world.fault("delay", user, when="before", delay_ms=30, every=n + 1)
                world.fault("drop", user, every=4, count=1)
            signals = []
            for usd, symbol in [("500", "BTC/USD"), ("300", "ETH/USD"), ("200", "BTC/USD"), ("400", "ETH/USD")]:
                signals.append(await desk.buy(usd, symbol))
            signals.append(await desk.sell(symbol="BTC/USD"))
            signals.append(await desk.sell(symbol="ETH/USD"))
            await desk.settled()
            for user in users:
                arrived = [order["client_id"] for order in world.orders(user)]
                expected = [copy_id(signal, follower(user)) for signal in signals]
                assert arrived == [order_id for order_id in expected if order_id in arrived]
                assert arrived == expected
                assert world.holds(user) == world.holds(user, "ETH") == 0


@dataclass
class Budget:
    """A rate budget that lets no entry of a follower leave while it is shut."""

    shut: bool = True

    def around(self, wiring: Wiring) -> Wiring:
        budget = self

        class Budgeted(ClientAround):
            def wait_s(self, ticket: OrderTicket) -> float:
                held_back = budget.shut and ticket.effect is Effect.ENTRY and "master" not in ticket.account
                return 0.02 if held_back else self.inner.wait_s(ticket)

        def budgeted(client: AccountClient) -> AccountClient:
            return Budgeted(client)

        return around_clients(budgeted)(wiring)


async def test_an_exit_overtakes_an_entry_that_waits_for_its_budget_but_not_in_the_same_market(tmp_path: Path) -> None:
    with World(tmp_path, followers=ALICE) as world:
        budget = Budget(shut=False)
        async with world.trading(budget.around) as desk:
            held = await desk.buy("500", "ETH/USD")
            await desk.settled()
            budget.shut = True
            waiting = await desk.buy("500", "BTC/USD")
            behind = await desk.sell(symbol="BTC/USD")
            ahead = await desk.sell(symbol="ETH/USD")
            await until(lambda: not world.holds("alice_smith", "ETH"), "the exit has gone ahead")
            assert desk.copy(waiting, "alice_smith").state is OrderState.APPROVED
            assert desk.copy(behind, "alice_smith").state is OrderState.DEFERRED
            budget.shut = False
            await desk.settled()
            order = [copy_id(signal, follower("alice_smith")) for signal in (held, ahead, waiting, behind)]
            assert [each["client_id"] for each in world.orders("alice_smith")] == order
            assert world.holds("alice_smith") == 0


async def test_without_a_budget_to_wait_for_no_exit_overtakes(tmp_path: Path) -> None:
    patient = {"kraken": {"request_timeout_s": 20}}
    with World(tmp_path, followers=ALICE, settings=patient) as world:
        async with world.trading() as desk:
            first = await desk.buy("500", "ETH/USD")
            await desk.settled()
            world.fault("delay", "alice_smith", when="before", delay_ms=500, count=1)
            second = await desk.buy("500", "BTC/USD")
            third = await desk.sell(symbol="ETH/USD")
            await desk.settled()
            order = [copy_id(signal, follower("alice_smith")) for signal in (first, second, third)]
            assert [each["client_id"] for each in world.orders("alice_smith")] == order


# -- the last look -----------------------------------------------------------------------------------------------------


async def test_an_entry_that_waits_too_long_expires_and_an_exit_never_does(tmp_path: Path) -> None:
    with World(tmp_path, followers=ALICE) as world:
        budget = Budget(shut=False)
        async with world.trading(budget.around) as desk:
            await desk.buy("500", "ETH/USD")
            await desk.settled()
            budget.shut = True
            signal = await desk.buy("500", "BTC/USD")
            await until(lambda: desk.copies(signal), "the entry is planned")
            world.clock.ahead_s += 61
            await desk.settled()
            copy = desk.copy(signal, "alice_smith")
            assert (copy.state, copy.reason) == (OrderState.STOPPED, Reason.ENTRY_EXPIRED)

            def dawdle() -> None:
                world.clock.ahead_s += 3_600

            world.on_plan = dawdle
            await desk.sell(symbol="ETH/USD")
            await desk.settled()
            assert world.holds("alice_smith", "ETH") == 0
        assert len(world.orders("alice_smith")) == 2


def _price_moves(world: World, price: int) -> None:
    """The market moves between the plan and the send, and the price that is known is no longer fresh."""

    def move() -> None:
        world.price("BTC/USD", price)
        world.clock.ahead_s += 6

    world.on_plan = move


@pytest.mark.parametrize(
    ("price", "state"),
    [(50_251, OrderState.STOPPED), (50_249, OrderState.FILLED), (40_000, OrderState.FILLED)],
)
async def test_an_entry_is_not_sent_at_a_price_that_has_run_away(tmp_path: Path, price: int, state: OrderState) -> None:
    with World(tmp_path, followers=ALICE) as world:
        async with world.trading() as desk:
            _price_moves(world, price)
            signal = await desk.buy("1000")
            await desk.settled()
            copy = desk.copy(signal, "alice_smith")
            assert copy.state is state
            assert (copy.reason is Reason.PRICE_MOVED) == (state is OrderState.STOPPED)
            assert len(world.orders("alice_smith")) == (state is OrderState.FILLED)


async def test_an_exit_is_sent_at_any_price(tmp_path: Path) -> None:
    with World(tmp_path, followers=ALICE) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
            _price_moves(world, 20_000)
            await desk.sell()
            await desk.settled()
            assert world.holds("alice_smith") == 0


async def test_an_entry_without_a_price_to_look_at_is_not_sent(tmp_path: Path) -> None:
    with World(tmp_path, followers=ALICE) as world:
        async with world.trading() as desk:
            def blind() -> None:
                world.fault("status", None, "Ticker", status=503, when="before")
                world.clock.ahead_s += 6

            world.on_plan = blind
            signal = await desk.buy("1000")
            await desk.settled()
            copy = desk.copy(signal, "alice_smith")
            assert (copy.state, copy.reason) == (OrderState.STOPPED, Reason.PRICE_UNKNOWN)
            assert world.orders("alice_smith") == []


@pytest.mark.parametrize(("price", "filled"), [(50_100, "0.002"), (50_300, "0")])
async def test_an_ioc_entry_cannot_fill_beyond_its_limit(tmp_path: Path, price: int, filled: str) -> None:
    with World(tmp_path, followers=ALICE, settings={"copy": {"entry_order": "ioc_limit"}}) as world:
        async with world.trading() as desk:
            _price_moves(world, price)
            signal = await desk.buy("1000")
            await desk.settled()
            (order,) = world.orders("alice_smith")
            assert (order["type"], Decimal(order["limit_price"])) == ("limit", Decimal("50250"))
            assert Decimal(order["filled"]) == desk.position("alice_smith") == Decimal(filled)
            copy = desk.copy(signal, "alice_smith")
            assert copy.state is (OrderState.FILLED if copy.filled else OrderState.CANCELLED)


# -- refusals that pass ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ["EService:Deadline elapsed", "EService: Throttled: 1"])
async def test_a_refusal_that_passes_is_tried_again_and_sent_once(tmp_path: Path, error: str) -> None:
    with World(tmp_path, followers=ALICE) as world:
        async with world.trading() as desk:
            world.fault("error", "alice_smith", error=error, when="before", count=1)
            signal = await desk.buy("1000")
            await desk.settled()
            assert desk.copy(signal, "alice_smith").state is OrderState.FILLED
            assert len(world.orders("alice_smith")) == 1


async def test_an_entry_in_a_closed_market_ends_with_that_reason_once_it_could_only_be_late(tmp_path: Path) -> None:
    with World(tmp_path, followers=ALICE, settings={"copy": {"entry_ttl_s": 30}}) as world:
        async with world.trading() as desk:
            world.fault("error", "alice_smith", error="EService:Market in cancel_only mode", when="before")
            signal = await desk.buy("1000")
            await desk.settled()
            copy = desk.copy(signal, "alice_smith")
            assert (copy.state, copy.reason) == (OrderState.REFUSED, Reason.MARKET_CLOSED)
