"""Runs a strategy for an account: shows it markets, places its wishes, keeps its memory.

The memory that a decision leaves becomes durable in the same transaction as the order's intent. So a crash leaves
either both or neither: neither, and the decision is made again from the old memory, with the same key; both, and the
order is taken up by recovery while the strategy knows that it has asked for it. What became of it the strategy reads
off the position, and it is not asked about a market in which an order is still under way.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from copytrade.domain.account import AccountId, venue_of
from copytrade.domain.alerts import Alert, AlertKind, Tell
from copytrade.domain.errors import CopyTradeError, LedgerError, Refused, VenueError
from copytrade.domain.events import StrategyNoted
from copytrade.domain.ids import master_order_id
from copytrade.domain.instrument import Instrument
from copytrade.domain.order import Side
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import TradeRequest
from copytrade.engine.services import Services, ServiceStopping
from copytrade.engine.work import RefreshEquity
from copytrade.settings.strategy import ScanSettings
from copytrade.strategy.guards import EntryGuards, entry_refusal
from copytrade.strategy.port import (
    Candles,
    Decision,
    Funds,
    Memory,
    Strategy,
    View,
    Wish,
    decide_all,
    memory_from_text,
    memory_to_text,
)
from copytrade.wiring.market_data import MarketData, read_candles
from copytrade.wiring.scanning import Scanner

log = logging.getLogger("copytrade.strategy")

# Sizes are taken from figures not older than this; the desk reads them anew for each entry anyway.
_FUNDS_MAX_AGE_S = 60.0
_FUNDS_WAIT_S = 5.0
# A venue may need a moment to show a candle that has just closed; a market without it then is asked again.
_CANDLE_TRIES = 3
_CANDLE_AGAIN_S = 2.0

Place = Callable[[TradeRequest], Awaitable[OrderRecord]]


@dataclass(frozen=True, slots=True)
class Seat:
    """The account that a strategy trades for. `place` is the master desk's, or one that does the same for it."""

    account: AccountId
    services: Services
    place: Place
    refresh: RefreshEquity


