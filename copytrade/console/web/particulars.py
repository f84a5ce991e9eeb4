"""What single pages tell beyond a row: why a follower is off its ideal, what is kept for later, who scans what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from copytrade.domain.account import AccountId, Mode
from copytrade.domain.reasons import Reason
from copytrade.engine.roster import Member
from copytrade.engine.service import Engine

Json = dict[str, Any]
Redact = Callable[[str], str]
Progress = Callable[[], Mapping[str, Any]]
"""What the loops beside trading are doing, as `independents.progress` tells it."""

_LOOPS_MAX = 50  # of thousands that trade by themselves, those in trouble are what a page is for
_DIGITS = Decimal("1E-10")  # no venue's lots are finer than nine decimals


def drift_rows(engine: Engine, account: AccountId) -> list[Json]:
    """Each instrument in which the account is off its ideal, with the causes, as of the last look. None for one that
    trades by itself: it is not measured by the master."""
    if trades_alone(engine, account):
        return []
    return [
        {
            "symbol": row.symbol, "ideal": _figure(row.ideal), "actual": _figure(row.actual),
            "missing": _figure(row.missing), "error": _figure(row.error),
            "share": None if row.share is None else str(row.share.quantize(Decimal("0.0001"))), "dust": row.dust,
            "causes": [{**_cause(cause), "quantity": _figure(part)} for cause, part in row.causes if part],
        }
        for row in engine.reconciler.report(account) if row.error or row.missing
    ]  # fmt: skip


def carried(engine: Engine, account: AccountId) -> list[Json]:
    """Entries below the venue's minimum that wait for company."""
    kept = engine.services.ledger.state.standing.carried.get(account, {})
    return [
        {"symbol": symbol, "quantity": str(each.quantity), "price": str(each.price), "since": each.since.isoformat()}
        for symbol, each in sorted(kept.items())
    ]


def loop_of(engine: Engine, member: Member, progress: Mapping[str, Any], redact: Redact) -> Json | None:
    """How the account's own strategy fares; None for one that is copied to."""
    account = member.terms.account
    if not trades_alone(engine, account):
        return None
    alone = account in engine.services.ledger.state.standing.alone
    found = next((each for each in progress.get("independent", ()) if each["account"] == account), None)
    told = _loop(found, redact) if found is not None else {"standing": "runs" if alone else "waits", "last_error": ""}
    return {**told, "alone": alone}


def scans(progress: Mapping[str, Any]) -> list[Json]:
    """What is scanned for whom: for the master, and at each venue for the accounts that trade by themselves."""
    owners = [("master", progress.get("scan", {}))]
    owners += [(f"independent at {venue}", each) for venue, each in progress.get("independent_scan", {}).items()]
    return [
        {
            "owner": owner, "venue": venue, "progress": str(scan["progress"]), "health_percent": scan["health_percent"],
            "breaker": str(scan["breaker"]), "rounds": scan["rounds"],
        }
        for owner, each in owners for venue, scan in sorted(each.items())
    ]  # fmt: skip


def loops(progress: Mapping[str, Any], redact: Redact) -> Json:
    """The accounts that trade by themselves: how many, and those that are in trouble or wait."""
    every = progress.get("independent", ())
    standing: dict[str, int] = {}
    for each in every:
        standing[each["standing"]] = standing.get(each["standing"], 0) + 1
    trouble = [each for each in every if each["errors_in_a_row"] or each["standing"] != "runs"]
    trouble.sort(key=lambda each: (-each["errors_in_a_row"], each["account"]))
    return {
        "count": len(every), "standing": standing, "trouble": len(trouble),
        "shown": [{"account": each["account"], **_loop(each, redact)} for each in trouble[:_LOOPS_MAX]],
    }  # fmt: skip


def trades_alone(engine: Engine, account: AccountId) -> bool:
    """Whether the account runs a strategy of its own, or is on its way to or from that."""
    member = engine.services.roster.get(account)
    wanted = member is not None and member.terms.mode is Mode.INDEPENDENT
    return wanted or account in engine.services.ledger.state.standing.alone


def _cause(text: str) -> Json:
    """A cause and, in words, the reason behind it where there is one."""
    cause, _, reason = text.partition(": ")
    try:
        return {"cause": cause, "why": Reason(reason).text if reason else ""}
    except ValueError:
        return {"cause": cause, "why": reason.replace("_", " ")}


def _loop(each: Mapping[str, Any], redact: Redact) -> Json:
    kept = ("standing", "health_percent", "cycles", "errors", "errors_in_a_row", "took_s", "ended_at")
    return {**{name: each[name] for name in kept}, "last_error": redact(each["last_error"])}


def _figure(value: Decimal) -> str:
    """Without the digits of the reckoning."""
    return f"{value.quantize(_DIGITS).normalize():f}"
