"""Queries and bodies as text, and the checks that several calls share."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from copytrade.simulator.coinbase.errors import invalid

FIELDS_MAX = 1_000
CLIENT_ID_MAX = 128
_DECIMAL = re.compile(r"\d{1,20}(\.\d{1,20})?", re.ASCII)

Query = Mapping[str, list[str]]


def parse_query(query: str) -> dict[str, list[str]]:
    """Every value of each name. Raises CoinbaseError (400) for a query that is none."""
    values: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise invalid("malformed query") from None
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def parse_body(body: bytes) -> dict[str, Any]:
    """A JSON object; nothing counts as an empty one, since the SDK sends `{}` with every GET.

    Numbers come as the text they were sent in, marked by `Number`, so that a field that must be text can refuse them.
    """
    if not body:
        return {}
    try:
        values = json.loads(body, parse_float=Number, parse_int=Number)
    except (ValueError, RecursionError):
        raise invalid("malformed JSON body") from None
    if not isinstance(values, dict):
        raise invalid("the body is not an object")
    return values


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


def one(query: Query, name: str, default: str = "") -> str:
    """The last value of a parameter."""
    values = query.get(name)
    return values[-1] if values else default


def several(query: Query, name: str) -> list[str]:
    """All values of a parameter, given again and again or with commas."""
    return [part for value in query.get(name, []) for part in value.split(",") if part]


def integer(query: Query, name: str, default: int, highest: int) -> int:
    """A whole number from 0 up; too high a one is cut, as the venue does. Raises CoinbaseError (400)."""
    value = one(query, name)
    if not value:
        return default
    if not (value.isascii() and value.isdigit()) or len(value) > 15:
        raise invalid(f"{name} is not a whole number")
    return min(int(value), highest) or default


def instant(query: Query, name: str) -> float | None:
    """An RFC 3339 time in unix seconds. Raises CoinbaseError (400)."""
    value = one(query, name)
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise invalid(f"{name} is not an RFC 3339 time") from None
    if moment.tzinfo is None:
        raise invalid(f"{name} has no offset")
    return moment.timestamp()


def text(values: Mapping[str, Any], name: str) -> str:
    """A field of a body that is a text; absent and null are empty. Raises CoinbaseError (400)."""
    value = values.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or isinstance(value, Number):
        raise invalid(f"{name} is not a string")
    return value


def decimal(values: Mapping[str, Any], name: str) -> Decimal | None:
    """A plain positive decimal, written as text; None when absent. An exponent or a sign is refused (400)."""
    value = text(values, name)
    if not value:
        return None
    if not _DECIMAL.fullmatch(value):
        raise invalid(f"{name} is not a decimal number")
    return Decimal(value)


def client_id(values: Mapping[str, Any]) -> str:
    """The `client_order_id`, which every order needs."""
    value = text(values, "client_order_id")
    if not value or len(value) > CLIENT_ID_MAX:
        raise invalid("client_order_id is required")
    return value


def rfc3339(time_s: float) -> str:
    """A time to the microsecond: `2023-11-26T10:19:47.423220Z`."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
