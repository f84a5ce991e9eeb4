"""Stop-limit and bracket orders of the simulated Coinbase: what is taken, triggers, is held and shown."""

from __future__ import annotations

from decimal import Decimal

import pytest
from coinbase_client import CoinbaseClient, quiet_coinbase
from simulator_client import FakeClock

from copytrade.simulator.coinbase import CoinbaseSimulator
from copytrade.simulator.coinbase.call import Rules

HISTORY = "/orders/historical"
DOWN, UP = "STOP_DIRECTION_STOP_DOWN", "STOP_DIRECTION_STOP_UP"
STOP = "stop_limit_stop_limit_gtc"
BRACKET = "trigger_bracket_gtc"


@pytest.fixture
def coinbase(clock: FakeClock) -> CoinbaseSimulator:
    return quiet_coinbase(clock, rate_limits=False)


@pytest.fixture
def bob(coinbase) -> CoinbaseClient:
    return client(coinbase)


def client(simulator: CoinbaseSimulator) -> CoinbaseClient:
    simulator.set_price("BTC/USD", Decimal(50_000))
    return CoinbaseClient(simulator, simulator.add_account("bob_jones", {"USD": Decimal(10_000), "BTC": Decimal(1)}))


def stop(client_id: str, bob: CoinbaseClient, *, side="SELL", at="48000", limit="47000", way=DOWN, name=STOP, **more):
    values = {"base_size": "0.01", "limit_price": limit, "stop_price": at, "stop_direction": way, **more}
    return bob.order(client_id, side=side, **{name: values})


def bracket(client_id: str, bob: CoinbaseClient, *, side="SELL", profit="52000", loss="48000", name=BRACKET, **more):
    values = {"base_size": "0.01", "limit_price": profit, "stop_trigger_price": loss, **more}
    return bob.order(client_id, side=side, **{name: values})


def shown(bob: CoinbaseClient, order_id: str) -> dict:
    return bob.get(f"{HISTORY}/{order_id}")["order"]


def price(bob: CoinbaseClient, value: int) -> None:
    bob.simulator.set_price("BTC/USD", Decimal(value))


def test_stop_waits_triggers_and_fills_within_its_limit(bob):
    order_id = bob.id_of(stop("one", bob))
    waiting = shown(bob, order_id)
    assert (waiting["status"], waiting["order_type"], waiting["trigger_status"]) == (
        "OPEN", "STOP_LIMIT", "STOP_PENDING",
    )  # fmt: skip
    assert waiting["order_configuration"] == {
        STOP: {"base_size": "0.01", "limit_price": "47000", "stop_price": "48000", "stop_direction": DOWN}
    }
    assert waiting["time_in_force"] == "GOOD_UNTIL_CANCELLED"
    price(bob, 48_001)
    assert shown(bob, order_id)["trigger_status"] == "STOP_PENDING"
    price(bob, 48_000)
    done = shown(bob, order_id)
    assert (done["status"], done["trigger_status"], done["filled_value"]) == ("FILLED", "STOP_TRIGGERED", "480")


def test_triggered_stop_that_the_price_leapt_over_rests_at_its_limit(bob):
    order_id = bob.id_of(stop("one", bob))
    price(bob, 46_000)
    resting = shown(bob, order_id)
    assert (resting["status"], resting["trigger_status"], resting["filled_size"]) == ("OPEN", "STOP_TRIGGERED", "0")
    price(bob, 47_500)
    assert shown(bob, order_id)["filled_value"] == "470"


@pytest.mark.parametrize(
    ("side", "way", "at", "limit", "reached"),
    [("BUY", UP, "52000", "53000", 52_100), ("SELL", UP, "52000", "51000", 52_100),
     ("SELL", UP, "52000", "53000", 53_100), ("BUY", DOWN, "48000", "49000", 47_900)],
)  # fmt: skip
def test_both_sides_trigger_both_ways(bob, side, way, at, limit, reached):
    order_id = bob.id_of(stop("one", bob, side=side, way=way, at=at, limit=limit))
    assert shown(bob, order_id)["filled_size"] == "0"
    price(bob, reached)
    assert shown(bob, order_id)["filled_size"] == "0.01"


