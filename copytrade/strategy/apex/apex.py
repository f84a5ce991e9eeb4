"""APEX v7.1 as a strategy: reads the market, keeps a position's levels, and asks for one order at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from copytrade.domain.money import NO_QUANTITY, Quantity, plain
from copytrade.domain.order import Side
from copytrade.strategy.apex import levels, rules
from copytrade.strategy.apex.figures import Figures
from copytrade.strategy.apex.levels import exact
from copytrade.strategy.apex.position import ENTRY, EXIT, STEP, Position
from copytrade.strategy.apex.readings import Readings, at_the_end, over_history
from copytrade.strategy.port import Candles, Decision, Needs, View, Wish

if TYPE_CHECKING:
    from copytrade.strategy.apex.rules import Counts, Yes
    from copytrade.strategy.port import Column


@dataclass(frozen=True, slots=True)
class Moment:
    """What one candle of one market says. `long` and `short` are entry points where there is a signal, else 0.

    `swing_low` is the lowest low of the last 10 candles; `crossed` means that EMA 9 is under EMA 21.
    """

    close: float
    atr: float
    adx: float
    swing_low: float
    long: int
    short: int
    crossed: bool


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """Moments as columns: of many markets, or along a history."""

    close: Column
    atr: Column
    adx: Column
    swing_low: Column
    long: Counts
    short: Counts
    crossed: Yes

    @classmethod
    def of(cls, readings: Readings, figures: Figures) -> Outlook:
        r, f = readings, figures
        return cls(
            r.close, r.atr, r.adx, r.swing_low, rules.signal(r, f, up=True), rules.signal(r, f, up=False),
            rules.averages_crossed(r),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.close)

    def at(self, index: int) -> Moment:
        return Moment(
            float(self.close[index]), float(self.atr[index]), float(self.adx[index]), float(self.swing_low[index]),
            int(self.long[index]), int(self.short[index]), bool(self.crossed[index]),
        )  # fmt: skip


class Apex:
    """Long only, as on a spot account: a short signal closes and opens nothing.

    All is decided on the price at the close of a candle. A price that came and went inside it is not traded after
    the fact: the order would get the price at the close, not that one.
    """

    name = "apex"

    def __init__(self, figures: Figures | None = None, symbols: Sequence[str] = ()) -> None:
        """`symbols` are the markets to trade, all that the scanner comes by if there are none.

        Raises `ValueError` for figures that do not fit together.
        """
        self.figures = figures or Figures()
        if problems := self.figures.problems():
            raise ValueError("; ".join(problems))
        f = self.figures
        self.needs = Needs(
            symbols=tuple(symbols), interval_s=f.interval_s, candles=f.candles, candles_min=f.candles_min,
            settle_s=f.settle_s,
        )  # fmt: skip

    def decide(self, view: View) -> Decision:
        return self.decide_all([view])[0]

    def decide_all(self, views: Sequence[View]) -> Sequence[Decision]:
        """The same for many markets at once: what can be is worked out for all of them together."""
        ready = [place for place, view in enumerate(views) if self._can_decide(view)]
        decisions = [Decision(view.memory) for view in views]
        if not ready:
            return decisions
        shown = [_candles(views[place]).last(self.figures.candles) for place in ready]
        outlook = Outlook.of(at_the_end(shown, self.figures), self.figures)
        busy = outlook.long > 0
        for row, place in enumerate(ready):
            view = views[place]
            if busy[row] or view.held or view.memory is not None:
                decisions[place] = self.decide_on(view, outlook.at(row))
        return decisions

    def outlook(self, candles: Candles) -> Outlook:
        """Every candle of a history at once, for `decide_on`: what a backtest asks instead of `decide`.

        Its averages began with the first candle of the history and not `candles` ago, which moves an EMA 50 by less
        than 0.001 %.
        """
        return Outlook.of(over_history(candles, self.figures), self.figures)

    def decide_on(self, view: View, moment: Moment) -> Decision:
        """The decision for a market whose candles say this. `view.candles` is not looked at."""
        position = None if view.memory is None else Position.from_memory(view.memory)
        if position is not None and view.held:
            return self._manage(view, moment, _settled(position, view.held))
        if view.held:  # bought by somebody else: not this strategy's to sell, nor to add to
            return Decision()
        return self._enter(view, moment)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _can_decide(self, view: View) -> bool:
        candles = view.candles
        return (
            candles is not None
            and levels.enough_candles(len(candles), self.figures)
            and not levels.too_early(view.into_candle_s, self.figures)
        )

    def _enter(self, view: View, moment: Moment) -> Decision:
        f = self.figures
        if not moment.long or moment.short:
            return Decision()
        entry, atr = exact(moment.close), exact(moment.atr)
        stop = levels.first_stop(exact(moment.swing_low), atr, f)
        amount = levels.size(view.funds, exact(moment.adx), moment.long, f)
        if stop <= 0 or stop >= entry or not amount.value > 0:
            return Decision()
        position = Position(str(round(view.at_s)), entry, stop, entry - stop, moment.long, asked=ENTRY)
        why = f"{moment.long} of {levels.POINTS} points, ADX {moment.adx:.1f}, stop at {plain(stop)}"
        return Decision(position.to_memory(), Wish(position.key(ENTRY), Side.BUY, amount=amount, why=why))

    def _manage(self, view: View, moment: Moment, position: Position) -> Decision:
        price = exact(moment.close)
        position, reached = self._levels(position, price, exact(moment.atr))
        if why := self._way_out(position, price, moment, reached):
            return _sell(replace(position, leaving=why), view.held, EXIT, Decimal(1), why)
        if reached > position.taken:
            share = levels.share_to_sell(position.taken, reached, self.figures)
            return _sell(position, view.held, f"{STEP}{reached}", share, f"profit step {reached}")
        return Decision(position.to_memory())

    def _way_out(self, position: Position, price: Decimal, moment: Moment, reached: int) -> str:
        """Why all of it is to be sold now, or "". Once there was a reason, it stays: an exit is never dropped."""
        if position.leaving:
            return position.leaving
        if price <= position.level:
            return f"the price is at its stop {plain(position.level)}"
        if moment.short:
            return "a signal for the other side"
        if moment.crossed:
            return "EMA 9 is under EMA 21"
        if reached >= len(self.figures.profit_at_r):
            return f"profit step {reached}, the last"
        return ""

    def _levels(self, position: Position, price: Decimal, atr: Decimal) -> tuple[Position, int]:
        """Stop and trailing level as this price moves them (upwards only), and the profit steps it has come to."""
        f = self.figures
        reached = levels.steps_reached(price, position.entry, position.risk, f)
        stop = levels.raised_stop(position.stop, position.entry, max(reached, position.taken))
        trail = position.trail
        if reached or position.taken or trail is not None:
            trail = levels.trailed(trail, price, atr, f)
        return replace(position, stop=stop, trail=trail), reached


def _sell(position: Position, held: Quantity, what: str, share: Decimal, why: str) -> Decision:
    asking = replace(position, asked=what, held_then=held)
    key = position.key(what)
    if share >= 1:
        wish = Wish(key, Side.SELL, whole=True, why=why)
    else:
        wish = Wish(key, Side.SELL, quantity=held.scaled(share), why=why)
    return Decision(asking.to_memory(), wish, if_refused=position.to_memory())


def _candles(view: View) -> Candles:
    assert view.candles is not None
    return view.candles


def _settled(position: Position, held: Quantity) -> Position:
    """The position after the order that was asked for last has come to its end, by what is held now.

    An exit of all that left something over, or came to nothing, is asked for again under a key of its own; so is a
    profit step that came to nothing.
    """
    if not position.asked:
        return position
    settled = replace(position, asked="", held_then=NO_QUANTITY)
    if position.asked == ENTRY:
        return settled
    if position.asked == EXIT or not held < position.held_then:
        return replace(settled, tries=position.tries + 1)
    return replace(settled, taken=int(position.asked.removeprefix(STEP)), tries=0)
