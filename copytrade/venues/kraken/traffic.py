"""In which order the requests of one API key leave.

Kraken refuses a nonce that is lower than one it has seen, and two requests under way at once on two connections can
overtake each other. An order must not be hurt by that, nor wait for a slow read. So:

- An order (or cancel) goes at once, one after the other, whatever reads are under way: its nonce is higher than
  theirs, so none of them can make Kraken refuse it.
- A read starts only while no order is under way or waiting, so no higher nonce overtakes an order either.
- What is left is an order that overtakes a read. Then Kraken refuses the read's nonce, which changes nothing at the
  venue, and the read is made again with a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType

from copytrade.venues.wire import Wire


class _OrderTurn:
    __slots__ = ("_traffic",)

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    async def __aenter__(self) -> None:
        await self._traffic._begin_order()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._traffic._end_order()


class Traffic:
    """The turns of one API key."""

    __slots__ = ("_clear", "_order_lock", "_order_turn", "_orders", "_read_lock", "_wire")

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._orders = 0
        self._clear = asyncio.Event()
        self._clear.set()
        self._order_lock = asyncio.Lock()
        self._read_lock = asyncio.Lock()
        self._order_turn = _OrderTurn(self)

    def order(self) -> _OrderTurn:
        """A turn for an order or a cancel; take a slot of the wire within it."""
        return self._order_turn

    @asynccontextmanager
    async def read(self) -> AsyncIterator[None]:
        """A turn for a read, with a slot of the wire. Sign at once within it."""
        async with self._read_lock:
            while True:
                await self._clear.wait()
                async with self._wire.read_slot():
                    if not self._clear.is_set():
                        continue  # an order came while we waited for the slot: it needs one more than we do
                    yield
                    return

    async def _begin_order(self) -> None:
        self._orders += 1
        self._clear.clear()
        try:
            await self._order_lock.acquire()
        except BaseException:
            self._leave()
            raise

    def _end_order(self) -> None:
        self._order_lock.release()
        self._leave()

    def _leave(self) -> None:
        self._orders -= 1
        if not self._orders:
            self._clear.set()
