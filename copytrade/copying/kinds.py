"""In what form the master's order is placed at a follower's venue: its own, a stand-in, or none. Pure.

| the master's kind | where the follower's venue lacks it |
| --- | --- |
| post-only | an ordinary limit order at the same price |
| stop | a stop-limit order whose limit is `stop_limit_gap` beyond the stop |
| stop-limit | an exit: a stop order; an entry: skipped |
| take-profit | a limit order at the price that would have triggered it |
| take-profit-limit | a limit order at its limit |
| bracket | an exit: the stop rests at the venue; once the price is at the profit, the engine takes it back and sells |

Prices go to the follower's tick on the safe side: a limit is never worse than the master's, an exit's stop triggers
no later than the master's and an entry's no sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from decimal import Decimal

from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Price, ceil_to, floor_to
from copytrade.domain.order import Effect, OrderKind, Side


@dataclass(frozen=True, slots=True)
class Form:
    """An order's kind and prices, on the tick. `note` says what it stands for; `profit` is the price that the engine
    watches for where the venue has no bracket."""

    kind: OrderKind
    limit_price: Price | None = None
    stop_price: Price | None = None
    note: str = ""
    profit: Price | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The master's order as it concerns its form."""

    kind: OrderKind
    side: Side
    effect: Effect
    limit_price: Price | None
    stop_price: Price | None


def form_at(asked: Asked, instrument: Instrument, kinds: Set[OrderKind], stop_limit_gap: Decimal) -> Form | None:
    """The form at a venue that has `kinds` in this market; None when there is not even a stand-in."""
    if asked.kind is OrderKind.MARKET:
        return Form(OrderKind.MARKET)
    if asked.kind not in kinds and asked.kind in _STAND_INS:
        return _STAND_INS[asked.kind](asked, instrument, kinds, stop_limit_gap)
    limit = limit_on_tick(asked.side, asked.limit_price, instrument) if asked.kind.has_limit else None
    stop = trigger_on_tick(asked, instrument) if asked.kind.has_stop else None
    return Form(asked.kind, limit, stop)


def limit_on_tick(side: Side, price: Price | None, instrument: Instrument) -> Price:
    """Never worse than `price`: down for a buy, up for a sell."""
    assert price is not None, "an order with a limit has a limit price"
    return Price(floor_to(price.value, instrument.tick) if side is Side.BUY else ceil_to(price.value, instrument.tick))


def trigger_on_tick(asked: Asked, instrument: Instrument) -> Price:
    """An exit triggers no later than the master's, an entry no sooner."""
    assert asked.stop_price is not None, "an order with a trigger has a stop price"
    price = asked.stop_price.value
    profit = asked.kind in (OrderKind.TAKE_PROFIT, OrderKind.TAKE_PROFIT_LIMIT)
    # Up is sooner for a sell's stop and later for a buy's; a take-profit waits on the other side of the market.
    return Price(floor_to(price, instrument.tick) if profit else ceil_to(price, instrument.tick))


def _post_only(asked: Asked, instrument: Instrument, kinds: Set[OrderKind], gap: Decimal) -> Form | None:
    if OrderKind.LIMIT not in kinds:
        return None
    limit = limit_on_tick(asked.side, asked.limit_price, instrument)
    return Form(OrderKind.LIMIT, limit, note="the venue has no post-only orders: an ordinary limit order")


def _stop(asked: Asked, instrument: Instrument, kinds: Set[OrderKind], gap: Decimal) -> Form | None:
    if OrderKind.STOP_LIMIT not in kinds:
        return None
    stop = trigger_on_tick(asked, instrument)
    limit = instrument.worst_price(asked.side, stop, gap)
    note = f"the venue has no stop orders: a stop-limit order with its limit {gap:%} beyond the stop"
    return Form(OrderKind.STOP_LIMIT, limit, stop, note)


def _stop_limit(asked: Asked, instrument: Instrument, kinds: Set[OrderKind], gap: Decimal) -> Form | None:
    if asked.effect is Effect.ENTRY or OrderKind.STOP not in kinds:
        return None
    note = "the venue has no stop-limit orders: a stop order, as it is an exit"
    return Form(OrderKind.STOP, None, trigger_on_tick(asked, instrument), note)


def _take_profit(asked: Asked, instrument: Instrument, kinds: Set[OrderKind], gap: Decimal) -> Form | None:
    if OrderKind.LIMIT not in kinds:
        return None
    limit = limit_on_tick(asked.side, asked.limit_price or asked.stop_price, instrument)
    return Form(OrderKind.LIMIT, limit, note=f"the venue has no {asked.kind} orders: a limit order at {limit}")


def _bracket(asked: Asked, instrument: Instrument, kinds: Set[OrderKind], gap: Decimal) -> Form | None:
    if asked.effect is Effect.ENTRY:
        return None
    stop = Asked(OrderKind.STOP, asked.side, asked.effect, None, asked.stop_price)
    form = form_at(stop, instrument, kinds, gap)
    if form is None:
        return None
    profit = limit_on_tick(asked.side, asked.limit_price, instrument)
    note = "; ".join(["the venue has no brackets: the stop rests there, the profit is watched for here", form.note])
    return Form(form.kind, form.limit_price, form.stop_price, note.removesuffix("; "), profit)


_STAND_INS: dict[OrderKind, Callable[[Asked, Instrument, Set[OrderKind], Decimal], Form | None]] = {
    OrderKind.IOC_LIMIT: lambda asked, instrument, kinds, gap: None,
    OrderKind.LIMIT: lambda asked, instrument, kinds, gap: None,
    OrderKind.POST_ONLY: _post_only,
    OrderKind.STOP: _stop,
    OrderKind.STOP_LIMIT: _stop_limit,
    OrderKind.TAKE_PROFIT: _take_profit,
    OrderKind.TAKE_PROFIT_LIMIT: _take_profit,
    OrderKind.BRACKET: _bracket,
}
