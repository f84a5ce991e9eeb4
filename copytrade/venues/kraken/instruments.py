"""Kraken's list of markets (`AssetPairs` with `Assets`) as instruments."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from copytrade.domain.instrument import Instrument, MarketStatus
from copytrade.domain.money import Amount, Quantity, parse_decimal
from copytrade.venues.kraken.names import AssetNames, PairNames
from copytrade.venues.kraken.options import NAME

logger = logging.getLogger(__name__)

# docs.kraken.com, AssetPairs, `status`. A status that is new to us closes the market: nothing is risked on a guess.
_STATUSES = {
    "online": MarketStatus.ONLINE,
    "limit_only": MarketStatus.LIMITED,
    "post_only": MarketStatus.LIMITED,
    "reduce_only": MarketStatus.REDUCE_ONLY,
    "cancel_only": MarketStatus.CLOSED,
}
# Kraken's own decimals go to 10 or so; more than this is a broken list.
_DECIMALS_MAX = 18
# More broken entries than this are counted, not shown.
_SHOWN_MAX = 5


def read_instruments(pairs: Mapping[str, Any], assets: AssetNames) -> PairNames:
    """Every usable pair of the list. Entries that cannot be used are left out with a warning."""
    names = PairNames()
    faults: list[str] = []
    # Dark pools and the like repeat a pair without a wsname: the one with it is the market people mean.
    entries = sorted(pairs.items(), key=lambda item: not (isinstance(item[1], dict) and item[1].get("wsname")))
    for key, entry in entries:
        try:
            instrument, spellings = _instrument(entry, assets)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            faults.append(f"{key:.40}: {error}")
            continue
        if not names.add(instrument, key, spellings):
            logger.debug("Kraken pair %s is a second %s; it is left out", key, instrument.symbol)
    if faults:
        shown = "; ".join(faults[:_SHOWN_MAX])
        logger.warning("%d of %d Kraken pairs cannot be used and are left out: %s", len(faults), len(pairs), shown)
    return names


def _instrument(entry: Mapping[str, Any], assets: AssetNames) -> tuple[Instrument, list[str]]:
    altname = entry["altname"]
    if not isinstance(altname, str) or not altname:
        raise ValueError("altname is missing")
    base, quote = _asset(entry, "base", assets), _asset(entry, "quote", assets)
    if entry.get("lot_multiplier", 1) != 1:
        raise ValueError(f"lot_multiplier is {entry['lot_multiplier']!r}, expected 1")
    lot_step = _step(entry, "lot_decimals")
    tick = _step(entry, "pair_decimals")
    if entry.get("tick_size") is not None:
        tick = _positive(entry, "tick_size")
    instrument = Instrument(
        venue=NAME,
        symbol=f"{base}/{quote}",
        base=base,
        quote=quote,
        venue_symbol=altname,
        lot_step=lot_step,
        tick=tick,
        min_quantity=Quantity(_positive(entry, "ordermin") if entry.get("ordermin") is not None else lot_step),
        min_cost=Amount(_positive(entry, "costmin") if entry.get("costmin") is not None else Decimal(0)),
        status=_STATUSES.get(str(entry.get("status", "online")), MarketStatus.CLOSED),
    )
    wsname = entry.get("wsname")
    return instrument, [altname, wsname] if isinstance(wsname, str) and wsname else [altname]


def _asset(entry: Mapping[str, Any], field: str, assets: AssetNames) -> str:
    plain = assets.plain(entry[field])
    if plain is None:
        raise ValueError(f"{field} {entry[field]!r:.40} is in no asset list")
    return plain


def _step(entry: Mapping[str, Any], field: str) -> Decimal:
    decimals = entry[field]
    if type(decimals) is not int or not 0 <= decimals <= _DECIMALS_MAX:
        raise ValueError(f"{field} is {decimals!r:.40}, expected a number of decimals")
    return Decimal(1).scaleb(-decimals)


def _positive(entry: Mapping[str, Any], field: str) -> Decimal:
    value = parse_decimal(entry[field])
    if value <= 0:
        raise ValueError(f"{field} is {value}, expected more than 0")
    return value
