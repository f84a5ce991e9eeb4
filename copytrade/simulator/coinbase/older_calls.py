"""Calls of the older interface (`/v2`) that clients of today's still make, to look only: clock, currencies, wallets.

Shapes: Coinbase's "Track" pages of the Coinbase App API, and the answers that ccxt 4.5.90 reads.
"""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from copytrade.simulator.coinbase import params
from copytrade.simulator.coinbase.account_calls import wallet_id
from copytrade.simulator.coinbase.call import Call
from copytrade.simulator.coinbase.errors import invalid
from copytrade.simulator.coinbase.listing import BY_SYMBOL, FIAT, PRODUCTS, asset_name
from copytrade.simulator.coinbase.params import rfc3339
from copytrade.simulator.coinbase.shapes import number
from copytrade.simulator.ids import bytes_for
from copytrade.simulator.orders import ZERO

PAGE_DEFAULT = 25
PAGE_MAX = 300
_FIAT_SMALLEST = "0.01000000"
_RATE_STEP = Decimal("1E-10")


def get_time(call: Call) -> Any:
    """The venue's clock."""
    return {"data": {"iso": rfc3339(int(call.now_s)), "epoch": int(call.now_s)}}


def get_currencies(call: Call) -> Any:
    """Moneys of states, by their ISO code."""
    return {"data": [{"id": code, "name": asset_name(code), "min_size": _FIAT_SMALLEST} for code in FIAT]}


def get_crypto_currencies(call: Call) -> Any:
    """Everything else that a product is made of."""
    codes = sorted({code for product in PRODUCTS for code in product.market.symbol.split("/")} - set(FIAT))
    return {"data": [{**_currency(code), "color": "#000000", "sort_index": n} for n, code in enumerate(codes)]}


def get_exchange_rates(call: Call) -> Any:
    """What one unit of `currency` (USD unless said) is worth in each currency it has a product with."""
    base = params.one(call.query, "currency") or "USD"
    rates = {base: "1.0"}
    for symbol in BY_SYMBOL:
        one, other = symbol.split("/")
        if base in (one, other):
            last = call.exchange.prices.quote(symbol, call.now_s).last
            code, rate = (other, last) if base == one else (one, (1 / last).quantize(_RATE_STEP))
            rates[code] = number(rate)
    return {"data": {"currency": base, "rates": rates}}


def get_wallets(call: Call) -> Any:
    """Wallets with all that is in them, held or not: the older interface tells the two together."""
    limit = params.integer(call.query, "limit", PAGE_DEFAULT, PAGE_MAX)
    after = params.one(call.query, "starting_after")
    wallets = [_wallet(call, asset) for asset in sorted(call.account.balances)]
    ids = [each["id"] for each in wallets]
    if after and after not in ids:
        raise invalid("starting_after names no wallet")
    begin = ids.index(after) + 1 if after else 0
    page = wallets[begin : begin + limit]
    more = page[-1]["id"] if begin + limit < len(wallets) else None
    pagination = {
        "ending_before": None, "starting_after": after or None, "previous_ending_before": None,
        "next_starting_after": more, "limit": limit, "order": "desc", "previous_uri": None,
        "next_uri": None if more is None else f"/v2/accounts?starting_after={more}",
    }  # fmt: skip
    return {"pagination": pagination, "data": page}


def _currency(code: str) -> dict[str, Any]:
    kind = "fiat" if code in FIAT else "crypto"
    asset_id = str(uuid.UUID(bytes=bytes_for(0, "coinbase asset", code, size=16)))
    return {"asset_id": asset_id, "code": code, "name": asset_name(code), "exponent": 8, "type": kind}


def _wallet(call: Call, asset: str) -> dict[str, Any]:
    made = wallet_id(call, asset)
    created = rfc3339(call.api_key.created_at_s if call.api_key is not None else call.now_s)
    return {
        "id": made,
        "name": f"{asset_name(asset)} Wallet",
        "primary": False,
        "type": "fiat" if asset in FIAT else "wallet",
        "currency": _currency(asset),
        "balance": {"amount": number(call.account.balances.get(asset, ZERO)), "currency": asset},
        "created_at": created,
        "updated_at": created,
        "resource": "account",
        "resource_path": f"/v2/accounts/{made}",
        "allow_deposits": True,
        "allow_withdrawals": False,
    }
