"""Drawn users with accounts at several venues, and the rules of routing as checks.

Each check takes the router that it judges and says the rule a second time, in other words than the router does. The
real one must pass for every drawn case, and a wrong one must be caught.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from copying_cases import BTC_USD, NOW, entry_signal, exit_signal
from hypothesis import strategies as st

from copytrade.copying.plan import decide
from copytrade.copying.rules import CopyRules, FollowerBook
from copytrade.domain.account import FollowerTerms, Mode, account_id, venue_of
from copytrade.domain.copy import Approved, Decision, Deferred, Skipped
from copytrade.domain.instrument import MarketStatus
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal

D = Decimal
Router = Callable[[Signal, Sequence[FollowerBook], CopyRules, datetime], Sequence[Decision]]

VENUES = ("kraken", "coinbase", "alpaca", "okx", "binance")
RULES = CopyRules()
# Causes that lie with an account and not with the order: the next account is tried for them only with `failover`.
CANNOT_BE_REACHED = (
    Reason.ACCOUNT_PARKED, Reason.NOT_CONNECTED, Reason.NO_CREDENTIALS, Reason.BAD_KEY, Reason.NO_PERMISSION,
    Reason.LOCKED_OUT, Reason.BAD_NONCE,
)  # fmt: skip


@dataclass(frozen=True)
class RoutingCase:
    signal: Signal
    books: tuple[FollowerBook, ...]


def book_at(venue: str, money: str = "1000", price: str | None = "50000", **changes: object) -> FollowerBook:
    """Alice's account at a venue, able to take any entry unless told otherwise. `terms` are changes of its terms."""
    terms = FollowerTerms(account_id(venue, "alice_smith"), **changes.pop("terms", {}))  # type: ignore[arg-type]
    book = FollowerBook(
        terms, replace(BTC_USD, venue=venue), "USD", Amount.of(money), Amount.of(money), NOW,
        price=None if price is None else Price.of(price), symbol="BTC/USD",
    )  # fmt: skip
    return replace(book, **changes)  # type: ignore[arg-type]


def parked(reason: Reason = Reason.ACCOUNT_PARKED) -> tuple[Reason, str]:
    return reason, "for the test"


# -- drawn cases -------------------------------------------------------------------------------------------------------

# What may be wrong with an account, as changes of its book.
_TROUBLES: tuple[dict[str, object], ...] = (
    *[{} for _ in range(12)],
    {"equity": Amount.of("10"), "cash": Amount.of("10")},
    {"equity": Amount.of("30"), "cash": Amount.of("1")},
    {"equity": None, "cash": None, "equity_at": None},
    {"instrument": None},
    {"instrument": replace(BTC_USD, status=MarketStatus.CLOSED)},
    {"instrument": replace(BTC_USD, min_quantity=Quantity.of("1"))},
    {"currency": "USDT"},
    *(dict[str, object](unreachable=(r, "")) for r in (*CANNOT_BE_REACHED, Reason.BELOW_MIN_BALANCE)),
)
_PRICES = (None, Price.of(49_900), Price.of(50_000), Price.of(50_100))
_AMOUNTS = (None, None, None, Amount.of("1"), Amount.of("100"))


@st.composite
def users(draw: st.DrawFn) -> tuple[FollowerBook, ...]:
    """One user with one to five accounts, each with its own terms, price and trouble."""
    venues = draw(st.permutations(VENUES))[: draw(st.integers(1, 5))]
    # In the files every account has a `prefer` of its own, and people write it into one of them or into all.
    prefer = tuple(draw(st.permutations(VENUES))[: draw(st.integers(0, 3))])
    failover = draw(st.sampled_from((True, False, None)))
    books = []
    for venue in venues:
        terms = FollowerTerms(
            account_id(venue, "alice_smith"),
            prefer=prefer if draw(st.booleans()) else (),
            failover=draw(st.booleans()) if failover is None else failover,
            enabled=draw(st.integers(0, 9)) > 0,
            mode=draw(st.sampled_from((Mode.ACTIVE,) * 6 + tuple(Mode))),
            max_order=draw(st.sampled_from(_AMOUNTS)),
            max_exposure=draw(st.sampled_from(_AMOUNTS)),
            blocked=frozenset({"BTC/USD"}) if draw(st.integers(0, 9)) == 0 else frozenset(),
        )
        book = replace(
            book_at(venue),
            terms=terms,
            price=draw(st.sampled_from(_PRICES)),
            position=Quantity(D(draw(st.sampled_from((0, 0, 1, 5)))) / 1000),
            unsettled=draw(st.integers(0, 4)) == 0,
        )
        trouble = draw(st.sampled_from(_TROUBLES))
        market = trouble.get("instrument")
        if market is not None:
            trouble = {**trouble, "instrument": replace(market, venue=venue)}  # type: ignore[type-var]
        books.append(replace(book, **trouble))  # type: ignore[arg-type]
    return tuple(books)


