"""Changing the master's mind: its resting orders are cancelled, or taken back and placed anew under other terms.

An amendment is a cancel and a new order, at every venue. Each is a fact of its own that followers answer, so that a
crash between the two leaves the master and all of them in the same state: without the order.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

from copytrade.copying.sizing import exit_fraction
from copytrade.domain.errors import BadRequest, Refused
from copytrade.domain.events import CancelAsked, MasterIntended
from copytrade.domain.ids import master_order_id
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import Effect, OrderKind, OrderState, Role
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import MasterDesk
from copytrade.engine.lanes import Lanes
from copytrade.engine.services import Services
from copytrade.engine.work import cancel_work

_LOOK_S = 0.02
_OVER_WAIT_S = 10.0


class MasterChanges:
    """Cancels and amends the master's orders."""

    def __init__(self, services: Services, lanes: Lanes, desk: MasterDesk) -> None:
        self._services = services
        self._lanes = lanes
        self._desk = desk

    async def cancel(self, order_id: str, reason: Reason = Reason.BY_OPERATOR) -> OrderRecord:
        """Take a master order back, and with it every copy of it. Returns the order as the venue ended it.

        A fill that comes first wins: then the order is filled. Raises `BadRequest` for an order that is not the
        master's or is over already. An order that the venue has not ended after 10 s is returned as it stands.
        """
        record = self._open_order(order_id)
        if record.cancel is None:
            await self._services.ledger.append([CancelAsked(order_id, reason, self._services.clock())], hurry=True)
        self._lanes.submit(cancel_work(record, None))
        return await self._over(order_id)

    async def amend(
        self, order_id: str, *, quantity: Quantity | None = None, limit: Price | None = None, stop: Price | None = None
    ) -> OrderRecord:
        """Place a resting master order anew, with what is not given as it was. Returns the order that took its place,
        or the old one where nothing of it was left to place.

        `quantity` is in all, what has filled already included. Raises as `cancel` and `MasterDesk.place` do; with
        `Refused` or `VenueError` after the cancel, the old order is over and no new one was placed.
        """
        old = self._open_order(order_id)
        intent = old.intent
        if not old.kind.rests or intent is None:
            raise BadRequest(f"order {order_id} is a {old.kind} order; only one that rests can be changed")
        async with self._desk.turn:
            if old.cancel not in (None, Reason.MASTER_AMENDED):
                raise BadRequest(f"order {order_id} is being taken back already: {old.cancel.text}")
            self._desk.check_stops(old.effect)
            instrument = self._services.instrument_of(old)
            if instrument is None:
                raise Refused(Reason.NOT_LISTED, old.symbol)
            kind = OrderKind.BRACKET if old.profit is not None else old.kind
            limit_price = limit or old.profit or (old.limit_price if kind.has_limit else None)
            stop_price = stop or (old.stop_price if kind.has_stop else None)
            form = self._desk.form(kind, old.side, limit_price, stop_price, instrument)
            price = form.limit_price or form.stop_price
            assert price is not None, "an order that rests has a price"
            wanted = (quantity or old.quantity).rounded_down(instrument.lot_step)
            if shortfall := instrument.below_minimum(old.side, wanted, price):
                raise Refused(Reason.BELOW_MINIMUM, shortfall)
            ended = await self.cancel(order_id, Reason.MASTER_AMENDED)
            if not ended.state.final:
                raise Refused(Reason.WAITS_FOR_FILLS, f"{order_id} is still being cancelled; amend it again")
            left = wanted - ended.filled
            if ended.state is OrderState.FILLED or instrument.below_minimum(old.side, left, price):
                return ended
            family = intent.replaces or order_id
            account = self._services.roster.master.terms.account
            position = self._services.ledger.state.position(account, old.symbol)
            fraction = exit_fraction(position, left, instrument) if old.effect is Effect.EXIT else Decimal(0)
            request_id = f"amend {order_id}"
            new_id = master_order_id(account, request_id)
            # The equities are the first order's: what the followers are owed is a share of the whole, not of the rest.
            await self._desk.submit(
                MasterIntended(
                    new_id, request_id, intent.source, account, old.symbol, old.side, old.effect, form.kind, left,
                    price, form.limit_price, intent.equity_before, intent.cash_before, position, fraction,
                    self._services.clock(), form.stop_price, family, intent.replaced_filled + ended.filled, form.profit,
                )
            )  # fmt: skip
        return await self._desk.answered(new_id)

    def _open_order(self, order_id: str) -> OrderRecord:
        record = self._services.ledger.state.orders.get(order_id)
        if record is not None and record.role is Role.MASTER:
            return record
        known = record or self._services.ledger.find(order_id)
        if known is None:
            raise BadRequest(f"there is no order {order_id}; `orders` lists the master's")
        if known.role is not Role.MASTER:
            raise BadRequest(f"order {order_id} is {known.account}'s copy; cancel the master's order instead")
        raise BadRequest(f"order {order_id} is over already: {known.state}")

    async def _over(self, order_id: str) -> OrderRecord:
        """The order once it is over, or after so long as it stands."""
        ledger, loop = self._services.ledger, asyncio.get_running_loop()
        until = loop.time() + _OVER_WAIT_S
        while (record := ledger.state.orders.get(order_id)) is not None and loop.time() < until:
            if ledger.failed is not None:
                raise type(ledger.failed)(*ledger.failed.args)
            await self._services.pause(_LOOK_S)
        found = record or ledger.find(order_id)
        assert found is not None, "it was open a moment ago"
        return found
