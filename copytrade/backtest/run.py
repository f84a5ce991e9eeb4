"""The replay: candle by candle, the strategy's decisions, the master's orders, and every follower's copy.

No look ahead: what is decided at the close of a candle sees that candle and those before it, and is filled at the open
of the next one, worse by the slippage. A stop is a decision like any other, taken at a close: the fill is the next
open, however far beyond the stop that is, and never the stop's own price. Followers' limits that act are judged at
each candle's low, and what they close fills at that low or at the next open, whichever is worse.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from copytrade.backtest.accounts import Course, Follower, Order
from copytrade.backtest.desk import DeskGuards, NotPlaced, sized
from copytrade.backtest.gap import Gap
from copytrade.backtest.limits import LimitWatch
from copytrade.backtest.market import BacktestMarket
from copytrade.backtest.mirror import Mirror
from copytrade.copying.rules import CopyRules
from copytrade.copying.sizing import exit_fraction
from copytrade.domain.account import MASTER_USER, FollowerTerms, account_id
from copytrade.domain.errors import CopyTradeError
from copytrade.domain.ids import master_order_id, signal_id
from copytrade.domain.money import Amount
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.standing import Standing
from copytrade.simulator.markets import Market
from copytrade.strategy.guards import EntryGuards, entry_refusal
from copytrade.strategy.port import (
    Candles,
    Decision,
    Funds,
    Strategy,
    View,
    Wish,
    memory_from_text,
    memory_to_text,
)

_DAY_S = 86_400
_GUARD = re.compile(r"(guards|master)\.\w+")  # the setting that a refusal names


@dataclass(frozen=True, slots=True)
class Setup:
    """What is replayed and under which terms. `slippage` is the share by which every fill is worse than the candle's
    open; `follower_slippage` how much further the price may have moved when a copy arrives, drawn for each copy."""

    candles: Candles
    strategy: Strategy
    venue: str
    market: Market
    cash: Amount
    followers: Sequence[tuple[FollowerTerms, Amount]] = ()
    rules: CopyRules = field(default_factory=CopyRules)
    guards: EntryGuards = field(default_factory=EntryGuards)
    desk: DeskGuards = field(default_factory=DeskGuards)
    slippage: Decimal = Decimal("0.0005")
    follower_slippage: Decimal = Decimal("0.0005")
    seed: int = 7
    filled: int = 0  # candles that the file did not have


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    setup: Setup
    master: Course
    followers: tuple[Follower, ...]
    orders: tuple[Order, ...]
    refused: Counter[str]


class StrategyFailed(CopyTradeError):
    """The strategy raised; the text says when and what."""


class Backtest:
    """One run. Make it and call `run` once."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._market = BacktestMarket(setup.venue, setup.market, setup.slippage, setup.seed)
        self._symbol = setup.market.symbol
        self._account = account_id(setup.venue, MASTER_USER)
        self._market.open_account(self._account, setup.cash)
        self._master = Course(self._account, setup.cash)
        self._standing = Standing()
        self._followers = [self._follower(terms, cash) for terms, cash in setup.followers]
        self._watched = [each for each in self._followers if each.watch.acts]
        self._mirror = Mirror(
            self._market, self._followers, self._standing, setup.rules, setup.follower_slippage
        )  # fmt: skip
        self._asked = _Asked(setup.strategy, setup.candles)
        self._memory = ""
        self._keys: set[str] = set()
        self._orders: list[Order] = []
        self._refused: Counter[str] = Counter()

    def run(self) -> Result:
        """Raises `StrategyFailed`."""
        candles = self._setup.candles
        self._master.note(0, self._market)
        for follower in self._followers:
            follower.course.note(0, self._market)
        days = candles.time // _DAY_S
        for place in range(len(candles) - 1):
            self._judge_limits(place, new_day=place == 0 or days[place] != days[place - 1])
            wish = self._decide(place)
            if wish is not None:
                self._carry_out(wish, place + 1)
        last = float(candles.close[-1])
        for follower in self._followers:
            follower.gap.move(last)
        return Result(
            self._setup, self._master, tuple(self._followers), tuple(self._orders), self._refused
        )  # fmt: skip

    def _follower(self, terms: FollowerTerms, cash: Amount) -> Follower:
        self._market.open_account(terms.account, cash)
        first = float(self._setup.candles.open[0])
        return Follower(terms, Course(terms.account, cash), LimitWatch(terms, self._standing), Gap(first))

    # -- the strategy -------------------------------------------------------------------------------------------------

    def _decide(self, place: int) -> tuple[Wish, str] | None:
        """What the strategy wants after this candle, with the memory for the case that it is refused."""
        held = self._market.held(self._account)
        if not self._asked.worth_asking(place, bool(held or self._memory)):
            return None
        close = Decimal(repr(float(self._setup.candles.close[place])))
        cash = self._market.cash(self._account)
        funds = Funds(Amount(cash.value + held.value * close), cash)
        view = self._asked.view(self._symbol, place, funds, held, memory_from_text(self._memory))
        decision = self._asked.decide(view, place)
        kept, refused = memory_to_text(decision.memory), memory_to_text(decision.if_refused)
        wish = decision.wish
        if wish is not None and wish.side is Side.BUY:
            taken = [self._symbol] if held else []
            if (why := entry_refusal(self._setup.guards, self._symbol, funds, taken)) is not None:
                named = _GUARD.search(why)
                self._refused[named.group() if named else why] += 1
                self._memory = refused
                return None
        self._memory = kept
        return None if wish is None else (wish, refused)

    # -- the master ---------------------------------------------------------------------------------------------------

    def _carry_out(self, wanted: tuple[Wish, str], place: int) -> None:
        """Place the master's order at the open of this candle, and everybody's copy."""
        wish, refused = wanted
        if wish.key in self._keys:  # one wish is one order
            return
        market, candles = self._market, self._setup.candles
        market.at(float(candles.time[place]), float(candles.open[place]))
        held, cash, equity = market.held(self._account), market.cash(self._account), market.equity(self._account)
        price = market.quote(wish.side)
        quantity = sized(wish, market.instrument, price, held, cash, self._setup.desk)
        if isinstance(quantity, NotPlaced):
            self._refused[quantity.reason.value] += 1
            self._memory = refused
            return
        self._keys.add(wish.key)
        order_id = master_order_id(self._account, f"{self._setup.strategy.name} {self._symbol} {wish.key}")
        fill = market.trade(self._account, wish.side, quantity, order_id)
        if fill.reason is not None:
            self._refused[fill.reason.value] += 1
            return
        effect = Effect.ENTRY if wish.side is Side.BUY else Effect.EXIT
        fraction = exit_fraction(held, quantity, market.instrument) if effect is Effect.EXIT else Decimal(0)
        at_s = int(candles.time[place])
        self._master.note(place, market, fill)
        self._orders.append(Order(place, at_s, wish.side, fill, wish.why, float(fraction)))
        signal = Signal(
            signal_id(order_id, SignalKind.PLACED), SignalKind.PLACED, order_id, self._account, self._symbol,
            wish.side, effect, OrderKind.MARKET, quantity, price, equity, cash, held, fraction,
            datetime.fromtimestamp(at_s, UTC),
        )  # fmt: skip
        self._mirror.answer(signal, fill, place)

    # -- the followers' limits ----------------------------------------------------------------------------------------

    def _judge_limits(self, place: int, *, new_day: bool) -> None:
        candles = self._setup.candles
        low, close = float(candles.low[place]), float(candles.close[place])
        for follower in self._watched:
            held, cash = follower.course.held[-1], follower.course.cash[-1]
            if not new_day and (not held or not follower.watch.worth_a_look(cash + held * low, cash + held * close)):
                continue
            at = datetime.fromtimestamp(int(candles.time[place]) + candles.interval_s - 1, UTC)
            found = follower.watch.judge(self._worth(follower, low), self._worth(follower, close), at)
            follower.tripped += [f"{breach.limit} at {at:%Y-%m-%d %H:%M}: {breach.detail}" for breach in found]
            if held and follower.watch.flattens():
                worse = min(low, float(candles.open[place + 1]))
                self._market.at(float(candles.time[place + 1]), worse)
                self._mirror.close(follower, place + 1)

    def _worth(self, follower: Follower, price: float) -> Amount:
        held = self._market.held(follower.account)
        return Amount(self._market.cash(follower.account).value + held.value * Decimal(repr(price)))


