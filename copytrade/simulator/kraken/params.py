"""The parameters of a call, from a form or a JSON body, as text; and the checks that several calls share."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from copytrade.simulator.kraken.errors import INVALID_ARGUMENTS, KrakenError, invalid

FIELDS_MAX = 1_000
INT32_MAX = (1 << 31) - 1
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]{32}", re.ASCII)
_FREE = re.compile(r"[\x21-\x7e]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"\d{1,15}(\.\d{0,20})?|\.\d{1,20}", re.ASCII)

Params = Mapping[str, Any]


def parse_body(body: bytes, content_type: str) -> dict[str, Any]:
    """Form fields or the members of a JSON object. Raises KrakenError if it is neither.

    JSON numbers come as the text they were sent in, so no digit is lost; of a repeated form field the last
    counts.
    """
    if content_type.split(";")[0].strip().lower() == "application/json":
        try:
            values = json.loads(body, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            raise KrakenError(INVALID_ARGUMENTS) from None
        if not isinstance(values, dict):
            raise KrakenError(INVALID_ARGUMENTS)
        return values
    try:
        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError:
        raise KrakenError(INVALID_ARGUMENTS) from None


def parse_query(query: str) -> dict[str, Any]:
    """The parameters of a public call."""
    try:
        return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError:
        raise KrakenError(INVALID_ARGUMENTS) from None


def text(params: Params, name: str, default: str = "") -> str:
    """A parameter as text; null and absent give `default`. Raises KrakenError for a list or an object."""
    value = params.get(name)
    if value is None:
        return default
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise invalid(name)
    return value


def flag(params: Params, name: str) -> bool:
    """A yes or no. Accepts true, false, 1, 0 in any case: krakenex sends Python's `True`."""
    value = text(params, name).lower()
    if value not in ("", "true", "false", "1", "0"):
        raise invalid(name)
    return value in ("true", "1")


def decimal(value: str, name: str) -> Decimal:
    """A plain decimal number of at least 0: no sign, and no exponent such as a float has (`1e-05`)."""
    if not _DECIMAL.fullmatch(value):
        raise invalid(name)
    return Decimal(value)


def integer(params: Params, name: str, default: int, lowest: int, highest: int) -> int:
    """A whole number within bounds."""
    value = text(params, name)
    if not value:
        return default
    digits = value[1:] if value[0] in "+-" else value
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 20 or not lowest <= int(value) <= highest:
        raise invalid(name)
    return int(value)


def user_ref(params: Params) -> int | None:
    """The `userref`, a signed 32-bit number."""
    if not text(params, "userref"):
        return None
    return integer(params, "userref", 0, -INT32_MAX - 1, INT32_MAX)


def client_id(params: Params) -> str | None:
    """The `cl_ord_id`: a UUID with dashes, 32 hexadecimal digits, or at most 18 visible ASCII characters."""
    value = text(params, "cl_ord_id")
    if not value:
        return None
    if not (_UUID.fullmatch(value) or _HEX.fullmatch(value) or _FREE.fullmatch(value)):
        raise invalid("cl_ord_id")
    return value


def instant(value: str, name: str) -> float:
    """An RFC 3339 time with its offset, in unix seconds."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise invalid(name) from None
    if moment.tzinfo is None or "T" not in value.upper():
        raise invalid(name)
    return moment.timestamp()


def rfc3339(time_s: float) -> str:
    """A time to the second, as Kraken writes it: `2023-03-24T17:41:56Z`."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
