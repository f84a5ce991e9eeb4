"""The stream of a user's orders: the channels `user` and `heartbeats` of the WebSocket for user data.

Sources: Coinbase's pages "WebSocket overview" and "WebSocket channels" (a first subscription within five seconds, one
channel a message, each with a token that names no request; `heartbeats` once a second; open orders first, fifty at a
time; a subscription without heartbeats closes after 60 to 90 seconds without news) and a message recorded by a client
library. How a bad token is answered is not published; clients report an error of the words used here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from copytrade.simulator.books import Books
from copytrade.simulator.coinbase.call import Desk
from copytrade.simulator.coinbase.errors import CoinbaseError
from copytrade.simulator.coinbase.listing import BY_SYMBOL
from copytrade.simulator.coinbase.params import rfc3339
from copytrade.simulator.coinbase.shapes import TIME_IN_FORCE, number, status_of, trigger_status, type_of
from copytrade.simulator.coinbase.tokens import ApiKey
from copytrade.simulator.orders import CLOSED, ZERO, Order
from copytrade.simulator.streams import Change, Message, StreamEnd, StreamSession

SUBSCRIBE_WITHIN_S = 5.0
HEARTBEAT_S = 1.0
QUIET_MAX_S = 90.0
SNAPSHOT_PAGE = 50
_CHANNELS = ("heartbeats", "user")
_NO_TIME = "0001-01-01T00:00:00Z"
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class UserStream(StreamSession):
    """One connection. `authenticate(token, now_s)` gives the key a token is from, or raises CoinbaseError."""

    def __init__(
        self, books: Books, desk: Desk, authenticate: Callable[[str | None, float], ApiKey], opened_at_s: float
    ) -> None:
        self._books = books
        self._desk = desk
        self._authenticate = authenticate
        self._opened_at_s = opened_at_s
        self._said_at_s = opened_at_s
        self._sequence = 0
        self._products: set[str] = set()
        self._heartbeat_due_s: float | None = None
        self._heartbeats = 0
        self._pending: dict[str, Order] = {}

    def received(self, message: Message, now_s: float) -> Sequence[Message]:
        """Subscribe to a channel, or end that."""
        try:
            asked = json.loads(message)
        except ValueError:
            return [_error("failure to parse message")]
        if not isinstance(asked, dict) or asked.get("type") not in ("subscribe", "unsubscribe"):
            return [_error("type is not valid")]
        channel, products = asked.get("channel"), asked.get("product_ids") or []
        if channel not in _CHANNELS:
            return [_error("channel is not valid")]
        if not isinstance(products, list) or not all(isinstance(each, str) for each in products):
            return [_error("product_ids is not valid")]
        if asked["type"] == "unsubscribe":
            return self._unsubscribe(channel, now_s)
        if channel == "heartbeats":
            if asked.get("jwt") is not None and self._key(asked["jwt"], now_s) is None:
                return [_error("authentication failure")]
            self._heartbeat_due_s = now_s + HEARTBEAT_S
            return [self._subscriptions(now_s)]
        key = self._key(asked.get("jwt"), now_s)
        if key is None or (self.account is not None and self.account != key.account):
            return [_error("authentication failure")]
        self.account = key.account
        self._products = set(products)
        return [self._subscriptions(now_s), *self._snapshot(now_s)]

    def changed(self, change: Change) -> Sequence[Message]:
        """An `update` of one order. The last fill shows it as filled, so its closing adds nothing."""
        order = change.order
        if change.event == "closed" and order.status == CLOSED:
            return ()
        if not self._wanted(order):
            return ()
        if change.event == "new" and status_of(order, self._desk) == "PENDING":
            self._pending[order.order_id] = self._books.by_order_id[order.order_id]
        else:
            self._pending.pop(order.order_id, None)
        return [self._user("update", [order], change.time_s)]

    def tick(self, now_s: float) -> Sequence[Message]:
        """Heartbeats, orders that went from pending to open, and the end of a connection that nobody uses."""
        if not self._sequence:  # nothing was subscribed to yet
            if now_s - self._opened_at_s >= SUBSCRIBE_WITHIN_S:
                raise StreamEnd(1008, "no subscription in time")
            return ()
        said: list[Message] = []
        for order_id, order in list(self._pending.items()):
            if not order.is_open or status_of(order, self._desk) != "PENDING":
                del self._pending[order_id]
                if order.is_open:
                    said.append(self._user("update", [order], now_s))
        if self._heartbeat_due_s is not None and now_s >= self._heartbeat_due_s:
            self._heartbeat_due_s = now_s + HEARTBEAT_S
            self._heartbeats += 1
            event = {"current_time": rfc3339(now_s), "heartbeat_counter": self._heartbeats}
            said.append(self._message("heartbeats", [event], now_s))
        if self._heartbeat_due_s is None and now_s - self._said_at_s >= QUIET_MAX_S:
            raise StreamEnd(1000, "no updates")
        return said

    # -- inside ------------------------------------------------------------------------------------------------

    def _key(self, token: Any, now_s: float) -> ApiKey | None:
        try:
            key = self._authenticate(token if isinstance(token, str) else None, now_s)
        except CoinbaseError:
            return None
        return key if "view" in key.permissions else None

    def _unsubscribe(self, channel: str, now_s: float) -> list[Message]:
        if channel == "heartbeats":
            self._heartbeat_due_s = None
        else:
            self.account = None
            self._pending.clear()
        return [self._subscriptions(now_s)]

    def _wanted(self, order: Order) -> bool:
        return not self._products or BY_SYMBOL[order.request.symbol].product_id in self._products

    def _subscriptions(self, now_s: float) -> str:
        subscribed: dict[str, list[str]] = {}
        if self._heartbeat_due_s is not None:
            subscribed["heartbeats"] = ["heartbeats"]
        if self.account is not None:
            subscribed["user"] = [self.account]
        return self._message("subscriptions", [{"subscriptions": subscribed}], now_s)

    def _snapshot(self, now_s: float) -> list[str]:
        assert self.account is not None
        opened = self._books.accounts[self.account].open_orders.values()
        shown = [order for order in opened if self._wanted(order) and order.visible_at_s <= now_s]
        pages = [shown[at : at + SNAPSHOT_PAGE] for at in range(0, len(shown), SNAPSHOT_PAGE)]
        return [self._user("snapshot", page, now_s) for page in pages or [[]]]

    def _user(self, kind: str, orders: list[Order], now_s: float) -> str:
        event = {"type": kind, "orders": [self._order(order) for order in orders]}
        return self._message("user", [event], now_s)

    def _message(self, channel: str, events: list[dict[str, Any]], now_s: float) -> str:
        sequence, self._sequence = self._sequence, self._sequence + 1
        self._said_at_s = now_s
        return _encode(
            {
                "channel": channel, "client_id": "", "timestamp": rfc3339(now_s), "sequence_num": sequence,
                "events": events,
            }
        )  # fmt: skip

    def _order(self, order: Order) -> dict[str, Any]:
        request = order.request
        average = number(order.cost / order.filled) if order.filled else "0"
        left = order.volume - (order.cost if request.volume_in_quote else order.filled) if order.is_open else ZERO
        sign = 1 if request.side == "buy" else -1
        shown: dict[str, Any] = {
            "order_id": order.order_id,
            "client_order_id": request.client_id,
            "cumulative_quantity": number(order.filled),
            "leaves_quantity": number(left),
            "avg_price": average,
            "total_fees": number(order.fee),
            "status": status_of(order, self._desk),
            "product_id": BY_SYMBOL[request.symbol].product_id,
            "creation_time": rfc3339(order.accepted_at_s),
            "order_side": request.side.upper(),
            "order_type": type_of(request).replace("_", " ").title(),
            "cancel_reason": "" if order.status == CLOSED else order.reason or "",
            "reject_reason": "",
            "total_value_after_fees": number(order.cost + sign * order.fee),
            "contract_expiry_type": "UNKNOWN_CONTRACT_EXPIRY_TYPE",
            "product_type": "SPOT",
            "risk_managed_by": "UNKNOWN_RISK_MANAGEMENT_TYPE",
            "time_in_force": TIME_IN_FORCE[request.time_in_force],
            "trigger_status": trigger_status(order),
        }
        return {**shown, **self._prices(order)} if self._desk.rules.stream_prices else shown

    @staticmethod
    def _prices(order: Order) -> dict[str, Any]:
        request = order.request
        return {
            "completion_percentage": format((order.filled / order.volume * 100).quantize(Decimal("0.01")), "f"),
            "filled_value": number(order.cost),
            "limit_price": "" if order.limit_price is None else number(order.limit_price),
            "stop_price": "" if order.stop_price is None else number(order.stop_price),
            "post_only": "true" if request.post_only else "false",
            "number_of_fills": str(len(order.fills)),
            "outstanding_hold_amount": number(order.hold),
            "start_time": _NO_TIME,
            "end_time": _NO_TIME if request.expires_at_s is None else rfc3339(request.expires_at_s),
        }


def _error(text: str) -> str:
    return _encode({"type": "error", "message": text})
