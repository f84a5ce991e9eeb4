"""`POST /api/v3/order` and `/order/test`: from parameters to an order on the matching engine.

Parameters are checked first, then the symbol's filters, then what the engine looks at (limits, status, duplicates,
funds). The engine has worked when the answer leaves, so a reply of type FULL carries the fills.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any

from copytrade.simulator.binance import params, shapes
from copytrade.simulator.binance.call import TRADING, Call
from copytrade.simulator.binance.errors import BinanceError, filter_failure, missing, not_required, refused
from copytrade.simulator.binance.errors import not_simulated as unsupported
from copytrade.simulator.binance.listing import (
    ALGO_ORDERS_MAX,
    ORDER_TYPES,
    ORDERS_MAX,
    PRICE_SHARE_MAX,
    PRICE_SHARE_MIN,
    BinanceSymbol,
)
from copytrade.simulator.exchange import OrderRefused
from copytrade.simulator.ids import letters_for
from copytrade.simulator.orders import CLOSED, NewOrder, Order

PRECISION_MAX = 8
REPLY_TYPES = ("ACK", "RESULT", "FULL")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK")
SELF_TRADE_MODES = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER")
STRATEGY_TYPE_MIN = 1_000_000  # lower numbers are the exchange's own
_NEVER = ("icebergQty", "pegPriceType", "pegOffsetValue", "pegOffsetType")
NO_FUNDS = "Account has insufficient balance for requested action."
DUPLICATE = "Duplicate order sent."
TRIGGERS = {"STOP_LOSS": "stop", "TAKE_PROFIT": "take_profit"}
_REFUSALS = {
    OrderRefused.FUNDS: NO_FUNDS,
    OrderRefused.WOULD_CROSS: "Order would immediately match and take.",
    OrderRefused.DUPLICATE_CLIENT_ID: DUPLICATE,
    OrderRefused.TOO_SMALL: "Order book liquidity is less than LOT_SIZE filter minimum quantity.",
}
ORDER_PARAMS = frozenset(
    {
        "symbol", "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price", "newClientOrderId", "strategyId",
        "strategyType", "stopPrice", "trailingDelta", "icebergQty", "newOrderRespType", "selfTradePreventionMode",
        "pegPriceType", "pegOffsetValue", "pegOffsetType",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """An order whose parameters and filters hold."""

    symbol: BinanceSymbol
    request: NewOrder
    reply_type: str


def new_order(call: Call) -> Any:
    """`POST /api/v3/order`."""
    return place(call, check_order(call))


def test_order(call: Call) -> Any:
    """`POST /api/v3/order/test`: nothing comes of it."""
    checked = check_order(call)
    if not params.flag(call.params, "computeCommissionRates"):
        return {}
    market = checked.symbol.market
    rates = {"maker": str(market.maker_fee), "taker": str(market.taker_fee)}
    nothing = {"maker": "0", "taker": "0"}
    return {
        "standardCommissionForOrder": rates,
        "specialCommissionForOrder": nothing,
        "taxCommissionForOrder": nothing,
        "discount": {"enabledForAccount": False, "enabledForSymbol": False, "discountAsset": "BNB", "discount": "0"},
    }


def place(call: Call, checked: Checked) -> dict[str, Any]:
    """Hand an order to the matching engine; returns the reply to it. Raises BinanceError."""
    counter = call.desk.orders.of(call.account.name)
    if call.desk.orders.enabled:
        counter.check(call.now_s)
    order = _submit(call, checked)
    count_orders(call, order, 1)
    (part,) = call.parts(order)
    if checked.reply_type == "ACK":
        return shapes.ack(part)
    return shapes.result(part) if checked.reply_type == "RESULT" else shapes.full(part)


def count_orders(call: Call, order: Order, number: int) -> None:
    """Count an order that was taken, let the engine work on it, and tell the counts in the answer's headers."""
    counter = call.desk.orders.of(call.account.name)
    counter.add(order, call.now_s, number)
    call.exchange.advance(call.now_s)
    counter.settle(call.now_s)
    for window in counter.windows:
        call.headers[f"X-MBX-ORDER-COUNT-{window.letter}"] = str(window.count)


