"""Entries of a follower that joins late: what they may cost, and what of them is tried again. Pure.

With `late_join: better_price_only` a follower pays no more than the master has paid on average. The signal names that
price as its limit, and the order leaves as a limit order that fills at once or not at all; what it lacks is tried
again, order by order, each for no more than the one before it lacked.
"""

from __future__ import annotations

from decimal import Decimal

from copytrade.copying.kinds import Form, limit_on_tick
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import NO_QUANTITY, Price, Quantity
from copytrade.domain.order import OrderKind, OrderState
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord

# Nothing but time and the price has kept these from the venue.
_LATER = frozenset({Reason.PRICE_MOVED, Reason.PRICE_UNKNOWN, Reason.ENTRY_EXPIRED})
_NEVER_LEFT = (OrderState.SKIPPED, OrderState.STOPPED)
_ENDED = (OrderState.FILLED, OrderState.CANCELLED)


def waits_for_price(signal: Signal) -> bool:
    """Whether it takes up the master's position at the master's average price or a better one only."""
    return signal.kind is SignalKind.JOIN and signal.limit_price is not None


def again(signal: Signal) -> bool:
    """Whether it is for what an earlier entry of the same joining lacked."""
    return waits_for_price(signal) and signal.own_size


def highest_price(signal: Signal, instrument: Instrument, max_slippage: Decimal) -> Price:
    """What is paid at most, on the follower's tick. One follower's currency that stands for the master's counts as
    that one, as in its size."""
    if signal.limit_price is not None:
        return limit_on_tick(signal.side, signal.limit_price, instrument)
    return instrument.worst_price(signal.side, signal.price, max_slippage)


def join_form(signal: Signal, instrument: Instrument, kinds: frozenset[OrderKind], max_slippage: Decimal) -> Form:
    """A limit order that fills at once or not at all; at market, behind a look at the price, where there is none."""
    if OrderKind.IOC_LIMIT in kinds:
        return Form(OrderKind.IOC_LIMIT, highest_price(signal, instrument, max_slippage))
    note = "the venue has no limit orders here that fill at once or not at all: at market, behind a look at the price"
    return Form(OrderKind.MARKET, note=note)


def lacking(record: OrderRecord) -> Quantity:
    """What an entry that is over lacks of what it was for, if that may be tried again: not after a refusal, nor where
    it was taken back."""
    if record.cancel is not None or not record.state.final:
        return NO_QUANTITY
    if record.state in _ENDED:
        return record.quantity - record.filled
    if record.state in _NEVER_LEFT and record.reason in _LATER:
        return record.quantity or record.ideal
    return NO_QUANTITY
