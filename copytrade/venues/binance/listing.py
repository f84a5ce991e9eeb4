"""Every order of an account, whoever placed it.

Binance lists open orders of all markets, but finished ones by market only, and reading them all would take a thousand
requests. So the markets that are read are those in which something can have happened: where an order is open or was
open at the reading before, where something is known to have happened at the moment asked for or later, and the markets
of every asset of which the balance has changed since (at the first reading: of every asset that is held), and those
that the caller names, as it knows of something there. What is not found is an order in a market not known by any of
this that changed no balance from one reading to the next: one that was cancelled without a fill, or a purchase that was
sold whole. The stream tells of both.

A market's list is read from its newest order, and where one page does not reach back to the moment asked for, from that
moment on as well. An order that is older and has ended is known from the reading before, and is asked for by its id.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from copytrade.domain.errors import VenueError, VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import ZERO
from copytrade.domain.venue import VenueOrder
from copytrade.venues.binance.balances import read_holdings
from copytrade.venues.binance.executions import Executions
from copytrade.venues.binance.lookup import OVERLAP_MS, PAGE
from copytrade.venues.binance.options import ACCOUNT_WEIGHT, ALL_ORDERS_WEIGHT, OPEN_ORDERS_WEIGHT
from copytrade.venues.binance.orders import NO_LIST, Trades
from copytrade.venues.binance.rows import Row, Unit, as_listed, in_units, read_row
from copytrade.venues.binance.signer import ACCOUNT, ALL_ORDERS, OPEN_ORDERS

if TYPE_CHECKING:
    from copytrade.venues.binance.public import BinanceVenue
    from copytrade.venues.binance.reads import SignedReads

logger = logging.getLogger(__name__)

_TOLD_MAX = 1_000  # orders that were warned of; beyond that nobody reads on
Holdings = Mapping[str, tuple[Decimal, Decimal]]
Rows = dict[tuple[str, int], Row]


class Listing:
    """Reads all orders of one account, and remembers where it has to look."""

    def __init__(self, account: str, venue: BinanceVenue, reads: SignedReads, executions: Executions) -> None:
        self._account = account
        self._venue = venue
        self._reads = reads
        self._executions = executions
        self._markets: dict[str, datetime] = {}  # when something happened there last, on Binance's clock
        self._open: set[tuple[str, int]] = set()
        self._holdings: Holdings | None = None
        self._since: datetime | None = None
        self._told: set[str] = set()

    def seen(self, venue_symbol: str) -> None:
        """Something happens in this market now."""
        self._markets[venue_symbol] = self._venue.venue_now()

    async def read(self, since: datetime, also: Iterable[str] = ()) -> list[VenueOrder]:
        """What is open now, or was placed or ended at `since` (our clock) or later; the oldest first.

        The markets of `also` (our spelling) are read in any case. Raises `VenueError`.
        """
        since_there = since + self._venue.offset - timedelta(seconds=self._venue.options.clock_skew_max_s)
        # What is open is read first: an order that ends meanwhile is then in its market's list, which is read after.
        open_now = self._rows(await self._reads.call(OPEN_ORDERS, {}, OPEN_ORDERS_WEIGHT))
        holdings = read_holdings(await self._reads.call(ACCOUNT, {"omitZeroBalances": "true"}, ACCOUNT_WEIGHT))
        fresh = self._holdings is None or self._since is None or since < self._since
        changed = holdings.keys() if fresh else _changed(self._holdings or {}, holdings)
        markets = {symbol for symbol, last in self._markets.items() if last >= since_there}
        markets |= {symbol for symbol, _ in (*open_now, *self._open)}
        markets |= self._markets_of(changed, holdings, every_quote=fresh)
        markets |= {found.venue_symbol for found in map(self._venue.instrument, also) if found is not None}
        found: Rows = {}
        for symbol in sorted(markets):
            if self.instrument(symbol) is not None:
                found |= await self._market(symbol, since_there)
        await self._add_open(open_now, found)
        await self._complete_lists(found, since_there)
        orders = await self._told_of(found, since_there)
        for (symbol, _), row in found.items():
            last = max(row.placed_at, row.changed_at)
            self._markets[symbol] = max(last, self._markets.get(symbol, last))
        self._open = {key for key, row in found.items() if row.is_open}
        self._holdings = holdings
        self._since = since if self._since is None else min(self._since, since)
        return sorted(orders, key=lambda order: order.created_at)

    async def listed(self, unit: Unit, trades: Trades | None = None) -> VenueOrder | None:
        """An order in our words; its trades are asked for unless they are known. Raises `VenueError`.

        None for one that cannot be told of, with a warning.
        """
        view = unit[0].view
        instrument = self.instrument(view.symbol)
        if instrument is None:
            return None
        if trades is None:
            execution = await self._executions.of_unit(unit, instrument)
        else:
            execution = await self._executions.of_trades(view, trades, instrument)
        order = as_listed(unit, instrument, execution, self._venue.offset)
        if order is None:
            self._warn(execution.venue_order_id, f"a {unit[0].type} order has no price of its own yet")
        return order

    def instrument(self, symbol: str) -> Instrument | None:
        """The market of that name; None, with a warning, for one that Binance does not list for spot trading."""
        instrument = self._venue.instrument(symbol)
        if instrument is None:
            self._warn(symbol, "its market is not among Binance's spot markets")
        return instrument

    # -- inside ------------------------------------------------------------------------------------------------

    def _markets_of(self, assets: Iterable[str], holdings: Holdings, *, every_quote: bool) -> set[str]:
        """The markets in which a change of these balances can have come about.

        A trade changes both balances; only at the first reading is it unknown which asset was paid with and is gone.
        """
        changed, currency = set(assets), self._venue.currency
        paid_with = changed | holdings.keys() | {currency}
        return {
            each.venue_symbol
            for each in self._venue.symbols
            if each.base in changed and (each.quote in paid_with or (every_quote and each.base != currency))
        }

    async def _market(self, symbol: str, since: datetime) -> Rows:
        """The orders of a market: its newest, and all that came at `since` or later."""
        result = await self._page({"symbol": symbol})
        newest = self._rows(result)
        if len(result) < PAGE:
            return newest
        if min(row.placed_at for row in newest.values()) < since - timedelta(milliseconds=OVERLAP_MS):
            return newest
        fields = {"symbol": symbol, "startTime": str(math.floor(since.timestamp() * 1000) - OVERLAP_MS)}
        found = dict(newest)
        for _ in range(self._venue.options.pages_max):
            result = await self._page(fields)
            page = self._rows(result)
            found |= page
            if len(result) < PAGE:
                return found
            fields = {"symbol": symbol, "orderId": str(max(order_id for _, order_id in page) + 1)}
        raise VenueError(
            f"{self._account}: more than {self._venue.options.pages_max * PAGE} orders in {symbol} since {since}: the "
            "list of orders has no end. Look the account up by hand at binance.com"
        )

    async def _page(self, fields: dict[str, str]) -> Any:
        return await self._reads.call(ALL_ORDERS, {**fields, "limit": str(PAGE)}, ALL_ORDERS_WEIGHT)

    def _rows(self, result: Any) -> Rows:
        """The orders of a list; one that makes no sense is left out of it, and not the list for it.

        Raises `VenueUnavailable` for what is no list of orders.
        """
        if not isinstance(result, list):
            raise VenueUnavailable(f"{self._account}: Binance's list of orders is no list")
        rows: Rows = {}
        for entry in result:
            try:
                row = read_row(entry)
            except VenueUnavailable as error:
                self._warn(str(entry.get("orderId")) if isinstance(entry, dict) else "without an id", str(error))
                continue
            rows[row.view.symbol, row.view.order_id] = row
        if result and not rows:
            raise VenueUnavailable(f"{self._account}: nothing in Binance's list of orders can be read")
        return rows

    async def _add_open(self, open_now: Rows, found: Rows) -> None:
        """Make the lists agree: markets' lists may lag behind that of open orders, which comes from the engine."""
        for key, row in open_now.items():
            known = found.get(key)
            if known is None or known.changed_at < row.changed_at:
                found[key] = row
        for key in self._open - open_now.keys():
            known = found.get(key)
            if known is None or known.is_open:
                found[key] = await self._executions.row(*key)

    async def _complete_lists(self, found: Rows, since: datetime) -> None:
        """The orders of a list stand side by side; one at the edge of what was read gets its companions."""
        members: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for row in found.values():
            if row.view.list_id != NO_LIST:
                members[row.view.symbol, row.view.list_id].append(row)
        for (symbol, list_id), rows in members.items():
            if len(rows) == 1 and _matters(rows[0], since):
                for row in await self._executions.list_rows(symbol, list_id):
                    found[symbol, row.view.order_id] = row

    async def _told_of(self, found: Rows, since: datetime) -> list[VenueOrder]:
        units = [unit for unit in in_units(found.values()) if any(_matters(row, since) for row in unit)]
        by_market: dict[str, list[Row]] = defaultdict(list)
        for unit in units:
            by_market[unit[0].view.symbol] += unit
        for symbol, rows in by_market.items():
            instrument = self.instrument(symbol)
            if instrument is not None:
                await self._executions.fetch_trades(rows, instrument)
        told = []
        for unit in units:
            if (order := await self.listed(unit)) is not None:
                told.append(order)
            self._remember(unit)
        return told

    def _remember(self, unit: Unit) -> None:
        view = unit[0].view
        if len(unit) > 1 and view.list_id != NO_LIST:
            self._executions.remember_list(view.symbol, view.list_id, [row.view.order_id for row in unit])

    def _warn(self, what: str, why: str) -> None:
        if what not in self._told and len(self._told) < _TOLD_MAX:
            self._told.add(what)
            logger.warning("%s: order %.60s at Binance is left out: %s", self._account, what, why)


def _matters(row: Row, since: datetime) -> bool:
    return row.is_open or max(row.placed_at, row.changed_at) >= since


def _changed(before: Holdings, now: Holdings) -> set[str]:
    nothing = (ZERO, ZERO)
    return {asset for asset in before.keys() | now.keys() if before.get(asset, nothing) != now.get(asset, nothing)}
