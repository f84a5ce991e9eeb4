"""The parameters of a call, from query and form body, and the checks that several calls share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from urllib.parse import parse_qsl

from copytrade.simulator.binance.errors import INVALID_SYMBOL, BinanceError, illegal, missing
from copytrade.simulator.binance.listing import BY_NAME, BinanceSymbol

FIELDS_MAX = 1_000
DECIMAL_RANGE = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
INTEGER_RANGE = r"^[0-9]{1,20}$"
SYMBOL_RANGE = r"^[A-Z0-9-_.]{1,20}$"
CLIENT_ID_RANGE = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
_decimal = re.compile(DECIMAL_RANGE[1:-1], re.ASCII).fullmatch
_integer = re.compile(INTEGER_RANGE[1:-1], re.ASCII).fullmatch
_symbol = re.compile(SYMBOL_RANGE[1:-1], re.ASCII).fullmatch
_client_id = re.compile(CLIENT_ID_RANGE[1:-1], re.ASCII).fullmatch

Params = Mapping[str, str]


def parse(query: str, body: str) -> dict[str, str]:
    """All parameters. One that is in both counts as the query has it; twice in one place is an error (-1101)."""
    values = _fields(body)
    values.update(_fields(query))
    return values


def _fields(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise BinanceError(-1101, "Too many parameters sent for this endpoint.") from None
    values = dict(pairs)
    if len(values) != len(pairs):
        raise BinanceError(-1101, "Duplicate values for a parameter detected.")
    return values


def text(params: Params, name: str) -> str | None:
    """A parameter that need not be there. Raises BinanceError for an empty one."""
    value = params.get(name)
    if value == "":
        raise BinanceError(-1105, f"Parameter '{name}' was empty.")
    return value


def needed(params: Params, name: str) -> str:
    """A parameter that must be there. Raises BinanceError."""
    value = text(params, name)
    if value is None:
        raise missing(name)
    return value


def decimal(params: Params, name: str) -> Decimal | None:
    """A plain number of at least 0; an exponent such as a float has (`1e-05`) is refused. Raises BinanceError."""
    value = text(params, name)
    if value is None:
        return None
    if not _decimal(value):
        raise illegal(name, DECIMAL_RANGE)
    return Decimal(value)


def integer(params: Params, name: str) -> int | None:
    """A whole number of at least 0. Raises BinanceError."""
    value = text(params, name)
    if value is None:
        return None
    if not _integer(value):
        raise illegal(name, INTEGER_RANGE)
    return int(value)


def limit(params: Params, default: int, highest: int) -> int:
    """How many entries are asked for; more than the highest count as the highest. Raises BinanceError."""
    value = integer(params, "limit")
    if value is None:
        return default
    if value < 1:
        raise BinanceError(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(value, highest)


def flag(params: Params, name: str) -> bool:
    """A yes or no; `True` as Python writes it is taken as well. Raises BinanceError."""
    value = (text(params, name) or "false").lower()
    if value not in ("true", "false"):
        raise illegal(name, "^(true|false)$")
    return value == "true"


def choice(params: Params, name: str, legal: tuple[str, ...], code: int, message: str) -> str | None:
    """A word of a list. Raises BinanceError with this code for any other."""
    value = text(params, name)
    if value is not None and value not in legal:
        raise BinanceError(code, message)
    return value


def client_id(params: Params, name: str) -> str | None:
    """A client order id. Raises BinanceError."""
    value = text(params, name)
    if value is not None and not _client_id(value):
        raise illegal(name, CLIENT_ID_RANGE)
    return value


def symbol(params: Params) -> BinanceSymbol:
    """The symbol that has to be named. Raises BinanceError."""
    return find_symbol(needed(params, "symbol"))


def find_symbol(name: str) -> BinanceSymbol:
    """The symbol of that name. Raises BinanceError."""
    if not _symbol(name):
        raise illegal("symbol", SYMBOL_RANGE)
    found = BY_NAME.get(name)
    if found is None:
        raise BinanceError(*INVALID_SYMBOL)
    return found
