"""What the pages ask of the engine beyond its state: drift in a few words, repairs, one follower flattened."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from copytrade.console import drifting
from copytrade.domain.account import AccountId
from copytrade.engine.service import Engine

Json = dict[str, Any]


def drift_words(engine: Engine, account: AccountId) -> str | None:
    """How far the account is from what the master's position implies, as of the last look; None when it is not."""
    rows = [row for row in engine.reconciler.report(account) if row.error]
    if not rows:
        return None
    worst = max(rows, key=lambda row: abs(row.share or Decimal(0)))
    base = worst.symbol.partition("/")[0]
    share = "" if worst.share is None else f" ({worst.share:+.2%} of equity)"
    more = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"{worst.error:+f} {base}{share}{more}"


async def reconcile(engine: Engine, account: str | None) -> Json:
    """Look and place the exits that are owed, for one account or for all. Raises `CopyTradeError`."""
    return _brief(await drifting.reconcile(engine, {"user": account, "repair": "exits"}))


async def flatten(engine: Engine, account: str) -> Json:
    """Close every copied position of one account. Raises `CopyTradeError`."""
    return _brief(await drifting.flatten(engine, {"user": account}))


def _brief(outcome: Json) -> Json:
    return {"signals": len(outcome["signals"]), "summary": outcome["summary"]}
