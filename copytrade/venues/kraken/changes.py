"""Execution reports put together into orders.

A report tells what changed and no more: an order's market and prices come once, when it is received, and a fee comes
with its trade alone. So what was told is kept, and where the story has a hole (an order that had trades before the
stream was up) the order is to be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Quantity, parse_decimal
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.venue import ExecutionStatus, VenueOrder
from copytrade.venues.kraken.kinds import streamed_shape

# Orders that are kept: far more than Kraken lets an account have open. The oldest is forgotten first and asked for.
KEPT_MAX = 5_000
_ENDS = {
    "filled": ExecutionStatus.FILLED,
    "canceled": ExecutionStatus.CANCELLED,
    "expired": ExecutionStatus.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Ask:
    """The order has to be asked for. With `over` the stream says that it has ended."""

    order_id: str
    over: bool = False


@dataclass(slots=True)
class _Kept:
    order: VenueOrder
    assets: tuple[str, str]
    by_value: bool
    trades: set[str] = field(default_factory=set)


class Changes:
    """Makes orders out of the reports of one connection."""

    def __init__(
        self,
        find: Callable[[str], Instrument | None],
        offset: Callable[[], timedelta],
        leave_out: Callable[[str], None],
    ) -> None:
        self._find = find
        self._offset = offset
        self._leave_out = leave_out
        self._kept: dict[str, _Kept] = {}

    def take(self, report: Mapping[str, Any], *, live: bool) -> VenueOrder | Ask | None:
        """What a report says about an order; None for what changes nothing. Raises `VenueUnavailable` for garbage."""
        try:
            order_id, event = report["order_id"], report["exec_type"]
            if not isinstance(order_id, str) or not isinstance(event, str):
                raise ValueError("an id or a type that is no text")
            known = self._kept.get(order_id)
            if known is None and "symbol" in report and event != "trade":
                if self._is_odd(report):
                    return None
                known = self._begin(order_id, report)
            if not live or event == "pending_new":
                return None
            if known is None:
                return Ask(order_id, over=event in _ENDS)
            return self._go_on(known, event, report)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise VenueUnavailable(
                f"Kraken's stream of orders told a report that cannot be read: {error!r:.200}"
            ) from None

    def learn(self, order: VenueOrder) -> None:
        """Keep what was asked for; from here on the stream tells the rest."""
        instrument = self._find(order.symbol)
        if instrument is not None and order.status is ExecutionStatus.OPEN:
            by_value = order.kind is OrderKind.MARKET and order.quantity == order.filled
            self._keep(_Kept(order, (instrument.base, instrument.quote), by_value))

    # -- inside ------------------------------------------------------------------------------------------------

    def _is_odd(self, report: Mapping[str, Any]) -> bool:
        symbol = str(report["symbol"])
        if self._find(symbol) is None:
            self._leave_out(f"{symbol:.40} is no market that Kraken lists")
            return True
        if report.get("margin") is True:
            self._leave_out("it is an order on margin")
            return True
        return False

    def _begin(self, order_id: str, report: Mapping[str, Any]) -> _Kept | None:
        """The first that is heard of an order; None when it had trades that nothing was heard of."""
        instrument = self._find(str(report["symbol"]))
        if instrument is None or _number(report, "cum_qty"):
            return None
        shape = streamed_shape(report)
        at = self._at(report)
        by_value = "order_qty" not in report
        order = VenueOrder(
            venue_order_id=order_id, client_order_id=str(report.get("cl_ord_id") or ""), symbol=instrument.symbol,
            side=Side(report["side"]), kind=shape.kind,
            quantity=Quantity(Decimal(0) if by_value else _number(report, "order_qty")),
            limit_price=shape.limit_price, stop_price=shape.stop_price, status=ExecutionStatus.OPEN,
            filled=Quantity(Decimal(0)), cost=Amount(Decimal(0)), fee=Amount(Decimal(0)), created_at=at, at=at,
        )  # fmt: skip
        return self._keep(_Kept(order, (instrument.base, instrument.quote), by_value))

    def _keep(self, kept: _Kept) -> _Kept:
        self._kept[kept.order.venue_order_id] = kept
        if len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        return kept

    def _go_on(self, known: _Kept, event: str, report: Mapping[str, Any]) -> VenueOrder | Ask | None:
        order_id = known.order.venue_order_id
        if event == "trade":
            return self._traded(known, report)
        if event in _ENDS:
            del self._kept[order_id]
            order = known.order
            told = (_number(report, "cum_qty", order.filled.value), _number(report, "cum_cost", order.cost.value))
            whole = event != "filled" or known.by_value or order.filled == order.quantity
            if told != (order.filled.value, order.cost.value) or not whole:
                return Ask(order_id, over=True)
            return replace(order, status=_ENDS[event], at=self._at(report), ended_at=self._at(report))
        if event in ("amended", "restated"):
            if "symbol" not in report or "order_qty" not in report:
                return Ask(order_id)
            shape = streamed_shape(report)
            known.order = replace(
                known.order, quantity=Quantity(_number(report, "order_qty")), limit_price=shape.limit_price,
                stop_price=shape.stop_price,
            )  # fmt: skip
        elif event == "status" and known.order.kind.has_stop and "trailing" in str(report.get("order_type", "")):
            return Ask(order_id)  # its stop moves
        elif event not in ("new", "status", "iceberg_refill"):
            return Ask(order_id)
        known.order = replace(known.order, at=self._at(report))
        return known.order

    def _traded(self, known: _Kept, report: Mapping[str, Any]) -> VenueOrder | Ask | None:
        order, trade = known.order, str(report["exec_id"])
        quantity, total = _number(report, "last_qty"), _number(report, "cum_qty")
        if trade in known.trades or total <= order.filled.value:
            return None  # told before, or part of what was asked for
        known.trades.add(trade)
        fee, fee_base = order.fee.value, order.fee_base.value
        base, quote = known.assets
        for each in report.get("fees") or ():
            asset = self._plain(str(each["asset"]))
            fee += _number(each, "qty") if asset == quote else Decimal(0)
            fee_base += _number(each, "qty") if asset == base else Decimal(0)
            if asset not in (base, quote):
                del self._kept[order.venue_order_id]
                return Ask(order.venue_order_id)
        if order.filled.value + quantity != total:
            del self._kept[order.venue_order_id]
            return Ask(order.venue_order_id)
        filled = Quantity(total)
        known.order = replace(
            order, filled=filled, quantity=filled if known.by_value else order.quantity,
            cost=Amount(_number(report, "cum_cost")), fee=Amount(fee), fee_base=Quantity(fee_base),
            at=self._at(report),
        )  # fmt: skip
        return known.order

    def _plain(self, asset: str) -> str:
        return {"XBT": "BTC", "XDG": "DOGE"}.get(asset, asset)

    def _at(self, report: Mapping[str, Any]) -> datetime:
        moment = datetime.fromisoformat(report["timestamp"])
        if moment.tzinfo is None:
            raise ValueError("a time without its zone")
        return moment - self._offset()


def _number(report: Mapping[str, Any], name: str, default: Decimal | None = None) -> Decimal:
    """A number of 0 or more; where it is left out `default`, or 0."""
    value = report.get(name)
    if value is None:
        return Decimal(0) if default is None else default
    number = parse_decimal(value)
    if number < 0:
        raise ValueError(f"{name} is {number}")
    return number
