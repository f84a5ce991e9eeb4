"""A client of the simulated Binance for these tests that hands requests over in memory."""

from __future__ import annotations

import hashlib
import hmac
import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from copytrade.simulator.binance import BinanceSimulator
from copytrade.simulator.venue import Credentials, Incoming, Reply

ORDER = "/api/v3/order"


def binance_sign(secret: str, payload: str) -> str:
    """Binance's signature, written a second time so that the simulator is not checked against itself."""
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


class BinanceClient:
    """Calls a simulator without a network."""

    def __init__(self, simulator: BinanceSimulator, credentials: Credentials) -> None:
        self.simulator = simulator
        self.credentials = credentials

    def raw(
        self, verb: str, path: str, query: str = "", body: str = "", key: str | None = None, remote: str = "127.0.0.1"
    ) -> Reply:
        """Hand over one request as it is."""
        headers = {} if key is None else {"x-mbx-apikey": key}
        incoming = Incoming(verb, path, query, headers, body.encode(), remote, self.simulator.clock())
        struck = self.simulator.faults.strike(*self.simulator.identify(incoming))
        return self.simulator.handle(incoming, struck[0] if struck else None)

    def signed(self, verb: str, path: str, **values: object) -> Reply:
        """One signed call: a query for GET, else a form body."""
        stamp = values.pop("timestamp", int(self.simulator.clock() * 1000))
        text = urlencode({**values, "timestamp": stamp})
        text += f"&signature={binance_sign(self.credentials.secret, text)}"
        query, body = (text, "") if verb == "GET" else ("", text)
        return self.raw(verb, path, query, body, self.credentials.key)

    def ok(self, verb: str, path: str, **values: object) -> Any:
        """The answer of a call that must succeed."""
        reply = self.signed(verb, path, **values)
        assert reply.status == 200, reply.body
        return json.loads(reply.body)

    def error(self, verb: str, path: str, **values: object) -> tuple[int, int, str]:
        """Status, code and message of a call that must fail."""
        return said(self.signed(verb, path, **values))

    def public(self, path: str, **values: object) -> Any:
        """One public call."""
        reply = self.raw("GET", f"/api/v3/{path}", urlencode(values))
        assert reply.status == 200, reply.body
        return json.loads(reply.body)

    def market(self, side: str = "BUY", quantity: str = "0.001", **values: object) -> dict[str, Any]:
        """A market order for bitcoin."""
        fields = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": quantity, **values}
        return dict(self.ok("POST", ORDER, **fields))

    def limit(self, side: str, price: str, quantity: str = "0.001", **values: object) -> dict[str, Any]:
        """A limit order for bitcoin."""
        return dict(self.ok("POST", ORDER, **limit_fields(side, price, quantity), **values))


def limit_fields(side: str, price: str, quantity: str = "0.001", time_in_force: str = "GTC") -> dict[str, str]:
    return {
        "symbol": "BTCUSDT", "side": side, "type": "LIMIT", "timeInForce": time_in_force, "quantity": quantity,
        "price": price,
    }  # fmt: skip


def said(reply: Reply) -> tuple[int, int, str]:
    """Status, code and message of an error."""
    body = json.loads(reply.body)
    assert reply.status != 200, body
    return reply.status, body["code"], body["msg"]


def quiet_binance(clock: Any, **settings: Any) -> BinanceSimulator:
    """A simulator whose prices stand still and have no spread, so that figures come out exact."""
    made = BinanceSimulator(**{"seed": 7, "clock": clock, "volatility": 0.0, "spread": Decimal(0), **settings})
    made.set_price("BTC/USDT", Decimal(50_000))
    return made
