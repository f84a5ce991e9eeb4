"""Orders, fills, wallets, prices of the simulated Coinbase, and what it keeps over a restart."""

from __future__ import annotations

from decimal import Decimal

import pytest
from coinbase_client import CoinbaseClient, quiet_coinbase
from simulator_client import FakeClock

from copytrade.simulator.coinbase import CoinbaseSimulator
from copytrade.simulator.coinbase.call import Rules
from copytrade.simulator.faults import Fault

HISTORY = "/orders/historical"


@pytest.fixture
def coinbase(clock: FakeClock) -> CoinbaseSimulator:
    return quiet_coinbase(clock, rate_limits=False)


@pytest.fixture
def bob(coinbase) -> CoinbaseClient:
    return client(coinbase)


def client(simulator: CoinbaseSimulator, **balances: int) -> CoinbaseClient:
    money = balances or {"USD": 10_000, "BTC": 1}
    simulator.set_price("BTC/USD", Decimal(50_000))
    account = simulator.add_account("bob_jones", {asset: Decimal(amount) for asset, amount in money.items()})
    return CoinbaseClient(simulator, account)


def test_acceptance_shows_no_fill_and_the_order_is_filled_after_it(bob):
    answer = bob.market("one", base_size="0.001")
    assert answer == {
        "success": True,
        "success_response": {
            "order_id": bob.id_of(answer), "product_id": "BTC-USD", "side": "BUY", "client_order_id": "one",
        },
        "order_configuration": {"market_market_ioc": {"base_size": "0.001"}},
    }  # fmt: skip
    order = bob.get(f"{HISTORY}/{bob.id_of(answer)}")["order"]
    assert (order["status"], order["filled_size"], order["filled_value"]) == ("FILLED", "0.001", "50")
    assert (order["total_fees"], order["average_filled_price"], order["number_of_fills"]) == ("0.3", "50000", "1")
    assert (order["completion_percentage"], order["client_order_id"]) == ("100.00", "one")
    assert order["total_value_after_fees"] == "50.3"


def test_id_that_was_used_creates_nothing_and_returns_the_order(bob):
    first = bob.market("one", base_size="0.001")
    again = bob.market("one", side="SELL", base_size="0.5")
    assert again["success_response"] == first["success_response"]
    assert again["order_configuration"] == first["order_configuration"]
    assert len(bob.simulator.orders()) == 1


def test_id_of_a_refused_order_is_free(bob):
    assert bob.failure(bob.market("one", base_size="5000")) == "INSUFFICIENT_FUND"
    bob.id_of(bob.market("one", base_size="0.001"))


def test_ids_are_each_accounts_own(coinbase, bob):
    other = CoinbaseClient(coinbase, coinbase.add_account("dave_black", {"USD": Decimal(1_000)}))
    assert bob.id_of(bob.market("one", base_size="0.001")) != other.id_of(other.market("one", base_size="0.001"))
    assert other.call("GET", f"{HISTORY}/{bob.id_of(bob.market('one', base_size='0.001'))}")[0] == 404


def test_duplicates_may_be_refused_and_ids_forgotten(clock):
    refusing = client(quiet_coinbase(clock, rate_limits=False, rules=Rules(duplicates="refused")))
    refusing.market("one", base_size="0.001")
    assert refusing.failure(refusing.market("one", base_size="0.001")) == "DUPLICATE_CLIENT_ORDER_ID"
    forgetting = client(quiet_coinbase(clock, rate_limits=False, rules=Rules(id_retention_s=60)))
    first = forgetting.market("one", base_size="0.001")
    clock.now_s += 60
    assert forgetting.market("one", base_size="0.001")["success_response"] == first["success_response"]
    clock.now_s += 1
    assert forgetting.market("one", base_size="0.001")["success_response"] != first["success_response"]
    assert len(forgetting.simulator.doubles()) == 1


