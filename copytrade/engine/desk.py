"""The master desk: checks a request, makes its intent durable, places the order, and lets the signal follow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal

from copytrade.copying.kinds import Asked, Form, form_at
from copytrade.copying.plan import tradable
from copytrade.copying.sizing import exit_fraction
from copytrade.domain.account import AccountId, venue_of
from copytrade.domain.alerts import AlertKind
from copytrade.domain.errors import BadRequest, Refused, VenueError
from copytrade.domain.events import Event, MasterIntended
from copytrade.domain.ids import master_order_id
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, OrderState, Role, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import Balances
from copytrade.engine.lanes import Lanes
from copytrade.engine.roster import Member
from copytrade.engine.services import Services, ServiceStopping
from copytrade.engine.tracker import Tracker
from copytrade.engine.work import RefreshEquity, Work, approved_of

_ANSWER_LOOK_S = 0.5  # how often a waiting request looks whether its answer can still come
_SETTLE_WAIT_S = 5.0  # how long a new order waits for the fills of the one before, so that its fraction is exact


@dataclass(frozen=True, slots=True)
class MasterGuards:
    """What the master may not do. Amounts are in its quote currency."""

    max_order: Amount | None = None
    min_cash_to_buy: Amount | None = None


@dataclass(frozen=True, slots=True)
class TradeRequest:
    """An order that somebody wants the master to place. Exactly one of `usd`, `quantity` and `whole` says how much.

    `request_id` names the wish: handing in the same id again gives the same order, not a second one. `limit` and
    `stop` are the prices that the kind asks for; a bracket's limit is its profit and its stop its loss.
    `along` becomes durable in one transaction with the order's intent: what a strategy remembers of having asked.
    """

    request_id: str
    spelling: str
    side: Side
    usd: Amount | None = None
    quantity: Quantity | None = None
    whole: bool = False
    source: str = "trade"
    kind: OrderKind = OrderKind.MARKET
    limit: Price | None = None
    stop: Price | None = None
    along: tuple[Event, ...] = ()


class MasterDesk:
    """Places the master's orders, one after the other; or those of another `account`, which trades by itself."""

    def __init__(
        self, services: Services, lanes: Lanes, tracker: Tracker, refresh: RefreshEquity, guards: MasterGuards,
        account: AccountId | None = None,
    ) -> None:  # fmt: skip
        self._own = account
        self._services = services
        self._lanes = lanes
        self._tracker = tracker
        self._refresh = refresh
        self.guards = guards
        self.turn = asyncio.Lock()

    @property
    def account(self) -> AccountId:
        return self._own or self._services.roster.master.terms.account

    @property
    def member(self) -> Member:
        member = self._services.roster.get(self.account)
        assert member is not None, "an account that has a desk stays on the roster"
        return member

    async def place(self, request: TradeRequest) -> OrderRecord:
        """Place one master order and return it once the venue has answered; its copies are then on their way.

        Raises `BadRequest` for what cannot be an order, `Refused` when a guard or the kill switch says no, and
        `VenueError` when the price or the master's equity cannot be read. In all three nothing was placed. When the
        service stops, or its ledger fails, before the answer came, raises `Refused` or `LedgerError` that say so:
        the next start finds the answer out. While the master is parked the order is returned as it stands.
        """
        account = self.account
        order_id = master_order_id(account, request.request_id)
        async with self.turn:
            known = self._services.ledger.find(order_id)
            if known is not None:
                self._same_order(request, known)
            else:
                try:
                    await self._intend(request, order_id)
                except ServiceStopping:
                    raise Refused(Reason.SHUTTING_DOWN, "nothing was placed") from None
        return await self.answered(order_id)

    def _same_order(self, request: TradeRequest, known: OrderRecord) -> None:
        """One request id is one order: raises `BadRequest` when it comes again for another one."""
        instrument = self._services.instrument(venue_of(known.account), request.spelling)
        if request.side is not known.side or instrument is None or instrument.symbol != known.symbol:
            raise BadRequest(
                f"request id {request.request_id!r} is that of an earlier order to {known.side} {known.symbol}; "
                "a new order needs a new id"
            )

    async def answered(self, order_id: str) -> OrderRecord:
        """The order once the venue has answered, or as it stands while the master is parked. Raises as `place`."""
        services, ledger = self._services, self._services.ledger
        while not await self._tracker.wait(order_id, _ANSWER_LOOK_S):
            if ledger.failed is not None:
                raise type(ledger.failed)(*ledger.failed.args)
            if services.closing.is_set():
                raise Refused(Reason.SHUTTING_DOWN, f"order {order_id} is carried on with at the next start")
            if self.account in ledger.state.parked:
                break
        record = ledger.find(order_id)
        assert record is not None, "the intent is in the ledger"
        return record

    async def _intend(self, request: TradeRequest, order_id: str) -> None:
        services = self._services
        effect = Effect.ENTRY if request.side is Side.BUY else Effect.EXIT
        self.check_stops(effect)
        instrument = self._instrument(request)
        form = self.form(request.kind, request.side, request.limit, request.stop, instrument)
        await self._settle(instrument)
        if effect is Effect.EXIT:  # what resting orders have filled unseen would be in the position, or not in it
            await services.fills.seen(self.account, instrument.symbol, exits=True)
        balances = await self._balances(effect)
        quote = await services.prices.quote(instrument, services.limits.price_max_age_s)
        price = form.limit_price or form.stop_price or quote.side_price(request.side)
        if form.kind is OrderKind.STOP and form.stop_price is not None:
            price = form.stop_price
        position = self._position(instrument.symbol)
        quantity = self._quantity(request, instrument, price, position)
        self._check(effect, instrument, quantity, price, balances)
        if self._own is not None and self._own not in services.ledger.state.standing.alone:
            # It may have changed sides while this waited: the order would be taken for one of the master's.
            raise Refused(Reason.INDEPENDENT, f"{self._own} is copied to again, and cannot trade by itself as well")
        fraction = exit_fraction(position, quantity, instrument) if effect is Effect.EXIT else Decimal(0)
        intent = MasterIntended(
            order_id, request.request_id, request.source, self.account, instrument.symbol,
            request.side, effect, form.kind, quantity, price, form.limit_price, balances.equity if balances else None,
            balances.cash if balances else None, position, fraction, services.clock(), form.stop_price,
            profit=form.profit,
        )  # fmt: skip
        await self.submit(intent, request.along)

    async def submit(self, intent: MasterIntended, along: tuple[Event, ...] = ()) -> None:
        """Make an intent durable and hand its order to the master's lane. The caller holds `turn`."""
        services = self._services
        await services.ledger.append([intent, *along], hurry=True)
        record = services.ledger.state.orders[intent.order_id]
        self._tracker.expect(intent.order_id, [intent.order_id])
        self._lanes.submit(
            Work(
                record.order_id, record.account, record.symbol, record.effect, record.role, None, approved_of(record)
            )
        )

    def check_stops(self, effect: Effect) -> None:
        """Raises `Refused` while the kill switch, a failed ledger or the end of the service stops such an order."""
        if (stop := self._services.stop_reason(Role.MASTER, effect)) is not None:
            raise Refused(stop.reason, stop.detail)

    def form(
        self, kind: OrderKind, side: Side, limit: Price | None, stop: Price | None, instrument: Instrument
    ) -> Form:
        """The order as the master's venue can take it. Raises `BadRequest` for prices that are missing, not asked for
        or not above zero, and `Refused` where the venue has neither the kind nor a stand-in."""
        for word, price, wanted in (("limit", limit, kind.has_limit), ("stop", stop, kind.has_stop)):
            if wanted is not (price is not None):
                raise BadRequest(f"a {kind} order {'needs a' if wanted else 'takes no'} {word} price")
            if price is not None and price.value <= 0:
                raise BadRequest(f"the {word} price must be above zero, not {price}")
        services = self._services
        if not tradable(instrument, kind):
            raise Refused(Reason.NOT_TRADABLE_NOW, f"{instrument.symbol} is {instrument.status}")
        effect = Effect.ENTRY if side is Side.BUY else Effect.EXIT
        asked = Asked(kind, side, effect, limit, stop)
        form = form_at(asked, instrument, services.kinds(instrument), services.rules.stop_limit_gap)
        if form is None:
            detail = f"{instrument.venue} has no {kind} orders in {instrument.symbol}"
            if kind is OrderKind.BRACKET and side is Side.BUY:
                detail += "; a bracket that sells has a stand-in: buy first, and put it around what was bought"
            raise Refused(Reason.KIND_NOT_OFFERED, detail)
        return form

    def _instrument(self, request: TradeRequest) -> Instrument:
        venue = venue_of(self.account)
        instrument = self._services.instrument(venue, request.spelling)
        if instrument is None:
            raise BadRequest(
                f"{venue} lists no instrument {request.spelling!r}; spell it like BTC/USD, or as the venue does"
            )
        return instrument

    async def _settle(self, instrument: Instrument) -> None:
        account = self.account
        try:
            await asyncio.wait_for(self._services.fills.settled(account, instrument.symbol), _SETTLE_WAIT_S)
        except TimeoutError:
            self._services.alert(
                AlertKind.ORDER_STILL_OPEN,
                f"the last order of {account} in {instrument.symbol} is still open at the venue",
                account,
            )

    def _position(self, symbol: str) -> Quantity:
        """What the master holds by its orders here; orders that are accepted and bound to fill count as filled."""
        state = self._services.ledger.state
        account = self.account
        position = state.position(account, symbol)
        for record in state.orders.of(account):
            if record.symbol != symbol or record.state is not OrderState.ACCEPTED:
                continue
            if not record.kind.rests:
                left = record.quantity - record.filled
                position = position + left if record.side is Side.BUY else position - left
        return position

    async def _balances(self, effect: Effect) -> Balances | None:
        services = self._services
        member, account = self.member, self.account
        if member.client is None:
            reason, detail = member.unreachable or (Reason.NOT_CONNECTED, "")
            raise Refused(reason, f"{account}: {detail}")
        if parked := services.ledger.state.parked.get(account):
            raise Refused(Reason.ACCOUNT_PARKED, f"{account}: {parked[0].text} {parked[1]}".rstrip())
        balances = services.books.balances(account)
        max_age_s = services.limits.master_equity_max_age_s
        if balances is None or (services.clock() - balances.at).total_seconds() > max_age_s:
            await self._refresh(account, services.limits.equity_wait_s)
            balances = services.books.balances(account)
        stale = balances is None or ((services.clock() - balances.at).total_seconds() > services.rules.equity_max_age_s)
        if stale and effect is Effect.ENTRY:
            raise VenueError(f"the equity of {account} could not be read, so its entry could not be scaled; try again")
        return balances

    def _quantity(self, request: TradeRequest, instrument: Instrument, price: Price, position: Quantity) -> Quantity:
        given = [request.usd is not None, request.quantity is not None, request.whole]
        if sum(given) != 1:
            raise BadRequest("say how much in exactly one way: an amount, a quantity, or the whole position")
        if request.whole:
            if request.side is not Side.SELL:
                raise BadRequest("only a sell can be of the whole position")
            quantity = position
            if not quantity:
                raise BadRequest(f"there is no position in {instrument.symbol} to sell: positions shows what is held")
        elif request.quantity is not None:
            quantity = request.quantity
        else:
            assert request.usd is not None
            if request.usd.value <= 0:
                raise BadRequest(f"the amount must be above zero, not {request.usd}")
            quantity = request.usd / price
        if quantity.value <= 0:
            raise BadRequest(f"the quantity must be above zero, not {quantity} {instrument.base}")
        return quantity.rounded_down(instrument.lot_step)

    def _check(
        self, effect: Effect, instrument: Instrument, quantity: Quantity, price: Price, balances: Balances | None
    ) -> None:
        side = Side.BUY if effect is Effect.ENTRY else Side.SELL
        if shortfall := instrument.below_minimum(side, quantity, price):
            raise Refused(Reason.BELOW_MINIMUM, shortfall)
        if effect is Effect.EXIT:
            return
        cost = quantity * price
        if self.guards.max_order is not None and cost > self.guards.max_order:
            raise Refused(
                Reason.OVER_MASTER_LIMIT, f"{cost.value:.2f} {instrument.quote} is over {self.guards.max_order}"
            )
        assert balances is not None
        if balances.currency != instrument.quote:
            raise Refused(Reason.QUOTE_DIFFERS, f"{instrument.symbol} against {balances.currency}")
        if self.guards.min_cash_to_buy is not None and balances.cash < self.guards.min_cash_to_buy:
            raise Refused(Reason.BELOW_MIN_CASH, f"free cash {balances.cash} of {balances.currency}")
        if cost > balances.cash:
            detail = f"{cost} {instrument.quote} is over the free cash {balances.cash}"
            raise Refused(Reason.INSUFFICIENT_CASH, detail)
