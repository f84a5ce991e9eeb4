"""How large an entry is: the ratio of equities, then the caps, then the venue's step and minimum.

Every division rounds down, so that a size never passes a cap by the last digit of a quotient.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Context, Decimal, localcontext

from copytrade.copying.carrying import carried, carries, kept_with, nothing_left
from copytrade.copying.joins import again, highest_price
from copytrade.copying.rules import Basis, BelowMinimum, CopyRules, FollowerBook
from copytrade.domain.instrument import Instrument
from copytrade.domain.limits import Carry
from copytrade.domain.money import NO_QUANTITY, Amount, Quantity, plain
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind

DOWN = Context(prec=34, rounding=ROUND_DOWN)
"""34 digits hold any product of two quantities that a venue can express; quotients are cut, never rounded up."""
FINEST = Decimal("1e-18")
_SHOWN = Decimal("1e-10")  # no venue's lots are finer than nine decimals
_FINE = Context(prec=60, rounding=ROUND_DOWN)


@dataclass(frozen=True, slots=True)
class Sized:
    """A size that passed; `reason` is the rule that decided it."""

    quantity: Quantity
    reason: Reason
    detail: str
    ideal: Quantity = field(default=NO_QUANTITY, compare=False)  # of an exit, before the step
    carry: Carry | None = None
    taken: Carry | None = None  # what of it is made of earlier signals


@dataclass(frozen=True, slots=True)
class NotSized:
    """There is no size that the rules and the venue both allow."""

    reason: Reason
    detail: str
    ideal: Quantity = field(default=NO_QUANTITY, compare=False)
    carry: Carry | None = None


def size_entry(signal: Signal, book: FollowerBook, rules: CopyRules) -> Sized | NotSized:
    """Size one entry. `book.instrument`, `book.equity` and `book.cash` must be known.

    The proportion is reckoned at the master's price. Where the price at the follower's venue is known too, the size
    keeps the caps at the higher of the two and reaches the venue's minimum at the lower.
    """
    instrument, equity, cash = book.instrument, book.equity, book.cash
    assert instrument is not None
    assert equity is not None
    assert cash is not None
    with localcontext(DOWN):
        free = cash - book.reserved
        if refusal := _refused_by_guards(equity, free, rules):
            return refusal
        scaled = _scaled(signal, book, rules)
        if isinstance(scaled, NotSized):
            return scaled
        before = carried(signal, book, rules)
        own, scaled = scaled, scaled + before
        cap, cap_reason, cap_detail = _cap(signal, book, rules, equity, free)
        if book.chained and cap_reason is not Reason.CAPPED_BY_CASH:  # what has filled is paid for, and counts
            cap = Quantity(max(Decimal(0), cap.value - book.chained.value))
        here = None if signal.order_kind.rests else book.price  # a resting order fills at the price it names
        lowest = signal.price if here is None else min(signal.price, here)
        quantity, reason = (cap, cap_reason) if cap < scaled else (scaled, Reason.SIZED_BY_RATIO)
        quantity = quantity.rounded_down(instrument.lot_step)
        shortfall = instrument.below_minimum(signal.side, quantity, lowest)
        if shortfall is None:
            detail = cap_detail if reason is not Reason.SIZED_BY_RATIO else ""
            if before:
                detail = f"{_short(before)} of it carried from earlier signals{'; ' if detail else ''}{detail}"
            spent = nothing_left(signal) if book.carried and carries(signal, book, rules) else None
            return Sized(quantity, reason, detail, carry=spent, taken=book.carried if before else None)
        if rules.below_minimum is BelowMinimum.ROUND_UP and not again(signal):
            smallest = instrument.minimum_at(signal.side, lowest)
            if smallest <= cap:
                return Sized(smallest, Reason.ROUNDED_UP, shortfall)
            shortfall += f"; rounding up to {smallest} {instrument.base} would pass the cap ({cap_detail})"
        if carries(signal, book, rules) and scaled <= cap:
            kept = kept_with(signal, own, before, book)
            return NotSized(Reason.CARRIED, f"{shortfall}; {_short(kept.quantity)} are kept", carry=kept)
        if cap < scaled and cap_reason in (Reason.CAPPED_BY_CASH, Reason.CAPPED_BY_EXPOSURE):
            return NotSized(_SPENT[cap_reason], f"{cap_detail}; {shortfall}")
        if cap < scaled and rules.below_minimum is not BelowMinimum.ROUND_UP:
            shortfall += f"; made smaller by a cap: {cap_detail}"
        return NotSized(Reason.BELOW_MINIMUM, shortfall)


def _short(quantity: Quantity) -> str:
    """A quantity for people, without the digits of the division."""
    return plain(quantity.value.quantize(_SHOWN))


_SPENT = {Reason.CAPPED_BY_CASH: Reason.NO_FREE_CASH, Reason.CAPPED_BY_EXPOSURE: Reason.AT_EXPOSURE_LIMIT}


def _refused_by_guards(equity: Amount, free: Amount, rules: CopyRules) -> NotSized | None:
    if equity < rules.minimum_trading_balance:
        return NotSized(Reason.BELOW_MIN_BALANCE, f"equity {equity} is under {rules.minimum_trading_balance}")
    if free.value <= 0:
        return NotSized(Reason.NO_FREE_CASH, f"free cash is {free}")
    if free < rules.min_cash_to_buy:
        return NotSized(Reason.BELOW_MIN_CASH, f"free cash {free} is under {rules.min_cash_to_buy}")
    return None


def _scaled(signal: Signal, book: FollowerBook, rules: CopyRules) -> Quantity | NotSized:
    """`master_quantity * follower_basis / master_basis * multiplier`, before any cap.

    Of an order that took another's place, less what the copies of that have filled. What catches up with an order
    that is over comes to the same share of the copy as the master's order has filled.
    """
    if signal.own_size:
        return signal.quantity
    if signal.kind.follows_up and book.wanted:
        return _missing(signal, book)
    by_cash = rules.basis is Basis.CASH
    master = signal.cash_before if by_cash else signal.equity_before
    follower = book.cash if by_cash else book.equity
    if master is None or master.value <= 0:
        return NotSized(Reason.MASTER_EQUITY_UNKNOWN, f"the master's {rules.basis} before its order is {master}")
    assert follower is not None
    # Of an order that is over, what it came to: a copy of it that still waited to be sized is owed no more.
    quantity = signal.filled if signal.kind.follows_up else signal.quantity
    scaled = Quantity(quantity.value * follower.value * book.terms.multiplier / master.value)
    if book.chained:
        if book.chained >= scaled:
            return NotSized(Reason.NOTHING_MISSING, f"{book.chained} of {scaled} has filled already")
        return scaled - book.chained
    return scaled


def ideal_entry(signal: Signal, book: FollowerBook, rules: CopyRules) -> Quantity:
    """What the ratio alone makes of the whole order, before caps, steps and minimums; zero where that is not known.

    Given to 18 digits behind the point, finer than any venue's step, so that it is the same in every sum.
    """
    by_cash = rules.basis is Basis.CASH
    master = signal.cash_before if by_cash else signal.equity_before
    follower = book.cash if by_cash else book.equity
    if signal.own_size or master is None or master.value <= 0 or follower is None:
        return NO_QUANTITY
    with localcontext(DOWN):
        return exact(signal.quantity.value * follower.value * book.terms.multiplier / master.value)


def exact(value: Decimal) -> Quantity:
    """A quantity to 18 digits behind the point."""
    return Quantity(value.quantize(FINEST, context=_FINE).normalize(_FINE))


def _missing(signal: Signal, book: FollowerBook) -> Quantity | NotSized:
    """What the copies of an order that is over lack, at the share of it that the master got."""
    target = book.wanted.scaled(min(Decimal(1), signal.filled.value / signal.quantity.value))
    if book.chained >= target:
        return NotSized(Reason.NOTHING_MISSING, f"{book.chained} of {target}")
    return target - book.chained


def _cap(
    signal: Signal, book: FollowerBook, rules: CopyRules, equity: Amount, free: Amount
) -> tuple[Quantity, Reason, str]:
    """The tightest of the caps as a quantity, which cap it is, and its figures.

    At the master's price, or at the follower's venue's own where that is higher: it is what the follower will pay. One
    that joins late may pay up to its limit.
    """
    terms = book.terms
    spendable = free.scaled(1 / ((1 + rules.fee_rate) * (1 + rules.max_slippage)))
    caps: list[tuple[Amount, Reason, str]] = [
        (equity.scaled(terms.max_user_risk), Reason.CAPPED_BY_RISK, f"{terms.max_user_risk} of equity {equity}"),
        (spendable, Reason.CAPPED_BY_CASH, f"free cash {free} less fees and slippage"),
    ]
    if terms.max_order is not None:
        caps.append((terms.max_order, Reason.CAPPED_BY_MAX_ORDER, f"max_order {terms.max_order}"))
    if terms.max_exposure is not None:
        room = Amount(max(Decimal(0), terms.max_exposure.value - book.exposure.value))
        caps.append(
            (room, Reason.CAPPED_BY_EXPOSURE, f"{book.exposure} of max_exposure {terms.max_exposure} is in use")
        )
    cap, reason, detail = min(caps, key=lambda entry: entry[0].value)
    here = None if signal.order_kind.rests else book.price
    highest = signal.price if here is None else max(signal.price, here)
    if signal.kind is SignalKind.JOIN and book.instrument is not None:
        highest = max(highest, highest_price(signal, book.instrument, rules.max_slippage))
    return cap / highest, reason, detail


def exit_fraction(position_before: Quantity, sold: Quantity, instrument: Instrument) -> Decimal:
    """The share of its position that the master closes by selling `sold`, from 0 to 1.

    A master that keeps less than it could ever sell again is out, and so its followers must be: then it is 1.
    """
    if position_before.value <= 0:
        return Decimal(0)
    with localcontext(DOWN):
        left = position_before - sold
        if left < max(instrument.min_quantity, Quantity(instrument.lot_step)):
            return Decimal(1)
        return sold.value / position_before.value


def size_exit(
    fraction: Decimal, position: Quantity, signal: Signal, instrument: Instrument, book: FollowerBook | None = None
) -> Sized | NotSized:
    """The same fraction of the copied position: all of it when the master is out, and never more than there is.

    A resting exit that was sized before and did not fill as the master's did is owed what it lacks (see `book`).
    """
    if position.value <= 0:
        return NotSized(Reason.NOTHING_TO_CLOSE, f"no copied {instrument.base} is held")
    if fraction <= 0:
        return NotSized(Reason.NOTHING_TO_CLOSE, "the master sold what it had not bought here")
    whole = fraction >= 1
    with localcontext(DOWN):
        quantity = position if whole else position.scaled(fraction)
        if signal.kind.follows_up and book is not None and book.wanted and not whole:
            missing = _missing(signal, book)
            if isinstance(missing, NotSized):
                return missing
            quantity = min(missing, position)
        ideal = exact(quantity.value)
        quantity = quantity.rounded_down(instrument.lot_step)
        if shortfall := instrument.below_minimum(signal.side, quantity, signal.price):
            detail = f"{shortfall}; {position} {instrument.base} stays in the position"
            return NotSized(Reason.BELOW_MINIMUM, detail, ideal)
    reason = Reason.WHOLE_POSITION if whole else Reason.FRACTION_OF_POSITION
    return Sized(quantity, reason, f"of {position} {instrument.base} held", ideal)
