"""Binance's errors: a code, a message and an HTTP status; and the one exception that carries them.

Codes and messages are those of the exchange's errors page. Where it does not name an HTTP status, 400 is used, which
the REST page gives for malformed requests; 401 for keys is what clients report.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# The status of codes that are answered with another one than 400.
_STATUSES = {
    -1000: 500, -1001: 500, -1002: 401, -1003: 429, -1006: 500, -1007: 504, -1008: 503, -1015: 429,
    -2014: 401, -2015: 401,
}  # fmt: skip
_FAULT_TEXT = re.compile(r"(?:(\d{3}) )?(-\d{1,5})[ :]\s*(.*)", re.DOTALL)


class BinanceError(Exception):
    """An answer `{"code": -1121, "msg": "Invalid symbol."}` with its HTTP status."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = _STATUSES.get(code, 400) if status is None else status
        self.headers = dict(headers or {})
        self.data = data

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        shown: dict[str, Any] = {"code": self.code, "msg": self.message}
        return shown if self.data is None else {**shown, "data": self.data}


def from_text(text: str) -> BinanceError:
    """The error that a fault asks for: `-1007 Timeout...`, with an HTTP status in front if need be: `408 -1007 ...`.

    Any other text becomes the message of -1000.
    """
    found = _FAULT_TEXT.fullmatch(text)
    if found is None:
        return BinanceError(-1000, text)
    return BinanceError(int(found[2]), found[3], status=int(found[1]) if found[1] else None)


def missing(name: str) -> BinanceError:
    """A parameter that has to be there is not."""
    return BinanceError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal(name: str, legal: str) -> BinanceError:
    """A parameter with characters that may not be in it."""
    return BinanceError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def not_required(name: str) -> BinanceError:
    """A parameter that this kind of order does not take."""
    return BinanceError(-1106, f"Parameter '{name}' sent when not required.")


def filter_failure(name: str) -> BinanceError:
    """A rule of the symbol that an order breaks."""
    return BinanceError(-1013, f"Filter failure: {name}")


def refused(message: str) -> BinanceError:
    """The matching engine takes the order not."""
    return BinanceError(-2010, message)


def not_simulated(what: str) -> BinanceError:
    """The exchange can do this, the simulator cannot, and says so."""
    return BinanceError(-1020, f"This operation is not supported. ({what} is not simulated)")


INVALID_SYMBOL = (-1121, "Invalid symbol.")
BAD_KEY_FORMAT = (-2014, "API-key format invalid.")
BAD_KEY = (-2015, "Invalid API-key, IP, or permissions for action.")
BAD_SIGNATURE = (-1022, "Signature for this request is not valid.")
TOO_OLD = (-1021, "Timestamp for this request is outside of the recvWindow.")
TOO_EARLY = (-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
UNAUTHORIZED = (-1002, "You are not authorized to execute this request.")
NO_SUCH_ORDER = (-2013, "Order does not exist.")
UNKNOWN_ORDER = (-2011, "Unknown order sent.")
ID_MISMATCH = (-2039, "Client order ID is not correct for this order ID.")
ARCHIVED = (-2026, "Order was canceled or expired with no executed qty over 90 days ago and has been archived.")
