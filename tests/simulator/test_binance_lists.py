"""Stops, take-profits and lists of orders (OCO) at the simulated Binance, and the stream of its WebSocket API."""

from __future__ import annotations

import asyncio
import json
import time
from decimal import Decimal
from typing import Any

import pytest
from binance.async_client import AsyncClient
from binance.client import Client
from binance.ws.streams import BinanceSocketManager
from binance.ws.websocket_api import WebsocketAPI
from binance_client import ORDER, BinanceClient, binance_sign, quiet_binance
from simulator_client import FakeClock

from copytrade.simulator.binance import BinanceSimulator
from copytrade.simulator.server import ServerThread, SimulatorServer
from copytrade.simulator.streams import Change, Ping, StreamEnd
from copytrade.simulator.venue import Incoming

OCO, LIST = "/api/v3/orderList/oco", "/api/v3/orderList"
MONEY = {"USDT": Decimal(10_000), "BTC": Decimal(1)}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def venue(clock: FakeClock) -> BinanceSimulator:
    return quiet_binance(clock, rate_limits=False)


@pytest.fixture
def alice(venue: BinanceSimulator) -> BinanceClient:
    return BinanceClient(venue, venue.add_account("alice_smith", MONEY))


def stop_fields(kind: str, side: str = "SELL", stop: str = "48000", **more: str) -> dict[str, str]:
    return {
        "symbol": "BTCUSDT", "side": side, "type": kind, "quantity": "0.01", "stopPrice": stop, **more,
    }  # fmt: skip


def oco_fields(**changes: Any) -> dict[str, Any]:
    fields = {
        "symbol": "BTCUSDT", "side": "SELL", "quantity": "0.01", "aboveType": "LIMIT_MAKER", "abovePrice": "52000",
        "belowType": "STOP_LOSS", "belowStopPrice": "48000", "listClientOrderId": "mine", "aboveClientOrderId": "mineP",
        "belowClientOrderId": "mineS", **changes,
    }  # fmt: skip
    return {name: value for name, value in fields.items() if value is not None}


def locked(client: BinanceClient, asset: str) -> Decimal:
    return next(
        Decimal(each["locked"]) for each in client.ok("GET", "/api/v3/account")["balances"] if each["asset"] == asset
    )


def states(client: BinanceClient) -> dict[str, tuple[str, str]]:
    rows = client.ok("GET", "/api/v3/allOrders", symbol="BTCUSDT")
    return {row["clientOrderId"]: (row["status"], row["executedQty"]) for row in rows}


# -- stops -------------------------------------------------------------------------------------------------------------


def test_stop_waits_outside_the_book_and_holds_its_money(venue, alice):
    order = alice.ok("POST", ORDER, **stop_fields("STOP_LOSS", newClientOrderId="mine", newOrderRespType="FULL"))
    assert (order["status"], order["stopPrice"], order["workingTime"], order["fills"]) == (
        "NEW", "48000.00000000", -1, [],
    )  # fmt: skip
    assert locked(alice, "BTC") == Decimal("0.01")
    assert alice.ok("GET", ORDER, symbol="BTCUSDT", orderId=order["orderId"])["isWorking"] is False
    venue.set_price("BTC/USDT", Decimal(47_900))
    shown = alice.ok("GET", ORDER, symbol="BTCUSDT", orderId=order["orderId"])
    assert (shown["status"], shown["type"], shown["cummulativeQuoteQty"]) == ("FILLED", "STOP_LOSS", "479.00000000")


def test_kinds_of_triggers_answer_shortly_unless_asked(alice):
    answer = alice.ok("POST", ORDER, **stop_fields("TAKE_PROFIT", stop="52000"))
    assert set(answer) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}


