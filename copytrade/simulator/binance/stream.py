"""The WebSocket API as far as it carries the private stream: subscribing, events, signs of life.

Source: Binance's WebSocket API page and its page on user data streams. A request is `{"id", "method", "params"}`; its
signature covers the parameters sorted by name, joined as in a query. Events come wrapped with the number of their
subscription. The server pings every 20 s; a connection lives for a day. Requests for orders are not simulated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from copytrade.simulator.binance import params, shapes
from copytrade.simulator.binance.errors import BinanceError, missing, not_simulated
from copytrade.simulator.binance.keys import ApiKey, Signed
from copytrade.simulator.binance.listing import BY_MARKET, fixed
from copytrade.simulator.binance.parts import Part, list_id
from copytrade.simulator.orders import CLOSED, ZERO, Account, Fill, Order
from copytrade.simulator.streams import Change, Message, Ping, StreamEnd, StreamSession

PATH = "/ws-api/v3"
PING_S = 20.0
LIFE_S = 86_400.0
SIGNED = frozenset({"apiKey", "timestamp", "recvWindow", "signature"})
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_NOTHING = {"l": fixed(ZERO), "L": fixed(ZERO), "n": "0", "N": None, "t": -1, "Y": fixed(ZERO)}

SignIn = Callable[[params.Params, Signed], ApiKey]
"""Whose a signed request is. Raises BinanceError."""


class BinanceStream(StreamSession):
    """One connection. `parts` shows an order, `account_of` is the account of that name as it is now."""

    def __init__(
        self,
        sign_in: SignIn,
        parts: Callable[[Order], tuple[Part, ...]],
        account_of: Callable[[str], Account],
        now_s: float,
    ) -> None:
        self._sign_in = sign_in
        self._parts = parts
        self._account_of = account_of
        self._opened_s = self._pinged_s = now_s
        self._subscriptions = 0

    def received(self, message: Message, now_s: float) -> Sequence[Message]:
        """Answer one request."""
        try:
            request = json.loads(message)
            asked = request["method"], request.get("params") or {}
            if not isinstance(asked[0], str) or not isinstance(asked[1], dict):
                raise ValueError("method or params")
        except (ValueError, KeyError, TypeError, AttributeError):
            return [_answer(None, 400, error={"code": -1135, "msg": "Invalid JSON Request"})]
        try:
            return [_answer(request.get("id"), 200, result=self._do(*asked, now_s))]
        except BinanceError as error:
            return [_answer(request.get("id"), error.status, error=error.body())]

    def changed(self, change: Change) -> Sequence[Message]:
        """The events that a change of an order makes."""
        parts = self._parts(change.order)
        events = _single(change, parts[0]) if len(parts) == 1 else _listed(change, parts)
        if events and change.event in ("new", "fill", "closed"):
            events.append(_position(self._account_of(change.order.request.account), change))
        number = self._subscriptions - 1
        return [_encode({"subscriptionId": number, "event": event}) for event in events]

    def tick(self, now_s: float) -> Sequence[Message]:
        """A ping every 20 s; the end after a day."""
        if now_s - self._opened_s >= LIFE_S:
            raise StreamEnd(1001, "24 hours")
        if now_s - self._pinged_s < PING_S:
            return ()
        self._pinged_s = now_s
        return [Ping(str(shapes.milliseconds(now_s)).encode())]

    def _do(self, method: str, values: Mapping[str, Any], now_s: float) -> Any:
        if method == "ping":
            return {}
        if method == "time":
            return {"serverTime": shapes.milliseconds(now_s)}
        if method == "userDataStream.unsubscribe":
            self.account = None
            return {}
        if method in ("userDataStream.start", "userDataStream.ping", "userDataStream.stop"):
            raise BinanceError(-1020, "This operation is not supported.")  # ended on 2026-02-20
        if method != "userDataStream.subscribe.signature":
            raise not_simulated(method)
        if unread := values.keys() - SIGNED:
            raise BinanceError(-1104, f"Not all sent parameters were read; '{len(unread)}' are unknown.")
        if type(values.get("timestamp")) is not int:
            raise missing("timestamp")
        texts = {name: str(value) for name, value in values.items()}
        signature = texts.pop("signature", None)
        payload = "&".join(f"{name}={texts[name]}" for name in sorted(texts))
        api_key = self._sign_in(texts, Signed(payload, signature))
        if self.account not in (None, api_key.account):
            raise not_simulated("subscribing to a second account over one connection")
        self.account = api_key.account
        self._subscriptions += 1
        return {"subscriptionId": self._subscriptions - 1}


def _answer(request_id: Any, status: int, **more: Any) -> str:
    return _encode({"id": request_id, "status": status, **more, "rateLimits": []})


def _single(change: Change, part: Part) -> list[dict[str, Any]]:
    order = change.order
    if change.event == "fill":
        return [_report("TRADE", part, change)]
    if change.event == "closed":
        return [] if order.status == CLOSED else [_report(part.status, part, change)]
    if change.event == "triggered":  # told once more when it takes its place in the book; a market order trades at once
        return [_report("NEW", part, change)] if order.limit_price is not None else []
    return [_report("REPLACED" if change.event == "amended" else "NEW", part, change)]


def _listed(change: Change, parts: Sequence[Part]) -> list[dict[str, Any]]:
    """The events of a list: of the one of its orders that something happened to, and of the one which that ends."""
    profit, loss = parts
    order, fill = change.order, change.fill
    if change.event == "new":
        return [_list_status(change, parts), *(_report("NEW", part, change) for part in parts)]
    if change.event == "triggered":
        return [_report("EXPIRED", profit, change)]
    if change.event == "fill" and fill is not None:
        traded = profit if fill.maker else loss
        first = fill.maker and fill == profit.fills[0]
        return [*([_report("EXPIRED", loss, change)] if first else []), _report("TRADE", traded, change)]
    if change.event != "closed":
        return []
    ended = [] if order.status == CLOSED else [part for part in parts if part.updated_s == order.closed_at_s]
    return [*(_report(part.status, part, change) for part in ended), _list_status(change, parts)]


def _report(what: str, part: Part, change: Change) -> dict[str, Any]:
    """An `executionReport`; `what` is the execution type."""
    order = part.order
    core = shapes.order_core(part)
    by_cancel = what == "CANCELED"
    return {
        "e": "executionReport", "E": shapes.milliseconds(change.time_s), "s": core["symbol"],
        # A cancel has an id of its own, and names the order's beside it.
        "c": f"cancel{part.order_id}" if by_cancel else part.client_id, "S": core["side"], "o": part.type,
        "f": core["timeInForce"], "q": core["origQty"], "p": core["price"], "P": core.get("stopPrice", fixed(ZERO)),
        "F": fixed(ZERO), "g": part.list_id, "C": part.client_id if by_cancel else "", "x": what, "X": part.status,
        "r": "NONE", "i": part.order_id, "z": core["executedQty"], "T": shapes.milliseconds(change.time_s),
        "I": part.order_id * 2, "w": part.works and part.is_open, "M": False,
        "O": shapes.milliseconds(order.accepted_at_s), "Z": core["cummulativeQuoteQty"],
        "Q": core["origQuoteOrderQty"], "V": shapes.SELF_TRADE_MODE,
        **_trade(change.fill if what == "TRADE" else None, order),
        **({} if not part.works else {"W": shapes.working_ms(part)}),
    }  # fmt: skip


def _trade(fill: Fill | None, order: Order) -> dict[str, Any]:
    if fill is None:
        return {**_NOTHING, "m": False}
    fee = shapes.commission(fill, order)
    return {
        "l": fixed(fill.volume), "L": fixed(fill.price), "Y": fixed(fill.cost), "n": fee["commission"],
        "N": fee["commissionAsset"], "t": int(fill.fill_id), "m": fill.maker,
    }  # fmt: skip


def _list_status(change: Change, parts: Sequence[Part]) -> dict[str, Any]:
    shown = shapes.list_object(parts, change.time_s)
    return {
        "e": "listStatus", "E": shapes.milliseconds(change.time_s), "s": shown["symbol"], "g": list_id(change.order),
        "c": shown["contingencyType"], "l": shown["listStatusType"], "L": shown["listOrderStatus"], "r": "NONE",
        "C": shown["listClientOrderId"], "T": shapes.milliseconds(change.time_s),
        "O": [{"s": each["symbol"], "i": each["orderId"], "c": each["clientOrderId"]} for each in shown["orders"]],
    }  # fmt: skip


def _position(account: Account, change: Change) -> dict[str, Any]:
    """The balances that the change may have touched, as they are now."""
    market = BY_MARKET[change.order.request.symbol].market
    at_ms = shapes.milliseconds(change.time_s)
    balances = [
        {"a": asset, "f": fixed(account.available(asset)), "l": fixed(account.holds.get(asset, Decimal(0)))}
        for asset in (market.base, market.quote)
    ]
    return {"e": "outboundAccountPosition", "E": at_ms, "u": at_ms, "B": balances}
