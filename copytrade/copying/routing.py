"""Which of a user's accounts answers a signal. Pure.

An entry goes to one account and never to two: to the master's own venue where the user has one there, else by the
user's `prefer` list, else to the best price among the accounts that can fund it. An exit goes wherever the position is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal

from copytrade.copying.limits import TRIPPED
from copytrade.copying.plan import decide
from copytrade.copying.rules import CopyRules, FollowerBook
from copytrade.domain.account import AccountId, venue_of
from copytrade.domain.copy import Decision, Skipped
from copytrade.domain.ids import copy_id
from copytrade.domain.order import Effect, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal

# What keeps an account, not an order, from trading now: the causes that `failover` is for. Those that park an
# account are among them, so that the order which finds the fault goes the same way as those that come after it.
UNREACHABLE = frozenset(
    {
        Reason.ACCOUNT_PARKED, Reason.NOT_CONNECTED, Reason.NO_CREDENTIALS, Reason.VENUE_UNREACHABLE, Reason.BAD_KEY,
        Reason.NO_PERMISSION, Reason.LOCKED_OUT, Reason.BAD_NONCE,
    }
)  # fmt: skip


def answer_user(
    signal: Signal, books: Sequence[FollowerBook], rules: CopyRules, now: datetime,
    answered: Collection[AccountId] = (),
) -> tuple[Decision, ...]:  # fmt: skip
    """One user's answer: an entry gives one decision, an exit one for each account that holds something; for each
    market, where an account holds several that stand for the signal's (then it comes with a book for each).

    Accounts that are `answered` have an exit of the signal already, in another market.
    """
    if signal.effect is Effect.EXIT and (len(books) > 1 or answered):
        return _exits(signal, books, rules, now, answered)
    if len(books) == 1:
        return (decide(signal, books[0], rules, now),)
    return (first_that_can(signal, in_order(signal, books), rules, now),)


def _exits(
    signal: Signal, books: Sequence[FollowerBook], rules: CopyRules, now: datetime, answered: Collection[AccountId]
) -> tuple[Decision, ...]:
    decisions: list[Decision] = []
    asked = {book.terms.account for book in books if book.terms.account in answered}
    for book in [book for book in books if book.position.value > 0 or book.unsettled] or books[:1]:
        account = book.terms.account
        order_id = copy_id(signal.signal_id, account, 0, book.symbol if account in asked else "")
        decisions.append(decide(signal, book, rules, now, order_id=order_id))
        asked.add(account)
    return tuple(decisions)


def first_that_can(signal: Signal, books: Sequence[FollowerBook], rules: CopyRules, now: datetime) -> Decision:
    """The decision of the first account that takes the entry; if none does, why the first one did not."""
    first_no: Skipped | None = None
    for book in books:
        decision = decide(signal, book, rules, now)
        if not isinstance(decision, Skipped):
            return decision
        first_no = first_no or decision
        if decision.reason in TRIPPED:  # money that a limit keeps out of one account does not go to the next
            return decision
        if decision.reason in UNREACHABLE and not book.terms.failover:
            return first_no
    assert first_no is not None, "a user has at least one account"
    return first_no


def in_order(signal: Signal, books: Sequence[FollowerBook]) -> list[FollowerBook]:
    """A user's accounts, the one to try first in front. Without a price an account comes after those with one.

    `prefer` is the user's: it counts for all accounts, whichever of them it is written at (the first one, if several).
    """
    master_venue = venue_of(signal.account)
    prefer = next((book.terms.prefer for book in books if book.terms.prefer), ())

    def rank(book: FollowerBook) -> tuple[bool, int, bool, Decimal]:
        venue = venue_of(book.terms.account)
        preferred = prefer.index(venue) if venue in prefer else len(prefer)
        price = Decimal(0) if book.price is None else book.price.value
        return venue != master_venue, preferred, book.price is None, price if signal.side is Side.BUY else -price

    return sorted(books, key=rank)
