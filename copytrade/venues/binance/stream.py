"""The private stream of one account: the events of Binance's WebSocket API, as they come.

Source: Binance's WebSocket API page. A connection asks for an account's events with a signed request of its own
(`userDataStream.subscribe.signature`, for keys of any kind; the older way by listen keys ended in 2026), and is told
its subscription. Nothing is told of what was before, and events have no numbers. Binance pings every 20 s, wants an
answer within a minute, and closes a connection after a day.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from decimal import Decimal
from typing import Any, NoReturn

import aiohttp

from copytrade.domain.errors import VenueError, VenueUnavailable
from copytrade.venues.binance.envelope import Fault

PATH = "/ws-api/v3"
SUBSCRIBE = "userDataStream.subscribe.signature"
_REQUEST_ID = "stream"
# One event has some 1 kB; many times that is none.
_MESSAGE_MAX_BYTES = 1_000_000
# The last words before a connection ends; `serverShutdown` comes ten minutes ahead.
_ENDS = frozenset({"eventStreamTerminated", "serverShutdown"})
_CLOSING = frozenset({aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED})

Event = Mapping[str, Any]


class UserStream:
    """One connection; not to be used twice.

    Args:
        account: whose it is, for messages.
        url: where the WebSocket API is.
        subscription: makes the signed parameters of the request; they hold the key and are never logged.
        refused: what to raise for Binance's error to it.
        ping_s: after so long without a word Binance is pinged, and has as long again to answer.
        up_s: how long connecting and subscribing may take.
    """

    def __init__(
        self,
        account: str,
        url: str,
        subscription: Callable[[], Mapping[str, str | int]],
        refused: Callable[[Fault], VenueError],
        *,
        ping_s: float,
        up_s: float,
    ) -> None:
        self._account = account
        self._url = url
        self._subscription = subscription
        self._refused = refused
        self._ping_s = ping_s
        self._up_s = up_s

    async def events(self) -> AsyncGenerator[Event | None, None]:
        """None once Binance has confirmed the subscription, then every event. Raises `VenueError`.

        Closing it closes the connection.
        """
        failure = ""
        try:
            # No proxy and no .netrc from the environment, as everywhere else.
            async with (
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session,
                await self._connected(session) as socket,
                aclosing(self._messages(socket)) as messages,
            ):
                async with asyncio.timeout(self._up_s):
                    await socket.send_json({"id": _REQUEST_ID, "method": SUBSCRIBE, "params": self._subscription()})
                    first = await anext(messages)
                self._confirm(first)
                yield None
                async for message in messages:
                    yield self._event(message)
        except TimeoutError:
            failure = f"it did not come up within {self._up_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = type(error).__name__  # its text may hold the request
        # Raised out here, so that it has none of the client's exceptions as its context.
        raise VenueUnavailable(f"{self._account}: Binance's stream of orders broke: {failure or 'it was closed'}")

    async def _connected(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        async with asyncio.timeout(self._up_s):
            return await session.ws_connect(
                self._url,
                autoping=False,
                max_msg_size=_MESSAGE_MAX_BYTES,
                headers={"User-Agent": "copytrade"},
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )

    async def _messages(self, socket: aiohttp.ClientWebSocketResponse) -> AsyncGenerator[Mapping[str, Any], None]:
        """What Binance says. Raises `VenueUnavailable` on silence, at the end, and for what is no message."""
        asked = False
        while True:
            try:
                frame = await socket.receive(timeout=self._ping_s)
            except TimeoutError:
                if asked:
                    raise VenueUnavailable(
                        f"{self._account}: Binance's stream of orders is silent and does not answer a ping"
                    ) from None
                asked = True
                await socket.ping()
                continue
            asked = False
            if frame.type is aiohttp.WSMsgType.PING:
                await socket.pong(frame.data)
            elif frame.type is aiohttp.WSMsgType.TEXT:
                yield self._decoded(frame.data)
            elif frame.type in _CLOSING:
                raise VenueUnavailable(f"{self._account}: Binance closed the stream of orders ({socket.close_code})")
            elif frame.type is not aiohttp.WSMsgType.PONG:
                raise VenueUnavailable(f"{self._account}: Binance's stream of orders broke ({frame.type.name})")

    def _decoded(self, text: str) -> Mapping[str, Any]:
        try:
            message = json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise VenueUnavailable(f"{self._account}: Binance's stream of orders says what is no JSON object")
        return message

    def _confirm(self, message: Mapping[str, Any]) -> None:
        """Look at the answer to the subscription. Raises `VenueError` for anything but a yes."""
        if message.get("id") != _REQUEST_ID:
            raise VenueUnavailable(f"{self._account}: Binance's stream says something else than whether it is up")
        result, error, status = message.get("result"), message.get("error"), message.get("status")
        if isinstance(error, dict) and type(error.get("code")) is int:
            words = str(error.get("msg", ""))[:200]
            code = status if type(status) is int else 400
            raise self._refused(Fault(error["code"], words, code, _wait_s(error.get("data"))))
        if status != 200 or not isinstance(result, dict) or type(result.get("subscriptionId")) is not int:
            raise VenueUnavailable(f"{self._account}: Binance's stream does not confirm the subscription")

    def _event(self, message: Mapping[str, Any]) -> Event:
        """The event in a message. Raises `VenueUnavailable` for an end that is announced, and for anything else."""
        event = message.get("event", message)
        kind = event.get("e") if isinstance(event, dict) else None
        if not isinstance(kind, str):
            raise VenueUnavailable(f"{self._account}: Binance's stream of orders says something that is no event")
        if kind in _ENDS:
            raise VenueUnavailable(f"{self._account}: Binance ends the stream of orders ({kind})")
        return dict(event)


def _wait_s(data: Any) -> int | None:
    """How long to wait after a limit was reached: Binance names two moments, its present and when it may go on."""
    if not isinstance(data, dict):
        return None
    now_ms, after_ms = data.get("serverTime"), data.get("retryAfter")
    if type(now_ms) is not int or type(after_ms) is not int:
        return None
    return max(1, math.ceil((after_ms - now_ms) / 1000))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
