"""The stream of an account's orders (`/stream`, `trade_updates`), in binary frames of JSON as the paper host has them.

Source: docs.alpaca.markets, "Websocket streaming". Whether a refused login ends the connection is not documented; here
it stays open, and another try may follow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from copytrade.simulator.alpaca.errors import UNAUTHORIZED_BARE, AlpacaError
from copytrade.simulator.alpaca.keys import ApiKey, authenticate
from copytrade.simulator.alpaca.lists import ListViews
from copytrade.simulator.alpaca.params import nanoseconds
from copytrade.simulator.alpaca.shapes import View, plain, view_object
from copytrade.simulator.orders import CLOSED, ZERO
from copytrade.simulator.streams import Change, Message, StreamEnd, StreamSession

PATH = "/stream"
TRADE_UPDATES = "trade_updates"
_TOO_BAD = 1003  # "cannot accept the data", RFC 6455


class TradeUpdatesSession(StreamSession):
    """One connection. `keys` are the venue's, which may change; `views` shows orders, `encode` writes JSON."""

    def __init__(self, keys: Mapping[str, ApiKey], views: ListViews, encode: Callable[[Any], bytes]) -> None:
        self._keys = keys
        self._views = views
        self._encode = encode
        self._api_key: ApiKey | None = None

    def received(self, message: Message, now_s: float) -> Sequence[Message]:
        """Logging in and choosing streams; there is nothing else to say."""
        try:
            asked = json.loads(message)
        except (ValueError, RecursionError):
            raise StreamEnd(_TOO_BAD, "invalid message") from None
        data = asked.get("data") if isinstance(asked, dict) else None
        if not isinstance(data, dict):
            raise StreamEnd(_TOO_BAD, "invalid message")
        if asked.get("action") == "authenticate":
            return [self._log_in(data)]
        if asked.get("action") == "listen":
            return [self._listen(data)]
        raise StreamEnd(_TOO_BAD, "invalid message")

    def changed(self, change: Change) -> Sequence[Message]:
        """What happened to an order, as an event for each of Alpaca's orders that it happened to."""
        return [self._told(TRADE_UPDATES, self._event(name, view, change)) for name, view in self._events(change)]

    def _log_in(self, data: Mapping[str, Any]) -> Message:
        given = {"apca-api-key-id": data.get("key_id"), "apca-api-secret-key": data.get("secret_key")}
        headers = {name: text for name, text in given.items() if isinstance(text, str)}
        try:
            self._api_key = authenticate(self._keys, headers, UNAUTHORIZED_BARE)
        except AlpacaError:
            self._api_key = self.account = None
            return self._told("authorization", {"status": "unauthorized", "action": "authenticate"})
        return self._told("authorization", {"status": "authorized", "action": "authenticate"})

    def _listen(self, data: Mapping[str, Any]) -> Message:
        if self._api_key is None:
            return self._told("authorization", {"status": "unauthorized", "action": "listen"})
        asked = data.get("streams")
        streams = [TRADE_UPDATES] if isinstance(asked, list) and TRADE_UPDATES in asked else []
        self.account = self._api_key.account if streams else None
        return self._told("listening", {"streams": streams})

    def _events(self, change: Change) -> Iterator[tuple[str, View]]:
        order, views = change.order, self._views.views(change.order)
        first, held = views[0], views[1:]
        working = held[0] if held and order.triggered_at_s is not None else first
        if change.event == "new":
            yield first.status if first.status == "accepted" else "new", first
            yield from (("held", view) for view in held)
        elif change.event == "triggered" and held:
            yield "canceled", first
            yield "new", working
        elif change.event == "fill":
            yield "fill" if order.status == CLOSED else "partial_fill", working
        elif change.event == "closed" and order.status == CLOSED:
            yield from (("canceled", view) for view in held if view is not working)
        elif change.event == "closed":
            yield from ((view.status, view) for view in (views if working is first else [working]))

    def _event(self, name: str, view: View, change: Change) -> dict[str, Any]:
        event: dict[str, Any] = {
            "event": name,
            "timestamp": nanoseconds(change.time_s),
            "order": view_object(view, self._views.desk),
        }
        if change.fill is not None:
            books, order = self._views.exchange.books, change.order
            held = books.accounts[order.request.account].balances.get(books.markets[order.request.symbol].base, ZERO)
            event |= {
                "execution_id": change.fill.fill_id,
                "price": plain(change.fill.price),
                "qty": plain(change.fill.volume),
                "position_qty": plain(held),
            }
        return event

    def _told(self, stream: str, data: dict[str, Any]) -> Message:
        return self._encode({"stream": stream, "data": data})
