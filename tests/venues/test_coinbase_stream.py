"""The stream of Coinbase's `user` channel: what it may tell, what breaks it, and what an event makes of an order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from coinbase_lab import ALICE, KEY, OPTIONS, SECRET, coinbase_lab, edit
from resting_contract import WAIT_S, RestingContract, let_through

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueUnavailable
from copytrade.domain.money import Amount, Price, Quantity
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.venue import ExecutionStatus, VenueOrder
from copytrade.simulator.coinbase.call import Rules
from copytrade.venues.coinbase.changes import Changes
from copytrade.venues.coinbase.options import STREAM_URL, CoinbaseOptions
from copytrade.venues.coinbase.stream import Numbers, StreamRefused, Up, UserChannel

OPEN, FILLED, CANCELLED = ExecutionStatus.OPEN, ExecutionStatus.FILLED, ExecutionStatus.CANCELLED
contract = RestingContract()


@pytest.fixture
async def lab():
    async with coinbase_lab() as made:
        yield made


# -- one connection ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def telling(*script: Any) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """A stream that says what the script says once both channels were asked for; bytes are sent as they are.

    `None` closes the connection. Gives its URL and what it was asked.
    """
    asked: list[dict[str, Any]] = []

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for _ in range(2):
            asked.append(json.loads((await socket.receive()).data))
        for each in script:
            if each is None:
                await socket.close()
            elif isinstance(each, bytes):
                await socket.send_bytes(each)
            else:
                await socket.send_str(each if isinstance(each, str) else json.dumps(each))
        async for message in socket:
            assert message.type is not WSMsgType.ERROR
        return socket

    runner = web.ServerRunner(web.Server(serve), shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


def channel(url: str, **settings: Any) -> UserChannel:
    tokens = iter(f"token {number}" for number in range(9))
    waits = {"up_s": 5.0, "silence_s": 5.0, "message_max_bytes": 100_000, **settings}
    return UserChannel(url, lambda: next(tokens), **waits)


def message(name: str, number: int, *events: dict[str, Any]) -> dict[str, Any]:
    return {"channel": name, "client_id": "", "timestamp": "t", "sequence_num": number, "events": list(events)}


def subscribed(number: int, *names: str) -> dict[str, Any]:
    return message("subscriptions", number, {"subscriptions": {name: [name] for name in names}})


def user(number: int, kind: str, *order_ids: str) -> dict[str, Any]:
    return message("user", number, {"type": kind, "orders": [{"order_id": each} for each in order_ids]})


def beat(number: int) -> dict[str, Any]:
    return message("heartbeats", number, {"heartbeat_counter": number})


async def heard(*script: Any, **settings: Any) -> list[str]:
    """`up` and the ids of orders, as far as they go before the stream breaks; then the error's class."""
    told: list[str] = []
    async with telling(*script) as (url, _), aclosing(channel(url, **settings).changes()) as changes:
        try:
            async with asyncio.timeout(WAIT_S):
                async for change in changes:
                    told.append("up" if isinstance(change, Up) else change.order["order_id"])
        except VenueError as error:
            told.append(type(error).__name__)
    return told


BROKEN = "VenueUnavailable"