def test_bracket_fills_once_at_its_profit_or_its_loss(bob):
    profit, loss = bob.id_of(bracket("one", bob)), bob.id_of(bracket("two", bob, profit="55000"))
    assert (shown(bob, profit)["order_type"], shown(bob, profit)["trigger_status"]) == ("BRACKET", "STOP_PENDING")
    price(bob, 52_100)
    assert (shown(bob, profit)["status"], shown(bob, profit)["filled_value"]) == ("FILLED", "520")
    price(bob, 47_900)
    assert (shown(bob, loss)["status"], shown(bob, loss)["filled_value"]) == ("FILLED", "479")
    assert shown(bob, loss)["trigger_status"] == "STOP_TRIGGERED"
    price(bob, 56_000)
    assert len(bob.simulator.books.fills) == 2


def test_money_is_held_until_the_order_is_over(bob):
    held = {each["currency"]: each["hold"]["value"] for each in bob.get("/accounts")["accounts"]}
    assert held == {"USD": "0", "BTC": "0"}
    orders = [bob.id_of(bracket("one", bob)), bob.id_of(stop("two", bob)),
              bob.id_of(stop("three", bob, side="BUY", way=UP, at="52000", limit="53000"))]  # fmt: skip
    held = {each["currency"]: each["hold"]["value"] for each in bob.get("/accounts")["accounts"]}
    assert held["BTC"] == "0.02"
    assert Decimal(held["USD"]) >= 530
    assert bob.failure(stop("four", bob, base_size="0.99")) == "INSUFFICIENT_FUND"
    results = bob.call("POST", "/orders/batch_cancel", {"order_ids": orders})[1]["results"]
    assert all(each["success"] for each in results)
    held = {each["currency"]: each["hold"]["value"] for each in bob.get("/accounts")["accounts"]}
    assert held == {"USD": "0", "BTC": "0"}
    price(bob, 40_000)
    assert [shown(bob, order_id)["status"] for order_id in orders] == ["CANCELLED"] * 3


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda bob: stop("x", bob, at="51000", limit="50500"), "PREVIEW_STOP_PRICE_ABOVE_LAST_TRADE_PRICE"),
        (lambda bob: stop("x", bob, side="BUY", way=UP, at="49000", limit="53000"),
         "PREVIEW_STOP_PRICE_BELOW_LAST_TRADE_PRICE"),
        (lambda bob: stop("x", bob, limit="48500"), "PREVIEW_STOP_PRICE_BELOW_LIMIT_PRICE"),
        (lambda bob: stop("x", bob, side="BUY", way=UP, at="52000", limit="51500"),
         "PREVIEW_STOP_PRICE_ABOVE_LIMIT_PRICE"),
        (lambda bob: stop("x", bob, at="48000.001"), "PREVIEW_INVALID_STOP_PRICE_PRECISION"),
        (lambda bob: stop("x", bob, limit="47000.001"), "INVALID_PRICE_PRECISION"),
        (lambda bob: stop("x", bob, base_size="0.000000001"), "INVALID_SIZE_PRECISION"),
        (lambda bob: bracket("x", bob, loss="48000.001"), "PREVIEW_INVALID_STOP_TRIGGER_PRICE_PRECISION"),
        (lambda bob: bracket("x", bob, profit="47000"), "INVALID_BRACKET_PRICES"),
        (lambda bob: bracket("x", bob, profit="49000"), "INVALID_BRACKET_LIMIT_PRICE"),
        (lambda bob: bracket("x", bob, loss="50500"), "INVALID_BRACKET_STOP_TRIGGER_PRICE"),
        (lambda bob: bracket("x", bob, side="BUY"), "INVALID_BRACKET_PRICES"),
        (lambda bob: bracket("x", bob, quote_size="10"), "QUOTE_SIZE_NOT_ALLOWED_FOR_BRACKET"),
        (lambda bob: bracket("x", bob, base_size="2"), "INSUFFICIENT_FUND"),
    ],
)  # fmt: skip
def test_orders_that_are_not_taken(bob, made, reason):
    assert bob.failure(made(bob)) == reason
    assert bob.simulator.orders() == []


