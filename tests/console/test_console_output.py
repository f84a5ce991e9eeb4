"""What commands print for people."""

from __future__ import annotations

from decimal import Decimal

import pytest

from copytrade.console.output import shown_price


@pytest.mark.parametrize(
    ("price", "shown"),
    [(Decimal("50348.50017706267455458000945"), "50348.5001771"), ("50305.7", "50305.7"),
     ("0.000012345600", "0.0000123456"), (Decimal("1E+5"), "100000"), ("-2.10", "-2.1")],
)  # fmt: skip
def test_prices_are_shown_without_the_digits_of_a_division(price, shown):
    assert shown_price(price) == shown