async def test_subscribes_to_heartbeats_and_to_the_user_each_with_a_token():
    async with telling(user(0, "snapshot")) as (url, asked), aclosing(channel(url).changes()) as changes:
        assert isinstance(await anext(changes), Up)
        assert asked == [
            {"type": "subscribe", "channel": "heartbeats", "jwt": "token 0"},
            {"type": "subscribe", "channel": "user", "jwt": "token 1"},
        ]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        # Up with the first page of what is open; the pages after it are no changes.
        ((subscribed(0, "user"), user(1, "snapshot", "a"), user(2, "snapshot", "b"), user(3, "update", "c")),
         ["up", "c"]),
        ((user(0, "snapshot", "a"), subscribed(1, "user"), user(2, "update", "c")), ["up", "c"]),
        # Without a snapshot the next message after the word will do, an update too.
        ((subscribed(0, "heartbeats"), subscribed(1, "heartbeats", "user"), beat(2)), ["up"]),
        ((subscribed(0, "user"), user(1, "update", "c")), ["up", "c"]),
        # Heartbeats alone do not make it so.
        ((subscribed(0, "heartbeats"), beat(1), beat(2)), []),
        # New channels and fields are no fault.
        ((user(0, "snapshot"), message("of_tomorrow", 1, {"what": 1}), {**user(2, "update", "c"), "new": 1}),
         ["up", "c"]),
        ((user(0, "snapshot"), message("user", 1, {"type": "update", "positions": {}}), beat(2)), ["up"]),
        # Said again, and out of order: once is enough.
        ((user(0, "snapshot"), user(1, "update", "c"), user(1, "update", "c"), user(2, "update", "d")),
         ["up", "c", "d"]),
        # Numbers that begin anywhere, and that count each channel by itself.
        ((user(7, "snapshot"), beat(8), user(9, "update", "c")), ["up", "c"]),
        ((subscribed(0, "user"), user(0, "snapshot"), beat(0), beat(1), user(1, "update", "c")), ["up", "c"]),
    ],
)  # fmt: skip
async def test_what_a_stream_tells(script, told):
    assert await heard(*script, None) == [*told, BROKEN]


@pytest.mark.parametrize(
    "odd",
    [
        user(3, "update", "c"), "{", "7", "[]", "{}", b"{}", {"channel": "user"}, {"events": []},
        {"channel": "user", "events": [], "sequence_num": "2"}, {"channel": "user", "events": [], "sequence_num": True},
        {"channel": "user", "events": []}, message("user", 2, {"type": "update", "orders": {}}),
        {"channel": "user", "sequence_num": 2, "events": [7]}, message("user", 2, {"type": "update", "orders": [7]}),
        "x" * 100_001, '{"channel": "user", "sequence_num": NaN, "events": []}', "[" * 90_000,
    ],
    ids=lambda odd: str(odd)[:60],
)  # fmt: skip
async def test_what_breaks_a_stream(odd):
    assert await heard(user(0, "snapshot"), user(1, "update", "a"), odd, user(2, "update", "b")) == ["up", "a", BROKEN]


async def test_gap_is_noticed_by_the_numbers_alone():
    """The control of a message that is missing: without the numbers it would go unnoticed."""

    class Blind(Numbers):
        def next(self, channel: str, number: Any) -> bool:
            return True

    async with telling(user(0, "snapshot"), user(3, "update", "c")) as (url, _):
        blind = channel(url)
        blind._numbers = Blind()
        async with aclosing(blind.changes()) as changes:
            assert isinstance(await anext(changes), Up)
            assert (await anext(changes)).order["order_id"] == "c"


async def test_refusal_is_told_in_the_venues_words():
    error = {"type": "error", "message": "authentication failure"}
    async with telling(error) as (url, _), aclosing(channel(url).changes()) as changes:
        with pytest.raises(StreamRefused, match="authentication failure"):
            await anext(changes)


async def test_stream_that_never_comes_up_and_one_that_falls_silent():
    assert await heard(subscribed(0, "heartbeats"), beat(1), up_s=0.3) == [BROKEN]
    assert await heard(user(0, "snapshot"), silence_s=0.3) == ["up", BROKEN]


async def test_nothing_listens_there():
    async with telling() as (url, _):
        pass
    async with aclosing(channel(url).changes()) as changes:
        with pytest.raises(VenueUnavailable, match="cannot be opened"):
            await anext(changes)


# -- what an event makes of an order -------------------------------------------------------------------------------

AT = datetime(2026, 1, 1, tzinfo=UTC)
BASE = VenueOrder(
    venue_order_id="o-1", client_order_id="x", symbol="BTC/USD", side=Side.BUY, kind=OrderKind.LIMIT,
    quantity=Quantity.of(2), limit_price=Price.of(100), stop_price=None, status=OPEN, filled=Quantity.of(0),
    cost=Amount.of(0), fee=Amount.of(0), created_at=AT, at=AT,
)  # fmt: skip


def event(status: str = "OPEN", filled: str = "0", left: str = "2", fee: str = "0", value: str | None = "0") -> Any:
    told = {"order_id": "o-1", "status": status, "cumulative_quantity": filled, "leaves_quantity": left,
            "total_fees": fee}  # fmt: skip
    return told if value is None else {**told, "filled_value": value}


