"""Who may ask the simulated Binance what: signatures, timestamps, keys, parameters, limits."""

from __future__ import annotations

import json
from decimal import Decimal
from urllib.parse import quote, urlencode

import pytest
from binance_client import ORDER, BinanceClient, binance_sign, limit_fields, quiet_binance, said
from simulator_client import FakeClock

from copytrade.simulator.binance.call import Unverified
from copytrade.simulator.binance.keys import sign, split_signature
from copytrade.simulator.venue import Credentials

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
HEAD = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"
TAIL = "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
WHOLE = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
SPLIT = "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"
SORTED = "70fd30433bc3a2e3b5ff17d075e50538dde3734841da6dc28d79113dd37fa9c7"
STAMP_S = 1_499_827_319.559
BAD_SIGNATURE = (400, -1022, "Signature for this request is not valid.")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(STAMP_S)


@pytest.fixture
def alice(clock: FakeClock) -> BinanceClient:
    """The account of the documentation's examples; 0.1 is a price within the market's range."""
    simulator = quiet_binance(clock)
    simulator.set_price("LTC/BTC", Decimal("0.1"))
    money = {"BTC": Decimal(10), "USDT": Decimal(10_000)}
    return BinanceClient(simulator, simulator.add_account("alice_smith", money, key=KEY, secret=SECRET))


def taken(reply) -> bool:
    return reply.status == 200 and json.loads(reply.body)["symbol"] == "LTCBTC"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (f"{HEAD}&{TAIL}&signature={WHOLE}", ""),
        ("", f"{HEAD}&{TAIL}&signature={WHOLE}"),
        (f"{HEAD}&{TAIL}&signature={WHOLE.upper()}", ""),
        (f"signature={WHOLE}", f"{HEAD}&{TAIL}"),
        (HEAD, f"{TAIL}&signature={SPLIT}"),
        ("", "&".join(sorted(f"{HEAD}&{TAIL}".split("&"))) + f"&signature={SORTED}"),
    ],
    ids=["query", "body", "capitals", "apart", "split", "sorted"],
)
def test_documented_signatures_are_taken(alice, query, body):
    assert taken(alice.raw("POST", ORDER, query, body, KEY))


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (f"{TAIL}&{HEAD}&signature={WHOLE}", ""),  # the same fields in another order
        (HEAD, f"{TAIL}&signature={WHOLE}"),  # split, signed as if with a separator
        (f"{HEAD}&{TAIL}&signature={SPLIT}", ""),
        (f"{HEAD}&{TAIL.replace('quantity=1', 'quantity=2')}&signature={WHOLE}", ""),
        (f"{HEAD}&{TAIL}&signature={WHOLE[:-1]}2", ""),
    ],
    ids=["reordered", "separator", "no separator", "changed", "one digit"],
)
def test_any_other_signature_is_refused(alice, query, body):
    assert said(alice.raw("POST", ORDER, query, body, KEY)) == BAD_SIGNATURE
    assert alice.simulator.orders() == []


def test_text_is_signed_as_it_is_on_the_wire():
    encoded = f"symbol={quote('１２３４５６')}&side=BUY&type=LIMIT&timeInForce=GTC&{TAIL}"  # noqa: RUF001 - the documentation's
    assert sign(SECRET, encoded) == "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"
    found = split_signature("a=1&signature=b&c=2", "d=3")
    assert (found.payload, found.signature) == ("a=1&c=2d=3", "b")


def test_payload_signed_before_it_was_encoded_is_refused(alice):
    fields = {**limit_fields("BUY", "50000"), "newClientOrderId": "a:b/c", "timestamp": str(int(STAMP_S * 1000))}
    plain = "&".join(f"{name}={value}" for name, value in fields.items())
    wrong = f"{urlencode(fields)}&signature={binance_sign(SECRET, plain)}"
    assert said(alice.raw("POST", ORDER, wrong, "", KEY)) == BAD_SIGNATURE
    right = f"{urlencode(fields)}&signature={binance_sign(SECRET, urlencode(fields))}"
    assert alice.raw("POST", ORDER, right, "", KEY).status == 200