def test_stop_limit_that_was_triggered_works_on_under_its_id(venue, alice):
    fields = stop_fields("STOP_LOSS_LIMIT", price="47000", timeInForce="GTC")
    order_id = alice.ok("POST", ORDER, **fields)["orderId"]
    venue.set_price("BTC/USDT", Decimal(46_000))
    (order,) = alice.ok("GET", "/api/v3/openOrders")
    assert (order["orderId"], order["status"], order["isWorking"]) == (order_id, "NEW", True)
    venue.set_price("BTC/USDT", Decimal(47_000))
    assert alice.ok("GET", ORDER, symbol="BTCUSDT", orderId=order_id)["status"] == "FILLED"


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        (stop_fields("STOP_LOSS", stop="50500"), -2010, "trigger immediately"),
        (stop_fields("TAKE_PROFIT", stop="49500"), -2010, "trigger immediately"),
        (stop_fields("STOP_LOSS", side="BUY", stop="49500"), -2010, "trigger immediately"),
        (stop_fields("STOP_LOSS", price="47000"), -1106, "price"),
        (stop_fields("STOP_LOSS", timeInForce="GTC"), -1106, "timeInForce"),
        (stop_fields("STOP_LOSS_LIMIT", price="47000"), -1102, "timeInForce"),
        (stop_fields("STOP_LOSS_LIMIT", timeInForce="GTC"), -1102, "price"),
        (stop_fields("STOP_LOSS", stop="48000.001"), -1013, "PRICE_FILTER"),
        (stop_fields("STOP_LOSS", stop="0"), -1013, "stopPrice"),
        ({**stop_fields("STOP_LOSS", stop="0.04"), "symbol": "ETHBTC"}, -2010, "not supported"),
    ],
)  # fmt: skip
def test_wrong_stop_is_refused(alice, fields, code, words):
    status, told, message = alice.error("POST", ORDER, **fields)
    assert (status, told) == (400, code)
    assert words in message


def test_sixth_order_that_waits_in_a_market_is_refused(alice):
    for _ in range(4):
        alice.ok("POST", ORDER, **stop_fields("STOP_LOSS"))
    alice.ok("POST", OCO, **oco_fields())
    assert "MAX_NUM_ALGO_ORDERS" in alice.error("POST", ORDER, **stop_fields("STOP_LOSS"))[2]
    assert "MAX_NUM_ALGO_ORDERS" in alice.error("POST", OCO, **oco_fields(listClientOrderId="other"))[2]
    assert alice.limit("BUY", "49000")["status"] == "NEW", "one that does not wait is no such order"


# -- lists -------------------------------------------------------------------------------------------------------------


def test_list_shows_two_orders_that_share_their_money(alice):
    answer = alice.ok("POST", OCO, **oco_fields(newOrderRespType="RESULT"))
    assert (answer["contingencyType"], answer["listStatusType"], answer["listClientOrderId"]) == (
        "OCO", "EXEC_STARTED", "mine",
    )  # fmt: skip
    profit, loss = answer["orderReports"]
    assert (profit["type"], profit["price"], profit["clientOrderId"]) == ("LIMIT_MAKER", "52000.00000000", "mineP")
    assert (loss["type"], loss["stopPrice"], loss["clientOrderId"]) == ("STOP_LOSS", "48000.00000000", "mineS")
    assert profit["orderListId"] == loss["orderListId"] == answer["orderListId"]
    assert profit["orderId"] != loss["orderId"]
    assert locked(alice, "BTC") == Decimal("0.01"), "not twice"
    assert {each["orderId"] for each in alice.ok("GET", "/api/v3/openOrders")} == {profit["orderId"], loss["orderId"]}
    for number in (profit["orderId"], loss["orderId"]):
        assert alice.ok("GET", ORDER, symbol="BTCUSDT", orderId=number)["orderId"] == number
    shown = alice.ok("GET", LIST, orderListId=answer["orderListId"])
    assert shown["orders"] == answer["orders"]
    assert shown == alice.ok("GET", LIST, origClientOrderId="mine")
    assert alice.ok("GET", "/api/v3/openOrderList") == [shown] == alice.ok("GET", "/api/v3/allOrderList")


def test_profit_ends_the_loss(venue, alice):
    alice.ok("POST", OCO, **oco_fields())
    venue.set_price("BTC/USDT", Decimal(52_100))
    assert states(alice) == {"mineP": ("FILLED", "0.01000000"), "mineS": ("EXPIRED", "0.00000000")}
    (trade,) = alice.ok("GET", "/api/v3/myTrades", symbol="BTCUSDT")
    assert trade["orderId"] == alice.ok("GET", ORDER, symbol="BTCUSDT", origClientOrderId="mineP")["orderId"]
    assert alice.ok("GET", "/api/v3/openOrderList") == []
    assert alice.ok("GET", LIST, origClientOrderId="mine")["listOrderStatus"] == "ALL_DONE"


def test_loss_ends_the_profit(venue, alice):
    alice.ok("POST", OCO, **oco_fields())
    venue.set_price("BTC/USDT", Decimal(47_900))
    assert states(alice) == {"mineP": ("EXPIRED", "0.00000000"), "mineS": ("FILLED", "0.01000000")}
    (trade,) = alice.ok("GET", "/api/v3/myTrades", symbol="BTCUSDT")
    assert trade["orderId"] == alice.ok("GET", ORDER, symbol="BTCUSDT", origClientOrderId="mineS")["orderId"]


