"""The plan: one answer for every follower, each with its reason, the same for the same facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from copying_cases import BTC_USD, NOW, D, book_of, decimals, entry_cases, entry_signal, exit_signal, terms_of
from hypothesis import given, settings
from hypothesis import strategies as st

from copytrade.copying.plan import decide, entry_expired, plan, price_moved
from copytrade.copying.rules import CopyRules, FollowerBook
from copytrade.domain.account import Mode
from copytrade.domain.copy import Approved, Decision, Deferred, Skipped
from copytrade.domain.ids import copy_id
from copytrade.domain.instrument import MarketStatus
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal

REPEATABLE = settings(derandomize=True, database=None, deadline=None, max_examples=200)
RULES = CopyRules()
HELD = Quantity.of("0.002")
Answer = Callable[[Signal, FollowerBook, CopyRules, datetime], Decision]


# -- one answer for everybody ----------------------------------------------------------------------------------------


@given(st.lists(entry_cases(), min_size=1, max_size=8), st.booleans(), decimals("0.01", "1", 2))
@REPEATABLE
def test_every_follower_gets_exactly_one_answer_under_its_own_id(cases, entry, fraction):  # type: ignore[no-untyped-def]
    signal = cases[0].signal if entry else exit_signal(str(fraction), price=str(cases[0].signal.price))
    books = [
        replace(case.book, terms=replace(case.book.terms, account=f"kraken:user_{n}"), position=HELD)
        for n, case in enumerate(cases)
    ]
    first, again = plan(signal, books, RULES, NOW), plan(signal, books, RULES, NOW)
    assert first == again  # the same facts give the same plan
    assert [copy.account for copy in first] == [book.terms.account for book in books]
    assert len({copy.order_id for copy in first}) == len(books)
    for copy in first:
        assert copy.order_id == copy_id(signal.signal_id, copy.account)
        assert (copy.signal_id, copy.side, copy.effect) == (signal.signal_id, signal.side, signal.effect)


def test_one_follower_does_not_change_anothers_copy() -> None:
    alone = plan(entry_signal(), [book_of()], RULES, NOW)
    strange = [book_of(equity=None, user="bob_jones"), book_of("0", user="carol_white"), book_of()]
    assert plan(entry_signal(), strange, RULES, NOW)[2] == alone[0]


def test_ids_differ_by_signal_account_and_leg() -> None:
    ids = {copy_id(signal, account, leg) for signal in "ab" for account in "ab" for leg in (0, 1)}
    assert len(ids) == 8
    assert copy_id("ab", "c") != copy_id("a", "bc")


# -- why an entry is not copied ----------------------------------------------------------------------------------------

LATE = NOW + timedelta(seconds=61)
ENTRIES: dict[str, tuple[FollowerBook, Reason]] = {
    "not enabled": (book_of(terms=terms_of(enabled=False)), Reason.DISABLED),
    "close only": (book_of(terms=terms_of(mode=Mode.CLOSE_ONLY)), Reason.MODE_CLOSE_ONLY),
    "paused": (book_of(terms=terms_of(mode=Mode.PAUSED)), Reason.MODE_PAUSED),
    "disarmed": (book_of(terms=terms_of(mode=Mode.DISARMED)), Reason.MODE_DISARMED),
    "parked": (book_of(unreachable=(Reason.ACCOUNT_PARKED, "bad key")), Reason.ACCOUNT_PARKED),
    "not connected": (book_of(unreachable=(Reason.NOT_CONNECTED, "")), Reason.NOT_CONNECTED),
    "not listed": (book_of(instrument=None), Reason.NOT_LISTED),
    "blocked": (book_of(terms=terms_of(blocked=frozenset({"BTC/USD"}))), Reason.NOT_ALLOWED),
    "not on its list": (book_of(terms=terms_of(allowed=frozenset({"ETH/USD"}))), Reason.NOT_ALLOWED),
    "blocked and allowed": (
        book_of(terms=terms_of(allowed=frozenset({"BTC/USD"}), blocked=frozenset({"BTC/USD"}))), Reason.NOT_ALLOWED,
    ),
    "another quote currency": (book_of(currency="EUR"), Reason.QUOTE_DIFFERS),
    "market limited": (book_of(instrument=replace(BTC_USD, status=MarketStatus.LIMITED)), Reason.NOT_TRADABLE_NOW),
    "reduce only": (book_of(instrument=replace(BTC_USD, status=MarketStatus.REDUCE_ONLY)), Reason.NOT_TRADABLE_NOW),
    "market closed": (book_of(instrument=replace(BTC_USD, status=MarketStatus.CLOSED)), Reason.NOT_TRADABLE_NOW),
    "too poor": (book_of("20"), Reason.BELOW_MIN_BALANCE),
}  # fmt: skip


@pytest.mark.parametrize("name", ENTRIES)
def test_a_skipped_entry_has_its_reason(name: str) -> None:
    book, reason = ENTRIES[name]
    copy = decide(entry_signal(), book, RULES, NOW)
    assert isinstance(copy, Skipped)
    assert copy.reason is reason


def test_an_entry_too_late_is_skipped_and_one_in_time_is_not() -> None:
    fresh = book_of(equity_at=LATE)
    late = decide(entry_signal(), fresh, RULES, LATE)
    assert isinstance(late, Skipped)
    assert late.reason is Reason.ENTRY_EXPIRED
    assert isinstance(decide(entry_signal(), fresh, RULES, NOW + timedelta(seconds=60)), Approved)
    assert entry_expired(entry_signal(), RULES, LATE)


@pytest.mark.parametrize("figure", ["equity", "cash", "equity_at"])
def test_an_entry_waits_for_figures_that_were_never_read(figure: str) -> None:
    copy = decide(entry_signal(), replace(book_of(), **{figure: None}), RULES, NOW)
    assert isinstance(copy, Deferred)
    assert copy.reason is Reason.WAITS_FOR_EQUITY


def test_an_entry_waits_for_figures_that_are_too_old() -> None:
    rules = CopyRules(equity_max_age_s=600)
    assert isinstance(decide(entry_signal(), book_of(equity_at=NOW - timedelta(seconds=600)), rules, NOW), Approved)
    old = decide(entry_signal(), book_of(equity_at=NOW - timedelta(seconds=601)), rules, NOW)
    assert isinstance(old, Deferred)
    assert old.reason is Reason.WAITS_FOR_EQUITY


def test_an_ioc_entry_carries_its_worst_price() -> None:
    rules = CopyRules(entry_kind=OrderKind.IOC_LIMIT)
    copy = decide(entry_signal(price="50000"), book_of(), rules, NOW)
    assert isinstance(copy, Approved)
    assert (copy.kind, copy.limit_price) == (OrderKind.IOC_LIMIT, Price.of("50250"))


# -- nothing of that stops an exit ------------------------------------------------------------------------------------


def check_exit_is_free(answer: Answer) -> None:
    """No mode, age, cap, list, quote, price or parked account changes an exit by a unit."""
    plain = answer(exit_signal("0.5"), book_of(position=HELD), RULES, NOW)
    assert isinstance(plain, Approved)
    assert (plain.quantity, plain.kind, plain.limit_price) == (Quantity.of("0.001"), OrderKind.MARKET, None)
    ioc = CopyRules(entry_kind=OrderKind.IOC_LIMIT)
    for name, (book, _) in ENTRIES.items():
        if book.instrument is None:
            continue  # an exit in what is no longer listed waits; see below
        for now, rules in ((NOW, RULES), (NOW + timedelta(days=3), RULES), (NOW, ioc)):
            held = replace(book, position=HELD, instrument=replace(book.instrument, status=MarketStatus.ONLINE))
            assert answer(exit_signal("0.5"), held, rules, now) == plain, name
    tight = terms_of(max_user_risk=D("0.01"), max_order=Amount.of("1"), max_exposure=Amount.of("1"))
    poor = book_of("0.01", position=HELD, terms=tight, exposure=Amount.of("100"), reserved=Amount.of("50"))
    assert answer(exit_signal("0.5"), poor, RULES, NOW) == plain
    unknown = book_of(None, position=HELD)
    assert answer(exit_signal("0.5"), unknown, RULES, NOW) == plain


def test_nothing_stops_an_exit() -> None:
    check_exit_is_free(decide)


def _asks_for_the_mode(signal: Signal, book: FollowerBook, rules: CopyRules, now: datetime) -> Decision:
    copy = decide(signal, book, rules, now)
    if isinstance(copy, Approved) and book.terms.mode is Mode.PAUSED:
        return Skipped(
            copy.order_id, copy.signal_id, copy.account, copy.symbol, copy.side, copy.effect, Reason.MODE_PAUSED
        )
    return copy


def _asks_for_the_age(signal: Signal, book: FollowerBook, rules: CopyRules, now: datetime) -> Decision:
    seen = replace(book, position=Quantity(D(0))) if entry_expired(signal, rules, now) else book
    return decide(signal, seen, rules, now)


def _asks_for_the_cap(signal: Signal, book: FollowerBook, rules: CopyRules, now: datetime) -> Decision:
    copy = decide(signal, book, rules, now)
    most = book.terms.max_order
    if isinstance(copy, Approved) and most is not None and copy.quantity * copy.price > most:
        return replace(copy, quantity=most / copy.price)
    return copy


@pytest.mark.parametrize("wrong", [_asks_for_the_mode, _asks_for_the_age, _asks_for_the_cap])
def test_control_an_exit_that_is_stopped_is_caught(wrong: Answer) -> None:
    with pytest.raises(AssertionError):
        check_exit_is_free(wrong)


def test_an_exit_waits_for_fills_and_for_a_listing() -> None:
    unsettled = decide(exit_signal(), book_of(position=HELD, unsettled=True), RULES, NOW)
    assert isinstance(unsettled, Deferred)
    assert unsettled.reason is Reason.WAITS_FOR_FILLS
    unlisted = decide(exit_signal(), book_of(position=HELD, instrument=None), RULES, NOW)
    assert isinstance(unlisted, Deferred)
    assert unlisted.reason is Reason.NOT_LISTED


def test_an_exit_with_nothing_held_is_skipped() -> None:
    copy = decide(exit_signal(), book_of(), RULES, NOW)
    assert isinstance(copy, Skipped)
    assert copy.reason is Reason.NOTHING_TO_CLOSE


# -- the price -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "price", "moved"),
    [
        (Side.BUY, "100.5", False), (Side.BUY, "100.51", True), (Side.BUY, "50", False),
        (Side.SELL, "99.5", False), (Side.SELL, "99.49", True), (Side.SELL, "200", False),
    ],
)  # fmt: skip
def test_price_moved_is_about_worse_prices_only(side: Side, price: str, moved: bool) -> None:
    assert price_moved(side, Price.of("100"), Price.of(price), D("0.005")) is moved
