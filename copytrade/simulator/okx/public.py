"""OKX's public calls; tickers, candles and books are made from the price process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from copytrade.domain.money import plain
from copytrade.simulator.exchange import Exchange
from copytrade.simulator.okx import params
from copytrade.simulator.okx.call import TradingDesk
from copytrade.simulator.okx.errors import OkxError, invalid
from copytrade.simulator.okx.listing import (
    BY_INST_ID,
    INSTRUMENTS,
    MAX_LIMIT_SIZE,
    MAX_MARKET_SIZE,
    OkxInstrument,
)
from copytrade.simulator.okx.params import Params
from copytrade.simulator.okx.place import LIVE
from copytrade.simulator.okx.shapes import fixed, milliseconds
from copytrade.simulator.prices import Candle

CANDLES_MAX = 300
TRADES_DEFAULT, TRADES_MAX = 100, 500
BOOK_LEVELS_MAX = 400
HOUR_S = 3_600
_INSTRUMENT_TYPES = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION")
_BARS_S = {
    "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1_800, "1H": HOUR_S, "2H": 2 * HOUR_S, "4H": 4 * HOUR_S,
    "6H": 6 * HOUR_S, "12H": 12 * HOUR_S, "1D": 24 * HOUR_S, "1W": 168 * HOUR_S,
    "6Hutc": 6 * HOUR_S, "12Hutc": 12 * HOUR_S, "1Dutc": 24 * HOUR_S, "1Wutc": 168 * HOUR_S,
}  # fmt: skip


@dataclass(slots=True)
class PublicCall:
    """One public call. `day_cache` keeps the finished hours of each market: (start of this hour, candles)."""

    exchange: Exchange
    desk: TradingDesk
    params: Params
    now_s: float
    day_cache: dict[str, tuple[int, list[Candle]]]


def server_time(call: PublicCall) -> list[Any]:
    """GET /public/time, in milliseconds."""
    return [{"ts": milliseconds(call.now_s)}]


def instruments(call: PublicCall) -> list[Any]:
    """GET /public/instruments; other kinds than SPOT have none."""
    params.required(call.params, "instType")
    kind = params.one_of(call.params, "instType", _INSTRUMENT_TYPES)
    inst_id = params.text(call.params, "instId")
    if inst_id and inst_id not in BY_INST_ID:
        raise OkxError("51001")
    shown = INSTRUMENTS if kind == "SPOT" else ()
    return [instrument_object(each, call.desk) for each in shown if not inst_id or each.inst_id == inst_id]


def instrument_object(instrument: OkxInstrument, desk: TradingDesk) -> dict[str, Any]:
    """An instrument as both lists give it."""
    market = instrument.market
    return {
        "instType": "SPOT", "instId": instrument.inst_id, "uly": "", "instFamily": "", "baseCcy": market.base,
        "quoteCcy": market.quote, "settleCcy": "", "ctVal": "", "ctMult": "", "ctValCcy": "", "optType": "", "stk": "",
        "listTime": "1548133413000", "expTime": "", "lever": "", "tickSz": instrument.tick, "lotSz": instrument.lot,
        "minSz": instrument.min_size, "ctType": "", "alias": "",
        "state": desk.states.get(market.symbol, LIVE), "ruleType": "normal", "maxLmtSz": plain(MAX_LIMIT_SIZE),
        "maxMktSz": plain(MAX_MARKET_SIZE), "maxLmtAmt": "20000000", "maxMktAmt": "1000000",
        "maxTwapSz": plain(MAX_LIMIT_SIZE), "maxIcebergSz": plain(MAX_LIMIT_SIZE),
        "maxTriggerSz": plain(MAX_LIMIT_SIZE), "maxStopSz": plain(MAX_MARKET_SIZE),
        "tradeQuoteCcyList": [market.quote],
    }  # fmt: skip


def ticker(call: PublicCall) -> list[Any]:
    """GET /market/ticker."""
    return [_ticker(call, _one(call))]


def tickers(call: PublicCall) -> list[Any]:
    """GET /market/tickers of one kind."""
    params.required(call.params, "instType")
    kind = params.one_of(call.params, "instType", _INSTRUMENT_TYPES)
    return [_ticker(call, each) for each in INSTRUMENTS] if kind == "SPOT" else []


def _ticker(call: PublicCall, instrument: OkxInstrument) -> dict[str, Any]:
    market = instrument.market
    quote = call.exchange.prices.quote(market.symbol, call.now_s)
    hours = _day(call, instrument)
    volume = sum((bar.volume for bar in hours), Decimal(0))
    return {
        "instType": "SPOT", "instId": instrument.inst_id, "last": plain(quote.last), "lastSz": instrument.min_size,
        "askPx": plain(quote.ask), "askSz": "1", "bidPx": plain(quote.bid), "bidSz": "1",
        "open24h": plain(hours[0].open), "high24h": plain(max(quote.last, *(bar.high for bar in hours))),
        "low24h": plain(min(quote.last, *(bar.low for bar in hours))),
        "volCcy24h": fixed(volume * quote.last, 8), "vol24h": fixed(volume, 8), "ts": milliseconds(call.now_s),
        "sodUtc0": plain(hours[0].open), "sodUtc8": plain(hours[0].open),
    }  # fmt: skip


def _day(call: PublicCall, instrument: OkxInstrument) -> list[Candle]:
    """The last 24 finished hours, computed once an hour."""
    symbol = instrument.market.symbol
    hour_s = int(call.now_s) // HOUR_S * HOUR_S
    kept = call.day_cache.get(symbol)
    if kept is None or kept[0] != hour_s:
        kept = (hour_s, call.exchange.prices.candles(symbol, HOUR_S, hour_s - HOUR_S, 24))
        call.day_cache[symbol] = kept
    return kept[1]


def candles(call: PublicCall) -> list[Any]:
    """GET /market/candles: newest first, the first of them unfinished (its last field is 0)."""
    instrument = _one(call)
    bar = params.text(call.params, "bar") or "1m"
    if bar not in _BARS_S:
        raise invalid("bar")
    interval_s = _BARS_S[bar]
    after_ms, before_ms = params.whole(call.params, "after"), params.whole(call.params, "before")
    count = params.limit(call.params, CANDLES_MAX) if params.text(call.params, "limit") else 100
    newest_s = int(call.now_s) // interval_s * interval_s
    if after_ms is not None:  # older than this
        newest_s = min(newest_s, (after_ms - 1) // 1000 // interval_s * interval_s)
    bars = call.exchange.prices.candles(instrument.market.symbol, interval_s, newest_s, count)
    rows = []
    for each in reversed(bars):
        if before_ms is not None and each.start_s * 1000 <= before_ms:
            break
        finished = each.start_s + interval_s <= call.now_s
        close = each.close if finished else call.exchange.prices.quote(instrument.market.symbol, call.now_s).last
        high, low = max(each.high, close), min(each.low, close)
        if not finished:
            high, low = max(each.open, close), min(each.open, close)
        prices = [plain(price) for price in (each.open, high, low, close)]
        volume = fixed(each.volume, 8)
        in_quote = fixed(each.volume * close, 8)
        rows.append([str(each.start_s * 1000), *prices, volume, in_quote, in_quote, "1" if finished else "0"])
    return rows


def books(call: PublicCall) -> list[Any]:
    """GET /market/books: levels around bid and ask, of made-up size; fills do not eat into them."""
    instrument = _one(call)
    depth = min(params.whole(call.params, "sz") or 1, BOOK_LEVELS_MAX)
    tick = instrument.market.tick_size
    quote = call.exchange.prices.quote(instrument.market.symbol, call.now_s)
    sides: dict[str, list[list[str]]] = {}
    for side, best, away in (("asks", quote.ask, tick), ("bids", quote.bid, -tick)):
        prices = [best + away * level for level in range(depth)]
        sides[side] = [[plain(price), str(level + 1), "0", "1"] for level, price in enumerate(prices) if price > 0]
    return [{**sides, "ts": milliseconds(call.now_s)}]


def trades(call: PublicCall) -> list[Any]:
    """GET /market/trades: one made-up trade a price step, newest first; `side` is the taker's."""
    instrument = _one(call)
    count = min(params.whole(call.params, "limit") or TRADES_DEFAULT, TRADES_MAX)
    prices, market = call.exchange.prices, instrument.market
    last_step = prices.step_of(call.now_s)
    rows = []
    for step in range(last_step, last_step - count, -1):
        quote = prices.quote_at_step(market.symbol, step)
        side, price = ("sell", quote.bid) if step % 2 else ("buy", quote.ask)
        rows.append(
            {
                "instId": instrument.inst_id, "side": side, "sz": instrument.min_size, "px": plain(price),
                "tradeId": str(step), "source": "0", "ts": milliseconds(step * prices.step_s),
            }
        )  # fmt: skip
    return rows


def system_status(call: PublicCall) -> list[Any]:
    """GET /system/status: no maintenance is planned."""
    return []


def _one(call: PublicCall) -> OkxInstrument:
    instrument = BY_INST_ID.get(params.required(call.params, "instId"))
    if instrument is None:
        raise OkxError("51001")
    return instrument


PUBLIC_CALLS: dict[str, Callable[[PublicCall], list[Any]]] = {
    "GET /public/time": server_time,
    "GET /public/instruments": instruments,
    "GET /market/ticker": ticker,
    "GET /market/tickers": tickers,
    "GET /market/candles": candles,
    "GET /market/history-candles": candles,
    "GET /market/books": books,
    "GET /market/trades": trades,
    "GET /system/status": system_status,
}
