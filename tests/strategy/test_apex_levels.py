"""The rules that are figures: the worked examples exactly, the boundaries, and what must hold for any market."""

from __future__ import annotations

from decimal import Decimal

import pytest
from apex_cases import FUNDS
from hypothesis import given
from hypothesis import strategies as st

from copytrade.domain.money import Amount
from copytrade.strategy.apex import levels
from copytrade.strategy.apex.figures import Figures
from copytrade.strategy.port import Funds

F = Figures()
D = Decimal
prices = st.decimals("0.0001", "1000000", places=8)
ranges = st.decimals("0", "10000", places=8)


def test_the_worked_size() -> None:
    """Balance 10,000 and ADX 35 give 600 at full weight."""
    assert levels.size(FUNDS, D(35), 5, F) == Amount.of(600)


@pytest.mark.parametrize(
    ("adx", "share"),
    [
        ("0", "0"), ("19.99", "0"), ("20", "0"), ("20.01", "0.02"), ("25", "0.02"), ("25.01", "0.04"), ("30", "0.04"),
        ("30.01", "0.06"), ("35", "0.06"), ("40", "0.06"), ("40.01", "0.08"), ("50", "0.08"), ("50.01", "0.10"),
        ("100", "0.10"),
    ],
)  # fmt: skip
def test_the_share_of_the_account_by_adx(adx: str, share: str) -> None:
    assert levels.size_share(D(adx), F) == D(share)


@pytest.mark.parametrize(("points", "weight"), [(3, "0.8"), (4, "0.9"), (5, "1.0")])
def test_the_weight_by_points(points: int, weight: str) -> None:
    assert levels.weight(points, F) == D(weight)
    assert levels.size(FUNDS, D(35), points, F) == Amount(600 * D(weight))


@given(
    equity=st.decimals("0", "1000000000", places=2), cash=st.decimals("0", "1000000000", places=2),
    adx=st.decimals("0", "100", places=4), points=st.integers(0, 5),
)  # fmt: skip
def test_a_size_is_never_above_a_tenth_of_the_equity_nor_above_the_cash(
    equity: Decimal, cash: Decimal, adx: Decimal, points: int
) -> None:
    size = levels.size(Funds(Amount(equity), Amount(cash)), adx, points, F).value
    assert 0 <= size <= equity / 10
    assert size <= cash


@given(st.lists(st.decimals("0.01", "1", places=2), min_size=5, max_size=5), st.decimals("1", "2", places=1))
def test_nor_with_any_other_table(shares: list[Decimal], weight: Decimal) -> None:
    table = tuple(zip(map(D, (20, 25, 30, 40, 50)), shares, strict=True))
    wild = Figures(sizes=table, weight_min=D(1), weight_max=weight)
    assert all(levels.size(FUNDS, D(adx), 5, wild).value <= 1000 for adx in (21, 26, 31, 41, 51))


def test_the_worked_stop() -> None:
    """Entry 100, swing 98.50, ATR 1.20 give 97.90."""
    assert levels.first_stop(levels.exact(98.50), levels.exact(1.20), F) == D("97.90")


@pytest.mark.parametrize(
    ("price", "steps"),
    [("99", 0), ("102.09", 0), ("102.10", 1), ("104.19", 1), ("104.20", 2), ("106.30", 3), ("200", 3)],
)
def test_profit_steps_at_one_two_and_three_r(price: str, steps: int) -> None:
    """Entry 100 and stop 97.90: one R is 2.10."""
    assert levels.steps_reached(D(price), D(100), D("2.10"), F) == steps


def test_each_step_sells_its_share_of_the_whole() -> None:
    held, sold = D(1), []
    for taken in range(3):
        part = held * levels.share_to_sell(taken, taken + 1, F)
        held -= part
        sold.append(part)
    assert sold == [D("0.5"), D("0.25"), D("0.25")]


@given(st.sampled_from([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]))
def test_steps_that_are_jumped_over_are_made_up_for(jump: tuple[int, int]) -> None:
    start, end = jump
    left_after = {0: D(1), 1: D("0.5"), 2: D("0.25"), 3: D(0)}
    assert left_after[start] * (1 - levels.share_to_sell(start, end, F)) == left_after[end]


def test_breakeven_moves_the_stop_to_the_entry_and_never_down() -> None:
    assert levels.raised_stop(D("97.90"), D(100), 0) == D("97.90")
    assert levels.raised_stop(D("97.90"), D(100), 1) == D(100)
    assert levels.raised_stop(D(101), D(100), 2) == D(101)


def test_the_trailing_stop_is_one_and_a_half_atr_away() -> None:
    assert levels.trailed(None, D("102.10"), D("1.20"), F) == D("100.30")


@given(st.lists(st.tuples(prices, ranges), min_size=1, max_size=50))
def test_the_trailing_stop_never_widens(market: list[tuple[Decimal, Decimal]]) -> None:
    level: Decimal | None = None
    for price, atr in market:
        before, level = level, levels.trailed(level, price, atr, F)
        assert before is None or level >= before
        assert level >= price - F.trail_atr * atr


def test_nothing_in_the_first_six_seconds_of_a_candle() -> None:
    assert [levels.too_early(seconds, F) for seconds in (0, 5.999, 6, 299)] == [True, True, False, False]


def test_at_least_a_hundred_candles() -> None:
    assert [levels.enough_candles(count, F) for count in (0, 99, 100, 300)] == [False, False, True, True]


def test_a_number_that_is_none_is_no_level() -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite"):
            levels.exact(value)


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"candles_min": 40, "candles": 300}, "slowest"), ({"candles": 90}, "fewer than candles_min"),
        ({"ema_fast": 30}, "must rise"), ({"weight_min": D(2)}, "weight_min"),
        ({"profit_shares": (D("0.5"), D("0.5"))}, "last step"), ({"profit_at_r": (D(2), D(1), D(3))}, "must rise"),
        ({"sizes": ((D(30), D("0.1")), (D(20), D("0.2")))}, "sizes"), ({"vwap_candles": 200}, "slowest"),
    ],
)  # fmt: skip
def test_figures_that_do_not_fit_together_say_so(figures: dict[str, object], words: str) -> None:
    assert any(words in problem for problem in Figures(**figures).problems())  # type: ignore[arg-type]
    assert Figures().problems() == []
