"""What the tests of the decisions share: values in short, drawn cases, and the rules of sizing as checks.

Each check takes the sizing function that it judges. The real one must pass it for every drawn case, and a wrong one
must be caught: a check that nothing can fail proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from hypothesis import strategies as st

from copytrade.copying.rules import Basis, BelowMinimum, CopyRules, FollowerBook
from copytrade.copying.sizing import NotSized, Sized
from copytrade.domain.account import FollowerTerms, account_id
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import NO_QUANTITY, Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind

NOW = datetime(2024, 3, 1, 12, 0, 0, tzinfo=UTC)
D = Decimal

BTC_USD = Instrument(
    "kraken", "BTC/USD", "BTC", "USD", "XXBTZUSD", D("0.00000001"), D("0.1"), Quantity.of("0.00005"), Amount.of("0.5")
)

SizeEntry = Callable[[Signal, FollowerBook, CopyRules], Sized | NotSized]
SizeExit = Callable[[Decimal, Quantity, Signal, Instrument], Sized | NotSized]


# -- values in short ---------------------------------------------------------------------------------------------------


def entry_signal(
    quantity: str = "0.02", price: str = "50000", equity: str | None = "10000", **changes: object
) -> Signal:
    """The master buys 1,000 of BTC with an equity of 10,000, unless told otherwise."""
    known = None if equity is None else Amount.of(equity)
    signal = Signal(
        "signalaaaaaaaaaaaa", SignalKind.PLACED, "masteraaaaaaaaaaaa", account_id("kraken", "master"), "BTC/USD",
        Side.BUY, Effect.ENTRY, OrderKind.MARKET, Quantity.of(quantity), Price.of(price), known, known, NO_QUANTITY,
        D(0), NOW,
    )  # fmt: skip
    return replace(signal, **changes)  # type: ignore[arg-type]


def exit_signal(fraction: str = "1", price: str = "50000", **changes: object) -> Signal:
    return entry_signal(
        price=price, side=Side.SELL, effect=Effect.EXIT, exit_fraction=D(fraction), **changes
    )


def terms_of(user: str = "alice_smith", **changes: object) -> FollowerTerms:
    return FollowerTerms(account_id("kraken", user), **changes)  # type: ignore[arg-type]


def book_of(
    equity: str | None = "1000", cash: str | None = None, user: str = "alice_smith", **changes: object
) -> FollowerBook:
    """A follower with all its equity in cash, read just now, unless told otherwise."""
    free = equity if cash is None else cash
    book = FollowerBook(
        terms_of(user), BTC_USD, "USD",
        None if equity is None else Amount.of(equity), None if free is None else Amount.of(free), NOW,
    )  # fmt: skip
    return replace(book, **changes)  # type: ignore[arg-type]


# -- drawn cases -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EntryCase:
    signal: Signal
    book: FollowerBook
    rules: CopyRules


def decimals(low: str, high: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(D(low), D(high), places=places, allow_nan=False, allow_infinity=False)


@st.composite
def instruments(draw: st.DrawFn) -> Instrument:
    lot_places, tick_places = draw(st.integers(0, 8)), draw(st.integers(0, 6))
    step = D(1).scaleb(-lot_places)
    return Instrument(
        "kraken", "BTC/USD", "BTC", "USD", "XXBTZUSD", step, D(1).scaleb(-tick_places),
        Quantity(step * draw(st.integers(1, 5_000))), Amount(draw(decimals("0", "10", 2))),
        min_buy_cost=Amount(draw(st.sampled_from((D(0), D(1), D(10))))),
    )  # fmt: skip


@st.composite
def entry_cases(draw: st.DrawFn) -> EntryCase:
    """Accounts from rich to poor, markets from coarse to fine, limits set or not."""
    price = Price(draw(decimals("0.0001", "100000", 4)))
    equity = draw(decimals("1", "100000", 2))
    cash = draw(decimals("0", "1", 4)) * equity
    limits = st.none() | decimals("1", "5000", 2).map(Amount)
    terms = terms_of(
        multiplier=draw(decimals("0.1", "5", 1)),
        max_user_risk=draw(decimals("0.01", "1", 2)),
        max_order=draw(limits),
        max_exposure=draw(limits),
    )
    book = FollowerBook(
        terms, draw(instruments()), "USD", Amount(equity), Amount(cash), NOW,
        price=draw(st.sampled_from((None, "0.9", "0.997", "1", "1.003", "1.1", "1.3")).map(
            lambda factor: None if factor is None else Price(price.value * D(factor))
        )),
        reserved=Amount(draw(decimals("0", "1", 2)) * cash), exposure=Amount(draw(decimals("0", "3000", 2))),
    )  # fmt: skip
    master = draw(decimals("100", "1000000", 2))
    spent = draw(decimals("0.001", "1", 3)) * master
    signal = entry_signal(price=str(price), equity=str(master), quantity="1")
    signal = replace(
        signal, quantity=Quantity(max(spent / price.value, D("0.00000001"))),
        cash_before=Amount(max(D(1), master * draw(decimals("0.01", "1", 2)))),
    )  # fmt: skip
    rules = CopyRules(
        basis=draw(st.sampled_from(Basis)),
        below_minimum=draw(st.sampled_from(BelowMinimum)),
        max_slippage=draw(decimals("0.001", "0.1", 3)),
        fee_rate=draw(decimals("0", "0.05", 3)),
    )
    return EntryCase(signal, book, rules)


# -- the rules as checks -----------------------------------------------------------------------------------------------


def check_entry(size: SizeEntry, case: EntryCase) -> None:
    """An entry keeps every cap, lies on the lot step, and reaches the venue's minimum or is not there at all."""
    sized = size(case.signal, case.book, case.rules)
    if isinstance(sized, NotSized):
        return
    signal, book, rules, terms = case.signal, case.book, case.rules, case.book.terms
    instrument, equity, cash = book.instrument, book.equity, book.cash
    assert instrument is not None
    assert equity is not None
    assert cash is not None
    prices = [price for price in (signal.price, book.price) if price is not None]
    cost = max(Fraction(sized.quantity.value) * Fraction(price.value) for price in prices)
    assert cost <= Fraction(terms.max_user_risk) * Fraction(equity.value), "over max_user_risk"
    spent = cost * (1 + Fraction(rules.fee_rate)) * (1 + Fraction(rules.max_slippage))
    assert spent <= Fraction(cash.value) - Fraction(book.reserved.value), "over free cash"
    assert terms.max_order is None or cost <= terms.max_order.value, "over max_order"
    if terms.max_exposure is not None:
        assert Fraction(book.exposure.value) + cost <= terms.max_exposure.value, "over max_exposure"
    assert sized.quantity.value % instrument.lot_step == 0, "off the lot step"
    for price in prices:
        assert instrument.below_minimum(signal.side, sized.quantity, price) is None, "under the venue's minimum"
    if sized.reason is not Reason.ROUNDED_UP:
        assert Fraction(sized.quantity.value) <= proportional(case), "over the proportion"
    assert equity >= rules.minimum_trading_balance, "under minimum_trading_balance"
    assert cash.value - book.reserved.value >= rules.min_cash_to_buy.value, "under min_cash_to_buy"


