"""A worker that kills itself at one step: `python dying.py FOLDER STEP`, run by `test_engine_terms_killed.py`.

It starts the real system on the files in FOLDER. At the STEP it sends itself SIGKILL: nothing is flushed, closed or
caught after that. If the step is never reached it ends with exit code 3.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from ports import ClientAround, LedgerAround
from world import QUICK

from copytrade.domain.account import AccountId
from copytrade.domain.events import CancelAsked, Event
from copytrade.domain.venue import VenueOrder
from copytrade.domain.writing_off import PositionWrittenOff
from copytrade.engine import reconcile
from copytrade.engine.service import Wiring
from copytrade.settings.redaction import Redactor
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import Hooks, System

ALICE = AccountId("kraken:alice_smith")
WAIT_S = 20.0
STEPS = ("before it is asked", "asked", "before the venue hears", "the venue has heard", "written off", "written")


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process outlived SIGKILL")


class DyingLedger(LedgerAround):
    step = ""

    def append(self, events: Sequence[Event], *, hurry: bool = False) -> Awaitable[None]:
        asks = any(isinstance(event, CancelAsked) for event in events)
        writes = any(isinstance(event, PositionWrittenOff) for event in events)
        if asks and self.step == "before it is asked":
            die()
        receipt = super().append(events, hurry=hurry)
        if (asks and self.step == "asked") or (writes and self.step == "written off"):
            die()
        return self._then_die(receipt) if writes and self.step == "written" else receipt

    async def _then_die(self, receipt: Awaitable[None]) -> None:
        await receipt
        die()


class DyingClient(ClientAround):
    step = ""

    async def orders(self, since: datetime) -> Sequence[VenueOrder]:
        return await self.inner.orders(since)

    async def cancel(self, venue_order_id: str) -> None:
        if self.step == "before the venue hears":
            die()
        await super().cancel(venue_order_id)
        if self.step == "the venue has heard":
            die()


def adjusted(wiring: Wiring) -> Wiring:
    factory = wiring.factories["kraken"]
    quick = {**QUICK, "resting_delays_s": (0.02, 0.05, 0.1)}
    return replace(
        wiring, ledger=DyingLedger(wiring.ledger), factories={"kraken": lambda account: DyingClient(factory(account))},
        limits=replace(wiring.limits, **quick),
    )  # fmt: skip


async def run(root: Path, step: str) -> None:
    DyingLedger.step = DyingClient.step = step
    reconcile._PROOF_BY_HAND_S = 0.01
    paths = Paths(root / "copytrade.yaml", root / "users", root / "state", root / ".env")
    hooks = Hooks(lambda alert: None, lambda *_: None, adjusted, lambda: datetime.now(UTC))
    async with System(paths, dict(os.environ), hooks, Redactor()) as system:
        if step.startswith("written"):
            await system.engine.reconciler.write_off(ALICE, "by the operator")
        await asyncio.sleep(WAIT_S)  # the step comes long before that, or never


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2]))
    sys.exit(3)
