"""Binance's assets and symbols with realistic rules.

A symbol (`BTCUSDT`) cannot be cut into its assets by looking at it; `exchangeInfo` says which they are. Quantities
move in steps of LOT_SIZE, balances have eight decimals whatever the step: a fee taken out of a purchase leaves less
than a step behind. Filter values follow those of 2025; LTCBTC and ETHBTC keep the older MIN_NOTIONAL.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from copytrade.simulator.markets import Market

FEE = Decimal("0.001")
ASSET_DECIMALS = 8
STEP = Decimal("0.00000001")
ORDER_TYPES = (
    "LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT",
)  # fmt: skip
PRICE_SHARE_MIN, PRICE_SHARE_MAX = Decimal("0.2"), Decimal(5)  # PERCENT_PRICE_BY_SIDE
# Older symbols take no market stops.
_TYPES_WITHOUT_MARKET_STOPS = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT")
ORDERS_MAX = 200  # MAX_NUM_ORDERS: open orders of one account in one symbol
ALGO_ORDERS_MAX = 5  # MAX_NUM_ALGO_ORDERS: those of them that wait for a trigger


@dataclass(frozen=True, slots=True)
class BinanceSymbol:
    """A market as Binance lists it. Quantities in base units, prices and notionals in quote units."""

    market: Market
    name: str
    quantity_max: Decimal
    market_quantity_max: Decimal
    price_max: Decimal
    notional_max: Decimal
    notional_filter: str
    order_types: tuple[str, ...] = ORDER_TYPES
    oco: bool = True


# base, quote, start price, price decimals, quantity decimals, smallest notional, filter of the notional
_ROWS = (
    ("BTC", "USDT", "60000.00", 2, 5, "5", "NOTIONAL"),
    ("ETH", "USDT", "3000.00", 2, 4, "5", "NOTIONAL"),
    ("BNB", "USDT", "600.00", 2, 3, "5", "NOTIONAL"),
    ("SOL", "USDT", "150.00", 2, 3, "5", "NOTIONAL"),
    ("ADA", "USDT", "0.5000", 4, 1, "5", "NOTIONAL"),
    ("DOGE", "USDT", "0.15000", 5, 0, "1", "NOTIONAL"),
    ("XRP", "USDT", "0.6000", 4, 1, "5", "NOTIONAL"),
    ("LTC", "USDT", "80.00", 2, 3, "5", "NOTIONAL"),
    ("DOT", "USDT", "6.000", 3, 2, "5", "NOTIONAL"),
    ("LINK", "USDT", "15.00", 2, 2, "5", "NOTIONAL"),
    ("AVAX", "USDT", "30.00", 2, 2, "5", "NOTIONAL"),
    ("BTC", "USDC", "60000.00", 2, 5, "5", "NOTIONAL"),
    ("ETH", "USDC", "3000.00", 2, 4, "5", "NOTIONAL"),
    ("BTC", "FDUSD", "60000.00", 2, 5, "5", "NOTIONAL"),
    ("BTC", "EUR", "55000.00", 2, 5, "5", "NOTIONAL"),
    ("ETH", "EUR", "2750.00", 2, 4, "5", "NOTIONAL"),
    ("ETH", "BTC", "0.05000", 5, 4, "0.0001", "MIN_NOTIONAL"),
    ("LTC", "BTC", "0.001300", 6, 3, "0.0001", "MIN_NOTIONAL"),
    ("BNB", "BTC", "0.010000", 6, 3, "0.0001", "NOTIONAL"),
    ("EUR", "USDT", "1.0900", 4, 1, "5", "NOTIONAL"),
    ("USDC", "USDT", "1.0000", 4, 0, "5", "NOTIONAL"),
    ("FDUSD", "USDT", "1.0000", 4, 0, "5", "NOTIONAL"),
)


def _symbol(row: tuple[str, str, str, int, int, str, str]) -> BinanceSymbol:
    base, quote, price, price_decimals, lot_decimals, notional_min, notional_filter = row
    start = Decimal(price)
    market = Market(
        symbol=f"{base}/{quote}",
        base=base,
        quote=quote,
        start_price=start,
        tick_size=Decimal(1).scaleb(-price_decimals),
        price_decimals=price_decimals,
        lot_decimals=lot_decimals,
        cost_decimals=ASSET_DECIMALS,
        order_min=Decimal(1).scaleb(-lot_decimals),
        cost_min=Decimal(notional_min),
        taker_fee=FEE,
        maker_fee=FEE,
        base_decimals=ASSET_DECIMALS,
    )
    return BinanceSymbol(
        market=market,
        name=base + quote,
        quantity_max=Decimal(9_000_000),
        market_quantity_max=Decimal(1_000_000),
        price_max=Decimal(1_000_000),
        notional_max=Decimal(9_000_000),
        notional_filter=notional_filter,
        order_types=_TYPES_WITHOUT_MARKET_STOPS if notional_filter == "MIN_NOTIONAL" else ORDER_TYPES,
        oco=notional_filter != "MIN_NOTIONAL",
    )


SYMBOLS: tuple[BinanceSymbol, ...] = tuple(_symbol(row) for row in _ROWS)
MARKETS: tuple[Market, ...] = tuple(symbol.market for symbol in SYMBOLS)
BY_NAME: dict[str, BinanceSymbol] = {symbol.name: symbol for symbol in SYMBOLS}
BY_MARKET: dict[str, BinanceSymbol] = {symbol.market.symbol: symbol for symbol in SYMBOLS}


def fixed(value: Decimal, decimals: int = ASSET_DECIMALS) -> str:
    """A number as text with this many decimals, eight as nearly everywhere at Binance."""
    return format(value.quantize(Decimal(1).scaleb(-decimals)), "f")


def filters(symbol: BinanceSymbol) -> list[dict[str, Any]]:
    """The rules of a symbol in the shape of `exchangeInfo`."""
    market = symbol.market
    shares = {
        f"{side}Multiplier{way}": str(share)
        for side in ("bid", "ask")
        for way, share in (("Up", PRICE_SHARE_MAX), ("Down", PRICE_SHARE_MIN))
    }
    notional: dict[str, Any] = {
        "filterType": "NOTIONAL", "minNotional": fixed(market.cost_min), "applyMinToMarket": True,
        "maxNotional": fixed(symbol.notional_max), "applyMaxToMarket": False, "avgPriceMins": 5,
    }  # fmt: skip
    if symbol.notional_filter == "MIN_NOTIONAL":
        notional = {
            "filterType": "MIN_NOTIONAL", "minNotional": fixed(market.cost_min), "applyToMarket": True,
            "avgPriceMins": 5,
        }  # fmt: skip
    return [
        {
            "filterType": "PRICE_FILTER", "minPrice": fixed(market.tick_size), "maxPrice": fixed(symbol.price_max),
            "tickSize": fixed(market.tick_size),
        },
        {
            "filterType": "LOT_SIZE", "minQty": fixed(market.order_min), "maxQty": fixed(symbol.quantity_max),
            "stepSize": fixed(market.lot_step),
        },
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {
            "filterType": "MARKET_LOT_SIZE", "minQty": fixed(Decimal(0)),
            "maxQty": fixed(symbol.market_quantity_max), "stepSize": fixed(Decimal(0)),
        },
        {"filterType": "PERCENT_PRICE_BY_SIDE", **shares, "avgPriceMins": 5},
        notional,
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": ORDERS_MAX},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": ALGO_ORDERS_MAX},
    ]  # fmt: skip


def symbol_info(symbol: BinanceSymbol, status: str) -> dict[str, Any]:
    """A symbol in the shape of `exchangeInfo`."""
    market = symbol.market
    return {
        "symbol": symbol.name,
        "status": status,
        "baseAsset": market.base,
        "baseAssetPrecision": ASSET_DECIMALS,
        "quoteAsset": market.quote,
        "quotePrecision": ASSET_DECIMALS,
        "quoteAssetPrecision": ASSET_DECIMALS,
        "baseCommissionPrecision": ASSET_DECIMALS,
        "quoteCommissionPrecision": ASSET_DECIMALS,
        "orderTypes": list(symbol.order_types),
        "icebergAllowed": True,
        "ocoAllowed": symbol.oco,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters(symbol),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }
