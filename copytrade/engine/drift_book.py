"""Every account's drift, folded over the ledger's signals and carried on from where it was left."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from copytrade.copying.drift import Cause, Drift, DriftFold
from copytrade.domain.account import AccountId, user_of, venue_of
from copytrade.domain.instrument import base_of
from copytrade.domain.order import Effect, OrderKind, OrderState
from copytrade.domain.signal import Signal
from copytrade.domain.state import OrderRecord
from copytrade.domain.writing_off import WrittenOff
from copytrade.engine.services import Services

_PAGE = 200  # signals; reading and folding as many takes a few milliseconds, and others go on in between
_ASIDE_S = 0.02
_ASIDE_MAX = 50


@dataclass(frozen=True, slots=True)
class _Beyond:
    """How far the reckoning has come behind exits that are held, and copies that rest on although the master's order is
    over. That may be for weeks: as long as they stay as they are, nobody goes through all that again."""

    fold: DriftFold
    over: DriftFold
    after: int
    latest: datetime | None
    held: Mapping[str, tuple[object, ...]]


@dataclass(slots=True)
class _Kept:
    fold: DriftFold
    after: int = 0
    latest: datetime | None = None  # when the last order of the account was over
    opened: bool = False  # what was left over from before is in it
    beyond: _Beyond | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """One account at one moment: its drift, when its last order was over, and its orders that are not.

    In `fold` what is on its way counts as far as it is known to have come: of the master's order and of a copy that may
    be known to different moments. `over` is the drift of those signals alone whose orders are all at their end;
    `moving` are the bases of the others, those that rest aside. `upto` is the number of the last signal in it.
    """

    fold: DriftFold
    over: DriftFold
    moving: frozenset[str]
    upto: int
    latest: datetime | None
    open: tuple[OrderRecord, ...]
    start: int = 0  # the number of the signal that it was reckoned from


@dataclass(frozen=True, slots=True)
class _Beginning:
    """From which signal on drift is reckoned, and who held what when that was found."""

    number: int
    symbols: dict[AccountId, set[str]]


class DriftBook:
    """The folds of all accounts. Only what is over goes into them; the rest is added for each look."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kept: dict[AccountId, _Kept] = {}
        self._locks: dict[AccountId, asyncio.Lock] = {}
        self._beginning: asyncio.Task[_Beginning] | None = None

    async def look(self, account: AccountId) -> Look:
        """The account's drift as of now. Raises `LedgerError`."""
        began = self._beginning
        if began is None or (began.done() and (began.cancelled() or began.exception() is not None)):
            self._beginning = asyncio.create_task(self._find_beginning())
        assert self._beginning is not None
        begin = await asyncio.shield(self._beginning)
        async with self._locks.setdefault(account, asyncio.Lock()):
            kept = self._kept.get(account)
            if kept is None:
                earlier = sum(each.after <= begin.number for each in self._gone(account))
                fold = DriftFold(lambda symbol: self._lot_step(account, symbol), earlier)
                kept = self._kept[account] = _Kept(fold, begin.number)
            at = await self._start(account, kept)
            # From here on nothing is awaited: the look is of one moment.
            fold, over, latest = at.fold.copy(), at.over.copy(), at.latest
            begun = [self._services.ledger.state.orders[order_id] for order_id in at.held]
            moving: set[str] = set()
            number, page = at.after, self._services.ledger.history(account, at.after, _PAGE)
            while page:
                for number, signal, master, copies in page:
                    if signal.target in ("", account) and not self._settled(account, fold, signal, master, copies):
                        moving |= {base_of(symbol) for symbol in (signal.symbol, *(copy.symbol for copy in copies))}
                    self._take_both(account, fold, over, (number, signal, master, copies))
                    latest = _latest(latest, copies)
                    begun += copies
                page = self._services.ledger.history(account, number, _PAGE) if len(page) == _PAGE else ()
            for each in (fold, over):
                each.written_off(self._gone(account))
            for signal in fold.resting:
                fold.renew(signal, copies := self._copies(account, signal))
                begun += copies
            found = {r.order_id: r for r in begun if not r.state.final}
            ahead = fold.ahead()
            if not kept.opened:
                self._open(account, kept, ahead, over, begin)
                kept.beyond = None
            return Look(ahead, over, frozenset(moving), number, latest, tuple(found.values()), begin.number)

    def _still_held(self, kept: _Kept) -> bool:
        """Whether nothing has changed of what the reckoning waits for."""
        orders, at = self._services.ledger.state.orders, kept.beyond
        if at is None or not at.held:
            return False
        return all((r := orders.get(order_id)) is not None and _sight(r) == seen for order_id, seen in at.held.items())

    async def _start(self, account: AccountId, kept: _Kept) -> _Beyond:
        """Take in what is over, and where that ends at exits that are held, what has come behind them. Returns where to
        go on from."""
        while True:
            if not self._still_held(kept):
                kept.beyond = None
                await self._settle_all(account, kept)
            at = kept.beyond or _Beyond(kept.fold, kept.fold, kept.after, kept.latest, {})
            await self._aside()
            page = self._services.ledger.history(account, at.after, _PAGE)
            further = self._go_beyond(account, at, page)
            if further is not None:
                kept.beyond = at = further
            if not at.held or (self._still_held(kept) and (further is None or len(page) < _PAGE)):
                return at

    async def _settle_all(self, account: AccountId, kept: _Kept) -> None:
        while True:
            await self._aside()
            page = self._services.ledger.history(account, kept.after, _PAGE)
            if self._settle(account, kept, page) or len(page) < _PAGE:
                return

    def _go_beyond(self, account: AccountId, at: _Beyond, page: Sequence[_Told]) -> _Beyond | None:
        """With what follows in the page taken in, up to where something is on its way; None where that is at once."""
        held, latest, taken = dict(at.held), at.latest, 0
        fold, over = at.fold, at.over
        for number, signal, master, copies in page:
            waits = {copy.order_id: _sight(copy) for copy in copies if copy.state is OrderState.HELD}
            waits |= {copy.order_id: _sight(copy) for copy in self._left(account, fold, signal)}
            rest = [copy for copy in copies if copy.order_id not in waits]
            if not (held or waits) or not self._over(signal, master, rest):
                break
            if not taken:
                fold, over = fold.copy(), over.copy()
            self._take_both(account, fold, over, (number, signal, master, copies))
            held, latest, taken = {**held, **waits}, _latest(latest, copies), number
        return _Beyond(fold, over, taken, latest, held) if taken else None

    def _take_both(self, account: AccountId, fold: DriftFold, over: DriftFold, told: _Told) -> None:
        number, signal, master, copies = told
        for each in (fold, over) if self._settled(account, fold, signal, master, copies) else (fold,):
            each.written_off(self._gone(account), number)
            self._take(account, each, signal, master, copies)

    def _open(
        self, account: AccountId, kept: _Kept, ahead: DriftFold, over: DriftFold, begin: _Beginning
    ) -> None:
        """Add what the account had left over at the beginning: its positions, less what it got since."""
        kept.opened = True
        for symbol in {*begin.symbols.get(account, ()), *ahead.drifts} if begin.number else ():
            drift = ahead.drifts.setdefault(symbol, Drift(symbol))
            left = self._services.ledger.state.position(account, symbol).value - drift.actual
            for fold in (ahead, over, kept.fold) if left else ():
                each = fold.drifts.setdefault(symbol, Drift(drift.master_symbol))
                each.moved(Decimal(0), left, [(Cause.EARLIER.value, left)])

    async def _find_beginning(self) -> _Beginning:
        """The signal after which everything matters that the master holds today: before it, it was out of all that.

        A start need not go through years of signals for each of thousands of followers.
        """
        services = self._services
        master = services.roster.master.terms.account
        begun: dict[str, int] = {}
        resting: dict[str, set[str]] = {}
        number = 0
        while True:
            await self._aside()
            page = services.ledger.history(master, number, _PAGE)
            for number, signal, _, _ in page:
                waiting = resting.setdefault(signal.symbol, set())
                if signal.kind.follows_up:
                    waiting.discard(signal.master_order_id)
                elif signal.effect is Effect.ENTRY and not waiting and self._flat(master, signal.symbol, signal):
                    begun[signal.symbol] = number - 1
                if not signal.kind.follows_up and signal.order_kind is not OrderKind.MARKET and signal.master_order_id:
                    waiting.add(signal.master_order_id)
            if len(page) < _PAGE:
                break
        state = services.ledger.state
        matter = {symbol for (account, symbol), held in state.positions.items() if account == master and held}
        matter |= {symbol for symbol, waiting in resting.items() if waiting}
        matter |= {record.symbol for record in state.orders.values()} | {s.symbol for s in state.unplanned.values()}
        symbols: dict[AccountId, set[str]] = {}
        for account, symbol in state.positions:
            symbols.setdefault(account, set()).add(symbol)
        return _Beginning(min([number, *(begun.get(symbol, 0) for symbol in matter)]), symbols)

    def _flat(self, master: AccountId, symbol: str, signal: Signal) -> bool:
        held = signal.position_before
        instrument = self._services.instrument(venue_of(master), symbol)
        return not held or (instrument is not None and held < instrument.min_quantity)

    def _settle(self, account: AccountId, kept: _Kept, page: Sequence[_Told]) -> Sequence[_Told]:
        """Take in what is over; returns the rest of the page, from the first signal on that is not."""
        for place, (number, signal, master, copies) in enumerate(page):
            if not self._settled(account, kept.fold, signal, master, copies):
                return page[place:]
            kept.fold.written_off(self._gone(account), number)
            self._take(account, kept.fold, signal, master, copies)
            kept.after = number
            kept.latest = _latest(kept.latest, copies)
        return ()

    def _over(self, signal: Signal, master: OrderRecord | None, copies: Sequence[OrderRecord]) -> bool:
        if signal.signal_id in self._services.ledger.state.unplanned:
            return False
        rests = signal.order_kind is not OrderKind.MARKET and not signal.kind.follows_up
        if rests and signal.master_order_id:  # its end is a signal of its own, and is waited for
            return True
        return all(copy.state.final for copy in copies) and (master is None or master.state.final)

    def _settled(
        self, account: AccountId, fold: DriftFold, signal: Signal, master: OrderRecord | None,
        copies: Sequence[OrderRecord],
    ) -> bool:  # fmt: skip
        return self._over(signal, master, copies) and not self._left(account, fold, signal)

    def _left(self, account: AccountId, fold: DriftFold, signal: Signal) -> list[OrderRecord]:
        """The account's copies of an order that are open although its end is told by `signal`: left to rest
        (`on_master_fill: leave`), or on their way back. What they come to belongs to that order. `fold` has come up to
        that end."""
        if not signal.kind.follows_up:
            return []
        begun = {first.signal_id for first in fold.resting if first.master_order_id == signal.master_order_id}
        return [record for record in self._services.ledger.state.orders.of(account) if record.signal_id in begun]

    def _take(
        self, account: AccountId, fold: DriftFold, signal: Signal, master: OrderRecord | None,
        copies: Sequence[OrderRecord],
    ) -> None:  # fmt: skip
        if signal.kind.follows_up:
            for first in fold.resting:
                if first.master_order_id == signal.master_order_id:
                    fold.renew(first, self._copies(account, first))
        if signal.effect is Effect.ENTRY:
            copies = [copy for copy in copies if not self._handed_over(copy)]
        fold.take(signal, master, copies)

    def _copies(self, account: AccountId, signal: Signal) -> Sequence[OrderRecord]:
        return self._services.ledger.copies_of(signal.signal_id, account)

    def _handed_over(self, copy: OrderRecord) -> bool:
        """Whether another account of the user has taken the entry over: then it is not missing here."""
        if copy.filled or not copy.state.final or copy.signal_id is None:
            return False
        accounts = self._services.roster.of_user(user_of(copy.account))
        if len(accounts) < 2:
            return False
        others = self._services.ledger.copies_of(copy.signal_id, *accounts)
        return bool(others) and others[-1].account != copy.account

    def _lot_step(self, account: AccountId, symbol: str) -> Decimal:
        instrument = self._services.instrument(venue_of(account), symbol)
        return instrument.lot_step if instrument else Decimal(0)

    def _gone(self, account: AccountId) -> Sequence[WrittenOff]:
        return list(self._services.ledger.state.standing.gone.get(account, {}).values())

    async def _aside(self) -> None:
        for _ in range(_ASIDE_MAX):
            await asyncio.sleep(0)
            if not self._services.sends_in_flight:
                return
            await self._services.pause(_ASIDE_S)


