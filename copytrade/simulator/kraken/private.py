"""Kraken's private calls: which function answers each, and which permissions allow it (one is enough)."""

from __future__ import annotations

from copytrade.simulator.kraken.account_calls import (
    api_key_info,
    balance,
    balance_ex,
    not_simulated,
    open_positions,
    trade_balance,
    trade_volume,
    websockets_token,
    withdraw_methods,
)
from copytrade.simulator.kraken.add_order import add_order, add_order_batch
from copytrade.simulator.kraken.call import Handler
from copytrade.simulator.kraken.change_order import (
    amend_order,
    cancel_all,
    cancel_all_orders_after,
    cancel_order,
    cancel_order_batch,
)
from copytrade.simulator.kraken.lookups import (
    closed_orders,
    open_orders,
    query_orders,
    query_trades,
    trades_history,
)

_TRADE = ("modify-trades",)
_CANCEL = ("modify-trades", "close-trades")
PRIVATE_CALLS: dict[str, tuple[Handler, tuple[str, ...]]] = {
    "Balance": (balance, ("query-funds",)),
    "BalanceEx": (balance_ex, ("query-funds",)),
    "TradeBalance": (trade_balance, ("query-funds",)),
    "TradeVolume": (trade_volume, ("query-funds",)),
    "OpenOrders": (open_orders, ("query-open-trades",)),
    "OpenPositions": (open_positions, ("query-open-trades",)),
    "ClosedOrders": (closed_orders, ("query-closed-trades",)),
    "QueryOrders": (query_orders, ("query-open-trades", "query-closed-trades")),
    "TradesHistory": (trades_history, ("query-closed-trades",)),
    "QueryTrades": (query_trades, ("query-closed-trades",)),
    "AddOrder": (add_order, _TRADE),
    "AddOrderBatch": (add_order_batch, _TRADE),
    "AmendOrder": (amend_order, _TRADE),
    "CancelOrder": (cancel_order, _CANCEL),
    "CancelOrderBatch": (cancel_order_batch, _CANCEL),
    "CancelAll": (cancel_all, _CANCEL),
    "CancelAllOrdersAfter": (cancel_all_orders_after, _CANCEL),
    "GetApiKeyInfo": (api_key_info, ()),
    "GetWebSocketsToken": (websockets_token, ("create-ws-token",)),
    "WithdrawMethods": (withdraw_methods, ("withdraw-funds",)),
    # Kraken has these; the simulator says so instead of pretending.
    "EditOrder": (not_simulated, _TRADE),
    "OrderAmends": (not_simulated, ("query-open-trades", "query-closed-trades")),
    "Ledgers": (not_simulated, ("query-ledger",)),
    "QueryLedgers": (not_simulated, ("query-ledger",)),
    "DepositMethods": (not_simulated, ("add-funds",)),
    "Withdraw": (not_simulated, ("withdraw-funds",)),
}
