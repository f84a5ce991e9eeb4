"""API keys and what they may do.

A request carries key and secret in two headers, and nothing else proves who it is from: no signature, no time, no
nonce. An ordinary key may do everything, withdrawals included where the account has crypto wallets; only an OAuth
token is narrowed to scopes. There are no tokens here, but a key can be narrowed like one; none reaches a wallet.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from copytrade.simulator.alpaca.errors import AlpacaError, forbidden

TRADING = "trading"
ACCOUNT_WRITE = "account:write"
DATA = "data"
SCOPES = (ACCOUNT_WRITE, DATA, TRADING)


@dataclass(slots=True)
class ApiKey:
    """One key of one account."""

    key: str
    secret: str = field(repr=False)
    account: str
    scopes: frozenset[str]
    created_at_s: float


def authenticate(
    keys: Mapping[str, ApiKey], headers: Mapping[str, str], refusal: tuple[int, int | None, str]
) -> ApiKey:
    """The key that a request is from. Raises AlpacaError with `refusal` when key or secret is missing or wrong."""
    key, secret = headers.get("apca-api-key-id"), headers.get("apca-api-secret-key")
    known = keys.get(key or "")
    # Compared in any case, so that an unknown key takes as long as a wrong secret.
    right = hmac.compare_digest(
        ("" if known is None else known.secret).encode(), (secret or "").encode("utf-8", "surrogatepass")
    )
    if known is None or not right:
        raise AlpacaError(*refusal)
    return known


def require(api_key: ApiKey, scope: str | None) -> None:
    """Raise AlpacaError unless the key has the scope."""
    if scope is not None and scope not in api_key.scopes:
        raise forbidden("request is not authorized: insufficient scope")
