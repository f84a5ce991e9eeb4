"""Venues that are not there yet, that come later, or that a reload brings: everybody else goes on meanwhile."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from venues_world import ALL, BTC, VenuesWorld
from world import until

from copytrade.console.checking import check_running
from copytrade.console.operations import trade
from copytrade.domain.errors import BadRequest
from copytrade.domain.order import OrderState
from copytrade.domain.reasons import Reason
from copytrade.wiring.system import CannotStart

D = Decimal
ON = {"failover": True}


async def test_a_venue_that_is_down_at_the_start_holds_up_its_own_accounts_only(tmp_path: Path) -> None:
    users = {"alice_smith": {"okx": 1_000}, "bob_jones": {"coinbase": 1_000}, "carol_white": {"kraken": 1_000}}
    async with VenuesWorld(tmp_path, users=users, down=["okx"]) as world, world.trading() as desk:
        assert desk.alerts_of("okx does not answer")
        assert not desk.connected("okx", "alice_smith")
        entry = await desk.buy("1000")
        await desk.settled()
        states = {copy.account: (copy.state, copy.reason) for copy in desk.copies(entry)}
        assert states["coinbase:bob_jones"][0] is states["kraken:carol_white"][0] is OrderState.FILLED
        # The venue's markets are not known, which must not be told as "not listed".
        assert states["okx:alice_smith"] == (OrderState.SKIPPED, Reason.NOT_CONNECTED)
        await world.up("okx")
        await until(lambda: desk.connected("okx", "alice_smith"), "alice has joined")
        second = await desk.buy("1000")
        await desk.settled()
        assert desk.copy(second, "okx:alice_smith").state is OrderState.FILLED


@pytest.mark.parametrize("failover", [True, False])
async def test_a_venue_that_is_down_at_the_start_is_one_that_cannot_be_reached(tmp_path: Path, failover: bool) -> None:
    users = {"alice_smith": {"okx": {"prefer": ["okx"], "failover": failover}, "coinbase": {}}}
    async with VenuesWorld(tmp_path, users=users, down=["okx"]) as world, world.trading() as desk:
        entry = await desk.buy("1000")
        await desk.settled()
        assert len(world.bought_anywhere("alice_smith")) == failover
        assert [copy.account for copy in desk.copies(entry)] == [f"{'coinbase' if failover else 'okx'}:alice_smith"]


async def test_an_exit_that_was_missed_while_its_venue_was_down_is_placed_after_a_restart(tmp_path: Path) -> None:
    async with VenuesWorld(tmp_path, users={"alice_smith": {"okx": 1_000}}) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
        await world.down("okx")
        async with world.trading() as desk:
            out = await desk.sell()
            await until(lambda: desk.copies(out), "the exit is planned")
            assert not desk.copies(out)[0].state.final
            await world.up("okx")
            await desk.settled()
            assert desk.copy(out, "okx:alice_smith").state is OrderState.FILLED
            assert world.holds("okx", "alice_smith") < D("0.00000001")
            assert desk.ledger.state.parked == {}


async def test_an_order_that_may_be_at_a_venue_that_is_down_is_looked_up_once_it_answers(tmp_path: Path) -> None:
    async with VenuesWorld(tmp_path, users={"alice_smith": {"okx": 1_000}}) as world:
        async with world.trading() as desk:
            world.fault("okx", "drop", "alice_smith", when="after", count=1)
            world.sims["okx"].add_fault("status", when="before", method="GET /trade/order", status=502)
            entry = await desk.buy("1000")
            await until(lambda: desk.copy(entry, "okx:alice_smith").state is OrderState.UNKNOWN, "it is unknown")
            await world.down("okx")
        world.sims["okx"].clear_faults()
        async with world.trading() as desk:
            assert desk.copy(entry, "okx:alice_smith").state is OrderState.UNKNOWN
            await world.up("okx")
            await desk.settled()
            assert desk.copy(entry, "okx:alice_smith").state is OrderState.FILLED
            assert len(world.orders("okx", "alice_smith")) == 1


# -- a reload that brings a venue ------------------------------------------------------------------------------------


async def test_live_a_follower_may_be_enrolled_at_a_venue_that_nobody_used_yet(tmp_path: Path) -> None:
    users = {"bob_jones": {"kraken": 1_000}}
    async with VenuesWorld(tmp_path, users=users, venues=["binance"]) as world:
        # Its key has to be known to the worker: the environment is read once, `.env` at every change.
        before = set(world.environ)
        world.enrol("binance", "alice_smith", 1_000)
        keys = {name: world.environ.pop(name) for name in set(world.environ) - before}
        del world.users["binance"]["alice_smith"]
        world.write_users()
        async with world.trading() as desk:
            assert set(desk.engine.services.venues) == {"kraken"}
            world.users["binance"]["alice_smith"] = {}
            world.paths.dotenv.write_text("".join(f"{name}={value}\n" for name, value in keys.items()))
            world.paths.dotenv.chmod(0o600)
            world.write_users()
            desk.reload()
            await until(lambda: desk.connected("binance", "alice_smith"), "alice is connected")
            entry = await desk.buy("1000")
            await desk.settled()
            assert desk.copy(entry, "binance:alice_smith").state is OrderState.FILLED
            assert [order["symbol"] for order in world.orders("binance", "alice_smith")] == ["BTC/USDT"]


async def test_paper_a_venue_that_was_not_started_asks_for_a_restart_and_nothing_else_changes(tmp_path: Path) -> None:
    paper = {"paper": {"volatility": 0, "fill_delay_ms": 0, "reply_delay_ms": 0}}
    users = {"bob_jones": {"kraken": {}}}
    async with VenuesWorld(tmp_path, users=users, venues=["okx"], mode="paper", settings=paper) as world:
        async with world.trading() as desk:
            world.users["okx"]["alice_smith"] = {}
            world.write_users()
            with pytest.raises(CannotStart, match=r"okx.*restart"):
                desk.reload()
            entry = await desk.buy("1000")
            await desk.settled()
            assert [(c.account, c.state) for c in desk.copies(entry)] == [("kraken:bob_jones", OrderState.FILLED)]
        async with world.trading() as desk:
            entry = await desk.buy("1000")
            await desk.settled()
            assert desk.copy(entry, "okx:alice_smith").state is OrderState.FILLED


async def test_paper_carries_every_venue_along(tmp_path: Path) -> None:
    paper = {"paper": {"volatility": 0, "fill_delay_ms": 0, "reply_delay_ms": 0}}
    users = {f"{venue}_smith": {venue: {}} for venue in ALL}
    async with VenuesWorld(tmp_path, users=users, mode="paper", settings=paper) as world, world.trading() as desk:
        entry = await desk.buy("1000")
        await desk.settled()
        assert {copy.account: copy.symbol for copy in desk.copies(entry) if copy.state is OrderState.FILLED} == {
            f"{venue}:{venue}_smith": BTC[venue] for venue in ALL
        }
        out = await desk.sell()
        await desk.settled()
        assert {copy.state for copy in desk.copies(out)} == {OrderState.FILLED}


# -- what the commands say -------------------------------------------------------------------------------------------


async def test_check_asks_every_venue_and_tells_each_accounts_trouble(tmp_path: Path) -> None:
    users = {"alice_smith": dict.fromkeys(ALL, 1_000)}
    async with VenuesWorld(tmp_path, users=users) as world:
        del world.environ["OKX_USER_ALICE_SMITH_API_PASSPHRASE"]
        world.environ["BINANCE_USER_ALICE_SMITH_API_SECRET"] = "A" * 64
        async with world.trading() as desk:
            found = await check_running(desk.system, None, None)
            accounts = {account["account"]: account for account in found["accounts"]}
            assert {name for name, account in accounts.items() if account["ok"]} == {
                "kraken:master", "kraken:alice_smith", "coinbase:alice_smith", "alpaca:alice_smith",
            }  # fmt: skip
            assert "OKX_USER_ALICE" in accounts["okx:alice_smith"]["problems"][0]
            assert accounts["binance:alice_smith"]["problems"]
            assert any("1,000.00 USD" in line for line in accounts["coinbase:alice_smith"]["fine"])
            only = await check_running(desk.system, "coinbase", None)
            assert [account["account"] for account in only["accounts"]] == ["coinbase:alice_smith"]


async def test_trade_takes_the_masters_venue_by_name_and_no_other(tmp_path: Path) -> None:
    users = {"alice_smith": {"kraken": 1_000}}
    async with VenuesWorld(tmp_path, users=users, master="coinbase") as world, world.trading() as desk:
        body = {"request_id": "one", "instrument": "BTC-USD", "side": "buy", "usd": "1000", "whole": False}
        with pytest.raises(BadRequest, match=r"coinbase.*leave --venue out"):
            await trade(desk.engine, {**body, "venue": "kraken"})
        result = await trade(desk.engine, {**body, "venue": "coinbase"})
        assert result["master"]["account"] == "coinbase:master"
        assert result["summary"]["placed"] == 1
        await desk.settled()
        assert [order["symbol"] for order in world.orders("kraken", "alice_smith")] == ["BTC/USD"]


@pytest.mark.parametrize("venue", ["coinbase", "okx", "binance"])
async def test_paper_accounts_have_their_money_in_the_currency_that_the_settings_say(
    tmp_path: Path, venue: str
) -> None:
    paper = {"paper": {"volatility": 0, "fill_delay_ms": 0, "reply_delay_ms": 0}}
    copy = {"stand_ins": {"USD": ["USDC"]}}
    users = {"alice_smith": {venue: {}}}
    async with VenuesWorld(tmp_path, users=users, mode="paper", settings=paper, copy=copy) as world:
        world.venue_settings[venue] = {"currency": "USDC"}
        world.write_settings()
        async with world.trading() as desk:
            entry = await desk.buy("1000")
            await desk.settled()
            copied = desk.copy(entry, f"{venue}:alice_smith")
            assert (copied.state, copied.symbol) == (OrderState.FILLED, "BTC/USDC"), copied


async def test_a_paper_master_has_its_money_in_the_currency_that_the_settings_say(tmp_path: Path) -> None:
    paper = {"paper": {"volatility": 0, "fill_delay_ms": 0, "reply_delay_ms": 0}}
    async with VenuesWorld(tmp_path, users={}, master="okx", mode="paper", settings=paper, copy={}) as world:
        world.venue_settings["okx"] = {"currency": "USDC"}
        world.write_settings()
        async with world.trading() as desk:
            await desk.buy("1000", "BTC-USDC")
            await desk.settled()
            assert desk.position("okx:master", "BTC/USDC") > 0
