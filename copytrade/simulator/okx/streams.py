"""The private WebSockets: login, channels, pings, and how changes of orders are told.

`/ws/v5/private` has the channels `orders` and `account`, `/ws/v5/business` has `orders-algo`, and neither the other's.
`account` begins with all balances, and tells those of an order's two currencies with every change of it. Of orders
nothing is told on subscribing; every change comes from then on. A link on which nothing passes for 30 s is closed.

Source: OKX v5, "WebSocket", "Order channel", "Algo orders channel", "Error code, WebSocket".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from copytrade.domain.money import plain
from copytrade.simulator.books import Books
from copytrade.simulator.ids import bytes_for
from copytrade.simulator.okx.algobook import CANCELED, EFFECTIVE, FAILED, LIVE, Algo
from copytrade.simulator.okx.call import TradingDesk
from copytrade.simulator.okx.keys import KeyRing
from copytrade.simulator.okx.listing import BY_INST_ID, BY_SYMBOL
from copytrade.simulator.okx.shapes import algo_object, fill_object, milliseconds, order_object
from copytrade.simulator.orders import CLOSED, ZERO, Order
from copytrade.simulator.streams import Change, Message, StreamEnd, StreamSession

ORDERS, ALGOS, BALANCES = "orders", "orders-algo", "account"
PATHS = {"/ws/v5/private": ORDERS, "/ws/v5/business": ALGOS}
SILENCE_S = 30.0
LOGIN_WINDOW_S = 30.0
OPERATIONS_PER_HOUR = 480
_TYPES = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "ANY")
_SPOT = ("SPOT", "ANY")
_encode = json.JSONEncoder(separators=(",", ":")).encode
_TEXTS = {
    "50101": "APIKey does not match current environment.",
    "50110": "Your IP is not included in your API key's IP whitelist.",
    "60004": "Invalid timestamp",
    "60005": "Invalid apiKey",
    "60006": "Timestamp request expired",
    "60007": "Invalid sign",
    "60009": "Login failure",
    "60011": "Please log in",
    "60012": "Invalid request: {}",
    "60013": "Invalid args",
    "60014": "Requests too frequent",
    "60018": "Wrong URL or channel:{} doesn't exist. Please use the correct URL, channel and parameters.",
    "60024": "Wrong passphrase",
    "60031": "The WebSocket endpoint does not allow multiple or repeated logins.",
    "64001": "This channel has been migrated to the '/business' URL. Please subscribe using the new URL.",
    "64002": 'This channel is not supported by "/business" URL. Please use "/private" URL.',
}


class _Refused(Exception):
    """An error of the protocol. A login that failed ends the connection."""

    def __init__(self, code: str, detail: str = "", *, ends: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.ends = ends


class OkxSession(StreamSession):
    """One connection; `channel` is the one that its address has."""

    def __init__(
        self, keys: KeyRing, desk: TradingDesk, books: Books, channel: str, remote: str, demo: bool, now_s: float
    ) -> None:
        self._keys = keys
        self._desk = desk
        self._books = books
        self._channel = channel
        self._remote = remote
        self._demo = demo
        self._name: str | None = None
        self._asked: dict[str, dict[str, str]] = {}
        self._heard_s = now_s
        self._operations: list[float] = []
        self._id = bytes_for(0, "okx stream", str(now_s), remote, size=4).hex()

    def received(self, message: Message, now_s: float) -> Sequence[Message]:
        """The answer to a ping, a login or a subscription."""
        self._heard_s = now_s
        if message == "ping":
            return ["pong"]
        try:
            return self._answer(message, now_s)
        except _Refused as refused:
            text = _TEXTS[refused.code].replace("{}", refused.detail)
            said = _encode({"event": "error", "code": refused.code, "msg": text, "connId": self._id})
            if refused.ends:
                raise StreamEnd(4001, "Login Failed", [said]) from None
            return [said]

    def tick(self, now_s: float) -> Sequence[Message]:
        """Close a link on which nothing passes."""
        if now_s - self._heard_s > SILENCE_S:
            raise StreamEnd(4004, "No data received in 30s")
        return ()

    def changed(self, change: Change) -> Sequence[Message]:
        """A change of an order in the words of the channel: none where it tells of the other kind of order."""
        symbol = change.order.request.symbol
        row = self._order_row(change) if self._channel == ORDERS else self._algo_row(change)
        if row is None:
            return ()
        self._heard_s = max(self._heard_s, change.time_s)
        inst_id = BY_SYMBOL[symbol].inst_id
        told = [
            _encode({"arg": {**asked, "uid": self._uid(change.order.request.account)}, "data": [row]})
            for asked in self._asked.values()
            if asked["channel"] != BALANCES and asked.get("instId", inst_id) == inst_id and asked["instType"] in _SPOT
        ]
        return [*told, *self._balances(symbol.split("/"), change.time_s)]

    # -- what the client says ----------------------------------------------------------------------------------

    def _answer(self, message: Message, now_s: float) -> list[Message]:
        try:
            said = json.loads(message, parse_int=str, parse_float=str)  # the SDK sends its timestamp as a number
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise _Refused("60012", str(message)[:80])
        operation, args = said.get("op"), said.get("args")
        if operation not in ("login", "subscribe", "unsubscribe"):
            raise _Refused("60012", str(message)[:80])
        self._operations = [at_s for at_s in self._operations if now_s - at_s < 3_600] + [now_s]
        if self._desk.rate_limits and len(self._operations) > OPERATIONS_PER_HOUR:
            raise _Refused("60014")
        if not isinstance(args, list) or not args or not all(isinstance(arg, dict) for arg in args):
            raise _Refused("60013")
        if operation == "login":
            return [self._login(args[0], now_s)]
        if self._name is None:
            raise _Refused("60011")
        return [part for arg in args for part in self._subscribe(str(operation), arg, said.get("id"))]

    def _login(self, arg: Mapping[str, Any], now_s: float) -> Message:
        if self._name is not None:
            raise _Refused("60031")
        words = [arg.get(name) for name in ("apiKey", "passphrase", "timestamp", "sign")]
        if not all(isinstance(word, str) and word for word in words):
            raise _Refused("60009", ends=True)
        name, passphrase, timestamp, sign = (str(word) for word in words)
        if not timestamp.isascii() or not timestamp.replace(".", "", 1).isdigit() or len(timestamp) > 16:
            raise _Refused("60004", ends=True)
        if abs(now_s - float(timestamp)) > LOGIN_WINDOW_S:
            raise _Refused("60006", ends=True)
        api_key = self._keys.get(name)
        if api_key is None:
            raise _Refused("60005", ends=True)
        if api_key.demo is not self._demo:
            raise _Refused("50101", ends=True)
        if api_key.ip_allowlist and self._remote not in api_key.ip_allowlist:
            raise _Refused("50110", ends=True)
        if not self._keys.signed_login(api_key, timestamp, sign):
            raise _Refused("60007", ends=True)
        if api_key.passphrase != passphrase:
            raise _Refused("60024", ends=True)
        self._name = api_key.account
        return _encode({"event": "login", "code": "0", "msg": "", "connId": self._id})

    def _subscribe(self, operation: str, arg: Mapping[str, Any], request_id: Any) -> list[Message]:
        channel, kind = arg.get("channel"), arg.get("instType")
        if channel not in (ORDERS, ALGOS, BALANCES):
            raise _Refused("60018", str(channel)[:40])
        if (channel == ALGOS) is not (self._channel == ALGOS):
            raise _Refused("64001" if channel == ALGOS else "64002")
        if channel == BALANCES:
            return self._follow(operation, {"channel": BALANCES}, request_id)
        inst_id = arg.get("instId")
        if kind not in _TYPES or (inst_id and inst_id not in BY_INST_ID):
            raise _Refused("60018", str(channel))
        asked = {"channel": str(channel), "instType": str(kind)} | ({"instId": str(inst_id)} if inst_id else {})
        return self._follow(operation, asked, request_id)

    def _follow(self, operation: str, asked: dict[str, str], request_id: Any) -> list[Message]:
        channel = asked["channel"]
        if operation == "subscribe":
            self._asked[_encode(asked)] = asked
        else:
            self._asked.pop(_encode(asked), None)
        self.account = self._name if self._asked else None
        head = {} if request_id is None else {"id": str(request_id)}
        acknowledged = _encode({**head, "event": operation, "arg": asked, "connId": self._id})
        if operation == "unsubscribe" or channel == ALGOS:
            return [acknowledged]
        count = {"event": "channel-conn-count", "channel": channel, "connCount": "1", "connId": self._id}
        first = self._balances(None, self._heard_s) if channel == BALANCES else []
        return [acknowledged, _encode(count), *first]

    # -- what is told ------------------------------------------------------------------------------------------

    def _uid(self, account: str) -> str:
        return str(44_000_000_000 + list(self._books.accounts).index(account))

    def _balances(self, assets: Sequence[str] | None, now_s: float) -> list[Message]:
        """What the account has of these currencies, or of all, to whoever follows its balances."""
        if self._name is None or not any(asked["channel"] == BALANCES for asked in self._asked.values()):
            return []
        account, at = self._books.accounts[self._name], milliseconds(now_s)
        details = []
        for asset in sorted(account.balances) if assets is None else assets:
            amount, free = account.balances.get(asset, ZERO), account.available(asset)
            details.append(
                {
                    "ccy": asset, "cashBal": plain(amount), "availBal": plain(free), "availEq": "", "eq": plain(amount),
                    "frozenBal": plain(amount - free), "ordFrozen": plain(amount - free), "eqUsd": "", "uTime": at,
                }
            )  # fmt: skip
        row = {"uTime": at, "totalEq": "", "details": details}
        return [_encode({"arg": {"channel": BALANCES, "uid": self._uid(self._name)}, "data": [row]})]

    def _order_row(self, change: Change) -> dict[str, Any] | None:
        """An ordinary order; the last fill tells that it is filled, and nothing comes after it."""
        order, found = change.order, self._desk.algos.side_of(change.order)
        if self._desk.algos.shown_id(order) is None or (change.event == "closed" and order.status == CLOSED):
            return None
        if found is not None and (order.triggered_at_s is None or change.event == "new"):
            return None
        last = change.fill
        fill = None if last is None else fill_object(last, order, self._desk)
        return order_object(order, self._books, self._desk) | {
            "amendResult": "0" if change.event == "amended" else "", "amendSource": "", "code": "0", "msg": "",
            "reqId": "", "execType": fill["execType"] if fill else "", "fillFee": fill["fee"] if fill else "0",
            "fillFeeCcy": fill["feeCcy"] if fill else "", "fillPx": fill["fillPx"] if fill else "",
            "fillSz": fill["fillSz"] if fill else "0", "fillTime": fill["fillTime"] if fill else "",
            "tradeId": fill["tradeId"] if fill else "", "fillNotionalUsd": "", "notionalUsd": "", "lastPx": "",
            "stpMode": "cancel_maker", "isTpLimit": "false", "linkedAlgoOrd": {"algoId": ""},
            "uTime": milliseconds(change.time_s),
        }  # fmt: skip

    def _algo_row(self, change: Change) -> dict[str, Any] | None:
        """A waiting order: taken, amended, triggered or ended. What its order does then is told elsewhere."""
        found = self._desk.algos.side_of(change.order)
        if found is None:
            return None
        algo, side = found
        state = self._told_state(change, algo, first=side == next(iter(algo.legs)))
        if state is None:
            return None
        row = algo_object(algo, self._desk, state)
        return row | {"amendResult": "0" if change.event == "amended" else "", "reqId": "", "notionalUsd": ""}

    def _told_state(self, change: Change, algo: Algo, *, first: bool) -> str | None:
        order = change.order
        if change.event in ("new", "amended"):
            return LIVE if first and order.triggered_at_s is None else None
        if change.event == "triggered":
            return EFFECTIVE
        if change.event != "closed":
            return None
        state = self._desk.algos.state(algo)
        if order.triggered_at_s is not None:
            return FAILED if _is_failure(order) and state == FAILED else None
        return CANCELED if first and state == CANCELED else None


def _is_failure(order: Order) -> bool:
    return not order.filled
