"""Signatures, timestamps, environments, permissions and limits of the simulated OKX."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from okx_client import ROOT, OkxClient, okx_sign, quiet_okx, stamp
from simulator_client import FakeClock

from copytrade.simulator.okx.keys import sign

SECRET = "22582BD0CFF14C41EDBF1AB98506286D"
STAMP = "2020-12-08T09:08:57.715Z"
ORDER = '{"instId":"BTC-USDT","tdMode":"cash","clOrdId":"b15","side":"buy","ordType":"limit","px":"2.15","sz":"2"}'
MOVED = '{"sz":"2","instId":"BTC-USDT","tdMode":"cash","clOrdId":"b15","side":"buy","ordType":"limit","px":"2.15"}'
BALANCE, PLACE = "/api/v5/account/balance", "/api/v5/trade/order"
SIGN_BALANCE = "HiZhvSfMtWJA3uUIVXV3a/bSXNPCWvYFXoGCVS8V4zY="
SIGN_ORDER = "dI6rrL9rXW/HdaPKJ/6LC1OgvH4/PYju6R3CqixMTNQ="


@pytest.fixture
def venue():
    return quiet_okx(FakeClock(1_607_418_537.715), rate_limits=False)


@pytest.fixture
def alice(venue):
    """Holds the example secret of OKX's documentation, at the moment of its examples."""
    keys = venue.add_account(
        "alice_smith", {"USDT": Decimal(10_000), "BTC": Decimal(1)}, secret=SECRET, passphrase="pass-of-alice-77"
    )
    return OkxClient(venue, keys)


def answer(client, verb, path, query, body, signature):
    made = client.headers(verb, path, body, ok_access_timestamp=STAMP, ok_access_sign=signature)
    reply = client.raw(verb, path, query, body, made)
    return reply.status, json.loads(reply.body)["code"]


def test_documented_vectors_are_accepted(alice):
    assert answer(alice, "GET", BALANCE, "ccy=BTC", "", SIGN_BALANCE) == (200, "0")
    assert answer(alice, "POST", PLACE, "", ORDER, SIGN_ORDER)[1] not in ("50113", "50102")
    assert sign(SECRET, STAMP, "POST", PLACE, ORDER) == okx_sign(SECRET, f"{STAMP}POST{PLACE}{ORDER}") == SIGN_ORDER


@pytest.mark.parametrize(
    ("verb", "path", "query", "body", "signature"),
    [
        ("POST", PLACE, "", MOVED, SIGN_ORDER),
        ("POST", PLACE, "", ORDER.replace(",", ", "), SIGN_ORDER),
        ("GET", BALANCE, "ccy=BTC", "", "AkD5YszBhggtIyjDlmTy/9PpNVntel+1Lff8wh0qpQw="),  # query left out
        ("GET", BALANCE, "ccy=BTC", "", "DxaN8xqAg0Y1ET5YnefsOl8nXo3Q4g7xTI5VfkbsiJo="),  # `get` in small letters
        ("GET", BALANCE, "ccy=ETH", "", SIGN_BALANCE),
        ("GET", BALANCE, "", "", SIGN_BALANCE),
        ("GET", BALANCE, "ccy=BTC", "", "not base64"),
        ("GET", BALANCE, "ccy=BTC", "", "ä"),
    ],
)
def test_other_signatures_are_refused(alice, verb, path, query, body, signature):
    assert answer(alice, verb, path, query, body, signature) == (401, "50113")


def test_signature_over_moved_fields_is_good_for_moved_fields(alice):
    moved = "/Z9bqwO4OuEEdIdhP79UbMaUKnRWShxpLC0a7ST7lNQ="
    assert answer(alice, "POST", PLACE, "", MOVED, moved)[1] != "50113"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"ok_access_key": None}, 401, "50103"),
        ({"ok_access_passphrase": None}, 401, "50104"),
        ({"ok_access_passphrase": "wrong"}, 401, "50105"),
        ({"ok_access_sign": ""}, 401, "50106"),
        ({"ok_access_key": "no-key"}, 401, "50111"),
        ({"ok_access_key": "0b2c4d6e-1111-2222-3333-444455556666"}, 200, "50119"),
        ({"ok_access_timestamp": "1607418537"}, 401, "50112"),
        ({"ok_access_timestamp": "2020-12-08T09:08:57Z"}, 401, "50112"),
        ({"ok_access_timestamp": "2020-12-08 09:08:57.715Z"}, 401, "50112"),
        ({"ok_access_timestamp": "2020-13-08T09:08:57.715Z"}, 401, "50112"),
        ({"ok_access_timestamp": stamp(1_607_418_537.715 - 30.1)}, 401, "50102"),
        ({"ok_access_timestamp": stamp(1_607_418_537.715 + 30.1)}, 401, "50102"),
        ({"ok_access_timestamp": stamp(1_607_418_537.715 - 29.9)}, 200, "0"),
        ({"ok_access_timestamp": stamp(1_607_418_537.715 + 29.9)}, 200, "0"),
        ({"x_simulated_trading": "1"}, 401, "50101"),
        ({"x_simulated_trading": "0"}, 200, "0"),
    ],
)
def test_headers(alice, changes, status, code):
    got, envelope = alice.get("/account/balance", changes)
    assert (got, envelope["code"]) == (status, code)
    assert envelope["data"] == [] or code == "0"


def test_timestamp_window_is_a_setting():
    narrow = quiet_okx(FakeClock(), timestamp_window_s=5.0)
    client = OkxClient(narrow, narrow.add_account("alice_smith"))
    assert client.get("/account/config", {"ok_access_timestamp": stamp(narrow.clock() - 6)})[1]["code"] == "50102"


