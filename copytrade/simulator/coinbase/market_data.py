"""Products, prices and the clock, made from the price process; the signed calls and their public twins."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from copytrade.simulator.coinbase import params
from copytrade.simulator.coinbase.call import PRODUCT_FLAGS, Call
from copytrade.simulator.coinbase.errors import invalid, not_found
from copytrade.simulator.coinbase.listing import BY_ID, PRODUCTS, QUOTE_STEPS, Product, asset_name
from copytrade.simulator.coinbase.params import rfc3339
from copytrade.simulator.coinbase.shapes import number
from copytrade.simulator.prices import Quote

CANDLES_MAX = 350
TRADES_MAX = 1_000
LEVELS_MAX = 500
GRANULARITIES_S = {
    "ONE_MINUTE": 60, "FIVE_MINUTE": 300, "FIFTEEN_MINUTE": 900, "THIRTY_MINUTE": 1_800, "ONE_HOUR": 3_600,
    "TWO_HOUR": 7_200, "SIX_HOUR": 21_600, "ONE_DAY": 86_400,
}  # fmt: skip
_LEVEL_SIZE = Decimal("1")


def get_unix_time(call: Call) -> Any:
    """Get Server Time."""
    millis = int(call.now_s * 1000)
    return {"iso": rfc3339(millis / 1000), "epochSeconds": str(millis // 1000), "epochMillis": str(millis)}


def get_products(call: Call) -> Any:
    """List Products, by `product_ids`, `product_type`, `limit` and `offset`."""
    kind = params.one(call.query, "product_type")
    if kind not in ("", "UNKNOWN_PRODUCT_TYPE", "SPOT", "FUTURE"):
        raise invalid("product_type is not known")
    wanted = params.several(call.query, "product_ids")
    products = [each for each in PRODUCTS if kind != "FUTURE" and (not wanted or each.product_id in wanted)]
    offset = params.integer(call.query, "offset", 0, 1 << 30)
    limit = params.integer(call.query, "limit", len(PRODUCTS), 1 << 30)
    page = products[offset : offset + limit]
    return {"products": [_product(call, each) for each in page], "num_products": len(page)}


def get_product(call: Call) -> Any:
    """Get Product."""
    return _product(call, _named(call.path_part))


def get_best_bid_ask(call: Call) -> Any:
    """Get Best Bid/Ask, of some products or of all. Signed only: it has no public twin."""
    wanted = params.several(call.query, "product_ids")
    products = [_named(each) for each in wanted] if wanted else list(PRODUCTS)
    return {"pricebooks": [_book(call, product, 1) for product in products]}


def get_product_book(call: Call) -> Any:
    """Get Product Book: levels a tick or more apart, of made-up size; fills do not eat into them."""
    product = _named(params.one(call.query, "product_id"))
    quote = _quote(call, product)
    return {
        "pricebook": _book(call, product, params.integer(call.query, "limit", LEVELS_MAX, LEVELS_MAX)),
        "last": number(quote.last),
        "mid_market": number((quote.bid + quote.ask) / 2),
        "spread_bps": number(((quote.ask - quote.bid) / quote.last * 10_000).quantize(Decimal("0.01"))),
        "spread_absolute": number(quote.ask - quote.bid),
    }


def get_market_trades(call: Call) -> Any:
    """Get Market Trades: one made-up trade a price step, newest first, with the best prices beside them."""
    product = _named(call.path_part)
    market = product.market
    count = params.integer(call.query, "limit", 100, TRADES_MAX)
    prices = call.exchange.prices
    last_step = prices.step_of(call.now_s)
    trades = []
    for step in range(last_step, last_step - count, -1):
        then = prices.quote_at_step(market.symbol, step)
        side = "BUY" if step % 2 else "SELL"
        trades.append(
            {
                "trade_id": str(step),
                "product_id": product.product_id,
                "price": number(then.ask if side == "BUY" else then.bid),
                "size": number(market.lot_step * 1_000),
                "time": rfc3339(step * prices.step_s),
                "side": side,
                "bid": "",
                "ask": "",
                "exchange": "coinbase",
            }
        )
    now = _quote(call, product)
    return {"trades": trades, "best_bid": number(now.bid), "best_ask": number(now.ask)}


def get_candles(call: Call) -> Any:
    """Get Product Candles between `start` and `end` (unix seconds), newest first, at most 350."""
    product = _named(call.path_part)
    interval_s = GRANULARITIES_S.get(params.one(call.query, "granularity"))
    if interval_s is None:
        raise invalid("granularity is not known")
    start_s = params.integer(call.query, "start", 0, 1 << 40)
    end_s = min(params.integer(call.query, "end", 0, 1 << 40), int(call.now_s))
    limit = params.integer(call.query, "limit", CANDLES_MAX, CANDLES_MAX)
    if not 0 < start_s <= end_s:
        raise invalid("start and end are required")
    first, last = -(-start_s // interval_s), end_s // interval_s
    if last - first + 1 > CANDLES_MAX:
        raise invalid(f"number of candles requested should be less than {CANDLES_MAX}")
    count = min(last - first + 1, limit)
    if count < 1:
        return {"candles": []}
    bars = call.exchange.prices.candles(product.market.symbol, interval_s, last * interval_s, count)
    return {
        "candles": [
            {
                "start": str(bar.start_s),
                "low": number(bar.low),
                "high": number(bar.high),
                "open": number(bar.open),
                "close": number(bar.close),
                "volume": number(bar.volume),
            }
            for bar in reversed(bars)
        ]
    }


def _named(product_id: str) -> Product:
    product = BY_ID.get(product_id)
    if product is None:
        raise not_found("product")
    return product


def _quote(call: Call, product: Product) -> Quote:
    return call.exchange.prices.quote(product.market.symbol, call.now_s)


def _book(call: Call, product: Product, levels: int) -> dict[str, Any]:
    market, quote = product.market, _quote(call, product)
    step = max(market.tick_size, round(quote.last / 10_000, market.price_decimals))
    sides: dict[str, list[dict[str, str]]] = {}
    for name, best, away in (("bids", quote.bid, -step), ("asks", quote.ask, step)):
        prices = (best + away * level for level in range(levels))
        sides[name] = [{"price": number(price), "size": number(_LEVEL_SIZE)} for price in prices if price > 0]
    return {"product_id": product.product_id, **sides, "time": rfc3339(call.now_s)}


def _product(call: Call, product: Product) -> dict[str, Any]:
    market = product.market
    flags = call.desk.flagged(market.symbol)
    return {
        "product_id": product.product_id,
        "price": number(_quote(call, product).last),
        "price_percentage_change_24h": "0",
        "volume_24h": "1000",
        "base_increment": number(market.lot_step),
        "quote_increment": number(QUOTE_STEPS[product.product_id]),
        "price_increment": number(market.tick_size),
        "quote_min_size": number(market.cost_min),
        "quote_max_size": number(product.quote_max),
        "base_min_size": number(market.order_min),
        "base_max_size": number(product.base_max),
        "base_name": asset_name(market.base),
        "quote_name": asset_name(market.quote),
        "status": "delisted" if "is_disabled" in flags else "online",
        **{flag: flag in flags for flag in PRODUCT_FLAGS},
        "watched": False,
        "new": False,
        "product_type": "SPOT",
        "quote_currency_id": market.quote,
        "base_currency_id": market.base,
        "base_display_symbol": market.base,
        "quote_display_symbol": market.quote,
        "alias": product.alias,
        "alias_to": list(product.alias_to),
        "display_name": product.product_id,
        "product_venue": "CBE",
    }
