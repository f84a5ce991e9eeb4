"""How the master stood just before an order that was placed by hand: followers are sized by that.

What was seen before the order counts. Where nothing was, the account is asked now, and what the order has done is
taken back in the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from copytrade.domain.alerts import AlertKind
from copytrade.domain.instrument import Instrument, base_of
from copytrade.domain.money import NO_AMOUNT, NO_QUANTITY, Amount, Quantity
from copytrade.domain.order import Side
from copytrade.domain.venue import ExecutionStatus, VenueOrder
from copytrade.engine.books import Look
from copytrade.engine.services import Services
from copytrade.engine.work import RefreshEquity

# Our clock and the venue's agree within a fraction of a second, or the venue refuses what we sign. A look that is
# nearer to an order than this may show what the order has done, or may not.
_DOUBT = timedelta(seconds=2)
_ROUNDS_MAX = 3  # of somebody who trades faster than the account can be read, the last reading has to do
_LONG_AGO = timedelta(days=7)  # orders that rested for longer and are gone just now are taken for others
_READS_MAX = 2  # a read that was under way already when the order was seen may be of before it; the next one is not


@dataclass(frozen=True, slots=True)
class Before:
    """`position` is all that the account held of the instrument, `beside` the part of it that no order here had
    bought. The amounts are None where they are not known."""

    equity: Amount | None
    cash: Amount | None
    position: Quantity
    beside: Quantity = NO_QUANTITY


class MasterBefore:
    """Finds out how the master stood."""

    def __init__(self, services: Services, refresh: RefreshEquity) -> None:
        self._services = services
        self._refresh = refresh

    async def of(self, order: VenueOrder, later: Sequence[VenueOrder], instrument: Instrument) -> Before:
        """Before `order`, which the ledger does not have yet; `later` came after it and is not in the ledger either.

        Asks the venue where it must, for `equity_wait_s` at most each time.
        """
        services = self._services
        account = services.roster.master.terms.account
        seen_at = services.clock()
        here = services.ledger.state.position(account, order.symbol)
        look = self._look_before(order.created_at, seen_at)
        if look is not None and (order.side is Side.BUY or _all_bought_here(look, instrument)):
            return Before(look.balances.equity, look.balances.cash, here)
        after, done = await self._look_and_list(seen_at, [order, *later])
        if after is None:
            known = look or next(reversed(services.books.looks(account)), None)
            if order.side is Side.SELL:
                services.alert(
                    AlertKind.SIZED_BY_SHARE,
                    f"{account}: what it holds could not be read after a sale of {order.symbol} by hand; followers "
                    "sell the share that it is of what was bought here. Compare their positions with the master's",
                    account,
                )
            fresh = known is not None and self._young(known, seen_at)
            return Before(known.balances.equity, known.balances.cash, here) if fresh and known else _unknown(here)
        balances = after.balances
        cash = balances.cash + _spent(done, balances.currency)
        equity = balances.equity + _fees(done, balances.currency)
        if order.side is Side.BUY:
            return Before(equity, cash, here)
        held = Quantity(balances.holdings.get(instrument.base, _ZERO)) - _arrived(done, instrument.base)
        here = services.ledger.state.position(account, order.symbol)
        mine = services.ledger.state.positions.of(account)
        beside = _sellable(held - _bought(mine, instrument.base), instrument)
        return Before(equity, cash, here + beside, beside)

    async def _look_and_list(
        self, seen_at: datetime, told: Sequence[VenueOrder]
    ) -> tuple[Look | None, Sequence[VenueOrder]]:
        """The account now, and the orders as they stood then of which the ledger has nothing; `told` as it was seen.

        A sale is taken back in the figures by what it has filled, so the orders are read once more: what has come to
        pass between their reading and that of the account must not be taken for what was held before.
        """
        if told[0].side is Side.BUY:
            return await self._look_now(seen_at), told
        services, client = self._services, self._services.roster.master.client
        look = None
        for _ in range(_ROUNDS_MAX):
            look = await self._look_now(seen_at)
            if look is None or client is None:
                break
            seen_at = services.clock()
            now = self._not_here(told[0], await client.orders(told[0].created_at - _DOUBT, {told[0].symbol}))
            same = _come_to(now) == _come_to(told)
            told = now
            if same:
                break
        return look, told

    def _not_here(self, order: VenueOrder, listed: Sequence[VenueOrder]) -> list[VenueOrder]:
        """The order and what came after it, as far as it is not in the ledger's positions: of orders that the ledger
        has, what has filled a moment ago."""
        account = self._services.roster.master.terms.account
        known = self._services.ledger.venue_order_ids(account, order.created_at - _LONG_AGO)
        here = {r.venue_order_id: r for r in self._services.ledger.state.orders.of(account)}
        found: dict[str, VenueOrder] = {order.venue_order_id: order}
        for each in listed:
            record = here.get(each.venue_order_id)
            if record is not None:
                found[each.venue_order_id] = replace(
                    each, filled=each.filled - record.filled, fee_base=each.fee_base - record.fee_base,
                    cost=each.cost - record.cost, fee=each.fee - record.fee,
                )  # fmt: skip
            elif each.venue_order_id not in known and each.created_at >= order.created_at:
                found[each.venue_order_id] = each
        return list(found.values())

    def _look_before(self, created_at: datetime, now: datetime) -> Look | None:
        """The latest look that is certainly from before the order."""
        account = self._services.roster.master.terms.account
        for look in reversed(self._services.books.looks(account)):
            if look.balances.at <= created_at - _DOUBT:
                return look if self._young(look, now) else None
        return None

    async def _look_now(self, seen_at: datetime) -> Look | None:
        services = self._services
        account = services.roster.master.terms.account
        for _ in range(_READS_MAX):
            await self._refresh(account, services.limits.equity_wait_s)
            look = next(reversed(services.books.looks(account)), None)
            if look is not None and look.asked_at >= seen_at:
                return look
        return None

    def _young(self, look: Look, now: datetime) -> bool:
        return (now - look.balances.at).total_seconds() <= self._services.rules.equity_max_age_s


_ZERO = NO_QUANTITY.value


def _unknown(position: Quantity) -> Before:
    return Before(None, None, position)


def _all_bought_here(look: Look, instrument: Instrument) -> bool:
    """Whether a look shows of the instrument's base just what orders here had bought. More was held beside it; less, or
    more, may also be an order that the ledger did not have yet."""
    beside = Quantity(look.balances.holdings.get(instrument.base, _ZERO)) - _bought(look.positions, instrument.base)
    return not _sellable(Quantity(abs(beside.value)), instrument)


def _come_to(orders: Sequence[VenueOrder]) -> dict[str, Quantity]:
    """What each order has filled, those apart that have filled nothing."""
    return {order.venue_order_id: order.filled for order in orders if order.filled}


def _bought(positions: Mapping[str, Quantity], base: str) -> Quantity:
    return sum((held for symbol, held in positions.items() if base_of(symbol) == base), start=NO_QUANTITY)


def _sellable(quantity: Quantity, instrument: Instrument) -> Quantity:
    """Dust, and what rounding makes of fees, is nothing that is held."""
    smallest = max(instrument.min_quantity, Quantity(instrument.lot_step))
    return quantity if quantity >= smallest else NO_QUANTITY


def _arrived(orders: Sequence[VenueOrder], base: str) -> Quantity:
    """What these orders have added to the account's holding of an asset; below zero where they took from it."""
    total = NO_QUANTITY
    for order in orders:
        if base_of(order.symbol) == base:
            total = total + (order.filled - order.fee_base) if order.side is Side.BUY else total - order.filled
    return total


def _spent(orders: Sequence[VenueOrder], currency: str) -> Amount:
    """What these orders took out of the free cash, the cash that an open purchase holds included."""
    total = NO_AMOUNT
    for order in _paid_in(orders, currency):
        sign = 1 if order.side is Side.BUY else -1
        total = total + order.cost.scaled(_ONE * sign) + order.fee
        price = order.limit_price or order.stop_price
        if order.side is Side.BUY and order.status is ExecutionStatus.OPEN and price is not None:
            total = total + (order.quantity - order.filled) * price
    return total


def _fees(orders: Sequence[VenueOrder], currency: str) -> Amount:
    total = NO_AMOUNT
    for order in _paid_in(orders, currency):
        total = total + order.fee
    return total


def _paid_in(orders: Sequence[VenueOrder], currency: str) -> list[VenueOrder]:
    return [order for order in orders if "/" not in order.symbol or order.symbol.endswith(f"/{currency}")]


_ONE = Amount.of(1).value
