"""OKX's orders that wait for a price ("algo orders"): what is sent, and what comes back.

They are a book of their own beside the ordinary orders: other calls, other ids (`algoId`, `algoClOrdId`). One that is
triggered places an ordinary order, whose id it then lists and which fills. Until then it holds no money; should there
be too little of it in that moment, the state is `order_failed` and `failCode` says why.

Source: OKX v5, "Order Book Trading, Algo Trading".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import NO_AMOUNT, NO_QUANTITY, ZERO, Price, Quantity, parse_decimal
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.venue import Execution, ExecutionStatus, OrderTicket, VenueOrder
from copytrade.venues.okx.orders import is_order_id, joined_id, moment_of, optional_price, price_text

AT_MARKET = "-1"  # an order price that stands for "at the market"
CONDITIONAL, OCO, TRIGGER, TRAILING = "conditional", "oco", "trigger", "move_order_stop"
# What a list is asked for, one after the other: OKX takes these two together and every other type alone.
TYPES = (f"{CONDITIONAL},{OCO}", TRIGGER, TRAILING)
_FOLLOWED = frozenset({CONDITIONAL, OCO, TRIGGER, TRAILING})
ENDED = ("effective", "canceled", "order_failed")
_WAITS = frozenset({"live", "pause", "partially_effective"})
_TRIGGERED = "effective"
_FAILED = frozenset({"order_failed", "partially_failed"})
_STATES = _WAITS | _FAILED | {_TRIGGERED, "canceled"}

ALGO_KINDS = frozenset(
    {OrderKind.STOP, OrderKind.STOP_LIMIT, OrderKind.TAKE_PROFIT, OrderKind.TAKE_PROFIT_LIMIT, OrderKind.BRACKET}
)


def algo_fields(ticket: OrderTicket) -> dict[str, Any]:
    """The parameters of the SDK's `place_algo_order`. Raises `ValueError` for a price that is missing or off the tick.

    A bracket sells at the market on either side. As a limit order its profit would take the place of the stop from
    the moment it is triggered, and whoever the price then leaves again would be without one; OKX has no profit that
    rests in the book beside a stop in spot markets (code 51094).
    """
    stop = price_text(ticket, ticket.stop_price, "stop_price")
    after = price_text(ticket, ticket.limit_price, "limit_price") if ticket.kind.has_limit else AT_MARKET
    fields: dict[str, Any] = {
        "instId": ticket.instrument.venue_symbol,
        "tdMode": "cash",
        "side": ticket.side.value,
        "ordType": OCO if ticket.kind is OrderKind.BRACKET else CONDITIONAL,
        "sz": str(ticket.quantity),
        "algoClOrdId": ticket.order_id,
    }
    if ticket.kind is OrderKind.BRACKET:
        fields |= {"tpTriggerPx": after, "tpOrdPx": AT_MARKET, "slTriggerPx": stop, "slOrdPx": AT_MARKET}
        after = AT_MARKET
    elif ticket.kind in (OrderKind.STOP, OrderKind.STOP_LIMIT):
        fields |= {"slTriggerPx": stop, "slOrdPx": after}
    else:
        fields |= {"tpTriggerPx": stop, "tpOrdPx": after}
    if ticket.side is Side.BUY and after == AT_MARKET:
        fields["tgtCcy"] = "base_ccy"  # else the size would be an amount of the quote currency
    return fields


class NotFollowed(VenueUnavailable):
    """A waiting order of a type that is not followed (iceberg, TWAP...): its parts are orders by themselves."""


@dataclass(frozen=True, slots=True)
class Algo:
    """One such order. `quantity` is None for a size in the quote currency, `placed` the ordinary orders it became."""

    algo_id: str
    client_id: str
    instrument: Instrument
    side: Side
    kind: OrderKind
    quantity: Quantity | None
    limit_price: Price | None
    stop_price: Price | None
    state: str
    placed: tuple[str, ...]
    fail_code: str
    created_at: datetime
    updated_at: datetime

    @property
    def name(self) -> str:
        """Our name of it."""
        return joined_id(self.instrument.venue_symbol, self.algo_id, algo=True)

    @property
    def waits(self) -> bool:
        """Whether it has not been triggered, or not wholly."""
        return self.state in _WAITS

    @property
    def ended_alone(self) -> bool:
        """Whether it is over without having become an order."""
        return self.state not in _WAITS and self.state != _TRIGGERED and not self.placed


def read_algo(row: Mapping[str, Any], instrument: Instrument) -> Algo:
    """An algo order as OKX shows it, in a list, alone or in the stream.

    Raises `VenueUnavailable` for what is none, and `NotFollowed` for one of another type.
    """
    if isinstance(order_type := row.get("ordType"), str) and order_type not in _FOLLOWED:
        raise NotFollowed(f"OKX has a waiting order of the type {order_type!r:.40}; look it up by hand at okx.com")
    try:
        if row["instId"] != instrument.venue_symbol or not is_order_id(row["algoId"]):
            raise ValueError(f"it is order {row['algoId']!r:.40} of {row['instId']!r:.40}")
        if row["state"] not in _STATES:
            raise ValueError(f"its state is {row['state']!r:.40}")
        kind, limit, stop = _kind_and_prices(row)
        by_value = row.get("tgtCcy") == "quote_ccy"
        created = moment_of(row, "cTime")
        return Algo(
            algo_id=row["algoId"],
            client_id=str(row.get("algoClOrdId") or ""),
            instrument=instrument,
            side=Side(row["side"]),
            kind=kind,
            quantity=None if by_value else Quantity(parse_decimal(row["sz"])),
            limit_price=limit,
            stop_price=stop,
            state=row["state"],
            placed=_placed(row),
            fail_code=str(row.get("failCode") or "")[:40],
            created_at=created,
            updated_at=_updated_at(row) or created,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise VenueUnavailable(
            f"OKX's answer about a waiting order of {instrument.venue_symbol} cannot be read: {error!r:.200}"
        ) from None


def combined(algo: Algo, placed: Sequence[Execution], at: datetime) -> Execution:
    """How far an algo order has come: the sum of the orders that it became. It is over when nothing of it is open."""
    filled = Quantity(sum((each.quantity.value for each in placed), ZERO))
    return Execution(
        venue_order_id=algo.name,
        status=_status(algo, placed, filled),
        quantity=filled,
        cost=sum((each.cost for each in placed), NO_AMOUNT),
        fee=sum((each.fee for each in placed), NO_AMOUNT),
        fee_base=sum((each.fee_base for each in placed), NO_QUANTITY),
        at=at,
        detail=_detail(algo, placed),
    )


def as_order(algo: Algo, execution: Execution) -> VenueOrder:
    """The list entry of an algo order."""
    return VenueOrder(
        venue_order_id=algo.name,
        client_order_id=algo.client_id,
        symbol=algo.instrument.symbol,
        side=algo.side,
        kind=algo.kind,
        quantity=execution.quantity if algo.quantity is None else algo.quantity,
        limit_price=algo.limit_price,
        stop_price=algo.stop_price,
        status=execution.status,
        filled=execution.quantity,
        cost=execution.cost,
        fee=execution.fee,
        fee_base=execution.fee_base,
        created_at=algo.created_at,
        at=algo.updated_at if algo.ended_alone else execution.at,
    )


def _status(algo: Algo, placed: Sequence[Execution], filled: Quantity) -> ExecutionStatus:
    if any(each.status is ExecutionStatus.OPEN for each in placed):
        return ExecutionStatus.OPEN
    if algo.quantity is not None and filled >= algo.quantity:
        return ExecutionStatus.FILLED
    if algo.state in _WAITS or (algo.state == _TRIGGERED and not placed):  # its order's id follows
        return ExecutionStatus.OPEN
    if algo.state == _TRIGGERED and all(each.status is ExecutionStatus.FILLED for each in placed):
        return ExecutionStatus.FILLED
    return ExecutionStatus.CANCELLED


def _detail(algo: Algo, placed: Sequence[Execution]) -> str:
    if algo.state in _FAILED:
        return f"OKX could not place the order when its price was reached: code {algo.fail_code or 'unknown'}"
    return next((each.detail for each in placed if each.detail), "")


def _updated_at(row: Mapping[str, Any]) -> datetime | None:
    """When it last changed. `uTime` is documented for a single order; a list may know no more than the trigger."""
    times = [moment_of(row, field) for field in ("uTime", "triggerTime") if row.get(field) not in (None, "", "0")]
    return max(times, default=None)


def _placed(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of the orders it became: a list, and the latest of them under an older name."""
    listed = row.get("ordIdList") or []
    if not isinstance(listed, list):
        raise ValueError(f"ordIdList is a {type(listed).__name__}")
    found = [each for each in (*listed, row.get("ordId")) if each]
    if not all(is_order_id(each) for each in found):
        raise ValueError(f"it became orders {found!r:.100}")
    return tuple(dict.fromkeys(found))


