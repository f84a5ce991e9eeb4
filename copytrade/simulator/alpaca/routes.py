"""Which function answers each path, and which scope of a key it needs."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from copytrade.simulator.alpaca import account_calls, activities, change, lookups, place
from copytrade.simulator.alpaca.call import Handler, PublicHandler
from copytrade.simulator.alpaca.data import CRYPTO_DATA, STOCK_DATA
from copytrade.simulator.alpaca.keys import ACCOUNT_WRITE, DATA, TRADING

PREFIX = "/v2/"
_NO_WALLETS = account_calls.refused("crypto wallets are not enabled for this account")
_NOT_SIMULATED = account_calls.refused("this call is not simulated")


@dataclass(frozen=True, slots=True)
class Route:
    """A call of an account. `name` has `{...}` where the path has something of its own: `GET /v2/orders/{id}`."""

    name: str
    handler: Handler
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class DataRoute:
    """A call for market data; with `keyless` it may come without a key."""

    name: str
    handler: PublicHandler
    keyless: bool
    scope: str = DATA


_ROUTES = (
    Route("GET /v2/account", account_calls.account),
    Route("GET /v2/account/configurations", account_calls.configurations),
    Route("PATCH /v2/account/configurations", account_calls.change_configurations, ACCOUNT_WRITE),
    Route("GET /v2/account/activities", activities.activities),
    Route("GET /v2/account/activities/{type}", activities.activities_of_kind),
    Route("GET /v2/account/portfolio/history", _NOT_SIMULATED),
    Route("GET /v2/assets", account_calls.assets),
    Route("GET /v2/assets/{symbol}", account_calls.asset),
    Route("GET /v2/calendar", account_calls.calendar),
    Route("GET /v2/clock", account_calls.clock),
    Route("GET /v2/orders", lookups.list_orders),
    Route("POST /v2/orders", place.place_order, TRADING),
    Route("DELETE /v2/orders", change.cancel_orders, TRADING),
    Route("GET /v2/orders/{id}", lookups.get_order),
    Route("PATCH /v2/orders/{id}", change.replace_order, TRADING),
    Route("DELETE /v2/orders/{id}", change.cancel_order, TRADING),
    Route("GET /v2/orders:by_client_order_id", lookups.get_order_by_client_id),
    Route("GET /v2/positions", account_calls.positions),
    Route("DELETE /v2/positions", _NOT_SIMULATED, TRADING),
    Route("GET /v2/positions/{symbol}", account_calls.position),
    Route("DELETE /v2/positions/{symbol}", _NOT_SIMULATED, TRADING),
)
_BY_NAME = {route.name: route for route in _ROUTES}
# Resources under /v2/ whose next part is a name of their owner's, not a word of Alpaca's.
_PLACEHOLDERS = {"assets": "{symbol}", "positions": "{symbol}", "orders": "{id}"}


def find_data(verb: str, path: str) -> DataRoute | None:
    """The market data that a path stands for."""
    crypto, stock = CRYPTO_DATA.get((verb, path)), STOCK_DATA.get((verb, path))
    if crypto is not None:
        return DataRoute(f"{verb} {path}", crypto, keyless=True)
    return None if stock is None else DataRoute(f"{verb} {path}", stock, keyless=False)


def find_route(verb: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
    """The call that a path stands for, and what its placeholders do; a colon or slash may be percent-encoded."""
    if not path.startswith(PREFIX):
        return None
    parts = [unquote(part) for part in path.removeprefix(PREFIX).split("/")]
    if parts[0] in ("wallets", "perpetuals"):
        return Route(f"{verb} {PREFIX}{parts[0]}", _NO_WALLETS), ()
    words: tuple[str, ...] = ()
    if len(parts) == 2 and parts[0] in _PLACEHOLDERS:
        words, parts[1] = (parts[1],), _PLACEHOLDERS[parts[0]]
    elif len(parts) == 3 and parts[:2] == ["account", "activities"]:
        words, parts[2] = (parts[2],), "{type}"
    route = _BY_NAME.get(f"{verb} {PREFIX}{'/'.join(parts)}")
    return None if route is None else (route, words)


def method_name(verb: str, path: str) -> str:
    """The name by which faults know a request; fills are told from other activities."""
    if find_data(verb, path) is not None:
        return f"{verb} {path}"
    found = find_route(verb, path)
    if found is None:
        return f"{verb} {path}"
    route, words = found
    return route.name.replace("{type}", words[0]) if route.name.endswith("{type}") else route.name
