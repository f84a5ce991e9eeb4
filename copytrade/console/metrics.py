"""`/metrics` for Prometheus. Nothing is counted on an order's way: state is read when somebody asks, history from the
ledger's file in another thread.

Names and what they mean are in `docs/monitoring.md`; `docs/grafana.json` shows them. No label names a follower: ten
thousand of them would be ten thousand series each. The console tells of single followers.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter as Tallied
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from copytrade.console.health import readiness
from copytrade.console.tally import Tally
from copytrade.copying.drift import Cause
from copytrade.domain.account import venue_of
from copytrade.domain.errors import LedgerError
from copytrade.domain.limits import LimitName
from copytrade.domain.order import OrderState
from copytrade.engine.killswitch import KillState
from copytrade.engine.roster import Member
from copytrade.wiring.system import System

log = logging.getLogger("copytrade.metrics")

_OPEN = tuple(state for state in OrderState if not state.final)
_ACCOUNT_STATES = ("connected", "connecting", "parked", "down", "disabled")
_BREAKERS = {"closed": 0.0, "half_open": 0.5, "open": 1.0}
_ACCOUNTS_AT_ONCE = 200  # about a millisecond of the event loop, then everybody else has a turn

Progress = Callable[[], Mapping[str, Mapping[str, Any]]]
"""What the scanner says of each venue; see `copytrade.wiring.scanning`."""
Messages = Callable[[], Mapping[str, int]]
"""How many messages were sent, failed, dropped, and wait."""


@dataclass(slots=True)
class Snapshot:
    """Everything that only the event loop's thread may read, taken at once."""

    orders: Tallied[str] = field(default_factory=Tallied)
    accounts: Tallied[tuple[str, str]] = field(default_factory=Tallied)
    budgets: dict[str, float] = field(default_factory=dict)
    jumps: Tallied[str] = field(default_factory=Tallied)
    clocks: dict[str, float] = field(default_factory=dict)
    drifting: int = 0
    drift_worst: float = 0.0
    drift_unexplained: int = 0
    tripped: Tallied[str] = field(default_factory=Tallied)
    lanes_busy: int = 0
    lanes_waiting: int = 0
    lane_deepest: int = 0
    sends_in_flight: int = 0
    kill: str = ""
    ready: dict[str, bool] = field(default_factory=dict)
    breakers: dict[str, float] = field(default_factory=dict)
    messages: dict[str, int] = field(default_factory=dict)


class Metrics:
    """The text for one system. Make it in a thread: it opens the ledger's file. Raises `LedgerError`."""

    def __init__(self, system: System, progress: Progress | None = None, messages: Messages | None = None) -> None:
        self._system = system
        self._progress = progress
        self._messages = messages
        self._lock = threading.Lock()
        self._registry = CollectorRegistry(auto_describe=False)
        self._now = _Now(system)
        self._registry.register(self._now)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._tally = Tally(system.paths.ledger, self._registry)

    async def text(self) -> str:
        """In Prometheus' text format."""
        snapshot = await self._take()
        return await asyncio.to_thread(self._render, snapshot)

    def close(self) -> None:
        with self._lock:
            self._tally.close()

    def _render(self, snapshot: Snapshot) -> str:
        with self._lock:  # two that ask at the same time are answered one after the other
            self._now.snapshot = snapshot
            # While orders are being sent the disk and the interpreter are theirs: counts come with the next question.
            if not snapshot.sends_in_flight:
                try:
                    self._tally.catch_up()
                except LedgerError as error:
                    log.warning("the ledger cannot be read for the metrics: %s", error)
            return generate_latest(self._registry).decode()

    async def _take(self) -> Snapshot:
        engine = self._system.engine
        services, state = engine.services, self._system.ledger.state
        found = Snapshot(
            orders=Tallied(order.state.value for order in state.orders.values()),
            sends_in_flight=services.sends_in_flight,
            kill=services.kill.look().value,
            ready=readiness(self._system),
        )
        for lane in engine.lanes:
            found.lanes_busy += lane.busy
            found.lanes_waiting += lane.depth
            found.lane_deepest = max(found.lane_deepest, lane.depth)
        for name, venue in services.venues.items():
            offset = getattr(venue, "offset", None)
            if offset is not None:
                found.clocks[name] = offset.total_seconds()
        for trips in state.standing.trips.values():
            found.tripped.update(name.value for name in trips)
        if self._progress is not None:
            for venue_name, told in self._progress().items():
                found.breakers[venue_name] = _BREAKERS.get(str(told.get("breaker")), 1.0)
        if self._messages is not None:
            found.messages = dict(self._messages())
        for number, member in enumerate(list(services.roster)):
            if number % _ACCOUNTS_AT_ONCE == _ACCOUNTS_AT_ONCE - 1:
                await asyncio.sleep(0)
            self._account(found, member)
        return found

    def _account(self, found: Snapshot, member: Member) -> None:
        account, client = member.terms.account, member.client
        venue = venue_of(account)
        found.accounts[venue, _state(member, account in self._system.ledger.state.parked)] += 1
        if client is not None:
            left = getattr(client, "budget_left", 1.0)
            found.budgets[venue] = min(found.budgets.get(venue, 1.0), left)
            found.jumps[venue] += getattr(client, "nonce_jumps", 0)
        report = self._system.engine.reconciler.report(account)
        rows = [row for row in report if row.error and not row.dust]
        if rows:
            found.drifting += 1
            found.drift_worst = max(found.drift_worst, *(abs(float(row.share or 0)) for row in rows))
        without = (not row.explained or Cause.UNEXPLAINED in dict(row.causes) for row in report)
        found.drift_unexplained += sum(without)


