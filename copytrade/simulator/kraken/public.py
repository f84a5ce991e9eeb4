"""Kraken's public calls; tickers, candles, depth and trades are made from the price process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from copytrade.simulator.exchange import Exchange
from copytrade.simulator.kraken import errors, params
from copytrade.simulator.kraken.call import ONLINE, TradingDesk
from copytrade.simulator.kraken.errors import KrakenError, invalid
from copytrade.simulator.kraken.listing import ASSETS, PAIRS, KrakenPair, find_asset, find_pair
from copytrade.simulator.kraken.params import Params
from copytrade.simulator.kraken.shapes import fixed
from copytrade.simulator.prices import Candle

INTERVALS_MIN = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)
CANDLES_MAX = 720
DEPTH_MAX = 500
TRADES_MAX = 1_000
DAY_S = 86_400
# Finished candles never change unless a price is set; so many lists are kept, one per pair and interval at
# most.
_LEVEL_VOLUME = Decimal("1.000")


@dataclass(slots=True)
class PublicCall:
    """One public call."""

    exchange: Exchange
    desk: TradingDesk
    params: Params
    now_s: float
    candle_cache: dict[tuple[str, int], list[Candle]]


def server_time(call: PublicCall) -> Any:
    """Time."""
    moment = datetime.fromtimestamp(call.now_s, UTC)
    return {"unixtime": int(call.now_s), "rfc1123": moment.strftime("%a, %d %b %y %H:%M:%S +0000")}


def system_status(call: PublicCall) -> Any:
    """SystemStatus."""
    return {"status": "online", "timestamp": params.rfc3339(call.now_s)}


def assets(call: PublicCall) -> Any:
    """Assets, all or those in `asset`."""
    version = params.text(call.params, "assetVersion")
    wanted = params.text(call.params, "asset")
    chosen = [find_asset(part, version) for part in wanted.split(",")] if wanted else list(ASSETS)
    shown = {}
    for asset in chosen:
        if asset is None:
            raise KrakenError(errors.UNKNOWN_ASSET)
        shown[asset.asset.name if version == "1" else asset.key] = {
            "aclass": "currency",
            "altname": asset.altname,
            "decimals": asset.asset.decimals,
            "display_decimals": asset.asset.display_decimals,
            "status": "enabled",
        }
    return shown


def asset_pairs(call: PublicCall) -> Any:
    """AssetPairs, all or those in `pair`, under `XXBTZUSD` or with `assetVersion=1` under `BTC/USD`."""
    info = params.text(call.params, "info", "info") or "info"
    if info not in ("info", "leverage", "fees", "margin"):
        raise invalid("info")
    version = params.text(call.params, "assetVersion")
    shown = {}
    for pair in _pairs(call, everything=True):
        entry = _pair_entry(pair, version, call.desk.modes.get(pair.market.symbol, ONLINE))
        if info == "leverage":
            entry = {name: entry[name] for name in ("leverage_buy", "leverage_sell")}
        elif info == "fees":
            entry = {name: entry[name] for name in ("fees", "fees_maker", "fee_volume_currency")}
        elif info == "margin":
            entry = {name: entry[name] for name in ("margin_call", "margin_stop")}
        shown[_result_key(pair, version)] = entry
    return shown


def _pair_entry(pair: KrakenPair, version: str, mode: str) -> dict[str, Any]:
    market = pair.market
    new = version == "1"
    return {
        "altname": pair.altname,
        "wsname": pair.wsname,
        "aclass_base": "currency",
        "base": market.base if new else pair.base.key,
        "aclass_quote": "currency",
        "quote": market.quote if new else pair.quote.key,
        "lot": "unit",
        "cost_decimals": market.cost_decimals,
        "pair_decimals": market.price_decimals,
        "lot_decimals": market.lot_decimals,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, float(market.taker_fee * 100)]],
        "fees_maker": [[0, float(market.maker_fee * 100)]],
        "fee_volume_currency": "USD" if new else "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": format(market.order_min, "f"),
        "costmin": format(market.cost_min, "f"),
        "tick_size": format(market.tick_size, "f"),
        "status": mode,
    }


def ticker(call: PublicCall) -> Any:
    """Ticker of the pairs asked for, or of all.

    Day figures are sampled from the price process by the hour.
    """
    version = params.text(call.params, "assetVersion")
    return {_result_key(pair, version): _ticker(call, pair) for pair in _pairs(call, everything=True)}


def _ticker(call: PublicCall, pair: KrakenPair) -> dict[str, Any]:
    market = pair.market
    decimals = market.price_decimals
    quote = call.exchange.prices.quote(market.symbol, call.now_s)
    hours = _candles(call, pair, 60, 25)
    midnight_s = int(call.now_s) // DAY_S * DAY_S
    today = [bar for bar in hours if bar.start_s >= midnight_s]
    lows = [min(quote.last, *(bar.low for bar in bars)) for bars in (today, hours)]
    highs = [max(quote.last, *(bar.high for bar in bars)) for bars in (today, hours)]
    volumes = [fixed(sum((bar.volume for bar in bars), Decimal(0)), 8) for bars in (today, hours)]
    averages = [sum((bar.close for bar in bars), Decimal(0)) / len(bars) for bars in (today, hours)]
    return {
        "a": [fixed(quote.ask, decimals), "1", "1.000"],
        "b": [fixed(quote.bid, decimals), "1", "1.000"],
        "c": [fixed(quote.last, decimals), fixed(market.order_min, 8)],
        "v": volumes,
        "p": [fixed(average, decimals) for average in averages],
        "t": [sum(bar.count for bar in bars) for bars in (today, hours)],
        "l": [fixed(low, decimals) for low in lows],
        "h": [fixed(high, decimals) for high in highs],
        "o": fixed(today[0].open, decimals),
    }


def ohlc(call: PublicCall) -> Any:
    """OHLC: at most 720 candles, the last one unfinished; `last` is the start of the last finished one."""
    pair = _one_pair(call)
    interval_min = params.integer(call.params, "interval", 1, 1, 21600)
    if interval_min not in INTERVALS_MIN:
        raise invalid("interval")
    since_s = params.integer(call.params, "since", 0, 0, 1 << 40)
    decimals = pair.market.price_decimals
    rows = []
    for bar in _candles(call, pair, interval_min, CANDLES_MAX):
        if bar.start_s <= since_s and since_s:
            continue
        middle = (bar.open + bar.high + bar.low + bar.close) / 4
        prices = [fixed(price, decimals) for price in (bar.open, bar.high, bar.low, bar.close, middle)]
        rows.append([bar.start_s, *prices, fixed(bar.volume, 8), bar.count])
    current_s = int(call.now_s) // (interval_min * 60) * (interval_min * 60)
    return {
        _result_key(pair, params.text(call.params, "assetVersion")): rows,
        "last": current_s - interval_min * 60,
    }


def _candles(call: PublicCall, pair: KrakenPair, interval_min: int, count: int) -> list[Candle]:
    """The last `count` candles.

    Finished ones are kept, so that a scan of many pairs computes each only once.
    """
    interval_s = interval_min * 60
    symbol = pair.market.symbol
    prices = call.exchange.prices
    current_s = int(call.now_s) // interval_s * interval_s
    kept = call.candle_cache.setdefault((symbol, interval_min), [])
    if not kept or kept[-1].start_s >= current_s or len(kept) < count - 1:
        kept[:] = prices.candles(symbol, interval_s, current_s - interval_s, count - 1)
    missing = min((current_s - interval_s - kept[-1].start_s) // interval_s, count - 1)
    if missing:
        kept.extend(prices.candles(symbol, interval_s, current_s - interval_s, missing))
        del kept[: max(0, len(kept) - CANDLES_MAX)]
    opening = kept[-1].close
    last = prices.quote(symbol, call.now_s).last
    count_now = 1 + int(call.now_s) % 7
    high, low = max(opening, last), min(opening, last)
    running = Candle(current_s, opening, high, low, last, pair.market.order_min, count_now)
    return [*kept[-(count - 1) :], running]


def depth(call: PublicCall) -> Any:
    """Depth: levels a tick or more apart around bid and ask, of made-up size; fills do not eat into them."""
    pair = _one_pair(call)
    count = params.integer(call.params, "count", 100, 1, DEPTH_MAX)
    market = pair.market
    quote = call.exchange.prices.quote(market.symbol, call.now_s)
    step = max(market.tick_size, round(quote.last / 10_000, market.price_decimals))
    time_s = int(call.now_s)
    shown: dict[str, list[list[Any]]] = {}
    for side, best, away in (("asks", quote.ask, step), ("bids", quote.bid, -step)):
        prices = [best + away * level for level in range(count)]
        shown[side] = [
            [fixed(price, market.price_decimals), fixed(_LEVEL_VOLUME * (level + 1), 3), time_s]
            for level, price in enumerate(prices)
            if price > 0
        ]
    return {_result_key(pair, params.text(call.params, "assetVersion")): shown}


def trades(call: PublicCall) -> Any:
    """Trades: one made-up trade a price step, oldest first; `since` and `last` in nanoseconds."""
    pair = _one_pair(call)
    count = params.integer(call.params, "count", TRADES_MAX, 1, TRADES_MAX)
    since = params.text(call.params, "since")
    prices = call.exchange.prices
    last_step = prices.step_of(call.now_s)
    first_step = last_step - count + 1
    if since:
        since_s = float(params.decimal(since, "since")) / (1e9 if len(since.split(".")[0]) > 12 else 1)
        first_step = max(prices.step_of(since_s) + 1, last_step - DAY_S)
    rows: list[list[Any]] = []
    market = pair.market
    for step in range(first_step, min(last_step, first_step + count - 1) + 1):
        quote = prices.quote_at_step(market.symbol, step)
        side = "b" if step % 2 else "s"
        price = fixed(quote.ask if side == "b" else quote.bid, market.price_decimals)
        rows.append([price, fixed(market.order_min, 8), round(step * prices.step_s, 6), side, "m", "", step])
    last_s = rows[-1][2] if rows else call.now_s
    key = _result_key(pair, params.text(call.params, "assetVersion"))
    return {key: rows, "last": str(int(last_s * 1_000_000_000))}


def _pairs(call: PublicCall, everything: bool) -> list[KrakenPair]:
    wanted = params.text(call.params, "pair")
    if not wanted:
        if everything:
            return list(PAIRS)
        raise invalid("pair")
    found = [find_pair(part.strip(), params.text(call.params, "assetVersion")) for part in wanted.split(",")]
    known = [pair for pair in found if pair is not None]
    if len(known) != len(found):
        raise KrakenError(errors.UNKNOWN_PAIR)
    return known


def _one_pair(call: PublicCall) -> KrakenPair:
    found = _pairs(call, everything=False)
    if len(found) != 1:
        raise KrakenError(errors.UNKNOWN_PAIR)
    return found[0]


def _result_key(pair: KrakenPair, version: str) -> str:
    return pair.market.symbol if version == "1" else pair.key


PUBLIC_CALLS: dict[str, Callable[[PublicCall], Any]] = {
    "Time": server_time,
    "SystemStatus": system_status,
    "Assets": assets,
    "AssetPairs": asset_pairs,
    "Ticker": ticker,
    "OHLC": ohlc,
    "Depth": depth,
    "Trades": trades,
}
