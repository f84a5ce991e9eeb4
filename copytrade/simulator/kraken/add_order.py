"""AddOrder and AddOrderBatch: from parameters to an order on the matching engine.

Checks come in the order Kraken's documentation suggests: arguments, pair, market mode, precision, minimums,
then what the matching engine looks at (counters, deadline, duplicates, funds, post-only). `validate` stops
before the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from copytrade.simulator.exchange import OrderRefused
from copytrade.simulator.kraken import errors, params
from copytrade.simulator.kraken.call import ONLINE, Call
from copytrade.simulator.kraken.errors import KrakenError, invalid
from copytrade.simulator.kraken.kinds import KINDS, Kind
from copytrade.simulator.kraken.listing import KrakenPair, find_pair
from copytrade.simulator.kraken.shapes import order_text
from copytrade.simulator.orders import NewOrder

DEADLINE_MIN_S = 2.0
DEADLINE_MAX_S = 60.0
BATCH_MIN, BATCH_MAX = 2, 15
_FLAGS = {"post", "fcib", "fciq", "nompp", "viqc"}
_STP = ("", "cancel-newest", "cancel-oldest", "cancel-both")
_REFUSALS = {
    OrderRefused.FUNDS: errors.INSUFFICIENT_FUNDS,
    OrderRefused.WOULD_CROSS: errors.POST_ONLY,
    OrderRefused.DUPLICATE_CLIENT_ID: errors.DUPLICATE_CLIENT_ID,
    OrderRefused.TOO_SMALL: errors.ORDER_MINIMUM,
}


@dataclass(frozen=True, slots=True)
class Checked:
    """An order whose arguments hold."""

    pair: KrakenPair
    request: NewOrder
    deadline_s: float | None


def add_order(call: Call) -> Any:
    """AddOrder. The reply never shows a fill."""
    validate = params.flag(call.params, "validate")
    named = find_pair(params.text(call.params, "pair"), params.text(call.params, "assetVersion"))
    if named is not None and not validate:
        charge(call, named, 1)  # an order that fails validation costs as much as one that does not
    checked = check_order(call, call.params)
    description = {"order": _text(checked)}
    if validate:
        return {"descr": description}
    return {"descr": description, "txid": [place(call, checked)]}


def add_order_batch(call: Call) -> Any:
    """AddOrderBatch: wrong arguments refuse all of it, the matching engine refuses order by order."""
    orders = call.params.get("orders")
    if not isinstance(orders, list) or not BATCH_MIN <= len(orders) <= BATCH_MAX:
        raise invalid("orders")
    shared = {name: call.params.get(name) for name in ("pair", "deadline", "assetVersion", "asset_class")}
    checks: list[Checked | KrakenError] = []
    for order in orders:
        if not isinstance(order, dict):
            raise invalid("orders")
        try:
            checks.append(check_order(call, {**order, **shared}))
        except KrakenError as error:
            if error.text.startswith("EGeneral"):
                raise
            checks.append(error)
    validate = params.flag(call.params, "validate")
    pair = next((checked.pair for checked in checks if isinstance(checked, Checked)), None)
    if pair is not None and not validate:
        charge(call, pair, len(orders) / 2)
    return {"orders": [_batch_entry(call, checked, validate) for checked in checks]}


def _batch_entry(call: Call, checked: Checked | KrakenError, validate: bool) -> dict[str, Any]:
    if isinstance(checked, KrakenError):
        return {"error": checked.text}
    entry: dict[str, Any] = {"descr": {"order": _text(checked)}}
    if not validate:
        try:
            entry["txid"] = place(call, checked)
        except KrakenError as error:
            return {"error": error.text}
    return entry


def check_order(call: Call, values: Mapping[str, Any]) -> Checked:
    """Everything about an order that can be checked before the matching engine sees it.

    Raises KrakenError.
    """
    side = params.text(values, "type")
    if side not in ("buy", "sell"):
        raise invalid("type")
    kind = KINDS.get(params.text(values, "ordertype"))
    if kind is None:  # the trailing and iceberg types are not simulated
        raise invalid("ordertype")
    _refuse_unsimulated(values)
    flags = _flags(values, kind.name, side)
    tif, expires_at_s = _time_in_force(call, values)
    user_ref, client_id = params.user_ref(values), params.client_id(values)
    if user_ref is not None and client_id is not None:
        raise invalid("cl_ord_id")
    deadline_s = _deadline(call, values)
    volume = params.decimal(params.text(values, "volume"), "volume")
    pair_text = params.text(values, "pair")
    if not pair_text:
        raise invalid("pair")
    pair = find_pair(pair_text, params.text(values, "assetVersion"))
    if pair is None:
        raise KrakenError(errors.UNKNOWN_PAIR)
    _check_mode(call.desk.modes.get(pair.market.symbol, ONLINE), kind, "post" in flags)
    stop_price, limit_price = _prices(call, pair, side, kind, values)
    in_quote = "viqc" in flags
    _check_amount(call, pair, side, volume, limit_price or stop_price, in_quote)
    request = NewOrder(
        account=call.account.name,
        symbol=pair.market.symbol,
        side=side,
        volume=volume,
        limit_price=limit_price,
        volume_in_quote=in_quote,
        time_in_force=tif,
        expires_at_s=expires_at_s,
        post_only="post" in flags,
        fee_in_base="fcib" in flags,
        client_id=client_id,
        user_ref=user_ref,
        trigger=kind.trigger,
        stop_price=stop_price,
    )
    return Checked(pair, request, deadline_s)


def _text(checked: Checked) -> str:
    request = checked.request
    first, second = request.limit_price, None
    if request.trigger:
        first, second = request.stop_price, request.limit_price
    return order_text(checked.pair, request, request.volume, first, second)


def charge(call: Call, pair: KrakenPair, cost: float) -> None:
    """Count orders against the trading engine's counter of the account and pair. Raises KrakenError."""
    if not call.desk.rate_limits:
        return
    symbol = pair.market.symbol
    if not call.desk.counter(call.account.name, symbol, call.tier).allows(cost, call.now_s):
        raise KrakenError(errors.ORDER_RATE_LIMIT)


