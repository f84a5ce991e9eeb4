"""POST /v2/orders: from a JSON object to an order on the matching engine.

Form first, then the market's rules, then the account, then money, as far as Alpaca's answers show its order of checks.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any

from copytrade.simulator.alpaca import params
from copytrade.simulator.alpaca.call import Bracket, Call
from copytrade.simulator.alpaca.errors import AlpacaError, forbidden, invalid, malformed
from copytrade.simulator.alpaca.listing import AlpacaAsset, find_asset
from copytrade.simulator.alpaca.lists import views_of
from copytrade.simulator.alpaca.shapes import plain
from copytrade.simulator.exchange import OrderRefused
from copytrade.simulator.ids import bytes_for
from copytrade.simulator.orders import NewOrder

CRYPTO_BUY_MIN_USD = Decimal(10)
STOCK_ORDER_MIN_USD = Decimal(1)
# docs.alpaca.markets, "Orders at Alpaca": what is good till cancelled is ended by Alpaca after 90 days.
AGED_AFTER_S = 90 * 86_400.0
_TYPES = ("market", "limit", "stop", "stop_limit", "trailing_stop")
_STOCK_TIMES = ("day", "gtc", "opg", "cls", "ioc", "fok")
_CRYPTO_TIMES = ("gtc", "ioc")
_CLASSES = ("", "simple", "oco", "bracket", "oto", "mleg")
_ADVANCED = ("legs", "advanced_instructions", "trail_price", "trail_percent")


@dataclass(frozen=True, slots=True)
class Asked:
    """An order whose form holds. One of `quantity` (base units) and `notional` (quote units) is set.

    A list (`order_class` oco or bracket) has `profit_price` and `loss_price` too.
    """

    asset: AlpacaAsset
    side: str
    kind: str
    time_in_force: str
    quantity: Decimal | None
    notional: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    client_id: str
    order_class: str = ""
    profit_price: Decimal | None = None
    loss_price: Decimal | None = None


def place_order(call: Call) -> Any:
    """Place an order; the answer shows it accepted, never filled."""
    asked = read_order(call)
    check_market(call, asked)
    check_account(call, asked.asset)
    check_client_id(call, asked.client_id)
    check_list(call, asked)
    price = _price(call, asked)
    _check_minimums(call, asked, price)
    request = _request(call, asked, price)
    check_wash_trade(call, asked)
    hidden_s = call.fault.hide_s if call.fault is not None and call.fault_kind == "hide" else 0.0
    share = Decimal(call.fault.fraction) if call.fault is not None and call.fault_kind == "partial_cancel" else None
    try:
        if call.fault_kind == "reject_funds":
            raise OrderRefused(OrderRefused.FUNDS)
        order = call.exchange.submit(request, hidden_s=hidden_s, cancel_after_fraction=share)
    except OrderRefused:
        raise no_funds(call, asked.asset, request, price) from None
    if asked.order_class == "bracket" and asked.profit_price is not None and asked.loss_price is not None:
        call.desk.brackets[order.order_id] = Bracket(asked.profit_price, asked.loss_price)
        call.desk.entries_open.add(order.order_id)
    views_of(call).remember(order)
    status = "pending_new" if asked.asset.is_crypto else "accepted"
    return views_of(call).object(order, nested=True, fresh=status)


def read_order(call: Call) -> Asked:
    """The form of an order. Raises AlpacaError."""
    values = call.params
    symbol = params.text(values, "symbol")
    if not symbol:
        raise malformed("symbol is required")
    asset = find_asset(symbol)
    if asset is None:
        raise invalid(f'asset "{symbol}" not found')
    if not asset.active:
        raise invalid(f"asset {asset.symbol} is not active")
    side = params.text(values, "side")
    if side not in ("buy", "sell"):
        raise malformed("side is required" if not side else f"invalid side: {side}")
    kind = params.text(values, "type") or params.text(values, "order_type")
    if kind not in _TYPES:
        raise malformed("type is required" if not kind else f"invalid order type: {kind}")
    time_in_force = params.text(values, "time_in_force")
    if not time_in_force:
        raise malformed("time_in_force is required")
    quantity, notional = params.decimal(values, "qty"), params.decimal(values, "notional")
    if quantity is not None and notional is not None:
        raise malformed("only one of qty or notional is accepted")
    if quantity is None and notional is None:
        raise malformed("qty or notional is required")
    order_class = _order_class(call, asset)
    profit = params.decimal(params.object_(values, "take_profit"), "limit_price")
    loss = params.object_(values, "stop_loss")
    if loss.get("limit_price"):
        raise invalid("stop_loss.limit_price is not simulated")
    limit_price, stop_price = params.decimal(values, "limit_price"), params.decimal(values, "stop_price")
    if order_class == "oco" and kind != "limit":
        raise invalid("oco orders must be limit orders")
    if order_class == "oco" and profit is not None:
        limit_price = profit  # whatever else it says
    _check_prices(kind, limit_price, stop_price)
    client_id = params.text(values, "client_order_id") or made_id(call, "client order id")
    return Asked(
        asset, side, kind, time_in_force, quantity, notional, limit_price, stop_price, client_id, order_class, profit,
        params.decimal(loss, "stop_price"),
    )  # fmt: skip


def _order_class(call: Call, asset: AlpacaAsset) -> str:
    values = call.params
    order_class = params.text(values, "order_class")
    if order_class not in _CLASSES:
        raise malformed(f"invalid order_class: {order_class}")
    order_class = "" if order_class == "simple" else order_class
    listed = any(values.get(name) for name in ("take_profit", "stop_loss"))
    if asset.is_crypto and (order_class or listed):
        raise invalid("crypto orders not allowed for advanced order_class")
    if order_class in ("oto", "mleg") or any(values.get(name) for name in _ADVANCED) or (listed and not order_class):
        raise invalid("this order_class is not simulated")
    return order_class


def _check_prices(kind: str, limit_price: Decimal | None, stop_price: Decimal | None) -> None:
    """The prices that each type has, and no others."""
    if kind == "market" and (limit_price is not None or stop_price is not None):
        raise malformed("market orders require no limit or stop price")
    if kind == "limit" and limit_price is None:
        raise malformed("limit orders require limit price")
    if kind == "limit" and stop_price is not None:
        raise malformed("limit orders require only limit price")
    if kind == "stop" and (stop_price is None or limit_price is not None):
        raise malformed("stop orders require only stop price")
    if kind == "stop_limit" and (stop_price is None or limit_price is None):
        raise malformed("stop limit orders require both stop and limit price")


def check_market(call: Call, asked: Asked) -> None:
    """What the asset's market allows. Raises AlpacaError."""
    asset = asked.asset
    if asset.is_crypto:
        if asked.time_in_force not in _CRYPTO_TIMES:
            raise invalid("invalid crypto time_in_force")
        if asked.kind not in ("market", "limit", "stop_limit"):
            raise invalid(f"invalid order type for crypto order: {asked.kind}")
    else:
        _check_stock(call, asked)
    if asked.kind == "trailing_stop":
        raise invalid(f"{asked.kind} orders are not simulated")
    if asked.notional is not None and asked.kind != "market":
        raise invalid("notional orders must be market orders")
    check_steps(call, asset, asked.quantity, asked.limit_price, asked.stop_price)
    check_steps(call, asset, None, asked.profit_price, asked.loss_price)


