"""The master's hand: orders on its account that no program of ours placed, as on the venue's own page."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from world import MASTER, Desk, World, until

from copytrade.domain.ids import signal_id
from copytrade.domain.signal import Signal, SignalKind
from copytrade.domain.state import OrderRecord
from copytrade.engine.by_hand import hand_order_id
from copytrade.simulator.orders import NewOrder, Order
from copytrade.simulator.venue import SimulatedVenue

TWO = {"alice_smith": 1_000, "bob_jones": 500}
SOON: dict[str, Any] = {"resting_delays_s": (0.02, 0.05, 0.1)}
D = Decimal


def watched(tmp_path: Path, *, kraken: Mapping[str, Any] | None = None, **values: Any) -> World:
    """A world whose master is watched; without a fault in the stream nothing is looked up between its words."""
    master = {"watch": True, "watch_poll_s": 0.2, "watch_check_s": 3600, **values.pop("master", {})}
    settings = {"master": master, "copy": {"master_fill_grace_s": 0}, "kraken": dict(kraken or {})}
    return World(tmp_path, **{"followers": TWO, "limits": SOON, "settings": settings, **values})


async def watching(desk: Desk) -> None:
    """The stream is up and what came before has been looked up."""
    watcher = desk.engine.watcher
    assert watcher is not None
    await until(lambda: watcher.stream_up and watcher.looked_at is not None, "the stream")


def told(venue_order_id: str, kind: str = SignalKind.PLACED) -> str:
    return signal_id(hand_order_id(MASTER, venue_order_id), kind)


async def copied(desk: Desk, venue_order_id: str, kind: str = SignalKind.PLACED) -> list[OrderRecord]:
    """The copies of what the hand did."""
    signal = told(venue_order_id, kind)
    await until(lambda: desk.ledger.signal(signal) is not None, f"{kind} of {venue_order_id}")
    return await desk.dealt_with(signal)


def signals(world: World) -> list[tuple[SignalKind, str]]:
    """What the followers were told of, in order."""
    return [(signal.kind, str(signal.quantity)) for signal, _ in world.plans]


async def signal_of(world: World, kind: SignalKind) -> Signal:
    """The one signal of its kind, once it has been answered."""
    await until(lambda: any(signal.kind is kind for signal, _ in world.plans), f"a signal: {kind}")
    (found,) = [signal for signal, _ in world.plans if signal.kind is kind]
    return found


def sizes(copies: list[OrderRecord]) -> list[str]:
    return [str(copy.quantity) for copy in copies]


class Hand:
    """Places, changes and takes back orders of one account at a simulated venue."""

    def __init__(self, venue: SimulatedVenue, account: str = "master", symbol: str = "BTC/USD") -> None:
        self.venue = venue
        self.account = account
        self.symbol = symbol

    def buy(self, quantity: str, limit: int | None = None, **more: Any) -> str:
        return self._place("buy", quantity, limit, **more)

    def sell(self, quantity: str, limit: int | None = None, **more: Any) -> str:
        return self._place("sell", quantity, limit, **more)

    def cancel(self, order_id: str) -> None:
        with self.venue.lock:
            self.venue.exchange.advance(self.venue.clock())
            self.venue.exchange.cancel(self._order(order_id))

    def amend(self, order_id: str, *, quantity: str | None = None, limit: int | None = None) -> None:
        with self.venue.lock:
            self.venue.exchange.advance(self.venue.clock())
            self.venue.exchange.amend(
                self._order(order_id), None if quantity is None else D(quantity), None if limit is None else D(limit)
            )

    def replace(self, order_id: str, quantity: str, limit: int, **more: Any) -> str:
        """Cancel an order and have another in its place, at once."""
        with self.venue.lock:
            self.cancel(order_id)
            return self._place(self._order(order_id).request.side, quantity, limit, **more)

    def fill(self, order_id: str, quantity: str) -> None:
        self.venue.fill_part(order_id, D(quantity))

    def _place(self, side: str, quantity: str, limit: int | None, **more: Any) -> str:
        with self.venue.lock:
            self.venue.exchange.advance(self.venue.clock())
            order = self.venue.exchange.submit(
                NewOrder(self.account, self.symbol, side, D(quantity), None if limit is None else D(limit), **more)
            )
            self.venue.exchange.advance(self.venue.clock())
            return order.order_id

    def _order(self, order_id: str) -> Order:
        return self.venue.books.by_order_id[order_id]
