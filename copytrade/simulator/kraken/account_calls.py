"""Balances, key information and the other calls about the account itself."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from copytrade.simulator.kraken import errors, params
from copytrade.simulator.kraken.call import Call
from copytrade.simulator.kraken.errors import KrakenError
from copytrade.simulator.kraken.listing import ASSET_BY_NAME, amount_text, find_asset, find_pair
from copytrade.simulator.kraken.shapes import fixed
from copytrade.simulator.kraken.tokens import TOKEN_EXPIRES_S
from copytrade.simulator.orders import ZERO
from copytrade.simulator.valuation import value_in


def _balances(call: Call) -> list[tuple[str, Decimal, Decimal, int]]:
    """Kraken's key, balance, what is held, and decimals of each asset the account ever had."""
    rows = []
    for name, amount in call.account.balances.items():
        asset = ASSET_BY_NAME.get(name)
        key, decimals = (name, 8) if asset is None else (asset.key, asset.asset.decimals)
        rows.append((key, amount, call.account.holds.get(name, ZERO), decimals))
    return sorted(rows)


def balance(call: Call) -> Any:
    """Balance: everything, what open orders hold included."""
    return {key: amount_text(amount, decimals) for key, amount, _, decimals in _balances(call)}


def balance_ex(call: Call) -> Any:
    """BalanceEx: balance and hold_trade; free to trade is the difference."""
    return {
        key: {"balance": amount_text(amount, decimals), "hold_trade": amount_text(held, decimals)}
        for key, amount, held, decimals in _balances(call)
    }


def trade_balance(call: Call) -> Any:
    """TradeBalance: worth of the account in `asset` (ZUSD by default); no margin, so most of it is zero."""
    asset = find_asset(params.text(call.params, "asset", "ZUSD") or "ZUSD", params.text(call.params, "assetVersion"))
    if asset is None:
        raise KrakenError(errors.UNKNOWN_ASSET)
    worth = fixed(value_in(call.exchange, call.account.name, asset.asset.name), 4)
    zero = "0.0000"
    return {
        "eb": worth,
        "tb": worth,
        "m": zero,
        "uv": zero,
        "n": zero,
        "c": zero,
        "v": zero,
        "e": worth,
        "mf": worth,
    }


def api_key_info(call: Call) -> Any:
    """GetApiKeyInfo: needs no permission."""
    api_key = call.api_key
    created = params.rfc3339(api_key.created_at_s)
    return {
        "apiKeyName": api_key.account,
        "apiKey": api_key.key,
        "nonce": str(api_key.nonce),
        "nonceWindow": api_key.nonce_window,
        "permissions": sorted(api_key.permissions),
        "iban": "",
        "validUntil": "0",
        "queryFrom": "0",
        "queryTo": "0",
        "createdTime": created,
        "modifiedTime": created,
        "ipAllowlist": list(api_key.ip_allowlist),
        "lastUsed": params.rfc3339(api_key.last_used_s or call.now_s),
    }


def websockets_token(call: Call) -> Any:
    """GetWebSocketsToken. There is no WebSocket here to use it on."""
    return {"token": call.token(), "expires": TOKEN_EXPIRES_S}


def withdraw_methods(call: Call) -> Any:
    """WithdrawMethods: only a key that may withdraw gets an answer, which is what clients ask it for."""
    return [
        {"asset": "XBT", "method": "Bitcoin", "network": "Bitcoin", "minimum": "0.0004"},
        {"asset": "USD", "method": "Wire", "network": "", "minimum": "20.00"},
    ]


def trade_volume(call: Call) -> Any:
    """TradeVolume: the fee of each pair asked for; the volume is always 0, so is the discount."""
    shown: dict[str, Any] = {"currency": "ZUSD", "volume": "0.0000"}
    wanted = params.text(call.params, "pair")
    if wanted:
        pairs = [find_pair(part, params.text(call.params, "assetVersion")) for part in wanted.split(",")]
        known = [pair for pair in pairs if pair is not None]
        if len(known) != len(pairs):
            raise KrakenError(errors.UNKNOWN_PAIR)
        for name, rate in (("fees", "taker_fee"), ("fees_maker", "maker_fee")):
            shown[name] = {pair.key: {"fee": fixed(getattr(pair.market, rate) * 100, 4)} for pair in known}
    return shown


def open_positions(call: Call) -> Any:
    """OpenPositions: a spot account has none."""
    return {}


def not_simulated(call: Call) -> Any:
    """A call that Kraken has and the simulator has not."""
    raise KrakenError(errors.FEATURE_DISABLED)
