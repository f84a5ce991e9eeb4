"""Every rule that looks at candles, alone: holds where it should, and stops holding with the one thing changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from apex_cases import GOOD, bars, mirrored, reading, walk

from copytrade.strategy.apex import rules
from copytrade.strategy.apex.apex import Outlook
from copytrade.strategy.apex.figures import Figures
from copytrade.strategy.apex.readings import NAMES, Readings, at_the_end, over_history

F = Figures()
Rule = Callable[[Readings], Any]

# name: (rule, values at which it must just hold, values at which it must not)
LONG: dict[str, tuple[Rule, dict[str, float], dict[str, float]]] = {
    "close above VWAP": (lambda r: rules.price_side(r, True), {"vwap": 99.999}, {"vwap": 100.0}),
    "EMA 9 above EMA 21": (lambda r: rules.averages_in_order(r, True), {"ema_fast": 99.701}, {"ema_fast": 99.7}),
    "EMA 21 above EMA 50": (lambda r: rules.averages_in_order(r, True), {"ema_slow": 99.699}, {"ema_slow": 99.7}),
    "histogram above 0": (lambda r: rules.momentum_side(r, True), {"histogram": 0.001}, {"histogram": 0.0}),
    "ADX above 20": (lambda r: rules.trend_is_strong(r, F), {"adx": 20.001}, {"adx": 20.0}),
    "volume above 50 % of mean": (lambda r: rules.volume_is_there(r, F), {"volume": 5.001}, {"volume": 5.0}),
    "volume floor 30 %": (lambda r: rules.volume_floor(r, F), {"volume": 3.0}, {"volume": 2.999}),
    "near EMA 21": (
        lambda r: rules.near_support(r, F), {"vwap": 90.0, "ema_middle": 99.51}, {"vwap": 90.0, "ema_middle": 99.50},
    ),
    "near VWAP": (
        lambda r: rules.near_support(r, F), {"ema_middle": 90.0, "vwap": 100.49}, {"ema_middle": 90.0, "vwap": 100.51},
    ),
    "RSI 14 from 30": (
        lambda r: rules.rsi_agrees(r, F, up=True),
        {"rsi_slow": 30.0, "rsi_slow_before": 29.0}, {"rsi_slow": 29.9, "rsi_slow_before": 29.0},
    ),
    "RSI 14 to 70": (lambda r: rules.rsi_agrees(r, F, up=True), {"rsi_slow": 70.0}, {"rsi_slow": 70.1}),
    "RSI 14 rising": (lambda r: rules.rsi_agrees(r, F, up=True), {"rsi_slow_before": 57.9}, {"rsi_slow_before": 58.0}),
    "RSI 9 rising too": (
        lambda r: rules.rsi_agrees(r, F, up=True), {"rsi_fast_before": 59.9}, {"rsi_fast_before": 60.0},
    ),
    "histogram rising": (
        lambda r: rules.momentum_grows(r, up=True), {"histogram_before": 0.199}, {"histogram_before": 0.2},
    ),
    "volume 60 % of the last two": (
        lambda r: rules.entry_volume(r, F), {"volume": 6.0}, {"volume": 5.99},
    ),
    "EMA 9 under EMA 21": (rules.averages_crossed, {"ema_fast": 99.69}, {"ema_fast": 99.7}),
}  # fmt: skip


@pytest.mark.parametrize("name", LONG)
def test_a_rule_holds_up_to_its_boundary(name: str) -> None:
    rule, holds, does_not = LONG[name]
    assert rule(reading(**holds)).tolist() == [True]
    assert rule(reading(**does_not)).tolist() == [False]


MIRRORS: dict[str, Callable[[Readings, bool], Any]] = {
    "close and VWAP": rules.price_side,
    "averages": rules.averages_in_order,
    "histogram": rules.momentum_side,
    "filter": lambda r, up: rules.market_filter(r, F, up=up),
    "RSI": lambda r, up: rules.rsi_agrees(r, F, up=up),
    "engulfing": lambda r, up: rules.engulfing(r, up=up),
    "candle": lambda r, up: rules.candle_turns(r, F, up=up),
    "momentum": lambda r, up: rules.momentum_grows(r, up=up),
    "points": lambda r, up: rules.entry_points(r, F, up=up) == 5,
    "signal": lambda r, up: rules.signal(r, F, up=up) == 5,
}


@pytest.mark.parametrize("name", MIRRORS)
def test_a_short_is_the_mirror_of_a_long(name: str) -> None:
    rule = MIRRORS[name]
    answers = [bool(rule(market, up)[0]) for market in (reading(), mirrored()) for up in (True, False)]
    assert answers == [True, False, False, True]


@pytest.mark.parametrize(
    "broken",
    [{"vwap": 100.1}, {"ema_fast": 99.6}, {"ema_slow": 99.8}, {"histogram": -0.1}, {"adx": 19.0}, {"volume": 4.9}],
    ids=lambda broken: next(iter(broken)),
)
def test_the_market_filter_needs_all_of_its_five(broken: dict[str, float]) -> None:
    assert rules.market_filter(reading(), F, up=True).all()
    assert not rules.market_filter(reading(**broken), F, up=True).any()


# What takes one of the five entry points away, and leaves the market filter alone.
LESS: dict[str, dict[str, float]] = {
    "far from support": {"vwap": 99.0, "ema_middle": 99.2},
    "RSI falling": {"rsi_slow_before": 59.0},
    "no turning candle": {"open_before": 99.0, "close_before": 99.5},
    "momentum falling": {"histogram_before": 0.3},
    "little volume": {"volume_mean_short": 20.0},
}


@pytest.mark.parametrize("left_out", LESS)
def test_each_point_counts_one(left_out: str) -> None:
    assert rules.entry_points(reading(), F, up=True).tolist() == [5]
    market = reading(**LESS[left_out])
    assert rules.market_filter(market, F, up=True).all()
    assert rules.entry_points(market, F, up=True).tolist() == [4]


def test_three_of_five_points_make_an_entry_and_two_do_not() -> None:
    names = list(LESS)
    for first, second, third in zip(names, names[1:], names[2:], strict=False):
        two_left_out = {**LESS[first], **LESS[second]}
        assert rules.signal(reading(**two_left_out), F, up=True).tolist() == [3]
        assert rules.signal(reading(**two_left_out, **LESS[third]), F, up=True).tolist() == [0]


def test_no_entry_without_the_filter_or_under_the_volume_floor() -> None:
    assert rules.signal(reading(adx=19.0), F, up=True).tolist() == [0]
    loose = Figures(volume_filter=0.01)
    assert rules.market_filter(reading(volume=2.9), loose, up=True).all()
    assert rules.signal(reading(volume=2.9), loose, up=True).tolist() == [0]
    assert rules.signal(reading(volume=3.0, volume_mean_short=5.0), loose, up=True).tolist() == [5]


# Patterns, drawn as candles: (open, high, low, close)
PATTERNS = {
    "bullish engulfing": ([(10, 10.1, 8.9, 9), (8.9, 10.3, 8.8, 10.2)], True, False),
    "just covers the body": ([(10, 10, 9, 9), (9, 10, 9, 10)], True, False),
    "opens inside the body": ([(10, 10, 9, 9), (9.1, 10.5, 9, 10.5)], False, False),
    "closes inside the body": ([(10, 10, 9, 9), (8.9, 9.9, 8.8, 9.9)], False, False),
    "after a rising candle": ([(9, 10, 9, 10), (8.9, 10.3, 8.8, 10.2)], False, False),
    "bearish engulfing": ([(9, 10.1, 8.9, 10), (10.1, 10.2, 8.7, 8.8)], False, True),
    "hammer": ([(9, 10, 9, 10), (9.8, 10.05, 9.2, 10)], True, False),
    "red hammer": ([(9, 10, 9, 10), (10, 10.05, 9.2, 9.8)], True, False),
    "lower wick too short": ([(9, 10, 9, 10), (9.8, 10.05, 9.45, 10)], False, False),
    "upper wick too long": ([(9, 10, 9, 10), (9.8, 10.25, 9.2, 10)], False, False),
    "no body": ([(9, 10, 9, 10), (10, 10, 9.2, 10)], False, False),
    "shooting star": ([(9, 10, 9, 10), (10, 10.8, 9.75, 9.8)], False, True),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_candles_that_turn(name: str) -> None:
    rows, up, down = PATTERNS[name]
    market = over_history(bars(*rows), F).row(-1)
    assert (rules.candle_turns(market, F, up=True).tolist(), rules.candle_turns(market, F, up=False).tolist()) == (
        [up], [down],
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"swing_high", "swing_low", "atr", "high", "low"}))
def test_a_value_that_is_not_there_never_adds_to_an_entry(name: str) -> None:
    """The high and low shape candles, and levels come from the others; none of these makes a rule hold."""
    with np.errstate(invalid="raise"):  # nothing is computed on it either: comparisons alone
        unknown = reading(**{name: float("nan")})
    assert rules.entry_points(unknown, F, up=True)[0] <= 5
    filtered = rules.market_filter(unknown, F, up=True) & rules.volume_floor(unknown, F)
    in_filter = {"close", "vwap", "ema_fast", "ema_middle", "ema_slow", "histogram", "adx", "volume", "volume_mean"}
    assert filtered.tolist() == [name not in in_filter]


def test_the_last_candle_reads_the_same_alone_and_in_its_history() -> None:
    markets = [walk(seed, 300) for seed in range(20)]
    ends = at_the_end(markets, F)
    for place, candles in enumerate(markets):
        history = over_history(candles, F).row(-1)
        for name in NAMES:
            assert getattr(ends, name)[place] == pytest.approx(getattr(history, name)[0], rel=1e-12), name


def test_rules_along_a_history_are_those_of_each_candle() -> None:
    candles = walk(3, 400, drift=0.0005)
    history = over_history(candles, F)
    whole = Outlook.of(history, F)
    assert (whole.long > 0).sum() > 5
    for index in range(100, 400):
        assert Outlook.of(history.row(index), F).at(0) == whole.at(index)


def test_the_good_market_is_as_good_as_said() -> None:
    assert set(GOOD) == set(NAMES)
    assert rules.signal(reading(), F, up=True).tolist() == [5]
