"""Drift: how far a follower's copied position is from what the master's implies, and why, to the last digit. Pure.

The *ideal* position of an instrument is what the master's real fills come to at the ratio of each signal: an entry adds
its share, an exit takes away the fraction that the master really closed. The *actual* one is what the copies have
really filled. Whenever the two part, the difference is put down to its causes there and then; an exit scales all
earlier causes along with the positions. So the causes add up to actual less ideal exactly, after any sequence.

Quantities are plain decimals of the base asset, kept to 18 digits behind the point (see `sizing.exact`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from enum import StrEnum

from copytrade.copying.joins import again, waits_for_price
from copytrade.domain.account import AccountId
from copytrade.domain.order import Effect, OrderKind, OrderState
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.domain.writing_off import WrittenOff

ZERO, ONE = Decimal(0), Decimal(1)
_FINEST = Decimal("1e-18")
_NOISE = Decimal("1e-15")  # what quotients of 18 digits leave behind; no venue has a step as small
_FINE = Context(prec=60, rounding=ROUND_HALF_EVEN)
_NOT_TO_BE = (OrderState.REFUSED, OrderState.STOPPED)


class Cause(StrEnum):
    """Why the actual position is not the ideal one. Some are told with a reason behind them: `cap: max_order`."""

    ROUNDING = "rounding"  # to the venue's step or minimum
    CAP = "cap"
    SKIP = "skip"
    UNFILLED = "unfilled"  # the price ran away, or the venue ended the order before all of it had filled
    FEE = "fee"  # taken out of the base asset, at a rate that is not the master's
    DELAY = "delay"  # on its way, waiting or held; or too late
    REFUSED = "refused"
    MASTER_PARTIAL = "master_partial"  # the master got less, or closed less, than its order asked for
    CARRY = "carry"  # under the minimum, kept for the next signal
    EARLIER = "earlier"  # left over from before the master's positions of today were begun
    UNEXPLAINED = "unexplained"  # a fault of this reckoning: there must be none
    LATE_JOIN = "late_join"  # not to be had at what the master paid, as `late_join: better_price_only` wants it
    BY_HAND = "by_hand"  # the operator took the follower out, or somebody sold what was copied


_BY_OPERATOR = frozenset(
    {
        Reason.DISABLED, Reason.MODE_CLOSE_ONLY, Reason.MODE_PAUSED, Reason.MODE_DISARMED, Reason.NOT_ALLOWED,
        Reason.KILL_SWITCH, Reason.GAVE_UP, Reason.BY_OPERATOR, Reason.INDEPENDENT, Reason.BELOW_MIN_BALANCE,
        Reason.BELOW_MIN_CASH, Reason.EQUITY_FLOOR,
    }
)  # fmt: skip
_LATE = frozenset({Reason.ENTRY_EXPIRED, Reason.WAITS_FOR_EQUITY, Reason.WAITS_FOR_FILLS, Reason.WAITS_FOR_MARKETS})
_TAKEN_BACK = frozenset(
    {
        Reason.MASTER_CANCELLED, Reason.MASTER_AMENDED, Reason.MASTER_FILLED, Reason.EXIT_FIRST, Reason.PRICE_MOVED,
        Reason.MAKES_WAY,
    }
)  # fmt: skip


def named(cause: Cause, reason: Reason | None = None) -> str:
    return cause.value if reason is None else f"{cause}: {reason}"


# Of a follower that waits for a better price, what is tried again.
_LATER = frozenset({named(Cause.UNFILLED), named(Cause.DELAY), named(Cause.SKIP, Reason.PRICE_UNKNOWN)})


def repairable(cause: str) -> bool:
    """Whether buying what is missing for this cause is in the operator's sense: not where it was his will."""
    kind, _, reason = cause.partition(": ")
    if kind in (Cause.CAP, Cause.BY_HAND, Cause.CARRY, Cause.ROUNDING, Cause.FEE, Cause.MASTER_PARTIAL):
        return False
    if kind == Cause.LATE_JOIN:  # tried again at its own price, and at no other
        return False
    if not reason:
        return True
    return Reason(reason) not in _BY_OPERATOR and not reason.endswith(("_limit", "_max_order"))


