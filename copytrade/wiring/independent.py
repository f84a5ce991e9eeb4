"""Accounts that trade by themselves: a loop for each, which knows nothing of the others.

    reconcile()     begins and ends loops as the user files and the ledger say
    one account     cycle, pause, cycle: its own client, its own lane, its own memory; an error is its own as well

What the accounts share is what is the same for all of them: the strategy, which is a function of what it is shown, and
the venues' public candles, each of which is read once.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from copytrade.domain.account import AccountId, Mode, venue_of
from copytrade.domain.alerts import Alert, AlertKind, Tell
from copytrade.domain.errors import CopyTradeError, LedgerError
from copytrade.domain.events import Event
from copytrade.domain.instrument import Instrument
from copytrade.domain.state import OrderRecord
from copytrade.engine.desk import TradeRequest
from copytrade.engine.independent import IndependentDesk, change_of_sides
from copytrade.engine.services import ServiceStopping
from copytrade.settings.model import IndependentSettings, Settings
from copytrade.strategy.guards import EntryGuards
from copytrade.strategy.port import Candles, Strategy
from copytrade.wiring.strategy import entry_guards, make_strategy, scan_settings
from copytrade.wiring.strategy_runner import Seat, StrategyRunner

if TYPE_CHECKING:
    from copytrade.wiring.scanning import Scanner
    from copytrade.wiring.shared_candles import SharedMarketData
    from copytrade.wiring.system import System

log = logging.getLogger("copytrade.independent")

_LOOK_S = 1.0  # how soon a changed user file begins or ends a loop
_STOP_S = 1.5  # a cycle that is still going on then is cut off: what it has asked for is in the ledger
_CYCLES_COUNTED = 20
_SCAN_SHARE = 2  # beside the master's own scanner each takes no more than half of its share of a venue's limit


class Standing(StrEnum):
    WAITS = "waits"  # for its turn to begin, or until it holds nothing that was copied
    RUNS = "runs"
    WINDS_DOWN = "winds_down"  # sells what it has bought by itself, and is copied to again after that


@dataclass(slots=True)
class Health:
    """How an account's loop has fared. Times are UTC; `took_s` is the length of its last cycle."""

    account: AccountId
    standing: Standing = Standing.WAITS
    cycles: int = 0
    errors: int = 0
    errors_in_a_row: int = 0
    last_error: str = ""
    began_at: datetime | None = None
    ended_at: datetime | None = None
    took_s: float = 0.0
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=_CYCLES_COUNTED), repr=False)

    @property
    def percent(self) -> int:
        """The share of the last cycles that went well."""
        return round(100 * sum(self.recent) / len(self.recent)) if self.recent else 100

    def ended(self, at: datetime, took_s: float, error: str) -> None:
        self.cycles += 1
        self.ended_at, self.took_s = at, took_s
        self.recent.append(not error)
        self.errors_in_a_row = self.errors_in_a_row + 1 if error else 0
        self.errors += bool(error)
        self.last_error = error or self.last_error

    def to_json(self) -> dict[str, Any]:
        return {
            "account": self.account, "standing": self.standing.value, "health_percent": self.percent,
            "cycles": self.cycles, "errors": self.errors, "errors_in_a_row": self.errors_in_a_row,
            "last_error": self.last_error, "took_s": round(self.took_s, 3),
            "began_at": None if self.began_at is None else self.began_at.isoformat(),
            "ended_at": None if self.ended_at is None else self.ended_at.isoformat(),
        }  # fmt: skip


