"""The wire: written once, stopped at the last look, and honest about whether anything left."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from kraken_lab import RawServer, counting_gate, http, utc_now

from copytrade.domain.errors import SendStopped
from copytrade.domain.reasons import Reason
from copytrade.venues.wire import Wire, WireFailure

STOP = SendStopped(Reason.KILL_SWITCH, "for the test")


async def send(wire: Wire, body: bytes = b"volume=1", **settings):
    async with wire.slot():
        return await wire.post("/0/private/AddOrder", body, {"API-Key": "key-of-alice", "API-Sign": "sig"}, **settings)


@pytest.fixture
async def wires():
    """Makes wires and closes them."""
    made: list[Wire] = []

    def make(url: str, **settings) -> Wire:
        made.append(Wire(url, clock=utc_now, **settings))
        return made[-1]

    yield make
    for wire in made:
        await wire.close()


async def test_body_arrives_as_it_was_signed_and_the_reply_comes_back(wires):
    async with RawServer(http("hello")) as server:
        reply = await send(wires(server.url), b"a=%2B1&nonce=7")
        assert (reply.status, reply.body, reply.too_big) == (200, b"hello", False)
        assert reply.sent_at <= reply.at
        assert server.heard[0].body == b"a=%2B1&nonce=7"
        assert "cookie" not in server.heard[0].head.lower()


@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "pooled connection"])
async def test_gate_stops_with_the_connection_open_and_nothing_written(wires, warm):
    async with RawServer(http("hello")) as server:
        wire = wires(server.url)
        if warm:
            assert await wire.warm(1) == 1
        gate, calls = counting_gate(1, STOP)
        with pytest.raises(SendStopped) as stopped:
            await send(wire, gate=gate)
        assert stopped.value is STOP
        assert calls == [1]
        assert server.bytes_in == 0
        # The connection was neither lost nor closed: the next request uses it.
        await send(wire)
        assert server.opened == 1
        assert server.bytes_in > 0


async def test_stopped_requests_leave_no_connection_behind(wires):
    async with RawServer(http("hello")) as server:
        wire = wires(server.url, max_connections=4)

        async def stopped() -> None:
            gate, _ = counting_gate(1, STOP)
            with pytest.raises(SendStopped):
                await send(wire, gate=gate)

        await asyncio.gather(*(stopped() for _ in range(40)))
        assert server.opened <= 4
        assert await wire.warm(4) == 4
        assert server.opened == 4


async def test_refused_connection_is_proof_that_nothing_left(wires):
    async with RawServer(http("hello")) as server:
        url = server.url
    gate, calls = counting_gate(None, STOP)
    with pytest.raises(WireFailure) as failure:
        await send(wires(url), gate=gate)
    assert failure.value.sent_at is None
    assert calls == []
    assert "cannot connect" in failure.value.detail


@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"], ids=["drop", "cut"])
async def test_lost_answer_may_have_left_and_is_not_sent_again(wires, answer):
    async with RawServer(answer) as server:
        if answer is not None:
            server.script = [answer, None]
        with pytest.raises(WireFailure) as failure:
            await send(wires(server.url, timeout_s=0.5))
        assert failure.value.sent_at is not None
        assert len(server.heard) == 1


async def test_silence_ends_at_the_total_deadline(wires):
    async with RawServer(RawServer.hang) as server:
        with pytest.raises(WireFailure) as failure:
            await send(wires(server.url, timeout_s=0.2))
        assert failure.value.sent_at is not None
        assert "in time" in failure.value.detail


async def test_failure_shows_no_header(wires):
    async with RawServer(b"nonsense\r\n\r\n") as server:
        with pytest.raises(WireFailure) as failure:
            await send(wires(server.url))
        assert failure.value.__cause__ is None
        assert failure.value.__context__ is None
        assert "key-of-alice" not in repr(failure.value) + str(failure.value)


async def test_cancelled_request_says_nothing_and_frees_its_slot(wires):
    async with RawServer(RawServer.hang) as server:
        wire = wires(server.url, max_connections=1)
        task = asyncio.create_task(send(wire))
        await server.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.script = [http("hello")]
        assert (await send(wire)).status == 200
        assert server.opened == 2  # the one with the unanswered request is not used again


@pytest.mark.parametrize("size", [99, 100, 101, 100_000])
async def test_body_is_read_up_to_the_cap(wires, size):
    async with RawServer(http(b"x" * size)) as server:
        reply = await send(wires(server.url, body_max_bytes=100))
        assert reply.too_big == (size > 100)
        assert reply.body == b"x" * min(size, 100)


async def test_body_in_many_pieces_is_whole(wires):
    chunks = b"".join(b"3\r\nabc\r\n" for _ in range(50)) + b"0\r\n\r\n"
    async with RawServer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks) as server:
        assert (await send(wires(server.url))).body == b"abc" * 50


async def test_compressed_body_stays_compressed(wires):
    bomb = gzip.compress(b"0" * 10_000_000)
    async with RawServer(http(bomb, headers="Content-Encoding: gzip\r\n")) as server:
        reply = await send(wires(server.url))
        assert reply.body == bomb


async def test_redirect_is_not_followed(wires):
    async with RawServer(http("", "302 Found", "Location: /elsewhere\r\n")) as server:
        assert (await send(wires(server.url))).status == 302
        assert len(server.heard) == 1


async def test_second_answer_does_not_answer_the_next_request(wires):
    """Two answers at once: the second lies on the connection and would be taken for the answer to the next order."""
    async with RawServer(http("first") + http("late"), http("second")) as server:
        wire = wires(server.url)
        assert (await send(wire)).body == b"first"
        assert (await send(wire)).body == b"second"
        assert server.opened == 2


async def test_answer_that_comes_unasked_on_an_idle_connection_answers_nothing(wires):
    async with RawServer(http("first"), http("second")) as server:
        wire = wires(server.url)
        assert (await send(wire)).body == b"first"
        for writer in server.writers:
            writer.write(http("unasked"))
            await writer.drain()
        for _ in range(20):  # turns of the loop, for the bytes to arrive
            await asyncio.sleep(0)
        assert (await send(wire)).body == b"second"


async def test_environment_proxy_is_not_used(wires):
    async with RawServer(http("hello")) as server, RawServer(http("proxy")) as proxy:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("http_proxy", proxy.url)
            environment.delenv("no_proxy", raising=False)
            assert (await send(wires(server.url))).body == b"hello"
        assert proxy.heard == []


async def test_connections_are_bounded(wires):
    async with RawServer(http("hello")) as server:
        wire = wires(server.url, max_connections=3)
        await asyncio.gather(*(send(wire) for _ in range(50)))
        assert len(server.heard) == 50
        assert server.opened <= 3


async def test_reads_leave_connections_to_orders(wires):
    async with RawServer(RawServer.hang) as server:
        wire = wires(server.url, max_connections=8)

        async def read() -> None:
            async with wire.read_slot():
                await wire.get("/0/public/Time", {})

        reads = [asyncio.create_task(read()) for _ in range(20)]
        while len(server.heard) < 2:
            await asyncio.sleep(0)
        server.script = [http("order")]
        assert (await send(wire)).body == b"order"
        for task in reads:
            task.cancel()
        await asyncio.gather(*reads, return_exceptions=True)


async def test_warming_sends_nothing_tops_up_and_is_used(wires):
    async with RawServer(http("hello")) as server:
        wire = wires(server.url, max_connections=10)
        assert await wire.warm(6) == 6
        assert await wire.warm(6) == 6
        assert (server.opened, server.bytes_in) == (6, 0)
        await asyncio.gather(*(send(wire) for _ in range(6)))
        assert server.opened == 6
        for writer in list(server.writers)[:2]:
            writer.close()
            await writer.wait_closed()
        for _ in range(20):
            await asyncio.sleep(0)
        assert await wire.warm(6) == 6
        assert server.opened == 8
        assert await wire.warm(100) == 10


async def test_warming_replaces_what_was_idle_for_too_long(wires):
    async with RawServer(http("hello")) as server:
        wire = wires(server.url, keepalive_s=0.05)
        assert await wire.warm(2) == 2
        await asyncio.sleep(0.1)
        assert await wire.warm(2) == 2
        assert server.opened == 4


async def test_warming_a_dead_host_does_not_raise(wires):
    async with RawServer(http("hello")) as server:
        url = server.url
    assert await wires(url).warm(3) == 0


async def test_closed_wire_sends_nothing():
    async with RawServer(http("hello")) as server:
        wire = Wire(server.url, clock=utc_now)
        await send(wire)
        await wire.close()
        with pytest.raises(WireFailure) as failure:
            await send(wire)
        assert failure.value.sent_at is None
        assert len(server.heard) == 1


@pytest.mark.parametrize("url", ["ftp://a", "https://key:secret@host", "https://host?x=1", "host"])
def test_base_url_is_an_origin(url):
    with pytest.raises(ValueError, match="base_url") as error:
        Wire(url, clock=utc_now)
    assert "secret" not in str(error.value)