def q(value: Decimal) -> Decimal:
    """To 18 digits behind the point."""
    return value.quantize(_FINEST, context=_FINE)


def total(parts: Iterable[Decimal]) -> Decimal:
    """The sum, without a last digit lost."""
    found = ZERO
    for part in parts:
        found = _FINE.add(found, part)
    return found


@dataclass(slots=True)
class Drift:
    """One instrument of one account. `actual - ideal` is the sum of `causes`, always."""

    master_symbol: str
    ideal: Decimal = ZERO
    actual: Decimal = ZERO
    causes: dict[str, Decimal] = field(default_factory=dict)
    last_copy: str = ""

    @property
    def error(self) -> Decimal:
        return _FINE.subtract(self.actual, self.ideal)

    def moved(self, ideal: Decimal, actual: Decimal, parts: Iterable[tuple[str, Decimal]]) -> None:
        """Both positions change; `parts` say why not by the same. What they leave open by a last digit is rounding."""
        self.ideal, self.actual = _FINE.add(self.ideal, ideal), _FINE.add(self.actual, actual)
        for cause, part in parts:
            if abs(part) > _NOISE:
                self._add(cause, q(part))
        self._add(Cause.ROUNDING.value, _FINE.subtract(self.error, total(self.causes.values())))

    def scale(self, factor: Decimal) -> None:
        """All causes, before an exit takes the same fraction of both positions."""
        self.causes = {cause: scaled for cause, part in self.causes.items() if (scaled := q(part * factor))}

    def set_right(self, change: Decimal, otherwise: str) -> None:
        """The actual position alone is changed, to put it right: that takes back what was told as its causes. What goes
        beyond is put down to `otherwise`."""
        error = self.error
        used = ZERO
        if error * change < 0:
            used = change if abs(change) <= abs(error) else -error
            self.scale((error + used) / error)
        self.moved(ZERO, change, [(otherwise, change - used)])

    def _add(self, cause: str, part: Decimal) -> None:
        total = _FINE.add(self.causes.get(cause, ZERO), part)
        if total:
            self.causes[cause] = total
        else:
            self.causes.pop(cause, None)


@dataclass(frozen=True, slots=True)
class DriftRow:
    """The report on one instrument of one account. Quantities are of the base asset, `value` of the quote currency.

    `held` is what the venue says is held, the follower's own included, and None while that is not known. `missing` is
    what was copied and is not there any more. `error` is what is copied and there, less the ideal; `share` is its
    value over the account's equity. `dust` says that the master is out and the rest is too small to be sold.
    """

    account: AccountId
    symbol: str
    ideal: Decimal
    actual: Decimal
    held: Decimal | None
    missing: Decimal
    error: Decimal
    value: Decimal | None
    share: Decimal | None
    causes: tuple[tuple[str, Decimal], ...]
    dust: bool = False

    @property
    def explained(self) -> bool:
        """Whether the causes add up to the whole."""
        return total(part for _, part in self.causes) == self.error


class ByHand(StrEnum):
    """What is done where less is at a venue than was copied."""

    REPORT = "report"
    WRITE_OFF = "write_off"


class Repair(StrEnum):
    """What is done about drift without being asked."""

    REPORT = "report"
    EXITS = "repair_exits"
    ALL = "repair_all"


@dataclass(frozen=True, slots=True)
class DriftRules:
    """How often every account is looked at, what is repaired, and what becomes of what the owner has taken away.
    `join_window_s` is how long a better price is waited for by a follower that joins late."""

    every_s: float = 300.0
    repair: Repair = Repair.EXITS
    by_hand: ByHand = ByHand.REPORT
    join_window_s: float = 3600.0


LotStep = Callable[[str], Decimal]
"""By our symbol, at the follower's venue: differences below one step are rounding."""


