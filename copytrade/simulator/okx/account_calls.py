"""Balances, configuration, instruments and fees of an account; and the wallet, to which no key here leads."""

from __future__ import annotations

from typing import Any

from copytrade.domain.money import plain
from copytrade.simulator.okx import params
from copytrade.simulator.okx.call import Call
from copytrade.simulator.okx.errors import OkxError
from copytrade.simulator.okx.listing import CURRENCIES, INSTRUMENTS
from copytrade.simulator.okx.public import instrument_object
from copytrade.simulator.okx.shapes import fixed, milliseconds
from copytrade.simulator.orders import ZERO
from copytrade.simulator.valuation import dollars_per


def balance(call: Call) -> list[Any]:
    """GET /account/balance: the trading account, all assets or those in `ccy`."""
    wanted = {name for name in params.text(call.params, "ccy").split(",") if name}
    now_ms = milliseconds(call.now_s)
    details, total = [], ZERO
    for asset, amount in sorted(call.account.balances.items()):
        held = call.account.holds.get(asset, ZERO)
        dollars = amount * dollars_per(call.exchange, asset)
        total += dollars
        if (wanted and asset not in wanted) or (not amount and not held):
            continue
        details.append(
            {
                "ccy": asset, "cashBal": plain(amount), "availBal": plain(amount - held), "availEq": "",
                "frozenBal": plain(held), "ordFrozen": plain(held), "eq": plain(amount), "eqUsd": fixed(dollars, 8),
                "disEq": fixed(dollars, 8), "liab": "", "uTime": now_ms, "upl": "", "isoEq": "",
                "spotInUseAmt": "", "stgyEq": "0",
            }
        )  # fmt: skip
    return [
        {
            "adjEq": "", "details": details, "imr": "", "isoEq": "", "mgnRatio": "", "mmr": "", "notionalUsd": "",
            "ordFroz": "", "totalEq": fixed(total, 8), "uTime": now_ms,
        }
    ]  # fmt: skip


def config(call: Call) -> list[Any]:
    """GET /account/config: what the key is and may do."""
    api_key = call.api_key
    uid = str(44_000_000_000 + list(call.exchange.books.accounts).index(call.account.name))
    return [
        {
            "acctLv": "1", "autoLoan": False, "enableSpotBorrow": False, "ctIsoMode": "automatic",
            "greeksType": "PA", "ip": ",".join(api_key.ip_allowlist), "kycLv": "2", "label": call.account.name,
            "level": "Lv1", "levelTmp": "", "mainUid": uid, "mgnIsoMode": "automatic", "opAuth": "0",
            "perm": ",".join(api_key.permissions), "posMode": "net_mode", "roleType": "0", "type": "0", "uid": uid,
        }
    ]  # fmt: skip


def account_instruments(call: Call) -> list[Any]:
    """GET /account/instruments: what this account may trade."""
    params.required(call.params, "instType")
    inst_id = params.text(call.params, "instId")
    shown = INSTRUMENTS if params.text(call.params, "instType") == "SPOT" else ()
    rows = [instrument_object(each, call.desk) for each in shown if not inst_id or each.inst_id == inst_id]
    if inst_id and not rows:
        raise OkxError("51001")
    return rows


def trade_fee(call: Call) -> list[Any]:
    """GET /account/trade-fee: negative rates are paid by the user."""
    market = INSTRUMENTS[0].market
    return [
        {
            "category": "1", "instType": params.required(call.params, "instType"), "level": "Lv1",
            "maker": plain(-market.maker_fee), "taker": plain(-market.taker_fee), "ts": milliseconds(call.now_s),
        }
    ]  # fmt: skip


def funding_balances(call: Call) -> list[Any]:
    """GET /asset/balances: the funding account, apart from the trading account, and empty here."""
    return []


def currencies(call: Call) -> list[Any]:
    """GET /asset/currencies, as far as clients read it before they trade."""
    wanted = {name for name in params.text(call.params, "ccy").split(",") if name}
    return [
        {
            "ccy": name, "name": name, "chain": f"{name}-{name}", "canDep": False, "canWd": False,
            "canInternal": False, "minWd": "", "maxWd": "", "minDep": "", "minFee": "", "maxFee": "", "wdTickSz": "8",
            "mainNet": True, "fee": "", "needTag": False,
        }
        for name in CURRENCIES
        if not wanted or name in wanted
    ]  # fmt: skip


def no_wallet(call: Call) -> list[Any]:
    """Transfers, withdrawals, deposits: nothing leaves a simulated account, whatever the key may do."""
    raise OkxError("50030")
