"""A real browser in front of a real console: the system runs in a thread of its own, the browser in this one.

Where there is no Chromium the tests skip and say so. `CHROMIUM` names another binary.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from web_world import Seat, seated
from world import World

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome") or ""
NEEDED = "no Chromium here: install Debian's chromium, or set CHROMIUM to its path"
# A test needs no sandbox for its own pages, and nothing that calls home.
_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--hide-scrollbars",
)  # fmt: skip
_WAIT_S = 120.0


class Served:
    """A console that is being served. `do` runs a coroutine where the system runs and gives its result."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seat: Seat) -> None:
        self._loop = loop
        self.seat = seat

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_WAIT_S)

    def buy(self, usd: str, symbol: str = "BTC/USD") -> str:
        """One signal, followed to its end."""

        async def trade() -> str:
            signal = await self.seat.desk.buy(usd, symbol)
            await self.seat.desk.settled()
            return signal

        return str(self.do(trade()))


@contextlib.contextmanager
def served(make: Callable[[Path], World], **seat: Any) -> Iterator[Served]:
    """Run a world, its system and its console in a thread until the block ends."""
    ready: threading.Event = threading.Event()
    found: list[Served] = []
    fault: list[BaseException] = []
    over: list[asyncio.Event] = []

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder, make(Path(folder)) as world:
            async with world.trading() as desk, seated(desk, **seat) as made:
                over.append(asyncio.Event())
                found.append(Served(asyncio.get_running_loop(), made))
                ready.set()
                await over[0].wait()

    def main() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # told where the test runs
            fault.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=main, name="console under test")
    thread.start()
    assert ready.wait(_WAIT_S), "the system did not start"
    if fault:
        raise fault[0]
    try:
        yield found[0]
    finally:
        found[0]._loop.call_soon_threadsafe(over[0].set)
        thread.join(_WAIT_S)
    if fault:
        raise fault[0]


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser of playwright's. Skips the test where there is none."""
    if not CHROMIUM:
        pytest.skip(NEEDED)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


DESKTOP = {"viewport": {"width": 1360, "height": 850}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}


class Tab:
    """One page, signed in, that remembers every complaint of the browser: scripts, policy, failed requests."""

    def __init__(self, browser: Any, served: Served, **options: Any) -> None:
        self.complaints: list[str] = []
        self.served = served
        self.context = browser.new_context(base_url=served.seat.url, **options)
        self.page = self.context.new_page()
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def sign_in(self, name: str = "Olga") -> None:
        self.page.goto("/sign-in")
        self.page.fill("[name=name]", name)
        self.page.fill("[name=token]", self.served.seat.token)
        self.page.click("button[type=submit]")
        self.page.wait_for_selector(".live[data-state=on]")

    def go(self, path: str) -> Any:
        self.page.goto(path)
        self.page.wait_for_selector(".live[data-state=on]")
        return self.page

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()
