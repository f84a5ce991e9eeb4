"""Market data, made from the price process: quotes, trades, bars, books. Its numbers are JSON numbers, not text."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from copytrade.simulator.alpaca import params
from copytrade.simulator.alpaca.call import PublicCall, PublicHandler
from copytrade.simulator.alpaca.errors import AlpacaError
from copytrade.simulator.alpaca.hours import session_of
from copytrade.simulator.alpaca.listing import AlpacaAsset, find_asset
from copytrade.simulator.alpaca.params import nanoseconds
from copytrade.simulator.prices import Candle

BARS_DEFAULT, BARS_MAX = 1_000, 10_000
# A candle is five samples of the price; more than this in one answer would hold the venue up for seconds.
BARS_AT_ONCE_MAX = 2_000
BOOK_LEVELS = 10
# Units are written either way; ccxt 4.5.90 asks for `5min` and `1H`.
_TIMEFRAME = re.compile(r"(\d{1,2})(min|t|hour|h|day|d|week|w)", re.IGNORECASE)
_UNITS_S = {"min": 60, "t": 60, "hour": 3_600, "h": 3_600, "day": 86_400, "d": 86_400, "week": 604_800, "w": 604_800}

Entry = Callable[[PublicCall, AlpacaAsset], Any]


def bad_request(message: str) -> AlpacaError:
    """The data service answers with 400 and no code."""
    return AlpacaError(400, None, message)


def _assets(call: PublicCall, crypto: bool) -> list[AlpacaAsset]:
    wanted = params.names(call.params, "symbols")
    if not wanted:
        raise bad_request("symbols is required")
    found = []
    for name in wanted:
        asset = find_asset(name)
        if crypto and (asset is None or name != asset.symbol):
            raise bad_request(f"invalid symbol: {name}")
        if asset is not None and asset.is_crypto == crypto and asset.active:
            found.append(asset)  # an unknown stock is left out of the answer
    return found


def _latest(name: str, entry: Entry, crypto: bool) -> PublicHandler:
    def answer(call: PublicCall) -> Any:
        shown = {asset.symbol: entry(call, asset) for asset in _assets(call, crypto)}
        return shown if name == "snapshots" and not crypto else {name: shown}

    return answer


def quote(call: PublicCall, asset: AlpacaAsset) -> Any:
    """The best bid and ask."""
    prices = call.exchange.prices.quote(asset.symbol, call.now_s)
    shown: dict[str, Any] = {
        "ap": prices.ask, "as": Decimal("1.5"), "bp": prices.bid, "bs": Decimal("1.5"), "t": nanoseconds(call.now_s),
    }  # fmt: skip
    return shown if asset.is_crypto else {**shown, "ax": "V", "bx": "V", "c": ["R"], "z": "C", "as": 2, "bs": 2}


def trade(call: PublicCall, asset: AlpacaAsset) -> Any:
    """The last trade."""
    price = call.exchange.prices.quote(asset.symbol, call.now_s).last
    # Beyond 2^53 for coins, as Alpaca's are: a client that reads it as a float gets another number.
    number = 2_880_534_893_454_904_001 + int(call.now_s) if asset.is_crypto else int(call.now_s)
    shown: dict[str, Any] = {"i": number, "p": price, "s": Decimal("0.1"), "t": nanoseconds(call.now_s)}
    return {**shown, "tks": "B"} if asset.is_crypto else {**shown, "c": ["@"], "x": "V", "z": "C", "s": 100}


def book(call: PublicCall, asset: AlpacaAsset) -> Any:
    """Levels a few ticks apart, of made-up size."""
    prices, market = call.exchange.prices.quote(asset.symbol, call.now_s), asset.market
    step = max(market.tick_size, round(prices.last / 10_000, market.price_decimals))
    return {
        "a": [{"p": prices.ask + step * level, "s": Decimal(level + 1)} for level in range(BOOK_LEVELS)],
        "b": [{"p": prices.bid - step * level, "s": Decimal(level + 1)} for level in range(BOOK_LEVELS)],
        "t": nanoseconds(call.now_s),
    }


def _bar(bar: Candle) -> dict[str, Any]:
    middle = round((bar.high + bar.low + bar.close) / 3, 6)
    return {
        "c": bar.close, "h": bar.high, "l": bar.low, "n": bar.count, "o": bar.open,
        "t": f"{datetime.fromtimestamp(bar.start_s, UTC):%Y-%m-%dT%H:%M:%SZ}", "v": bar.volume, "vw": middle,
    }  # fmt: skip


def _finished_bar(call: PublicCall, asset: AlpacaAsset, interval_s: int, back: int = 1) -> Any:
    start_s = int(call.now_s) // interval_s * interval_s - interval_s * back
    return _bar(call.exchange.prices.candles(asset.symbol, interval_s, start_s, 1)[0])


def minute_bar(call: PublicCall, asset: AlpacaAsset) -> Any:
    """The last finished minute."""
    return _finished_bar(call, asset, 60)


def snapshot(call: PublicCall, asset: AlpacaAsset) -> Any:
    """Last trade, quote, minute and days in one."""
    return {
        "dailyBar": _finished_bar(call, asset, 86_400, 0),
        "latestQuote": quote(call, asset),
        "latestTrade": trade(call, asset),
        "minuteBar": minute_bar(call, asset),
        "prevDailyBar": _finished_bar(call, asset, 86_400),
    }


def _bars(crypto: bool) -> PublicHandler:
    def answer(call: PublicCall) -> Any:
        return bars(call, crypto)

    return answer


def bars(call: PublicCall, crypto: bool) -> Any:
    """Bars from `start` (today's begin without it) to `end`, oldest first unless `sort=desc`, by pages."""
    values = call.params
    found = _TIMEFRAME.fullmatch(params.text(values, "timeframe"))
    if found is None or not int(found[1]):
        raise bad_request("invalid timeframe")
    interval_s = int(found[1]) * _UNITS_S[found[2].lower()]
    limit = min(params.integer(values, "limit", BARS_DEFAULT, 1, BARS_MAX), BARS_AT_ONCE_MAX)
    descending = params.choice(values, "sort", "asc", ("asc", "desc")) == "desc"
    start_s, end_s = params.instant(values, "start"), params.instant(values, "end")
    last = int(min(end_s if end_s is not None else call.now_s, call.now_s)) // interval_s
    first = -(-int(start_s if start_s is not None else int(call.now_s) // 86_400 * 86_400) // interval_s)
    places = [
        (asset, number)
        for asset in sorted(_assets(call, crypto), key=lambda each: each.symbol)
        for number in (range(last, first - 1, -1) if descending else range(first, last + 1))
        if crypto or _in_session(number * interval_s, interval_s)
    ]
    offset = _offset(params.text(values, "page_token"))
    page = places[offset : offset + limit]
    shown: dict[str, list[Any]] = {}
    for asset, number in page:
        candle = call.exchange.prices.candles(asset.symbol, interval_s, number * interval_s, 1)[0]
        shown.setdefault(asset.symbol, []).append(_bar(candle))
    more = offset + limit < len(places)
    return {"bars": shown, "next_page_token": base64.b64encode(b"%d" % (offset + limit)).decode() if more else None}


def _in_session(start_s: int, interval_s: int) -> bool:
    session = session_of(datetime.fromtimestamp(start_s, UTC).date())
    if session is None:
        return False
    return interval_s >= 86_400 or (session[0] <= start_s + interval_s - 1 and start_s < session[1])


def _offset(token: str) -> int:
    try:
        return max(0, int(base64.b64decode(token, validate=True))) if token else 0
    except ValueError:
        raise bad_request("invalid page_token") from None


def _calls(crypto: bool) -> dict[tuple[str, str], PublicHandler]:
    entries: dict[str, Entry] = {"quotes": quote, "trades": trade, "bars": minute_bar}
    if crypto:
        base = "/v1beta3/crypto/us"
        calls = {f"{base}/latest/{name}": _latest(name, entry, crypto) for name, entry in entries.items()}
        calls[f"{base}/latest/orderbooks"] = _latest("orderbooks", book, crypto)
    else:
        base = "/v2/stocks"
        calls = {f"{base}/{name}/latest": _latest(name, entry, crypto) for name, entry in entries.items()}
    calls[f"{base}/snapshots"] = _latest("snapshots", snapshot, crypto)
    calls[f"{base}/bars"] = _bars(crypto)
    return {("GET", path): handler for path, handler in calls.items()}


CRYPTO_DATA = _calls(crypto=True)
STOCK_DATA = _calls(crypto=False)
