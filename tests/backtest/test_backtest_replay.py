"""The replay: no look ahead, worse by the slippage, and the figures of a run that can be reckoned by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from backtest_cases import BEGIN_S, INTERVAL_S, Scripted, candles_of, follower, in_and_out, random_candles, setup

from copytrade.backtest.report import report
from copytrade.backtest.run import Backtest, Result, StrategyFailed
from copytrade.domain.limits import ActingLimit, LimitAction, Rearm
from copytrade.domain.money import Amount
from copytrade.domain.order import Side
from copytrade.strategy.apex.apex import Apex
from copytrade.strategy.guards import EntryGuards
from copytrade.strategy.port import Candles

UP_AND_DOWN = candles_of(
    (100, 101, 99, 100), (100, 101, 99, 101), (102, 111, 102, 110), (112, 113, 104, 105), (90, 96, 80, 95),
    (96, 97, 95, 96),
)  # fmt: skip


def test_a_run_by_hand() -> None:
    """1,000 bought at the open after the decision, at 102 and 0.1 % worse; sold at 90 and 0.1 % worse; 0.4 % fee."""
    strategy = Scripted(lambda number, view: {1: 1000.0, 3: -1}.get(number))
    result = Backtest(setup(UP_AND_DOWN, strategy, slippage=Decimal("0.001"))).run()
    bought, sold = result.orders
    assert (bought.candle, bought.side, bought.fill.price) == (2, Side.BUY, pytest.approx(102 * 1.001, rel=1e-5))
    assert (sold.candle, sold.side, sold.fill.price) == (4, Side.SELL, pytest.approx(90 * 0.999, rel=1e-5))
    quantity = 1000 / (102 * 1.001)
    profit = quantity * (90 * 0.999 * 0.996 - 102 * 1.001 * 1.004)
    told = report(result)
    master = told["master"]
    assert master["end"] == pytest.approx(10_000 + profit, rel=1e-5)
    assert master["return"] == pytest.approx(profit / 10_000, rel=1e-3)
    assert master["fees"] == pytest.approx(0.004 * quantity * (102 * 1.001 + 90 * 0.999), rel=1e-4)
    assert (master["trades"], master["won"], master["win_rate"]) == (1, 0, 0.0)
    assert told["trades"][0]["profit"] == pytest.approx(profit, rel=1e-4)
    highest = 10_000 - 4.0 + quantity * (110 - 102 * 1.001)  # at the close of candle 2
    assert master["max_drawdown"] == pytest.approx(1 - (10_000 + profit) / highest, rel=1e-3)


def test_the_strategy_sees_nothing_that_is_still_to_come() -> None:
    candles = random_candles(120)
    strategy = Scripted(in_and_out)
    Backtest(setup(candles, strategy)).run()
    assert len(strategy.seen) == 119
    for number, view in enumerate(strategy.seen):
        assert view.candles is not None
        assert view.candles.closed_at_s == view.at_s == BEGIN_S + (number + 1) * INTERVAL_S


def _orders(result: Result) -> list[tuple[int, str, str, str]]:
    return [(o.at_s, o.side.value, str(o.fill.quantity), str(o.fill.cost)) for o in result.orders]


@pytest.mark.parametrize("cut", [600, 1501, 2200])
def test_what_comes_later_changes_nothing_before_it(cut: int) -> None:
    """APEX reads a whole history at once; with another future it does the same until then."""
    candles = random_candles(3000)
    with_it = Backtest(setup(candles, Apex())).run()
    without = Backtest(setup(candles.part(0, cut), Apex())).run()
    last = int(candles.time[cut - 1])
    assert _orders(without) == [order for order in _orders(with_it) if order[0] <= last]
    assert len(with_it.orders) > len(without.orders) > 0


def test_a_fill_is_never_better_than_the_next_open() -> None:
    candles = random_candles(3000)
    result = Backtest(setup(candles, Apex(), [follower("alice")])).run()
    assert result.orders
    for order in result.orders:
        opening = float(candles.open[order.candle])
        assert order.at_s == candles.time[order.candle]
        assert order.fill.price > opening if order.side is Side.BUY else order.fill.price < opening


def test_a_peeking_engine_would_be_seen() -> None:
    """The control of the two above: candles that are one late, as if fills were at the candle that was decided on."""
    candles = random_candles(3000)
    result = Backtest(setup(candles, Apex())).run()
    early = [float(candles.open[order.candle - 1]) for order in result.orders]
    honest = [o.fill.price > price if o.side is Side.BUY else o.fill.price < price
              for o, price in zip(result.orders, early, strict=True)]  # fmt: skip
    assert not all(honest)


def test_the_quick_way_decides_as_the_slow_one() -> None:
    """Asked candle by candle with the last 300, as the service asks, APEX places the same orders."""

    class Slow:
        name, needs = "apex", Apex().needs

        def __init__(self) -> None:
            self.decide = Apex().decide

    candles = random_candles(1500)
    quick, slow = (Backtest(setup(candles, strategy)).run() for strategy in (Apex(), Slow()))
    assert [o[:2] for o in _orders(quick)] == [o[:2] for o in _orders(slow)]
    assert len(quick.orders) > 10


def test_one_seed_one_result() -> None:
    def told(seed: int) -> str:
        followers = [follower("alice"), follower("bob", "300", multiplier=Decimal(2))]
        return json.dumps(report(Backtest(setup(random_candles(1500), Apex(), followers, seed=seed)).run()))

    assert told(7) == told(7)
    assert told(7) != told(8)


def test_guards_and_the_desk_refuse_as_they_do_for_the_service() -> None:
    candles = random_candles(60)
    poor = setup(candles, Scripted(in_and_out), guards=EntryGuards(minimum_trading_balance=Amount.of(20_000)))
    result = Backtest(poor).run()
    assert not result.orders
    assert result.refused == {"guards.minimum_trading_balance": 10, "invalid_order": 10}  # and nothing to sell
    greedy = Scripted(lambda number, view: 11_000.0 if number == 1 else None)
    assert Backtest(setup(candles, greedy)).run().refused == {"insufficient_cash": 1}
    tiny = Scripted(lambda number, view: 0.1 if number == 1 else None)
    assert Backtest(setup(candles, tiny)).run().refused == {"below_minimum": 1}


def test_a_strategy_that_fails_says_when() -> None:
    def script(number: int, view: object) -> float | None:
        return 1 / (5 - number)

    with pytest.raises(StrategyFailed, match=r"scripted failed at 2026-01-01T00:30:00Z with ZeroDivisionError"):
        Backtest(setup(random_candles(20), Scripted(script))).run()


def _limited(action: LimitAction, rearm: Rearm = Rearm.BY_HAND) -> Result:
    limit = ActingLimit(share=Decimal("0.03"), action=action, rearm=rearm)
    rows = [(100, 101, 99, 100), (100, 101, 99, 100), (100, 101, 99, 100), (100, 101, 60, 98), (97, 98, 96, 97)]
    rows += [(97, 98, 96, 97)] * 8
    script = Scripted(lambda number, view: {0: 1000.0, 6: 1000.0, 8: -1}.get(number))
    terms = [follower("held"), follower("limited", max_drawdown=limit)]
    return Backtest(setup(candles_of(*rows), script, terms)).run()


def test_a_limit_is_judged_at_the_low_and_closes_at_the_worse_price() -> None:
    """The candle's low of 60 passes the limit though it closes at 98; what is sold fetches 60, not the next open."""
    held, limited = _limited(LimitAction.FLATTEN).followers
    assert len(limited.tripped) == 1
    assert "max_drawdown" in limited.tripped[0]
    assert (held.filled, limited.filled) == (3, 1)
    assert limited.skipped == {"drawdown_limit": 1}
    lost = 1000 - limited.course.cash[-1]
    assert lost == pytest.approx(100 * (1 - 60 / 100), rel=0.03)
    told = report(_limited(LimitAction.FLATTEN))["followers"][1]
    causes = {part["cause"]: part["amount"] for part in told["because"]}
    assert causes["drawdown_limit"] < -35


