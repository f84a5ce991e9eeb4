"""Binance's order objects in the words of the list of orders, whoever placed them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Price, Quantity, parse_decimal
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.venue import Execution, ExecutionStatus, VenueOrder
from copytrade.venues.binance.orders import NO_LIST, OrderView, read_order
from copytrade.venues.binance.tickets import bracket_id

_KINDS = {
    "MARKET": OrderKind.MARKET,
    "LIMIT": OrderKind.LIMIT,
    "LIMIT_MAKER": OrderKind.POST_ONLY,
    "STOP_LOSS": OrderKind.STOP,
    "STOP_LOSS_LIMIT": OrderKind.STOP_LIMIT,
    "TAKE_PROFIT": OrderKind.TAKE_PROFIT,
    "TAKE_PROFIT_LIMIT": OrderKind.TAKE_PROFIT_LIMIT,
}
_AT_ONCE = frozenset({"IOC", "FOK"})
_PROFITS = frozenset({"LIMIT_MAKER", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})
_LOSSES = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT"})
# Part of a list whose first order has not filled: it is not in the market, and may never be.
_PENDING = "PENDING_NEW"
_MILLISECONDS_MAX = 10**14  # the year 5138


@dataclass(frozen=True, slots=True)
class Row:
    """An order with all that is told of it. Prices are None where it has none; times are on Binance's clock."""

    view: OrderView
    side: Side
    type: str
    at_once: bool
    quantity: Decimal
    price: Decimal | None
    stop: Decimal | None
    placed_at: datetime
    changed_at: datetime

    @property
    def is_open(self) -> bool:
        return self.view.status is ExecutionStatus.OPEN

    @property
    def pending(self) -> bool:
        """Whether it waits for another order of its list to fill."""
        return self.view.word == _PENDING

    @property
    def trails(self) -> bool:
        """Whether it follows the price, and has no stop of its own to tell (a trailing stop before it sets in)."""
        return self.stop is None and self.type in _KINDS and _KINDS[self.type].has_stop

    @property
    def kind(self) -> OrderKind:
        """The nearest kind with the same prices, where Binance's has no twin here."""
        if self.trails:
            return OrderKind.MARKET if self.price is None else OrderKind.LIMIT
        if self.type == "LIMIT" and self.at_once:
            return OrderKind.IOC_LIMIT
        known = _KINDS.get(self.type)
        if known is not None:
            return known
        if self.stop is not None:
            return OrderKind.STOP if self.price is None else OrderKind.STOP_LIMIT
        return OrderKind.MARKET if self.price is None else OrderKind.LIMIT


Unit = Sequence[Row]
"""One order of ours: a single one of Binance's, or a bracket's two, the profit first."""


def read_row(entry: Any) -> Row:
    """An order object of a list, a look-up or an event. Raises `VenueUnavailable` for what is none."""
    view = read_order(entry)
    try:
        return Row(
            view=view,
            side=Side(entry["side"].lower()),
            type=str(entry["type"]),
            at_once=entry.get("timeInForce") in _AT_ONCE,
            quantity=parse_decimal(entry["origQty"]),
            price=_price(entry, "price"),
            stop=_price(entry, "stopPrice"),
            placed_at=_moment(entry, "time"),
            changed_at=_moment(entry, "updateTime"),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise VenueUnavailable(f"Binance's order {view.reference} cannot be read: {error!r:.200}") from None


def in_units(rows: Iterable[Row]) -> list[Unit]:
    """Orders put together to what is one order here. What still waits for another order of its list is left out."""
    lists: dict[tuple[str, int], list[Row]] = defaultdict(list)
    units: list[Unit] = []
    for row in rows:
        if row.pending:
            continue
        if row.view.list_id == NO_LIST:
            units.append((row,))
        else:
            lists[row.view.symbol, row.view.list_id].append(row)
    for members in lists.values():
        pair = bracket_of(members)
        if pair is not None:
            units.append(pair)
        units += [(row,) for row in members if pair is None or row not in pair]
    return units


def bracket_of(members: Sequence[Row]) -> Unit | None:
    """The profit and the loss in a list, whatever other orders are in it; None where it has not these two."""
    for side in Side:
        profits = [row for row in members if row.side is side and row.type in _PROFITS]
        losses = [row for row in members if row.side is side and row.type in _LOSSES]
        if len(profits) == len(losses) == 1 and profits[0].quantity == losses[0].quantity:
            return profits[0], losses[0]
    return None


def as_listed(unit: Unit, instrument: Instrument, execution: Execution, offset: timedelta) -> VenueOrder | None:
    """One order as the list tells it; `offset` is how far Binance's clock is ahead.

    None for an order that follows the price and has done nothing yet: there is no price to tell.
    """
    first = unit[0]
    if len(unit) > 1:
        # A profit that is a take-profit is told by its trigger: a bracket of ours has one price for each.
        kind, client_id = OrderKind.BRACKET, bracket_id(first.view.client_id, unit[1].view.client_id)
        limit, stop = first.price if first.price is not None else first.stop, unit[1].stop
    else:
        kind, client_id, limit, stop = first.kind, first.view.client_id, first.price, first.stop
        if first.trails and not first.view.executed:
            return None
    if (kind.has_limit and limit is None) or (kind.has_stop and stop is None):
        return None
    return VenueOrder(
        venue_order_id=execution.venue_order_id,
        client_order_id=client_id,
        symbol=instrument.symbol,
        side=first.side,
        kind=kind,
        quantity=Quantity(first.quantity) if first.quantity else execution.quantity,
        limit_price=Price(limit) if kind.has_limit and limit is not None else None,
        stop_price=Price(stop) if kind.has_stop and stop is not None else None,
        status=execution.status,
        filled=execution.quantity,
        cost=execution.cost,
        fee=execution.fee,
        created_at=min(row.placed_at for row in unit) - offset,
        at=execution.at,
        fee_base=execution.fee_base,
        ended_at=None if any(row.is_open for row in unit) else max(row.changed_at for row in unit) - offset,
    )


def _price(entry: Mapping[str, Any], field: str) -> Decimal | None:
    """A price; Binance writes 0 for none, or leaves the field out."""
    value = entry.get(field)
    price = None if value is None else parse_decimal(value)
    if price is not None and price < 0:
        raise ValueError(f"{field} is {price}")
    return price or None


def _moment(entry: Mapping[str, Any], field: str) -> datetime:
    value = entry[field]
    if type(value) is not int or not 0 < value < _MILLISECONDS_MAX:
        raise ValueError(f"{field} is {value!r:.40}, expected milliseconds since 1970")
    return datetime.fromtimestamp(value / 1000, UTC)