class DriftFold:
    """One account's drift in every instrument, folded over the master's signals in their order."""

    def __init__(self, lot_step: LotStep, gone: int = 0) -> None:
        """The first `gone` of what was written off is left out: it was before the first signal that is folded."""
        self.drifts: dict[str, Drift] = {}
        self._gone = gone
        self._resting: dict[str, tuple[Signal, OrderRecord | None, Sequence[OrderRecord]]] = {}
        self._lot_step = lot_step

    def take(self, signal: Signal, master: OrderRecord | None, copies: Sequence[OrderRecord]) -> None:
        """The next signal, the master's order behind it, and the account's copies of it, all at their end.

        An order that rests counts from its end on: see `ahead` for what it comes to until then.
        """
        with localcontext(_FINE):
            self._take(signal, master, copies)

    def _take(self, signal: Signal, master: OrderRecord | None, copies: Sequence[OrderRecord]) -> None:
        if signal.kind in (SignalKind.REPAIR, SignalKind.FLATTEN):
            self._set_right(signal, copies)
        elif again(signal):
            self._joins_again(signal, copies)
        elif signal.kind.follows_up:
            found = self._resting.pop(signal.master_order_id, None)
            if found is not None:
                self._step(found[0], master or found[1], [*found[2], *copies], signal)
        elif signal.order_kind is OrderKind.MARKET or signal.kind is SignalKind.JOIN:
            self._step(signal, master, copies, None)
        else:
            self._resting[signal.master_order_id] = (signal, master, copies)

    def written_off(self, gone: Sequence[WrittenOff], before: int | None = None) -> None:
        """Take in what was written off before signal number `before` came, or all there is; `gone` is the whole of it,
        in its order, and what was taken in already is passed over."""
        while self._gone < len(gone) and (before is None or gone[self._gone].after < before):
            each = gone[self._gone]
            self._gone += 1
            drift = self.drifts.setdefault(each.symbol, Drift(each.symbol))
            with localcontext(_FINE):
                drift.set_right(-each.quantity.value, named(Cause.BY_HAND))

    @property
    def resting(self) -> list[Signal]:
        """The signals of orders whose end has not been taken in."""
        return [signal for signal, _, _ in self._resting.values()]

    def renew(self, signal: Signal, copies: Sequence[OrderRecord]) -> None:
        """The copies of an order that rests, as they are by now."""
        known, master, _ = self._resting[signal.master_order_id]
        self._resting[signal.master_order_id] = (known, master, copies)

    def copy(self) -> DriftFold:
        """A fold that goes its own way from here."""
        other = DriftFold(self._lot_step, self._gone)
        other.drifts = {symbol: replace(drift, causes=dict(drift.causes)) for symbol, drift in self.drifts.items()}
        other._resting = dict(self._resting)
        return other

    def ahead(self) -> DriftFold:
        """A copy of this fold in which orders that rest count as far as they have come. For a look, not to go on."""
        other = self.copy()
        with localcontext(_FINE):
            for signal, master, copies in self._resting.values():
                other._step(signal, master, copies, None)
        return other

    def _drift(self, symbol: str, signal: Signal) -> Drift:
        drift = self.drifts.get(symbol)
        if drift is None:
            drift = self.drifts[symbol] = Drift(signal.symbol)
        return drift

    def _set_right(self, signal: Signal, copies: Sequence[OrderRecord]) -> None:
        for symbol in dict.fromkeys(copy.symbol for copy in copies):
            drift = self._drift(symbol, signal)
            for copy in copies:
                if copy.symbol == symbol and copy.arrived:
                    arrived = copy.arrived.value
                    change = arrived if copy.effect is Effect.ENTRY else -arrived
                    drift.set_right(change, named(_beyond(signal, drift.actual + change)))
            drift.last_copy = copies[-1].order_id

    def _joins_again(self, signal: Signal, copies: Sequence[OrderRecord]) -> None:
        """What an earlier entry of the same joining lacked. The ideal has all of it."""
        for copy in copies:
            drift = self._drift(copy.symbol, signal)
            filled, fee = copy.filled.value, copy.fee_base.value
            drift.moved(ZERO, filled - fee, [(named(Cause.LATE_JOIN), filled), (named(Cause.FEE), -fee)])
            drift.last_copy = copy.order_id

    def _step(
        self, signal: Signal, master: OrderRecord | None, copies: Sequence[OrderRecord], end: Signal | None
    ) -> None:
        if signal.effect is Effect.ENTRY:
            if copies:
                self._entry(signal, master, copies)
            return
        symbols = [copy.symbol for copy in copies]
        symbols += [symbol for symbol, drift in self.drifts.items() if drift.master_symbol == signal.symbol]
        for symbol in dict.fromkeys(symbols):
            self._exit(signal, master, [copy for copy in copies if copy.symbol == symbol], symbol, end)

    # -- entries -----------------------------------------------------------------------------------------------------

    def _entry(self, signal: Signal, master: OrderRecord | None, copies: Sequence[OrderRecord]) -> None:
        lead = _lead(signal, copies)
        drift = self._drift(lead.symbol, signal)
        drift.master_symbol, drift.last_copy = signal.symbol, copies[-1].order_id
        joined = signal.kind is SignalKind.JOIN
        if joined and not drift.actual:  # it takes up all that the master has, what came while it was out among it
            drift.ideal, drift.causes = ZERO, {}
        whole = signal.quantity.value
        asked_m = whole if joined else whole - signal.filled.value
        filled_m = whole if joined or master is None else master.filled.value
        fee_m = ZERO if joined or master is None else master.fee_base.value
        ratio = lead.ideal.value / whole if whole else ZERO
        ideal, fee = q(ratio * filled_m), q(ratio * fee_m)
        asked = q(ratio * asked_m)
        market = joined or signal.order_kind is OrderKind.MARKET
        share = ONE if market or not asked_m else min(ONE, filled_m / asked_m)
        planned, filled = lead.quantity.value, sum((c.filled.value for c in copies), ZERO)
        if not filled and copies[-1].state in _NOT_TO_BE and drift.causes.get(Cause.CARRY, ZERO) < 0:
            planned = min(planned, asked)  # what it had taken up of earlier signals is carried again
        fees = sum((c.fee_base.value for c in copies), ZERO)
        over = joined or master is None or master.state.final
        step = self._lot_step(lead.symbol)
        parts = [
            self._shaped(drift, lead, share * (planned - asked), step),
            (named(Cause.MASTER_PARTIAL if over else Cause.DELAY), share * asked - ideal),
            (_unfilled(copies, filled - share * planned, step, market=market), filled - share * planned),
            (named(Cause.FEE), fee - fees),
        ]
        if waits_for_price(signal) and all(copy.state.final for copy in copies):
            parts = [(named(Cause.LATE_JOIN) if cause in _LATER else cause, part) for cause, part in parts]
        drift.moved(ideal - fee, filled - fees, parts)

    def _shaped(self, drift: Drift, lead: OrderRecord, part: Decimal, step: Decimal) -> tuple[str, Decimal]:
        """Why a copy was planned with another size than the ratio's."""
        if not lead.quantity:
            return _not_placed(lead), part
        if lead.reason.startswith("capped_by_"):
            return named(Cause.CAP, lead.reason), part
        if part > step and drift.causes.get(Cause.CARRY, ZERO) < 0:
            return named(Cause.CARRY), part
        if abs(part) <= step or lead.reason is Reason.ROUNDED_UP:
            return named(Cause.ROUNDING), part
        if lead.state in _NOT_TO_BE or lead.state is OrderState.SKIPPED:
            return _not_placed(lead), part
        return named(Cause.UNFILLED), part  # what an order lacked whose place this one took

    # -- exits -------------------------------------------------------------------------------------------------------

    def _exit(
        self, signal: Signal, master: OrderRecord | None, copies: Sequence[OrderRecord], symbol: str,
        end: Signal | None,
    ) -> None:  # fmt: skip
        drift = self._drift(symbol, signal)
        asked, closed = _fractions(signal, master, end)
        before, sold = drift.actual, sum((copy.filled.value for copy in copies), ZERO)
        ideal = q(drift.ideal * closed)
        drift.scale(ONE - closed)
        due = before * closed
        over = master is None or master.state.final
        parts = [(named(Cause.MASTER_PARTIAL if over else Cause.DELAY), due - before * asked)]
        if not copies:
            parts.append((named(Cause.DELAY), before * asked))
        elif end is not None or signal.order_kind is not OrderKind.MARKET:
            left = before * asked - sold
            parts.append((_unfilled(copies, -left, self._lot_step(symbol), market=False), left))
        else:
            parts += _exit_parts(copies, before * asked, sold, self._lot_step(symbol))
        if copies:
            drift.last_copy = copies[-1].order_id
        drift.moved(-ideal, -sold, parts)


