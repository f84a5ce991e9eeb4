"""OKX's private streams: orders as they change, over two WebSockets that are one stream to whoever reads it.

Ordinary orders come over `/ws/v5/private` (channel `orders`), waiting ones over `/ws/v5/business` (`orders-algo`); OKX
refuses either channel at the other address (codes 64001, 64002). Both begin with a login, neither tells what was there
before. A link on which nothing passes for 30 s is cut, so silence is answered with the text `ping`, and OKX answers
that with `pong`.

Source: OKX v5, "WebSocket" (login, subscribe, notification), "Order channel", "Algo orders channel".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import aiohttp

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueUnavailable
from copytrade.domain.venue import VenueOrder
from copytrade.venues.okx.orders import rows

PRIVATE, BUSINESS = "/ws/v5/private", "/ws/v5/business"
ORDERS, ALGOS = "orders", "orders-algo"
CHANNELS = ((PRIVATE, ORDERS), (BUSINESS, ALGOS))
# One message holds one order, of some 2 kB; many times that is no message of OKX's.
MESSAGE_MAX_BYTES = 1_000_000
# Messages that wait to be worked on. Beyond that nothing is read, and OKX cuts the link to a reader that is too slow.
WAITING_MAX = 1_000
_TEXT_MAX = 200
# Codes of a login that fails for good: key, signature or passphrase. Those of one with a wrong time.
_BAD_KEY = frozenset({"60005", "60007", "60024", "60032"})
_BAD_TIME = frozenset({"60004", "60006"})
_CLOSING = frozenset({aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED})
_decoder = json.JSONDecoder(parse_float=Decimal)

Row = Mapping[str, Any]
Read = Callable[[str, Row], Awaitable[tuple[VenueOrder | None, ...]]]
"""What a message of a channel says: orders, None for "something changed, look for yourself", or nothing."""


class OrderStream:
    """The stream of one account, for one run.

    Args:
        account: whose it is, for messages.
        origin: scheme, host and port, such as `wss://ws.okx.com:8443`.
        login: makes the message that logs in; it holds the key and is never logged.
        read: turns a channel's entry into orders.
        silence_s: after so long without a word OKX is asked for one, and has as long again.
        timeout_s: for connecting, logging in and subscribing.
        turn: waits until a connection may be opened.
        headers: for the opening request.
        doubt_clock: called when OKX found the time of the login wrong.
    """

    def __init__(
        self,
        account: str,
        origin: str,
        login: Callable[[], Mapping[str, Any]],
        read: Read,
        *,
        silence_s: float,
        timeout_s: float,
        turn: Callable[[], Awaitable[None]],
        headers: Mapping[str, str],
        doubt_clock: Callable[[], None],
    ) -> None:
        self._account = account
        self._origin = origin
        self._login = login
        self._read = read
        self._silence_s = silence_s
        self._timeout_s = timeout_s
        self._turn = turn
        self._headers = headers
        self._doubt_clock = doubt_clock

    async def run(self) -> AsyncIterator[VenueOrder | None]:
        """None once both channels are up, then orders. Raises `VenueError`; closing it closes the connections."""
        heard: asyncio.Queue[VenueError | tuple[str, Row | None]] = asyncio.Queue(WAITING_MAX)
        # No proxy and no .netrc from the environment, as everywhere else.
        async with aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
            links = [asyncio.create_task(self._link(session, path, channel, heard)) for path, channel in CHANNELS]
            down = {channel for _, channel in CHANNELS}
            try:
                while True:
                    item = await heard.get()
                    if isinstance(item, VenueError):
                        raise item
                    channel, row = item
                    if row is None:
                        down.discard(channel)
                        if not down:
                            yield None
                        continue
                    for order in await self._read(channel, row):
                        yield order
            finally:
                for link in links:
                    link.cancel()
                await asyncio.gather(*links, return_exceptions=True)

    # -- one connection ----------------------------------------------------------------------------------------

    async def _link(
        self,
        session: aiohttp.ClientSession,
        path: str,
        channel: str,
        heard: asyncio.Queue[VenueError | tuple[str, Row | None]],
    ) -> None:
        """Hand on what comes over one connection, and at last why no more does."""
        try:
            await self._turn()
            async with contextlib.AsyncExitStack() as stack:
                async with asyncio.timeout(self._timeout_s):
                    socket = await stack.enter_async_context(
                        session.ws_connect(
                            self._origin + path, headers=self._headers, autoclose=True, autoping=True,
                            max_msg_size=MESSAGE_MAX_BYTES,
                        )
                    )  # fmt: skip
                    await self._subscribe(socket, channel)
                await heard.put((channel, None))
                while True:
                    for row in self._rows(await self._next(socket), channel):
                        await heard.put((channel, row))
        except VenueError as error:
            found: VenueError = error
        except TimeoutError:
            found = VenueUnavailable(f"{self._account}: OKX's stream {path} did not come up in {self._timeout_s:g} s")
        except Exception as error:
            # The text of a client's error may hold the request; its kind says enough.
            found = VenueUnavailable(f"{self._account}: OKX's stream {path} broke: {type(error).__name__}")
        await heard.put(found)

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse, channel: str) -> None:
        await socket.send_json(self._login())
        await self._answer(socket, "login", channel)
        await socket.send_json({"op": "subscribe", "args": [{"channel": channel, "instType": "SPOT"}]})
        await self._answer(socket, "subscribe", channel)

    async def _answer(self, socket: aiohttp.ClientWebSocketResponse, event: str, channel: str) -> None:
        while True:
            message = await self._next(socket)
            if message.get("event") == event:
                if event == "login" and message.get("code") != "0":
                    raise self._refusal(message)
                if event == "subscribe" and _channel(message) != channel:
                    raise VenueUnavailable(f"{self._account}: OKX's stream confirms a channel that was not asked for")
                return
            for _ in self._rows(message, channel):
                raise VenueUnavailable(f"{self._account}: OKX's stream tells orders before it confirmed {event}")

    async def _next(self, socket: aiohttp.ClientWebSocketResponse) -> Mapping[str, Any]:
        """The next message. Raises `VenueUnavailable` on silence, at the end, and for what is no message."""
        asked = False
        while True:
            try:
                message = await socket.receive(timeout=self._silence_s)
            except TimeoutError:
                if asked:
                    break
                asked = True
                await socket.send_str("ping")
                continue
            if message.type in _CLOSING:
                raise VenueUnavailable(f"{self._account}: OKX closed the stream (code {socket.close_code})")
            if message.type is not aiohttp.WSMsgType.TEXT:
                raise VenueUnavailable(f"{self._account}: OKX's stream broke ({message.type.name})")
            if message.data == "pong":
                asked = False
                continue
            return self._decoded(message.data)
        raise VenueUnavailable(f"{self._account}: OKX's stream is silent and does not answer a ping")

    def _decoded(self, text: str) -> Mapping[str, Any]:
        try:
            message = _decoder.decode(text)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise VenueUnavailable(f"{self._account}: OKX's stream says something that is not its protocol")
        return message

    def _rows(self, message: Mapping[str, Any], channel: str) -> list[Row]:
        """The entries of a push, none for an event. Raises `VenueError` for an error and for anything else."""
        event = message.get("event")
        if event in ("error", "channel-conn-count-error"):
            raise self._refusal(message)
        if event == "notice":  # "The connection will soon be closed for a service upgrade. Please reconnect."
            raise VenueUnavailable(f"{self._account}: OKX is about to close the stream: {_words(message)}")
        if isinstance(event, str):
            return []
        data = message.get("data")
        if _channel(message) != channel or not isinstance(data, list):
            raise VenueUnavailable(f"{self._account}: OKX's stream says something that is not its protocol")
        return list(rows(data, "orders"))

    def _refusal(self, message: Mapping[str, Any]) -> VenueError:
        code = message.get("code")
        said = f"{self._account}: OKX refuses the stream of orders: {_words(message)}"
        if code in _BAD_KEY:
            return CredentialsRejected(f"{said}. Check key, secret and passphrase, and whether they are live or demo")
        if code in _BAD_TIME:
            self._doubt_clock()
        return VenueUnavailable(said)


def _channel(message: Mapping[str, Any]) -> Any:
    arg = message.get("arg")
    return arg.get("channel") if isinstance(arg, dict) else None


def _words(message: Mapping[str, Any]) -> str:
    return f"{message.get('code', message.get('event'))} {message.get('msg', '')}"[:_TEXT_MAX]
