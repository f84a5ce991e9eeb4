"""Runs the master's strategy: its wishes become requests at the master desk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from copytrade.domain.errors import CopyTradeError, Refused
from copytrade.domain.money import Amount
from copytrade.domain.order import Side
from copytrade.domain.reasons import Reason
from copytrade.engine.desk import TradeRequest
from copytrade.engine.service import Engine
from copytrade.settings.model import Settings
from copytrade.strategy.port import Strategy, Wish

log = logging.getLogger("copytrade.strategy")


def make_strategy(settings: Settings) -> Strategy | None:
    """The strategy that the settings name; None for `none`. Raises `CopyTradeError` for one there is not."""
    master = settings.master
    if master.strategy == "none":
        return None
    if master.strategy == "sample":
        if settings.mode == "live":
            raise CopyTradeError(
                "master.strategy is sample, which trades without reason and is for paper mode only: set it to none"
            )
        from copytrade.strategy.sample import SampleStrategy

        return SampleStrategy(master.sample_instrument, Amount(master.sample_usd), float(master.sample_every_s))
    raise CopyTradeError(f"master.strategy is {master.strategy!r}, which this version lacks: use none or sample")


class StrategyRunner:
    """Asks the strategy at every step and places what it wishes for."""

    def __init__(self, engine: Engine, strategy: Strategy, positions_max: int, tell: Callable[[str], None]) -> None:
        self._engine = engine
        self._positions_max = positions_max
        self._strategy = strategy
        self._tell = tell
        self._last_refusal: Reason | None = None

    async def run(self) -> None:
        """Step until cancelled."""
        while True:
            await self.step()
            await asyncio.sleep(self._strategy.every_s)

    async def step(self) -> int:
        """Ask once; returns how many orders were placed."""
        services = self._engine.services
        master = services.roster.master.terms.account
        positions = {s: q for (a, s), q in services.ledger.state.positions.items() if a == master}
        placed = 0
        for wish in self._strategy.decide(services.clock(), positions):
            if wish.side is Side.BUY and wish.symbol not in positions and len(positions) >= self._positions_max:
                self._tell(f"the strategy's buy of {wish.symbol} was not placed: guards.max_positions is reached")
                continue
            placed += await self._place(wish)
        return placed

    async def _place(self, wish: Wish) -> bool:
        request = TradeRequest(
            f"{self._strategy.name} {wish.key}", wish.symbol, wish.side, wish.amount, wish.quantity, wish.whole,
            source=self._strategy.name,
        )  # fmt: skip
        try:
            record = await self._engine.desk.place(request)
        except Refused as refused:
            if refused.reason is not self._last_refusal:  # a halted system is said once, not at every step
                self._tell(f"the strategy's {wish.side} of {wish.symbol} was not placed: {refused}")
            self._last_refusal = refused.reason
            return False
        except CopyTradeError as error:
            self._tell(f"the strategy's {wish.side} of {wish.symbol} was not placed: {error}")
            return False
        self._last_refusal = None
        if record.venue_order_id is None:
            why = f"{record.reason.text} {record.detail}".rstrip()
            self._tell(f"the strategy's {wish.side} of {wish.symbol} was not taken: {why}")
        return record.venue_order_id is not None
