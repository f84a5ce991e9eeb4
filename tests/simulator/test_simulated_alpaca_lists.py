"""The simulated Alpaca's stops, lists and stream: its rules, a restart, and the official SDK as a client."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderClass, OrderSide, OrderStatus, TimeInForce
from alpaca.trading.requests import (
    LimitOrderRequest,
    StopLimitOrderRequest,
    StopLossRequest,
    StopOrderRequest,
    TakeProfitRequest,
)
from alpaca.trading.stream import TradingStream
from alpaca_client import AlpacaClient, quiet_alpaca, stock
from simulator_client import FakeClock

from copytrade.simulator.alpaca import AlpacaSimulator
from copytrade.simulator.alpaca.call import Unverified
from copytrade.simulator.server import ServerThread, SimulatorServer

NOON_S = datetime(2026, 1, 6, 17, 0, tzinfo=UTC).timestamp()
NIGHT_S = datetime(2026, 1, 6, 23, 0, tzinfo=UTC).timestamp()
MONEY = {"USD": Decimal(10_000), "BTC": Decimal(1), "AAPL": Decimal(10)}
OCO: dict[str, Any] = {
    "side": "sell", "qty": "2", "type": "limit", "time_in_force": "gtc", "order_class": "oco",
    "take_profit": {"limit_price": "240"}, "stop_loss": {"stop_price": "220"},
}  # fmt: skip
BRACKET: dict[str, Any] = {**OCO, "side": "buy", "limit_price": "229", "order_class": "bracket"}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON_S)


@pytest.fixture
def simulator(clock: FakeClock) -> AlpacaSimulator:
    return quiet_alpaca(clock)


@pytest.fixture
def alice(simulator: AlpacaSimulator) -> AlpacaClient:
    return AlpacaClient(simulator, simulator.add_account("alice_smith", MONEY))


def held(simulator: AlpacaSimulator, asset: str) -> Decimal:
    return simulator.books.accounts["alice_smith"].holds.get(asset, Decimal(0))


def nested(alice: AlpacaClient, order_id: str) -> dict[str, Any]:
    return dict(alice.ok("GET", f"/v2/orders/{order_id}", nested="true"))


# -- stops ---------------------------------------------------------------------------------------------------------


def test_stop_limit_of_coins_waits_holds_and_fills(simulator, alice):
    placed = alice.buy(side="sell", qty="0.1", type="stop_limit", stop_price="59000", limit_price="58000")
    shown = alice.shown(placed["id"])
    assert (shown["type"], shown["stop_price"], shown["limit_price"]) == ("stop_limit", "59000", "58000")
    assert (shown["status"], held(simulator, "BTC")) == ("new", Decimal("0.1"))
    simulator.set_price("BTC/USD", Decimal(58_900))
    shown = alice.shown(placed["id"])
    assert (shown["status"], shown["filled_avg_price"], held(simulator, "BTC")) == ("filled", "58900", 0)


def test_stop_is_not_triggered_while_its_market_is_closed(simulator, alice, clock):
    placed = alice.buy(**stock(side="sell", type="stop", stop_price="220", time_in_force="gtc"))
    alice.shown(placed["id"])
    clock.now_s = NIGHT_S
    simulator.set_price("AAPL", Decimal(200))
    assert alice.shown(placed["id"])["status"] == "accepted"
    clock.now_s = NOON_S + 86_400
    assert alice.shown(placed["id"])["filled_avg_price"] == "200"


def test_stop_is_looked_at_anew_when_the_market_opens(simulator, alice, clock):
    placed = alice.buy(**stock(side="sell", type="stop", stop_price="220", time_in_force="gtc"))
    alice.shown(placed["id"])
    clock.now_s = NIGHT_S
    simulator.set_price("AAPL", Decimal(200))
    simulator.set_price("AAPL", Decimal(230))
    clock.now_s = NOON_S + 86_400
    assert alice.shown(placed["id"])["status"] == "new"
    simulator.set_price("AAPL", Decimal(219))
    assert alice.shown(placed["id"])["status"] == "filled"


def test_stop_can_be_replaced(simulator, alice):
    placed = alice.buy(**stock(side="sell", type="stop", stop_price="220"))
    new = alice.ok("PATCH", f"/v2/orders/{placed['id']}", {"stop_price": "225"})
    assert (new["type"], new["stop_price"], new["replaces"]) == ("stop", "225", placed["id"])
    assert alice.error("PATCH", f"/v2/orders/{new['id']}", {"limit_price": "1"})[0] == 422
    simulator.set_price("AAPL", Decimal(224))
    assert alice.shown(new["id"])["status"] == "filled"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (stock(type="stop"), "stop orders require"), (stock(type="stop", stop_price="1", limit_price="1"), "only stop"),
        (stock(type="stop_limit", stop_price="1"), "both stop and limit"),
        (stock(type="limit", limit_price="1", stop_price="1"), "only limit price"),
        (stock(type="stop", stop_price="220.123"), "invalid stop_price 220.123"),
        (stock(type="trailing_stop"), "not simulated"), (stock(order_class="oto"), "not simulated"),
        (stock(order_class="party"), "invalid order_class"), (stock(stop_loss={"stop_price": "1"}), "not simulated"),
        (stock(**{**OCO, "take_profit": "240"}), "take_profit is invalid"),
        (stock(**{**OCO, "stop_loss": None}), "require take_profit.limit_price and stop_loss.stop_price"),
        (stock(**{**OCO, "qty": "0.5"}), "fractional orders must be DAY orders"),
        (stock(**{**OCO, "qty": "0.5", "time_in_force": "day"}), "fractional orders must be simple orders"),
        (stock(**{**OCO, "time_in_force": "ioc"}), "day or gtc"),
        (stock(**{**OCO, "type": "stop", "stop_price": "1"}), "oco orders must be limit orders"),
        (stock(**{**OCO, "side": "buy"}), "oco orders must be exit orders"),
        (stock(**{**OCO, "symbol": "MSFT"}), "oco orders must be exit orders"),
        (stock(**{**OCO, "stop_loss": {"stop_price": "241"}}), "take_profit.limit_price must be >"),
        (stock(**{**OCO, "stop_loss": {"stop_price": "230"}}), "stop_loss.stop_price must be <= base_price - 0.01"),
        (stock(**{**OCO, "stop_loss": {"stop_price": "220.001"}}), "invalid stop_price"),
        (stock(**{**BRACKET, "side": "sell"}), "bracket orders must be entry orders"),
        (stock(**{**BRACKET, "limit_price": "245"}), "take_profit.limit_price must be >= base_price + 0.01"),
        (stock(**{**BRACKET, "type": "stop", "limit_price": None, "stop_price": "231"}), "must be market or limit"),
        (stock(**{**OCO, "qty": "11"}), "insufficient qty available"),
        ({"order_class": "oco", "take_profit": {"limit_price": "1"}}, "crypto orders not allowed"),
    ],
)  # fmt: skip
def test_orders_that_break_a_rule(alice, values, text):
    assert text in alice.refused(**values)[2]
    assert alice.simulator.orders() == []


# -- lists ---------------------------------------------------------------------------------------------------------


def test_list_is_two_orders_that_hold_the_shares_once(simulator, alice):
    placed = alice.buy(**stock(**OCO, client_order_id="mine"))
    (leg,) = placed["legs"]
    assert (placed["type"], placed["limit_price"], placed["order_class"]) == ("limit", "240", "oco")
    assert (leg["type"], leg["stop_price"], leg["status"], leg["legs"]) == ("stop", "220", "held", None)
    assert held(simulator, "AAPL") == 2
    assert {order["id"] for order in alice.ok("GET", "/v2/orders")} == {placed["id"], leg["id"]}
    (rolled_up,) = alice.ok("GET", "/v2/orders", nested="true")
    assert rolled_up["legs"][0]["id"] == leg["id"]
    assert alice.shown(placed["id"])["legs"] is None
    assert alice.ok("GET", "/v2/orders:by_client_order_id", client_order_id="mine")["id"] == placed["id"]


def test_list_that_was_triggered_is_over_in_its_first_and_open_in_its_leg(clock):
    simulator = quiet_alpaca(clock, fill_delay_ms=1_000)
    alice = AlpacaClient(simulator, simulator.add_account("alice_smith", MONEY))
    placed = alice.buy(**stock(**OCO))
    clock.now_s += 1
    alice.shown(placed["id"])
    simulator.set_price("AAPL", Decimal(219))
    assert [order["id"] for order in alice.ok("GET", "/v2/orders")] == [placed["legs"][0]["id"]]
    assert [order["id"] for order in alice.ok("GET", "/v2/orders", status="closed")] == [placed["id"]]
    assert alice.error("DELETE", f"/v2/orders/{placed['id']}")[2] == 'order is already in "canceled" state'
    clock.now_s += 1
    shown = nested(alice, placed["id"])
    assert (shown["filled_qty"], shown["legs"][0]["filled_qty"]) == ("0", "2")
    (fill,) = alice.ok("GET", "/v2/account/activities/FILL")
    assert fill["order_id"] == placed["legs"][0]["id"]


def test_list_ends_with_either_of_its_orders(simulator, alice):
    for which in (0, 1):
        placed = alice.buy(**stock(**OCO))
        alice.ok("DELETE", f"/v2/orders/{[placed['id'], placed['legs'][0]['id']][which]}")
        shown = nested(alice, placed["id"])
        assert (shown["status"], shown["legs"][0]["status"]) == ("canceled", "canceled")
    assert held(simulator, "AAPL") == 0


def test_bracket_places_its_exits_when_it_has_filled(simulator, alice):
    placed = alice.buy(**stock(**BRACKET))
    assert [leg["side"] for leg in placed["legs"]] == ["sell", "sell"]
    assert len(alice.ok("GET", "/v2/orders")) == 3
    simulator.set_price("AAPL", Decimal(228))
    shown = nested(alice, placed["id"])
    assert (shown["status"], [leg["status"] for leg in shown["legs"]]) == ("filled", ["new", "held"])
    assert len(alice.ok("GET", "/v2/orders")) == 2
    assert len(alice.ok("GET", "/v2/orders", status="all", nested="true")) == 1
    simulator.set_price("AAPL", Decimal(241))
    assert [leg["status"] for leg in nested(alice, placed["id"])["legs"]] == ["filled", "canceled"]
    assert held(simulator, "AAPL") == 0


def test_lists_survive_a_restart(clock, tmp_path):
    def made() -> AlpacaSimulator:
        return quiet_alpaca(clock, store=tmp_path / "alpaca.sqlite")

    first = made()
    keys = first.add_account("alice_smith", {**MONEY, "USD": Decimal(100_000)})
    alice = AlpacaClient(first, keys)
    waits = alice.buy(**stock(**BRACKET))
    exits = {"take_profit": {"limit_price": "450"}, "stop_loss": {"stop_price": "420"}}
    runs = alice.buy(**stock(**{**BRACKET, "symbol": "MSFT", "type": "market", "limit_price": None, **exits}))
    alice.shown(runs["id"])
    before = [nested(alice, order["id"]) for order in (waits, runs)]
    first.close()
    second = made()
    alice = AlpacaClient(second, keys)
    assert [nested(alice, order["id"]) for order in (waits, runs)] == before
    second.set_price("AAPL", Decimal(228))
    second.set_price("MSFT", Decimal(419))
    assert [leg["status"] for leg in nested(alice, waits["id"])["legs"]] == ["new", "held"]
    assert [leg["status"] for leg in nested(alice, runs["id"])["legs"]] == ["canceled", "filled"]
    second.close()


# -- orders in one another's way -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resting", "new", "reason"),
    [
        ({"type": "limit", "limit_price": "59000"}, {"side": "sell"}, "opposite side limit order exists"),
        ({"type": "stop_limit", "stop_price": "61000", "limit_price": "61000"}, {"side": "sell"}, "market/stop"),
        ({"type": "limit", "limit_price": "59000"},
         {"side": "sell", "type": "stop_limit", "stop_price": "58000", "limit_price": "57000"}, "limit order exists"),
        ({"type": "limit", "limit_price": "59000"}, {"side": "sell", "type": "limit", "limit_price": "59000"}, "limit"),
        ({"type": "limit", "limit_price": "59000"}, {"side": "sell", "type": "limit", "limit_price": "61000"}, None),
        ({"type": "limit", "limit_price": "59000"}, {}, None),
    ],
)  # fmt: skip
def test_order_that_could_meet_another_of_the_same_account(simulator, alice, resting, new, reason):
    first = alice.buy(**resting)
    if reason is None:
        assert alice.buy(**new)
        return
    reply = alice.raw("POST", "/v2/orders", body=json.dumps({
        "symbol": "BTC/USD", "qty": "0.001", "side": "buy", "type": "market", "time_in_force": "gtc", **new,
    }).encode())  # fmt: skip
    body = json.loads(reply.body)
    assert (reply.status, body["code"], body["existing_order_id"]) == (403, 40310000, first["id"])
    assert reason in body["reject_reason"]
    bob = AlpacaClient(simulator, simulator.add_account("bob_jones", MONEY))
    assert bob.buy(**new)


def test_wash_trades_can_be_had_the_other_way(clock):
    simulator = quiet_alpaca(clock, unverified=Unverified(wash_trades="allow"))
    alice = AlpacaClient(simulator, simulator.add_account("alice_smith", MONEY))
    alice.buy(type="limit", limit_price="59000")
    assert alice.buy(side="sell")


# -- the official SDK ----------------------------------------------------------------------------------------------


def test_official_sdk_places_stops_and_lists():
    simulator = AlpacaSimulator(seed=3, volatility=0.0, spread=Decimal(0), rate_limits=False, stocks_always_open=True)
    keys = simulator.add_account("alice_smith", MONEY)
    with ServerThread([simulator]) as server:
        sdk = TradingClient(keys.key, keys.secret, url_override=server.url("alpaca"))
        sdk._session.trust_env, sdk._retry = False, 0
        share = {"symbol": "AAPL", "qty": 1, "side": OrderSide.SELL, "time_in_force": TimeInForce.GTC}
        stop = sdk.submit_order(StopOrderRequest(**share, stop_price=220))
        coins = sdk.submit_order(StopLimitOrderRequest(
            symbol="BTC/USD", qty=0.1, side=OrderSide.SELL, time_in_force=TimeInForce.GTC, stop_price=59_000,
            limit_price=58_000,
        ))  # fmt: skip
        oco = sdk.submit_order(LimitOrderRequest(
            **share, order_class=OrderClass.OCO, take_profit=TakeProfitRequest(limit_price=240),
            stop_loss=StopLossRequest(stop_price=220),
        ))  # fmt: skip
        assert oco.legs[0].status is OrderStatus.HELD
        simulator.set_price("AAPL", Decimal(219))
        simulator.set_price("BTC/USD", Decimal(58_500))
        assert [sdk.get_order_by_id(order.id).status for order in (stop, coins, oco)] == [
            OrderStatus.FILLED, OrderStatus.FILLED, OrderStatus.CANCELED,
        ]  # fmt: skip
        assert sdk.get_order_by_id(oco.legs[0].id).status is OrderStatus.FILLED
        sdk._session.close()


async def test_official_sdk_listens():
    simulator = AlpacaSimulator(seed=3, volatility=0.0, spread=Decimal(0), rate_limits=False)
    keys = simulator.add_account("alice_smith", MONEY)
    heard: list[tuple[str, str, str]] = []
    done = asyncio.Event()

    async def handler(update: Any) -> None:
        heard.append((update.event, str(update.order.type.value), str(update.order.filled_qty)))
        if len(heard) == 4:
            done.set()

    async with SimulatorServer([simulator]) as server:
        url = server.url("alpaca").replace("http", "ws") + "/stream"
        stream = TradingStream(keys.key, keys.secret, url_override=url)
        stream.subscribe_trade_updates(handler)
        running = asyncio.create_task(stream._run_forever())
        async with asyncio.timeout(10):
            while not simulator.listeners():
                await asyncio.sleep(0.01)
            client = AlpacaClient(simulator, keys)
            with simulator.lock:
                client.buy()
                resting = client.buy(type="limit", limit_price="59000")
                client.ok("DELETE", f"/v2/orders/{resting['id']}")
            await done.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await stream.close()
    assert heard == [
        ("new", "market", "0"), ("fill", "market", "0.001"), ("new", "limit", "0"), ("canceled", "limit", "0"),
    ]  # fmt: skip