def test_demo_key_needs_the_demo_header(venue):
    client = OkxClient(venue, venue.add_account("bob_jones", demo=True))
    assert client.get("/account/config")[1]["code"] == "50101"
    assert client.get("/account/config", {"x_simulated_trading": "1"})[1]["code"] == "0"


def test_key_bound_to_another_address(venue):
    client = OkxClient(venue, venue.add_account("bob_jones", ip_allowlist=("192.0.2.1",)))
    assert client.get("/account/config")[0] == 401
    assert client.get("/account/config")[1]["code"] == "50110"


def test_replay_inside_the_window_is_not_noticed(alice):
    """As at the real one: there is no nonce."""
    for _ in range(2):
        assert answer(alice, "GET", BALANCE, "ccy=BTC", "", SIGN_BALANCE) == (200, "0")


def test_body_of_a_get_is_not_signed(alice):
    made = alice.headers("GET", BALANCE, "")
    assert json.loads(alice.raw("GET", BALANCE, "", "{}", made).body)["code"] == "0"


@pytest.mark.parametrize(
    ("permissions", "path", "code"),
    [
        (["read_only"], "/trade/order", "50120"),
        (["read_only"], "/trade/cancel-order", "50120"),
        (["read_only", "trade"], "/asset/withdrawal", "50120"),
        (["read_only", "trade", "withdraw"], "/asset/withdrawal", "50030"),
        (["read_only"], "/asset/transfer", "50120"),
        (["read_only", "trade"], "/asset/transfer", "50030"),
    ],
)
def test_permissions(venue, permissions, path, code):
    client = OkxClient(venue, venue.add_account("bob_jones", {"USDT": Decimal(100)}, permissions=permissions))
    status, envelope = client.post(path, {"ccy": "USDT", "amt": "1"})
    assert (status, envelope["code"]) == (200, code)
    assert venue.money()["held"]["USDT"] == "100"


def test_key_tells_what_it_may_do(venue):
    client = OkxClient(venue, venue.add_account("bob_jones", permissions=["withdraw", "trade", "read_only"]))
    config = client.data("/account/config")[0]
    assert (config["perm"], config["ip"], config["acctLv"]) == ("read_only,trade,withdraw", "", "1")


def test_bad_accounts_are_refused(venue, alice):
    for settings in ({"permissions": ["fly"]}, {"key": ""}, {"secret": 7}, {"key": alice.credentials.key}):
        with pytest.raises(ValueError, match=r"permissions|text of|belongs to"):
            venue.add_account("bob_jones", **settings)
    assert SECRET not in repr(alice.credentials)
    assert "pass-of-alice" not in repr(alice.credentials) + str(venue.keys())


@pytest.mark.parametrize(
    ("verb", "path", "body", "status", "code"),
    [
        ("POST", "/trade/order", "", 400, "50000"),
        ("POST", "/trade/order", "{", 400, "50002"),
        ("POST", "/trade/order", "[]", 400, "50002"),
        ("POST", "/trade/batch-orders", "{}", 400, "51000"),
        ("POST", "/account/balance", "{}", 405, "50115"),
        ("GET", "/trade/cancel-order", "", 405, "50115"),
        ("GET", "/trade/nothing", "", 404, "404"),
    ],
)
def test_odd_requests(alice, verb, path, body, status, code):
    reply = alice.raw(verb, ROOT + path, "", body, alice.headers(verb, ROOT + path, body))
    assert (reply.status, json.loads(reply.body)["code"]) == (status, code)


def test_path_outside_the_api_is_not_found(alice):
    assert alice.raw("GET", "/public/time").status == 404
    assert alice.raw("GET", "/").status == 404


# -- limits --------------------------------------------------------------------------------------------------------


@pytest.fixture
def limited():
    made = quiet_okx(FakeClock())
    return OkxClient(made, made.add_account("alice_smith", {"USDT": Decimal(10_000)}))


def test_sixty_orders_in_two_seconds_by_instrument(limited):
    for _ in range(60):
        limited.placed(sz="0.00001")
    status, envelope = limited.post("/trade/order", {"instId": "BTC-USDT"})
    assert (status, envelope["code"]) == (429, "50011")
    limited.placed(instId="ETH-USDT", sz="0.001")
    limited.simulator.clock.now_s += 2
    limited.placed(sz="0.00001")


def test_reads_are_counted_by_account(limited):
    assert [limited.get("/account/config")[1]["code"] for _ in range(6)] == ["0"] * 5 + ["50011"]
    other = OkxClient(limited.simulator, limited.simulator.add_account("bob_jones"))
    assert other.get("/account/config")[1]["code"] == "0"


def test_public_calls_are_counted_by_address(limited):
    codes = {json.loads(limited.raw("GET", f"{ROOT}/public/time").body)["code"] for _ in range(21)}
    assert codes == {"0", "50011"}


def test_status_of_a_limit_is_a_setting():
    made = quiet_okx(FakeClock(), rate_limit_status=200)
    client = OkxClient(made, made.add_account("alice_smith"))
    assert [client.get("/account/config")[0] for _ in range(6)] == [200] * 6
    with pytest.raises(ValueError, match="rate_limit_status"):
        quiet_okx(FakeClock(), rate_limit_status=503)


def test_orders_of_an_account_are_capped_over_all_instruments(limited):
    orders = [
        {"instId": inst, "tdMode": "cash", "side": "buy", "ordType": "limit", "px": "0.01", "sz": "10"}
        for inst in ("DOGE-USDT", "XRP-USDT", "ADA-USDT", "DOT-USDT")
    ]
    codes = []
    for order in orders:
        for _ in range(15):
            answer = limited.post("/trade/batch-orders", [order] * 20)[1]
            codes += [row["sCode"] for row in answer["data"]]
    assert codes.count("50061") == 200
    assert codes.index("50061") == 1_000
