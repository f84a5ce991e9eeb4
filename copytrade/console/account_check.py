"""What one account's check finds: the files, the key, the money against each guard, and the markets it lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from copytrade.domain.account import MASTER_USER, AccountId, account_id, user_of, venue_of
from copytrade.domain.errors import BadRequest, NonceUnavailable, Refused, VenueError
from copytrade.domain.instrument import AssetClass
from copytrade.domain.venue import Balances
from copytrade.engine.markets import Markets
from copytrade.engine.ports import AccountClient, Venue
from copytrade.settings.credentials import Missing
from copytrade.settings.load import Loaded
from copytrade.settings.model import Settings
from copytrade.settings.users import User

Json = dict[str, Any]

# Accounts asked at the same time, over connections that the venue's pool bounds: at 50 ms a call and three calls an
# account, a hundred accounts take half a second of waiting.
CONCURRENCY = 32
_CLOCK_SKEW_MAX_S = 2.0  # an adapter that does not say how much it bears; the strictest venue allows 5 s
_LACKS_SHOWN = 10

ClientOf = Callable[[AccountId], Awaitable[AccountClient]]


@dataclass(frozen=True, slots=True)
class Guard:
    """One figure of the settings against the account's."""

    name: str
    least: Decimal
    has: Decimal
    under: str  # what happens to an account below it

    @property
    def passed(self) -> bool:
        return self.has >= self.least

    def to_json(self) -> Json:
        return {"guard": self.name, "least": str(self.least), "has": str(self.has), "passed": self.passed}


