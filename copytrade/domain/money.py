"""Money in three types that do not mix: `Quantity` of a base asset, `Amount` of a quote currency, `Price` between them.

The system this service replaces once sold 3,404 units as "$4,757". Here the only ways from one type to another are
`quantity * price -> amount`, `amount / price -> quantity` and a plain `Decimal` factor; everything else raises
`TypeError`. Values are finite `Decimal`s; a float never becomes one.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_UP, Decimal, InvalidOperation
from typing import Self

ZERO = Decimal(0)


def parse_decimal(text: str | int | Decimal) -> Decimal:
    """Read a finite decimal. Raises `ValueError` for anything else, floats, NaN and infinities included."""
    if isinstance(text, bool) or not isinstance(text, str | int | Decimal):
        raise ValueError(f"expected a decimal number written as text, got {type(text).__name__} {text!r}")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"not a decimal number: {text!r}") from None
    if not value.is_finite():
        raise ValueError(f"not a finite number: {text!r}")
    return value


def plain(value: Decimal) -> str:
    """Write a decimal without an exponent and without trailing zeros: `0.00005`, `1000`, never `5E-5` or `1E+3`."""
    if not value:
        return "0"
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of `step` (> 0) that is not above `value` (>= 0)."""
    return (value / step).to_integral_value(ROUND_DOWN) * step


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of `step` (> 0) that is not below `value` (>= 0)."""
    return (value / step).to_integral_value(ROUND_UP) * step


class _Value:
    """A finite decimal with a meaning; equal and ordered only among its own kind."""

    __slots__ = ("value",)
    value: Decimal

    def __init__(self, value: Decimal) -> None:
        if type(value) is not Decimal:
            raise TypeError(f"{type(self).__name__} takes a Decimal, not {type(value).__name__}")
        if not value.is_finite():
            raise ValueError(f"{type(self).__name__} must be finite, not {value}")
        object.__setattr__(self, "value", value)

    @classmethod
    def of(cls, text: str | int | Decimal) -> Self:
        """Read from text such as `"0.125"`. Raises `ValueError` for what is not a finite decimal."""
        return cls(parse_decimal(text))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} does not change")

    def __reduce__(self) -> tuple[type[Self], tuple[Decimal]]:
        return type(self), (self.value,)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.value == self.value

    def __lt__(self, other: Self) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.value < other.value

    def __le__(self, other: Self) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.value <= other.value

    def __gt__(self, other: Self) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.value > other.value

    def __ge__(self, other: Self) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.value >= other.value

    def __hash__(self) -> int:
        return hash((type(self), self.value))

    def __bool__(self) -> bool:
        return bool(self.value)

    def __str__(self) -> str:
        return plain(self.value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({plain(self.value)!r})"

    def __add__(self, other: Self) -> Self:
        if type(other) is not type(self):
            return NotImplemented
        return type(self)(self.value + other.value)

    def __sub__(self, other: Self) -> Self:
        if type(other) is not type(self):
            return NotImplemented
        return type(self)(self.value - other.value)

    def scaled(self, factor: Decimal) -> Self:
        """The same kind of value, times a plain number."""
        return type(self)(self.value * factor)


class Price(_Value):
    """Units of the quote currency per unit of the base asset."""

    __slots__ = ()


class Quantity(_Value):
    """Units of a base asset (shares, coins)."""

    __slots__ = ()

    def __mul__(self, price: Price) -> Amount:
        if type(price) is not Price:
            return NotImplemented
        return Amount(self.value * price.value)

    def rounded_down(self, step: Decimal) -> Quantity:
        """Down to the venue's lot step."""
        return Quantity(floor_to(self.value, step))


class Amount(_Value):
    """Units of a quote currency."""

    __slots__ = ()

    def __truediv__(self, price: Price) -> Quantity:
        if type(price) is not Price:
            return NotImplemented
        return Quantity(self.value / price.value)


NO_QUANTITY = Quantity(ZERO)
NO_AMOUNT = Amount(ZERO)
