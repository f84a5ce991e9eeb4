"""Where a venue refuses an order beside one on the other side of the market (Alpaca, as a wash trade): what an entry
does about the account's own resting exits.

An entry that fills at once goes first: the exits are taken back, it leaves, and they are placed again behind it, for
what they had left. Each step is in the ledger before it is done, and the exit's next leg comes with the word that the
exit is over (`resting_again.py`), so that no crash loses it. For that moment, some tenths of a second as a rule, there
is no stop at the venue. An entry that would rest itself would leave the account without it for hours: it is not
placed, and what the master's order has filled is bought when that is over.
"""

from __future__ import annotations

from collections.abc import Sequence

from copytrade.domain.account import venue_of
from copytrade.domain.copy import Approved
from copytrade.domain.errors import SendStopped
from copytrade.domain.order import Effect, Role
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.engine.cancelling import Canceller
from copytrade.engine.clearing import opposites
from copytrade.engine.late_sizing import SETTLE_WAIT_S
from copytrade.engine.services import Services
from copytrade.engine.work import NotSettled, Work


class WayMaker:
    """Takes resting exits back for an entry."""

    def __init__(self, services: Services, canceller: Canceller) -> None:
        self._services = services
        self._canceller = canceller

    def refused_for(self, work: Work, approved: Approved) -> list[OrderRecord]:
        """The account's orders at the venue beside which this entry would be refused."""
        venue = self._services.venues.get(venue_of(approved.account))
        if work.effect is not Effect.ENTRY or venue is None or not venue.refuses_opposites:
            return []
        return opposites(self._services, approved, self._services.fills.at_rest(approved.account, approved.symbol))

    def stop(self, work: Work, approved: Approved, others: Sequence[OrderRecord]) -> SendStopped | None:
        """What ends the entry for them; None for one that they make way for."""
        if work.role is Role.COPY and not approved.kind.rests:
            return None
        first = others[0]
        price = first.limit_price or first.stop_price
        later = "what the master's order has filled is bought once that is over"
        then = later if work.role is Role.COPY else "take that back first"
        return SendStopped(Reason.OPPOSITE_ORDER, f"a {first.kind} order to {first.side} rests at {price}; {then}")

    async def clear(self, work: Work, others: Sequence[OrderRecord]) -> None:
        """Take them back, and wait until they are over. Raises as `Canceller.take_back` does, and `NotSettled`."""
        if mine := [r for r in others if r.cancel is None]:
            await self._canceller.take_back(mine, Reason.MAKES_WAY)
        if not await self._services.fills.settled(work.account, work.symbol, within_s=SETTLE_WAIT_S):
            raise NotSettled
