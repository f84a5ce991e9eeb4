"""Which call a request makes, what answers it, and which permission it needs.

Calls go by the names that Coinbase's own Python SDK gives them; faults and counts use these names.
"""

from __future__ import annotations

from dataclasses import dataclass

from copytrade.simulator.coinbase import account_calls, market_data, older_calls
from copytrade.simulator.coinbase.call import Handler
from copytrade.simulator.coinbase.change_order import cancel_orders, edit_order
from copytrade.simulator.coinbase.create_order import create_order, preview_order
from copytrade.simulator.coinbase.lookups import get_fills, get_order, list_orders

PREFIX = "/api/v3/brokerage"


@dataclass(frozen=True, slots=True)
class Route:
    """One call. `permission` is None for a call that every key may make; `public` ones need no key."""

    name: str
    handler: Handler
    permission: str | None = "view"
    public: bool = False


_PRODUCT_CALLS = {
    "ticker": Route("get_market_trades", market_data.get_market_trades),
    "candles": Route("get_candles", market_data.get_candles),
}
_EXACT: dict[tuple[str, str], Route] = {
    ("GET", "/time"): Route("get_unix_time", market_data.get_unix_time, None, True),
    ("GET", "/products"): Route("get_products", market_data.get_products),
    ("GET", "/product_book"): Route("get_product_book", market_data.get_product_book),
    ("GET", "/best_bid_ask"): Route("get_best_bid_ask", market_data.get_best_bid_ask),
    ("GET", "/accounts"): Route("get_accounts", account_calls.get_accounts),
    ("GET", "/key_permissions"): Route("get_api_key_permissions", account_calls.get_api_key_permissions, None),
    ("GET", "/transaction_summary"): Route("get_transaction_summary", account_calls.get_transaction_summary),
    ("GET", "/portfolios"): Route("get_portfolios", account_calls.get_portfolios),
    ("POST", "/orders"): Route("create_order", create_order, "trade"),
    ("POST", "/orders/preview"): Route("preview_order", preview_order, "view"),
    ("POST", "/orders/batch_cancel"): Route("cancel_orders", cancel_orders, "trade"),
    ("POST", "/orders/edit"): Route("edit_order", edit_order, "trade"),
    ("GET", "/orders/historical/batch"): Route("list_orders", list_orders),
    ("GET", "/orders/historical/fills"): Route("get_fills", get_fills),
}
_PUBLIC_EXACT: dict[str, Route] = {
    "/market/products": Route("get_public_products", market_data.get_products, None, True),
    "/market/product_book": Route("get_public_product_book", market_data.get_product_book, None, True),
}
# What the older interface shows; its other calls move money, or are not there.
_OLDER: dict[str, Route] = {
    "/v2/time": Route("older_time", older_calls.get_time, None, True),
    "/v2/currencies": Route("older_currencies", older_calls.get_currencies, None, True),
    "/v2/currencies/crypto": Route("older_crypto_currencies", older_calls.get_crypto_currencies, None, True),
    "/v2/exchange-rates": Route("older_exchange_rates", older_calls.get_exchange_rates, None, True),
    "/v2/accounts": Route("older_accounts", older_calls.get_wallets),
}
# Money that leaves a portfolio. All need the permission to transfer, and none is done here.
_MOVING = ("/portfolios/move_funds", "/convert/", "/payment_methods", "/intx/allocate", "/cfm/sweeps")


def find_route(verb: str, path: str) -> tuple[Route, str] | None:
    """The call and the changing part of its path (an id); None for a path that Coinbase does not have here."""
    if verb == "GET" and path in _OLDER:
        return _OLDER[path], ""
    if path.startswith("/v2/"):  # wallets and transactions of the older interface take the same keys
        return Route("wallet", account_calls.not_simulated, "transfer"), ""
    if not path.startswith(PREFIX):
        return None
    rest = path[len(PREFIX) :]
    if rest.startswith(_MOVING):
        return Route("wallet", account_calls.not_simulated, "transfer"), ""
    found = _EXACT.get((verb, rest)) or (_PUBLIC_EXACT.get(rest) if verb == "GET" else None)
    if found is not None:
        return found, ""
    return _with_id(rest) if verb == "GET" else None


def _with_id(rest: str) -> tuple[Route, str] | None:
    public = rest.startswith("/market/")
    match rest.removeprefix("/market").split("/")[1:]:
        case ["orders", "historical", order_id] if order_id and not public:
            return Route("get_order", get_order), order_id
        case ["accounts", wallet] if wallet and not public:
            return Route("get_account", account_calls.get_account), wallet
        case ["products", product] if product:
            name = "get_public_product" if public else "get_product"
            return Route(name, market_data.get_product, None if public else "view", public), product
        case ["products", product, call] if product and call in _PRODUCT_CALLS:
            route = _PRODUCT_CALLS[call]
            if public:
                route = Route(route.name.replace("get_", "get_public_"), route.handler, None, True)
            return route, product
    return None
