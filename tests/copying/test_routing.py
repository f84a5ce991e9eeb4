"""Which of a user's accounts answers: one for an entry, every holder for an exit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from copying_cases import NOW, entry_signal, exit_signal
from hypothesis import Phase, find, given, settings
from routing_cases import (
    CANNOT_BE_REACHED,
    RULES,
    Router,
    RoutingCase,
    book_at,
    check_entry_route,
    check_exit_route,
    entry_routes,
    exit_routes,
    parked,
)

from copytrade.copying.plan import decide
from copytrade.copying.routing import UNREACHABLE, answer_user, first_that_can, in_order
from copytrade.copying.rules import CopyRules, FollowerBook
from copytrade.domain.account import Mode, venue_of
from copytrade.domain.copy import Approved, Decision, Deferred, Skipped
from copytrade.domain.ids import copy_id
from copytrade.domain.instrument import MarketStatus
from copytrade.domain.money import Amount, Quantity
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal

REPEATABLE = settings(derandomize=True, database=None, deadline=None, max_examples=200)
UNSHRUNK = settings(REPEATABLE, max_examples=3_000, phases=[Phase.generate])
D = Decimal


def answered(signal: Signal, *books: FollowerBook) -> Decision:
    (decision,) = answer_user(signal, books, RULES, NOW)
    return decision


def where(signal: Signal, *books: FollowerBook) -> str:
    """The venue that takes the entry."""
    decision = answered(signal, *books)
    assert not isinstance(decision, Skipped), decision
    return venue_of(decision.account)


# -- the rules, for all inputs -----------------------------------------------------------------------------------------


@given(entry_routes())
@REPEATABLE
def test_an_entry_goes_to_the_best_account_that_can_take_it_and_to_no_other(case: RoutingCase) -> None:
    check_entry_route(answer_user, case)


@given(exit_routes())
@REPEATABLE
def test_an_exit_goes_to_every_account_that_holds_and_to_no_other(case: RoutingCase) -> None:
    check_exit_route(answer_user, case)


@given(entry_routes())
@REPEATABLE
def test_the_order_of_the_files_changes_no_entry_where_prices_differ(case: RoutingCase) -> None:
    prices = [book.price for book in case.books]
    if len(set(prices)) == len(prices):
        backwards = answer_user(case.signal, case.books[::-1], RULES, NOW)
        assert backwards == answer_user(case.signal, case.books, RULES, NOW)


# -- controls: routers that break one rule each ------------------------------------------------------------------------


def _everywhere(signal: Signal, books: Sequence[FollowerBook], rules: CopyRules, now: datetime) -> list[Decision]:
    return [decide(signal, book, rules, now) for book in books]


def _first_of(order: Callable[[Signal, FollowerBook], object], *, each: bool = False) -> Router:
    """A router that is right but for the order in which it tries a user's accounts."""

    def route(signal: Signal, books: Sequence[FollowerBook], rules: CopyRules, now: datetime) -> list[Decision]:
        prefer = next((book.terms.prefer for book in books if book.terms.prefer), ())
        if not each:
            books = [replace(book, terms=replace(book.terms, prefer=prefer)) for book in books]
        ordered = sorted(books, key=lambda book: order(signal, book))  # type: ignore[arg-type,return-value]
        return [first_that_can(signal, ordered, rules, now)]

    return route


def _only_the_first(signal: Signal, books: Sequence[FollowerBook], rules: CopyRules, now: datetime) -> list[Decision]:
    return [decide(signal, in_order(signal, books)[0], rules, now)]


def _failing_over(always: bool) -> Router:
    def route(signal: Signal, books: Sequence[FollowerBook], rules: CopyRules, now: datetime) -> list[Decision]:
        changed = [replace(book, terms=replace(book.terms, failover=always)) for book in books]
        return [first_that_can(signal, in_order(signal, changed), rules, now)]

    return route


def _prefer_of_each(signal: Signal, book: FollowerBook) -> object:
    venue, prefer = venue_of(book.terms.account), book.terms.prefer
    return venue != venue_of(signal.account), prefer.index(venue) if venue in prefer else len(prefer)


