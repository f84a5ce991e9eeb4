"""Signatures, nonces, permissions and lockout of the simulated Kraken."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from simulator_client import FORM, FakeClock, MemoryClient, kraken_sign, quiet_kraken

from copytrade.simulator.kraken import KrakenSimulator
from copytrade.simulator.kraken.keys import decode_secret, sign

SECRET = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
ADD = "/0/private/AddOrder"
A1 = "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
A1_SIGN = "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
A2 = "ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25&nonce=1616492376594"
A3 = json.dumps(
    {
        "nonce": "1616492376594",
        "ordertype": "limit",
        "pair": "XBTUSD",
        "price": 37500,
        "type": "buy",
        "volume": 1.25,
    }
)
A5 = "nonce=1&price=%2B100&oflags=fcib%2Cpost&close%5Bordertype%5D=limit"
VECTORS = [
    (ADD, "1616492376594", A1, A1_SIGN),
    (
        ADD,
        "1616492376594",
        A2,
        "rFqGLqqw5WOQDfgNHwKclLJlmkS4aPSjAIenhCn0VoNNsvihOoaJy4N1eXKSKSUbJVPVAo8su+4GgxHdi6UwLw==",
    ),
    (
        ADD,
        "1616492376594",
        A3,
        "xojekerxRL59CSvi3027oZ1+nMQF0TgqD5QE569qR8tgSJ4tAhoVYVGhSEciXkufsn6foHHVi0N3Utiarvg74w==",
    ),
    (
        "/0/private/Balance",
        "1616492376594",
        "nonce=1616492376594",
        "1nH4vwR+8FHiYh1QT649xXkGd3JR3x0DWkgv3u9Ed/Qqv6KPtgQpEU4m+Emb/VgpEji3j1XNwI+HCbfXxmrTOg==",
    ),
    (
        ADD,
        "1",
        A5,
        "M/0TAbnOmUABVXtZi5dri+a8V9CcrARrrZ/B4hPHYarBLCsrXBw/xhOOYqXbeUYM4o+9QMJqHcOO8OD/d7cEBA==",
    ),
]
NO_PREFIX = "BfkkPNdthLSlAlKyQhtMORrwsLNe5sgVSqQAtWepxm23hzTYKU5gXSwQXkbzo1rbhKacxGGJaO/QyMsJXc5ZIQ=="


@pytest.fixture
def published(simulator: KrakenSimulator) -> MemoryClient:
    """A client with the key of Kraken's published example."""
    credentials = simulator.add_account(
        "bob_jones", {"USD": Decimal(100_000)}, key="published-key", secret=SECRET
    )
    return MemoryClient(simulator, credentials)


def send(
    client: MemoryClient, body: str, signature: str, path: str = ADD, content_type: str = FORM
) -> list[str]:
    headers = {"api-key": "published-key", "api-sign": signature, "content-type": content_type}
    return list(client.raw(path, body, headers)["error"])


@pytest.mark.parametrize(("path", "nonce", "body", "signature"), VECTORS)
def test_published_vectors(path: str, nonce: str, body: str, signature: str) -> None:
    assert sign(decode_secret(SECRET), path, nonce, body.encode()) == signature


def test_vectors_are_accepted_from_the_wire(published: MemoryClient) -> None:
    assert send(published, A5, VECTORS[4][3]) == ["EGeneral:Invalid arguments:type"]  # past the signature
    for path, _, body, signature in VECTORS[:1] + VECTORS[3:4]:
        nonce_used = send(published, body, signature, path)
        assert nonce_used in ([], ["EAPI:Invalid nonce"])
    assert len(published.simulator.orders()) == 1


def test_json_vector_places_an_order(published: MemoryClient) -> None:
    assert send(published, A3, VECTORS[2][3], content_type="application/json") == []
    order = published.simulator.orders()[0]
    assert (order["volume"], order["limit_price"]) == ("1.25", "37500")


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        (A1, NO_PREFIX),
        (A2, A1_SIGN),
        (A1.replace("1.25", "1.26"), A1_SIGN),
        (A1, A1_SIGN[:-3] + "A=="),
        (A1, "not base64 at all"),
        (A1, "ü"),
    ],
)
def test_wrong_signatures_are_refused(published: MemoryClient, body: str, signature: str) -> None:
    assert send(published, body, signature) == ["EAPI:Invalid signature"]


def test_a_refused_signature_uses_up_no_nonce(published: MemoryClient) -> None:
    assert send(published, A1, NO_PREFIX) == ["EAPI:Invalid signature"]
    assert send(published, A1, A1_SIGN) == []


def test_missing_headers_and_unknown_keys(published: MemoryClient) -> None:
    assert published.raw(ADD, A1, {"content-type": FORM})["error"] == ["EAPI:Invalid key"]
    assert published.raw(ADD, A1, {"api-key": "published-key"})["error"] == ["EAPI:Invalid key"]
    assert published.raw(ADD, A1, {"api-key": "nobody", "api-sign": A1_SIGN})["error"] == ["EAPI:Invalid key"]


