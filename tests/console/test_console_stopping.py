"""SIGTERM: nothing new leaves, what is on its way comes to its answer or stays unknown, and the end comes in time."""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from console_world import World, live_world, wait_until

from copytrade.ledger.reader import LedgerReader

CASH = {"master": "10000", "alice_smith": "1000", "bob_jones": "1000"}
STOP_S_MAX = 10.0  # promised to whoever supervises the worker, with the settings as they come
BOBS_ORDER: dict[str, Any] = {"when": "after", "method": "AddOrder", "account": "bob_jones", "count": 1}
NO_RETRY: dict[str, Any] = {"venues": {"kraken": {"order_deadline_s": 2, "absence_settle_s": 0}}}


def copies(world: World) -> dict[str, str]:
    with LedgerReader(world.state / "ledger.sqlite3") as ledger:
        return {copy["account"]: copy["state"] for copy in ledger.copies()}


@pytest.mark.slow  # it waits for the whole grace
def test_a_venue_that_never_answers_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """Settings as they come. The order has reached the venue; the next start finds it and does not send it again."""
    with live_world(tmp_path, CASH, **NO_RETRY) as (world, venue):
        venue.sim.add_fault("hang", hang_s=600.0, **BOBS_ORDER)
        with world.worker() as worker, world.start("trade", "BTC/USD", "buy", "--usd", "1000", "--json") as trade:
            wait_until(lambda: venue.client_ids("bob_jones"), "the order whose answer never comes")
            wait_until(lambda: copies(world).get("kraken:alice_smith") == "filled", "the copy that is well")
            venue.sim.add_fault("hang", when="before", hang_s=600.0)  # and from now on to nothing
            begun = time.monotonic()
            done = worker.end()
            took_s = time.monotonic() - begun
            trade.wait()
        assert done.code == 0, done
        assert "stopping" in done.out
        assert took_s < STOP_S_MAX, took_s
        assert copies(world)["kraken:bob_jones"] in ("approved", "unknown")
        assert world.json("audit")["ok"]  # all that was answered is on the disk, and the file was closed well
        venue.sim.clear_faults()
        with world.worker():
            world.settle()
        assert copies(world) == {"kraken:alice_smith": "filled", "kraken:bob_jones": "filled"} | {
            account: state for account, state in copies(world).items() if state == "skipped"
        }
        assert set(Counter(venue.client_ids()).values()) == {1}


def test_an_order_on_its_way_is_waited_for(tmp_path: Path) -> None:
    """Its answer takes two seconds: it is in the ledger when the worker has ended, not left for the next start."""
    with live_world(tmp_path, CASH, **NO_RETRY) as (world, venue):
        venue.sim.add_fault("delay", delay_ms=2000, **BOBS_ORDER)
        with world.worker() as worker, world.start("trade", "BTC/USD", "buy", "--usd", "1000", "--json") as trade:
            wait_until(lambda: venue.client_ids("bob_jones"), "the order that is answered late")
            done = worker.end()
            trade.wait()
        assert done.code == 0, done
        assert copies(world)["kraken:bob_jones"] in ("accepted", "filled")


def test_after_the_signal_nothing_is_taken_any_more(tmp_path: Path) -> None:
    with live_world(tmp_path, CASH, **NO_RETRY) as (world, venue):
        venue.sim.add_fault("delay", delay_ms=3000, **BOBS_ORDER)
        with world.worker() as worker, world.start("trade", "BTC/USD", "buy", "--usd", "1000", "--json") as first:
            wait_until(lambda: venue.client_ids("bob_jones"), "the order that is answered late")
            worker.send(signal.SIGTERM)
            worker.line("stopping")
            placed = len(venue.client_ids())
            late = world.command("trade", "BTC/USD", "buy", "--usd", "900", "--json")
            assert worker.wait().code == 0
            first.wait()
        assert late.code == 1 or late.json["signal_id"] is not None  # refused, or done alone once the worker was gone
        if late.code == 1:
            assert len(venue.client_ids()) == placed
        assert set(Counter(venue.client_ids()).values()) == {1}