class History:
    """What the venue's history shows when it is asked, answer by answer; the last one stays."""

    def __init__(self, *answers: VenueOrder | VenueError | None) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, order_id: str) -> VenueOrder | None:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, VenueError):
            raise answer
        return answer


async def made_of(history: History, *events: Any) -> list[tuple[str, str, str] | None]:
    """Status, filled and cost of every order that these events tell of; None for "look yourself"."""
    changes = Changes(history, lambda: AT)
    told = [order for each in events for order in await changes.read(each)]
    return [None if each is None else (each.status.value, str(each.filled), str(each.cost)) for each in told]


async def test_terms_are_read_once_and_totals_come_from_the_events():
    history = History(BASE)
    told = await made_of(
        history, event("PENDING"), event("OPEN", "0.5", "1.5", value="50"), event("FILLED", "2", "0", value="199.5"),
        event("FILLED", "2", "0", value="199.5"),
    )  # fmt: skip
    assert told == [("open", "0", "0"), ("open", "0.5", "50"), ("filled", "2", "199.5"), ("filled", "2", "199.5")]
    assert history.asked == 1


async def test_event_without_values_is_looked_up_unless_nothing_filled():
    half = replace(BASE, filled=Quantity.of("0.5"), cost=Amount.of(50))
    history = History(BASE, half)
    told = await made_of(history, event("PENDING", value=None), event("OPEN", "0.5", "1.5", value=None))
    assert told == [("open", "0", "0"), ("open", "0.5", "50")]
    assert history.asked == 2
    history = History(BASE)
    assert await made_of(history, event("PENDING", value=None), event("CANCELLED", "0", "0", value=None)) == [
        ("open", "0", "0"), ("cancelled", "0", "0"),
    ]  # fmt: skip
    assert history.asked == 1


async def test_history_that_lags_behind_the_stream():
    assert await made_of(History(BASE), event("FILLED", "2", "0", value="199")) == [("filled", "2", "199")]
    assert await made_of(History(BASE), event("FILLED", "2", "0", value=None)) == [None]
    assert await made_of(History(BASE), event("CANCELLED", "0", "0")) == [("cancelled", "0", "0")]


async def test_history_that_is_further_than_the_stream():
    done = replace(BASE, status=FILLED, filled=Quantity.of(2), cost=Amount.of(199))
    told = await made_of(History(done), event("OPEN", "0.5", "1.5", value="50"), event("OPEN", "1", "1", value="100"))
    assert told == [("filled", "2", "199")]


async def test_status_that_runs_ahead_of_the_fills_is_no_end():
    assert await made_of(History(BASE), event("FILLED", "0", "2")) == [("open", "0", "0")]


async def test_order_that_was_edited_is_read_anew():
    history = History(BASE, replace(BASE, limit_price=Price.of(99)), replace(BASE, quantity=Quantity.of(3)))
    changes = Changes(history, lambda: AT)
    await changes.read(event())
    (same_progress,) = await changes.read(event())
    assert same_progress.limit_price == Price.of(99)
    (more_left,) = await changes.read(event(left="3"))
    assert more_left.quantity == Quantity.of(3)
    assert history.asked == 3


@pytest.mark.parametrize(
    "odd", [{}, {"status": "OPEN"}, event("NEW_WORD"), event(filled="x"), event(filled="-1"), event(fee="NaN")], ids=str
)
async def test_event_that_cannot_be_read_leads_to_the_order_itself(odd):
    assert await made_of(History(BASE), {**odd, "order_id": "o-1"}) == [("open", "0", "0")]


async def test_order_that_cannot_be_had_or_is_none_of_ours():
    assert await made_of(History(VenueUnavailable("lag"), BASE), event(), event()) == [None, ("open", "0", "0")]
    assert await made_of(History(None), event(), event()) == []
    for order_id in (None, 7, "", "a/b"):
        with pytest.raises(VenueUnavailable):
            await made_of(History(BASE), {**event(), "order_id": order_id})