def _rank(signal: Signal, book: FollowerBook, *, dearest: bool = False, unpriced_first: bool = False) -> object:
    venue, prefer = venue_of(book.terms.account), book.terms.prefer
    liked = prefer.index(venue) if venue in prefer else len(prefer)
    price = D(0) if book.price is None else book.price.value
    unpriced = (book.price is None) is not unpriced_first
    return venue != venue_of(signal.account), liked, unpriced, -price if dearest else price


def _exits_at_the_first_holder(
    signal: Signal, books: Sequence[FollowerBook], rules: CopyRules, now: datetime
) -> list[Decision]:
    return list(answer_user(signal, books, rules, now)[:1])


def _exits_of_the_active(
    signal: Signal, books: Sequence[FollowerBook], rules: CopyRules, now: datetime
) -> Sequence[Decision]:
    active = [book for book in books if book.terms.mode is Mode.ACTIVE and book.unreachable is None]
    return answer_user(signal, active or books[:1], rules, now)


def _capped_exits(signal: Signal, books: Sequence[FollowerBook], rules: CopyRules, now: datetime) -> list[Decision]:
    tenth = Quantity.of("0.001")
    return [
        replace(d, quantity=min(d.quantity, tenth)) if isinstance(d, Approved) else d
        for d in answer_user(signal, books, rules, now)
    ]


WRONG_ENTRIES: dict[str, tuple[Router, str]] = {
    "every account buys": (_everywhere, "not one decision"),
    "nobody answers": (lambda signal, books, rules, now: [], "not one decision"),
    "in the order of the files": (_first_of(lambda signal, book: 0), "a better account"),
    "master's venue unknown": (_first_of(lambda s, b: (_rank(s, b)[1:])), "a better account"),  # type: ignore[index]
    "prefer is not read": (
        _first_of(lambda s, b: (_rank(s, b)[0], *_rank(s, b)[2:])),  # type: ignore[index]
        "a better account",
    ),
    "prefer counts for the account it is written at": (_first_of(_prefer_of_each, each=True), "a better account"),
    "the dearest first": (_first_of(lambda s, b: _rank(s, b, dearest=True)), "a better account"),
    "without a price first": (_first_of(lambda s, b: _rank(s, b, unpriced_first=True)), "a better account"),
    "never the next account": (_only_the_first, "skipped, although"),
    "failover without being asked": (_failing_over(True), "went past an account"),
    "never failover": (_failing_over(False), "skipped, although"),
}
WRONG_EXITS: dict[str, tuple[Router, str]] = {
    "one holder only": (_exits_at_the_first_holder, "a holder has no exit"),
    "every account sells": (_everywhere, "an account without a position"),
    "like an entry": (_only_the_first, "a holder has no exit"),
    "the active only": (_exits_of_the_active, "a holder has no exit"),
    "with a cap": (_capped_exits, "capped"),
}


@pytest.mark.parametrize("name", WRONG_ENTRIES)
def test_control_a_wrong_way_of_an_entry_is_caught(name: str) -> None:
    wrong, complaint = WRONG_ENTRIES[name]
    find(entry_routes(), lambda case: _complains(check_entry_route, wrong, case, complaint), settings=UNSHRUNK)


@pytest.mark.parametrize("name", WRONG_EXITS)
def test_control_a_wrong_way_of_an_exit_is_caught(name: str) -> None:
    wrong, complaint = WRONG_EXITS[name]
    find(exit_routes(), lambda case: _complains(check_exit_route, wrong, case, complaint), settings=UNSHRUNK)


def _complains(
    check: Callable[[Router, RoutingCase], None], wrong: Router, case: RoutingCase, complaint: str
) -> bool:
    try:
        check(wrong, case)
    except AssertionError as failure:
        return complaint in str(failure)
    return False


# -- the order, by example ---------------------------------------------------------------------------------------------


