"""Every figure of APEX v7.1. The defaults are the strategy's own; the operator may change them under `apex:`."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares are fractions (0.02 is 2 %), periods count candles, R is the distance from entry to first stop."""

    interval_s: int = 300
    candles: int = 300  # loaded for each decision; an EMA 50 that began 300 candles ago is right to 0.001 %
    candles_min: int = 100
    settle_s: float = 6.0  # nothing is decided within so many seconds of a new candle

    # Indicators
    ema_fast: int = 9
    ema_middle: int = 21
    ema_slow: int = 50
    rsi_fast: int = 9
    rsi_slow: int = 14
    macd_fast: int = 12
    macd_slow: int = 26
    macd_signal: int = 9
    adx_period: int = 14
    atr_period: int = 14
    vwap_candles: int = 100  # not above candles_min, so that every decision has it
    volume_candles: int = 5
    volume_candles_short: int = 2

    # Market filter
    adx_min: float = 20.0
    volume_filter: float = 0.50
    volume_floor: float = 0.30

    # Entry: so many of five points
    points_min: int = 3
    near: float = 0.005
    rsi_low: float = 30.0
    rsi_high: float = 70.0
    entry_volume: float = 0.60
    hammer_wick: float = 2.0  # a hammer's lower wick is at least so many times its body

    # Size: above each ADX the share beside it, times a weight by points, never more than size_max
    sizes: tuple[tuple[Decimal, Decimal], ...] = (
        (Decimal(20), Decimal("0.02")),
        (Decimal(25), Decimal("0.04")),
        (Decimal(30), Decimal("0.06")),
        (Decimal(40), Decimal("0.08")),
        (Decimal(50), Decimal("0.10")),
    )
    size_max: Decimal = Decimal("0.10")
    weight_min: Decimal = Decimal("0.8")
    weight_max: Decimal = Decimal("1.0")
    cash_kept: Decimal = Decimal("0.01")  # share of the free cash that stays for fees and a price that moves on

    # Stop, profit, trailing
    swing_candles: int = 10
    stop_atr: Decimal = Decimal("0.5")
    profit_at_r: tuple[Decimal, ...] = (Decimal(1), Decimal(2), Decimal(3))
    profit_shares: tuple[Decimal, ...] = (Decimal("0.50"), Decimal("0.25"))  # of the whole; the last sells the rest
    trail_atr: Decimal = Decimal("1.5")

    def problems(self) -> list[str]:
        """What does not fit together, in words for the operator; empty when all does."""
        found = []
        slowest = max(self.ema_slow, self.macd_slow + self.macd_signal, 2 * self.adx_period, self.vwap_candles) + 1
        if self.candles_min < self.swing_candles or self.candles_min < slowest - 1:
            found.append(f"candles_min is {self.candles_min}, and the slowest indicator needs {slowest - 1}")
        if self.candles < self.candles_min:
            found.append(f"candles is {self.candles}, fewer than candles_min {self.candles_min}")
        if not self.ema_fast < self.ema_middle < self.ema_slow:
            found.append("ema_fast, ema_middle and ema_slow must rise")
        if list(self.sizes) != sorted(self.sizes) or len({at for at, _ in self.sizes}) != len(self.sizes):
            found.append("sizes must rise, both the ADX and the share")
        if self.weight_min > self.weight_max:
            found.append("weight_min is above weight_max")
        if sum(self.profit_shares) >= 1 or len(self.profit_at_r) != len(self.profit_shares) + 1:
            found.append("profit_shares must leave something for the last step, and there is one step more than shares")
        if list(self.profit_at_r) != sorted(set(self.profit_at_r)):
            found.append("profit_at_r must rise")
        return found
