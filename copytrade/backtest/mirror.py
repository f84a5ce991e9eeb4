"""Every follower's copy of one order of the master's: the service's own plan, caps and last look at the price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from copytrade.backtest.accounts import Follower
from copytrade.backtest.gap import STEP, MasterFill
from copytrade.backtest.market import BacktestMarket, Fill
from copytrade.copying.limits import REASONS
from copytrade.copying.plan import price_moved
from copytrade.copying.routing import answer_user
from copytrade.copying.rules import Basis, CopyRules, FollowerBook
from copytrade.domain.account import user_of
from copytrade.domain.copy import Approved, Decision, Deferred
from copytrade.domain.ids import fact_id
from copytrade.domain.money import NO_AMOUNT, NO_QUANTITY
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal
from copytrade.domain.standing import Standing

_AS_RULED = frozenset({Reason.SIZED_BY_RATIO, Reason.FRACTION_OF_POSITION, Reason.WHOLE_POSITION})
_NOTHING = Fill(NO_QUANTITY, NO_AMOUNT, NO_AMOUNT)


@dataclass(frozen=True, slots=True)
class _Stands:
    """A follower when the master's order comes. `ratio` is what its ideal buys for each unit of the master's, `drift`
    the share by which the price has moved against it when its copy arrives."""

    book: FollowerBook
    ratio: float
    drift: Decimal


class Mirror:
    """Plans and fills the copies. A user's accounts are one group: an entry goes to one of them."""

    def __init__(
        self, market: BacktestMarket, followers: Sequence[Follower], standing: Standing, rules: CopyRules,
        slippage: Decimal,
    ) -> None:  # fmt: skip
        self._market = market
        self._standing = standing
        self._rules = rules
        self._slippage = slippage
        users: dict[str, list[Follower]] = {}
        for each in followers:
            users.setdefault(user_of(each.account), []).append(each)
        self._users = list(users.values())

    def answer(self, signal: Signal, fill: Fill, place: int) -> None:
        """Place everybody's copy of an order that the master had filled so, at the candle of this number."""
        price = float(self._market.price.value)
        quantity = float(fill.quantity.value)
        master = MasterFill(quantity, fill.price, float(fill.fee.value) / quantity if quantity else 0.0)
        for user in self._users:
            standings = [self._stands(signal, each) for each in user]
            decisions = answer_user(signal, [each.book for each in standings], self._rules, signal.at)
            answers = {decision.account: decision for decision in decisions}
            for follower, stands in zip(user, standings, strict=True):
                follower.gap.move(price)
                decision = answers.get(follower.account)
                if decision is None and len(user) > 1 and signal.effect is Effect.ENTRY:
                    continue  # the user's other account answers
                self._settle(signal, master, follower, stands, decision, place)
        self._standing.answered(signal)

    def close(self, follower: Follower, place: int) -> None:
        """A limit takes the follower out at the price that is set."""
        trip = self._standing.trip(follower.account)
        assert trip is not None, "a limit has tripped"
        follower.gap.move(float(self._market.price.value))
        self._market.quote(Side.SELL)
        held = self._market.held(follower.account).rounded_down(self._market.market.lot_step)
        fill = self._market.trade(follower.account, Side.SELL, held, fact_id("flatten", follower.account, str(place)))
        quantity, got, fee = _floats(fill)
        follower.gap.closed(quantity, got, fee, REASONS[trip.limit].value)
        follower.course.note(place, self._market, fill if fill.quantity else None)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _stands(self, signal: Signal, follower: Follower) -> _Stands:
        market, account, standing = self._market, follower.account, self._standing
        held, cash = market.held(account), market.cash(account)
        worth = held * market.price
        equity = cash + worth
        drift = market.drift(f"{signal.signal_id} {account}", self._slippage)
        by_cash = self._rules.basis is Basis.CASH
        master, own = (signal.cash_before, cash) if by_cash else (signal.equity_before, equity)
        assert master is not None, "a backtest knows the master's money"
        ratio = float(own.value * follower.terms.multiplier / master.value) if master.value > 0 else 0.0
        carried = standing.carried.get(account)
        book = FollowerBook(
            terms=follower.terms, instrument=market.instrument, currency=market.market.quote, equity=equity,
            cash=cash, equity_at=signal.at, position=held, exposure=worth, price=market.quote(signal.side, drift),
            symbol=signal.symbol, trip=standing.trip(account),
            carried=carried.get(signal.symbol) if carried else None,
        )  # fmt: skip
        return _Stands(book, ratio, drift)

    def _settle(
        self, signal: Signal, master: MasterFill, follower: Follower, stands: _Stands, decision: Decision | None,
        place: int,
    ) -> None:  # fmt: skip
        """Carry one decision out, and enter what it did to the follower's gap."""
        fill, cause = _NOTHING, Reason.NOTHING_TO_CLOSE
        if decision is not None:
            cause = decision.reason
            if not isinstance(decision, Deferred) and decision.carry is not None:
                self._standing.carry(follower.account, decision.carry)
            if isinstance(decision, Approved):
                fill, cause = self._place(follower, decision, stands.drift, place)
        if fill.quantity:
            follower.filled += 1
            if cause not in _AS_RULED:
                follower.capped[cause.value] += 1
        elif cause is not Reason.NOTHING_TO_CLOSE or signal.effect is Effect.ENTRY:
            follower.skipped[cause.value] += 1
        name = STEP if cause in _AS_RULED else cause.value
        quantity, money, fee = _floats(fill)
        if signal.effect is Effect.ENTRY:
            if name == STEP and follower.gap.missing.get(Reason.CARRIED.value):
                name = Reason.CARRIED.value
            follower.gap.entered(master, stands.ratio, quantity, money, fee, name)
        else:
            follower.gap.left(master, float(signal.exit_fraction), quantity, money, fee, name)

    def _place(self, follower: Follower, copy: Approved, drift: Decimal, place: int) -> tuple[Fill, Reason]:
        market = self._market
        price = market.quote(copy.side, drift)
        at_market = copy.kind is OrderKind.MARKET
        if copy.effect is Effect.ENTRY and at_market and price_moved(
            copy.side, copy.price, price, self._rules.max_slippage
        ):  # fmt: skip
            return _NOTHING, Reason.PRICE_MOVED
        fill = market.trade(follower.account, copy.side, copy.quantity, copy.order_id, copy.limit_price)
        if not fill.quantity:
            return _NOTHING, fill.reason or (Reason.VENUE_REFUSED if at_market else Reason.PRICE_MOVED)
        follower.course.note(place, market, fill)
        return fill, copy.reason


def _floats(fill: Fill) -> tuple[float, float, float]:
    return float(fill.quantity.value), float(fill.cost.value), float(fill.fee.value)
