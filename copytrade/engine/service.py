"""The running service: puts the parts of the engine together, starts by recovering, stops without dropping anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace

from copytrade.copying.drift import DriftRules
from copytrade.copying.rules import CopyRules
from copytrade.domain.account import AccountId, FollowerTerms, Mode, venue_of
from copytrade.domain.alerts import AlertKind, Tell
from copytrade.domain.copy import Decision, Deferred
from copytrade.domain.errors import LedgerError, VenueError
from copytrade.domain.events import MasterIntended, OrderHeld, OrderReleased
from copytrade.domain.money import Amount
from copytrade.domain.order import OrderState, Role
from copytrade.domain.reasons import Reason
from copytrade.domain.signal import Signal
from copytrade.domain.state import OrderRecord
from copytrade.engine.books import Books
from copytrade.engine.brackets import ProfitWatcher
from copytrade.engine.changes import MasterChanges
from copytrade.engine.connect import Connector
from copytrade.engine.desk import MasterDesk, MasterGuards
from copytrade.engine.fanout import FanOut
from copytrade.engine.fills import FillFollower
from copytrade.engine.flatten import Flattener
from copytrade.engine.joining import Joiner
from copytrade.engine.killswitch import KillState, KillSwitch
from copytrade.engine.lanes import Lanes
from copytrade.engine.limits import LimitKeeper
from copytrade.engine.markets import Markets, StandIns
from copytrade.engine.own_stream import OwnStream
from copytrade.engine.ports import Clock, Ledger, Venue
from copytrade.engine.prices import PriceBoard, PriceKeeper
from copytrade.engine.reconcile import Reconciler
from copytrade.engine.recovery import recover, work_of
from copytrade.engine.refresh import Refresher
from copytrade.engine.repair import Mender
from copytrade.engine.resting_again import market_legs
from copytrade.engine.roster import AccountFactory, Member, Roster
from copytrade.engine.sending import Sender
from copytrade.engine.services import Limits, Services, ServiceStopping, log
from copytrade.engine.tracker import Tracker
from copytrade.engine.watcher import Watcher, WatchRules, end_watch
from copytrade.engine.withdrawing import Withdrawals
from copytrade.engine.work import Work

_KILL_WATCH_S = 0.25
_QUIESCE_POLL_S = 0.05
_LOAD_RETRY_S = (0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(slots=True)
class Wiring:
    """Everything the engine is given."""

    ledger: Ledger
    clock: Clock
    kill: KillSwitch
    venues: dict[str, Venue]
    factories: dict[str, AccountFactory]
    master: FollowerTerms
    followers: dict[AccountId, FollowerTerms]
    rules: CopyRules
    guards: MasterGuards
    connect_min: Amount
    limits: Limits
    stand_ins: StandIns
    alert: Tell
    planned: Callable[[Signal, tuple[Decision, ...]], None]
    drift: DriftRules = field(default_factory=DriftRules)
    watch: WatchRules | None = None  # None: orders placed by hand are nobody's business


class Engine:
    """One master, its followers, and everything between a signal and its outcomes."""

    def __init__(self, wiring: Wiring) -> None:
        w = wiring
        roster = Roster(Member(w.master), {account: Member(terms) for account, terms in w.followers.items()})
        self.services = Services(
            w.ledger, w.clock, w.kill, roster, Books(w.ledger.state), w.venues, w.rules, w.limits, w.alert, w.clock(),
            Markets(w.venues, w.stand_ins),
        )  # fmt: skip
        self.services.prices = PriceBoard(w.venues, w.clock)
        self.price_keeper = PriceKeeper(self.services)
        self.services.fills = FillFollower(self.services, self._order_ended, self._place_rest)
        self.tracker = Tracker()
        self.refresher = Refresher(self.services)
        sender = Sender(self.services, self.tracker, self._emit, self.refresher.now, self)
        self.lanes = Lanes(self.services, sender)
        self.withdrawals = Withdrawals(self.services, self.lanes)
        self.fanout = FanOut(self.services, self.lanes, self.tracker, w.planned)
        self.limits = self.services.keeper = LimitKeeper(
            self.services, self.fanout.emit, self.lanes.submit, self.refresher.now
        )  # fmt: skip
        self.desk = MasterDesk(self.services, self.lanes, self.tracker, self.refresher.now, w.guards)
        self.profits = ProfitWatcher(self.services, self.lanes.submit)
        self.changes = MasterChanges(self.services, self.lanes, self.desk)
        self.connector = Connector(self.services, self.lanes, w.factories, w.connect_min, self._loaded)
        self.flattener = Flattener(self.services, self.desk, self.fanout, self.tracker)
        self.mender = Mender(self.services, self.lanes, self._emit)
        self.reconciler = Reconciler(self.services, self.mender, self.refresher.now, w.drift)
        self.joiner = Joiner(self.services, self._emit, self.refresher.now, self.mender.master, w.drift)
        self.watcher = Watcher(self.services, self._emit, self.refresher.now, w.watch) if w.watch else None
        self.own_stream = OwnStream(self.services)
        self.ready = asyncio.Event()
        self.recovered: dict[str, int] = {}
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    # -- start and stop --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the markets, connect, recover; returns when the first trade can be placed.

        Raises `LedgerError` when the ledger has failed, and `ServiceStopping` if asked to stop meanwhile.
        """
        services = self.services
        for venue in services.venues.values():
            self._loading[venue.name] = asyncio.create_task(self._load(venue), name=f"load {venue.name}")
        # Nothing can be done without the master's markets; another venue that does not answer holds up its own
        # accounts and nobody else's.
        await self._loading[venue_of(services.roster.master.terms.account)]
        for member in services.roster:
            self.connector.start(member, venue_of(member.terms.account))
        self._tasks = [asyncio.create_task(self._guarded(services.fills.run()), name="fills")]
        self.recovered = recover(services, self.lanes, self.fanout, self.tracker)
        self.withdrawals.look()  # the terms may have changed while nobody looked
        await self.connector.settled(services.limits.connect_wait_s)
        # Not before: a signal that the last run left unanswered must not pass a follower by because the markets of
        # its venue are still being read. At some venues that takes a connected account.
        self._tasks += [
            asyncio.create_task(self._guarded(self.fanout.run()), name="fan-out"),
            asyncio.create_task(self._guarded(self.refresher.run()), name="refresh"),
            asyncio.create_task(self._guarded(self.profits.run()), name="profits"),
            asyncio.create_task(self._guarded(self.joiner.run()), name="late joiners"),
            asyncio.create_task(self._guarded(self.reconciler.run()), name="drift"),
            asyncio.create_task(self._guarded(self._keep_warm()), name="keep warm"),
            asyncio.create_task(self._guarded(self.limits.run()), name="limits"),
            asyncio.create_task(self._guarded(self._watch_kill_switch()), name="kill switch"),
            asyncio.create_task(self._watch_ledger(), name="ledger"),
            asyncio.create_task(self._guarded(self._recheck_parked()), name="parked"),
        ]
        self._keep_prices()
        self._watch_orders()
        self.ready.set()

    async def stop(self, timeout_s: float = 15.0) -> None:
        """Let orders on their way come to their answer, start no new ones, and close everything but the ledger."""
        self.services.closing.set()
        for loading in self._loading.values():
            loading.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)
        await self.lanes.close(timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.connector.close()
        for venue in self.services.venues.values():
            await venue.close()

    # -- what the outside asks for -----------------------------------------------------------------------------------

    def add_venue(self, venue: Venue, factory: AccountFactory) -> None:
        """One more venue, for accounts that were enrolled while running."""
        self.services.venues[venue.name] = venue
        self.connector.add_factory(venue.name, factory)
        self._loading[venue.name] = asyncio.create_task(self._load(venue), name=f"load {venue.name}")
        self._keep_prices()

    def apply_terms(self, terms: Mapping[AccountId, FollowerTerms]) -> None:
        """Put changed follower settings in force: enrol, change, or let go. Entries that rest at a venue and may not
        leave by the new ones are taken back."""
        followers = self.services.roster.followers
        narrowed = {a for a, member in followers.items() if not member.left and terms.get(a) != member.terms}
        for account, new in terms.items():
            member = followers.get(account)
            if member is None:
                member = followers[account] = Member(new)
                self.connector.start(member, venue_of(account))
                continue
            changed, member.terms, member.left = member.terms != new, new, False
            if changed:
                self.reconciler.soon(account)
            if changed and account in self.services.ledger.state.parked:
                self.connector.recheck(account)
            elif member.client is None:
                self.connector.start(member, venue_of(account))
        for account in [a for a, member in followers.items() if a not in terms and not member.left]:
            member = followers[account]
            member.left = True
            self.reconciler.soon(account)
            held = list(self.services.ledger.state.positions.of(account))
            if held:
                self.services.alert(
                    AlertKind.LEFT_HOLDING,
                    f"{account} has left the user files while it holds copied {', '.join(held)}; "
                    "its exits still follow the master until it is flat",
                    account,
                )
        if narrowed and self.services.ledger.failed is None:
            self.withdrawals.look(narrowed)

    def close_only(self, account: AccountId, symbols: Iterable[str]) -> None:
        """No entries of the account in these instruments from this instant on, until its terms are read again."""
        member = self.services.roster.followers.get(account)
        if member is not None:
            modes = {**member.terms.modes, **dict.fromkeys(symbols, Mode.CLOSE_ONLY)}
            member.terms = replace(member.terms, modes=modes)

    def apply_rules(self, rules: CopyRules, guards: MasterGuards, stand_ins: StandIns) -> None:
        """Put changed settings of copying in force, for the next signal and for copies not yet sent."""
        self.services.markets.stand_ins = stand_ins
        self.services.rules = rules
        self.desk.guards = guards

    def apply_drift_rules(self, rules: DriftRules) -> None:
        """Put changed settings of drift in force."""
        self.reconciler.rules = self.joiner.rules = rules

    def place_held_exits(self) -> int:
        """Place the exits that were held, sized by what is held now. Returns how many."""
        services = self.services
        held = [r for r in services.ledger.state.orders.values() if r.state is OrderState.HELD]
        for record in sorted(held, key=lambda r: r.planned_at):
            services.ledger.append([OrderReleased(record.order_id, services.clock())])
            self.lanes.submit(work_of(services, record))
        return len(held)

    async def quiesce(self, timeout_s: float) -> bool:
        """Wait until nothing is on its way any more (held exits and parked accounts aside); False after so long."""
        state, deadline = self.services.ledger.state, asyncio.get_running_loop().time() + timeout_s
        while any(r.state is not OrderState.HELD and r.account not in state.parked for r in state.orders.values()):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await self.services.pause(_QUIESCE_POLL_S)
        return True

    async def wait_flattened(self, timeout_s: float) -> bool:
        """Wait until a flattening that the kill switch asks for is over; False after so long."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while self.services.kill.look() is KillState.FLATTEN:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await self.services.pause(_QUIESCE_POLL_S)
        return True

    def elsewhere(self, work: Work, reason: Reason) -> Deferred | None:
        """The copy at the user's next account for an entry that cannot be placed at its own; for lanes."""
        return self.fanout.elsewhere(work, reason)

    def submit(self, work: Work) -> None:
        """Hand an order to its lane; for lanes."""
        self.lanes.submit(work)

    def hand_over(self, account: AccountId, detail: str) -> None:
        """Send the entries elsewhere that wait behind an order whose venue cannot be reached; for lanes."""
        self.lanes.of(account).hand_over(detail)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _emit(self, signal: Signal) -> None:
        self.price_keeper.traded(signal.symbol)
        self.fanout.emit(signal)

    def _order_ended(self, record: OrderRecord, next_leg: Deferred | None, told: Signal | None) -> None:
        self.refresher.soon(record.account)
        if record.role is Role.MASTER:
            self.reconciler.master_ended()
        if told is not None:
            self._emit(told)
        if next_leg is None:
            return
        cut_short = market_legs(self.services.ledger, record)
        if cut_short > self.services.limits.exit_legs_max and not record.kind.rests:
            detail = f"cut short {cut_short} times, {next_leg.detail}"
            held = OrderHeld(next_leg.order_id, Reason.MARKET_CLOSED, detail, self.services.clock())
            self.services.ledger.append([held])
            self.services.alert(
                AlertKind.EXIT_HELD,
                f"an exit of {record.symbol} for {record.account} is held: {detail}",
                record.account,
            )
            return
        self.lanes.submit(work_of(self.services, self.services.ledger.state.orders[next_leg.order_id]))

    def _place_rest(self, intent: MasterIntended, durable: Awaitable[None]) -> None:
        """The rest of a bracket of the master's. It leaves once its intent is on the disk, like any order."""
        record = self.services.ledger.state.orders[intent.order_id]
        self.tracker.expect(intent.order_id, [intent.order_id])
        work = work_of(self.services, record, maybe_sent=False)
        work.durable = durable
        self.lanes.submit(work)

    async def _loaded(self, venue: str) -> None:
        """Return once the venue's markets are known; at once for a venue that nobody serves."""
        loading = self._loading.get(venue)
        if loading is not None:
            await asyncio.shield(loading)

    async def _load(self, venue: Venue) -> None:
        attempt = 0
        while True:
            try:
                count = await venue.load_instruments()
            except VenueError as error:
                if attempt == 0:
                    self.services.alert(
                        AlertKind.VENUE_DOWN, f"{venue.name} does not answer ({error}); trying until it does"
                    )
                self.connector.venue_down(venue.name, f"{venue.name} does not answer: {error}")
                await self.services.pause(_LOAD_RETRY_S[min(attempt, len(_LOAD_RETRY_S) - 1)])
                attempt += 1
            else:
                log.info("%s lists %d instruments", venue.name, count)
                return

    def _watch_orders(self) -> None:
        """Watch the master's account for orders by hand, if that is wanted; for the end of its own in any case."""
        if self.watcher is None:
            end_watch(self.services)
            self._tasks.append(asyncio.create_task(self._guarded(self.own_stream.run()), name="own stream"))
            return
        self.watcher.begin()
        self._tasks += [
            asyncio.create_task(self._guarded(self.watcher.listen()), name="stream"),
            asyncio.create_task(self._guarded(self.watcher.look()), name="orders by hand"),
        ]

    def _keep_prices(self) -> None:
        """Keep prices fresh at other venues than the master's, as soon as there are any."""
        if len(self.services.venues) > 1 and not any(task.get_name() == "prices" for task in self._tasks):
            self._tasks.append(asyncio.create_task(self._guarded(self.price_keeper.run()), name="prices"))

    async def _keep_warm(self) -> None:
        """Hold open connections for the next fan-out, as many as it can use."""
        services = self.services
        while True:
            for name, venue in list(services.venues.items()):  # one may be added meanwhile
                accounts = sum(1 for m in services.roster if venue_of(m.terms.account) == name)
                if not services.sends_in_flight:
                    await venue.warm(min(accounts, services.limits.warm_connections_max))
            await services.pause(services.limits.keep_warm_every_s)

    async def _watch_kill_switch(self) -> None:
        """Report the switch, and flatten when it says so. Stopping is not this task's job: every send looks itself."""
        services, last = self.services, KillState.OFF
        while True:
            state = services.kill.look()
            if state is not last:
                kind = AlertKind.KILL_SWITCH_OFF if state is KillState.OFF else AlertKind.KILL_SWITCH_ON
                rest = self.withdrawals.resting() if state in (KillState.HALT, KillState.CLOSE_ONLY) else 0
                stay = f"; {rest} resting entries stay at their venues and may fill, kill --flatten takes them back"
                services.alert(kind, f"kill switch: {last} -> {state}{stay if rest else ''}")
                if state is KillState.FLATTEN:
                    await self.flattener.flatten(services.clock().isoformat())
                    if services.kill.look() is KillState.FLATTEN:
                        services.kill.engage(KillState.HALT)
                        services.alert(
                            AlertKind.FLATTENED,
                            "everything is flattened as far as it could be; the kill switch now halts",
                        )
                last = state
            await services.pause(_KILL_WATCH_S)

    async def _recheck_parked(self) -> None:
        """A fault that somebody has cleared at the venue needs no restart here. Rarely: asking with a bad key too
        often is what venues lock keys out for."""
        while True:
            await self.services.pause(self.services.limits.recheck_parked_every_s)
            for account in list(self.services.ledger.state.parked):
                if not self.lanes.of(account).clears_itself:
                    self.connector.recheck(account)

    async def _watch_ledger(self) -> None:
        """Say once that the ledger has failed, whichever part met the failure first. Every send looks by itself."""
        services = self.services
        while services.ledger.failed is None:
            try:
                await services.pause(_KILL_WATCH_S)
            except ServiceStopping:
                return
        services.alert(AlertKind.LEDGER_FAILED, f"the ledger failed, nothing more is sent: {services.ledger.failed}")

    async def _guarded(self, work: Coroutine[object, object, None]) -> None:
        """Run a background task; one that fails says so instead of dying in silence."""
        try:
            await work
        except ServiceStopping:
            return
        except Exception as error:
            if isinstance(error, LedgerError) and self.services.ledger.failed is not None:
                log.error("a background task ended: %s", error)  # `_watch_ledger` tells the operator
                return
            log.exception("a background task failed")
            self.services.alert(
                AlertKind.TASK_FAILED, f"a background task failed ({type(error).__name__}); restart the worker"
            )
