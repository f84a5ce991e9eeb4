"""The list of orders and the stream at Alpaca, where they are Alpaca's own: ends, replacements, oddities, logins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from alpaca_lab import ALICE, OPTIONS, Lab, alpaca_lab, at_raw_server, by_hand, order_object
from kraken_lab import RawServer, http
from resting_contract import let_through

from copytrade.domain.errors import CredentialsRejected, VenueError, VenueUnavailable
from copytrade.domain.money import Price, Quantity
from copytrade.domain.order import OrderKind, Side
from copytrade.domain.reasons import Reason
from copytrade.domain.venue import Accepted, ExecutionStatus, OrderTicket, RefusedByVenue
from copytrade.simulator.orders import NewOrder
from copytrade.venues.alpaca.account import AlpacaAccount
from copytrade.venues.alpaca.stream import stream_origin

LIST, ONE = "/v2/orders", "GET /v2/orders/{id}"
OPEN, FILLED, CANCELLED = ExecutionStatus.OPEN, ExecutionStatus.FILLED, ExecutionStatus.CANCELLED


@pytest.fixture
async def lab():
    async with alpaca_lab() as made:
        yield made


def limit(lab: Lab, name: str = "one", price: str = "49000", side: Side = Side.BUY) -> OrderTicket:
    return replace(lab.order(name, side=side, quantity="0.01"), kind=OrderKind.LIMIT, limit_price=Price.of(price))


async def rest(lab: Lab, name: str = "one", price: str = "49000") -> str:
    outcome = await lab.account.place(limit(lab, name, price), let_through)
    assert isinstance(outcome, Accepted), outcome
    return outcome.venue_order_id


def ago(lab: Lab, **span: float) -> datetime:
    return datetime.fromtimestamp(lab.sim.clock(), UTC) - timedelta(**span)


def asked(lab: Lab) -> int:
    """How many requests for orders there have been."""
    paths = lab.sim.requests()["paths"]
    return sum(count for path, count in paths.items() if path.startswith(LIST))


# -- ends of old orders --------------------------------------------------------------------------------------------


async def test_order_of_last_month_that_ends_now_is_told_and_costs_few_requests(lab):
    order_id = await rest(lab)
    lab.time.now_s += 30 * 86_400
    assert [order.status for order in await lab.account.orders(ago(lab, minutes=5))] == [OPEN]
    before = asked(lab)
    assert [order.status for order in await lab.account.orders(ago(lab, minutes=5))] == [OPEN]
    assert asked(lab) - before == 2, "what is new, and what is open"
    lab.sim.set_price("BTC/USD", Decimal(48_000))
    (ended,) = await lab.account.orders(ago(lab, minutes=5))
    assert (ended.venue_order_id, ended.status, ended.filled) == (order_id, FILLED, Quantity.of("0.01"))
    lab.time.now_s += 600
    assert await lab.account.orders(ago(lab, minutes=5)) == []
    assert len(await lab.account.orders(ago(lab, minutes=30))) == 1


async def test_whoever_looks_further_back_than_before_is_told_all(lab):
    await rest(lab)
    lab.sim.set_price("BTC/USD", Decimal(48_000))
    await lab.account.balances()
    lab.time.now_s += 2 * 86_400
    assert await lab.account.orders(ago(lab, minutes=5)) == []
    assert [order.status for order in await lab.account.orders(ago(lab, days=3))] == [FILLED]


async def test_reading_that_failed_half_way_forgets_nothing(lab):
    await rest(lab)
    lab.time.now_s += 86_400
    assert len(await lab.account.orders(ago(lab, minutes=5))) == 1
    lab.sim.set_price("BTC/USD", Decimal(48_000))
    lab.fault("error", when="before", method=ONE, error="503 50310000 busy")
    with pytest.raises(VenueError):
        await lab.account.orders(ago(lab, minutes=5))
    lab.sim.clear_faults()
    assert [order.status for order in await lab.account.orders(ago(lab, minutes=5))] == [FILLED]


async def test_more_orders_at_one_moment_than_a_page_holds_are_no_list():
    moment = datetime(2026, 1, 6, 17, 0, tzinfo=UTC)
    async with alpaca_lab(our_clock=lambda: moment) as lab:
        lab.sim.deposit("alice_smith", "USD", Decimal(1_000_000))
        for _ in range(501):
            lab.sim.exchange.submit(NewOrder("alice_smith", "BTC/USD", "buy", Decimal("0.001"), Decimal(30_000)))
        with pytest.raises(VenueUnavailable, match="hole"):
            await lab.account.orders(ago(lab, minutes=5))


# -- replaced by hand ----------------------------------------------------------------------------------------------


async def test_order_that_was_replaced_by_hand_is_one_order_with_its_new_price(lab):
    order_id = await rest(lab)
    await by_hand(lab, "PATCH", f"{LIST}/{order_id}", {"limit_price": "48500"})
    (shown,) = await lab.account.orders(ago(lab, minutes=5))
    assert (shown.venue_order_id, shown.client_order_id) == (order_id, limit(lab).order_id)
    assert (shown.limit_price, shown.quantity, shown.status) == (Price.of(48_500), Quantity.of("0.01"), OPEN)
    lab.sim.set_price("BTC/USD", Decimal(48_000))
    (shown,) = await lab.account.orders(ago(lab, minutes=5))
    assert (shown.venue_order_id, shown.status, shown.filled) == (order_id, FILLED, Quantity.of("0.01"))


async def test_cancel_reaches_the_order_that_replaced_ours(lab):
    order_id = await rest(lab)
    for price in ("48500", "48400"):
        (last,) = await by_hand(lab, "GET", LIST)
        await by_hand(lab, "PATCH", f"{LIST}/{last['id']}", {"limit_price": price})
    await lab.account.cancel(order_id)
    assert await by_hand(lab, "GET", LIST) == []
    assert (await lab.account.execution(order_id)).status is CANCELLED


async def test_stream_tells_of_a_replacement_under_the_first_id(lab):
    order_id = await rest(lab)
    async with aclosing(lab.account.stream()) as stream:
        assert await anext(stream) is None
        await by_hand(lab, "PATCH", f"{LIST}/{order_id}", {"limit_price": "48500", "qty": "0.02"})
        async with asyncio.timeout(10):
            told = await anext(stream)
        assert (told.venue_order_id, told.limit_price) == (order_id, Price.of(48_500))
        assert (told.quantity, told.status) == (Quantity.of("0.02"), OPEN)


# -- orders in one another's way -----------------------------------------------------------------------------------


async def test_order_that_could_meet_a_resting_one_is_refused_until_that_is_gone(lab):
    stop = replace(
        limit(lab, "stop", "47000", Side.SELL), kind=OrderKind.STOP_LIMIT, stop_price=Price.of(48_000)
    )  # fmt: skip
    resting = await lab.account.place(stop, let_through)
    outcome = await lab.account.place(lab.order(), let_through)
    assert isinstance(outcome, RefusedByVenue)
    assert (outcome.reason, outcome.parks_account) == (Reason.OPPOSITE_ORDER, False)
    assert outcome.retry_after_s is not None
    assert "opposite side market/stop order exists" in outcome.detail
    await lab.account.cancel(resting.venue_order_id)
    assert isinstance(await lab.account.place(lab.order(), let_through), Accepted)


# -- odd orders ----------------------------------------------------------------------------------------------------


def entry(order_id: str, **changes: Any) -> dict[str, Any]:
    """An order of a list, open unless `changes` say otherwise."""
    shown = {
        "id": order_id, "client_order_id": "", "status": "new", "filled_qty": "0", "filled_avg_price": None,
        "type": "limit", "time_in_force": "gtc", "limit_price": "49000", "stop_price": None, "replaces": None,
        "order_class": "", "legs": None, **changes,
    }  # fmt: skip
    return order_object(**shown)


ODD = [
    entry("a", type="trailing_stop", limit_price=None, stop_price="48000", trail_percent="2"),
    entry("b", status="thinking about it"),
    entry("c", type="peg", stop_price="48000"),
    entry("d", qty=None, notional="100", type="market", limit_price=None),
    entry("e", symbol="AAPL260116C00230000", asset_class="us_option"),
    entry("f", limit_price=None),
    entry("g", side="sideways"),
    entry("h", symbol="BTCUSD", limit_price="1"),
]  # fmt: skip


async def test_odd_orders_are_told_by_the_nearest_kind_or_left_out_with_one_warning(caplog):
    page = http(json.dumps(ODD))
    async with at_raw_server(page, page, page, page) as (_, account):
        for _ in range(2):
            found = {order.venue_order_id: order for order in await account.orders(datetime(2026, 1, 5, tzinfo=UTC))}
    assert {key: order.kind for key, order in found.items()} == {
        "a": OrderKind.STOP, "b": OrderKind.LIMIT, "c": OrderKind.STOP_LIMIT, "d": OrderKind.MARKET,
        "h": OrderKind.LIMIT,
    }  # fmt: skip
    assert found["a"].stop_price == Price.of(48_000)
    assert found["b"].status is OPEN
    assert found["d"].quantity == Quantity.of(0)
    assert found["h"].symbol == "BTC/USD"
    assert [key for key in "efg" if caplog.text.count(f"order {key} at Alpaca is left out") == 1] == ["e", "f", "g"]


async def test_list_that_is_none_is_an_error():
    for answer in ('{"orders": []}', '[{"symbol": "BTC/USD"}]', "[1]"):
        async with at_raw_server(http(answer)) as (_, account):
            with pytest.raises(VenueUnavailable):
                await account.orders(datetime(2026, 1, 5, tzinfo=UTC))


async def test_replacement_whose_beginning_is_older_than_the_list_is_traced_back():
    last = entry("b1", replaces="b0", limit_price="48000")
    first = entry("b0", status="replaced", replaced_by="b1", client_order_id="ours")
    async with at_raw_server(http(json.dumps([last])), http("[]"), http(last), http(first)) as (_, account):
        (shown,) = await account.orders(datetime(2026, 1, 5, tzinfo=UTC))
    assert (shown.venue_order_id, shown.client_order_id) == ("b0", "ours")
    assert shown.limit_price == Price.of(48_000)


async def test_id_that_cannot_be_one_is_no_reason_to_fall_over():
    for order in (entry("a", replaces="../positions"), entry("a", status="replaced", replaced_by="")):
        async with at_raw_server(http(json.dumps([order])), http("[]"), http(order)) as (_, account):
            with pytest.raises(VenueUnavailable):
                await account.orders(datetime(2026, 1, 5, tzinfo=UTC))


# -- the stream's own protocol -------------------------------------------------------------------------------------


async def test_stream_refuses_a_wrong_key(lab):
    stranger = lab.venue.connect_account(ALICE, lab.key, "wrong")
    async with aclosing(stranger.stream()) as stream:
        with pytest.raises(CredentialsRejected, match="paper account"):
            await anext(stream)


def test_stream_is_where_the_trading_api_is():
    assert stream_origin("https://paper-api.alpaca.markets") == "wss://paper-api.alpaca.markets"
    assert stream_origin("http://127.0.0.1:8080") == "ws://127.0.0.1:8080"


async def test_stream_that_is_never_answered_is_an_error():
    brief = replace(OPTIONS, request_timeout_s=0.2)
    async with at_raw_server(RawServer.hang, options=brief) as (_, account), aclosing(account.stream()) as stream:
        with pytest.raises(VenueUnavailable, match="no answer in time"):
            await anext(stream)


@asynccontextmanager
async def at_stream(*frames: str | bytes) -> AsyncIterator[tuple[AlpacaAccount, list[Any]]]:
    """An account whose stream says these frames, the first two in answer to login and choice of streams."""
    heard: list[Any] = []

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for number, frame in enumerate(frames):
            if number < 2:
                message = await socket.receive()
                if message.type is not WSMsgType.TEXT:
                    return socket
                heard.append(json.loads(message.data))
            await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
        await socket.close()
        return socket

    runner = web.ServerRunner(web.Server(serve))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    origin = f"ws://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with at_raw_server(options=replace(OPTIONS, stream_url=origin)) as (_, account):
            yield account, heard
    finally:
        await runner.cleanup()


AUTHORIZED = '{"stream":"authorization","data":{"status":"authorized","action":"authenticate"}}'
LISTENING = b'{"stream":"listening","data":{"streams":["trade_updates"]}}'


def told(**changes: Any) -> bytes:
    return json.dumps({"stream": "trade_updates", "data": {"event": "new", "order": entry("a", **changes)}}).encode()


async def test_stream_reads_text_and_binary_and_skips_what_is_not_about_orders():
    frames = [AUTHORIZED, LISTENING, '{"stream":"account_updates","data":{}}', told(), told(symbol="XYZ").decode()]
    async with at_stream(*frames) as (account, heard), aclosing(account.stream()) as stream:
        assert await anext(stream) is None
        assert (await anext(stream)).limit_price == Price.of(49_000)
        with pytest.raises(VenueUnavailable, match="ended"):
            await anext(stream)
    assert [said["action"] for said in heard] == ["authenticate", "listen"]


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        (['{"stream":"authorization","data":{"status":"unauthorized"}}'], CredentialsRejected),
        ([AUTHORIZED, '{"stream":"authorization","data":{"status":"unauthorized"}}'], CredentialsRejected),
        ([AUTHORIZED, '{"stream":"listening","data":{"streams":[]}}'], VenueUnavailable),
        ([AUTHORIZED, '{"stream":"listening","data":{"error":"no"}}'], VenueUnavailable),
        (["what"], VenueUnavailable), (["[]"], VenueUnavailable), (['{"data":1}'], VenueUnavailable),
        ([b"\xff\xfe"], VenueUnavailable), ([], VenueUnavailable), ([AUTHORIZED], VenueUnavailable),
        ([AUTHORIZED, LISTENING, '{"stream":"trade_updates","data":{"event":"new"}}'], VenueUnavailable),
        ([AUTHORIZED, LISTENING, '{"stream":"authorization","data":{}}'], CredentialsRejected),
    ],
)  # fmt: skip
async def test_stream_that_says_anything_else_is_an_error(frames, error):
    async with at_stream(*frames) as (account, _), aclosing(account.stream()) as stream:
        with pytest.raises(VenueError) as raised:
            async for _ in stream:
                pass
    assert type(raised.value) is error


async def test_leg_of_a_list_says_only_that_something_changed():
    frames = [AUTHORIZED, LISTENING, told(order_class="oco", type="stop", stop_price="1", limit_price=None)]
    async with at_stream(*frames) as (account, _), aclosing(account.stream()) as stream:
        assert [await anext(stream) for _ in range(2)] == [None, None]
