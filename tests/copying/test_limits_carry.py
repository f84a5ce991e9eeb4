"""`below_minimum: carry`: small entries wait for company, are never bought twice, and pass no cap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest
from copying_cases import BTC_USD, NOW, D, book_of, check_entry, decimals, entry_signal, exit_signal, terms_of
from copying_cases import EntryCase as Case
from hypothesis import given, settings
from hypothesis import strategies as st

from copytrade.copying import sizing
from copytrade.copying.carrying import carried
from copytrade.copying.plan import decide
from copytrade.copying.rules import BelowMinimum, CopyRules, FollowerBook
from copytrade.copying.sizing import NotSized, Sized
from copytrade.domain.account import AccountId
from copytrade.domain.copy import Approved, Decision, Deferred
from copytrade.domain.limits import Carry
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.standing import Standing

RULES = CopyRules(below_minimum=BelowMinimum.CARRY)
COARSE = replace(BTC_USD, min_quantity=Quantity.of("0.001"))  # 50 at 50,000: half of what a book of 500 is to buy
ACCOUNT = book_of().terms.account


class Follower:
    """One account over a run of signals, answered by the plan and kept by the state's own fold."""

    def __init__(self, rules: CopyRules = RULES, **changes: object) -> None:
        self.rules = rules
        self.book = replace(book_of("500", instrument=COARSE), **changes)  # type: ignore[arg-type]
        self.standing = Standing()
        self.bought = D(0)

    def carried(self, symbol: str = "BTC/USD", account: AccountId = ACCOUNT) -> Carry | None:
        return self.standing.carried.get(account, {}).get(symbol)

    def kept(self) -> D:
        carry = self.carried()
        return D(0) if carry is None else carry.quantity.value

    def answer(self, signal: Signal) -> Decision:
        book = replace(self.book, carried=self.carried(signal.symbol), position=Quantity(self.bought))
        copy = decide(signal, book, self.rules, signal.at)
        assert not isinstance(copy, Deferred)
        if copy.carry is not None:
            self.standing.carry(ACCOUNT, copy.carry)
        self.standing.answered(signal)
        if isinstance(copy, Approved):
            self.bought += copy.quantity.value if copy.effect is Effect.ENTRY else -copy.quantity.value
        return copy


def small(number: int = 0, price: str = "50000", **changes: object) -> Signal:
    """The master buys 0.008, a follower of 500 is to buy 0.0004; `number` minutes later."""
    return entry_signal("0.008", price, at=NOW + timedelta(minutes=number), **changes)


def test_small_entries_wait_until_together_they_reach_the_minimum() -> None:
    follower = Follower(terms=terms_of(max_user_risk=D("0.2")))
    first, second, third = (follower.answer(small(n)) for n in range(3))
    assert [c.reason for c in (first, second)] == [Reason.CARRIED] * 2
    assert isinstance(third, Approved)
    assert third.quantity == Quantity.of("0.00120000")
    assert "0.0008 of it carried" in third.detail
    assert follower.carried() is None
    assert follower.answer(small(4)).reason is Reason.CARRIED


def test_without_the_setting_nothing_is_kept() -> None:
    for rule in (BelowMinimum.SKIP, BelowMinimum.ROUND_UP):
        follower = Follower(replace(RULES, below_minimum=rule), terms=terms_of(max_user_risk=D("0.05")))
        assert follower.answer(small()).reason is Reason.BELOW_MINIMUM
        assert follower.carried() is None


@pytest.mark.parametrize(("price", "taken"), [("51000", True), ("51001", False), ("49000", True), ("48999", False)])
def test_what_is_carried_is_taken_up_only_near_its_price(price: str, taken: bool) -> None:
    follower = Follower()
    follower.answer(small())
    follower.answer(small(1, price))
    assert follower.kept() == (D("0.0008") if taken else D("0.0004"))  # else the old is let go, and the new is kept


def test_what_is_too_old_is_let_go() -> None:
    follower = Follower(replace(RULES, carry_max_age_s=60))
    for minute in (0, 1):
        follower.answer(small(minute))
    assert follower.kept() == D("0.0008")
    follower.answer(small(2))  # the oldest of it is two minutes old by now
    assert follower.kept() == D("0.0004")


def test_the_price_of_what_is_carried_is_the_average() -> None:
    follower = Follower()
    follower.answer(small(0, "50000"))
    follower.answer(small(1, "51000"))
    assert follower.carried() == Carry("BTC/USD", Quantity.of("0.0008"), Price.of("50500"), NOW)


def test_the_masters_exit_cancels_the_same_fraction() -> None:
    follower = Follower()
    follower.answer(small())
    follower.answer(exit_signal("0.25", at=NOW))
    assert follower.kept() == D("0.0003")
    follower.answer(exit_signal("1", at=NOW))
    assert follower.carried() is None


def test_an_exit_that_rests_cancels_nothing_until_it_has_filled() -> None:
    follower = Follower()
    follower.answer(small())
    rests = exit_signal("1", at=NOW, order_kind=OrderKind.STOP, stop_price=Price.of("40000"))
    follower.standing.answered(rests)
    assert follower.kept() == D("0.0004")
    follower.standing.answered(replace(rests, kind=SignalKind.FILLED))
    assert follower.carried() is None