def _state(member: Member, parked: bool) -> str:
    if parked:
        return "parked"
    if member.client is not None:
        return "connected" if member.terms.enabled else "disabled"
    if not member.terms.enabled:
        return "disabled"
    return "connecting" if member.connecting else "down"


class _Now(Collector):
    """Gauges out of the latest snapshot."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.snapshot = Snapshot()

    def collect(self) -> Iterable[Metric]:
        s = self.snapshot
        yield _gauge("up", "The worker runs; its mode.", {(self._system.settings.mode,): 1.0}, ["mode"])
        yield _gauge("ready", "What has to be so before trades can be placed.", _keyed(s.ready), ["check"])
        kill = {(state.value,): float(state.value == s.kill) for state in KillState}
        yield _gauge("kill_switch", "What the kill switch says: 1 for the state it is in.", kill, ["state"])
        states = {(state.value,): float(s.orders[state.value]) for state in _OPEN}
        yield _gauge("orders_open", "Orders not at their end; `unknown` are being looked up.", states, ["state"])
        yield _one("sends_in_flight", "Orders on the wire now.", s.sends_in_flight)
        yield _one("lanes_busy", "Lanes that work now.", s.lanes_busy)
        yield _one("lanes_waiting", "Orders that wait in all lanes.", s.lanes_waiting)
        yield _one("lane_deepest", "Orders that wait in the fullest lane.", s.lane_deepest)
        venues = sorted({venue for venue, _ in s.accounts})
        accounts = {(v, state): float(s.accounts[v, state]) for v in venues for state in _ACCOUNT_STATES}
        yield _gauge("accounts", "Accounts, the master's among them.", accounts, ["venue", "state"])
        budgets = _keyed(s.budgets)
        yield _gauge("budget_left", "Share left of the tightest rate limit of the busiest account.", budgets, ["venue"])
        yield _gauge("clock_ahead_seconds", "The venue's clock against ours.", _keyed(s.clocks), ["venue"])
        yield _gauge("breaker", "The scanner's breaker: 0 closed, 0.5 trying, 1 open.", _keyed(s.breakers), ["venue"])
        jumps = CounterMetricFamily("copytrade_nonce_jumps", "Jumps of nonces after a refusal.", labels=["venue"])
        for venue in venues:
            jumps.add_metric([venue], s.jumps[venue])
        yield jumps
        yield _one("drift_accounts", "Followers that are not where the master's position implies.", s.drifting)
        yield _one("drift_worst_share", "The largest difference as a share of its follower's equity.", s.drift_worst)
        yield _one("drift_unexplained", "Differences without a cause: there must be none.", s.drift_unexplained)
        tripped = {(name.value,): float(s.tripped[name.value]) for name in LimitName}
        yield _gauge("limits_tripped", "Followers whose limit has tripped.", tripped, ["limit"])
        messages = CounterMetricFamily("copytrade_messages", "Messages to the operator.", labels=["outcome"])
        for outcome in ("sent", "failed", "dropped"):
            messages.add_metric([outcome], s.messages.get(outcome, 0))
        yield messages
        yield _one("messages_waiting", "Messages that wait to be sent.", s.messages.get("waiting", 0))
        yield from self._ledger()

    def _ledger(self) -> Iterable[Metric]:
        path = self._system.paths.ledger
        sizes = {"file": path, "wal": path.with_name(path.name + "-wal")}
        bytes_of = {(name,): _size(file) for name, file in sizes.items()}
        yield _gauge("ledger_bytes", "Size of the ledger's files.", bytes_of, ["file"])
        times = self._system.ledger.commit_times
        if times is None:
            return
        running, buckets = 0, []
        for bound_s, count in zip((*map(str, times.bounds_s), "+Inf"), list(times.counts), strict=True):
            running += count
            buckets.append((bound_s, float(running)))
        family = HistogramMetricFamily("copytrade_ledger_commit_seconds", "Writing one group of records to the disk.")
        family.add_metric([], buckets, times.total_s)
        yield family


def _keyed(values: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(name,): float(value) for name, value in sorted(values.items())}


def _one(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"copytrade_{name}", meaning, value=float(value))


def _gauge(name: str, meaning: str, values: Mapping[Any, float], labels: list[str]) -> Metric:
    family = GaugeMetricFamily(f"copytrade_{name}", meaning, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family


def _size(path: Any) -> float:
    try:
        return float(path.stat().st_size)
    except OSError:
        return 0.0
