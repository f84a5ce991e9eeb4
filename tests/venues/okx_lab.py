"""What the tests of the OKX adapter share: the simulated venue around real parts, and a server that says anything."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from kraken_lab import Heard, RawServer, Time, http, ticket, utc_now

from copytrade.domain.account import AccountId
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import NO_AMOUNT, Quantity
from copytrade.domain.venue import OrderTicket
from copytrade.simulator.faults import Fault
from copytrade.simulator.okx import OkxSimulator
from copytrade.simulator.server import SimulatorServer
from copytrade.simulator.venue import Credentials
from copytrade.venues.okx.account import OkxAccount
from copytrade.venues.okx.options import OkxOptions
from copytrade.venues.okx.public import OkxVenue

ALICE = AccountId("okx:alice_smith")
KEY, PASSPHRASE = "0b2c4d6e-1111-2222-3333-444455556666", "pass-of-alice-77"
# The example secret of OKX's documentation.
SECRET = "22582BD0CFF14C41EDBF1AB98506286D"
BTC_USDT = Instrument(
    venue="okx", symbol="BTC/USDT", base="BTC", quote="USDT", venue_symbol="BTC-USDT", lot_step=Decimal("1E-8"),
    tick=Decimal("0.1"), min_quantity=Quantity.of("0.00001"), min_cost=NO_AMOUNT,
)  # fmt: skip
OPTIONS = OkxOptions(request_timeout_s=5.0, read_total_s=20.0, max_connections=20)


def okx_ticket(name: str = "one", **settings: Any) -> OrderTicket:
    return ticket(name, **{"account": ALICE, "instrument": BTC_USDT, **settings})


@dataclass
class Lab:
    """The simulated OKX, our adapter on it, and one account of each."""

    sim: OkxSimulator
    url: str
    venue: OkxVenue
    account: OkxAccount
    time: Time
    keys: Credentials

    passing_error = "50001"

    def fault(self, kind: str, **settings: Any) -> None:
        self.sim.faults.add(Fault(kind, **settings))

    def order(self, name: str = "one", **settings: Any) -> OrderTicket:
        return okx_ticket(name, **settings)

    def orders(self) -> list[dict[str, Any]]:
        """The venue's orders under the names our adapter has for them; one for both sides of a bracket."""
        waiting = {algo.algo_id for algo in self.sim.algos("alice_smith")}
        sides = {order_id for algo in self.sim.algos("alice_smith") for order_id in algo.legs.values()}
        named = []
        for order in self.sim.orders():
            order_id, market = order["order_id"], order["symbol"].replace("/", "-")
            if order_id in waiting:
                named.append({**order, "order_id": f"{market}:algo:{order_id}"})
            elif order_id not in sides:
                named.append({**order, "order_id": f"{market}:{order_id}"})
        return named

    @property
    def key(self) -> str:
        return self.keys.key

    @property
    def secret(self) -> str:
        return self.keys.secret


@asynccontextmanager
async def okx_lab(
    options: OkxOptions = OPTIONS, our_clock: Callable[[Time], datetime] = Time.utc, **settings: Any
) -> AsyncIterator[Lab]:
    """`permissions`, `ip_allowlist` and `demo` go to the account's key, the other settings to the simulator."""
    of_key = {name: settings.pop(name) for name in ("permissions", "ip_allowlist", "demo") if name in settings}
    time = Time()
    settings.setdefault("clock", lambda: time.utc().timestamp())
    sim = OkxSimulator(volatility=0.0, spread=Decimal(0), **settings)
    sim.set_price("BTC/USDT", Decimal(50_000))
    keys = sim.add_account("alice_smith", {"USDT": Decimal(10_000), "BTC": Decimal(1)}, **of_key)
    server = SimulatorServer([sim])
    await server.start()
    venue = OkxVenue(
        server.url("okx"), options, clock=lambda: our_clock(time), monotonic=time, rng=random.Random(7),
        sleep=time.sleep,
    )  # fmt: skip
    assert keys.passphrase is not None
    account = venue.connect_account(ALICE, keys.key, keys.secret, keys.passphrase)
    try:
        await venue.load_instruments()
        yield Lab(sim, server.url("okx"), venue, account, time, keys)
    finally:
        await account.close()
        await venue.close()
        await server.stop()
        sim.close()


@asynccontextmanager
async def at_raw_server(
    *script: bytes | None, options: OkxOptions = OPTIONS
) -> AsyncIterator[tuple[RawServer, OkxAccount, OkxVenue]]:
    """An OKX account whose venue says what the script says."""
    async with RawServer(*script) as server:
        time = Time()
        venue = OkxVenue(server.url, options, clock=utc_now, monotonic=time, rng=random.Random(7), sleep=time.sleep)
        try:
            yield server, venue.connect_account(ALICE, KEY, SECRET, PASSPHRASE), venue
        finally:
            await venue.close()


def envelope(code: str = "0", data: list[Any] | None = None, message: str = "", status: str = "200 OK") -> bytes:
    return http({"code": code, "msg": message, "data": [] if data is None else data}, status)


def row(client_id: str, *, order_id: str = "", code: str = "0", message: str = "") -> dict[str, str]:
    return {"clOrdId": client_id, "ordId": order_id, "tag": "", "sCode": code, "sMsg": message}


def taken(name: str = "one", order_id: str = "312269865356374016") -> bytes:
    return envelope("0", [row(okx_ticket(name).order_id, order_id=order_id)])


def refused(code: str, message: str = "", name: str = "one") -> bytes:
    """A refusal in the row of the order."""
    return envelope("1", [row(okx_ticket(name).order_id, code=code, message=message)], "All operations failed")


def headers(heard: Heard) -> dict[str, str]:
    """Header names in lower case."""
    lines = heard.head.split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}


def body(heard: Heard) -> dict[str, Any]:
    return dict(json.loads(heard.body))


def seconds_later(seconds: float) -> Callable[[Time], datetime]:
    """A clock of ours that is off by so much."""
    return lambda time: time.utc() + timedelta(seconds=seconds)
