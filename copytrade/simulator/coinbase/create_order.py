"""Create and preview orders: from a body to an order on the matching engine.

A malformed request is refused by the gateway (400); an order that the venue will not take is answered with HTTP 200
and `success: false`. A `client_order_id` that was used before creates nothing: the order that has it is returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

from copytrade.simulator.coinbase import errors, params
from copytrade.simulator.coinbase.call import Call
from copytrade.simulator.coinbase.errors import OrderFailed
from copytrade.simulator.coinbase.listing import BY_ID, BY_SYMBOL, QUOTE_STEPS, Product
from copytrade.simulator.coinbase.shapes import number
from copytrade.simulator.coinbase.triggers import check_supported, read_trigger
from copytrade.simulator.exchange import OrderRefused
from copytrade.simulator.ids import bytes_for
from copytrade.simulator.orders import NewOrder, Order

# What each configuration is to the matching engine. The others (market FOK, TWAP, scaled) are answered as not
# supported, which is what spot accounts report of them.
_TIME_IN_FORCE = {
    "market_market_ioc": "IOC",
    "sor_limit_ioc": "IOC",
    "limit_limit_gtc": "GTC",
    "limit_limit_gtd": "GTD",
    "limit_limit_fok": "FOK",
    "stop_limit_stop_limit_gtc": "GTC",
    "stop_limit_stop_limit_gtd": "GTD",
    "trigger_bracket_gtc": "GTC",
    "trigger_bracket_gtd": "GTD",
}
_CLOSED_FLAGS = {"trading_disabled", "is_disabled", "view_only", "cancel_only"}
_REFUSALS = {
    OrderRefused.FUNDS: errors.INSUFFICIENT_FUND,
    OrderRefused.WOULD_CROSS: errors.POST_ONLY_CROSSES,
    OrderRefused.TOO_SMALL: errors.BASE_TOO_SMALL,
    OrderRefused.DUPLICATE_CLIENT_ID: errors.DUPLICATE,
}


@dataclass(frozen=True, slots=True)
class Checked:
    """An order that may go to the matching engine, and its configuration as it was sent."""

    request: NewOrder
    configuration: dict[str, Any]


def create_order(call: Call) -> Any:
    """Create Order. The answer never shows a fill."""
    client_id = params.client_id(call.body)
    existing = _existing(call, client_id)
    if existing is not None:
        if call.desk.rules.duplicates == "refused":
            raise OrderFailed(errors.DUPLICATE, call.body.get("order_configuration"))
        return _created(call, existing)
    configuration = call.body.get("order_configuration")
    try:
        checked = check_order(call, client_id)
        if call.fault_kind == "reject_funds":
            raise OrderFailed(errors.INSUFFICIENT_FUND)
        order = _submit(call, checked.request)
    except OrderFailed as failed:
        raise OrderFailed(failed.reason, configuration) from None
    except OrderRefused as refused:
        raise OrderFailed(_REFUSALS[refused.reason], configuration) from None
    call.desk.configurations[order.order_id] = checked.configuration
    call.keep(order.order_id)
    return _created(call, order)


def preview_order(call: Call) -> Any:
    """Preview Order: what it would cost, or why it would fail; nothing is created."""
    try:
        checked = check_order(call, "preview")
    except OrderFailed as failed:
        return {"order_total": "0", "commission_total": "0", "errs": [failed.reason], "warning": []}
    request = checked.request
    market = BY_SYMBOL[request.symbol].market
    quote = call.exchange.prices.quote(market.symbol, call.now_s)
    price = request.limit_price or (quote.ask if request.side == "buy" else quote.bid)
    cost = request.volume if request.volume_in_quote else request.volume * price
    fee = cost * market.taker_fee
    free = call.account.available(market.quote if request.side == "buy" else market.base)
    short = free < (cost + fee if request.side == "buy" else request.volume)
    return {
        "order_total": number(cost + fee if request.side == "buy" else cost - fee),
        "commission_total": number(fee),
        "errs": [f"PREVIEW_{errors.INSUFFICIENT_FUND}"] if short else [],
        "warning": [],
        "quote_size": number(cost),
        "base_size": number(request.volume / price if request.volume_in_quote else request.volume),
        "best_bid": number(quote.bid),
        "best_ask": number(quote.ask),
        "is_max": False,
        "slippage": "0",
        "preview_id": bytes_for(0, "preview", call.account.name, cost, call.now_s, size=16).hex(),
    }


def check_order(call: Call, client_id: str) -> Checked:
    """Everything that can be checked before the matching engine. Raises CoinbaseError or OrderFailed."""
    side = params.text(call.body, "side")
    if side not in ("BUY", "SELL"):
        raise OrderFailed(errors.INVALID_SIDE)
    product = BY_ID.get(params.text(call.body, "product_id"))
    if product is None:
        raise OrderFailed(errors.INVALID_PRODUCT)
    name, values = _configuration(call)
    check_supported(name, call.desk.rules)
    is_limit = name != "market_market_ioc"
    post_only = values.get("post_only") is True
    _check_flags(call.desk.flagged(product.market.symbol), is_limit, post_only)
    limit_price = _limit_price(product, values) if is_limit else None
    trigger = read_trigger(call, name, product, side, values, limit_price)
    volume, in_quote = _size(call, product, side, values, limit_price)
    request = NewOrder(
        account=call.account.name,
        symbol=product.market.symbol,
        side=side.lower(),
        volume=volume,
        limit_price=limit_price,
        volume_in_quote=in_quote,
        time_in_force=_TIME_IN_FORCE[name],
        expires_at_s=_end_time(call, values) if name.endswith("_gtd") else None,
        post_only=post_only,
        client_id=client_id,
        trigger=trigger.trigger,
        stop_price=trigger.stop_price,
        bracket_stop=trigger.bracket_stop,
    )
    return Checked(request, {name: dict(values)})


def _configuration(call: Call) -> tuple[str, dict[str, Any]]:
    configuration = call.body.get("order_configuration")
    if not isinstance(configuration, dict) or len(configuration) != 1:
        raise errors.invalid("order_configuration needs exactly one configuration")
    name, values = next(iter(configuration.items()))
    if not isinstance(values, dict):
        raise errors.invalid(f"{name} is not an object")
    if name not in _TIME_IN_FORCE:
        raise OrderFailed(errors.UNSUPPORTED)
    if name == "market_market_ioc" and "limit_price" in values:
        raise errors.invalid("limit_price does not belong into market_market_ioc")
    return name, values


def _check_flags(flags: set[str], is_limit: bool, post_only: bool) -> None:
    market_needed = {"limit_only", "auction_mode"} & flags and not is_limit
    if _CLOSED_FLAGS & flags or market_needed or ("post_only" in flags and not post_only):
        raise OrderFailed(errors.ORDER_ENTRY_DISABLED)


def _limit_price(product: Product, values: dict[str, Any]) -> Decimal:
    price = params.decimal(values, "limit_price")
    if not price:
        raise errors.invalid("limit_price is required")
    if price % product.market.tick_size:
        raise OrderFailed(errors.PRICE_PRECISION)
    return price


def _size(
    call: Call, product: Product, side: str, values: dict[str, Any], limit_price: Decimal | None
) -> tuple[Decimal, bool]:
    """The volume for the matching engine, and whether it counts the quote currency."""
    base, quote = params.decimal(values, "base_size"), params.decimal(values, "quote_size")
    if (base is None) == (quote is None):
        raise errors.invalid("give base_size or quote_size")
    market = product.market
    price = limit_price
    if price is None:
        best = call.exchange.prices.quote(market.symbol, call.now_s)
        price = best.ask if side == "BUY" else best.bid
    if quote is not None:
        if side != "BUY":
            raise OrderFailed(errors.INVALID_REQUEST)
        if quote % QUOTE_STEPS[product.product_id]:
            raise OrderFailed(errors.SIZE_PRECISION)
        _check_bounds(product, quote / price, quote)
        if limit_price is not None:
            return (quote / limit_price).quantize(market.lot_step, rounding=ROUND_DOWN), False
        if call.desk.rules.quote_size_includes_fee:
            quote = (quote / (1 + market.taker_fee)).quantize(market.cost_step, rounding=ROUND_DOWN)
        return quote, True
    assert base is not None  # one of the two is there
    if base % market.lot_step:
        raise OrderFailed(errors.SIZE_PRECISION)
    _check_bounds(product, base, base * price)
    return base, False


def _check_bounds(product: Product, base: Decimal, quote: Decimal) -> None:
    """Smallest and largest order, in base units and by value, of which both hold."""
    market = product.market
    for wrong, reason in (
        (base < market.order_min, errors.BASE_TOO_SMALL),
        (quote < market.cost_min, errors.QUOTE_TOO_SMALL),
        (base > product.base_max, errors.BASE_TOO_LARGE),
        (quote > max(product.quote_max, product.base_max * market.start_price), errors.QUOTE_TOO_LARGE),
    ):
        if wrong:
            raise OrderFailed(reason)


def _end_time(call: Call, values: dict[str, Any]) -> float:
    try:
        end = datetime.fromisoformat(params.text(values, "end_time"))
    except ValueError:
        raise errors.invalid("end_time is not an RFC 3339 time") from None
    if end.tzinfo is None or end.timestamp() <= call.now_s:
        raise errors.invalid("end_time is not in the future")
    return end.timestamp()


def _existing(call: Call, client_id: str) -> Order | None:
    """The account's order under this client id, as long as the venue remembers ids."""
    known = call.account.by_client_id.get(client_id)
    if not known:
        return None
    newest, retention_s = known[-1], call.desk.rules.id_retention_s
    if retention_s is None or newest.is_open or call.now_s - newest.accepted_at_s <= retention_s:
        return newest
    return None


def _submit(call: Call, request: NewOrder) -> Order:
    fault = call.fault
    hidden_s = fault.hide_s if fault is not None and fault.kind == "hide" else 0.0
    share = Decimal(fault.fraction) if fault is not None and fault.kind == "partial_cancel" else None
    return call.exchange.submit(request, hidden_s=hidden_s, cancel_after_fraction=share)


def _created(call: Call, order: Order) -> dict[str, Any]:
    request = order.request
    return {
        "success": True,
        "success_response": {
            "order_id": order.order_id,
            "product_id": BY_SYMBOL[request.symbol].product_id,
            "side": request.side.upper(),
            "client_order_id": request.client_id,
        },
        "order_configuration": call.desk.configurations.get(order.order_id, {}),
    }
