"""Whether an account may be traded with. What its key may do, Alpaca tells nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.errors import VenueUnavailable
from copytrade.domain.venue import KeyReport

# What stops an account, and what to do about it. Source: docs.alpaca.markets, "Account object".
_STOPS = (
    ("trading_blocked", "Alpaca has blocked trading in this account: ask its support"),
    ("account_blocked", "Alpaca has blocked this account: ask its support"),
    ("trade_suspended_by_user", "trading is suspended in the account's settings: end it there (suspend trading)"),
)
_CANNOT_ASK = (
    "Alpaca tells nobody what a key may do: an ordinary key may withdraw coins once crypto transfers are set up in the "
    "account. Leave the account without crypto wallets, or see that its list of withdrawal addresses is empty"
)


def read_account(account: AccountId, body: Any) -> KeyReport:
    """The report from the account object. Raises `VenueUnavailable`."""
    if not isinstance(body, Mapping) or not isinstance(body.get("status"), str):
        raise VenueUnavailable(f"{account}: Alpaca's answer about the account has no status")
    problems, warnings = [], []
    if body["status"] != "ACTIVE":
        problems.append(f"the account is {body['status']:.40}, not ACTIVE: finish opening it at alpaca.markets")
    problems += [advice for field, advice in _STOPS if body.get(field) is not False]
    if body.get("crypto_status") != "ACTIVE":
        warnings.append(
            f"trading in coins is {body.get('crypto_status') or 'not enabled'!s:.40} for this account: only stocks are "
            "copied; accept the crypto agreement at alpaca.markets to change that"
        )
    if body.get("transfers_blocked") is not True:
        warnings.append(_CANNOT_ASK)
    return KeyReport(account, (), tuple(problems), tuple(warnings))
