"""Every order of an account, whoever placed it, as Kraken lists it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Quantity, parse_decimal
from copytrade.domain.order import Side
from copytrade.domain.venue import VenueOrder
from copytrade.venues.kraken.kinds import listed_shape
from copytrade.venues.kraken.orders import orders_in, read_execution
from copytrade.venues.kraken.pages import HISTORY_COST, OVERLAP_S, Call, chunks, pages

logger = logging.getLogger(__name__)

QUERY_TRADES_MAX = 20  # trade ids in one QueryTrades
_TOLD_MAX = 100  # odd orders that are warned of; an account with more is full of them


class OrderList:
    """Reads the orders of one account.

    `find` gives an instrument by any spelling, `offset` how far Kraken's clock is ahead of ours.
    """

    def __init__(
        self,
        account: AccountId,
        call: Call,
        find: Callable[[str], Instrument | None],
        offset: Callable[[], timedelta],
        clock: Callable[[], datetime],
        *,
        clock_skew_max_s: float,
        pages_max: int,
    ) -> None:
        self._account = account
        self._call = call
        self._find = find
        self._offset = offset
        self._clock = clock
        self._clock_skew_max_s = clock_skew_max_s
        self._pages_max = pages_max
        self._told: set[str] = set()

    async def since(self, since: datetime) -> list[VenueOrder]:
        """What is open now, or was placed or ended at `since` (our clock) or later; the oldest first.

        Open orders first and closed ones after, so that an order that closes in between is seen, as it is at the end.
        Raises `VenueError` when any part failed or had no end.
        """
        from_s = (since + self._offset()).timestamp() - self._clock_skew_max_s
        found = dict(orders_in(await self._call("OpenOrders", {"trades": "true"}), "open"))
        fields = {"start": str(math.floor(from_s) - OVERLAP_S), "trades": "true"}
        no_end = f"the list of orders of {self._account} has no end. Look at the account at kraken.com"
        async for page in pages(self._call, "ClosedOrders", "closed", fields, self._pages_max, no_end):
            found.update((txid, order) for txid, order in page.items() if _moment(txid, order) >= from_s)
        return await self._read(found)

    async def one(self, txid: str) -> VenueOrder | None:
        """One order; None for one that is no order of a listed spot market. Raises `VenueError`."""
        result = await self._call("QueryOrders", {"txid": txid, "trades": "true"})
        orders = orders_in({"orders": result}, "orders")
        if txid not in orders:
            raise VenueUnavailable(f"{self._account}: Kraken does not show order {txid:.64}; ask again later")
        return next(iter(await self._read({txid: orders[txid]})), None)

    async def _read(self, orders: Mapping[str, Mapping[str, Any]]) -> list[VenueOrder]:
        bought = await self._volumes({txid: order for txid, order in orders.items() if _by_value(order)})
        read = (self._order(txid, order, bought.get(txid)) for txid, order in orders.items())
        return sorted((order for order in read if order is not None), key=lambda each: (each.created_at, each.at))

    def _order(self, txid: str, order: Mapping[str, Any], bought: Decimal | None) -> VenueOrder | None:
        """An order object; None, with a warning the first time, for what is no order of a listed spot market.

        Raises `VenueUnavailable` where it is one and how far it has come cannot be read.
        """
        try:
            instrument = self._market(order["descr"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.leave_out(f"{error!s:.100}" if isinstance(error, ValueError) else f"{error!r:.100}")
            return None
        execution = read_execution(txid, order, self._clock())
        try:
            descr = order["descr"]
            shape = listed_shape(order)
            quantity, filled = parse_decimal(order["vol"]), execution.quantity.value
            if _by_value(order):  # its volumes count money
                if bought is None and filled:
                    average = execution.cost.value / parse_decimal(order["price"])
                    bought = average.quantize(instrument.lot_step, rounding=ROUND_HALF_EVEN)
                quantity = filled = bought or Decimal(0)
            return VenueOrder(
                venue_order_id=txid, client_order_id=str(order.get("cl_ord_id") or ""), symbol=instrument.symbol,
                side=Side(descr["type"]), kind=shape.kind, quantity=Quantity(quantity), limit_price=shape.limit_price,
                stop_price=shape.stop_price, status=execution.status, filled=Quantity(filled), cost=execution.cost,
                fee=execution.fee, created_at=self.our_time(float(order["opentm"])), at=execution.at,
                fee_base=execution.fee_base,
                ended_at=self.our_time(float(order["closetm"])) if order.get("closetm") else None,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            self.leave_out(f"{error!s:.100}" if isinstance(error, ValueError) else f"{error!r:.100}")
            return None

    def _market(self, descr: Mapping[str, Any]) -> Instrument:
        """The market of an order. Raises `ValueError` for one that is not listed, and for an order on margin."""
        instrument = self._find(str(descr["pair"]))
        if instrument is None:
            raise ValueError(f"{descr['pair']!s:.40} is no market that Kraken lists")
        if str(descr.get("leverage") or "none") not in ("none", "0"):
            raise ValueError("it is an order on margin")
        return instrument

    def leave_out(self, why: str) -> None:
        """Say once for each cause that an order is left out, and why."""
        if why not in self._told and len(self._told) < _TOLD_MAX:
            self._told.add(why)
            logger.warning("%s: an order at Kraken is left out of its orders: %s", self._account, why)

    def our_time(self, unix_s: float) -> datetime:
        """A time of Kraken's on our clock."""
        return datetime.fromtimestamp(unix_s, UTC) - self._offset()

    async def _volumes(self, orders: Mapping[str, Mapping[str, Any]]) -> dict[str, Decimal]:
        """What orders by value (`viqc`) have bought, in base units: from their trades, as they count money alone."""
        owners = {str(trade): txid for txid, order in orders.items() for trade in order.get("trades") or ()}
        bought: dict[str, Decimal] = {}
        for chunk in chunks(sorted(owners), QUERY_TRADES_MAX):
            result = await self._call("QueryTrades", {"txid": ",".join(chunk)}, cost=HISTORY_COST)
            trades = orders_in({"trades": result}, "trades")
            try:
                for trade_id in chunk:
                    txid = owners[trade_id]
                    bought[txid] = bought.get(txid, Decimal(0)) + parse_decimal(trades[trade_id]["vol"])
            except (KeyError, ValueError) as error:
                raise VenueUnavailable(f"{self._account}: Kraken's trades cannot be read: {error!r:.200}") from None
        return bought


def _by_value(order: Mapping[str, Any]) -> bool:
    return "viqc" in str(order.get("oflags") or "").split(",")


def _moment(txid: str, order: Mapping[str, Any]) -> float:
    """When an order ended, or began if it has not: what is later than any bound is in the list."""
    try:
        return float(order.get("closetm") or order["opentm"])
    except (KeyError, TypeError, ValueError):
        raise VenueUnavailable(f"Kraken lists order {txid:.64} without its times: it proves nothing") from None
