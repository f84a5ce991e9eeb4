"""Candles of all five venues over real HTTP: closed ones only, in order, and those of the price that is traded."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from market_lab import VENUES, markets

from copytrade.domain.errors import VenueError, VenueUnavailable
from copytrade.domain.instrument import AssetClass
from copytrade.strategy.market_data import as_candles
from copytrade.venues.candle_rows import closed_rows, read_rows

SYMBOLS = {"kraken": "BTC/USD", "coinbase": "BTC/USD", "alpaca": "BTC/USD", "okx": "BTC/USDT", "binance": "BTC/USDT"}


@pytest.mark.parametrize("venue", VENUES)
async def test_a_venue_shows_its_closed_candles(venue: str, tmp_path: Path) -> None:
    async with markets(tmp_path, venue) as lab:
        source, adapter = lab.data.of(venue), lab.venues[venue]
        instrument = adapter.instrument(SYMBOLS[venue])
        before_s = time.time()
        rows = await source.candles(instrument, 60, 120)
        after_s = time.time()
        assert 118 <= len(rows) <= 120
        times = [row[0] for row in rows]
        assert times == list(range(times[0], times[-1] + 60, 60))
        # The last is the one that has just closed, and the running one is not among them.
        assert before_s - 120 < times[-1] + 60 <= after_s
        prices = lab.simulators[venue].exchange.prices
        for at, opening, high, low, close, volume in rows[:5] + rows[-5:]:
            (bar,) = prices.candles(instrument.symbol, 60, at, 1)
            assert (opening, high, low, close) == tuple(map(float, (bar.open, bar.high, bar.low, bar.close)))
            assert volume == float(bar.volume) > 0
        assert len(as_candles(rows, instrument, 60, 100, after_s)) == 100


@pytest.mark.parametrize("venue", VENUES)
async def test_a_venue_tells_of_the_day_in_few_calls(venue: str, tmp_path: Path) -> None:
    async with markets(tmp_path, venue) as lab:
        source = lab.data.of(venue)
        listed = [each for each in source.markets() if each.asset_class is AssetClass.CRYPTO]
        assert len(listed) >= 3
        figures = await source.day_figures(listed)
        assert set(figures) == {each.symbol for each in listed}
        assert all(day.last.value > 0 and day.volume.value > 0 for day in figures.values())
        assert source.day_figures_calls(len(listed)) == 1
        assert source.day_figures_calls(0) == 0
        assert source.calls_per_s > 0
        assert abs(source.offset_s) < 5


@pytest.mark.parametrize("venue", VENUES)
async def test_an_interval_that_a_venue_lacks_is_named(venue: str, tmp_path: Path) -> None:
    async with markets(tmp_path, venue) as lab:
        instrument = lab.venues[venue].instrument(SYMBOLS[venue])
        with pytest.raises(ValueError, match=r"no candles of 7 s: take one of 60, 300, 900, 1800, 3600"):
            await lab.data.of(venue).candles(instrument, 7, 10)


@pytest.mark.parametrize("venue", VENUES)
async def test_a_venue_that_does_not_answer_says_so(venue: str, tmp_path: Path) -> None:
    async with markets(tmp_path, venue) as lab:
        instrument = lab.venues[venue].instrument(SYMBOLS[venue])
        lab.simulators[venue].add_fault("drop", account=None, method=None, when="before")
        with pytest.raises(VenueError):
            await lab.data.of(venue).candles(instrument, 60, 10)


async def test_stocks_have_candles_too(tmp_path: Path) -> None:
    async with markets(tmp_path, "alpaca") as lab:
        stocks = [each for each in lab.data.of("alpaca").markets() if each.asset_class is AssetClass.STOCK]
        rows = await lab.data.of("alpaca").candles(stocks[0], 300, 100)
        assert len(rows) == 100
        assert all(one[0] < other[0] for one, other in pairwise(rows))
        figures = await lab.data.of("alpaca").day_figures(stocks)
        assert figures[stocks[0].symbol].volume.value > 0


GOOD = ["60", "1", "3", "0.5", "2", "9"]
PLACES = (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    "entry",
    [
        GOOD[:5], [*GOOD[:5], "much"], [*GOOD[:5], None], [*GOOD[:5], "nan"], [*GOOD[:5], "-1"],
        ["60", "1", "3", "0", "2", "9"], ["60", "4", "3", "0.5", "2", "9"], ["60", "1", "1.5", "0.5", "2", "9"], {},
        None, "text", ["x", *GOOD[1:]],
    ],
    ids=repr,
)  # fmt: skip
def test_a_row_that_is_no_candle_is_refused(entry: Any) -> None:
    assert read_rows("Kraken", [GOOD], PLACES) == [(60, 1.0, 3.0, 0.5, 2.0, 9.0)]
    with pytest.raises(VenueUnavailable, match="Kraken sent a candle that cannot be used"):
        read_rows("Kraken", [entry], PLACES)


def test_only_closed_rows_stay_each_once_and_in_order() -> None:
    rows = [(at, 1.0, 1.0, 1.0, 1.0, 1.0) for at in (180, 60, 120, 120, 0)]
    assert [row[0] for row in closed_rows(rows, 60, 239.9, 10)] == [0, 60, 120]
    assert [row[0] for row in closed_rows(rows, 60, 240.0, 2)] == [120, 180]
