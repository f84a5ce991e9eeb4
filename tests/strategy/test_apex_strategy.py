"""APEX as a strategy: one position from entry to exit, and what it does when orders come to nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from apex_cases import FUNDS, moment, seen, walk
from hypothesis import given
from hypothesis import strategies as st

from copytrade.domain.money import NO_QUANTITY, Amount, Quantity
from copytrade.domain.order import Side
from copytrade.strategy.apex.apex import Apex
from copytrade.strategy.apex.figures import Figures
from copytrade.strategy.port import Decision, Memory, View, decide_all, memory_from_text, memory_to_text

APEX = Apex()
D = Decimal


@dataclass
class Account:
    """A pretend account: keeps memory and position as a runner does, and fills what it is told to fill."""

    memory: Memory | None = None
    held: Quantity = NO_QUANTITY
    at_s: float = 600.0
    placed: dict[str, str] = field(default_factory=dict)

    def show(self, close: float, *, outcome: str = "filled", **values: Any) -> Decision:
        """One candle. `outcome` is what becomes of the order: `filled`, `refused` by a guard, `lost` at the venue."""
        self.at_s += 300
        decision = APEX.decide_on(self.view(), moment(close, **values))
        kept = decision.if_refused if decision.wish is not None and outcome == "refused" else decision.memory
        self.memory = memory_from_text(memory_to_text(kept))  # as the ledger gives it back
        wish = decision.wish
        if wish is None or outcome == "refused":
            return decision
        assert wish.key not in self.placed, "a key is an order's for good"
        self.placed[wish.key] = outcome
        if outcome == "filled" and wish.side is Side.BUY:
            assert wish.amount is not None
            self.held = Quantity(wish.amount.value / D(str(close)))
        elif outcome == "filled":
            self.held = NO_QUANTITY if wish.whole else self.held - (wish.quantity or NO_QUANTITY)
        return decision

    def view(self) -> View:
        return replace(seen(), held=self.held, memory=self.memory, at_s=self.at_s)

    @property
    def stop(self) -> Decimal:
        """Where the position is left now."""
        assert self.memory is not None
        levels = [self.memory["stop"], self.memory["trail"]]
        return max(D(level) for level in levels if level is not None)


def entered() -> Account:
    """In at 100 with a stop at 97.90, so that one R is 2.10; 6 units."""
    account = Account()
    account.show(100.0, long=5)
    assert account.held == Quantity.of(6)
    return account


def sold(decision: Decision) -> Any:
    """What a decision sells: a quantity, `all`, or None."""
    if decision.wish is None:
        return None
    assert decision.wish.side is Side.SELL
    return "all" if decision.wish.whole else str(decision.wish.quantity)


def test_an_entry_is_sized_named_and_remembered() -> None:
    decision = Account().show(100.0, long=4)
    assert decision.wish is not None
    assert (decision.wish.key, decision.wish.side, decision.wish.amount) == ("900 entry", Side.BUY, Amount.of(540))
    assert decision.if_refused is None
    assert json.loads(memory_to_text(decision.memory)) == {
        "position": "900", "entry": "100", "stop": "97.9", "risk": "2.1", "points": 4, "taken": 0, "trail": None,
        "asked": "entry", "held_then": "0", "tries": 0, "leaving": "",
    }  # fmt: skip


def test_a_whole_position_step_by_step() -> None:
    """1 R sells half and moves the stop to the entry, 2 R a quarter, 3 R the rest."""
    account = entered()
    assert sold(account.show(101.0)) is None
    assert account.stop == D("97.9")
    assert sold(account.show(102.1)) == "3"
    assert account.stop == D("100.3")  # the trailing stop, 1.5 ATR under the price, above the entry
    assert sold(account.show(104.0)) is None
    assert account.stop == D("102.2")
    assert sold(account.show(104.2)) == "1.5"
    assert sold(account.show(106.3)) == "all"
    assert not account.held
    assert account.show(106.0).memory is None
    assert list(account.placed) == ["900 entry", "900 step1", "900 step2", "900 exit"]


def test_a_price_that_jumps_over_steps_takes_them_at_once() -> None:
    account = entered()
    assert sold(account.show(104.5)) == "4.5"
    assert account.show(104.6).wish is None
    assert account.memory is not None
    assert account.memory["taken"] == 2
    straight = entered()
    assert sold(straight.show(107.0)) == "all"


def test_the_stop_sells_everything() -> None:
    account = entered()
    assert sold(account.show(97.91)) is None
    assert sold(account.show(97.90)) == "all"


def test_the_stop_is_at_the_entry_after_the_first_step_even_while_the_trailing_one_is_lower() -> None:
    account = entered()
    account.show(102.1, atr=5.0)
    assert account.stop == D(100)
    assert sold(account.show(100.01, atr=5.0)) is None
    assert sold(account.show(100.0, atr=5.0)) == "all"


def test_the_trailing_stop_begins_after_the_first_step() -> None:
    account = entered()
    account.show(102.0)
    assert account.memory is not None
    assert account.memory["trail"] is None
    account.show(102.1)
    assert account.memory["trail"] == "100.3"


@pytest.mark.parametrize("way", [{"short": 3}, {"crossed": True}], ids=["opposite signal", "EMA cross"])
def test_other_ways_out(way: Mapping[str, Any]) -> None:
    account = entered()
    assert sold(account.show(100.5, **way)) == "all"


def test_a_short_signal_opens_nothing() -> None:
    assert Account().show(100.0, short=5).wish is None


def test_an_entry_that_came_to_nothing_is_forgotten_and_the_next_candle_may_enter_again() -> None:
    account = Account()
    account.show(100.0, long=5, outcome="lost")
    assert account.memory is not None
    assert account.show(100.0).memory is None
    assert account.show(100.0, long=5).wish is not None
    assert list(account.placed) == ["900 entry", "1500 entry"]


def test_a_step_that_a_guard_refused_is_asked_again_under_the_same_key() -> None:
    account = entered()
    first = account.show(102.1, outcome="refused")
    assert account.stop == D("100.3")  # the stop has moved although nothing was sold
    again = account.show(102.2)
    assert first.wish is not None
    assert again.wish is not None
    assert first.wish.key == again.wish.key
    assert account.held == Quantity.of(3)


def test_a_step_that_was_lost_at_the_venue_is_asked_again_under_another_key_and_taken_once() -> None:
    account = entered()
    account.show(102.1, outcome="lost")
    assert sold(account.show(102.2)) == "3"
    assert sold(account.show(102.3)) is None
    assert list(account.placed) == ["900 entry", "900 step1", "900 step1 again 1"]


@pytest.mark.parametrize("outcome", ["refused", "lost"])
def test_an_exit_is_never_dropped(outcome: str) -> None:
    """The stop was touched, the order came to nothing, the price has recovered: the position is left all the same."""
    account = entered()
    assert sold(account.show(97.0, outcome=outcome)) == "all"
    assert sold(account.show(100.5, outcome=outcome)) == "all"
    assert sold(account.show(103.0)) == "all"
    assert not account.held


def test_an_exit_that_was_cut_short_sells_the_rest() -> None:
    account = entered()
    account.show(97.0, outcome="lost")
    account.held = Quantity.of("0.25")  # most of it was sold before the venue ended the order
    assert sold(account.show(97.5)) == "all"


def test_what_somebody_else_bought_is_not_touched() -> None:
    account = Account(held=Quantity.of(1))
    assert account.show(50.0, crossed=True, short=5) == Decision()
    assert account.show(100.0, long=5) == Decision()


def test_a_position_that_somebody_else_sold_is_forgotten() -> None:
    account = entered()
    account.held = NO_QUANTITY
    assert account.show(100.0) == Decision()


def test_no_entry_where_the_stop_would_not_be_below_it() -> None:
    for swing_low, atr in ((100.0, 0.0), (0.5, 5.0)):
        assert Account().show(100.0, long=5, swing_low=swing_low, atr=atr).wish is None


@given(
    st.lists(
        st.tuples(
            st.decimals("90", "120", places=2), st.decimals("0", "4", places=2),
            st.sampled_from(["filled", "refused", "lost"]),
        ),
        max_size=30,
    )
)  # fmt: skip
def test_whatever_happens_the_stop_never_moves_away_and_no_step_is_taken_twice(market: list[Any]) -> None:
    account = entered()
    level, taken = account.stop, 0
    first = account.held
    for price, atr, outcome in market:
        before = account.held
        decision = account.show(float(price), atr=float(atr), outcome=outcome)
        if account.memory is None:
            break
        assert account.stop >= level
        level = account.stop
        assert account.memory["taken"] >= taken
        taken = account.memory["taken"]
        assert account.held.value >= 0
        if account.held < before and decision.wish is not None and not decision.wish.whole:
            assert account.held.value / first.value in (D("0.5"), D("0.25"))


# -- with candles --------------------------------------------------------------------------------------------------


def view(candles: Any, into_s: float = 6.0) -> View:
    return View("BTC/USD", candles.closed_at_s, FUNDS, candles=candles, into_candle_s=into_s)


def a_market_to_enter() -> Any:
    found = (c for seed in range(500) if APEX.decide(view(c := walk(seed, 300, drift=0.0004))).wish is not None)
    return next(found)


def test_nothing_is_decided_too_early_or_on_fewer_than_a_hundred_candles() -> None:
    candles = a_market_to_enter()
    assert APEX.decide(view(candles)).wish is not None
    assert APEX.decide(view(candles, into_s=5.9)).wish is None
    enough = next(n for n in range(100, 301) if APEX.decide(view(candles.last(n))).wish is not None)
    strict = Apex(replace(Figures(), candles_min=enough + 1))
    assert strict.decide(view(candles.last(enough))).wish is None
    assert APEX.decide(view(candles.last(99))).wish is None


def test_a_memory_outlasts_candles_that_cannot_be_decided_on() -> None:
    account = entered()
    young = replace(account.view(), candles=walk(1, 300), into_candle_s=1.0)
    assert APEX.decide(young) == Decision(account.memory)


def test_many_markets_at_once_get_the_answers_of_each_alone() -> None:
    account = entered()
    views = [view(walk(seed, 300, drift=0.0003)) for seed in range(60)]
    views += [replace(each, held=account.held, memory=account.memory) for each in views[:30]]
    views += [view(walk(7, 50)), view(walk(8, 300), into_s=2.0)]
    together = decide_all(APEX, views)
    assert list(together) == [APEX.decide(each) for each in views]
    assert sum(1 for decision in together if decision.wish is not None) >= 5


def test_a_history_is_decided_as_each_candle_is() -> None:
    """`outlook` over everything gives what `decide` gives on the last 300 candles, up to how averages begin."""
    candles, differ = walk(5, 1500, drift=0.0002), 0
    outlook = APEX.outlook(candles)
    for index in range(300, 1500):
        shown = view(candles.part(index - 299, index + 1))
        alone, along = APEX.decide(shown), APEX.decide_on(shown, outlook.at(index))
        differ += (alone.wish is None) is not (along.wish is None)
    assert (outlook.long > 0).sum() > 20
    assert differ == 0


def test_figures_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="must rise"):
        Apex(Figures(ema_fast=50))
