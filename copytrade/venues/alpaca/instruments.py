"""Alpaca's list of assets as instruments."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from copytrade.domain.instrument import AssetClass, Instrument, MarketStatus
from copytrade.domain.money import NO_AMOUNT, Amount, Quantity, parse_decimal
from copytrade.venues.alpaca.names import MarketNames
from copytrade.venues.alpaca.options import NAME

logger = logging.getLogger(__name__)

# docs.alpaca.markets, "Fractional trading": up to nine decimals of a share; "Placing orders": cents from a dollar on.
FRACTION_STEP = Decimal("0.000000001")
STOCK_TICK = Decimal("0.01")
# "cost basis must be >= minimal amount of order 10": purchases of coins against USD, and no others (ccxt, pull request
# 30101). "Fractional trading": a dollar's worth of a stock.
COIN_BUY_MIN_USD = Amount(Decimal(10))
STOCK_BUY_MIN_USD = Amount(Decimal(1))
# More broken entries than this are counted, not shown.
_SHOWN_MAX = 5


def read_instruments(coins: Any, stocks: Any) -> MarketNames:
    """Every usable market of the two lists. Entries that cannot be used are left out with a warning.

    `min_cost` stays zero: Alpaca's smallest amounts (10 USD for coins, 1 USD for stocks) are for purchases alone, and a
    rest below them must still be sold.
    """
    names = MarketNames()
    faults: list[str] = []
    total = 0
    for entries, read in ((coins, _coin), (stocks, _stock)):
        if not isinstance(entries, list):
            raise ValueError("the list of assets is no list")
        bases = {instrument.base for instrument in names}
        for entry in entries:
            total += 1
            try:
                instrument, spellings = read(entry)
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                faults.append(f"{entry.get('symbol', '?') if isinstance(entry, dict) else '?':.20}: {error}")
                continue
            # Holdings go by the name of what is held: a stock that shares its name with a coin would be mixed up.
            if instrument.base in bases and instrument.asset_class is AssetClass.STOCK:
                logger.info("Alpaca lists a coin and a stock named %s; the stock is left out", instrument.base)
            elif not names.add(instrument, spellings):
                logger.debug("Alpaca lists %s twice", instrument.symbol)
    if faults:
        shown = "; ".join(faults[:_SHOWN_MAX])
        logger.warning("%d of %d Alpaca assets cannot be used and are left out: %s", len(faults), total, shown)
    return names


def _coin(entry: Mapping[str, Any]) -> tuple[Instrument, list[str]]:
    symbol = _text(entry, "symbol")
    base, slash, quote = symbol.partition("/")  # the documented form; there is no field for either part
    if entry.get("class") != "crypto" or not (base and slash and quote) or "/" in quote:
        raise ValueError(f"symbol {symbol!r:.40} is no pair of a coin and a currency")
    step = _positive(entry, "min_trade_increment")
    instrument = Instrument(
        venue=NAME,
        symbol=symbol,
        base=base,
        quote=quote,
        venue_symbol=symbol,
        lot_step=step,
        tick=_positive(entry, "price_increment"),
        min_quantity=Quantity(_positive(entry, "min_order_size")),
        min_cost=NO_AMOUNT,
        status=_status(entry),
        min_buy_cost=COIN_BUY_MIN_USD if quote == "USD" else NO_AMOUNT,
    )
    return instrument, [base + quote, _text(entry, "id")]


def _stock(entry: Mapping[str, Any]) -> tuple[Instrument, list[str]]:
    symbol = _text(entry, "symbol")
    if entry.get("class") != "us_equity" or "/" in symbol:
        raise ValueError(f"symbol {symbol!r:.40} is no stock")
    step = FRACTION_STEP if entry.get("fractionable") is True else Decimal(1)
    instrument = Instrument(
        venue=NAME,
        symbol=symbol,
        base=symbol,
        quote="USD",
        venue_symbol=symbol,
        lot_step=step,
        tick=STOCK_TICK,
        min_quantity=Quantity(step),
        min_cost=NO_AMOUNT,
        status=_status(entry),
        asset_class=AssetClass.STOCK,
        min_buy_cost=STOCK_BUY_MIN_USD,
    )
    return instrument, [_text(entry, "id")]


def _status(entry: Mapping[str, Any]) -> MarketStatus:
    open_ = entry.get("status") == "active" and entry.get("tradable") is True
    return MarketStatus.ONLINE if open_ else MarketStatus.CLOSED


def _text(entry: Mapping[str, Any], field: str) -> str:
    value = entry[field]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{field} is missing")
    return value


def _positive(entry: Mapping[str, Any], field: str) -> Decimal:
    value = parse_decimal(entry[field])
    if value <= 0:
        raise ValueError(f"{field} is {value}, expected more than 0")
    return value