@pytest.mark.parametrize("kind", ["Ed25519", "RSA"])
def test_key_pairs_sign_as_well(clock, kind):
    from base64 import b64encode

    from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    private = ed25519.Ed25519PrivateKey.generate() if kind == "Ed25519" else rsa.generate_private_key(65537, 2048)
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    simulator = quiet_binance(clock)
    made = simulator.add_account("alice_smith", {"USDT": Decimal(10)}, public_key=pem)
    client = BinanceClient(simulator, made)
    text = f"timestamp={int(STAMP_S * 1000)}"
    pads = () if kind == "Ed25519" else (padding.PKCS1v15(), SHA256())
    signature = quote(b64encode(private.sign(text.encode(), *pads)).decode(), safe="")
    assert client.raw("GET", "/api/v3/account", f"{text}&signature={signature}", "", made.key).status == 200
    other = f"omitZeroBalances=true&{text}&signature={signature}"
    assert said(client.raw("GET", "/api/v3/account", other, "", made.key)) == BAD_SIGNATURE
    assert client.error("GET", "/api/v3/account")[1] == -1022  # the secret is no way in


@pytest.mark.parametrize(
    ("shift_ms", "window", "error"),
    [
        (0, "5000", None),
        (-5_000, "5000", None),
        (-5_001, "5000", "outside of the recvWindow"),
        (-5_001, None, "outside of the recvWindow"),
        (-59_000, "60000", None),
        (999, "5000", None),
        (1_000, "5000", "1000ms ahead"),
        (-3, "2.5", "outside of the recvWindow"),
        (-2, "2.5", None),
    ],
)
def test_timestamp_within_the_window_is_taken(alice, shift_ms, window, error):
    values = {} if window is None else {"recvWindow": window}
    reply = alice.signed("GET", "/api/v3/account", timestamp=int(STAMP_S * 1000) + shift_ms, **values)
    if error is None:
        assert reply.status == 200
    else:
        status, code, message = said(reply)
        assert (status, code, error in message) == (400, -1021, True)


def test_microseconds_are_taken(alice):
    assert alice.signed("GET", "/api/v3/account", timestamp=int(STAMP_S * 1_000_000)).status == 200


def test_window_above_a_minute_is_refused(clock):
    simulator = quiet_binance(clock, unverified=Unverified(recv_window_code=-1100))
    other = BinanceClient(simulator, simulator.add_account("alice_smith", {}))
    assert other.error("GET", "/api/v3/account", recvWindow=60_001)[1] == -1100
    assert other.error("GET", "/api/v3/account", recvWindow="1e3")[1] == -1100


def test_window_is_looked_at_again_before_the_engine(clock, alice):
    incoming_ms = int(STAMP_S * 1000)
    text = urlencode({**limit_fields("BUY", "40000"), "recvWindow": "2000", "timestamp": str(incoming_ms)})
    query = f"{text}&signature={binance_sign(SECRET, text)}"
    from copytrade.simulator.venue import Incoming

    incoming = Incoming("POST", ORDER, query, {"x-mbx-apikey": KEY}, b"", "127.0.0.1", STAMP_S)
    clock.now_s += 2.001  # it waited inside the venue
    assert said(alice.simulator.handle(incoming, None))[1] == -1021
    assert alice.simulator.orders() == []


@pytest.mark.parametrize(
    ("key", "expected"),
    [(None, (401, -2014)), ("two words", (401, -2014)), ("", (401, -2014)), ("A" * 64, (401, -2015))],
)
def test_key_that_is_none_or_unknown(alice, key, expected):
    query = f"timestamp={int(STAMP_S * 1000)}&signature=0"
    assert said(alice.raw("GET", "/api/v3/account", query, "", key))[:2] == expected


def test_key_is_open_to_its_addresses_alone(alice):
    alice.simulator.add_account("bob_jones", {}, key="B" * 64, ip_allowlist=("192.0.2.1",))
    text = f"timestamp={int(STAMP_S * 1000)}"
    assert said(alice.raw("GET", "/api/v3/account", text, "", "B" * 64))[:2] == (401, -2015)
    assert said(alice.raw("GET", "/api/v3/account", text, "", "B" * 64, remote="192.0.2.1"))[1] == -1102


