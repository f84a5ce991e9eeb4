"""Every account's drift, folded over the ledger's signals and carried on from where it was left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from copytrade.copying.drift import Cause, Drift, DriftFold
from copytrade.domain.account import AccountId, user_of, venue_of
from copytrade.domain.order import Effect, OrderKind
from copytrade.domain.signal import Signal
from copytrade.domain.state import OrderRecord
from copytrade.domain.writing_off import WrittenOff
from copytrade.engine.services import Services

_PAGE = 200  # signals; reading and folding as many takes a few milliseconds, and others go on in between
_ASIDE_S = 0.02
_ASIDE_MAX = 50


@dataclass(slots=True)
class _Kept:
    fold: DriftFold
    after: int = 0
    latest: datetime | None = None  # when the last order of the account was over
    opened: bool = False  # what was left over from before is in it


@dataclass(frozen=True, slots=True)
class Look:
    """One account at one moment: its drift, when its last order was over, and its orders that are not.

    In `fold` what is on its way counts as far as it is known to have come: of the master's order and of a copy that may
    be known to different moments. `over` is the drift of those signals alone whose orders are all at their end.
    """

    fold: DriftFold
    over: DriftFold
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
            while True:
                await self._aside()
                page = self._services.ledger.history(account, kept.after, _PAGE)
                tail = self._settle(account, kept, page)
                if tail or len(page) < _PAGE:
                    break
            # From here on nothing is awaited but for very long tails: the look is of one moment.
            fold, over = kept.fold.copy(), kept.fold.copy()
            begun: list[OrderRecord] = []
            while True:
                for number, signal, master, copies in tail:
                    for each in (fold, over) if self._over(signal, master, copies) else (fold,):
                        each.written_off(self._gone(account), number)
                        self._take(account, each, signal, master, copies)
                    begun += copies
                if len(page) < _PAGE:
                    break
                page = tail = self._services.ledger.history(account, page[-1][0], _PAGE)
            for each in (fold, over):
                each.written_off(self._gone(account))
            for signal in fold.resting:
                fold.renew(signal, copies := self._copies(account, signal))
                begun += copies
            found = {r.order_id: r for r in begun if not r.state.final}
            ahead = fold.ahead()
            if not kept.opened:
                self._open(account, kept, ahead, over, begin)
            return Look(ahead, over, kept.latest, tuple(found.values()), begin.number)

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
            if not self._over(signal, master, copies):
                return page[place:]
            kept.fold.written_off(self._gone(account), number)
            self._take(account, kept.fold, signal, master, copies)
            kept.after = number
            for ended in (copy.ended_at for copy in copies if copy.ended_at and copy.filled):
                kept.latest = max(ended, kept.latest or ended)
        return ()

    def _over(self, signal: Signal, master: OrderRecord | None, copies: Sequence[OrderRecord]) -> bool:
        if signal.signal_id in self._services.ledger.state.unplanned:
            return False
        rests = signal.order_kind is not OrderKind.MARKET and not signal.kind.follows_up
        if rests and signal.master_order_id:  # its end is a signal of its own, and is waited for
            return True
        return all(copy.state.final for copy in copies) and (master is None or master.state.final)

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