def _kind_and_prices(row: Mapping[str, Any]) -> tuple[OrderKind, Price | None, Price | None]:
    """Kind, limit price and stop price. With a stop and a profit, `conditional` follows the stop alone (OKX)."""
    order_type = row["ordType"]
    profit, loss = optional_price(row, "tpTriggerPx"), optional_price(row, "slTriggerPx")
    if order_type == OCO and profit and loss:
        return OrderKind.BRACKET, profit, loss
    if order_type in (CONDITIONAL, OCO) and (loss or profit):
        limit = optional_price(row, "slOrdPx" if loss else "tpOrdPx")
        return _one_sided(stop=loss is not None, limit=limit), limit, loss or profit
    if order_type == TRIGGER:
        trigger = parse_decimal(row["triggerPx"])
        limit = optional_price(row, "ordPx")
        return _one_sided(stop=_against(row, trigger), limit=limit), limit, Price(trigger)
    if order_type == TRAILING:  # nearest to a stop, at the price that would trigger it now
        return OrderKind.STOP, None, optional_price(row, "moveTriggerPx") or optional_price(row, "activePx")
    raise ValueError(f"it is {order_type!r:.40} without a price that triggers it")


def _one_sided(*, stop: bool, limit: Price | None) -> OrderKind:
    if stop:
        return OrderKind.STOP if limit is None else OrderKind.STOP_LIMIT
    return OrderKind.TAKE_PROFIT if limit is None else OrderKind.TAKE_PROFIT_LIMIT


def _against(row: Mapping[str, Any], trigger: Decimal) -> bool:
    """Whether a trigger lies where the price moves against the order, seen from the price when it was placed.

    Without that price (`last`) it counts as a stop.
    """
    last = row.get("last")
    if not last:
        return True
    price = parse_decimal(last)
    return trigger <= price if row["side"] == Side.SELL else trigger >= price