def test_what_a_cap_cuts_off_is_not_kept() -> None:
    follower = Follower()
    for minute in range(3):
        copy = follower.answer(small(minute))
    assert isinstance(copy, Approved)
    assert (copy.quantity, copy.reason) == (Quantity.of("0.001"), Reason.CAPPED_BY_RISK)  # of 0.0012
    assert follower.carried() is None


def test_another_instrument_keeps_its_own() -> None:
    follower = Follower()
    follower.answer(small())
    follower.standing.answered(exit_signal("1", at=NOW, symbol="ETH/USD"))
    follower.answer(small(1, symbol="ETH/USD"))
    assert follower.kept() == D("0.0004")
    assert follower.carried("ETH/USD") is not None


@pytest.mark.parametrize("kind", [SignalKind.FLATTEN, SignalKind.JOIN, SignalKind.REPAIR])
def test_whoever_is_put_right_or_taken_out_carries_nothing(kind: SignalKind) -> None:
    follower = Follower()
    follower.answer(small())
    follower.standing.answered(exit_signal("1", at=NOW, kind=kind, target="kraken:somebody_else"))
    assert follower.kept() == D("0.0004")
    follower.standing.answered(exit_signal("1", at=NOW, kind=kind, target=ACCOUNT))
    assert follower.carried() is None


def test_an_order_that_rests_is_not_carried_and_takes_nothing_up() -> None:
    follower = Follower()
    follower.answer(small())
    resting = small(1, order_kind=OrderKind.LIMIT, limit_price=Price.of("50000"))
    assert follower.answer(resting).reason is Reason.BELOW_MINIMUM
    assert follower.kept() == D("0.0004")


def test_a_copy_whose_master_is_leaving_is_not_kept() -> None:
    follower = Follower(may_carry=False)
    assert follower.answer(small()).reason is Reason.BELOW_MINIMUM
    assert follower.carried() is None


def test_what_a_cap_makes_too_small_is_not_carried() -> None:
    follower = Follower(terms=terms_of(max_order=Amount.of("15")))
    skipped = follower.answer(small())
    assert skipped.reason is Reason.BELOW_MINIMUM
    assert "made smaller by a cap: max_order 15" in skipped.detail
    assert follower.carried() is None


def test_what_is_carried_is_told_without_the_digits_of_the_division() -> None:
    skipped = Follower().answer(entry_signal("0.007", equity_before=Amount.of("9700"), at=NOW))
    assert skipped.reason is Reason.CARRIED
    assert skipped.detail.endswith("0.0003608247 are kept")


# -- over any run of signals -------------------------------------------------------------------------------------------

entries = st.builds(
    lambda quantity, price: entry_signal(str(quantity), str(price)),
    decimals("0.0005", "0.05", 4), decimals("48000", "52000", 0),
)  # fmt: skip
exits = st.builds(lambda fraction: exit_signal(str(fraction)), decimals("0.05", "1", 2))
runs = st.lists(st.one_of(entries, entries, entries, exits), min_size=1, max_size=25)
terms = st.builds(
    lambda order, exposure: terms_of(max_order=order, max_exposure=exposure),
    st.none() | decimals("20", "80", 0).map(Amount), st.none() | decimals("20", "400", 0).map(Amount),
)  # fmt: skip


def check_run(run: list[Signal], follower: Follower) -> None:
    """Bought and carried together never pass what the ratio gives; no order passes a cap."""
    due = bought = Fraction(0)
    for number, signal in enumerate(run):
        signal = replace(signal, at=NOW + timedelta(seconds=number))
        before = follower.carried()
        copy = follower.answer(signal)
        if signal.effect is Effect.EXIT:
            # The same fraction of what was due is due no more; what is held is sold, in whole lots, by the exit.
            due -= Fraction(follower_kept(before)) * Fraction(signal.exit_fraction)
            continue
        due += Fraction(signal.quantity.value) * 500 / 10_000
        if isinstance(copy, Approved):
            bought += Fraction(copy.quantity.value)
            case = Case(signal, replace(follower.book, carried=before), follower.rules)
            check_entry(lambda s, b, r, copy=copy: Sized(copy.quantity, Reason.ROUNDED_UP, ""), case)
        assert bought + Fraction(follower.kept()) <= due, "more than the scaled sizes of all signals"


def follower_kept(carry: Carry | None) -> D:
    return D(0) if carry is None else carry.quantity.value


@settings(max_examples=200)
@given(runs, terms)
def test_nothing_is_bought_twice_and_no_cap_is_passed(run: list[Signal], limits: object) -> None:
    check_run(run, Follower(terms=limits))


def _passes_the_cap(signal: Signal, book: FollowerBook, rules: CopyRules) -> Sized | NotSized:
    sized = sizing.size_entry(signal, book, rules)
    return replace(sized, quantity=sized.quantity.scaled(D(10))) if isinstance(sized, Sized) else sized


def _never_shrinks(signal: Signal, book: FollowerBook, rules: CopyRules) -> Sized | NotSized:
    sized = sizing.size_entry(signal, book, rules)
    if isinstance(sized, Sized) and sized.carry is not None and carried(signal, book, rules):
        assert book.carried is not None
        return replace(sized, carry=book.carried)
    return sized


@pytest.mark.parametrize("wrong", [_never_shrinks, _passes_the_cap])
def test_control_a_wrong_sizing_is_caught(
    wrong: Callable[..., Sized | NotSized], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copytrade.copying.plan.size_entry", wrong)
    run = [entry_signal("0.012") for _ in range(8)]
    with pytest.raises(AssertionError):
        check_run(run, Follower())
