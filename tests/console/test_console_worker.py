"""The worker as a process: its screen, trades through it, stopping, dying and coming back."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from decimal import Decimal

import pytest
from console_world import PAPER, REPOSITORY, Program, World, admin, replace_file, wait_until

from copytrade.ledger.reader import LedgerReader


def test_the_sample_settings_show_master_orders_and_a_line_for_each_follower(world: World) -> None:
    sample = (REPOSITORY / "config/copytrade.yaml").read_text()
    assert "sample_every_s" in sample
    replace_file(world.config, re.sub(r"sample_every_s: \S+", "sample_every_s: 1", sample))
    with world.worker() as worker:
        first_buy = worker.line("master buys ")
        at = worker.out.index(first_buy)
        worker.line("    Success ", after=at)
        block = worker.out[at : at + 6]
        worker.line("master sells ", after=at)
    assert re.fullmatch(r"[\d:]{8}  master buys \S+ BTC at \S+ USD \([\d,.]+ USD\)  O\w{5}-\w{5}-\w{6}", block[0])
    for name, line in zip(("alice_smith", "bob_jones"), block[1:3], strict=True):
        assert re.match(rf"    {name}\s+buys 0\.\d+ BTC \([\d.]+ USD\)  O\w{{5}}-\w{{5}}-\w{{6}}", line), line
    assert "carol_small" in block[3]
    assert "under the venue's minimum" in block[3]
    assert "dave_disabled" in block[4]
    assert "not enabled" in block[4]
    assert block[5].strip() == "Success 2/2, failed 0/2, skipped 2"
    assert "stopping" in worker.out[-1]
    assert not (world.state / "worker.sock").exists()


def test_once_decides_once_and_stops(world: World) -> None:
    world.set_settings({**PAPER, "master": {"strategy": "sample", "sample_every_s": 1}})
    with world.start_worker("--once") as worker:
        done = worker.wait()
    assert done.code == 0, done
    assert done.out.count("master buys") == 1
    assert len(world.json("signals")) == 1


def test_one_instrument_in_three_spellings(shared: tuple[World, Program]) -> None:
    world, _ = shared
    before = len(world.json("signals"))
    for spelling in ("btc/usd", "XXBTZUSD", "XBTUSD"):
        result = world.json("trade", spelling, "buy", "--usd", "100")
        assert result["master"]["instrument"] == "BTC/USD"
    assert world.json("trade", "BTC/USD", "sell", "--all")["master"]["quantity"] > "0"
    assert len(world.json("signals")) == before + 4


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["FOO/BAR", "buy", "--usd", "100"], "bad_request", "'FOO/BAR'"),
        (["", "buy", "--usd", "100"], "bad_request", "BTC/USD"),
        (["BTC/USD", "buy", "--usd", "0.01"], "refused", "under the smallest quantity"),
        (["BTC/USD", "buy", "--quantity", "0.000000000000001"], "refused", "under the smallest quantity"),
        (["BTC/USD", "buy", "--usd", "1e30"], "refused", "guards.max_master_order_usd"),
        (["BTC/USD", "buy", "--usd", "50000"], "refused", "free cash"),
        (["BTC/USD", "sell", "--all"], "bad_request", "there is no position in BTC/USD to sell"),
        (["BTC/USD", "buy", "--usd", "9", "--stop", "1", "--take-profit", "2"], "refused", "a bracket that sells has"),
        (["BTC/USD", "buy", "--all"], "bad_request", "only a sell"),
        (["BTC/USD", "buy", "--usd", "100", "--venue", "alpaca"], "bad_request", "the master trades at kraken"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_placed_is_refused_in_words(
    shared: tuple[World, Program], arguments: list[str], kind: str, words: str
) -> None:
    world, worker = shared
    before = len(admin(worker, "orders")["orders"])
    done = world.command("trade", *arguments, "--json")
    assert (done.code, done.err) == (1, "")
    assert done.json["error"] == kind
    assert words in done.json["message"]
    assert len(admin(worker, "orders")["orders"]) == before


def test_the_masters_own_venue_may_be_named(shared: tuple[World, Program]) -> None:
    world, _ = shared
    assert world.json("trade", "BTC/USD", "buy", "--usd", "100", "--venue", "kraken")["signal_id"]
    world.json("trade", "BTC/USD", "sell", "--all")


def test_a_request_id_is_one_order_however_often_it_is_handed_in(shared: tuple[World, Program]) -> None:
    world, worker = shared
    before = len(admin(worker, "orders")["orders"])
    wish = ("trade", "BTC/USD", "buy", "--usd", "100", "--request-id", "monday's", "--json")
    with world.start(*wish) as one, world.start(*wish) as other:
        results = [one.wait().json, other.wait().json, world.command(*wish).json]
    assert len({r["master"]["venue_order_id"] for r in results}) == 1
    assert len(admin(worker, "orders")["orders"]) == before + 3  # the master's, alice's and bob's
    world.json("trade", "BTC/USD", "sell", "--all")


def test_trades_at_the_same_time_are_two_orders_and_positions_add_up(shared: tuple[World, Program]) -> None:
    world, worker = shared
    with (
        world.start("trade", "BTC/USD", "buy", "--usd", "300", "--json") as one,
        world.start("trade", "BTC/USD", "buy", "--usd", "500", "--json") as other,
    ):
        results = [one.wait().json, other.wait().json]
    assert len({r["master"]["venue_order_id"] for r in results}) == 2
    world.settle()
    held = {p["account"]: Decimal(p["quantity"]) for p in world.json("positions")}
    assert held["kraken:master"] == sum(Decimal(r["master"]["quantity"]) for r in results)
    world.json("trade", "BTC/USD", "sell", "--all")
    world.until_flat()
    assert admin(worker, "doubles") == {"doubles": []}


def test_a_second_worker_on_one_state_folder_stops_at_once(shared: tuple[World, Program]) -> None:
    world, worker = shared
    with world.start_worker() as second:
        done = second.wait()
    assert done.code == 1
    assert f"another process works on {world.state.name}" in done.err
    assert "--state" in done.err
    assert worker.process.poll() is None
    assert world.json("status")["worker"] == "running"


def test_check_asks_the_running_worker(shared: tuple[World, Program]) -> None:
    world, _ = shared
    result = world.json("check")
    assert result["note"] == "asked the running worker"
    assert all(account["ok"] for account in result["accounts"])
    done = world.command("check", "--user", "zoe", "--json")
    assert (done.code, done.err) == (1, "")
    assert "'zoe'" in done.json["message"]


def test_kill_9_in_the_middle_of_a_fan_out_leaves_one_order_a_copy(world: World) -> None:
    """The venue's own list is counted, not ours."""
    slow = {**PAPER, "paper": {"volatility": 0, "fill_delay_ms": 0, "reply_delay_ms": 250}}
    world.set_settings({**slow, "venues": {"kraken": {"order_deadline_s": 2, "absence_settle_s": 0}}})
    users = world.users()
    more = [{**users[0], "user_id": f"follower_{n}", "name": f"Follower {n}"} for n in range(3)]
    replace_file(world.users_dir / "more.json", json.dumps(more))
    with world.worker() as worker:
        with world.start("trade", "BTC/USD", "buy", "--usd", "1000", "--request-id", "r", "--json") as trade:
            wait_until(lambda: len(admin(worker, "orders")["orders"]) > 1, "the first copy at the venue")
            worker.send(signal.SIGKILL)
            done = trade.wait()
        assert done.code == 1
        assert "the worker stopped before it answered" in done.json["message"]
        assert worker.wait().code == -signal.SIGKILL
    with world.worker() as worker:
        assert "carried on from the last run" in worker.line("carried on")
        world.settle()
        again = world.json("trade", "BTC/USD", "buy", "--usd", "1000", "--request-id", "r")
        orders = admin(worker, "orders")["orders"]
        assert admin(worker, "doubles") == {"doubles": []}
        signals = world.json("signals")
    assert [s["master_order_id"] for s in signals] == [again["master"]["order_id"]]
    placed = {copy["order_id"] for copy in again["copies"] if copy["venue_order_id"]} | {again["master"]["order_id"]}
    assert len(placed) == 6
    assert Counter(order["client_id"] for order in orders) == dict.fromkeys(placed, 1)
    assert {o["order_id"] for o in orders} == {
        c["venue_order_id"] for c in [again["master"], *again["copies"]] if c["venue_order_id"]
    }


