"""Ours: the whole system as the worker runs it, against the same venue, with its ledger on a real disk.

Timed from the moment the signal is handed to the ledger until every copy has its outcome and the last of these is
durable. That is a little longer than from the signal being durable, and in our disfavour.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from benchmarks.contender import MASTER_USD, SYMBOL, Job, Sample, Stopwatch, serve
from copytrade.domain.account import AccountId
from copytrade.domain.errors import LedgerError
from copytrade.domain.events import Event, SignalEmitted
from copytrade.domain.ids import signal_id
from copytrade.domain.money import Amount
from copytrade.domain.order import Side
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.domain.venue import Balances
from copytrade.engine.desk import TradeRequest
from copytrade.engine.service import Wiring
from copytrade.ledger.group import Receipt
from copytrade.ledger.store import Ledger
from copytrade.settings.redaction import Redactor
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import Hooks, System, utc_now

CONNECT_TIMEOUT_S = 120.0
RUN_TIMEOUT_S = 60.0
SETTINGS = """
mode: live
master: {{venue: kraken, strategy: none}}
copy: {{equity_max_age_s: 86400}}  # no balance is read in the background while another contender is measured
venues: {{kraken: {{tier: pro, max_connections: {connections}}}}}
"""


class TimedLedger:
    """The real ledger; notes when a signal is handed to it, and the receipt of the latest write."""

    def __init__(self, ledger: Ledger) -> None:
        self.inner = ledger
        self.state = ledger.state
        self.watch: Stopwatch | None = None
        self.signal_at: datetime | None = None
        self.latest: Receipt | None = None

    @property
    def failed(self) -> LedgerError | None:
        return self.inner.failed

    def append(self, events: Sequence[Event], *, hurry: bool = False) -> Receipt:
        if isinstance(events[-1], SignalEmitted):
            self.watch, self.signal_at = Stopwatch(), utc_now()
        self.latest = self.inner.append(events, hurry=hurry)
        return self.latest

    def find(self, order_id: str) -> OrderRecord | None:
        return self.inner.find(order_id)

    def copies_of(self, signal_id: str, *accounts: AccountId) -> Sequence[OrderRecord]:
        return self.inner.copies_of(signal_id, *accounts)

    def copies_in_parts(self, signal_id: str, limit: int) -> Iterator[Sequence[OrderRecord]]:
        return self.inner.copies_in_parts(signal_id, limit)

    def signals_of(self, family: str) -> Sequence[Signal]:
        return self.inner.signals_of(family)

    def family(self, family: str, *accounts: AccountId) -> Sequence[tuple[Signal, Sequence[OrderRecord]]]:
        return self.inner.family(family, *accounts)

    def history(
        self, account: AccountId, after: int, limit: int
    ) -> Sequence[tuple[int, Signal, OrderRecord | None, Sequence[OrderRecord]]]:
        return self.inner.history(account, after, limit)

    def was_served(self, account: AccountId) -> bool:
        return self.inner.was_served(account)

    def signal(self, signal_id: str) -> Signal | None:
        return self.inner.signal(signal_id)

    def venue_order_ids(self, account: AccountId, since: datetime) -> set[str]:
        return self.inner.venue_order_ids(account, since)

    def observe(self, balances: Mapping[AccountId, Balances]) -> None:
        self.inner.observe(balances)


class Service:
    """One system for all runs of a job."""

    master_usd = MASTER_USD

    def __init__(self, job: Job) -> None:
        self._job = job
        folder = Path(job.folder)
        self._paths = Paths(folder / "copytrade.yaml", folder / "users", folder / "state", folder / ".env")
        self._environ = {"KRAKEN_BASE_URL": job.url}
        self._system: System | None = None
        self._ledger: TimedLedger

    async def prepare(self) -> None:
        self._write_files()
        logging.basicConfig(level=logging.ERROR)  # one line for each key that is not tied to an address, else
        hooks = Hooks(alert=lambda text: print(text, file=sys.stderr), adjust=self._time_the_ledger)
        self._system = await System(self._paths, self._environ, hooks, Redactor()).__aenter__()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            while any(member.client is None for member in self._system.engine.services.roster):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await self._warm()

    async def run(self, number: int) -> Sample:
        assert self._system is not None
        await self._warm()
        engine, ledger = self._system.engine, self._ledger
        request = TradeRequest(f"run {number}", SYMBOL, Side.BUY, usd=Amount(Decimal(self.master_usd)))
        record = await engine.desk.place(request)
        signal = signal_id(record.order_id, SignalKind.PLACED)
        if not await engine.tracker.wait(signal, RUN_TIMEOUT_S):
            raise TimeoutError(f"{len(engine.tracker.pending(signal))} copies have no outcome")
        assert ledger.latest is not None
        if ledger.watch is None or ledger.signal_at is None:
            raise RuntimeError(f"the master's order was not taken: {record.reason} {record.detail}")
        await ledger.latest
        wall_s, cpu_s = ledger.watch.wall_s, ledger.watch.cpu_s
        copies = ledger.copies_of(signal)
        taken = [copy for copy in copies if copy.acked_at is not None and copy.venue_order_id is not None]
        if len(taken) != len(self._job.followers):
            why = {f"{copy.account.partition(':')[0]}: {copy.reason} {copy.detail}" for copy in copies} - {""}
            raise RuntimeError(
                f"only {len(taken)} of {len(self._job.followers)} copies are at the venue; {sorted(why)[:5]}"
            )
        latencies = [(copy.acked_at - ledger.signal_at).total_seconds() for copy in taken if copy.acked_at]
        return Sample(wall_s, cpu_s, latencies)

    async def settle(self) -> None:
        """All fills are followed to their end."""
        async with asyncio.timeout(RUN_TIMEOUT_S):
            while self._ledger.state.orders:  # noqa: ASYNC110  (nothing in the product tells of this)
                await asyncio.sleep(0.05)

    async def close(self) -> None:
        if self._system is not None:
            await self._system.__aexit__(None, None, None)

    async def _warm(self) -> None:
        """The engine does this by itself every few seconds; here it must be done by now."""
        assert self._system is not None
        await self._system.engine.services.venues["kraken"].warm(len(self._job.accounts))

    def _time_the_ledger(self, wiring: Wiring) -> Wiring:
        assert isinstance(wiring.ledger, Ledger)
        self._ledger = TimedLedger(wiring.ledger)
        return dataclasses.replace(wiring, ledger=self._ledger)

    def _write_files(self) -> None:
        self._paths.users.mkdir(parents=True)
        self._paths.config.write_text(SETTINGS.format(connections=self._job.connections), encoding="utf-8")
        users = []
        for place, (key, secret) in enumerate(self._job.accounts):
            name = f"FOLLOWER{place:05d}"
            prefix = f"KRAKEN_USER_{name}" if place else "KRAKEN_MASTER"
            self._environ |= {f"{prefix}_API_KEY": key, f"{prefix}_API_SECRET": secret}
            if place:
                user = {"user_id": name.lower(), "name": name, "account_type": "retail", "broker_type": "kraken"}
                users.append({**user, "enabled": True})
        (self._paths.users / "retail_kraken.json").write_text(json.dumps(users), encoding="utf-8")


if __name__ == "__main__":
    serve(Service)
