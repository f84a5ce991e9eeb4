"""The rules of APEX v7.1 that are figures: size, stop, profit steps, trailing. Exact, in decimals, for one position."""

from __future__ import annotations

from decimal import Decimal

from copytrade.domain.money import ZERO, Amount
from copytrade.strategy.apex.figures import Figures
from copytrade.strategy.port import Funds

POINTS = 5  # of an entry, at most


def exact(value: float) -> Decimal:
    """A candle's or indicator's value as the decimal that it prints as. Raises `ValueError` for NaN and infinity."""
    found = Decimal(repr(float(value)))
    if not found.is_finite():
        raise ValueError(f"not a finite number: {value}")
    return found


def enough_candles(count: int, f: Figures) -> bool:
    """At least 100 candles."""
    return count >= f.candles_min


def too_early(into_candle_s: float, f: Figures) -> bool:
    """Nothing is decided in the first 6 s of a new candle: the one before may still be corrected."""
    return into_candle_s < f.settle_s


def size_share(adx: Decimal, f: Figures) -> Decimal:
    """The share of the account by ADX: above 20 2 %, above 25 4 %, above 30 6 %, above 40 8 %, above 50 10 %.

    A value on a boundary gets the smaller size, as "above 20" and "above 50" have it.
    """
    share = ZERO
    for above, size in f.sizes:
        if adx > above:
            share = size
    return min(share, f.size_max)


def weight(points: int, f: Figures) -> Decimal:
    """0.8 at the fewest points that make an entry, 1.0 at all five, evenly between."""
    span = POINTS - f.points_min
    if span <= 0 or points >= POINTS:
        return f.weight_max
    return f.weight_min + (f.weight_max - f.weight_min) * max(0, points - f.points_min) / span


def size(funds: Funds, adx: Decimal, points: int, f: Figures) -> Amount:
    """What to buy for: the share of equity times the weight, and not more than the free cash less what is kept."""
    wanted = max(funds.equity.value, ZERO) * min(size_share(adx, f) * weight(points, f), f.size_max)
    return Amount(min(wanted, max(ZERO, funds.cash.value * (1 - f.cash_kept))))


def first_stop(swing_low: Decimal, atr: Decimal, f: Figures) -> Decimal:
    """The lowest low of the last 10 candles less half an ATR: 98.50 and 1.20 give 97.90."""
    return swing_low - f.stop_atr * atr


def steps_reached(price: Decimal, entry: Decimal, risk: Decimal, f: Figures) -> int:
    """How many profit steps the price has come to: 1 at one R above the entry, and so on."""
    return sum(1 for r in f.profit_at_r if price >= entry + r * risk)


def share_to_sell(taken: int, reached: int, f: Figures) -> Decimal:
    """Which share of what is held now brings the position from after step `taken` to after step `reached`.

    After one step half of the first size is left, after two a quarter, after three nothing. So it is 1/2 of what is
    held at the first, 1/2 at the second, 3/4 when the price came to both at once, and all at the third.
    """
    left, aim = _left(taken, f), _left(reached, f)
    return (left - aim) / left if left else ZERO


def _left(steps: int, f: Figures) -> Decimal:
    if steps >= len(f.profit_at_r):
        return ZERO
    return 1 - sum(f.profit_shares[:steps], ZERO)


def raised_stop(stop: Decimal, entry: Decimal, reached: int) -> Decimal:
    """Breakeven: from the first step on the stop is at the entry, or higher if it was."""
    return max(stop, entry) if reached >= 1 else stop


def trailed(level: Decimal | None, price: Decimal, atr: Decimal, f: Figures) -> Decimal:
    """The trailing level 1.5 ATR under the price; it only ever rises."""
    fresh = price - f.trail_atr * atr
    return fresh if level is None else max(level, fresh)
