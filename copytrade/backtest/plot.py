"""A backtest as a picture: the market with the master's orders, what every account made, and how far it fell."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from copytrade.backtest import curves
from copytrade.backtest.accounts import Course
from copytrade.backtest.run import Result
from copytrade.domain.errors import CopyTradeError
from copytrade.domain.order import Side

_NAMED_MAX = 8  # more lines than this cannot be told apart: the others are grey, and one name stands for them
_POINTS_MAX = 4_000  # some two for each pixel of the width
_MASTER, _CROWD = "black", "#9aa7b5"


class CannotPlot(CopyTradeError):
    """The picture cannot be drawn or written; the text says what to do."""


def plot(result: Result, path: Path) -> None:
    """Draw to a file; its ending says which form (png, svg, pdf). Raises `CannotPlot`."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CannotPlot(f"--plot needs matplotlib ({error}): .venv/bin/pip install -r requirements.txt") from error
    figure = Figure(figsize=(13, 9), layout="constrained")
    FigureCanvasAgg(figure)
    market, made, fell = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 2))
    _draw_market(market, result)
    _draw_accounts(made, fell, result)
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise CannotPlot(f"the picture cannot be written to {path}: {error}") from error


def _draw_market(axes: Any, result: Result) -> None:
    candles, symbol = result.setup.candles, result.setup.market.symbol
    at = _shown(len(candles))
    axes.plot(_dates(candles.time[at]), candles.close[at], color=_CROWD, linewidth=0.8)
    for side, marker, colour, word in ((Side.BUY, "^", "tab:green", "bought"), (Side.SELL, "v", "tab:red", "sold")):
        orders = [order for order in result.orders if order.side is side]
        times = _dates([order.at_s for order in orders])
        axes.scatter(times, [order.fill.price for order in orders], marker=marker, color=colour, s=16,
                     label=f"{word} ({len(orders)})", zorder=3)  # fmt: skip
    axes.set_title(f"{result.setup.strategy.name} on {symbol}, candles of {candles.interval_s} s", loc="left")
    axes.set_ylabel(f"price ({symbol.rpartition('/')[2]})")
    axes.legend(loc="best", fontsize="small")
    axes.grid(alpha=0.25)


def _draw_accounts(made: Any, fell: Any, result: Result) -> None:
    candles = result.setup.candles
    at = _shown(len(candles))
    dates = _dates(candles.time[at] + candles.interval_s)
    named = len(result.followers) <= _NAMED_MAX
    colours = [f"C{number}" for number in range(10) if number != 7]
    for number, follower in enumerate(result.followers):
        label = follower.account if named else f"{len(result.followers)} followers" if number == 0 else None
        style = {"color": colours[number % len(colours)] if named else _CROWD, "linewidth": 1.0 if named else 0.5}
        made.plot(dates, _percent(follower.course, result)[at], label=label, **style)
        fell.plot(dates, -100 * curves.drawdown(follower.course, candles)[at], **style)
    made.plot(dates, _percent(result.master, result)[at], color=_MASTER, linewidth=1.6, label="master")
    fell.fill_between(dates, -100 * curves.drawdown(result.master, candles)[at], color=_MASTER, alpha=0.2)
    made.axhline(0, color="black", linewidth=0.5)
    made.set_ylabel("return (%)")
    made.legend(loc="best", fontsize="small")
    fell.set_ylabel("under the highest (%)")
    fell.set_xlabel("UTC")
    for axes in (made, fell):
        axes.grid(alpha=0.25)


def _percent(course: Course, result: Result) -> Any:
    return 100 * (curves.equity(course, result.setup.candles) / float(course.start.value) - 1)


def _shown(count: int) -> Any:
    """The places that are drawn, the last one among them."""
    step = max(1, count // _POINTS_MAX)
    return np.unique(np.append(np.arange(0, count, step), count - 1))


def _dates(times: Any) -> list[datetime]:
    return [datetime.fromtimestamp(int(at_s), UTC) for at_s in times]
