"""What an API key may do, and whether it may be traded with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.venue import KeyReport

_NEEDED = {"can_view": "View", "can_trade": "Trade"}
_WHERE = "at portal.cdp.coinbase.com"


def read_permissions(account: AccountId, body: Mapping[str, Any]) -> KeyReport:
    """The report from `key_permissions`. Raises `VenueUnavailable` unless all three permissions are told.

    `can_transfer` covers sends and withdrawals: with it, the older wallet interface sends coins anywhere.
    """
    granted = {name: body.get(name) for name in (*_NEEDED, "can_transfer")}
    if not all(isinstance(value, bool) for value in granted.values()):
        raise VenueUnavailable(f"{account}: Coinbase's answer about the API key does not tell its permissions")
    problems = []
    if granted["can_transfer"]:
        problems.append(
            f"the key has the permission Transfer (can_transfer): make one without it {_WHERE} "
            "(a copying key never withdraws)"
        )
    problems += [
        f"the key lacks the permission {word} ({name}): add it {_WHERE}"
        for name, word in _NEEDED.items()
        if not granted[name]
    ]
    warnings = []
    if body.get("can_receive") is True:
        warnings.append(f"the key has the permission Receive, which is not needed: take it away {_WHERE}")
    permissions = tuple(name for name, value in granted.items() if value)
    return KeyReport(account, permissions, tuple(problems), tuple(warnings))
