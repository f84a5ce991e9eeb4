"""An instrument: a market in one spelling everywhere, with its venue's spelling and rules."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from copytrade.domain.money import NO_AMOUNT, Amount, Price, Quantity, ceil_to, floor_to
from copytrade.domain.order import Side


class MarketStatus(StrEnum):
    """What a market takes now."""

    ONLINE = "online"
    LIMITED = "limited"  # some orders (limit only, post only): market orders are not among them
    REDUCE_ONLY = "reduce_only"
    CLOSED = "closed"  # cancels at most


class AssetClass(StrEnum):
    """What is traded. A stock is never copied to a market of another class, whatever it is called there."""

    CRYPTO = "crypto"
    STOCK = "stock"


def base_of(symbol: str) -> str:
    """What is held of a market: `BTC` of `BTC/USD`, and a stock's own name."""
    return symbol.rpartition("/")[0] or symbol


@dataclass(frozen=True, slots=True)
class Instrument:
    """One market at one venue.

    `lot_step` and `tick` are in base units and quote units per base unit; `min_quantity` and `min_cost` are the
    venue's smallest order by size and by value. `min_buy_cost` is the smallest value of a purchase, where the venue
    asks more of those than of a sale; what is worth less can then still be sold.
    """

    venue: str
    symbol: str
    base: str
    quote: str
    venue_symbol: str
    lot_step: Decimal
    tick: Decimal
    min_quantity: Quantity
    min_cost: Amount
    status: MarketStatus = MarketStatus.ONLINE
    asset_class: AssetClass = AssetClass.CRYPTO
    min_buy_cost: Amount = NO_AMOUNT

    def smallest_cost(self, side: Side) -> Amount:
        """The smallest value of an order on this side."""
        return max(self.min_cost, self.min_buy_cost) if side is Side.BUY else self.min_cost

    def minimum_at(self, side: Side, price: Price) -> Quantity:
        """The smallest quantity the venue takes on this side at this price, on the lot step."""
        by_cost = self.smallest_cost(side).value / price.value
        return Quantity(ceil_to(max(self.min_quantity.value, by_cost), self.lot_step))

    def below_minimum(self, side: Side, quantity: Quantity, price: Price) -> str | None:
        """Says how the order falls short of the venue's minimum, or None when it does not."""
        if quantity < self.min_quantity:
            return f"{quantity} {self.base} is under the smallest quantity {self.min_quantity} {self.base}"
        cost, smallest = quantity * price, self.smallest_cost(side)
        if cost < smallest:
            return f"{quantity} {self.base} is worth {cost} {self.quote}, under the smallest cost {smallest}"
        return None

    def worst_price(self, side: Side, price: Price, max_slippage: Decimal) -> Price:
        """The limit that a fill may not pass, on the tick, rounded to the side that never exceeds `max_slippage`."""
        if side is Side.BUY:
            return Price(floor_to(price.value * (1 + max_slippage), self.tick))
        return Price(ceil_to(price.value * (1 - max_slippage), self.tick))
