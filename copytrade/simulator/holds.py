"""What an order holds of its account's money, and how much of it the free money pays for."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from copytrade.simulator.markets import Market
from copytrade.simulator.orders import ZERO, Account, NewOrder


def hold_for(market: Market, request: NewOrder, volume: Decimal, price: Decimal) -> tuple[str, Decimal]:
    """Which asset an order holds and how much: what it may cost at `price` with the taker's fee, the higher one."""
    with_fee = 1 + market.taker_fee
    if request.side == "sell":
        held = volume * with_fee if request.fee_in_base else volume
        return market.base, held.quantize(market.base_step, rounding=ROUND_HALF_UP)
    cost = volume if request.volume_in_quote else (volume * price).quantize(market.cost_step, rounding=ROUND_HALF_UP)
    if request.fee_in_base:
        return market.quote, cost
    return market.quote, cost + (cost * market.taker_fee).quantize(market.cost_step, rounding=ROUND_HALF_UP)


def affordable(
    account: Account, market: Market, request: NewOrder, volume: Decimal, price: Decimal, fee_rate: Decimal
) -> Decimal:
    """As much of `volume` as the free money pays for; less than all only if the price moved since acceptance."""
    if request.side == "sell":
        unit = 1 + fee_rate if request.fee_in_base else Decimal(1)
        free = account.available(market.base)
        needed = (volume * unit).quantize(market.base_step, rounding=ROUND_HALF_UP)
    else:
        unit = price if request.fee_in_base else price * (1 + fee_rate)
        free = account.available(market.quote)
        cost = (volume * price).quantize(market.cost_step, rounding=ROUND_HALF_UP)
        fee = (cost * fee_rate).quantize(market.cost_step, rounding=ROUND_HALF_UP)
        needed = cost if request.fee_in_base else cost + fee
    if needed <= free:
        return volume
    # One step is kept back: cost and fee are each rounded up by at most half a step.
    spare = market.lot_step if request.side == "sell" else market.cost_step
    return max(ZERO, ((free - spare) / unit).quantize(market.lot_step, rounding=ROUND_DOWN))