def place(call: Call, checked: Checked) -> str:
    """Hand the order to the matching engine; returns its txid. Raises KrakenError."""
    if call.fault_kind == "reject_funds":
        raise KrakenError(errors.INSUFFICIENT_FUNDS)
    if checked.deadline_s is not None and call.now_s >= checked.deadline_s:
        raise KrakenError(errors.DEADLINE_ELAPSED)
    open_orders = call.account.open_by_symbol.get(checked.pair.market.symbol, 0)
    if call.desk.rate_limits and open_orders >= call.tier.open_orders_max:
        raise KrakenError(errors.ORDERS_LIMIT)
    hidden_s = call.fault.hide_s if call.fault is not None and call.fault.kind == "hide" else 0.0
    share = Decimal(call.fault.fraction) if call.fault is not None and call.fault.kind == "partial_cancel" else None
    try:
        return call.exchange.submit(checked.request, hidden_s=hidden_s, cancel_after_fraction=share).order_id
    except OrderRefused as refused:
        raise refusal(refused) from None


def refusal(refused: OrderRefused) -> KrakenError:
    """The matching engine's refusal in Kraken's words."""
    return KrakenError(_REFUSALS[refused.reason])


def check_price(pair: KrakenPair, price: Decimal, field: str = "price") -> None:
    """Raise KrakenError unless a price is above 0 and on the pair's decimals and tick."""
    market = pair.market
    if price <= 0:
        raise invalid(field)
    if price != round(price, market.price_decimals):
        detail = f"{pair.key} price can only be specified up to {market.price_decimals} decimals."
        raise KrakenError(errors.INVALID_PRICE, detail)
    if price % market.tick_size:
        raise KrakenError(errors.TICK_SIZE)


def check_minimums(pair: KrakenPair, volume: Decimal, cost: Decimal) -> None:
    """Raise KrakenError unless volume (base) and cost (quote) reach the pair's minimums."""
    if volume < pair.market.order_min:
        raise KrakenError(errors.ORDER_MINIMUM)
    if cost < pair.market.cost_min:
        raise KrakenError(errors.COST_MINIMUM)


def _refuse_unsimulated(values: Mapping[str, Any]) -> None:
    """Margin, conditional close, scheduled start, iceberg: refused rather than half done."""
    if params.text(values, "leverage") not in ("", "none"):
        raise invalid("leverage")
    if params.flag(values, "reduce_only"):
        raise invalid("reduce_only")
    if params.text(values, "starttm") not in ("", "0"):
        raise invalid("starttm")
    if params.text(values, "stptype") not in _STP:
        raise invalid("stptype")
    if params.text(values, "asset_class") not in ("", "currency"):
        raise invalid("asset_class")
    for name, value in values.items():
        if (name.startswith("close[") or name in ("close", "displayvol")) and value not in (
            None,
            "",
            "0",
        ):
            raise invalid("close" if name.startswith("close") else name)


