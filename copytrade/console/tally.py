"""Counts and times out of the ledger for Prometheus. It follows the ledger's file, so orders know nothing of it."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from copytrade.console.reading import HOPS, hops_ms
from copytrade.domain.order import OrderState, Role
from copytrade.ledger.feed import LedgerFeed
from copytrade.ledger.reader import LedgerReader

# A copy leaves within milliseconds of its signal where nothing is wrong, and within seconds where a venue throttles.
HOP_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_EVENTS_AT_ONCE = 2_000  # about 20 ms of a thread's time
_PARTS_MAX = 200  # in one turn; what is left is taken at the next
_KEPT = 100_000  # ids of orders that were counted, and signals: several fan-outs to ten thousand followers

_FINAL = frozenset(state.value for state in OrderState if state.final)


class Tally:
    """Counters and histograms since the worker's start. Used by one thread at a time."""

    def __init__(self, ledger: Path, registry: CollectorRegistry) -> None:
        self._path = ledger
        self._feed = LedgerFeed(ledger)
        self._counted: OrderedDict[str, None] = OrderedDict()
        self._signals: OrderedDict[str, dict[str, Any] | None] = OrderedDict()
        self._copies = Counter(
            "copytrade_copies", "Copies that came to their end, by how and why.", ["outcome", "reason"],
            registry=registry,
        )  # fmt: skip
        self._orders = Counter(
            "copytrade_master_orders", "The master's orders that came to their end.", ["outcome", "reason"],
            registry=registry,
        )  # fmt: skip
        self._told = Counter("copytrade_signals", "Signals that were answered.", registry=registry)
        self._hops = Histogram(
            "copytrade_hop_seconds", "From the venue taking the master's order to each point of a copy's way.",
            ["hop"], buckets=HOP_BOUNDS_S, registry=registry,
        )  # fmt: skip
        for hop in HOPS:
            self._hops.labels(hop)

    def close(self) -> None:
        self._feed.close()

    def catch_up(self) -> None:
        """Take in what the ledger has got since the last time. Raises `LedgerError`."""
        for _ in range(_PARTS_MAX):
            changes = self._feed.take(_EVENTS_AT_ONCE)
            if changes is None:
                return
            self._told.inc(sum(self._new(f"signal {signal_id}") for signal_id in changes.signals))
            ended = [order for order in changes.orders if order["state"] in _FINAL and self._new(order["order_id"])]
            if ended:
                self._count(ended)

    def _count(self, ended: list[dict[str, Any]]) -> None:
        with LedgerReader(self._path) as reader:
            for order in ended:
                if order["role"] == Role.MASTER:
                    self._orders.labels(order["state"], order["reason"]).inc()
                    continue
                self._copies.labels(order["state"], order["reason"]).inc()
                if order["sent_at"] is not None:
                    self._time(reader, order)

    def _time(self, reader: LedgerReader, order: dict[str, Any]) -> None:
        signal_id = order["signal_id"]
        if signal_id not in self._signals:
            self._signals[signal_id] = reader.signal(signal_id)
            if len(self._signals) > _KEPT:
                self._signals.popitem(last=False)
        for hop, ms in hops_ms(self._signals[signal_id], order).items():
            if ms is not None:
                self._hops.labels(hop).observe(max(0.0, ms / 1000))

    def _new(self, name: str) -> bool:
        """Whether this is the first time; an order may change again within its last events."""
        if name in self._counted:
            return False
        self._counted[name] = None
        if len(self._counted) > _KEPT:
            self._counted.popitem(last=False)
        return True
