"""The simulated Alpaca's other calls: keys, look-ups, activities, positions, clock, limits, market data, the store."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from alpaca_client import AlpacaClient, quiet_alpaca, stock
from simulator_client import FakeClock

from copytrade.simulator.alpaca import AlpacaSimulator
from copytrade.simulator.alpaca.call import Unverified
from copytrade.simulator.alpaca.hours import StockHours, session_of
from copytrade.simulator.venue import Credentials

NOON_S = datetime(2026, 1, 6, 17, 0, tzinfo=UTC).timestamp()
MONEY = {"USD": Decimal(10_000), "BTC": Decimal(1)}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON_S)


@pytest.fixture
def simulator(clock: FakeClock) -> AlpacaSimulator:
    return quiet_alpaca(clock)


@pytest.fixture
def alice(simulator: AlpacaSimulator) -> AlpacaClient:
    return AlpacaClient(simulator, simulator.add_account("alice_smith", MONEY))


# -- keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        ("code", (401, 40110000, "request is not authorized")), ("unauthorized", (401, None, "unauthorized.")),
        ("forbidden", (403, None, "forbidden.")),
    ],
)  # fmt: skip
def test_both_headers_must_be_right_on_every_path(clock, refusal, expected):
    simulator = quiet_alpaca(clock, unverified=Unverified(key_refusal=refusal))
    good = simulator.add_account("alice_smith", MONEY)
    other = simulator.add_account("bob_jones", MONEY)
    wrong = [None, Credentials(good.key, other.secret), Credentials("", good.secret), Credentials(good.key, "")]
    for credentials in wrong:
        client = AlpacaClient(simulator, credentials)
        for path in ("/v2/account", "/v2/orders", "/v2/clock", "/v2/nothing"):
            assert client.error("GET", path) == expected
    assert AlpacaClient(simulator, good).ok("GET", "/v2/account")["status"] == "ACTIVE"


def test_market_data_of_coins_needs_no_key_and_refuses_a_wrong_one(simulator, alice):
    path, stocks = "/v1beta3/crypto/us/latest/quotes", "/v2/stocks/quotes/latest"
    stranger = AlpacaClient(simulator, None)
    assert stranger.ok("GET", path, symbols="BTC/USD")["quotes"]["BTC/USD"]["ap"] == 60_000
    assert stranger.error("GET", stocks, symbols="AAPL") == (403, None, "forbidden.")
    alice.headers["apca-api-secret-key"] = "wrong"
    assert alice.error("GET", path, symbols="BTC/USD") == (403, None, "forbidden.")


@pytest.mark.parametrize(
    ("verb", "path"),
    [("GET", "/v2/wallets"), ("POST", "/v2/wallets/transfers"), ("GET", "/v2/wallets/whitelists"),
     ("GET", "/v2/perpetuals/wallets/x")],
)  # fmt: skip
def test_no_key_reaches_a_wallet(alice, verb, path):
    assert alice.error(verb, path)[:2] == (403, 40310000)


def test_scopes_narrow_a_key(simulator):
    reader = AlpacaClient(simulator, simulator.add_account("bob_jones", MONEY, permissions=["data"]))
    assert reader.ok("GET", "/v2/account")
    assert reader.refused()[:2] == (403, 40310000)
    assert reader.error("PATCH", "/v2/account/configurations", {"suspend_trade": True})[0] == 403
    with pytest.raises(ValueError, match="permissions"):
        simulator.add_account("carol", permissions=["withdraw"])


# -- look-ups ------------------------------------------------------------------------------------------------------


def test_order_is_found_by_both_ids_with_the_colon_plain_or_encoded(alice):
    placed = alice.buy(client_order_id="mine")
    for path in ("/v2/orders:by_client_order_id", "/v2/orders%3Aby_client_order_id"):
        assert alice.ok("GET", path, client_order_id="mine")["id"] == placed["id"]
    assert alice.error("GET", "/v2/orders:by_client_order_id", client_order_id="other")[:2] == (404, 40410000)
    assert alice.error("GET", "/v2/orders/not-an-id")[:2] == (404, 40410000)


def test_orders_of_others_are_not_shown(simulator, alice):
    placed = alice.buy(client_order_id="mine")
    bob = AlpacaClient(simulator, simulator.add_account("bob_jones", MONEY))
    assert bob.error("GET", f"/v2/orders/{placed['id']}")[0] == 404
    assert bob.error("GET", "/v2/orders:by_client_order_id", client_order_id="mine")[0] == 404
    assert bob.error("DELETE", f"/v2/orders/{placed['id']}")[0] == 404
    assert bob.ok("GET", "/v2/orders", status="all") == []


def test_lists_are_of_open_orders_unless_asked_otherwise(alice, clock):
    ids = []
    for price in ("50000", "51000", "52000"):
        ids.append(alice.buy(type="limit", limit_price=price)["id"])
        clock.now_s += 10
    done = alice.buy(symbol="ETH/USD", qty="0.1")["id"]

    def listed(**query: object) -> list[str]:
        return [each["id"] for each in alice.ok("GET", "/v2/orders", **query)]

    assert listed() == ids[::-1]
    assert listed(status="all", direction="asc") == [*ids, done]
    assert listed(status="closed") == [done]
    assert listed(limit=2) == ids[:0:-1]
    assert listed(symbols="ETHUSD", status="all") == [done]
    assert listed(side="sell") == []
    after = "2026-01-06T17:00:05.123456789Z"
    assert listed(after=after, direction="asc") == ids[1:]
    assert listed(until=after) == ids[:1]
    assert listed(after_order_id=ids[1]) == ids[2:]
    assert listed(before_order_id=ids[1]) == ids[:1]
    assert alice.error("GET", "/v2/orders", status="some")[1] == 40010001
    assert alice.error("GET", "/v2/orders", limit=501)[1] == 40010001
    assert alice.error("GET", "/v2/orders", after="yesterday")[1] == 40010001


def test_hidden_order_is_in_no_look_up_until_its_time(simulator, alice, clock):
    simulator.add_fault("hide", hide_s=5, count=1)
    placed = alice.buy(client_order_id="mine")
    assert alice.error("GET", f"/v2/orders/{placed['id']}")[0] == 404
    assert alice.error("GET", "/v2/orders:by_client_order_id", client_order_id="mine")[0] == 404
    assert alice.ok("GET", "/v2/orders", status="all") == alice.ok("GET", "/v2/account/activities/FILL") == []
    assert alice.refused(client_order_id="mine")[2] == "client_order_id must be unique"
    clock.now_s += 5
    assert alice.shown(placed["id"])["status"] == "filled"


def test_filter_that_is_ignored_shows_another_order(simulator, alice):
    placed = alice.buy(client_order_id="mine")
    simulator.add_fault("ignore_filter", method="GET /v2/orders:by_client_order_id")
    found = alice.ok("GET", "/v2/orders:by_client_order_id", client_order_id="somebody elses")
    assert found["id"] == placed["id"]


# -- activities and positions --------------------------------------------------------------------------------------


def test_fills_come_by_pages_and_name_no_fee(alice, clock):
    orders = []
    for _ in range(5):
        orders.append(alice.buy()["id"])
        clock.now_s += 1
    path = "/v2/account/activities/FILL"
    everything = alice.ok("GET", path, direction="asc")
    assert [fill["order_id"] for fill in everything] == orders
    assert not [fill for fill in everything if "fee" in str(fill).lower()]
    first = alice.ok("GET", path, direction="asc", page_size=2)
    second = alice.ok("GET", path, direction="asc", page_size=2, page_token=first[-1]["id"])
    assert [fill["order_id"] for fill in first + second] == orders[:4]
    assert len(alice.ok("GET", path, after="2026-01-06T17:00:02.5Z")) == 2
    assert len(alice.ok("GET", path, date="2026-01-06")) == 5
    assert alice.ok("GET", path, date="2026-01-05") == []
    assert alice.error("GET", "/v2/account/activities/NOPE")[1] == 40010001


def test_fees_are_entered_at_the_end_of_the_day_in_what_was_received(alice, clock):
    alice.buy()
    alice.buy(side="sell", qty="0.1")
    assert alice.ok("GET", "/v2/account/activities/CFEE") == []
    clock.now_s += 86_400
    bought, sold = sorted(alice.ok("GET", "/v2/account/activities/CFEE"), key=lambda fee: fee["qty"])
    assert (bought["qty"], bought["symbol"], bought["net_amount"]) == ("-0.0000025", "BTCUSD", "0")
    assert (sold["qty"], sold["net_amount"]) == ("0", "-15")
    assert {each["activity_type"] for each in alice.ok("GET", "/v2/account/activities")} == {"FILL", "CFEE"}


def test_positions_lack_the_fee_and_carry_the_older_spelling(alice):
    alice.buy(symbol="ETH/USD", qty="1")
    held = alice.ok("GET", "/v2/positions/ETH%2FUSD")
    assert (held["symbol"], held["qty"], held["avg_entry_price"]) == ("ETHUSD", "0.9975", "3000")
    alice.buy(symbol="ETH/USD", qty="0.5", side="sell", type="limit", limit_price="4000")
    assert alice.ok("GET", "/v2/positions/ETHUSD")["qty_available"] == "0.4975"
    assert alice.error("GET", "/v2/positions/SOLUSD") == (404, 40410000, "position does not exist")
    assert {each["symbol"] for each in alice.ok("GET", "/v2/positions")} == {"BTCUSD", "ETHUSD"}


def test_account_is_in_cash(alice):
    alice.buy(type="limit", limit_price="50000", qty="0.1")
    shown = alice.ok("GET", "/v2/account")
    assert (shown["cash"], shown["equity"], shown["non_marginable_buying_power"]) == ("10000", "70000", "5000")
    assert (shown["multiplier"], shown["shorting_enabled"], shown["currency"]) == ("1", False, "USD")


# -- assets, clock, limits -----------------------------------------------------------------------------------------


def test_assets_by_class_and_by_every_spelling(alice):
    coins = alice.ok("GET", "/v2/assets", asset_class="crypto", status="active")
    assert {"min_order_size", "min_trade_increment", "price_increment"} <= set(coins[0])
    stocks = alice.ok("GET", "/v2/assets")
    assert {each["class"] for each in stocks} == {"us_equity"}
    assert [each["symbol"] for each in alice.ok("GET", "/v2/assets", status="inactive")] == ["TWTR"]
    for spelling in ("BTC%2FUSD", "BTCUSD", coins[0]["id"]):
        assert alice.ok("GET", f"/v2/assets/{spelling}")["symbol"] == "BTC/USD"
    assert alice.error("GET", "/v2/assets/NOPE")[:2] == (404, 40410000)


@pytest.mark.parametrize(
    ("moment", "is_open", "next_open", "next_close"),
    [
        ("2026-01-06T17:00", True, "2026-01-07T09:30:00-05:00", "2026-01-06T16:00:00-05:00"),
        ("2026-01-06T22:00", False, "2026-01-07T09:30:00-05:00", "2026-01-07T16:00:00-05:00"),
        ("2026-01-16T22:00", False, "2026-01-20T09:30:00-05:00", "2026-01-20T16:00:00-05:00"),  # a long week-end
        ("2026-07-02T13:29", False, "2026-07-02T09:30:00-04:00", "2026-07-02T16:00:00-04:00"),
        ("2026-07-02T21:00", False, "2026-07-06T09:30:00-04:00", "2026-07-06T16:00:00-04:00"),  # the 4th is a Saturday
    ],
)
def test_clock(alice, clock, moment, is_open, next_open, next_close):
    clock.now_s = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
    shown = alice.ok("GET", "/v2/clock")
    assert (shown["is_open"], shown["next_open"], shown["next_close"]) == (is_open, next_open, next_close)


def test_holidays_of_2026():
    days = [(1, 1), (1, 19), (2, 16), (4, 3), (5, 25), (6, 19), (7, 3), (9, 7), (11, 26), (12, 25)]
    assert all(session_of(date(2026, month, day)) is None for month, day in days)
    assert sum(session_of(date.fromordinal(day)) is not None for day in range(739617, 739982)) == 251
    assert StockHours(always_open=True).is_open(0)


def test_calendar_lists_sessions(alice):
    shown = alice.ok("GET", "/v2/calendar", start="2026-01-16", end="2026-01-21")
    assert [each["date"] for each in shown] == ["2026-01-16", "2026-01-20", "2026-01-21"]


def test_limit_is_of_the_account_and_told_with_every_answer(clock):
    simulator = quiet_alpaca(clock, rate_limits=True, requests_per_minute=3)
    alice = AlpacaClient(simulator, simulator.add_account("alice_smith", MONEY))
    second = AlpacaClient(simulator, simulator.add_account("alice_smith", key="SECONDKEY", secret="secondsecret"))
    bob = AlpacaClient(simulator, simulator.add_account("bob_jones", MONEY))
    for client, left in ((alice, "2"), (second, "1"), (alice, "0")):
        headers = client.raw("GET", "/v2/account").headers
        assert (headers["X-Ratelimit-Limit"], headers["X-Ratelimit-Remaining"]) == ("3", left)
        assert int(headers["X-Ratelimit-Reset"]) == NOON_S + 60
        assert headers["X-Request-ID"]
    reply = second.raw("POST", "/v2/orders", body=b"{}")
    assert (reply.status, json.loads(reply.body)["code"]) == (429, 42910000)
    assert reply.headers["X-Ratelimit-Remaining"] == "0"
    assert bob.raw("GET", "/v2/account").status == 200
    assert alice.ok("GET", "/v1beta3/crypto/us/latest/quotes", symbols="BTC/USD"), "market data counts by itself"
    clock.now_s += 60
    assert alice.raw("GET", "/v2/account").status == 200
    texts = quiet_alpaca(clock, rate_limits=True, requests_per_minute=1, unverified=Unverified(rate_limit_body="text"))
    client = AlpacaClient(texts, texts.add_account("alice_smith"))
    client.raw("GET", "/v2/account")
    assert client.raw("GET", "/v2/account").body == b"rate limit exceeded\n"


# -- market data ---------------------------------------------------------------------------------------------------


def test_market_data_numbers_are_json_numbers(alice):
    base = "/v1beta3/crypto/us"
    for name in ("quotes", "trades", "bars", "orderbooks"):
        assert "BTC/USD" in alice.ok("GET", f"{base}/latest/{name}", symbols="BTC/USD,ETH/USD")[name]
    assert isinstance(alice.ok("GET", f"{base}/latest/trades", symbols="BTC/USD")["trades"]["BTC/USD"]["i"], int)
    shown = alice.ok("GET", f"{base}/snapshots", symbols="BTC/USD")["snapshots"]["BTC/USD"]
    assert shown["latestQuote"]["bp"] == 60_000
    assert alice.ok("GET", "/v2/stocks/snapshots", symbols="AAPL")["AAPL"]["latestTrade"]["p"] == 230
    assert alice.error("GET", f"{base}/latest/quotes", symbols="BTCUSD")[:2] == (400, None)
    assert alice.ok("GET", "/v2/stocks/quotes/latest", symbols="NOPE,AAPL")["quotes"].keys() == {"AAPL"}


def test_bars_come_by_pages_in_both_directions(alice):
    path = "/v1beta3/crypto/us/bars"
    span = {"symbols": "BTC/USD,ETH/USD", "timeframe": "5Min", "start": "2026-01-06T16:00:00Z"}
    one = alice.ok("GET", path, **span)
    assert [len(bars) for bars in one["bars"].values()] == [13, 13]
    assert one["next_page_token"] is None
    pages, token = [], None
    while True:
        page = alice.ok("GET", path, **span, limit=10, **({} if token is None else {"page_token": token}))
        pages += [(symbol, bar["t"]) for symbol, bars in page["bars"].items() for bar in bars]
        token = page["next_page_token"]
        if token is None:
            break
    assert pages == [(symbol, bar["t"]) for symbol, bars in one["bars"].items() for bar in bars]
    down = alice.ok("GET", path, **span, sort="desc")["bars"]["BTC/USD"]
    assert [bar["t"] for bar in down] == [bar["t"] for bar in one["bars"]["BTC/USD"]][::-1]
    assert alice.error("GET", path, symbols="BTC/USD", timeframe="7Years")[0] == 400
    assert alice.ok("GET", path, **{**span, "timeframe": "5min"}) == alice.ok("GET", path, **span)


def test_bars_of_stocks_are_of_their_sessions(alice):
    week = {"start": "2026-01-02T00:00:00Z", "end": "2026-01-06T23:00:00Z"}
    bars = alice.ok("GET", "/v2/stocks/bars", symbols="AAPL", timeframe="1Hour", **week)["bars"]["AAPL"]
    assert {bar["t"][:10] for bar in bars} == {"2026-01-02", "2026-01-05", "2026-01-06"}


# -- the store -----------------------------------------------------------------------------------------------------


def test_everything_is_there_after_a_restart(clock, tmp_path):
    simulator = quiet_alpaca(clock, store=tmp_path / "alpaca.sqlite")
    keys = simulator.add_account("alice_smith", MONEY, permissions=["trading", "data"])
    alice = AlpacaClient(simulator, keys)
    alice.buy(client_order_id="mine")
    resting = alice.buy(type="limit", limit_price="59000")
    new = alice.ok("PATCH", f"/v2/orders/{resting['id']}", {"limit_price": "58000"})
    alice.buy(**stock(type="limit", limit_price="200", time_in_force="gtc"))
    simulator.set_account("alice_smith", suspend_trade=True)
    before = (alice.ok("GET", "/v2/orders", status="all"), alice.ok("GET", "/v2/account"))
    simulator.close()

    simulator = quiet_alpaca(clock, store=tmp_path / "alpaca.sqlite")
    alice = AlpacaClient(simulator, keys)
    assert (alice.ok("GET", "/v2/orders", status="all"), alice.ok("GET", "/v2/account")) == before
    assert alice.refused()[2] == "new orders are rejected by user request"
    simulator.set_account("alice_smith", suspend_trade=False)
    assert alice.refused(client_order_id="mine")[2] == "client_order_id must be unique"
    simulator.set_price("BTC/USD", Decimal(57_000))
    assert alice.shown(new["id"])["status"] == "filled"
    assert keys.secret not in "".join(path.read_bytes().decode("latin1") for path in tmp_path.iterdir())
    simulator.close()


def test_secret_that_was_given_is_never_written(clock, tmp_path):
    simulator = quiet_alpaca(clock, store=tmp_path / "alpaca.sqlite")
    simulator.add_account("alice_smith", MONEY, key="GIVENKEY", secret="givensecret")
    simulator.close()
    assert "givensecret" not in "".join(path.read_bytes().decode("latin1") for path in tmp_path.iterdir())
    again = quiet_alpaca(clock, store=tmp_path / "alpaca.sqlite")
    client = AlpacaClient(again, Credentials("GIVENKEY", "givensecret"))
    assert client.error("GET", "/v2/account")[0] == 401
    again.add_account("alice_smith", key="GIVENKEY", secret="givensecret")
    assert client.ok("GET", "/v2/account")["cash"] == "10000"
    again.close()


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"key": "two words"}, {"secret": "with-dash"}, {"name": "x" * 101}, {"key": 5}]
)  # fmt: skip
def test_accounts_that_cannot_be_are_refused(simulator, wrong):
    with pytest.raises(ValueError, match="text"):
        simulator.add_account(**{"name": "carol", **wrong})
    with pytest.raises(KeyError):
        simulator.set_account("nobody", status="ACTIVE")


def test_flags_that_cannot_be_are_refused(simulator, alice):
    for flags in ({"statu": "ACTIVE"}, {"status": True}, {"trading_blocked": "yes"}):
        with pytest.raises(ValueError, match="flag"):
            simulator.set_account("alice_smith", **flags)
