"""The parameters of a call, from a query or a JSON body, as text; and the checks that several calls share.

OKX takes empty text and null as absent. JSON numbers are taken in the text they were sent in; a number with an
exponent, as a float may have, is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from copytrade.simulator.okx.errors import OkxError, invalid

FIELDS_MAX = 100
_DECIMAL = re.compile(r"\d{1,15}(\.\d{0,20})?|\.\d{1,20}", re.ASCII)
_CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9]{1,16}", re.ASCII)
_DIGITS = re.compile(r"\d{1,25}", re.ASCII)

Params = Mapping[str, Any]


def parse_body(body: bytes, content_type: str) -> Any:
    """The JSON value of a body. Raises OkxError if there is none."""
    if not body:
        raise OkxError("50000")
    if content_type.split(";")[0].strip().lower() != "application/json":
        raise OkxError("50006")
    try:
        return json.loads(body, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        raise OkxError("50002") from None


def parse_query(query: str) -> dict[str, Any]:
    """The parameters of a GET."""
    try:
        return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError:
        raise OkxError("50002") from None


def text(params: Params, name: str) -> str:
    """A parameter as text, empty when it is absent. Raises OkxError for a list or an object."""
    value = params.get(name)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise invalid(name)
    return value


def required(params: Params, name: str) -> str:
    """A parameter that must be there."""
    value = text(params, name)
    if not value:
        raise OkxError("50014", name)
    return value


def one_of(params: Params, name: str, choices: tuple[str, ...], default: str = "") -> str:
    """A parameter that is one of `choices`; absent gives `default`."""
    value = text(params, name) or default
    if value and value not in choices:
        raise invalid(name)
    return value


def flag(params: Params, name: str) -> bool:
    """A yes or no, false when absent."""
    return one_of(params, name, ("true", "false"), "false") == "true"


def decimal(value: str, name: str) -> Decimal:
    """A plain decimal number above 0, without sign or exponent."""
    if not _DECIMAL.fullmatch(value) or not Decimal(value):
        raise invalid(name)
    return Decimal(value)


def client_id(params: Params, name: str = "clOrdId") -> str | None:
    """A client order id: up to 32 letters and digits, their case counting."""
    value = text(params, name)
    if value and not _CLIENT_ID.fullmatch(value):
        raise invalid(name)
    return value or None


def tag(params: Params) -> str:
    """The order tag, up to 16 letters and digits."""
    value = text(params, "tag")
    if value and not _TAG.fullmatch(value):
        raise invalid("tag")
    return value


def whole(params: Params, name: str) -> int | None:
    """A whole number (an id, or milliseconds since 1970), None when absent."""
    value = text(params, name)
    if not value:
        return None
    if not _DIGITS.fullmatch(value):
        raise invalid(name)
    return int(value)


def limit(params: Params, most: int) -> int:
    """The page size: `limit`, at most `most`; a larger one is taken for `most`."""
    value = whole(params, "limit")
    if value == 0:
        raise invalid("limit")
    return most if value is None else min(value, most)
