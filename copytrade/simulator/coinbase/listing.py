"""Coinbase's products with realistic rules.

`BTC-USD` and `BTC-USDC` share one order book (`alias_to`) and settle in different wallets. Increments follow the
venue's product list of 2025 to 2026; fees are those of an account that trades little.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from copytrade.simulator.markets import Market
from copytrade.simulator.prices import PriceProcess

TAKER_FEE = Decimal("0.006")
MAKER_FEE = Decimal("0.004")
# Fees and values of trades have more digits than prices; balances show up to sixteen.
COST_DECIMALS = 8
FIAT = ("USD", "EUR", "GBP")
_NAMES = {
    "BTC": "Bitcoin", "ETH": "Ethereum", "SOL": "Solana", "ADA": "Cardano", "DOGE": "Dogecoin", "XRP": "XRP",
    "LTC": "Litecoin", "DOT": "Polkadot", "LINK": "Chainlink", "AVAX": "Avalanche", "USD": "US Dollar",
    "USDC": "USDC", "USDT": "Tether", "EUR": "Euro", "GBP": "British Pound",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Product:
    """A market with what Coinbase says of it besides. `alias` is the product whose book it shares."""

    market: Market
    product_id: str
    base_max: Decimal
    quote_max: Decimal
    alias: str = ""
    alias_to: tuple[str, ...] = ()


# product, start price, price increment, base increment, quote increment, smallest base, smallest quote, largest base
_ROWS = (
    ("BTC-USD", "60000", "0.01", "0.00000001", "0.01", "0.00000001", "1", "10000"),
    ("ETH-USD", "3000", "0.01", "0.00000001", "0.01", "0.00000001", "1", "50000"),
    ("SOL-USD", "150", "0.01", "0.00000001", "0.01", "0.00000001", "1", "400000"),
    ("ADA-USD", "0.5", "0.0001", "0.00000001", "0.0001", "0.00000001", "1", "20000000"),
    ("DOGE-USD", "0.15", "0.00001", "0.1", "0.00001", "0.1", "1", "60000000"),
    ("XRP-USD", "0.6", "0.0001", "0.000001", "0.0001", "0.000001", "1", "10000000"),
    ("LTC-USD", "80", "0.01", "0.00000001", "0.01", "0.00000001", "1", "40000"),
    ("DOT-USD", "6", "0.001", "0.00000001", "0.001", "0.00000001", "1", "500000"),
    ("LINK-USD", "15", "0.001", "0.01", "0.001", "0.01", "1", "300000"),
    ("AVAX-USD", "30", "0.01", "0.00000001", "0.01", "0.00000001", "1", "150000"),
    ("BTC-USDC", "60000", "0.01", "0.00000001", "0.01", "0.00000001", "1", "10000"),
    ("ETH-USDC", "3000", "0.01", "0.00000001", "0.01", "0.00000001", "1", "50000"),
    ("SOL-USDC", "150", "0.01", "0.00000001", "0.01", "0.00000001", "1", "400000"),
    ("BTC-USDT", "60000", "0.01", "0.00000001", "0.01", "0.00000001", "1", "1000"),
    ("ETH-USDT", "3000", "0.01", "0.00000001", "0.01", "0.00000001", "1", "10000"),
    ("BTC-EUR", "55000", "0.01", "0.00000001", "0.01", "0.00000001", "0.84", "1000"),
    ("ETH-EUR", "2750", "0.01", "0.00000001", "0.01", "0.00000001", "0.84", "10000"),
    ("BTC-GBP", "47000", "0.01", "0.00000001", "0.01", "0.00000001", "0.72", "1000"),
    ("ETH-BTC", "0.05", "0.00001", "0.00000001", "0.0000001", "0.00000001", "0.000016", "10000"),
    ("USDT-USD", "1", "0.00001", "0.01", "0.00001", "0.01", "1", "20000000"),
)


def _product(row: tuple[str, str, str, str, str, str, str, str]) -> Product:
    product_id, price, tick, step, quote_step, base_min, quote_min, base_max = row
    base, quote = product_id.split("-")
    market = Market(
        symbol=f"{base}/{quote}",
        base=base,
        quote=quote,
        start_price=Decimal(price),
        tick_size=Decimal(tick),
        price_decimals=decimals(Decimal(tick)),
        lot_decimals=decimals(Decimal(step)),
        cost_decimals=max(COST_DECIMALS, decimals(Decimal(quote_step))),
        order_min=Decimal(base_min),
        cost_min=Decimal(quote_min),
        taker_fee=TAKER_FEE,
        maker_fee=MAKER_FEE,
    )
    twin = f"{base}-USDC" if quote == "USD" else f"{base}-USD" if quote == "USDC" else ""
    shared = twin if any(twin == other[0] for other in _ROWS) else ""
    main = bool(shared) and quote == "USD"
    return Product(
        market=market,
        product_id=product_id,
        base_max=Decimal(base_max),
        quote_max=Decimal("150000000"),
        alias="" if main else shared,
        alias_to=(shared,) if main else (),
    )


def decimals(step: Decimal) -> int:
    """How many decimals a step such as 0.01 has."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


PRODUCTS: tuple[Product, ...] = tuple(_product(row) for row in _ROWS)
MARKETS: tuple[Market, ...] = tuple(product.market for product in PRODUCTS)
BY_ID: dict[str, Product] = {product.product_id: product for product in PRODUCTS}
BY_SYMBOL: dict[str, Product] = {product.market.symbol: product for product in PRODUCTS}
QUOTE_STEPS: dict[str, Decimal] = {row[0]: Decimal(row[4]) for row in _ROWS}


def asset_name(asset: str) -> str:
    """The name a wallet goes by."""
    return _NAMES.get(asset, asset)


class SharedPrices(PriceProcess):
    """Prices where a product and its alias are one book."""

    def __init__(self, seed: int, volatility: float, spread: Decimal, step_s: float) -> None:
        super().__init__(seed, MARKETS, volatility, spread, step_s)
        for product in PRODUCTS:
            if product.alias:
                self._seeds[product.market.symbol] = self._seeds[BY_ID[product.alias].market.symbol]

    def set_price(self, symbol: str, price: Decimal, time_s: float) -> None:
        """Make `price` the price of the market and of those that share its book."""
        super().set_price(symbol, price, time_s)
        product = BY_SYMBOL[symbol]
        for twin in (product.alias, *product.alias_to):
            if twin:
                super().set_price(BY_ID[twin].market.symbol, price, time_s)
