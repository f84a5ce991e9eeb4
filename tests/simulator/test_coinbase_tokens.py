"""Tokens, keys, permissions, limits and the shapes of errors of the simulated Coinbase."""

from __future__ import annotations

import base64
import json
from decimal import Decimal

import jwt
import pytest
from coinbase_client import HOST, PREFIX, CoinbaseClient, quiet_coinbase, token
from simulator_client import FakeClock

from copytrade.simulator.coinbase.call import Rules
from copytrade.simulator.coinbase.tokens import TokenRules, made_private_key, read_secret, secret_text

ORDERS = f"{PREFIX}/orders"
URI = f"POST api.coinbase.com{ORDERS}"
# The key 00 01 .. 1f, and a token that another implementation made with it at 1700000000.
SECRET = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA=="
PUBLIC_HEX = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
VECTOR = (
    "eyJhbGciOiJFZERTQSIsImtpZCI6Im9yZ2FuaXphdGlvbnMvby9hcGlLZXlzL2siLCJub25jZSI6IjAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw"
    "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAiLCJ0eXAiOiJKV1QifQ.eyJzdWIiOiJvcmdhbml6YXRpb25zL28vYXBpS2V5cy"
    "9rIiwiaXNzIjoiY2RwIiwibmJmIjoxNzAwMDAwMDAwLCJleHAiOjE3MDAwMDAxMjAsInVyaSI6IlBPU1QgYXBpLmNvaW5iYXNlLmNvbS9hcGkvdjMv"
    "YnJva2VyYWdlL29yZGVycyJ9.wvZSvtgfAxZJDrfCnexrymA_gYIPtrnVT7Xw8sa8jX-l5OXNfrX1vJc9c4-5DDmwXOyDYRxDz4o1fZLMJrw3AQ"
)
KEY = "organizations/o/apiKeys/k"
BUY = {
    "client_order_id": "one",
    "product_id": "BTC-USD",
    "side": "BUY",
    "order_configuration": {"market_market_ioc": {"base_size": "0.001"}},
}


@pytest.fixture
def coinbase(clock: FakeClock):
    return quiet_coinbase(clock, rate_limits=False)


@pytest.fixture(params=["ed25519", "ecdsa"])
def bob(coinbase, request) -> CoinbaseClient:
    return CoinbaseClient(coinbase, coinbase.add_account("bob_jones", {"USD": Decimal(10_000)}, kind=request.param))


@pytest.fixture
def published(coinbase) -> CoinbaseClient:
    coinbase.add_account("bob_jones", {"USD": Decimal(10_000)}, key=KEY, secret=SECRET)
    return CoinbaseClient(coinbase, None)


def test_vector_is_accepted(published):
    reply = published.send("POST", ORDERS, json.dumps(BUY).encode(), authorization=f"Bearer {VECTOR}")
    assert reply.status == 200
    assert len(published.simulator.orders()) == 1
    assert read_secret(SECRET).public_key().public_bytes_raw().hex() == PUBLIC_HEX


@pytest.mark.parametrize(("now_s", "status"), [(0, 200), (60, 200), (120, 200), (121, 401), (-1, 401), (4_000, 401)])
def test_token_is_good_from_nbf_to_exp(published, clock, now_s, status):
    clock.now_s = 1_700_000_000 + now_s
    assert published.send("POST", ORDERS, json.dumps(BUY).encode(), authorization=f"Bearer {VECTOR}").status == status


def changed(place: int, old: str, new: str) -> str:
    parts = VECTOR.split(".")
    text = base64.urlsafe_b64decode(parts[place] + "=" * (-len(parts[place]) % 4)).decode()
    assert old in text
    parts[place] = base64.urlsafe_b64encode(text.replace(old, new).encode()).decode().rstrip("=")
    return "Bearer " + ".".join(parts)


@pytest.mark.parametrize(
    "authorization",
    [
        None, "", "Bearer", f"Basic {VECTOR}", VECTOR, f"Bearer {VECTOR}x", f"Bearer {VECTOR[:-2]}BB",
        "Bearer " + VECTOR.rpartition(".")[0] + ".", "Bearer a.b", "Bearer a.b.c", "Bearer ü.b.c", f"Bearer {VECTOR}.d",
        changed(0, "EdDSA", "none"), changed(0, "EdDSA", "HS256"), changed(0, "EdDSA", "ES256"),
        changed(0, "apiKeys/k", "apiKeys/other"), changed(1, "1700000120", "1700009120"), changed(1, "cdp", "CDP"),
        changed(1, "apiKeys/k", "apiKeys/other"), changed(1, "POST", "GET"),
    ],
    ids=range(20),
)  # fmt: skip
def test_forged_and_malformed_tokens_are_refused(published, authorization):
    reply = published.send("POST", ORDERS, json.dumps(BUY).encode(), authorization=authorization)
    assert (reply.status, reply.body, reply.content_type) == (401, b"Unauthorized", "text/plain; charset=utf-8")
    assert published.simulator.orders() == []


