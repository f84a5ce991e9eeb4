"""Candles for many accounts: read once, for all of them, and read anew when there is something new."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from test_independent import ALONE, QUICK, _cycles, _running
from world import World, follower, until

from copytrade.domain.candles import CandleRow
from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Quantity
from copytrade.wiring.shared_candles import SharedSource

BTC = Instrument(
    "kraken", "BTC/USD", "BTC", "USD", "XBTUSD", Decimal("1e-8"), Decimal("0.1"), Quantity.of("0.0001"), Amount.of(1)
)


class Source:
    """Candles up to the last that has closed, or up to `behind` before it; counts what it is asked."""

    calls_per_s, offset_s = 1.0, 0.0

    def __init__(self) -> None:
        self.now_s, self.asked, self.behind = 30_010.0, 0, 0
        self.down = False
        self.answering = asyncio.Event()
        self.answering.set()

    def clock(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)

    async def candles(self, instrument: Instrument, interval_s: int, count: int) -> Sequence[CandleRow]:
        self.asked += 1
        await self.answering.wait()
        if self.down:
            raise VenueUnavailable("no answer")
        last = int(self.now_s // interval_s) * interval_s - interval_s * (1 + self.behind)
        return [(last, 1.0, 1.0, 1.0, 1.0, 1.0)]


async def test_many_ask_and_one_reads() -> None:
    source = Source()
    shared = SharedSource(source, source.clock)  # type: ignore[arg-type]
    source.answering.clear()
    asking = [asyncio.create_task(shared.candles(BTC, 300, 10)) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()
    source.answering.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert source.asked == 1
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(rows == [(29_700, 1.0, 1.0, 1.0, 1.0, 1.0)] for rows in found[1:])
    await shared.candles(BTC, 300, 10)
    assert source.asked == 1
    source.now_s += 300
    assert (await shared.candles(BTC, 300, 10))[0][0] == 30_000
    assert source.asked == 2


async def test_what_is_not_shown_yet_is_asked_for_again() -> None:
    source = Source()
    source.behind = 1
    shared = SharedSource(source, source.clock)  # type: ignore[arg-type]
    await shared.candles(BTC, 300, 10)
    source.behind = 0
    source.now_s += 9
    assert (await shared.candles(BTC, 300, 10))[0][0] == 29_400
    source.now_s += 2
    assert (await shared.candles(BTC, 300, 10))[0][0] == 29_700


async def test_a_failure_is_everybodys_who_waits_and_nobodys_after() -> None:
    source = Source()
    source.down = True
    shared = SharedSource(source, source.clock)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(VenueUnavailable):
            await shared.candles(BTC, 300, 10)
    source.down = False
    assert await shared.candles(BTC, 300, 10)
    assert source.asked == 3


async def test_without_named_markets_one_scan_serves_all_accounts(tmp_path: Path) -> None:
    """APEX on every market of the venue: each market's candles are read once for one candle, not once an account."""
    names = [f"user{number}" for number in range(5)]
    settings = {
        "independent": {**QUICK, "strategy": "apex"}, "apex": {"settle_s": 0}, "scan": {"min_day_volume": 0},
    }  # fmt: skip
    with World(tmp_path, followers={name: dict(ALONE) for name in names}, settings=settings) as world:
        async with world.trading() as desk, _running(desk) as (independents, said):
            await until(lambda: independents.progress(), "a scan")
            await until(
                lambda: independents._boards["kraken"].after(0)[1] and min(_cycles(independents).values()) >= 3,
                "markets on the board, and cycles that look at them",
            )
            assert list(independents.progress()) == ["kraken"]
            asked = world.venue.requests()["paths"]
            ohlc = sum(count for path, count in asked.items() if path.endswith("OHLC"))
            markets = len(independents.data.of("kraken").markets())
            assert 0 < ohlc <= 2 * markets
            assert {each["account"] for each in independents.health()} == {follower(name) for name in names}
            assert not [text for text in said if "failed" in text]
