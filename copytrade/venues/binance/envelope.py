"""Binance's answers: an HTTP reply is either its protocol's word, or something that says nothing."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

from copytrade.venues.wire import Reply


class Answer(NamedTuple):
    """The JSON of a call that was carried out."""

    result: Any


class Fault(NamedTuple):
    """`{"code": -1121, "msg": "Invalid symbol."}` with its status; `retry_after_s` where the venue says so."""

    code: int
    message: str
    status: int
    retry_after_s: int | None

    def __str__(self) -> str:
        return f"{self.code} {self.message}"[:200]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)


def read_answer(reply: Reply) -> Answer | Fault | str:
    """What the venue says, or why the reply says nothing.

    A 4xx counts only with a code and a message; a 5xx says by Binance's own rule that the outcome is unknown, whatever
    its body; 409 is about calls this service never makes. A success whose body has an error's code contradicts itself.
    """
    status = reply.status
    if reply.too_big:
        return f"HTTP {status} with a body over {len(reply.body)} bytes"
    if status != 200 and (not 400 <= status < 500 or status == 409):
        said = _fault(reply)
        return f"HTTP {status}" if said is None else f"HTTP {status}: {said}"
    try:
        body = _decoder.decode(reply.body.decode())
    except (ValueError, RecursionError):
        return f"HTTP {status} with {'an empty body' if not reply.body else 'a body that is not JSON'}"
    if status != 200:
        said = _fault(reply)
        return f"HTTP {status} without an error code" if said is None else said
    if isinstance(body, dict) and "code" in body:
        return f"HTTP 200 with an error code: {body.get('code')!r:.40} {body.get('msg')!r:.100}"
    return Answer(body)


def _fault(reply: Reply) -> Fault | None:
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or type(body.get("code")) is not int or body["code"] >= 0:
        return None
    wait = reply.headers.get("Retry-After", "")
    wait_s = int(wait) if wait.isascii() and wait.isdigit() and len(wait) <= 7 else None
    return Fault(body["code"], str(body.get("msg", ""))[:200], reply.status, wait_s)
