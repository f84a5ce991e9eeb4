"""How the change or the end of a master's order reaches the copies of it: which are taken back, which catch up."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from copytrade.copying.rules import CopyRules, OnMasterFill
from copytrade.domain.account import AccountId
from copytrade.domain.copy import Deferred
from copytrade.domain.events import CancelAsked
from copytrade.domain.ids import copy_id
from copytrade.domain.order import Effect, OrderState
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.chains import Chain, Key

_NOT_SIZED = frozenset({OrderState.DEFERRED, OrderState.HELD})  # the latter perhaps
_NOT_OVER = frozenset({Reason.PROFIT_REACHED, Reason.MAKES_WAY, Reason.EXIT_FIRST})
_REASONS = {
    SignalKind.AMENDED: Reason.MASTER_AMENDED,
    SignalKind.CANCELLED: Reason.MASTER_CANCELLED,
    SignalKind.FILLED: Reason.MASTER_FILLED,
}


@dataclass(slots=True)
class FollowUp:
    """What one signal asks of the copies that earlier signals made. `told` are on their way back for another reason,
    which this one takes the place of."""

    back: list[OrderRecord] = field(default_factory=list)
    told: list[OrderRecord] = field(default_factory=list)
    copies: list[Deferred] = field(default_factory=list)

    def asked(self, signal: Signal, at: datetime, master: OrderRecord | None = None) -> list[CancelAsked]:
        """The events that ask for orders back. `master` is the order behind the signal: one that was cancelled to be
        placed anew is told as changed."""
        reason = _REASONS[signal.kind]
        if reason is Reason.MASTER_CANCELLED and master is not None and master.cancel is Reason.MASTER_AMENDED:
            reason = Reason.MASTER_AMENDED
        return [CancelAsked(record.order_id, reason, at) for record in (*self.back, *self.told)]


def follow_up(
    signal: Signal, chains: Mapping[Key, Chain], accounts: Collection[AccountId], rules: CopyRules
) -> FollowUp:
    """Go through every account's chain.

    A copy that takes another's place, or catches up, is deferred: it is sized in its lane, behind the cancels, once
    it is known what the others have come to. `accounts` are those that can be traded; the others' copies are taken
    back all the same.
    """
    found = FollowUp()
    leaves = _leaves_resting(signal, rules)
    answered: set[AccountId] = set()
    for (account, _), chain in chains.items():
        if not leaves:
            # What was asked back before is in its lane already, ahead of what is planned now.
            found.back += [record for record in chain.open if record.cancel is None]
            # A stop that was taken back for its profit would sell the rest by itself, beside what is asked for now, and
            # one that made way would be placed again.
            found.told += [r for r in chain.open if r.cancel in _NOT_OVER]
        if account in accounts and not leaves and _goes_on(signal, chain, rules):
            # An exit of an account that holds several markets which stand for the signal's goes on in each.
            identity = copy_id(signal.signal_id, account, 0, chain.symbol if account in answered else "")
            answered.add(account)
            found.copies.append(
                Deferred(
                    identity, signal.signal_id, account, chain.symbol, signal.side, signal.effect,
                    Reason.WAITS_FOR_FILLS, f"{_REASONS[signal.kind].text}",
                )
            )  # fmt: skip
    return found


def _leaves_resting(signal: Signal, rules: CopyRules) -> bool:
    entry = signal.effect is Effect.ENTRY
    return signal.kind is SignalKind.FILLED and entry and rules.on_master_fill is OnMasterFill.LEAVE


def _goes_on(signal: Signal, chain: Chain, rules: CopyRules) -> bool:
    """Whether the account gets another copy: of the changed order, or of what it lacks."""
    if signal.kind is SignalKind.AMENDED:
        return bool(chain.wanted) or any(record.state is OrderState.DEFERRED for record in chain.open)
    if signal.effect is Effect.ENTRY and rules.on_master_fill is not OnMasterFill.CHASE:
        return False
    share = min(Decimal(1), signal.filled.value / signal.quantity.value)
    waiting = bool(share) and any(record.state in _NOT_SIZED for record in chain.open)
    return chain.wanted.scaled(share) > chain.filled or waiting
