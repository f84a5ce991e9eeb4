"""The scanner on a real venue: every market has its turn, few requests are spent, and trouble opens the breaker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from market_lab import Markets, markets
from world import World, until

from copytrade.domain.instrument import Instrument
from copytrade.settings.strategy import ScanSettings
from copytrade.strategy.port import Candles, Needs
from copytrade.strategy.scan import BreakerState
from copytrade.wiring.scanning import Scanner, VenueScan

NEEDS = Needs(interval_s=300, candles=120, candles_min=100, settle_s=6.0)


@dataclass
class Listener:
    """Takes what the scanner finds."""

    elsewhere: tuple[str, ...] = ()
    found: list[str] = field(default_factory=list)

    def watched(self) -> Sequence[str]:
        return self.elsewhere

    async def answer(self, shown: Sequence[tuple[Instrument, Candles | None]]) -> int:
        assert all(candles is not None and len(candles) == 120 for _, candles in shown)
        self.found += [instrument.symbol for instrument, _ in shown]
        return 0


@dataclass
class Scanning:
    world: World
    lab: Markets
    scanner: Scanner
    scan: VenueScan
    listener: Listener
    told: list[str]

    async def round(self) -> int:
        """All markets once, on a new candle; returns how many candle calls that took."""
        self.world.clock.ahead_s += 300 - (self.world.clock.unix_s() % 300) + 7
        calls, rounds = 0, self.scan.rotation.rounds
        while self.scan.rotation.rounds == rounds:
            calls += await self.scan.step()
        return calls

    def calls(self, method: str) -> int:
        """How often Kraken was asked for this."""
        return int(self.lab.simulators["kraken"].requests()["paths"].get(f"/0/public/{method}", 0))


@asynccontextmanager
async def scanning(
    tmp_path: Path, listener: Listener | None = None, venues: Sequence[str] = ("kraken",), **settings: Any
) -> AsyncIterator[Scanning]:
    """A scanner for a master at Kraken. The markets are those of a venue without limits of rate."""
    listener, told = listener or Listener(), []
    tmp_path.mkdir(exist_ok=True)
    with World(tmp_path) as world:
        async with world.trading() as desk, markets(tmp_path, *venues) as lab:
            scanner = Scanner(
                "kraken", lab.data, lambda: ScanSettings(**settings), desk.engine.services, NEEDS, listener,
                lambda alert: told.append(alert.text),
            )
            yield Scanning(world, lab, scanner, VenueScan(scanner, "kraken"), listener, told)


async def test_every_market_that_can_be_bought_has_its_turn(tmp_path: Path) -> None:
    async with scanning(tmp_path, Listener(("BTC/USD",)), min_day_volume=0, batch_min=3, batch_max=4) as on:
        wanted = [each.symbol for each in on.scanner.plan()["kraken"]]
        assert "BTC/USD" not in wanted, "it is looked at by other means"
        assert len(wanted) >= 5
        assert all(symbol.endswith("/USD") for symbol in wanted)
        calls = await on.round() + await on.round()
        assert on.listener.found == wanted * 2
        assert calls == len(wanted) * 2 == on.calls("OHLC")
        assert on.scan.health.percent == 100
        progress = on.scan.progress()
        assert f" of {len(wanted)} (" in str(progress["progress"])
        assert progress["breaker"] == "closed"
        # Until the next candle has closed and settled there is nothing new to be seen.
        assert 280 < on.scan.wait_s() <= 293 + NEEDS.settle_s
        on.world.clock.ahead_s += 300
        assert on.scan.wait_s() == 0
        on.world.clock.ahead_s += 300 - on.world.clock.unix_s() % 300 + 1
        assert on.scan.wait_s() == pytest.approx(5, abs=1)


async def test_one_call_tells_which_markets_are_worth_one_each(tmp_path: Path) -> None:
    async with scanning(tmp_path, min_day_volume=0) as on:
        source = on.scanner.data.of("kraken")
        wanted = on.scanner.plan()["kraken"]
        figures = await source.day_figures(wanted)
        volumes = sorted(day.volume.value for day in figures.values())
        least = volumes[len(volumes) // 2]
        busy = [each.symbol for each in wanted if figures[each.symbol].volume.value >= least]
    async with scanning(tmp_path / "again", min_day_volume=str(least)) as on:
        before = on.calls("Ticker")
        await on.round()
        await on.round()
        assert sorted(on.listener.found) == sorted(busy * 2)
        assert on.calls("Ticker") - before == 1, "read once for both rounds"
        assert on.scan.calls_per_round[1] < on.scan.calls_per_round[0] == len(wanted)


async def test_four_errors_in_a_row_open_the_breaker_and_one_good_answer_closes_it(tmp_path: Path) -> None:
    async with scanning(tmp_path, min_day_volume=0, open_for_s=1) as on:
        fault = on.lab.fault("kraken", kind="error", method="OHLC")
        assert await on.scan.step() == 4
        assert on.scan.progress()["breaker"] == "open"
        (told,) = on.told
        assert "kraken is not scanned for 1 s: 4 errors in a row" in told
        assert on.scan.health.percent == 0
        assert await on.scan.step() == 1, "half open: one market is tried"
        assert on.scan.progress()["breaker"] == "open"
        on.lab.simulators["kraken"].clear_faults(fault)
        assert await on.scan.step() == 1
        assert on.scan.progress()["breaker"] == str(BreakerState.CLOSED)
        assert len(on.listener.found) == 1


async def test_markets_of_two_venues_are_shared_out(tmp_path: Path) -> None:
    """What both list is read at one of them, and candles are read at all of them."""
    async with scanning(tmp_path, venues=("kraken", "coinbase"), min_day_volume=0) as on:
        plan = on.scanner.plan()
        assert on.scanner.venues() == ["kraken", "coinbase"]
        assert {venue: {each.venue for each in part} for venue, part in plan.items()} == {
            "kraken": {"kraken"}, "coinbase": {"coinbase"},
        }  # fmt: skip
        wanted = sorted(each.symbol for part in plan.values() for each in part)
        assert len(wanted) == len(set(wanted))
        for venue in plan:
            scan = VenueScan(on.scanner, venue)
            while not scan.rotation.rounds:
                await scan.step()
        assert sorted(on.listener.found) == wanted
    async with scanning(tmp_path / "alone", share_markets=False, venues=("kraken", "coinbase")) as on:
        assert sorted(each.symbol for each in on.scanner.plan()["kraken"]) == wanted
        assert on.scanner.venues() == ["kraken"]


async def test_it_goes_on_by_itself_and_stops_with_the_service(tmp_path: Path) -> None:
    async with scanning(tmp_path, venues=("kraken", "coinbase"), min_day_volume=0) as on:
        running = asyncio.create_task(on.scanner.run())
        await until(lambda: all(scan.rotation.rounds for scan in on.scanner.at.values()) and on.scanner.at, "one round")
        assert set(on.scanner.progress()) == {"kraken", "coinbase"}
        on.scanner.services.closing.set()
        await asyncio.wait_for(running, 5)
