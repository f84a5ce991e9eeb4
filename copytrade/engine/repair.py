"""Putting followers right: exits that are kept until they are done, and what drift repair adds to them.

A repair is a signal like any other, meant for one account. Its id is a hash of the account, the instrument and the
account's last copy in it, so that a crash between deciding and emitting cannot make two of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_DOWN, Decimal

from copytrade.copying.drift import Cause, Drift, DriftRow, Repair, repairable
from copytrade.copying.plan import price_moved
from copytrade.copying.sizing import exact
from copytrade.domain.account import AccountId, Mode, OnLeave, venue_of
from copytrade.domain.alerts import AlertKind
from copytrade.domain.errors import VenueError
from copytrade.domain.events import CancelAsked, Event, OrderReleased, SignalEmitted
from copytrade.domain.ids import signal_id
from copytrade.domain.instrument import Instrument, base_of
from copytrade.domain.money import NO_QUANTITY, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, OrderState, Role, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.drift_book import Look, MasterBook
from copytrade.engine.lanes import Lanes
from copytrade.engine.recovery import work_of
from copytrade.engine.roster import Member
from copytrade.engine.services import Services
from copytrade.engine.work import cancel_work

_SINCE_MAX = 100  # signals since a look; after more, there will be a newer one soon
_BACKOFF_S = 60.0
_BACKOFF_MAX_S = 3600.0
_WHOLE = Decimal(1)
_ZERO = Decimal(0)
# Exits that a switch of the operator's held wait until it is lifted, and then for drift repair or his word.
_SWITCHED = frozenset({Reason.KILL_SWITCH, Reason.MODE_DISARMED})
_STAYS_HELD = frozenset({Reason.GAVE_UP, Reason.BAD_KEY, Reason.NO_PERMISSION})
# What an exit could not do, and a later one can: of these causes more is held than the master's position implies.
_OWED = (Cause.SKIP, Cause.REFUSED, Cause.UNFILLED, Cause.DELAY, Cause.EARLIER)


class Mender:
    """Emits repairs and releases held exits."""

    def __init__(self, services: Services, lanes: Lanes, emit: Callable[[Signal], None]) -> None:
        self._services = services
        self._lanes = lanes
        self._emit = emit
        self.master = MasterBook(services)
        self._tries: dict[str, tuple[float, float]] = {}  # by order or place: not before, and the wait after that

    async def mend(
        self, account: AccountId, rows: Sequence[DriftRow], seen: Look, repair: Repair, *,
        by_hand: bool = False,
    ) -> list[str]:  # fmt: skip
        """Do what `repair` allows for one account; returns the signals that were emitted. Raises `LedgerError`.

        `rows` were made of the look `seen`. At the operator's word no waiting time is kept.
        """
        member = self._services.roster.get(account)
        if member is None or not self._reachable(member):
            return []
        self._release_held(member, seen, rows, repair, by_hand=by_hand)
        emitted: list[str] = []
        for row in rows:
            base = base_of(row.symbol)
            if base in seen.moving or any(base_of(r.symbol) == base and not r.state.final for r in seen.open):
                continue
            drift = seen.fold.drifts.get(row.symbol)
            last = drift.last_copy if drift else ""
            over = seen.over.drifts.get(row.symbol) or Drift(row.symbol)
            found = await self._for(member, row, over, last or f"{seen.start} {row.actual}", repair, by_hand=by_hand)
            # Reckoned of the look, and prices were waited for since.
            as_seen = self._services.ledger.state.position(account, row.symbol).value == row.actual
            still = as_seen and not self._moving(account, row.symbol) and not self._told_since(account, base, seen)
            if found is not None and still and await self.emit(found):
                emitted.append(found.signal_id)
        return emitted

    def is_dust(self, account: AccountId, symbol: str, price: Decimal | None) -> bool:
        """Whether the master is out and what the account still holds is too small to be sold."""
        held = self._services.ledger.state.position(account, symbol)
        instrument = self._services.instrument(venue_of(account), symbol)
        if held.value <= 0 or instrument is None or not self.master_is_out(symbol):
            return False
        rounded = held.rounded_down(instrument.lot_step)
        return instrument.below_minimum(Side.SELL, rounded, Price(price or _WHOLE)) is not None

    def master_is_out(self, symbol: str) -> bool:
        """Whether the master has nothing of this base that it could sell, nor an order that may bring it some."""
        services, base = self._services, base_of(symbol)
        state, master = services.ledger.state, services.roster.master.terms.account
        for held, quantity in state.positions.of(master).items():
            if base_of(held) == base:
                instrument = services.instrument(venue_of(master), held)
                if instrument is None or quantity >= max(instrument.min_quantity, Quantity(instrument.lot_step)):
                    return False
        opening = any(
            r.role is Role.MASTER and base_of(r.symbol) == base and r.effect is Effect.ENTRY
            for r in state.orders.of(master)
        )
        return not opening and not any(base_of(s.symbol) == base for s in state.unplanned.values())

    async def emit(self, signal: Signal) -> bool:
        """Make a signal durable and have it answered; False when it was emitted before. Raises `LedgerError`."""
        if self._services.ledger.signal(signal.signal_id) is not None:
            return False
        await self._services.ledger.append([SignalEmitted(signal)], hurry=True)
        self._emit(signal)
        return True

    async def take_out(self, account: AccountId, symbols: Sequence[str], occasion: str) -> list[str]:
        """Close an account's copied positions in these instruments, and take its resting entries back. Returns the
        signals; one occasion is one flattening. Raises `LedgerError`."""
        services, now = self._services, self._services.clock()
        resting = [
            r for r in services.ledger.state.orders.of(account) if r.symbol in symbols and r.effect is Effect.ENTRY
        ]  # fmt: skip
        asked: list[Event] = [CancelAsked(r.order_id, Reason.BY_OPERATOR, now) for r in resting if r.cancel is None]
        if asked:
            await services.ledger.append(asked, hurry=True)
        for record in resting:
            self._lanes.submit(cancel_work(record, None))
        emitted = []
        for symbol in symbols:
            found = await self._exit(account, symbol, SignalKind.FLATTEN, _WHOLE, f"flatten {occasion}")
            if found is not None:
                emitted.append(found.signal_id)
                await self.emit(found)
        return emitted

    # -- held exits --------------------------------------------------------------------------------------------------

    def _release_held(
        self, member: Member, seen: Look, rows: Sequence[DriftRow], repair: Repair, *, by_hand: bool
    ) -> None:
        """Try held exits again whose cause may have passed, at growing intervals and as loudly as the first time."""
        account = member.terms.account
        for record in seen.open:
            if record.state is not OrderState.HELD:
                continue
            if record.reason in _STAYS_HELD and not by_hand:
                continue
            if record.reason in _SWITCHED and repair is Repair.REPORT and not by_hand:
                continue
            there = next((r.actual - r.missing for r in rows if r.symbol == record.symbol and r.missing), None)
            if there is not None and not self._sellable(account, record.symbol, there):
                continue
            if by_hand or self._may_try(record.order_id):
                self._release(record, there)

    def _release(self, record: OrderRecord, there: Decimal | None) -> None:
        services = self._services
        services.ledger.append([OrderReleased(record.order_id, services.clock())])
        work = work_of(services, record)
        instrument = services.instrument_of(record)
        if there is not None and instrument is not None:
            most = Quantity(there).rounded_down(instrument.lot_step)
            work.ceiling = most if work.ceiling is None else min(work.ceiling, most)
        services.alert(
            AlertKind.EXIT_TRIED_AGAIN,
            f"the held exit of {record.symbol} for {record.account} is tried again",
            record.account,
        )
        self._lanes.submit(work)

    # -- repairs -----------------------------------------------------------------------------------------------------

    async def _for(
        self, member: Member, row: DriftRow, over: Drift, last: str, repair: Repair, *, by_hand: bool
    ) -> Signal | None:
        """`over` is the drift by the signals that are over. What is not in it too is not repaired: a copy can be known
        to have filled before the master's order is, and what a resting order owes its copies get at its end."""
        account, key = member.terms.account, f"{member.terms.account} {row.symbol}"
        there = row.actual - row.missing
        leaving = (member.left or not member.terms.enabled) and member.terms.on_leave is OnLeave.CLOSE
        if leaving and self._sellable(account, row.symbol, there):
            if not self._may_try(key, anyway=by_hand):
                return None
            return await self._exit(account, row.symbol, SignalKind.FLATTEN, _share(there, row.actual), f"leave {last}")
        if repair is not Repair.REPORT:
            out = self.master_is_out(row.symbol)
            excess = there if out else min(row.error, _owed(row.causes), over.error, _owed(over.causes.items()))
            if excess > 0 and self._sellable(account, row.symbol, excess):
                if not self._may_try(key, anyway=by_hand):
                    return None
                fraction = _share(excess, row.actual)
                self._services.alert(
                    AlertKind.REPAIRED,
                    f"drift: {account} sells {excess} {row.symbol} that the master no longer holds",
                    account,
                )
                return await self._exit(account, row.symbol, SignalKind.REPAIR, fraction, f"repair {last}")
        if repair is Repair.ALL and self._may_buy(member) and not self.master_is_out(row.symbol):
            return await self._entry(member, row, over, last, by_hand=by_hand)
        return None

    async def _exit(
        self, account: AccountId, symbol: str, kind: SignalKind, fraction: Decimal, occasion: str
    ) -> Signal | None:
        instrument = self._services.instrument(venue_of(account), symbol)
        if instrument is None:
            return None
        try:
            quote = await self._services.prices.quote(instrument, self._services.limits.price_max_age_s)
        except VenueError as error:
            self._services.alert(
                AlertKind.EXIT_IMPOSSIBLE,
                f"{account}: {symbol} cannot be sold now, there is no price: {error}",
                account,
            )
            return None
        return self._signal(account, symbol, kind, Effect.EXIT, NO_QUANTITY, quote.bid, fraction, occasion)

    async def _entry(
        self, member: Member, row: DriftRow, over: Drift, last: str, *, by_hand: bool
    ) -> Signal | None:
        """Buy what is missing, for no more than `max_slippage` above what the master has paid."""
        services, account = self._services, member.terms.account
        instrument = services.instrument(venue_of(account), row.symbol)
        lacking = min(_lacking(row.causes), _lacking(over.causes.items()))
        error = max(row.error, over.error)
        quantity = exact(min(-error, lacking)) if error < 0 and lacking > 0 else NO_QUANTITY
        paid = (await self.master.look(self._master_symbol(row.symbol))).price
        if instrument is None or paid is None or not quantity:
            return None
        price = Price(exact(paid).value)
        if instrument.below_minimum(Side.BUY, quantity.rounded_down(instrument.lot_step), price):
            return None
        try:
            quote = await services.prices.quote(instrument, services.limits.price_max_age_s)
        except VenueError:
            return None
        if price_moved(Side.BUY, price, quote.ask, services.rules.max_slippage):
            return None
        if not self._may_try(f"{account} {row.symbol} buy", anyway=by_hand):
            return None
        services.alert(AlertKind.REPAIRED, f"drift: {account} buys {quantity} {row.symbol} that it lacks", account)
        occasion = f"repair {last}"
        return self._signal(account, row.symbol, SignalKind.REPAIR, Effect.ENTRY, quantity, price, _ZERO, occasion)

    def _signal(
        self, account: AccountId, symbol: str, kind: SignalKind, effect: Effect, quantity: Quantity, price: Price,
        fraction: Decimal, occasion: str,
    ) -> Signal:  # fmt: skip
        services = self._services
        return Signal(
            signal_id(f"{occasion} {account} {symbol}", kind), kind, "", services.roster.master.terms.account, symbol,
            Side.BUY if effect is Effect.ENTRY else Side.SELL, effect, OrderKind.MARKET, quantity, price, None, None,
            NO_QUANTITY, fraction, services.clock(), target=account,
        )  # fmt: skip

    # -- questions ---------------------------------------------------------------------------------------------------

    def _reachable(self, member: Member) -> bool:
        """Whether an exit of this account could leave now."""
        services, account = self._services, member.terms.account
        if services.stop_reason(Role.COPY, Effect.EXIT) is not None or member.terms.mode is Mode.DISARMED:
            return False
        return member.client is not None and account not in services.ledger.state.parked

    def _may_buy(self, member: Member) -> bool:
        stopped = self._services.stop_reason(Role.COPY, Effect.ENTRY) is not None
        return not stopped and not member.left and member.terms.enabled and member.terms.mode is Mode.ACTIVE

    def _moving(self, account: AccountId, symbol: str) -> bool:
        """Whether an order in the instrument is open, a held exit among them: it comes first."""
        base = base_of(symbol)
        state = self._services.ledger.state
        # A signal for everybody that is still to be answered, a fill in its grace among them, comes first as well.
        coming = [signal for signal in state.unplanned.values() if signal.target in ("", account)]
        if any(base_of(signal.symbol) == base for signal in coming):
            return True
        return any(base_of(r.symbol) == base for r in state.orders.of(account))

    def _told_since(self, account: AccountId, base: str, seen: Look) -> bool:
        """Whether there was a signal in the base since that look: whatever came of it, the look is of before."""
        page = self._services.ledger.history(account, seen.upto, _SINCE_MAX)
        told = any(base_of(signal.symbol) == base for _, signal, _, _ in page if signal.target in ("", account))
        return told or len(page) == _SINCE_MAX

    def _sellable(self, account: AccountId, symbol: str, quantity: Decimal) -> bool:
        instrument = self._services.instrument(venue_of(account), symbol)
        if instrument is None or quantity <= 0:
            return False
        quote = self._services.prices.fresh(instrument, _BACKOFF_MAX_S)
        return self._over_minimum(instrument, quantity, quote.bid if quote else None)

    @staticmethod
    def _over_minimum(instrument: Instrument, quantity: Decimal, price: Price | None) -> bool:
        rounded = Quantity(quantity).rounded_down(instrument.lot_step)
        if price is None:
            return rounded >= instrument.min_quantity and bool(rounded)
        return bool(rounded) and instrument.below_minimum(Side.SELL, rounded, price) is None

    def _master_symbol(self, symbol: str) -> str:
        """What the master holds of the base: another market of it may stand for its own at the follower's venue."""
        master, base = self._services.roster.master.terms.account, base_of(symbol)
        held = [s for s in self._services.ledger.state.positions.of(master) if base_of(s) == base]
        return symbol if symbol in held or not held else held[0]

    def _may_try(self, key: str, *, anyway: bool = False) -> bool:
        """Whether it is time to try again; counts as a try."""
        now = asyncio.get_running_loop().time()
        not_before, wait_s = self._tries.get(key, (0.0, _BACKOFF_S))
        if now < not_before and not anyway:
            return False
        self._tries[key] = (now + wait_s, min(wait_s * 2, _BACKOFF_MAX_S))
        return True


def _owed(causes: Iterable[tuple[str, Decimal]]) -> Decimal:
    """What an exit that went wrong left behind."""
    return sum((part for cause, part in causes if part > 0 and cause.partition(": ")[0] in _OWED), _ZERO)


def _lacking(causes: Iterable[tuple[str, Decimal]]) -> Decimal:
    """What an entry that went wrong left out."""
    return -sum((part for cause, part in causes if part < 0 and repairable(cause)), _ZERO)


def _share(part: Decimal, whole: Decimal) -> Decimal:
    """As a fraction from 0 to 1, rounded down."""
    if part >= whole or whole <= 0:
        return _WHOLE
    return (part / whole).quantize(Decimal("1e-18"), ROUND_DOWN)
