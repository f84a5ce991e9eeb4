"""What the private streams of all simulated venues share: who is told what, time that passes, faults, slow readers."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
from simulator_client import FakeClock, MemoryClient

from copytrade.simulator.kraken import KrakenSimulator
from copytrade.simulator.orders import CLOSED, OPEN, NewOrder
from copytrade.simulator.server import SimulatorServer
from copytrade.simulator.storage import Store
from copytrade.simulator.streams import WAITING_MAX, Change, Subscription

WAIT_S = 10.0
START_S = 1_700_000_000.0


def make_venue(**settings: object) -> KrakenSimulator:
    venue = KrakenSimulator(**{"volatility": 0.0, "spread": Decimal(0), "rate_limits": False, **settings})
    venue.set_price("BTC/USD", Decimal(50_000))
    venue.add_account("alice_smith", {"USD": Decimal(10_000), "BTC": Decimal(1)})
    return venue


def submit(venue: KrakenSimulator, side: str = "buy", **values: object):
    with venue.lock:
        venue.exchange.advance(venue.clock())
        return venue.exchange.submit(NewOrder("alice_smith", "BTC/USD", side, Decimal("0.001"), **values))


def follow(venue: KrakenSimulator) -> Subscription:
    return venue.books.streams.subscribe("alice_smith")


def told(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.event, change.order.status) for change in changes]


@asynccontextmanager
async def listening(venue: KrakenSimulator):
    """A client that follows alice's executions, by a WebSocket library of its own."""
    async with SimulatorServer([venue]) as server, aiohttp.ClientSession() as session:
        token = MemoryClient(venue, venue.add_account("alice_smith")).ok("GetWebSocketsToken")["token"]
        async with session.ws_connect(server.url("kraken").replace("http", "ws") + "/v2") as socket:
            params = {"channel": "executions", "token": token, "snap_orders": False}
            await socket.send_json({"method": "subscribe", "params": params})
            yield socket


async def up(venue: KrakenSimulator) -> None:
    async with asyncio.timeout(WAIT_S):
        while not venue.listeners():
            await asyncio.sleep(0.01)


async def heard(socket: aiohttp.ClientWebSocketResponse, exec_type: str) -> dict:
    async with asyncio.timeout(WAIT_S):
        async for message in socket:
            for report in json.loads(message.data).get("data", ()):
                if report.get("exec_type") == exec_type:
                    return report
    raise AssertionError(f"the stream ended without {exec_type}")


async def silence(socket: aiohttp.ClientWebSocketResponse, seconds: float) -> None:
    """Read for so long; raises `TimeoutError` unless the connection ends."""
    async with asyncio.timeout(seconds):
        while True:
            await socket.receive()


async def ended(socket: aiohttp.ClientWebSocketResponse) -> list[str]:
    """Everything until the connection ends."""
    async with asyncio.timeout(WAIT_S):
        return [message.data async for message in socket if message.type is aiohttp.WSMsgType.TEXT]


def test_every_change_is_told_in_order_with_the_order_as_it_was_then():
    clock = FakeClock()
    venue = make_venue(clock=clock)
    stream = follow(venue)
    order = submit(venue, "sell", trigger="stop", stop_price=Decimal(48_000))
    venue.set_price("BTC/USD", Decimal(47_900))
    changes = stream.take()
    assert told(changes) == [("new", OPEN), ("triggered", OPEN), ("fill", CLOSED), ("closed", CLOSED)]
    new, triggered, fill, closed = changes
    assert (new.order.triggered_at_s, new.order.filled, new.order.fills) == (None, 0, [])
    assert triggered.order.triggered_at_s is not None
    assert (fill.order.filled, fill.fill.volume, fill.fill.price) == (order.volume, order.volume, Decimal(47_900))
    assert closed.order.closed_at_s is not None
    assert stream.take() == []


def test_of_several_trades_the_last_one_alone_closes_the_order():
    venue = make_venue(clock=FakeClock(), fill_parts=2)
    stream = follow(venue)
    submit(venue)
    venue.accounts()
    assert told(stream.take()) == [("new", OPEN), ("fill", OPEN), ("fill", CLOSED), ("closed", CLOSED)]


def test_amending_and_cancelling_are_told():
    venue = make_venue(clock=FakeClock())
    stream = follow(venue)
    order = submit(venue, limit_price=Decimal(40_000))
    venue.accounts()
    with venue.lock:
        venue.exchange.amend(order, None, Decimal(41_000))
        venue.exchange.cancel(order)
    changes = stream.take()
    assert told(changes) == [("new", OPEN), ("amended", OPEN), ("closed", "canceled")]
    assert [change.order.limit_price for change in changes] == [40_000, 41_000, 41_000]


