"""Sizing a deferred copy in its lane, once what it waited for is known: earlier fills, fresh money, its market."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from copytrade.copying.plan import decide
from copytrade.copying.rules import BelowMinimum
from copytrade.domain.account import venue_of
from copytrade.domain.alerts import AlertKind
from copytrade.domain.copy import Approved, Decision, Skipped
from copytrade.domain.money import Quantity
from copytrade.domain.order import Effect
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.cancelling import Canceller
from copytrade.engine.chains import NO_CHAIN
from copytrade.engine.clearing import in_the_way
from copytrade.engine.late_markets import market_found
from copytrade.engine.resting_again import made_way_for_an_exit, rests_again
from copytrade.engine.services import Services, ServiceStopping
from copytrade.engine.work import NotSettled, RefreshEquity, Work, leaving

_ZERO = Decimal(0)
SETTLE_WAIT_S = 3.0  # far longer than an order at market takes, or a cancel that the venue takes at once


class LateSizer:
    """Decides what lanes could not be told at once."""

    def __init__(self, services: Services, canceller: Canceller, refresh: RefreshEquity) -> None:
        self._services = services
        self._canceller = canceller
        self._refresh = refresh

    async def decide(self, work: Work, record: OrderRecord) -> Decision:
        """The copy, sized by what is known now. Raises `NotSettled`, `LaneParked` and `ServiceStopping`, all with the
        work left as it was."""
        services, signal = self._services, work.signal
        assert signal is not None, "only copies are deferred"
        if record.reason is Reason.WAITS_FOR_MARKETS:
            work.symbol = market_found(services, work, signal)
        in_a_chain = signal.kind is SignalKind.AMENDED or signal.kind.follows_up
        if in_a_chain:
            await services.chains.load(signal)
        if work.effect is Effect.EXIT or in_a_chain:
            await self._settle(work)
        if work.effect is Effect.EXIT:
            return await self._exit(work, record, in_a_chain=in_a_chain)
        if in_a_chain:
            # The account was sized for this order a moment ago, and what was kept back and spent since is known: only
            # where that is too old or too little is its money asked for again, before a thousand others can go on.
            decision = self._decide(work, record, in_a_chain=in_a_chain)
            if isinstance(decision, Approved) and decision.reason is not Reason.CAPPED_BY_CASH:
                return decision
        await self._refresh(work.account, services.limits.equity_wait_s)
        if services.closing.is_set():  # the read was cut short: that says nothing of the account
            raise ServiceStopping
        return self._decide(work, record, in_a_chain=in_a_chain)

    def lowered(self, copy: Approved, most: Quantity) -> Approved | Skipped:
        """The approval with no more than `most`. What is left of an order that was cut short may be less than its venue
        takes: sent all the same it would be refused, held, and tried again for ever."""
        a = replace(copy, quantity=most)
        instrument = self._services.instrument(venue_of(a.account), a.symbol)
        shortfall = instrument.below_minimum(a.side, a.quantity, a.price) if instrument else None
        if shortfall is None:
            return a
        return Skipped(
            a.order_id, a.signal_id, a.account, a.symbol, a.side, a.effect, Reason.BELOW_MINIMUM,
            f"{shortfall}; that much stays in the position", a.leg, a.carry, a.ideal,
        )  # fmt: skip

    async def _settle(self, work: Work) -> None:
        """Wait for what is at the venue in this market; when that takes long, the lane looks at its other orders."""
        if not await self._services.fills.settled(work.account, work.symbol, within_s=SETTLE_WAIT_S):
            raise NotSettled

    async def _exit(self, work: Work, record: OrderRecord, *, in_a_chain: bool) -> Decision:
        """Size an exit by all that has filled, and take back first what would keep it from filling."""
        services, signal = self._services, work.signal
        held = services.ledger.state.position(work.account, work.symbol)
        if not held or (signal is not None and signal.exit_fraction >= 1):
            await services.fills.seen(work.account, work.symbol)
        decision = self._decide(work, record, in_a_chain=in_a_chain)
        if isinstance(decision, Approved):
            blocking = in_the_way(services, decision, services.fills.resting(work.account, work.symbol))
            if blocking:
                await self._canceller.take_back(blocking, Reason.EXIT_FIRST)
                await self._settle(work)
                decision = self._decide(work, record, in_a_chain=in_a_chain)
        return decision

    def _decide(self, work: Work, record: OrderRecord, *, in_a_chain: bool) -> Decision:
        services, signal, account = self._services, work.signal, work.account
        assert signal is not None, "only copies are deferred"
        member = services.roster.get(account)
        assert member is not None, "nobody is taken off the roster"
        chain = services.chains.of(signal, account, work.symbol) if in_a_chain else NO_CHAIN
        instrument = services.instrument(venue_of(account), work.symbol)
        quote = services.prices.fresh(instrument, services.limits.price_max_age_s) if instrument else None
        price = quote.side_price(signal.side) if quote else None
        kinds = services.kinds(instrument)
        book = services.books.book(
            member, work.symbol, instrument, False, price, kinds, chain, carried_of=signal.symbol
        )  # fmt: skip
        if services.rules.below_minimum is BelowMinimum.CARRY and work.effect is Effect.ENTRY:
            # What the master has left by now is not kept for its next signal.
            book = replace(book, may_carry=not leaving(services.ledger.state, work))
        again = rests_again(services.ledger, record)
        if again is not None and work.effect is Effect.EXIT:
            resting = services.fills.resting(account, work.symbol)
            sold_by_others = sum((r.quantity.value - r.filled.value for r in resting if r.effect is Effect.EXIT), _ZERO)
            again = min(again, Quantity(max(_ZERO, book.position.value - sold_by_others)))
        elif again is not None:  # the master's order is as good as new for it
            signal = replace(signal, at=record.planned_at)
        decision = decide(
            signal, book, services.rules, services.clock(), order_id=work.order_id, leg=record.leg, again=again
        )
        return decision if again is None else self._told_again(decision, record, book.position)

    def _told_again(self, decision: Decision, record: OrderRecord, held: Quantity) -> Decision:
        """The decision on a copy that is to rest again, under that reason; somebody hears of it if it cannot."""
        if isinstance(decision, Approved) and decision.effect is Effect.EXIT:
            detail = "; ".join(part for part in (record.detail, decision.detail) if part)
            return replace(decision, reason=Reason.RESTS_AGAIN, detail=detail)
        gone = made_way_for_an_exit(self._services.ledger, record)
        if isinstance(decision, Skipped) and (held or decision.effect is Effect.ENTRY) and not gone:
            self._services.alert(
                AlertKind.ORDER_REFUSED,
                f"{record.account}: its order in {record.symbol} has ended at the venue ({record.detail}) and is not "
                f"placed again: {decision.reason.text} {decision.detail}".rstrip(),
                record.account,
            )
        return decision
