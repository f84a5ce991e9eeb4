"""The master's order before it leaves: the checks of the master desk, on the backtest's market."""

from __future__ import annotations

from dataclasses import dataclass

from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import Side
from copytrade.domain.reasons import Reason
from copytrade.strategy.port import Wish


@dataclass(frozen=True, slots=True)
class DeskGuards:
    """Amounts in the master's quote currency; None where there is no such limit."""

    max_order: Amount | None = None
    min_cash_to_buy: Amount | None = None


@dataclass(frozen=True, slots=True)
class NotPlaced:
    """Nothing left; the strategy's `if_refused` counts."""

    reason: Reason
    detail: str = ""


def sized(
    wish: Wish, instrument: Instrument, price: Price, held: Quantity, cash: Amount, guards: DeskGuards
) -> Quantity | NotPlaced:
    """How much is ordered, on the venue's step; or why nothing is."""
    if [wish.amount is not None, wish.quantity is not None, wish.whole].count(True) != 1:
        return NotPlaced(Reason.INVALID_ORDER, "say how much in exactly one way")
    if wish.whole:
        quantity = held
    elif wish.quantity is not None:
        quantity = wish.quantity
    else:
        assert wish.amount is not None
        quantity = wish.amount / price
    quantity = quantity.rounded_down(instrument.lot_step)
    if quantity.value <= 0:
        return NotPlaced(Reason.INVALID_ORDER, "the quantity is not above zero")
    if shortfall := instrument.below_minimum(wish.side, quantity, price):
        return NotPlaced(Reason.BELOW_MINIMUM, shortfall)
    if wish.side is Side.SELL:
        return quantity
    cost = quantity * price
    if guards.max_order is not None and cost > guards.max_order:
        return NotPlaced(Reason.OVER_MASTER_LIMIT, f"{cost} is over {guards.max_order}")
    if guards.min_cash_to_buy is not None and cash < guards.min_cash_to_buy:
        return NotPlaced(Reason.BELOW_MIN_CASH, f"free cash {cash}")
    if cost > cash:
        return NotPlaced(Reason.INSUFFICIENT_CASH, f"{cost} is over the free cash {cash}")
    return quantity