@pytest.mark.parametrize("left_out", ["timestamp", "signature"])
def test_stamp_and_signature_are_needed(alice, left_out):
    fields = {"timestamp": str(int(STAMP_S * 1000)), "signature": "0"}
    del fields[left_out]
    status, code, message = said(alice.raw("GET", "/api/v3/account", urlencode(fields), "", KEY))
    assert (status, code) == (400, -1102)
    assert left_out in message


def test_permissions_are_kept(clock):
    simulator = quiet_binance(clock)
    reader = BinanceClient(simulator, simulator.add_account("alice_smith", {}, permissions=["enableReading"]))
    assert reader.signed("GET", "/api/v3/account").status == 200
    assert reader.error("POST", ORDER, **limit_fields("BUY", "50000"))[:2] == (401, -2015)
    assert reader.error("DELETE", ORDER, symbol="BTCUSDT", orderId=1)[:2] == (401, -2015)
    nothing = BinanceClient(simulator, simulator.add_account("bob_jones", {}, permissions=[]))
    assert nothing.error("GET", "/api/v3/account")[:2] == (401, -2015)
    told = nothing.ok("GET", "/sapi/v1/account/apiRestrictions")
    assert (told["enableReading"], told["enableWithdrawals"], told["ipRestrict"]) == (False, False, True)
    with pytest.raises(ValueError, match="do not exist"):
        simulator.add_account("carol_white", {}, permissions=["withdraw-funds"])


def test_wallet_is_closed(clock, alice):
    for path in ("/sapi/v1/capital/withdraw/apply", "/sapi/v1/asset/transfer"):
        assert alice.error("POST", path, coin="BTC", address="x", amount="1")[:2] == (401, -1002)
    simulator = alice.simulator
    able = BinanceClient(simulator, simulator.add_account("bob_jones", {}, permissions=["enableWithdrawals"]))
    assert able.error("POST", "/sapi/v1/capital/withdraw/apply", coin="BTC")[1] == -1020
    assert alice.raw("GET", "/sapi/v1/nothing").status == 404


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"quantity": "1e-05"}, -1100),
        ({"quantity": "-1"}, -1100),
        ({"quantity": ""}, -1105),
        ({"quantity": "0.123456789"}, -1111),
        ({"quantity": "0"}, -1013),
        ({"symbol": "btcusdt"}, -1100),
        ({"symbol": "NOSUCH"}, -1121),
        ({"symbol": "BTC/USDT"}, -1100),
        ({"side": "buy"}, -1117),
        ({"type": "MKT"}, -1116),
        ({"type": "STOP_LOSS"}, -1106),  # it takes no price
        ({"type": "STOP_LOSS_LIMIT"}, -1102),
        ({"type": "STOP_LOSS_LIMIT", "stopPrice": "49500", "trailingDelta": "10"}, -1020),
        ({"type": "TAKE_PROFIT_LIMIT", "stopPrice": "49500.001"}, -1013),
        ({"stopPrice": "49500"}, -1106),
        ({"timeInForce": "DAY"}, -1115),
        ({"newClientOrderId": "a b"}, -1100),
        ({"newClientOrderId": "a" * 37}, -1100),
        ({"newOrderRespType": "SOME"}, -1130),
        ({"quoteOrderQty": "10"}, -1106),
        ({"stopPrice": "10"}, -1106),
        ({"icebergQty": "1"}, -1020),
        ({"strategyType": "5"}, -1130),
        ({"nonsense": "1"}, -1104),
    ],
)
def test_wrong_parameter_is_told_by_its_code(alice, changes, code):
    assert alice.error("POST", ORDER, **{**limit_fields("BUY", "49000"), **changes})[:2] == (400, code)
    assert alice.simulator.orders() == []


