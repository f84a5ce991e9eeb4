"""What the pages ask of the engine beyond its state: drift in a few words, repairs, one follower flattened."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from copytrade.console import drifting
from copytrade.console.web.particulars import trades_alone
from copytrade.domain.account import AccountId
from copytrade.engine.service import Engine

Json = dict[str, Any]


def drift_words(engine: Engine, account: AccountId) -> str | None:
    """How far the account is from what the master's position implies, as of the last look; None when it is not."""
    rows = [row for row in engine.reconciler.report(account) if row.error]
    if not rows or trades_alone(engine, account):
        return None
    worst = max(rows, key=lambda row: abs(row.share or Decimal(0)))
    base = worst.symbol.partition("/")[0]
    share = "" if worst.share is None else f" ({worst.share:+.2%} of equity)"
    more = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"{worst.error:+f} {base}{share}{more}"


async def reconcile(engine: Engine, account: str | None, *, write_off: bool = False) -> Json:
    """Look and place the exits that are owed, for one account or for all. With `write_off`, which is for one, what its
    owner has taken away is written off first. Raises `CopyTradeError`."""
    body = {"user": account, "repair": "exits", "write_off": write_off}
    outcome = await drifting.reconcile(engine, body)
    return {**_brief(outcome), "written_off": outcome["written_off"], "notes": outcome["notes"]}


async def flatten(engine: Engine, account: str, instrument: str | None = None) -> Json:
    """Close every copied position of one account, or that in one instrument. Raises `CopyTradeError`."""
    return _brief(await drifting.flatten(engine, {"user": account, "instrument": instrument}))


def _brief(outcome: Json) -> Json:
    return {"signals": len(outcome["signals"]), "summary": outcome["summary"]}
