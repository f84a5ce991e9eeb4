"""Pages, spans and filters of the simulated Kraken's lookups; its limits; its public data."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from simulator_client import FakeClock, MemoryClient, quiet_kraken

from copytrade.simulator.kraken import KrakenSimulator
from copytrade.simulator.kraken.public import INTERVALS_MIN


def account(simulator: KrakenSimulator, tier: str = "starter") -> MemoryClient:
    return MemoryClient(simulator, simulator.add_account("bob_jones", {"USD": Decimal(100_000)}, tier=tier))


def test_closed_orders_come_in_pages_newest_first(clock: FakeClock, alice: MemoryClient) -> None:
    alice.simulator.deposit("alice_smith", "USD", Decimal(100_000))
    txids = []
    for _ in range(120):
        clock.now_s += 1
        txids.append(alice.buy())
    pages = [list(alice.ok("ClosedOrders", ofs=offset)["closed"]) for offset in (0, 50, 100, 150)]
    assert [len(page) for page in pages] == [50, 50, 20, 0]
    assert [txid for page in pages for txid in page] == txids[::-1]
    assert alice.ok("ClosedOrders", ofs=100)["count"] == 120
    assert "count" not in alice.ok("ClosedOrders", without_count="true")
    assert alice.ok("TradesHistory", ofs=100)["count"] == 120
    assert len(alice.ok("TradesHistory", ofs=100)["trades"]) == 20


def test_spans_exclude_the_start_and_include_the_end(clock: FakeClock, alice: MemoryClient) -> None:
    begin_s = clock.now_s
    txids = []
    for _ in range(5):
        clock.now_s += 10
        txids.append(alice.buy())
    clock.now_s += 10
    for method, name in (("ClosedOrders", "closed"), ("TradesHistory", "trades")):
        result = alice.ok(method, start=begin_s + 20, end=begin_s + 40)
        assert result["count"] == len(result[name]) == 2
        assert alice.ok(method, start=begin_s + 50)["count"] == 0
    assert set(alice.ok("ClosedOrders", start=txids[2])["closed"]) == set(txids[3:])
    assert alice.error("ClosedOrders", start="yesterday") == "EGeneral:Invalid arguments:start"


def test_close_time_or_open_time(clock: FakeClock, alice: MemoryClient) -> None:
    begin_s = clock.now_s
    txid = alice.limit("buy", "59000")
    clock.now_s += 100
    alice.ok("CancelOrder", txid=txid)
    for which, expected in (("open", 0), ("close", 1), ("both", 1)):
        assert alice.ok("ClosedOrders", start=begin_s + 50, closetime=which)["count"] == expected
    assert alice.ok("ClosedOrders", start=begin_s, closetime="open")["count"] == 0
    assert alice.ok("ClosedOrders", start=begin_s - 1, closetime="open")["count"] == 1


def test_query_orders_takes_fifty(alice: MemoryClient) -> None:
    txid = alice.buy()
    assert list(alice.ok("QueryOrders", txid=",".join([txid] * 50))) == [txid]
    assert alice.error("QueryOrders", txid=",".join([txid] * 51)) == "EGeneral:Invalid arguments:txid"
    assert alice.error("QueryOrders") == "EGeneral:Invalid arguments:txid"


def test_user_references(alice: MemoryClient) -> None:
    tagged = {alice.buy(userref=-5), alice.buy(userref=-5)}
    alice.buy(userref=6)
    assert set(alice.ok("ClosedOrders", userref=-5)["closed"]) == tagged


def test_trade_balance_counts_everything(alice: MemoryClient) -> None:
    alice.buy("0.01")
    alice.simulator.set_price("BTC/USD", Decimal(70_000))
    assert alice.ok("TradeBalance")["eb"] == "1097.6000"
    assert alice.ok("TradeBalance", asset="XXBT")["eb"] == "0.0157"
    assert alice.error("TradeBalance", asset="NOPE") == "EQuery:Unknown asset"


def test_call_counter_fills_and_decays(clock: FakeClock) -> None:
    client = account(quiet_kraken(clock))
    for _ in range(15):
        client.ok("Balance")
    assert client.error("Balance") == "EAPI:Rate limit exceeded"
    client.buy()  # orders count elsewhere
    clock.now_s += 2.9  # 0.33 a second: not yet one
    assert client.error("Balance") == "EAPI:Rate limit exceeded"
    clock.now_s += 0.2
    client.ok("Balance")
    clock.now_s += 60
    for _ in range(7):
        client.ok("TradesHistory")
    assert client.error("TradesHistory") == "EAPI:Rate limit exceeded"
    client.ok("Balance")


def test_trading_counter_is_per_pair(clock: FakeClock) -> None:
    client = account(quiet_kraken(clock))
    for _ in range(59):
        client.buy("0.0001")
    assert (
        client.error("AddOrder", pair="XBTUSD") == "EGeneral:Invalid arguments:type"
    )  # costs 1 all the same
    order = {"type": "buy", "ordertype": "market", "volume": "0.0001"}
    assert client.error("AddOrder", pair="XBTUSD", **order) == "EOrder:Rate limit exceeded"
    client.ok("AddOrder", pair="XBTUSDT", **order, validate="true")
    assert client.error("AddOrder", pair="XBTEUR", **order) == "EOrder:Insufficient funds"
    clock.now_s += 1
    client.buy("0.0001")


def test_cancels_of_young_orders_cost_most(clock: FakeClock) -> None:
    client = account(quiet_kraken(clock))
    for _ in range(7):
        client.ok("CancelOrder", txid=client.limit("buy", "59000", "0.0001"))  # 1 + 8 each: 63
    order = {"type": "buy", "ordertype": "limit", "price": "59000", "volume": "0.0001"}
    assert client.error("AddOrder", pair="XBTUSD", **order) == "EOrder:Rate limit exceeded"


def test_open_orders_are_limited_by_pair(clock: FakeClock) -> None:
    client = account(quiet_kraken(clock))
    for _ in range(60):
        clock.now_s += 1
        client.limit("buy", "50000", "0.0001")
    order = {"type": "buy", "ordertype": "limit", "price": "50000", "volume": "0.0001"}
    clock.now_s += 1
    assert client.error("AddOrder", pair="XBTUSD", **order) == "EOrder:Orders limit exceeded"


def test_public_calls_can_be_limited(clock: FakeClock) -> None:
    simulator = quiet_kraken(clock, public_limit_per_s=1.0)
    client = account(simulator)
    assert client.public("Time")["error"] == []
    assert client.public("Time")["error"] == ["EAPI:Rate limit exceeded"]
    clock.now_s += 1
    assert client.public("Time")["error"] == []


def test_public_data(clock: FakeClock, alice: MemoryClient) -> None:
    assert alice.public("Time")["result"]["unixtime"] == 1_700_000_000
    assert alice.public("SystemStatus")["result"]["status"] == "online"
    pairs = alice.public("AssetPairs")["result"]
    assert pairs["XXBTZUSD"]["fees"][0] == [0, 0.4]
    assert (pairs["XDGUSD"]["wsname"], pairs["XDGUSD"]["ordermin"]) == ("XDG/USD", "13")
    assert "BTC/USD" in alice.public("AssetPairs", assetVersion="1")["result"]
    assert list(alice.public("Ticker", pair="XBTUSD,ETH/USD")["result"]) == ["XXBTZUSD", "XETHZUSD"]
    assert alice.public("Ticker", pair="XBTUSD")["result"]["XXBTZUSD"]["a"][0] == "60000.0"
    assert alice.public("Ticker", pair="nope")["error"] == ["EQuery:Unknown asset pair"]
    depth = alice.public("Depth", pair="XBTUSD", count=3)["result"]["XXBTZUSD"]
    assert [len(depth[side]) for side in ("asks", "bids")] == [3, 3]
    assert alice.public("Assets", asset="XBT")["result"]["XXBT"]["decimals"] == 10
    assert alice.public("Assets", asset="BTC")["error"] == ["EQuery:Unknown asset"]
    assert alice.public("Nothing")["error"] == ["EGeneral:Unknown method"]


@pytest.mark.parametrize("interval_min", INTERVALS_MIN)
def test_candles_hang_together(clock: FakeClock, interval_min: int) -> None:
    simulator = quiet_kraken(clock, volatility=0.001)
    client = account(simulator)
    first = client.public("OHLC", pair="XBTUSD", interval=interval_min)["result"]
    clock.now_s += interval_min * 60 * 2
    second = client.public("OHLC", pair="XBTUSD", interval=interval_min)["result"]
    rows = second["XXBTZUSD"]
    assert len(rows) == 720
    assert rows[:-3] == first["XXBTZUSD"][2:-1]  # what was finished stays as it was
    assert second["last"] == rows[-2][0]
    for row, following in pairwise(rows):
        assert following[0] - row[0] == interval_min * 60
        assert row[4] == following[1]
        low, high = Decimal(row[3]), Decimal(row[2])
        assert low <= min(Decimal(row[1]), Decimal(row[4])) <= max(Decimal(row[1]), Decimal(row[4])) <= high
    since = client.public("OHLC", pair="XBTUSD", interval=interval_min, since=second["last"])["result"][
        "XXBTZUSD"
    ]
    assert [row[0] for row in since] == [rows[-1][0]]


def test_prices_depend_on_seed_and_time_alone(clock: FakeClock) -> None:
    def walk(seed: int) -> list[str]:
        clock.now_s = 1_700_000_000.0
        client = account(quiet_kraken(clock, seed=seed, volatility=0.001))
        shown = []
        for _ in range(20):
            clock.now_s += 1
            shown.append(client.public("Ticker", pair="XBTUSD")["result"]["XXBTZUSD"]["c"][0])
        return shown

    assert walk(1) == walk(1) != walk(2)
    assert len(set(walk(1))) > 10


def test_moving_prices_fill_resting_orders_they_crossed(clock: FakeClock) -> None:
    simulator = quiet_kraken(clock, volatility=0.002, rate_limits=False)
    client = account(simulator)
    orders = [client.limit("buy", f"{59_900 - step * 50}", "0.001") for step in range(20)]
    clock.now_s += 600
    still_open = client.ok("OpenOrders")["open"]
    prices = simulator.exchange.prices
    steps = range(prices.step_of(1_700_000_000), prices.step_of(clock.now_s) + 1)
    lowest = min(prices.quote_at_step("BTC/USD", step).ask for step in steps)
    for step, txid in enumerate(orders):
        assert (txid in still_open) == (Decimal(59_900 - step * 50) < lowest)
    assert 0 < len(still_open) < 20 or lowest < 58_950 or lowest > 59_900
