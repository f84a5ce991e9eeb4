"""Prices at venues other than the master's: what they decide, and that a copy finds them ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from venues_world import BTC, VenuesDesk, VenuesWorld
from world import until

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import AssetClass, Instrument
from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import OrderState
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Quote
from copytrade.engine.markets import Markets
from copytrade.engine.ports import Venue
from copytrade.engine.service import Wiring

D = Decimal
TWO = {"alice_smith": {"okx": 1_000}, "bob_jones": {"binance": 1_000}}
BY_HAND = {"price_keep_every_s": 3_600.0}  # the test says when prices are looked at


class VenueAround:
    """A venue that hands every call on and remembers which prices were asked for."""

    def __init__(self, inner: Venue) -> None:
        self.inner = inner
        self.asked: list[tuple[str, ...]] = []
        self.trouble: Exception | None = None
        self.hold: asyncio.Event | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def quotes(self, instruments: Sequence[Instrument]) -> Mapping[str, Quote]:
        self.asked.append(tuple(each.symbol for each in instruments))
        if self.hold is not None:
            await self.hold.wait()
        if self.trouble is not None:
            raise self.trouble
        return await self.inner.quotes(instruments)


def watched(venues: dict[str, VenueAround]) -> Callable[[Wiring], Wiring]:
    """An `adjust` that puts a `VenueAround` around each venue."""

    def adjust(wiring: Wiring) -> Wiring:
        venues.update({name: VenueAround(venue) for name, venue in wiring.venues.items()})
        return replace(wiring, venues=dict(venues))  # type: ignore[arg-type]

    return adjust


async def read(desk: VenuesDesk, *venues: str) -> None:
    """Each venue's price of its own market is known."""
    for venue in venues:
        instrument = desk.engine.services.instrument(venue, BTC[venue])
        assert instrument is not None
        await desk.engine.services.prices.quote(instrument, 5.0)


async def round_of(desk: VenuesDesk, *venues: str) -> None:
    """One look of the keeper, which must ask exactly these, to its end."""
    keeper = desk.engine.price_keeper
    assert keeper.look() == list(venues)
    await until(lambda: not keeper.reading, "the answers")


# -- what prices decide ------------------------------------------------------------------------------------------------


async def test_slippage_is_looked_at_by_each_venues_own_price(tmp_path: Path) -> None:
    async with VenuesWorld(tmp_path, users=TWO) as world, world.trading() as desk:
        world.price("okx", 50_300)  # more than half a percent above the master's: 50,250 would do
        world.price("binance", 50_200)
        entry = await desk.buy("1000")
        await desk.settled()
        assert desk.copy(entry, "okx:alice_smith").reason is Reason.PRICE_MOVED
        assert "50300" in desk.copy(entry, "okx:alice_smith").detail
        assert desk.copy(entry, "binance:bob_jones").state is OrderState.FILLED


@pytest.mark.parametrize(("okx", "coinbase", "best"), [(49_950, 50_000, "okx"), (50_000, 49_950, "coinbase")])
async def test_of_two_accounts_the_one_with_the_lower_price_buys(
    tmp_path: Path, okx: int, coinbase: int, best: str
) -> None:
    users = {"alice_smith": {"okx": 1_000, "coinbase": 1_000}}
    async with VenuesWorld(tmp_path, users=users) as world, world.trading() as desk:
        world.price("okx", okx)
        world.price("coinbase", coinbase)
        await read(desk, "okx", "coinbase")
        entry = await desk.buy("1000")
        await desk.settled()
        assert [(c.account, c.state) for c in desk.copies(entry)] == [(f"{best}:alice_smith", OrderState.FILLED)]


async def test_an_account_without_a_price_comes_after_one_with_any(tmp_path: Path) -> None:
    users = {"alice_smith": {"okx": 1_000, "coinbase": 1_000}}
    async with VenuesWorld(tmp_path, users=users) as world, world.trading() as desk:
        world.price("coinbase", 49_000)
        await read(desk, "okx")
        entry = await desk.buy("1000")
        await desk.settled()
        assert [copy.account for copy in desk.copies(entry)] == ["okx:alice_smith"]


# -- kept fresh --------------------------------------------------------------------------------------------------------


async def test_what_the_master_trades_is_kept_fresh_at_other_venues_without_being_asked(tmp_path: Path) -> None:
    venues: dict[str, VenueAround] = {}
    limits = {"price_keep_every_s": 0.2}  # within OKX's own limit of ten a second
    async with VenuesWorld(tmp_path, users=TWO, limits=limits) as world, world.trading(watched(venues)) as desk:
        await desk.buy("1000")
        await desk.settled()
        for name in ("okx", "binance"):
            count = len(venues[name].asked)
            await until(lambda name=name, count=count: len(venues[name].asked) > count + 2, f"{name} is asked again")
            assert set(venues[name].asked) == {("BTC/USDT",)}