def test_every_trade_is_a_line_of_the_journal(world: World) -> None:
    world.set_settings(PAPER)
    with world.worker():
        world.json("trade", "BTC/USD", "buy", "--usd", "500")
        world.settle()
    with world.worker():
        world.json("trade", "BTC/USD", "sell", "--all")
        world.settle()
    orders = {order["order_id"] for order in world.json("orders")}
    copies = {copy["order_id"] for copy in world.json("copies") if copy["state"] == "filled"}
    lines = [json.loads(line) for line in (world.state / "trade_journal.jsonl").read_text().splitlines()]
    assert Counter(line["order_id"] for line in lines) == Counter(orders | copies)
    assert len(lines) == 6


def test_an_account_trades_by_itself_beside_the_others(world: World) -> None:
    independent = {"strategy": "sample", "cycle_s": 0.2, "start_delay_min_s": 0, "start_delay_max_s": 0}
    sample = {"strategy": "none", "sample_every_s": 0.5, "sample_usd": 40}
    world.set_settings({**PAPER, "master": sample, "independent": independent})
    world.change_user("alice_smith", mode="independent")
    told = world.command("independent", "--json")
    assert (told.code, told.json["error"]) == (1, "failed")
    assert "no worker runs here" in told.json["message"]
    with world.worker() as worker:
        worker.line("kraken:alice_smith trades by itself from now on")
        wait_until(lambda: world.json("positions", "--user", "alice_smith"), "a position of alice's own")
        result = world.json("trade", "BTC/USD", "buy", "--usd", "500")
        skipped = [copy["reason"] for copy in result["copies"] if copy["account"] == "kraken:alice_smith"]
        assert skipped == ["independent"]
        (loop,) = world.json("independent")["independent"]
        assert (loop["account"], loop["standing"], loop["errors"]) == ("kraken:alice_smith", "runs", 0)
        shown = world.command("independent")
        assert (shown.code, "kraken:alice_smith" in shown.out) == (0, True)
    lines = [json.loads(line) for line in (world.state / "trade_journal.jsonl").read_text().splitlines()]
    assert {line["role"] for line in lines if line["account"] == "kraken:alice_smith"} == {"independent"}