def test_nobody_hears_of_others_nor_of_what_is_hidden_nor_after_leaving():
    venue = make_venue(clock=FakeClock())
    venue.add_account("bob_jones", {"USD": Decimal(1000)})
    theirs, mine = venue.books.streams.subscribe("bob_jones"), follow(venue)
    submit(venue)
    assert [each.event for each in mine.take()] == ["new"]
    with venue.lock:
        venue.exchange.submit(NewOrder("alice_smith", "BTC/USD", "buy", Decimal("0.001")), hidden_s=60)
    venue.accounts()
    assert {change.order.arrival for change in mine.take()} == {1}
    assert venue.listeners() == {"alice_smith": 1, "bob_jones": 1}
    venue.books.streams.unsubscribe(mine)
    venue.books.streams.unsubscribe(mine)
    submit(venue)
    assert (mine.take(), theirs.take(), venue.listeners()) == ([], [], {"bob_jones": 1})


def test_subscription_that_is_not_read_is_full_and_says_so():
    stream = Subscription("alice_smith", waiting_max=2)
    venue = make_venue(clock=FakeClock())
    order = submit(venue)
    for _ in range(3):
        stream.put(Change("new", order, None, START_S))
    assert stream.overflowed
    assert len(stream.take()) == 2


async def test_time_passes_while_somebody_listens():
    """A fill comes due half a second after the order; nobody asks for anything, and it is told."""
    venue = make_venue(fill_delay_ms=300)
    async with listening(venue) as socket:
        await up(venue)
        order = submit(venue)
        report = await heard(socket, "filled")
        assert report["order_id"] == order.order_id
        assert order.status == CLOSED


async def test_what_is_told_is_on_file(tmp_path: Path):
    venue = make_venue(store=tmp_path / "kraken.sqlite")
    async with listening(venue) as socket:
        await up(venue)
        order = submit(venue)
        await heard(socket, "filled")
        store = Store(tmp_path / "kraken.sqlite")
        records = dict(store.load("order"))
        assert records[order.arrival]["status"] == CLOSED
        store.close()
    venue.close()


async def test_listener_that_falls_behind_is_disconnected():
    venue = make_venue()
    async with listening(venue) as socket:
        await up(venue)
        with venue.lock:  # the server cannot pass anything on meanwhile
            for _ in range(WAITING_MAX + 1):
                venue.exchange.submit(NewOrder("alice_smith", "BTC/USD", "buy", Decimal("0.0001"), Decimal(100)))
        await ended(socket)
    assert venue.listeners() == {}


async def test_a_path_without_a_stream_is_not_found():
    async with SimulatorServer([make_venue()]) as server, aiohttp.ClientSession() as session:
        url = server.url("kraken").replace("http", "ws")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url + "/v3")
        assert refused.value.status == 404


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("stream_skip", ["trade", "filled"]),
        ("stream_repeat", ["pending_new", "new", "pending_new", "new", "trade", "filled"]),
        ("stream_garbage", ["garbage", "trade", "filled"]),
    ],
)
async def test_faults_strike_one_event(kind: str, expected: list[str]):
    venue = make_venue()
    async with listening(venue) as socket:
        await up(venue)
        venue.add_fault(kind, count=1)
        submit(venue)
        kinds = []
        async with asyncio.timeout(WAIT_S):
            while "filled" not in kinds:
                text = (await socket.receive()).data
                try:
                    message = json.loads(text)
                    kinds += [report["exec_type"] for report in message["data"]] if "sequence" in message else []
                except ValueError:
                    kinds.append("garbage")
    assert kinds == expected
    assert venue.requests()["faults_struck"] == {kind: 1}


async def test_silence_keeps_the_connection_and_says_nothing_and_a_drop_ends_it():
    venue = make_venue(heartbeat_s=0.1)
    async with listening(venue) as socket:
        await up(venue)
        venue.add_fault("stream_silent", count=1)
        while venue.faults.all():
            await asyncio.sleep(0.01)
        with pytest.raises(TimeoutError):  # what had left before is read first
            await silence(socket, 0.6)
        submit(venue)
        await socket.ping()
        assert venue.listeners() == {"alice_smith": 1}
        venue.add_fault("stream_drop", count=1)
        assert not any("pending_new" in text for text in await ended(socket))


def test_streams_and_calls_have_faults_of_their_own():
    venue = make_venue(clock=FakeClock())
    venue.add_fault("stream_drop")
    assert venue.faults.strike("AddOrder", "alice_smith", None) == []
    venue.clear_faults()
    venue.add_fault("drop")
    assert venue.faults.strike_stream(("stream_drop", "stream_silent"), "alice_smith") is None
    venue.clear_faults()
    venue.add_fault("stream_drop", account="bob_jones", count=1)
    assert venue.faults.strike_stream(("stream_drop",), "alice_smith") is None
    assert venue.faults.strike_stream(("stream_drop",), "bob_jones") is not None
    assert venue.fault_list() == []
