"""Stop-limit and bracket orders: their prices, and what they are to the matching engine.

The words for prices that do not fit are those of Coinbase's list of preview failures; which relation each of them
guards is not published and follows its name. A take-profit (a sale that triggers upwards) may have its limit on either
side of its stop: clients report such orders as accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from copytrade.simulator.coinbase import errors, params
from copytrade.simulator.coinbase.call import Call, Rules
from copytrade.simulator.coinbase.errors import OrderFailed
from copytrade.simulator.coinbase.listing import Product

STOP_LIMITS = ("stop_limit_stop_limit_gtc", "stop_limit_stop_limit_gtd")
BRACKETS = ("trigger_bracket_gtc", "trigger_bracket_gtd")
_DIRECTIONS = {"STOP_DIRECTION_STOP_UP": True, "STOP_DIRECTION_STOP_DOWN": False}


@dataclass(frozen=True, slots=True)
class Trigger:
    """The fields of `NewOrder` that make an order a stop or a bracket."""

    trigger: str = ""
    stop_price: Decimal | None = None
    bracket_stop: Decimal | None = None


def check_supported(name: str, rules: Rules) -> None:
    """Raises OrderFailed where accounts do not have such orders."""
    if name in STOP_LIMITS and not rules.stop_orders:
        raise OrderFailed(errors.UNSUPPORTED)
    if name in BRACKETS and not rules.bracket_orders:
        raise OrderFailed(errors.NO_BRACKETS)


def read_trigger(
    call: Call, name: str, product: Product, side: str, values: dict[str, Any], limit_price: Decimal | None
) -> Trigger:
    """What triggers an order of this configuration. Raises CoinbaseError or OrderFailed."""
    if name in STOP_LIMITS:
        assert limit_price is not None  # every configuration but the market order's has one
        return _stop_limit(call, product, side, values, limit_price)
    if name in BRACKETS:
        assert limit_price is not None
        return _bracket(call, product, side, values, limit_price)
    return Trigger()


def _stop_limit(call: Call, product: Product, side: str, values: dict[str, Any], limit_price: Decimal) -> Trigger:
    direction = params.text(values, "stop_direction")
    if direction not in _DIRECTIONS:
        raise errors.invalid("stop_direction is required")
    upwards = _DIRECTIONS[direction]
    stop = _price(product, values, "stop_price", errors.STOP_PRECISION)
    last = call.exchange.prices.quote(product.market.symbol, call.now_s).last
    if upwards and stop < last:
        raise OrderFailed(errors.STOP_BELOW_LAST)
    if not upwards and stop > last:
        raise OrderFailed(errors.STOP_ABOVE_LAST)
    against = upwards is (side == "BUY")
    if against and side == "BUY" and stop > limit_price:
        raise OrderFailed(errors.STOP_ABOVE_LIMIT)
    if against and side == "SELL" and stop < limit_price:
        raise OrderFailed(errors.STOP_BELOW_LIMIT)
    return Trigger(trigger="stop" if against else "take_profit", stop_price=stop)


def _bracket(call: Call, product: Product, side: str, values: dict[str, Any], limit_price: Decimal) -> Trigger:
    if params.decimal(values, "quote_size") is not None:
        raise OrderFailed(errors.BRACKET_BY_VALUE)
    stop = _price(product, values, "stop_trigger_price", errors.TRIGGER_PRECISION)
    last = call.exchange.prices.quote(product.market.symbol, call.now_s).last
    sign = 1 if side == "SELL" else -1
    if (limit_price - stop) * sign <= 0:
        raise OrderFailed(errors.BRACKET_PRICES)
    if (limit_price - last) * sign <= 0:
        raise OrderFailed(errors.BRACKET_LIMIT)
    if (last - stop) * sign <= 0:
        raise OrderFailed(errors.BRACKET_STOP)
    return Trigger(bracket_stop=stop)


def _price(product: Product, values: dict[str, Any], field: str, imprecise: str) -> Decimal:
    price = params.decimal(values, field)
    if not price:
        raise errors.invalid(f"{field} is required")
    if price % product.market.tick_size:
        raise OrderFailed(imprecise)
    return price
