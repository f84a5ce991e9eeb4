"""What an API key may do, and whether it may be traded with."""

from __future__ import annotations

from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.venue import KeyReport

# docs.kraken.com, "Get API key info". Without the first group an order cannot be placed and followed to its end; a
# key with one of the second can lose the money if it leaks, and this service never needs it.
NEEDED = ("query-funds", "query-open-trades", "query-closed-trades", "modify-trades", "close-trades")
FORBIDDEN = ("withdraw-funds", "add-withdraw-address", "update-withdraw-address")
NOT_NEEDED = ("add-funds", "earn-funds")
STREAM = "create-ws-token"


def read_key_info(account: AccountId, result: Any) -> KeyReport:
    """The report from the result of `GetApiKeyInfo`. Raises `VenueUnavailable`."""
    permissions = result.get("permissions") if isinstance(result, dict) else None
    if not isinstance(permissions, list) or not all(isinstance(permission, str) for permission in permissions):
        raise VenueUnavailable(f"{account}: Kraken's answer about the API key has no list of permissions")
    problems = [
        f"the key has the permission {permission}: make one without it at kraken.com (a copying key never withdraws)"
        for permission in FORBIDDEN
        if permission in permissions
    ]
    problems += [
        f"the key lacks the permission {permission}: add it at kraken.com"
        for permission in NEEDED
        if permission not in permissions
    ]
    warnings = [
        f"the key has the permission {permission}, which is not needed: take it away at kraken.com"
        for permission in NOT_NEEDED
        if permission in permissions
    ]
    if STREAM not in permissions:
        warnings.append(
            f"the key lacks the permission {STREAM}: changes of its orders are asked for now and then instead of told "
            "at once; add it at kraken.com"
        )
    if str(result.get("nonceWindow", 0)) != "0":
        warnings.append("the key has a nonce window: set it to 0 at kraken.com, a late request could still be taken")
    if not result.get("ipAllowlist"):
        warnings.append("the key works from any address: restrict it to this machine's at kraken.com")
    if str(result.get("validUntil", "0")) != "0":
        warnings.append(f"the key ends by itself (validUntil {result['validUntil']!s:.20}, seconds since 1970)")
    return KeyReport(account, tuple(permissions), tuple(problems), tuple(warnings))


def last_nonce(result: Any) -> int | None:
    """The last nonce that Kraken saw for the key, if it tells."""
    nonce = str(result.get("nonce", "")) if isinstance(result, dict) else ""
    return int(nonce) if nonce.isascii() and nonce.isdigit() and len(nonce) <= 19 else None


def read_withdraw_probe(account: AccountId, errors: list[str]) -> KeyReport:
    """The report when Kraken does not know `GetApiKeyInfo`: only whether the key may withdraw can be told."""
    if any(error.startswith("EGeneral:Permission denied") for error in errors):
        return KeyReport(account, (), (), ("Kraken does not list the key's permissions; it cannot withdraw",))
    if not errors:
        return KeyReport(account, (), ("the key may withdraw: make one without that permission at kraken.com",))
    return KeyReport(account, (), (f"whether the key may withdraw cannot be told: {'; '.join(errors)[:200]}",))
