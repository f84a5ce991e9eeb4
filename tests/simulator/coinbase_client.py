"""Clients of the simulated Coinbase for these tests; tokens are made here a second time, by PyJWT."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives import serialization
from simulator_client import FakeClock

from copytrade.simulator.coinbase import CoinbaseSimulator
from copytrade.simulator.coinbase.tokens import read_secret
from copytrade.simulator.venue import Credentials, Incoming, Reply

PREFIX = "/api/v3/brokerage"
HOST = "127.0.0.1:40123"


def quiet_coinbase(clock: FakeClock, **settings: Any) -> CoinbaseSimulator:
    """A simulator whose prices stand still and have no spread, so that figures come out exact."""
    return CoinbaseSimulator(**{"clock": clock, "volatility": 0.0, "spread": Decimal(0), **settings})


def token(credentials: Credentials, for_uri: str, now_s: float, **claims: Any) -> str:
    """A token of 120 s for one request line (`GET host/path`); `claims` change it."""
    private = read_secret(credentials.secret)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    algorithm = "ES256" if "BEGIN" in credentials.secret else "EdDSA"
    payload = {
        "sub": credentials.key,
        "iss": "cdp",
        "nbf": int(now_s),
        "exp": int(now_s) + 120,
        "uri": for_uri,
        **claims,
    }
    return jwt.encode(payload, pem, algorithm, {"kid": credentials.key, "nonce": "00"})


class CoinbaseClient:
    """Calls a simulator without a network."""

    def __init__(self, simulator: CoinbaseSimulator, credentials: Credentials | None) -> None:
        self.simulator = simulator
        self.credentials = credentials

    def send(self, verb: str, path: str, body: bytes = b"", query: str = "", authorization: str | None = None) -> Reply:
        """Hand over one request as it is."""
        headers = {"host": HOST, **({} if authorization is None else {"authorization": authorization})}
        incoming = Incoming(verb, path, query, headers, body, "127.0.0.1", self.simulator.clock())
        struck = self.simulator.faults.strike(*self.simulator.identify(incoming))
        return self.simulator.handle(incoming, struck[0] if struck else None)

    def call(self, verb: str, path: str, values: dict[str, Any] | None = None, **query: Any) -> tuple[int, Any]:
        """One signed call; status and JSON (or text) of its answer."""
        full = path if path.startswith("/v2") else PREFIX + path
        authorization = None
        if self.credentials is not None:
            made = token(self.credentials, f"{verb} api.coinbase.com{full}", self.simulator.clock())
            authorization = f"Bearer {made}"
        body = b"{}" if values is None else json.dumps(values).encode()
        reply = self.send(verb, full, body, urlencode(query, doseq=True), authorization)
        text = reply.body.decode()
        return reply.status, json.loads(text) if reply.content_type.startswith("application/json") else text

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a read that must succeed."""
        status, answer = self.call("GET", path, **query)
        assert status == 200, answer
        return answer

    def order(self, client_id: str, product: str = "BTC-USD", side: str = "BUY", **configuration: Any) -> Any:
        """Place an order; the JSON of the answer, which must be HTTP 200."""
        values = {
            "client_order_id": client_id,
            "product_id": product,
            "side": side,
            "order_configuration": configuration,
        }
        status, answer = self.call("POST", "/orders", values)
        assert status == 200, answer
        return answer

    def market(self, client_id: str, side: str = "BUY", product: str = "BTC-USD", **size: str) -> Any:
        """A market order."""
        return self.order(client_id, product, side, market_market_ioc=size)

    def limit(self, client_id: str, price: str, size: str = "0.001", side: str = "BUY", **rest: Any) -> Any:
        """A limit order that rests."""
        return self.order(
            client_id, side=side, limit_limit_gtc={"base_size": size, "limit_price": price, "post_only": False, **rest}
        )

    def id_of(self, answer: Any) -> str:
        """The order id of an accepted order."""
        assert answer["success"] is True, answer
        return str(answer["success_response"]["order_id"])

    def failure(self, answer: Any) -> str:
        """The most telling reason of a failed order."""
        assert answer["success"] is False, answer
        told = answer["error_response"]
        return str(told["error"] if told["error"] != "UNKNOWN_FAILURE_REASON" else told["preview_failure_reason"])
