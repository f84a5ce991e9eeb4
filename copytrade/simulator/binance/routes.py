"""Which function answers each call, what it weighs, which permission it needs, and which parameters it reads.

Weights: Binance's REST page; calls that place or change orders cost nothing when they succeed (since 2026-04-02).
"""

from __future__ import annotations

from dataclasses import dataclass

from copytrade.simulator.binance import account_calls, change_order, lookups, order_list, place_order, public
from copytrade.simulator.binance.call import Handler, PublicHandler
from copytrade.simulator.binance.keys import READING, TRADING
from copytrade.simulator.binance.limits import Weigher
from copytrade.simulator.binance.place_order import ORDER_PARAMS

SIGNED_PARAMS = frozenset({"timestamp", "recvWindow", "signature"})
_SPAN = frozenset({"startTime", "endTime", "limit"})
_CANCEL = frozenset({"symbol", "orderId", "origClientOrderId", "newClientOrderId", "cancelRestrictions"})
_REPLACE = ORDER_PARAMS | {
    "cancelReplaceMode", "cancelNewClientOrderId", "cancelOrigClientOrderId", "cancelOrderId", "cancelRestrictions",
    "orderRateLimitExceededMode",
}  # fmt: skip
_SYMBOLS = frozenset({"symbol", "symbols", "type", "symbolStatus"})
_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1_000, 50))


@dataclass(frozen=True, slots=True)
class Public:
    """A call without a key."""

    handler: PublicHandler
    weight: Weigher
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Private:
    """A signed call. `free` ones cost nothing when they succeed."""

    handler: Handler
    weight: Weigher
    names: frozenset[str]
    permission: str | None = READING
    free: bool = False


def _always(weight: int) -> Weigher:
    return lambda values: weight


def _by_symbol(one: int, everything: int) -> Weigher:
    return lambda values: one if "symbol" in values else everything


def _depth(values: dict[str, str]) -> int:
    limit = int(values["limit"]) if values.get("limit", "").isdigit() else public.DEPTH_DEFAULT
    return next((weight for most, weight in _DEPTH_WEIGHTS if limit <= most), 250)


def _trade(handler: Handler, names: frozenset[str], weight: int = 1) -> Private:
    return Private(handler, _always(weight), names, TRADING, free=True)


PUBLIC_CALLS: dict[tuple[str, str], Public] = {
    ("GET", "/api/v3/ping"): Public(public.ping, _always(1)),
    ("GET", "/api/v3/time"): Public(public.server_time, _always(1)),
    ("GET", "/api/v3/exchangeInfo"): Public(
        public.exchange_info,
        _always(20),
        frozenset({"symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"}),
    ),
    ("GET", "/api/v3/ticker/price"): Public(public.ticker_price, _by_symbol(2, 4), _SYMBOLS),
    ("GET", "/api/v3/ticker/bookTicker"): Public(public.book_ticker, _by_symbol(2, 4), _SYMBOLS),
    ("GET", "/api/v3/ticker/24hr"): Public(public.day_ticker, _by_symbol(2, 80), _SYMBOLS),
    ("GET", "/api/v3/avgPrice"): Public(public.average_price, _always(2), frozenset({"symbol"})),
    ("GET", "/api/v3/klines"): Public(public.klines, _always(2), _SPAN | frozenset({"symbol", "interval", "timeZone"})),
    ("GET", "/api/v3/depth"): Public(public.depth, _depth, frozenset({"symbol", "limit", "symbolStatus"})),
    ("GET", "/api/v3/trades"): Public(public.trades, _always(25), frozenset({"symbol", "limit"})),
    ("GET", "/api/v3/aggTrades"): Public(public.aggregate_trades, _always(4), frozenset({"symbol", "limit"})),
}
PRIVATE_CALLS: dict[tuple[str, str], Private] = {
    ("GET", "/api/v3/account"): Private(account_calls.account, _always(20), frozenset({"omitZeroBalances"})),
    ("GET", "/api/v3/account/commission"): Private(account_calls.commission, _always(20), frozenset({"symbol"})),
    ("GET", "/api/v3/rateLimit/order"): Private(account_calls.order_limits, _always(40), frozenset()),
    ("GET", "/sapi/v1/account/apiRestrictions"): Private(
        account_calls.api_restrictions, _always(1), frozenset(), permission=None
    ),
    ("POST", "/api/v3/order"): _trade(place_order.new_order, ORDER_PARAMS),
    ("POST", "/api/v3/order/test"): Private(
        place_order.test_order,
        lambda values: 20 if "computeCommissionRates" in values else 1,
        ORDER_PARAMS | {"computeCommissionRates"},
        TRADING,
    ),
    ("DELETE", "/api/v3/order"): _trade(change_order.cancel_order, _CANCEL),
    ("DELETE", "/api/v3/openOrders"): _trade(change_order.cancel_all, frozenset({"symbol"})),
    ("POST", "/api/v3/order/cancelReplace"): _trade(change_order.cancel_replace, _REPLACE),
    ("PUT", "/api/v3/order/amend/keepPriority"): _trade(
        change_order.amend_keep_priority,
        frozenset({"symbol", "orderId", "origClientOrderId", "newClientOrderId", "newQty"}),
        weight=4,
    ),
    ("POST", "/api/v3/orderList/oco"): _trade(order_list.new_oco, order_list.OCO_PARAMS),
    ("DELETE", "/api/v3/orderList"): _trade(
        order_list.cancel_list, frozenset({"symbol", "orderListId", "listClientOrderId", "newClientOrderId"})
    ),
    ("GET", "/api/v3/orderList"): Private(
        order_list.get_list, _always(4), frozenset({"orderListId", "origClientOrderId"})
    ),
    ("GET", "/api/v3/openOrderList"): Private(order_list.open_lists, _always(6), frozenset()),
    ("GET", "/api/v3/allOrderList"): Private(order_list.all_lists, _always(20), _SPAN | frozenset({"fromId"})),
    ("GET", "/api/v3/order"): Private(
        lookups.get_order, _always(4), frozenset({"symbol", "orderId", "origClientOrderId"})
    ),
    ("GET", "/api/v3/openOrders"): Private(lookups.open_orders, _by_symbol(6, 80), frozenset({"symbol"})),
    ("GET", "/api/v3/allOrders"): Private(lookups.all_orders, _always(20), _SPAN | frozenset({"symbol", "orderId"})),
    ("GET", "/api/v3/myTrades"): Private(
        lookups.my_trades,
        lambda values: 5 if "orderId" in values else 20,
        _SPAN | frozenset({"symbol", "orderId", "fromId"}),
    ),
}
WALLET_CALLS: dict[tuple[str, str], Handler] = {
    call: account_calls.wallet_call(permission) for call, permission in account_calls.WALLET_PATHS.items()
}
