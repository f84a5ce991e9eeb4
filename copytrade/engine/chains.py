"""What one account has made of one order of the master's, and of those that took its place.

`reread` reckons it from the ledger, every copy of every signal of the family. `Chains` keeps what that would find, so
that a change of the master's order costs nobody a look at the file: see `tests/engine/test_engine_chains.py`, which
holds the two against each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from copytrade.domain.account import AccountId
from copytrade.domain.money import NO_QUANTITY, Quantity
from copytrade.domain.order import Effect, OrderKind, OrderState, Role
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.ports import Ledger

_NEVER_SIZED = frozenset({OrderState.SKIPPED, OrderState.DEFERRED})
_NOT_TO_BE = frozenset({OrderState.STOPPED, OrderState.REFUSED})
_OF_ORDERS = frozenset({SignalKind.PLACED, SignalKind.AMENDED, SignalKind.CANCELLED, SignalKind.FILLED})

_PART = 200  # copies read from the file before others go on: some 5 ms
# Families that are over and still kept: between the end of an order and its successor's signal lies an answer of the
# master's venue, and followers may be done sooner.
_OVER_KEPT = 3


@dataclass(frozen=True, slots=True)
class Chain:
    """An account's copies in one family of master orders; of an exit, those in one of its markets.

    `open` are those that are not over, in the order in which they were planned. `wanted` is what all were to come to:
    what earlier ones had filled, and the whole of the latest that was sized by the ratio, in proportion to what the
    master's order is for by now. `filled` is what has filled of all of them, in base units, before fees. `symbol` is
    the latest one's market, empty where there are none.
    """

    symbol: str = ""
    open: tuple[OrderRecord, ...] = ()
    wanted: Quantity = NO_QUANTITY
    filled: Quantity = NO_QUANTITY


NO_CHAIN = Chain()

Key = tuple[AccountId, str]
"""An account and, for an exit, a market: positions in several are closed one by one. An entry is one order, wherever
it goes."""


def key_of(signal: Signal, account: AccountId, symbol: str) -> Key:
    return account, symbol if signal.effect is Effect.EXIT else ""


def reread(ledger: Ledger, signal: Signal, *accounts: AccountId) -> dict[Key, Chain]:
    """The chains in the signal's family, without the signal's own copies: everybody's, or those of some accounts."""
    found: dict[Key, list[tuple[Signal, OrderRecord]]] = {}
    for other, copies in ledger.family(signal.family, *accounts):
        if other.signal_id != signal.signal_id:
            for record in copies:
                found.setdefault((record.account, _market(record)), []).append((other, record))
    chains = {}
    for key, entries in found.items():
        total = _Sum()
        for other, record in entries:
            total.take(record, begins=_begins(other))
        chains[key] = total.chain([record for _, record in entries if not record.state.final])
    return chains