@pytest.mark.parametrize(
    ("side", "configuration", "reason"),
    [
        ("BUY", {"market_market_ioc": {"base_size": "0.000000001"}}, "INVALID_SIZE_PRECISION"),
        ("BUY", {"market_market_ioc": {"quote_size": "10.001"}}, "INVALID_SIZE_PRECISION"),
        ("BUY", {"market_market_ioc": {"quote_size": "0.99"}}, "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL"),
        ("BUY", {"market_market_ioc": {"base_size": "0.00001"}}, "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL"),
        ("SELL", {"market_market_ioc": {"base_size": "0.00001"}}, "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL"),
        ("BUY", {"market_market_ioc": {"base_size": "0"}}, "PREVIEW_INVALID_BASE_SIZE_TOO_SMALL"),
        ("BUY", {"market_market_ioc": {"base_size": "10001"}}, "PREVIEW_INVALID_BASE_SIZE_TOO_LARGE"),
        ("SELL", {"market_market_ioc": {"quote_size": "10"}}, "INVALID_REQUEST"),
        ("SELL", {"market_market_ioc": {"base_size": "2"}}, "INSUFFICIENT_FUND"),
        ("HOLD", {"market_market_ioc": {"base_size": "1"}}, "INVALID_SIDE"),
        ("BUY", {"market_market_fok": {"base_size": "0.001"}}, "UNSUPPORTED_ORDER_CONFIGURATION"),
        ("BUY", {"twap_limit_gtd": {"base_size": "1"}}, "UNSUPPORTED_ORDER_CONFIGURATION"),
        ("BUY", {"sor_limit_ioc": {"base_size": "0.001", "limit_price": "50000.001"}}, "INVALID_PRICE_PRECISION"),
        ("BUY", {"limit_limit_gtc": {"base_size": "0.001", "limit_price": "50000", "post_only": True}},
         "INVALID_LIMIT_PRICE_POST_ONLY"),
    ],
)  # fmt: skip
def test_orders_that_are_not_taken_say_why_with_http_200(bob, side, configuration, reason):
    answer = bob.order("one", side=side, **configuration)
    assert bob.failure(answer) == reason
    assert answer["order_configuration"] == configuration
    assert bob.simulator.orders() == []


def test_unknown_product(bob):
    assert bob.failure(bob.market("one", product="NO-SUCH", base_size="1")) == "INVALID_PRODUCT_ID"
    assert bob.call("GET", "/products/NO-SUCH")[0] == 404


@pytest.mark.parametrize(
    ("flag", "market", "limit"),
    [("trading_disabled", False, False), ("cancel_only", False, False), ("view_only", False, False),
     ("limit_only", False, True), ("auction_mode", False, True), ("post_only", False, False)],
)  # fmt: skip
def test_flags_of_a_product_stop_orders(bob, flag, market, limit):
    bob.simulator.set_flag("BTC-USD", flag)
    assert bob.get("/products/BTC-USD")[flag] is bob.get("/products/BTC-USDC")[flag] is True
    assert bob.market("one", base_size="0.001")["success"] is market
    assert bob.limit("two", "40000")["success"] is limit


@pytest.mark.parametrize(
    ("includes", "filled", "spent"), [(True, "0.00198807", "99.9999210"), (False, "0.002", "100.6")]
)
def test_purchase_by_amount_with_the_fee_inside_or_on_top(clock, includes, filled, spent):
    bob = client(quiet_coinbase(clock, rate_limits=False, rules=Rules(quote_size_includes_fee=includes)))
    order = bob.get(f"{HISTORY}/{bob.id_of(bob.market('one', quote_size='100'))}")["order"]
    assert (order["filled_size"], order["size_in_quote"], order["size_inclusive_of_fees"]) == (filled, True, includes)
    assert Decimal(order["total_value_after_fees"]) == Decimal(spent)
    assert order["order_configuration"] == {"market_market_ioc": {"quote_size": "100"}}
    bob.simulator.clock.now_s += 1
    fill = bob.get(f"{HISTORY}/fills")["fills"][0]
    assert (fill["size_in_quote"], fill["size"]) == (True, order["filled_value"])


