"""`flatten`: cancel what rests, close what was copied, then halt."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from copytrade.domain.account import AccountId, venue_of
from copytrade.domain.alerts import AlertKind
from copytrade.domain.errors import BadRequest, CopyTradeError, VenueError
from copytrade.domain.events import CancelAsked, SignalEmitted
from copytrade.domain.ids import signal_id
from copytrade.domain.money import NO_QUANTITY, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, OrderState, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import MasterDesk, TradeRequest
from copytrade.engine.fanout import FanOut
from copytrade.engine.services import Services
from copytrade.engine.tracker import Tracker

_CANCEL_WAIT_S = 5.0  # a venue that takes longer is closed against, not waited for
_COPIES_WAIT_S = 60.0  # for the followers' exits to be placed; what takes longer is held by the halted switch


class Flattener:
    """Takes master and followers out of every position that this service built."""

    def __init__(self, services: Services, desk: MasterDesk, fanout: FanOut, tracker: Tracker) -> None:
        self._services = services
        self._desk = desk
        self._fanout = fanout
        self._tracker = tracker

    async def flatten(self, occasion: str) -> None:
        """Do it once for this `occasion` (the same occasion twice is one flattening)."""
        state = self._services.ledger.state
        resting = [r for r in state.orders.values() if r.state is OrderState.ACCEPTED]
        # Asked back in the ledger as well: what one of them has filled unseen is waited for, and closed with the rest.
        asked = [CancelAsked(r.order_id, Reason.BY_OPERATOR, self._services.clock()) for r in resting if not r.cancel]
        if asked:
            await self._services.ledger.append(asked, hurry=True)
        await asyncio.gather(*(self._cancel(record) for record in resting))
        # An order on its way may be filled at the venue before anybody here knows: its instrument is closed as well.
        symbols = {symbol for _, symbol in self._may_hold()}
        await asyncio.gather(*(self._close(symbol, occasion) for symbol in sorted(symbols)))

    async def _cancel(self, record: OrderRecord) -> None:
        member = self._services.roster.get(record.account)
        if member is None or member.client is None:
            return
        assert record.venue_order_id is not None
        try:
            await asyncio.wait_for(member.client.cancel(record.venue_order_id), _CANCEL_WAIT_S)
        except (VenueError, TimeoutError) as error:
            why = str(error) or "the venue does not answer"
            self._services.alert(
                AlertKind.CANCEL_FAILED,
                f"order {record.order_id} of {record.account} could not be cancelled: {why}",
                record.account,
            )
        self._services.fills.taken_back(record.order_id)

    async def _close(self, symbol: str, occasion: str) -> None:
        master = self._services.roster.master.terms.account
        if (master, symbol) in self._may_hold():
            await self._close_master(symbol, occasion)
        if any(s == symbol and account != master for account, s in self._may_hold()):
            await self._close_followers(symbol, occasion)

    def _may_hold(self) -> set[tuple[AccountId, str]]:
        """Accounts and instruments with a position, or with an order on its way that may have become one.

        A held exit is not on its way: whoever has one still has the position.
        """
        state = self._services.ledger.state
        open_orders = {(r.account, r.symbol) for r in state.orders.values() if r.state is not OrderState.HELD}
        return set(state.positions) | open_orders

    async def _close_master(self, symbol: str, occasion: str) -> None:
        request = TradeRequest(f"flatten {occasion} {symbol}", symbol, Side.SELL, whole=True, source="flatten")
        try:
            await self._desk.place(request)
        except BadRequest as error:
            if self._services.ledger.state.position(self._services.roster.master.terms.account, symbol):
                self._services.alert(AlertKind.EXIT_IMPOSSIBLE, f"the master's {symbol} could not be closed: {error}")
        except CopyTradeError as error:
            self._services.alert(AlertKind.EXIT_IMPOSSIBLE, f"the master's {symbol} could not be closed: {error}")

    async def _close_followers(self, symbol: str, occasion: str) -> None:
        """Everyone who holds the instrument, with or without a position of the master's.

        A follower that is on its way out already gets a second exit, which waits for the first and finds nothing left.
        """
        services = self._services
        master = services.roster.master.terms.account
        price = await self._price(symbol)
        if price is None:
            return
        identity = signal_id(f"flatten {occasion} {symbol}", SignalKind.FLATTEN)
        signal = Signal(
            identity, SignalKind.FLATTEN, "", master, symbol, Side.SELL, Effect.EXIT, OrderKind.MARKET,
            Quantity(Decimal(0)), price, None, None, NO_QUANTITY, Decimal(1), services.clock(),
        )  # fmt: skip
        if services.ledger.signal(identity) is None:
            await services.ledger.append([SignalEmitted(signal)], hurry=True)
            self._fanout.emit(signal)
        await self._tracker.wait(identity, _COPIES_WAIT_S)

    async def _price(self, symbol: str) -> Price | None:
        """What the instrument fetches at the master's venue, or at a holder's where the master's does not list it or
        does not answer. Exits are not held to a price; their smallest sizes are reckoned from it."""
        services = self._services
        master = services.roster.master.terms.account
        holders = sorted(venue_of(account) for account, held in self._may_hold() if held == symbol)
        trouble = "no venue in use lists it"
        for venue in dict.fromkeys([venue_of(master), *holders]):
            instrument = services.instrument(venue, symbol)
            if instrument is None:
                continue
            try:
                return (await services.prices.quote(instrument, services.limits.price_max_age_s)).bid
            except VenueError as error:
                trouble = f"no price: {error}"
        services.alert(
            AlertKind.EXIT_IMPOSSIBLE, f"copied {symbol} could not be closed: {trouble}; close it by hand at its venue"
        )
        return None
