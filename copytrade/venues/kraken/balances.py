"""An account's money at Kraken: cash, holdings, equity."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import ZERO, Amount, parse_decimal
from copytrade.domain.venue import Balances, Quote
from copytrade.venues.kraken.names import AssetNames

logger = logging.getLogger(__name__)


def read_holdings(result: Any, assets: AssetNames) -> dict[str, tuple[Decimal, Decimal]]:
    """Balance and the part of it held by open orders, by plain asset name, from `BalanceEx` or `Balance`.

    Keys with a suffix (`.F`, `.S`, `.M`, `.B`, `.T`: earning, staked, tokenised) are balances of their own that
    cannot be traded, and are left out. Raises `VenueUnavailable`.
    """
    if not isinstance(result, dict):
        raise VenueUnavailable("Kraken's answer about balances is no list of assets")
    holdings: dict[str, tuple[Decimal, Decimal]] = {}
    for key, entry in result.items():
        if "." in key:
            continue
        try:
            extended = entry if isinstance(entry, dict) else {"balance": entry}  # `Balance` has the bare figure
            figures = parse_decimal(extended["balance"]), parse_decimal(extended.get("hold_trade", "0"))
        except (KeyError, ValueError) as error:
            raise VenueUnavailable(f"Kraken's balance of {key:.20} cannot be read: {error!r:.100}") from None
        name = assets.plain(key) or key
        before = holdings.get(name, (ZERO, ZERO))
        holdings[name] = before[0] + figures[0], before[1] + figures[1]
    return holdings


def read_equity(result: Any) -> Amount:
    """`eb`, the combined balance of everything in the asset asked for. Raises `VenueUnavailable`."""
    try:
        return Amount(parse_decimal(result["eb"]))
    except (KeyError, TypeError, ValueError):
        raise VenueUnavailable("Kraken's answer about the trade balance has no equity (eb)") from None


def summed_equity(
    account: str,
    currency: str,
    holdings: Mapping[str, tuple[Decimal, Decimal]],
    instruments: Mapping[str, Instrument],
    quotes: Mapping[str, Quote],
) -> Amount:
    """Cash and every holding at its bid, for a key that may not ask for the trade balance."""
    total, without_price = ZERO, []
    for asset, (balance, _) in holdings.items():
        quote = quotes.get(f"{asset}/{currency}")
        if asset == currency:
            total += balance
        elif balance and (asset not in instruments or quote is None):
            without_price.append(asset)
        elif balance and quote is not None:
            total += balance * quote.bid.value
    logger.warning(
        "%s: Kraken does not tell this key its trade balance; equity is summed from balances and bids%s",
        account, f", without {', '.join(without_price)}, which have no price" if without_price else "",
    )  # fmt: skip
    return Amount(total)


def as_balances(
    currency: str, holdings: Mapping[str, tuple[Decimal, Decimal]], equity: Amount, at: datetime
) -> Balances:
    balance, held = holdings.get(currency, (ZERO, ZERO))
    plain = {asset: figures[0] for asset, figures in holdings.items() if figures[0]}
    return Balances(currency, equity, Amount(balance - held), plain, at, Amount(held))