def _latest(before: datetime | None, copies: Sequence[OrderRecord]) -> datetime | None:
    """When the last order that has filled was over."""
    ended = [copy.ended_at for copy in copies if copy.ended_at and copy.filled]
    return max(ended if before is None else [before, *ended], default=None)


def _sight(record: OrderRecord) -> tuple[object, ...]:
    """What the reckoning knows an exit by that is held."""
    return (record.state, record.quantity, record.ideal, record.filled, record.fee_base, record.reason)


_Told = tuple[int, Signal, OrderRecord | None, Sequence[OrderRecord]]


@dataclass(slots=True)
class Held:
    """What the master holds of one instrument by its orders here, and what that has cost."""

    quantity: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    last_exit: datetime | None = None

    @property
    def price(self) -> Decimal | None:
        """Paid on average for what is held."""
        return self.cost / self.quantity if self.quantity > 0 and self.cost > 0 else None


@dataclass(slots=True)
class MasterBook:
    """What the master has paid for its positions."""

    services: Services
    held: dict[str, Held] = field(default_factory=dict)
    _after: int = 0

    async def look(self, symbol: str) -> Held:
        """As of the last order of the master's that is over. Raises `LedgerError`."""
        account = self.services.roster.master.terms.account
        while True:
            page = self.services.ledger.history(account, self._after, _PAGE)
            for number, signal, master, _ in page:
                at_once = signal.order_kind is OrderKind.MARKET and signal.master_order_id
                if at_once and master is not None and not master.state.final:
                    return self.held.setdefault(symbol, Held())
                if master is not None and (at_once or signal.kind.follows_up):
                    self._take(master)
                self._after = number
            if len(page) < _PAGE:
                return self.held.setdefault(symbol, Held())
            await asyncio.sleep(0)

    def _take(self, master: OrderRecord) -> None:
        held = self.held.setdefault(master.symbol, Held())
        arrived = master.arrived.value
        if master.effect is Effect.ENTRY:
            held.quantity, held.cost = held.quantity + arrived, held.cost + master.cost.value
            return
        if held.quantity > 0:
            held.cost -= held.cost * min(Decimal(1), arrived / held.quantity)
        held.quantity = max(Decimal(0), held.quantity - arrived)
        held.last_exit = master.ended_at if arrived else held.last_exit