@st.composite
def entry_routes(draw: st.DrawFn) -> RoutingCase:
    master = account_id(draw(st.sampled_from(VENUES)), "master")
    return RoutingCase(entry_signal(account=master), draw(users()))


@st.composite
def exit_routes(draw: st.DrawFn) -> RoutingCase:
    master = account_id(draw(st.sampled_from(VENUES)), "master")
    fraction = draw(st.sampled_from(("1", "0.5", "0.0001")))
    return RoutingCase(exit_signal(fraction, account=master), draw(users()))


# -- the rules as checks -----------------------------------------------------------------------------------------------


def check_entry_route(route: Router, case: RoutingCase) -> None:
    """An entry is answered once, by the best account of those that can take it."""
    signal, books = case.signal, case.books
    decisions = route(signal, books, RULES, NOW)
    assert len(decisions) == 1, "not one decision"
    (decision,) = decisions
    by_account = {book.terms.account: book for book in books}
    prefer = next((book.terms.prefer for book in books if book.terms.prefer), ())

    def before(one: FollowerBook, other: FollowerBook) -> bool:
        return goes_before(signal, one, other, prefer)

    assert decision.account in by_account, "not an account of the user"
    chosen = by_account[decision.account]
    assert decision == decide(signal, chosen, RULES, NOW), "not what the plan says of that account"
    if isinstance(decision, Skipped):
        for book in books:
            assert not before(book, chosen), "the reason is not the first account's"
            if can_take(signal, book):
                assert any(stops_there(signal, other) and not before(book, other) for other in books), (
                    "skipped, although an account could take it"
                )
        return
    assert isinstance(decision, Approved | Deferred)
    for book in books:
        if book is not chosen and before(book, chosen):
            assert not can_take(signal, book), "a better account could take it"
            assert not stops_there(signal, book), "went past an account that cannot be reached"


def can_take(signal: Signal, book: FollowerBook) -> bool:
    return not isinstance(decide(signal, book, RULES, NOW), Skipped)


def stops_there(signal: Signal, book: FollowerBook) -> bool:
    """Whether the user would rather miss the entry than have it elsewhere while this account cannot be reached."""
    decision = decide(signal, book, RULES, NOW)
    return isinstance(decision, Skipped) and decision.reason in CANNOT_BE_REACHED and not book.terms.failover


def goes_before(signal: Signal, one: FollowerBook, other: FollowerBook, prefer: Sequence[str]) -> bool:
    """Whether `one` must be tried before `other`: master's venue, then `prefer`, then a known price, then a lower."""
    master, here, there = venue_of(signal.account), venue_of(one.terms.account), venue_of(other.terms.account)
    if (here == master) != (there == master):
        return here == master
    liked = list(prefer)
    if here in liked or there in liked:
        if here not in liked or there not in liked:
            return here in liked
        return liked.index(here) < liked.index(there)
    if one.price is None or other.price is None:
        return one.price is not None and other.price is None
    return one.price < other.price


def check_exit_route(route: Router, case: RoutingCase) -> None:
    """An exit goes to every account that holds something, to no other, whatever its mode, limits or reach."""
    signal, books = case.signal, case.books
    decisions = route(signal, books, RULES, NOW)
    holders = {book.terms.account for book in books if book.position.value > 0 or book.unsettled}
    asked = [decision.account for decision in decisions]
    assert len(set(asked)) == len(asked), "one account twice"
    if not holders:
        assert len(decisions) == 1, "nobody holds, and not one answer"
        assert isinstance(decisions[0], Skipped), "sells what nobody holds"
        assert decisions[0].reason is Reason.NOTHING_TO_CLOSE
        return
    assert set(asked) >= holders, "a holder has no exit"
    assert set(asked) == holders, "an account without a position has an exit"
    for decision in decisions:
        (book,) = [book for book in books if book.terms.account == decision.account]
        if isinstance(decision, Approved):
            share = book.position.value * min(signal.exit_fraction, D(1))
            assert decision.quantity.value <= share, "more than the fraction of the position"
            if signal.exit_fraction >= 1:
                assert decision.quantity == book.position, "capped"
        elif isinstance(decision, Skipped):
            assert decision.reason is Reason.BELOW_MINIMUM, "an exit that something else stopped"
        else:
            assert book.unsettled or book.instrument is None
