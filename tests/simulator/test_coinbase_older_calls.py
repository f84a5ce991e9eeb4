"""The older calls of the simulated Coinbase, which clients in use still make before the first order."""

from __future__ import annotations

from decimal import Decimal

import pytest
from coinbase_client import CoinbaseClient, quiet_coinbase
from simulator_client import FakeClock


@pytest.fixture
def bob(clock: FakeClock) -> CoinbaseClient:
    coinbase = quiet_coinbase(clock, rate_limits=False)
    coinbase.set_price("BTC/USD", Decimal(50_000))
    return CoinbaseClient(coinbase, coinbase.add_account("bob_jones", {"USD": Decimal(1_000), "BTC": Decimal(1)}))


def test_currencies_and_the_clock_need_no_key(bob, clock):
    nobody = CoinbaseClient(bob.simulator, None)
    assert nobody.get("/v2/time")["data"]["epoch"] == int(clock.now_s)
    assert {each["id"] for each in nobody.get("/v2/currencies")["data"]} == {"USD", "EUR", "GBP"}
    coins = [each["code"] for each in nobody.get("/v2/currencies/crypto")["data"]]
    assert "BTC" in coins
    assert "USD" not in coins
    assert len(coins) == len(set(coins))
    rates = nobody.get("/v2/exchange-rates")["data"]["rates"]
    assert (rates["USD"], rates["BTC"]) == ("1.0", "0.00002")
    assert nobody.get("/v2/exchange-rates", currency="BTC")["data"]["rates"]["USD"] == "50000"


def test_wallets_show_what_is_held_along(bob):
    bob.id_of(bob.limit("one", "40000", "0.001"))
    shown = bob.get("/v2/accounts")
    assert shown["pagination"]["next_starting_after"] is None
    amounts = {each["currency"]["code"]: (each["type"], each["balance"]["amount"]) for each in shown["data"]}
    assert amounts == {"BTC": ("wallet", "1"), "USD": ("fiat", "1000")}
    first = bob.get("/v2/accounts", limit=1)
    after = first["pagination"]["next_starting_after"]
    assert bob.get("/v2/accounts", limit=1, starting_after=after)["data"] == shown["data"][1:]
    assert bob.call("GET", "/v2/accounts", starting_after="nobody's")[0] == 400


def test_wallets_need_a_key_and_nothing_else_of_it_is_there(bob):
    assert CoinbaseClient(bob.simulator, None).call("GET", "/v2/accounts")[0] == 401
    blind = CoinbaseClient(bob.simulator, bob.simulator.add_account("dave_black", {}, permissions=["trade"]))
    assert blind.call("GET", "/v2/accounts")[0] == 403
    assert bob.call("POST", "/v2/accounts/BTC/transactions", {"type": "send"})[0] == 403
