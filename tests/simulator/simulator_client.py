"""Clients of the simulated Kraken for these tests: one that hands requests over in memory, one that speaks HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode, urlsplit

from copytrade.simulator.kraken import KrakenSimulator
from copytrade.simulator.venue import Credentials, Incoming

FORM = "application/x-www-form-urlencoded"


class FakeClock:
    """A clock that moves when it is told to, in unix seconds."""

    def __init__(self, now_s: float = 1_700_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def kraken_sign(secret: str, path: str, nonce: object, body: str) -> str:
    """Kraken's signature, written a second time so that the simulator is not checked against itself."""
    message = path.encode() + hashlib.sha256(f"{nonce}{body}".encode()).digest()
    return base64.b64encode(hmac.new(base64.b64decode(secret), message, hashlib.sha512).digest()).decode()


class MemoryClient:
    """Calls a simulator without a network; nonces count up from 1."""

    def __init__(self, simulator: KrakenSimulator, credentials: Credentials) -> None:
        self.simulator = simulator
        self.credentials = credentials
        self.nonce = 0

    def raw(
        self, path: str, body: str, headers: dict[str, str], verb: str = "POST", query: str = ""
    ) -> dict[str, Any]:
        """Hand over one request as it is; returns the envelope."""
        now_s = self.simulator.clock()
        incoming = Incoming(verb, path, query, headers, body.encode(), "127.0.0.1", now_s)
        struck = self.simulator.faults.strike(*self.simulator.identify(incoming))
        reply = self.simulator.handle(incoming, struck[0] if struck else None)
        assert reply.status == 200
        return dict(json.loads(reply.body))

    def envelope(self, method: str, **values: object) -> dict[str, Any]:
        """One signed form call."""
        self.nonce += 1
        path = f"/0/private/{method}"
        body = urlencode({"nonce": self.nonce, **values})
        sign = kraken_sign(self.credentials.secret, path, self.nonce, body)
        return self.raw(path, body, {"api-key": self.credentials.key, "api-sign": sign, "content-type": FORM})

    def json_call(self, method: str, values: dict[str, Any]) -> dict[str, Any]:
        """One signed JSON call."""
        self.nonce += 1
        path = f"/0/private/{method}"
        body = json.dumps({"nonce": self.nonce, **values})
        sign = kraken_sign(self.credentials.secret, path, self.nonce, body)
        headers = {"api-key": self.credentials.key, "api-sign": sign, "content-type": "application/json"}
        return self.raw(path, body, headers)

    def ok(self, method: str, **values: object) -> Any:
        """The result of a call that must succeed."""
        answer = self.envelope(method, **values)
        assert answer["error"] == [], answer
        return answer["result"]

    def error(self, method: str, **values: object) -> str:
        """The one error of a call that must fail."""
        answer = self.envelope(method, **values)
        assert len(answer["error"]) == 1, answer
        assert "result" not in answer
        return str(answer["error"][0])

    def public(self, method: str, **values: object) -> dict[str, Any]:
        """One public call's envelope."""
        return self.raw(f"/0/public/{method}", "", {}, "GET", urlencode(values))

    def buy(self, volume: str = "0.001", **values: object) -> str:
        """A market order to buy bitcoin; returns its txid."""
        return str(
            self.ok("AddOrder", pair="XBTUSD", type="buy", ordertype="market", volume=volume, **values)[
                "txid"
            ][0]
        )

    def limit(self, side: str, price: str, volume: str = "0.001", **values: object) -> str:
        """A limit order on bitcoin; returns its txid."""
        order = {
            "pair": "XBTUSD",
            "type": side,
            "ordertype": "limit",
            "price": price,
            "volume": volume,
            **values,
        }
        return str(self.ok("AddOrder", **order)["txid"][0])


def quiet_kraken(clock: FakeClock, **settings: Any) -> KrakenSimulator:
    """A simulator whose prices stand still and have no spread, so that figures come out exact."""
    return KrakenSimulator(**{"seed": 7, "clock": clock, "volatility": 0.0, "spread": Decimal(0), **settings})


def http_call(
    url: str,
    path: str,
    body: str | bytes,
    headers: dict[str, str],
    verb: str = "POST",
    timeout_s: float = 10.0,
) -> tuple[int, bytes]:
    """One HTTP request over a connection of its own; status and body. Raises what http.client raises."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=timeout_s)
    try:
        connection.request(verb, path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


class HttpClient:
    """Signed calls over HTTP, a connection each."""

    def __init__(self, url: str, credentials: Credentials) -> None:
        self.url = url
        self.credentials = credentials
        self.nonce = 0

    def call(self, method: str, timeout_s: float = 10.0, **values: object) -> tuple[int, bytes]:
        """Status and body of one call."""
        self.nonce += 1
        path = f"/0/private/{method}"
        body = urlencode({"nonce": self.nonce, **values})
        sign = kraken_sign(self.credentials.secret, path, self.nonce, body)
        headers = {"API-Key": self.credentials.key, "API-Sign": sign, "Content-Type": FORM}
        return http_call(self.url, path, body, headers, timeout_s=timeout_s)

    def buy(self, client_id: str, timeout_s: float = 10.0) -> tuple[int, bytes]:
        """A small market order."""
        order = {
            "pair": "XBTUSD",
            "type": "buy",
            "ordertype": "market",
            "volume": "0.001",
            "cl_ord_id": client_id,
        }
        return self.call("AddOrder", timeout_s, **order)
