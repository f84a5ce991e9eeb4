"""A follower's limits that act, judged as the service judges them, with what a candle tells of the time in between."""

from __future__ import annotations

from datetime import datetime

from copytrade.copying.flows import Flow
from copytrade.copying.limits import Breach, acting_limits, breaches, day_of, next_mark
from copytrade.domain.account import FollowerTerms
from copytrade.domain.limits import EquityMarked, LimitAction, LimitName, LimitRearmed, LimitTripped, Mark, Rearm, Trip
from copytrade.domain.money import NO_AMOUNT, Amount
from copytrade.domain.standing import Standing

_NO_PAYMENT = Flow(NO_AMOUNT, False)
_MARGIN = 1e-6  # of what is looked at in floats first: a look too many costs a millisecond, one too few a limit


class LimitWatch:
    """The limits of one follower; `standing` is everybody's."""

    def __init__(self, terms: FollowerTerms, standing: Standing) -> None:
        self.terms = terms
        self.acts = bool(acting_limits(terms))
        self._standing = standing
        self._bounds: tuple[float, float] | None = None

    @property
    def trip(self) -> Trip | None:
        return self._standing.trip(self.terms.account)

    def worth_a_look(self, lowest: float, highest: float) -> bool:
        """Whether an equity between these can pass a limit, or is a new mark to count losses from."""
        mark = self._standing.marks.get(self.terms.account)
        if mark is None:
            return True
        if self._bounds is None:
            self._bounds = self._between(mark)
        return lowest <= self._bounds[0] or highest >= self._bounds[1]

    def judge(self, lowest: Amount, now: Amount, at: datetime) -> list[Breach]:
        """What the lowest equity since the last look passes; `now` is what later losses are counted from."""
        account = self.terms.account
        known = self._standing.marks.get(account)
        if known is None or day_of(at) != known.day:
            self._mark(now, at)
        self._rearm(at, now)
        tripped = self._standing.trips.get(account, {})
        mark = self._standing.marks[account]
        found = [breach for breach in breaches(self.terms, mark, lowest) if breach.limit not in tripped]
        for breach in found:
            acting = breach.acting
            self._standing.tripped(
                LimitTripped(account, breach.limit, breach.detail, acting.action, acting.rearm, at)
            )
            self._bounds = None
        self._mark(now, at)
        return found

    def flattens(self) -> bool:
        """Whether a limit that has tripped asks for everything to be closed."""
        trips = self._standing.trips.get(self.terms.account, {})
        return any(trip.action is LimitAction.FLATTEN for trip in trips.values())

    # -- inside -------------------------------------------------------------------------------------------------------

    def _mark(self, equity: Amount, at: datetime) -> None:
        account = self.terms.account
        new = next_mark(self._standing.marks.get(account), equity, {}, _NO_PAYMENT, at)
        if new is not None:
            self._standing.marked(
                EquityMarked(account, new.day, new.start, new.base, new.flows, new.high_water, new.holdings, at)
            )
            self._bounds = None

    def _rearm(self, at: datetime, equity: Amount) -> None:
        """With a new day, as the service does it; what waits for a person stays as it is."""
        account = self.terms.account
        for name, trip in dict(self._standing.trips.get(account, {})).items():
            if trip.rearm is Rearm.BY_HAND or day_of(at) <= day_of(trip.at):
                continue
            if name is LimitName.MIN_EQUITY and breaches(self.terms, self._standing.marks[account], equity):
                continue
            anew = equity if name is LimitName.MAX_DRAWDOWN else None
            self._standing.rearmed(LimitRearmed(account, name, "next day", anew, at))
            self._bounds = None

    def _between(self, mark: Mark) -> tuple[float, float]:
        """Equities at or under the first may pass a limit, at or above the second a mark is due."""
        low = 0.0
        for name, acting in acting_limits(self.terms):
            if name in self._standing.trips.get(self.terms.account, {}):
                continue
            daily = name is LimitName.MAX_DAILY_LOSS
            if name is LimitName.MIN_EQUITY:
                assert acting.amount is not None, "a floor is an amount"
                bound = float(acting.amount.value)
            elif acting.share is not None:
                bound = float(mark.base.value if daily else mark.high_water.value) * (1 - float(acting.share))
            else:
                assert acting.amount is not None, "a limit is an amount or a share"
                start = mark.start.value + mark.flows.value if daily else mark.high_water.value
                bound = float(start - acting.amount.value)
            low = max(low, bound)
        return low * (1 + _MARGIN), float(mark.high_water.value) * (1 + 0.001) * (1 - _MARGIN)
