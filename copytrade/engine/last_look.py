"""The last look: everything that can change between the plan and the wire, asked right before an order leaves.

It is asked again with the connection open and nothing left to do but write, so it must be quick: no reading of files
but the kill switch, no waiting.
"""

from __future__ import annotations

from datetime import datetime

from copytrade.copying.joins import waits_for_price
from copytrade.copying.limits import REASONS
from copytrade.copying.permits import MODE_REASONS, withheld
from copytrade.copying.plan import price_moved
from copytrade.domain.account import Mode
from copytrade.domain.copy import Approved
from copytrade.domain.errors import SendStopped, VenueError
from copytrade.domain.money import Price
from copytrade.domain.order import Effect, OrderKind, Role
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.venue import OrderTicket
from copytrade.engine.roster import Member
from copytrade.engine.services import Services
from copytrade.engine.work import Work


class LastLook:
    """Says what keeps an order from leaving now."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def last_look(self, work: Work, approved: Approved) -> SendStopped | None:
        """Everything that can change between the plan and the wire, except the price."""
        services = self._services
        if (stop := services.stop_reason(work.role, work.effect)) is not None:
            return stop
        record = services.ledger.state.orders.get(work.order_id)
        if record is not None and record.cancel is not None:
            return SendStopped(record.cancel, "")
        if work.role is Role.MASTER:
            expired = record is not None and self._too_old(record.planned_at) and work.effect is Effect.ENTRY
            return SendStopped(Reason.ENTRY_EXPIRED, "") if expired else None
        member = services.roster.get(approved.account)
        if member is None:
            return SendStopped(Reason.DISABLED, "no longer enrolled")
        if work.role is Role.INDEPENDENT:
            return self._independent(work, approved, member)
        mode = member.terms.mode
        if work.effect is Effect.EXIT:
            if mode is Mode.DISARMED:
                return SendStopped(Reason.MODE_DISARMED, "")
            mode, name = member.terms.mode_of((approved.symbol, work.signal.symbol if work.signal else approved.symbol))
            return SendStopped(Reason.INSTRUMENT_MODE, f"{name} is {mode}") if mode is Mode.DISARMED else None
        assert work.signal is not None
        stopped = withheld(member.terms, (approved.symbol, work.signal.symbol), left=member.left)
        if stopped is not None:
            return SendStopped(*stopped)
        if (trip := services.ledger.state.standing.trip(approved.account)) is not None:
            return SendStopped(REASONS[trip.limit], trip.detail)
        largest = member.terms.max_order
        cost = approved.quantity * _most(work.signal, approved)
        if largest is not None and cost > largest:  # it was lowered since the plan
            return SendStopped(Reason.OVER_MAX_ORDER, f"{cost} of {largest}")
        # A copy that rests again has begun anew, as the master's order rests on.
        if self._too_old(record.planned_at if record is not None and record.leg else work.signal.at):
            return SendStopped(Reason.ENTRY_EXPIRED, f"the signal is from {work.signal.at:%H:%M:%S} UTC")
        return None

    def _independent(self, work: Work, approved: Approved, member: Member) -> SendStopped | None:
        """Of an order that the account placed by itself. No exit of it is held: its strategy asks again."""
        services, terms = self._services, member.terms
        state = services.ledger.state
        if work.effect is Effect.EXIT:
            if terms.mode is Mode.DISARMED:
                return SendStopped(Reason.MODE_DISARMED, "")
            held = state.position(approved.account, approved.symbol)
            if approved.quantity > held:  # a limit or the kill switch has closed it meanwhile
                return SendStopped(Reason.NOTHING_TO_CLOSE, f"{approved.quantity} of {held} held")
            return None
        if not terms.enabled or member.left:
            return SendStopped(Reason.DISABLED, "")
        if terms.mode is not Mode.INDEPENDENT:
            return SendStopped(MODE_REASONS.get(terms.mode, Reason.MODE_CLOSE_ONLY), f"the mode is {terms.mode}")
        if (trip := state.standing.trip(approved.account)) is not None:
            return SendStopped(REASONS[trip.limit], trip.detail)
        record = state.orders.get(work.order_id)
        if record is not None and self._too_old(record.planned_at):
            return SendStopped(Reason.ENTRY_EXPIRED, "")
        return None

    async def price_stop(self, work: Work, approved: Approved, ticket: OrderTicket) -> SendStopped | None:
        """Entries at market have a price limit of their own; a limit order carries it along, an exit has none."""
        if work.role is not Role.COPY or work.effect is Effect.EXIT or approved.kind is not OrderKind.MARKET:
            return None
        services = self._services
        max_age_s = services.limits.price_max_age_s
        quote = services.prices.fresh(ticket.instrument, max_age_s)
        if quote is None:
            if (stop := self.last_look(work, approved)) is not None:
                return stop
            try:
                quote = await services.prices.quote(ticket.instrument, max_age_s)
            except VenueError as error:
                return SendStopped(Reason.PRICE_UNKNOWN, str(error))
        price = quote.side_price(approved.side)
        if work.signal is not None and waits_for_price(work.signal):
            most = work.signal.limit_price
            if most is not None and price > most:
                return SendStopped(Reason.PRICE_MOVED, f"the master's was {most} on average, now it is {price}")
            return None
        if price_moved(approved.side, approved.price, price, services.rules.max_slippage):
            return SendStopped(Reason.PRICE_MOVED, f"the master's was {approved.price}, now it is {price}")
        return None

    def _too_old(self, at: datetime) -> bool:
        return (self._services.clock() - at).total_seconds() > self._services.rules.entry_ttl_s


def _most(signal: Signal, approved: Approved) -> Price:
    """The price that an entry's cost is reckoned at: of one that joins late, the highest that it may fill at."""
    if signal.kind is not SignalKind.JOIN or approved.limit_price is None:
        return approved.price
    return max(approved.price, approved.limit_price)