def proportional(case: EntryCase) -> Fraction:
    """The rule of the ratio, written a second time, in numbers that are never rounded."""
    by_cash = case.rules.basis is Basis.CASH
    ours, theirs = (
        (case.book.cash, case.signal.cash_before) if by_cash else (case.book.equity, case.signal.equity_before)
    )
    assert ours is not None
    assert theirs is not None
    numbers = case.signal.quantity.value, ours.value, case.book.terms.multiplier, theirs.value
    quantity, own, multiplier, master = (Fraction(number) for number in numbers)
    return quantity * own * multiplier / master


def check_exit(
    size: SizeExit, fraction: Decimal, position: Quantity, signal: Signal, instrument: Instrument
) -> Quantity:
    """An exit sells no more than is held and no more than its fraction; returns what stays in the position."""
    sized = size(fraction, position, signal, instrument)
    if isinstance(sized, NotSized):
        assert sized.reason in (Reason.NOTHING_TO_CLOSE, Reason.BELOW_MINIMUM)
        return position
    assert Quantity(D(0)) < sized.quantity <= position, "more than the copied position"
    share = Fraction(min(fraction, D(1)))
    assert Fraction(sized.quantity.value) <= Fraction(position.value) * share, "more than the fraction"
    assert sized.quantity.value % instrument.lot_step == 0, "off the lot step"
    assert instrument.below_minimum(signal.side, sized.quantity, signal.price) is None, "under the venue's minimum"
    return position - sized.quantity