def test_a_limit_that_blocks_leaves_the_position_to_the_master() -> None:
    _, limited = _limited(LimitAction.BLOCK).followers
    assert limited.skipped == {"drawdown_limit": 1}
    assert limited.filled == 2  # the entry, and the exit with the master
    assert limited.course.held[-1] == 0


def test_gaps_in_time_do_not_bring_a_day_twice() -> None:
    """A limit that is armed again with the next day lets the next entry through."""
    limit = ActingLimit(share=Decimal("0.001"), action=LimitAction.BLOCK, rearm=Rearm.NEXT_DAY)
    candles = random_candles(700)
    strategy = Scripted(in_and_out)
    limited = Backtest(setup(candles, strategy, [follower("alice", max_daily_loss=limit)])).run().followers[0]
    days = {text.split(" at ")[1][:10] for text in limited.tripped}
    assert len(days) == len(limited.tripped) == 3
    assert limited.skipped["daily_loss_limit"] > 10
    assert limited.filled > 3


def test_a_user_with_two_accounts_is_copied_once() -> None:
    one, two = follower("alice"), follower("alice")
    other = (replace(two[0], account=type(two[0].account)("okx:alice")), two[1])
    result = Backtest(setup(random_candles(60), Scripted(in_and_out), [other, one])).run()
    assert [each.filled > 0 for each in result.followers] == [False, True]
    elsewhere = report(result)["followers"][0]
    assert (elsewhere["orders"], elsewhere["return"]) == (0, 0.0)


def test_candles_are_not_changed() -> None:
    candles: Candles = random_candles(600)
    before = [candles.time.copy(), candles.open.copy(), candles.close.copy()]
    Backtest(setup(candles, Apex(), [follower("alice")])).run()
    for column, kept in zip((candles.time, candles.open, candles.close), before, strict=True):
        assert (column == kept).all()
