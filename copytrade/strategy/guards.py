"""What keeps a strategy's entry from being placed. Exits pass no guard."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from copytrade.domain.money import NO_AMOUNT, Amount
from copytrade.strategy.port import Funds


@dataclass(frozen=True, slots=True)
class EntryGuards:
    """Amounts are in the account's quote currency; `blocked` are markets in our spelling (`BTC/USD`)."""

    max_positions: int = 8
    min_cash_to_buy: Amount = NO_AMOUNT
    minimum_trading_balance: Amount = NO_AMOUNT
    blocked: frozenset[str] = frozenset()


def entry_refusal(guards: EntryGuards, symbol: str, funds: Funds, taken: Collection[str]) -> str | None:
    """Why the strategy may not buy this market, in words for the operator, or None.

    `taken` are the markets in which the account holds something or has a buy under way. Adding to one of them opens no
    further position.
    """
    if symbol in guards.blocked:
        return f"{symbol} is in master.blocked"
    if symbol not in taken and len(taken) >= guards.max_positions:
        return f"{len(taken)} positions are open, and guards.max_positions is {guards.max_positions}"
    if funds.equity < guards.minimum_trading_balance:
        return (
            f"equity {funds.equity} is under guards.minimum_trading_balance {guards.minimum_trading_balance}"
        )
    if funds.cash < guards.min_cash_to_buy:
        return f"free cash {funds.cash} is under guards.min_cash_to_buy {guards.min_cash_to_buy}"
    return None
