"""The port: what candles must be, memory as text, finding a user's own strategy, and the documented example."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apex_cases import FUNDS
from hypothesis import given
from hypothesis import strategies as st

from copytrade.domain.money import Amount, Quantity
from copytrade.domain.order import Side
from copytrade.settings.model import Settings
from copytrade.strategy.loading import NoSuchStrategy, load_strategy
from copytrade.strategy.port import Candles, View, memory_from_text, memory_to_text
from copytrade.strategy.sample import SampleStrategy
from copytrade.wiring.strategy import apex_figures, entry_guards, make_strategy, scan_settings

ROW = (300, 10.0, 11.0, 9.0, 10.5, 2.0)
DOCUMENT = Path(__file__).parents[2] / "docs/strategy.md"


def test_candles_are_columns_and_parts_share_them() -> None:
    candles = Candles.of_rows([ROW, (600, *ROW[1:])], 300)
    assert (len(candles), candles.closed_at_s) == (2, 900)
    assert candles.close.tolist() == [10.5, 10.5]
    assert np.shares_memory(candles.last(1).close, candles.close)
    assert Candles.of_rows([], 300).closed_at_s == 0


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([ROW, ROW], "order of their times"), ([(600, *ROW[1:]), ROW], "order of their times"),
        ([(300, 10, 9.5, 9, 10.5, 1)], "outside its high and low"), ([(300, 10, 11, 10.2, 10.5, 1)], "outside"),
        ([(300, 10, 11, 0, 10.5, 1)], "above zero"), ([(300, 10, 11, 9, 10.5, -1)], "volume"),
        ([(300, 10, 11, 9, float("nan"), 1)], "above zero"),
    ],
)  # fmt: skip
def test_what_is_no_candle_is_refused(rows: list[Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Candles.of_rows(rows, 300)


plain_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.text(), plain_json, min_size=1))
def test_a_memory_survives_as_text(memory: dict[str, Any]) -> None:
    assert memory_from_text(memory_to_text(memory)) == memory


def test_no_memory_is_no_text() -> None:
    assert memory_to_text(None) == ""
    assert memory_from_text("") is None


@pytest.mark.parametrize("memory", [{"a": Quantity.of(1)}, {"a": float("nan")}, {"a": "x" * 30_000}])
def test_a_memory_that_cannot_be_kept_is_refused(memory: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"JSON|characters"):
        memory_to_text(memory)


# -- a user's own ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that Python imports from, forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


WRONG = {
    "nowhere:Mine": ("", "there is no module nowhere: put nowhere.py beside run_master.py"),
    "mine:Other": ("class Mine: ...", "has no class Other; it has Mine"),
    "mine:number": ("number = 3", "has no class number; it has no class at all"),
    "mine:Mine": ("import a_package_that_is_not_there", "pip install a_package_that_is_not_there"),
    "mine:Broken": ("1 / 0", "importing mine failed with ZeroDivisionError: division by zero at "),
    "mine:Wants": ("class Wants:\n    def __init__(self, a): ...", "made without arguments"),
    "mine:Nameless": ("class Nameless: ...", "its `name` is None"),
    "mine:Shouts": ("class Shouts:\n    name = 'LOUD'", "its `name` is 'LOUD'"),
    "mine:Needless": ("class Needless:\n    name = 'x'", "its `needs` is no"),
    "mine:Mute": (
        "from copytrade.strategy.port import Needs\nclass Mute:\n    name = 'x'\n    needs = Needs(symbols=('A/B',))",
        "no method decide",
    ),
    "mine:Idle": (
        "from copytrade.strategy.port import Needs\nclass Idle:\n    name = 'x'\n    needs = Needs()\n"
        "    def decide(self, view): ...",
        "neither candles nor symbols",
    ),
}


@pytest.mark.parametrize("where", WRONG)
def test_a_strategy_that_cannot_be_had_says_what_to_do(where: str, folder: Path) -> None:
    text, words = WRONG[where]
    (folder / "mine.py").write_text(text)
    with pytest.raises(NoSuchStrategy) as raised:
        load_strategy(where)
    assert words in str(raised.value)
    assert f"master.strategy is {where!r}" in str(raised.value)


def example() -> str:
    (found,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)
    return str(found)


def test_the_documented_example_runs_as_it_stands(folder: Path) -> None:
    """It is short, is found by its name, enters on the cross, keeps still, and leaves."""
    assert len(example().splitlines()) <= 36
    (folder / "golden.py").write_text(example())
    strategy = make_strategy(Settings.model_validate({"master": {"strategy": "golden:GoldenCross"}}))
    assert strategy is not None
    assert strategy.needs.symbols == ("BTC/USD", "ETH/USD")

    def shown(close: list[float], held: str, memory: Any) -> Any:
        rows = [(n * 300, c, c * 1.001, c * 0.999, c, 1.0) for n, c in enumerate(close)]
        candles = Candles.of_rows(rows, 300)
        return strategy.decide(View("BTC/USD", candles.closed_at_s, FUNDS, Quantity.of(held), memory, candles))

    flat = [100.0] * 59
    assert shown([*flat, 100.0], "0", None).wish is None
    entry = shown([*flat, 101.0], "0", None)
    assert entry.wish is not None
    assert (entry.wish.side, entry.wish.amount) == (Side.BUY, Amount.of(500))
    memory = memory_from_text(memory_to_text(entry.memory))
    assert shown([*flat, 102.0], "5", memory).wish is None
    lost = shown([*flat, 90.0], "5", memory)
    assert lost.wish is not None
    assert lost.wish.whole
    assert lost.if_refused == memory


# -- the settings ----------------------------------------------------------------------------------------------------


def test_the_figures_of_the_settings_are_the_strategys_own() -> None:
    from copytrade.strategy.apex.figures import Figures

    assert apex_figures(Settings()) == Figures()
    changed = Settings.model_validate({"apex": {"near": "0.01", "sizes": ["0.01"], "size_at_adx": [20]}})
    figures = apex_figures(changed)
    assert (figures.near, len(figures.sizes)) == (0.01, 1)


def test_figures_that_do_not_fit_stop_the_start() -> None:
    from copytrade.domain.errors import CopyTradeError

    settings = Settings.model_validate({"master": {"strategy": "apex"}, "apex": {"ema_fast": 60}})
    with pytest.raises(CopyTradeError, match="the settings under apex do not fit together: ema_fast"):
        make_strategy(settings)


def test_strategies_by_their_short_names() -> None:
    assert make_strategy(Settings()) is None
    sample = make_strategy(Settings.model_validate({"master": {"strategy": "sample"}}))
    assert isinstance(sample, SampleStrategy)
    apex = make_strategy(
        Settings.model_validate({"master": {"strategy": "apex"}, "apex": {"markets": ["BTC/USD"]}})
    )
    assert apex is not None
    assert (apex.name, apex.needs.symbols, apex.needs.settle_s) == ("apex", ("BTC/USD",), 6.0)


def test_the_guards_of_the_settings() -> None:
    guards = entry_guards(Settings.model_validate({"master": {"blocked": ["DOGE/USD"]}}))
    assert (guards.max_positions, guards.min_cash_to_buy, guards.minimum_trading_balance, guards.blocked) == (
        8, Amount.of("5.00"), Amount.of("25.00"), frozenset({"DOGE/USD"}),
    )  # fmt: skip


def test_in_paper_mode_no_market_is_passed_by_for_its_made_up_volume() -> None:
    told = {"scan": {"min_day_volume": 7}}
    cases: list[dict[str, Any]] = [{}, {"mode": "live"}, told, {**told, "mode": "live"}]
    assert [scan_settings(Settings.model_validate(case)).min_day_volume for case in cases] == [0, 50_000, 7, 7]


def test_the_sample_strategy_goes_round_in_four_steps() -> None:
    sample = SampleStrategy("BTC/USD", Amount.of(1000), 6.0)
    told = []
    for step in range(4, 8):
        wish = sample.decide(View("BTC/USD", step * 6.0, FUNDS, Quantity.of("0.02"))).wish
        assert wish is not None
        told.append((wish.key, wish.side, wish.amount, wish.quantity, wish.whole))
    assert told == [
        ("4", Side.BUY, Amount.of(1000), None, False), ("5", Side.BUY, Amount.of(500), None, False),
        ("6", Side.SELL, None, Quantity.of("0.01"), False), ("7", Side.SELL, None, None, True),
    ]  # fmt: skip


def test_the_sample_strategy_asked_twice_within_a_step_gives_no_key_to_two_orders() -> None:
    sample = SampleStrategy("BTC/USD", Amount.of(1000), 6.0)
    bought = sample.decide(View("BTC/USD", 36.0, FUNDS, Quantity.of(0))).wish
    sold = sample.decide(View("BTC/USD", 37.0, FUNDS, Quantity.of("0.02"))).wish
    assert bought is not None
    assert sold is not None
    assert (bought.side, sold.side) == (Side.BUY, Side.SELL)
    assert bought.key != sold.key
