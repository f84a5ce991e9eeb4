"""How far orders have come at Binance: an order object tells quantities, its trades tell cost and fees."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from copytrade.domain.errors import VenueRefusedRead, VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import ZERO
from copytrade.domain.venue import Execution, ExecutionStatus
from copytrade.venues.binance.names import list_reference
from copytrade.venues.binance.options import (
    ORDER_TRADES_WEIGHT,
    QUERY_LIST_WEIGHT,
    QUERY_ORDER_WEIGHT,
    TRADES_WEIGHT,
)
from copytrade.venues.binance.orders import Fees, OrderView, Trades, as_execution, read_trades
from copytrade.venues.binance.rows import Row, Unit, bracket_of, read_row
from copytrade.venues.binance.signer import GET_LIST, GET_ORDER, MY_TRADES

if TYPE_CHECKING:
    from copytrade.venues.binance.public import BinanceVenue
    from copytrade.venues.binance.reads import SignedReads

logger = logging.getLogger(__name__)

TRADES_PAGE = 1_000  # the longest that myTrades gives
TRADES_PAGES_MAX = 20  # an order that filled in 20,000 pieces is no order of a follower's
NO_TRADES = Trades(ZERO, ZERO, Fees(ZERO, ZERO, {}))
# Trades of orders that have not filled further since, and orders of lists: both are asked for once.
_TRADES_MAX = 5_000
_LISTS_MAX = 1_000
# Trades of one order weigh 5, those of a market 20.
_ONE_BY_ONE_MAX = 4


class Executions:
    """Reads orders with their trades, for one account."""

    def __init__(self, account: str, venue: BinanceVenue, reads: SignedReads) -> None:
        self._account = account
        self._venue = venue
        self._reads = reads
        self._legs: dict[tuple[str, int], tuple[int, ...]] = {}
        self._trades: dict[tuple[str, int], Trades] = {}

    def instrument(self, symbol: str) -> Instrument:
        """The market of that name at Binance. Raises `VenueUnavailable`."""
        instrument = self._venue.instrument(symbol)
        if instrument is None:
            raise VenueUnavailable(f"{self._account}: Binance's list of markets has no {symbol}; read the list again")
        return instrument

    def remember_list(self, symbol: str, list_id: int, order_ids: Sequence[int]) -> None:
        """Keep which orders a list has: they never change."""
        self._legs[symbol, list_id] = tuple(order_ids)
        if len(self._legs) > _LISTS_MAX:
            del self._legs[next(iter(self._legs))]

    async def row(self, symbol: str, order_id: int) -> Row:
        """One order by its id. Raises `VenueError`."""
        fields = {"symbol": symbol, "orderId": str(order_id)}
        row = read_row(await self._reads.call(GET_ORDER, fields, QUERY_ORDER_WEIGHT, urgent=True))
        if (row.view.symbol, row.view.order_id) != (symbol, order_id):
            raise VenueUnavailable(
                f"{self._account}: Binance answers about order {row.view.reference:.60}; ask again later"
            )
        return row

    async def list_rows(self, symbol: str, list_id: int) -> list[Row]:
        """The orders of a list. Raises `VenueError`."""
        legs = self._legs.get((symbol, list_id))
        if legs is None:
            result = await self._reads.call(GET_LIST, {"orderListId": str(list_id)}, QUERY_LIST_WEIGHT, urgent=True)
            legs = read_legs(result, symbol, list_id)
            self.remember_list(symbol, list_id, legs)
        return [await self.row(symbol, order_id) for order_id in legs]

    async def of_list(self, symbol: str, list_id: int) -> Execution:
        """How far a bracket has come: fills of both its orders, and over when both are. Raises `VenueError`."""
        instrument = self.instrument(symbol)
        pair = bracket_of(await self.list_rows(symbol, list_id))
        if pair is None:
            raise VenueRefusedRead(
                f"{self._account}: list {list_id} in {symbol} at Binance is no pair of a profit and a loss; look it up "
                "by hand at binance.com"
            )
        return await self.of_unit(pair, instrument)

    async def of_unit(self, unit: Unit, instrument: Instrument) -> Execution:
        """How far an order or a bracket has come. Raises `VenueError`."""
        trades = [await self._trades_of(row.view, instrument) for row in unit]
        if len(unit) == 1:
            return await self.of_trades(unit[0].view, trades[0], instrument)
        total = _summed(trades)
        execution = await self.of_trades(unit[0].view, total, instrument)
        words = ", ".join(f"{row.type} {row.view.word}" for row in unit)
        return Execution(
            venue_order_id=list_reference(unit[0].view.symbol, unit[0].view.list_id),
            status=_status(unit, total.quantity),
            quantity=execution.quantity,
            cost=execution.cost,
            fee=execution.fee,
            at=execution.at,
            fee_base=execution.fee_base,
            detail=f"Binance: {words}"[:200],
        )

    async def of_order(self, order: OrderView, instrument: Instrument) -> Execution:
        """How far a single order has come. Raises `VenueError`."""
        return await self.of_trades(order, await self._trades_of(order, instrument), instrument)

    async def of_trades(self, order: OrderView, trades: Trades, instrument: Instrument) -> Execution:
        """An order with the trades that are known of it. Raises `VenueError`."""
        other_fee = await self._in_quote(trades.fees.other, instrument.quote)
        return as_execution(order, trades, other_fee, self._venue.clock())

    async def fetch_trades(self, rows: Iterable[Row], instrument: Instrument) -> None:
        """Read the trades of several orders of a market at once, where that is cheaper; they are kept.

        Raises `VenueError`.
        """
        wanted = [row for row in rows if row.view.executed and not self._kept(row.view)]
        if len(wanted) <= _ONE_BY_ONE_MAX:
            return
        since_ms = math.floor(min(row.placed_at for row in wanted).timestamp() * 1000)
        fields = {"symbol": instrument.venue_symbol, "startTime": str(since_ms), "limit": str(TRADES_PAGE)}
        entries = await self._pages(fields, {"symbol": instrument.venue_symbol}, TRADES_WEIGHT)
        by_order = defaultdict(list)
        for entry in entries:
            by_order[entry["orderId"]].append(entry)
        for row in wanted:
            trades = read_trades(by_order[row.view.order_id], instrument, "qty")
            if trades.quantity >= row.view.executed:
                self._keep(row.view, trades)

    # -- inside ------------------------------------------------------------------------------------------------

    async def _trades_of(self, order: OrderView, instrument: Instrument) -> Trades:
        if not order.executed:
            return NO_TRADES
        kept = self._kept(order)
        if kept is not None:
            return kept
        fields = {"symbol": order.symbol, "orderId": str(order.order_id), "limit": str(TRADES_PAGE)}
        entries = await self._pages(fields, fields, ORDER_TRADES_WEIGHT)
        if any(entry["orderId"] != order.order_id for entry in entries):
            raise VenueUnavailable("Binance's list of trades has something else in it; it is asked for again")
        trades = read_trades(entries, instrument, "qty")
        if trades.quantity < order.executed:
            raise VenueUnavailable(
                f"{self._account}: Binance's trades of order {order.reference} come to {trades.quantity} of "
                f"{order.executed} so far; they are asked for again"
            )
        self._keep(order, trades)
        return trades

    async def _pages(self, first: Mapping[str, str], later: Mapping[str, str], weight: int) -> list[Any]:
        """Every trade from a first request on; later pages are asked for by the last trade's id."""
        entries: list[Any] = []
        fields = dict(first)
        for _ in range(TRADES_PAGES_MAX):
            page = await self._reads.call(MY_TRADES, fields, weight, urgent=True)
            if not isinstance(page, list) or not all(map(_is_trade, page)):
                raise VenueUnavailable("Binance's list of trades has something else in it; it is asked for again")
            entries += page
            if len(page) < TRADES_PAGE:
                return entries
            fields = {**later, "fromId": str(page[-1]["id"] + 1), "limit": str(TRADES_PAGE)}
        raise VenueRefusedRead(
            f"{self._account}: there are more than {TRADES_PAGES_MAX * TRADES_PAGE} trades in "
            f"{first['symbol']} to read; check its orders by hand"
        )

    def _kept(self, order: OrderView) -> Trades | None:
        trades = self._trades.get((order.symbol, order.order_id))
        return trades if trades is not None and trades.quantity == order.executed else None

    def _keep(self, order: OrderView, trades: Trades) -> None:
        self._trades[order.symbol, order.order_id] = trades
        if len(self._trades) > _TRADES_MAX:
            del self._trades[next(iter(self._trades))]

    async def _in_quote(self, fees: Mapping[str, Decimal], quote: str) -> Decimal:
        """Fees in a third asset (BNB) in units of the quote currency, at its price now: the trade's own is not told."""
        if not fees:
            return ZERO
        bids = await self._venue.bids(quote)
        unpriced = [asset for asset in fees if asset not in bids]
        if unpriced:
            logger.warning("%s: a fee in %s has no price in %s", self._account, ", ".join(unpriced), quote)
        return sum((amount * bids[asset] for asset, amount in fees.items() if asset in bids), ZERO)