def _submit(call: Call, checked: Checked) -> Order:
    symbol, request, fault = checked.symbol, checked.request, call.fault
    check_trading(call, symbol)
    if call.account.open_by_symbol.get(symbol.market.symbol, 0) >= ORDERS_MAX:
        raise filter_failure("MAX_NUM_ORDERS")
    if request.trigger and algo_orders(call, symbol.market.symbol) >= ALGO_ORDERS_MAX:
        raise filter_failure("MAX_NUM_ALGO_ORDERS")
    known = call.account.by_client_id.get(request.client_id or "", [])
    if not call.desk.unverified.reuse_cancelled_ids and any(order.status != CLOSED for order in known):
        raise refused(DUPLICATE)
    if request.trigger and call.exchange.would_trigger(request):
        raise refused("Order would trigger immediately.")
    hidden_s = fault.hide_s if fault is not None and fault.kind == "hide" else 0.0
    share = Decimal(fault.fraction) if fault is not None and fault.kind == "partial_cancel" else None
    try:
        return call.exchange.submit(request, hidden_s=hidden_s, cancel_after_fraction=share)
    except OrderRefused as error:
        raise say_refused(error) from None


def check_trading(call: Call, symbol: BinanceSymbol) -> None:
    """Raise BinanceError unless the symbol trades, and unless a fault says that the funds do not suffice."""
    if call.desk.status(symbol) != TRADING:
        raise refused("Market is closed.")
    if call.fault_kind == "reject_funds":
        raise refused(NO_FUNDS)


def say_refused(error: OrderRefused) -> BinanceError:
    """The engine's refusal in Binance's words."""
    return refused(_REFUSALS[error.reason])


def algo_orders(call: Call, symbol: str) -> int:
    """How many orders of the account wait for a trigger in a market, those of lists among them."""
    return sum(order.armed for order in call.account.open_orders.values() if order.request.symbol == symbol)


def check_order(call: Call) -> Checked:
    """Everything about an order that can be checked before the engine sees it. Raises BinanceError."""
    values = call.params
    symbol = params.symbol(values)
    side = params.choice(values, "side", ("BUY", "SELL"), -1117, "Invalid side.")
    kind = params.choice(values, "type", ORDER_TYPES, -1116, "Invalid orderType.")
    if side is None or kind is None:
        raise missing("side" if side is None else "type")
    if kind not in symbol.order_types:
        raise refused(f"{kind.replace('_', ' ').capitalize()} orders are not supported for this symbol.")
    _refuse_unsimulated(values)
    time_in_force = _time_in_force(values, kind)
    reply_type = params.choice(
        values, "newOrderRespType", REPLY_TYPES, -1130, "Data sent for parameter 'newOrderRespType' is not valid."
    )
    client_id = params.client_id(values, "newClientOrderId")
    quantity, in_quote = _quantity(values, kind)
    price, stop = _price(values, kind), _stop(values, kind)
    check_filters(call, symbol, quantity, in_quote, price, stop)
    if in_quote and side == "SELL":
        # The engine takes amounts of money for purchases alone; a sale of so much money is a sale of so much base.
        quantity, in_quote = _base_for(call, symbol, quantity), False
    request = NewOrder(
        account=call.account.name,
        symbol=symbol.market.symbol,
        side=side.lower(),
        volume=quantity,
        limit_price=price,
        volume_in_quote=in_quote,
        time_in_force=time_in_force,
        post_only=kind == "LIMIT_MAKER",
        fee_in_base=side == "BUY",
        client_id=client_id or made_client_id(call),
        trigger=TRIGGERS.get(kind.removesuffix("_LIMIT"), ""),
        stop_price=stop,
    )
    default = "FULL" if kind in ("LIMIT", "MARKET") else "ACK"
    return Checked(symbol, request, reply_type or default)


def made_client_id(call: Call, what: str = "order") -> str:
    """The id Binance gives an order or cancel that came without one: 22 letters and digits."""
    call.desk.ids_made += 1  # tells two of one moment apart; the number of orders, those of before a restart
    return letters_for(call.desk.ids_made, what, call.account.name, len(call.exchange.books.orders), count=22)