async def test_a_copy_finds_its_price_ready(tmp_path: Path) -> None:
    """With the price at hand a copy does not notice that no price can be read any more."""
    venues: dict[str, VenueAround] = {}
    async with VenuesWorld(tmp_path, users=TWO, limits=BY_HAND) as world, world.trading(watched(venues)) as desk:
        await desk.buy("1000")
        await desk.settled()
        world.clock.ahead_s += 60  # what was read for the first copies is old by now
        await round_of(desk, "binance", "okx")
        for name in ("okx", "binance"):
            venues[name].asked.clear()
            venues[name].trouble = VenueUnavailable("for the test")
        entry = await desk.buy("1000")
        await desk.settled()
        assert [copy.state for copy in desk.copies(entry)] == [OrderState.FILLED] * 2
        assert venues["okx"].asked == venues["binance"].asked == []


async def test_several_markets_are_one_call_for_each_venue_and_the_masters_venue_is_left_out(tmp_path: Path) -> None:
    venues: dict[str, VenueAround] = {}
    users = {**TWO, "carol_white": {"kraken": 1_000}, "dora_black": {"coinbase": {"enabled": False}}}
    async with VenuesWorld(tmp_path, users=users, limits=BY_HAND) as world, world.trading(watched(venues)) as desk:
        for symbol in ("ETH/USD", "BTC/USD"):
            await desk.buy("500", symbol)
        await desk.settled()
        for venue in venues.values():
            venue.asked.clear()
        await round_of(desk, "binance", "coinbase", "okx")
        assert venues["okx"].asked == venues["binance"].asked == [("BTC/USDT", "ETH/USDT")]
        assert venues["coinbase"].asked == [("BTC/USD", "ETH/USD")]
        assert venues["kraken"].asked == []


async def test_a_market_is_let_go_an_hour_after_the_last_trade_unless_the_master_holds_it(tmp_path: Path) -> None:
    async with VenuesWorld(tmp_path, users=TWO, limits=BY_HAND) as world, world.trading() as desk:
        keeper = desk.engine.price_keeper
        assert keeper.wanted() == {}
        await desk.buy("1000")
        await desk.buy("500", "ETH/USD")
        await desk.sell(symbol="ETH/USD")
        await desk.settled()
        assert [each.symbol for each in keeper.wanted()["okx"]] == ["ETH/USDT", "BTC/USDT"], "the latest first"
        world.clock.ahead_s += 3_599
        assert len(keeper.wanted()["okx"]) == 2
        world.clock.ahead_s += 10
        assert [each.symbol for each in keeper.wanted()["okx"]] == ["BTC/USDT"]
        await desk.sell()
        await desk.settled()
        world.clock.ahead_s += 3_700
        assert keeper.wanted() == {}


async def test_after_a_restart_what_the_master_holds_is_kept_fresh(tmp_path: Path) -> None:
    async with VenuesWorld(tmp_path, users=TWO, limits=BY_HAND) as world:
        async with world.trading() as desk:
            await desk.buy("1000")
            await desk.settled()
        async with world.trading() as desk:
            await round_of(desk, "binance", "okx")


async def test_no_more_than_eight_markets_are_kept_and_the_latest_are_among_them(tmp_path: Path) -> None:
    symbols = [f"{base}/USD" for base in ("BTC", "ETH", "SOL", "ADA", "DOGE", "XRP", "LTC", "DOT", "LINK", "AVAX")]
    async with VenuesWorld(tmp_path, users=TWO, limits=BY_HAND) as world, world.trading() as desk:
        for symbol in symbols:
            desk.engine.price_keeper.traded(symbol)
        kept = [each.base for each in desk.engine.price_keeper.wanted()["okx"]]
        assert kept == ["AVAX", "LINK", "DOT", "LTC", "XRP", "DOGE", "ADA", "SOL"]


async def test_nothing_is_read_while_orders_are_on_their_way_out(tmp_path: Path) -> None:
    async with VenuesWorld(tmp_path, users=TWO, limits=BY_HAND) as world, world.trading() as desk:
        await desk.buy("1000")
        await desk.settled()
        desk.engine.services.sends_in_flight += 1
        assert desk.engine.price_keeper.look() == []
        desk.engine.services.sends_in_flight -= 1
        await round_of(desk, "binance", "okx")


