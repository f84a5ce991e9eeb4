"""Orders, look-ups and money at the simulated Binance."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from binance_client import ORDER, BinanceClient, limit_fields, quiet_binance, said
from simulator_client import FakeClock

from copytrade.simulator.binance import BinanceSimulator
from copytrade.simulator.binance.call import Unverified

NO_ORDER = (400, -2013, "Order does not exist.")
UNKNOWN = (400, -2011, "Unknown order sent.")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def alice(clock: FakeClock) -> BinanceClient:
    return client_of(quiet_binance(clock, rate_limits=False))


def client_of(simulator: BinanceSimulator) -> BinanceClient:
    return BinanceClient(simulator, simulator.add_account("alice_smith", {"USDT": Decimal(10_000), "BTC": Decimal(1)}))


def balance(client: BinanceClient, asset: str) -> tuple[str, str]:
    entries = client.ok("GET", "/api/v3/account")["balances"]
    return next((entry["free"], entry["locked"]) for entry in entries if entry["asset"] == asset)


def test_market_order_is_answered_with_its_fills(alice):
    order = alice.market(newClientOrderId="mine")
    assert (order["status"], order["executedQty"], order["cummulativeQuoteQty"]) == (
        "FILLED", "0.00100000", "50.00000000",
    )  # fmt: skip
    assert order["clientOrderId"] == "mine"
    assert order["fills"][0] | {"tradeId": 0} == {
        "price": "50000.00000000", "qty": "0.00100000", "commission": "0.00000100", "commissionAsset": "BTC",
        "tradeId": 0,
    }  # fmt: skip


def test_fee_comes_out_of_what_arrives(alice):
    alice.market()
    assert balance(alice, "BTC") == ("1.00099900", "0.00000000")
    assert balance(alice, "USDT") == ("9950.00000000", "0.00000000")
    sold = alice.market("SELL")
    assert sold["fills"][0]["commissionAsset"] == "USDT"
    assert balance(alice, "USDT")[0] == "9999.95000000"


def test_kinds_of_reply(alice):
    fields = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}
    assert set(alice.ok("POST", ORDER, **fields, newOrderRespType="ACK")) == {
        "symbol", "orderId", "orderListId", "clientOrderId", "transactTime",
    }  # fmt: skip
    assert "fills" not in alice.ok("POST", ORDER, **fields, newOrderRespType="RESULT")
    maker = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT_MAKER", "quantity": "0.001", "price": "49000"}
    assert "status" not in alice.ok("POST", ORDER, **maker)
    assert alice.error("POST", ORDER, **{**maker, "price": "50000"})[2] == "Order would immediately match and take."


def test_order_by_amount_of_money_rounds_to_the_step(alice):
    fields = {"symbol": "BTCUSDT", "type": "MARKET", "quoteOrderQty": "100.3"}
    bought = alice.ok("POST", ORDER, **fields, side="BUY")
    assert (bought["executedQty"], bought["cummulativeQuoteQty"]) == ("0.00200000", "100.00000000")
    assert bought["origQuoteOrderQty"] == "100.30000000"
    sold = alice.ok("POST", ORDER, **fields, side="SELL")
    assert (sold["executedQty"], sold["status"]) == ("0.00200000", "FILLED")
    both = {**fields, "side": "BUY", "quantity": "1"}
    assert alice.error("POST", ORDER, **both)[1] == -1128
    assert alice.error("POST", ORDER, symbol="BTCUSDT", side="BUY", type="MARKET")[1] == -1102


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"quantity": "0.000015"}, "LOT_SIZE"),
        ({"quantity": "0.00001", "price": "49000"}, "NOTIONAL"),
        ({"price": "49000.001"}, "PRICE_FILTER"),
        ({"price": "2000000"}, "PRICE_FILTER"),
        ({"price": "9000"}, "PERCENT_PRICE_BY_SIDE"),
        ({"price": "260000"}, "PERCENT_PRICE_BY_SIDE"),
        ({"quantity": "9000001", "price": "10000"}, "LOT_SIZE"),
        ({"symbol": "LTCBTC", "quantity": "0.001", "price": "0.001300"}, "MIN_NOTIONAL"),
    ],
)
def test_filter_that_an_order_breaks_is_named(alice, changes, rule):
    error = alice.error("POST", ORDER, **{**limit_fields("BUY", "49000"), **changes})
    assert error == (400, -1013, f"Filter failure: {rule}")


def test_funds_are_held_and_missed(alice):
    error = (400, -2010, "Account has insufficient balance for requested action.")
    assert alice.error("POST", ORDER, **limit_fields("BUY", "49000", "1")) == error
    alice.limit("BUY", "49000", "0.1")
    assert balance(alice, "USDT") == ("5100.00000000", "4900.00000000")
    assert alice.error("POST", ORDER, **limit_fields("SELL", "51000", "1.1")) == error


def test_two_hundred_orders_rest_and_no_more(alice):
    alice.simulator.deposit("alice_smith", "USDT", Decimal(100_000))
    for _ in range(200):
        alice.limit("BUY", "40000")
    assert alice.error("POST", ORDER, **limit_fields("BUY", "40000"))[2] == "Filter failure: MAX_NUM_ORDERS"


def test_market_that_is_halted(alice):
    alice.simulator.set_symbol_status("BTC/USDT", "HALT")
    assert alice.error("POST", ORDER, **limit_fields("BUY", "49000")) == (400, -2010, "Market is closed.")
    assert alice.public("exchangeInfo", symbol="BTCUSDT")["symbols"][0]["status"] == "HALT"


def test_id_is_unique_among_open_orders_and_nowhere_else(alice):
    first = alice.limit("BUY", "49000", newClientOrderId="same")
    duplicate = alice.error("POST", ORDER, **limit_fields("BUY", "48000"), newClientOrderId="same")
    assert duplicate == (400, -2010, "Duplicate order sent.")
    alice.simulator.set_price("BTC/USDT", Decimal(48_000))
    assert alice.ok("GET", ORDER, symbol="BTCUSDT", orderId=first["orderId"])["status"] == "FILLED"
    for _ in range(2):
        alice.market(newClientOrderId="same")
    assert len(alice.simulator.doubles()[0]["orders"]) == 3


@pytest.mark.parametrize(("reusable", "expected"), [(True, 200), (False, 400)])
def test_id_of_a_cancelled_order_may_be_used_again_or_not(clock, reusable, expected):
    alice = client_of(quiet_binance(clock, unverified=Unverified(reuse_cancelled_ids=reusable)))
    order = alice.limit("BUY", "49000", newClientOrderId="same")
    alice.ok("DELETE", ORDER, symbol="BTCUSDT", orderId=order["orderId"])
    assert alice.signed("POST", ORDER, **limit_fields("BUY", "48000"), newClientOrderId="same").status == expected


@pytest.mark.parametrize(("shown", "place"), [("newest", 1), ("oldest", 0)])
def test_look_up_of_a_reused_id_shows_one_order(clock, shown, place):
    alice = client_of(quiet_binance(clock, unverified=Unverified(reused_id_shows=shown)))
    ids = [alice.market(newClientOrderId="same")["orderId"] for _ in range(2)]
    assert alice.ok("GET", ORDER, symbol="BTCUSDT", origClientOrderId="same")["orderId"] == ids[place]


def test_look_up_by_either_id(alice):
    order = alice.market(newClientOrderId="mine")
    by_id = alice.ok("GET", ORDER, symbol="BTCUSDT", orderId=order["orderId"])
    assert by_id == alice.ok("GET", ORDER, symbol="BTCUSDT", origClientOrderId="mine")
    assert by_id["status"] == "FILLED"
    assert alice.error("GET", ORDER, symbol="BTCUSDT", origClientOrderId="other") == NO_ORDER
    assert alice.error("GET", ORDER, symbol="ETHUSDT", orderId=order["orderId"]) == NO_ORDER
    both = {"symbol": "BTCUSDT", "orderId": order["orderId"], "origClientOrderId": "other"}
    assert alice.error("GET", ORDER, **both)[1] == -2039
    assert alice.error("GET", ORDER, symbol="BTCUSDT")[1] == -1102


def test_order_of_another_account_is_not_shown(alice):
    order = alice.market(newClientOrderId="mine")
    bob = BinanceClient(alice.simulator, alice.simulator.add_account("bob_jones", {}))
    assert bob.error("GET", ORDER, symbol="BTCUSDT", orderId=order["orderId"]) == NO_ORDER
    assert bob.error("DELETE", ORDER, symbol="BTCUSDT", orderId=order["orderId"]) == UNKNOWN
    assert bob.ok("GET", "/api/v3/myTrades", symbol="BTCUSDT") == []


def test_old_order_without_a_fill_is_archived(alice, clock):
    order = alice.limit("BUY", "49000")
    alice.ok("DELETE", ORDER, symbol="BTCUSDT", orderId=order["orderId"])
    clock.now_s += 91 * 86_400
    assert alice.error("GET", ORDER, symbol="BTCUSDT", orderId=order["orderId"])[1] == -2026


def test_lists_of_orders_and_trades(alice, clock):
    first = alice.market()
    clock.now_s += 10
    start_ms = int(clock.now_s * 1000)
    second = alice.market()
    third = alice.limit("BUY", "49000")
    ids = [order["orderId"] for order in (first, second, third)]

    def listed(**values):
        return [order["orderId"] for order in alice.ok("GET", "/api/v3/allOrders", symbol="BTCUSDT", **values)]

    assert listed() == ids
    assert listed(limit=1) == ids[2:]
    assert listed(orderId=ids[1]) == listed(startTime=start_ms) == ids[1:]
    assert listed(startTime=start_ms - 86_400_000, endTime=start_ms - 1) == ids[:1]
    assert listed(orderId=ids[0], limit=2) == ids[:2]
    span = {"startTime": start_ms - 86_400_001, "endTime": start_ms}
    assert alice.error("GET", "/api/v3/allOrders", symbol="BTCUSDT", **span)[1] == -1127
    assert [order["orderId"] for order in alice.ok("GET", "/api/v3/openOrders")] == ids[2:]
    trades = alice.ok("GET", "/api/v3/myTrades", symbol="BTCUSDT")
    assert [trade["orderId"] for trade in trades] == ids[:2]
    assert alice.ok("GET", "/api/v3/myTrades", symbol="BTCUSDT", orderId=ids[1]) == trades[1:]
    assert alice.ok("GET", "/api/v3/myTrades", symbol="BTCUSDT", fromId=trades[1]["id"]) == trades[1:]
    assert alice.ok("GET", "/api/v3/myTrades", symbol="BTCUSDT", startTime=start_ms) == trades[1:]


def test_cancel_is_answered_with_an_id_of_its_own(alice):
    order = alice.limit("BUY", "49000", newClientOrderId="mine")
    answer = alice.ok("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="mine")
    assert (answer["origClientOrderId"], answer["status"]) == ("mine", "CANCELED")
    assert answer["clientOrderId"] not in ("mine", "")
    assert alice.ok("GET", ORDER, symbol="BTCUSDT", orderId=order["orderId"])["clientOrderId"] == "mine"
    assert alice.error("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="mine") == UNKNOWN
    assert balance(alice, "USDT") == ("10000.00000000", "0.00000000")


def test_cancel_of_everything_in_one_market(alice):
    for price in ("49000", "48000"):
        alice.limit("BUY", price)
    assert len(alice.ok("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")) == 2
    assert alice.error("DELETE", "/api/v3/openOrders", symbol="BTCUSDT") == UNKNOWN


def test_restricted_cancel(alice):
    order = alice.limit("BUY", "49000")
    fields = {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    assert alice.error("DELETE", ORDER, **fields, cancelRestrictions="ONLY_PARTIALLY_FILLED")[1] == -2011
    assert alice.ok("DELETE", ORDER, **fields, cancelRestrictions="ONLY_NEW")["status"] == "CANCELED"


REPLACE = "/api/v3/order/cancelReplace"


def replace_fields(order_id: int, mode: str, quantity: str = "0.001") -> dict[str, object]:
    return {**limit_fields("BUY", "48000", quantity), "cancelReplaceMode": mode, "cancelOrderId": order_id}


def test_replacing_an_order(alice):
    order = alice.limit("BUY", "49000")
    done = alice.ok("POST", REPLACE, **replace_fields(order["orderId"], "STOP_ON_FAILURE"))
    assert (done["cancelResult"], done["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    assert len(alice.ok("GET", "/api/v3/openOrders")) == 1


@pytest.mark.parametrize(
    ("known", "mode", "quantity", "status", "code", "results"),
    [
        (False, "STOP_ON_FAILURE", "0.001", 400, -2022, ("FAILURE", "NOT_ATTEMPTED")),
        (False, "ALLOW_FAILURE", "0.001", 409, -2021, ("FAILURE", "SUCCESS")),
        (True, "STOP_ON_FAILURE", "1", 409, -2021, ("SUCCESS", "FAILURE")),
        (False, "ALLOW_FAILURE", "1", 400, -2022, ("FAILURE", "FAILURE")),
    ],
)
def test_replacing_that_fails_in_part(alice, known, mode, quantity, status, code, results):
    order_id = alice.limit("BUY", "49000")["orderId"] if known else 1
    reply = alice.signed("POST", REPLACE, **replace_fields(order_id, mode, quantity))
    assert said(reply)[:2] == (status, code)
    data = json.loads(reply.body)["data"]
    assert (data["cancelResult"], data["newOrderResult"]) == results


def test_amending_keeps_the_order_and_changes_its_id(alice):
    order = alice.limit("BUY", "49000", "0.01", newClientOrderId="mine")
    path, fields = "/api/v3/order/amend/keepPriority", {"symbol": "BTCUSDT", "orderId": order["orderId"]}
    amended = alice.ok("PUT", path, **fields, newQty="0.005")["amendedOrder"]
    assert amended["origQty"] == "0.00500000"
    assert amended["clientOrderId"] != "mine"
    assert alice.error("GET", ORDER, symbol="BTCUSDT", origClientOrderId="mine") == NO_ORDER
    again = alice.ok("PUT", path, **fields, newQty="0.004", newClientOrderId=amended["clientOrderId"])
    assert again["amendedOrder"]["clientOrderId"] == amended["clientOrderId"]
    assert alice.error("PUT", path, **fields, newQty="0.006")[1] == -2038


def test_order_that_cannot_fill_expires(alice):
    order = alice.ok("POST", ORDER, **limit_fields("BUY", "49000", time_in_force="IOC"))
    assert (order["status"], order["executedQty"], order["fills"]) == ("EXPIRED", "0.00000000", [])


def test_market_order_that_expires_in_part(alice):
    alice.simulator.add_fault("partial_cancel", method=f"POST {ORDER}", fraction="0.25", count=1)
    order = alice.market(quantity="0.004")
    assert (order["status"], order["executedQty"]) == ("EXPIRED", "0.00100000")


def test_acceptance_before_the_fill(clock):
    alice = client_of(quiet_binance(clock, fill_delay_ms=100, fill_parts=2))
    order = alice.market(quantity="0.002")
    assert (order["status"], order["fills"]) == ("NEW", [])
    seen = []
    for _ in range(2):
        clock.now_s += 0.1
        seen.append(alice.ok("GET", ORDER, symbol="BTCUSDT", orderId=order["orderId"])["status"])
    assert seen == ["PARTIALLY_FILLED", "FILLED"]


def test_faults_of_the_engine(alice, clock):
    alice.simulator.add_fault("reject_funds", method=f"POST {ORDER}", count=1)
    assert alice.error("POST", ORDER, **limit_fields("BUY", "49000"))[1] == -2010
    alice.simulator.add_fault("hide", method=f"POST {ORDER}", hide_s=3, count=1)
    order = alice.market(newClientOrderId="mine")
    assert alice.error("GET", ORDER, symbol="BTCUSDT", orderId=order["orderId"]) == NO_ORDER
    assert alice.ok("GET", "/api/v3/myTrades", symbol="BTCUSDT") == []
    clock.now_s += 3
    assert alice.ok("GET", ORDER, symbol="BTCUSDT", origClientOrderId="mine")["status"] == "FILLED"
    resting = alice.limit("BUY", "49000")
    alice.simulator.add_fault("cancel_pending", method=f"DELETE {ORDER}", delay_ms=2_000, count=1)
    fields = {"symbol": "BTCUSDT", "orderId": resting["orderId"]}
    assert alice.ok("DELETE", ORDER, **fields)["status"] == "PENDING_CANCEL"
    assert alice.ok("GET", ORDER, **fields)["status"] == "NEW"
    clock.now_s += 2
    assert alice.ok("GET", ORDER, **fields)["status"] == "CANCELED"


def test_error_of_a_fault_is_in_the_venues_shape(alice):
    for text, expected in (
        ("-1007 Timeout waiting.", (504, -1007, "Timeout waiting.")),
        ("408 -1007 Timeout waiting.", (408, -1007, "Timeout waiting.")),
        ("-1003:Too much.", (429, -1003, "Too much.")),
        ("EService:Unavailable", (500, -1000, "EService:Unavailable")),
    ):
        assert said(alice.simulator.error_reply(text)) == expected


def test_dry_run_changes_nothing(alice):
    assert alice.ok("POST", "/api/v3/order/test", **limit_fields("BUY", "49000")) == {}
    rates = alice.ok("POST", "/api/v3/order/test", **limit_fields("BUY", "49000"), computeCommissionRates="true")
    assert rates["standardCommissionForOrder"]["taker"] == "0.001"
    assert alice.error("POST", "/api/v3/order/test", **limit_fields("BUY", "49000.001"))[1] == -1013
    assert alice.simulator.orders() == []


def test_money_is_conserved(alice, clock):
    for number in range(20):
        alice.market("BUY" if number % 3 else "SELL", f"0.0{number + 11}")
        clock.now_s += 1
    money = alice.simulator.money()
    for asset, deposited in money["deposited"].items():
        parts = [Decimal(money[part].get(asset, "0")) for part in ("held", "house", "fees")]
        assert sum(parts) == Decimal(deposited)


def test_public_data(alice, clock):
    assert alice.public("ping") == {}
    assert alice.public("time") == {"serverTime": int(clock.now_s * 1000)}
    assert alice.public("ticker/price", symbol="BTCUSDT") == {"symbol": "BTCUSDT", "price": "50000.00000000"}
    several = alice.public("ticker/bookTicker", symbols='["BTCUSDT","ETHUSDT"]')
    assert [entry["symbol"] for entry in several] == ["BTCUSDT", "ETHUSDT"]
    assert len(alice.public("ticker/24hr")) == len(alice.public("exchangeInfo")["symbols"])
    assert len(alice.public("depth", symbol="BTCUSDT", limit=5)["asks"]) == 5
    trades = alice.public("trades", symbol="BTCUSDT", limit=7)
    assert len(trades) == 7
    aggregates = alice.public("aggTrades", symbol="BTCUSDT", limit=7)
    assert [(row["a"], row["p"], row["T"]) for row in aggregates] == [
        (row["id"], row["price"], row["time"]) for row in trades
    ]
    assert alice.public("avgPrice", symbol="BTCUSDT")["price"] == "50000.00000000"
    for symbols in ('["NOSUCH"]', "BTCUSDT", "[]", "[1]"):
        assert said(alice.raw("GET", "/api/v3/ticker/price", f"symbols={symbols}"))[1] in (-1121, -1100)


@pytest.mark.parametrize("interval", ["1s", "1m", "5m", "1h", "1d", "1w"])
def test_candles_end_with_the_running_one(alice, clock, interval):
    rows = alice.public("klines", symbol="BTCUSDT", interval=interval, limit=5)
    assert len(rows) == 5
    assert rows[-1][0] <= clock.now_s * 1000 <= rows[-1][6]
    assert [row[0] for row in rows[1:]] == [row[6] + 1 for row in rows[:-1]]
    clock.now_s += 1
    assert alice.public("klines", symbol="BTCUSDT", interval=interval, limit=5)[-1][0] <= clock.now_s * 1000
    spanned = alice.public("klines", symbol="BTCUSDT", interval=interval, startTime=rows[1][0], endTime=rows[3][6])
    assert [row[0] for row in spanned] == [row[0] for row in rows[1:4]]
    one = alice.public("klines", symbol="BTCUSDT", interval=interval, limit=1)
    assert len(one) == 1