def test_the_masters_own_venue_comes_first_even_if_it_is_dearer_and_another_is_preferred() -> None:
    terms = {"prefer": ("okx",)}
    books = book_at("okx", price="40000", terms=terms), book_at("kraken", price="60000", terms=terms)
    assert where(entry_signal(), *books) == "kraken"


def test_then_the_users_own_preference_whatever_the_price() -> None:
    terms = {"prefer": ("binance", "okx")}
    prices = ("coinbase", "50001"), ("okx", "50002"), ("binance", "50003")
    books = [book_at(venue, price=price, terms=terms) for venue, price in prices]
    assert where(entry_signal(), *books) == "binance"
    assert where(entry_signal(), *books[:2]) == "okx"


def test_a_preference_may_be_written_at_any_one_of_the_accounts() -> None:
    terms = {"prefer": ("okx", "binance")}
    binance, dearest = book_at("binance", price="50002"), book_at("okx", price="50003", terms=terms)
    books = dearest, binance, book_at("coinbase", price="50001")
    assert where(entry_signal(), *books) == "okx"
    books = book_at("okx", price="50003"), binance, book_at("coinbase", price="50001", terms=terms)
    assert where(entry_signal(), *books) == "okx"


def test_then_the_lowest_price_and_an_account_without_one_last() -> None:
    books = book_at("okx", price=None), book_at("coinbase", price="50001"), book_at("binance", price="50000")
    assert where(entry_signal(), *books) == "binance"
    assert where(entry_signal(), *books[:2]) == "coinbase"
    assert where(entry_signal(), books[0]) == "okx"


def test_without_any_price_the_order_of_the_files_decides() -> None:
    books = book_at("okx", price=None), book_at("binance", price=None)
    assert where(entry_signal(), *books) == "okx"
    assert where(entry_signal(), *books[::-1]) == "binance"


# -- the next account --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"equity": Amount.of("10"), "cash": Amount.of("10")},
        {"cash": Amount.of("0")},
        {"reserved": Amount.of("1000")},
        {"instrument": None},
        {"instrument": replace(book_at("okx").instrument, min_quantity=Quantity.of("1"))},  # type: ignore[type-var]
        {"instrument": replace(book_at("okx").instrument, status=MarketStatus.CLOSED)},  # type: ignore[type-var]
        {"currency": "USDT"},
        {"unreachable": (Reason.BELOW_MIN_BALANCE, "under guards.connect_min")},
        {"terms": {"mode": Mode.CLOSE_ONLY}},
        {"terms": {"mode": Mode.PAUSED}},
        {"terms": {"mode": Mode.DISARMED}},
        {"terms": {"enabled": False}},
        {"terms": {"blocked": frozenset({"BTC/USD"})}},
        {"terms": {"max_exposure": Amount.of("1")}},
    ],
)
def test_an_account_that_cannot_take_the_order_leaves_it_to_the_next_one(changes: dict[str, object]) -> None:
    first = book_at("okx", price="49000", **changes)
    assert isinstance(answered(entry_signal(), first), Skipped)
    assert where(entry_signal(), first, book_at("binance")) == "binance"


@pytest.mark.parametrize("reason", CANNOT_BE_REACHED)
def test_an_account_that_cannot_be_reached_leaves_it_to_the_next_one_only_if_the_user_wants_that(
    reason: Reason,
) -> None:
    first = book_at("okx", price="49000", unreachable=parked(reason))
    decision = answered(entry_signal(), first, book_at("binance"))
    assert isinstance(decision, Skipped)
    assert (decision.account, decision.reason) == ("okx:alice_smith", reason)
    first = book_at("okx", price="49000", unreachable=parked(reason), terms={"failover": True})
    assert where(entry_signal(), first, book_at("binance")) == "binance"


def test_every_cause_that_lies_with_an_account_is_one_for_failover() -> None:
    assert set(CANNOT_BE_REACHED) <= UNREACHABLE


