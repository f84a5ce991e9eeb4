"""Who waits for what: a signal's copies to be dealt with, or one order to have its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


class Tracker:
    """Counts a signal's copies down. A copy is dealt with once it is at the venue, or will not get there for now."""

    def __init__(self) -> None:
        self._open: dict[str, set[str]] = {}
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}

    def expect(self, key: str, order_ids: Iterable[str]) -> None:
        """`key` (a signal or an order id) is dealt with once each of these orders is."""
        self._open[key] = set(order_ids)
        self._check(key)

    def done(self, key: str, order_id: str) -> None:
        """One of the orders is dealt with. Saying so twice, or for a key nobody expects, does nothing."""
        left = self._open.get(key)
        if left is not None:
            left.discard(order_id)
            if not left:
                self._check(key)

    def is_last(self, key: str, order_id: str) -> bool:
        """Whether this order is the only one of `key` that is not dealt with."""
        left = self._open.get(key)
        return left is not None and len(left) == 1 and order_id in left

    def open_keys(self) -> list[str]:
        """Everything that is not dealt with."""
        return list(self._open)

    def pending(self, key: str) -> frozenset[str]:
        return frozenset(self._open.get(key, ()))

    async def wait(self, key: str, timeout_s: float | None = None) -> bool:
        """True once it is dealt with, False when `timeout_s` has passed first."""
        if key not in self._open:
            return True
        future = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(key, []).append(future)
        await asyncio.wait({future}, timeout=timeout_s)
        if future.done():
            return True
        self._waiters[key].remove(future)
        return False

    def _check(self, key: str) -> None:
        if not self._open[key]:
            del self._open[key]
            for future in self._waiters.pop(key, ()):
                if not future.done():
                    future.set_result(None)
