"""Copies across venues: the market under each venue's own name, its fees, its steps, its currency."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from venues_world import ALL, BTC, SPELLED, VenuesWorld
from world import WAIT_S

from copytrade.domain.account import venue_of
from copytrade.domain.errors import BadRequest
from copytrade.domain.money import Amount
from copytrade.domain.order import OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.engine.desk import TradeRequest
from copytrade.engine.killswitch import KillState

D = Decimal
EVERYWHERE = {f"{venue}_smith": {venue: 1_000} for venue in ALL}
# Where the fee of a purchase is taken out of what was bought: what arrives is not what was ordered.
ALICE = "okx:alice_smith"
FEE_IN_BASE = {"alpaca", "okx", "binance"}


@pytest.mark.parametrize("master", ALL)
async def test_a_master_at_any_venue_is_copied_to_every_venue_and_out_again(tmp_path: Path, master: str) -> None:
    async with VenuesWorld(tmp_path, users=EVERYWHERE, master=master) as world, world.trading() as desk:
        entry = await desk.buy("1000", SPELLED[master])
        await desk.settled()
        for venue in ALL:
            user, account = f"{venue}_smith", f"{venue}:{venue}_smith"
            copy = desk.copy(entry, account)
            assert (copy.state, copy.symbol) == (OrderState.FILLED, BTC[venue]), copy
            (order,) = world.orders(venue, user)
            assert (order["symbol"], order["side"], D(order["filled"])) == (BTC[venue], "buy", D("0.002"))
            arrived = world.holds(venue, user)
            assert (arrived < D("0.002")) is (venue in FEE_IN_BASE)
            assert desk.position(account, BTC[venue]) <= arrived, "the ledger counts what is not there"
            assert arrived - desk.position(account, BTC[venue]) < step(desk, venue)

        half = str((desk.position(f"{master}:master", BTC[master]) / 2).quantize(D("0.000001")))
        part = await desk.sell(half, SPELLED[master])
        await desk.settled()
        for venue in ALL:
            copy = desk.copy(part, f"{venue}:{venue}_smith")
            assert (copy.state, copy.reason) == (OrderState.FILLED, Reason.FRACTION_OF_POSITION)
            assert D("0.0009") < world.holds(venue, f"{venue}_smith") < D("0.0011")

        await desk.sell(None, SPELLED[master])
        await desk.settled()
        for venue in ALL:
            assert world.holds(venue, f"{venue}_smith") < step(desk, venue), "more than dust is left"
            assert desk.position(f"{venue}:{venue}_smith", BTC[venue]) < step(desk, venue)
            assert world.sims[venue].doubles() == []
        assert [a for a in world.alerts if "held" in a or "parked" in a] == []


def step(desk: object, venue: str) -> Decimal:
    instrument = desk.engine.services.instrument(venue, BTC[venue])  # type: ignore[attr-defined]
    return instrument.lot_step  # type: ignore[no-any-return]


# -- what stands for what ----------------------------------------------------------------------------------------------


async def test_without_stand_ins_dollars_are_not_tether(tmp_path: Path) -> None:
    users = {"alice_smith": {"binance": 1_000}, "bob_jones": {"okx": 1_000}, "carol_white": {"coinbase": 1_000}}
    async with VenuesWorld(tmp_path, users=users, copy={}) as world, world.trading() as desk:
        entry = await desk.buy("1000")
        await desk.settled()
        reasons = {copy.account: (copy.state, copy.reason) for copy in desk.copies(entry)}
        assert reasons == {
            "coinbase:carol_white": (OrderState.FILLED, Reason.SIZED_BY_RATIO),
            "okx:bob_jones": (OrderState.SKIPPED, Reason.QUOTE_DIFFERS),  # it lists BTC/USD; bob's money is in USDT
            "binance:alice_smith": (OrderState.SKIPPED, Reason.NOT_LISTED),
        }
        for copy in desk.copies(entry):
            assert (copy.state is OrderState.SKIPPED) is ("copy.stand_ins" in copy.detail)
        assert world.orders("okx", "bob_jones") == world.orders("binance", "alice_smith") == []


async def test_of_two_stand_ins_the_one_that_the_account_can_pay_for_is_taken(tmp_path: Path) -> None:
    stand_ins = {"stand_ins": {"USD": ["USDC", "USDT"]}}
    users = {"alice_smith": {"okx": 1_000}}
    async with VenuesWorld(tmp_path, users=users, copy=stand_ins) as world, world.trading() as desk:
        entry = await desk.buy("1000")
        await desk.settled()
        assert desk.copy(entry, "okx:alice_smith").symbol == "BTC/USDT"
        assert [order["symbol"] for order in world.orders("okx", "alice_smith")] == ["BTC/USDT"]


async def test_an_exit_reaches_a_position_whose_stand_in_is_no_longer_allowed(tmp_path: Path) -> None:
    async with VenuesWorld(tmp_path, users={"alice_smith": {"okx": 1_000}}) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        world.copy = {}
        world.write_settings()
        desk.reload()
        again = await desk.buy("1000")
        assert [copy.reason for copy in await desk.dealt_with(again)] == [Reason.QUOTE_DIFFERS]
        await desk.sell()
        await desk.settled()
        assert world.holds("okx", "alice_smith") < D("0.00000001")


async def test_an_exit_leaves_alone_what_the_master_still_holds_itself(tmp_path: Path) -> None:
    """Two markets of one base are two things: bob follows the master into the first and cannot into the second."""
    users = {"alice_smith": {"okx": 1_000}, "bob_jones": {"okx": 1_000}}
    async with VenuesWorld(tmp_path, users=users, master="okx", copy={}) as world:
        async with world.trading() as desk:
            await desk.buy("1000", "BTC-USDT")
            await desk.settled()
        held = world.holds("okx", "bob_jones")
        for user in ("master", "alice_smith"):
            world.sims["okx"].deposit(user, "USD", D(1_000))
        world.venue_settings["okx"] = {"currency": "USD"}
        world.write_settings()
        async with world.trading() as desk:
            await desk.buy("100", "BTC-USD")
            await desk.settled()
            await desk.sell(None, "BTC-USD")
            await desk.settled()
            assert [order["symbol"] for order in world.orders("okx", "alice_smith")] == [
                "BTC/USDT", "BTC/USD", "BTC/USD",
            ]  # fmt: skip
            assert world.holds("okx", "bob_jones") == held > 0


async def two_markets(world: VenuesWorld) -> None:
    """Alice's account is measured in USDT first and then in USDC, and copies BTC/USD in both."""
    async with world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
    world.sims["okx"].deposit("alice_smith", "USDC", D(1_000))
    world.price("okx", 50_000, "BTC/USDC")
    world.venue_settings["okx"] = {"currency": "USDC"}
    world.write_settings()
    async with world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        bought = [order["symbol"] for order in world.orders("okx", "alice_smith")]
        assert bought == ["BTC/USDT", "BTC/USDC"]