@pytest.mark.parametrize(
    "configuration",
    [
        {STOP: {"base_size": "0.01", "limit_price": "47000", "stop_price": "48000"}},
        {STOP: {"base_size": "0.01", "limit_price": "47000", "stop_price": "48000", "stop_direction": "DOWN"}},
        {STOP: {"base_size": "0.01", "limit_price": "47000", "stop_direction": DOWN}},
        {STOP: {"base_size": "0.01", "stop_price": "48000", "stop_direction": DOWN}},
        {STOP: {"limit_price": "47000", "stop_price": "48000", "stop_direction": DOWN}},
        {STOP: {"base_size": "0.01", "limit_price": "47000", "stop_price": 48000, "stop_direction": DOWN}},
        {BRACKET: {"base_size": "0.01", "limit_price": "52000"}},
        {BRACKET: {"base_size": "0.01", "stop_trigger_price": "48000"}},
        {"trigger_bracket_gtd": {"base_size": "0.01", "limit_price": "52000", "stop_trigger_price": "48000"}},
    ],
    ids=str,
)
def test_requests_that_are_malformed(bob, configuration):
    values = {"client_order_id": "x", "product_id": "BTC-USD", "side": "SELL", "order_configuration": configuration}
    assert bob.call("POST", "/orders", values)[0] == 400
    assert bob.simulator.orders() == []


@pytest.mark.parametrize(
    ("rules", "stops", "brackets"),
    [(Rules(stop_orders=False), "UNSUPPORTED_ORDER_CONFIGURATION", None),
     (Rules(bracket_orders=False), None, "BRACKET_ORDER_NOT_SUPPORTED")],
)  # fmt: skip
def test_accounts_may_have_none_of_them(clock, rules, stops, brackets):
    bob = client(quiet_coinbase(clock, rate_limits=False, rules=rules))
    for answer, reason in ((stop("one", bob), stops), (bracket("two", bob), brackets)):
        assert answer["success"] is (reason is None)
        assert reason is None or bob.failure(answer) == reason


def test_orders_until_a_date_expire(bob, clock):
    end = {"end_time": "2023-11-14T23:00:00Z"}  # some 47 minutes on
    orders = [bob.id_of(stop("one", bob, name="stop_limit_stop_limit_gtd", **end)),
              bob.id_of(bracket("two", bob, name="trigger_bracket_gtd", **end))]  # fmt: skip
    assert {shown(bob, each)["time_in_force"] for each in orders} == {"GOOD_UNTIL_DATE_TIME"}
    clock.now_s += 3_600
    assert {shown(bob, each)["status"] for each in orders} == {"EXPIRED"}


@pytest.mark.parametrize("status", ["OPEN", "PENDING", "QUEUED"])
def test_status_of_a_stop_that_waits(clock, status):
    bob = client(quiet_coinbase(clock, rate_limits=False, rules=Rules(stop_status=status)))
    order_id = bob.id_of(stop("one", bob))
    assert shown(bob, order_id)["status"] == status
    assert [each["order_id"] for each in bob.get(f"{HISTORY}/batch", order_status=status)["orders"]] == [order_id]
    price(bob, 46_000)
    assert shown(bob, order_id)["status"] == "OPEN"
    with pytest.raises(ValueError, match="stop_status"):
        Rules(stop_status="WAITING")


