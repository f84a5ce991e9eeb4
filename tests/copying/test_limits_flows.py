"""Payments inferred from balances: what our own orders explain is none, what they do not is one."""

from __future__ import annotations

from decimal import Decimal

from copying_cases import D, decimals
from hypothesis import assume, given
from hypothesis import strategies as st

from copytrade.copying.flows import THRESHOLD_MIN, THRESHOLD_SHARE, flow_of, price_known, unexplained
from copytrade.domain.money import NO_AMOUNT, Amount, Price

USD = Price(D(1))
BTC = Price(D(50_000))
PRICES = {"USD": USD, "BTC": BTC}


def flow(expected: dict[str, str], found: dict[str, str], equity: str = "1000") -> tuple[Decimal, bool]:
    as_decimals = [{asset: D(q) for asset, q in held.items()} for held in (expected, found)]
    result = flow_of(unexplained(*as_decimals), PRICES, Amount.of(equity))
    return result.paid.value, result.differs


def test_what_is_as_expected_is_no_payment() -> None:
    assert flow({"USD": "900", "BTC": "0.002"}, {"USD": "900.0", "BTC": "0.002"}) == (0, False)


def test_money_and_coins_paid_in_and_out() -> None:
    assert flow({"USD": "900"}, {"USD": "1400"}) == (500, True)
    assert flow({"USD": "900", "BTC": "0.01"}, {"USD": "900"}) == (-500, True)
    assert flow({}, {"BTC": "0.01", "USD": "5"}) == (505, True)


def test_a_trade_by_hand_is_no_payment_but_its_holdings_are_taken_as_they_are() -> None:
    assert flow({"USD": "1000"}, {"USD": "499", "BTC": "0.01"}) == (0, True)


def test_fees_that_the_ledger_does_not_know_are_too_small_to_be_payments() -> None:
    assert flow({"USD": "900"}, {"USD": "899.1"}) == (0, False)
    assert flow({"USD": "90000"}, {"USD": "89870"}, equity="100000") == (0, False)


def test_an_asset_without_a_price_counts_as_nothing() -> None:
    assert flow({}, {"OBSCURE": "1000000"}) == (0, False)


def test_dollars_among_each_other_need_no_market() -> None:
    assert price_known("USD", "USD") == price_known("USDC", "USD") == price_known("USDT", "USDC") == USD
    assert price_known("BTC", "USD") is None
    assert price_known("EUR", "USD") is None
    assert price_known("EUR", "EUR") == USD


amounts = decimals("-10000", "10000", 2)
holdings = st.fixed_dictionaries({"USD": decimals("0", "10000", 2), "BTC": decimals("0", "1", 6)})


@given(holdings, amounts, decimals("-0.5", "0.5", 6))
def test_a_payment_is_found_whatever_was_held(held: dict[str, D], money: D, coins: D) -> None:
    after = {"USD": held["USD"] + money, "BTC": held["BTC"] + coins}
    equity = Amount(after["USD"] + after["BTC"] * BTC.value)
    result = flow_of(unexplained(held, after), PRICES, equity)
    worth = money + coins * BTC.value
    threshold = max(THRESHOLD_MIN, THRESHOLD_SHARE * equity.value)
    assert result.paid == (Amount(worth) if abs(worth) > threshold else NO_AMOUNT)
    assert result.differs or not result.paid


@given(holdings, st.lists(st.tuples(st.booleans(), decimals("0.0001", "0.01", 6), decimals("1000", "90000", 2))))
def test_our_own_fills_are_never_payments(held: dict[str, D], fills: list[tuple[bool, D, D]]) -> None:
    """Expected and found move together, at whatever prices the fills were made."""
    expected = dict(held)
    for buy, quantity, price in fills:
        sign = 1 if buy else -1
        expected["BTC"] += sign * quantity
        expected["USD"] -= sign * quantity * price
    assert unexplained(expected, dict(expected)) == {}


@given(decimals("100", "100000", 2), decimals("1000", "90000", 2))
def test_a_fill_that_is_told_late_nets_out(equity: D, price: D) -> None:
    """The venue shows it before the ledger knows: one asset goes, another comes, worth the same."""
    assume(equity > 100)
    spent = equity / 2
    changes = {"USD": -spent, "BTC": spent / price}
    assert flow_of(changes, {"USD": USD, "BTC": Price(price)}, Amount(equity)).paid == NO_AMOUNT