def test_token_signed_without_a_key_is_refused(published):
    none = jwt.encode({"sub": KEY, "iss": "cdp"}, None, "none", {"kid": KEY})
    with_public = jwt.encode({"sub": KEY, "iss": "cdp"}, bytes.fromhex(PUBLIC_HEX), "HS256", {"kid": KEY})
    for made in (none, with_public):
        assert published.send("POST", ORDERS, b"{}", authorization=f"Bearer {made}").status == 401


def test_token_is_for_one_request_line(published):
    for verb, path in (("POST", f"{ORDERS}/edit"), ("POST", f"{ORDERS}/preview"), ("GET", f"{PREFIX}/accounts")):
        assert published.send(verb, path, authorization=f"Bearer {VECTOR}").status == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "somebody"}, {"iss": "coinbase"}, {"iss": ""}, {"uri": f"GET api.coinbase.com{ORDERS}"},
        {"uri": f"POST api.coinbase.com{ORDERS}?limit=1"}, {"uri": f"POST https://api.coinbase.com{ORDERS}"},
        {"uri": f"POST evil.example{ORDERS}"}, {"uri": None}, {"exp": None}, {"nbf": None}, {"exp": "soon"},
        {"exp": 1_700_000_121}, {"nbf": 1_700_000_001}, {"exp": 1_699_999_998, "nbf": 1_699_999_900}, {"exp": True},
    ],
    ids=str,
)  # fmt: skip
def test_every_claim_counts(bob, clock, claims):
    signed = token(bob.credentials, URI, clock.now_s, **claims)
    assert bob.send("POST", ORDERS, json.dumps(BUY).encode(), authorization=f"Bearer {signed}").status == 401
    good = token(bob.credentials, URI, clock.now_s)
    assert bob.send("POST", ORDERS, json.dumps(BUY).encode(), authorization=f"Bearer {good}").status == 200


def test_uri_may_name_the_host_that_was_called(bob, clock):
    signed = token(bob.credentials, f"POST {HOST}{ORDERS}", clock.now_s)
    assert bob.send("POST", ORDERS, json.dumps(BUY).encode(), authorization=f"Bearer {signed}").status == 200


def test_shorter_lives_and_a_leeway_are_choices(clock):
    simulator = quiet_coinbase(clock, token_rules=TokenRules(leeway_s=30, life_max_s=60))
    client = CoinbaseClient(simulator, simulator.add_account("bob_jones"))
    for exp, status in ((1_700_000_060, 200), (1_700_000_061, 401)):
        signed = token(client.credentials, f"GET {HOST}{PREFIX}/accounts", clock.now_s, exp=exp)
        assert client.send("GET", f"{PREFIX}/accounts", authorization=f"Bearer {signed}").status == status


def test_key_of_another_kind_of_signature_is_none(coinbase):
    for secret in ("", "x", "AAAA", "-----BEGIN EC PRIVATE KEY-----\nhunter2\n-----END EC PRIVATE KEY-----"):
        with pytest.raises(ValueError, match="neither") as error:
            coinbase.add_account("erin_green", secret=secret)
        assert not secret or "hunter2" not in str(error.value)
    for kind in ("ed25519", "ecdsa"):
        private = made_private_key(7, "erin_green", kind)
        assert secret_text(read_secret(secret_text(private))) == secret_text(private)


@pytest.mark.parametrize(
    ("permission", "verb", "path"),
    [("view", "GET", "/accounts"), ("view", "GET", "/orders/historical/batch"), ("trade", "POST", "/orders"),
     ("trade", "POST", "/orders/batch_cancel"), ("view", "GET", "/best_bid_ask"),
     ("transfer", "POST", "/v2/accounts/a/transactions"),
     ("transfer", "POST", "/portfolios/move_funds"), ("transfer", "POST", "/convert/quote"),
     ("transfer", "GET", "/payment_methods")],
)  # fmt: skip
def test_each_call_needs_its_permission(coinbase, permission, verb, path):
    others = [each for each in ("view", "trade", "transfer") if each != permission]
    without = CoinbaseClient(coinbase, coinbase.add_account("dave_black", permissions=others))
    status, answer = without.call(verb, path)
    assert (status, answer["error"], answer["error_details"]) == (403, "PERMISSION_DENIED", "Missing required scopes")
    with_it = CoinbaseClient(coinbase, coinbase.add_account("erin_green", permissions=[permission]))
    status, answer = with_it.call(verb, path)
    assert status in (200, 400, 404)  # 404: money is not moved here, whoever asks
    assert CoinbaseClient(coinbase, None).call(verb, path) == (401, "Unauthorized")


