"""Kraken's private WebSocket, version 2: one connection to the channel `executions`.

Sources: docs.kraken.com, "Executions", "Heartbeat" and "Ping" of the WebSocket API v2, and "WebSocket authentication":
a token is used within 15 minutes, and the subscription then lasts as long as the connection. Messages of the channel
are numbered. Heartbeats come about once a second while nothing else does; should they not, a ping asks for a sign of
life.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

import aiohttp

from copytrade.domain.errors import CredentialsRejected, VenueUnavailable

PATH = "/v2"
_TEXT_MAX = 200
_CLOSE_S = 0.5  # how long the venue has to say goodbye
_SUBSCRIBE, _PING = 1, 2  # numbers of our requests


class Report(NamedTuple):
    """One execution report. `live` is False for one of the snapshot, which tells what was so before."""

    fields: Mapping[str, Any]
    live: bool


class Up(NamedTuple):
    """The stream is up: every change from now on is told."""


class ExecutionsSocket:
    """One connection; not to be used twice. `open_s` and `silence_s` are the longest waits."""

    def __init__(self, url: str, token: str, *, open_s: float, silence_s: float, message_max_bytes: int) -> None:
        self._url = url
        self._token = token
        self._open_s = open_s
        self._silence_s = silence_s
        self._message_max_bytes = message_max_bytes
        self._sequence: int | None = None

    def __repr__(self) -> str:
        return f"ExecutionsSocket({self._url!r})"

    async def reports(self) -> AsyncGenerator[Up | Report, None]:
        """Raises `VenueUnavailable` when the connection breaks, goes silent, leaves a message out or tells what cannot
        be understood, and `CredentialsRejected` when the key may not listen.
        """
        session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False)
        socket = None
        try:
            socket = await self._connect(session)
            up = False
            while True:
                message = await self._next(socket)
                if not up and message.get("method") == "subscribe":
                    self._check_subscribed(message)
                    up = True
                    yield Up()
                elif "error" in message and message.get("success") is not True:
                    raise VenueUnavailable(f"Kraken's stream of orders says: {message['error']!s:.{_TEXT_MAX}}")
                elif message.get("channel") == "executions":
                    for report in self._executions(message):
                        yield report
        finally:
            try:
                if socket is not None:
                    await socket.close()
            finally:  # also when the goodbye is cut short
                await session.close()

    async def _connect(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        params = {"channel": "executions", "token": self._token, "snap_orders": True, "snap_trades": False}
        try:
            async with asyncio.timeout(self._open_s):
                socket = await session.ws_connect(
                    self._url,
                    max_msg_size=self._message_max_bytes,
                    headers={"User-Agent": "copytrade"},
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
                )
                await socket.send_json({"method": "subscribe", "params": params, "req_id": _SUBSCRIBE})
                return socket
        except TimeoutError:
            why = "no answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = type(error).__name__
        raise VenueUnavailable(f"Kraken's stream of orders cannot be opened: {why}")

    async def _next(self, socket: aiohttp.ClientWebSocketResponse) -> Mapping[str, Any]:
        """The next message. When half of the longest silence has passed, a sign of life is asked for."""
        for ping in (True, False):
            try:
                async with asyncio.timeout(self._silence_s / 2):
                    return _read(await socket.receive())
            except TimeoutError:
                pass
            if ping:
                await self._ping(socket)
        raise VenueUnavailable(f"Kraken's stream of orders is silent for {self._silence_s:g} s and is given up")

    @staticmethod
    async def _ping(socket: aiohttp.ClientWebSocketResponse) -> None:
        with contextlib.suppress(aiohttp.ClientError, OSError):  # what is broken is told by the next read
            await socket.send_json({"method": "ping", "req_id": _PING})

    @staticmethod
    def _check_subscribed(answer: Mapping[str, Any]) -> None:
        if answer.get("success") is True:
            return
        error = f"{answer.get('error')!s:.{_TEXT_MAX}}"
        if "Permission denied" in error:
            raise CredentialsRejected(
                f"Kraken refuses the stream of orders: {error}. Give the API key the permissions query-open-trades and "
                "query-closed-trades at kraken.com"
            )
        raise VenueUnavailable(f"Kraken refuses the stream of orders: {error}")

    def _executions(self, message: Mapping[str, Any]) -> list[Report]:
        """The reports of one message; none of a message that came before."""
        sequence, data = message.get("sequence"), message.get("data")
        if not isinstance(data, list) or not all(isinstance(report, dict) for report in data):
            raise VenueUnavailable("Kraken's stream of orders told executions that are no list of reports")
        if type(sequence) is int:
            last = self._sequence
            if last is not None and sequence <= last:
                return []
            if last is not None and sequence > last + 1:
                missing = f"{last + 1} to {sequence - 1}"
                raise VenueUnavailable(f"messages {missing} of Kraken's stream of orders are missing")
            self._sequence = sequence
        return [Report(report, message.get("type") != "snapshot") for report in data]


def _read(message: aiohttp.WSMessage) -> Mapping[str, Any]:
    if message.type is not aiohttp.WSMsgType.TEXT:
        raise VenueUnavailable(f"Kraken's stream of orders ended ({message.type.name.lower()})")
    try:
        told = json.loads(message.data, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise VenueUnavailable("Kraken's stream of orders told something that is no JSON object")
    return told


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
