"""The private stream of one account: its orders as they change (`trade_updates`).

Source: docs.alpaca.markets, "Websocket streaming". Frames are binary JSON on the paper host and may be text elsewhere.
There is no sequence number and no replay, so whoever connects again has to read the orders once. Alpaca documents no
heartbeat of its own: we ping, and a connection that does not answer is dead.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from copytrade.domain.errors import CredentialsRejected, VenueUnavailable
from copytrade.venues.alpaca.orders import Order

PATH = "/stream"
TRADE_UPDATES = "trade_updates"
# The longest event is an order with its legs, some 5 kB.
MESSAGE_MAX_BYTES = 1_000_000
# How long the venue may take to say goodbye; nothing depends on it.
_CLOSE_S = 1.0


def stream_origin(base_url: str) -> str:
    """Where the stream is: at the trading API's own host, real, paper or simulated."""
    parts = urlsplit(base_url)
    return f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}"


def stream_session() -> aiohttp.ClientSession:
    """What streams are opened with: no proxy, cookie or password of the environment's, and no limit of connections."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        headers={"User-Agent": "copytrade"},
    )


class TradeUpdates:
    """One connection: open, log in, listen, read.

    Args:
        account: for messages.
        heartbeat_s: how often we ping; half of it without an answer is silence.
        answer_s: how long the answers to connecting, logging in and listening may take.
    """

    def __init__(self, account: str, heartbeat_s: float, answer_s: float) -> None:
        self._account = account
        self._heartbeat_s = heartbeat_s
        self._answer_s = answer_s

    async def events(
        self, session: aiohttp.ClientSession, url: str, login: Mapping[str, str]
    ) -> AsyncGenerator[Order | None, None]:
        """None once it listens, then the order of each event. Raises `VenueError` when it breaks."""
        failure = ""
        try:
            async with asyncio.timeout(self._answer_s):
                socket = await session.ws_connect(
                    url,
                    heartbeat=self._heartbeat_s,
                    max_msg_size=MESSAGE_MAX_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
                )
            try:
                async with asyncio.timeout(self._answer_s):
                    await self._log_in(socket, login)
                yield None
                async for event in self._read(socket):
                    yield event
            finally:
                await socket.close()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            failure = _words(error)
        # Raised out here, so that it has none of the client's exceptions, with their headers, as its context.
        raise VenueUnavailable(f"{self._account}: Alpaca's stream of orders broke: {failure or 'it was closed'}")

    async def _log_in(self, socket: aiohttp.ClientWebSocketResponse, login: Mapping[str, str]) -> None:
        await socket.send_json({"action": "authenticate", "data": dict(login)})
        answer = await self._answer(socket, "authorization")
        if answer.get("status") != "authorized":
            raise CredentialsRejected(
                f"{self._account}: Alpaca's stream refuses the key ({answer.get('status')!s:.60}). Check key and "
                "secret; keys of a paper account work at https://paper-api.alpaca.markets alone "
                "(venues.alpaca.base_url)"
            )
        await socket.send_json({"action": "listen", "data": {"streams": [TRADE_UPDATES]}})
        streams = (await self._answer(socket, "listening")).get("streams")
        if not isinstance(streams, list) or TRADE_UPDATES not in streams:
            raise VenueUnavailable(f"{self._account}: Alpaca does not let the key listen to its orders")

    async def _answer(self, socket: aiohttp.ClientWebSocketResponse, stream: str) -> Mapping[str, Any]:
        message = self._message(await socket.receive())
        if message is None:
            raise VenueUnavailable(f"{self._account}: Alpaca closed the stream of orders while it was being opened")
        if message.get("stream") == "authorization" != stream:
            raise CredentialsRejected(f"{self._account}: Alpaca's stream does not accept the key for its orders")
        data = message.get("data")
        if message.get("stream") != stream or not isinstance(data, dict):
            raise VenueUnavailable(f"{self._account}: Alpaca's stream answers with something else than {stream}")
        return data

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> AsyncGenerator[Order, None]:
        while True:
            message = self._message(await socket.receive())
            if message is None:
                raise VenueUnavailable(
                    f"{self._account}: Alpaca's stream of orders ended "
                    f"({'no answer to a ping' if isinstance(socket.exception(), TimeoutError) else socket.close_code})"
                )
            if message.get("stream") == "authorization":
                raise CredentialsRejected(f"{self._account}: Alpaca's stream does not accept the key any more")
            if message.get("stream") != TRADE_UPDATES:
                continue
            data = message.get("data")
            order = data.get("order") if isinstance(data, dict) else None
            if not isinstance(order, dict):
                raise VenueUnavailable(f"{self._account}: Alpaca's stream tells of an event without an order")
            yield order

    def _message(self, frame: aiohttp.WSMessage) -> Mapping[str, Any] | None:
        """The object in a frame; None when the stream is over. Raises `VenueUnavailable` for anything else."""
        if frame.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            return None
        try:
            message = json.loads(frame.data, parse_float=Decimal)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise VenueUnavailable(f"{self._account}: Alpaca's stream sends what is no JSON object")
        return message


def _words(error: Exception) -> str:
    """What went wrong, without anything of the request in it."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return f"HTTP {error.status} instead of a stream"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}"
    return type(error).__name__
