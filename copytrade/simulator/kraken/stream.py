"""Kraken's private WebSocket, version 2: the channel `executions`.

Source: docs.kraken.com, "Executions", "Ping" and "Heartbeat" of the WebSocket API v2. A request is answered with
`success` or with an `error`; the account's changes then come as numbered messages of `executions`, and a heartbeat
once a second while nothing else does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from copytrade.simulator.kraken.errors import PERMISSION_DENIED
from copytrade.simulator.kraken.executions import instant, opened, sparse, trade
from copytrade.simulator.kraken.keys import ApiKey
from copytrade.simulator.kraken.tokens import Tokens
from copytrade.simulator.orders import CANCELED, CLOSED, Account, Order
from copytrade.simulator.streams import Change, Message, StreamSession

PATH = "/v2"
# The text Kraken's version 1 gives for a token it does not take; the documentation of version 2 names none.
INVALID_SESSION = "ESession:Invalid session"
_NEEDED = ("query-open-trades", "query-closed-trades")
_FLAGS = {"snap_orders": True, "snap_trades": False, "order_status": True, "ratecounter": False}
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class _Refused(Exception):
    """A request is answered with this error text."""


class ExecutionsStream(StreamSession):
    """One connection. `account_of` and `orders` are the books', `heartbeat_s` is the time between signs of life."""

    def __init__(
        self, tokens: Tokens, account_of: Callable[[str], Account], orders: Sequence[Order], heartbeat_s: float
    ) -> None:
        self._tokens = tokens
        self._account_of = account_of
        self._orders = orders
        self._heartbeat_s = heartbeat_s
        self._sequence = 0
        self._last_s = 0.0
        self._all_changes = True

    def opened(self, now_s: float) -> Sequence[Message]:
        """The status of the system, as on every connection."""
        data = {"api_version": "v2", "connection_id": 12_345_678, "system": "online", "version": "2.0.10"}
        return [_encode({"channel": "status", "type": "update", "data": [data]})]

    def received(self, message: Message, now_s: float) -> Sequence[Message]:
        """Answer ping, subscribe and unsubscribe."""
        try:
            request = json.loads(message)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            return [_encode({"error": "Malformed request", "success": False})]
        method, params = request.get("method"), request.get("params", {})
        answer: dict[str, Any] = {"method": method, "time_in": instant(now_s), "time_out": instant(now_s)}
        if isinstance(request.get("req_id"), int):
            answer["req_id"] = request["req_id"]
        if method == "ping":
            return [_encode({**answer, "method": "pong"})]
        more: list[Message] = []
        try:
            if not isinstance(params, dict):
                raise _Refused("Malformed request")
            if method == "subscribe":
                answer["result"] = self._subscribe(params, now_s)
                more = self._snapshot(params, now_s)
            elif method == "unsubscribe":
                self._unsubscribe(params)
                answer["result"] = {"channel": "executions"}
            else:
                raise _Refused(f"Unsupported method {method!s:.40}")
        except _Refused as refused:
            return [_encode({**answer, "success": False, "error": str(refused)})]
        return [_encode({**answer, "success": True}), *more]

    def changed(self, change: Change) -> Sequence[Message]:
        """One message an event: an order is received and then live, each trade, and then its end."""
        order = change.order
        said: list[dict[str, Any]] = []
        if change.event == "new":
            said = [opened(order, "pending_new", change.time_s), sparse(order, "new", "new", change.time_s)]
            said = said if self._all_changes else said[1:]
        elif change.event == "fill" and change.fill is not None and self._all_changes:
            said = [trade(order, change.fill)]
        elif change.event == "closed":
            name = {CLOSED: "filled", CANCELED: "canceled"}.get(order.status, "expired")
            said = [sparse(order, name, name, change.time_s, totals=True)]
        elif change.event == "amended" and self._all_changes:
            said = [opened(order, "amended", change.time_s)]
        elif change.event == "triggered" and self._all_changes:
            said = [sparse(order, "status", "new", change.time_s, triggers=True)]
        return [self._message("update", [each], change.time_s) for each in said]

    def tick(self, now_s: float) -> Sequence[Message]:
        """A heartbeat, where somebody subscribed and nothing was said for a while."""
        if self.account is None or now_s - self._last_s < self._heartbeat_s:
            return ()
        self._last_s = now_s
        return [_encode({"channel": "heartbeat"})]

    def _subscribe(self, params: dict[str, Any], now_s: float) -> dict[str, Any]:
        self._check_channel(params)
        if self.account is not None:
            raise _Refused("Already subscribed to one or more channels")
        flags = {name: params.get(name, default) for name, default in _FLAGS.items()}
        if not all(isinstance(value, bool) for value in flags.values()):
            raise _Refused("Malformed request")
        token = self._tokens.find(str(params.get("token", "")), now_s)
        if token is None:
            raise _Refused(INVALID_SESSION)
        if not _may_listen(token.api_key):
            raise _Refused(PERMISSION_DENIED)
        self._all_changes = flags["order_status"]
        self.account = token.api_key.account
        self._last_s = now_s
        return {"channel": "executions", "snap_orders": flags["snap_orders"], "snap_trades": flags["snap_trades"]}

    def _unsubscribe(self, params: dict[str, Any]) -> None:
        self._check_channel(params)
        if self.account is None:
            raise _Refused("Subscription Not Found")
        self.account = None

    @staticmethod
    def _check_channel(params: dict[str, Any]) -> None:
        if params.get("channel") != "executions":  # `balances` and the channels of prices are not simulated
            raise _Refused(f"Unsupported channel {params.get('channel')!s:.40}")

    def _snapshot(self, params: dict[str, Any], now_s: float) -> list[Message]:
        account = self._account_of(self.account or "")
        data = []
        if params.get("snap_orders", _FLAGS["snap_orders"]):
            shown = (order for order in account.open_orders.values() if order.visible_at_s <= now_s)
            data = [opened(order, "status" if order.filled else "new", now_s) for order in shown]
        if params.get("snap_trades", _FLAGS["snap_trades"]):
            data += [trade(self._orders[fill.arrival - 1], fill) for fill in account.fills[-50:]]
        return [self._message("snapshot", data, now_s)]

    def _message(self, kind: str, data: list[dict[str, Any]], now_s: float) -> str:
        self._sequence += 1
        self._last_s = now_s
        return _encode({"channel": "executions", "type": kind, "data": data, "sequence": self._sequence})


def _may_listen(api_key: ApiKey) -> bool:
    return all(permission in api_key.permissions for permission in _NEEDED)