def test_first_fill_of_the_profit_ends_the_loss_for_good(clock):
    venue = quiet_binance(clock, rate_limits=False, fill_parts=2, fill_delay_ms=60_000)
    alice = BinanceClient(venue, venue.add_account("alice_smith", MONEY))
    alice.ok("POST", OCO, **oco_fields())
    clock.now_s += 61
    alice.ok("GET", "/api/v3/openOrders")
    venue.set_price("BTC/USDT", Decimal(52_100))
    assert states(alice) == {"mineP": ("PARTIALLY_FILLED", "0.00500000"), "mineS": ("EXPIRED", "0.00000000")}
    venue.set_price("BTC/USDT", Decimal(47_900))
    clock.now_s += 1
    assert states(alice)["mineS"] == ("EXPIRED", "0.00000000")
    assert [order["clientOrderId"] for order in alice.ok("GET", "/api/v3/openOrders")] == ["mineP"]


@pytest.mark.parametrize(
    ("verb", "path", "fields"),
    [
        ("DELETE", LIST, {"listClientOrderId": "mine"}), ("DELETE", ORDER, {"origClientOrderId": "mineS"}),
        ("DELETE", ORDER, {"origClientOrderId": "mineP"}), ("DELETE", "/api/v3/openOrders", {}),
    ],
)  # fmt: skip
def test_cancelling_one_of_a_list_cancels_both(alice, verb, path, fields):
    alice.ok("POST", OCO, **oco_fields())
    alice.ok(verb, path, symbol="BTCUSDT", **fields)
    assert {status for status, _ in states(alice).values()} == {"CANCELED"}
    assert locked(alice, "BTC") == 0
    assert alice.error(verb, path, symbol="BTCUSDT", **fields)[1] == -2011


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"abovePrice": "49000"}, -2010, "relationship"), ({"belowStopPrice": "50500"}, -2010, "relationship"),
        ({"side": "BUY"}, -2010, "relationship"), ({"quantity": "0.000001"}, -1013, "LOT_SIZE"),
        ({"abovePrice": "52000.001"}, -1013, "PRICE_FILTER"), ({"belowStopPrice": None}, -1102, "belowStopPrice"),
        ({"aboveType": None}, -1102, "aboveType"), ({"aboveType": "MARKET"}, -1116, "orderType"),
        ({"belowType": "STOP_LOSS_LIMIT"}, -1020, "not simulated"), ({"belowPrice": "47000"}, -1106, "belowPrice"),
        ({"quantity": "5"}, -2010, "insufficient"), ({"belowClientOrderId": "mineP"}, -2010, "Duplicate"),
        ({"symbol": "ETHBTC"}, -2010, "OCO orders are not supported"), ({"what": "1"}, -1104, "Not all sent"),
    ],
)  # fmt: skip
def test_wrong_list_is_refused(alice, changes, code, words):
    status, told, message = alice.error("POST", OCO, **oco_fields(**changes))
    assert (status, told) == (400, code)
    assert words in message
    assert alice.ok("GET", "/api/v3/allOrderList") == []


def test_ids_of_open_orders_are_taken(alice):
    alice.ok("POST", OCO, **oco_fields())
    for changes in ({}, {"listClientOrderId": "other"}, {"listClientOrderId": "other", "aboveClientOrderId": "a"}):
        assert alice.error("POST", OCO, **oco_fields(**changes))[1:] == (-2010, "Duplicate order sent.")


def test_somebody_elses_list_is_not_there(venue, alice):
    answer = alice.ok("POST", OCO, **oco_fields())
    bob = BinanceClient(venue, venue.add_account("bob", MONEY))
    assert bob.error("GET", LIST, orderListId=answer["orderListId"])[1] == -2013
    assert bob.error("DELETE", LIST, symbol="BTCUSDT", orderListId=answer["orderListId"])[1] == -2011
    for each in answer["orders"]:
        assert bob.error("GET", ORDER, symbol="BTCUSDT", orderId=each["orderId"])[1] == -2013


def test_list_counts_as_two_unfilled_orders(clock):
    venue = quiet_binance(clock, orders_per_10_s=3)
    alice = BinanceClient(venue, venue.add_account("alice_smith", MONEY))
    reply = alice.signed("POST", OCO, **oco_fields())
    assert reply.headers["X-MBX-ORDER-COUNT-10S"] == "2"
    other = oco_fields(listClientOrderId="other", aboveClientOrderId="a", belowClientOrderId="b")
    assert alice.error("POST", OCO, **other)[:2] == (429, -1015)
    assert alice.limit("BUY", "49000")["status"] == "NEW"


