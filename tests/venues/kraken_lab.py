"""What the tests of the Kraken adapter share: the simulated venue around real parts, a server that says anything."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from copytrade.domain.account import AccountId
from copytrade.domain.ids import fact_id
from copytrade.domain.instrument import Instrument
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import Effect, OrderKind, Side
from copytrade.domain.venue import OrderTicket
from copytrade.ledger.nonces import NonceStore
from copytrade.simulator.faults import Fault
from copytrade.simulator.kraken.venue import KrakenSimulator
from copytrade.simulator.server import SimulatorServer
from copytrade.venues.kraken.account import KrakenAccount
from copytrade.venues.kraken.options import KrakenOptions
from copytrade.venues.kraken.public import KrakenVenue

ALICE = AccountId("kraken:alice_smith")
# The example secret of Kraken's documentation.
SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="

BTC_USD = Instrument(
    venue="kraken", symbol="BTC/USD", base="BTC", quote="USD", venue_symbol="XBTUSD",
    lot_step=Decimal("1E-8"), tick=Decimal("0.1"), min_quantity=Quantity.of("0.00005"), min_cost=Amount.of("0.5"),
)  # fmt: skip


def utc_now() -> datetime:
    return datetime.now(UTC)


def open_gate() -> None:
    """A gate that lets everything through."""


@dataclass
class Nonces:
    """A nonce source of the port's shape that remembers what it handed out."""

    last: int = 1_700_000_000_000
    handed: list[int] = field(default_factory=list)
    jumps: list[int] = field(default_factory=list)

    def next(self) -> int:
        self.last += 1
        self.handed.append(self.last)
        return self.last

    def jump(self, ahead_ms: int) -> int:
        self.jumps.append(ahead_ms)
        self.last += ahead_ms
        return self.last + 1

    def raise_to(self, nonce: int) -> None:
        self.last = max(self.last, nonce)


class Time:
    """A clock that moves when it is told, or when somebody sleeps on it."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def utc(self) -> datetime:
        """The real time, further on by what was slept here."""
        return utc_now() + timedelta(seconds=self.now_s - 1_000.0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


def ticket(
    name: str = "one",
    *,
    side: Side = Side.BUY,
    quantity: str = "0.001",
    limit: str | None = None,
    account: AccountId = ALICE,
    instrument: Instrument = BTC_USD,
) -> OrderTicket:
    return OrderTicket(
        order_id=fact_id("test", account, name),
        account=account,
        instrument=instrument,
        side=side,
        effect=Effect.ENTRY if side is Side.BUY else Effect.EXIT,
        kind=OrderKind.MARKET if limit is None else OrderKind.IOC_LIMIT,
        quantity=Quantity.of(quantity),
        limit_price=None if limit is None else Price.of(limit),
    )


# Fast where a test waits for a limit on purpose; the simulated venue has no public limit.
OPTIONS = KrakenOptions(
    tier="intermediate", request_timeout_s=5.0, read_total_s=20.0, public_calls_per_s=None, max_connections=20
)


@dataclass
class Lab:
    """The simulated Kraken, our adapter on it, and one account of each."""

    sim: KrakenSimulator
    url: str
    venue: KrakenVenue
    account: KrakenAccount
    nonces: NonceStore
    time: Time
    secret: str
    key: str

    def fault(self, kind: str, **settings: Any) -> None:
        self.sim.faults.add(Fault(kind, **settings))

    passing_error = "EService:Unavailable"

    def order(self, name: str = "one", **settings: Any) -> OrderTicket:
        return ticket(name, **settings)

    def orders(self) -> list[dict[str, Any]]:
        return self.sim.orders()


@asynccontextmanager
async def kraken_lab(directory: Path, options: KrakenOptions = OPTIONS, **settings: Any) -> AsyncIterator[Lab]:
    permissions = settings.pop("permissions", None)
    time = settings.pop("time", None) or Time()
    settings.setdefault("clock", lambda: time.utc().timestamp())
    sim = KrakenSimulator(volatility=0.0, spread=Decimal(0), **settings)
    sim.set_price("BTC/USD", Decimal(50_000))
    keys = sim.add_account("alice_smith", {"USD": Decimal(10_000), "BTC": Decimal(1)}, permissions=permissions)
    server = SimulatorServer([sim])
    await server.start()
    venue = KrakenVenue(
        server.url("kraken"), options, clock=time.utc, monotonic=time, rng=random.Random(7), sleep=time.sleep
    )
    nonces = NonceStore(directory, ALICE, keys.key)
    nonces.acquire()
    account = venue.connect_account(ALICE, keys.key, keys.secret, nonces)
    try:
        await venue.load_instruments()
        yield Lab(sim, server.url("kraken"), venue, account, nonces, time, keys.secret, keys.key)
    finally:
        await account.close()
        await venue.close()
        nonces.release()
        await server.stop()
        sim.close()


@dataclass
class Heard:
    """One request as it came over the wire."""

    head: str
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        from urllib.parse import parse_qsl

        return dict(parse_qsl(self.body.decode()))


class RawServer:
    """Takes whatever comes and answers each request with the next scripted bytes.

    A script entry is the raw answer, or None to close without one, or `hang` to stay silent. The last entry repeats.
    """

    hang = b"<hang>"

    def __init__(self, *script: bytes | None) -> None:
        self.script: list[bytes | None] = list(script)
        self.heard: list[Heard] = []
        self.bytes_in = 0
        self.opened = 0
        self.writers: set[asyncio.StreamWriter] = set()
        self.arrived = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> RawServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self.writers:
            writer.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.opened += 1
        self.writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.decode().lower().partition("content-length:")[2].partition("\r\n")[0]
                body = await reader.readexactly(int(length or 0))
                self.bytes_in += len(head) + len(body)
                self.heard.append(Heard(head.decode(), body))
                self.arrived.set()
                answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if answer is None:
                    return
                if answer == self.hang:
                    await asyncio.Event().wait()
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.writers.discard(writer)
            self._tasks.discard(task)


def http(body: bytes | str | dict[str, Any], status: str = "200 OK", headers: str = "") -> bytes:
    raw = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(raw)}\r\n{headers}\r\n".encode() + raw


def accepted(txid: str = "OAAAAA-BBBBB-CCCCCC") -> bytes:
    return http({"error": [], "result": {"descr": {"order": "buy 0.001 XBTUSD @ market"}, "txid": [txid]}})


def refused(*errors: str) -> bytes:
    return http({"error": list(errors)})


@asynccontextmanager
async def at_raw_server(
    *script: bytes | None, options: KrakenOptions = OPTIONS
) -> AsyncIterator[tuple[RawServer, KrakenAccount, Nonces]]:
    """A Kraken account whose venue says what the script says."""
    async with RawServer(*script) as server:
        time = Time()
        venue = KrakenVenue(server.url, options, clock=utc_now, monotonic=time, rng=random.Random(7), sleep=time.sleep)
        nonces = Nonces()
        try:
            yield server, venue.connect_account(ALICE, "key-of-alice", SECRET, nonces), nonces
        finally:
            await venue.close()


def counting_gate(stop_at: int | None, stop: Exception) -> tuple[Callable[[], None], list[int]]:
    """A gate that raises at its `stop_at`th call (from 1), and the list of its calls."""
    calls: list[int] = []

    def gate() -> None:
        calls.append(len(calls) + 1)
        if stop_at is not None and len(calls) >= stop_at:
            raise stop

    return gate, calls


def numbers(start: int = 0) -> Iterator[int]:
    while True:
        yield start
        start += 1
