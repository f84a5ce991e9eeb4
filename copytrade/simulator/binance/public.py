"""Binance's public calls; tickers, candles, depth and trades are made from the price process."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from copytrade.simulator.binance import params
from copytrade.simulator.binance.call import STATUSES, PublicCall
from copytrade.simulator.binance.errors import BinanceError, illegal
from copytrade.simulator.binance.listing import SYMBOLS, BinanceSymbol, fixed, symbol_info
from copytrade.simulator.binance.shapes import milliseconds
from copytrade.simulator.prices import Candle, Quote

# A month has no fixed length, so `1M` is not here.
INTERVALS_S = {
    "1s": 1, "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1_800, "1h": 3_600, "2h": 7_200, "4h": 14_400,
    "6h": 21_600, "8h": 28_800, "12h": 43_200, "1d": 86_400, "3d": 259_200, "1w": 604_800,
}  # fmt: skip
CANDLES_DEFAULT, CANDLES_MAX = 500, 1_000
DEPTH_DEFAULT, DEPTH_MAX = 100, 5_000
TRADES_DEFAULT, TRADES_MAX = 500, 1_000
SYMBOLS_MAX = 1_000
_WEEK_OFFSET_S = 345_600  # the epoch was a Thursday; weeks begin on Monday
_LEVEL_VOLUME = Decimal("1.0")


def ping(call: PublicCall) -> Any:
    """`GET /api/v3/ping`."""
    return {}


def server_time(call: PublicCall) -> Any:
    """`GET /api/v3/time`."""
    return {"serverTime": milliseconds(call.now_s)}


def exchange_info(call: PublicCall) -> Any:
    """`GET /api/v3/exchangeInfo`: all symbols, or those that are named, or those of a status."""
    message = "Data sent for parameter 'symbolStatus' is not valid."
    status = params.choice(call.params, "symbolStatus", STATUSES, -1130, message)
    chosen = _chosen(call)
    if status is not None and chosen is not None:
        raise BinanceError(-1128, "Combination of optional parameters invalid.")
    found = [s for s in (chosen or SYMBOLS) if status is None or call.desk.status(s) == status]
    orders = call.desk.orders
    return {
        "timezone": "UTC",
        "serverTime": milliseconds(call.now_s),
        "rateLimits": [
            _rate_limit("REQUEST_WEIGHT", "MINUTE", 1, call.desk.weight_per_minute),
            _rate_limit("ORDERS", "SECOND", 10, orders.per_10_s),
            _rate_limit("ORDERS", "DAY", 1, orders.per_day),
            _rate_limit("RAW_REQUESTS", "MINUTE", 5, 300_000),
        ],
        "exchangeFilters": [],
        "symbols": [symbol_info(symbol, call.desk.status(symbol)) for symbol in found],
    }


def _rate_limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def ticker_price(call: PublicCall) -> Any:
    """`GET /api/v3/ticker/price`: an object for one symbol, a list for several or all."""
    return _per_symbol(call, lambda symbol, quote: {"price": fixed(quote.last)})


def book_ticker(call: PublicCall) -> Any:
    """`GET /api/v3/ticker/bookTicker`."""
    volume = fixed(_LEVEL_VOLUME)
    return _per_symbol(
        call,
        lambda symbol, quote: {
            "bidPrice": fixed(quote.bid),
            "bidQty": volume,
            "askPrice": fixed(quote.ask),
            "askQty": volume,
        },
    )


def day_ticker(call: PublicCall) -> Any:
    """`GET /api/v3/ticker/24hr`: figures of the last day, sampled from the price process by the hour."""

    def figures(symbol: BinanceSymbol, quote: Quote) -> dict[str, Any]:
        bars = _candles(call, symbol, 3_600, 25)
        high, low = max(bar.high for bar in bars), min(bar.low for bar in bars)
        volume = sum((bar.volume for bar in bars), Decimal(0))
        average = sum((bar.close for bar in bars), Decimal(0)) / len(bars)
        change = quote.last - bars[0].open
        now_ms = milliseconds(call.now_s)
        count = sum(bar.count for bar in bars)
        return {
            "priceChange": fixed(change), "priceChangePercent": fixed(change / bars[0].open * 100, 3),
            "weightedAvgPrice": fixed(average), "prevClosePrice": fixed(bars[0].open),
            "lastPrice": fixed(quote.last), "lastQty": fixed(symbol.market.order_min),
            "bidPrice": fixed(quote.bid), "bidQty": fixed(_LEVEL_VOLUME),
            "askPrice": fixed(quote.ask), "askQty": fixed(_LEVEL_VOLUME),
            "openPrice": fixed(bars[0].open), "highPrice": fixed(max(high, quote.last)),
            "lowPrice": fixed(min(low, quote.last)), "volume": fixed(volume),
            "quoteVolume": fixed(volume * average), "openTime": now_ms - 86_400_000, "closeTime": now_ms,
            "firstId": 0, "lastId": count - 1, "count": count,
        }  # fmt: skip

    return _per_symbol(call, figures)


def average_price(call: PublicCall) -> Any:
    """`GET /api/v3/avgPrice`."""
    symbol = params.symbol(call.params)
    quote = call.exchange.prices.quote(symbol.market.symbol, call.now_s)
    return {"mins": 5, "price": fixed(quote.last), "closeTime": milliseconds(call.now_s)}


def klines(call: PublicCall) -> Any:
    """`GET /api/v3/klines`: candles, oldest first; without an end the last one is still running."""
    symbol = params.symbol(call.params)
    message = "Invalid interval."
    interval = params.choice(call.params, "interval", tuple(INTERVALS_S), -1120, message)
    if interval is None:
        raise BinanceError(-1120, message)
    count = params.limit(call.params, CANDLES_DEFAULT, CANDLES_MAX)
    start_ms, end_ms = params.integer(call.params, "startTime"), params.integer(call.params, "endTime")
    length_s = INTERVALS_S[interval]
    if start_ms is None and end_ms is None:
        bars = _candles(call, symbol, length_s, count)
    else:
        bars = _candles_within(call, symbol, length_s, count, start_ms, end_ms)
    return [_kline(symbol, bar, length_s) for bar in bars]


def _kline(symbol: BinanceSymbol, bar: Candle, length_s: int) -> list[Any]:
    prices = [fixed(price) for price in (bar.open, bar.high, bar.low, bar.close)]
    middle = (bar.high + bar.low) / 2
    half = bar.volume / 2
    return [
        bar.start_s * 1000, *prices, fixed(bar.volume), (bar.start_s + length_s) * 1000 - 1,
        fixed(bar.volume * middle), bar.count, fixed(half), fixed(half * middle), "0",
    ]  # fmt: skip


def _start_of(time_s: float, length_s: int) -> int:
    offset_s = _WEEK_OFFSET_S if length_s == INTERVALS_S["1w"] else 0
    return (int(time_s) - offset_s) // length_s * length_s + offset_s


def _candles(call: PublicCall, symbol: BinanceSymbol, length_s: int, count: int) -> list[Candle]:
    """The last `count` candles; finished ones are kept, so that a scan of many symbols computes each only once."""
    prices, name = call.exchange.prices, symbol.market.symbol
    current_s = _start_of(call.now_s, length_s)
    kept = call.desk.candles.setdefault((name, length_s), [])
    wanted = max(count - 1, 1)
    if not kept or kept[-1].start_s >= current_s or len(kept) < wanted:
        kept[:] = prices.candles(name, length_s, current_s - length_s, wanted)
    missing = min((current_s - length_s - kept[-1].start_s) // length_s, wanted)
    if missing:
        kept.extend(prices.candles(name, length_s, current_s - length_s, missing))
        del kept[: max(0, len(kept) - CANDLES_MAX)]
    opening, last = kept[-1].close, prices.quote(name, call.now_s).last
    trades = 1 + int(call.now_s) % 7
    running = Candle(current_s, opening, max(opening, last), min(opening, last), last, symbol.market.order_min, trades)
    return [*kept[len(kept) - count + 1 :], running] if count > 1 else [running]


def _candles_within(
    call: PublicCall, symbol: BinanceSymbol, length_s: int, count: int, start_ms: int | None, end_ms: int | None
) -> list[Candle]:
    """Candles that open within a span: the first of it when it has a start, else the last."""
    end_s = min(call.now_s, call.now_s if end_ms is None else end_ms / 1000)
    last_s = _start_of(end_s, length_s)
    if start_ms is not None:
        first_s = _start_of(-(-start_ms // 1000) + length_s - 1, length_s)
        if first_s > last_s:
            return []
        count = min(count, (last_s - first_s) // length_s + 1)
        last_s = first_s + (count - 1) * length_s
    return call.exchange.prices.candles(symbol.market.symbol, length_s, last_s, count)


def depth(call: PublicCall) -> Any:
    """`GET /api/v3/depth`: levels of made-up size around bid and ask; fills do not eat into them."""
    symbol = params.symbol(call.params)
    count = params.limit(call.params, DEPTH_DEFAULT, DEPTH_MAX)
    market = symbol.market
    quote = call.exchange.prices.quote(market.symbol, call.now_s)
    step = max(market.tick_size, round(quote.last / 10_000, market.price_decimals))
    shown: dict[str, Any] = {"lastUpdateId": call.exchange.prices.step_of(call.now_s)}
    for side, best, away in (("bids", quote.bid, -step), ("asks", quote.ask, step)):
        prices = [best + away * level for level in range(count)]
        shown[side] = [
            [fixed(price), fixed(_LEVEL_VOLUME * (level + 1))] for level, price in enumerate(prices) if price > 0
        ]
    return shown


def trades(call: PublicCall) -> Any:
    """`GET /api/v3/trades`: one made-up trade a price step, oldest first."""
    symbol = params.symbol(call.params)
    count = params.limit(call.params, TRADES_DEFAULT, TRADES_MAX)
    prices, market = call.exchange.prices, symbol.market
    last_step = prices.step_of(call.now_s)
    rows = []
    for step in range(last_step - count + 1, last_step + 1):
        quote = prices.quote_at_step(market.symbol, step)
        buyer_rests = bool(step % 2)
        price = quote.bid if buyer_rests else quote.ask
        rows.append(
            {
                "id": step, "price": fixed(price), "qty": fixed(market.order_min),
                "quoteQty": fixed(price * market.order_min), "time": int(step * prices.step_s * 1000),
                "isBuyerMaker": buyer_rests, "isBestMatch": True,
            }
        )  # fmt: skip
    return rows


def aggregate_trades(call: PublicCall) -> Any:
    """`GET /api/v3/aggTrades`: the same trades by their short names, each an aggregate of itself."""
    return [
        {
            "a": each["id"], "p": each["price"], "q": each["qty"], "f": each["id"], "l": each["id"],
            "T": each["time"], "m": each["isBuyerMaker"], "M": each["isBestMatch"],
        }
        for each in trades(call)
    ]  # fmt: skip


def _per_symbol(call: PublicCall, figures: Any) -> Any:
    chosen = _chosen(call)
    shown = [
        {"symbol": symbol.name, **figures(symbol, call.exchange.prices.quote(symbol.market.symbol, call.now_s))}
        for symbol in (SYMBOLS if chosen is None else chosen)
    ]
    return shown[0] if "symbol" in call.params else shown


def _chosen(call: PublicCall) -> list[BinanceSymbol] | None:
    """The symbols that `symbol` or `symbols` names; None when neither is there."""
    one, several = params.text(call.params, "symbol"), params.text(call.params, "symbols")
    if one is not None and several is not None:
        raise BinanceError(-1128, "Combination of optional parameters invalid.")
    if one is not None:
        return [params.find_symbol(one)]
    if several is None:
        return None
    try:
        names = json.loads(several)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not 1 <= len(names) <= SYMBOLS_MAX or not all(isinstance(n, str) for n in names):
        raise illegal("symbols", r'^\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}\]$')
    return [params.find_symbol(name) for name in names]