def test_sale_takes_its_fee_in_money(bob):
    bob.market("one", side="SELL", base_size="1")
    wallets = {each["currency"]: each["available_balance"]["value"] for each in bob.get("/accounts")["accounts"]}
    assert wallets == {"USD": "59700", "BTC": "0"}


def test_immediate_limit_fills_within_its_limit_or_not_at_all(bob):
    good = bob.order("one", sor_limit_ioc={"base_size": "0.001", "limit_price": "50001"})
    late = bob.order("two", sor_limit_ioc={"base_size": "0.001", "limit_price": "49999"})
    killed = bob.order("three", limit_limit_fok={"base_size": "0.001", "limit_price": "49999"})
    statuses = [bob.get(f"{HISTORY}/{bob.id_of(each)}")["order"]["status"] for each in (good, late, killed)]
    assert statuses == ["FILLED", "CANCELLED", "CANCELLED"]


def test_pending_comes_before_open_and_the_filter_for_open_leaves_it_out(clock):
    bob = client(quiet_coinbase(clock, rate_limits=False, fill_delay_ms=1_000))
    order_id = bob.id_of(bob.limit("one", "40000"))
    assert bob.get(f"{HISTORY}/{order_id}")["order"]["status"] == "PENDING"
    assert bob.get(f"{HISTORY}/batch", order_status="OPEN")["orders"] == []
    clock.now_s += 2
    assert [each["status"] for each in bob.get(f"{HISTORY}/batch", order_status="OPEN")["orders"]] == ["OPEN"]
    assert bob.call("GET", f"{HISTORY}/batch", order_status=["OPEN", "FILLED"])[0] == 400
    assert bob.call("GET", f"{HISTORY}/batch", order_status="LOST")[0] == 400


def test_resting_order_fills_at_its_price_when_the_market_comes(bob):
    order_id = bob.id_of(bob.limit("one", "40000"))
    assert bob.get("/accounts")["accounts"][1]["hold"]["value"] == "40.24"
    bob.simulator.set_price("BTC/USD", Decimal(39_000))
    order = bob.get(f"{HISTORY}/{order_id}")["order"]
    assert (order["status"], order["average_filled_price"], order["total_fees"]) == ("FILLED", "40000", "0.16")
    assert bob.get("/accounts")["accounts"][1]["hold"]["value"] == "0"


def test_good_till_date_expires(bob):
    end = "2023-11-14T22:14:20Z"
    values = {"base_size": "0.1", "limit_price": "40000", "end_time": end}
    order_id = bob.id_of(bob.order("one", limit_limit_gtd=values))
    bob.simulator.clock.now_s += 61
    assert bob.get(f"{HISTORY}/{order_id}")["order"]["status"] == "EXPIRED"


def test_cancels_are_answered_one_by_one(bob):
    resting, filled = bob.id_of(bob.limit("one", "40000")), bob.id_of(bob.market("two", base_size="0.001"))
    status, answer = bob.call("POST", "/orders/batch_cancel", {"order_ids": [resting, filled, "unknown"]})
    assert status == 200
    assert [(each["success"], each["failure_reason"]) for each in answer["results"]] == [
        (True, "UNKNOWN_CANCEL_FAILURE_REASON"), (False, "UNKNOWN_CANCEL_ORDER"), (False, "UNKNOWN_CANCEL_ORDER"),
    ]  # fmt: skip
    assert bob.get(f"{HISTORY}/{resting}")["order"]["status"] == "CANCELLED"
    for wrong in ([], "x", [7], ["x"] * 101):
        assert bob.call("POST", "/orders/batch_cancel", {"order_ids": wrong})[0] == 400


