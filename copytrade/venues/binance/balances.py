"""An account's money at Binance: cash, holdings, equity."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.money import ZERO, Amount, parse_decimal
from copytrade.domain.venue import Balances


def read_holdings(result: Any) -> dict[str, tuple[Decimal, Decimal]]:
    """Free and locked balance by asset, from `account`. Raises `VenueUnavailable`."""
    entries = result.get("balances") if isinstance(result, dict) else None
    if not isinstance(entries, list):
        raise VenueUnavailable("Binance's answer about the account has no list of balances")
    holdings: dict[str, tuple[Decimal, Decimal]] = {}
    for entry in entries:
        try:
            figures = parse_decimal(entry["free"]), parse_decimal(entry["locked"])
            asset = entry["asset"]
            if not isinstance(asset, str) or not asset:
                raise ValueError(f"asset is {asset!r:.40}")
        except (KeyError, TypeError, ValueError) as error:
            raise VenueUnavailable(f"Binance's balance {entry!r:.60} cannot be read: {error!r:.100}") from None
        if any(figures):
            holdings[asset] = figures
    return holdings


def summed(
    currency: str, holdings: Mapping[str, tuple[Decimal, Decimal]], bids: Mapping[str, Decimal], at: datetime
) -> tuple[Balances, list[str]]:
    """Cash and every holding at its bid in `currency`; and the assets that have no such price and count as nothing."""
    equity = ZERO
    without_price = []
    for asset, (free, locked) in holdings.items():
        if asset == currency:
            equity += free + locked
        elif asset in bids:
            equity += (free + locked) * bids[asset]
        else:
            without_price.append(asset)
    free, locked = holdings.get(currency, (ZERO, ZERO))
    whole = {asset: figures[0] + figures[1] for asset, figures in holdings.items()}
    return Balances(currency, Amount(equity), Amount(free), whole, at, Amount(locked)), without_price