class StrategyRunner:
    """Asks the strategy at every step and places what it wishes for. One runner for each account."""

    def __init__(
        self,
        seat: Seat,
        strategy: Strategy,
        guards: Callable[[], EntryGuards],
        data: MarketData,
        scan: Callable[[], ScanSettings],
        tell: Tell,
    ) -> None:
        """`guards` and `scan` are asked each time, so that changed settings count at once; `tell` is for people."""
        self._seat = seat
        self._services = seat.services
        self._strategy = strategy
        self._guards = guards
        self._data = data
        self._tell = tell
        self._told: dict[str, str] = {}
        self._decided: dict[str, int] = {}
        self._buying = asyncio.Lock()
        self._venue = venue_of(seat.account)
        self.scanner = Scanner(
            self._venue, data, scan, seat.services, strategy.needs, self, tell,
            lambda: guards().blocked,
        )  # fmt: skip

    # -- the loop ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Step until cancelled, or until the service stops."""
        scanning = None
        if self._strategy.needs.candles and not self._strategy.needs.symbols:
            scanning = asyncio.create_task(self.scanner.run(), name="scanner")
        try:
            while True:
                await self._services.pause(self._until_next_s())
                await self.step()
                if scanning is not None and scanning.done():
                    scanning.result()
        except ServiceStopping:
            return
        finally:
            if scanning is not None:
                scanning.cancel()
                await asyncio.gather(scanning, return_exceptions=True)

    def _until_next_s(self) -> float:
        """Until the next candle has closed and settled, by the venue's clock; or until the next tick."""
        needs = self._strategy.needs
        if not needs.candles:
            return needs.every_s
        now_s = self._now_s() - needs.settle_s
        return (math.floor(now_s / needs.interval_s) + 1) * needs.interval_s - now_s

    async def step(self) -> int:
        """Ask about every market that is remembered or named; returns how many orders were placed."""
        found = [self._instrument(symbol) for symbol in self.watched()]
        return await self.consider([each for each in found if each is not None])

    def watched(self) -> list[str]:
        """The markets that are asked about at each step: those that the strategy has something in come first."""
        state, account = self._services.ledger.state, self._seat.account
        noted = [
            symbol for (owner, symbol), (name, _) in state.notes.items()
            if owner == account and name == self._strategy.name
        ]  # fmt: skip
        return list(dict.fromkeys([*sorted(noted), *self._strategy.needs.symbols]))

    async def consider(self, instruments: Sequence[Instrument]) -> int:
        """Look at these markets at the account's own venue, ask the strategy about them, and do what it says.

        Returns how many orders were placed. A market that cannot be looked at is told of and left out.
        """
        shown: list[tuple[Instrument, Candles | None]] = []
        for instrument in instruments:
            try:
                shown.append((instrument, await self._candles(instrument)))
            except (VenueError, ValueError) as error:
                self._say(instrument.symbol, f"{instrument.symbol} cannot be looked at: {error}")
        return await self.answer(shown)

    async def answer(self, shown: Sequence[tuple[Instrument, Candles | None]]) -> int:
        """Ask the strategy about markets whose candles are known; returns how many orders were placed.

        Left out are markets in which an order of the account is under way, and those whose last candle was decided
        on before.
        """
        funds = await self._funds() if shown else None
        if funds is None:
            return 0
        views = [view for instrument, candles in shown if (view := self._view(instrument, candles, funds)) is not None]
        placed = 0
        for view, decision in zip(views, self._decide(views), strict=True):
            if decision is not None:
                placed += await self._act(view, decision)
        return placed

    # -- what it sees ------------------------------------------------------------------------------------------------

    async def _funds(self) -> Funds | None:
        services, account = self._services, self._seat.account
        balances = services.books.balances(account)
        if balances is None or (services.clock() - balances.at).total_seconds() > _FUNDS_MAX_AGE_S:
            await self._seat.refresh(account, _FUNDS_WAIT_S)
            balances = services.books.balances(account)
        if balances is None:
            self._say("", f"the strategy waits: the balances of {account} cannot be read")
            return None
        return Funds(balances.equity, balances.cash)

    async def _candles(self, instrument: Instrument) -> Candles | None:
        needs = self._strategy.needs
        if not needs.candles:
            return None
        for _ in range(_CANDLE_TRIES):
            candles = await read_candles(self._data, instrument, needs, self._now_s())
            if len(candles) and self._now_s() - candles.closed_at_s < needs.interval_s:
                break
            await self._services.pause(_CANDLE_AGAIN_S)
        return candles

    def _view(self, instrument: Instrument, candles: Candles | None, funds: Funds) -> View | None:
        symbol, needs, now_s = instrument.symbol, self._strategy.needs, self._now_s()
        into_s, at_s = 0.0, math.floor(now_s / needs.every_s) * needs.every_s
        if needs.candles:
            if candles is None or len(candles) < max(needs.candles_min, 1):
                return None
            at_s, into_s = candles.closed_at_s, now_s - candles.closed_at_s
            if into_s < needs.settle_s or self._decided.get(symbol) == at_s:
                return None
            if into_s >= 2 * needs.interval_s:  # a stock at night: its last candle says nothing of now
                return None
        if self._under_way(symbol):
            return None
        state, account = self._services.ledger.state, self._seat.account
        return View(symbol, at_s, funds, state.position(account, symbol), self._memory(symbol), candles, into_s)

    def _under_way(self, symbol: str) -> bool:
        """Whether an order of this strategy in the market is not at its end. Orders of others do not hold it up."""
        account, mine = self._seat.account, self._request_id(symbol, "")
        orders = self._services.ledger.state.orders.of(account)
        return any(r.intent is not None and r.intent.request_id.startswith(mine) for r in orders)

    def _request_id(self, symbol: str, key: str) -> str:
        return f"{self._strategy.name} {symbol} {key}"

    def _memory(self, symbol: str) -> Memory | None:
        """What this strategy noted of the market. Another strategy's note is nothing to it."""
        name, text = self._services.ledger.state.notes.get((self._seat.account, symbol), ("", ""))
        return memory_from_text(text) if name == self._strategy.name else None

    # -- what it says ------------------------------------------------------------------------------------------------

    def _decide(self, views: Sequence[View]) -> Sequence[Decision | None]:
        """None for a market at which the strategy failed: its mistake must not keep it from the others."""
        try:
            return decide_all(self._strategy, views)
        except Exception:
            log.exception("the strategy %s failed at several markets; asking one by one", self._strategy.name)
        decisions: list[Decision | None] = []
        for view in views:
            try:
                decisions.append(self._strategy.decide(view))
            except Exception as error:
                log.exception("the strategy %s failed at %s", self._strategy.name, view.symbol)
                self._say(
                    view.symbol,
                    f"the strategy failed at {view.symbol} ({type(error).__name__}: {error}); nothing is done there",
                )
                decisions.append(None)
        return decisions

    async def _act(self, view: View, decision: Decision) -> bool:
        """Place the wish, if there is one, and keep the memory. True when the venue has the order."""
        symbol = view.symbol
        try:
            kept, refused = memory_to_text(decision.memory), memory_to_text(decision.if_refused)
        except ValueError as error:
            self._say(symbol, f"the strategy's decision on {symbol} is not carried out: {error}")
            return False
        wish, placed = decision.wish, False
        if wish is not None and wish.side is Side.BUY:
            # One after the other, so that two scans cannot both take the last free position. Exits wait for nobody.
            async with self._buying:
                placed = await self._buy(view, wish, kept, refused)
        elif self._still(view):
            if wish is None:
                await self._note(symbol, kept)
            else:
                placed = await self._place(symbol, wish, kept, refused)
        if view.candles is not None:
            self._decided[symbol] = int(view.at_s)
        return placed

    async def _buy(self, view: View, wish: Wish, kept: str, refused: str) -> bool:
        if not self._still(view):
            return False
        if (why := self._refusal(view)) is not None:
            self._say(view.symbol, f"the strategy's buy of {view.symbol} was not placed: {why}")
            await self._note(view.symbol, refused)
            return False
        return await self._place(view.symbol, wish, kept, refused)

    def _still(self, view: View) -> bool:
        """Whether what the strategy was shown is still so: others may have acted while it waited for its turn."""
        held = self._services.ledger.state.position(self._seat.account, view.symbol)
        return not self._under_way(view.symbol) and held == view.held and self._memory(view.symbol) == view.memory

    def _refusal(self, view: View) -> str | None:
        state, account = self._services.ledger.state, self._seat.account
        taken = set(state.positions.of(account))
        taken |= {r.symbol for r in state.orders.of(account) if r.side is Side.BUY}
        return entry_refusal(self._guards(), view.symbol, view.funds, taken)

    async def _place(self, symbol: str, wish: Wish, kept: str, refused: str) -> bool:
        note = StrategyNoted(self._strategy.name, self._seat.account, symbol, kept, self._services.clock())
        request = TradeRequest(
            self._request_id(symbol, wish.key), symbol, wish.side, wish.amount, wish.quantity, wish.whole,
            source=f"{self._strategy.name}: {wish.why}" if wish.why else self._strategy.name,
            along=() if self._noted(symbol) == kept else (note,),
        )  # fmt: skip
        what = f"the strategy's {wish.side} of {symbol}"
        try:
            record = await self._seat.place(request)
        except LedgerError:
            raise
        except CopyTradeError as error:
            self._say(symbol, f"{what} was not placed: {error}", error)
            known = self._services.ledger.find(master_order_id(self._seat.account, request.request_id))
            if known is None:  # else its answer is still to come, and the memory went with it
                await self._note(symbol, refused)
            return False
        await self._note(symbol, kept)  # an order that was there before took no memory along
        if record.venue_order_id is None:
            self._say(symbol, f"{what} was not taken: {record.reason.text} {record.detail}".rstrip())
            return False
        self._told.pop(symbol, None)
        return True

    # -- its memory --------------------------------------------------------------------------------------------------

    def _noted(self, symbol: str) -> str:
        name, text = self._services.ledger.state.notes.get((self._seat.account, symbol), ("", ""))
        return text if name == self._strategy.name else ""

    async def _note(self, symbol: str, memory: str) -> None:
        """Make the memory durable, if it is another one than before."""
        if memory == self._noted(symbol):
            return
        note = StrategyNoted(self._strategy.name, self._seat.account, symbol, memory, self._services.clock())
        await self._services.ledger.append([note])

    # -- inside ------------------------------------------------------------------------------------------------------

    def _now_s(self) -> float:
        """The time by the venue's clock, in unix seconds; candles open and close by it."""
        offset_s = self._data.of(self._venue).offset_s if self._strategy.needs.candles else 0.0
        return self._services.clock().timestamp() + offset_s

    def _instrument(self, symbol: str) -> Instrument | None:
        found = self._services.instrument(self._venue, symbol)
        if found is None:
            self._say(symbol, f"the strategy wants {symbol}, which {self._venue} does not list")
        return found

    def _say(self, about: str, text: str, error: Exception | None = None) -> None:
        """Tell, but not the same of a market again and again: a halted system is said once, not at every step."""
        cause = str(error.reason) if isinstance(error, Refused) else text
        if self._told.get(about) != cause:
            self._told[about] = cause
            self._tell(Alert(AlertKind.STRATEGY, text))
