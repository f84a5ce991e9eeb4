"""What each signal came to, for messages: gathered from the ledger's file until all of its copies are over."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from copytrade.console.notify.notices import Level, Notice, concerns
from copytrade.domain.account import AccountId, user_of
from copytrade.domain.order import OrderState, Role
from copytrade.domain.reasons import Reason
from copytrade.ledger.feed import LedgerFeed
from copytrade.ledger.reader import LedgerReader
from copytrade.settings.notify import NotifyTarget

GATHER_S = 15.0  # a signal's copies fill within seconds; what takes longer is told by itself
_EVENTS_AT_ONCE = 2_000
_PARTS_MAX = 50
_SEEN_MAX = 100_000
_NAMED_MAX = 5

_FINAL = frozenset(state.value for state in OrderState if state.final)
_FAILED = (OrderState.REFUSED, OrderState.STOPPED)
# Stopped by the operator's own hand, who need not be told of each.
_BY_HAND = frozenset({Reason.KILL_SWITCH, Reason.SHUTTING_DOWN, Reason.GAVE_UP, Reason.MASTER_CANCELLED})

Record = dict[str, Any]


@dataclass(slots=True)
class Outcome:
    """Orders of one signal that came to their end together; the master's own has no signal."""

    signal: Record | None
    orders: list[Record] = field(default_factory=list)
    first_s: float = 0.0


class Outcomes:
    """Follows the ledger's file. Used by one thread at a time. Raises `LedgerError`."""

    def __init__(self, ledger: Path, clock_s: Callable[[], float]) -> None:
        self._path = ledger
        self._clock_s = clock_s
        self._feed = LedgerFeed(ledger)
        self._open: dict[str, Outcome] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()

    def close(self) -> None:
        self._feed.close()

    def poll(self) -> list[Outcome]:
        """Signals whose copies are all over, or that have been waited for long enough."""
        alone: list[Outcome] = []
        for _ in range(_PARTS_MAX):
            changes = self._feed.take(_EVENTS_AT_ONCE)
            if changes is None:
                break
            for order in changes.orders:
                if order["state"] not in _FINAL or self._known(order["order_id"]):
                    continue
                if order["role"] == Role.MASTER or order["signal_id"] is None:
                    alone.append(Outcome(None, [order]))
                else:
                    group = self._open.setdefault(order["signal_id"], Outcome(None, first_s=self._clock_s()))
                    group.orders.append(order)
        return alone + self._ready()

    def _ready(self) -> list[Outcome]:
        if not self._open:
            return []
        ready = []
        with LedgerReader(self._path) as reader:
            for signal_id, group in list(self._open.items()):
                signal = reader.signal(signal_id)
                over = signal is not None and all(state in _FINAL for state in signal["copies"])
                if over or self._clock_s() - group.first_s >= GATHER_S:
                    group.signal = signal
                    ready.append(group)
                    del self._open[signal_id]
        return ready

    def _known(self, order_id: str) -> bool:
        if order_id in self._seen:
            return True
        self._seen[order_id] = None
        if len(self._seen) > _SEEN_MAX:
            self._seen.popitem(last=False)
        return False


def notices_of(outcome: Outcome, target: NotifyTarget) -> list[Notice]:
    """What a target is told of it, for the followers it is for."""
    orders = [order for order in outcome.orders if _master(order) or concerns(target, order["account"])]
    return [*_fills(outcome, orders, target), *_failures(orders)]


def _fills(outcome: Outcome, orders: list[Record], target: NotifyTarget) -> Iterable[Notice]:
    filled = [order for order in orders if Decimal(order["filled"]) > 0]
    if outcome.signal is None or target.fills == "per_follower":
        for order in filled:
            yield Notice("fills", Level.INFO, _fill(order), "" if _master(order) else order["account"])
    elif filled:
        first = filled[0]
        base, _, quote = first["symbol"].partition("/")
        quantity = sum((Decimal(order["filled"]) for order in filled), Decimal(0))
        cost = sum((Decimal(order["cost"]) for order in filled), Decimal(0))
        who = f"{len(filled)} of {len(orders)} copies"
        bought = "bought" if first["side"] == "buy" else "sold"
        text = f"{who} {bought} {quantity.normalize():f} {base} for {cost:,.2f} {quote or 'USD'}"
        yield Notice("fills", Level.INFO, text)


def _failures(orders: list[Record]) -> Iterable[Notice]:
    by_reason: dict[tuple[str, str, str], list[Record]] = {}
    for order in orders:
        if order["state"] in _FAILED and Reason(order["reason"]) not in _BY_HAND:
            by_reason.setdefault((order["reason"], order["side"], order["symbol"]), []).append(order)
    for (reason, side, symbol), failed in by_reason.items():
        names = ", ".join(order["account"] for order in failed[:_NAMED_MAX])
        more = f" and {len(failed) - _NAMED_MAX} more" if len(failed) > _NAMED_MAX else ""
        detail = f" ({failed[0]['detail']})" if failed[0]["detail"] else ""
        one = failed[0]["account"] if len(failed) == 1 and not _master(failed[0]) else ""
        text = f"failed to {side} {symbol}: {names}{more}: {Reason(reason).text}{detail}"
        yield Notice("failures", Level.WARNING, text, one)


def _fill(order: Record) -> str:
    base, _, quote = order["symbol"].partition("/")
    bought = "bought" if order["side"] == "buy" else "sold"
    who = "the master" if _master(order) else user_of(AccountId(order["account"]))
    filled = Decimal(order["filled"]).normalize()
    part = "" if order["state"] == OrderState.FILLED else f" (of {Decimal(order['quantity']).normalize():f})"
    return f"{who} {bought} {filled:f} {base}{part} for {Decimal(order['cost']):,.2f} {quote or 'USD'}"


def _master(order: Record) -> bool:
    return bool(order["role"] == Role.MASTER)
