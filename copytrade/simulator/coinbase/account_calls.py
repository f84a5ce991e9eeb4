"""Wallets, key permissions and fees."""

from __future__ import annotations

import uuid
from typing import Any

from copytrade.simulator.coinbase import params
from copytrade.simulator.coinbase.call import Call
from copytrade.simulator.coinbase.errors import invalid, not_found
from copytrade.simulator.coinbase.listing import FIAT, MAKER_FEE, TAKER_FEE, asset_name
from copytrade.simulator.coinbase.params import rfc3339
from copytrade.simulator.coinbase.shapes import number
from copytrade.simulator.ids import bytes_for
from copytrade.simulator.orders import ZERO

PAGE_DEFAULT = 49  # the venue's own default is not published; a small one shows who does not page
PAGE_MAX = 250


def get_accounts(call: Call) -> Any:
    """List Accounts: one wallet for each asset the account ever had; USD and USDC are two."""
    limit = params.integer(call.query, "limit", PAGE_DEFAULT, PAGE_MAX)
    cursor = params.one(call.query, "cursor")
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise invalid("cursor is not one of ours")
    begin = int(cursor or 0)
    wallets = [_wallet(call, asset) for asset in sorted(call.account.balances)]
    page = wallets[begin : begin + limit]
    more = begin + limit < len(wallets)
    return {"accounts": page, "has_next": more, "cursor": str(begin + limit) if more else "", "size": len(page)}


def get_account(call: Call) -> Any:
    """Get Account, by the wallet's uuid."""
    for asset in call.account.balances:
        if wallet_id(call, asset) == call.path_part:
            return {"account": _wallet(call, asset)}
    raise not_found("account")


def get_api_key_permissions(call: Call) -> Any:
    """Get API Key Permissions: needs none."""
    assert call.api_key is not None
    granted = call.api_key.permissions
    return {
        "can_view": "view" in granted,
        "can_trade": "trade" in granted,
        "can_transfer": "transfer" in granted,
        "portfolio_uuid": portfolio_uuid(call),
        "portfolio_type": "DEFAULT",
    }


def get_transaction_summary(call: Call) -> Any:
    """Get Transaction Summary: the fee tier; it never moves here."""
    return {
        "total_volume": 0,
        "total_fees": 0,
        "fee_tier": {
            "pricing_tier": "Intro 1",
            "usd_from": "0",
            "usd_to": "10000",
            "taker_fee_rate": number(TAKER_FEE),
            "maker_fee_rate": number(MAKER_FEE),
        },
        "total_balance": "",
    }


def get_portfolios(call: Call) -> Any:
    """List Portfolios: a key is bound to one."""
    return {"portfolios": [{"name": "Default", "uuid": portfolio_uuid(call), "type": "DEFAULT", "deleted": False}]}


def not_simulated(call: Call) -> Any:
    """A call that moves money, made with a key that may: it stays undone here."""
    raise not_found("simulated call")


def portfolio_uuid(call: Call) -> str:
    """The one portfolio of the account."""
    return str(uuid.UUID(bytes=bytes_for(0, "coinbase portfolio", call.account.name, size=16)))


def wallet_id(call: Call, asset: str) -> str:
    """The id of an account's wallet."""
    return str(uuid.UUID(bytes=bytes_for(0, "coinbase wallet", call.account.name, asset, size=16)))


def _wallet(call: Call, asset: str) -> dict[str, Any]:
    account = call.account
    created = rfc3339(call.api_key.created_at_s if call.api_key is not None else call.now_s)
    held = account.holds.get(asset, ZERO)
    return {
        "uuid": wallet_id(call, asset),
        "name": f"{asset_name(asset)} Wallet",
        "currency": asset,
        "available_balance": {"value": number(account.available(asset)), "currency": asset},
        "default": True,
        "active": True,
        "created_at": created,
        "updated_at": created,
        "deleted_at": None,
        "type": "ACCOUNT_TYPE_FIAT" if asset in FIAT else "ACCOUNT_TYPE_CRYPTO",
        "ready": True,
        "hold": {"value": number(held), "currency": asset},
        "retail_portfolio_id": portfolio_uuid(call),
        "platform": "ACCOUNT_PLATFORM_CONSUMER",
    }
