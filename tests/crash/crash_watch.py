"""A worker that watches a master whose hand trades (`crash_hand`), and may be killed at any moment of that."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

from crash_resting import calm

from copytrade.domain.watching import OrdersWatched
from copytrade.engine import by_hand
from copytrade.wiring.system import System

WATCHING = "watching"  # our file: from now on orders by hand are to be copied
DONE = "hand-done"  # the hand's file: it has done all, and holds nothing
_LOOK_S = 0.01
_WATCH_MAX_S = 120.0
_LOOKS = 2  # what the first one set off, the second one has seen the end of


async def watch(system: System, job: dict[str, Any]) -> bool:
    """Watch until the hand has done all, and nothing moves any more. False when that takes too long."""
    watcher, world = system.engine.watcher, Path(job["world"])
    assert watcher is not None, "the settings of this world watch the master"
    give_up_at = time.monotonic() + _WATCH_MAX_S
    if not (world / WATCHING).exists():
        while watcher.looked_at is None or not watcher.stream_up:
            await asyncio.sleep(_LOOK_S)
        account = system.engine.services.roster.master.terms.account
        # Written down once more, and waited for: from here on the beginning is on the disk.
        now = system.engine.services.clock()
        before = system.ledger.state.standing.watched.get(account, now)
        await system.engine.services.ledger.append([OrdersWatched(account, before, now)], hurry=True)
        (world / WATCHING).touch()
    while not (world / DONE).exists():
        await asyncio.sleep(_LOOK_S)
        if time.monotonic() > give_up_at:
            return False
    for _ in range(_LOOKS):
        since = system.engine.services.clock()
        while watcher.looked_at is None or watcher.looked_at <= since:
            await asyncio.sleep(_LOOK_S)
            if time.monotonic() > give_up_at:
                return False
        if not await calm(system):
            return False
    return True


def forget_identities() -> None:
    """A control: the same order by hand has another id in every process, and the venue's ids are forgotten."""
    logging.warning("control: orders by hand have no lasting ids")
    salt = str(time.time_ns())
    lasting = by_hand.hand_order_id
    by_hand.hand_order_id = lambda account, venue_order_id: lasting(account, f"{venue_order_id} {salt}")
    by_hand._KNOWN_BEFORE = -by_hand._KNOWN_BEFORE