def test_cancel_may_be_queued(bob):
    order_id = bob.id_of(bob.limit("one", "40000"))
    bob.simulator.faults.add(Fault("cancel_pending", delay_ms=1_000))
    cancel = {"order_ids": [order_id]}
    assert bob.call("POST", "/orders/batch_cancel", cancel)[1]["results"][0]["success"] is True
    order = bob.get(f"{HISTORY}/{order_id}")["order"]
    assert (order["status"], order["pending_cancel"]) == ("CANCEL_QUEUED", True)
    again = bob.call("POST", "/orders/batch_cancel", cancel)[1]["results"][0]
    assert again["failure_reason"] == "DUPLICATE_CANCEL_REQUEST"
    bob.simulator.clock.now_s += 2
    assert bob.get(f"{HISTORY}/{order_id}")["order"]["status"] == "CANCELLED"


def test_edit_needs_price_and_size_and_keeps_the_id(bob):
    order_id = bob.id_of(bob.limit("one", "40000"))
    edit = {"order_id": order_id, "price": "41000", "size": "0.002"}
    for wrong, reason in (
        ({"price": None}, "INVALID_EDITED_PRICE"),
        ({"size": None}, "INVALID_EDITED_SIZE"),
        ({"order_id": "x"}, "ORDER_NOT_FOUND"),
        ({"price": "41000.001"}, "INVALID_EDITED_PRICE"),
    ):
        answer = bob.call("POST", "/orders/edit", {**edit, **wrong})[1]
        assert (answer["success"], answer["errors"][0]["edit_failure_reason"]) == (False, reason)
    assert bob.call("POST", "/orders/edit", edit)[1]["success"] is True
    bob.simulator.set_price("BTC/USD", Decimal(40_500))
    assert bob.get(f"{HISTORY}/{order_id}")["order"]["filled_value"] == "82"
    late = bob.call("POST", "/orders/edit", edit)[1]
    assert late["errors"][0]["edit_failure_reason"] == "ONLY_OPEN_ORDERS_CAN_BE_EDITED"


def test_history_is_paged_newest_first_and_filtered(bob, clock):
    begin = clock.now_s
    for number in range(5):
        bob.market(f"order {number}", base_size="0.001")
        clock.now_s += 10
    seen, cursor = [], ""
    while True:
        page = bob.get(f"{HISTORY}/batch", limit=2, cursor=cursor)
        seen += [each["client_order_id"] for each in page["orders"]]
        if not page["has_next"]:
            break
        cursor = page["cursor"]
    assert seen == [f"order {number}" for number in (4, 3, 2, 1, 0)]
    late = bob.get(f"{HISTORY}/batch", start_date="2023-11-14T22:13:45Z")["orders"]
    assert begin == 1_700_000_000
    assert len(late) == 2
    assert bob.get(f"{HISTORY}/batch", product_ids=["ETH-USD"])["orders"] == []
    bob.simulator.faults.add(Fault("ignore_filter"))
    assert len(bob.get(f"{HISTORY}/batch", product_ids=["ETH-USD"])["orders"]) == 5
    assert bob.call("GET", f"{HISTORY}/batch", cursor="x")[0] == 400
    assert bob.call("GET", f"{HISTORY}/batch", start_date="yesterday")[0] == 400


def test_fills_lag_behind_their_order(bob, clock):
    order_id = bob.id_of(bob.market("one", base_size="0.001"))
    assert bob.get(f"{HISTORY}/{order_id}")["order"]["number_of_fills"] == "1"
    assert bob.get(f"{HISTORY}/fills")["fills"] == []
    clock.now_s += 0.2
    fill = bob.get(f"{HISTORY}/fills", order_ids=[order_id])["fills"][0]
    assert (fill["order_id"], fill["price"], fill["size"], fill["commission"]) == (order_id, "50000", "0.001", "0.3")
    assert (fill["liquidity_indicator"], fill["size_in_quote"]) == ("TAKER", False)


def test_fills_are_paged_without_has_next(clock):
    bob = client(quiet_coinbase(clock, rate_limits=False, fill_parts=3))
    bob.market("one", base_size="0.003")
    clock.now_s += 1
    first = bob.get(f"{HISTORY}/fills", limit=2)
    second = bob.get(f"{HISTORY}/fills", limit=2, cursor=first["cursor"])
    assert (len(first["fills"]), len(second["fills"]), second["cursor"]) == (2, 1, "")
    assert "has_next" not in first