async def test_order_by_value_grows_with_its_fills():
    bought = replace(BASE, kind=OrderKind.MARKET, quantity=Quantity.of(0))
    changes = Changes(History(bought), lambda: AT)
    (order,) = await changes.read(event("FILLED", "0.5", "0", value="50"))
    assert (order.quantity, order.filled, order.status) == (Quantity.of("0.5"), Quantity.of("0.5"), FILLED)


async def test_no_more_orders_are_remembered_than_are_looked_at():
    history = History(BASE)
    changes = Changes(history, lambda: AT)
    for number in range(300):
        history.answers = [replace(BASE, venue_order_id=f"o-{number}")]
        await changes.read({**event(), "order_id": f"o-{number}"})
    assert len(changes._known) == 100


# -- at the simulated Coinbase -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [Rules(), Rules(stream_prices=False), Rules(edits_configure=True)], ids=str)
async def test_edit_by_hand_is_told(rules):
    async with coinbase_lab(rules=rules) as lab, aclosing(lab.account.stream()) as stream:
        await contract.up(stream)
        placed = await contract.rest(lab, OrderKind.LIMIT)
        await contract.told(lab, stream, lambda order: order.status is OPEN)
        await edit(lab, placed.venue_order_id, price="48000", size="0.01")
        order = await contract.told(lab, stream, lambda order: order.limit_price == Price.of(48_000))
        assert order.quantity == Quantity.of("0.01")
        await edit(lab, placed.venue_order_id, price="48000", size="0.02")
        order = await contract.told(lab, stream, lambda order: order.quantity == Quantity.of("0.02"))
        assert order.status is OPEN


async def test_what_is_open_already_is_for_the_list_to_tell(lab):
    for number in range(60):  # more than one page of the snapshot
        contract.stranger(lab, limit=str(30_000 + number))
    async with aclosing(lab.account.stream()) as stream:
        await contract.up(stream)
        contract.stranger(lab, limit="41000")
        async with asyncio.timeout(WAIT_S):
            assert (await anext(stream)).limit_price == Price.of(41_000)


async def test_wrong_key_is_told_apart_from_a_passing_fault(lab):
    wrong = lab.venue.connect_account(ALICE, KEY, SECRET)
    async with aclosing(wrong.stream()) as stream:
        with pytest.raises(CredentialsRejected, match="authentication failure") as error:
            await anext(stream)
    assert SECRET not in str(error.value)


async def test_clock_that_was_set_is_no_fault_of_the_key():
    ahead = [0.0]

    def venue_clock() -> float:
        return datetime.now(UTC).timestamp() + ahead[0]

    async with coinbase_lab(clock=venue_clock) as lab:
        ahead[0] = 900.0
        async with aclosing(lab.account.stream()) as stream:
            with pytest.raises(VenueUnavailable, match="clock"):
                await anext(stream)
        async with aclosing(lab.account.stream()) as stream:
            await contract.up(stream)


async def test_refusal_of_a_good_key_is_no_fault_of_the_key():
    async with (
        telling({"type": "error", "message": "authentication failure"}) as (url, _),
        coinbase_lab(replace(OPTIONS, stream_url=url)) as lab,
        aclosing(lab.account.stream()) as stream,
    ):
        with pytest.raises(VenueUnavailable, match="authentication failure"):
            await anext(stream)


async def test_streams_are_opened_one_after_the_other(lab):
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(aclosing(lab.account.stream())) for _ in range(4)]
        for stream, slept in zip(streams, (0, 0, 1, 2), strict=True):
            await contract.up(stream)
            assert sum(lab.time.slept) == pytest.approx(slept / OPTIONS.stream_connects_per_s)
        placed = await lab.account.place(lab.order(), let_through)
        for stream in streams:
            order = await contract.told(lab, stream, lambda order: order.status is FILLED)
            assert order.venue_order_id == placed.venue_order_id


def test_where_the_stream_is():
    options = CoinbaseOptions()
    assert options.stream_base("https://api.coinbase.com") == STREAM_URL
    assert options.stream_base("http://127.0.0.1:4711") == "ws://127.0.0.1:4711"
    assert options.stream_base("https://proxy.example:8443") == "wss://proxy.example:8443"
    assert replace(options, stream_url="wss://else.example").stream_base("https://api.coinbase.com") == (
        "wss://else.example"
    )
