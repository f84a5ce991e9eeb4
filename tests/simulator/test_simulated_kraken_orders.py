"""Orders of the simulated Kraken: what it accepts, refuses, fills and shows."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from simulator_client import FakeClock, MemoryClient, quiet_kraken

from copytrade.simulator.kraken import KrakenSimulator

MARKET: dict[str, Any] = {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.001"}
LIMIT: dict[str, Any] = {**MARKET, "ordertype": "limit", "price": "59000"}


def at(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat()


def test_market_order_fills_by_the_next_request(alice: MemoryClient) -> None:
    result = alice.ok("AddOrder", **MARKET, cl_ord_id="first")
    assert result["descr"] == {"order": "buy 0.00100000 XBTUSD @ market"}
    (txid,) = result["txid"]
    assert [len(part) for part in txid.split("-")] == [6, 5, 6]
    assert txid[0] == "O"
    closed = alice.ok("ClosedOrders", cl_ord_id="first", trades="true")
    order = closed["closed"][txid]
    assert closed["count"] == 1
    assert (order["status"], order["vol"], order["vol_exec"]) == ("closed", "0.00100000", "0.00100000")
    assert (order["cost"], order["fee"], order["price"]) == ("60.00000", "0.24000", "60000.0")
    assert isinstance(order["opentm"], float)
    assert isinstance(order["userref"], int)
    assert alice.ok("Balance") == {"XXBT": "0.0010000000", "ZUSD": "939.7600"}
    trades = alice.ok("TradesHistory")
    (trade_id,) = order["trades"]
    assert trades["trades"][trade_id]["pair"] == "XXBTZUSD"
    assert trades["trades"][trade_id]["ordertxid"] == txid
    assert alice.ok("QueryTrades", txid=trade_id) == trades["trades"]
    assert alice.ok("QueryOrders", txid=txid)[txid]["cost"] == "60.00000"


def test_fill_delay_shows_an_open_order_first(clock: FakeClock) -> None:
    simulator = quiet_kraken(clock, fill_delay_ms=500, fill_parts=2)
    client = MemoryClient(simulator, simulator.add_account("alice_smith", {"USD": Decimal(1000)}))
    txid = client.buy()
    assert client.ok("OpenOrders")["open"][txid]["vol_exec"] == "0.00000000"
    clock.now_s += 0.5
    assert client.ok("OpenOrders")["open"][txid]["vol_exec"] == "0.00050000"
    clock.now_s += 0.5
    assert client.ok("OpenOrders")["open"] == {}
    assert client.ok("TradesHistory")["count"] == 2


@pytest.mark.parametrize("pair", ["XBTUSD", "XXBTZUSD", "XBT/USD"])
def test_every_spelling_of_a_pair(alice: MemoryClient, pair: str) -> None:
    result = alice.ok("AddOrder", **{**MARKET, "pair": pair})
    assert result["descr"]["order"] == "buy 0.00100000 XBTUSD @ market"


def test_new_spelling_needs_the_asset_version(alice: MemoryClient) -> None:
    assert alice.error("AddOrder", **{**MARKET, "pair": "BTC/USD"}) == "EQuery:Unknown asset pair"
    alice.ok("AddOrder", **{**MARKET, "pair": "BTC/USD", "assetVersion": "1"})
    assert alice.error("AddOrder", **{**MARKET, "pair": "xbtusd"}) == "EQuery:Unknown asset pair"
    assert alice.ok("AddOrder", **{**MARKET, "pair": "XDGUSD", "volume": "20"})["txid"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"type": "hold"}, "EGeneral:Invalid arguments:type"),
        ({"ordertype": "trailing-stop", "price": "+5%"}, "EGeneral:Invalid arguments:ordertype"),
        ({"ordertype": "stop-loss"}, "EGeneral:Invalid arguments:price"),
        ({"ordertype": "stop-loss", "price": "60000.01"}, "EOrder:Invalid price:XXBTZUSD price can only be specified"),
        ({"ordertype": "stop-loss", "price": "61000", "price2": "1"}, "EGeneral:Invalid arguments:price2"),
        ({"ordertype": "take-profit-limit", "price": "61000"}, "EGeneral:Invalid arguments:price2"),
        ({"ordertype": "limit", "price": "59000", "price2": "1"}, "EGeneral:Invalid arguments:price2"),
        ({"ordertype": "stop-loss", "price": "61000", "trigger": "mark"}, "EGeneral:Invalid arguments:trigger"),
        ({"ordertype": "limit", "price": "59000", "trigger": "last"}, "EGeneral:Invalid arguments:trigger"),
        ({"ordertype": "stop-loss", "price": "61000", "oflags": "post"}, "EGeneral:Invalid arguments:oflags"),
        ({"ordertype": "stop-loss", "price": "61000", "type": "sell"}, "EOrder:Insufficient funds"),
        ({"pair": ""}, "EGeneral:Invalid arguments:pair"),
        ({"pair": "NOSUCH"}, "EQuery:Unknown asset pair"),
        ({"volume": "0"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "-1"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "1e-05"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "NaN"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": ""}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "0.001000001"}, "EGeneral:Invalid arguments:volume"),
        ({"volume": "0.00004"}, "EOrder:Order minimum not met"),
        ({"pair": "XRPUSD", "volume": "1.64"}, "EOrder:Order minimum not met"),
        (
            {"pair": "USDTUSD", "ordertype": "limit", "price": "0.09", "volume": "5"},
            "EOrder:Cost minimum not met",
        ),
        ({"volume": "0.02"}, "EOrder:Insufficient funds"),
        ({"type": "sell"}, "EOrder:Insufficient funds"),
        ({"volume": "999999999999999"}, "EOrder:Insufficient funds"),
        ({"leverage": "2"}, "EGeneral:Invalid arguments:leverage"),
        ({"oflags": "nonsense"}, "EGeneral:Invalid arguments:oflags"),
        ({"oflags": "fcib,fciq"}, "EGeneral:Invalid arguments:oflags"),
        ({"oflags": "viqc", "type": "sell"}, "EGeneral:Invalid arguments:viqc"),
        ({"timeinforce": "DAY"}, "EGeneral:Invalid arguments:timeinforce"),
        ({"userref": "2147483648"}, "EGeneral:Invalid arguments:userref"),
        ({"userref": "1", "cl_ord_id": "a"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"cl_ord_id": "x" * 19}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"cl_ord_id": "with blank"}, "EGeneral:Invalid arguments:cl_ord_id"),
        ({"deadline": "tomorrow"}, "EGeneral:Invalid arguments:deadline"),
        ({"close[ordertype]": "limit"}, "EGeneral:Invalid arguments:close"),
        ({"reduce_only": "true"}, "EGeneral:Invalid arguments:reduce_only"),
        ({"validate": "perhaps"}, "EGeneral:Invalid arguments:validate"),
    ],
)
def test_refused_orders(alice: MemoryClient, changes: dict[str, str], error: str) -> None:
    assert alice.error("AddOrder", **{**MARKET, **changes}).startswith(error)
    assert alice.simulator.orders() == []
    assert alice.ok("Balance") == {"ZUSD": "1000.0000"}


@pytest.mark.parametrize(
    ("price", "error"),
    [
        ("59000.12", "EOrder:Invalid price:XXBTZUSD price can only be specified up to 1 decimals."),
        ("0", "EGeneral:Invalid arguments:price"),
        ("", "EGeneral:Invalid arguments:price"),
        ("abc", "EGeneral:Invalid arguments:price"),
    ],
)
def test_refused_prices(alice: MemoryClient, price: str, error: str) -> None:
    assert alice.error("AddOrder", **{**LIMIT, "price": price}) == error


@pytest.mark.parametrize(
    ("price", "shown"), [("-1000", "59000.0"), ("#1%", "59400.0"), ("59000.10", "59000.1"), (".5", None)]
)
def test_relative_prices(alice: MemoryClient, price: str, shown: str | None) -> None:
    if shown is None:
        assert alice.error("AddOrder", **{**LIMIT, "price": price}) == "EOrder:Cost minimum not met"
    else:
        txid = alice.limit("buy", price)
        assert alice.ok("OpenOrders")["open"][txid]["descr"]["price"] == shown


@pytest.mark.parametrize(
    "client_id", ["6d1b345e-2821-40e2-ad83-4ecb18a06876", "da8e4ad59b78481c93e589746b0cf91f", "A" * 18]
)
def test_client_id_formats(alice: MemoryClient, client_id: str) -> None:
    alice.buy(cl_ord_id=client_id)
    assert alice.ok("ClosedOrders", cl_ord_id=client_id)["count"] == 1


def test_client_ids_are_unique_among_open_orders_only(alice: MemoryClient) -> None:
    alice.limit("buy", "59000", cl_ord_id="resting")
    assert alice.error("AddOrder", **LIMIT, cl_ord_id="resting") == "EOrder:Duplicate order"
    first, second = alice.buy(cl_ord_id="again"), alice.buy(cl_ord_id="again")
    assert first != second
    assert set(alice.ok("ClosedOrders", cl_ord_id="again")["closed"]) == {first, second}
    (double,) = alice.simulator.doubles()
    assert (double["account"], double["client_id"], len(double["orders"])) == ("alice_smith", "again", 2)


def test_a_client_id_belongs_to_its_account(simulator: KrakenSimulator, alice: MemoryClient) -> None:
    bob = MemoryClient(simulator, simulator.add_account("bob_jones", {"USD": Decimal(1000)}))
    txid = alice.limit("buy", "59000", cl_ord_id="shared")
    bob.limit("buy", "59000", cl_ord_id="shared")
    assert bob.error("QueryOrders", txid=txid) == "EOrder:Unknown order"
    assert bob.error("CancelOrder", txid=txid) == "EOrder:Unknown order"
    assert simulator.doubles() == []


def test_deadline_window(clock: FakeClock, alice: MemoryClient) -> None:
    now_s = clock.now_s
    assert alice.error("AddOrder", **MARKET, deadline=at(now_s + 1)) == "EGeneral:Invalid arguments:deadline"
    assert alice.error("AddOrder", **MARKET, deadline=at(now_s + 61)) == "EGeneral:Invalid arguments:deadline"
    assert alice.error("AddOrder", **MARKET, deadline=at(now_s - 1)) == "EService:Deadline elapsed"
    assert (
        alice.error("AddOrder", **MARKET, deadline="2023-11-14T22:13:25")
        == "EGeneral:Invalid arguments:deadline"
    )
    alice.ok("AddOrder", **MARKET, deadline=at(now_s + 2))
    alice.ok("AddOrder", **MARKET, deadline=at(now_s + 60).replace("+00:00", "Z"))


def test_validate_places_nothing(alice: MemoryClient) -> None:
    for value in ("true", "True", "1"):
        assert alice.ok("AddOrder", **MARKET, validate=value) == {
            "descr": {"order": "buy 0.00100000 XBTUSD @ market"}
        }
    assert (
        alice.error("AddOrder", **{**MARKET, "volume": "0.00001"}, validate="true")
        == "EOrder:Order minimum not met"
    )
    assert alice.simulator.orders() == []


def test_limit_order_holds_money_and_fills_when_the_price_crosses(alice: MemoryClient) -> None:
    txid = alice.limit("buy", "59000", "0.01", userref=7)
    assert alice.ok("BalanceEx")["ZUSD"] == {"balance": "1000.0000", "hold_trade": "592.3600"}
    assert alice.error("AddOrder", **{**MARKET, "volume": "0.01"}) == "EOrder:Insufficient funds"
    alice.simulator.set_price("BTC/USD", Decimal("59000.1"))
    assert set(alice.ok("OpenOrders", userref=7)["open"]) == {txid}
    alice.simulator.set_price("BTC/USD", Decimal("58000"))
    assert alice.ok("OpenOrders")["open"] == {}
    order = alice.ok("QueryOrders", txid=txid)[txid]
    assert (order["price"], order["cost"], order["fee"]) == ("59000.0", "590.00000", "1.47500")  # as maker
    assert alice.ok("BalanceEx")["ZUSD"] == {"balance": "408.5250", "hold_trade": "0.0000"}


def test_marketable_limit_fills_at_the_better_price(alice: MemoryClient) -> None:
    txid = alice.limit("buy", "65000")
    assert alice.ok("QueryOrders", txid=txid)[txid]["price"] == "60000.0"


def test_post_only_and_immediate_orders(alice: MemoryClient) -> None:
    assert alice.error("AddOrder", **{**LIMIT, "price": "60000"}, oflags="post") == "EOrder:Post only order"
    assert alice.limit("buy", "59999.9", oflags="post")
    for tif in ("IOC", "FOK"):
        missed = alice.limit("buy", "59000", timeinforce=tif)
        assert alice.ok("QueryOrders", txid=missed)[missed]["status"] == "canceled"
        taken = alice.limit("buy", "60000", timeinforce=tif)
        assert alice.ok("QueryOrders", txid=taken)[taken]["status"] == "closed"


def test_orders_expire(clock: FakeClock, alice: MemoryClient) -> None:
    txid = alice.limit("buy", "59000", timeinforce="GTD", expiretm="+30")
    clock.now_s += 29
    assert txid in alice.ok("OpenOrders")["open"]
    clock.now_s += 1
    assert alice.ok("QueryOrders", txid=txid)[txid]["status"] == "expired"
    assert alice.ok("BalanceEx")["ZUSD"]["hold_trade"] == "0.0000"


def test_market_buy_by_quote_amount(alice: MemoryClient) -> None:
    txid = alice.buy("100", oflags="viqc")
    order = alice.ok("QueryOrders", txid=txid)[txid]
    assert (order["vol"], order["status"]) == ("100.00000000", "closed")
    assert Decimal("99.999") <= Decimal(order["cost"]) <= 100
    assert Decimal(alice.ok("Balance")["XXBT"]) == Decimal("0.00166666")


def test_fee_in_base(alice: MemoryClient) -> None:
    alice.buy("0.01", oflags="fcib")
    assert alice.ok("Balance") == {"XXBT": "0.0099600000", "ZUSD": "400.0000"}


def test_amend_keeps_the_order(alice: MemoryClient) -> None:
    txid = alice.limit("buy", "59000", cl_ord_id="amend")
    assert (
        alice.ok("AmendOrder", cl_ord_id="amend", order_qty="0.002", limit_price="58000")["amend_id"][0]
        == "T"
    )
    order = alice.ok("OpenOrders")["open"][txid]
    assert (order["vol"], order["descr"]["price"], order["misc"]) == ("0.00200000", "58000.0", "amended")
    assert alice.ok("BalanceEx")["ZUSD"]["hold_trade"] == "116.4640"
    assert alice.error("AmendOrder", txid=txid, order_qty="1") == "EOrder:Insufficient funds"
    assert (
        alice.error("AmendOrder", txid=txid, limit_price="60000", post_only="true")
        == "EOrder:Post only order"
    )
    assert alice.error("AmendOrder", txid="OAAAAA-AAAAA-AAAAAA", order_qty="1") == "EOrder:Unknown order"
    alice.simulator.set_price("BTC/USD", Decimal("58500"))
    assert txid in alice.ok("OpenOrders")["open"]  # the old price of 59000 no longer counts
    alice.ok("AmendOrder", txid=txid, limit_price="59500")
    assert alice.ok("QueryOrders", txid=txid)[txid]["status"] == "closed"


def test_cancels(alice: MemoryClient) -> None:
    by_txid = alice.limit("buy", "59000")
    alice.limit("buy", "58000", cl_ord_id="mine")
    alice.limit("buy", "57000", userref=5)
    alice.limit("buy", "56000", userref=5)
    alice.limit("buy", "55000")
    assert alice.ok("CancelOrder", txid=by_txid) == {"count": 1}
    assert alice.error("CancelOrder", txid=by_txid) == "EOrder:Unknown order"
    assert alice.ok("CancelOrder", cl_ord_id="mine") == {"count": 1}
    assert alice.ok("CancelOrder", userref=5) == {"count": 2}
    assert alice.error("CancelOrder") == "EGeneral:Invalid arguments:txid"
    assert alice.ok("CancelAll") == {"count": 1}
    assert alice.ok("BalanceEx")["ZUSD"]["hold_trade"] == "0.0000"
    assert alice.ok("ClosedOrders")["count"] == 5


def test_cancel_all_after(clock: FakeClock, alice: MemoryClient) -> None:
    alice.limit("buy", "59000")
    assert alice.ok("CancelAllOrdersAfter", timeout=60)["triggerTime"] == "2023-11-14T22:14:20Z"
    clock.now_s += 30
    alice.ok("CancelAllOrdersAfter", timeout=60)
    clock.now_s += 59
    assert len(alice.ok("OpenOrders")["open"]) == 1
    clock.now_s += 1
    assert alice.ok("OpenOrders")["open"] == {}
    alice.limit("buy", "59000")
    alice.ok("CancelAllOrdersAfter", timeout=5)
    alice.ok("CancelAllOrdersAfter", timeout=0)
    clock.now_s += 60
    assert len(alice.ok("OpenOrders")["open"]) == 1


def test_batches(alice: MemoryClient) -> None:
    good = {"type": "buy", "ordertype": "limit", "price": "59000", "volume": "0.001", "cl_ord_id": "one"}
    small = {**good, "volume": "0.00001", "cl_ord_id": "two"}
    dear = {**good, "volume": "1", "cl_ord_id": "three"}
    answer = alice.json_call("AddOrderBatch", {"pair": "XBTUSD", "orders": [good, small, dear]})
    entries = answer["result"]["orders"]
    assert entries[0]["txid"][0] == "O"
    assert [entry.get("error") for entry in entries] == [
        None,
        "EOrder:Order minimum not met",
        "EOrder:Insufficient funds",
    ]
    assert alice.json_call("AddOrderBatch", {"pair": "XBTUSD", "orders": [good]})["error"]
    bad = {**good, "type": "hold", "cl_ord_id": "four"}
    assert alice.json_call("AddOrderBatch", {"pair": "XBTUSD", "orders": [bad, bad]})["error"]
    assert alice.json_call("CancelOrderBatch", {"orders": ["one", entries[0]["txid"]]})["result"] == {
        "count": 1
    }


def test_market_modes(alice: MemoryClient) -> None:
    for mode, market, limit in (
        ("cancel_only", "EService:Market in cancel_only mode", "EService:Market in cancel_only mode"),
        ("post_only", "EService:Market in post_only mode", "EService:Market in post_only mode"),
    ):
        alice.simulator.set_market_mode("BTC/USD", mode)
        assert alice.error("AddOrder", **MARKET) == market
        assert alice.error("AddOrder", **LIMIT) == limit
        assert alice.public("AssetPairs", pair="XBTUSD")["result"]["XXBTZUSD"]["status"] == mode
    alice.ok("AddOrder", **LIMIT, oflags="post")


def test_calls_that_are_not_simulated_say_so(alice: MemoryClient) -> None:
    assert alice.error("EditOrder", txid="x") == "EAPI:Feature disabled"
    assert alice.error("NoSuchThing") == "EGeneral:Unknown method"