@pytest.mark.parametrize("configures", [False, True])
def test_edits_keep_the_id_and_are_told(clock, configures):
    bob = client(quiet_coinbase(clock, rate_limits=False, rules=Rules(edits_configure=configures)))
    waits, both = bob.id_of(stop("one", bob)), bob.id_of(bracket("two", bob))
    edit = {"price": "46000", "size": "0.02", "stop_price": "47000"}
    assert bob.call("POST", "/orders/edit", {"order_id": waits, **edit})[1] == {"success": True, "errors": []}
    told = shown(bob, waits)
    assert [(each["price"], each["size"]) for each in told["edit_history"]] == [("46000", "0.02")]
    configured = told["order_configuration"][STOP]
    assert (configured["limit_price"], configured["base_size"], configured["stop_price"]) == (
        ("46000", "0.02", "47000") if configures else ("47000", "0.01", "48000")
    )
    price(bob, 47_500)
    assert shown(bob, waits)["trigger_status"] == "STOP_PENDING"
    price(bob, 46_900)
    assert shown(bob, waits)["filled_value"] == "938"
    assert shown(bob, both)["status"] == "FILLED"  # its loss was reached on the way


@pytest.mark.parametrize(
    ("edit", "reason"),
    [({"stop_price": "47000.001"}, "INVALID_EDITED_STOP_PRICE"), ({"price": "0.001"}, "INVALID_EDITED_PRICE"),
     ({"size": "0"}, "INVALID_EDITED_SIZE")],
)  # fmt: skip
def test_edits_that_are_refused_change_nothing(bob, edit, reason):
    order_id = bob.id_of(stop("one", bob))
    before = shown(bob, order_id)
    answer = bob.call("POST", "/orders/edit", {"order_id": order_id, "price": "46000", "size": "0.02", **edit})[1]
    assert (answer["success"], answer["errors"][0]["edit_failure_reason"]) == (False, reason)
    assert shown(bob, order_id) == before


def test_stop_of_an_order_without_one_or_with_one_that_was_reached(bob):
    plain = bob.id_of(bob.limit("one", "40000"))
    edit = {"price": "41000", "size": "0.002", "stop_price": "39000"}
    answer = bob.call("POST", "/orders/edit", {"order_id": plain, **edit})[1]
    assert answer["errors"][0]["edit_failure_reason"] == "INVALID_EDITED_STOP_PRICE"
    triggered = bob.id_of(stop("two", bob))
    price(bob, 46_000)
    answer = bob.call("POST", "/orders/edit", {"order_id": triggered, **edit, "price": "47000"})[1]
    assert answer["errors"][0]["edit_failure_reason"] == "STOP_ALREADY_TRIGGERED"


@pytest.mark.parametrize("told", [True, False])
def test_orders_may_tell_when_they_changed(clock, told):
    bob = client(quiet_coinbase(clock, rate_limits=False, rules=Rules(update_times=told)))
    order_id = bob.id_of(bob.limit("one", "40000"))
    clock.now_s += 60
    bob.call("POST", "/orders/batch_cancel", {"order_ids": [order_id]})
    assert shown(bob, order_id).get("last_update_time") == ("2023-11-14T22:14:20.000000Z" if told else None)


def test_stops_brackets_and_edits_outlive_a_restart(clock, tmp_path):
    path = tmp_path / "coinbase.sqlite"
    bob = client(quiet_coinbase(clock, rate_limits=False, store=path))
    waits, both = bob.id_of(stop("one", bob)), bob.id_of(bracket("two", bob))
    bob.call("POST", "/orders/edit", {"order_id": waits, "price": "46000", "size": "0.02"})
    before = [shown(bob, each) for each in (waits, both)]
    bob.simulator.save()
    bob.simulator.close()
    after = quiet_coinbase(clock, rate_limits=False, store=path)
    try:
        again = CoinbaseClient(after, bob.credentials)
        assert [shown(again, each) for each in (waits, both)] == before
        price(again, 47_900)
        assert [shown(again, each)["filled_value"] for each in (waits, both)] == ["958", "479"]
    finally:
        after.close()
