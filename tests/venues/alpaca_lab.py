"""What the tests of the Alpaca adapter share: the simulated venue around real parts, a server that says anything."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from kraken_lab import RawServer, Time, http, utc_now

from copytrade.domain.account import AccountId
from copytrade.domain.ids import fact_id
from copytrade.domain.instrument import AssetClass, Instrument
from copytrade.domain.money import NO_AMOUNT, Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.venue import OrderTicket
from copytrade.simulator.alpaca import AlpacaSimulator
from copytrade.simulator.faults import Fault
from copytrade.simulator.server import SimulatorServer
from copytrade.venues.alpaca.account import AlpacaAccount
from copytrade.venues.alpaca.options import AlpacaOptions
from copytrade.venues.alpaca.public import AlpacaVenue

ALICE = AccountId("alpaca:alice_smith")
KEY, SECRET = "PKALICEMADEUP", "madeupsecretofalice"

BTC_USD = Instrument(
    venue="alpaca", symbol="BTC/USD", base="BTC", quote="USD", venue_symbol="BTC/USD",
    lot_step=Decimal("1E-9"), tick=Decimal("0.001"), min_quantity=Quantity.of("0.000016666"), min_cost=NO_AMOUNT,
    min_buy_cost=Amount.of(10),
)  # fmt: skip
AAPL = Instrument(
    venue="alpaca", symbol="AAPL", base="AAPL", quote="USD", venue_symbol="AAPL", lot_step=Decimal("1E-9"),
    tick=Decimal("0.01"), min_quantity=Quantity.of("0.000000001"), min_cost=NO_AMOUNT, asset_class=AssetClass.STOCK,
    min_buy_cost=Amount.of(1),
)  # fmt: skip

BRK_A = replace(  # not traded in fractions
    AAPL, symbol="BRK.A", base="BRK.A", venue_symbol="BRK.A", lot_step=Decimal(1), min_quantity=Quantity.of(1)
)

# Fast where a test waits for a limit on purpose.
OPTIONS = AlpacaOptions(request_timeout_s=5.0, read_total_s=20.0, public_calls_per_s=None, max_connections=20)


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
    """The simulated Alpaca, our adapter on it, and one account of each."""

    sim: AlpacaSimulator
    url: str
    venue: AlpacaVenue
    account: AlpacaAccount
    time: Time
    key: str
    secret: str

    passing_error = "503 50310000 service unavailable"

    def fault(self, kind: str, **settings: Any) -> None:
        self.sim.faults.add(Fault(kind, **settings))

    def order(self, name: str = "one", **settings: Any) -> OrderTicket:
        return ticket(name, **settings)

    def orders(self) -> list[dict[str, Any]]:
        return self.sim.orders()


@asynccontextmanager
async def alpaca_lab(options: AlpacaOptions = OPTIONS, **settings: Any) -> AsyncIterator[Lab]:
    balances = settings.pop("balances", {"USD": Decimal(10_000), "BTC": Decimal(1)})
    permissions, load = settings.pop("permissions", None), settings.pop("load", True)
    time = Time()
    our_clock = settings.pop("our_clock", time.utc)
    settings.setdefault("clock", lambda: our_clock().timestamp())
    sim = AlpacaSimulator(volatility=0.0, spread=Decimal(0), **settings)
    sim.set_price("BTC/USD", Decimal(50_000))
    keys = sim.add_account("alice_smith", balances, permissions=permissions)
    server = SimulatorServer([sim])
    await server.start()
    url = server.url("alpaca")
    venue = AlpacaVenue(url, options, clock=our_clock, monotonic=time, rng=random.Random(7), sleep=time.sleep)
    account = venue.connect_account(ALICE, keys.key, keys.secret)
    try:
        if load:
            await venue.load_instruments()
        yield Lab(sim, url, venue, account, time, keys.key, keys.secret)
    finally:
        await account.close()
        await venue.close()
        await server.stop()
        sim.close()


def order_object(order: OrderTicket | None = None, **changes: Any) -> dict[str, Any]:
    """An order as Alpaca shows it, filled unless `changes` say otherwise."""
    order = order or ticket()
    return {
        "id": "38e482f3-79a8-4f75-a057-f07a1ec6a397", "client_order_id": order.order_id, "asset_class": "crypto",
        "symbol": order.instrument.symbol, "side": order.side.value, "qty": str(order.quantity), "notional": None,
        "filled_qty": str(order.quantity), "filled_avg_price": "50000", "status": "filled", "replaced_by": None,
        "submitted_at": "2026-01-05T10:00:00.123456789Z", **changes,
    }  # fmt: skip


def accepted(order: OrderTicket | None = None, **changes: Any) -> bytes:
    """The answer to placing an order."""
    shown = {"status": "pending_new", "filled_qty": "0", "filled_avg_price": None, **changes}
    return http(order_object(order, **shown))


def refused(status: str, message: str, code: int | None = None, headers: str = "") -> bytes:
    """An error of Alpaca's; `status` is the HTTP status with its words."""
    return http({"message": message} if code is None else {"code": code, "message": message}, status, headers)


@asynccontextmanager
async def at_raw_server(
    *script: bytes | None, options: AlpacaOptions = OPTIONS
) -> AsyncIterator[tuple[RawServer, AlpacaAccount]]:
    """An Alpaca account whose venue says what the script says; its markets are known already."""
    async with RawServer(*script) as server:
        time = Time()
        venue = AlpacaVenue(server.url, options, clock=utc_now, monotonic=time, rng=random.Random(7), sleep=time.sleep)
        venue.names.add(BTC_USD, ["BTCUSD"])
        venue.names.add(AAPL, [])
        try:
            yield server, venue.connect_account(ALICE, KEY, SECRET)
        finally:
            await venue.close()


async def by_hand(lab: Lab, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """What somebody else does with the same account; returns the answer's body."""
    headers = {"APCA-API-KEY-ID": lab.key, "APCA-API-SECRET-KEY": lab.secret}
    async with lab.venue.wire.slot():
        reply = await lab.venue.wire.request(
            method, path, headers, None if body is None else json.dumps(body).encode()
        )
    assert reply.status in (200, 204, 207), (reply.status, reply.body)
    return json.loads(reply.body) if reply.body else None
