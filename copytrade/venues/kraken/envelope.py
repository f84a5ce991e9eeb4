"""Kraken's answers: an HTTP reply is either its protocol's envelope, or something that says nothing."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

from copytrade.venues.kraken.errors import split
from copytrade.venues.wire import Reply


class Envelope(NamedTuple):
    """`{"error": [...], "result": ...}`; `result` is None where the venue left it out."""

    errors: list[str]
    warnings: list[str]
    result: Any


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)


def read_envelope(reply: Reply) -> Envelope | str:
    """The envelope, or why the reply is none.

    Kraken answers application errors with HTTP 200. A 4xx counts only for the errors it names; any other status,
    and a 4xx without errors, comes from something in between and says nothing about what Kraken did.
    """
    if reply.too_big:
        return f"HTTP {reply.status} with a body over {len(reply.body)} bytes"
    if reply.status != 200 and not 400 <= reply.status < 500:
        return f"HTTP {reply.status}"
    try:
        body = _decoder.decode(reply.body.decode())
    except (ValueError, RecursionError):
        return f"HTTP {reply.status} with {'an empty body' if not reply.body else 'a body that is not JSON'}"
    if not isinstance(body, dict):
        return f"HTTP {reply.status} with JSON that is no object"
    entries = body.get("error")
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        return f"HTTP {reply.status} without a list of errors"
    errors, warnings = split(entries) if entries else ([], [])
    if reply.status != 200 and not errors:
        return f"HTTP {reply.status} without an error"
    return Envelope(errors, warnings, body.get("result"))