BOTH_COINS = {"stand_ins": {"USD": ["USDT", "USDC"]}}


async def test_an_exit_closes_every_market_that_stood_for_the_masters(tmp_path: Path) -> None:
    async with VenuesWorld(tmp_path, users={"alice_smith": {"okx": 1_000}}, copy=BOTH_COINS) as world:
        await two_markets(world)
        async with world.trading() as desk:
            before = {symbol: desk.position(ALICE, symbol) for symbol in ("BTC/USDT", "BTC/USDC")}
            half = str(desk.position("kraken:master") / 2)
            part = await desk.sell(half)
            await desk.settled()
            copies = desk.copies(part)
            assert [(c.symbol, c.state, c.reason) for c in copies] == [
                ("BTC/USDC", OrderState.FILLED, Reason.FRACTION_OF_POSITION),
                ("BTC/USDT", OrderState.FILLED, Reason.FRACTION_OF_POSITION),
            ]
            for symbol, held in before.items():
                assert abs(desk.position(ALICE, symbol) - held / 2) < step(desk, "okx")
            await desk.sell()
            await desk.settled()
            assert all(desk.position(ALICE, symbol) < step(desk, "okx") for symbol in before)
            assert world.holds("okx", "alice_smith") < 2 * step(desk, "okx")


async def test_each_of_two_markets_has_its_own_next_leg_when_both_exits_are_cut_short(tmp_path: Path) -> None:
    async with VenuesWorld(tmp_path, users={"alice_smith": {"okx": 1_000}}, copy=BOTH_COINS) as world:
        await two_markets(world)
        async with world.trading() as desk:
            before = {symbol: desk.position(ALICE, symbol) for symbol in ("BTC/USDT", "BTC/USDC")}
            world.fault("okx", "partial_cancel", "alice_smith", fraction="0.5", count=2)
            part = await desk.sell(str(desk.position("kraken:master") / 2))
            await desk.settled()
            legs = sorted((copy.symbol, copy.leg) for copy in desk.copies(part))
            assert legs == [("BTC/USDC", 0), ("BTC/USDC", 1), ("BTC/USDT", 0), ("BTC/USDT", 1)]
            for symbol, held in before.items():  # neither more nor less than the master's half
                assert abs(desk.position(ALICE, symbol) - held / 2) < 2 * step(desk, "okx")