def _check_stock(call: Call, asked: Asked) -> None:
    tif = asked.time_in_force
    if tif not in _STOCK_TIMES:
        raise malformed(f"invalid time_in_force: {tif}")
    whole = asked.quantity is not None and asked.quantity == asked.quantity.to_integral_value()
    if not whole:
        if not asked.asset.fractionable:
            raise forbidden(f'asset "{asked.asset.symbol}" is not fractionable')
        if tif != "day":
            raise invalid("fractional orders must be DAY orders")
        if asked.order_class:
            raise invalid("fractional orders must be simple orders")
    if tif in ("opg", "cls"):
        raise invalid(f"{tif} orders are not simulated")
    if params.text(call.params, "extended_hours") == "true":
        raise invalid("extended hours order must be DAY limit orders" if asked.kind == "market" else "not simulated")
    if tif in ("ioc", "fok") and not call.exchange.hours.is_open(call.now_s):
        raise invalid(f"{tif} orders are only accepted during market hours")


def check_steps(
    call: Call,
    asset: AlpacaAsset,
    quantity: Decimal | None,
    limit_price: Decimal | None,
    stop_price: Decimal | None = None,
) -> None:
    """Quantity and prices on their steps. Raises AlpacaError."""
    market = asset.market
    if quantity is not None and quantity % market.lot_step and call.desk.unverified.too_precise == "refuse":
        raise invalid(f"invalid qty {plain(quantity)}: must be a multiple of {plain(market.lot_step)}")
    for name, price in (("limit_price", limit_price), ("stop_price", stop_price)):
        if price is None:
            continue
        tick = Decimal("0.0001") if not asset.is_crypto and price < 1 else market.tick_size
        if price % tick:
            rule = "sub-penny increment does not fulfill minimum pricing criteria"
            raise invalid(f"invalid {name} {plain(price)}. {rule}")


