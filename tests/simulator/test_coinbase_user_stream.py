"""The stream of the simulated Coinbase, by its session, by raw WebSockets and by Coinbase's own Python SDK."""

from __future__ import annotations

import asyncio
import json
import queue
from decimal import Decimal
from typing import Any

import aiohttp
import jwt as pyjwt
import pytest
from coinbase.websocket import WSUserClient
from coinbase_client import CoinbaseClient, quiet_coinbase
from cryptography.hazmat.primitives import serialization
from simulator_client import FakeClock

from copytrade.simulator.coinbase import CoinbaseSimulator
from copytrade.simulator.coinbase.call import Rules
from copytrade.simulator.coinbase.tokens import read_secret
from copytrade.simulator.coinbase.user_stream import UserStream
from copytrade.simulator.server import ServerThread, SimulatorServer
from copytrade.simulator.streams import StreamEnd
from copytrade.simulator.venue import Credentials, Incoming

WAIT_S = 10.0


@pytest.fixture
def coinbase(clock: FakeClock) -> CoinbaseSimulator:
    return quiet_coinbase(clock, rate_limits=False)


@pytest.fixture
def bob(coinbase) -> CoinbaseClient:
    return client(coinbase)


def client(simulator: CoinbaseSimulator, **settings: Any) -> CoinbaseClient:
    simulator.set_price("BTC/USD", Decimal(50_000))
    money = {"USD": Decimal(10_000), "BTC": Decimal(1)}
    return CoinbaseClient(simulator, simulator.add_account("bob_jones", money, **settings))


class Session:
    """A stream as the server would drive it, without a socket."""

    def __init__(self, bob: CoinbaseClient) -> None:
        self.simulator = bob.simulator
        self.keys = bob.credentials
        opened = self.simulator.open_stream(Incoming("GET", "/", "", {}, b"", "127.0.0.1", self.now_s))
        assert isinstance(opened, UserStream)
        self.stream = opened
        self.subscription: Any = None

    @property
    def now_s(self) -> float:
        return self.simulator.clock()

    def say(self, **values: Any) -> list[dict[str, Any]]:
        self.simulator.exchange.advance(self.now_s)
        said = self.stream.received(json.dumps(values), self.now_s)
        if self.stream.account is not None and self.subscription is None:
            self.subscription = self.simulator.books.streams.subscribe(self.stream.account)
        return [json.loads(each) for each in said]

    def subscribe(self, channel: str = "user", **values: Any) -> list[dict[str, Any]]:
        jwt = ws_token(self.keys, self.now_s)
        return self.say(**{"type": "subscribe", "channel": channel, "jwt": jwt, **values})

    def heard(self) -> list[dict[str, Any]]:
        """What happened since, in the venue's words, and then what a tick adds."""
        self.simulator.exchange.advance(self.now_s)
        taken = [] if self.subscription is None else self.subscription.take()
        said = [each for change in taken for each in self.stream.changed(change)]
        return [json.loads(each) for each in [*said, *self.stream.tick(self.now_s)]]

    def orders(self) -> list[tuple[str, str, str]]:
        """Id, status and what is filled of every order that is told of now."""
        return [
            (order["order_id"], order["status"], order["cumulative_quantity"])
            for message in self.heard() if message["channel"] == "user"
            for event in message["events"]
            for order in event["orders"]
        ]  # fmt: skip


def ws_token(keys: Credentials, now_s: float, **claims: Any) -> str:
    """What the SDK makes for the stream: the token of a request, without the request."""
    pem = read_secret(keys.secret).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    payload = {"sub": keys.key, "iss": "cdp", "nbf": int(now_s), "exp": int(now_s) + 120, **claims}
    algorithm = "ES256" if "BEGIN" in keys.secret else "EdDSA"
    return pyjwt.encode(payload, pem, algorithm, {"kid": keys.key, "nonce": "00"})


FAILURE = [{"type": "error", "message": "authentication failure"}]


# -- the session ---------------------------------------------------------------------------------------------------


def test_subscription_is_confirmed_and_followed_by_what_is_open(bob):
    for number in range(51):
        bob.limit(f"order {number}", str(30_000 + number))
    session = Session(bob)
    confirmed, first, second = session.subscribe()
    assert confirmed["channel"] == "subscriptions"
    assert confirmed["events"] == [{"subscriptions": {"user": ["bob_jones"]}}]
    events = [message["events"][0] for message in (first, second)]
    assert [(event["type"], len(event["orders"])) for event in events] == [("snapshot", 50), ("snapshot", 1)]
    assert [message["sequence_num"] for message in (confirmed, first, second)] == [0, 1, 2]


def test_account_without_orders_gets_an_empty_page(bob):
    (_, page) = Session(bob).subscribe()
    assert page["events"] == [{"type": "snapshot", "orders": []}]


