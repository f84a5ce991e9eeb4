"""What the tests of the Coinbase adapter share: the simulated venue around real parts, a server that says anything."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kraken_lab import RawServer, Time, http, utc_now

from copytrade.domain.account import AccountId
from copytrade.domain.ids import fact_id
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.venue import OrderTicket
from copytrade.simulator.coinbase import CoinbaseSimulator
from copytrade.simulator.faults import Fault
from copytrade.simulator.server import SimulatorServer
from copytrade.venues.coinbase.account import CoinbaseAccount
from copytrade.venues.coinbase.options import CoinbaseOptions
from copytrade.venues.coinbase.public import CoinbaseVenue

ALICE = AccountId("coinbase:alice_smith")
KEY = "organizations/o/apiKeys/k"
# The seed 00 01 .. 1f and its public half, in base64: no account of anybody's.
SECRET = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA=="
PUBLIC_HEX = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"

BTC_USD = Instrument(
    venue="coinbase", symbol="BTC/USD", base="BTC", quote="USD", venue_symbol="BTC-USD",
    lot_step=Decimal("1E-8"), tick=Decimal("0.01"), min_quantity=Quantity.of("0.00000001"), min_cost=Amount.of(1),
)  # fmt: skip

# Fast where a test waits for a limit on purpose.
OPTIONS = CoinbaseOptions(request_timeout_s=5.0, read_total_s=20.0, max_connections=20)


def ticket(
    name: str = "one",
    *,
    side: Side = Side.BUY,
    quantity: str = "0.001",
    limit: str | None = None,
    instrument: Instrument = BTC_USD,
) -> OrderTicket:
    return OrderTicket(
        order_id=fact_id("test", ALICE, name),
        account=ALICE,
        instrument=instrument,
        side=side,
        effect=Effect.ENTRY if side is Side.BUY else Effect.EXIT,
        kind=OrderKind.MARKET if limit is None else OrderKind.IOC_LIMIT,
        quantity=Quantity.of(quantity),
        limit_price=None if limit is None else Price.of(limit),
    )


@dataclass
class Lab:
    """The simulated Coinbase, our adapter on it, and one account of each."""

    sim: CoinbaseSimulator
    url: str
    venue: CoinbaseVenue
    account: CoinbaseAccount
    time: Time
    key: str
    secret: str

    passing_error = "UNAVAILABLE"

    def fault(self, kind: str, **settings: Any) -> None:
        self.sim.faults.add(Fault(kind, **settings))

    def order(self, name: str = "one", **settings: Any) -> OrderTicket:
        return ticket(name, **settings)

    def orders(self) -> list[dict[str, Any]]:
        return self.sim.orders()


@asynccontextmanager
async def coinbase_lab(options: CoinbaseOptions = OPTIONS, **settings: Any) -> AsyncIterator[Lab]:
    permissions, kind = settings.pop("permissions", None), settings.pop("kind", "ed25519")
    balances = settings.pop("balances", {"USD": Decimal(10_000), "BTC": Decimal(1)})
    time = Time()
    settings.setdefault("clock", lambda: time.utc().timestamp())
    sim = CoinbaseSimulator(volatility=0.0, spread=Decimal(0), **settings)
    sim.set_price("BTC/USD", Decimal(50_000))
    keys = sim.add_account("alice_smith", balances, permissions=permissions, kind=kind)
    server = SimulatorServer([sim])
    await server.start()
    url = server.url("coinbase")
    venue = CoinbaseVenue(url, options, clock=time.utc, monotonic=time, rng=random.Random(7), sleep=time.sleep)
    account = venue.connect_account(ALICE, keys.key, keys.secret)
    try:
        await venue.load_instruments()
        yield Lab(sim, url, venue, account, time, keys.key, keys.secret)
    finally:
        await account.close()
        await venue.close()
        await server.stop()
        sim.close()


async def edit(lab: Lab, order_id: str, **figures: str) -> None:
    """What somebody does who edits the order at coinbase.com: no call of ours."""
    path = "/api/v3/brokerage/orders/edit"
    headers = lab.account._signer.set_headers("POST", path)
    async with lab.venue.wire.slot():
        reply = await lab.venue.wire.request(
            "POST", path, headers, json.dumps({"order_id": order_id, **figures}).encode()
        )
    assert json.loads(reply.body)["success"] is True, reply.body


def accepted(order: OrderTicket | None = None, order_id: str = "11111111-0000-0000-0000-000000000001") -> bytes:
    order = order or ticket()
    told = {
        "order_id": order_id, "product_id": order.instrument.venue_symbol, "side": order.side.value.upper(),
        "client_order_id": order.order_id,
    }  # fmt: skip
    return http({"success": True, "success_response": told})


def failed(error: str = "", preview: str = "", new: str = "") -> bytes:
    told = {"error": error, "message": "", "preview_failure_reason": preview, "new_order_failure_reason": new}
    return http({"success": False, "error_response": told})


@asynccontextmanager
async def at_raw_server(
    *script: bytes | None, options: CoinbaseOptions = OPTIONS
) -> AsyncIterator[tuple[RawServer, CoinbaseAccount]]:
    """A Coinbase account whose venue says what the script says."""
    async with RawServer(*script) as server:
        time = Time()
        venue = CoinbaseVenue(
            server.url, options, clock=utc_now, monotonic=time, rng=random.Random(7), sleep=time.sleep
        )
        try:
            yield server, venue.connect_account(ALICE, KEY, SECRET)
        finally:
            await venue.close()


def claims_of(head: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of the bearer token in a request's head."""
    token = head.partition("Authorization: Bearer ")[2].partition("\r\n")[0]
    parts = [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in token.split(".")[:2]]
    return parts[0], parts[1]
