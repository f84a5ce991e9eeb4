"""OKX's list of spot markets (`/public/instruments`) as instruments."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from copytrade.domain.instrument import Instrument, MarketStatus
from copytrade.domain.money import NO_AMOUNT, Quantity, parse_decimal
from copytrade.venues.okx.names import InstrumentNames
from copytrade.venues.okx.options import NAME

logger = logging.getLogger(__name__)

LIVE = "live"
# More broken entries than this are counted, not shown.
_SHOWN_MAX = 5


def read_instruments(rows: Sequence[Any]) -> InstrumentNames:
    """Every usable market of the list. Entries that cannot be used are left out with a warning.

    OKX has no smallest order value, only a smallest quantity. A state other than `live` closes the market: nothing is
    risked on a guess.
    """
    names = InstrumentNames()
    faults: list[str] = []
    # Should two entries share a pair of currencies, the one that trades is the market people mean.
    for row in sorted(rows, key=lambda row: not (isinstance(row, dict) and row.get("state") == LIVE)):
        try:
            instrument = _instrument(row)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            shown = row.get("instId") if isinstance(row, dict) else row
            faults.append(f"{shown!r:.40}: {error}")
            continue
        if not names.add(instrument):
            logger.debug("OKX market %s is a second %s; it is left out", instrument.venue_symbol, instrument.symbol)
    if faults:
        shown = "; ".join(faults[:_SHOWN_MAX])
        logger.warning("%d of %d OKX markets cannot be used and are left out: %s", len(faults), len(rows), shown)
    return names


def _instrument(row: Mapping[str, Any]) -> Instrument:
    if row["instType"] != "SPOT":
        raise ValueError(f"instType is {row['instType']!r:.20}, expected SPOT")
    base, quote = _name(row, "baseCcy"), _name(row, "quoteCcy")
    return Instrument(
        venue=NAME,
        symbol=f"{base}/{quote}",
        base=base,
        quote=quote,
        venue_symbol=_name(row, "instId"),
        lot_step=_positive(row, "lotSz"),
        tick=_positive(row, "tickSz"),
        min_quantity=Quantity(_positive(row, "minSz")),
        min_cost=NO_AMOUNT,
        status=MarketStatus.ONLINE if row["state"] == LIVE else MarketStatus.CLOSED,
    )


def _name(row: Mapping[str, Any], field: str) -> str:
    value = row[field]
    if not isinstance(value, str) or not 0 < len(value) <= 40 or not value.isascii() or not value.isprintable():
        raise ValueError(f"{field} is {value!r:.40}")
    return value


def _positive(row: Mapping[str, Any], field: str) -> Decimal:
    value = parse_decimal(row[field])
    if value <= 0:
        raise ValueError(f"{field} is {value}, expected more than 0")
    return value
