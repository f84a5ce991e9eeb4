"""Orders, look-ups, money and faults of the simulated OKX."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from okx_client import OkxClient, quiet_okx
from simulator_client import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def alice(clock):
    return make(clock)


def make(clock, **settings):
    made = quiet_okx(clock, **{"rate_limits": False, **settings})
    return OkxClient(made, made.add_account("alice_smith", {"USDT": Decimal(10_000), "BTC": Decimal(1)}))


def test_acknowledgement_shows_no_fill_and_the_fill_comes_after(alice):
    status, answer = alice.post(
        "/trade/order",
        {"instId": "BTC-USDT", "tdMode": "cash", "side": "buy", "ordType": "market", "sz": "0.001", "clOrdId": "b15",
         "tgtCcy": "base_ccy"},
    )  # fmt: skip
    row = answer["data"][0]
    assert (status, answer["code"], answer["msg"]) == (200, "0", "")
    assert row == {"clOrdId": "b15", "ordId": row["ordId"], "tag": "", "sCode": "0", "sMsg": ""}
    assert set(answer) == {"code", "msg", "data", "inTime", "outTime"}
    order = alice.look(row["ordId"])
    assert (order["state"], order["accFillSz"], order["avgPx"], order["clOrdId"]) == ("filled", "0.001", "50000", "b15")
    assert all(isinstance(value, str) for value in order.values())


def test_fee_of_a_purchase_is_taken_in_base_and_of_a_sale_in_quote(alice):
    bought, sold = alice.look(alice.placed()), alice.look(alice.placed(side="sell"))
    assert (bought["feeCcy"], bought["fee"]) == ("BTC", "-0.000001")
    assert (sold["feeCcy"], sold["fee"]) == ("USDT", "-0.05")
    details = {each["ccy"]: each for each in alice.data("/account/balance")[0]["details"]}
    assert (details["BTC"]["cashBal"], details["USDT"]["cashBal"]) == ("0.999999", "9999.95")


def test_size_of_a_market_purchase_is_money_unless_said_otherwise(alice):
    order = alice.look(alice.placed(sz="100", tgtCcy=""))
    assert (order["accFillSz"], order["tgtCcy"], order["sz"]) == ("0.002", "quote_ccy", "100")
    order = alice.look(alice.placed(side="sell", sz="0.001", tgtCcy=None))
    assert (order["accFillSz"], order["tgtCcy"]) == ("0.001", "base_ccy")
    assert alice.look(alice.placed(side="sell", sz="100", tgtCcy="quote_ccy"))["accFillSz"] == "0.002"


def test_empty_and_null_are_absent(alice):
    names = ("ccy", "tag", "posSide", "px", "reduceOnly", "stpMode", "pxUsd", "banAmend", "clOrdId")
    empties = dict.fromkeys(names, "")
    assert alice.look(alice.placed(**empties, attachAlgoOrds=None))["state"] == "filled"


def test_numbers_of_json_are_taken_in_the_text_they_were_sent_in(alice):
    assert alice.look(alice.placed(sz=0.001))["accFillSz"] == "0.001"
    order = {"instId": "BTC-USDT", "tdMode": "cash", "side": "sell", "ordType": "market", "sz": 0.00001}
    assert alice.post("/trade/order", order)[1]["code"] == "51000", "a float writes itself as 1e-05"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"instId": ""}, "50014"), ({"instId": "BTC-XYZ"}, "51001"), ({"tdMode": "cross"}, "51000"),
        ({"tdMode": ""}, "50014"), ({"side": "hold"}, "51000"), ({"side": None}, "50014"),
        ({"ordType": "stop"}, "51000"), ({"ordType": ""}, "50014"), ({"sz": ""}, "50014"), ({"sz": "0"}, "51000"),
        ({"sz": "-1"}, "51000"), ({"sz": "1e-3"}, "51000"), ({"sz": ["1"]}, "51000"), ({"sz": "0.000000011"}, "51121"),
        ({"sz": "0.000009"}, "51020"), ({"sz": "99999999999"}, "51005"),
        ({"sz": "0.4", "tgtCcy": "quote_ccy"}, "51020"),
        ({"tgtCcy": "usd"}, "51000"), ({"clOrdId": "with-dash"}, "51000"), ({"clOrdId": "a" * 33}, "51000"),
        ({"tag": "a" * 17}, "51000"), ({"ordType": "limit"}, "50014"),
        ({"ordType": "limit", "px": "50000.05"}, "51000"),
        ({"ordType": "limit", "px": "53000"}, "51006"), ({"ordType": "limit", "px": "47000", "side": "sell"}, "51006"),
        ({"banAmend": "maybe"}, "50014"), ({"attachAlgoOrds": [{"slTriggerPx": "1"}]}, "51000"),
        ({"side": "sell", "sz": "2"}, "51008"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_with_an_order_is_said_in_okxs_code(alice, changes, code):
    order = {"instId": "BTC-USDT", "tdMode": "cash", "side": "buy", "ordType": "market", "sz": "0.001",
             "tgtCcy": "base_ccy"}  # fmt: skip
    if changes.get("banAmend"):
        code = "51000"
    status, answer = alice.post("/trade/order", {**order, **changes})
    if code in ("50014", "51000"):
        assert (status, answer["code"], answer["data"]) == (400, code, [])
    else:
        assert (status, answer["code"], answer["msg"]) == (200, "1", "All operations failed")
        assert (answer["data"][0]["sCode"], answer["data"][0]["ordId"]) == (code, "")
    assert alice.simulator.orders() == []


def test_client_id_is_unique_among_pending_orders_alone(alice):
    resting = alice.limit("buy", "49000", clOrdId="Mine1")
    assert alice.order(clOrdId="Mine1")["sCode"] == "51016"
    alice.placed(clOrdId="mine1")  # another: case counts
    alice.post("/trade/cancel-order", {"instId": "BTC-USDT", "ordId": resting})
    alice.placed(clOrdId="Mine1")
    alice.placed(clOrdId="Mine1")
    newest = alice.data("/trade/order", instId="BTC-USDT", clOrdId="Mine1")[0]
    assert newest["ordId"] == alice.simulator.orders(client_id="Mine1")[-1]["order_id"]
    assert len(alice.simulator.doubles()) == 1


def test_purchase_that_is_not_affordable_is_made_smaller_unless_that_is_forbidden(alice):
    assert alice.order(sz="0.3", banAmend=True)["sCode"] == "51008"
    order = alice.look(alice.placed(sz="0.3"))
    assert order["state"] == "filled"
    assert Decimal(order["accFillSz"]) == Decimal("0.19047619")  # 10,000 over 50,000 and five per cent more
    assert alice.order(sz="0.3", banAmend="false")["sCode"] == "0"


def test_share_that_a_market_purchase_freezes_is_a_setting(clock):
    client = make(clock, market_buy_extra=Decimal(0))
    assert client.look(client.placed(sz="0.2", banAmend=True))["accFillSz"] == "0.2"


def test_post_only_that_would_cross_is_taken_and_then_cancelled(alice):
    order = alice.look(alice.placed(ordType="post_only", px="50100"))
    assert (order["state"], order["accFillSz"], order["cancelSource"]) == ("canceled", "0", "31")
    assert alice.look(alice.placed(ordType="post_only", px="49000"))["state"] == "live"


@pytest.mark.parametrize("kind", ["ioc", "fok"])
def test_order_for_now_or_never(alice, kind):
    assert alice.look(alice.placed(ordType=kind, px="49000"))["state"] == "canceled"
    assert alice.look(alice.placed(ordType=kind, px="50100"))["state"] == "filled"


def test_expired_order_is_dropped(alice, clock):
    order = {"instId": "BTC-USDT", "tdMode": "cash", "side": "sell", "ordType": "market", "sz": "0.001"}
    ms = int(clock.now_s * 1000)
    assert alice.post("/trade/order", order, exptime=str(ms - 1))[1]["code"] == "50036"
    late = alice.post("/trade/order", order, late_s=2.0, exptime=str(ms - 1_000))[1]
    assert (late["code"], late["data"][0]["sCode"]) == ("1", "50037")
    assert alice.post("/trade/order", order, exptime="soon")[1]["code"] == "51000"
    assert alice.simulator.orders() == []
    assert alice.post("/trade/order", order, exptime=str(ms + 1))[1]["code"] == "0"


def test_batch_judges_order_by_order(alice):
    good = {"instId": "BTC-USDT", "tdMode": "cash", "side": "sell", "ordType": "market", "sz": "0.001"}
    answer = alice.post("/trade/batch-orders", [good, {**good, "sz": "5"}, {**good, "side": ""}])[1]
    assert (answer["code"], [row["sCode"] for row in answer["data"]]) == ("2", ["0", "51008", "50014"])
    assert alice.post("/trade/batch-orders", [good] * 21)[1]["code"] == "51000"
    assert alice.post("/trade/batch-orders", [{**good, "sz": "5"}])[1]["code"] == "1"


def test_cancel_and_amend(alice):
    order_id = alice.limit("buy", "49000", clOrdId="c1")
    amended = alice.post("/trade/amend-order", {"instId": "BTC-USDT", "clOrdId": "c1", "newSz": "0.002", "reqId": "r1"})
    assert (amended[1]["data"][0]["sCode"], amended[1]["data"][0]["reqId"]) == ("0", "r1")
    assert alice.look(order_id)["sz"] == "0.002"
    cancel = {"instId": "BTC-USDT", "ordId": order_id}
    assert alice.post("/trade/cancel-order", cancel)[1]["data"][0]["sCode"] == "0"
    assert (alice.look(order_id)["state"], alice.look(order_id)["cancelSource"]) == ("canceled", "1")
    assert alice.post("/trade/cancel-order", cancel)[1]["data"][0]["sCode"] == "51400"
    assert alice.post("/trade/amend-order", {**cancel, "newSz": "1"})[1]["data"][0]["sCode"] == "51503"
    assert alice.post("/trade/cancel-order", {"instId": "BTC-USDT"})[1]["code"] == "50015"
    ids = [{"instId": "BTC-USDT", "ordId": alice.limit("buy", "48000")} for _ in range(2)]
    assert alice.post("/trade/cancel-batch-orders", ids)[1]["code"] == "0"


def test_dead_mans_switch(alice, clock):
    order_id = alice.limit("buy", "49000")
    answer = alice.post("/trade/cancel-all-after", {"timeOut": "10"})[1]["data"][0]
    assert int(answer["triggerTime"]) - int(answer["ts"]) == 10_000
    clock.now_s += 9
    assert alice.look(order_id)["state"] == "live"
    assert alice.post("/trade/cancel-all-after", {"timeOut": "0"})[1]["data"][0]["triggerTime"] == "0"
    alice.post("/trade/cancel-all-after", {"timeOut": "10"})
    clock.now_s += 11
    assert alice.look(order_id)["state"] == "canceled"
    assert alice.post("/trade/cancel-all-after", {"timeOut": "9"})[1]["code"] == "51000"


def test_order_of_another_account_or_instrument_is_not_there(alice):
    order_id = alice.placed()
    bob = OkxClient(alice.simulator, alice.simulator.add_account("bob_jones"))
    assert bob.get("/trade/order", instId="BTC-USDT", ordId=order_id)[1]["code"] == "51603"
    assert alice.get("/trade/order", instId="ETH-USDT", ordId=order_id)[1]["code"] == "51603"
    assert alice.get("/trade/order", instId="BTC-USDT")[1]["code"] == "50015"
    assert alice.get("/trade/order", ordId=order_id)[1]["code"] == "50014"


def test_lists_and_their_pages(alice, clock):
    ids = []
    for _ in range(7):
        ids.append(alice.placed(sz="0.0001"))
        clock.now_s += 1
    history = alice.data("/trade/orders-history", instType="SPOT", limit=3)
    assert [each["ordId"] for each in history] == ids[:-4:-1]
    older = alice.data("/trade/orders-history", instType="SPOT", after=history[-1]["ordId"])
    assert [each["ordId"] for each in older] == ids[3::-1]
    newer = alice.data("/trade/orders-history", instType="SPOT", before=ids[4])
    assert [each["ordId"] for each in newer] == [ids[6], ids[5]]
    begin = int(alice.look(ids[5])["cTime"])
    assert len(alice.data("/trade/orders-history", instType="SPOT", begin=begin)) == 2
    assert len(alice.data("/trade/fills", instType="SPOT", begin=begin)) == 2
    assert alice.data("/trade/fills", ordId=ids[0])[0]["ordId"] == ids[0]
    assert alice.get("/trade/orders-history")[1]["code"] == "50014"
    assert alice.data("/trade/orders-history", instType="SPOT", instId="ETH-USDT") == []
    assert alice.data("/trade/orders-pending") == []
    resting = alice.limit("buy", "49000")
    assert [each["ordId"] for each in alice.data("/trade/orders-pending", instType="SPOT")] == [resting]
    assert alice.get("/trade/orders-history", instType="SPOT", limit="many")[1]["code"] == "51000"


def test_lists_reach_back_so_far(alice, clock):
    alice.placed()
    lists = ("/trade/fills", "/trade/orders-history", "/trade/fills-history", "/trade/orders-history-archive")

    def shown():
        return [len(alice.data(path, instType="SPOT")) for path in lists]

    assert shown() == [1, 1, 1, 1]
    clock.now_s += 4 * 86_400
    assert shown() == [0, 1, 1, 1]
    clock.now_s += 4 * 86_400
    assert shown() == [0, 0, 1, 1]
    clock.now_s += 90 * 86_400
    assert shown() == [0, 0, 0, 0]


def test_cancelled_order_without_a_fill_is_forgotten_after_two_hours(alice, clock):
    empty, filled = alice.placed(ordType="ioc", px="49000"), alice.placed()
    clock.now_s += 7_199
    assert len(alice.data("/trade/orders-history", instType="SPOT")) == 2
    clock.now_s += 2
    assert [each["ordId"] for each in alice.data("/trade/orders-history", instType="SPOT")] == [filled]
    assert alice.get("/trade/order", instId="BTC-USDT", ordId=empty)[1]["code"] == "51603"


def test_money_is_conserved_with_fees_in_both_assets(alice):
    for number in range(20):
        alice.placed(sz=f"0.00{number + 1:02d}", side="buy" if number % 3 else "sell")
    money = {name: {asset: Decimal(amount) for asset, amount in part.items()} for name, part in
             alice.simulator.money().items()}  # fmt: skip
    for asset in ("BTC", "USDT"):
        assert money["deposited"][asset] == money["held"][asset] + money["house"][asset] + money["fees"][asset]
        assert money["fees"][asset] > 0


def test_public_data(alice, clock):
    assert alice.public("/public/time") == [{"ts": str(int(clock.now_s * 1000))}]
    rows = alice.public("/public/instruments", instType="SPOT")
    bitcoin = next(row for row in rows if row["instId"] == "BTC-USDT")
    assert (bitcoin["lotSz"], bitcoin["tickSz"], bitcoin["minSz"], bitcoin["state"]) == (
        "0.00000001", "0.1", "0.00001", "live",
    )  # fmt: skip
    assert alice.public("/public/instruments", instType="SWAP") == []
    assert rows == alice.data("/account/instruments", instType="SPOT")
    ticker = alice.public("/market/ticker", instId="BTC-USDT")[0]
    assert (ticker["bidPx"], ticker["askPx"], ticker["last"]) == ("50000", "50000", "50000")
    assert len(alice.public("/market/tickers", instType="SPOT")) == len(rows)
    candles = alice.public("/market/candles", instId="BTC-USDT", bar="5m", limit=300)
    assert (len(candles), len(candles[0]), candles[0][-1], candles[1][-1]) == (300, 9, "0", "1")
    assert [int(row[0]) for row in candles] == sorted((int(row[0]) for row in candles), reverse=True)
    older = alice.public("/market/candles", instId="BTC-USDT", bar="5m", after=candles[-1][0], limit=2)
    assert int(older[0][0]) == int(candles[-1][0]) - 300_000
    book = alice.public("/market/books", instId="BTC-USDT", sz=5)[0]
    assert (len(book["asks"]), len(book["bids"])) == (5, 5)
    trades = alice.public("/market/trades", instId="BTC-USDT", limit=3)
    assert {row["px"] for row in trades} == {"50000"}
    assert [row["side"] for row in trades] in (["sell", "buy", "sell"], ["buy", "sell", "buy"])
    assert [int(row["ts"]) for row in trades] == sorted((int(row["ts"]) for row in trades), reverse=True)


# -- faults ----------------------------------------------------------------------------------------------------------


def test_faults_of_the_matching_engine(alice, clock):
    alice.simulator.add_fault("reject_funds", method="POST /trade/order", count=1)
    assert alice.order()["sCode"] == "51008"
    alice.simulator.add_fault("partial_cancel", fraction="0.25", count=1)
    order = alice.look(alice.placed(sz="0.004"))
    assert (order["state"], order["accFillSz"]) == ("canceled", "0.001")
    alice.simulator.add_fault("hide", hide_s=5, count=1)
    hidden = alice.placed(clOrdId="hidden")
    assert alice.get("/trade/order", instId="BTC-USDT", ordId=hidden)[1]["code"] == "51603"
    assert hidden not in str(alice.data("/trade/fills"))
    clock.now_s += 6
    assert alice.look(hidden)["state"] == "filled"
    alice.simulator.add_fault("ignore_filter", count=1)
    assert alice.get("/trade/order", instId="BTC-USDT", clOrdId="hidden")[1]["code"] == "51603"
    resting = alice.limit("buy", "49000")
    alice.simulator.add_fault("cancel_pending", delay_ms=3_000, count=1)
    alice.post("/trade/cancel-order", {"instId": "BTC-USDT", "ordId": resting})
    assert alice.look(resting)["state"] == "live"
    clock.now_s += 4
    assert alice.look(resting)["state"] == "canceled"


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("50001", 503, "50001"), ("50004", 400, "50004"), ("50013", 429, "50013"), ("50026", 500, "50026"),
        ("50011", 429, "50011"), ("EService:Unavailable", 503, "50001"), ("59999:new words", 200, "59999"),
    ],
)  # fmt: skip
def test_errors_to_order(alice, text, status, code):
    reply = alice.simulator.error_reply(text)
    assert (reply.status, json.loads(reply.body)["code"]) == (status, code)


def test_error_to_order_in_a_row(alice):
    answer = json.loads(alice.simulator.error_reply("1:51008").body)
    assert (answer["code"], answer["data"][0]["sCode"], answer["data"][0]["ordId"]) == ("1", "51008", "")


# -- restart -----------------------------------------------------------------------------------------------------------


def test_everything_survives_a_restart(tmp_path, clock):
    first = make(clock, store=tmp_path / "okx.sqlite")
    done, resting = first.placed(clOrdId="one", tag="tagged"), first.limit("buy", "49000", clOrdId="two")
    shown = [first.look(done), first.look(resting)]
    first.simulator.close()
    second = OkxClient(quiet_okx(clock, store=tmp_path / "okx.sqlite"), first.credentials)
    assert [second.look(done), second.look(resting)] == shown
    assert second.placed(clOrdId="three") not in (done, resting)
    second.simulator.close()
    assert first.credentials.secret not in (tmp_path / "okx.sqlite").read_bytes().decode(errors="replace")


def test_made_by_name(tmp_path):
    from copytrade.simulator.command import add_accounts, make_venue

    made = make_venue("okx", 7, tmp_path, 0.0, 0, True)
    keys = add_accounts(made, 2, "intermediate")
    assert set(keys["master"]) == {"key", "secret", "passphrase"}
    assert made.money()["held"] == {"USDT": "11000"}
    made.close()
