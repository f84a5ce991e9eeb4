"""The account, its positions and settings, the assets, and the market clock."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from copytrade.simulator.alpaca import params
from copytrade.simulator.alpaca.call import Call, Handler
from copytrade.simulator.alpaca.errors import forbidden, malformed, not_found
from copytrade.simulator.alpaca.hours import NEW_YORK, session_of
from copytrade.simulator.alpaca.listing import ASSETS, AlpacaAsset, asset_object, asset_of_base, find_asset
from copytrade.simulator.alpaca.params import nanoseconds
from copytrade.simulator.alpaca.shapes import plain
from copytrade.simulator.ids import bytes_for
from copytrade.simulator.orders import ZERO

CALENDAR_DAYS_MAX = 366 * 10
CASH = "USD"
_CONFIGURATION = {
    "fractional_trading": True, "max_margin_multiplier": "1", "max_options_trading_level": None, "no_shorting": True,
    "ptp_no_exception_entry": False, "disable_overnight_trading": False, "trade_confirm_email": "all",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Holding:
    """What an account has of one asset besides dollars; `cost` is what the units held cost on average."""

    asset: AlpacaAsset
    quantity: Decimal
    available: Decimal
    price: Decimal
    average_price: Decimal

    @property
    def value(self) -> Decimal:
        """Worth at the last price, in dollars."""
        return self.quantity * self.price


def account(call: Call) -> Any:
    """The account: a cash account, without margin, so all buying powers are the cash that no order holds."""
    held = call.account
    cash = held.balances.get(CASH, ZERO)
    free = plain(held.available(CASH))
    invested = sum((holding.value for holding in holdings(call)), ZERO)
    equity = plain(cash + invested)
    flags = call.flags
    number = int.from_bytes(bytes_for(call.seed, "account number", held.name, size=4), "big")
    return {
        "id": str(uuid.UUID(bytes=bytes_for(call.seed, "account", held.name, size=16), version=4)),
        "account_number": f"PA{number:010d}",
        "status": flags.status,
        "crypto_status": flags.crypto_status,
        "currency": CASH,
        "cash": plain(cash),
        "equity": equity,
        "last_equity": equity,
        "portfolio_value": equity,
        "position_market_value": plain(invested),
        "long_market_value": plain(invested),
        "short_market_value": "0",
        "buying_power": free,
        "regt_buying_power": free,
        "daytrading_buying_power": "0",
        "effective_buying_power": free,
        "non_marginable_buying_power": free,
        "options_buying_power": "0",
        "bod_dtbp": "0",
        "initial_margin": "0",
        "maintenance_margin": "0",
        "last_maintenance_margin": "0",
        "accrued_fees": "0",
        "sma": "0",
        "multiplier": "1",
        "trading_blocked": flags.trading_blocked,
        "transfers_blocked": flags.transfers_blocked,
        "account_blocked": flags.account_blocked,
        "trade_suspended_by_user": flags.suspend_trade,
        "shorting_enabled": False,
        "pattern_day_trader": False,
        "daytrade_count": 0,
        "options_approved_level": 0,
        "options_trading_level": 0,
        "crypto_tier": 1,
        "created_at": nanoseconds(call.api_key.created_at_s),
        "balance_asof": f"{datetime.fromtimestamp(call.now_s, NEW_YORK).date() - timedelta(days=1)}",
    }


def holdings(call: Call) -> list[Holding]:
    """Everything the account has besides dollars, that trades against dollars."""
    found = []
    for base, quantity in call.account.balances.items():
        asset = asset_of_base(base)
        if base == CASH or asset is None or quantity <= 0:
            continue
        price = call.exchange.prices.quote(asset.symbol, call.now_s).last
        average = _average_price(call, base, asset) or price
        found.append(Holding(asset, quantity, call.account.available(base), price, average))
    return found


def _average_price(call: Call, base: str, asset: AlpacaAsset) -> Decimal | None:
    """Average price of the purchases against dollars since the account last had none."""
    quantity, cost = ZERO, ZERO
    for fill in call.account.fills:
        request = call.exchange.books.orders[fill.arrival - 1].request
        if request.symbol != asset.symbol:
            continue
        if request.side == "buy":
            quantity, cost = quantity + fill.volume, cost + fill.cost
        elif quantity:
            sold = min(fill.volume, quantity)
            quantity, cost = quantity - sold, cost - cost * sold / quantity
    return cost / quantity if quantity else None


def _position(call: Call, holding: Holding) -> dict[str, Any]:
    asset, cost = holding.asset, holding.quantity * holding.average_price
    slash = call.desk.unverified.position_symbols == "slash"
    gain = holding.value - cost
    return {
        "asset_id": asset.asset_id,
        "symbol": asset.symbol if slash else asset.plain_symbol,
        "exchange": asset.exchange,
        "asset_class": "crypto" if asset.is_crypto else "us_equity",
        "asset_marginable": False,
        "qty": plain(holding.quantity),
        "qty_available": plain(holding.available),
        "avg_entry_price": plain(round(holding.average_price, 9)),
        "side": "long",
        "market_value": plain(holding.value),
        "cost_basis": plain(round(cost, 9)),
        "unrealized_pl": plain(round(gain, 9)),
        "unrealized_plpc": plain(round(gain / cost, 9)) if cost else "0",
        "unrealized_intraday_pl": plain(round(gain, 9)),
        "unrealized_intraday_plpc": plain(round(gain / cost, 9)) if cost else "0",
        "current_price": plain(holding.price),
        "lastday_price": plain(holding.price),
        "change_today": "0",
    }


def positions(call: Call) -> Any:
    """Every position."""
    return [_position(call, holding) for holding in holdings(call)]


def position(call: Call) -> Any:
    """One position, by any spelling of its asset."""
    asset = find_asset(call.words[0])
    if asset is None:
        raise not_found(f"symbol not found: {call.words[0]}")
    for holding in holdings(call):
        if holding.asset is asset:
            return _position(call, holding)
    raise not_found("position does not exist")


def configurations(call: Call) -> Any:
    """The account's settings."""
    return {**_CONFIGURATION, "suspend_trade": call.flags.suspend_trade}


