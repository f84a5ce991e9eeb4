"""How the master stood just before an order that was placed by hand: followers are sized by that.

What was seen before the order counts. Where nothing was, the account is asked now, and what the order has done is
taken back in the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
        if look is not None and (order.side is Side.BUY or not _held_beside(look, instrument)):
            return Before(look.balances.equity, look.balances.cash, here)
        after = await self._look_now(seen_at)
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
        done = [order, *later]
        balances = after.balances
        cash = balances.cash + _spent(done, balances.currency)
        equity = balances.equity + _fees(done, balances.currency)
        if order.side is Side.BUY:
            return Before(equity, cash, here)
        held = Quantity(balances.holdings.get(instrument.base, _ZERO)) - _arrived(done, instrument.base)
        mine = services.ledger.state.positions.of(account)
        beside = _sellable(held - _bought(mine, instrument.base), instrument)
        return Before(equity, cash, here + beside, beside)

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


def _held_beside(look: Look, instrument: Instrument) -> Quantity:
    """What a look shows of the instrument's base that no order here had bought."""
    held = Quantity(look.balances.holdings.get(instrument.base, _ZERO))
    return _sellable(held - _bought(look.positions, instrument.base), instrument)


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
