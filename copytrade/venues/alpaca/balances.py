"""An account's money at Alpaca: cash, positions, equity."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueRefusedRead, VenueUnavailable
from copytrade.domain.money import ZERO, Amount, parse_decimal
from copytrade.domain.venue import Balances
from copytrade.venues.alpaca.names import MarketNames
from copytrade.venues.alpaca.orders import orders_in


def read_balances(
    account: AccountId, currency: str, body: Any, positions: Any, names: MarketNames, at: datetime
) -> Balances:
    """From the account and its positions. Raises `VenueError`.

    Free to spend is the buying power without margin: coins cannot be bought on margin, and a copy must never borrow.
    """
    if not isinstance(body, Mapping):
        raise VenueUnavailable(f"{account}: Alpaca's answer about the account is no object")
    if body.get("currency") != currency:
        raise VenueRefusedRead(
            f"{account}: the account is kept in {body.get('currency')!s:.20}, not in {currency}: set "
            "venues.alpaca.currency"
        )
    try:
        equity, cash = parse_decimal(body["equity"]), parse_decimal(body["cash"])
        free = min(parse_decimal(body["non_marginable_buying_power"]), cash)
    except (KeyError, ValueError) as error:
        raise VenueUnavailable(f"{account}: Alpaca's answer about the account cannot be read: {error!r:.100}") from None
    holdings = read_holdings(account, positions, names)
    holdings[currency] = cash
    plain = {asset: amount for asset, amount in holdings.items() if amount}
    return Balances(currency, Amount(equity), Amount(max(free, ZERO)), plain, at, Amount(max(cash - free, ZERO)))


def read_holdings(account: AccountId, positions: Any, names: MarketNames) -> dict[str, Decimal]:
    """What is held, by plain name. A position in something that is not listed keeps the name it comes with."""
    holdings: dict[str, Decimal] = {}
    for entry in orders_in(positions, "positions"):
        try:
            symbol, quantity = entry["symbol"], parse_decimal(entry["qty"])
            listed = names.find(symbol)
        except (AttributeError, KeyError, ValueError) as error:
            raise VenueUnavailable(f"{account}: one of Alpaca's positions cannot be read: {error!r:.100}") from None
        name = symbol if listed is None else listed.base
        holdings[name] = holdings.get(name, ZERO) + quantity
    return holdings
