"""What a simulated venue lists: assets and markets, with the rules an order must follow."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset. `name` is ours and the industry's (`BTC`); a venue keeps its own spellings beside it."""

    name: str
    decimals: int
    display_decimals: int


@dataclass(frozen=True, slots=True)
class Market:
    """One spot market, `BASE/QUOTE`.

    `tick_size` and `price_decimals` bound prices, `lot_decimals` bounds quantities of the base asset,
    `cost_decimals` bounds amounts of the quote asset; `order_min` is in base units and `cost_min` in quote
    units. Fees are fractions (0.004 is 0.40 %). `base_decimals` bounds amounts of the base asset where a venue
    keeps them finer than the quantities it trades: a fee taken out of the base asset is one.
    """

    symbol: str
    base: str
    quote: str
    start_price: Decimal
    tick_size: Decimal
    price_decimals: int
    lot_decimals: int
    cost_decimals: int
    order_min: Decimal
    cost_min: Decimal
    taker_fee: Decimal
    maker_fee: Decimal
    base_decimals: int | None = None

    @property
    def base_step(self) -> Decimal:
        """Smallest step of a balance or fee, in base units."""
        return Decimal(1).scaleb(-(self.lot_decimals if self.base_decimals is None else self.base_decimals))

    @property
    def lot_step(self) -> Decimal:
        """Smallest step of a quantity, in base units."""
        return Decimal(1).scaleb(-self.lot_decimals)

    @property
    def cost_step(self) -> Decimal:
        """Smallest step of an amount, in quote units."""
        return Decimal(1).scaleb(-self.cost_decimals)
