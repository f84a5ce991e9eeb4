"""Pages wait for orders: while a fan-out is under way nothing of them runs but a question of a few microseconds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from web_world import small_desk
from world import Desk, until

from copytrade.console.web.hub import Hub
from copytrade.console.web.logtail import LogTail
from copytrade.console.web.records import Records
from copytrade.console.web.sources import EngineSources

POLLS = 4  # a fifth of a second, of the three that a page waits at most


class Busy(EngineSources):
    """The running system, which is in the middle of a fan-out for as long as a test says. Counts what it is asked."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.engine, "paper", "none", str)
        self.says = False
        self.asked: Counter[str] = Counter()

    def busy(self) -> bool:
        self.asked["busy"] += 1
        return self.says or super().busy()

    def head(self) -> Any:
        self.asked["head"] += 1
        return super().head()

    def accounts(self) -> Any:
        self.asked["accounts"] += 1
        return super().accounts()

    def health(self) -> Any:
        self.asked["health"] += 1
        return super().health()


class Files(Records):
    """The ledger's file; counts who reads it."""

    def __init__(self, path: Path, asked: Counter[str]) -> None:
        super().__init__(path, str)
        self._asked = asked

    def signal(self, signal_id: str) -> Any:
        self._asked["signal"] += 1
        return super().signal(signal_id)


class Eager(Hub):
    """The control: a stream that does not wait."""

    async def quiet(self) -> None:
        self._sources.busy()


async def during_a_fan_out(root: Path, make: type[Hub]) -> Counter[str]:
    """What five open pages ask for from the moment at which a fan-out begins."""
    async with small_desk(root) as desk:
        signal = await desk.buy("1000")
        await desk.settled()
        sources = Busy(desk)
        ledger = desk.world.paths.ledger
        hub = make(sources, Files(ledger, sources.asked), ledger, LogTail(str), str)
        pages = [("overview",), ("overview", "log"), ("signals", "orders"), ("health",), (f"signal:{signal}",)]
        try:
            for topics in pages:
                await hub.subscribe(topics, lambda: True)
            await until(lambda: hub._looks >= 2, "the pages to be looked at")
            # As it is when the master's order goes out: between two looks.
            await until(lambda: _between(hub), "a look to be over")
            sources.says = True
            sources.asked.clear()
            looks = hub._looks
            await until(lambda: sources.asked["busy"] >= POLLS, "the end of it to be asked for")
            asked = Counter(sources.asked) + Counter({"look": hub._looks - looks})
            sources.says = False
            await until(lambda: hub._looks > looks, "the pages to go on")
            return asked
        finally:
            sources.says = False
            await hub.close()


def _between(hub: Hub) -> bool:
    """Whether the stream sleeps or waits, and looks at nothing."""
    assert hub._task is not None
    inner = hub._task.get_coro().cr_await  # type: ignore[union-attr]
    return getattr(getattr(inner, "cr_code", None), "co_name", "") != "_look"


async def test_five_pages_ask_for_nothing_during_a_fan_out(tmp_path: Path) -> None:
    asked = await during_a_fan_out(tmp_path, Hub)
    assert set(asked) == {"busy"}, asked


async def test_that_it_is_seen_when_they_do(tmp_path: Path) -> None:
    asked = await during_a_fan_out(tmp_path, Eager)
    assert asked["look"] > 0
    assert asked["head"] > 0