async def test_a_venue_that_takes_its_time_is_asked_once_and_holds_up_no_other(tmp_path: Path) -> None:
    venues: dict[str, VenueAround] = {}
    async with VenuesWorld(tmp_path, users=TWO, limits=BY_HAND) as world, world.trading(watched(venues)) as desk:
        await desk.buy("1000")
        await desk.settled()
        venues["okx"].hold = asyncio.Event()
        keeper = desk.engine.price_keeper
        assert keeper.look() == ["binance", "okx"]
        await until(lambda: keeper.reading == ["okx"], "Binance has answered")
        assert keeper.look() == ["binance"]
        venues["okx"].hold.set()
        await until(lambda: not keeper.reading, "the answers")


@pytest.mark.parametrize("trouble", [VenueUnavailable("for the test"), RuntimeError("a fault of ours")])
async def test_a_venue_in_trouble_is_left_alone_for_a_while_and_nobody_is_alarmed(
    tmp_path: Path, trouble: Exception
) -> None:
    venues: dict[str, VenueAround] = {}
    async with VenuesWorld(tmp_path, users=TWO, limits=BY_HAND) as world, world.trading(watched(venues)) as desk:
        await desk.buy("1000")
        await desk.settled()
        venues["okx"].trouble = trouble
        await round_of(desk, "binance", "okx")
        await round_of(desk, "binance")
        venues["okx"].trouble = None
        world.clock.ahead_s += 16
        await round_of(desk, "binance", "okx")
        assert world.alerts == []


async def test_with_one_venue_there_is_nothing_to_keep_until_a_reload_brings_another(tmp_path: Path) -> None:
    users = {"carol_white": {"kraken": 1_000}}
    async with VenuesWorld(tmp_path, users=users, venues=["okx"]) as world, world.trading() as desk:
        assert "prices" not in {task.get_name() for task in asyncio.all_tasks()}
        world.users["okx"]["alice_smith"] = {}
        world.write_users()
        desk.reload()
        assert [task.get_name() for task in asyncio.all_tasks()].count("prices") == 1
        world.users["okx"]["bob_jones"] = {}
        world.write_users()
        desk.reload()
        assert [task.get_name() for task in asyncio.all_tasks()].count("prices") == 1


# -- what may stand for what -----------------------------------------------------------------------------------------


class Listing:
    """A venue as far as it lists markets."""

    def __init__(self, name: str, currency: str, *instruments: Instrument) -> None:
        self.name, self.currency = name, currency
        self._instruments = {each.symbol: each for each in instruments}

    def instrument(self, spelling: str) -> Instrument | None:
        return self._instruments.get(spelling)


def market(symbol: str, asset_class: AssetClass = AssetClass.CRYPTO) -> Instrument:
    base, _, quote = symbol.partition("/")
    return Instrument(
        "any", symbol, base, quote, symbol, D("0.01"), D("0.01"), Quantity.of(1), Amount.of(1), asset_class=asset_class
    )


def test_a_stock_is_never_matched_with_a_coin_of_its_name_nor_the_other_way_round() -> None:
    stock, coin = market("META/USD", AssetClass.STOCK), market("META/USDT")
    venues: Any = {"alpaca": Listing("alpaca", "USD", stock), "okx": Listing("okx", "USDT", coin)}
    markets = Markets(venues, {"USD": ("USDT",), "USDT": ("USD",)})
    assert markets.listing("alpaca", "META/USD", AssetClass.STOCK) == stock
    assert markets.listing("okx", "META/USD", AssetClass.STOCK) is None
    assert markets.listing("okx", "META/USD", AssetClass.CRYPTO) == coin
    assert markets.listing("alpaca", "META/USDT", AssetClass.CRYPTO) is None


def test_stand_ins_are_taken_in_the_operators_order_the_accounts_own_currency_first() -> None:
    listed = [market(f"BTC/{quote}") for quote in ("USD", "USDC", "USDT", "EUR")]
    venues: Any = {name: Listing(name, name, *listed) for name in ("USD", "USDC", "USDT", "GBP")}
    markets = Markets(venues, {"USD": ("USDT", "USDC")})
    found = {name: markets.listing(name, "BTC/USD", AssetClass.CRYPTO) for name in venues}
    assert {name: each.quote for name, each in found.items() if each} == {
        "USD": "USD", "USDC": "USDC", "USDT": "USDT", "GBP": "USD",
    }  # fmt: skip
    without_dollars: Any = {"GBP": Listing("GBP", "GBP", *listed[1:])}
    liked = Markets(without_dollars, {"USD": ("USDT", "USDC")}).listing("GBP", "BTC/USD", AssetClass.CRYPTO)
    assert liked is not None
    assert liked.quote == "USDT"
    assert Markets(without_dollars, {}).listing("GBP", "BTC/USD", AssetClass.CRYPTO) is None
    assert Markets(without_dollars, {"EUR": ("USDT",)}).listing("GBP", "BTC/USD", AssetClass.CRYPTO) is None
