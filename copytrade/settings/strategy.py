"""The settings of the strategy APEX and of the scanner that shows it markets."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from .fields import Amount, Seconds, Section, Share, Switch, Whole, exact

Symbol = Annotated[str, Field(strict=True, pattern=r"^[A-Z0-9.]{1,16}(/[A-Z0-9.]{1,16})?$")]
Factor = Annotated[Decimal, BeforeValidator(exact), Field(ge=0, le=1000, allow_inf_nan=False)]
Period = Annotated[int, Field(strict=True, ge=2, le=1000)]
Percent = Annotated[Decimal, BeforeValidator(exact), Field(ge=0, le=100, allow_inf_nan=False)]
INTERVALS_S = (60, 300, 900, 1800, 3600)  # those that all five venues have


class ApexSettings(Section):
    """The figures of `master.strategy: apex`. Periods count candles; R is the distance from the entry to its stop."""

    markets: tuple[Symbol, ...] = Field(
        default=(), max_length=1000, description="Trade these only. Empty: every market that the scanner comes by."
    )
    interval_s: Whole = Field(default=300, description="Length of a candle: 60, 300, 900, 1800 or 3600.")
    candles: Whole = Field(default=300, ge=100, le=700, description="Candles loaded for each decision.")
    candles_min: Whole = Field(default=100, ge=60, le=700, description="A market with fewer is not traded.")
    settle_s: Seconds = Field(default=6.0, ge=0, le=60, description="Nothing is decided so soon after a candle began.")
    ema_fast: Period = Field(default=9, description="Period of the fastest EMA.")
    ema_middle: Period = Field(default=21, description="Period of the middle EMA.")
    ema_slow: Period = Field(default=50, description="Period of the slowest EMA.")
    rsi_fast: Period = Field(default=9, description="Period of the fast RSI.")
    rsi_slow: Period = Field(default=14, description="Period of the slow RSI.")
    macd_fast: Period = Field(default=12, description="MACD: period of the fast EMA.")
    macd_slow: Period = Field(default=26, description="MACD: period of the slow EMA.")
    macd_signal: Period = Field(default=9, description="MACD: period of the signal line.")
    adx_period: Period = Field(default=14, description="Period of the ADX.")
    atr_period: Period = Field(default=14, description="Period of the ATR.")
    vwap_candles: Period = Field(default=100, description="How far the VWAP looks back.")
    volume_candles: Period = Field(default=5, description="Candles of the mean volume that the filter compares with.")
    volume_candles_short: Period = Field(default=2, description="Candles of the mean volume of the entry's own point.")
    adx_min: Percent = Field(default=Decimal(20), description="Market filter: the ADX is above this.")
    volume_filter: Share = Field(default=Decimal("0.50"), description="Market filter: volume above this share of mean.")
    volume_floor: Share = Field(default=Decimal("0.30"), description="No entry under this share of the mean volume.")
    points_min: Whole = Field(default=3, ge=1, le=5, description="Entry points, of five, that an entry needs.")
    near: Share = Field(default=Decimal("0.005"), description="The price is near EMA 21 or VWAP within this share.")
    rsi_low: Percent = Field(default=Decimal(30), description="The RSI's range for an entry: from here")
    rsi_high: Percent = Field(default=Decimal(70), description="to here.")
    entry_volume: Share = Field(default=Decimal("0.60"), description="Entry point: volume from this share of its mean.")
    hammer_wick: Factor = Field(default=Decimal(2), description="A hammer's long wick is this many times its body.")
    size_at_adx: tuple[Percent, ...] = Field(
        default=tuple(map(Decimal, (20, 25, 30, 40, 50))), description="Above each of these ADX, the size below it."
    )
    sizes: tuple[Share, ...] = Field(
        default=tuple(map(Decimal, ("0.02", "0.04", "0.06", "0.08", "0.10"))), description="Sizes, as shares of equity."
    )
    size_max: Share = Field(default=Decimal("0.10"), description="No entry is larger, whatever the table says.")
    weight_min: Share = Field(default=Decimal("0.8"), description="A size is multiplied by this at the fewest points,")
    weight_max: Share = Field(default=Decimal("1.0"), description="and by this at all five.")
    cash_kept: Share = Field(default=Decimal("0.01"), description="Share of the free cash that no entry takes: fees.")
    swing_candles: Period = Field(default=10, description="The stop is under the lowest low of so many candles,")
    stop_atr: Factor = Field(default=Decimal("0.5"), description="by so many ATR.")
    profit_at_r: tuple[Factor, ...] = Field(
        default=tuple(map(Decimal, (1, 2, 3))), description="Profit steps, in R; at the last one all is sold."
    )
    profit_shares: tuple[Share, ...] = Field(
        default=tuple(map(Decimal, ("0.50", "0.25"))), description="What the steps before the last sell of the whole."
    )
    trail_atr: Factor = Field(default=Decimal("1.5"), description="After the first step: so many ATR under the price.")

    @model_validator(mode="after")
    def _fits(self) -> ApexSettings:
        if self.interval_s not in INTERVALS_S:
            raise ValueError(f"interval_s must be one of {', '.join(map(str, INTERVALS_S))}: all venues have these")
        if len(self.sizes) != len(self.size_at_adx):
            raise ValueError("sizes and size_at_adx must be equally long: each ADX has its size")
        return self


class ScanSettings(Section):
    """How the markets are looked through for entries, where the strategy is not given any by name."""

    batch_min: Whole = Field(default=5, ge=1, le=500, description="Markets in a batch while a venue is in trouble.")
    batch_max: Whole = Field(default=15, ge=1, le=500, description="Markets in a batch while it is well.")
    share_of_limit: Share = Field(
        default=Decimal("0.5"),
        description="Share of a venue's public limit that scanning may take; the rest is for prices and clocks.",
    )
    min_day_volume: Amount = Field(
        default=Decimal(50_000),
        description="Markets that traded for less within 24 hours are passed by; one call tells of many. 0: none are. "
        "In paper mode none are unless this is set.",
    )
    day_figures_every_s: Seconds = Field(
        default=900.0, ge=60, le=86_400, description="How often the day's volumes are read anew."
    )
    share_markets: Switch = Field(
        default=True,
        description="Share the master's markets out among all connected venues that list them, each read at one.",
    )
    errors_to_open: Whole = Field(
        default=4, ge=1, le=100, description="After so many errors in a row a venue is not scanned for a while."
    )
    open_for_s: Seconds = Field(default=30.0, ge=1, le=3600, description="That while; then one market is tried first.")
    slow_ms: Whole = Field(default=2000, ge=10, le=60_000, description="An answer slower than this counts half.")

    @model_validator(mode="after")
    def _fits(self) -> ScanSettings:
        if self.batch_min > self.batch_max:
            raise ValueError(f"batch_min {self.batch_min} is above batch_max {self.batch_max}")
        return self