class Chains:
    """The chains of all families that may still change, kept up by what the ledger takes in."""

    def __init__(self, ledger: Ledger, part: int = _PART) -> None:
        self._ledger = ledger
        self._part = part
        self._families: dict[str, _Family] = {}
        self._by_signal: dict[str, _Family] = {}
        self._over: dict[str, None] = {}  # the first to be forgotten in front
        self._reading: dict[str, asyncio.Task[None]] = {}
        ledger.state.listeners.append(self)

    async def load(self, signal: Signal) -> None:
        """See that the signal's family is known, from the file where an earlier run began it. That is read in parts:
        others go on in between. Raises `LedgerError`."""
        family = signal.family
        if self.knows(signal):
            return
        task = self._reading.get(family)
        if task is None:
            task = self._reading[family] = asyncio.create_task(self._read(family), name=f"family {family}")
            task.add_done_callback(lambda done: self._read_over(family, done))
        await asyncio.shield(task)  # one asker that goes away must not take it from the others

    def all(self, signal: Signal) -> dict[Key, Chain]:
        """Everybody's chains, without the signal's own copies."""
        family = self._known(signal.family)
        if family is None:
            return reread(self._ledger, signal)
        found: dict[Key, Chain] = {}
        for account in family.accounts:
            for market, chain in self._look(family, account, signal):
                found[account, market] = chain
        return found

    def of(self, signal: Signal, account: AccountId, symbol: str) -> Chain:
        """The chain of one account: of an exit, the one in this market."""
        key = key_of(signal, account, symbol)
        family = self._known(signal.family)
        if family is None:
            return reread(self._ledger, signal, account).get(key, NO_CHAIN)
        return dict(self._look(family, account, signal)).get(key[1], NO_CHAIN)

    def knows(self, signal: Signal) -> bool:
        """Whether the signal's family is kept, so that nobody has to look into the file."""
        return self._known(signal.family) is not None

    # -- what the ledger takes in --------------------------------------------------------------------------------------

    def emitted(self, signal: Signal) -> None:
        if signal.kind not in _OF_ORDERS or not signal.master_order_id:
            return
        family = self._families.get(signal.family)
        if family is None:
            # An order at market has no second signal. What another run began is read when somebody asks for it.
            if signal.kind is not SignalKind.PLACED or signal.order_kind is OrderKind.MARKET:
                return
            family = self._families[signal.family] = _Family(signal.family)
        self._number(family, signal)
        family.unanswered.add(signal.signal_id)
        self._over.pop(family.name, None)

    def planned(self, signal_id: str, records: Sequence[OrderRecord]) -> None:
        family = self._by_signal.get(signal_id)
        if family is None:
            return
        family.unanswered.discard(signal_id)
        if family.meanwhile is not None:
            family.meanwhile.update((record.order_id, record) for record in records)
            return
        for record in records:
            family.take(record)
            family.open += not record.state.final
        self._look_whether_over(family)

    def ended(self, record: OrderRecord) -> None:
        if record.role is Role.MASTER and record.intent is not None:
            family = self._known(record.intent.replaces or record.order_id)
        else:
            family = self._by_signal.get(record.signal_id or "")
            if family is not None and family.meanwhile is None:
                family.open -= 1
        if family is not None and family.meanwhile is None and not family.open:
            self._look_whether_over(family)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _known(self, name: str) -> _Family | None:
        family = self._families.get(name)
        return None if family is None or family.meanwhile is not None else family

    def _number(self, family: _Family, signal: Signal) -> None:
        family.signals.setdefault(signal.signal_id, (len(family.signals), _begins(signal)))
        family.master = signal.master_order_id
        self._by_signal[signal.signal_id] = family

    def _look(self, family: _Family, account: AccountId, signal: Signal) -> Iterable[tuple[str, Chain]]:
        kept = family.accounts.get(account)
        if kept is None:
            return ()
        own = family.signals.get(signal.signal_id, (-1, NO_QUANTITY))[0]
        if kept.torn or 0 <= own <= kept.summed:
            kept = family.accounts[account] = _Kept()
            for _, copies in self._ledger.family(family.name, account):
                for record in copies:
                    kept.entries.append((*family.signals[record.signal_id or ""], record))
        return kept.look(own)

    def _look_whether_over(self, family: _Family) -> None:
        """A family is over once the master's order is, every copy is, and the last signal of it was answered."""
        over = not family.open and not family.unanswered and family.master not in self._ledger.state.orders
        self._over.pop(family.name, None)
        if not over:
            return
        self._over[family.name] = None
        while len(self._over) > _OVER_KEPT:
            oldest = next(iter(self._over))
            del self._over[oldest]
            self._forget(self._families[oldest])

    def _forget(self, family: _Family) -> None:
        del self._families[family.name]
        for signal_id in family.signals:
            del self._by_signal[signal_id]

    async def _read(self, name: str) -> None:
        """What is planned while this reads is noted beside it, and taken in at the end."""
        ledger = self._ledger
        family = _Family(name, meanwhile={})
        assert family.meanwhile is not None
        for signal in ledger.signals_of(name):
            self._number(family, signal)
            if signal.signal_id in ledger.state.unplanned:
                family.unanswered.add(signal.signal_id)
        self._families[name] = family
        try:
            for signal_id in list(family.signals):
                for part in ledger.copies_in_parts(signal_id, self._part):
                    for record in part:
                        if record.order_id not in family.meanwhile:
                            family.take(record)
                    await asyncio.sleep(0)
        except BaseException:
            self._forget(family)
            raise
        for record in family.meanwhile.values():
            family.take(record)
        family.meanwhile = None
        family.open = sum(record.signal_id in family.signals for record in ledger.state.orders.values())
        self._look_whether_over(family)

    def _read_over(self, name: str, task: asyncio.Task[None]) -> None:
        self._reading.pop(name, None)
        if not task.cancelled():
            task.exception()  # every asker got it; without one, nobody is left to tell


@dataclass(slots=True)
class _Sum:
    """The copies that are over, of one account in one market; or all of them."""

    symbol: str = ""
    wanted: Quantity = NO_QUANTITY
    filled: Quantity = NO_QUANTITY
    asked: Quantity = NO_QUANTITY  # what the master's order was for that `wanted` is the share of

    def take(self, record: OrderRecord, *, begins: Quantity) -> None:
        if begins and record.leg == 0:
            if _counts(record):
                self.wanted, self.asked = self.filled + record.quantity, begins
            elif self.asked:
                # What was never sized, as the order was changed once more or was over, is owed all the same: the share
                # of the changed order that the copy before was of the one before.
                self.wanted, self.asked = self.wanted.scaled(begins.value / self.asked.value), begins
        if record.filled:
            self.filled = self.filled + record.filled
        self.symbol = record.symbol

    def chain(self, open_records: Sequence[OrderRecord] = ()) -> Chain:
        return Chain(self.symbol, tuple(open_records), self.wanted, self.filled)


