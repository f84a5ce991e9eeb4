"""`check`: what the worker would find, account by account, and what to do about it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from copytrade.console.logs import set_up_logging
from copytrade.console.output import print_error, print_json
from copytrade.console.running import worker_or_alone
from copytrade.domain.account import MASTER_USER, AccountId, account_id, user_of, venue_of
from copytrade.domain.errors import BadRequest, CopyTradeError, NonceUnavailable, Refused, VenueError
from copytrade.engine.killswitch import KillState, KillSwitch
from copytrade.engine.ports import AccountClient
from copytrade.settings.credentials import Missing
from copytrade.settings.faults import SettingsError
from copytrade.settings.load import Loaded
from copytrade.settings.model import Settings
from copytrade.settings.redaction import Redactor
from copytrade.wiring.ground import Ground
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import System, utc_now

Json = dict[str, Any]
_TIMEOUT_S = 120.0
_CONCURRENCY = 8

ClientOf = Callable[[AccountId], Awaitable[AccountClient]]


@dataclass(slots=True)
class Findings:
    """About one account: what is right, what to look at, what keeps it from trading."""

    account: str
    enabled: bool = True
    fine: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> Json:
        return {
            "account": self.account, "enabled": self.enabled, "ok": not self.problems, "fine": self.fine,
            "warnings": self.warnings, "problems": self.problems,
        }  # fmt: skip


def run_check(paths: Paths, venue: str | None, user: str | None, *, offline: bool, as_json: bool) -> int:
    """Exit code 1 if the worker would refuse to start, or the accounts that were asked for cannot trade."""
    redactor = Redactor()
    set_up_logging(redactor, "ERROR", "plain")
    try:
        if offline:
            result = _offline(paths, venue, user, redactor)
        else:
            result = _through_worker_or_alone(paths, venue, user, redactor)
    except (SettingsError, CopyTradeError) as error:
        print_error(redactor.redact(str(error)), as_json=as_json)
        return 1
    if as_json:
        print_json(result)
    else:
        _print(result)
    return 0 if result["would_start"] and (user is None or all(a["ok"] for a in result["accounts"])) else 1


async def check_running(system: System, venue: str | None, user: str | None) -> Json:
    """The same, inside the worker, over the clients that it has."""
    roster = system.engine.services.roster

    async def client_of(account: AccountId) -> AccountClient:
        member = roster.get(account)
        if member is None or member.client is None:
            if member is not None and member.unreachable is not None:
                raise Refused(*member.unreachable)
            raise BadRequest(f"{account} is not known to the worker")
        return member.client

    found = await _check_accounts(system.loaded, venue, user, client_of)
    return _result(system.paths, system.loaded, found, note="asked the running worker")


def _through_worker_or_alone(paths: Paths, venue: str | None, user: str | None, redactor: Redactor) -> Json:
    def alone() -> Json:
        return {"result": asyncio.run(_alone(paths, venue, user, redactor))}

    request = {"do": "check", "venue": venue, "user": user}
    answer = worker_or_alone(paths, request, alone, _TIMEOUT_S)
    if "error" in answer:
        raise CopyTradeError(answer["message"])
    result: Json = answer["result"]
    return result


async def _alone(paths: Paths, venue: str | None, user: str | None, redactor: Redactor) -> Json:
    ground = Ground(paths, os.environ, utc_now, redactor)
    try:
        await ground.open()
    except BaseException:
        await ground.close()
        raise
    try:

        async def client_of(account: AccountId) -> AccountClient:
            return ground.factories[venue_of(account)](account)

        found = await _check_accounts(ground.loaded, venue, user, client_of)
        return _result(paths, ground.loaded, found, note="")
    finally:
        for each in ground.venues.values():
            await each.close()
        await ground.close()


def _offline(paths: Paths, venue: str | None, user: str | None, redactor: Redactor) -> Json:
    from copytrade.settings.load import load

    loaded = load(paths.config, paths.users, os.environ, paths.dotenv)
    for secret in loaded.credentials.secrets():
        redactor.add(secret)
    found = [_of_files(loaded, account) for account in _accounts(loaded, venue, user)]
    return _result(paths, loaded, found, note="files only")


async def _check_accounts(loaded: Loaded, venue: str | None, user: str | None, client_of: ClientOf) -> list[Findings]:
    slots = asyncio.Semaphore(_CONCURRENCY)

    async def one(account: AccountId) -> Findings:
        findings = _of_files(loaded, account)
        if findings.problems:
            return findings
        async with slots:
            try:
                await _ask_venue(findings, await client_of(account), loaded.settings)
            except Refused as error:
                findings.problems.append(str(error))
            except (VenueError, NonceUnavailable, BadRequest) as error:
                findings.problems.append(str(error))
        return findings

    return list(await asyncio.gather(*(one(account) for account in _accounts(loaded, venue, user))))


async def _ask_venue(findings: Findings, client: AccountClient, settings: Settings) -> None:
    report = await client.check_key()
    findings.warnings += report.warnings
    findings.problems += report.problems
    if not report.problems:
        may = f" ({', '.join(report.permissions)})" if report.permissions else ""
        findings.fine.append(f"the key works{may}")
    balances = await client.balances()
    equity, cash, guards = balances.equity.value, balances.cash.value, settings.guards
    findings.fine.append(f"equity {equity:,.2f} {balances.currency}, free cash {cash:,.2f}")
    if equity < guards.connect_min:
        findings.problems.append(f"equity is under guards.connect_min {guards.connect_min}: deposit, or lower it")
    elif equity < guards.minimum_trading_balance:
        least = guards.minimum_trading_balance
        findings.warnings.append(f"equity is under guards.minimum_trading_balance {least}: no entries until it is not")
    if cash < guards.min_cash_to_buy:
        findings.warnings.append(f"free cash is under guards.min_cash_to_buy {guards.min_cash_to_buy}: no entries")


def _of_files(loaded: Loaded, account: AccountId) -> Findings:
    """What the files alone say of an account."""
    users = {user.account: user for user in loaded.users}
    findings = Findings(account)
    user = users.get(account)
    if user is not None:
        findings.enabled = user.enabled
        if not user.enabled:
            findings.warnings.append("not enabled: set enabled: true in its user file to copy to it")
        elif user.mode != "active":
            findings.warnings.append(f"mode is {user.mode}")
    if _is_paper(loaded.settings, venue_of(account)):
        findings.fine.append("paper mode: no credentials needed")
    else:
        state = loaded.credentials.by_account.get(account)
        if isinstance(state, Missing):
            findings.problems.append(f"no credentials: {state}")
        else:
            findings.fine.append("credentials found")
    return findings


def _accounts(loaded: Loaded, venue: str | None, user: str | None) -> list[AccountId]:
    accounts = [account_id(loaded.settings.master.venue, MASTER_USER)]
    accounts += [AccountId(u.account) for u in loaded.users]
    wanted = [a for a in accounts if (venue is None or venue_of(a) == venue) and (user is None or user_of(a) == user)]
    if not wanted:
        known = ", ".join(sorted({user_of(a) for a in accounts}))
        raise BadRequest(f"no account of user {user!r} at venue {venue or 'any'}; there are {known}")
    return wanted


def _is_paper(settings: Settings, venue: str) -> bool:
    return settings.mode == "paper" and venue not in settings.overridden_venues()


def _result(paths: Paths, loaded: Loaded, found: list[Findings], note: str) -> Json:
    master = account_id(loaded.settings.master.venue, MASTER_USER)
    stops = [f"{f.account}: {p}" for f in found if f.account == master for p in f.problems]
    kill = KillSwitch(paths.state, os.environ).look() if paths.state.is_dir() else KillState.OFF
    return {
        "mode": loaded.settings.mode,
        "would_start": not stops,
        "kill_switch": kill.value,
        "warnings": list(loaded.warnings),
        "accounts": [f.to_json() for f in found],
        "note": note,
    }


def _print(result: Json) -> None:
    note = f"; {result['note']}" if result["note"] else ""
    print(f"{result['mode']} mode; kill switch {result['kill_switch']}{note}")
    for warning in result["warnings"]:
        print(f"  ! {warning}")
    for account in result["accounts"]:
        print(f"{'ok ' if account['ok'] else 'NO '} {account['account']}")
        for line in account["fine"]:
            print(f"      {line}")
        for line in account["warnings"]:
            print(f"    ! {line}")
        for line in account["problems"]:
            print(f"    x {line}")
    ready = sum(a["ok"] and a["enabled"] for a in result["accounts"])
    start = "the worker would start" if result["would_start"] else "the worker would NOT start"
    print(f"{ready} of {len(result['accounts'])} accounts can trade; {start}")
