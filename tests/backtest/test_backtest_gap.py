"""The gap to the master: its parts are the whole, and each is under the name of its cause."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from backtest_cases import Scripted, follower, in_and_out, random_candles, setup
from hypothesis import given, settings
from hypothesis import strategies as st

from copytrade.backtest.gap import Gap, MasterFill
from copytrade.backtest.report import report
from copytrade.backtest.run import Backtest
from copytrade.copying.rules import BelowMinimum, CopyRules
from copytrade.domain.account import Mode
from copytrade.domain.limits import ActingLimit, LimitAction
from copytrade.domain.money import Amount
from copytrade.strategy.apex.apex import Apex

prices = st.floats(10, 1000)
quantities = st.floats(0, 50)
steps_ = st.sampled_from(["move", "enter", "leave", "close"])
moves = st.lists(st.tuples(steps_, prices, quantities, prices), max_size=30)


@given(moves, st.floats(0.01, 3))
@settings(max_examples=200, deadline=None)
def test_the_parts_are_the_whole_whatever_happens(steps: list[tuple[str, float, float, float]], ratio: float) -> None:
    """Profit by the account's own money equals the ideal's profit and all that was lost to it, to the last digit."""
    gap, cash, held, ideal_cash, ideal_held = Gap(100.0), 0.0, 0.0, 0.0, 0.0
    for what, price, quantity, paid in steps:
        gap.move(price)
        master = MasterFill(quantity, paid, 0.01 * paid)
        if what == "enter":
            own = quantity * ratio * 0.7
            gap.entered(master, ratio, own, own * price, 0.02 * own, "cap")
            cash, held = cash - own * price - 0.02 * own, held + own
            ideal_cash -= quantity * ratio * (paid + 0.01 * paid)
            ideal_held += quantity * ratio
        elif what == "leave":
            sold = held * 0.5 * 0.9
            gap.left(master, 0.5, sold, sold * price, 0.02 * sold, "rest")
            cash, held = cash + sold * price - 0.02 * sold, held - sold
            ideal_cash += ideal_held * 0.5 * (paid - 0.01 * paid)
            ideal_held *= 0.5
        elif what == "close":
            gap.closed(held, held * price, 0.02 * held, "limit")
            cash, held = cash + held * price - 0.02 * held, 0.0
    scale = 1e-9 * (1 + abs(cash) + abs(ideal_cash) + 1e5)
    assert gap.held == pytest.approx(held, abs=scale)
    assert gap.ideal_held == pytest.approx(ideal_held, abs=scale)
    assert gap.ideal_profit == pytest.approx(ideal_cash + ideal_held * gap.price, abs=scale)
    assert gap.ideal_profit + sum(gap.lost.values()) == pytest.approx(cash + held * gap.price, abs=scale)


FOLLOWERS = [
    follower("plain"),
    follower("twice", multiplier=Decimal(2)),
    follower("capped", max_order=Amount.of(20)),
    follower("careful", max_user_risk=Decimal("0.01")),
    follower("small", "30"),
    follower("paused", mode=Mode.PAUSED),
    follower("limited", max_drawdown=ActingLimit(share=Decimal("0.002"), action=LimitAction.FLATTEN)),
]
MAIN_CAUSE = {
    "twice": "ratio", "capped": "capped_by_max_order", "careful": "capped_by_risk", "small": "below_minimum",
    "paused": "mode_paused", "limited": "drawdown_limit",
}  # fmt: skip


def test_every_difference_is_explained() -> None:
    told = report(Backtest(setup(random_candles(3000), Apex(), FOLLOWERS)).run())
    for each in told["followers"]:
        parts = sum(part["share"] for part in each["because"])
        assert parts == pytest.approx(each["difference"], abs=2e-6), each["account"]
        name = each["account"].partition(":")[2]
        if name in MAIN_CAUSE:
            assert each["because"][0]["cause"] == MAIN_CAUSE[name]
    plain = told["followers"][0]
    assert abs(plain["difference"]) < 0.1 * abs(told["master"]["return"])
    assert plain["tracking_error_daily"] < min(each["tracking_error_daily"] for each in told["followers"][1:])


def test_without_slippage_and_steps_a_copy_is_the_master() -> None:
    still = setup(random_candles(600), Scripted(in_and_out), [follower("alice", "10000", max_user_risk=Decimal(1))])
    still = replace(still, slippage=Decimal(0), follower_slippage=Decimal(0), rules=CopyRules(fee_rate=Decimal(0)))
    told = report(Backtest(still).run())
    follower_, master = told["followers"][0], told["master"]
    assert follower_["return"] == pytest.approx(master["return"], abs=1e-7)
    assert follower_["tracking_error_daily"] == pytest.approx(0, abs=1e-7)
    assert all(abs(part["amount"]) < 0.001 for part in follower_["because"])  # the venue rounds each cost


def test_a_price_that_ran_away_is_a_skip_with_that_reason() -> None:
    fast = setup(random_candles(60), Scripted(in_and_out), [follower("late")], follower_slippage=Decimal("0.05"))
    late = Backtest(fast).run().followers[0]
    assert late.skipped["price_moved"] > 3


def test_carried_entries_are_taken_up() -> None:
    """4 % of 30 is under the smallest order; kept together, every few signals make one."""
    script = Scripted(lambda number, view: 400.0 if number % 3 == 1 and number < 30 else None)
    carrying = CopyRules(below_minimum=BelowMinimum.CARRY)
    small = [follower("small", "30", max_user_risk=Decimal(1))]
    skipped, kept = (
        Backtest(setup(random_candles(60), script, small, rules=rules)).run().followers[0]
        for rules in (CopyRules(), carrying)
    )
    assert skipped.filled == 0
    assert kept.filled > 2
    assert kept.skipped["carried"] > 2
