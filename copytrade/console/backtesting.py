"""`python -m copytrade backtest`: the operator's strategy and followers on candles from a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copytrade.console.output import print_error, print_json, print_table
from copytrade.domain.account import FollowerTerms
from copytrade.domain.errors import CopyTradeError
from copytrade.domain.money import Amount
from copytrade.settings.faults import SettingsError
from copytrade.settings.load import load
from copytrade.settings.model import Settings
from copytrade.settings.users import User
from copytrade.wiring.convert import copy_rules, follower_terms, master_guards
from copytrade.wiring.paths import Paths
from copytrade.wiring.strategy import entry_guards, make_strategy

if TYPE_CHECKING:
    from copytrade.backtest.run import Setup

_SHOWN_MAX = 30
_SHOWN_MIN = 0.00005  # a part of the difference that is less than 0.01 %
_SHARE_MAX = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The command's options. `None`: as the settings or the venue's list have it. Shares are fractions."""

    candles: Path
    symbol: str | None = None
    strategy: str | None = None
    cash: Decimal | None = None
    fee: Decimal | None = None
    slippage: Decimal = Decimal("0.0005")
    follower_slippage: Decimal = Decimal("0.0005")
    seed: int = 7
    plot: Path | None = None


def run_backtest(paths: Paths, wanted: Wanted, *, as_json: bool) -> int:
    """The command. 0 with a report, 1 with what is wrong."""
    try:
        return _run(paths, wanted, as_json=as_json)
    except (CopyTradeError, SettingsError, ValueError) as error:
        print_error(f"backtest: {error}", as_json=as_json)
        return 1


def _run(paths: Paths, wanted: Wanted, *, as_json: bool) -> int:
    from copytrade.backtest.report import report  # numpy and the simulator: only this command pays for them
    from copytrade.backtest.run import Backtest

    result = Backtest(_setup(paths, wanted)).run()
    told = {"file": str(wanted.candles), **report(result)}
    if wanted.plot is not None:
        from copytrade.backtest.plot import plot

        plot(result, wanted.plot)
    if as_json:
        print_json(told)
    else:
        _show(told, wanted)
    return 0


def _setup(paths: Paths, wanted: Wanted) -> Setup:
    from copytrade.backtest.candle_file import read_history
    from copytrade.backtest.desk import DeskGuards
    from copytrade.backtest.market import market_for
    from copytrade.backtest.run import Setup

    loaded = load(paths.config, paths.users, os.environ, paths.dotenv)
    settings = _with_strategy(loaded.settings, wanted.strategy)
    strategy = make_strategy(settings)
    if strategy is None:
        raise CopyTradeError(
            "master.strategy is none, so there is nothing to replay: give --strategy apex or package.module:Class"
        )
    _check_shares(wanted)
    needs = strategy.needs
    history = read_history(wanted.candles, needs.interval_s if needs.candles else 0)
    if len(history.candles) < needs.candles_min + 2:
        raise CopyTradeError(
            f"{wanted.candles} has {len(history.candles)} candles, and {strategy.name} wants {needs.candles_min} "
            "before it decides anything: give a longer file"
        )
    symbol = wanted.symbol or (needs.symbols[0] if needs.symbols else settings.master.sample_instrument)
    venue, guards = settings.master.venue, master_guards(settings)
    first = float(history.candles.open[0])
    return Setup(
        history.candles, strategy, venue, market_for(venue, symbol, first, wanted.fee),
        Amount(settings.paper.master_cash if wanted.cash is None else wanted.cash),
        _followers(settings, loaded.users), copy_rules(settings), entry_guards(settings),
        DeskGuards(guards.max_order, guards.min_cash_to_buy), wanted.slippage, wanted.follower_slippage, wanted.seed,
        history.filled,
    )  # fmt: skip


def _with_strategy(settings: Settings, named: str | None) -> Settings:
    """The settings as they would be with this strategy, checked as the file's own are."""
    if named is None:
        return settings
    master = type(settings.master).model_validate({**settings.master.model_dump(), "strategy": named})
    return settings.model_copy(update={"master": master})


