"""`flatten`: cancel what rests, close what was copied, then halt."""

from __future__ import annotations

from decimal import Decimal

from copytrade.domain.errors import CopyTradeError, VenueError
from copytrade.domain.events import SignalEmitted
from copytrade.domain.ids import signal_id
from copytrade.domain.money import NO_QUANTITY, Quantity
from copytrade.domain.order import Effect, OrderKind, OrderState, Side
from copytrade.domain.signal import Signal, SignalKind
from copytrade.engine.desk import MasterDesk, TradeRequest
from copytrade.engine.fanout import FanOut
from copytrade.engine.services import Services
from copytrade.engine.tracker import Tracker

_COPIES_WAIT_S = 60.0  # for the followers' exits to be placed; what takes longer goes on under the halted switch


class Flattener:
    """Takes master and followers out of every position that this service built."""

    def __init__(self, services: Services, desk: MasterDesk, fanout: FanOut, tracker: Tracker) -> None:
        self._services = services
        self._desk = desk
        self._fanout = fanout
        self._tracker = tracker

    async def flatten(self, occasion: str) -> None:
        """Do it once for this `occasion` (the same occasion twice is one flattening)."""
        await self._cancel_resting()
        master = self._services.roster.master.terms.account
        symbols = sorted({symbol for _, symbol in self._services.ledger.state.positions})
        for symbol in symbols:
            if self._services.ledger.state.position(master, symbol):
                await self._close_master(symbol, occasion)
            await self._close_followers(symbol, occasion)

    async def _cancel_resting(self) -> None:
        for record in list(self._services.ledger.state.orders.values()):
            member = self._services.roster.get(record.account)
            if record.state is not OrderState.ACCEPTED or member is None or member.client is None:
                continue
            assert record.venue_order_id is not None
            try:
                await member.client.cancel(record.venue_order_id)
            except VenueError as error:
                self._services.alert(f"order {record.order_id} of {record.account} could not be cancelled: {error}")

    async def _close_master(self, symbol: str, occasion: str) -> None:
        request = TradeRequest(f"flatten {occasion} {symbol}", symbol, Side.SELL, whole=True, source="flatten")
        try:
            record = await self._desk.place(request)
        except CopyTradeError as error:
            self._services.alert(f"the master's {symbol} could not be closed: {error}")
            return
        await self._tracker.wait(signal_id(record.order_id, SignalKind.PLACED), _COPIES_WAIT_S)

    async def _close_followers(self, symbol: str, occasion: str) -> None:
        """Whoever still holds a copied position after the master's own exit, or without one."""
        services = self._services
        master = services.roster.master.terms.account
        holders = {a for (a, s), q in services.ledger.state.positions.items() if s == symbol and a != master and q}
        busy = {r.account for r in services.ledger.state.orders.values() if r.symbol == symbol}
        if not holders - busy:
            return
        instrument = services.instrument(master.partition(":")[0], symbol)
        if instrument is None:
            services.alert(f"{symbol} is no longer listed; its copied positions could not be closed")
            return
        try:
            quote = await services.prices.quote(instrument, services.limits.price_max_age_s)
        except VenueError as error:
            services.alert(f"copied {symbol} could not be closed, no price: {error}")
            return
        identity = signal_id(f"flatten {occasion} {symbol}", SignalKind.FLATTEN)
        signal = Signal(
            identity, SignalKind.FLATTEN, "", master, symbol, Side.SELL, Effect.EXIT, OrderKind.MARKET,
            Quantity(Decimal(0)), quote.bid, None, None, NO_QUANTITY, Decimal(1), services.clock(),
        )  # fmt: skip
        if services.ledger.signal(identity) is None:
            await services.ledger.append([SignalEmitted(signal)], hurry=True)
            self._fanout.emit(signal)
        await self._tracker.wait(identity, _COPIES_WAIT_S)
