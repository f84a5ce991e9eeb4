"""Markets, prices, hours and the clock: from the venue's own lists, with whichever key there is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from alpaca_lab import AAPL, ALICE, BTC_USD, KEY, SECRET, alpaca_lab, at_raw_server
from kraken_lab import http, open_gate

from copytrade.domain.errors import CredentialsRejected, VenueError
from copytrade.domain.instrument import AssetClass, MarketStatus
from copytrade.domain.money import NO_AMOUNT, Price
from copytrade.domain.order import Side
from copytrade.domain.venue import Accepted, ExecutionStatus
from copytrade.venues.alpaca.clock import MarketClock, read_time
from copytrade.venues.alpaca.instruments import read_instruments
from copytrade.venues.alpaca.options import AlpacaOptions
from copytrade.venues.alpaca.public import data_url_of

TUESDAY_NOON = datetime(2026, 1, 6, 17, 0, tzinfo=UTC).timestamp()  # noon in New York
TUESDAY_NIGHT = datetime(2026, 1, 6, 23, 0, tzinfo=UTC).timestamp()
COIN = {
    "id": "i-1", "class": "crypto", "symbol": "ETH/USD", "status": "active", "tradable": True,
    "min_order_size": "0.0003", "min_trade_increment": "0.000000001", "price_increment": "0.01",
}  # fmt: skip
STOCK = {
    "id": "i-2", "class": "us_equity", "symbol": "MSFT", "status": "active", "tradable": True, "fractionable": True,
}  # fmt: skip


@pytest.mark.parametrize("spelling", ["BTC/USD", "BTCUSD", "btc/usd", " btcusd "])
async def test_coin_by_every_spelling(spelling):
    async with alpaca_lab() as lab:
        assert lab.venue.instrument(spelling) == BTC_USD
        assert lab.venue.instrument("BTC/USDT").quote == "USDT"
        assert lab.venue.instrument("BTCUSDT").symbol == "BTC/USDT"
        assert lab.venue.instrument("BTCUSDT").min_buy_cost == NO_AMOUNT  # the 10 USD are for markets against USD
        assert lab.venue.instrument("BTC") is None
        assert lab.venue.instrument("AAPL/USD") is None


async def test_stock_has_its_own_class_and_step():
    async with alpaca_lab(stocks_always_open=True) as lab:
        assert lab.venue.instrument("aapl") == AAPL
        assert str(lab.venue.instrument("BRK.A").lot_step) == "1"
        assert lab.venue.instrument("TWTR") is None  # no longer active


async def test_prices_of_both_kinds_and_what_has_none():
    async with alpaca_lab(stocks_always_open=True) as lab:
        gone = replace(AAPL, symbol="GONE", venue_symbol="GONE")
        quotes = await lab.venue.quotes([BTC_USD, AAPL, gone])
        assert {symbol: quote.ask for symbol, quote in quotes.items()} == {
            "BTC/USD": Price.of(50_000), "AAPL": Price.of(230),
        }  # fmt: skip
        assert await lab.venue.quotes([]) == {}


async def test_stock_is_closed_outside_its_hours_and_an_exit_waits_for_them():
    now = [TUESDAY_NOON]
    balances = {"USD": Decimal(10_000), "AAPL": Decimal(2)}
    async with alpaca_lab(our_clock=lambda: datetime.fromtimestamp(now[0], UTC), balances=balances) as lab:
        assert lab.venue.instrument("AAPL").status is MarketStatus.ONLINE
        now[0] = TUESDAY_NIGHT
        assert lab.venue.instrument("AAPL").status is MarketStatus.CLOSED
        assert lab.venue.instrument("BTC/USD").status is MarketStatus.ONLINE
        sale = await lab.account.place(lab.order(side=Side.SELL, quantity="0.5", instrument=AAPL), open_gate)
        assert isinstance(sale, Accepted)
        assert (await lab.account.execution(sale.venue_order_id)).status is ExecutionStatus.OPEN
        now[0] = TUESDAY_NOON + 86_400
        execution = await lab.account.execution(sale.venue_order_id)
        assert (execution.status, str(execution.cost), str(execution.fee)) == (ExecutionStatus.FILLED, "115", "0")
        assert lab.venue.instrument("AAPL").status is MarketStatus.ONLINE


def reading(is_open: bool, now: str, opens: str, closes: str) -> MarketClock:
    asked_at = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)
    body = {"timestamp": now, "is_open": is_open, "next_open": opens, "next_close": closes}
    return MarketClock.read(body, asked_at, asked_at + timedelta(seconds=1))


def test_one_reading_carries_over_the_next_opening_and_closing():
    closed = reading(False, "2026-01-06T07:00:00.5-05:00", "2026-01-06T09:30:00-05:00", "2026-01-06T16:00:00-05:00")
    at = datetime(2026, 1, 6, tzinfo=UTC)
    hours = {hour: closed.stocks_open(at + timedelta(hours=hour)) for hour in (13, 15, 20, 22)}
    assert hours == {13: False, 15: True, 20: True, 22: False}
    open_ = reading(True, "2026-01-06T10:00:00-05:00", "2026-01-07T09:30:00-05:00", "2026-01-06T16:00:00-05:00")
    skew = open_.offset
    assert open_.stocks_open(at + timedelta(hours=20) - skew)
    assert not open_.stocks_open(at + timedelta(hours=23) - skew)
    assert open_.stocks_open(at + timedelta(hours=39) - skew)


@pytest.mark.parametrize(
    ("venue_now", "offset_s"), [("12:00:00.2", 0), ("12:00:11", 10), ("11:59:50.123456789", -9.876544)]
)
def test_clock_counts_as_off_only_by_what_the_round_trip_does_not_explain(venue_now, offset_s):
    read = reading(True, f"2026-01-06T{venue_now}Z", "2026-01-07T09:30:00-05:00", "2026-01-06T16:00:00-05:00")
    assert read.offset.total_seconds() == pytest.approx(offset_s)


@pytest.mark.parametrize("body", [None, [], {}, {"is_open": "yes"}, {"is_open": True, "timestamp": 5}])
async def test_clock_that_cannot_be_read_is_an_error(body):
    at = datetime.now(UTC)
    with pytest.raises(VenueError):
        MarketClock.read(body, at, at)


def test_times_have_up_to_nine_decimals_and_always_an_offset():
    assert read_time("2023-12-12T22:36:51.337711497Z") == datetime(2023, 12, 12, 22, 36, 51, 337711, tzinfo=UTC)
    with pytest.raises(ValueError, match="no offset"):
        read_time("2023-12-12T22:36:51")


async def test_markets_are_read_with_the_first_account_that_is_connected():
    async with alpaca_lab(load=False) as lab:
        await lab.account.close()
        assert await lab.venue.load_instruments() == 0
        assert lab.sim.requests()["total"] == 0
        account = lab.venue.connect_account(ALICE, lab.key, lab.secret)
        assert lab.venue.instrument("BTC/USD") is None
        await account.check_key()
        assert lab.venue.instrument("BTC/USD") == BTC_USD
        assert await lab.venue.load_instruments() == 27


async def test_key_that_is_turned_away_makes_room_for_the_next():
    async with alpaca_lab(load=False) as lab:
        await lab.account.close()
        bad = lab.venue.connect_account(ALICE, KEY, SECRET)
        with pytest.raises(CredentialsRejected, match="paper-api"):
            await lab.venue.load_instruments()
        lab.venue.connect_account(ALICE, lab.key, lab.secret)
        assert await lab.venue.load_instruments() == 27
        with pytest.raises(CredentialsRejected):
            await bad.balances()


async def test_prices_of_coins_need_no_key():
    async with alpaca_lab() as lab:
        await lab.account.close()
        quotes = await lab.venue.quotes([BTC_USD])
        assert quotes["BTC/USD"].bid == Price.of(50_000)
        with pytest.raises(VenueError):
            await lab.venue.quotes([AAPL])


async def test_failed_reload_keeps_the_last_good_list():
    async with alpaca_lab() as lab:
        lab.fault("error", when="before", method="GET /v2/assets", error=lab.passing_error)
        with pytest.raises(VenueError):
            await lab.venue.load_instruments()
        assert lab.venue.instrument("BTC/USD") == BTC_USD


async def test_warming_now_and_then_reads_clock_and_markets_and_never_raises():
    async with alpaca_lab() as lab:
        before = dict(lab.sim.requests()["paths"])
        assert await lab.venue.warm(5) == 5
        assert lab.sim.requests()["paths"] == before
        lab.time.now_s += 4_000
        assert await lab.venue.warm(5) >= 5
        after = lab.sim.requests()["paths"]
        assert after["/v2/clock"] > before["/v2/clock"]
        assert after["/v2/assets"] == before["/v2/assets"] + 2
        lab.time.now_s += 4_000
        lab.fault("drop", when="before")
        await lab.venue.warm(5)


def test_broken_entries_are_left_out_and_told(caplog):
    names = read_instruments(
        [COIN, {**COIN, "symbol": "NOSLASH"}, {**COIN, "symbol": "A/B/C"}, {"symbol": "Y/USD"}, 7,
         {**COIN, "symbol": "X/USD", "price_increment": 0}, {**COIN, "symbol": "Z/USD", "tradable": False}],
        [STOCK, {**STOCK, "symbol": "ETH", "id": "3"}, {**STOCK, "symbol": "HALF", "id": "4", "fractionable": False}],
    )  # fmt: skip
    assert [each.symbol for each in names] == ["ETH/USD", "Z/USD", "MSFT", "HALF"]
    assert names.find("Z/USD").status is MarketStatus.CLOSED
    assert names.find("HALF").lot_step == 1
    assert "5 of 10" in caplog.text
    assert names.find("ETHUSD").asset_class is AssetClass.CRYPTO


@pytest.mark.parametrize("answer", [http("{}"), http('{"quotes": []}'), http("[]")])
async def test_prices_that_cannot_be_read_are_an_error(answer):
    async with at_raw_server(answer) as (_, account):
        with pytest.raises(VenueError):
            await account._venue.quotes([BTC_USD])


@pytest.mark.parametrize("entry", ['{"bp": 2, "ap": 1}', '{"bp": 0, "ap": 1}', '{"bp": "x", "ap": 1}', "null", "{}"])
async def test_price_without_two_sides_is_left_out(entry):
    async with at_raw_server(http(f'{{"quotes": {{"BTC/USD": {entry}}}}}')) as (_, account):
        assert await account._venue.quotes([BTC_USD]) == {}


@pytest.mark.parametrize(
    ("base_url", "data_url"),
    [
        ("https://api.alpaca.markets", "https://data.alpaca.markets"),
        ("https://paper-api.alpaca.markets", "https://data.alpaca.markets"),
        ("http://127.0.0.1:4000", "http://127.0.0.1:4000"),
        ("https://api.alpaca.markets.example.com", "https://api.alpaca.markets.example.com"),
    ],
)
def test_market_data_has_its_own_host(base_url, data_url):
    assert data_url_of(base_url) == data_url


@pytest.mark.parametrize(
    "wrong",
    [{"requests_per_minute": 5}, {"late_exit_s": 0.0}, {"late_exit_s": 60.0}, {"crypto_fee_rate": Decimal(25)}],
)
def test_options_out_of_bounds_say_what_to_give(wrong):
    with pytest.raises(ValueError, match=r"venues\.alpaca"):
        AlpacaOptions(**wrong)
