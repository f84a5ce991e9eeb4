"""How Coinbase says no: plain text for who you are, a JSON body for the request, HTTP 200 for what an order is.

Sources: the Advanced Trade error page (`{"error", "code", "message", "details"}`), the text that the official SDK
looks for in a 403, and payloads recorded by client libraries. The body of a 429 is not published; it is the one of
Coinbase's other interfaces here.
"""

from __future__ import annotations

import json
from typing import Any

from copytrade.simulator.venue import Reply

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

UNAUTHORIZED = "Unauthorized"
PERMISSION_DENIED = "PERMISSION_DENIED"
INVALID_ARGUMENT = "INVALID_ARGUMENT"
NOT_FOUND = "NOT_FOUND"
RATE_LIMITED = "rate_limit_exceeded"
MISSING_SCOPES = "Missing required scopes"

# HTTP status and gRPC code of each gateway error.
_GATEWAY = {
    INVALID_ARGUMENT: (400, 3),
    PERMISSION_DENIED: (403, 7),
    NOT_FOUND: (404, 5),
    "INTERNAL": (500, 13),
    "UNAVAILABLE": (503, 14),
}

UNSUPPORTED = "UNSUPPORTED_ORDER_CONFIGURATION"
INSUFFICIENT_FUND = "INSUFFICIENT_FUND"
INVALID_PRODUCT = "INVALID_PRODUCT_ID"
INVALID_SIDE = "INVALID_SIDE"
SIZE_PRECISION = "INVALID_SIZE_PRECISION"
PRICE_PRECISION = "INVALID_PRICE_PRECISION"
BASE_TOO_SMALL = "PREVIEW_INVALID_BASE_SIZE_TOO_SMALL"
BASE_TOO_LARGE = "PREVIEW_INVALID_BASE_SIZE_TOO_LARGE"
QUOTE_TOO_SMALL = "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL"
QUOTE_TOO_LARGE = "PREVIEW_INVALID_QUOTE_SIZE_TOO_LARGE"
ORDER_ENTRY_DISABLED = "ORDER_ENTRY_DISABLED"
POST_ONLY_CROSSES = "INVALID_LIMIT_PRICE_POST_ONLY"
INVALID_REQUEST = "INVALID_REQUEST"
DUPLICATE = "DUPLICATE_CLIENT_ORDER_ID"
NO_BRACKETS = "BRACKET_ORDER_NOT_SUPPORTED"
BRACKET_BY_VALUE = "QUOTE_SIZE_NOT_ALLOWED_FOR_BRACKET"
BRACKET_PRICES = "INVALID_BRACKET_PRICES"
BRACKET_LIMIT = "INVALID_BRACKET_LIMIT_PRICE"
BRACKET_STOP = "INVALID_BRACKET_STOP_TRIGGER_PRICE"
STOP_PRECISION = "PREVIEW_INVALID_STOP_PRICE_PRECISION"
TRIGGER_PRECISION = "PREVIEW_INVALID_STOP_TRIGGER_PRICE_PRECISION"
STOP_ABOVE_LIMIT = "PREVIEW_STOP_PRICE_ABOVE_LIMIT_PRICE"
STOP_BELOW_LIMIT = "PREVIEW_STOP_PRICE_BELOW_LIMIT_PRICE"
STOP_ABOVE_LAST = "PREVIEW_STOP_PRICE_ABOVE_LAST_TRADE_PRICE"
STOP_BELOW_LAST = "PREVIEW_STOP_PRICE_BELOW_LAST_TRADE_PRICE"

_MESSAGES = {
    INSUFFICIENT_FUND: "Insufficient balance in source account",
    INVALID_PRODUCT: "The product is not known",
    SIZE_PRECISION: "The size has too many decimals",
    PRICE_PRECISION: "The price has too many decimals",
    BASE_TOO_SMALL: "Base size is too small",
    QUOTE_TOO_SMALL: "Quote size is too small",
}


class CoinbaseError(Exception):
    """An answer that says no. `text` is what it is counted under."""

    def __init__(self, text: str, reply: Reply) -> None:
        super().__init__(text)
        self.text = text
        self.reply = reply


class OrderFailed(Exception):
    """An order that the venue will not take, which it says with HTTP 200; `reason` is one of the words above."""

    def __init__(self, reason: str, configuration: Any = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.configuration = configuration or {}


def unauthorized() -> CoinbaseError:
    """401 with plain text: the token does not hold."""
    return CoinbaseError(UNAUTHORIZED, Reply(UNAUTHORIZED.encode(), 401, "text/plain; charset=utf-8"))


def gateway(error: str, details: str) -> CoinbaseError:
    """An error of the gateway in its JSON shape."""
    status, code = _GATEWAY[error]
    body = {"error": error, "code": code, "error_details": details, "message": details, "details": []}
    return CoinbaseError(error, json_reply(body, status))


def missing_scopes() -> CoinbaseError:
    """403: the key lacks a permission. The SDK looks for this very text."""
    return gateway(PERMISSION_DENIED, MISSING_SCOPES)


def invalid(details: str) -> CoinbaseError:
    """400: the request is malformed."""
    return gateway(INVALID_ARGUMENT, details)


def not_found(what: str) -> CoinbaseError:
    """404."""
    return gateway(NOT_FOUND, f"{what} not found")


def rate_limited(shape: str, headers: dict[str, str]) -> CoinbaseError:
    """429 in one of the two shapes that clients report: `errors` (a list) or `error` (a word)."""
    if shape == "errors":
        body: dict[str, Any] = {"errors": [{"id": RATE_LIMITED, "message": "Too many requests"}]}
    else:
        body = {"error": RATE_LIMITED, "message": "Too many requests"}
    return CoinbaseError(RATE_LIMITED, json_reply(body, 429, headers))


def failed_order(reason: str, configuration: Any) -> dict[str, Any]:
    """The body of a refused order. Reasons of the preview come in their own field, as at the venue."""
    preview = reason if reason.startswith("PREVIEW_") else f"PREVIEW_{reason}"
    error = "UNKNOWN_FAILURE_REASON" if reason.startswith("PREVIEW_") else reason
    return {
        "success": False,
        "error_response": {
            "error": error,
            "message": _MESSAGES.get(reason, reason),
            "error_details": "",
            "preview_failure_reason": preview,
            "new_order_failure_reason": error,
        },
        "order_configuration": configuration,
    }


def as_reply(text: str, shape: str) -> Reply:
    """An error by its text, for faults: a gateway word, `Unauthorized`, a rate limit, or else an order's failure."""
    if text == UNAUTHORIZED:
        return unauthorized().reply
    if text == RATE_LIMITED:
        return rate_limited(shape, {}).reply
    if text in _GATEWAY:
        return gateway(text, MISSING_SCOPES if text == PERMISSION_DENIED else text.lower()).reply
    if text.startswith("EService:"):  # the shared machinery's word for a venue that is down
        return gateway("UNAVAILABLE", "unavailable").reply
    return json_reply(failed_order(text, {}))


def json_reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    """A JSON answer. Compact, since clients compare texts in it."""
    return Reply(_encode(body).encode(), status, "application/json; charset=utf-8", headers)
