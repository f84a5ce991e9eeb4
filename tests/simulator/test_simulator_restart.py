"""What a client was told survives the death of the simulator's process."""

from __future__ import annotations

import http.client
import json
import os
import signal
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from simulator_client import FakeClock, HttpClient, MemoryClient, http_call, quiet_kraken

from copytrade.simulator.venue import Credentials


def start(store: Path) -> tuple[subprocess.Popen[str], HttpClient, dict[str, Any]]:
    command = [
        sys.executable,
        "-m",
        "copytrade.simulator",
        "--venues",
        "kraken",
        "--port",
        "0",
        "--accounts",
        "2",
    ]
    process = subprocess.Popen([*command, "--store", str(store)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = json.loads(process.stdout.readline())
    venue = line["venues"]["kraken"]
    assert list(venue["accounts"]) == ["master", "follower_1"]
    keys = venue["accounts"]["master"]
    return process, HttpClient(venue["url"], Credentials(keys["key"], keys["secret"])), keys


def end(process: subprocess.Popen[str], number: int) -> int:
    process.send_signal(number)
    process.communicate(timeout=30)
    return process.returncode


def result(answer: tuple[int, bytes]) -> Any:
    body = json.loads(answer[1])
    assert body["error"] == [], body
    return body["result"]


def test_everything_survives_kill_9(tmp_path: Path) -> None:
    process, client, keys = start(tmp_path)
    try:
        client.nonce = 5_000
        for number in range(5):
            result(client.buy(f"order{number}"))
        limit = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "1000", "volume": "0.01"}
        resting = result(client.call("AddOrder", **limit, cl_ord_id="resting"))["txid"][0]
        before = result(client.call("BalanceEx"))
        closed = result(client.call("ClosedOrders"))
        last = result(client.buy("the-last-word"))["txid"][0]
    finally:
        assert end(process, signal.SIGKILL) == -signal.SIGKILL
    process, again, keys_again = start(tmp_path)
    try:
        assert keys_again == keys
        again.nonce = 1
        assert json.loads(again.call("Balance")[1])["error"] == ["EAPI:Invalid nonce"]
        again.nonce = client.nonce
        assert list(result(again.call("OpenOrders"))["open"]) == [resting]
        after = result(again.call("ClosedOrders"))
        assert after["count"] == closed["count"] + 1 == 6
        assert after["closed"][last]["cl_ord_id"] == "the-last-word"
        assert {txid: order for txid, order in after["closed"].items() if txid != last} == closed["closed"]
        assert result(again.call("BalanceEx"))["ZUSD"]["hold_trade"] == before["ZUSD"]["hold_trade"]
        assert result(again.call("TradesHistory"))["count"] == 6
        assert json.loads(again.buy("resting")[1])["error"] == ["EOrder:Duplicate order"]
        assert result(again.buy("new"))["txid"][0] not in after["closed"]
    finally:
        assert end(process, signal.SIGTERM) == 0


def test_an_order_whose_answer_was_lost_survives_too(tmp_path: Path) -> None:
    process, client, _ = start(tmp_path)
    try:
        fault = json.dumps({"kind": "drop", "method": "AddOrder", "count": 1})
        assert http_call(client.url, "/sim/faults", fault, {})[0] == 200
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            client.buy("lost")
    finally:
        end(process, signal.SIGKILL)
    process, again, _ = start(tmp_path)
    try:
        again.nonce = client.nonce
        assert result(again.call("ClosedOrders", cl_ord_id="lost"))["count"] == 1
    finally:
        end(process, signal.SIGTERM)


def test_a_store_carries_on_in_one_process(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "kraken.sqlite"
    first = quiet_kraken(clock, store=path)
    client = MemoryClient(first, first.add_account("alice_smith", {"USD": Decimal(1000)}))
    first.set_price("BTC/USD", Decimal(50_000))
    txid = client.limit("buy", "49000")
    client.buy(cl_ord_id="twice")
    client.buy(cl_ord_id="twice")
    client.ok("CancelAllOrdersAfter", timeout=100)
    client.ok("Balance")
    money = first.money()
    first.close()
    second = quiet_kraken(clock, store=path)
    assert second.money() == money
    assert len(second.doubles()) == 1
    carried = MemoryClient(second, client.credentials)
    carried.nonce = client.nonce
    assert list(carried.ok("OpenOrders")["open"]) == [txid]
    clock.now_s += 100
    assert carried.ok("QueryOrders", txid=txid)[txid]["status"] == "canceled"
    assert carried.public("Ticker", pair="XBTUSD")["result"]["XXBTZUSD"]["c"][0] == "50000.0"
    second.close()


def test_a_given_secret_is_not_written(tmp_path: Path, clock: FakeClock) -> None:
    secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    path = tmp_path / "kraken.sqlite"
    simulator = quiet_kraken(clock, store=path)
    made = simulator.add_account("bob_jones", {"USD": Decimal(5)})
    given = simulator.add_account("alice_smith", {"USD": Decimal(5)}, key="given-key", secret=secret)
    MemoryClient(simulator, given).ok("Balance")
    simulator.save()
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        assert secret.encode() not in content
        assert made.secret.encode() not in content
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    simulator.close()
    again = quiet_kraken(clock, store=path)
    client = MemoryClient(again, given)
    assert client.error("Balance") == "EAPI:Invalid signature"
    again.add_account("alice_smith", {"USD": Decimal(99)}, key="given-key", secret=secret)
    client.nonce = 1
    assert client.ok("Balance") == {"ZUSD": "5.0000"}
    again.close()


def test_a_setting_out_of_bounds_ends_with_a_sentence() -> None:
    command = [sys.executable, "-m", "copytrade.simulator", "--venues", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