def test_nonces_must_rise(alice: MemoryClient) -> None:
    alice.nonce = 99
    alice.ok("Balance")
    for nonce in (99, 98, 0, 50):
        alice.nonce = nonce
        assert alice.error("Balance") == ("EAPI:Invalid nonce")
    alice.nonce = 100
    alice.ok("Balance")


@pytest.mark.parametrize("nonce", ["", "abc", "-5", "1.5", "18446744073709551616", "\uff11\uff12", "1e9"])
def test_nonces_that_are_no_unsigned_64_bit_numbers(alice: MemoryClient, nonce: str) -> None:
    body = f"nonce={nonce}"
    headers = {
        "api-key": alice.credentials.key,
        "api-sign": kraken_sign(alice.credentials.secret, "/0/private/Balance", nonce, body),
    }
    assert alice.raw("/0/private/Balance", body, headers)["error"] == ["EAPI:Invalid nonce"]


def test_largest_nonce_is_the_last(alice: MemoryClient) -> None:
    alice.nonce = (1 << 64) - 2
    alice.ok("Balance")
    assert alice.error("Balance") == "EAPI:Invalid nonce"


def test_nonces_count_per_key_not_per_account(simulator: KrakenSimulator, alice: MemoryClient) -> None:
    alice.nonce = 1_000
    alice.ok("Balance")
    second = simulator.add_account("alice_smith", key="another-key", secret=SECRET)
    assert MemoryClient(simulator, second).ok("Balance") == {"ZUSD": "1000.0000"}


def test_nonce_window_takes_late_ones_once(simulator: KrakenSimulator) -> None:
    credentials = simulator.add_account("carol_white", {"USD": Decimal(1)}, nonce_window=10)
    client = MemoryClient(simulator, credentials)
    client.nonce = 99
    client.ok("Balance")
    client.nonce = 94
    client.ok("Balance")
    client.nonce = 94
    assert client.error("Balance") == "EAPI:Invalid nonce"
    client.nonce = 89
    assert client.error("Balance") == "EAPI:Invalid nonce"
    assert client.simulator.requests()["nonces"][credentials.key] == 100


def test_lockout_after_many_unknown_keys(clock: FakeClock, alice: MemoryClient) -> None:
    wrong = {"api-key": "wrong", "api-sign": "x"}
    for _ in range(10):
        assert alice.raw("/0/private/Balance", "nonce=1", wrong)["error"] == ["EAPI:Invalid key"]
    assert alice.raw("/0/private/Balance", "nonce=1", wrong)["error"] == ["EGeneral:Temporary lockout"]
    alice.ok("Balance")
    clock.now_s += 901
    assert alice.raw("/0/private/Balance", "nonce=1", wrong)["error"] == ["EAPI:Invalid key"]


@pytest.mark.parametrize(
    ("permission", "method"),
    [
        ("query-funds", "Balance"),
        ("query-funds", "BalanceEx"),
        ("query-funds", "TradeBalance"),
        ("query-open-trades", "OpenOrders"),
        ("query-closed-trades", "ClosedOrders"),
        ("query-closed-trades", "TradesHistory"),
        ("modify-trades", "AddOrder"),
        ("close-trades", "CancelAll"),
        ("create-ws-token", "GetWebSocketsToken"),
        ("withdraw-funds", "WithdrawMethods"),
    ],
)
def test_each_call_needs_its_permission(simulator: KrakenSimulator, permission: str, method: str) -> None:
    with_it = MemoryClient(simulator, simulator.add_account("dave_black", {}, permissions=[permission]))
    without = MemoryClient(simulator, simulator.add_account("erin_green", {}, permissions=[]))
    assert with_it.envelope(method)["error"] != ["EGeneral:Permission denied"]
    assert without.error(method) == "EGeneral:Permission denied"
    assert without.ok("GetApiKeyInfo")["permissions"] == []


def test_key_information(alice: MemoryClient) -> None:
    alice.nonce = 41
    info = alice.ok("GetApiKeyInfo")
    assert info["nonce"] == "42"
    assert info["nonceWindow"] == 0
    assert "withdraw-funds" not in info["permissions"]
    assert alice.error("GetAPIKeyInfo") == "EGeneral:Unknown method"


def test_secrets_stay_out_of_representations(alice: MemoryClient) -> None:
    assert alice.credentials.secret not in repr(alice.credentials)
    assert alice.credentials.secret not in json.dumps(alice.simulator.accounts())


def test_keys_are_the_same_for_the_same_seed(clock: FakeClock) -> None:
    first, second = (quiet_kraken(clock).add_account("alice_smith") for _ in range(2))
    other = quiet_kraken(clock, seed=8).add_account("alice_smith")
    assert first == second
    assert first.key != other.key
    assert first.secret != other.secret
