"""`limits` and `rearm`: how much of each follower's limits is used, and entries let through again."""

from __future__ import annotations

import os
from typing import Any

from copytrade.console.control import ask
from copytrade.console.output import clock_time, print_error, print_json, print_table
from copytrade.console.running import show_error, through_worker_or_alone
from copytrade.copying.limits import Usage, usage
from copytrade.domain.account import AccountId, user_of
from copytrade.domain.errors import BadRequest, LedgerError
from copytrade.domain.limits import LimitName
from copytrade.domain.money import Amount
from copytrade.engine.service import Engine
from copytrade.ledger.reader import LedgerReader
from copytrade.ledger.store import Ledger
from copytrade.settings.faults import SettingsError
from copytrade.settings.load import load
from copytrade.wiring.convert import follower_terms
from copytrade.wiring.paths import Paths
from copytrade.wiring.system import System

Json = dict[str, Any]
_ASK_TIMEOUT_S = 10.0
_REARM_TIMEOUT_S = 60.0


def run_limits(paths: Paths, user: str | None, *, as_json: bool) -> int:
    """Works with and without a worker; without one the figures are those last written down."""
    try:
        answer = ask(paths.socket, {"do": "limits", "user": user}, _ASK_TIMEOUT_S)
        if answer is not None and show_error(answer, as_json=as_json):
            return 1
        rows: list[Json] = answer["result"]["limits"] if answer is not None else _on_file(paths, user)
    except (SettingsError, LedgerError, TimeoutError, BadRequest) as error:
        print_error(str(error) or "the worker did not answer", as_json=as_json)
        return 1
    if as_json:
        print_json(rows)
        return 0
    lines = [
        (
            r["account"], r["limit"], r["used"] or "", r["allowed"], "" if r["share"] is None else f"{r['share']:.0%}",
            r["action"], r["rearm"], f"{clock_time(r['tripped_at'])} {r['detail']}" if r["tripped_at"] else "",
        )
        for r in rows
    ]  # fmt: skip
    columns = ("account", "limit", "used", "allowed", "share", "then", "armed again", "tripped")
    print_table("Limits", columns, lines, "no follower has such limits")
    return 0


def run_rearm(paths: Paths, user: str, limit: str | None, *, as_json: bool) -> int:
    if limit is not None and limit not in [name.value for name in LimitName]:
        known = ", ".join(name.value for name in LimitName)
        print_error(f"there is no limit {limit!r}: give one of {known}", as_json=as_json, kind="bad_request")
        return 2
    request = {"do": "rearm", "user": user, "limit": limit}

    async def alone(system: System) -> Json:
        return rearm(system.engine, request)

    answer = through_worker_or_alone(paths, request, alone, timeout_s=_REARM_TIMEOUT_S)
    if show_error(answer, as_json=as_json):
        return 1
    if as_json:
        print_json(answer["result"])
    else:
        for row in answer["result"]["rearmed"]:
            print(f"{row['account']}: {row['limit']} is armed again; losses count from now on")
    return 0


def limits(engine: Engine, body: Json) -> Json:
    """Every limit of one user's accounts, or of all. Raises `BadRequest` for a user that nobody knows."""
    accounts = _accounts(engine.services.roster.followers, body.get("user"))
    return {"limits": [_row(account, row) for account in accounts for row in engine.limits.usage(account)]}


def rearm(engine: Engine, body: Json) -> Json:
    """Let entries of one user's accounts through again. Raises `BadRequest` when no such limit has tripped."""
    user, limit = body.get("user"), body.get("limit")
    try:
        name = None if limit is None else LimitName(str(limit))
    except ValueError:
        raise BadRequest(f"there is no limit {limit!r:.40}") from None
    rearmed: list[Json] = []
    for account in _accounts(engine.services.roster.followers, user):
        trips = engine.services.ledger.state.standing.trips.get(account, {})
        if trips if name is None else name in trips:
            rearmed += [{"account": account, "limit": done.value} for done in engine.limits.rearm(account, name)]
    if not rearmed:
        raise BadRequest(f"{limit or 'no limit'} of {user} has {'not ' if limit else ''}tripped: limits shows them")
    return {"rearmed": rearmed}


def _accounts(known: Any, user: Any) -> list[AccountId]:
    found = [account for account in known if user is None or user in (account, user_of(account))]
    if user is not None and not found:
        raise BadRequest(f"no follower is called {user}: users shows them")
    return found


def _on_file(paths: Paths, user: str | None) -> list[Json]:
    """Raises `SettingsError`, `LedgerError` and `BadRequest`."""
    loaded = load(paths.config, paths.users, os.environ, paths.dotenv)
    terms = follower_terms(loaded.settings, loaded.users)
    accounts = _accounts(terms, user)
    equities: dict[str, Amount] = {}
    standing, held = None, dict.fromkeys(accounts, 0)
    if paths.ledger.exists():
        with LedgerReader(paths.ledger) as reader:
            equities = {row["account"]: Amount.of(row["equity"]) for row in reader.balances()}
        with Ledger.open(paths.ledger, read_only=True) as ledger:
            standing = ledger.state.standing
            for account, _ in ledger.state.positions:
                if account in held:
                    held[account] += 1
    rows = []
    for account in accounts:
        mark = standing.marks.get(account) if standing else None
        trips = standing.trips.get(account, {}) if standing else {}
        found = usage(terms[account], mark, equities.get(account), trips, None, held[account])
        rows += [_row(account, row) for row in found]
    return rows


def _row(account: AccountId, row: Usage) -> Json:
    return {
        "account": account, "limit": row.limit.value, "allowed": row.allowed, "used": row.used,
        "share": None if row.share is None else float(row.share), "action": row.action, "rearm": row.rearm,
        "tripped_at": row.trip.at.isoformat() if row.trip else None, "detail": row.trip.detail if row.trip else "",
    }  # fmt: skip
