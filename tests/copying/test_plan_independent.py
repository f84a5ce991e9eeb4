"""The plan for accounts that trade by themselves: nothing of the master's reaches them, and a flattening does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from copying_cases import NOW, book_of, entry_signal, exit_signal, terms_of

from copytrade.copying.plan import decide
from copytrade.copying.rules import CopyRules
from copytrade.domain.account import Mode
from copytrade.domain.copy import Approved, Skipped
from copytrade.domain.money import Quantity
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind

HELD = Quantity.of("0.002")


@pytest.mark.parametrize("mode", [Mode.INDEPENDENT, Mode.ACTIVE])
@pytest.mark.parametrize("signal", [entry_signal(), exit_signal()])
def test_an_account_that_trades_by_itself_is_skipped_whatever_its_mode_says(mode: Mode, signal: object) -> None:
    book = replace(book_of(terms=terms_of(mode=mode)), position=HELD, alone=True)
    copy = decide(signal, book, CopyRules(), NOW)  # type: ignore[arg-type]
    assert isinstance(copy, Skipped)
    assert copy.reason is Reason.INDEPENDENT


def test_a_flattening_takes_out_what_it_has_bought_by_itself() -> None:
    book = replace(book_of(terms=terms_of(mode=Mode.INDEPENDENT)), position=HELD, alone=True)
    copy = decide(exit_signal(kind=SignalKind.FLATTEN), book, CopyRules(), NOW)
    assert isinstance(copy, Approved)
    assert copy.quantity == HELD


def test_one_that_is_about_to_takes_no_entries_and_leaves_with_the_master() -> None:
    book = replace(book_of(terms=terms_of(mode=Mode.INDEPENDENT)), position=HELD)
    entry, out = (decide(signal, book, CopyRules(), NOW) for signal in (entry_signal(), exit_signal()))
    assert (type(entry), entry.reason) == (Skipped, Reason.INDEPENDENT)
    assert isinstance(out, Approved)
    assert out.quantity == HELD
