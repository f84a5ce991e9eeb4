"""Kraken's private WebSocket, version 2, and its triggered orders, to a client that knows nothing of this service.

Tokens come over HTTP by the official SDK (krakenex); the socket is spoken to with the package `websockets`.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from decimal import Decimal

import krakenex
import pytest
from simulator_client import FakeClock, MemoryClient, quiet_kraken
from websockets.asyncio.client import ClientConnection, connect

from copytrade.simulator.kraken import KrakenSimulator
from copytrade.simulator.server import SimulatorServer

WAIT_S = 10.0
LISTENING = ["query-open-trades", "query-closed-trades", "modify-trades", "create-ws-token", "query-funds"]


class Moved:
    """A clock that goes on by itself and can be moved."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


class Client:
    """One account of the simulated venue: the SDK for calls, a WebSocket for the stream."""

    def __init__(self, url: str, key: str, secret: str, socket: ClientConnection) -> None:
        self.api = krakenex.API(key, secret)
        self.api.uri = url
        self.socket = socket
        self.nonce = 0

    async def call(self, method: str, **values: object) -> dict:
        self.nonce += 1
        self.api._nonce = lambda: self.nonce
        answer = await asyncio.to_thread(self.api.query_private, method, dict(values), 10)
        assert answer["error"] == [], answer
        return answer["result"]

    async def order(self, side: str, ordertype: str, **values: str) -> str:
        fields = {"pair": "XBTUSD", "type": side, "ordertype": ordertype, "volume": "0.01", **values}
        return (await self.call("AddOrder", **fields))["txid"][0]

    async def token(self) -> str:
        return (await self.call("GetWebSocketsToken"))["token"]

    async def ask(self, method: str, **params: object) -> dict:
        """One request's answer."""
        await self.socket.send(json.dumps({"method": method, "params": params, "req_id": 7}))
        while True:
            answer = await self.hear()
            if "method" in answer or "error" in answer:
                return answer

    async def subscribe(self, **more: object) -> dict:
        return await self.ask("subscribe", channel="executions", token=await self.token(), **more)

    async def hear(self) -> dict:
        async with asyncio.timeout(WAIT_S):
            return json.loads(await self.socket.recv())

    async def executions(self, last: str) -> list[dict]:
        """Reports until one of this type, each with the number of its message."""
        reports: list[dict] = []
        while not reports or reports[-1]["exec_type"] != last:
            message = await self.hear()
            if message.get("channel") == "executions":
                reports += [{**each, "sequence": message["sequence"]} for each in message["data"]]
        return reports


@asynccontextmanager
async def client_of(venue: KrakenSimulator, permissions: list[str] | None = None):
    keys = venue.add_account("alice_smith", {"USD": Decimal(10_000), "BTC": Decimal(1)}, permissions=permissions)
    venue.set_price("BTC/USD", Decimal(50_000))
    async with SimulatorServer([venue]) as server:
        url = server.url("kraken")
        async with connect(url.replace("http", "ws") + "/v2") as socket:
            client = Client(url, keys.key, keys.secret, socket)
            try:
                yield client
            finally:
                client.api.close()


def make_venue(**settings: object) -> KrakenSimulator:
    return KrakenSimulator(volatility=0.0, spread=Decimal(0), rate_limits=False, heartbeat_s=0.1, **settings)


async def test_a_connection_says_its_status_answers_pings_and_is_quiet_until_somebody_subscribes():
    async with client_of(make_venue()) as client:
        status = await client.hear()
        assert (status["channel"], status["data"][0]["system"]) == ("status", "online")
        pong = await client.ask("ping")
        assert (pong["method"], pong["req_id"]) == ("pong", 7)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.socket.recv(), 0.4)
        answer = await client.subscribe()
        assert (answer["method"], answer["success"], answer["req_id"]) == ("subscribe", True, 7)
        assert answer["result"]["channel"] == "executions"
        assert await client.hear() == {"channel": "executions", "type": "snapshot", "data": [], "sequence": 1}
        assert await client.hear() == {"channel": "heartbeat"}
        assert (await client.subscribe())["error"] == "Already subscribed to one or more channels"
        assert (await client.ask("unsubscribe", channel="executions"))["success"] is True
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.socket.recv(), 0.4)


