"""Late joiners at every venue: the price decides that the follower would pay, in the market that it buys in."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from test_engine_joining import D
from venues_world import ALL, BTC, VenuesDesk, VenuesWorld
from world import until

from copytrade.domain.account import account_id
from copytrade.domain.ids import signal_id
from copytrade.domain.money import Quantity
from copytrade.domain.order import OrderKind, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.books import Books
from copytrade.engine.desk import TradeRequest


async def tried(desk: VenuesDesk, account: str, number: int) -> OrderRecord:
    signal = signal_id(f"join {account} BTC/USD{f' {number}' if number else ''}", SignalKind.JOIN)
    await until(lambda: desk.ledger.copies_of(signal), f"entry {number}")
    await desk.settled()
    return desk.copy(signal, account)


@pytest.mark.parametrize("venue", ALL)
async def test_no_follower_pays_more_than_the_master_has_paid(tmp_path: Path, venue: str) -> None:
    account = account_id(venue, "bob_jones")
    copy = {"late_join": "better_price_only", "stand_ins": {"USD": ["USDT"]}}
    late = {"cash": 1_000, "max_user_risk": 1, "enabled": False}
    users = {"alice_smith": {"kraken": 1_000}, "bob_jones": {venue: late}}
    async with VenuesWorld(tmp_path, users=users, copy=copy) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        world.price(venue, 50_100)
        if venue != "kraken":
            world.price("kraken", 49_000)  # the master's own venue does not count
        world.clock.ahead_s += 10
        world.users[venue]["bob_jones"]["enabled"] = True
        world.write_users()
        desk.reload()
        await until(lambda: desk.alerts_of("bob_jones", "joins while"), "bob has joined")
        await desk.engine.joiner.look()
        assert [signal.kind for signal, _ in world.plans] == [SignalKind.PLACED]

        def jumps() -> None:
            world.price(venue, 50_100)
            world.clock.ahead_s += 10

        world.on_plan = jumps
        world.price(venue, 49_900)
        world.clock.ahead_s += 10
        first = await tried(desk, account, 0)
        assert (first.kind, first.symbol, first.state) == (OrderKind.IOC_LIMIT, BTC[venue], OrderState.CANCELLED)
        assert first.limit_price is not None
        assert (first.limit_price.value, first.filled.value, first.reason) == (50_000, 0, Reason.SIZED_BY_RATIO)
        world.on_plan = lambda: None
        world.price(venue, 49_900)
        world.clock.ahead_s += 60
        second = await tried(desk, account, 1)
        assert (second.state, second.filled) == (OrderState.FILLED, first.quantity)
        assert second.cost.value / second.filled.value < 50_000
        (found,) = await desk.engine.reconciler.look(account, fresh=True)
        assert found.explained
        assert {cause for cause, _ in found.causes} <= {"rounding", "fee"}  # nothing of the time when he was disabled
        held = desk.position(account, BTC[venue])
        assert abs(found.ideal - held) < held / 100


async def test_a_price_of_one_venue_is_no_estimate_at_another(tmp_path: Path) -> None:
    users = {
        "alice_smith": {"kraken": {"cash": 1_000, "max_daily_loss": 900}},
        "bob_jones": {"coinbase": {"cash": 1_000, "max_daily_loss": 900}},
        "carol_white": {"alpaca": {"cash": 1_000, "max_daily_loss": 900}},
    }
    prices = {"kraken": 49_000, "coinbase": 40_000, "alpaca": 51_000}
    seldom = {"limits_watch_every_s": 3_600.0}
    async with VenuesWorld(tmp_path, users=users, limits=seldom) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        accounts = {account_id(venue, user): venue for user, held in users.items() for venue in held}
        for account in accounts:
            await desk.engine.refresher.now(account, 10)
        for venue, price in prices.items():
            world.price(venue, price)
        world.clock.ahead_s += 10
        await desk.engine.limits.look()
        books: Books = desk.engine.services.books
        for account, venue in accounts.items():
            found = books.price("BTC/USD", venue)
            assert found is not None
            assert found.value == prices[venue]
            moved = desk.engine.limits._moved(account).value
            held = desk.position(account)
            assert abs(moved - held * (prices[venue] - D(50_000))) < D("0.01")


async def test_a_fraction_of_a_share_is_bought_at_market_where_the_venue_takes_nothing_else(tmp_path: Path) -> None:
    """Alpaca refuses a limit order for a fraction that is to fill at once, whoever asks for it: the settings, or a
    follower that joins late."""
    copy = {"late_join": "full", "entry_order": "ioc_limit"}
    late = {"cash": 500, "max_user_risk": 1, "enabled": False}
    users = {"alice_smith": {"alpaca": {"cash": 750, "max_user_risk": 1}}, "bob_jones": {"alpaca": late}}
    async with VenuesWorld(tmp_path, master="alpaca", users=users, copy=copy) as world:
        noon = datetime(2050, 1, 4, 17, tzinfo=UTC)  # a Tuesday's in New York, ahead of any machine's clock
        world.clock.ahead_s = noon.timestamp() - datetime.now(UTC).timestamp()
        async with world.trading() as desk:
            bought = await desk.place(TradeRequest("buy", "AAPL", Side.BUY, quantity=Quantity.of("10")))
            await desk.settled()
            alices = desk.copy(signal_id(bought.order_id, SignalKind.PLACED), "alpaca:alice_smith")
            assert (alices.kind, alices.state, alices.filled.value) == (OrderKind.MARKET, OrderState.FILLED, D("0.75"))
            world.users["alpaca"]["bob_jones"]["enabled"] = True
            world.write_users()
            desk.reload()
            joined = signal_id("join alpaca:bob_jones AAPL", SignalKind.JOIN)
            await until(lambda: desk.ledger.copies_of(joined), "bob joins")
            await desk.settled()
            bobs = desk.copy(joined, "alpaca:bob_jones")
            assert (bobs.kind, bobs.state, bobs.filled.value) == (OrderKind.MARKET, OrderState.FILLED, D("0.5"))
