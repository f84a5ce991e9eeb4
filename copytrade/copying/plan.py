"""The plan: one signal and what is known of each follower go in, one answer for each follower comes out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from copytrade.copying.joins import join_form
from copytrade.copying.kinds import Asked, Form, form_at
from copytrade.copying.limits import REASONS
from copytrade.copying.permits import MODE_REASONS, allowed
from copytrade.copying.rules import CopyRules, FollowerBook
from copytrade.copying.sizing import NotSized, Sized, ideal_entry, size_entry, size_exit
from copytrade.domain.account import Mode
from copytrade.domain.copy import Approved, Decision, Deferred, Skipped
from copytrade.domain.ids import copy_id
from copytrade.domain.instrument import Instrument, MarketStatus
from copytrade.domain.limits import Carry
from copytrade.domain.money import NO_QUANTITY, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind


def plan(signal: Signal, books: Iterable[FollowerBook], rules: CopyRules, now: datetime) -> tuple[Decision, ...]:
    """Answer a signal for every follower: approved with a size, skipped with a reason, or deferred."""
    return tuple(decide(signal, book, rules, now) for book in books)


def decide(
    signal: Signal, book: FollowerBook, rules: CopyRules, now: datetime, *, order_id: str = "", leg: int = 0,
    again: Quantity | None = None,
) -> Decision:  # fmt: skip
    """Answer a signal for one follower.

    A deferred copy is decided again, under its own `order_id`, when what it waited for is known. One that rested before
    and is to rest `again` keeps its form; an exit is for so much, an entry sized anew.
    """
    ideal = ideal_entry(signal, book, rules) if signal.effect is Effect.ENTRY else NO_QUANTITY
    copy = _Copy(signal, book, order_id or copy_id(signal.signal_id, book.terms.account, leg), leg, ideal)
    if signal.effect is Effect.ENTRY:
        return _decide_entry(copy, rules, now)
    return _decide_exit(copy, rules, again)


def price_moved(side: Side, master_price: Price, price: Price, max_slippage: Decimal) -> bool:
    """Whether the price is worse for the follower than the master's by more than `max_slippage`."""
    if side is Side.BUY:
        return price.value > master_price.value * (1 + max_slippage)
    return price.value < master_price.value * (1 - max_slippage)


def entry_expired(signal: Signal, rules: CopyRules, now: datetime) -> bool:
    """Whether an entry that answers this signal comes too late."""
    return (now - signal.at).total_seconds() > rules.entry_ttl_s


class _Copy:
    """A copy in the making: what its three possible ends have in common."""

    __slots__ = ("book", "ideal", "leg", "order_id", "signal", "symbol")

    def __init__(self, signal: Signal, book: FollowerBook, order_id: str, leg: int, ideal: Quantity) -> None:
        self.signal, self.book, self.order_id, self.leg, self.ideal = signal, book, order_id, leg, ideal
        self.symbol = book.symbol or signal.symbol

    def skipped(self, reason: Reason, detail: str = "", carry: Carry | None = None) -> Skipped:
        s = self.signal
        return Skipped(
            self.order_id, s.signal_id, self.book.terms.account, self.symbol, s.side, s.effect, reason, detail,
            self.leg, carry, self.ideal,
        )  # fmt: skip

    def approved(self, form: Form, sized: Sized) -> Approved:
        s = self.signal
        detail = "; ".join(part for part in (sized.detail, form.note) if part)
        return Approved(
            self.order_id, s.signal_id, self.book.terms.account, self.symbol, s.side, s.effect, form.kind,
            sized.quantity, s.price, form.limit_price, sized.reason, detail, self.leg, form.stop_price, form.profit,
            ideal=sized.ideal or self.ideal, carry=sized.carry, taken=sized.taken,
        )  # fmt: skip

    def deferred(self, reason: Reason, detail: str = "") -> Deferred:
        s = self.signal
        return Deferred(
            self.order_id, s.signal_id, self.book.terms.account, self.symbol, s.side, s.effect, reason, detail, self.leg
        )


