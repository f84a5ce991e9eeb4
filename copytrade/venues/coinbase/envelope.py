"""Coinbase's answers: a JSON object with HTTP 200, an error of its gateway, or something that says nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

from copytrade.venues.wire import Reply

_TEXT_MAX = 200


class Answer(NamedTuple):
    """HTTP 200 with a JSON object. An order that failed is one too: look at `success`."""

    body: Mapping[str, Any]


class Rejection(NamedTuple):
    """A 4xx in one of the shapes that Coinbase's gateway has: its word for the error, and what it adds."""

    status: int
    word: str
    detail: str


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)


def read_reply(reply: Reply) -> Answer | Rejection | str:
    """What came back, or why it is nothing that can be trusted.

    5xx, redirects and other statuses come from something in between, or from a venue that does not know itself what
    it did. Of 4xx only Coinbase's own shapes count: a page of HTML is not its word.
    """
    status = reply.status
    if reply.too_big:
        return f"HTTP {status} with a body over {len(reply.body)} bytes"
    if status != 200 and not 400 <= status < 500:
        return f"HTTP {status}"
    if status == 401 and reply.body.strip().lower() == b"unauthorized":  # plain text, by documentation
        return Rejection(status, "unauthorized", "the token is not accepted")
    try:
        body = _decoder.decode(reply.body.decode())
    except (ValueError, RecursionError):
        return f"HTTP {status} with {'an empty body' if not reply.body else 'a body that is not JSON'}"
    if not isinstance(body, dict):
        return f"HTTP {status} with JSON that is no object"
    if status == 200:
        return Answer(body)
    return _rejection(status, body) or f"HTTP {status} without an error in it"


def _rejection(status: int, body: Mapping[str, Any]) -> Rejection | None:
    """`{"error", "message"...}`, or the `{"errors": [{"id", "message"}]}` of Coinbase's other interfaces."""
    word, told = body.get("error"), body
    errors = body.get("errors")
    if word is None and isinstance(errors, list) and len(errors) == 1 and isinstance(errors[0], dict):
        word, told = errors[0].get("id"), errors[0]
    if not isinstance(word, str) or not word:
        return None
    parts = (told.get("error_details"), told.get("message"))
    detail = next((part for part in parts if isinstance(part, str) and part), "")
    return Rejection(status, word, f"{word}: {detail}"[:_TEXT_MAX])