def test_hidden_order_is_in_no_look_up_but_its_id_is_taken(bob, clock):
    bob.simulator.faults.add(Fault("hide", hide_s=5, count=1))
    order_id = bob.id_of(bob.market("one", base_size="0.001"))
    assert bob.get(f"{HISTORY}/batch")["orders"] == []
    assert bob.call("GET", f"{HISTORY}/{order_id}")[0] == 404
    assert bob.id_of(bob.market("one", base_size="0.001")) == order_id
    clock.now_s += 6
    assert len(bob.get(f"{HISTORY}/batch")["orders"]) == 1


def test_engine_faults(bob):
    bob.simulator.faults.add(Fault("reject_funds", count=1))
    assert bob.failure(bob.market("one", base_size="0.001")) == "INSUFFICIENT_FUND"
    bob.simulator.faults.add(Fault("partial_cancel", fraction="0.25", count=1))
    order = bob.get(f"{HISTORY}/{bob.id_of(bob.market('two', base_size='0.004'))}")["order"]
    assert (order["status"], order["filled_size"], order["completion_percentage"]) == ("CANCELLED", "0.001", "25.00")
    assert order["cancel_message"]


def test_preview_creates_nothing(bob):
    body = {"product_id": "BTC-USD", "side": "BUY", "order_configuration": {"market_market_ioc": {"quote_size": "10"}}}
    told = bob.call("POST", "/orders/preview", body)[1]
    assert (told["errs"], told["best_ask"]) == ([], "50000")
    body["order_configuration"] = {"market_market_fok": {"quote_size": "10"}}
    assert bob.call("POST", "/orders/preview", body)[1]["errs"] == ["UNSUPPORTED_ORDER_CONFIGURATION"]
    assert bob.simulator.orders() == []


def test_dollars_and_their_coin_are_two_wallets_and_one_book(clock):
    bob = client(quiet_coinbase(clock, rate_limits=False), USDC=1_000)
    assert bob.failure(bob.market("one", base_size="0.001")) == "INSUFFICIENT_FUND"
    bob.id_of(bob.market("two", product="BTC-USDC", base_size="0.001"))
    assert {each["currency"] for each in bob.get("/accounts")["accounts"]} == {"USDC", "BTC"}
    product = bob.get("/products/BTC-USD")
    assert (product["alias_to"], bob.get("/products/BTC-USDC")["alias"]) == (["BTC-USDC"], "BTC-USD")


def test_shared_book_has_one_price_as_it_moves(clock):
    simulator = CoinbaseSimulator(clock=clock, volatility=0.001, rate_limits=False)
    stranger = CoinbaseClient(simulator, None)
    seen = set()
    for _ in range(20):
        clock.now_s += 60
        dollar, coin = (stranger.get(f"/market/products/{each}/ticker") for each in ("BTC-USD", "BTC-USDC"))
        assert (dollar["best_bid"], dollar["best_ask"]) == (coin["best_bid"], coin["best_ask"])
        seen.add(dollar["best_bid"])
    assert len(seen) > 10


def test_wallets_are_paged(clock):
    bob = client(quiet_coinbase(clock, rate_limits=False), **{f"C{number}": 1 for number in range(60)})
    first = bob.get("/accounts")
    assert (len(first["accounts"]), first["has_next"]) == (49, True)
    second = bob.get("/accounts", cursor=first["cursor"])
    assert (len(second["accounts"]), second["has_next"], second["cursor"]) == (11, False, "")
    wallet = first["accounts"][0]
    assert bob.get(f"/accounts/{wallet['uuid']}")["account"] == wallet


