"""Coinbase's list of products as instruments."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from copytrade.domain.instrument import Instrument, MarketStatus
from copytrade.domain.money import Amount, Quantity, parse_decimal
from copytrade.venues.coinbase.names import ProductNames
from copytrade.venues.coinbase.options import NAME

logger = logging.getLogger(__name__)

# Any of these set, and no order is taken (docs.cdp.coinbase.com, List Products).
_CLOSED = ("trading_disabled", "is_disabled", "cancel_only", "view_only")
# Any of these set, and some orders are taken; market orders are not among them.
_LIMITED = ("limit_only", "post_only", "auction_mode")
_SHOWN_MAX = 5  # more broken entries than this are counted, not shown


def read_products(entries: Iterable[Any], names: ProductNames) -> int:
    """Take every usable spot product of a page into `names`; returns how many were new.

    Entries that cannot be used are left out with a warning.
    """
    faults: list[str] = []
    added = 0
    for entry in entries:
        try:
            if entry.get("product_type", "SPOT") != "SPOT":
                continue
            instrument = _instrument(entry)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            shown = entry.get("product_id") if isinstance(entry, dict) else entry
            faults.append(f"{shown!s:.40}: {error!s:.100}")
            continue
        display = entry.get("display_name")
        added += names.add(instrument, [display] if isinstance(display, str) and display else [])
    if faults:
        shown = "; ".join(faults[:_SHOWN_MAX])
        logger.warning("%d Coinbase products cannot be used and are left out: %s", len(faults), shown)
    return added


def _instrument(entry: Mapping[str, Any]) -> Instrument:
    base, quote, product_id = (_name(entry, field) for field in ("base_currency_id", "quote_currency_id", "product_id"))
    return Instrument(
        venue=NAME,
        symbol=f"{base}/{quote}",
        base=base,
        quote=quote,
        venue_symbol=product_id,
        lot_step=_positive(entry, "base_increment"),
        # Not `quote_increment`, which is the step of amounts: the two differ for some products.
        tick=_positive(entry, "price_increment"),
        min_quantity=Quantity(_positive(entry, "base_min_size")),
        min_cost=Amount(_positive(entry, "quote_min_size")),
        status=_status(entry),
    )


def _status(entry: Mapping[str, Any]) -> MarketStatus:
    """A status or flag that is new to us closes the market: nothing is risked on a guess."""
    flags = {flag: entry.get(flag, False) for flag in (*_CLOSED, *_LIMITED)}
    readable = all(isinstance(value, bool) for value in flags.values())
    if not readable or entry.get("status", "online") not in ("online", "") or any(flags[flag] for flag in _CLOSED):
        return MarketStatus.CLOSED
    return MarketStatus.LIMITED if any(flags[flag] for flag in _LIMITED) else MarketStatus.ONLINE


def _name(entry: Mapping[str, Any], field: str) -> str:
    value = entry[field]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{field} is missing")
    return value


def _positive(entry: Mapping[str, Any], field: str) -> Decimal:
    value = parse_decimal(entry[field])
    if value <= 0:
        raise ValueError(f"{field} is {value}, expected more than 0")
    return value