class _Asked:
    """Asks the strategy about a candle of the history, by the quicker way where it has one.

    A strategy with `outlook` and `decide_on` reads the whole history once, each value from the candles up to its own.
    """

    def __init__(self, strategy: Strategy, candles: Candles) -> None:
        self._strategy: Any = strategy
        self._candles = candles
        self._needs = strategy.needs
        self._outlook = strategy.outlook(candles) if hasattr(strategy, "outlook") else None
        self._busy = None if self._outlook is None else self._outlook.long > 0

    def worth_asking(self, place: int, involved: bool) -> bool:
        """`involved`: something is held or remembered."""
        needs = self._needs
        if not needs.candles:
            at_s = int(self._candles.time[place])
            return at_s // needs.every_s != (at_s + self._candles.interval_s) // needs.every_s
        if place + 1 < max(needs.candles_min, 1):
            return False
        return involved or self._busy is None or bool(self._busy[place])

    def view(self, symbol: str, place: int, funds: Funds, held: Any, memory: Any) -> View:
        needs, candles = self._needs, self._candles
        at_s = float(int(candles.time[place]) + candles.interval_s)
        if not needs.candles:
            return View(symbol, math.floor(at_s / needs.every_s) * needs.every_s, funds, held, memory)
        shown = None
        if self._outlook is None:
            shown = candles.part(max(0, place + 1 - needs.candles), place + 1)
        return View(symbol, at_s, funds, held, memory, shown, needs.settle_s)

    def decide(self, view: View, place: int) -> Decision:
        try:
            found: Decision
            if self._outlook is None:
                found = self._strategy.decide(view)
            else:
                found = self._strategy.decide_on(view, self._outlook.at(place))
        except Exception as error:
            when = datetime.fromtimestamp(view.at_s, UTC)
            raise StrategyFailed(
                f"the strategy {self._strategy.name} failed at {when:%Y-%m-%dT%H:%M:%SZ} with {type(error).__name__}: "
                f"{error}; mend it, or cut the candles there to see what it saw"
            ) from error
        return found
