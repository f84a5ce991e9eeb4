"""Binance's list of markets (`exchangeInfo`) as instruments."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import Instrument, MarketStatus
from copytrade.domain.money import ZERO, Amount, Quantity, parse_decimal
from copytrade.venues.binance.names import SymbolNames
from copytrade.venues.binance.options import NAME
from copytrade.venues.binance.tickets import kinds_of

logger = logging.getLogger(__name__)

_DECIMALS_MAX = 18
# More broken entries than this are counted, not shown.
_SHOWN_MAX = 5


def read_instruments(result: Any) -> SymbolNames:
    """Every usable spot symbol. Entries that cannot be used are left out with a warning. Raises `VenueUnavailable`."""
    symbols = result.get("symbols") if isinstance(result, dict) else None
    if not isinstance(symbols, list):
        raise VenueUnavailable("Binance's answer to exchangeInfo has no list of symbols")
    names = SymbolNames()
    faults: list[str] = []
    for entry in symbols:
        try:
            if entry.get("isSpotTradingAllowed") is False:
                continue
            instrument, kinds = _instrument(entry), kinds_of(entry)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            shown = entry.get("symbol") if isinstance(entry, dict) else entry
            faults.append(f"{shown!r:.40}: {error!r:.80}")
            continue
        if not names.add(instrument, kinds):
            logger.warning("Binance symbol %s is a second %s; left out", instrument.venue_symbol, instrument.symbol)
    if faults:
        shown = "; ".join(faults[:_SHOWN_MAX])
        logger.warning("%d of %d Binance symbols cannot be used and are left out: %s", len(faults), len(symbols), shown)
    return names


def read_limits(result: Any) -> dict[tuple[str, str, int], int]:
    """The venue's limits by (kind, interval, number of intervals); entries that are no limits are left out."""
    limits: dict[tuple[str, str, int], int] = {}
    entries = result.get("rateLimits") if isinstance(result, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        number, limit = entry.get("intervalNum"), entry.get("limit")
        if type(number) is int and type(limit) is int and limit > 0:
            limits[(str(entry.get("rateLimitType")), str(entry.get("interval")), number)] = limit
    return limits


def _instrument(entry: Mapping[str, Any]) -> Instrument:
    base, quote, venue_symbol = (_text(entry, name) for name in ("baseAsset", "quoteAsset", "symbol"))
    filters = {str(each["filterType"]): each for each in entry["filters"]}
    base_step = _decimals(entry, "baseAssetPrecision")
    quote_step = _decimals(entry, "quoteAssetPrecision")
    lot = _figure(filters, "LOT_SIZE", "stepSize") or base_step
    market_step = _figure(filters, "MARKET_LOT_SIZE", "stepSize")
    if market_step:
        if max(lot, market_step) % min(lot, market_step):
            raise ValueError(f"steps {lot} and {market_step} do not fit together")
        lot = max(lot, market_step)
    smallest = max(_figure(filters, "LOT_SIZE", "minQty"), _figure(filters, "MARKET_LOT_SIZE", "minQty"), lot)
    min_cost = max(_figure(filters, "NOTIONAL", "minNotional"), _figure(filters, "MIN_NOTIONAL", "minNotional"))
    return Instrument(
        venue=NAME,
        symbol=f"{base}/{quote}",
        base=base,
        quote=quote,
        venue_symbol=venue_symbol,
        lot_step=lot,
        tick=_figure(filters, "PRICE_FILTER", "tickSize") or quote_step,
        min_quantity=Quantity(smallest),
        min_cost=Amount(min_cost),
        status=_status(entry),
    )


def _status(entry: Mapping[str, Any]) -> MarketStatus:
    """Only TRADING trades (HALT, BREAK, END_OF_DAY, CANCEL_ONLY and words that are new to us do not)."""
    if entry["status"] != "TRADING":
        return MarketStatus.CLOSED
    return MarketStatus.ONLINE if "MARKET" in entry["orderTypes"] else MarketStatus.LIMITED


def _text(entry: Mapping[str, Any], field: str) -> str:
    value = entry[field]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{field} is {value!r:.40}, expected a name")
    return value


def _decimals(entry: Mapping[str, Any], field: str) -> Decimal:
    decimals = entry[field]
    if type(decimals) is not int or not 0 <= decimals <= _DECIMALS_MAX:
        raise ValueError(f"{field} is {decimals!r:.40}, expected a number of decimals")
    return Decimal(1).scaleb(-decimals)


def _figure(filters: Mapping[str, Mapping[str, Any]], name: str, field: str) -> Decimal:
    """A figure of a filter; 0 says that the rule is off, as does a filter that is not there."""
    value = parse_decimal(filters[name][field]) if name in filters else ZERO
    if value < 0:
        raise ValueError(f"{name}.{field} is {value}, expected 0 or more")
    return value.normalize() if value else ZERO
