"""Orders that wait for a price at the simulated OKX, and its private streams: as strict as the venue, to any client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from okx.Trade import TradeAPI
from okx.websocket.WsUtils import initLoginParams
from okx_client import OkxClient, okx_sign, quiet_okx
from simulator_client import FakeClock

from copytrade.simulator.okx import OkxSimulator
from copytrade.simulator.server import SimulatorServer

STOP = {"instId": "BTC-USDT", "tdMode": "cash", "side": "sell", "ordType": "conditional", "sz": "0.01",
        "slTriggerPx": "48000", "slOrdPx": "-1"}  # fmt: skip
BRACKET = {**STOP, "ordType": "oco", "tpTriggerPx": "52000", "tpOrdPx": "-1"}
WAIT_S = 10.0
# The SDK hands its text to httpx in a way that httpx has given up.
sdk_speaks = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def alice(clock):
    return make(clock)


def make(clock, **settings):
    made = quiet_okx(clock, **{"rate_limits": False, **settings})
    return OkxClient(made, made.add_account("alice_smith", {"USDT": Decimal(10_000), "BTC": Decimal(1)}))


def row(client: OkxClient, path: str, values: object) -> dict[str, Any]:
    status, answer = client.post(path, values)
    assert status == 200, answer
    return dict(answer["data"][0])


def placed(client: OkxClient, **changes: object) -> str:
    made = row(client, "/trade/order-algo", {**STOP, **changes})
    assert made["sCode"] == "0", made
    return str(made["algoId"])


def look(client: OkxClient, algo_id: str) -> dict[str, Any]:
    return dict(client.data("/trade/order-algo", algoId=algo_id)[0])


REFUSED = {
    "51000": [{"tdMode": "cross"}, {"side": "long"}, {"ordType": "odd"}, {"ordType": "move_order_stop"}, {"sz": "-1"},
              {"sz": "1e-2"}, {"slTriggerPx": "48000.05"}, {"slOrdPx": "47000.05"}, {"algoClOrdId": "a-b"},
              {"tgtCcy": "odd"}],
    "50014": [{"sz": ""}, {"slOrdPx": ""}, {"slTriggerPx": ""}, {"slTriggerPx": "", "slOrdPx": ""}, {"ordType": "oco"},
              {"ordType": "trigger"}, {"tpTriggerPx": "52000"}, {"instId": ""}],
    "51001": [{"instId": "NO-SUCH"}],
    "51020": [{"sz": "0.000009"}],
    "51121": [{"sz": "0.010000001"}],
    "51280": [{"slTriggerPx": "50000"}, {"slTriggerPx": "50100"}],
    "51279": [{"slTriggerPx": "", "slOrdPx": "", "tpTriggerPx": "49000", "tpOrdPx": "-1"}],
    "51278": [{"side": "buy", "slTriggerPx": "49000"}],
    "51277": [{"side": "buy", "slTriggerPx": "", "slOrdPx": "", "tpTriggerPx": "51000", "tpOrdPx": "-1"}],
    "51281": [{"ordType": "trigger", "triggerPx": "48000", "orderPx": "-1", "tgtCcy": "base_ccy"}],
    "51094": [{**BRACKET, "tpOrdKind": "limit"}],
    "51415": [{"slTriggerPxType": "mark"}],
}  # fmt: skip


@pytest.mark.parametrize("code", REFUSED)
def test_what_the_venue_refuses(alice, code):
    for changes in REFUSED[code]:
        status, answer = alice.post("/trade/order-algo", {**STOP, **changes})
        told = answer["data"][0]["sCode"] if answer["data"] else answer["code"]
        assert told == code, (changes, answer)
        assert status in (200, 400)
    assert alice.simulator.orders() == []


def test_it_holds_no_money_and_becomes_an_order_under_another_id(alice):
    algo_id = placed(alice, algoClOrdId="mine", sz="1", slOrdPx="47000")
    assert alice.simulator.accounts()[0]["holds"] == {}
    waiting = look(alice, algo_id)
    assert (waiting["state"], waiting["ordIdList"], waiting["algoClOrdId"]) == ("live", [], "mine")
    for path in ("/trade/orders-pending", "/trade/fills"):
        assert alice.data(path, instType="SPOT") == []
    alice.simulator.set_price("BTC/USDT", Decimal(46_000))
    triggered = look(alice, algo_id)
    (order_id,) = triggered["ordIdList"]
    assert (triggered["state"], triggered["actualSide"], triggered["ordId"]) == ("effective", "sl", order_id)
    assert order_id != algo_id
    order = alice.look(order_id)
    assert (order["state"], order["px"], order["algoId"], order["algoClOrdId"]) == ("live", "47000", algo_id, "mine")
    assert (order["clOrdId"], order["source"]) == ("", "7")
    assert alice.simulator.accounts()[0]["holds"] == {"BTC": "1.000000000000"}
    (pending,) = alice.data("/trade/orders-pending", instType="SPOT")
    assert pending["ordId"] == order_id
    assert row(alice, "/trade/cancel-algos", [{"instId": "BTC-USDT", "algoId": algo_id}])["sCode"] == "51400"
    assert row(alice, "/trade/cancel-order", {"instId": "BTC-USDT", "ordId": algo_id})["sCode"] == "51400"
    assert row(alice, "/trade/cancel-order", {"instId": "BTC-USDT", "ordId": order_id})["sCode"] == "0"
    assert look(alice, algo_id)["state"] == "effective"


def test_one_side_cancels_the_other(alice):
    algo_id = placed(alice, **BRACKET)
    alice.simulator.set_price("BTC/USDT", Decimal(52_100))
    alice.simulator.set_price("BTC/USDT", Decimal(47_900))
    shown = look(alice, algo_id)
    assert (shown["state"], shown["actualSide"], len(shown["ordIdList"])) == ("effective", "tp", 1)
    (fill,) = alice.data("/trade/fills", instType="SPOT")
    assert (fill["ordId"], fill["fillPx"], fill["fillSz"]) == (shown["ordId"], "52100", "0.01")
    assert alice.data("/trade/orders-algo-pending", ordType="oco") == []


def test_without_money_it_fails_when_it_is_triggered(alice):
    algo_id = placed(alice, sz="1", tpTriggerPx="52000", tpOrdPx="-1", ordType="oco")
    alice.placed(side="sell", sz="0.5")
    alice.simulator.set_price("BTC/USDT", Decimal(47_900))
    shown = look(alice, algo_id)
    assert (shown["state"], shown["failCode"], shown["ordIdList"]) == ("order_failed", "51008", [])
    assert alice.data("/trade/orders-pending", instType="SPOT") == []
    (failed,) = alice.data("/trade/orders-algo-history", ordType="oco", state="order_failed")
    assert failed["algoId"] == algo_id
    assert len(alice.data("/trade/orders-history", instType="SPOT")) == 1


def test_size_of_a_market_purchase_is_money_unless_said_otherwise(alice):
    by_value = placed(alice, side="buy", slTriggerPx="52000", sz="104")
    in_base = placed(alice, side="buy", slTriggerPx="52000", sz="0.001", tgtCcy="base_ccy")
    limited = placed(alice, side="buy", slTriggerPx="52000", slOrdPx="52500", sz="0.001")
    alice.simulator.set_price("BTC/USDT", Decimal(52_000))
    filled = {each["algoId"]: each["accFillSz"] for each in alice.data("/trade/orders-history", instType="SPOT")}
    assert filled == {by_value: "0.002", in_base: "0.001", limited: "0.001"}


def test_trigger_orders_go_by_the_side_of_the_price(alice):
    below = placed(alice, ordType="trigger", triggerPx="48000", orderPx="-1")
    above = placed(alice, ordType="trigger", triggerPx="52000", orderPx="51000")
    assert [each["algoId"] for each in alice.data("/trade/orders-algo-pending", ordType="trigger")] == [above, below]
    alice.simulator.set_price("BTC/USDT", Decimal(52_000))
    assert [look(alice, algo_id)["state"] for algo_id in (below, above)] == ["live", "effective"]
    assert alice.look(look(alice, above)["ordId"])["source"] == "6"


def test_client_id_is_taken_once_while_it_waits(alice):
    algo_id = placed(alice, algoClOrdId="mine")
    assert row(alice, "/trade/order-algo", {**STOP, "algoClOrdId": "mine"})["sCode"] == "51065"
    assert alice.data("/trade/order-algo", algoClOrdId="mine")[0]["algoId"] == algo_id
    row(alice, "/trade/cancel-algos", [{"instId": "BTC-USDT", "algoId": algo_id}])
    assert placed(alice, algoClOrdId="mine") != algo_id


def test_amending(alice):
    algo_id = placed(alice, **BRACKET)
    change = {"instId": "BTC-USDT", "algoId": algo_id}
    assert row(alice, "/trade/amend-algos", {**change, "newSlTriggerPx": "49000", "newSz": "0.02"})["sCode"] == "0"
    shown = look(alice, algo_id)
    assert (shown["slTriggerPx"], shown["tpTriggerPx"], shown["sz"], shown["state"]) == (
        "49000", "52000", "0.02", "live",
    )  # fmt: skip
    assert row(alice, "/trade/amend-algos", {**change, "newSlTriggerPx": "51000"})["sCode"] == "51280"
    alice.simulator.set_price("BTC/USDT", Decimal(48_900))
    assert look(alice, algo_id)["actualSz"] == "0.02"
    assert row(alice, "/trade/amend-algos", {**change, "newSz": "0.03"})["sCode"] == "51503"


def test_lists_need_a_type_and_come_in_pages(alice):
    made = [placed(alice) for _ in range(105)]
    assert alice.get("/trade/orders-algo-pending")[1]["code"] == "50014"
    assert alice.get("/trade/orders-algo-pending", ordType="conditional,trigger")[1]["code"] == "51000"
    assert alice.get("/trade/orders-algo-history", ordType="oco")[1]["code"] == "50015"
    first = alice.data("/trade/orders-algo-pending", ordType="conditional,oco", limit="100")
    rest = alice.data("/trade/orders-algo-pending", ordType="conditional,oco", after=first[-1]["algoId"])
    assert [each["algoId"] for each in (*first, *rest)] == made[::-1]
    assert alice.data("/trade/orders-algo-pending", ordType="oco") == []


def test_rates_and_permissions(clock):
    alice = make(clock, rate_limits=True)
    codes = [alice.post("/trade/order-algo", STOP)[1]["code"] for _ in range(21)]
    assert codes == ["0"] * 20 + ["50011"]
    reader = OkxClient(alice.simulator, alice.simulator.add_account("alice_smith", permissions=["read_only"]))
    assert reader.post("/trade/cancel-algos", [{"instId": "BTC-USDT", "algoId": "1"}])[1]["code"] == "50120"


def test_it_survives_a_restart(clock, tmp_path):
    store = tmp_path / "okx.sqlite"
    alice = make(clock, store=store)
    waiting, gone = placed(alice, **BRACKET), placed(alice)
    row(alice, "/trade/cancel-algos", [{"instId": "BTC-USDT", "algoId": gone}])
    triggered = placed(alice, slTriggerPx="49500", slOrdPx="49400")
    alice.simulator.set_price("BTC/USDT", Decimal(49_000))
    before = [look(alice, each) for each in (waiting, gone, triggered)]
    alice.simulator.close()
    again = make(clock, store=store)
    assert [look(again, each) for each in (waiting, gone, triggered)] == before
    again.simulator.set_price("BTC/USDT", Decimal(47_900))
    assert look(again, waiting)["state"] == "effective"
    assert again.look(look(again, waiting)["ordId"])["state"] == "filled"
    assert look(again, waiting)["ordId"] != look(again, triggered)["ordId"]


# -- the streams, with the SDK's login ------------------------------------------------------------------------------


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[tuple[OkxSimulator, str, TradeAPI, Any]]:
    """The simulated venue on a port, the SDK's own client of an account, and the account's key."""
    sim = OkxSimulator(volatility=0.0, spread=Decimal(0), rate_limits=False, **settings)
    sim.set_price("BTC/USDT", Decimal(50_000))
    keys = sim.add_account("alice_smith", {"USDT": Decimal(10_000), "BTC": Decimal(1)})
    async with SimulatorServer([sim]) as server:
        url = server.url("okx")
        client = TradeAPI(keys.key, keys.secret, keys.passphrase, flag="0", domain=url)
        try:
            yield sim, url.replace("http", "ws", 1), client, keys
        finally:
            client.close()
    sim.close()


@asynccontextmanager
async def opened(url: str, *paths: str) -> AsyncIterator[list[aiohttp.ClientWebSocketResponse]]:
    """A connection to each of the paths."""
    async with aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        yield [await stack.enter_async_context(session.ws_connect(f"{url}/ws/v5/{path}")) for path in paths]


async def heard(socket: aiohttp.ClientWebSocketResponse) -> Any:
    """The next message that is no count of connections."""
    async with asyncio.timeout(WAIT_S):
        while True:
            message = await socket.receive()
            if message.type is not aiohttp.WSMsgType.TEXT:
                return message.type.name, socket.close_code
            if message.data == "pong":
                return "pong"
            told = json.loads(message.data)
            if told.get("event") != "channel-conn-count":
                return told


async def subscribed(socket: aiohttp.ClientWebSocketResponse, keys: Any, channel: str) -> None:
    await socket.send_str(initLoginParams(False, keys.key, keys.passphrase, keys.secret))
    assert (await heard(socket))["code"] == "0"
    await socket.send_json({"id": "7", "op": "subscribe", "args": [{"channel": channel, "instType": "ANY"}]})
    told = await heard(socket)
    assert (told["event"], told["arg"]["channel"], told["id"]) == ("subscribe", channel, "7")


@sdk_speaks
async def test_sdk_places_and_the_streams_tell():
    async with served() as (sim, url, client, keys), opened(url, "private", "business") as (orders, algos):
        await subscribed(orders, keys, "orders")
        await subscribed(algos, keys, "orders-algo")
        made = await asyncio.to_thread(client.place_algo_order, **BRACKET, algoClOrdId="mine")
        algo_id = made["data"][0]["algoId"]
        told = (await heard(algos))["data"][0]
        assert (told["algoId"], told["algoClOrdId"], told["state"]) == (algo_id, "mine", "live")
        sim.set_price("BTC/USDT", Decimal(47_900))
        told = (await heard(algos))["data"][0]
        assert (told["state"], told["actualSide"]) == ("effective", "sl")
        order_id = told["ordIdList"][0]
        rows = [(await heard(orders))["data"][0] for _ in range(2)]
        assert [(each["ordId"], each["algoId"], each["state"]) for each in rows] == [
            (order_id, algo_id, "live"), (order_id, algo_id, "filled"),
        ]  # fmt: skip
        assert (rows[1]["fillSz"], rows[1]["avgPx"], rows[1]["execType"]) == ("0.01", "47900", "T")
        await asyncio.to_thread(
            client.place_order, "BTC-USDT", "cash", "buy", "limit", "0.01", px="40000", clOrdId="rests"
        )
        assert (await heard(orders))["data"][0]["state"] == "live"
        await asyncio.to_thread(client.amend_order, "BTC-USDT", clOrdId="rests", newPx="41000")
        told = (await heard(orders))["data"][0]
        assert (told["px"], told["amendResult"]) == ("41000", "0")
        await asyncio.to_thread(client.cancel_order, "BTC-USDT", clOrdId="rests")
        assert (await heard(orders))["data"][0]["state"] == "canceled"
        made = await asyncio.to_thread(client.place_algo_order, **STOP | {"slTriggerPx": "40000"})
        assert (await heard(algos))["data"][0]["state"] == "live"
        about = {"instId": "BTC-USDT", "algoId": made["data"][0]["algoId"]}
        await asyncio.to_thread(client.cancel_algo_order, [about])
        assert (await heard(algos))["data"][0]["state"] == "canceled"
        for socket in (orders, algos):
            await socket.send_str("ping")
            assert await heard(socket) == "pong"


def balances(told: Any) -> dict[str, tuple[str, str]]:
    """What there is and what of it is free, by currency."""
    assert told["arg"]["channel"] == "account"
    return {each["ccy"]: (each["cashBal"], each["availBal"]) for each in told["data"][0]["details"]}


@sdk_speaks
async def test_the_account_is_told_at_first_and_with_every_change():
    async with served() as (_, url, client, keys), opened(url, "private", "business") as (private, business):
        await subscribed(private, keys, "orders")
        await private.send_json({"op": "subscribe", "args": [{"channel": "account"}]})
        assert (await heard(private))["arg"] == {"channel": "account"}
        first = balances(await heard(private))
        money = Decimal(first["USDT"][0])
        await asyncio.to_thread(client.place_order, "BTC-USDT", "cash", "buy", "limit", "0.01", px="40000", clOrdId="a")
        assert (await heard(private))["data"][0]["state"] == "live"
        there, free = balances(await heard(private))["USDT"]
        assert Decimal(there) == money
        assert Decimal(free) < money
        await asyncio.to_thread(client.cancel_order, "BTC-USDT", clOrdId="a")
        assert (await heard(private))["data"][0]["state"] == "canceled"
        assert balances(await heard(private))["USDT"] == first["USDT"]
        await private.send_json({"op": "unsubscribe", "args": [{"channel": "account"}]})
        assert (await heard(private))["event"] == "unsubscribe"
        await subscribed(business, keys, "orders-algo")
        await business.send_json({"op": "subscribe", "args": [{"channel": "account"}]})
        assert (await heard(business))["code"] == "64002"


def login(keys: Any, now_s: float, **changes: str) -> str:
    stamp = changes.get("timestamp", str(int(now_s)))
    words = {
        "apiKey": keys.key, "passphrase": keys.passphrase, "timestamp": stamp,
        "sign": okx_sign(keys.secret, f"{stamp}GET/users/self/verify"), **changes,
    }  # fmt: skip
    return json.dumps({"op": "login", "args": [words]})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"apiKey": "no such key"}, "60005"), ({"sign": "x"}, "60007"), ({"passphrase": "wrong"}, "60024"),
        ({"timestamp": "soon"}, "60004"), ({"timestamp": "1538054050"}, "60006"), ({"passphrase": ""}, "60009"),
    ],
)  # fmt: skip
async def test_login_that_is_wrong_ends_the_connection(changes, code):
    async with served() as (sim, url, _, keys), opened(url, "private") as (socket,):
        await socket.send_str(login(keys, sim.clock(), **changes))
        told = await heard(socket)
        assert (told["event"], told["code"]) == ("error", code)
        assert await heard(socket) == ("CLOSE", 4001)


@pytest.mark.parametrize(
    ("path", "said", "code"),
    [
        ("private", {"op": "subscribe", "args": [{"channel": "orders-algo", "instType": "SPOT"}]}, "64001"),
        ("business", {"op": "subscribe", "args": [{"channel": "orders", "instType": "SPOT"}]}, "64002"),
        ("private", {"op": "subscribe", "args": [{"channel": "odd", "instType": "SPOT"}]}, "60018"),
        ("private", {"op": "subscribe", "args": [{"channel": "orders"}]}, "60018"),
        ("private", {"op": "subscribe", "args": []}, "60013"),
        ("private", {"op": "order", "args": [{}]}, "60012"),
        ("private", [], "60012"),
    ],
)
async def test_subscription_that_is_wrong_is_told(path, said, code):
    async with served() as (sim, url, _, keys), opened(url, path) as (socket,):
        if code in ("64001", "64002", "60018"):
            await socket.send_json(said)
            assert (await heard(socket))["code"] == "60011", "not before a login"
        await socket.send_str(login(keys, sim.clock()))
        assert (await heard(socket))["code"] == "0"
        await socket.send_json(said)
        assert (await heard(socket))["code"] == code
        assert sim.listeners() == {}


async def test_idle_link_is_closed_and_there_is_no_other_path():
    now = FakeClock()
    async with served(clock=now) as (_, url, _, keys), aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{url}/ws/v5/private") as socket:
            await socket.send_str(login(keys, now()))
            assert (await heard(socket))["code"] == "0"
            now.now_s += 31
            assert await heard(socket) == ("CLOSE", 4004)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"{url}/ws/v5/public")


@sdk_speaks
async def test_a_subscription_is_for_one_account_and_one_market_where_asked():
    async with served() as (sim, url, client, keys), opened(url, "private") as (socket,):
        other = sim.add_account("bob", {"USDT": Decimal(1_000)})
        await socket.send_str(login(keys, sim.clock()))
        await heard(socket)
        about = {"channel": "orders", "instType": "SPOT", "instId": "ETH-USDT"}
        await socket.send_json({"op": "subscribe", "args": [about]})
        assert (await heard(socket))["arg"] == about
        bob = TradeAPI(other.key, other.secret, other.passphrase, flag="0", domain=url.replace("ws", "http", 1))
        await asyncio.to_thread(bob.place_order, "ETH-USDT", "cash", "buy", "limit", "0.01", px="2900")
        bob.close()
        await asyncio.to_thread(client.place_order, "BTC-USDT", "cash", "buy", "limit", "0.01", px="40000")
        await asyncio.to_thread(client.place_order, "ETH-USDT", "cash", "buy", "limit", "0.02", px="2900")
        told = (await heard(socket))["data"][0]
        assert (told["instId"], told["sz"]) == ("ETH-USDT", "0.02")
