"""An account's money at OKX: cash, holdings, equity. The trading account alone; the funding account cannot trade."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.money import ZERO, Amount, parse_decimal
from copytrade.domain.venue import Balances, Quote

logger = logging.getLogger(__name__)

# What one unit is worth in dollars where the account holds none of it and OKX therefore gives no price.
_DOLLARS = ("USD", "USDT", "USDC")


class Holding(NamedTuple):
    """Balance, what of it is free, and OKX's own value of it in dollars (None where it gives none)."""

    balance: Decimal
    free: Decimal
    dollars: Decimal | None


def read_holdings(data: list[Any]) -> dict[str, Holding]:
    """Every asset of the trading account, from `/account/balance`. Raises `VenueUnavailable`."""
    try:
        holdings = {}
        for detail in data[0]["details"]:
            dollars = detail.get("eqUsd")
            holdings[str(detail["ccy"])] = Holding(
                _number(detail["cashBal"]),
                _number(detail["availBal"]),
                parse_decimal(dollars) if isinstance(dollars, str) and dollars else None,
            )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise VenueUnavailable(f"OKX's answer about balances cannot be read: {error!r:.200}") from None
    return holdings


def as_balances(
    account: str, currency: str, holdings: Mapping[str, Holding], quotes: Mapping[str, Quote], at: datetime
) -> Balances:
    """Equity is cash and every holding at its bid in `currency`; what has no such market, at OKX's value in dollars."""
    cash = holdings.get(currency, Holding(ZERO, ZERO, None))
    equity, without_price = cash.balance, []
    for asset, holding in holdings.items():
        if asset == currency or not holding.balance:
            continue
        quote = quotes.get(f"{asset}/{currency}")
        value = holding.balance * quote.bid.value if quote else _by_dollars(holding, currency, cash)
        if value is None:
            without_price.append(asset)
        else:
            equity += value
    if without_price:
        logger.warning(
            "%s: OKX gives no price in %s for %s; equity is counted without",
            account, currency, ", ".join(without_price),
        )  # fmt: skip
    plain = {asset: holding.balance for asset, holding in holdings.items() if holding.balance}
    return Balances(currency, Amount(equity), Amount(cash.free), plain, at, Amount(cash.balance - cash.free))


def _by_dollars(holding: Holding, currency: str, cash: Holding) -> Decimal | None:
    if holding.dollars is None:
        return None
    if cash.balance > 0 and cash.dollars:
        return holding.dollars * cash.balance / cash.dollars
    return holding.dollars if currency in _DOLLARS else None


def _number(value: Any) -> Decimal:
    return ZERO if value == "" else parse_decimal(value)