def test_lists_outlive_a_restart(tmp_path, clock):
    settings = {"store": tmp_path / "binance.sqlite", "rate_limits": False}
    first = quiet_binance(clock, **settings)
    keys = first.add_account("alice_smith", MONEY)
    alice = BinanceClient(first, keys)
    answer = alice.ok("POST", OCO, **oco_fields())
    alice.ok("POST", ORDER, **stop_fields("STOP_LOSS", newClientOrderId="stop"))
    first.close()
    second = quiet_binance(clock, **settings)
    try:
        alice = BinanceClient(second, keys)
        assert alice.ok("GET", LIST, orderListId=answer["orderListId"])["orders"] == answer["orders"]
        second.set_price("BTC/USDT", Decimal(47_900))
        assert {name: status for name, (status, _) in states(alice).items()} == {
            "mineP": "EXPIRED", "mineS": "FILLED", "stop": "FILLED",
        }  # fmt: skip
    finally:
        second.close()


def test_official_sdk_places_stops_and_lists(venue):
    keys = venue.add_account("alice_smith", MONEY)
    with ServerThread([venue]) as server:

        class Loopback(Client):
            API_URL = server.url("binance") + "/api"

        sdk = Loopback(keys.key, keys.secret, ping=False)
        sdk.session.trust_env = False
        sdk.timestamp_offset = (venue.clock() - time.time()) * 1000
        stop = sdk.create_order(**stop_fields("STOP_LOSS_LIMIT", price="47900", timeInForce="GTC"))
        listed = sdk.create_oco_order(**oco_fields())
        assert len(sdk.get_open_orders(symbol="BTCUSDT")) == 3
        assert len(sdk.get_open_oco_orders()) == 1
        sdk.v3_delete_order_list(symbol="BTCUSDT", orderListId=listed["orderListId"])
        sdk.cancel_order(symbol="BTCUSDT", orderId=stop["orderId"])
        assert sdk.get_open_orders(symbol="BTCUSDT") == []
        sdk.session.close()
        sdk.loop.close()


# -- the stream --------------------------------------------------------------------------------------------------------


class Listener:
    """A connection to the stream in memory."""

    def __init__(self, venue: BinanceSimulator, path: str = "/ws-api/v3", remote: str = "127.0.0.1") -> None:
        self.venue = venue
        self.session = venue.open_stream(Incoming("GET", path, "", {}, b"", remote, venue.clock()))

    def ask(self, method: str, **values: Any) -> dict[str, Any]:
        text = json.dumps({"id": 1, "method": method, "params": values})
        (answer,) = self.session.received(text, self.venue.clock())
        return json.loads(answer)

    def subscribe(self, client: BinanceClient, **changes: Any) -> dict[str, Any]:
        values = {"apiKey": client.credentials.key, "timestamp": int(self.venue.clock() * 1000), **changes}
        text = "&".join(f"{name}={values[name]}" for name in sorted(values))
        return self.ask(
            "userDataStream.subscribe.signature",
            **{**values, "signature": changes.get("signature") or binance_sign(client.credentials.secret, text)},
        )


def test_subscription_is_numbered(venue, alice):
    listener = Listener(venue)
    assert listener.subscribe(alice) == {
        "id": 1, "status": 200, "result": {"subscriptionId": 0}, "rateLimits": [],
    }  # fmt: skip
    assert listener.session.account == "alice_smith"
    assert listener.subscribe(alice, recvWindow=5_000)["result"] == {"subscriptionId": 1}


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"apiKey": "nobody"}, 401, -2015), ({"apiKey": "?"}, 401, -2014), ({"signature": "00"}, 400, -1022),
        ({"timestamp": 1}, 400, -1021), ({"timestamp": "now"}, 400, -1102), ({"what": 1}, 400, -1104),
        ({"recvWindow": 60_001}, 400, -1131),
    ],
)  # fmt: skip
def test_wrong_subscription_is_refused(venue, alice, changes, status, code):
    listener = Listener(venue)
    answer = listener.subscribe(alice, **changes)
    assert (answer["status"], answer["error"]["code"]) == (status, code)
    assert listener.session.account is None


def test_key_from_another_address_is_refused(venue, alice):
    assert Listener(venue, remote="192.0.2.1").subscribe(alice)["error"]["code"] == -2015


def test_methods_that_have_ended_or_are_not_simulated_say_so(venue):
    listener = Listener(venue)
    for method in ("userDataStream.start", "order.place", "session.logon"):
        assert listener.ask(method)["error"]["code"] == -1020
    assert listener.ask("ping")["result"] == {}
    for text in ("{", "[]", '{"id": 1}', '{"method": 5}'):
        assert json.loads(listener.session.received(text, 0)[0])["status"] == 400