def test_kill_9_of_a_worker_whose_accounts_trade_by_themselves(world: World) -> None:
    """However often it dies in the midst of their orders, each is at the venue once, and in the journal once."""
    independent = {"strategy": "sample", "cycle_s": 0.1, "start_delay_min_s": 0, "start_delay_max_s": 0, "spacing_s": 0}
    sample = {"strategy": "none", "sample_every_s": 0.2, "sample_usd": 40}
    deadline = {"venues": {"kraken": {"order_deadline_s": 2, "absence_settle_s": 0}}}
    slow = {"volatility": 0, "fill_delay_ms": 0, "reply_delay_ms": 60}
    world.set_settings({"mode": "paper", "master": sample, "independent": independent, "paper": slow, **deadline})
    for user in ("alice_smith", "bob_jones"):
        world.change_user(user, mode="independent")
    for least in (3, 7, 11):
        with world.worker() as worker:
            wait_until(lambda n=least: len(admin(worker, "orders")["orders"]) >= n, "orders of their own")
            worker.send(signal.SIGKILL)
            assert worker.wait().code == -signal.SIGKILL
    world.change_user("alice_smith", mode="paused")
    world.change_user("bob_jones", mode="paused")
    with world.worker() as worker:
        world.settle()
        orders = admin(worker, "orders")["orders"]
        assert admin(worker, "doubles") == {"doubles": []}
    with LedgerReader(world.state / "ledger.sqlite3") as reader:
        known = {order["order_id"]: order for order in reader.orders(limit=10_000)}
    assert {order["client_id"] for order in orders} <= known.keys(), "each has an intent"
    assert {order["role"] for order in known.values()} == {"independent"}
    filled = [order_id for order_id, order in known.items() if order["state"] == "filled"]
    lines = [json.loads(line) for line in (world.state / "trade_journal.jsonl").read_text().splitlines()]
    assert Counter(line["order_id"] for line in lines) == Counter(filled)
    assert len(filled) >= 3
