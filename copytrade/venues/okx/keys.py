"""What an API key may do, and whether it may be traded with."""

from __future__ import annotations

from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.venue import KeyReport

NEEDED = "trade"
FORBIDDEN = "withdraw"
# Account modes (`acctLv`) in which a spot order is paid with what is there: spot, and spot with futures beside it.
# In the margin modes (3, 4) it may borrow.
CASH_MODES = ("1", "2")


def read_config(account: AccountId, data: list[Any]) -> KeyReport:
    """The report from `/account/config`. Raises `VenueUnavailable`."""
    config = data[0] if len(data) == 1 and isinstance(data[0], dict) else {}
    perm, ip = config.get("perm"), config.get("ip")
    if not isinstance(perm, str) or not isinstance(ip, str):
        raise VenueUnavailable(f"{account}: OKX's answer about the account does not say what the API key may do")
    permissions = tuple(part.strip() for part in perm.split(",") if part.strip())
    problems, warnings = [], []
    if FORBIDDEN in permissions:
        problems.append("the key has the permission withdraw: make one without it at okx.com (copying never withdraws)")
    if NEEDED not in permissions:
        problems.append("the key lacks the permission trade: add it at okx.com")
    mode = str(config.get("acctLv", ""))
    if mode not in CASH_MODES:
        problems.append(
            f"the account is in mode {mode or 'unknown'} (acctLv), where orders may borrow: set spot mode at okx.com"
        )
    if not ip:
        warnings.append(
            "the key works from any address and ends after 14 days without use: bind it to this machine's at okx.com "
            "(with the permission trade it may also move funds between your own accounts at OKX)"
        )
    return KeyReport(account, permissions, tuple(problems), tuple(warnings))
