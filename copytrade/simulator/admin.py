"""The admin calls under `/sim/`: plain JSON, unsigned, on loopback. docs/simulator.md lists them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from copytrade.simulator.venue import Reply, SimulatedVenue

Query = Mapping[str, str]
_ACCOUNT_FIELDS = {"name", "balances", "permissions", "tier", "key", "secret"}


def answer_admin(venue: SimulatedVenue, verb: str, path: str, query: Query, body: bytes) -> Reply:
    """Do one admin call. A bad request gets 400 and a text that names what is wrong; an unknown call 404."""
    call = _CALLS.get((verb, path.rstrip("/")))
    if call is None:
        known = ", ".join(f"{known_verb} {known_path}" for known_verb, known_path in _CALLS)
        return _json({"error": f"no admin call {verb} {path}: there are {known}"}, 404)
    try:
        values = json.loads(body, parse_float=Decimal) if body else {}
        if not isinstance(values, dict):
            raise ValueError("the body is not a JSON object")
        return _json(call(venue, values, query))
    except KeyError as error:
        return _json({"error": f"{error} is missing or not known here"}, 400)
    except (ValueError, TypeError) as error:
        return _json({"error": str(error)}, 400)


def _add_account(venue: SimulatedVenue, values: dict[str, Any], query: Query) -> Any:
    unknown = set(values) - _ACCOUNT_FIELDS
    if unknown:
        raise ValueError(f"account has unknown fields {sorted(unknown)}: give {sorted(_ACCOUNT_FIELDS)}")
    balances = {asset: _decimal(amount, asset) for asset, amount in values.get("balances", {}).items()}
    credentials = venue.add_account(
        values["name"],
        balances,
        permissions=values.get("permissions"),
        tier=values.get("tier"),
        key=values.get("key"),
        secret=values.get("secret"),
    )
    shown = {"name": values["name"], "key": credentials.key, "secret": credentials.secret}
    return shown if credentials.passphrase is None else {**shown, "passphrase": credentials.passphrase}


def _deposit(venue: SimulatedVenue, values: dict[str, Any], query: Query) -> Any:
    venue.deposit(values["account"], values["asset"], _decimal(values["amount"], "amount"))
    return {"ok": True}


def _price(venue: SimulatedVenue, values: dict[str, Any], query: Query) -> Any:
    venue.set_price(values["symbol"], _decimal(values["price"], "price"))
    return {"ok": True}


def _fill(venue: SimulatedVenue, values: dict[str, Any], query: Query) -> Any:
    venue.fill_part(values["order_id"], _decimal(values["volume"], "volume"))
    return {"ok": True}


def _expire(venue: SimulatedVenue, values: dict[str, Any], query: Query) -> Any:
    venue.expire(values["order_id"])
    return {"ok": True}


def _prices(venue: SimulatedVenue, values: dict[str, Any], query: Query) -> Any:
    exchange = venue.exchange
    with venue.lock:
        exchange.advance(venue.clock())
        quotes = {symbol: exchange.prices.quote(symbol, exchange.now_s) for symbol in exchange.markets}
    return {s: {"bid": str(quote.bid), "ask": str(quote.ask), "last": str(quote.last)} for s, quote in quotes.items()}


def _add_fault(venue: SimulatedVenue, values: dict[str, Any], query: Query) -> Any:
    for name in ("probability", "hide_s", "hang_s"):  # read as decimals like every number, yet chances and waits
        if isinstance(values.get(name), Decimal):
            values[name] = float(values[name])
    return {"fault_id": venue.add_fault(values.pop("kind", ""), **values)}


def _end_faults(venue: SimulatedVenue, values: dict[str, Any], query: Query) -> Any:
    return {"ended": venue.clear_faults(int(query["id"]) if "id" in query else None)}


def _orders(venue: SimulatedVenue, values: dict[str, Any], query: Query) -> Any:
    limit = int(query["limit"]) if "limit" in query else None
    return {"orders": venue.orders(query.get("account"), query.get("client_id"), int(query.get("after", 0)), limit)}


def _save(venue: SimulatedVenue, values: dict[str, Any], query: Query) -> Any:
    venue.save()
    return {"ok": True}


_CALLS: dict[tuple[str, str], Callable[[SimulatedVenue, dict[str, Any], Query], Any]] = {
    ("GET", "/sim"): lambda venue, values, query: {"venue": venue.name, "time_s": venue.clock()},
    ("GET", "/sim/accounts"): lambda venue, values, query: {"accounts": venue.accounts()},
    ("POST", "/sim/accounts"): _add_account,
    ("POST", "/sim/deposit"): _deposit,
    ("POST", "/sim/fill"): _fill,
    ("POST", "/sim/expire"): _expire,
    ("GET", "/sim/price"): _prices,
    ("POST", "/sim/price"): _price,
    ("GET", "/sim/faults"): lambda venue, values, query: {"faults": venue.fault_list()},
    ("POST", "/sim/faults"): _add_fault,
    ("DELETE", "/sim/faults"): _end_faults,
    ("GET", "/sim/orders"): _orders,
    ("GET", "/sim/doubles"): lambda venue, values, query: {"doubles": venue.doubles()},
    ("GET", "/sim/requests"): lambda venue, values, query: venue.requests(),
    ("GET", "/sim/streams"): lambda venue, values, query: {"listeners": venue.listeners()},
    ("GET", "/sim/money"): lambda venue, values, query: venue.money(),
    ("POST", "/sim/save"): _save,
}


def _decimal(value: Any, name: str) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{name} is {value!r}: give a number, as text to keep every digit") from None


def _json(values: Any, status: int = 200) -> Reply:
    return Reply(json.dumps(values, default=str).encode(), status)