class _Kept:
    """One account: sums of the first signals' copies, all of which are over, and the copies of the others.

    `summed` is the number of the last signal in the sums. A copy of one before that comes too late for them: then the
    account is `torn`, and is read again when it is asked for.
    """

    __slots__ = ("entries", "summed", "sums", "torn")

    def __init__(self) -> None:
        self.sums: dict[str, _Sum] = {}
        self.entries: list[tuple[int, Quantity, OrderRecord]] = []
        self.summed = -1
        self.torn = False

    def take(self, number: int, begins: Quantity, record: OrderRecord) -> None:
        entries = self.entries
        if number < self.summed:
            self.torn = True
        elif not entries or entries[-1][0] <= number:
            if entries and entries[-1][0] < number:
                self._sum_up(number)
            entries.append((number, begins, record))
        else:
            place = next(place for place, entry in enumerate(entries) if entry[0] > number)
            entries.insert(place, (number, begins, record))

    def look(self, own: int) -> list[tuple[str, Chain]]:
        """The chains by market, without the copies of the signal of this number."""
        if len(self.entries) == 1 and not self.sums:  # nearly everybody's, until an order is changed
            number, begins, record = self.entries[0]
            if number == own:
                return []
            wanted = record.quantity if begins and record.leg == 0 and _counts(record) else NO_QUANTITY
            still_open = () if record.state.final else (record,)
            return [(_market(record), Chain(record.symbol, still_open, wanted, record.filled))]
        self._sum_up(own)
        rest = [entry for entry in self.entries if entry[0] != own]
        sums = {m: _Sum(t.symbol, t.wanted, t.filled, t.asked) for m, t in self.sums.items()}
        still: dict[str, list[OrderRecord]] = {}
        for _, begins, record in rest:
            market = _market(record)
            sums.setdefault(market, _Sum()).take(record, begins=begins)
            if not record.state.final:
                still.setdefault(market, []).append(record)
        return [(market, total.chain(still.get(market, ()))) for market, total in sums.items()]

    def _sum_up(self, before: int) -> None:
        """Put the copies of the first signals into the sums, as far as all of a signal's are over; but not those of
        the signal `before` or of later ones (of any, where that is -1). The last signal's stay: a next leg of one of
        them may come."""
        entries, done = self.entries, 0
        last = entries[-1][0] if entries else -1
        while done < len(entries):
            number = entries[done][0]
            if number in (last, before):
                break
            end = done
            while entries[end][0] == number and entries[end][2].state.final:
                end += 1
            if entries[end][0] == number:
                break
            for _, begins, record in entries[done:end]:
                self.sums.setdefault(_market(record), _Sum()).take(record, begins=begins)
            self.summed, done = number, end
        del entries[:done]


@dataclass(slots=True, eq=False)
class _Family:
    """Master orders that replaced each other. `signals` are numbered as they were emitted, each with what the order is
    for that it tells the beginning of; `meanwhile` is what is planned while the family is being read, None once it is
    known."""

    name: str
    signals: dict[str, tuple[int, Quantity]] = field(default_factory=dict)
    accounts: dict[AccountId, _Kept] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    master: str = ""
    open: int = 0
    meanwhile: dict[str, OrderRecord] | None = None

    def take(self, record: OrderRecord) -> None:
        kept = self.accounts.get(record.account)
        if kept is None:
            kept = self.accounts[record.account] = _Kept()
        number, begins = self.signals[record.signal_id or ""]
        kept.take(number, begins, record)


def _begins(signal: Signal) -> Quantity:
    """How much the order is for that the signal tells the beginning of; zero for one that follows up."""
    return NO_QUANTITY if signal.kind.follows_up else signal.quantity


def _market(record: OrderRecord) -> str:
    return record.symbol if record.effect is Effect.EXIT else ""


def _counts(record: OrderRecord) -> bool:
    """An entry that was stopped or refused is not owed any more; an exit always is."""
    if record.state in _NEVER_SIZED or not record.quantity:
        return False
    if record.effect is Effect.EXIT or record.state not in _NOT_TO_BE:
        return True
    return record.reason is Reason.OPPOSITE_ORDER  # it could not rest there, and is bought once the master's has filled