def _beyond(signal: Signal, left: Decimal) -> Cause:
    """What a repair is put down to that goes beyond what there was to put right."""
    if signal.kind is SignalKind.FLATTEN:
        return Cause.BY_HAND
    # The master is out but for a rest under its venue's minimum, and so the account sells all.
    return Cause.ROUNDING if left else Cause.MASTER_PARTIAL


def _exit_parts(copies: Sequence[OrderRecord], due: Decimal, sold: Decimal, step: Decimal) -> list[tuple[str, Decimal]]:
    """Why an exit at market did not take `due` away."""
    lead = next((copy for copy in copies if copy.leg == 0), copies[0])
    planned, wanted = lead.quantity.value, lead.ideal.value
    shaped = _not_placed(lead)
    if planned:  # one that was held before is not sized to more than it was then
        shaped = named(Cause.ROUNDING if abs(wanted - planned) <= step else Cause.DELAY)
    return [
        (named(Cause.DELAY), due - wanted),  # it was sized by another position than the one before it in this order
        (shaped, wanted - planned),
        (_unfilled(copies, sold - planned, step, market=True), planned - sold),
    ]


def _fractions(signal: Signal, master: OrderRecord | None, end: Signal | None) -> tuple[Decimal, Decimal]:
    """Which share of its position the master asked to close, and which it has closed."""
    if end is not None:
        return end.exit_fraction, end.exit_fraction
    asked = signal.exit_fraction
    if master is None or (master.state.final and master.filled >= master.quantity):
        return asked, asked
    held = signal.position_before.value
    closed = min(asked, master.filled.value / held) if held > 0 else ZERO
    return (asked, closed) if signal.order_kind is OrderKind.MARKET else (closed, closed)


