"""Money, fees, limits and what a key may do; and the wallet, which is closed to every key."""

from __future__ import annotations

from typing import Any

from copytrade.simulator.binance import params, shapes
from copytrade.simulator.binance.call import Call, Handler
from copytrade.simulator.binance.errors import UNAUTHORIZED, BinanceError, not_simulated
from copytrade.simulator.binance.keys import PERMISSIONS
from copytrade.simulator.binance.listing import FEE, fixed
from copytrade.simulator.orders import ZERO

# What the key needs for each of the wallet's calls; the permission alone does not move made-up money.
WALLET_PATHS = {
    ("POST", "/sapi/v1/capital/withdraw/apply"): "enableWithdrawals",
    ("POST", "/sapi/v1/asset/transfer"): "permitsUniversalTransfer",
    ("POST", "/sapi/v1/sub-account/universalTransfer"): "permitsUniversalTransfer",
    ("POST", "/sapi/v1/sub-account/transfer/subToMaster"): "enableInternalTransfer",
    ("POST", "/sapi/v1/margin/transfer"): "enableMargin",
    ("POST", "/sapi/v1/futures/transfer"): "permitsUniversalTransfer",
    ("POST", "/sapi/v1/localentity/withdraw/apply"): "enableWithdrawals",
    ("POST", "/sapi/v1/asset/dust"): "enableWithdrawals",
}


def account(call: Call) -> Any:
    """`GET /api/v3/account`. `canWithdraw` is about the account, not about the key."""
    omit = params.flag(call.params, "omitZeroBalances")
    rates = {"maker": fixed(FEE), "taker": fixed(FEE), "buyer": fixed(ZERO), "seller": fixed(ZERO)}
    held, markets = call.account, call.exchange.markets.values()
    assets = sorted({*held.balances, *(market.base for market in markets), *(market.quote for market in markets)})
    balances = [
        {"asset": asset, "free": fixed(held.available(asset)), "locked": fixed(held.holds.get(asset, ZERO))}
        for asset in assets
        if not omit or held.balances.get(asset, ZERO)
    ]
    return {
        "makerCommission": 10, "takerCommission": 10, "buyerCommission": 0, "sellerCommission": 0,
        "commissionRates": rates, "canTrade": True, "canWithdraw": True, "canDeposit": True, "brokered": False,
        "requireSelfTradePrevention": False, "preventSor": False, "updateTime": shapes.milliseconds(call.now_s),
        "accountType": "SPOT", "balances": balances, "permissions": ["SPOT"],
        "uid": 100_000_000 + list(call.exchange.books.accounts).index(call.account.name),
    }  # fmt: skip


def commission(call: Call) -> Any:
    """`GET /api/v3/account/commission`: the rates of one symbol."""
    symbol = params.symbol(call.params)
    rates = {"maker": fixed(FEE), "taker": fixed(FEE), "buyer": fixed(ZERO), "seller": fixed(ZERO)}
    nothing = dict.fromkeys(rates, fixed(ZERO))
    return {
        "symbol": symbol.name,
        "standardCommission": rates,
        "specialCommission": nothing,
        "taxCommission": nothing,
        "discount": {"enabledForAccount": False, "enabledForSymbol": False, "discountAsset": "BNB", "discount": "0"},
    }


def order_limits(call: Call) -> Any:
    """`GET /api/v3/rateLimit/order`: the unfilled orders of the account against its limits."""
    counter = call.desk.orders.of(call.account.name)
    counter.settle(call.now_s)
    return [
        {
            "rateLimitType": "ORDERS",
            "interval": window.interval,
            "intervalNum": window.number,
            "limit": window.limit,
            "count": window.at(call.now_s).count,
        }
        for window in counter.windows
    ]


def api_restrictions(call: Call) -> Any:
    """`GET /sapi/v1/account/apiRestrictions`: what the key may do. The test net does not have this."""
    key = call.api_key
    shown: dict[str, Any] = {
        "ipRestrict": bool(key.ip_allowlist),
        "createTime": shapes.milliseconds(key.created_at_s),
    }
    return {**shown, **{name: name in key.permissions for name in PERMISSIONS}}


def wallet_call(permission: str) -> Handler:
    """A call that would move money: refused for a key without the permission, and not simulated for one that has it."""

    def refuse(call: Call) -> Any:
        if permission not in call.api_key.permissions:
            raise BinanceError(*UNAUTHORIZED)
        raise not_simulated("the wallet")

    return refuse