async def test_tokens_that_are_wrong_old_or_of_a_key_that_may_not_look_are_refused():
    clock = Moved()
    venue = make_venue(clock=clock)
    async with client_of(venue) as client:
        answer = await client.ask("subscribe", channel="executions", token="made-up")
        assert (answer["success"], answer["error"]) == (False, "ESession:Invalid session")
        token = await client.token()
        clock.ahead_s += 901
        answer = await client.ask("subscribe", channel="executions", token=token)
        assert answer["error"] == "ESession:Invalid session"
        assert venue.listeners() == {}
        assert (await client.subscribe())["success"] is True
        clock.ahead_s += 10_000  # the subscription goes on for as long as the connection
        await client.order("buy", "market")
        assert (await client.executions("filled"))[-1]["cum_qty"] == 0.01
    async with client_of(make_venue(), [each for each in LISTENING if each != "query-open-trades"]) as client:
        assert (await client.subscribe())["error"] == "EGeneral:Permission denied"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "Malformed request"), ("[]", "Malformed request"), ('{"method":"fly"}', "Unsupported method fly"),
        ('{"method":"subscribe","params":[]}', "Malformed request"),
        ('{"method":"subscribe","params":{"channel":"balances"}}', "Unsupported channel balances"),
        ('{"method":"subscribe","params":{"channel":"executions","snap_orders":"yes"}}', "Malformed request"),
        ('{"method":"unsubscribe","params":{"channel":"executions"}}', "Subscription Not Found"),
    ],
)  # fmt: skip
async def test_requests_that_cannot_be_understood_are_answered_so(text: str, error: str):
    async with client_of(make_venue()) as client:
        await client.hear()
        await client.socket.send(text)
        answer = await client.hear()
        assert (answer["success"], answer["error"]) == (False, error)


async def test_the_life_of_a_market_order():
    async with client_of(make_venue()) as client:
        await client.subscribe()
        txid = await client.order("buy", "market", cl_ord_id="ours")
        received, live, trade, filled = await client.executions("filled")
        assert [each["sequence"] for each in (received, live, trade, filled)] == [2, 3, 4, 5]
        assert {each["order_id"] for each in (received, live, trade, filled)} == {txid}
        assert received.items() >= {
            "exec_type": "pending_new", "order_status": "pending_new", "symbol": "BTC/USD", "side": "buy",
            "order_type": "market", "order_qty": 0.01, "cl_ord_id": "ours", "fee_ccy_pref": "fciq",
        }.items()  # fmt: skip
        assert (live["exec_type"], live["order_status"], "symbol" in live) == ("new", "new", False)
        assert trade.items() >= {
            "exec_type": "trade", "last_qty": 0.01, "last_price": 50_000.0, "cost": 500.0, "cum_qty": 0.01,
            "cum_cost": 500.0, "liquidity_ind": "t", "order_status": "partially_filled",
        }.items()  # fmt: skip
        assert trade["fees"] == [{"asset": "USD", "qty": 2.0}]
        assert (filled["order_status"], filled["cum_qty"]) == ("filled", 0.01)


async def test_a_stop_is_told_as_it_waits_as_it_is_triggered_and_as_it_fills():
    venue = make_venue()
    async with client_of(venue) as client:
        await client.subscribe()
        await client.order("sell", "stop-loss-limit", price="48000", price2="47000")
        received, _ = await client.executions("new")
        assert (received["order_type"], received["limit_price"]) == ("stop-loss-limit", 47_000.0)
        assert received["triggers"] == {
            "reference": "last", "price": 48_000.0, "price_type": "static", "actual_price": 48_000.0,
            "status": "untriggered",
        }  # fmt: skip
        venue.set_price("BTC/USD", Decimal(47_500))
        triggered, trade, _ = await client.executions("filled")
        assert (triggered["exec_type"], triggered["triggers"]["status"]) == ("status", "triggered")
        assert (trade["last_price"], trade["order_type"]) == (47_500.0, "stop-loss-limit")


async def test_a_snapshot_shows_what_is_open_and_the_last_trades():
    async with client_of(make_venue(fill_parts=1)) as client:
        resting = await client.order("buy", "limit", price="40000", cl_ord_id="resting")
        await client.order("buy", "market")
        await client.call("Balance")
        await client.subscribe(snap_trades=True)
        snapshot = await client.hear()
        assert snapshot["type"] == "snapshot"
        assert [each["exec_type"] for each in snapshot["data"]] == ["new", "trade"]
        assert (snapshot["data"][0]["order_id"], snapshot["data"][0]["cl_ord_id"]) == (resting, "resting")


async def test_cancels_amendments_and_expiries_are_told():
    clock = Moved()
    async with client_of(make_venue(clock=clock)) as client:
        await client.subscribe()
        txid = await client.order("buy", "limit", price="40000")
        await client.call("AmendOrder", txid=txid, limit_price="41000")
        await client.call("CancelOrder", txid=txid)
        *_, amended, cancelled = await client.executions("canceled")
        assert (amended["exec_type"], amended["limit_price"], amended["amended"]) == ("amended", 41_000.0, True)
        assert (cancelled["order_status"], cancelled["reason"]) == ("canceled", "User requested")
        await client.order("buy", "limit", price="40000", timeinforce="GTD", expiretm="+60")
        clock.ahead_s += 61
        assert (await client.executions("expired"))[-1]["order_status"] == "expired"