def test_there_is_no_other_stream(venue):
    assert Listener(venue, path="/ws").session is None


def test_server_pings_and_ends_a_connection_after_a_day(venue, clock):
    listener = Listener(venue)
    assert listener.session.tick(clock.now_s + 19) == ()
    (ping,) = listener.session.tick(clock.now_s + 20)
    assert isinstance(ping, Ping)
    assert listener.session.tick(clock.now_s + 39) == ()
    with pytest.raises(StreamEnd):
        listener.session.tick(clock.now_s + 86_400)


def told(venue: BinanceSimulator, listener: Listener, changes: list[Change]) -> list[tuple[str, ...]]:
    """Kinds of events, with type, execution and status of orders, and of lists their state."""
    found: list[tuple[str, ...]] = []
    for change in changes:
        for text in listener.session.changed(change):
            event = json.loads(text)["event"]
            if event["e"] == "executionReport":
                found.append((event["o"], event["x"], event["X"], event["z"]))
            elif event["e"] == "listStatus":
                found.append(("list", event["l"]))
    return found


def test_events_of_a_list_tell_each_order_and_the_whole(venue, alice):
    listener = Listener(venue)
    listener.subscribe(alice)
    subscription = venue.books.streams.subscribe("alice_smith")
    alice.ok("POST", OCO, **oco_fields())
    venue.set_price("BTC/USDT", Decimal(47_900))
    assert told(venue, listener, subscription.take()) == [
        ("list", "EXEC_STARTED"),
        ("LIMIT_MAKER", "NEW", "NEW", "0.00000000"),
        ("STOP_LOSS", "NEW", "NEW", "0.00000000"),
        ("LIMIT_MAKER", "EXPIRED", "EXPIRED", "0.00000000"),
        ("STOP_LOSS", "TRADE", "FILLED", "0.01000000"),
        ("list", "ALL_DONE"),
    ]
    venue.set_price("BTC/USDT", Decimal(50_000))
    alice.ok("POST", OCO, **oco_fields())
    venue.set_price("BTC/USDT", Decimal(52_100))
    assert told(venue, listener, subscription.take())[3:] == [
        ("STOP_LOSS", "EXPIRED", "EXPIRED", "0.00000000"),
        ("LIMIT_MAKER", "TRADE", "FILLED", "0.01000000"),
        ("list", "ALL_DONE"),
    ]
    venue.set_price("BTC/USDT", Decimal(50_000))
    alice.ok("POST", OCO, **oco_fields())
    alice.ok("DELETE", LIST, symbol="BTCUSDT", listClientOrderId="mine")
    assert told(venue, listener, subscription.take())[3:] == [
        ("LIMIT_MAKER", "CANCELED", "CANCELED", "0.00000000"),
        ("STOP_LOSS", "CANCELED", "CANCELED", "0.00000000"),
        ("list", "ALL_DONE"),
    ]


async def test_official_sdk_follows_its_account(clock):
    """python-binance's own user socket: it finds the stream, and is told of an order from its start to its fill."""
    venue = BinanceSimulator(volatility=0.0, spread=Decimal(0))
    venue.set_price("BTC/USDT", Decimal(50_000))
    keys = venue.add_account("alice_smith", MONEY)
    client = BinanceClient(venue, keys)
    async with SimulatorServer([venue]) as server:
        sdk = AsyncClient(keys.key, keys.secret)
        sdk.ws_api = WebsocketAPI(url=server.url("binance").replace("http", "ws") + "/ws-api/v3", tld="com")
        sdk.ws_api.TIMEOUT = 0.5  # it looks this often whether it was closed, and waits as long for an answer
        try:
            async with asyncio.timeout(20), BinanceSocketManager(sdk).user_socket() as stream:
                placed = await asyncio.to_thread(client.limit, "BUY", "49000", newClientOrderId="mine")
                events = [await stream.recv() for _ in range(2)]
                venue.set_price("BTC/USDT", Decimal(48_900))
                events += [await stream.recv() for _ in range(2)]
        finally:
            await sdk.close_connection()
    reports = [event for event in events if event["e"] == "executionReport"]
    assert [(each["x"], each["X"], each["z"]) for each in reports] == [
        ("NEW", "NEW", "0.00000000"), ("TRADE", "FILLED", "0.00100000"),
    ]  # fmt: skip
    assert {each["i"] for each in reports} == {placed["orderId"]}
    assert reports[1]["N"] == "BTC"
    balances = [event for event in events if event["e"] == "outboundAccountPosition"]
    assert balances[0]["B"][1] == {"a": "USDT", "f": "9951.00000000", "l": "49.00000000"}
