"""Alpaca's errors: an HTTP status, a code whose first digits usually repeat it, and a message.

Sources: Alpaca's order pages, tests and issues of alpaca-py, clients' reports. One code stands for many things
(40310000), one comes with another status than it says (40010001 with 422), and some answers have no code at all.
"""

from __future__ import annotations

import re
from typing import Any

NOT_AUTHORIZED = (401, 40110000, "request is not authorized")
UNAUTHORIZED_BARE = (401, None, "unauthorized.")
FORBIDDEN_BARE = (403, None, "forbidden.")
FORBIDDEN = 40310000
NOT_FOUND = 40410000
MALFORMED = 40010001
INVALID = 42210000
RATE_LIMITED = (429, 42910000, "rate limit exceeded")
# The status of codes that come with another one than their first three digits.
_STATUSES = {MALFORMED: 422}
# `503 50310000 text`, `50310000 text` or `401 text`, as a fault names an error.
_FAULT_TEXT = re.compile(r"(?:(\d{3})\s+)?(?:(\d{8})\s+)?(.*)", re.DOTALL)


class AlpacaError(Exception):
    """An answer `{"code": 40310000, "message": "..."}`; without a code the body has none."""

    def __init__(self, status: int, code: int | None, message: str, **more: Any) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status = status
        self.code = code
        self.message = message
        self.more = more

    @property
    def text(self) -> str:
        """For the counts: code and message."""
        return f"{self.code or self.status} {self.message}"

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        shown: dict[str, Any] = {} if self.code is None else {"code": self.code}
        return {**shown, "message": self.message, **self.more}


def from_text(text: str) -> AlpacaError:
    """The error that a fault asks for: `[status] [code] message`. Text alone becomes an internal error."""
    found = _FAULT_TEXT.fullmatch(text)
    if found is None or not (found[1] or found[2]):
        return AlpacaError(500, 50010000, text)
    code = None if found[2] is None else int(found[2])
    status = int(found[1]) if found[1] else _STATUSES.get(code or 0, (code or 0) // 100_000)
    return AlpacaError(status if 200 <= status <= 599 else 500, code, found[3])


def malformed(message: str) -> AlpacaError:
    """A value that cannot be taken as it is written."""
    return AlpacaError(_STATUSES[MALFORMED], MALFORMED, message)


def invalid(message: str, **more: Any) -> AlpacaError:
    """A value that is well formed and breaks a rule."""
    return AlpacaError(422, INVALID, message, **more)


def forbidden(message: str, **more: Any) -> AlpacaError:
    """Funds, minimums, suspended accounts: one code for all."""
    return AlpacaError(403, FORBIDDEN, message, **more)


def not_found(message: str) -> AlpacaError:
    """An order, position or asset that is not there."""
    return AlpacaError(404, NOT_FOUND, message)