@pytest.mark.parametrize("name", ["symbol", "side", "type", "timeInForce", "quantity", "price"])
def test_parameter_that_is_missing_is_named(alice, name):
    fields = limit_fields("BUY", "49000")
    del fields[name]
    status, code, message = alice.error("POST", ORDER, **fields)
    assert (status, code) == (400, -1102)
    assert name in message


def test_parameter_that_comes_twice(alice):
    text = f"omitZeroBalances=true&omitZeroBalances=true&timestamp={int(STAMP_S * 1000)}"
    reply = alice.raw("GET", "/api/v3/account", f"{text}&signature={binance_sign(SECRET, text)}", "", KEY)
    assert said(reply)[1] == -1101


def test_query_counts_when_a_parameter_is_in_both(alice):
    query = urlencode(limit_fields("BUY", "49000"))
    body = f"price=1&timestamp={int(STAMP_S * 1000)}"
    signature = binance_sign(SECRET, query + body)
    reply = alice.raw("POST", ORDER, query, f"{body}&signature={signature}", KEY)
    assert json.loads(reply.body)["price"] == "49000.00000000"


def test_limits_in_force_are_the_ones_that_are_named(clock):
    simulator = quiet_binance(clock, weight_per_minute=50, orders_per_10_s=3, orders_per_day=9)
    limits = BinanceClient(simulator, simulator.add_account("alice_smith")).public("exchangeInfo")["rateLimits"]
    named = {entry["rateLimitType"] + entry["interval"]: entry["limit"] for entry in limits}
    assert named == {"REQUEST_WEIGHTMINUTE": 50, "ORDERSSECOND": 3, "ORDERSDAY": 9, "RAW_REQUESTSMINUTE": 300_000}


def test_weight_is_counted_told_and_refused(clock):
    simulator = quiet_binance(clock, weight_per_minute=50)
    client = BinanceClient(simulator, simulator.add_account("alice_smith", {"USDT": Decimal(1_000)}))
    reply = client.signed("GET", "/api/v3/account")
    assert reply.headers["X-MBX-USED-WEIGHT-1M"] == "20"
    client.market()  # weighs nothing as it succeeds
    assert client.signed("GET", "/api/v3/account").headers["X-MBX-USED-WEIGHT-1M"] == "40"
    refused = client.signed("GET", "/api/v3/account")
    assert said(refused)[:2] == (429, -1003)
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    for _ in range(10):
        last = client.signed("GET", "/api/v3/account")
    assert said(last)[:2] == (418, -1003)
    clock.now_s += 61
    assert client.signed("GET", "/api/v3/account").status == 418  # a ban outlives the minute
    clock.now_s += 121
    assert client.signed("GET", "/api/v3/account").status == 200


def test_without_limits_no_client_is_told_to_hold_back(clock):
    simulator = quiet_binance(clock, rate_limits=False, weight_per_minute=50)
    client = BinanceClient(simulator, simulator.add_account("alice_smith"))
    for _ in range(5):
        assert client.signed("GET", "/api/v3/account").headers["X-MBX-USED-WEIGHT-1M"] == "0"


def test_orders_are_counted_until_they_fill(clock):
    simulator = quiet_binance(clock, orders_per_10_s=3)
    client = BinanceClient(simulator, simulator.add_account("alice_smith", {"USDT": Decimal(1_000)}))
    for _ in range(5):
        client.market()
    for _ in range(3):
        client.limit("BUY", "40000")
    reply = client.signed("POST", ORDER, **limit_fields("BUY", "40000"))
    assert said(reply)[:2] == (429, -1015)
    counts = {each["interval"]: each["count"] for each in client.ok("GET", "/api/v3/rateLimit/order")}
    assert counts == {"SECOND": 3, "DAY": 3}
    clock.now_s += 10
    reply = client.signed("POST", ORDER, **limit_fields("BUY", "40000"))
    assert (reply.headers["X-MBX-ORDER-COUNT-10S"], reply.headers["X-MBX-ORDER-COUNT-1D"]) == ("1", "4")


def test_credentials_hide_their_secret(alice):
    assert SECRET not in repr(alice.simulator.keys()) + repr(Credentials(KEY, SECRET))