def test_order_is_told_of_from_pending_to_its_end(bob):
    session = Session(bob)
    session.subscribe()
    order_id = bob.id_of(bob.limit("one", "49000", size="0.01"))
    assert session.orders() == [(order_id, "PENDING", "0"), (order_id, "OPEN", "0")]
    bob.simulator.set_price("BTC/USD", Decimal(48_900))
    assert session.orders() == [(order_id, "FILLED", "0.01")]
    market = bob.id_of(bob.market("two", base_size="0.001"))
    bob.get("/accounts")
    assert session.orders() == [(market, "PENDING", "0"), (market, "FILLED", "0.001")]
    cancelled = bob.id_of(bob.limit("three", "40000"))
    bob.call("POST", "/orders/batch_cancel", {"order_ids": [cancelled]})
    assert session.orders() == [(cancelled, "PENDING", "0"), (cancelled, "CANCELLED", "0")]


def test_order_that_is_triggered_and_edited(bob):
    session = Session(bob)
    session.subscribe()
    values = {"base_size": "0.01", "limit_price": "47000", "stop_price": "48000",
              "stop_direction": "STOP_DIRECTION_STOP_DOWN"}  # fmt: skip
    order_id = bob.id_of(bob.order("one", side="SELL", stop_limit_stop_limit_gtc=values))
    (told,) = [message["events"][0]["orders"][0] for message in session.heard()]
    assert (told["order_type"], told["trigger_status"], told["stop_price"]) == ("Stop Limit", "STOP_PENDING", "48000")
    bob.call("POST", "/orders/edit", {"order_id": order_id, "price": "46500", "size": "0.02"})
    bob.simulator.set_price("BTC/USD", Decimal(46_000))
    edited, triggered = [message["events"][0]["orders"][0] for message in session.heard()]
    assert (edited["limit_price"], edited["leaves_quantity"], edited["trigger_status"]) == (
        "46500", "0.02", "STOP_PENDING",
    )  # fmt: skip
    assert triggered["trigger_status"] == "STOP_TRIGGERED"


@pytest.mark.parametrize("prices", [True, False])
def test_prices_and_values_may_be_left_out(clock, prices):
    bob = client(quiet_coinbase(clock, rate_limits=False, rules=Rules(stream_prices=prices)))
    session = Session(bob)
    session.subscribe()
    bob.limit("one", "49000")
    order = session.heard()[0]["events"][0]["orders"][0]
    assert (order["client_order_id"], order["order_side"], order["product_id"]) == ("one", "BUY", "BTC-USD")
    assert order.get("limit_price") == ("49000" if prices else None)
    assert ("filled_value" in order) is prices


def test_only_the_products_that_were_asked_for(bob):
    session = Session(bob)
    session.subscribe(product_ids=["ETH-USD"])
    bob.limit("one", "49000")
    assert session.orders() == []


def test_heartbeats_come_every_second_and_are_counted(bob, clock):
    session = Session(bob)
    (confirmed,) = session.say(type="subscribe", channel="heartbeats")
    assert confirmed["events"] == [{"subscriptions": {"heartbeats": ["heartbeats"]}}]
    beats = []
    for _ in range(3):
        clock.now_s += 1
        beats += session.heard()
    assert [beat["events"][0]["heartbeat_counter"] for beat in beats] == [1, 2, 3]
    assert [beat["sequence_num"] for beat in beats] == [1, 2, 3]
    assert session.heard() == []
    session.say(type="unsubscribe", channel="heartbeats")
    clock.now_s += 10
    assert session.heard() == []


def test_connection_that_nobody_uses_is_closed(bob, clock):
    session = Session(bob)
    clock.now_s += 4.9
    session.heard()
    clock.now_s += 0.2
    with pytest.raises(StreamEnd):
        session.heard()


def test_subscription_without_heartbeats_closes_when_nothing_happens(bob, clock):
    session = Session(bob)
    session.subscribe()
    clock.now_s += 89
    assert session.heard() == []
    clock.now_s += 2
    with pytest.raises(StreamEnd):
        session.heard()


def test_end_of_a_subscription_is_an_end(bob):
    session = Session(bob)
    session.subscribe()
    (left,) = session.say(type="unsubscribe", channel="user")
    assert left["events"] == [{"subscriptions": {}}]
    assert session.stream.account is None


@pytest.mark.parametrize(
    "claims",
    [{"exp": 1}, {"iss": "me"}, {"iss": "coinbase-cloud"}, {"sub": "another"}, {"uri": "GET api.coinbase.com/x"},
     {"uris": []}],
    ids=str,
)  # fmt: skip
def test_token_that_does_not_hold_is_refused(bob, claims):
    session = Session(bob)
    assert session.subscribe(jwt=ws_token(bob.credentials, session.now_s, **claims)) == FAILURE
    assert session.stream.account is None
    assert session.subscribe()[0]["channel"] == "subscriptions"  # and the connection is not lost


