"""Looks through the markets for entries: one loop for each venue whose candles are read, so that the trouble of one
stops only that one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from copytrade.domain.alerts import Alert, AlertKind, Tell
from copytrade.domain.candles import DayFigures
from copytrade.domain.errors import VenueError
from copytrade.domain.instrument import Instrument
from copytrade.engine.services import Services, ServiceStopping
from copytrade.settings.strategy import ScanSettings
from copytrade.strategy.port import Candles, Needs
from copytrade.strategy.scan import (
    Batch,
    Breaker,
    BreakerState,
    Health,
    Rotation,
    ScanRules,
    batch_size,
    qualifying,
    rotation_calls,
    share_out,
    spacing_s,
    tradable,
)
from copytrade.wiring.market_data import MarketData, read_candles

log = logging.getLogger("copytrade.scanner")

_NOTHING_TO_SCAN_S = 5.0  # a venue's list is still being read, or has nothing that qualifies
_PAUSE_MIN_S = 0.05  # in paper mode, where no limit is set, the loop must not be all that the process does


class Asked(Protocol):
    """Who takes what the scanner finds."""

    def watched(self) -> Sequence[str]:
        """Markets that are looked at by other means."""
        ...

    async def answer(self, shown: Sequence[tuple[Instrument, Candles | None]]) -> int: ...


class Scanner:
    """Goes round the markets that the account's venue lists, at every venue that has their candles."""

    def __init__(
        self,
        venue: str,
        data: MarketData,
        settings: Callable[[], ScanSettings],
        services: Services,
        needs: Needs,
        asked: Asked,
        tell: Tell,
        blocked: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        """`venue` is the account's; `blocked` markets are passed by."""
        self.venue = venue
        self.data = data
        self.settings = settings
        self.services = services
        self.needs = needs
        self.asked = asked
        self.tell = tell
        self.blocked = blocked
        self.at: dict[str, VenueScan] = {}

    async def run(self) -> None:
        """Scan until cancelled or the service stops; venues that are connected later join in."""
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                for name in self.venues():
                    if name not in tasks:
                        self.at[name] = VenueScan(self, name)
                        tasks[name] = asyncio.create_task(self.at[name].run(), name=f"scan {name}")
                for task in tasks.values():
                    if task.done():
                        task.result()
                await self.services.pause(_NOTHING_TO_SCAN_S)
        except ServiceStopping:
            return
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    def venues(self) -> list[str]:
        """Where candles are read: the account's own venue first."""
        others = [name for name in self.data.names if name != self.venue] if self.settings().share_markets else []
        return [self.venue, *others]

    def plan(self) -> dict[str, list[Instrument]]:
        """The markets to look at by the venue that shows them. No request is made."""
        own = self.data.of(self.venue).markets()
        watched = set(self.asked.watched())
        wanted = [
            each for each in tradable(own, self.services.venues[self.venue].currency, self.blocked())
            if each.symbol not in watched
        ]  # fmt: skip
        venues = self.venues()
        if len(venues) == 1:
            return {self.venue: wanted}
        listings = {name: {each.symbol: each for each in self.data.of(name).markets()} for name in venues}
        return share_out(wanted, listings, {name: self.data.of(name).calls_per_s for name in venues})

    def progress(self) -> dict[str, dict[str, object]]:
        """For a status page: by venue, what is scanned now, its health in percent, and its breaker."""
        return {name: scan.progress() for name, scan in self.at.items()}


class VenueScan:
    """The loop of one venue."""

    def __init__(self, scanner: Scanner, venue: str) -> None:
        self._scanner = scanner
        self._venue = venue
        self._source = scanner.data.of(venue)
        self._rules = rules_of(scanner.settings())
        self.health = Health(self._rules.slow_s)
        self.breaker = Breaker(self._rules)
        self.rotation = Rotation()
        self.batch: Batch | None = None
        self.calls_per_round = (0, 0)
        self._figures: Mapping[str, DayFigures] = {}
        self._figures_at_s: float | None = None
        self._round_of_candle = self._seen_of_candle = -1

    async def run(self) -> None:
        """One batch after the other."""
        services = self._scanner.services
        try:
            while True:
                calls = await self.step()
                await services.pause(_PAUSE_MIN_S if calls else _NOTHING_TO_SCAN_S)
        except ServiceStopping:
            return

    async def step(self) -> int:
        """One batch; returns how many candle calls it made. Waits while the breaker is open."""
        self._rules = self.breaker.rules = rules_of(self._scanner.settings())  # changed settings count at once
        self.health.slow_s = self._rules.slow_s
        await self._scanner.services.pause(self.breaker.wait_s(self._loop_s()))
        await self._scanner.services.pause(self.wait_s())
        await self._read_figures()
        markets = self._scanner.plan().get(self._venue, [])
        least = self._scanner.settings().min_day_volume
        chosen = qualifying(markets, self._figures, least) if least else markets
        self.calls_per_round = rotation_calls(
            len(markets), len(chosen), self._source.day_figures_calls(len(markets)) if least else 0
        )
        self.rotation.replace(chosen)
        if self.rotation.place == 0:
            self._round_of_candle = self._candle()
        trying = self.breaker.state(self._loop_s()) is BreakerState.HALF_OPEN
        self.batch = self.rotation.next(1 if trying else batch_size(self.health.percent, self._rules))
        if self.batch is None:
            return 0
        log.info("%s: %s, health %d %%", self._venue, self.batch.text, self.health.percent)
        rounds = self.rotation.rounds
        calls = await self._look(self.batch)
        self.rotation.put_back(self.batch, calls)
        if self.rotation.rounds == rounds and self.rotation.place == 0:
            self._seen_of_candle = self._round_of_candle
        return calls

    async def _look(self, batch: Batch) -> int:
        """One market after the other, evenly spaced, so that a price which an order waits for never stands behind more
        than one of these calls. Each is decided on at once: a signal must not wait for the rest of its batch."""
        calls, space_s = 0, spacing_s(1, self._source.calls_per_s, self._rules)
        for market in batch.markets:
            if self.breaker.state(self._loop_s()) is BreakerState.OPEN:
                break
            calls += 1
            started_s = self._loop_s()
            candles = await self._candles(market)
            if candles is not None:
                await self._scanner.asked.answer([(market, candles)])
            await self._scanner.services.pause(space_s - (self._loop_s() - started_s))
        return calls

    async def _candles(self, market: Instrument) -> Candles | None:
        started_s = self._loop_s()
        try:
            candles = await read_candles(self._scanner.data, market, self._scanner.needs, self._now_s())
        except VenueError as error:
            self.health.failed()
            if self.breaker.failed(self._loop_s()):
                rules = self._rules
                self._scanner.tell(
                    Alert(
                        AlertKind.SCAN_STOPPED,
                        f"{self._venue} is not scanned for {rules.open_for_s:g} s: {rules.errors_to_open} errors in a "
                        f"row, the last: {error}",
                    )
                )
            return None
        except ValueError as error:  # the market's own: a venue that sends such candles has answered
            log.warning("the candles of %s at %s cannot be used: %s", market.symbol, self._venue, error)
            return None
        self.health.answered(self._loop_s() - started_s)
        self.breaker.answered()
        return candles

    async def _read_figures(self) -> None:
        settings = self._scanner.settings()
        at_s = self._figures_at_s
        if not settings.min_day_volume:
            return
        if at_s is not None and self._loop_s() - at_s < settings.day_figures_every_s:
            return
        markets = self._scanner.plan().get(self._venue, [])
        if not markets:
            return
        self._figures_at_s = self._loop_s()
        try:
            self._figures = await self._source.day_figures(markets)
        except VenueError as error:
            log.warning("%s: the day's volumes cannot be read, the last ones stay: %s", self._venue, error)

    def wait_s(self) -> float:
        """How long there is nothing to look at: while a candle is too young, and, once a whole round has seen the last
        closed candle of every market, until the next one has closed."""
        needs = self._scanner.needs
        into_s = self._now_s() % needs.interval_s
        if self._seen_of_candle == self._candle():
            return needs.interval_s - into_s + needs.settle_s
        return max(0.0, needs.settle_s - into_s)

    def _candle(self) -> int:
        """The number of the candle that is running."""
        return int(self._now_s() // self._scanner.needs.interval_s)

    def progress(self) -> dict[str, object]:
        """See `Scanner.progress`."""
        before, after = self.calls_per_round
        return {
            "progress": self.batch.text if self.batch is not None else "nothing to scan yet",
            "health_percent": self.health.percent,
            "breaker": str(self.breaker.state(self._loop_s())),
            "rounds": self.rotation.rounds,
            "calls_per_round": after,
            "calls_per_round_without_day_figures": before,
        }

    def _now_s(self) -> float:
        return self._scanner.services.clock().timestamp() + self._source.offset_s

    @staticmethod
    def _loop_s() -> float:
        return asyncio.get_running_loop().time()


def rules_of(settings: ScanSettings) -> ScanRules:
    """The section `scan` in the scanner's own words."""
    return ScanRules(
        batch_min=settings.batch_min,
        batch_max=settings.batch_max,
        share_of_limit=float(settings.share_of_limit),
        errors_to_open=settings.errors_to_open,
        open_for_s=settings.open_for_s,
        slow_s=settings.slow_ms / 1000,
    )
