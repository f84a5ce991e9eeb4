"""Connecting accounts: credentials, what the key may do, the balance against the guards. Each on its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from copytrade.domain.account import AccountId, venue_of
from copytrade.domain.alerts import AlertKind
from copytrade.domain.errors import CredentialsRejected, NonceUnavailable, Refused, VenueError
from copytrade.domain.money import Amount
from copytrade.domain.reasons import Reason
from copytrade.engine.lanes import Lanes
from copytrade.engine.ports import AccountClient
from copytrade.engine.roster import AccountFactory, Member
from copytrade.engine.services import Services, ServiceStopping, log

_RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)


class Connector:
    """Brings members on line and tries again for those whose venue did not answer. One never waits for another."""

    def __init__(
        self,
        services: Services,
        lanes: Lanes,
        factories: dict[str, AccountFactory],
        connect_min: Amount,
        loaded: Callable[[str], Awaitable[None]],
    ) -> None:
        self._loaded = loaded
        self._services = services
        self._lanes = lanes
        self._factories = factories
        self._connect_min = connect_min
        self._slots = asyncio.Semaphore(services.limits.connect_concurrency)
        self._tasks: dict[AccountId, asyncio.Task[None]] = {}
        self._begun: set[AccountId] = set()
        self._settled = asyncio.Event()

    def add_factory(self, venue: str, factory: AccountFactory) -> None:
        """One more venue whose accounts can be connected."""
        self._factories[venue] = factory

    def start(self, member: Member, venue: str) -> asyncio.Task[None]:
        """Begin to connect; the task ends with the first attempt that was not the venue's own trouble."""
        account = member.terms.account
        task = self._tasks.get(account)
        if task is None or task.done():
            if member.connecting:  # not for one whose venue is known not to answer
                self._begun.add(account)
                self._settled.clear()
            task = self._tasks[account] = asyncio.create_task(self._connect(member, venue))
            task.add_done_callback(lambda _: self._settle(account))
        return task

    def recheck(self, account: AccountId) -> None:
        """See whether a parked account works again; if it does, its lane goes on."""
        member, task = self._services.roster.get(account), self._tasks.get(account)
        if member is not None and (task is None or task.done()):
            self._tasks[account] = asyncio.create_task(self._recheck(member))

    async def _recheck(self, member: Member) -> None:
        account = member.terms.account
        if member.client is None:
            await self._connect(member, venue_of(account))
            return
        try:
            async with self._slots:
                await self._prove(member.client)
        except (Refused, VenueError, NonceUnavailable) as error:
            log.warning("%s stays parked: %s", account, error)
        except Exception:
            log.exception("checking %s again", account)
        else:
            self._services.alert(AlertKind.WORKS_AGAIN, f"{account} works again", account)
            self._lanes.of(account).clear()

    async def settled(self, timeout_s: float) -> None:
        """Wait until every account is connected, cannot be, or is at a venue that does not answer; so long at most."""
        if self._begun:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._settled.wait(), timeout_s)

    def venue_down(self, venue: str, detail: str) -> None:
        """The venue's markets cannot be read: none of its accounts can be reached until they are."""
        for member in self._services.roster:
            if venue_of(member.terms.account) == venue and member.client is None and member.connecting:
                member.connecting, member.unreachable = False, (Reason.NOT_CONNECTED, detail)
                self._settle(member.terms.account)
                self._lanes.of(member.terms.account).wake()

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for member in self._services.roster:
            if member.client is not None:
                await member.client.close()

    async def _connect(self, member: Member, venue: str) -> None:
        attempt = 0
        try:
            await self._loaded(venue)
            while True:
                async with self._slots:
                    again = await self._attempt(member, venue)
                member.connecting = False
                if member.unreachable is None:
                    self._lanes.of(member.terms.account).clear()
                    return
                self._lanes.of(member.terms.account).wake()
                if attempt == 0 and member.terms.enabled:
                    reason, detail = member.unreachable
                    self._services.alert(
                        AlertKind.NOT_CONNECTED,
                        f"{member.terms.account} is not connected: {reason.text} {detail}".rstrip(),
                        member.terms.account,
                    )
                if not again:
                    return
                await self._services.pause(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1
        except ServiceStopping:
            return
        except Exception as error:
            log.exception("connecting %s", member.terms.account)
            member.connecting = False
            member.unreachable = (Reason.NOT_CONNECTED, f"a fault in the service: {type(error).__name__}")
            self._lanes.of(member.terms.account).wake()

    def _settle(self, account: AccountId) -> None:
        self._begun.discard(account)
        if not self._begun:
            self._settled.set()

    async def _attempt(self, member: Member, venue: str) -> bool:
        """One attempt; True when it is worth another."""
        account = member.terms.account
        client: AccountClient | None = None
        try:
            factory = self._factories.get(venue)
            if factory is None:
                raise Refused(Reason.NOT_CONNECTED, f"venue {venue} is not supported by this version")
            client = factory(account)
            await self._prove(client)
        except Refused as error:
            member.unreachable = (error.reason, error.detail)
            again = error.reason is Reason.BELOW_MIN_BALANCE
        except CredentialsRejected as error:
            member.unreachable, again = (Reason.BAD_KEY, str(error)), False
        except (VenueError, NonceUnavailable) as error:
            member.unreachable, again = (Reason.NOT_CONNECTED, str(error)), True
        else:
            member.client, member.unreachable = client, None
            return False
        if client is not None:
            await client.close()
        return again

    async def _prove(self, client: AccountClient) -> None:
        """See that the key may trade and may not withdraw, and that the account holds enough to begin with."""
        report = await client.check_key()
        if report.problems:
            raise Refused(Reason.NO_PERMISSION, "; ".join(report.problems))
        for warning in report.warnings:
            log.warning("%s: %s", client.account, warning)
        asked_at = self._services.clock()
        balances = await client.balances()
        self._services.books.observe(client.account, balances, asked_at)
        self._services.ledger.observe({client.account: balances})
        await self._services.keeper.take(client.account, balances)
        if balances.equity < self._connect_min:
            detail = f"equity {balances.equity} is under guards.connect_min {self._connect_min}"
            raise Refused(Reason.BELOW_MIN_BALANCE, detail)
