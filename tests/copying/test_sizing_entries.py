"""The size of an entry: the worked example to the last digit, every cap for any account, and controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from copying_cases import (
    BTC_USD,
    D,
    EntryCase,
    SizeEntry,
    book_of,
    check_entry,
    entry_cases,
    entry_signal,
    proportional,
    terms_of,
)  # fmt: skip
from hypothesis import Phase, find, given, settings

from copytrade.copying.rules import Basis, BelowMinimum, CopyRules
from copytrade.copying.sizing import NotSized, Sized, size_entry
from copytrade.domain.money import NO_AMOUNT, Amount, Price, Quantity
from copytrade.domain.order import Side
from copytrade.domain.reasons import Reason

REPEATABLE = settings(derandomize=True, database=None, deadline=None, max_examples=400)
# Any counterexample will do: making it small would take twenty times as long.
UNSHRUNK = settings(REPEATABLE, max_examples=3_000, phases=[Phase.generate])
RULES = CopyRules()


def cost(sized: Sized | NotSized, price: str = "50000") -> str:
    assert isinstance(sized, Sized), sized
    return str(sized.quantity * Price.of(price))


# -- the worked example --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("equity", "expected"), [("1000", "100"), ("500", "50"), ("10000", "1000"), ("250", "25")])
def test_master_buys_1000_of_10000(equity: str, expected: str) -> None:
    sized = size_entry(entry_signal(), book_of(equity), RULES)
    assert cost(sized) == expected
    assert isinstance(sized, Sized)
    assert sized.reason is Reason.SIZED_BY_RATIO


def test_a_scaled_15_on_an_equity_of_100_is_capped_to_10() -> None:
    sized = size_entry(entry_signal(quantity="0.03"), book_of("100"), RULES)
    assert cost(sized) == "10"
    assert isinstance(sized, Sized)
    assert sized.reason is Reason.CAPPED_BY_RISK


# -- properties, and what they catch -------------------------------------------------------------------------------


@given(entry_cases())
@REPEATABLE
def test_every_entry_keeps_every_cap(case: EntryCase) -> None:
    check_entry(size_entry, case)


@given(entry_cases())
@REPEATABLE
def test_an_entry_that_no_cap_cuts_is_the_proportion_less_one_step_at_most(case: EntryCase) -> None:
    sized = size_entry(case.signal, case.book, case.rules)
    if isinstance(sized, Sized) and sized.reason is Reason.SIZED_BY_RATIO:
        assert case.book.instrument is not None
        lost = proportional(case) - Fraction(sized.quantity.value)
        assert 0 <= lost < Fraction(case.book.instrument.lot_step)


def _without(**terms: object) -> SizeEntry:
    def size(signal, book, rules):  # type: ignore[no-untyped-def]
        return size_entry(signal, replace(book, terms=replace(book.terms, **terms)), rules)

    return size


def _blind_to_reserved(signal, book, rules):  # type: ignore[no-untyped-def]
    return size_entry(signal, replace(book, reserved=NO_AMOUNT), rules)


def _blind_to_fees(signal, book, rules):  # type: ignore[no-untyped-def]
    return size_entry(signal, book, replace(rules, fee_rate=D(0)))


def _blind_to_slippage(signal, book, rules):  # type: ignore[no-untyped-def]
    return size_entry(signal, book, replace(rules, max_slippage=D(0)))


def _blind_to_guards(signal, book, rules):  # type: ignore[no-untyped-def]
    return size_entry(signal, book, replace(rules, minimum_trading_balance=NO_AMOUNT, min_cash_to_buy=NO_AMOUNT))


def _rounding_up(signal, book, rules):  # type: ignore[no-untyped-def]
    sized = size_entry(signal, book, rules)
    if isinstance(sized, NotSized):
        return sized
    return replace(sized, quantity=sized.quantity + Quantity(book.instrument.lot_step))


def _off_the_step(signal, book, rules):  # type: ignore[no-untyped-def]
    return size_entry(signal, replace(book, instrument=replace(book.instrument, lot_step=D("1E-9"))), rules)


def _under_the_minimum(signal, book, rules):  # type: ignore[no-untyped-def]
    free = replace(book.instrument, min_quantity=Quantity(book.instrument.lot_step), min_cost=NO_AMOUNT)
    free = replace(free, min_buy_cost=NO_AMOUNT)
    return size_entry(signal, replace(book, instrument=free), rules)


def _multiplied_twice(signal, book, rules):  # type: ignore[no-untyped-def]
    more = replace(book.terms, multiplier=book.terms.multiplier * 2)
    return size_entry(signal, replace(book, terms=more), rules)


def _blind_to_the_smallest_purchase(signal, book, rules):  # type: ignore[no-untyped-def]
    return size_entry(signal, replace(book, instrument=replace(book.instrument, min_buy_cost=NO_AMOUNT)), rules)


def _blind_to_the_venues_price(signal, book, rules):  # type: ignore[no-untyped-def]
    return size_entry(signal, replace(book, price=None), rules)


WRONG: dict[str, tuple[SizeEntry, str]] = {
    "no risk cap": (_without(max_user_risk=D(1_000)), "max_user_risk"),
    "no max_order": (_without(max_order=None), "max_order"),
    "no max_exposure": (_without(max_exposure=None), "max_exposure"),
    "spends reserved cash": (_blind_to_reserved, "free cash"),
    "forgets fees": (_blind_to_fees, "free cash"),
    "forgets slippage": (_blind_to_slippage, "free cash"),
    "no guards": (_blind_to_guards, "under m"),
    "rounds up": (_rounding_up, "over"),
    "off the lot step": (_off_the_step, "lot step"),
    "under the minimum": (_under_the_minimum, "minimum"),
    "under the smallest purchase": (_blind_to_the_smallest_purchase, "minimum"),
    "at the master's lower price": (_blind_to_the_venues_price, "max_user_risk"),
    "at the master's lower price, with max_order": (_blind_to_the_venues_price, "max_order"),
    "at the master's lower price, with little cash": (_blind_to_the_venues_price, "free cash"),
    "at the master's higher price": (_blind_to_the_venues_price, "minimum"),
    "multiplied twice": (_multiplied_twice, "over the proportion"),
}


@pytest.mark.parametrize("name", WRONG)
def test_control_a_wrong_sizing_is_caught(name: str) -> None:
    wrong, complaint = WRONG[name]

    def caught(case: EntryCase) -> bool:
        try:
            check_entry(wrong, case)
        except AssertionError as failure:
            return complaint in str(failure)
        return False

    find(entry_cases(), caught, settings=UNSHRUNK)


# -- which rule decided --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "book", "expected", "reason"),
    [
        ({"max_order": Amount.of("40")}, {}, "40", Reason.CAPPED_BY_MAX_ORDER),
        ({"max_exposure": Amount.of("90")}, {"exposure": Amount.of("30")}, "60", Reason.CAPPED_BY_EXPOSURE),
        ({"max_user_risk": D("0.05")}, {}, "50", Reason.CAPPED_BY_RISK),
        ({"multiplier": D("0.5")}, {}, "50", Reason.SIZED_BY_RATIO),
        ({"multiplier": D("2"), "max_user_risk": D("0.5")}, {}, "200", Reason.SIZED_BY_RATIO),
        ({"multiplier": D("2")}, {}, "100", Reason.CAPPED_BY_RISK),
    ],
)  # fmt: skip
def test_the_tightest_cap_wins_and_is_named(
    terms: dict[str, object], book: dict[str, object], expected: str, reason: Reason
) -> None:
    sized = size_entry(entry_signal(), book_of(terms=terms_of(**terms), **book), RULES)
    assert cost(sized) == expected
    assert isinstance(sized, Sized)
    assert sized.reason is reason


def test_free_cash_caps_with_fees_and_slippage_kept_back() -> None:
    sized = size_entry(entry_signal(), book_of("1000", "60"), RULES)
    assert isinstance(sized, Sized)
    assert sized.reason is Reason.CAPPED_BY_CASH
    spent = (sized.quantity * Price.of("50000")).value
    assert spent * D("1.004") * D("1.005") <= 60 < (spent + D("0.001")) * D("1.004") * D("1.005")


def test_cash_basis_scales_by_cash_alone() -> None:
    rules = CopyRules(basis=Basis.CASH)
    signal = entry_signal(cash_before=Amount.of("5000"))
    assert cost(size_entry(signal, book_of("1000", "300"), rules)) == "60"
    assert cost(size_entry(signal, book_of("1000", "300"), RULES)) == "100"


# -- no size at all ------------------------------------------------------------------------------------------------


def _no_size(signal=None, book=None, rules=RULES):  # type: ignore[no-untyped-def]
    sized = size_entry(signal or entry_signal(), book or book_of(), rules)
    assert isinstance(sized, NotSized), sized
    return sized.reason


NO_SIZE: dict[str, tuple[Callable[[], Reason], Reason]] = {
    "under the guard of equity": (lambda: _no_size(book=book_of("24.99")), Reason.BELOW_MIN_BALANCE),
    "under the guard of cash": (lambda: _no_size(book=book_of("1000", "4.99")), Reason.BELOW_MIN_CASH),
    "no cash": (lambda: _no_size(book=book_of("1000", "0")), Reason.NO_FREE_CASH),
    "all cash reserved": (lambda: _no_size(book=book_of(reserved=Amount.of("1000"))), Reason.NO_FREE_CASH),
    "master's equity unknown": (lambda: _no_size(signal=entry_signal(equity=None)), Reason.MASTER_EQUITY_UNKNOWN),
    "master's equity zero": (lambda: _no_size(signal=entry_signal(equity="0")), Reason.MASTER_EQUITY_UNKNOWN),
    "under the venue's minimum": (
        lambda: _no_size(signal=entry_signal("0.0004"), book=book_of("30")), Reason.BELOW_MINIMUM,
    ),
    "no room under max_exposure": (
        lambda: _no_size(book=book_of(terms=terms_of(max_exposure=Amount.of("50")), exposure=Amount.of("49"))),
        Reason.AT_EXPOSURE_LIMIT,
    ),
    "over max_exposure already": (
        lambda: _no_size(book=book_of(terms=terms_of(max_exposure=Amount.of("50")), exposure=Amount.of("80"))),
        Reason.AT_EXPOSURE_LIMIT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_SIZE)
def test_no_size_has_its_reason(name: str) -> None:
    sized, reason = NO_SIZE[name]
    assert sized() is reason


def test_round_up_reaches_the_minimum_within_the_cap_and_never_past_it() -> None:
    rules = CopyRules(below_minimum=BelowMinimum.ROUND_UP)
    small = entry_signal("0.0004")  # 20 of 10,000: 0.06 of 30, under the 2.50 that 0.00005 BTC cost
    roomy = size_entry(small, book_of("30"), rules)
    assert roomy == Sized(BTC_USD.min_quantity, Reason.ROUNDED_UP, roomy.detail)
    tight = size_entry(small, book_of("30", terms=terms_of(max_user_risk=D("0.08"))), rules)  # 2.40
    assert isinstance(tight, NotSized)
    assert tight.reason is Reason.BELOW_MINIMUM
    assert "would pass the cap" in tight.detail


def test_round_up_obeys_the_smallest_cost_too() -> None:
    rules = CopyRules(below_minimum=BelowMinimum.ROUND_UP)
    doge = replace(BTC_USD, lot_step=D("1"), min_quantity=Quantity.of("2"), min_cost=Amount.of("0.5"))
    sized = size_entry(entry_signal("10", "0.15"), book_of("100", instrument=doge), rules)
    assert isinstance(sized, Sized)
    assert sized.quantity == Quantity(Decimal(4))  # 4 x 0.15 = 0.60, and 3 x 0.15 would be 0.45


def test_the_smallest_purchase_counts_for_purchases_and_not_for_sales() -> None:
    coin = replace(BTC_USD, min_cost=Amount.of("0.5"), min_buy_cost=Amount.of(10))
    price, small = Price.of(50_000), Quantity.of("0.00019")  # 9.50
    assert coin.below_minimum(Side.BUY, small, price) == "0.00019 BTC is worth 9.5 USD, under the smallest cost 10"
    assert coin.below_minimum(Side.SELL, small, price) is None
    assert coin.below_minimum(Side.SELL, Quantity.of("0.000009"), price) is not None
    assert coin.minimum_at(Side.BUY, price) == Quantity.of("0.0002")
    assert coin.minimum_at(Side.SELL, price) == coin.min_quantity


@pytest.mark.parametrize(
    ("price", "quantity"),
    [(None, "0.0002"), ("50000", "0.0002"), ("49900", "0.0002"), ("50125", "0.00019950"), ("100000", "0.0001")],
)
def test_the_cap_holds_at_the_followers_own_price_where_that_is_higher(price: str | None, quantity: str) -> None:
    book = book_of("100", price=None if price is None else Price.of(price))  # 15 by ratio, and 10 are allowed
    sized = size_entry(entry_signal(quantity="0.03"), book, RULES)
    assert isinstance(sized, Sized)
    assert sized.reason is Reason.CAPPED_BY_RISK
    assert sized.quantity == Quantity.of(quantity)


def test_the_proportion_is_the_masters_price_alone() -> None:
    sized = size_entry(entry_signal(), book_of("1000", price=Price.of("50200")), replace(RULES, max_slippage=D("0.01")))
    assert isinstance(sized, Sized)
    assert (sized.quantity, sized.reason) == (Quantity.of("0.00199203"), Reason.CAPPED_BY_RISK)
    roomy = size_entry(
        entry_signal(), book_of("1000", price=Price.of("50200"), terms=terms_of(max_user_risk=D("0.2"))), RULES
    )
    assert isinstance(roomy, Sized)
    assert (roomy.quantity, roomy.reason) == (Quantity.of("0.002"), Reason.SIZED_BY_RATIO)
