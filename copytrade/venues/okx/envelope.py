"""OKX's answers: an HTTP reply is either its protocol's envelope, or something that says nothing."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

from copytrade.venues.wire import Reply

OK = "0"


class Envelope(NamedTuple):
    """`{"code": "0", "msg": "", "data": [...]}`."""

    code: str
    message: str
    data: list[Any]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


_decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)


def read_envelope(reply: Reply) -> Envelope | str:
    """The envelope, or why the reply is none.

    OKX gives its codes with HTTP 200 and with 4xx (`401 50113`, `429 50011`). With 5xx it says itself that the outcome
    is open (`503 50001`), and so may anything in between: such an answer counts for nothing, whatever it contains.
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
    code, message, data = body.get("code"), body.get("msg", ""), body.get("data")
    if not isinstance(code, str) or not isinstance(message, str):
        return f"HTTP {reply.status} without a code"
    if code == OK and (reply.status != 200 or not isinstance(data, list)):
        return f"HTTP {reply.status} that says success without data"
    return Envelope(code, message, data if isinstance(data, list) else [])
