"""`check`: what the worker would find, account by account, and what to do about it."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from copytrade.console.account_check import Checker, Findings, VenueFindings, accounts_of, of_files
from copytrade.console.logs import set_up_logging
from copytrade.console.output import print_error, print_json
from copytrade.console.running import worker_or_alone
from copytrade.domain.account import MASTER_USER, AccountId, account_id, user_of, venue_of
from copytrade.domain.errors import BadRequest, CopyTradeError, LedgerError, Refused
from copytrade.domain.order import Role
from copytrade.engine.killswitch import KillState, KillSwitch
from copytrade.engine.ports import AccountClient
from copytrade.ledger.reader import LedgerReader
from copytrade.settings.faults import SettingsError
from copytrade.settings.load import Loaded, load
from copytrade.settings.redaction import Redactor
from copytrade.wiring.ground import CannotStart, Ground
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import System, utc_now

Json = dict[str, Any]
_TIMEOUT_S = 120.0
_MASTER_ORDERS_LOOKED_AT = 500  # so far back is what the master trades
_OFTEN = 5  # accounts that share a line
_LINES_SHOWN_AT = 20  # accounts; of more, only those with something to look at are shown line by line


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


async def check_running(
    system: System, venue: str | None, user: str | None, turn: Callable[[], Awaitable[None]] | None = None
) -> Json:
    """The same, inside the worker, over the clients that it has. With `turn` one account after the other, each once
    that has been waited for."""
    roster = system.engine.services.roster

    async def client_of(account: AccountId) -> AccountClient:
        member = roster.get(account)
        if member is None or member.client is None:
            if member is not None and member.unreachable is not None:
                raise Refused(*member.unreachable)
            raise BadRequest(f"{account} is not known to the worker")
        return member.client

    traded = await asyncio.to_thread(_traded, system.paths, system.loaded)
    checker = Checker(system.loaded, system.engine.services.venues, client_of, traded, turn)
    found, venues = await checker.check(accounts_of(system.loaded, venue, user), load=False)
    return _result(system.paths, system.loaded, found, venues, note="asked the running worker")


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

        checker = Checker(ground.loaded, ground.venues, client_of, _traded(paths, ground.loaded))
        found, venues = await checker.check(accounts_of(ground.loaded, venue, user), load=True)
        return _result(paths, ground.loaded, found, venues, note="")
    finally:
        for each in ground.venues.values():
            await each.close()
        await ground.close()


def _offline(paths: Paths, venue: str | None, user: str | None, redactor: Redactor) -> Json:
    loaded = load(paths.config, paths.users, os.environ, paths.dotenv)
    for secret in loaded.credentials.secrets():
        redactor.add(secret)
    if paths.state.exists() and not os.access(paths.state, os.R_OK | os.W_OK | os.X_OK):
        raise CannotStart(f"{paths.state} cannot be written by this user: use the account that the worker runs under")
    found = [of_files(loaded, account) for account in accounts_of(loaded, venue, user)]
    return _result(paths, loaded, found, [], note="files only")


def _traded(paths: Paths, loaded: Loaded) -> set[str]:
    """The markets that the master holds, has lately traded, or will trade by its settings."""
    master = loaded.settings.master
    traded = {master.sample_instrument} if master.strategy == "sample" else set()
    if not paths.ledger.exists():
        return traded
    account = account_id(master.venue, MASTER_USER)
    try:
        with LedgerReader(paths.ledger) as ledger:
            traded |= {row["symbol"] for row in ledger.positions(account)}
            orders = ledger.orders(role=Role.MASTER, account=account, limit=_MASTER_ORDERS_LOOKED_AT)
            return traded | {order["symbol"] for order in orders}
    except LedgerError:
        return traded  # a ledger that cannot be read stops the start, which says so better


def _result(
    paths: Paths, loaded: Loaded, found: list[Findings], venues: list[VenueFindings], note: str
) -> Json:
    master = account_id(loaded.settings.master.venue, MASTER_USER)
    stops = [f"{f.account}: {p}" for f in found if f.account == master for p in f.problems]
    kill = KillSwitch(paths.state, os.environ).look() if paths.state.is_dir() else KillState.OFF
    return {
        "mode": loaded.settings.mode,
        "would_start": not stops,
        "kill_switch": kill.value,
        "warnings": list(loaded.warnings),
        "venues": [venue.to_json() for venue in venues],
        "accounts": [f.to_json() for f in found],
        "note": note,
    }


def _print(result: Json) -> None:
    note = f"; {result['note']}" if result["note"] else ""
    print(f"{result['mode']} mode; kill switch {result['kill_switch']}{note}")
    for warning in result["warnings"]:
        print(f"  ! {warning}")
    for venue in result["venues"]:
        if venue["problem"]:
            print(f"  x {venue['problem']}")
    accounts = result["accounts"]
    whole = len(accounts) <= _LINES_SHOWN_AT
    often = set() if whole else _print_often([line for account in accounts for line in account["warnings"]])
    for account in accounts:
        if not whole and account["ok"] and not set(account["warnings"]) - often:
            continue
        print(f"{'ok ' if account['ok'] else 'NO '} {account['account']}")
        for line in account["fine"] if whole else ():
            print(f"      {line}")
        for line in account["warnings"]:
            if line not in often:
                print(f"    ! {line}")
        for line in account["problems"]:
            print(f"    x {line}")
    ready = sum(a["ok"] and a["enabled"] for a in accounts)
    start = "the worker would start" if result["would_start"] else "the worker would NOT start"
    print(f"{ready} of {len(accounts)} accounts can trade; {start}")
    waiting = [a for a in accounts if a["enabled"] and not a["ok"]]
    for account in waiting[:_LINES_SHOWN_AT]:
        print(f"  next: {user_of(account['account'])}: {account['next']}")


def _print_often(lines: list[str]) -> set[str]:
    """Print what is true of many accounts once, and return it."""
    often = {line: count for line, count in Counter(lines).items() if count >= _OFTEN}
    for line, count in often.items():
        print(f"  ! {count} accounts: {line}")
    return set(often)
