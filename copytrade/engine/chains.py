"""What one account has made of one order of the master's, and of those that took its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from copytrade.domain.account import AccountId
from copytrade.domain.money import NO_QUANTITY, Quantity
from copytrade.domain.order import Effect, OrderState
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal
from copytrade.domain.state import OrderRecord
from copytrade.engine.ports import Ledger

_NEVER_SIZED = frozenset({OrderState.SKIPPED, OrderState.DEFERRED})
_NOT_TO_BE = frozenset({OrderState.STOPPED, OrderState.REFUSED})


@dataclass(frozen=True, slots=True)
class Chain:
    """An account's copies in one family of master orders, in the order in which they were planned.

    `wanted` is what they were to come to in all: what earlier ones had filled, and the whole of the latest that was
    sized by the ratio, in proportion to what the master's order is for by now. `filled` is what has filled of all of
    them, in base units, before fees.
    """

    copies: tuple[OrderRecord, ...] = ()
    wanted: Quantity = NO_QUANTITY
    filled: Quantity = NO_QUANTITY

    @property
    def open(self) -> list[OrderRecord]:
        return [record for record in self.copies if not record.state.final]

    @property
    def symbol(self) -> str:
        return self.copies[-1].symbol


NO_CHAIN = Chain()


def chains(ledger: Ledger, signal: Signal, account: AccountId | None = None) -> dict[AccountId, Chain]:
    """Every account's chain in the signal's family, as far as earlier signals made it."""
    found: dict[AccountId, list[tuple[Signal, OrderRecord]]] = {}
    for earlier, copies in ledger.family(signal.family, account):
        if earlier.signal_id != signal.signal_id:
            for record in copies:
                found.setdefault(record.account, []).append((earlier, record))
    return {account: _chain(entries) for account, entries in found.items()}


def chain_of(ledger: Ledger, signal: Signal, account: AccountId) -> Chain:
    """The same for one account."""
    return chains(ledger, signal, account).get(account, NO_CHAIN)


def _chain(entries: Iterable[tuple[Signal, OrderRecord]]) -> Chain:
    filled, wanted, asked = NO_QUANTITY, NO_QUANTITY, NO_QUANTITY
    for signal, record in entries:
        if not signal.kind.follows_up and record.leg == 0:
            if _counts(record):
                wanted, asked = filled + record.quantity, signal.quantity
            elif asked:
                # What was never sized, as the order was changed once more or was over, is owed all the same: the share
                # of the changed order that the copy before was of the one before.
                wanted, asked = wanted.scaled(signal.quantity.value / asked.value), signal.quantity
        filled = filled + record.filled
    return Chain(tuple(record for _, record in entries), wanted, filled)


def _counts(record: OrderRecord) -> bool:
    """An entry that was stopped or refused is not owed any more; an exit always is."""
    if record.state in _NEVER_SIZED or not record.quantity:
        return False
    if record.effect is Effect.EXIT or record.state not in _NOT_TO_BE:
        return True
    return record.reason is Reason.OPPOSITE_ORDER  # it could not rest there, and is bought once the master's has filled
