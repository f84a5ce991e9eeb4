"""A follower's limits: when one trips, what losses are counted from, and how much of each is used. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from copytrade.copying.flows import Flow
from copytrade.domain.account import FollowerTerms
from copytrade.domain.limits import ActingLimit, LimitName, Mark, Trip
from copytrade.domain.money import NO_AMOUNT, Amount, plain
from copytrade.domain.reasons import Reason

REASONS = {
    LimitName.MAX_DAILY_LOSS: Reason.DAILY_LOSS_LIMIT,
    LimitName.MAX_DRAWDOWN: Reason.DRAWDOWN_LIMIT,
    LimitName.MIN_EQUITY: Reason.EQUITY_FLOOR,
}
"""Of the limits that trip: what an entry is told that they stop."""

TRIPPED = frozenset(REASONS.values())

RISE_MARKED = Decimal("0.001")
"""A new high water is written down once it is higher by this share: prices that rise all day would fill the ledger."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that the account has passed, with the figures."""

    limit: LimitName
    acting: ActingLimit
    detail: str


@dataclass(frozen=True, slots=True)
class Usage:
    """One limit and how much of it is used: amounts and shares as text, `used` None where nobody can tell yet.

    `share` is `used` as a part of the limit, from 0 up; above 1 it is passed.
    """

    limit: LimitName
    allowed: str
    used: str | None
    share: Decimal | None
    action: str
    rearm: str
    trip: Trip | None = None


def acting_limits(terms: FollowerTerms) -> list[tuple[LimitName, ActingLimit]]:
    """The limits of a follower that trip, as far as they are set."""
    named = (
        (LimitName.MAX_DAILY_LOSS, terms.max_daily_loss),
        (LimitName.MAX_DRAWDOWN, terms.max_drawdown),
        (LimitName.MIN_EQUITY, terms.min_equity),
    )
    return [(name, acting) for name, acting in named if acting is not None]


def day_of(at: datetime) -> str:
    """The day that a loss counts for, UTC."""
    return at.astimezone(UTC).date().isoformat()


def next_mark(
    mark: Mark | None, equity: Amount, holdings: Mapping[str, Decimal], flow: Flow, at: datetime
) -> Mark | None:
    """The mark that these balances call for; None where the one there is still serves.

    A payment moves the day's loss as an amount by itself, and the day's base and the high water in the proportion in
    which it moved the equity: it must neither trip a limit nor hide a loss.
    """
    day = day_of(at)
    if mark is None:
        return Mark(day, equity, equity, NO_AMOUNT, equity, dict(holdings), at)
    new = mark
    if flow.differs:
        before = equity.value - flow.paid.value
        if flow.paid:
            factor = equity.value / before if before > 0 else None
            new = replace(
                new, flows=new.flows + flow.paid,
                base=equity if factor is None else new.base.scaled(factor),
                high_water=equity if factor is None else new.high_water.scaled(factor),
            )  # fmt: skip
        new = replace(new, holdings=dict(holdings))
    if day > new.day:  # a clock that was put back does not begin a day a second time
        new = replace(new, day=day, start=equity, base=equity, flows=NO_AMOUNT)
    risen = equity.value > new.high_water.value * (1 + RISE_MARKED)
    if new is mark and not risen:
        return None
    return replace(new, high_water=max(new.high_water, equity), at=at)


def breaches(terms: FollowerTerms, mark: Mark | None, equity: Amount) -> list[Breach]:
    """The limits that the account has passed at this equity."""
    found = []
    for name, acting in acting_limits(terms):
        passed = _passed(name, acting, mark, equity)
        if passed is not None:
            found.append(Breach(name, acting, passed))
    return found


def losses(terms: FollowerTerms, mark: Mark | None, equity: Amount) -> dict[LimitName, tuple[Decimal, Decimal]]:
    """Of each limit that trips, what is used and what is allowed, both as amounts or both as shares."""
    found: dict[LimitName, tuple[Decimal, Decimal]] = {}
    for name, acting in acting_limits(terms):
        allowed = acting.amount.value if acting.amount is not None else acting.share
        assert allowed is not None, "a limit is an amount or a share"
        if name is LimitName.MIN_EQUITY:
            found[name] = (equity.value, allowed)
        elif mark is not None:
            found[name] = (max(Decimal(0), _lost(name, acting, mark, equity)), allowed)
    return found


