"""What the simulated Alpaca lists: coins around the clock, and a few US stocks, some in fractions.

Increments and smallest sizes follow Alpaca's asset list of 2025 (`min_order_size` is about one dollar). Coins trade in
steps of a billionth; stocks that are fractionable do too, others in whole shares.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from copytrade.simulator.markets import Market

# Tier 1 of Alpaca's crypto fees, taken out of what is received; stocks cost no commission.
CRYPTO_FEE = Decimal("0.0025")
QUANTITY_DECIMALS = 9
MONEY_DECIMALS = 9
_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")

# symbol, name, start price, price decimals, smallest order in base units
_COINS = (
    ("BTC/USD", "Bitcoin / US Dollar", "60000", 3, "0.000016666"),
    ("ETH/USD", "Ethereum / US Dollar", "3000", 3, "0.000333333"),
    ("SOL/USD", "Solana / US Dollar", "150", 4, "0.006666666"),
    ("AVAX/USD", "Avalanche / US Dollar", "30", 4, "0.033333333"),
    ("DOGE/USD", "Dogecoin / US Dollar", "0.15", 7, "6.666666666"),
    ("DOT/USD", "Polkadot / US Dollar", "6", 5, "0.166666666"),
    ("LINK/USD", "Chainlink / US Dollar", "15", 5, "0.066666666"),
    ("LTC/USD", "Litecoin / US Dollar", "80", 4, "0.0125"),
    ("XRP/USD", "XRP / US Dollar", "0.6", 6, "1.666666666"),
    ("AAVE/USD", "Aave / US Dollar", "98", 4, "0.010204081"),
    ("USDC/USD", "USD Coin / US Dollar", "1", 5, "1"),
    ("USDT/USD", "Tether / US Dollar", "1", 5, "1"),
    ("BTC/USDT", "Bitcoin / Tether", "60000", 3, "0.000016666"),
    ("ETH/USDT", "Ethereum / Tether", "3000", 3, "0.000333333"),
    ("BTC/USDC", "Bitcoin / USD Coin", "60000", 3, "0.000016666"),
    ("ETH/USDC", "Ethereum / USD Coin", "3000", 3, "0.000333333"),
    ("ETH/BTC", "Ethereum / Bitcoin", "0.05", 9, "0.000333333"),
)
# symbol, name, exchange, start price, fractionable, active
_STOCKS = (
    ("AAPL", "Apple Inc. Common Stock", "NASDAQ", "230", True, True),
    ("AMZN", "Amazon.com, Inc. Common Stock", "NASDAQ", "200", True, True),
    ("GOOGL", "Alphabet Inc. Class A Common Stock", "NASDAQ", "180", True, True),
    ("META", "Meta Platforms, Inc. Class A Common Stock", "NASDAQ", "600", True, True),
    ("MSFT", "Microsoft Corporation Common Stock", "NASDAQ", "430", True, True),
    ("NVDA", "NVIDIA Corporation Common Stock", "NASDAQ", "140", True, True),
    ("QQQ", "Invesco QQQ Trust, Series 1", "NASDAQ", "500", True, True),
    ("SPY", "SPDR S&P 500 ETF Trust", "ARCA", "590", True, True),
    ("TSLA", "Tesla, Inc. Common Stock", "NASDAQ", "340", True, True),
    ("BRK.A", "Berkshire Hathaway Inc. Class A", "NYSE", "700000", False, True),
    ("TWTR", "Twitter, Inc. Common Stock", "NYSE", "54", False, False),
)


@dataclass(frozen=True, slots=True)
class AlpacaAsset:
    """An asset as Alpaca lists it, with the market it trades on; for a coin the asset is the pair."""

    asset_id: str
    market: Market
    name: str
    exchange: str
    fractionable: bool = True
    active: bool = True

    @property
    def symbol(self) -> str:
        """`BTC/USD` or `AAPL`."""
        return self.market.symbol

    @property
    def is_crypto(self) -> bool:
        """Whether it is a coin: no market hours, a fee, two times in force."""
        return self.exchange == "CRYPTO"

    @property
    def plain_symbol(self) -> str:
        """Without the slash, as positions and old clients spell it."""
        return self.market.base + self.market.quote if self.is_crypto else self.symbol


def _market(symbol: str, base: str, quote: str, price: str, decimals: int, lot: int, smallest: str) -> Market:
    fee = CRYPTO_FEE if "/" in symbol else Decimal(0)
    return Market(
        symbol=symbol,
        base=base,
        quote=quote,
        start_price=Decimal(price),
        tick_size=Decimal(1).scaleb(-decimals),
        price_decimals=decimals,
        lot_decimals=lot,
        cost_decimals=MONEY_DECIMALS,
        order_min=Decimal(smallest),
        cost_min=Decimal(0),
        taker_fee=fee,
        maker_fee=fee,
    )


def _asset_id(symbol: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"alpaca asset {symbol}"))


def _coin(row: tuple[str, str, str, int, str]) -> AlpacaAsset:
    symbol, name, price, decimals, smallest = row
    base, quote = symbol.split("/")
    market = _market(symbol, base, quote, price, decimals, QUANTITY_DECIMALS, smallest)
    return AlpacaAsset(_asset_id(symbol), market, name, "CRYPTO")


def _stock(row: tuple[str, str, str, str, bool, bool]) -> AlpacaAsset:
    symbol, name, exchange, price, fractionable, active = row
    lot = QUANTITY_DECIMALS if fractionable else 0
    smallest = "0.000000001" if fractionable else "1"
    market = _market(symbol, symbol, "USD", price, 2, lot, smallest)
    return AlpacaAsset(_asset_id(symbol), market, name, exchange, fractionable, active)


ASSETS: tuple[AlpacaAsset, ...] = (*map(_coin, _COINS), *map(_stock, _STOCKS))
MARKETS: tuple[Market, ...] = tuple(asset.market for asset in ASSETS)
BY_SYMBOL: dict[str, AlpacaAsset] = {asset.symbol: asset for asset in ASSETS}
_SPELLINGS: dict[str, AlpacaAsset] = {
    spelling: asset for asset in ASSETS for spelling in (asset.symbol, asset.plain_symbol, asset.asset_id)
}


def find_asset(spelling: str) -> AlpacaAsset | None:
    """By `BTC/USD`, the older `BTCUSD`, `AAPL`, or the asset's id."""
    return _SPELLINGS.get(spelling)


