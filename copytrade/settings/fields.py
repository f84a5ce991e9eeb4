"""The kinds of values that settings are made of, each with its own way of being read and refused.

Amounts and fractions are `Decimal`, durations are seconds or milliseconds as their names say.
"""

from __future__ import annotations

import ipaddress
import re
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Venue = Literal["kraken", "coinbase", "alpaca", "okx", "binance"]
VENUES: tuple[Venue, ...] = ("kraken", "coinbase", "alpaca", "okx", "binance")


def exact(value: Any) -> Any:
    """A number without a detour through binary fractions: 0.1 must stay 0.1."""
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise ValueError('must be a number | Write it like 0.10 or "0.10"')
    if isinstance(value, Decimal) and value.is_finite() and not -30 <= int(value.as_tuple().exponent) <= 30:
        raise ValueError("has more digits than money has | Round it")
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,30}(\.[0-9]{1,30})?", value):
        raise ValueError('must be a plain decimal number | Write it like 0.10 or "0.10"')
    return value


def _duration(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ValueError("must be a number | Write it like 5 or 0.5")
    return float(value)


# Bounds: no account of this service's size holds a trillion; a figure above it is a slip of the keyboard.
_AMOUNT_MAX = Decimal(10) ** 12
Amount = Annotated[Decimal, BeforeValidator(exact), Field(ge=0, le=_AMOUNT_MAX, allow_inf_nan=False)]
PositiveAmount = Annotated[Decimal, BeforeValidator(exact), Field(gt=0, le=_AMOUNT_MAX, allow_inf_nan=False)]
Share = Annotated[Decimal, BeforeValidator(exact), Field(gt=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, BeforeValidator(_duration), Field(allow_inf_nan=False)]
Whole = Annotated[int, Field(strict=True)]
Switch = Annotated[bool, Field(strict=True)]


def is_loopback(base_url: str) -> bool:
    """Whether a URL's host is this very machine."""
    host = urlsplit(base_url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _base_url(value: str) -> str:
    return _origin(value, "http", " | Write it like https://api.kraken.com or http://127.0.0.1:8080")


def _stream_url(value: str) -> str:
    return _origin(value, "ws", " | Write it like wss://ws-auth.kraken.com or ws://127.0.0.1:8080")


def _origin(value: str, scheme: str, advice: str) -> str:
    """Scheme, host and port and no more; without encryption only on this machine."""
    if not value.isprintable() or not value.isascii() or " " in value:
        raise ValueError("must be a plain URL" + advice)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL" + advice) from None
    if "@" in value or parts.username is not None:
        raise ValueError("must not carry a user or password" + advice)
    if not parts.hostname or port == 0:
        raise ValueError("needs a host" + advice)
    if parts.path not in ("", "/") or "?" in value or "#" in value:
        raise ValueError("must end after the host and port" + advice)
    if parts.scheme != f"{scheme}s" and not (parts.scheme == scheme and is_loopback(value)):
        raise ValueError(f"must be {scheme}s; {scheme} is for this machine's own addresses only" + advice)
    return value.rstrip("/")


BaseUrl = Annotated[str, Field(strict=True, max_length=300), AfterValidator(_base_url)]
StreamUrl = Annotated[str, Field(strict=True, max_length=300), AfterValidator(_stream_url)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


CurrencyName = Annotated[str, Field(strict=True, pattern=r"^[A-Z0-9.]{2,16}$")]
