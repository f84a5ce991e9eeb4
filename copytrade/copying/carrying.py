"""`below_minimum: carry`: entries under the venue's minimum are kept until enough of them have come together. Pure.

Only orders at market are carried: what an order that rests will come to is not known when it is placed.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Context, localcontext

from copytrade.copying.rules import BelowMinimum, CopyRules, FollowerBook
from copytrade.domain.limits import Carry
from copytrade.domain.money import NO_QUANTITY, Price, Quantity
from copytrade.domain.order import OrderKind
from copytrade.domain.signal import Signal, SignalKind

_DOWN = Context(prec=34, rounding=ROUND_DOWN)


def carries(signal: Signal, book: FollowerBook, rules: CopyRules) -> bool:
    """Whether this signal may take up what is carried, or be carried itself."""
    at_market = signal.kind is SignalKind.PLACED and signal.order_kind is OrderKind.MARKET
    return rules.below_minimum is BelowMinimum.CARRY and at_market and book.may_carry


def carried(signal: Signal, book: FollowerBook, rules: CopyRules) -> Quantity:
    """What earlier signals left over for this one: nothing once it is too old or the price has gone too far from it."""
    kept = book.carried
    if kept is None or not carries(signal, book, rules):
        return NO_QUANTITY
    if (signal.at - kept.since).total_seconds() > rules.carry_max_age_s:
        return NO_QUANTITY
    if abs(signal.price.value - kept.price.value) > rules.carry_price_bound * kept.price.value:
        return NO_QUANTITY
    return kept.quantity


def nothing_left(signal: Signal) -> Carry:
    """From now on nothing of the instrument is carried."""
    return Carry(signal.symbol, NO_QUANTITY, signal.price, signal.at)


def kept_with(signal: Signal, scaled: Quantity, before: Quantity, book: FollowerBook) -> Carry:
    """What is carried once this signal's size has joined what was `before`: at the price of both on average, as old as
    the older one."""
    kept = book.carried
    if kept is None or not before:
        return Carry(signal.symbol, scaled, signal.price, signal.at)
    with localcontext(_DOWN):
        together = scaled + before
        worth = scaled.value * signal.price.value + before.value * kept.price.value
        price = Price(worth / together.value) if together else signal.price
    return Carry(signal.symbol, together, price, min(kept.since, signal.at))
