"""Kraken's assets and pairs with realistic rules, and every spelling in which a pair may be asked for.

Forms of one pair: result key (`XXBTZUSD`), altname (`XBTUSD`), wsname (`XBT/USD`), and `BTC/USD` under
`assetVersion=1`. Source: Kraken's AssetPairs documentation and captured replies; the minimums and decimals
follow those of 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from copytrade.simulator.markets import Asset, Market

TAKER_FEE = Decimal("0.0040")
MAKER_FEE = Decimal("0.0025")


@dataclass(frozen=True, slots=True)
class KrakenAsset:
    """An asset with Kraken's spellings: `key` in balances (`XXBT`), `altname` (`XBT`)."""

    asset: Asset
    key: str
    altname: str


@dataclass(frozen=True, slots=True)
class KrakenPair:
    """A market with Kraken's spellings."""

    market: Market
    key: str
    altname: str
    wsname: str
    base: KrakenAsset
    quote: KrakenAsset


# name, key, altname, decimals, display decimals
_ASSETS = (
    ("USD", "ZUSD", "USD", 4, 2),
    ("EUR", "ZEUR", "EUR", 4, 2),
    ("GBP", "ZGBP", "GBP", 4, 2),
    ("USDT", "USDT", "USDT", 8, 4),
    ("USDC", "USDC", "USDC", 8, 4),
    ("BTC", "XXBT", "XBT", 10, 5),
    ("ETH", "XETH", "ETH", 10, 5),
    ("SOL", "SOL", "SOL", 10, 5),
    ("ADA", "ADA", "ADA", 8, 6),
    ("DOGE", "XXDG", "XDG", 8, 2),
    ("XRP", "XXRP", "XRP", 8, 5),
    ("LTC", "XLTC", "LTC", 10, 5),
    ("DOT", "DOT", "DOT", 10, 8),
    ("LINK", "LINK", "LINK", 10, 5),
    ("AVAX", "AVAX", "AVAX", 10, 5),
)
# symbol, result key, start price, price decimals, lot decimals, cost decimals, order minimum, cost minimum
_PAIRS = (
    ("BTC/USD", "XXBTZUSD", "60000.0", 1, 8, 5, "0.00005", "0.5"),
    ("ETH/USD", "XETHZUSD", "3000.00", 2, 8, 5, "0.001", "0.5"),
    ("SOL/USD", "SOLUSD", "150.00", 2, 8, 5, "0.02", "0.5"),
    ("ADA/USD", "ADAUSD", "0.500000", 6, 8, 6, "4.4", "0.5"),
    ("DOGE/USD", "XDGUSD", "0.1500000", 7, 8, 7, "13", "0.5"),
    ("XRP/USD", "XXRPZUSD", "0.60000", 5, 8, 5, "1.65", "0.5"),
    ("LTC/USD", "XLTCZUSD", "80.00", 2, 8, 5, "0.04", "0.5"),
    ("DOT/USD", "DOTUSD", "6.0000", 4, 8, 5, "0.6", "0.5"),
    ("LINK/USD", "LINKUSD", "15.00000", 5, 8, 6, "0.2", "0.5"),
    ("AVAX/USD", "AVAXUSD", "30.00", 2, 8, 5, "0.1", "0.5"),
    ("BTC/EUR", "XXBTZEUR", "55000.0", 1, 8, 5, "0.00005", "0.45"),
    ("ETH/EUR", "XETHZEUR", "2750.00", 2, 8, 5, "0.001", "0.45"),
    ("BTC/GBP", "XXBTZGBP", "47000.0", 1, 8, 5, "0.00005", "0.4"),
    ("BTC/USDT", "XBTUSDT", "60000.0", 1, 8, 5, "0.00005", "0.5"),
    ("ETH/USDT", "ETHUSDT", "3000.00", 2, 8, 5, "0.001", "0.5"),
    ("BTC/USDC", "XBTUSDC", "60000.00", 2, 8, 8, "0.00005", "0.5"),
    ("ETH/USDC", "ETHUSDC", "3000.00", 2, 8, 8, "0.001", "0.5"),
    ("ETH/BTC", "XETHXXBT", "0.05000", 5, 8, 10, "0.001", "0.00002"),
    ("USDT/USD", "USDTZUSD", "1.00000", 5, 8, 5, "5", "0.5"),
    ("USDC/USD", "USDCUSD", "1.0000", 4, 8, 5, "5", "0.5"),
)

ASSETS: tuple[KrakenAsset, ...] = tuple(
    KrakenAsset(Asset(name, decimals, shown), key, altname) for name, key, altname, decimals, shown in _ASSETS
)
_BY_NAME = {asset.asset.name: asset for asset in ASSETS}


def _pair(row: tuple[str, str, str, int, int, int, str, str]) -> KrakenPair:
    symbol, key, price, price_decimals, lot_decimals, cost_decimals, order_min, cost_min = row
    base, quote = (_BY_NAME[name] for name in symbol.split("/"))
    market = Market(
        symbol=symbol,
        base=base.asset.name,
        quote=quote.asset.name,
        start_price=Decimal(price),
        tick_size=Decimal(1).scaleb(-price_decimals),
        price_decimals=price_decimals,
        lot_decimals=lot_decimals,
        cost_decimals=cost_decimals,
        order_min=Decimal(order_min),
        cost_min=Decimal(cost_min),
        taker_fee=TAKER_FEE,
        maker_fee=MAKER_FEE,
    )
    altname = base.altname + quote.altname
    return KrakenPair(market, key, altname, f"{base.altname}/{quote.altname}", base, quote)


PAIRS: tuple[KrakenPair, ...] = tuple(_pair(row) for row in _PAIRS)
MARKETS: tuple[Market, ...] = tuple(pair.market for pair in PAIRS)
BY_SYMBOL: dict[str, KrakenPair] = {pair.market.symbol: pair for pair in PAIRS}
ASSET_BY_NAME: dict[str, KrakenAsset] = _BY_NAME
_SPELLINGS: dict[str, KrakenPair] = {
    spelling: pair for pair in PAIRS for spelling in (pair.key, pair.altname, pair.wsname)
}
_ASSET_SPELLINGS: dict[str, KrakenAsset] = {
    spelling: asset for asset in ASSETS for spelling in (asset.key, asset.altname)
}


def find_pair(text: str, asset_version: str = "") -> KrakenPair | None:
    """The pair in one of Kraken's spellings, capitals as documented; `BTC/USD` only under `assetVersion=1`."""
    found = _SPELLINGS.get(text)
    return BY_SYMBOL.get(text) if found is None and asset_version == "1" else found


def find_asset(text: str, asset_version: str = "") -> KrakenAsset | None:
    """The asset in one of Kraken's spellings; `BTC` is one only under `assetVersion=1`."""
    found = _ASSET_SPELLINGS.get(text)
    return ASSET_BY_NAME.get(text) if found is None and asset_version == "1" else found


def amount_text(amount: Decimal, decimals: int) -> str:
    """An amount with at least the asset's decimals, and more only where digits would be lost."""
    step = Decimal(1).scaleb(-decimals)
    rounded = amount.quantize(step)
    return format(rounded if rounded == amount else amount, "f")