def test_market_data(bob, clock):
    stranger = CoinbaseClient(bob.simulator, None)
    ticker = stranger.get("/market/products/BTC-USD/ticker", limit=1)
    assert (len(ticker["trades"]), ticker["best_bid"], ticker["best_ask"]) == (1, "50000", "50000")
    assert stranger.get("/time") == {
        "iso": "2023-11-14T22:13:20.000000Z", "epochSeconds": "1700000000", "epochMillis": "1700000000000",
    }  # fmt: skip
    books = bob.get("/best_bid_ask", product_ids=["BTC-USD", "ETH-USD"])["pricebooks"]
    assert [(each["product_id"], each["bids"][0]["price"]) for each in books] == [
        ("BTC-USD", "50000"),
        ("ETH-USD", "3000"),
    ]
    book = stranger.get("/market/product_book", product_id="BTC-USD", limit=3)["pricebook"]
    assert (len(book["bids"]), len(book["asks"])) == (3, 3)
    span = {"start": int(clock.now_s) - 3_600, "end": int(clock.now_s), "granularity": "FIVE_MINUTE"}
    candles = stranger.get("/market/products/BTC-USD/candles", **span)["candles"]
    starts = [int(each["start"]) for each in candles]
    assert len(starts) == 12
    assert starts == sorted(starts, reverse=True)
    too_many = {**span, "granularity": "ONE_MINUTE", "start": int(clock.now_s) - 60 * 400}
    assert stranger.call("GET", "/market/products/BTC-USD/candles", **too_many)[0] == 400
    page = stranger.get("/market/products", product_type="SPOT", limit=5, offset=5)["products"]
    assert len(page) == 5
    assert stranger.get("/market/products", product_type="FUTURE")["products"] == []


def test_money_is_conserved(bob):
    bob.market("one", base_size="0.01")
    bob.market("two", quote_size="123.45")
    bob.market("three", side="SELL", base_size="0.5")
    money = bob.simulator.money()
    for asset in ("USD", "BTC"):
        sums = {name: Decimal(part.get(asset, "0")) for name, part in money.items()}
        assert sums["deposited"] == sums["held"] + sums["house"] + sums["fees"]
    assert Decimal(money["fees"]["USD"]) > 0
    assert "BTC" not in money["fees"]


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_restart_carries_on(clock, tmp_path, kind):
    path = tmp_path / "coinbase.sqlite"
    before = quiet_coinbase(clock, rate_limits=False, store=path)
    bob = CoinbaseClient(before, before.add_account("bob_jones", {"USD": Decimal(10_000)}, kind=kind))
    filled, resting = bob.id_of(bob.market("one", base_size="0.001")), bob.id_of(bob.limit("two", "40000"))
    before.save()
    before.close()
    after = quiet_coinbase(clock, rate_limits=False, store=path)
    try:
        again = CoinbaseClient(after, bob.credentials)
        assert again.id_of(again.market("one", base_size="0.001")) == filled
        order = again.get(f"{HISTORY}/{resting}")["order"]
        assert (order["status"], list(order["order_configuration"])) == ("OPEN", ["limit_limit_gtc"])
        assert len(after.orders()) == 2
    finally:
        after.close()


@pytest.mark.parametrize(
    "settings",
    [{"permissions": ["withdraw"]}, {"kind": "rsa"}, {"name": ""}, {"key": ""}, {"key": "x" * 201}, {"secret": "x"}],
    ids=str,
)
def test_accounts_that_cannot_be_made(coinbase, settings):
    with pytest.raises(ValueError):
        coinbase.add_account(**{"name": "bob_jones", **settings})


def test_settings_that_cannot_be(coinbase):
    for wrong in ({"duplicates": "ignored"}, {"rate_limit_shape": "xml"}, {"fills_lag_s": -1}, {"id_retention_s": -1}):
        with pytest.raises(ValueError):
            Rules(**wrong)
    with pytest.raises(ValueError):
        coinbase.set_flag("BTC-USD", "closed")
    with pytest.raises(KeyError):
        coinbase.set_flag("NO-SUCH", "cancel_only")
