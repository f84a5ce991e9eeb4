"""Alpaca's answers: an HTTP reply is a body, or the venue's word on an error, or something that says nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from copytrade.venues.wire import Reply

_MESSAGE_MAX = 300


class Answer(NamedTuple):
    """What was asked for; None where the venue has nothing more to say (204)."""

    body: Any


class Problem(NamedTuple):
    """The venue's own error. `code` is 0 where the body has none, as some do."""

    status: int
    code: int
    message: str
    headers: Mapping[str, str] = MappingProxyType({})

    @property
    def detail(self) -> str:
        """For people."""
        return f"HTTP {self.status} {self.code or 'without a code'}: {self.message}"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)


def read_reply(reply: Reply) -> Answer | Problem | str:
    """The answer, the error, or why the reply is neither.

    Only a 4xx with a JSON message is the venue's word on an error. A page, a 5xx or a redirect comes from something in
    between, or from a venue that does not know itself, and says nothing about what became of the request.
    """
    if reply.too_big:
        return f"HTTP {reply.status} with a body over {len(reply.body)} bytes"
    if reply.status == 204 and not reply.body:
        return Answer(None)
    if reply.status not in (200, 207) and not 400 <= reply.status < 500:
        return f"HTTP {reply.status}"
    try:
        body = _decoder.decode(reply.body.decode())
    except (ValueError, RecursionError):
        return f"HTTP {reply.status} with {'an empty body' if not reply.body else 'a body that is not JSON'}"
    if reply.status < 300:
        return Answer(body)
    message = body.get("message") if isinstance(body, dict) else None
    if not isinstance(message, str) or not message:
        return f"HTTP {reply.status} without a message"
    code = body.get("code", 0)
    if isinstance(more := body.get("reject_reason"), str) and more:
        message = f"{message} ({more})"  # what stands in the way, as with "potential wash trade detected"
    number = int(code) if isinstance(code, int | str) and str(code).isascii() and str(code).isdigit() else 0
    return Problem(reply.status, number, message[:_MESSAGE_MAX], reply.headers)