def check_list(call: Call, asked: Asked) -> None:
    """The rules of OCO and bracket orders. Raises AlpacaError."""
    if not asked.order_class:
        return
    name, profit, loss = asked.order_class, asked.profit_price, asked.loss_price
    if profit is None or loss is None:
        raise malformed(f"{name} orders require take_profit.limit_price and stop_loss.stop_price")
    if asked.time_in_force not in ("day", "gtc"):
        raise invalid(f"{name} orders must be day or gtc orders")
    if name == "bracket" and asked.kind not in ("market", "limit"):
        raise invalid("bracket orders must be market or limit orders")
    holds = call.account.balances.get(asked.asset.market.base, Decimal(0)) > 0
    if name == "oco" and not (asked.side == "sell" and holds):
        raise invalid("oco orders must be exit orders")
    if name == "bracket" and asked.side == "sell":
        raise invalid("bracket orders must be entry orders")
    if profit <= loss:
        raise invalid("take_profit.limit_price must be > stop_loss.stop_price")
    base = call.exchange.prices.quote(asked.asset.symbol, call.now_s).last
    if name == "bracket" and asked.limit_price is not None:
        base = asked.limit_price
    cent = Decimal("0.01")
    if loss > base - cent:
        raise invalid("stop_loss.stop_price must be <= base_price - 0.01", base_price=plain(base))
    if name == "bracket" and profit < base + cent:
        raise invalid("take_profit.limit_price must be >= base_price + 0.01", base_price=plain(base))


def check_wash_trade(call: Call, asked: Asked) -> None:
    """Refuse what could meet an open order of the same account on the other side. Raises AlpacaError.

    Two limits may stand if they do not cross; a market order and whatever has a stop meets any other. Source:
    docs.alpaca.markets, "User protection"; lists are the way that its message names.
    """
    if asked.order_class or call.desk.unverified.wash_trades == "allow":
        return
    for order in call.account.open_orders.values():
        request = order.request
        if request.symbol != asked.asset.symbol or request.side == asked.side:
            continue
        limited = order.working_price is not None and not order.armed
        if limited and asked.kind == "limit" and order.limit_price is not None and asked.limit_price is not None:
            buy, sell = asked.limit_price, order.limit_price
            if asked.side == "sell":
                buy, sell = sell, buy
            if buy < sell:
                continue
        kind = "limit" if limited else "market/stop"
        raise forbidden(
            "potential wash trade detected. use complex orders",
            existing_order_id=order.order_id,
            reject_reason=f"opposite side {kind} order exists",
        )


def check_account(call: Call, asset: AlpacaAsset) -> None:
    """Whether the account may place an order at all. Raises AlpacaError."""
    flags = call.flags
    if flags.status != "ACTIVE" or flags.account_blocked or flags.trading_blocked:
        raise forbidden("account is not allowed to trade")
    if flags.suspend_trade:
        raise forbidden("new orders are rejected by user request")
    if asset.is_crypto and flags.crypto_status != "ACTIVE":
        raise malformed("crypto orders not allowed for account")