async def test_without_order_status_only_beginnings_and_ends_are_told():
    async with client_of(make_venue()) as client:
        await client.subscribe(order_status=False, snap_orders=False)
        await client.order("buy", "market")
        assert [each["exec_type"] for each in await client.executions("filled")] == ["new", "filled"]


# -- triggered orders over REST ---------------------------------------------------------------------------------


@pytest.fixture
def trader(clock: FakeClock) -> MemoryClient:
    venue = quiet_kraken(clock, rate_limits=False)
    keys = venue.add_account("alice_smith", {"USD": Decimal(100_000), "BTC": Decimal(1)})
    return MemoryClient(venue, keys)  # the price of bitcoin is 60,000


def placed(trader: MemoryClient, side: str, ordertype: str, **values: str) -> tuple[str, str]:
    """Txid and description of an order for 0.01."""
    result = trader.ok("AddOrder", pair="XBTUSD", type=side, ordertype=ordertype, volume="0.01", **values)
    return result["txid"][0], result["descr"]["order"]


@pytest.mark.parametrize(
    ("ordertype", "prices", "words", "reached", "cost"),
    [
        ("stop-loss", {"price": "59000"}, "stop loss 59000.0", "58900", "589.00000"),
        (
            "stop-loss-limit", {"price": "59000", "price2": "58000"}, "stop loss 59000.0 -> limit 58000.0", "58900",
            "589.00000",
        ),
        ("take-profit", {"price": "61000"}, "take profit 61000.0", "61100", "611.00000"),
        (
            "take-profit-limit", {"price": "61000", "price2": "60500", "trigger": "last"},
            "take profit 61000.0 -> limit 60500.0", "61100", "611.00000",
        ),
    ],
)  # fmt: skip
def test_triggered_orders_are_listed_wait_and_fill(trader, ordertype, prices, words, reached, cost):
    txid, description = placed(trader, "sell", ordertype, **prices)
    assert description == f"sell 0.01000000 XBTUSD @ {words}"
    order = trader.ok("OpenOrders")["open"][txid]
    assert (order["status"], order["descr"]["ordertype"], order["misc"]) == ("open", ordertype, "")
    assert Decimal(order["descr"]["price"]) == Decimal(order["stopprice"]) == Decimal(prices["price"])
    assert Decimal(order["descr"]["price2"]) == Decimal(prices.get("price2", "0"))
    assert trader.ok("BalanceEx")["XXBT"]["hold_trade"] == "0.0100000000"
    trader.simulator.set_price("BTC/USD", Decimal(reached))
    order = trader.ok("QueryOrders", txid=txid)[txid]
    assert (order["status"], order["cost"]) == ("closed", cost)
    assert order["misc"] == ("stopped" if ordertype.startswith("stop") else "touched")
    trade = next(iter(trader.ok("TradesHistory")["trades"].values()))
    assert (trade["ordertype"], trade["ordertxid"]) == (ordertype, txid)


def test_relative_prices_count_from_the_last_trade_and_limits_from_the_trigger(trader):
    txid, words = placed(trader, "sell", "stop-loss-limit", price="-1000", price2="-50")
    assert words.endswith("stop loss 59000.0 -> limit 58950.0")
    assert trader.ok("OpenOrders")["open"][txid]["stopprice"] == "59000.0"
    assert placed(trader, "sell", "take-profit", price="+5%")[1].endswith("take profit 63000.0")


def test_a_trigger_can_be_moved_until_it_is_reached(trader):
    txid, _ = placed(trader, "sell", "stop-loss-limit", price="59000", price2="58000")
    trader.ok("AmendOrder", txid=txid, trigger_price="59500", limit_price="58500")
    order = trader.ok("OpenOrders")["open"][txid]
    assert (order["descr"]["price"], order["descr"]["price2"], order["misc"]) == ("59500.0", "58500.0", "amended")
    assert trader.error("AmendOrder", txid=txid, trigger_price="59500.05").startswith("EOrder:Invalid price")
    trader.simulator.set_price("BTC/USD", Decimal(58_000))
    assert trader.ok("OpenOrders")["open"][txid]["misc"] == "stopped,amended"
    assert trader.error("AmendOrder", txid=txid, trigger_price="59000") == "EGeneral:Invalid arguments:trigger_price"
    trader.ok("AmendOrder", txid=txid, limit_price="58000")
    assert trader.ok("QueryOrders", txid=txid)[txid]["status"] == "closed"


def test_a_stop_without_a_limit_has_none_to_move(trader):
    txid, _ = placed(trader, "sell", "stop-loss", price="59000")
    assert trader.error("AmendOrder", txid=txid, limit_price="59000") == "EGeneral:Invalid arguments:limit_price"
    trader.ok("AmendOrder", txid=txid, order_qty="0.02")
    assert trader.ok("BalanceEx")["XXBT"]["hold_trade"] == "0.0200000000"
    trader.ok("CancelOrder", txid=txid)
    assert trader.ok("BalanceEx")["XXBT"]["hold_trade"] == "0.0000000000"
