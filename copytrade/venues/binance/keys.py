"""What an API key may do, and whether it may be traded with."""

from __future__ import annotations

from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.venue import KeyReport

# Binance's page "Get API Key Permission". Without the first group an order cannot be placed and followed; a key with
# one of the second can lose the money if it leaks, and this service never needs it. (`canWithdraw` of the account's
# own page is about the account and says nothing about a key.)
NEEDED = ("enableReading", "enableSpotAndMarginTrading")
FORBIDDEN = ("enableWithdrawals", "enableInternalTransfer", "permitsUniversalTransfer")
NOT_NEEDED = ("enableMargin", "enableFutures", "enableVanillaOptions", "enablePortfolioMarginTrading")
RESTRICT_TEXT = "the key works from any address: restrict it to this machine's at binance.com"


def read_key_info(account: AccountId, result: Any, *, require_ip_restriction: bool) -> KeyReport:
    """The report from the answer of `apiRestrictions`. Raises `VenueUnavailable`."""
    if not isinstance(result, dict):
        raise VenueUnavailable(f"{account}: Binance's answer about the API key is no list of permissions")
    problems = []
    for permission in FORBIDDEN:
        if result.get(permission) is True:
            problems.append(
                f"the key has the permission {permission}: make one without it at binance.com (a copying key never "
                "moves money)"
            )
        elif result.get(permission) is not False:
            problems.append(
                f"whether the key has the permission {permission} cannot be told: {result.get(permission)!r:.20}"
            )
    problems += [
        f"the key lacks the permission {permission}: add it at binance.com"
        for permission in NEEDED
        if result.get(permission) is not True
    ]
    warnings = [
        f"the key has the permission {permission}, which is not needed: take it away at binance.com"
        for permission in NOT_NEEDED
        if result.get(permission) is True
    ]
    if result.get("ipRestrict") is not True:
        (problems if require_ip_restriction else warnings).append(RESTRICT_TEXT)
    if "tradingAuthorityExpirationTime" in result:
        ends = result["tradingAuthorityExpirationTime"]
        warnings.append(f"the key's permission to trade ends by itself ({ends!s:.20}, milliseconds since 1970)")
    granted = tuple(sorted(name for name, value in result.items() if value is True))
    return KeyReport(account, granted, tuple(problems), tuple(warnings))


def without_key_info(account: AccountId) -> KeyReport:
    """The report where the venue has no call to ask (its test net)."""
    warning = "this venue cannot be asked what the key may do: see to it yourself that it cannot withdraw or transfer"
    return KeyReport(account, (), (), (warning,))