def usage(
    terms: FollowerTerms, mark: Mark | None, equity: Amount | None, trips: Mapping[LimitName, Trip],
    exposure: Amount | None, positions: int,
) -> tuple[Usage, ...]:  # fmt: skip
    """Every limit that is set, and how much of it is used."""
    rows = []
    if terms.max_order is not None:
        rows.append(Usage(LimitName.MAX_ORDER, str(terms.max_order), None, None, "caps", ""))
    if terms.max_exposure is not None:
        used = None if exposure is None else exposure.value
        rows.append(_row(LimitName.MAX_EXPOSURE, terms.max_exposure.value, used, "caps"))
    if terms.max_positions is not None:
        rows.append(_row(LimitName.MAX_POSITIONS, Decimal(terms.max_positions), Decimal(positions), "blocks new ones"))
    known = {} if equity is None else losses(terms, mark, equity)
    for name, acting in acting_limits(terms):
        allowed = acting.amount.value if acting.amount is not None else acting.share or Decimal(0)
        used = known[name][0] if name in known else None
        row = _row(name, allowed, used, acting.action.value, percent=acting.share is not None)
        if name is LimitName.MIN_EQUITY and used is not None:  # the nearer to the floor, the more of it is used
            row = replace(row, share=_quotient(allowed, used))
        rows.append(replace(row, rearm=acting.rearm.value, trip=trips.get(name)))
    return tuple(rows)


def _row(name: LimitName, allowed: Decimal, used: Decimal | None, action: str, *, percent: bool = False) -> Usage:
    share = None if used is None else _quotient(used, allowed)
    return Usage(name, _shown(allowed, percent), None if used is None else _shown(used, percent), share, action, "")


def _quotient(used: Decimal, allowed: Decimal) -> Decimal | None:
    return None if allowed <= 0 else (used / allowed).quantize(Decimal("0.0001"))


def _shown(value: Decimal, percent: bool) -> str:
    return f"{value * 100:.2f} %" if percent else plain(value.quantize(Decimal("0.01")))


def _passed(name: LimitName, acting: ActingLimit, mark: Mark | None, equity: Amount) -> str | None:
    """How the limit is passed, in words; None when it is not."""
    if name is LimitName.MIN_EQUITY:
        assert acting.amount is not None, "a floor is an amount"
        return f"equity {_money(equity)} is under {acting.amount}" if equity < acting.amount else None
    if mark is None:
        return None
    lost = _lost(name, acting, mark, equity)
    since = f"today's {_money(mark.start)}" if name is LimitName.MAX_DAILY_LOSS else f"{_money(mark.high_water)}"
    if acting.share is not None:
        if lost < acting.share:
            return None
        return f"{lost * 100:.2f} % lost of {since}, equity {_money(equity)}; {acting.share * 100:.2f} % is the limit"
    assert acting.amount is not None, "a limit is an amount or a share"
    if lost < acting.amount.value:
        return None
    return f"{_money(Amount(lost))} lost of {since}, equity {_money(equity)}; {acting.amount} is the limit"


def _lost(name: LimitName, acting: ActingLimit, mark: Mark, equity: Amount) -> Decimal:
    """The loss, as the limit counts it: an amount or a share. Negative for a gain."""
    if name is LimitName.MAX_DAILY_LOSS and acting.amount is not None:
        return mark.start.value + mark.flows.value - equity.value
    high = mark.base if name is LimitName.MAX_DAILY_LOSS else mark.high_water
    if acting.amount is not None:
        return high.value - equity.value
    return Decimal(0) if high.value <= 0 else 1 - equity.value / high.value


def _money(amount: Amount) -> str:
    return plain(amount.value.quantize(Decimal("0.01")))
