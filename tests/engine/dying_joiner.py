"""A worker that kills itself at one step of a late joiner's entry: `python dying_joiner.py FOLDER STEP SIGNAL AHEAD_S`.

Run by `test_engine_joining_killed.py`; as `dying.py`, for the entry of one signal, with its clock so much ahead. If the
step is never reached it ends with exit code 3.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from dying import WAIT_S, die
from ports import ClientAround, LedgerAround
from world import QUICK

from copytrade.domain.events import CopiesPlanned, Event, OrderExecuted, SignalEmitted
from copytrade.domain.ids import copy_id
from copytrade.domain.venue import OrderTicket, PlaceOutcome
from copytrade.engine.ports import Gate
from copytrade.engine.service import Wiring
from copytrade.settings.redaction import Redactor
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import Hooks, System

BOB = "kraken:bob_jones"
STEPS = (
    "before it is emitted", "emitted", "planned", "before the venue hears", "the venue has heard", "before the fill",
    "filled",
)  # fmt: skip


class Dying:
    step = signal = ""


def what(event: Event) -> str:
    """The step that an event is, if it is one of the entry's."""
    if isinstance(event, SignalEmitted) and event.signal.signal_id == Dying.signal:
        return "emitted"
    if isinstance(event, CopiesPlanned) and event.signal_id == Dying.signal:
        return "planned"
    if isinstance(event, OrderExecuted) and event.order_id == copy_id(Dying.signal, BOB):
        return "filled"
    return ""


class DyingLedger(LedgerAround):
    def append(self, events: Sequence[Event], *, hurry: bool = False) -> Awaitable[None]:
        found = {what(event) for event in events}
        if ("emitted" in found and Dying.step == "before it is emitted") or (
            "filled" in found and Dying.step == "before the fill"
        ):
            die()
        receipt = super().append(events, hurry=hurry)
        # A task: not everybody waits for a receipt.
        return asyncio.create_task(self._then_die(receipt)) if Dying.step in found else receipt

    async def _then_die(self, receipt: Awaitable[None]) -> None:
        await receipt
        die()


class DyingClient(ClientAround):
    async def place(self, ticket: OrderTicket, gate: Gate) -> PlaceOutcome:
        mine = ticket.order_id == copy_id(Dying.signal, BOB)
        if mine and Dying.step == "before the venue hears":
            die()
        outcome = await super().place(ticket, gate)
        if mine and Dying.step == "the venue has heard":
            die()
        return outcome


def adjusted(wiring: Wiring) -> Wiring:
    factory = wiring.factories["kraken"]
    return replace(
        wiring, ledger=DyingLedger(wiring.ledger), factories={"kraken": lambda account: DyingClient(factory(account))},
        limits=replace(wiring.limits, **QUICK),
    )  # fmt: skip


async def run(root: Path, ahead: timedelta) -> None:
    paths = Paths(root / "copytrade.yaml", root / "users", root / "state", root / ".env")
    hooks = Hooks(lambda alert: None, lambda *_: None, adjusted, lambda: datetime.now(UTC) + ahead)
    async with System(paths, dict(os.environ), hooks, Redactor()):
        await asyncio.sleep(WAIT_S)  # the step comes long before that, or never


if __name__ == "__main__":
    Dying.step, Dying.signal = sys.argv[2], sys.argv[3]
    asyncio.run(run(Path(sys.argv[1]), timedelta(seconds=float(sys.argv[4]))))
    sys.exit(3)
