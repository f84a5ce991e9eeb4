"""Brackets at venues that have none: the stop rests at the venue, the profit is watched for here.

An account's base can be held by one resting sell only, so the two legs cannot both rest. Once the price is at the
profit, the stop is taken back for that reason, durably; when the venue has ended it, what it had not sold leaves at
market, planned in the same transaction. A stop that fills first ends the matter: nothing else was ever placed. So at
every moment there is one order, and a start after a crash carries on with the one that the ledger has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from copytrade.copying.sizing import exit_fraction
from copytrade.domain.account import venue_of
from copytrade.domain.errors import VenueError
from copytrade.domain.events import CancelAsked, MasterIntended
from copytrade.domain.ids import master_order_id
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Price
from copytrade.domain.order import OrderKind, OrderState, Role, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import Execution, ExecutionStatus
from copytrade.engine.services import Services, log
from copytrade.engine.work import Work, cancel_work


class ProfitWatcher:
    """Looks at the prices of the markets in which brackets wait, and takes a stop back when its profit is reached."""

    def __init__(self, services: Services, submit: Callable[[Work], None]) -> None:
        self._services = services
        self._submit = submit

    async def run(self) -> None:
        """Look until the service stops. A venue that does not tell its prices holds up no other."""
        while True:
            await self.look()
            await self._services.pause(self._services.limits.price_keep_every_s)

    async def look(self) -> int:
        """Look once; returns how many stops were taken back."""
        limits, taken = self._services.limits, 0
        max_age_s = min(limits.price_keep_every_s, limits.price_max_age_s)
        for instrument, records in self._waiting():
            try:
                quote = await self._services.prices.quote(instrument, max_age_s)
            except VenueError as error:
                log.warning("no price for the brackets in %s at %s: %s", instrument.symbol, instrument.venue, error)
                continue
            taken += self.take_back(records, quote.side_price(Side.SELL))
        return taken

    def take_back(self, records: Iterable[OrderRecord], price: Price) -> int:
        """Take back every stop whose profit the price has reached, and that is not over: it may be since, as the price
        was waited for."""
        services, taken = self._services, 0
        for record in records:
            if record.profit is None or price < record.profit or record.cancel is not None or record.state.final:
                continue
            services.ledger.append([CancelAsked(record.order_id, Reason.PROFIT_REACHED, services.clock())])
            self._submit(cancel_work(record, None))
            taken += 1
        return taken

    def _waiting(self) -> list[tuple[Instrument, list[OrderRecord]]]:
        found: dict[tuple[str, str], list[OrderRecord]] = {}
        for record in self._services.ledger.state.orders.values():
            if record.profit is not None and record.state is OrderState.ACCEPTED and record.cancel is None:
                found.setdefault((venue_of(record.account), record.symbol), []).append(record)
        known = [(self._services.instrument(*market), records) for market, records in found.items()]
        return [(instrument, records) for instrument, records in known if instrument is not None]


def rest_at_profit(
    services: Services, record: OrderRecord, execution: Execution, now: datetime
) -> MasterIntended | None:
    """The order that sells what the master's stop had not sold when it was taken back for its profit.

    It takes the bracket's place in its family, so that followers close what is left of theirs with it.
    """
    intent = record.intent
    ended = execution.status is ExecutionStatus.CANCELLED and record.cancel is Reason.PROFIT_REACHED
    if record.role is not Role.MASTER or intent is None or not ended:
        return None
    instrument = services.instrument_of(record)
    left = record.quantity - execution.quantity
    if instrument is None or instrument.below_minimum(record.side, left, intent.price):
        return None
    position = services.ledger.state.position(record.account, record.symbol)
    position = position - (execution.quantity - record.filled)
    request_id = f"profit {record.order_id}"
    return MasterIntended(
        master_order_id(record.account, request_id), request_id, intent.source, record.account, record.symbol,
        record.side, record.effect, OrderKind.MARKET, left, record.profit or intent.price, None, intent.equity_before,
        intent.cash_before, position, exit_fraction(position, left, instrument), now,
        replaces=intent.replaces or record.order_id, replaced_filled=intent.replaced_filled + execution.quantity,
    )  # fmt: skip
