"""The simulator over real HTTP: the official client, malformed requests, every fault, the admin calls."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import krakenex
import pytest
from simulator_client import FORM, HttpClient, http_call, kraken_sign

from copytrade.simulator.faults import KINDS, Fault
from copytrade.simulator.kraken import KrakenSimulator
from copytrade.simulator.server import ServerThread, SimulatorServer

BALANCE = "/0/private/Balance"


@pytest.fixture
def venue() -> KrakenSimulator:
    return KrakenSimulator(seed=3, volatility=0.0, spread=Decimal(0), rate_limits=False)


@pytest.fixture
def url(venue: KrakenSimulator) -> Iterator[str]:
    with ServerThread([venue]) as server:
        yield server.url("kraken")


@pytest.fixture
def client(venue: KrakenSimulator, url: str) -> HttpClient:
    return HttpClient(url, venue.add_account("alice_smith", {"USD": Decimal(1000)}))


def errors(answer: tuple[int, bytes]) -> list[str]:
    assert answer[0] == 200
    return list(json.loads(answer[1])["error"])


def client_ids(venue: KrakenSimulator) -> list[str]:
    return [order["client_id"] for order in venue.orders()]


def test_krakenex_trades(venue: KrakenSimulator, url: str) -> None:
    credentials = venue.add_account("alice_smith", {"USD": Decimal(1000)})
    api = krakenex.API(credentials.key, credentials.secret)
    nonces = iter(range(1, 100))
    api._nonce = lambda: next(nonces)
    api.uri = url
    try:
        order = {
            "pair": "XXBTZUSD",
            "type": "buy",
            "ordertype": "market",
            "volume": "0.001",
            "validate": True,
        }
        assert api.query_private("AddOrder", order)["error"] == []
        assert venue.orders() == []
        del order["validate"]
        (txid,) = api.query_private("AddOrder", order)["result"]["txid"]
        assert api.query_private("QueryOrders", {"txid": txid})["result"][txid]["status"] == "closed"
        assert api.query_private("Balance")["result"]["XXBT"] == "0.0010000000"
        assert api.query_public("Ticker", {"pair": "XBTUSD"})["result"]["XXBTZUSD"]["c"][0] == "60000.0"
    finally:
        api.close()


def signed(client: HttpClient, path: str, body: str, content_type: str = FORM) -> tuple[int, bytes]:
    client.nonce += 1
    body = body.replace("NONCE", str(client.nonce))
    sign = kraken_sign(client.credentials.secret, path, client.nonce, body)
    headers = {"API-Key": client.credentials.key, "API-Sign": sign, "Content-Type": content_type}
    return http_call(client.url, path, body, headers)


def test_malformed_bodies_get_kraken_errors(client: HttpClient) -> None:
    plain = "application/json"
    assert errors(signed(client, BALANCE, '{"nonce": NONCE}', f"{plain}; charset=utf-8")) == []
    assert errors(signed(client, BALANCE, '{"nonce": "NONCE"}', plain)) == []
    for body in ('{"nonce": NONCE', "[NONCE]", "", "null", "[" * 100_000):
        assert errors(signed(client, BALANCE, body, plain)) == ["EGeneral:Invalid arguments"]
    assert errors(signed(client, BALANCE, '{"nonce": [NONCE]}', plain)) == [
        "EGeneral:Invalid arguments:nonce"
    ]
    assert errors(signed(client, BALANCE, "", FORM)) == ["EAPI:Invalid signature"]
    fields = "&".join(f"a{place}=1" for place in range(2_000))
    assert errors(signed(client, BALANCE, f"{fields}&nonce=NONCE")) == ["EGeneral:Invalid arguments"]
    headers = {"API-Key": client.credentials.key, "API-Sign": "x", "Content-Type": FORM}
    assert errors(http_call(client.url, BALANCE, b"nonce=1&a=\xff\xfe", headers)) == [
        "EAPI:Invalid signature"
    ]
    assert http_call(client.url, BALANCE, b"x" * (2 << 20), headers)[0] == 413
    assert errors(signed(client, BALANCE, "nonce=NONCE")) == []


def test_verbs_and_paths(client: HttpClient) -> None:
    for verb, path in (
        ("GET", BALANCE),
        ("POST", "/0/public/Time"),
        ("GET", "/"),
        ("POST", "/1/private/Balance"),
    ):
        assert errors(http_call(client.url, path, b"", {}, verb)) == ["EGeneral:Unknown method"]
    assert errors(http_call(client.url, "/0/public/Time?x=1", b"{}", {}, "GET")) == []


def test_an_answer_leaves_in_one_write(client: HttpClient) -> None:
    place = urlsplit(client.url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=10) as connection:
        for _ in range(20):
            connection.sendall(b"GET /0/public/Time HTTP/1.1\r\nHost: localhost\r\n\r\n")
            received = connection.recv(65_536)
            head, _, body = received.partition(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert len(body) == length


@pytest.mark.parametrize("kind", ["drop", "cut", "hang"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_lost_answers(venue: KrakenSimulator, client: HttpClient, kind: str, when: str) -> None:
    venue.add_fault(kind, when=when, method="AddOrder", count=1, hang_s=0.05)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        client.buy("lost")
    assert client_ids(venue) == (["lost"] if when == "after" else [])
    assert errors(client.buy("next")) == []


def test_hang_outlasts_an_impatient_client(venue: KrakenSimulator, client: HttpClient) -> None:
    venue.add_fault("hang", method="AddOrder", count=1, hang_s=60)
    with pytest.raises(TimeoutError):
        client.buy("slow", timeout_s=0.3)
    assert client_ids(venue) == ["slow"]


@pytest.mark.parametrize("status", [429, 500, 502, 504])
@pytest.mark.parametrize("when", ["before", "after"])
def test_http_errors(venue: KrakenSimulator, client: HttpClient, status: int, when: str) -> None:
    venue.add_fault("status", when=when, status=status, count=1)
    code, body = client.buy("page")
    assert code == status
    assert body.startswith(b"<html>")
    assert client_ids(venue) == (["page"] if when == "after" else [])


@pytest.mark.parametrize(
    "text",
    [
        "EService:Unavailable",
        "EService:Busy",
        "EAPI:Invalid nonce",
        "EAPI:Rate limit exceeded",
        "EOdd:Never seen",
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_error_strings(venue: KrakenSimulator, client: HttpClient, text: str, when: str) -> None:
    venue.add_fault("error", when=when, error=text, count=1)
    assert errors(client.buy("text")) == [text]
    assert client_ids(venue) == (["text"] if when == "after" else [])


def test_odd_answers(venue: KrakenSimulator, client: HttpClient) -> None:
    expected: dict[str, tuple[int, int]] = {"empty": (200, 0), "no_content": (204, 0), "redirect": (302, 0)}
    for kind, (status, length) in expected.items():
        venue.add_fault(kind, count=1)
        code, body = client.buy(kind)
        assert (code, len(body)) == (status, length)
    venue.add_fault("huge", count=1)
    assert len(client.buy("huge")[1]) == 10 << 20
    venue.add_fault("truncated_json", count=1)
    with pytest.raises(ValueError):
        json.loads(client.buy("half")[1])
    assert client_ids(venue) == ["empty", "no_content", "redirect", "huge", "half"]


def test_a_stale_answer_is_the_one_before(venue: KrakenSimulator, client: HttpClient) -> None:
    venue.add_fault("stale", every=2)
    first = client.buy("one")
    assert client.buy("two") == first
    assert client_ids(venue) == ["one", "two"]


def test_refused_for_funds(venue: KrakenSimulator, client: HttpClient) -> None:
    venue.add_fault("reject_funds", method="AddOrder", count=1)
    assert errors(client.buy("poor")) == ["EOrder:Insufficient funds"]
    assert client_ids(venue) == []


def test_hidden_orders_appear_later(venue: KrakenSimulator, client: HttpClient) -> None:
    venue.add_fault("hide", method="AddOrder", count=1, hide_s=0.4)
    (txid,) = json.loads(client.buy("hidden")[1])["result"]["txid"]
    assert json.loads(client.call("OpenOrders")[1])["result"]["open"] == {}
    assert json.loads(client.call("ClosedOrders", cl_ord_id="hidden")[1])["result"]["count"] == 0
    assert json.loads(client.call("TradesHistory")[1])["result"]["count"] == 0
    assert errors(client.call("QueryOrders", txid=txid)) == ["EOrder:Unknown order"]
    while venue.clock() < venue.orders()[0]["accepted_at_s"] + 0.4:
        client.call("Balance")
    assert json.loads(client.call("ClosedOrders", cl_ord_id="hidden")[1])["result"]["count"] == 1


def test_an_ignored_filter_shows_other_orders(venue: KrakenSimulator, client: HttpClient) -> None:
    client.buy("one")
    client.buy("two")
    venue.add_fault("ignore_filter", method="ClosedOrders", count=1)
    assert json.loads(client.call("ClosedOrders", cl_ord_id="one")[1])["result"]["count"] == 2
    assert json.loads(client.call("ClosedOrders", cl_ord_id="one")[1])["result"]["count"] == 1


def test_pending_cancel(venue: KrakenSimulator, client: HttpClient) -> None:
    order = {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "50000", "volume": "0.001"}
    (txid,) = json.loads(client.call("AddOrder", **order)[1])["result"]["txid"]
    venue.add_fault("cancel_pending", method="CancelOrder", count=1)
    assert json.loads(client.call("CancelOrder", txid=txid)[1])["result"] == {"count": 1, "pending": True}
    assert json.loads(client.call("QueryOrders", txid=txid)[1])["result"][txid]["status"] == "canceled"


def test_partial_fill_then_cancel(venue: KrakenSimulator, client: HttpClient) -> None:
    venue.add_fault("partial_cancel", method="AddOrder", count=1, fraction="0.25")
    (txid,) = json.loads(client.buy("part")[1])["result"]["txid"]
    order = json.loads(client.call("QueryOrders", txid=txid)[1])["result"][txid]
    assert (order["status"], order["vol_exec"]) == ("canceled", "0.00025000")


def test_a_delay_before_the_engine_passes_the_deadline(venue: KrakenSimulator, client: HttpClient) -> None:
    venue.add_fault("delay", when="before", method="AddOrder", delay_ms=2_300)
    deadline = (datetime.now(UTC) + timedelta(seconds=2.2)).isoformat()
    order = {"pair": "XBTUSD", "type": "buy", "ordertype": "market", "volume": "0.001", "deadline": deadline}
    assert errors(client.call("AddOrder", **order)) == ["EService:Deadline elapsed"]
    assert venue.orders() == []


def test_faults_strike_whom_and_how_often_they_should(venue: KrakenSimulator, client: HttpClient) -> None:
    bob = HttpClient(client.url, venue.add_account("bob_jones", {"USD": Decimal(1000)}))
    venue.add_fault(
        "error", when="before", error="EService:Busy", account="bob_jones", method="Balance", every=3
    )
    assert [errors(bob.call("Balance")) for _ in range(6)] == [[], [], ["EService:Busy"]] * 2
    assert [errors(client.call("Balance")) for _ in range(3)] == [[], [], []]
    assert venue.clear_faults() == 1
    venue.add_fault("error", when="before", error="EService:Busy", probability=0.5)
    struck = sum(errors(client.call("Balance")) != [] for _ in range(60))
    assert 10 < struck < 50  # the same number for the same seed
    assert venue.requests()["faults_struck"] == {"error": 2 + struck}


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "fire"},
        {},
        {"kind": "drop", "every": 0},
        {"kind": "drop", "odd": 1},
        {"kind": "drop", "count": "x"},
    ],
)
def test_faults_that_make_no_sense_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Fault.from_json(values)
    assert "drop" in KINDS


def admin(url: str, verb: str, path: str, values: object = None) -> tuple[int, Any]:
    status, body = http_call(url, path, "" if values is None else json.dumps(values), {}, verb)
    return status, json.loads(body)


def test_admin_calls(venue: KrakenSimulator, url: str) -> None:
    status, made = admin(
        url, "POST", "/sim/accounts", {"name": "alice_smith", "balances": {"USD": "1000", "XXBT": 1}}
    )
    assert status == 200
    client = HttpClient(url, venue.add_account("alice_smith"))
    assert (client.credentials.key, client.credentials.secret) == (made["key"], made["secret"])
    assert admin(url, "POST", "/sim/price", {"symbol": "BTC/USD", "price": "50000"}) == (200, {"ok": True})
    assert admin(url, "GET", "/sim/price")[1]["BTC/USD"] == {
        "bid": "50000.0",
        "ask": "50000.0",
        "last": "50000.0",
    }
    fault_id = admin(url, "POST", "/sim/faults", {"kind": "drop", "method": "AddOrder", "probability": 0.5})[
        1
    ]["fault_id"]
    assert admin(url, "GET", "/sim/faults")[1]["faults"][0]["kind"] == "drop"
    assert admin(url, "DELETE", f"/sim/faults?id={fault_id}")[1] == {"ended": 1}
    client.buy("same")
    client.buy("same")
    orders = admin(url, "GET", "/sim/orders?account=alice_smith&after=1")[1]["orders"]
    assert [(order["arrival"], order["status"]) for order in orders] == [(2, "closed")]
    assert len(admin(url, "GET", "/sim/doubles")[1]["doubles"]) == 1
    requests = admin(url, "GET", "/sim/requests")[1]
    assert requests["paths"] == {"/0/private/AddOrder": 2}
    assert requests["nonces"] == {made["key"]: 2}
    (account,) = admin(url, "GET", "/sim/accounts")[1]["accounts"]
    assert account["balances"]["BTC"] == "1.002"
    assert made["secret"] not in json.dumps(account)
    assert (
        admin(url, "POST", "/sim/deposit", {"account": "alice_smith", "asset": "USD", "amount": "5"})[0]
        == 200
    )
    assert admin(url, "GET", "/sim/money")[1]["deposited"] == {"USD": "1005", "BTC": "1"}
    assert admin(url, "POST", "/sim/save")[0] == 200


@pytest.mark.parametrize(
    ("verb", "path", "values", "status"),
    [
        ("POST", "/sim/accounts", {"nam": "x"}, 400),
        ("POST", "/sim/accounts", {}, 400),
        ("POST", "/sim/accounts", {"name": "x", "balances": {"USD": "much"}}, 400),
        ("POST", "/sim/accounts", {"name": "x", "permissions": ["fly"]}, 400),
        ("POST", "/sim/price", {"symbol": "NO/PE", "price": "1"}, 400),
        ("POST", "/sim/price", {"symbol": "BTC/USD", "price": "-1"}, 400),
        ("POST", "/sim/faults", {"kind": "fire"}, 400),
        ("GET", "/sim/orders?after=x", None, 400),
        ("POST", "/sim/accounts", [], 400),
        ("PUT", "/sim/accounts", {}, 404),
    ],
)
def test_wrong_admin_calls(url: str, verb: str, path: str, values: object, status: int) -> None:
    code, answer = admin(url, verb, path, values)
    assert code == status
    assert answer["error"]


def test_only_loopback_is_served(venue: KrakenSimulator) -> None:
    with pytest.raises(ValueError, match="loopback"):
        SimulatorServer([venue], host="0.0.0.0")


async def test_embedded_in_a_running_loop(venue: KrakenSimulator) -> None:
    credentials = venue.add_account("alice_smith", {"USD": Decimal(1)})
    async with SimulatorServer([venue], reply_delay_ms=1) as server, aiohttp.ClientSession() as session:
        body = "nonce=1"
        headers = {"API-Key": credentials.key, "API-Sign": kraken_sign(credentials.secret, BALANCE, 1, body)}
        async with session.post(server.url("kraken") + BALANCE, data=body, headers=headers) as reply:
            assert (await reply.json())["result"] == {"ZUSD": "1.0000"}