def _flags(values: Mapping[str, Any], order_type: str, side: str) -> set[str]:
    flags = {part.strip() for part in params.text(values, "oflags").split(",")} - {""}
    if flags - _FLAGS or {"fcib", "fciq"} <= flags:
        raise invalid("oflags")
    if "viqc" in flags and (order_type != "market" or side != "buy"):
        raise invalid("viqc")
    if "post" in flags and order_type != "limit":
        raise invalid("oflags")
    return flags


def _time_in_force(call: Call, values: Mapping[str, Any]) -> tuple[str, float | None]:
    tif = params.text(values, "timeinforce", "GTC") or "GTC"
    if tif not in ("GTC", "IOC", "FOK", "GTD"):
        raise invalid("timeinforce")
    expire = params.text(values, "expiretm")
    if expire in ("", "0"):
        if tif == "GTD":
            raise invalid("expiretm")
        return tif, None
    digits = expire.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 12:
        raise invalid("expiretm")
    expires_at_s = float(digits) + (call.arrived_s if expire.startswith("+") else 0.0)
    if expires_at_s <= call.arrived_s:
        raise invalid("expiretm")
    return tif, expires_at_s


def _deadline(call: Call, values: Mapping[str, Any]) -> float | None:
    """The deadline: 2 to 60 s ahead when the request comes in; one that has passed is another error."""
    value = params.text(values, "deadline")
    if not value:
        return None
    deadline_s = params.instant(value, "deadline")
    ahead_s = deadline_s - call.arrived_s
    if ahead_s <= 0:
        raise KrakenError(errors.DEADLINE_ELAPSED)
    if not DEADLINE_MIN_S <= ahead_s <= DEADLINE_MAX_S:
        raise invalid("deadline")
    return deadline_s


def _check_mode(mode: str, kind: Kind, post_only: bool) -> None:
    if mode == "cancel_only":
        raise KrakenError(errors.MARKET_CANCEL_ONLY)
    if mode == "post_only" and not post_only:
        raise KrakenError(errors.MARKET_POST_ONLY)
    if mode == "limit_only" and not kind.has_limit:
        raise KrakenError(errors.MARKET_LIMIT_ONLY)


def _prices(
    call: Call, pair: KrakenPair, side: str, kind: Kind, values: Mapping[str, Any]
) -> tuple[Decimal | None, Decimal | None]:
    """Trigger and limit of an order. A price that its type does not have must be left out."""
    first, second = params.text(values, "price"), params.text(values, "price2")
    last = call.exchange.prices.quote(pair.market.symbol, call.now_s).last
    watched = params.text(values, "trigger")
    if watched not in (("", "last", "index") if kind.trigger else ("",)):
        raise invalid("trigger")
    if second not in ("", "0") and not (kind.trigger and kind.has_limit):
        raise invalid("price2")
    if kind.trigger:
        stop_price = _price(pair, side, first, last, "price")
        return stop_price, _price(pair, side, second, stop_price, "price2") if kind.has_limit else None
    if not kind.has_limit:
        if first not in ("", "0"):
            raise invalid("price")
        return None, None
    return None, _price(pair, side, first, last, "price")


def _price(pair: KrakenPair, side: str, text: str, reference: Decimal, field: str) -> Decimal:
    """A price, or one relative to a reference: `+10`, `-10`, `#10` (away from it), also with `%`.

    The reference is the last trade, and for the limit of a triggered order its trigger.
    """
    if text[:1] not in ("+", "-", "#"):
        price = params.decimal(text, field)
        check_price(pair, price, field)
        return price
    percent = text.endswith("%")
    offset = params.decimal(text[1:].removesuffix("%"), field)
    if percent:
        offset = reference * offset / 100
    down = text[0] == "-" or (text[0] == "#" and side == "buy")
    price = round(reference - offset if down else reference + offset, pair.market.price_decimals)
    check_price(pair, price, field)
    return price


def _check_amount(
    call: Call, pair: KrakenPair, side: str, volume: Decimal, limit_price: Decimal | None, in_quote: bool
) -> None:
    market = pair.market
    decimals = market.cost_decimals if in_quote else market.lot_decimals
    if volume <= 0 or volume != round(volume, decimals):
        raise invalid("volume")
    quote = call.exchange.prices.quote(market.symbol, call.now_s)
    price = limit_price if limit_price is not None else (quote.ask if side == "buy" else quote.bid)
    if in_quote:
        check_minimums(pair, volume / price, volume)
    else:
        check_minimums(pair, volume, volume * price)
