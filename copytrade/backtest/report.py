"""The figures of a backtest as JSON values. Shares are fractions (0.05 is 5 %), money is in the quote currency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from copytrade.backtest import curves
from copytrade.backtest.accounts import Course, Follower, Order
from copytrade.backtest.gap import TEXTS
from copytrade.backtest.run import Result
from copytrade.domain.order import Side
from copytrade.domain.reasons import Reason

_SHARE_DIGITS, _MONEY_DIGITS = 8, 4


@dataclass(frozen=True, slots=True)
class Trade:
    """One position of the master's, from its first purchase until nothing was held; `profit` is after all fees."""

    entered_s: int
    left_s: int
    bought: float
    sold: float
    fees: float
    why: str

    @property
    def profit(self) -> float:
        return self.sold - self.bought - self.fees


def report(result: Result) -> dict[str, Any]:
    """Everything there is to say; the same result gives the same report."""
    setup, candles = result.setup, result.setup.candles
    trades, open_cost = _trades(result.orders)
    master = _account(result.master, result)
    hold = float(candles.close[-1]) / float(candles.open[0]) - 1
    since_s, until_s = int(candles.time[0]), candles.closed_at_s
    return {
        "candles": {
            "symbol": setup.market.symbol, "interval_s": candles.interval_s, "count": len(candles),
            "filled": setup.filled, "from": _when(since_s), "to": _when(until_s), "change": _share(hold),
        },
        "terms": {
            "strategy": setup.strategy.name, "fee": float(setup.market.taker_fee), "slippage": float(setup.slippage),
            "follower_slippage": float(setup.follower_slippage), "seed": setup.seed,
        },
        "master": {
            **master, **_success(trades),
            "in_market": _share(float((curves.holdings(result.master, candles)[1] > 0).mean())),
            "open_position_cost": None if open_cost is None else _money(open_cost),
            "not_placed": dict(sorted(result.refused.items())),
        },
        "followers": [_follower(each, result) for each in result.followers],
        "trades": [_trade(each) for each in trades],
    }  # fmt: skip


def _account(course: Course, result: Result) -> dict[str, Any]:
    candles, start = result.setup.candles, float(course.start.value)
    end = float(curves.equity(course, candles)[-1])
    return {
        "account": course.account, "start": _money(start), "end": _money(end), "return": _share(_gain(start, end)),
        "max_drawdown": _share(float(curves.drawdown(course, candles).max())), "fees": _money(course.fees),
        "orders": course.orders,
    }  # fmt: skip


def _follower(follower: Follower, result: Result) -> dict[str, Any]:
    candles, course = result.setup.candles, follower.course
    figures = _account(course, result)
    start, end = float(course.start.value), float(curves.equity(course, candles)[-1])
    starts = (start, float(result.master.start.value))
    masters = curves.equity(result.master, candles)
    error = curves.tracking_error(curves.equity(course, candles), masters, starts, candles)
    exact_master = _gain(starts[1], float(masters[-1]))
    parts = follower.gap.parts(end - start, start, exact_master)
    return {
        **figures, "filled": follower.filled, "skipped": _by_count(follower.skipped),
        "changed": _by_count(follower.capped), "limits_tripped": follower.tripped,
        "difference": _share(_gain(start, end) - exact_master),
        "tracking_error_daily": None if error is None else _share(error), "because": _because(parts, start),
    }  # fmt: skip


def _because(parts: Mapping[str, float], start: float) -> list[dict[str, Any]]:
    """What the difference is made of, the largest part first; together it is the whole difference."""
    ordered = sorted(parts.items(), key=lambda part: (-abs(part[1]), part[0]))
    return [
        {"cause": cause, "text": cause_text(cause), "amount": _money(amount),
         "share": _share(amount / start) if start else 0.0}
        for cause, amount in ordered
        if abs(amount) >= 10**-_MONEY_DIGITS / 2
    ]  # fmt: skip


def cause_text(cause: str) -> str:
    return TEXTS.get(cause) or Reason(cause).text


# -- the master's trades ----------------------------------------------------------------------------------------------


def _trades(orders: tuple[Order, ...]) -> tuple[list[Trade], float | None]:
    """Positions that were closed, and what an open one has cost so far. What is left over below the venue's smallest
    order counts as closed: the strategy is out."""
    trades: list[Trade] = []
    begun: Order | None = None
    bought = sold = fees = 0.0
    for order in orders:
        if begun is None and order.side is Side.SELL:  # what was left over of a position that is counted already
            continue
        begun = begun or order
        fees += float(order.fill.fee.value)
        if order.side is Side.BUY:
            bought += float(order.fill.cost.value)
            continue
        sold += float(order.fill.cost.value)
        if order.fraction >= 1:
            trades.append(Trade(begun.at_s, order.at_s, bought, sold, fees, order.why))
            begun, bought, sold, fees = None, 0.0, 0.0, 0.0
    return trades, None if begun is None else bought


def _success(trades: list[Trade]) -> dict[str, Any]:
    won = [each.profit for each in trades if each.profit > 0]
    lost = [each.profit for each in trades if each.profit <= 0]
    return {
        "trades": len(trades), "won": len(won), "win_rate": _share(len(won) / len(trades)) if trades else None,
        "profit_factor": round(sum(won) / -sum(lost), 4) if lost and sum(lost) else None,
        "best": _money(max((each.profit for each in trades), default=0.0)),
        "worst": _money(min((each.profit for each in trades), default=0.0)),
    }  # fmt: skip


def _trade(trade: Trade) -> dict[str, Any]:
    return {
        "entered": _when(trade.entered_s), "left": _when(trade.left_s), "bought": _money(trade.bought),
        "sold": _money(trade.sold), "fees": _money(trade.fees), "profit": _money(trade.profit), "why": trade.why,
    }  # fmt: skip


# -- small things -----------------------------------------------------------------------------------------------------


def _gain(start: float, end: float) -> float:
    return end / start - 1 if start else 0.0


def _by_count(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))


def _share(value: float) -> float:
    return round(value, _SHARE_DIGITS)


def _money(value: float) -> float:
    return round(value, _MONEY_DIGITS)


def _when(at_s: int) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