def _decide_entry(copy: _Copy, rules: CopyRules, now: datetime) -> Decision:
    signal, book, terms = copy.signal, copy.book, copy.book.terms
    if not terms.enabled:
        return copy.skipped(Reason.DISABLED)
    if book.alone:
        return copy.skipped(Reason.INDEPENDENT)
    if terms.mode is not Mode.ACTIVE:
        return copy.skipped(MODE_REASONS[terms.mode])
    mode, name = terms.mode_of((signal.symbol, copy.symbol))
    if mode is not Mode.ACTIVE:
        return copy.skipped(Reason.INSTRUMENT_MODE, f"{name} is {mode}")
    if book.trip is not None:
        return copy.skipped(REASONS[book.trip.limit], book.trip.detail)
    if book.unreachable is not None:
        return copy.skipped(*book.unreachable)
    instrument = book.instrument
    if instrument is None and not book.market_known:
        if entry_expired(signal, rules, now):
            return copy.skipped(Reason.ENTRY_EXPIRED, f"the signal is from {signal.at:%H:%M:%S} UTC")
        return copy.deferred(Reason.WAITS_FOR_MARKETS)
    if instrument is None:
        return copy.skipped(Reason.NOT_LISTED, f"{signal.symbol}, nor anything that copy.stand_ins lets stand for it")
    if not allowed(terms, (copy.symbol, signal.symbol)):
        return copy.skipped(Reason.NOT_ALLOWED, copy.symbol)
    if not tradable(instrument, signal.order_kind):
        return copy.skipped(Reason.NOT_TRADABLE_NOW, f"{copy.symbol} is {instrument.status}")
    if entry_expired(signal, rules, now):
        return copy.skipped(Reason.ENTRY_EXPIRED, f"the signal is from {signal.at:%H:%M:%S} UTC")
    if book.equity is None or book.cash is None or book.equity_at is None:
        return copy.deferred(Reason.WAITS_FOR_EQUITY, "never read yet")
    age_s = (now - book.equity_at).total_seconds()
    if age_s > rules.equity_max_age_s:
        return copy.deferred(Reason.WAITS_FOR_EQUITY, f"last read {age_s:.0f} s ago")
    if instrument.quote != book.currency:
        detail = f"{copy.symbol} against {book.currency}; see copy.stand_ins for what may stand for {instrument.quote}"
        return copy.skipped(Reason.QUOTE_DIFFERS, detail)
    if terms.max_positions is not None and not book.position and book.instruments >= terms.max_positions:
        return copy.skipped(Reason.AT_POSITION_LIMIT, f"{book.instruments} of {terms.max_positions}")
    form = _entry_form(copy, instrument, rules)
    if form is None:
        return copy.skipped(Reason.KIND_NOT_OFFERED, signal.order_kind)
    sized = size_entry(signal, book, rules)
    if isinstance(sized, NotSized):
        return copy.skipped(sized.reason, sized.detail, sized.carry)
    return copy.approved(form, sized)


def _decide_exit(copy: _Copy, rules: CopyRules, again: Quantity | None) -> Decision:
    """No mode, age, price or cap is looked at here: the one question is what is held.

    A follower that is disarmed or cannot be reached gets its exit all the same: its lane holds it, visibly, until
    it can be placed.
    """
    signal, book = copy.signal, copy.book
    if book.alone and signal.kind is not SignalKind.FLATTEN:  # what it holds it has bought by itself
        return copy.skipped(Reason.INDEPENDENT)
    if book.unsettled:
        return copy.deferred(Reason.WAITS_FOR_FILLS if book.market_known else Reason.WAITS_FOR_MARKETS)
    if book.position.value <= 0:
        return copy.skipped(Reason.NOTHING_TO_CLOSE)
    if book.instrument is None:
        return copy.deferred(Reason.NOT_LISTED, f"{copy.symbol} is held but no longer listed")
    form = Form(OrderKind.MARKET)
    if not signal.kind.follows_up and (again or not copy.leg):  # what an earlier leg left over leaves at market
        mirrored = form_at(_asked(signal), book.instrument, book.kinds, rules.stop_limit_gap)
        if mirrored is None:
            detail = f"{signal.order_kind}; it leaves at market once the master's order has filled"
            return copy.skipped(Reason.KIND_NOT_OFFERED, detail)
        form = mirrored
    if again is None:
        sized = size_exit(signal.exit_fraction, book.position, signal, book.instrument, book)
    else:
        sized = size_exit(Decimal(1), min(again, book.position), signal, book.instrument)
    if isinstance(sized, NotSized):
        copy.ideal = sized.ideal
        return copy.skipped(sized.reason, sized.detail)
    return copy.approved(form, sized)


def _entry_form(copy: _Copy, instrument: Instrument, rules: CopyRules) -> Form | None:
    """An entry that follows a market order takes the form that the settings say, one that catches up with a filled
    order or joins late is a limit that fills at once or not at all, any other is the master's or what stands for
    it."""
    signal = copy.signal
    if signal.kind is SignalKind.JOIN:
        return join_form(signal, instrument, copy.book.kinds, rules.max_slippage)
    kind = OrderKind.IOC_LIMIT if signal.kind.follows_up else rules.entry_kind
    if signal.order_kind is not OrderKind.MARKET and not signal.kind.follows_up:
        return form_at(_asked(signal), instrument, copy.book.kinds, rules.stop_limit_gap)
    if kind not in copy.book.kinds:  # fractions of a share at Alpaca: at market, behind a look at the price
        return Form(OrderKind.MARKET)
    if kind is OrderKind.IOC_LIMIT:
        return Form(kind, instrument.worst_price(signal.side, signal.price, rules.max_slippage))
    return Form(kind)


def _asked(signal: Signal) -> Asked:
    return Asked(signal.order_kind, signal.side, signal.effect, signal.limit_price, signal.stop_price)


def tradable(instrument: Instrument, kind: OrderKind) -> bool:
    """Whether the market takes an order of this kind now. One that is limited takes limit orders only."""
    if instrument.status is MarketStatus.LIMITED:
        return kind in (OrderKind.LIMIT, OrderKind.POST_ONLY)
    return instrument.status is MarketStatus.ONLINE