def test_failover_is_the_word_of_the_account_that_fails_and_each_is_asked_anew() -> None:
    broken = parked()
    books = [
        book_at("okx", price="50001", unreachable=broken, terms={"failover": True}),
        book_at("binance", price="50002", unreachable=broken),
        book_at("coinbase", price="50003", terms={"failover": True}),
    ]
    decision = answered(entry_signal(), *books)
    assert isinstance(decision, Skipped)
    assert decision.account == "okx:alice_smith", "the reason of the first account is the one to know"


def test_an_account_whose_figures_are_old_is_asked_rather_than_passed_by() -> None:
    old, fresh = book_at("okx", equity_at=None, price="50001"), book_at("binance", price="50002")
    decision = answered(entry_signal(), old, fresh)
    assert isinstance(decision, Deferred)
    assert decision.account == "okx:alice_smith"


# -- what stands for what ----------------------------------------------------------------------------------------------


def test_a_market_that_is_not_listed_is_told_with_the_setting_that_could_help() -> None:
    decision = answered(entry_signal(), book_at("binance", instrument=None, currency="USDT"))
    assert isinstance(decision, Skipped)
    assert decision.reason is Reason.NOT_LISTED
    assert "copy.stand_ins" in decision.detail


def test_a_market_in_another_currency_is_told_with_the_setting_that_could_help() -> None:
    decision = answered(entry_signal(), book_at("okx", currency="USDT"))
    assert isinstance(decision, Skipped)
    assert decision.reason is Reason.QUOTE_DIFFERS
    assert "USDT" in decision.detail
    assert "copy.stand_ins" in decision.detail


@pytest.mark.parametrize("list_", [{"blocked": frozenset({"BTC/USDT"})}, {"blocked": frozenset({"BTC/USD"})}])
def test_a_follower_may_block_a_market_by_either_spelling(list_: dict[str, object]) -> None:
    market = replace(book_at("okx").instrument, symbol="BTC/USDT", quote="USDT")  # type: ignore[type-var]
    book = book_at("okx", instrument=market, symbol="BTC/USDT", currency="USDT", terms=list_)
    decision = answered(entry_signal(), book)
    assert isinstance(decision, Skipped)
    assert decision.reason is Reason.NOT_ALLOWED


# -- exits -------------------------------------------------------------------------------------------------------------


def test_an_exit_is_sized_by_each_accounts_own_position() -> None:
    books = [
        book_at("kraken", position=Quantity.of("0.002")),
        book_at("okx", position=Quantity.of("0.004")),
        book_at("binance"),
    ]
    decisions = answer_user(exit_signal("0.5"), books, RULES, NOW)
    sold = {d.account: d.quantity.value for d in decisions if isinstance(d, Approved)}
    assert sold == {"kraken:alice_smith": D("0.001"), "okx:alice_smith": D("0.002")}
    assert len(decisions) == 2


def test_nobody_who_holds_nothing_is_asked_to_sell_and_the_user_is_still_answered() -> None:
    decision = answered(exit_signal(), book_at("kraken"), book_at("okx"))
    assert isinstance(decision, Skipped)
    assert decision.reason is Reason.NOTHING_TO_CLOSE


def test_an_account_that_holds_two_markets_in_the_signals_stead_gets_an_exit_for_each_under_its_own_id() -> None:
    held = [book_at("okx", symbol=symbol, position=Quantity.of("0.002")) for symbol in ("BTC/USDT", "BTC/USDC")]
    empty = book_at("okx", symbol="BTC/USD")
    books = [empty, *held, book_at("kraken", position=Quantity.of("0.001"))]
    exits = answer_user(exit_signal("0.5"), books, RULES, NOW)
    assert [(e.account, e.symbol) for e in exits] == [
        ("okx:alice_smith", "BTC/USDT"), ("okx:alice_smith", "BTC/USDC"), ("kraken:alice_smith", "BTC/USD"),
    ]  # fmt: skip
    assert len({e.order_id for e in exits}) == 3
    assert exits[0].order_id == copy_id(exit_signal().signal_id, "okx:alice_smith")
    assert all(isinstance(e, Approved) and e.quantity == Quantity.of("0.001") for e in exits[:2])