@dataclass(slots=True)
class Findings:
    """About one account: what is right, what to look at, what keeps it from trading."""

    account: str
    enabled: bool = True
    fine: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    permissions: tuple[str, ...] = ()
    guards: list[Guard] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)

    @property
    def next_step(self) -> str:
        """The one thing to do next."""
        if self.problems:
            return self.problems[0]
        if self.warnings:
            return f"it works; look at: {self.warnings[0]}"
        return "nothing to do"

    def to_json(self) -> Json:
        return {
            "account": self.account, "enabled": self.enabled, "ok": not self.problems, "fine": self.fine,
            "warnings": self.warnings, "problems": self.problems, "permissions": list(self.permissions),
            "guards": [guard.to_json() for guard in self.guards], "lacks": self.lacks, "next": self.next_step,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class VenueFindings:
    """About one venue: whether its markets can be read, and its clock against ours (positive: it is ahead)."""

    venue: str
    clock_ahead_s: float | None
    problem: str = ""

    def to_json(self) -> Json:
        return {"venue": self.venue, "clock_ahead_s": self.clock_ahead_s, "problem": self.problem}


class Checker:
    """Asks the venues about accounts, many at a time, each on its own."""

    def __init__(
        self,
        loaded: Loaded,
        venues: Mapping[str, Venue],
        client_of: ClientOf,
        traded: Iterable[str],
        turn: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`turn` is waited for before each account, where there are more urgent things to do than to check."""
        self._loaded = loaded
        self._settings = loaded.settings
        self._venues = venues
        self._client_of = client_of
        self._traded = sorted(set(traded))
        self._markets = Markets(venues, loaded.settings.copying.stand_ins)
        self._turn = turn
        self._slots = asyncio.Semaphore(CONCURRENCY if turn is None else 1)

    async def check(self, accounts: Sequence[AccountId], *, load: bool) -> tuple[list[Findings], list[VenueFindings]]:
        """All of them, and the venues that they are at. `load` reads the venues' markets first."""
        master_venue = self._settings.master.venue
        names = sorted({master_venue, *(venue_of(account) for account in accounts)} & self._venues.keys())
        venues = list(await asyncio.gather(*(self._check_venue(name, load) for name in names)))
        down = {venue.venue: venue.problem for venue in venues if venue.problem}
        found = await asyncio.gather(*(self._check_account(account, down) for account in accounts))
        return list(found), venues

    async def _check_venue(self, name: str, load: bool) -> VenueFindings:
        venue = self._venues[name]
        if load:
            try:
                await venue.load_instruments()
            except VenueError as error:
                return VenueFindings(name, None, f"{name} does not answer: {error}")
        offset = getattr(venue, "offset", None)
        return VenueFindings(name, None if offset is None else round(offset.total_seconds(), 3))

    async def _check_account(self, account: AccountId, down: Mapping[str, str]) -> Findings:
        findings = of_files(self._loaded, account)
        if (problem := down.get(venue_of(account))) is not None:
            findings.problems.append(problem)
        if findings.problems:
            return findings
        async with self._slots:
            if self._turn is not None:
                await self._turn()
            try:
                client = await self._client_of(account)
                await self._ask_key(findings, client)
                self._judge_money(findings, await client.balances())
            except (Refused, VenueError, NonceUnavailable, BadRequest) as error:
                findings.problems.append(str(error))
                return findings
        self._judge_clock(findings, account)
        self._judge_markets(findings, account)
        return findings

    async def _ask_key(self, findings: Findings, client: AccountClient) -> None:
        report = await client.check_key()
        findings.permissions = report.permissions
        findings.warnings += report.warnings
        findings.problems += report.problems
        if not report.problems:
            may = f" (it may {', '.join(report.permissions)})" if report.permissions else ""
            findings.fine.append(f"the key works{may}")
            if report.permissions:
                findings.fine.append("the key cannot withdraw")

    def _judge_money(self, findings: Findings, balances: Balances) -> None:
        equity, cash, guards = balances.equity.value, balances.cash.value, self._settings.guards
        findings.fine.append(f"equity {equity:,.2f} {balances.currency}, free cash {cash:,.2f}")
        entries = "no entries until it is not"
        findings.guards = [
            Guard("connect_min", guards.connect_min, equity, "it is not connected: deposit, or lower it"),
            Guard("funded_min", guards.funded_min, equity, entries),
            Guard("minimum_trading_balance", guards.minimum_trading_balance, equity, entries),
            Guard("min_cash_to_buy", guards.min_cash_to_buy, cash, entries),
        ]
        under = [guard for guard in findings.guards if not guard.passed]
        for guard in reversed(under):
            what = "free cash" if guard.name == "min_cash_to_buy" else "equity"
            line = f"{what} {guard.has:,.2f} is under guards.{guard.name} {guard.least}: {guard.under}"
            # First what keeps orders from being placed, then what the venue says of the key.
            (findings.problems if guard.name == "connect_min" else findings.warnings).insert(0, line)
        if not under:
            findings.fine.append("above every guard")

    def _judge_clock(self, findings: Findings, account: AccountId) -> None:
        venue = self._venues[venue_of(account)]
        offset = getattr(venue, "offset", None)
        if offset is None:
            return
        skew_max_s = getattr(getattr(venue, "options", None), "clock_skew_max_s", _CLOCK_SKEW_MAX_S)
        ahead_s = offset.total_seconds()
        if abs(ahead_s) > skew_max_s:
            side = "behind" if ahead_s > 0 else "ahead of"
            findings.warnings.append(
                f"this machine's clock is {abs(ahead_s):.1f} s {side} {venue.name}'s: set it (NTP); meanwhile "
                "orders are dated by the venue's clock"
            )
        else:
            findings.fine.append(f"clock within {skew_max_s:g} s of {venue.name}'s ({ahead_s:+.3f} s)")

    def _judge_markets(self, findings: Findings, account: AccountId) -> None:
        """Markets that the master trades or holds, and that this account could not answer."""
        master_venue, venue = self._settings.master.venue, venue_of(account)
        if user_of(account) == MASTER_USER or not self._traded:
            return
        user = next((user for user in self._loaded.users if user.account == account), None)
        for symbol in self._traded:
            if user is not None and not wants(user, symbol):
                continue
            own = self._markets.instrument(master_venue, symbol)
            found = self._markets.listing(venue, symbol, own.asset_class if own else AssetClass.CRYPTO)
            if found is None or found.quote != self._venues[venue].currency:  # it could not pay for that one
                findings.lacks.append(symbol)
        if findings.lacks:
            shown = ", ".join(findings.lacks[:_LACKS_SHOWN]) + (", ..." if len(findings.lacks) > _LACKS_SHOWN else "")
            currency = self._venues[venue].currency
            findings.warnings.insert(
                0,
                f"{venue} lists no market in {currency} for {shown}, which the master trades: those signals are "
                "skipped here (see copy.stand_ins, or give the user an account elsewhere)",
            )
        else:
            findings.fine.append("lists every market that the master trades")


def wants(user: User, symbol: str) -> bool:
    """Whether the user's lists let it copy this market."""
    lists = user.instruments
    return symbol not in lists.block and (not lists.allow or symbol in lists.allow)


def of_files(loaded: Loaded, account: AccountId) -> Findings:
    """What the files alone say of an account."""
    users = {user.account: user for user in loaded.users}
    findings = Findings(account)
    user = users.get(account)
    if user is not None:
        findings.enabled = user.enabled
        if not user.enabled:
            findings.warnings.append("not enabled: set enabled: true in its user file (resume --enable) to copy to it")
        elif user.mode != "active":
            findings.warnings.append(f"mode is {user.mode}: resume copies everything to it again")
    if is_paper(loaded.settings, venue_of(account)):
        findings.fine.append("paper mode: no credentials needed")
    else:
        state = loaded.credentials.by_account.get(account)
        if isinstance(state, Missing):
            findings.problems.append(f"no credentials: {state}")
        else:
            findings.fine.append("credentials found")
    return findings


def accounts_of(loaded: Loaded, venue: str | None, user: str | None) -> list[AccountId]:
    """The accounts that were asked for, the master's first. Raises `BadRequest` when there are none."""
    accounts = [account_id(loaded.settings.master.venue, MASTER_USER)]
    accounts += [AccountId(u.account) for u in loaded.users]
    wanted = [a for a in accounts if (venue is None or venue_of(a) == venue) and (user is None or user_of(a) == user)]
    if not wanted:
        known = ", ".join(sorted({user_of(a) for a in accounts}))
        raise BadRequest(f"no account of user {user!r} at venue {venue or 'any'}; there are {known}")
    return wanted


def is_paper(settings: Settings, venue: str) -> bool:
    return settings.mode == "paper" and venue not in settings.overridden_venues()
