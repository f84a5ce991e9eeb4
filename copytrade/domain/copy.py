"""A copy: one follower's answer to one signal. Approval is a type: a lane sends an `Approved` and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from copytrade.domain.account import AccountId
from copytrade.domain.limits import Carry
from copytrade.domain.money import NO_QUANTITY, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class Approved:
    """A copy that passed every check and has its size. `reason` says which rule gave the size.

    A resting stop with a `profit` is a bracket at a venue without them: once the price is there, the stop is taken back
    and what is left of it sold. `carry` is what is kept of the instrument for the next signal from now on; None leaves
    it as it is; `taken` is what this copy takes up of it, and gives back if it is never placed. `ideal` is what the
    rule of copying alone asks for, before caps, steps and minimums: of an entry the ratio of equities times the
    master's quantity, of an exit the fraction of the position; zero where nobody knows.
    """

    order_id: str
    signal_id: str
    account: AccountId
    symbol: str
    side: Side
    effect: Effect
    kind: OrderKind
    quantity: Quantity
    price: Price
    limit_price: Price | None
    reason: Reason
    detail: str = ""
    leg: int = 0
    stop_price: Price | None = None
    profit: Price | None = None
    carry: Carry | None = None
    ideal: Quantity = NO_QUANTITY
    taken: Carry | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A copy that will not be placed, and why. `carry` and `ideal` as in `Approved`."""

    order_id: str
    signal_id: str
    account: AccountId
    symbol: str
    side: Side
    effect: Effect
    reason: Reason
    detail: str = ""
    leg: int = 0
    carry: Carry | None = None
    ideal: Quantity = NO_QUANTITY


@dataclass(frozen=True, slots=True)
class Deferred:
    """A copy that cannot be sized yet: it waits for a fresh equity or for the fills of earlier orders."""

    order_id: str
    signal_id: str
    account: AccountId
    symbol: str
    side: Side
    effect: Effect
    reason: Reason
    detail: str = ""
    leg: int = 0


Decision = Approved | Skipped | Deferred
