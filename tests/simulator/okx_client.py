"""A client of the simulated OKX that hands requests over in memory and signs by itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from simulator_client import FakeClock

from copytrade.simulator.okx import OkxSimulator
from copytrade.simulator.venue import Credentials, Incoming, Reply

ROOT = "/api/v5"


def okx_sign(secret: str, prehash: str) -> str:
    """OKX's signature, written a second time so that the simulator is not checked against itself."""
    return base64.b64encode(hmac.new(secret.encode(), prehash.encode(), hashlib.sha256).digest()).decode()


def stamp(now_s: float) -> str:
    """A time as `OK-ACCESS-TIMESTAMP`."""
    return datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def quiet_okx(clock: FakeClock, **settings: Any) -> OkxSimulator:
    """A simulator whose prices stand still at 50,000 and have no spread, so that figures come out exact."""
    made = OkxSimulator(**{"seed": 7, "clock": clock, "volatility": 0.0, "spread": Decimal(0), **settings})
    made.set_price("BTC/USDT", Decimal(50_000))
    return made


class OkxClient:
    """Calls a simulator without a network."""

    def __init__(self, simulator: OkxSimulator, credentials: Credentials) -> None:
        self.simulator = simulator
        self.credentials = credentials

    def headers(self, verb: str, target: str, body: str, **changes: str | None) -> dict[str, str]:
        """The headers of a signed request; `changes` replace some (`_` for `-`), None leaves one out."""
        timestamp = str(changes.get("ok_access_timestamp") or stamp(self.simulator.clock()))
        values: dict[str, str | None] = {
            "ok-access-key": self.credentials.key,
            "ok-access-sign": okx_sign(self.credentials.secret, f"{timestamp}{verb}{target}{body}"),
            "ok-access-timestamp": timestamp,
            "ok-access-passphrase": self.credentials.passphrase,
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        return {name: value for name, value in values.items() if value is not None}

    def raw(
        self, verb: str, path: str, query: str = "", body: str = "", headers: dict[str, str] | None = None,
        late_s: float = 0.0,
    ) -> Reply:  # fmt: skip
        """Hand over one request as it is; `late_s` passes between its arrival and the matching engine."""
        arrived_s = self.simulator.clock() - late_s
        incoming = Incoming(verb, path, query, headers or {}, body.encode(), "127.0.0.1", arrived_s)
        struck = self.simulator.faults.strike(*self.simulator.identify(incoming))
        return self.simulator.handle(incoming, struck[0] if struck else None)

    def get(self, path: str, _headers: dict[str, str | None] | None = None, **values: object) -> tuple[int, Any]:
        """One signed GET: HTTP status and envelope."""
        query = urlencode(values)
        target = f"{ROOT}{path}?{query}" if query else f"{ROOT}{path}"
        reply = self.raw("GET", ROOT + path, query, "", self.headers("GET", target, "", **(_headers or {})))
        return reply.status, json.loads(reply.body)

    def post(
        self, path: str, values: object, late_s: float = 0.0, **changes: str | None
    ) -> tuple[int, Any]:
        """One signed POST: HTTP status and envelope."""
        body = json.dumps(values)
        reply = self.raw("POST", ROOT + path, "", body, self.headers("POST", ROOT + path, body, **changes), late_s)
        return reply.status, json.loads(reply.body)

    def public(self, path: str, **values: object) -> Any:
        """One public call's data."""
        reply = self.raw("GET", ROOT + path, urlencode(values))
        answer = json.loads(reply.body)
        assert answer["code"] == "0", answer
        return answer["data"]

    def data(self, path: str, **values: object) -> Any:
        """The data of a signed GET that must succeed."""
        status, answer = self.get(path, **values)
        assert (status, answer["code"]) == (200, "0"), answer
        return answer["data"]

    def order(self, **values: object) -> dict[str, Any]:
        """Place an order (a market purchase of 0.001 BTC unless told otherwise); its row."""
        order = {"instId": "BTC-USDT", "tdMode": "cash", "side": "buy", "ordType": "market", "sz": "0.001"}
        if values.get("ordType", "market") == "market":
            order["tgtCcy"] = "base_ccy"
        status, answer = self.post("/trade/order", {**order, **values})
        assert status == 200, answer
        return dict(answer["data"][0]) if answer["data"] else {"sCode": answer["code"], "sMsg": answer["msg"]}

    def placed(self, **values: object) -> str:
        """The id of an order that must be taken."""
        row = self.order(**values)
        assert row["sCode"] == "0", row
        return str(row["ordId"])

    def limit(self, side: str, price: str, **values: object) -> str:
        """The id of a limit order that must be taken."""
        return self.placed(side=side, ordType="limit", px=price, **values)

    def look(self, order_id: str) -> dict[str, Any]:
        """An order by its id."""
        return dict(self.data("/trade/order", instId="BTC-USDT", ordId=order_id)[0])
