"""One connection to Kraken's private WebSocket: what it is asked, and what ends it."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from resting_base import WAIT_S

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueUnavailable
from copytrade.venues.kraken.socket import ExecutionsSocket, Report, Up

SUBSCRIBED = {"method": "subscribe", "success": True, "result": {"channel": "executions"}, "req_id": 1}


@asynccontextmanager
async def saying(*messages: Any, answers_pings: bool = False):
    """A server that waits for one request and then says these things; yields its URL and what it heard."""
    heard: list[Any] = []

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        heard.append(await socket.receive_json())
        for message in messages:
            if isinstance(message, bytes):
                await socket.send_bytes(message)
            else:
                await socket.send_str(message if isinstance(message, str) else json.dumps(message))
        async for message in socket:
            heard.append(message.json())
            if answers_pings:
                await socket.send_json({"method": "pong", "req_id": heard[-1]["req_id"]})
        return socket

    app = web.Application()
    app.router.add_get("/v2", serve)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/v2", heard
    finally:
        await runner.cleanup()


def socket_at(url: str, silence_s: float = 5.0) -> ExecutionsSocket:
    return ExecutionsSocket(url, "the-token", open_s=2.0, silence_s=silence_s, message_max_bytes=100_000)


async def everything(socket: ExecutionsSocket) -> list[Up | Report]:
    """What the socket tells until it raises."""
    heard: list[Up | Report] = []
    with pytest.raises(VenueError) as error:
        await keep(heard, socket)
    assert "the-token" not in str(error.value) + repr(error.value.__context__) + repr(socket)
    return heard


async def keep(heard: list[Up | Report], socket: ExecutionsSocket) -> None:
    async with asyncio.timeout(WAIT_S), aclosing(socket.reports()) as reports:
        async for report in reports:
            heard.append(report)


def executions(sequence: int | None, *ids: str, kind: str = "update") -> dict[str, Any]:
    message = {"channel": "executions", "type": kind, "data": [{"order_id": each} for each in ids]}
    return message if sequence is None else {**message, "sequence": sequence}


async def test_subscribes_with_its_token_and_tells_snapshot_and_changes_apart():
    messages = (
        {"channel": "status", "type": "update", "data": [{"system": "online"}]}, SUBSCRIBED,
        executions(1, "OA", kind="snapshot"), {"channel": "heartbeat"}, executions(2, "OB", "OC"), "end",
    )  # fmt: skip
    async with saying(*messages) as (url, heard):
        told = await everything(socket_at(url))
        assert told == [
            Up(), Report({"order_id": "OA"}, False), Report({"order_id": "OB"}, True), Report({"order_id": "OC"}, True),
        ]  # fmt: skip
        assert heard[0]["params"]["token"] == "the-token"
        assert (heard[0]["method"], heard[0]["params"]["channel"]) == ("subscribe", "executions")


async def test_a_message_that_came_before_is_passed_over_and_one_that_is_missing_an_error():
    async with saying(SUBSCRIBED, executions(4, "OA"), executions(4, "OA"), executions(6, "OB")) as (url, _):
        assert await everything(socket_at(url)) == [Up(), Report({"order_id": "OA"}, True)]


async def test_messages_without_numbers_are_taken_as_they_come():
    async with saying(SUBSCRIBED, executions(None, "OA"), executions(None, "OB"), "end") as (url, _):
        assert len(await everything(socket_at(url))) == 3


@pytest.mark.parametrize(
    "message",
    [
        "{", "[]", "null", b"\x00", {"error": "Malformed request", "success": False}, "NaN", "[" * 5_000,
        {"channel": "executions", "data": {}}, {"channel": "executions", "data": [7]}, "x" * 200_000,
    ],
    ids=lambda message: str(message)[:30],
)  # fmt: skip
async def test_garbage_ends_the_stream(message):
    async with saying(SUBSCRIBED, message, executions(1, "OA")) as (url, _):
        assert await everything(socket_at(url)) == [Up()]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        ("ESession:Invalid session", VenueUnavailable), ("EGeneral:Permission denied", CredentialsRejected),
        ("EAPI:Rate limit exceeded", VenueUnavailable),
    ],
)  # fmt: skip
async def test_refused_subscription_is_told_with_its_reason(error, raised):
    answer = {"method": "subscribe", "success": False, "error": error, "req_id": 1}
    async with saying(answer) as (url, _), aclosing(socket_at(url).reports()) as reports:
        with pytest.raises(raised, match=error):
            await anext(reports)


async def test_silence_is_asked_about_before_it_ends_the_stream():
    async with saying(SUBSCRIBED) as (url, heard):
        assert await everything(socket_at(url, silence_s=0.4)) == [Up()]
        assert [each["method"] for each in heard] == ["subscribe", "ping"]


async def test_an_answer_to_the_ping_is_a_sign_of_life():
    async with saying(SUBSCRIBED, answers_pings=True) as (url, heard):
        async with aclosing(socket_at(url, silence_s=0.2).reports()) as reports:
            assert await anext(reports) == Up()
            waiting = asyncio.ensure_future(anext(reports))
            async with asyncio.timeout(WAIT_S):
                while len(heard) < 5:
                    await asyncio.sleep(0.01)
            assert not waiting.done()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert {each["method"] for each in heard[1:]} == {"ping"}


async def test_a_host_that_is_not_there_is_an_error():
    assert await everything(socket_at("ws://127.0.0.1:9/v2")) == []
