"""Orders: sides, kinds, and the one table that holds the life of an order, the master's and a copy's alike."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class Effect(StrEnum):
    """What an order does to the position: a buy opens or adds to it, a sell closes some of it (spot, no shorts)."""

    ENTRY = "entry"
    EXIT = "exit"


class OrderKind(StrEnum):
    """What a venue is asked to do. A stop triggers when the price has moved against the order's side (a sell below
    the market, a buy above it), a take-profit when it has moved in its favour."""

    MARKET = "market"
    IOC_LIMIT = "ioc_limit"  # a marketable limit order that fills at once up to its limit or not at all
    LIMIT = "limit"  # rests until it is filled or cancelled
    POST_ONLY = "post_only"  # a limit order that the venue refuses if it would fill at once
    STOP = "stop"  # a market order from the moment the stop price is reached
    STOP_LIMIT = "stop_limit"  # a limit order from that moment
    TAKE_PROFIT = "take_profit"
    TAKE_PROFIT_LIMIT = "take_profit_limit"
    BRACKET = "bracket"  # a limit at the profit and a stop at the loss; what fills first cancels the other

    @property
    def rests(self) -> bool:
        """Whether the order may stay at the venue unfilled."""
        return self not in _IMMEDIATE

    @property
    def has_limit(self) -> bool:
        """Whether `limit_price` is part of the order (a bracket's is its profit)."""
        return self in _LIMITED

    @property
    def has_stop(self) -> bool:
        """Whether `stop_price`, the price that triggers it, is part of the order (a bracket's is its loss)."""
        return self in _TRIGGERED


_IMMEDIATE = frozenset({OrderKind.MARKET, OrderKind.IOC_LIMIT})
_LIMITED = frozenset(
    {
        OrderKind.IOC_LIMIT, OrderKind.LIMIT, OrderKind.POST_ONLY, OrderKind.STOP_LIMIT, OrderKind.TAKE_PROFIT_LIMIT,
        OrderKind.BRACKET,
    }
)  # fmt: skip
_TRIGGERED = frozenset(
    {OrderKind.STOP, OrderKind.STOP_LIMIT, OrderKind.TAKE_PROFIT, OrderKind.TAKE_PROFIT_LIMIT, OrderKind.BRACKET}
)


class Role(StrEnum):
    MASTER = "master"
    COPY = "copy"
    INDEPENDENT = "independent"  # of an account that runs a strategy of its own


class OrderState(StrEnum):
    """Where an order is in its life. The moves between these are in `MOVES`, and nowhere else."""

    DEFERRED = "deferred"  # durable, not yet sized: waits for fresh equity or for earlier fills
    APPROVED = "approved"  # durable and sized: may be on its way to the venue
    UNKNOWN = "unknown"  # sent, and no answer that can be trusted: is being looked up
    ACCEPTED = "accepted"  # at the venue, under the venue's own id
    HELD = "held"  # an exit that cannot be placed now: kept until the operator or drift repair places it
    SKIPPED = "skipped"  # final: never approved
    STOPPED = "stopped"  # final: approved, and proved never to have reached the venue
    REFUSED = "refused"  # final: the venue said no
    FILLED = "filled"  # final: filled in whole
    CANCELLED = "cancelled"  # final: ended at the venue before it was filled in whole; some may have filled

    @property
    def final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset(
    {OrderState.SKIPPED, OrderState.STOPPED, OrderState.REFUSED, OrderState.FILLED, OrderState.CANCELLED}
)


class Move(StrEnum):
    """What happens to an order."""

    DEFER = "defer"
    APPROVE = "approve"
    SKIP = "skip"
    ACCEPT = "accept"
    REFUSE = "refuse"
    LOSE = "lose"  # the outcome is unknown
    PROVE_ABSENT = "prove_absent"
    STOP = "stop"
    HOLD = "hold"
    RELEASE = "release"
    PROGRESS = "progress"
    FILL = "fill"
    CANCEL = "cancel"


_S, _M = OrderState, Move

MOVES: dict[tuple[OrderState | None, Move], OrderState] = {
    (None, _M.DEFER): _S.DEFERRED,
    (None, _M.APPROVE): _S.APPROVED,
    (None, _M.SKIP): _S.SKIPPED,
    (_S.DEFERRED, _M.APPROVE): _S.APPROVED,
    (_S.DEFERRED, _M.SKIP): _S.SKIPPED,
    (_S.DEFERRED, _M.HOLD): _S.HELD,
    (_S.DEFERRED, _M.STOP): _S.STOPPED,
    (_S.APPROVED, _M.APPROVE): _S.APPROVED,  # sized again, before it was first sent
    (_S.APPROVED, _M.ACCEPT): _S.ACCEPTED,
    (_S.APPROVED, _M.REFUSE): _S.REFUSED,
    (_S.APPROVED, _M.LOSE): _S.UNKNOWN,
    (_S.APPROVED, _M.STOP): _S.STOPPED,
    (_S.APPROVED, _M.HOLD): _S.HELD,
    (_S.UNKNOWN, _M.ACCEPT): _S.ACCEPTED,
    (_S.UNKNOWN, _M.PROVE_ABSENT): _S.APPROVED,
    (_S.ACCEPTED, _M.PROGRESS): _S.ACCEPTED,
    (_S.ACCEPTED, _M.FILL): _S.FILLED,
    (_S.ACCEPTED, _M.CANCEL): _S.CANCELLED,
    (_S.HELD, _M.RELEASE): _S.DEFERRED,  # sized again by what is held now
    (_S.HELD, _M.STOP): _S.STOPPED,
}
"""Every legal move. There is none from UNKNOWN to a second send except over a proof of absence, and none that
leaves ACCEPTED except at the venue's word."""


class IllegalMove(AssertionError):
    """A programming error: an order was asked to make a move that is not in the table."""


def next_state(state: OrderState | None, move: Move) -> OrderState:
    """The state after a move. Raises `IllegalMove` for one that is not in the table."""
    try:
        return MOVES[state, move]
    except KeyError:
        raise IllegalMove(f"an order that is {state or 'not there'} cannot {move}") from None