def _followers(settings: Settings, users: Sequence[User]) -> list[tuple[FollowerTerms, Amount]]:
    """Every account of the users' files with what it would start with in paper mode."""
    terms = follower_terms(settings, users)
    everybodys = settings.paper.follower_cash
    cash = {user.account: everybodys if user.paper_cash is None else user.paper_cash for user in users}
    return [(each, Amount(cash[account])) for account, each in terms.items()]


def _check_shares(wanted: Wanted) -> None:
    for name in ("fee", "slippage", "follower_slippage"):
        value: Decimal | None = getattr(wanted, name)
        if value is not None and not 0 <= value <= _SHARE_MAX:
            option = name.replace("_", "-")
            raise CopyTradeError(f"--{option} is {value}: give a share from 0 to {_SHARE_MAX}, like 0.001 for 0.1 %")
    if wanted.cash is not None and wanted.cash <= 0:
        raise CopyTradeError(f"--cash is {wanted.cash}: give an amount above zero")
    if wanted.plot is not None and not wanted.plot.parent.is_dir():
        raise CopyTradeError(f"--plot is {wanted.plot}, and there is no folder {wanted.plot.parent}: make it first")


# -- for people -------------------------------------------------------------------------------------------------------


def _show(told: dict[str, Any], wanted: Wanted) -> None:
    candles, terms, master = told["candles"], told["terms"], told["master"]
    holes = f", {candles['filled']} of them missing in the file" if candles["filled"] else ""
    print(
        f"{terms['strategy']} on {candles['count']:,} candles of {candles['interval_s']} s of {candles['symbol']}"
        f"{holes}, {candles['from']} to {candles['to']}; the market {_percent(candles['change'])}"
    )
    print(
        f"fee {terms['fee'] * 100:.3g} %, slippage {terms['slippage'] * 100:.3g} %, of followers up to "
        f"{terms['follower_slippage'] * 100:.3g} % more; seed {terms['seed']}"
    )
    print_table("accounts", _COLUMNS, [_row(each) for each in (master, *told["followers"])][: _SHOWN_MAX + 1], "")
    rate = "" if master["win_rate"] is None else f", {master['win_rate'] * 100:.1f} % of them won"
    print(f"master: {master['trades']} trades{rate}; in the market {master['in_market'] * 100:.1f} % of the time")
    if master["not_placed"]:
        print("not placed: " + ", ".join(f"{reason} {count}" for reason, count in master["not_placed"].items()))
    for follower in told["followers"][:_SHOWN_MAX]:
        print(_why(follower))
    if len(told["followers"]) > _SHOWN_MAX:
        print(f"... and {len(told['followers']) - _SHOWN_MAX} more followers: --json has them all")
    if wanted.plot is not None:
        print(f"drawn to {wanted.plot}")


_COLUMNS = ("account", "start", "end", "return", "drawdown", "fees", "orders", "to the master", "daily error")


def _row(each: dict[str, Any]) -> list[str]:
    error = each.get("tracking_error_daily")
    return [
        each["account"], f"{each['start']:,.2f}", f"{each['end']:,.2f}", _percent(each["return"]),
        f"{each['max_drawdown'] * 100:.2f} %", f"{each['fees']:,.2f}", str(each["orders"]),
        _percent(each["difference"]) if "difference" in each else "",
        "" if error is None else f"± {error * 100:.3f} %",
    ]  # fmt: skip


def _why(follower: dict[str, Any]) -> str:
    parts = [f"{part['text']} {_percent(part['share'])}" for part in follower["because"]
             if abs(part["share"]) >= _SHOWN_MIN]  # fmt: skip
    lines = [f"{follower['account']}: {_percent(follower['difference'])} to the master"
             + (f", because of {'; '.join(parts)}" if parts else "")]  # fmt: skip
    if follower["skipped"]:
        lines.append("  skipped: " + ", ".join(f"{reason} {count}" for reason, count in follower["skipped"].items()))
    lines += [f"  limit: {text}" for text in follower["limits_tripped"]]
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{share * 100:+.2f} %"
