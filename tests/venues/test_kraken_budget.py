"""Reads of one key beside each other: what an order hangs on is not held up by what is only good to know."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from account_contract import before
from kraken_lab import OPTIONS, Time, kraken_lab, open_gate

from copytrade.domain.errors import VenueRefusedRead
from copytrade.domain.order import OrderKind
from copytrade.domain.venue import Balances, ExecutionStatus

STARTER = replace(OPTIONS, tier="starter")
MANY = 40  # readings of balances at once, of two calls each: a Starter key has fifteen calls, and one more every 3 s
LONGEST_S = 10  # nobody who goes first waits for more than what its own call lacks


class Held(Time):
    """A clock on which the readings sleep until they are let go, while others' pauses pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self.readings: set[asyncio.Task | None] = set()
        self.let_go = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if asyncio.current_task() in self.readings:
            await self.let_go.wait()
        await super().sleep(seconds)


async def crowd(lab) -> list[asyncio.Task]:
    """So many readings that the counter is full, and most of them wait for room or are told to come later."""
    readings = [asyncio.create_task(lab.account.balances()) for _ in range(MANY)]
    lab.time.readings.update(readings)
    while lab.account.budget_left > 0 or not any(reading.done() for reading in readings):
        await asyncio.sleep(0)
    return readings


async def over(lab, readings: list[asyncio.Task]) -> None:
    """Whoever would wait for longer than a read may take is told so at once, and asks again later."""
    assert max(lab.time.slept, default=0) < LONGEST_S
    lab.time.let_go.set()
    done = await asyncio.gather(*readings, return_exceptions=True)
    late = [each for each in done if isinstance(each, VenueRefusedRead)]
    assert late
    assert all("rate limit" in str(each) for each in late)
    assert {type(each) for each in done if each not in late} == {Balances}


async def test_a_look_up_comes_to_its_end_beside_many_who_read(tmp_path):
    async with kraken_lab(tmp_path, STARTER, time=Held()) as lab:
        order = replace(lab.order(limit="40000"), kind=OrderKind.LIMIT)
        placed = await lab.account.place(order, open_gate)
        readings = await crowd(lab)
        found = await lab.account.find(order, before(), ())
        assert found.venue_order_id == placed.venue_order_id
        await over(lab, readings)


async def test_a_cancel_waits_for_no_reads(tmp_path):
    async with kraken_lab(tmp_path, STARTER, time=Held()) as lab:
        placed = await lab.account.place(replace(lab.order(limit="40000"), kind=OrderKind.LIMIT), open_gate)
        readings = await crowd(lab)
        await lab.account.cancel(placed.venue_order_id)
        assert lab.orders()[-1]["status"] == "canceled"
        await over(lab, readings)
        assert (await lab.account.execution(placed.venue_order_id)).status is ExecutionStatus.CANCELLED
