"""The parameters of a call: a JSON object or a query, read as tolerantly as Alpaca reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl

from copytrade.simulator.alpaca.errors import AlpacaError, malformed

FIELDS_MAX = 1_000
_DIGITS_MAX = 60  # a number longer than this is no quantity or price of anything

Params = Mapping[str, Any]


def parse_body(body: bytes) -> dict[str, Any]:
    """The members of a JSON object; its numbers stay the text they were sent in, so no digit is lost."""
    try:
        values = json.loads(body, parse_float=str, parse_int=str) if body else {}
    except (ValueError, RecursionError):
        raise AlpacaError(400, 40010000, "request body format is invalid") from None
    if not isinstance(values, dict):
        raise AlpacaError(400, 40010000, "request body format is invalid")
    return values


def parse_query(query: str) -> dict[str, str]:
    """The parameters of a query; of a repeated one the last counts."""
    try:
        return dict(parse_qsl(query, keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError:
        raise malformed("request query is invalid") from None


def text(params: Params, name: str, default: str = "") -> str:
    """A parameter as text; null and absent give `default`."""
    value = params.get(name)
    if value is None:
        return default
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise malformed(f"{name} is invalid")
    return value


def object_(params: Params, name: str) -> Params:
    """A parameter that is an object; an empty one where it is not there."""
    value = params.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise malformed(f"{name} is invalid")
    return value


def decimal(params: Params, name: str) -> Decimal | None:
    """A number above 0, in any notation that JSON or Python writes (`1e-08` too); None when it is not there."""
    value = text(params, name)
    if not value:
        return None
    try:
        number = Decimal(value) if len(value) <= _DIGITS_MAX and value.isascii() else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > 30:
        raise malformed(f"{name} is invalid")
    if number <= 0:
        raise malformed(f"{name} must be > 0")
    return number


def integer(params: Params, name: str, default: int, lowest: int, highest: int) -> int:
    """A whole number within bounds."""
    value = text(params, name)
    if not value:
        return default
    if not (value.isascii() and value.isdigit()) or len(value) > 9 or not lowest <= int(value) <= highest:
        raise malformed(f"{name} must be between {lowest} and {highest}")
    return int(value)


def choice(params: Params, name: str, default: str, allowed: tuple[str, ...]) -> str:
    """One of a few words."""
    value = text(params, name, default) or default
    if value not in allowed:
        raise malformed(f"{name} must be one of {', '.join(allowed)}")
    return value


def instant(params: Params, name: str) -> float | None:
    """A time (RFC 3339, up to nine decimals) or a date, in unix seconds; None when it is not there."""
    value = text(params, name)
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(_six_decimals(value.replace(" ", "+")))  # a raw `+` in a query is a blank
    except ValueError:
        raise malformed(f"{name} is not a valid timestamp") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def day(params: Params, name: str) -> date | None:
    """A date (YYYY-MM-DD); None when it is not there."""
    value = text(params, name)
    try:
        return date.fromisoformat(value) if value else None
    except ValueError:
        raise malformed(f"{name} is not a valid date") from None


def names(params: Params, name: str) -> list[str]:
    """A list of names with commas between."""
    return [part.strip() for part in text(params, name).split(",") if part.strip()]


def nanoseconds(time_s: float | None) -> str | None:
    """A time as Alpaca writes it: nine decimals and a Z."""
    if time_s is None:
        return None
    moment = datetime.fromtimestamp(time_s, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}000Z"


def _six_decimals(value: str) -> str:
    head, dot, tail = value.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    return f"{head}.{digits[:6]}{tail[len(digits) :]}" if dot and digits else value
