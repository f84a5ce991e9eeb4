"""The stream of an account's orders: Coinbase's `user` channel.

docs.cdp.coinbase.com, "WebSocket overview" and "WebSocket channels": a subscription is asked for within five seconds
of connecting, each with a token of its own that names no request. Channels close when nothing comes on them for a
minute or so, which the channel `heartbeats` (once a second) keeps from happening. Orders come as totals so far, without
single fills; first those that are open, fifty at a time, in events of the type `snapshot`. Each message has a number
one above that of the message before.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn

import aiohttp

from copytrade.domain.errors import VenueUnavailable

_TEXT_MAX = 200
_GOODBYE_S = 0.5


class StreamRefused(VenueUnavailable):
    """The stream said no, with its reason; whether that is the key's fault is not told."""


class Change(NamedTuple):
    """An order of an `update` event, as Coinbase tells it."""

    order: Mapping[str, Any]


class Up(NamedTuple):
    """The stream is up: every change from now on is told."""


class UserChannel:
    """One connection to the stream of one account; not to be used twice.

    `tokens` makes a fresh token for each message. Waits of `up_s` until it is up and of `silence_s` for anything at
    all are the longest.
    """

    def __init__(
        self, url: str, tokens: Callable[[], str], *, up_s: float, silence_s: float, message_max_bytes: int
    ) -> None:
        self._url = url
        self._tokens = tokens
        self._up_s = up_s
        self._silence_s = silence_s
        self._message_max_bytes = message_max_bytes
        self._numbers = Numbers()
        self._subscribed = False

    async def changes(self) -> AsyncGenerator[Up | Change, None]:
        """Raises `VenueUnavailable` when the connection breaks, goes silent or tells what cannot be understood."""
        session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False)
        socket: aiohttp.ClientWebSocketResponse | None = None
        try:
            socket = await self._connect(session)
            await self._subscribe(socket)
            up_by = asyncio.get_running_loop().time() + self._up_s
            up = False
            while True:
                message = await self._next(socket, up_by=None if up else up_by)
                kind, orders = self._understood(message)
                if kind == "repeated":
                    continue
                # The snapshot comes right after the subscription. Where there is none, whatever comes next will do.
                if not up and (kind == "snapshot" or (self._subscribed and kind not in ("subscriptions", "other"))):
                    up = True
                    yield Up()
                if kind == "update":
                    for order in orders:
                        yield Change(order)
        finally:
            try:
                if socket is not None:
                    await socket.close()  # waits for the other side's goodbye, for `_GOODBYE_S` at most
            finally:  # also when that is cut short
                await session.close()

    async def _connect(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        try:
            async with asyncio.timeout(self._up_s):
                return await session.ws_connect(
                    self._url,
                    max_msg_size=self._message_max_bytes,
                    headers={"User-Agent": "copytrade"},
                    timeout=aiohttp.ClientWSTimeout(ws_close=_GOODBYE_S),
                )
        except TimeoutError:
            why = "no answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = type(error).__name__
        raise VenueUnavailable(f"Coinbase's stream of orders cannot be opened: {why}")

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            for channel in ("heartbeats", "user"):
                await socket.send_json({"type": "subscribe", "channel": channel, "jwt": self._tokens()})
        except (aiohttp.ClientError, OSError) as error:
            why = type(error).__name__
        else:
            return
        raise VenueUnavailable(f"Coinbase's stream of orders broke while it was being opened: {why}")

    async def _next(self, socket: aiohttp.ClientWebSocketResponse, up_by: float | None) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(self._silence_s):
                if up_by is None:
                    message = await socket.receive()
                else:
                    async with asyncio.timeout_at(up_by):
                        message = await socket.receive()
        except TimeoutError:
            raise VenueUnavailable(
                f"Coinbase's stream of orders is silent for {self._silence_s:g} s, or never came up"
            ) from None
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise VenueUnavailable(f"Coinbase's stream of orders ended ({message.type.name.lower()})")
        try:
            told = json.loads(message.data, parse_float=Decimal, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise VenueUnavailable("Coinbase's stream of orders told something that is not JSON") from None
        if not isinstance(told, dict):
            raise VenueUnavailable("Coinbase's stream of orders told something that is no object")
        return told

    def _understood(self, message: Mapping[str, Any]) -> tuple[str, list[Mapping[str, Any]]]:
        """What kind of message it is, and its orders if it is an update."""
        if message.get("type") == "error":
            raise StreamRefused(f"Coinbase's stream of orders says: {message.get('message')!s:.{_TEXT_MAX}}")
        channel, events = message.get("channel"), message.get("events")
        if not isinstance(channel, str) or not isinstance(events, list):
            raise VenueUnavailable("Coinbase's stream of orders told something that is no message of a channel")
        if not self._numbers.next(channel, message.get("sequence_num")):
            return "repeated", []
        if channel == "subscriptions":
            named = [event.get("subscriptions") for event in events if isinstance(event, dict)]
            self._subscribed = self._subscribed or any(isinstance(each, dict) and "user" in each for each in named)
            return channel, []
        if channel == "heartbeats":
            return channel, []
        return _orders_of(events) if channel == "user" else ("other", [])


def _orders_of(events: list[Any]) -> tuple[str, list[Mapping[str, Any]]]:
    changed: list[Mapping[str, Any]] = []
    kinds = set()
    for event in events:
        orders = event.get("orders") if isinstance(event, dict) else None
        orders = [] if orders is None and isinstance(event, dict) else orders  # positions of futures come alone
        if not isinstance(orders, list) or not all(isinstance(order, dict) for order in orders):
            raise VenueUnavailable("Coinbase's stream of orders told an event without a list of orders")
        kinds.add(event.get("type"))
        if event.get("type") != "snapshot":
            changed += orders
    return ("snapshot" if kinds == {"snapshot"} else "update"), changed


class Numbers:
    """The numbers of messages, which tell that one is missing.

    They count the messages of a connection; were they to count those of each channel, they would never be more than
    one above the highest either, so this holds both ways.
    """

    def __init__(self) -> None:
        self._highest: int | None = None
        self._of: dict[str, int] = {}

    def next(self, channel: str, number: Any) -> bool:
        """False for a message that came before. Raises `VenueUnavailable` when one is missing."""
        if not isinstance(number, int) or isinstance(number, bool):
            raise VenueUnavailable("Coinbase's stream of orders told a message without a number")
        highest = self._highest
        if highest is not None and number > highest + 1:
            raise VenueUnavailable(f"messages {highest + 1} to {number - 1} of Coinbase's stream of orders are missing")
        if number <= self._of.get(channel, -1):
            return False
        self._of[channel] = number
        self._highest = number if highest is None else max(highest, number)
        return True


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
