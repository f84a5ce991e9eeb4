"""The scanner's arithmetic: turns, batches, spacing, health, the circuit breaker, and which markets are looked at."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrade.domain.candles import DayFigures
from copytrade.domain.instrument import AssetClass, Instrument, MarketStatus
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.settings.strategy import ScanSettings
from copytrade.strategy.guards import EntryGuards, entry_refusal
from copytrade.strategy.market_data import as_candles, fill_gaps
from copytrade.strategy.port import Funds
from copytrade.strategy.scan import (
    Breaker,
    BreakerState,
    Health,
    Rotation,
    ScanRules,
    batch_size,
    qualifying,
    rotation_calls,
    share_out,
    spacing_s,
    tradable,
)
from copytrade.wiring.scanning import rules_of

RULES = ScanRules()


def market(name: str, venue: str = "kraken", quote: str = "USD", **more: object) -> Instrument:
    return Instrument(
        venue=venue, symbol=f"{name}/{quote}", base=name, quote=quote, venue_symbol=f"{name}{quote}",
        lot_step=Decimal("0.01"), tick=Decimal("0.01"), min_quantity=Quantity.of(1), min_cost=Amount.of(1),
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_defaults_are_the_settings() -> None:
    assert rules_of(ScanSettings()) == RULES


# -- turns ------------------------------------------------------------------------------------------------------------


def test_the_progress_is_shown_as_promised() -> None:
    rotation = Rotation([market(f"C{n}") for n in range(732)], place=69)
    batch = rotation.next(6)
    assert batch is not None
    assert batch.text == "scanning 70-75 of 732 (1 %)"


@given(st.integers(1, 60), st.lists(st.integers(1, 20), min_size=1, max_size=60))
def test_every_market_has_its_turn_once_a_round(count: int, sizes: list[int]) -> None:
    rotation = Rotation([market(f"C{n}") for n in range(count)])
    seen: list[str] = []
    for size in sizes:
        batch = rotation.next(size)
        assert batch is not None
        assert 1 <= len(batch.markets) <= size
        assert (batch.last - batch.first + 1, batch.total) == (len(batch.markets), count)
        seen += [each.symbol for each in batch.markets]
    expected = [f"C{n % count}/USD" for n in range(len(seen))]
    assert seen == expected
    assert rotation.rounds == len(seen) // count


def test_a_changed_list_keeps_its_place() -> None:
    rotation = Rotation([market(name) for name in "ABCDEF"])
    rotation.next(3)
    rotation.replace([market(name) for name in "ABEFX"])  # D, which was next, is gone
    batch = rotation.next(2)
    assert batch is not None
    assert [each.base for each in batch.markets] == ["E", "F"]
    rotation.replace([])
    assert rotation.next(5) is None


def test_a_batch_that_was_broken_off_comes_again_from_there() -> None:
    rotation = Rotation([market(name) for name in "ABCDE"])
    for size, done, following, rounds in ((3, 1, "B", 0), (4, 2, "D", 0), (2, 2, "A", 1), (5, 0, "A", 1)):
        batch = rotation.next(size)
        assert batch is not None
        rotation.put_back(batch, done)
        assert (rotation.markets[rotation.place].base, rotation.rounds) == (following, rounds)


# -- how many, how often ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("percent", "size"), [(100, 15), (50, 10), (0, 5), (90, 14)])
def test_a_batch_is_as_large_as_the_venue_is_well(percent: int, size: int) -> None:
    assert batch_size(percent, RULES) == size


def test_spacing_follows_the_venues_own_limit() -> None:
    """Fifteen calls at half of Kraken's one a second take 30 s, at half of OKX's twenty 1.5 s."""
    assert spacing_s(15, 1.0, RULES) == 30.0
    assert spacing_s(15, 20.0, RULES) == 1.5


def test_health_counts_errors_in_whole_and_slow_answers_by_half() -> None:
    health = Health(slow_s=2.0)
    assert health.percent == 100
    for _ in range(2):
        health.answered(0.1)
    health.answered(2.1)
    health.failed()
    assert health.percent == 62
    for _ in range(50):
        health.answered(0.1)
    assert health.percent == 100  # old trouble is forgotten


# -- the circuit breaker ----------------------------------------------------------------------------------------------


def test_the_breaker_opens_after_four_errors_and_tries_one_call_after_thirty_seconds() -> None:
    breaker = Breaker(RULES)
    assert [breaker.failed(float(second)) for second in range(4)] == [False, False, False, True]
    assert breaker.state(3.0) is BreakerState.OPEN
    assert breaker.wait_s(3.0) == 30.0
    assert breaker.state(32.9) is BreakerState.OPEN
    assert breaker.state(33.0) is BreakerState.HALF_OPEN
    assert breaker.failed(33.0) is True
    assert breaker.state(62.9) is BreakerState.OPEN
    assert breaker.state(63.0) is BreakerState.HALF_OPEN
    breaker.answered()
    assert breaker.state(63.0) is BreakerState.CLOSED
    assert breaker.failed(64.0) is False


def test_errors_that_are_not_in_a_row_do_not_open_it() -> None:
    breaker = Breaker(RULES)
    for second in range(20):
        breaker.failed(float(second))
        breaker.failed(float(second))
        breaker.failed(float(second))
        breaker.answered()
    assert breaker.state(20.0) is BreakerState.CLOSED


# -- which markets ----------------------------------------------------------------------------------------------------


def test_no_request_is_spent_on_what_cannot_be_bought() -> None:
    markets = [
        market("A"), market("B", quote="EUR"), market("C", status=MarketStatus.CLOSED), market("D"),
    ]  # fmt: skip
    assert [each.base for each in tradable(markets, "USD", frozenset({"D/USD"}))] == ["A"]


def test_markets_that_hardly_traded_are_passed_by() -> None:
    def day(symbol: str, volume: int) -> DayFigures:
        return DayFigures(symbol, Price.of(1), Amount.of(volume))

    figures = {"A/USD": day("A/USD", 50_000), "B/USD": day("B/USD", 49_999), "C/USD": day("C/USD", 0)}
    markets = [market(name) for name in "ABCD"]
    assert [each.base for each in qualifying(markets, figures, Decimal(50_000))] == ["A", "D"]
    assert [each.base for each in qualifying(markets, figures, Decimal(0))] == ["A", "B", "D"]
    assert rotation_calls(732, 150, 1) == (732, 151)


def test_markets_are_shared_out_by_what_venues_can_take() -> None:
    wanted = [market(f"C{n}") for n in range(110)]
    listings = {
        "kraken": {each.symbol: each for each in wanted},
        "coinbase": {each.symbol: replace(each, venue="coinbase") for each in wanted},
    }
    shared = share_out(wanted, listings, {"kraken": 1.0, "coinbase": 10.0})
    assert {venue: len(each) for venue, each in shared.items()} == {"kraken": 10, "coinbase": 100}
    assert sorted(each.symbol for part in shared.values() for each in part) == sorted(each.symbol for each in wanted)
    assert all(each.venue == venue for venue, part in shared.items() for each in part)


def test_a_market_stays_where_no_other_venue_shows_the_same_thing() -> None:
    coin, only_here = market("SPY"), market("HERE")
    stock = replace(market("SPY", venue="alpaca"), asset_class=AssetClass.STOCK)
    closed = replace(market("HERE", venue="okx"), status=MarketStatus.CLOSED)
    listings = {
        "kraken": {each.symbol: each for each in (coin, only_here)}, "alpaca": {"SPY/USD": stock},
        "okx": {"HERE/USD": closed},
    }  # fmt: skip
    shared = share_out([coin, only_here], listings, {"kraken": 1.0, "alpaca": 3.0, "okx": 20.0})
    assert shared == {"kraken": [coin, only_here], "alpaca": [], "okx": []}


# -- candles before they are seen ------------------------------------------------------------------------------------


def test_a_candle_that_a_venue_left_out_stands_still() -> None:
    rows = [(0, 1.0, 2.0, 0.5, 1.5, 7.0), (900, 1.5, 1.6, 1.4, 1.6, 3.0)]
    assert fill_gaps(rows, 300, 1_800.0) == [
        rows[0], (300, 1.5, 1.5, 1.5, 1.5, 0.0), (600, 1.5, 1.5, 1.5, 1.5, 0.0), rows[1],
        (1200, 1.6, 1.6, 1.6, 1.6, 0.0), (1500, 1.6, 1.6, 1.6, 1.6, 0.0),
    ]  # fmt: skip
    assert fill_gaps(rows[:1], 300, 599.9) == rows[:1]
    assert fill_gaps([], 300, 599.9) == []


def test_a_stocks_candles_are_not_filled_up_over_night() -> None:
    rows = [(0, 1.0, 2.0, 0.5, 1.5, 7.0), (90_000, 1.5, 1.6, 1.4, 1.6, 3.0)]
    stock = market("AAPL", asset_class=AssetClass.STOCK)
    assert as_candles(rows, stock, 300, 10, 90_600.0).time.tolist() == [0, 90_000]
    coin = as_candles(rows, market("BTC"), 300, 10, 90_600.0)
    assert coin.time.tolist() == [90_000, 90_300]


# -- guards -----------------------------------------------------------------------------------------------------------

GUARDS = EntryGuards(2, Amount.of(5), Amount.of(25), frozenset({"DOGE/USD"}))
RICH = Funds(Amount.of(1000), Amount.of(1000))


@pytest.mark.parametrize(
    ("symbol", "funds", "taken", "words"),
    [
        ("BTC/USD", RICH, {"A/USD"}, None),
        ("BTC/USD", RICH, {"A/USD", "B/USD"}, "guards.max_positions is 2"),
        ("A/USD", RICH, {"A/USD", "B/USD"}, None),
        ("DOGE/USD", RICH, set(), "master.blocked"),
        ("BTC/USD", Funds(Amount.of("24.99"), Amount.of(20)), set(), "minimum_trading_balance 25"),
        ("BTC/USD", Funds(Amount.of(100), Amount.of("4.99")), set(), "min_cash_to_buy 5"),
        ("BTC/USD", Funds(Amount.of(25), Amount.of(5)), set(), None),
    ],
)
def test_the_guards_of_an_entry(symbol: str, funds: Funds, taken: set[str], words: str | None) -> None:
    refusal = entry_refusal(GUARDS, symbol, funds, taken)
    assert refusal is None if words is None else refusal is not None and words in refusal