def read_legs(result: Any, symbol: str, list_id: int) -> tuple[int, ...]:
    """The ids of the orders of a list. Raises `VenueUnavailable` for what is not that list."""
    try:
        if (result["symbol"], result["orderListId"]) != (symbol, list_id):
            raise ValueError(f"list {result['orderListId']!r:.40} in {result['symbol']!r:.40}")
        legs = tuple(entry["orderId"] for entry in result["orders"])
        if not legs or not all(type(leg) is int and leg >= 0 for leg in legs):
            raise ValueError(f"orders {legs!r:.60}")
    except (KeyError, TypeError, ValueError) as error:
        raise VenueUnavailable(f"Binance's answer about list {list_id} cannot be read: {error!r:.200}") from None
    return legs


def _summed(several: Sequence[Trades]) -> Trades:
    other: dict[str, Decimal] = {}
    for trades in several:
        for asset, fee in trades.fees.other.items():
            other[asset] = other.get(asset, ZERO) + fee
    in_quote = sum((each.fees.quote for each in several), ZERO)
    in_base = sum((each.fees.base for each in several), ZERO)
    quantity = sum((each.quantity for each in several), ZERO)
    return Trades(quantity, sum((each.cost for each in several), ZERO), Fees(in_quote, in_base, other))


def _status(unit: Unit, filled: Decimal) -> ExecutionStatus:
    if any(row.is_open for row in unit):
        return ExecutionStatus.OPEN
    return ExecutionStatus.FILLED if filled >= unit[0].quantity else ExecutionStatus.CANCELLED


def _is_trade(entry: Any) -> bool:
    return isinstance(entry, dict) and type(entry.get("orderId")) is int and type(entry.get("id")) is int


