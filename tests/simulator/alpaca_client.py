"""A client of the simulated Alpaca that hands requests over in memory."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from simulator_client import FakeClock

from copytrade.simulator.alpaca import AlpacaSimulator
from copytrade.simulator.venue import Credentials, Incoming, Reply


def quiet_alpaca(clock: FakeClock, **settings: Any) -> AlpacaSimulator:
    """A simulator whose prices stand still and have no spread, so that figures come out exact."""
    still = {"clock": clock, "volatility": 0.0, "spread": Decimal(0), "rate_limits": False}
    return AlpacaSimulator(**{**still, **settings})


class AlpacaClient:
    """Calls a simulator without a network."""

    def __init__(self, simulator: AlpacaSimulator, credentials: Credentials | None) -> None:
        self.simulator = simulator
        self.headers: dict[str, str] = {}
        if credentials is not None:
            self.headers = {"apca-api-key-id": credentials.key, "apca-api-secret-key": credentials.secret}

    def raw(self, verb: str, path: str, query: str = "", body: bytes = b"") -> Reply:
        """Hand over one request as it is."""
        now_s = self.simulator.clock()
        incoming = Incoming(verb, path, query, self.headers, body, "127.0.0.1", now_s)
        struck = self.simulator.faults.strike(*self.simulator.identify(incoming))
        return self.simulator.handle(incoming, struck[0] if struck else None)

    def ok(self, verb: str, path: str, body: Any = None, **query: object) -> Any:
        """The body of a call that must succeed."""
        reply = self.raw(verb, path, urlencode(query), b"" if body is None else json.dumps(body).encode())
        assert reply.status in (200, 204, 207), (reply.status, reply.body)
        return json.loads(reply.body) if reply.body else None

    def error(self, verb: str, path: str, body: Any = None, **query: object) -> tuple[int, int | None, str]:
        """Status, code and message of a call that must fail."""
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        reply = self.raw(verb, path, urlencode(query), raw)
        assert reply.status >= 400, reply.body
        shown = json.loads(reply.body)
        return reply.status, shown.get("code"), shown["message"]

    def buy(self, **values: object) -> dict[str, Any]:
        """A market order for a thousandth of a bitcoin; returns the order."""
        return dict(self.ok("POST", "/v2/orders", order(**values)))

    def refused(self, **values: object) -> tuple[int, int | None, str]:
        """Status, code and message of an order that must be refused."""
        return self.error("POST", "/v2/orders", order(**values))

    def shown(self, order_id: str) -> dict[str, Any]:
        """An order as it stands."""
        return dict(self.ok("GET", f"/v2/orders/{order_id}"))


def order(**values: object) -> dict[str, object]:
    """A market order for a thousandth of a bitcoin, with `values` instead; None leaves a field out."""
    made: dict[str, object] = {
        "symbol": "BTC/USD", "qty": "0.001", "side": "buy", "type": "market", "time_in_force": "gtc", **values,
    }  # fmt: skip
    return {name: value for name, value in made.items() if value is not None}


def stock(**values: object) -> dict[str, object]:
    """A market order for one share, good for the day."""
    return {"symbol": "AAPL", "qty": "1", "time_in_force": "day", **values}
