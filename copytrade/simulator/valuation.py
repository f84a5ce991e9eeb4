"""What an account is worth, by way of the dollar."""

from __future__ import annotations

from decimal import Decimal

from copytrade.simulator.exchange import Exchange
from copytrade.simulator.orders import ZERO

DOLLARS = ("USD", "USDT", "USDC")


def value_in(exchange: Exchange, account: str, asset: str) -> Decimal:
    """Worth of `account` in units of `asset`, at last prices; what no market prices counts as nothing."""
    balances = exchange.books.accounts[account].balances
    total = sum((amount * dollars_per(exchange, held) for held, amount in balances.items()), ZERO)
    unit = dollars_per(exchange, asset)
    return total / unit if unit else ZERO


def dollars_per(exchange: Exchange, asset: str) -> Decimal:
    """Price of one unit of `asset` in dollars (a stable coin counts as one), 0 if no market leads there."""
    if asset in DOLLARS:
        return Decimal(1)
    for dollar in DOLLARS:
        if f"{asset}/{dollar}" in exchange.markets:
            return exchange.prices.quote(f"{asset}/{dollar}", exchange.now_s).last
        if f"{dollar}/{asset}" in exchange.markets:
            return 1 / exchange.prices.quote(f"{dollar}/{asset}", exchange.now_s).last
    if f"BTC/{asset}" in exchange.markets:
        return dollars_per(exchange, "BTC") / exchange.prices.quote(f"BTC/{asset}", exchange.now_s).last
    return ZERO
