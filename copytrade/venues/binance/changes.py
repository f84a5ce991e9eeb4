"""What the events of an account's stream say of its orders.

Source: Binance's page on user data streams. An `executionReport` tells an order's quantities in total, but the fee of
its last trade alone: fees are summed up here, by trade, and where trades are missing (the order is older than the
stream, or an event was lost) the order's own are asked for. An order of a list is told by its list's whole state, which
is asked for when the list begins, ends, or one of its orders trades.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from copytrade.domain.errors import VenueError, VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.venue import ExecutionStatus, VenueOrder
from copytrade.venues.binance.executions import Executions, read_legs
from copytrade.venues.binance.listing import Listing
from copytrade.venues.binance.orders import NO_LIST, Trades, read_trades
from copytrade.venues.binance.rows import Row, in_units, read_row

logger = logging.getLogger(__name__)

_ORDERS_MAX = 1_000  # orders whose trades are kept, the newest; of any other they are asked for
# Fields of an event, and what the same thing is called in an order object.
_NAMES = {
    "s": "symbol", "i": "orderId", "g": "orderListId", "p": "price", "P": "stopPrice", "q": "origQty",
    "z": "executedQty", "X": "status", "f": "timeInForce", "o": "type", "S": "side", "O": "time", "T": "updateTime",
}  # fmt: skip
_TRADE, _ALL_DONE = "TRADE", "ALL_DONE"


class Changes:
    """Turns events into orders, for one stream of one account."""

    def __init__(self, account: str, executions: Executions, listing: Listing) -> None:
        self._account = account
        self._executions = executions
        self._listing = listing
        self._fills: dict[tuple[str, int], dict[int, Mapping[str, Any]]] = {}

    async def read(self, event: Mapping[str, Any]) -> list[VenueOrder | None]:
        """The orders that an event is about; None in place of one that has to be looked for.

        Raises `VenueUnavailable` for an event that cannot be understood.
        """
        kind = event["e"]
        try:
            if kind == "executionReport":
                return await self._order(event)
            if kind == "listStatus":
                orders = [{"orderId": order["i"]} for order in event["O"]]
                shown = {"symbol": event["s"], "orderListId": event["g"], "orders": orders}
                legs = read_legs(shown, event["s"], event["g"])
                self._executions.remember_list(event["s"], event["g"], legs)
                return await self._list(event["s"], event["g"], over=event["L"] == _ALL_DONE)
        except (KeyError, TypeError, ValueError) as error:
            raise VenueUnavailable(
                f"{self._account}: Binance's stream tells an event that cannot be read: {error!r:.200}"
            ) from None
        return []  # balances, locks: nothing of an order's

    # -- inside ------------------------------------------------------------------------------------------------

    async def _order(self, event: Mapping[str, Any]) -> list[VenueOrder | None]:
        row = read_row(_as_entry(event))
        self._listing.seen(row.view.symbol)
        if event["x"] == _TRADE:
            self._keep_fill(row, event)
        if row.view.list_id != NO_LIST:
            return await self._list(row.view.symbol, row.view.list_id) if event["x"] == _TRADE else []
        if row.pending:
            return []
        instrument = self._listing.instrument(row.view.symbol)
        if instrument is None:
            return []
        try:
            order = await self._listing.listed((row,), self._trades(row, instrument))
        except VenueError as error:
            self._warn(row.view.reference, error)
            return [None]
        return [] if order is None else [order]

    async def _list(self, symbol: str, list_id: int, *, over: bool = False) -> list[VenueOrder | None]:
        """Every order of a list as it stands now, and None beside it where the answer is older than the event."""
        self._listing.seen(symbol)
        try:
            units = in_units(await self._executions.list_rows(symbol, list_id))
            told = [await self._listing.listed(unit) for unit in units]
        except VenueError as error:
            self._warn(f"list {list_id} in {symbol}", error)
            return [None]
        found = [order for order in told if order is not None]
        stale = over and any(order.status is ExecutionStatus.OPEN for order in found)
        return [*found, None] if stale else [*found]

    def _warn(self, what: str, error: VenueError) -> None:
        logger.warning("%s: order %.60s changed and could not be read: %s", self._account, what, error)

    def _keep_fill(self, row: Row, event: Mapping[str, Any]) -> None:
        fills = self._fills.setdefault((row.view.symbol, row.view.order_id), {})
        # Told twice, a trade still counts once.
        fills[event["t"]] = {
            "qty": event["l"], "price": event["L"], "quoteQty": event["Y"], "commission": event["n"],
            "commissionAsset": event["N"],
        }  # fmt: skip
        if len(self._fills) > _ORDERS_MAX:
            del self._fills[next(iter(self._fills))]

    def _trades(self, row: Row, instrument: Instrument) -> Trades | None:
        """The order's trades, if all of them were told."""
        fills = self._fills.get((row.view.symbol, row.view.order_id), {})
        trades = read_trades(list(fills.values()), instrument, "qty")
        return trades if trades.quantity == row.view.executed else None


def _as_entry(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event as an order object. A cancel has an id of its own in place of the order's, which is told beside it."""
    entry = {name: event[field] for field, name in _NAMES.items() if field in event}
    entry["clientOrderId"] = event.get("C") or event["c"]
    return entry