def check_client_id(call: Call, client_id: str) -> None:
    """A client order id names one order of an account for ever, whatever became of it. Raises AlpacaError."""
    unverified = call.desk.unverified
    if len(client_id) > unverified.client_id_max:
        raise malformed(f"client_order_id must be no more than {unverified.client_id_max} characters")
    if client_id in call.account.by_client_id:
        raise AlpacaError(unverified.duplicate_status, 40010001, "client_order_id must be unique")


def made_id(call: Call, what: str) -> str:
    """A UUID that depends on the seed and the number of orders there are."""
    return str(uuid.UUID(bytes=bytes_for(call.seed, what, len(call.exchange.books.orders), size=16), version=4))


def no_funds(call: Call, asset: AlpacaAsset, request: NewOrder, price: Decimal) -> AlpacaError:
    """How Alpaca says that the money does not suffice: in one way for coins, in others for stocks."""
    selling = request.side == "sell"
    held = asset.market.base if selling else asset.market.quote
    available = call.account.available(held)
    needed = request.volume if selling or request.volume_in_quote else request.volume * price
    figures = f"(requested: {plain(needed)}, available: {plain(available)})"
    if asset.is_crypto:
        return forbidden(f"insufficient balance for {held} {figures}")
    if selling:
        return forbidden(f"insufficient qty available for order {figures}", symbol=asset.symbol)
    return forbidden("insufficient buying power", buying_power=plain(available), cost_basis=plain(needed))


def _price(call: Call, asked: Asked) -> Decimal:
    if asked.limit_price is not None:
        return asked.limit_price
    if asked.stop_price is not None:
        return asked.stop_price
    quote = call.exchange.prices.quote(asked.asset.symbol, call.now_s)
    return quote.ask if asked.side == "buy" else quote.bid


def _check_minimums(call: Call, asked: Asked, price: Decimal) -> None:
    market = asked.asset.market
    cost = asked.notional if asked.notional is not None else (asked.quantity or Decimal(0)) * price
    if asked.asset.is_crypto:
        size = cost / price if asked.quantity is None else asked.quantity
        if size < market.order_min:
            raise forbidden(f"qty must be >= minimal qty of order {plain(market.order_min)}")
        if asked.side == "buy" and market.quote == "USD" and cost < CRYPTO_BUY_MIN_USD:
            raise forbidden(f"cost basis must be >= minimal amount of order {plain(CRYPTO_BUY_MIN_USD)}")
        most = call.desk.unverified.order_value_max
        if most is not None and cost > most:
            raise forbidden(f"order value must be <= maximal amount of order {plain(most)}")
    elif asked.side == "buy" and cost < STOCK_ORDER_MIN_USD:
        raise forbidden(f"cost basis must be >= minimal amount of order {plain(STOCK_ORDER_MIN_USD)}")


def _ends_at_s(call: Call, time_in_force: str) -> float | None:
    hours = call.exchange.hours
    if time_in_force == "gtc":
        return call.now_s + AGED_AFTER_S
    return hours.next_close(call.now_s) if time_in_force == "day" and not hours.always_open else None


def _request(call: Call, asked: Asked, price: Decimal) -> NewOrder:
    market = asked.asset.market
    buys_for_money = asked.notional is not None and asked.side == "buy"
    volume = asked.notional if asked.notional is not None and buys_for_money else asked.quantity
    if volume is None:  # a sale for an amount: as many units as that is now
        volume = (asked.notional or Decimal(0)) / price
    if not buys_for_money:
        volume = volume.quantize(market.lot_step, rounding=ROUND_DOWN)
    day = asked.time_in_force == "day"
    return NewOrder(
        account=call.account.name,
        symbol=market.symbol,
        side=asked.side,
        volume=volume,
        limit_price=asked.limit_price,
        volume_in_quote=buys_for_money,
        time_in_force="GTD" if day else asked.time_in_force.upper(),
        expires_at_s=_ends_at_s(call, asked.time_in_force),
        fee_in_base=asked.asset.is_crypto and asked.side == "buy",
        client_id=asked.client_id,
        trigger="" if asked.stop_price is None else "stop",
        stop_price=asked.stop_price,
        bracket_stop=asked.loss_price if asked.order_class == "oco" else None,
    )
