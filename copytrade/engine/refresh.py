"""Balances in the background: everyone in turn, spread evenly, and sooner after a fill."""

from __future__ import annotations

import asyncio

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueError
from copytrade.engine.roster import Member
from copytrade.engine.services import Services, ServiceStopping, log

_TICK_S = 0.5
_AFTER_FILL_S = 2.0  # several fills of one account come together; one look after them serves all
_AFTER_FILL_MAX = 10  # a tick: a fan-out to 1,000 is looked after within a minute, at 40 calls a second
_CATCH_UP = 1.25  # a little more than an even share, or a round that fell behind would stay behind
_AFTER_FAILURE_S = 15.0  # a venue in trouble is not asked harder
_QUIET_S = 0.05


class Refresher:
    """Reads every connected account's balances once a round, and in any case before half of `equity_max_age_s`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._reading: dict[AccountId, asyncio.Task[None]] = {}
        self._soon: dict[AccountId, float] = {}
        self._not_before: dict[AccountId, float] = {}

    def soon(self, account: AccountId) -> None:
        """The account has traded: look again shortly."""
        self._soon[account] = asyncio.get_running_loop().time() + _AFTER_FILL_S

    async def now(self, account: AccountId, timeout_s: float) -> None:
        """Look now; returns after `timeout_s` at the latest, with the books as they are if the venue is slower."""
        await asyncio.wait({self._start(account)}, timeout=timeout_s)

    async def run(self) -> None:
        """Refresh until the service stops."""
        try:
            while True:
                await self._services.pause(_TICK_S)
                await self._refresh_due()
        except ServiceStopping:
            for task in list(self._reading.values()):
                task.cancel()
            await asyncio.gather(*self._reading.values(), return_exceptions=True)

    async def _refresh_due(self) -> None:
        services = self._services
        period_s = min(services.limits.refresh_spread_s, services.rules.equity_max_age_s / 2)
        members = [m for m in services.roster if m.client is not None]
        # No more than an even share of the round per tick, so that 10,000 accounts read at one time drift apart.
        share = int(len(members) * _TICK_S / period_s * _CATCH_UP) + 1
        after_fill, old = self._due(members, period_s)
        for member in after_fill[:_AFTER_FILL_MAX] + old[:share]:
            while services.sends_in_flight:
                await services.pause(_QUIET_S)
            while len(self._reading) >= services.limits.refresh_concurrency:
                await asyncio.wait(self._reading.values(), return_when=asyncio.FIRST_COMPLETED)
            self._start(member.terms.account)

    def _due(self, members: list[Member], period_s: float) -> tuple[list[Member], list[Member]]:
        """Those that have traded, and those whose turn it is, the oldest figures first."""
        services, loop_time, now = self._services, asyncio.get_running_loop().time(), self._services.clock()
        after_fill, old = [], []
        for member in members:
            account = member.terms.account
            if account in self._reading or account in services.ledger.state.parked:
                continue
            if self._not_before.get(account, 0.0) > loop_time:
                continue
            if self._soon.get(account, loop_time + 1) <= loop_time:
                after_fill.append(member)
                continue
            balances = services.books.balances(account)
            age_s = (now - balances.at).total_seconds() if balances else period_s + 1
            if age_s > period_s:
                old.append((age_s, member))
        old.sort(key=lambda entry: -entry[0])
        return after_fill, [member for _, member in old]

    def _start(self, account: AccountId) -> asyncio.Task[None]:
        task = self._reading.get(account)
        if task is None:
            self._soon.pop(account, None)
            task = self._reading[account] = asyncio.create_task(self._read(account))
            task.add_done_callback(lambda _: self._reading.pop(account, None))
        return task

    async def _read(self, account: AccountId) -> None:
        services = self._services
        member = services.roster.get(account)
        if member is None or member.client is None:
            return
        asked_at = services.clock()
        try:
            balances = await member.client.balances()
        except VenueError as error:
            log.warning("%s: balances cannot be read now: %s", account, error)
            self._not_before[account] = asyncio.get_running_loop().time() + _AFTER_FAILURE_S
            return
        services.books.observe(account, balances, asked_at)
        services.ledger.observe({account: balances})
        await services.keeper.take(account, balances)