def check_filters(
    call: Call, symbol: BinanceSymbol, quantity: Decimal, in_quote: bool, price: Decimal | None, stop: Decimal | None
) -> None:
    """Raise BinanceError unless an order keeps the symbol's filters."""
    market = symbol.market
    quote = call.exchange.prices.quote(market.symbol, call.now_s)
    for each in (price, stop):
        if each is not None and (not market.tick_size <= each <= symbol.price_max or each % market.tick_size):
            raise filter_failure("PRICE_FILTER")
    if price is not None and not quote.last * PRICE_SHARE_MIN <= price <= quote.last * PRICE_SHARE_MAX:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")
    if in_quote:
        if _base_for(call, symbol, quantity) < market.order_min:
            raise refused(_REFUSALS[OrderRefused.TOO_SMALL])
        notional = quantity
    else:
        if not market.order_min <= quantity <= symbol.quantity_max or quantity % market.lot_step:
            raise filter_failure("LOT_SIZE")
        if price is None and quantity > symbol.market_quantity_max:
            raise filter_failure("MARKET_LOT_SIZE")
        notional = quantity * (price or stop or quote.last)
    above = price is not None and notional > symbol.notional_max and symbol.notional_filter == "NOTIONAL"
    if notional < market.cost_min or above:
        raise filter_failure(symbol.notional_filter)


def _base_for(call: Call, symbol: BinanceSymbol, amount: Decimal) -> Decimal:
    """How much an amount of money buys or needs now, rounded to LOT_SIZE; the rest of it stays unspent."""
    last = call.exchange.prices.quote(symbol.market.symbol, call.now_s).last
    return (amount / last).quantize(symbol.market.lot_step, rounding=ROUND_DOWN)


def _quantity(values: params.Params, kind: str) -> tuple[Decimal, bool]:
    """How much, and whether that counts money."""
    quantity, amount = params.decimal(values, "quantity"), params.decimal(values, "quoteOrderQty")
    if kind != "MARKET" and amount is not None:
        raise not_required("quoteOrderQty")
    if quantity is not None and amount is not None:
        raise BinanceError(-1128, "Combination of optional parameters invalid.")
    if amount is not None:
        check_number(amount, "quoteOrderQty", "quoteOrderQty")
        return amount, True
    if quantity is None:
        if kind == "MARKET":
            raise BinanceError(-1102, "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!")
        raise missing("quantity")
    check_number(quantity, "quantity", "quantity")
    return quantity, False


def _price(values: params.Params, kind: str) -> Decimal | None:
    price = params.decimal(values, "price")
    if kind in ("MARKET", *TRIGGERS):
        if price is not None:
            raise not_required("price")
        return None
    if price is None:
        raise missing("price")
    check_number(price, "price", "price")
    return price


def _stop(values: params.Params, kind: str) -> Decimal | None:
    """The price that triggers the order. A distance to the price (`trailingDelta`) is not simulated."""
    waits = kind.removesuffix("_LIMIT") in TRIGGERS
    if params.text(values, "trailingDelta") is not None:
        raise unsupported("trailingDelta") if waits else not_required("trailingDelta")
    stop = params.decimal(values, "stopPrice")
    if not waits:
        if stop is not None:
            raise not_required("stopPrice")
        return None
    if stop is None:
        raise BinanceError(-1102, "Param 'stopPrice' or 'trailingDelta' must be sent, but both were empty/null!")
    check_number(stop, "stopPrice", "stopPrice")
    return stop


def check_number(value: Decimal, name: str, word: str) -> None:
    """Raise BinanceError unless a number is above 0 and has no more decimals than any symbol."""
    if value <= 0:
        raise BinanceError(-1013, f"Invalid {word}.")
    if value != round(value, PRECISION_MAX):
        raise BinanceError(-1111, f"Parameter '{name}' has too much precision.")


def _time_in_force(values: params.Params, kind: str) -> str:
    found = params.choice(values, "timeInForce", TIMES_IN_FORCE, -1115, "Invalid timeInForce.")
    if kind == "LIMIT" or kind.endswith("_LIMIT"):
        if found is None:
            raise missing("timeInForce")
        return found
    if found is not None:
        raise not_required("timeInForce")
    return "GTC"


def _refuse_unsimulated(values: params.Params) -> None:
    """Icebergs and pegged prices: refused rather than half done."""
    for name in _NEVER:
        if params.text(values, name) is not None:
            raise unsupported(name)
    params.integer(values, "strategyId")
    strategy_type = params.integer(values, "strategyType")
    if strategy_type is not None and strategy_type < STRATEGY_TYPE_MIN:
        raise BinanceError(-1130, "Data sent for parameter 'strategyType' is not valid.")
    message = "Data sent for parameter 'selfTradePreventionMode' is not valid."
    params.choice(values, "selfTradePreventionMode", SELF_TRADE_MODES, -1130, message)