def test_text_of_a_missing_permission_is_the_one_that_the_sdk_looks_for(coinbase):
    client = CoinbaseClient(coinbase, coinbase.add_account("dave_black", permissions=[]))
    signed = token(client.credentials, f"GET {HOST}{PREFIX}/accounts", coinbase.clock())
    reply = client.send("GET", f"{PREFIX}/accounts", authorization=f"Bearer {signed}")
    assert b'"error_details":"Missing required scopes"' in reply.body


@pytest.mark.parametrize("permissions", [[], ["view"], ["view", "trade"], ["view", "trade", "transfer"]])
def test_key_is_told_what_it_may(coinbase, permissions):
    client = CoinbaseClient(coinbase, coinbase.add_account("dave_black", permissions=permissions))
    told = client.get("/key_permissions")
    assert {name for name in ("view", "trade", "transfer") if told[f"can_{name}"]} == set(permissions)
    assert told["portfolio_type"] == "DEFAULT"


def test_public_calls_need_no_key_and_signed_twins_do(coinbase):
    stranger = CoinbaseClient(coinbase, None)
    for path in ("/time", "/market/products", "/market/products/BTC-USD", "/market/products/BTC-USD/ticker"):
        assert stranger.call("GET", path)[0] == 200
    for path in ("/products", "/products/BTC-USD", "/best_bid_ask", "/products/BTC-USD/ticker", "/key_permissions"):
        assert stranger.call("GET", path)[0] == 401
    assert stranger.call("GET", "/nothing")[0] == 404


@pytest.mark.parametrize("shape", ["errors", "error"])
def test_limits_with_headers_and_both_shapes(clock, shape):
    simulator = quiet_coinbase(clock, private_per_s=3, rules=Rules(rate_limit_shape=shape))
    client = CoinbaseClient(simulator, simulator.add_account("bob_jones"))
    other = CoinbaseClient(simulator, simulator.add_account("dave_black"))

    def ask(who: CoinbaseClient):
        signed = token(who.credentials, f"GET {HOST}{PREFIX}/accounts", clock.now_s)
        return who.send("GET", f"{PREFIX}/accounts", authorization=f"Bearer {signed}")

    left = [ask(client).headers["x-ratelimit-remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    reply = ask(client)
    assert (reply.status, reply.headers["x-ratelimit-limit"], reply.headers["x-ratelimit-reset"]) == (429, "3", "1")
    answer = json.loads(reply.body)
    assert (answer["errors"][0]["id"] if shape == "errors" else answer["error"]) == "rate_limit_exceeded"
    assert ask(other).status == 200
    clock.now_s += 1
    assert ask(client).status == 200


def test_public_limit_is_by_address(clock):
    simulator = quiet_coinbase(clock, public_per_s=10)
    stranger = CoinbaseClient(simulator, None)
    assert [stranger.call("GET", "/time")[0] for _ in range(11)] == [200] * 10 + [429]


def test_malformed_requests_are_the_gateways_to_refuse(bob):
    sizes = (
        {},
        {"base_size": 0.001},
        {"base_size": "1e-3"},
        {"base_size": "-1"},
        {"base_size": "1", "quote_size": "1"},
    )
    configurations = [None, {}, {"market_market_ioc": 7}, *({"market_market_ioc": size} for size in sizes)]
    orders = [{**BUY, "order_configuration": configuration} for configuration in configurations]
    for values in ({}, {"client_order_id": 7}, {**BUY, "client_order_id": ""}, *orders):
        status, answer = bob.call("POST", "/orders", values)
        assert (status, answer["error"], answer["code"]) == (400, "INVALID_ARGUMENT", 3)
    assert bob.simulator.orders() == []


def test_faults_speak_the_venues_language(coinbase):
    for text, status in (("Unauthorized", 401), ("PERMISSION_DENIED", 403), ("rate_limit_exceeded", 429),
                         ("NOT_FOUND", 404), ("INTERNAL", 500), ("UNAVAILABLE", 503), ("EService:Unavailable", 503),
                         ("INSUFFICIENT_FUND", 200)):  # fmt: skip
        assert coinbase.error_reply(text).status == status


def test_secrets_stay_out_of_representations(coinbase):
    credentials = coinbase.add_account("alice_smith", {"USD": Decimal(1)})
    assert credentials.secret not in repr(credentials) + json.dumps(coinbase.accounts()) + repr(coinbase.keys())


def test_keys_are_the_same_for_the_same_seed(clock):
    first, second = (quiet_coinbase(clock).add_account("alice_smith") for _ in range(2))
    other = quiet_coinbase(clock, seed=8).add_account("alice_smith")
    assert first == second
    assert first.key.startswith("organizations/")
    assert first.secret != other.secret
