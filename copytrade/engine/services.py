"""What every part of the engine shares, in one record: the ports, the settings in force, and who hears of events."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from copytrade.copying.rules import ALL_KINDS, CopyRules
from copytrade.domain.account import AccountId, venue_of
from copytrade.domain.alerts import Alert, AlertKind, Tell
from copytrade.domain.errors import SendStopped
from copytrade.domain.instrument import Instrument
from copytrade.domain.order import Effect, OrderKind, Role
from copytrade.domain.reasons import Reason
from copytrade.domain.state import OrderRecord
from copytrade.engine.books import Books
from copytrade.engine.chains import Chains
from copytrade.engine.killswitch import KillSwitch
from copytrade.engine.markets import Markets
from copytrade.engine.ports import Clock, Ledger, Venue
from copytrade.engine.roster import Roster

if TYPE_CHECKING:
    from copytrade.engine.fills import FillFollower
    from copytrade.engine.limits import LimitKeeper
    from copytrade.engine.prices import PriceBoard

log = logging.getLogger("copytrade.engine")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds and waits of the engine, in seconds unless named otherwise."""

    price_max_age_s: float = 5.0
    price_keep_every_s: float = 2.0  # two reads within price_max_age_s: one may fail
    lane_queue_max: int = 100  # a lane that far behind is stuck: entries would expire long before their turn
    exit_legs_max: int = 5  # follow-ups of an exit that filled in part, before it is held for the operator
    fill_delays_s: tuple[float, ...] = (0.25, 0.5, 1, 2, 5, 10, 30, 60)
    resting_delays_s: tuple[float, ...] = (0.5, 2, 10, 30, 60)  # for orders that may rest for days
    fill_concurrency: int = 16  # below a Starter key's burst of 15 reads for any one account, and kind to the venue
    retry_delays_s: tuple[float, ...] = (0.2, 0.5, 1, 2, 5, 10)
    lookup_delays_s: tuple[float, ...] = (0.5, 1, 2, 5, 10, 30)
    equity_wait_s: float = 5.0  # how long a copy waits for an equity that had become stale
    master_equity_max_age_s: float = 10.0
    refresh_concurrency: int = 8
    refresh_spread_s: float = 300.0  # one round of balances over all accounts takes so long
    connect_concurrency: int = 32
    connect_wait_s: float = 5.0  # at start, for accounts whose venue is slow; they connect later, holding up nobody
    recheck_parked_every_s: float = 600.0
    fault_retry_s: float = 60.0  # an account whose order met a fault of our own
    warm_connections_max: int = 250
    keep_warm_every_s: float = 15.0
    limits_watch_every_s: float = 5.0  # prices of what accounts with limits hold: a call a venue


@dataclass(slots=True)
class Services:
    """Shared by lanes, desk, fan-out and background work. Wired once, in `engine.service`."""

    ledger: Ledger
    clock: Clock
    kill: KillSwitch
    roster: Roster
    books: Books
    venues: dict[str, Venue]
    rules: CopyRules
    limits: Limits
    tell: Tell
    started_at: datetime
    markets: Markets
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    prices: PriceBoard = field(init=False)
    fills: FillFollower = field(init=False)
    keeper: LimitKeeper = field(init=False)
    chains: Chains = field(init=False)
    sends_in_flight: int = 0

    def __post_init__(self) -> None:
        self.chains = Chains(self.ledger)

    def alert(self, kind: AlertKind, text: str, account: AccountId | None = None) -> None:
        """Tell the operator something that needs a look; `account` is the one that it concerns."""
        self.tell(Alert(kind, text, account))

    def instrument(self, account_venue: str, symbol: str) -> Instrument | None:
        return self.markets.instrument(account_venue, symbol)

    def instrument_of(self, record: OrderRecord) -> Instrument | None:
        return self.instrument(venue_of(record.account), record.symbol)

    def kinds(self, instrument: Instrument | None) -> frozenset[OrderKind]:
        """The orders that the instrument's venue has for it."""
        return ALL_KINDS if instrument is None else self.venues[instrument.venue].order_kinds(instrument)

    def stop_reason(self, role: Role, effect: Effect) -> SendStopped | None:
        """What keeps any order of this kind from leaving now: a failed ledger, the kill switch, or shutting down."""
        if (failed := self.ledger.failed) is not None:
            return SendStopped(Reason.LEDGER_FAILED, str(failed))
        state = self.kill.look()
        if state.stops(effect):
            return SendStopped(Reason.KILL_SWITCH, f"{self.kill.path.name} says {state}")
        if self.closing.is_set():
            return SendStopped(Reason.SHUTTING_DOWN, "")
        return None

    async def pause(self, seconds: float) -> None:
        """Sleep, but no longer than until the service stops; then raise `ServiceStopping`."""
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):  # unlike `wait_for`, it makes no task
                await self.closing.wait()
        except TimeoutError:
            return
        raise ServiceStopping

    async def pause_until(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait for an event, so long at most; True if it came. Raises `ServiceStopping` when the service stops."""
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            came = False
        else:
            came = True
        if self.closing.is_set():
            raise ServiceStopping
        return came


class ServiceStopping(Exception):  # a condition inside the engine, never shown
    """The service is stopping: leave everything as the ledger has it; the next start carries on from there."""