def asset_of_base(base: str) -> AlpacaAsset | None:
    """The market in dollars of what an account holds."""
    return BY_SYMBOL.get(f"{base}/USD") or BY_SYMBOL.get(base)


def asset_object(asset: AlpacaAsset) -> dict[str, Any]:
    """An asset as `/v2/assets` shows it."""
    crypto = asset.is_crypto
    shown: dict[str, Any] = {
        "id": asset.asset_id,
        "class": "crypto" if crypto else "us_equity",
        "exchange": asset.exchange,
        "symbol": asset.symbol,
        "name": asset.name,
        "status": "active" if asset.active else "inactive",
        "tradable": asset.active,
        "marginable": not crypto and asset.active,
        "maintenance_margin_requirement": 100 if crypto else 30,
        "margin_requirement_long": "100" if crypto else "30",
        "margin_requirement_short": "100" if crypto else "30",
        "shortable": not crypto and asset.active,
        "easy_to_borrow": not crypto and asset.active,
        "fractionable": asset.fractionable,
        "attributes": [],
    }
    if crypto:
        market = asset.market
        shown["min_order_size"] = format(market.order_min, "f")
        shown["min_trade_increment"] = format(market.lot_step, "f")
        shown["price_increment"] = format(market.tick_size, "f")
    return shown