async def test_flatten_closes_what_the_masters_venue_does_not_list(tmp_path: Path) -> None:
    """The master is out already; alice was disarmed then and still holds a market that only her venue has."""
    async with VenuesWorld(tmp_path, users={"alice_smith": {"okx": 1_000}}) as world, world.trading() as desk:
        await desk.buy("1000", "SOL/USD")
        await desk.settled()
        world.users["okx"]["alice_smith"] = {"mode": "disarmed"}
        world.write_users()
        desk.reload()
        await desk.sell(symbol="SOL/USD")
        await desk.settled()
        held = desk.position("okx:alice_smith", "SOL/USDT")
        assert held > 0
        assert desk.engine.services.instrument("kraken", "SOL/USDT") is None
        world.users["okx"]["alice_smith"] = {}
        world.write_users()
        desk.reload()
        desk.kill.engage(KillState.FLATTEN)
        assert await desk.engine.wait_flattened(WAIT_S)
        await desk.settled()
        assert desk.position("okx:alice_smith", "SOL/USDT") < held / 1_000
        assert desk.alerts_of("could not be closed") == []


# -- the master's desk at other venues -------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", ALL)
async def test_the_desk_takes_the_venues_spelling_and_ours_for_one_market(tmp_path: Path, venue: str) -> None:
    async with VenuesWorld(tmp_path, users={}, master=venue) as world, world.trading() as desk:
        for number, spelling in enumerate((SPELLED[venue], SPELLED[venue].lower(), BTC[venue])):
            request = TradeRequest(f"request {number}", spelling, Side.BUY, usd=Amount.of(100))
            record = await desk.place(request)
            assert (record.symbol, venue_of(record.account)) == (BTC[venue], venue)
        await desk.settled()
        assert [order["symbol"] for order in world.orders(venue, "master")] == [BTC[venue]] * 3


@pytest.mark.parametrize("venue", ALL)
async def test_the_desk_names_what_the_venue_does_not_list(tmp_path: Path, venue: str) -> None:
    other = SPELLED["okx" if venue != "okx" else "kraken"].replace("BTC", "NOSUCH").replace("XBT", "NOSUCH")
    async with VenuesWorld(tmp_path, users={}, master=venue) as world, world.trading() as desk:
        with pytest.raises(BadRequest, match=f"{venue} lists no instrument"):
            await desk.place(TradeRequest("request", other, Side.BUY, usd=Amount.of(100)))
        assert world.orders(venue, "master") == []
