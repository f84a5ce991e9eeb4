"""Kraken's error strings, as the documentation lists them, and the one exception that carries them."""

from __future__ import annotations

INVALID_ARGUMENTS = "EGeneral:Invalid arguments"
PERMISSION_DENIED = "EGeneral:Permission denied"
UNKNOWN_METHOD = "EGeneral:Unknown method"
INTERNAL_ERROR = "EGeneral:Internal error"
TEMPORARY_LOCKOUT = "EGeneral:Temporary lockout"
INVALID_KEY = "EAPI:Invalid key"
INVALID_SIGNATURE = "EAPI:Invalid signature"
INVALID_NONCE = "EAPI:Invalid nonce"
RATE_LIMIT = "EAPI:Rate limit exceeded"
FEATURE_DISABLED = "EAPI:Feature disabled"
DEADLINE_ELAPSED = "EService:Deadline elapsed"
MARKET_CANCEL_ONLY = "EService:Market in cancel_only mode"
MARKET_POST_ONLY = "EService:Market in post_only mode"
MARKET_LIMIT_ONLY = "EService:Market in limit_only mode"
UNAVAILABLE = "EService:Unavailable"
UNKNOWN_PAIR = "EQuery:Unknown asset pair"
UNKNOWN_ASSET = "EQuery:Unknown asset"
INSUFFICIENT_FUNDS = "EOrder:Insufficient funds"
ORDER_MINIMUM = "EOrder:Order minimum not met"
COST_MINIMUM = "EOrder:Cost minimum not met"
TICK_SIZE = "EOrder:Tick size check failed"
INVALID_PRICE = "EOrder:Invalid price"
ORDER_RATE_LIMIT = "EOrder:Rate limit exceeded"
ORDERS_LIMIT = "EOrder:Orders limit exceeded"
UNKNOWN_ORDER = "EOrder:Unknown order"
POST_ONLY = "EOrder:Post only order"
# Kraken documents that a duplicate is refused, not in which words; this is the wording clients report.
DUPLICATE_CLIENT_ID = "EOrder:Duplicate order"


class KrakenError(Exception):
    """An answer with one error string. Kraken sends these with HTTP 200."""

    def __init__(self, text: str, detail: str = "") -> None:
        self.text = f"{text}:{detail}" if detail else text
        super().__init__(self.text)


def invalid(field: str) -> KrakenError:
    """The error for an argument that cannot be taken."""
    return KrakenError(INVALID_ARGUMENTS, field)
