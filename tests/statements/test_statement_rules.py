"""What holds for any trades, readings and payments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrade.statements.fees import FeePeriod, performance_fee
from copytrade.statements.payments import inferred, listed, within
from copytrade.statements.profit import Book, CostMethod, Valued, profits
from copytrade.statements.returns import time_weighted
from copytrade.statements.values import Gone, Month, Payment, Point, Trade

START = datetime(2026, 11, 1, tzinfo=UTC)
NOVEMBER = Month(2026, 11)
D = Decimal
CLOSE = D("0.000000001")

amounts = st.decimals(min_value=D("0.01"), max_value=D(10**6), places=2)
quantities = st.decimals(min_value=D("0.001"), max_value=D(100), places=3)


def minutes(count: int) -> datetime:
    return START + timedelta(minutes=15 * count)


@st.composite
def trades(draw: st.DrawFn) -> list[Trade]:
    """Purchases and sales that never sell more than is held."""
    held, found = D(0), []
    for number in range(draw(st.integers(0, 15))):
        buy = held == 0 or draw(st.booleans())
        quantity = draw(quantities) if buy else held * draw(st.sampled_from([D("0.25"), D("0.5"), D(1)]))
        fee_base = quantity * draw(st.sampled_from([D(0), D("0.002")])) if buy else D(0)
        held += quantity - fee_base if buy else -quantity
        cost, fee = draw(amounts), draw(st.sampled_from([D(0), D("0.26"), D("13.00")]))
        found.append(Trade(minutes(number * 100), f"C-{number:02}", "BTC/USD", buy, quantity, cost, fee, fee_base))
    return found


@given(trades(), amounts)
def test_both_methods_come_to_the_same_in_the_end(history: list[Trade], price: Decimal) -> None:
    """Cash out, cash in and what is held now are facts: how costs are put down only moves profit in time."""
    cash = sum((-(t.cost + t.fee) if t.buy else t.cost - t.fee for t in history), D(0))
    for method in CostMethod:
        book = Book(method)
        for trade in history:
            book.take(trade)
        assert abs(book.realised + book.quantity * price - book.cost - (cash + book.quantity * price)) < CLOSE
        assert book.unmatched == 0


@given(trades(), amounts, st.integers(0, 1500))
def test_two_parts_of_a_time_add_up_to_the_whole(history: list[Trade], price: Decimal, cut: int) -> None:
    prices = {"BTC/USD": Valued(price, None)}
    middle, end = minutes(cut), minutes(10_000)
    for method in CostMethod:
        first, _ = profits(history, START, middle, prices, prices, method)
        second, _ = profits(history, middle, end, prices, prices, method)
        whole, _ = profits(history, START, end, prices, prices, method)
        parts = [row.profit for row in (*first, *second) if row.profit is not None]
        assert abs(sum(parts, D(0)) - sum((row.profit or D(0) for row in whole), D(0))) < CLOSE


@given(trades(), amounts, st.integers(0, 15), st.sampled_from([D("0.3"), D(1)]))
def test_what_the_owner_took_away_is_in_no_profit(
    history: list[Trade], price: Decimal, at: int, share: Decimal
) -> None:
    """It leaves at its cost: nothing is realised by it, and what is left is held at what that has cost."""
    prices, end = {"BTC/USD": Valued(price, None)}, minutes(at * 100) + timedelta(minutes=1)
    history = history[:at]
    for method in CostMethod:
        before, _ = profits(history, START, end, prices, prices, method)
        held = sum((row.quantity for row in before), D(0))
        gone = [Gone(minutes(at * 100), "BTC/USD", held * share)] if held else []
        after, listed_trades = profits(history, START, end, prices, prices, method, gone)
        assert listed_trades == sorted(history, key=lambda t: t.at)
        assert sum((row.realised for row in after), D(0)) == sum((row.realised for row in before), D(0))
        assert abs(sum((row.quantity for row in after), D(0)) - held * (1 - share)) < CLOSE
        if method is CostMethod.AVERAGE:
            left = sum((row.cost for row in before), D(0)) * (1 - share)
            assert abs(sum((row.cost for row in after), D(0)) - left) < CLOSE


@given(
    st.lists(st.tuples(st.decimals(D("0.5"), D(2), places=4), st.decimals(D("-0.5"), D(3), places=2)), min_size=1,
             max_size=30),
)  # fmt: skip
def test_payments_change_no_return(steps: list[tuple[Decimal, Decimal]]) -> None:
    """The same market with and without payments (as a share of the equity then): the same return."""
    plain, paid = [Point(START, D(1000), D(1000))], [Point(START, D(1000), D(1000))]
    payments, expected = [], D(1)
    for number, (factor, share) in enumerate(steps, start=1):
        expected *= factor
        plain.append(Point(minutes(number), plain[-1].equity * factor, D(0)))
        risen = paid[-1].equity * factor
        payments.append(Payment(minutes(number), risen * share))
        paid.append(Point(minutes(number), risen + risen * share, D(0)))
    one, other = time_weighted(plain, []), time_weighted(paid, payments)
    assert one is not None
    assert other is not None
    assert abs(one.total - (expected - 1)) < CLOSE
    assert abs(one.total - other.total) < CLOSE


@given(
    st.lists(st.tuples(st.decimals(D("0.8"), D("1.2"), places=3), st.decimals(D("-0.5"), D(2), places=2)), min_size=1,
             max_size=20),
)  # fmt: skip
def test_payments_alone_never_make_a_fee(steps: list[tuple[Decimal, Decimal]]) -> None:
    """An account that only loses, or stands still, owes nothing, whatever is paid in and taken out."""
    equity, points, payments = D(1000), [Point(START, D(1000), D(0))], []
    for number, (factor, share) in enumerate(steps, start=1):
        equity *= min(factor, D(1))
        payments.append(Payment(minutes(number), equity * share))
        equity += equity * share
        points.append(Point(minutes(number), equity, D(0)))
    fee = performance_fee({NOVEMBER: points}, payments, D("0.2"), FeePeriod.MONTH, NOVEMBER)
    assert fee is not None
    assert fee.gain < CLOSE
    assert fee.amount == 0


def test_a_payment_is_told_from_a_trade_of_our_own_and_from_one_by_hand() -> None:
    buy = Trade(minutes(1), "C-1", "BTC/USD", True, D("0.1"), D(6000), D(15))
    points = [
        Point(minutes(0), D(10_000), D(10_000)),
        Point(minutes(2), D(9_990), D(3_985)),  # our own purchase
        Point(minutes(3), D(11_990), D(5_985)),  # 2,000 came in
        Point(minutes(4), D(12_000), D(1_985)),  # 4,000 of something was bought by hand
        Point(minutes(5), D(13_200), D(1_985)),  # the market rose
        Point(minutes(6), D(12_195), D(985)),  # 1,000 went out
    ]
    assert inferred(points, [buy]) == [Payment(minutes(3), D(2000)), Payment(minutes(6), D(-1000))]
    assert [p.amount for p in inferred(points, [])] == [D(2000), D(-1000)]  # its equity stood still


def test_the_operators_list() -> None:
    text = "account,at,amount\nkraken:a,2026-11-10T09:30:00Z,500\n\nkraken:b,2026-11-01,1\nkraken:a,2026-11-02,-2.50\n"
    found = listed(text, "p.csv")
    assert [payment.amount for payment in found["kraken:a"]] == [D("-2.50"), D(500)]
    assert found["kraken:b"][0].at == START
    assert within(found["kraken:a"], START, minutes(500)) == [found["kraken:a"][0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1"),
        ("who,when,what\n", "line 1"),
        ("account,at,amount\nkraken:a,yesterday,5\n", "line 2"),
        ("account,at,amount\nkraken:a,2026-11-01,nan\n", "line 2"),
        ("account,at,amount\n\nkraken:a,2026-11-01\n", "line 3"),
    ],
)
def test_a_list_that_cannot_be_read_says_where(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"p.csv, {words}"):
        listed(text, "p.csv")


@pytest.mark.parametrize("text", ["2026", "2026-13", "26-11", "2026-1", "2026-11-01", "", "abcd-ef"])
def test_what_is_no_month(text: str) -> None:
    with pytest.raises(ValueError, match="2026-11"):
        Month.parse(text)


def test_months_follow_each_other() -> None:
    months = list(Month.parse("2026-11").through(Month(2027, 2)))
    assert [str(month) for month in months] == ["2026-11", "2026-12", "2027-01", "2027-02"]
    assert months[1].end == months[2].start
