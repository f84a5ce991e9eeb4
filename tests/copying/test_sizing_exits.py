"""The size of an exit: never more than is held, all of it when the master is out, and controls."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from copying_cases import BTC_USD, D, SizeExit, book_of, check_exit, decimals, entry_signal, exit_signal, instruments
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from copytrade.copying.rules import CopyRules
from copytrade.copying.sizing import NotSized, Sized, exit_fraction, size_entry, size_exit
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Quantity
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal

REPEATABLE = settings(derandomize=True, database=None, deadline=None, max_examples=300)
UNSHRUNK = settings(REPEATABLE, max_examples=3_000, phases=[Phase.generate])


Walk = tuple[Instrument, Quantity, list[Quantity], Quantity, Signal]


@st.composite
def walks(draw: st.DrawFn) -> Walk:
    """A master's position, its partial sells, a follower's position, and a price."""
    instrument = draw(instruments())
    signal = exit_signal("1", price=str(draw(decimals("0.01", "100000", 2))))
    master = Quantity(instrument.min_quantity.value * draw(st.integers(2, 1_000_000)))
    sells, left = [], master
    for share in draw(st.lists(decimals("0.01", "0.99", 2), max_size=8)):
        sold = left.scaled(share).rounded_down(instrument.lot_step)
        if instrument.below_minimum(signal.side, sold, signal.price) is None:
            sells.append(sold)
            left = left - sold
    sells.append(left)
    follower = Quantity(draw(decimals("0", "1000", 8)))
    return instrument, master, sells, follower, signal


def check_walk(size: SizeExit, walk: Walk) -> None:
    """However the master gets out, the follower gets out with it, down to what no venue would take."""
    instrument, master, sells, position, signal = walk
    for sold in sells:
        fraction = exit_fraction(master, sold, instrument)
        assert 0 < fraction <= 1
        master = master - sold
        before = position
        position = check_exit(size, fraction, position, signal, instrument)
        if fraction == 1 and position.value >= instrument.lot_step:
            whole = before.rounded_down(instrument.lot_step)
            assert instrument.below_minimum(signal.side, whole, signal.price), "left in the position"
    whole_steps = position.rounded_down(instrument.lot_step)
    assert not whole_steps or instrument.below_minimum(signal.side, whole_steps, signal.price), "left in the position"


@given(walks())
@REPEATABLE
def test_partial_exits_and_then_a_full_one_end_flat(walk: Walk) -> None:
    check_walk(size_exit, walk)


def _by_equity(fraction: Decimal, position: Quantity, signal: Signal, instrument: Instrument) -> Sized | NotSized:
    """The fault of the system before this one: an exit sized like an entry, and capped."""
    book = book_of("100", instrument=instrument)
    return size_entry(entry_signal(price=str(signal.price)), book, CopyRules())


def _oversold(fraction: Decimal, position: Quantity, signal: Signal, instrument: Instrument) -> Sized | NotSized:
    return size_exit(D(1), position.scaled(D("1.5")), signal, instrument)


def _fraction_of_the_first_position(
    fraction: Decimal, position: Quantity, signal: Signal, instrument: Instrument
) -> Sized | NotSized:
    return size_exit(min(fraction, D("0.9")), position, signal, instrument)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (_by_equity, "more than the"),
        (_oversold, "more than the copied position"),
        (_fraction_of_the_first_position, "left in the position"),
    ],
)
def test_control_a_wrong_exit_is_caught(wrong: SizeExit, complaint: str) -> None:
    def caught(walk: Walk) -> bool:
        try:
            check_walk(wrong, walk)
        except AssertionError as failure:
            return complaint in str(failure)
        return False

    find(walks(), caught, settings=UNSHRUNK)


# -- the master's fraction -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "sold", "expected"),
    [
        ("0.02", "0.01", "0.5"),
        ("0.02", "0.02", "1"),
        ("0.02", "0.03", "1"),  # it also sold what it had not bought here
        ("0.02", "0.01995001", "1"),  # what is left is under the venue's minimum: the master is out
        ("0.02", "0.01995", "0.9975"),  # what is left is the minimum itself, and can still be sold
        ("0", "0.01", "0"),
    ],
)
def test_exit_fraction(before: str, sold: str, expected: str) -> None:
    assert exit_fraction(Quantity.of(before), Quantity.of(sold), BTC_USD) == D(expected)


@given(decimals("0.00000001", "1000", 8), decimals("0.00000001", "1000", 8))
@REPEATABLE
def test_exit_fraction_is_never_more_than_was_sold_unless_the_master_is_out(before: Decimal, sold: Decimal) -> None:
    fraction = exit_fraction(Quantity(before), Quantity(sold), BTC_USD)
    assert fraction == 1 or 0 < Fraction(fraction) * Fraction(before) <= Fraction(sold)


# -- sizes ---------------------------------------------------------------------------------------------------------


def test_half_of_what_is_held_whatever_the_equity() -> None:
    sized = size_exit(D("0.5"), Quantity.of("0.00300001"), exit_signal("0.5"), BTC_USD)
    assert sized == Sized(Quantity.of("0.0015"), Reason.FRACTION_OF_POSITION, "of 0.00300001 BTC held")


def test_the_3404_units_are_sold_whole() -> None:
    """The exit on record that the risk cap cut to $8.46."""
    sized = size_exit(D(1), Quantity.of("3404.83"), exit_signal("1", price="1.397"), BTC_USD)
    assert isinstance(sized, Sized)
    assert sized.quantity == Quantity.of("3404.83")


@pytest.mark.parametrize(
    ("fraction", "position", "reason"),
    [
        ("1", "0", Reason.NOTHING_TO_CLOSE),
        ("0", "0.01", Reason.NOTHING_TO_CLOSE),
        ("0.5", "0.00009", Reason.BELOW_MINIMUM),
        ("1", "0.00004999", Reason.BELOW_MINIMUM),
    ],
)
def test_nothing_to_sell_has_its_reason(fraction: str, position: str, reason: Reason) -> None:
    sized = size_exit(D(fraction), Quantity.of(position), exit_signal(fraction), BTC_USD)
    assert isinstance(sized, NotSized)
    assert sized.reason is reason
