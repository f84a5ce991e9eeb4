"""OKX's private calls: which function answers each, and which permission it needs."""

from __future__ import annotations

from copytrade.simulator.okx.account_calls import (
    account_instruments,
    balance,
    config,
    currencies,
    funding_balances,
    no_wallet,
    trade_fee,
)
from copytrade.simulator.okx.algos import (
    algo_details,
    algos_history,
    algos_pending,
    amend_algo,
    cancel_algos,
    place_algo,
)
from copytrade.simulator.okx.call import Handler
from copytrade.simulator.okx.change import amend_order, cancel_all_after, cancel_batch, cancel_order
from copytrade.simulator.okx.lookups import (
    fills,
    fills_history,
    get_order,
    orders_history,
    orders_history_archive,
    orders_pending,
)
from copytrade.simulator.okx.place import place_batch, place_order

_READ, _TRADE, _WITHDRAW = "read_only", "trade", "withdraw"
PRIVATE_CALLS: dict[str, tuple[Handler, str]] = {
    "POST /trade/order": (place_order, _TRADE),
    "POST /trade/batch-orders": (place_batch, _TRADE),
    "POST /trade/cancel-order": (cancel_order, _TRADE),
    "POST /trade/cancel-batch-orders": (cancel_batch, _TRADE),
    "POST /trade/amend-order": (amend_order, _TRADE),
    "POST /trade/cancel-all-after": (cancel_all_after, _TRADE),
    "POST /trade/order-algo": (place_algo, _TRADE),
    "POST /trade/cancel-algos": (cancel_algos, _TRADE),
    "POST /trade/amend-algos": (amend_algo, _TRADE),
    "GET /trade/order-algo": (algo_details, _READ),
    "GET /trade/orders-algo-pending": (algos_pending, _READ),
    "GET /trade/orders-algo-history": (algos_history, _READ),
    "GET /trade/order": (get_order, _READ),
    "GET /trade/orders-pending": (orders_pending, _READ),
    "GET /trade/orders-history": (orders_history, _READ),
    "GET /trade/orders-history-archive": (orders_history_archive, _READ),
    "GET /trade/fills": (fills, _READ),
    "GET /trade/fills-history": (fills_history, _READ),
    "GET /account/balance": (balance, _READ),
    "GET /account/config": (config, _READ),
    "GET /account/instruments": (account_instruments, _READ),
    "GET /account/trade-fee": (trade_fee, _READ),
    "GET /asset/balances": (funding_balances, _READ),
    "GET /asset/currencies": (currencies, _READ),
    "POST /asset/transfer": (no_wallet, _TRADE),
    "POST /asset/withdrawal": (no_wallet, _WITHDRAW),
    "POST /asset/withdrawal-lightning": (no_wallet, _WITHDRAW),
    "POST /asset/cancel-withdrawal": (no_wallet, _WITHDRAW),
    "GET /asset/deposit-address": (no_wallet, _READ),
}