def change_configurations(call: Call) -> Any:
    """Change `suspend_trade`; the other settings are taken and stay as they are."""
    value = params.text(call.params, "suspend_trade")
    if value not in ("", "true", "false"):
        raise malformed("suspend_trade is invalid")
    if value:
        call.flags.suspend_trade = value == "true"
    return configurations(call)


def assets(call: Call) -> Any:
    """The assets, by class, status and exchange."""
    wanted_class = params.choice(call.params, "asset_class", "us_equity", ("us_equity", "crypto", "us_option"))
    status = params.choice(call.params, "status", "all", ("active", "inactive", "all"))
    exchange = params.text(call.params, "exchange")
    shown = [asset_object(asset) for asset in ASSETS]
    return [
        asset
        for asset in shown
        if asset["class"] == wanted_class
        and status in ("all", asset["status"])
        and (not exchange or asset["exchange"] == exchange)
    ]


def asset(call: Call) -> Any:
    """One asset by symbol (its slash as `%2F`, or without it) or id."""
    found = find_asset(call.words[0])
    if found is None:
        raise not_found(f"asset not found for {call.words[0]}")
    return asset_object(found)


def clock(call: Call) -> Any:
    """The clock of the stock market, in New York's time."""
    hours, now_s = call.exchange.hours, call.now_s
    now = datetime.fromtimestamp(now_s, NEW_YORK)
    return {
        "timestamp": f"{now:%Y-%m-%dT%H:%M:%S.%f}000{_offset(now)}",
        "is_open": hours.is_open(now_s),
        "next_open": datetime.fromtimestamp(hours.next_open(now_s), NEW_YORK).isoformat(),
        "next_close": datetime.fromtimestamp(hours.next_close(now_s), NEW_YORK).isoformat(),
    }


def calendar(call: Call) -> Any:
    """The days with a session from `start` to `end`; a year from today without them."""
    today = datetime.fromtimestamp(call.now_s, UTC).date()
    start = params.day(call.params, "start") or today
    end = params.day(call.params, "end") or start + timedelta(days=365)
    days = min((end - start).days + 1, CALENDAR_DAYS_MAX)
    return [_session(start + timedelta(days=number)) for number in range(days) if session_of(start + timedelta(number))]


def _session(day: date) -> dict[str, str]:
    return {
        "date": day.isoformat(), "open": "09:30", "close": "16:00", "session_open": "0400", "session_close": "2000",
        "settlement_date": (day + timedelta(days=1)).isoformat(),
    }  # fmt: skip


def _offset(moment: datetime) -> str:
    text = f"{moment:%z}"
    return f"{text[:3]}:{text[3:]}"


def refused(message: str) -> Handler:
    """A call that Alpaca has and that this account or this simulator does not serve."""

    def answer(call: Call) -> Any:
        raise forbidden(message)

    return answer
