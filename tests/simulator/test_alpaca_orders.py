"""The simulated Alpaca's orders: accepted before they fill, checked like the venue's, one for each client id."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from alpaca_client import AlpacaClient, quiet_alpaca, stock
from simulator_client import FakeClock

from copytrade.simulator.alpaca import AlpacaSimulator
from copytrade.simulator.alpaca.call import Unverified

# A Tuesday: FakeClock's own moment is one too, in the evening.
NOON_S = datetime(2026, 1, 6, 17, 0, tzinfo=UTC).timestamp()
NIGHT_S = datetime(2026, 1, 6, 23, 0, tzinfo=UTC).timestamp()
FRIDAY_NIGHT_S = datetime(2026, 1, 9, 23, 0, tzinfo=UTC).timestamp()
MONEY = {"USD": Decimal(10_000), "BTC": Decimal(1), "AAPL": Decimal(10)}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON_S)


@pytest.fixture
def simulator(clock: FakeClock) -> AlpacaSimulator:
    return quiet_alpaca(clock)


@pytest.fixture
def alice(simulator: AlpacaSimulator) -> AlpacaClient:
    return AlpacaClient(simulator, simulator.add_account("alice_smith", MONEY))


def balances(simulator: AlpacaSimulator) -> dict[str, Decimal]:
    return simulator.books.accounts["alice_smith"].balances


# -- acceptance, fill, fee -----------------------------------------------------------------------------------------


def test_acceptance_comes_before_the_fill_and_the_fee_out_of_what_is_received(simulator, alice):
    placed = alice.buy(client_order_id="one")
    assert (placed["status"], placed["filled_qty"], placed["filled_avg_price"]) == ("pending_new", "0", None)
    shown = alice.shown(placed["id"])
    assert (shown["status"], shown["filled_qty"], shown["filled_avg_price"]) == ("filled", "0.001", "60000")
    assert shown["client_order_id"] == "one"
    assert balances(simulator)["BTC"] == Decimal("1.0009975")  # 25 bps less
    assert balances(simulator)["USD"] == Decimal(9_940)
    sold = alice.buy(side="sell", qty="0.5")
    assert alice.shown(sold["id"])["status"] == "filled"
    assert balances(simulator)["USD"] == Decimal("39865")  # 30,000 less 75


def test_fill_may_take_its_time_and_come_in_parts(clock):
    simulator = quiet_alpaca(clock, fill_delay_ms=1_000, fill_parts=2)
    alice = AlpacaClient(simulator, simulator.add_account("alice_smith", MONEY))
    placed = alice.buy()
    states = []
    for _ in range(3):
        shown = alice.shown(placed["id"])
        states.append((shown["status"], shown["filled_qty"]))
        clock.now_s += 1
    assert states == [("new", "0"), ("partially_filled", "0.0005"), ("filled", "0.001")]


@pytest.mark.parametrize("quantity", [0.001, "0.001", "1e-3", "0.0010"])
def test_numbers_come_as_numbers_or_text_in_any_notation(alice, quantity):
    assert alice.buy(qty=quantity)["qty"] == "0.001"


def test_number_of_the_sdks_kind_is_understood(alice):
    reply = alice.raw("POST", "/v2/orders", body=b'{"symbol":"BTC/USD","qty":1e-08,"side":"buy","type":"market",'
                      b'"time_in_force":"gtc"}')  # fmt: skip
    assert b"minimal qty" in reply.body  # read as what it is, and too small


def test_money_may_be_spent_instead_of_counted(simulator, alice):
    bought = alice.shown(alice.buy(qty=None, notional="300")["id"])
    assert (bought["notional"], bought["qty"], bought["filled_qty"]) == ("300", None, "0.005")
    sold = alice.shown(alice.buy(qty=None, notional=600, side="sell")["id"])
    assert sold["filled_qty"] == "0.01"
    assert alice.refused(qty="1", notional="1")[1:] == (40010001, "only one of qty or notional is accepted")
    assert alice.refused(qty=None)[1:] == (40010001, "qty or notional is required")
    assert alice.refused(qty=None, notional="300", type="limit", limit_price="1")[1] == 42210000


def test_limit_orders_rest_or_fill_at_once_or_are_cancelled(simulator, alice):
    rests = alice.buy(type="limit", limit_price="59000")
    crosses = alice.buy(type="limit", limit_price=61000)
    at_once = alice.buy(type="limit", limit_price="59000", time_in_force="ioc")
    assert [alice.shown(each["id"])["status"] for each in (rests, crosses, at_once)] == ["new", "filled", "canceled"]
    assert alice.shown(crosses["id"])["filled_avg_price"] == "60000"
    simulator.set_price("BTC/USD", Decimal(58_500))
    assert alice.shown(rests["id"])["filled_avg_price"] == "59000"


def test_partial_fill_that_the_venue_cancels(simulator, alice):
    simulator.add_fault("partial_cancel", method="POST /v2/orders", fraction="0.25")
    shown = alice.shown(alice.buy(qty="0.004")["id"])
    assert (shown["status"], shown["filled_qty"]) == ("canceled", "0.001")


# -- client ids ----------------------------------------------------------------------------------------------------


def test_client_id_names_one_order_for_ever(alice, clock):
    resting = alice.buy(client_order_id="mine", type="limit", limit_price="1000", qty="0.1")
    alice.ok("DELETE", f"/v2/orders/{resting['id']}")
    clock.now_s += 10 * 86_400
    assert alice.refused(client_order_id="mine") == (422, 40010001, "client_order_id must be unique")
    assert len(alice.simulator.orders()) == 1
    assert alice.simulator.doubles() == []


def test_client_id_is_free_in_another_account_and_made_up_where_none_is_given(simulator, alice):
    alice.buy(client_order_id="mine")
    bob = AlpacaClient(simulator, simulator.add_account("bob_jones", MONEY))
    assert bob.buy(client_order_id="mine")["client_order_id"] == "mine"
    assert len({alice.buy()["client_order_id"] for _ in range(5)}) == 5
    assert alice.refused(client_order_id="x" * 129)[1] == 40010001
    assert alice.buy(client_order_id="x" * 128)


# -- checks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"symbol": None}, (422, 40010001, "symbol is required")),
        ({"symbol": "NOPE/USD"}, (422, 42210000, 'asset "NOPE/USD" not found')),
        ({"symbol": "TWTR"}, (422, 42210000, "asset TWTR is not active")),
        ({"side": "hold"}, (422, 40010001, "invalid side: hold")),
        ({"type": "magic"}, (422, 40010001, "invalid order type: magic")),
        ({"time_in_force": "day"}, (422, 42210000, "invalid crypto time_in_force")),
        ({"time_in_force": "fok"}, (422, 42210000, "invalid crypto time_in_force")),
        ({"type": "stop", "stop_price": "1"}, (422, 42210000, "invalid order type for crypto order: stop")),
        ({"qty": "0"}, (422, 40010001, "qty must be > 0")),
        ({"qty": "-1"}, (422, 40010001, "qty must be > 0")),
        ({"qty": "many"}, (422, 40010001, "qty is invalid")),
        ({"qty": "NaN"}, (422, 40010001, "qty is invalid")),
        ({"qty": "9" * 100}, (422, 40010001, "qty is invalid")),
        ({"qty": ["1"]}, (422, 40010001, "qty is invalid")),
        ({"limit_price": "1"}, (422, 40010001, "market orders require no limit or stop price")),
        ({"type": "limit"}, (422, 40010001, "limit orders require limit price")),
        ({"order_class": "bracket"}, (422, 42210000, "crypto orders not allowed for advanced order_class")),
        ({"qty": "0.0000000001"}, (422, 42210000, "invalid qty 0.0000000001: must be a multiple of 0.000000001")),
        ({"qty": "0.00001"}, (403, 40310000, "qty must be >= minimal qty of order 0.000016666")),
        ({"qty": "0.0001"}, (403, 40310000, "cost basis must be >= minimal amount of order 10")),
        ({"qty": "1"}, (403, 40310000, "insufficient balance for USD (requested: 60000, available: 10000)")),
        (
            {"qty": "2", "side": "sell"},
            (403, 40310000, "insufficient balance for BTC (requested: 2, available: 1)"),
        ),
        (
            stock(type="limit", limit_price="229.123"),
            (
                422,
                42210000,
                "invalid limit_price 229.123. sub-penny increment does not fulfill minimum pricing criteria",
            ),
        ),
        (stock(qty="1.5", time_in_force="gtc"), (422, 42210000, "fractional orders must be DAY orders")),
        (
            stock(qty="1.5", time_in_force="ioc", type="limit", limit_price="240"),
            (422, 42210000, "fractional orders must be DAY orders"),
        ),
        (stock(symbol="BRK.A", qty="0.5"), (403, 40310000, 'asset "BRK.A" is not fractionable')),
        (stock(qty="100"), (403, 40310000, "insufficient buying power")),
        (stock(qty="0.001"), (403, 40310000, "cost basis must be >= minimal amount of order 1")),
        (
            stock(qty="20", side="sell"),
            (403, 40310000, "insufficient qty available for order (requested: 20, available: 10)"),
        ),
    ],
)
def test_refusals(alice, values, expected):
    assert alice.refused(**values) == expected
    assert alice.simulator.orders() == []


def test_smallest_amount_is_for_purchases_in_dollars_alone(alice, simulator):
    simulator.deposit("alice_smith", "USDT", Decimal(100))
    assert alice.buy(qty="0.0001", side="sell")
    assert alice.buy(symbol="BTC/USDT", qty="0.0001")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b"[" * 50_000, b"\xff"])
def test_malformed_bodies(alice, body):
    status, code, _ = alice.error("POST", "/v2/orders", body)
    assert (status, code) in {(400, 40010000), (422, 40010001)}


def test_signs_are_written_as_escapes(alice):
    reply = alice.raw("POST", "/v2/orders", body=b'{"symbol":"BTC/USD","qty":"0.0001","side":"buy","type":"market",'
                      b'"time_in_force":"gtc"}')  # fmt: skip
    assert b"\\u003e= minimal" in reply.body


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"suspend_trade": True}, (403, 40310000, "new orders are rejected by user request")),
        ({"trading_blocked": True}, (403, 40310000, "account is not allowed to trade")),
        ({"status": "ONBOARDING"}, (403, 40310000, "account is not allowed to trade")),
        ({"crypto_status": "INACTIVE"}, (422, 40010001, "crypto orders not allowed for account")),
    ],
)
def test_account_that_may_not_trade(alice, flags, expected):
    alice.simulator.set_account("alice_smith", **flags)
    assert alice.refused() == expected


def test_owner_may_suspend_trading(alice):
    assert alice.ok("PATCH", "/v2/account/configurations", {"suspend_trade": True})["suspend_trade"] is True
    assert alice.refused()[2] == "new orders are rejected by user request"
    assert alice.ok("GET", "/v2/account")["trade_suspended_by_user"] is True
    alice.ok("PATCH", "/v2/account/configurations", {"suspend_trade": False})
    assert alice.buy()


def test_what_is_open_can_be_had_the_other_way(clock):
    cap = Unverified(duplicate_status=400, client_id_max=48, order_value_max=Decimal(1_000), too_precise="truncate")
    simulator = quiet_alpaca(clock, unverified=cap)
    alice = AlpacaClient(simulator, simulator.add_account("alice_smith", MONEY))
    alice.buy(client_order_id="mine")
    assert alice.refused(client_order_id="mine")[0] == 400
    assert alice.refused(client_order_id="x" * 49)[1] == 40010001
    assert "maximal" in alice.refused(qty="0.02")[2]
    assert alice.shown(alice.buy(qty="0.0010000000009")["id"])["filled_qty"] == "0.001"
    with pytest.raises(ValueError, match="key_refusal"):
        Unverified(key_refusal="maybe")


# -- cancel and replace --------------------------------------------------------------------------------------------


def test_cancel_says_that_it_was_asked_for(alice):
    resting = alice.buy(type="limit", limit_price="59000")
    assert alice.raw("DELETE", f"/v2/orders/{resting['id']}").status == 204
    assert alice.shown(resting["id"])["status"] == "canceled"
    status, code, message = alice.error("DELETE", f"/v2/orders/{resting['id']}")
    assert (status, code) == (422, 42210000)
    assert "canceled" in message
    assert alice.error("DELETE", "/v2/orders/00000000-0000-4000-8000-000000000000")[:2] == (404, 40410000)


def test_fill_may_come_before_the_cancel_that_was_asked_for(simulator, alice, clock):
    resting = alice.buy(type="limit", limit_price="59000")
    simulator.add_fault("cancel_pending", delay_ms=5_000)
    assert alice.raw("DELETE", f"/v2/orders/{resting['id']}").status == 204
    assert alice.shown(resting["id"])["status"] == "pending_cancel"
    simulator.set_price("BTC/USD", Decimal(58_000))
    clock.now_s += 6
    assert alice.shown(resting["id"])["status"] == "filled"


def test_all_open_orders_are_cancelled_each_with_a_status_of_its_own(alice):
    for price in ("59000", "58000"):
        alice.buy(type="limit", limit_price=price)
    reply = alice.raw("DELETE", "/v2/orders")
    assert reply.status == 207
    assert reply.body.count(b'"status":200') == 2
    assert alice.ok("GET", "/v2/orders") == []


def test_replacing_makes_a_new_order_for_what_is_left(clock):
    simulator = quiet_alpaca(clock, fill_delay_ms=1_000, fill_parts=2)
    alice = AlpacaClient(simulator, simulator.add_account("alice_smith", MONEY))
    first = alice.buy(type="limit", limit_price="61000", client_order_id="first")
    clock.now_s += 1
    second = alice.ok("PATCH", f"/v2/orders/{first['id']}", {"limit_price": "60500", "client_order_id": "second"})
    assert (second["replaces"], second["client_order_id"], second["qty"]) == (first["id"], "second", "0.0005")
    clock.now_s += 5
    replaced = alice.shown(first["id"])
    assert (replaced["status"], replaced["filled_qty"]) == ("replaced", "0.0005")
    assert replaced["replaced_by"] == second["id"]
    assert alice.shown(second["id"])["status"] == "filled"
    assert alice.error("PATCH", f"/v2/orders/{first['id']}", {"limit_price": "1"})[0] == 422


def test_replacing_is_refused_where_there_is_nothing_to_replace(alice):
    resting = alice.buy(type="limit", limit_price="59000", client_order_id="first")
    path = f"/v2/orders/{resting['id']}"
    assert alice.error("PATCH", path, {"limit_price": "59000"})[2] == "order parameters are not changed"
    assert alice.error("PATCH", path, {"limit_price": "58000", "client_order_id": "first"})[1] == 40010001
    assert alice.error("PATCH", path, {"qty": "100"})[:2] == (403, 40310000)
    assert alice.shown(resting["id"])["status"] == "new"
    assert alice.ok("GET", "/v2/account")["non_marginable_buying_power"] == "9941"


# -- stocks --------------------------------------------------------------------------------------------------------


def test_stock_order_waits_for_the_session_and_fills_then(simulator, alice, clock):
    clock.now_s = FRIDAY_NIGHT_S
    bought = alice.buy(**stock(qty="0.5"))
    assert bought["status"] == "accepted"
    clock.now_s += 2 * 86_400
    assert alice.shown(bought["id"])["status"] == "accepted"  # Sunday
    clock.now_s = datetime(2026, 1, 12, 14, 31, tzinfo=UTC).timestamp()
    shown = alice.shown(bought["id"])
    assert (shown["status"], shown["filled_at"]) == ("filled", "2026-01-12T14:30:00.000000000Z")
    assert balances(simulator)["AAPL"] == Decimal("10.5")
    assert balances(simulator)["USD"] == Decimal(9_885)  # no fee


def test_day_order_ends_with_the_day(alice, clock):
    resting = alice.buy(**stock(type="limit", limit_price="200"))
    clock.now_s = NIGHT_S
    assert alice.shown(resting["id"])["status"] == "expired"
    kept = alice.buy(**stock(type="limit", limit_price="200", time_in_force="gtc"))
    clock.now_s += 5 * 86_400
    assert alice.shown(kept["id"])["status"] == "accepted"  # a Sunday night: it waits


def test_stock_does_not_fill_while_its_market_is_closed(simulator, alice, clock):
    resting = alice.buy(**stock(type="limit", limit_price="200", time_in_force="gtc"))
    alice.shown(resting["id"])
    clock.now_s = NIGHT_S
    simulator.set_price("AAPL", Decimal(190))
    assert alice.shown(resting["id"])["filled_qty"] == "0"
    clock.now_s = NOON_S + 86_400
    simulator.set_price("AAPL", Decimal(195))
    assert alice.shown(resting["id"])["status"] == "filled"


def test_orders_at_once_are_for_market_hours(alice, clock):
    assert alice.buy(**stock(time_in_force="ioc", type="limit", limit_price="240"))
    clock.now_s = NIGHT_S
    assert "market hours" in alice.refused(**stock(time_in_force="ioc", type="limit", limit_price="240"))[2]
    assert alice.refused(**stock(extended_hours=True))[1] == 42210000


def test_nobody_sells_short(alice):
    assert alice.refused(**stock(symbol="MSFT", side="sell"))[:2] == (403, 40310000)
    assert alice.refused(symbol="ETH/USD", qty="1", side="sell")[:2] == (403, 40310000)


def test_money_is_conserved(simulator, alice):
    alice.buy(qty="0.05")
    alice.buy(side="sell", qty="0.7")
    alice.buy(**stock(qty="1.25"))
    alice.shown(alice.buy(symbol="ETH/USD", qty=None, notional="1000")["id"])
    money = {name: {k: Decimal(v) for k, v in part.items()} for name, part in simulator.money().items()}
    for asset in money["held"]:
        paid_in = money["deposited"].get(asset, Decimal(0))
        assert paid_in == sum(money[part].get(asset, Decimal(0)) for part in ("held", "house", "fees")), asset