def test_token_of_the_older_form_holds(bob):
    older = ws_token(bob.credentials, bob.simulator.clock(), iss="coinbase-cloud", aud=["retail_rest_api_proxy"])
    assert Session(bob).subscribe(jwt=older)[0]["channel"] == "subscriptions"


@pytest.mark.parametrize("jwt", [None, "", "a.b.c", 7])
def test_what_is_no_token_is_refused(bob, jwt):
    assert Session(bob).subscribe(jwt=jwt) == FAILURE


def test_expired_token_and_key_that_may_not_look(bob, clock, coinbase):
    old = ws_token(bob.credentials, clock.now_s)
    clock.now_s += 121
    assert Session(bob).subscribe(jwt=old) == FAILURE
    blind = coinbase.add_account("dave_black", {}, permissions=["trade"])
    assert Session(CoinbaseClient(coinbase, blind)).subscribe() == FAILURE
    assert Session(bob).say(type="subscribe", channel="heartbeats", jwt=old) == FAILURE


def test_one_connection_is_one_users(bob, coinbase):
    other = coinbase.add_account("dave_black", {"USD": Decimal(1)})
    session = Session(bob)
    session.subscribe()
    assert session.subscribe(jwt=ws_token(other, session.now_s)) == FAILURE
    assert session.stream.account == "bob_jones"


@pytest.mark.parametrize(
    "values",
    [{"type": "hello"}, {"type": "subscribe", "channel": "level2"}, {"type": "subscribe"},
     {"type": "subscribe", "channel": "user", "product_ids": "BTC-USD"}],
    ids=str,
)  # fmt: skip
def test_requests_that_are_none(bob, values):
    (answer,) = Session(bob).say(**values)
    assert answer["type"] == "error"
    assert Session(bob).stream.received("{", 0.0) == ['{"type":"error","message":"failure to parse message"}']


def test_stream_is_at_the_root_alone(coinbase):
    assert coinbase.open_stream(Incoming("GET", "/ws", "", {}, b"", "127.0.0.1", 0.0)) is None


# -- over the wire -------------------------------------------------------------------------------------------------


async def test_raw_client_over_a_websocket():
    simulator = CoinbaseSimulator(volatility=0.0, spread=Decimal(0))
    bob = client(simulator, kind="ecdsa")
    async with SimulatorServer([simulator]) as server, aiohttp.ClientSession() as session:
        async with session.ws_connect(server.url("coinbase")) as socket, asyncio.timeout(WAIT_S):
            jwt = ws_token(bob.credentials, simulator.clock())
            await socket.send_json({"type": "subscribe", "channel": "user", "jwt": jwt})
            assert (await socket.receive_json())["channel"] == "subscriptions"
            assert (await socket.receive_json())["events"][0]["type"] == "snapshot"
            order_id = bob.id_of(bob.limit("one", "49000"))
            simulator.set_price("BTC/USD", Decimal(48_000))
            statuses = []
            while "FILLED" not in statuses:
                order = (await socket.receive_json())["events"][0]["orders"][0]
                assert order["order_id"] == order_id
                statuses.append(order["status"])
            assert statuses in (["PENDING", "FILLED"], ["PENDING", "OPEN", "FILLED"])
        async with session.ws_connect(server.url("coinbase")) as socket, asyncio.timeout(WAIT_S):
            await socket.send_json({"type": "subscribe", "channel": "user", "jwt": "no.such.token"})
            assert [await socket.receive_json()] == FAILURE
    simulator.close()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_coinbases_own_sdk_hears_of_orders(kind):
    simulator = CoinbaseSimulator(volatility=0.0, spread=Decimal(0))
    bob = client(simulator, kind=kind)
    said: queue.Queue[dict[str, Any]] = queue.Queue()
    with ServerThread([simulator]) as server:
        sdk = WSUserClient(
            bob.credentials.key, bob.credentials.secret, base_url=server.url("coinbase").replace("http", "ws"),
            on_message=lambda text: said.put(json.loads(text)), retry=False, timeout=10,
        )  # fmt: skip
        sdk.open()
        try:
            sdk.heartbeats()
            sdk.user([])
            order_id = ""
            numbers, channels, statuses = [], set(), set()
            while not (order_id and {"heartbeats", "subscriptions", "user"} <= channels and "FILLED" in statuses):
                message = said.get(timeout=WAIT_S)
                numbers.append(message["sequence_num"])
                channels.add(message["channel"])
                if message["channel"] != "user":
                    continue
                event = message["events"][0]
                if event["type"] == "snapshot":
                    order_id = bob.id_of(bob.market("one", base_size="0.001"))
                statuses |= {order["status"] for order in event["orders"] if order["order_id"] == order_id}
            assert numbers == list(range(len(numbers)))
        finally:
            sdk.close()
    simulator.close()