def _lead(signal: Signal, copies: Sequence[OrderRecord]) -> OrderRecord:
    """The copy that answered the order itself, not its end; with its `ideal`, if several know one."""
    own = [copy for copy in copies if copy.signal_id == signal.signal_id and copy.leg == 0]
    return next((copy for copy in own if copy.ideal), own[0] if own else copies[0])


def _not_placed(record: OrderRecord) -> str:
    """Why a copy never left."""
    if record.reason is Reason.CARRIED:
        return named(Cause.CARRY)
    if record.state is OrderState.REFUSED:
        return named(Cause.REFUSED, record.reason)
    if not record.state.final or record.reason in _LATE:
        return named(Cause.DELAY)
    if record.reason in _TAKEN_BACK:
        return named(Cause.UNFILLED)
    return named(Cause.SKIP, record.reason)


def _unfilled(copies: Sequence[OrderRecord], over: Decimal, step: Decimal, *, market: bool) -> str:
    """Why copies have not filled as planned; `over` is by how much they have, below zero for what they lack."""
    if any(not copy.state.final for copy in copies):
        return named(Cause.DELAY)
    if not market and abs(over) <= step:
        return named(Cause.ROUNDING)
    if over > 0:
        return named(Cause.UNFILLED if market else Cause.MASTER_PARTIAL)
    last = copies[-1]
    if not last.filled and last.state in _NOT_TO_BE:
        return _not_placed(last)
    back = next((copy.cancel for copy in reversed(copies) if copy.state is not OrderState.SKIPPED), None)
    if last.effect is Effect.ENTRY and back is not None and back not in _TAKEN_BACK:
        return named(Cause.SKIP, back)  # taken back by the operator's will, or for a limit of the follower's
    return named(Cause.UNFILLED)