class Board:
    """The candles that a venue's scanner has found, for every account there to look at in its own time."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[int, Instrument, Candles | None]] = {}
        self._count = 0

    def watched(self) -> Sequence[str]:
        """No market is looked at by other means: who holds one reads it for himself, and does so once for all."""
        return ()

    async def answer(self, shown: Sequence[tuple[Instrument, Candles | None]]) -> int:
        for instrument, candles in shown:
            self._count += 1
            self._shown[instrument.symbol] = (self._count, instrument, candles)
        return 0

    def after(self, count: int) -> tuple[int, list[tuple[Instrument, Candles | None]]]:
        """What was put up since, and the number to ask with next."""
        new = [(instrument, candles) for number, instrument, candles in self._shown.values() if number > count]
        return self._count, new


class IndependentAccount:
    """The loop of one account."""

    def __init__(self, owner: Independents, account: AccountId, begins_in_s: float) -> None:
        self.health = Health(account)
        self.account = account
        self._owner = owner
        self._begins_in_s = begins_in_s
        self._stop = asyncio.Event()
        self._trouble = ""
        self._seen = 0
        engine = owner.system.engine
        self._desk = IndependentDesk(
            engine.services, engine.lanes, engine.tracker, engine.refresher.now, account
        )
        seat = Seat(account, engine.services, self._place, engine.refresher.now)
        self._runner = StrategyRunner(
            seat, owner.strategy, self._guards, owner.data, lambda: owner.scan, self._tell
        )
        self.task = asyncio.create_task(self._run(), name=f"independent {account}")

    def stop(self) -> None:
        """Begin no further cycle."""
        self._stop.set()

    async def _run(self) -> None:
        await self._pause(self._begins_in_s)
        loop = asyncio.get_running_loop()
        while not self._stop.is_set():
            began_s = loop.time()
            self.health.began_at = self._owner.system.engine.services.clock()
            try:
                await self._cycle()
            except (ServiceStopping, LedgerError):
                return  # for all accounts alike, and told by the engine
            except Exception as error:
                log.exception("%s: a cycle failed", self.account)
                self._trouble = f"{type(error).__name__}: {error}"
                self._owner.tell(
                    Alert(
                        AlertKind.INDEPENDENT,
                        f"{self.account} trades by itself, and a cycle of it failed: {self._trouble}",
                        self.account,
                    )
                )
            now = self._owner.system.engine.services.clock()
            self.health.ended(now, loop.time() - began_s, self._trouble)
            # Cycles begin in step; one that took too long does not make the next ones follow at once.
            cycle_s = self._owner.rules.cycle_s
            await self._pause(cycle_s - (loop.time() - began_s) % cycle_s)

    async def _cycle(self) -> None:
        owner, member = self._owner, self._owner.system.engine.services.roster.get(self.account)
        self._trouble = ""
        if member is None or member.client is None:
            reason, detail = (None, "") if member is None or member.unreachable is None else member.unreachable
            self._trouble = f"not connected: {reason.text if reason else ''} {detail}".strip()
            return
        await self._runner.step()
        board = owner.board(venue_of(self.account))
        if board is not None:
            self._seen, shown = board.after(self._seen)
            await self._runner.answer(shown)

    async def _place(self, request: TradeRequest) -> OrderRecord:
        """Shielded: an order that is half-way between the ledger and its lane must not be left there."""
        return await asyncio.shield(asyncio.ensure_future(self._desk.place(request)))

    def _guards(self) -> EntryGuards:
        guards = entry_guards(self._owner.system.settings)
        member = self._owner.system.engine.services.roster.get(self.account)
        return guards if member is None else replace(guards, blocked=guards.blocked | member.terms.blocked)

    def _tell(self, alert: Alert) -> None:
        self._trouble = alert.text
        self._owner.tell(replace(alert, text=f"{self.account}: {alert.text}", account=self.account))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._stop.wait()
        except TimeoutError:
            return


class Independents:
    """All accounts that trade by themselves."""

    strategy: Strategy
    data: SharedMarketData

    def __init__(self, system: System, tell: Tell) -> None:
        self.system = system
        self.tell = tell
        self.rules = independent_rules(system.settings)
        self._loops: dict[AccountId, IndependentAccount] = {}
        self._waiting: dict[AccountId, str] = {}
        self._boards: dict[str, Board] = {}
        self._scans: dict[str, tuple[Scanner, asyncio.Task[None]]] = {}
        self._told: set[str] = set()
        self._made: bool | None = None
        self._next_s = 0.0

    async def run(self) -> None:
        """Keep the loops as they should be, until cancelled; then end them within two seconds."""
        drawn = random.Random(f"independent {self.rules.seed}")  # noqa: S311  (a start delay, no secret)
        delay_s = drawn.uniform(self.rules.start_delay_min_s, self.rules.start_delay_max_s)
        self._next_s = asyncio.get_running_loop().time() + delay_s
        try:
            while True:
                await self.reconcile()
                await asyncio.sleep(_LOOK_S)
        except LedgerError:
            return  # the engine tells of it, and nothing is sent any more
        finally:
            await self._end()

    async def reconcile(self) -> None:
        """Begin and end loops as user files and ledger say. Raises `LedgerError`."""
        services = self.system.engine.services
        alone = services.ledger.state.standing.alone
        for account, member in list(services.roster.followers.items()):
            if member.terms.mode is not Mode.INDEPENDENT and account not in alone:
                self._waiting.pop(account, None)
                continue
            if not self._can_run(account):
                continue
            change = change_of_sides(services, member)
            if isinstance(change, str):
                if self._waiting.get(account) is None:
                    self.tell(Alert(AlertKind.INDEPENDENT, change, account))
                self._waiting[account] = change
            elif change is not None:
                await self._change(account, change)
            if account in alone and account not in self._loops:
                self._begin(account)
            if account in self._loops:
                self._scan(venue_of(account))
                winds_down = member.terms.mode is not Mode.INDEPENDENT or member.left or not member.terms.enabled
                self._loops[account].health.standing = Standing.WINDS_DOWN if winds_down else Standing.RUNS

    def health(self) -> list[dict[str, Any]]:
        """How every account that trades by itself, or is about to, stands."""
        found = [each.health.to_json() for each in self._loops.values()]
        found += [
            {**Health(account, last_error=why).to_json()}
            for account, why in self._waiting.items() if account not in self._loops
        ]  # fmt: skip
        return sorted(found, key=lambda each: each["account"])

    def progress(self) -> dict[str, dict[str, dict[str, object]]]:
        """What is scanned for them: by the accounts' venue, and by the venue whose candles are read."""
        return {venue: scanner.progress() for venue, (scanner, _) in self._scans.items()}

    def board(self, venue: str) -> Board | None:
        """Where the venue's scanner puts up what it finds; None where the strategy has named its markets."""
        return self._boards.get(venue)

    @property
    def scan(self) -> Any:
        settings = scan_settings(self.system.settings)
        return settings.model_copy(update={"share_of_limit": settings.share_of_limit / _SCAN_SHARE})

    # -- inside -------------------------------------------------------------------------------------------------------

    def _can_run(self, account: AccountId) -> bool:
        """Whether there is a strategy; it is made when the first account wants it, and its packages with it."""
        if self._made is None:
            try:
                self._make()
                self._made = True
            except CopyTradeError as error:
                self._made = False
                self.tell(
                    Alert(AlertKind.INDEPENDENT, f"no account can trade by itself: {error} (independent.strategy)")
                )
        if not self._made:
            self._waiting[account] = "there is no strategy: see independent.strategy"
        return self._made

    def _make(self) -> None:
        from copytrade.wiring.shared_candles import SharedMarketData

        settings = self.system.settings
        master = settings.master.model_copy(update={"strategy": self.rules.strategy})
        strategy = make_strategy(settings.model_copy(update={"master": master}))
        assert strategy is not None, "the settings name one"
        self.strategy = strategy
        self.data = SharedMarketData(self.system.ground.venues, self.system.engine.services.clock)

    async def _change(self, account: AccountId, change: Event) -> None:
        services = self.system.engine.services
        await services.ledger.append([change], hurry=True)
        self._waiting.pop(account, None)
        if account in services.ledger.state.standing.alone:
            self.tell(
                Alert(AlertKind.INDEPENDENT, f"{account} trades by itself from now on, and is not copied to", account)
            )
            return
        self.tell(Alert(AlertKind.INDEPENDENT, f"{account} is copied to again", account))
        loop = self._loops.pop(account, None)
        if loop is not None:
            loop.stop()

    def _begin(self, account: AccountId) -> None:
        now_s = asyncio.get_running_loop().time()
        at_s = max(now_s, self._next_s)
        self._next_s = at_s + self.rules.spacing_s
        self._loops[account] = IndependentAccount(self, account, at_s - now_s)

    def _scan(self, venue: str) -> None:
        """See that the venue's markets are scanned, if the strategy has named none. A scan that failed begins anew."""
        needs, known = self.strategy.needs, self._scans.get(venue)
        if not needs.candles or needs.symbols or (known is not None and not known[1].done()):
            return
        if known is not None and not known[1].cancelled() and (error := known[1].exception()) is not None:
            log.error("the scan for %s failed", venue, exc_info=error)
        from copytrade.wiring.scanning import Scanner

        board = self._boards.setdefault(venue, Board())
        scanner = Scanner(
            venue, self.data, lambda: self.scan, self.system.engine.services, needs, board, self.tell,
            lambda: entry_guards(self.system.settings).blocked,
        )  # fmt: skip
        self._scans[venue] = (scanner, asyncio.create_task(scanner.run(), name=f"scan for {venue}"))

    async def _end(self) -> None:
        for loop in self._loops.values():
            loop.stop()
        tasks = [loop.task for loop in self._loops.values()]
        scans = [task for _, task in self._scans.values()]
        for task in scans:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *scans, return_exceptions=True)
        if self._made:
            await self.data.close()


def independent_rules(settings: Settings) -> IndependentSettings:
    """The section `independent`; in paper mode what it does not say is short, so that there is something to see."""
    given = settings.independent
    if settings.mode != "paper":
        return given
    short = {"cycle_s": 15.0, "start_delay_min_s": 1.0, "start_delay_max_s": 2.0, "spacing_s": 0.2}
    unsaid = {name: value for name, value in short.items() if name not in given.model_fields_set}
    if given.model_fields_set & {"start_delay_min_s", "start_delay_max_s"}:  # one of the two alone keeps its partner
        unsaid = {name: value for name, value in unsaid.items() if not name.startswith("start_delay")}
    return given.model_copy(update=unsaid)
