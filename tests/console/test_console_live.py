"""Live mode, with a simulated Kraken in the exchange's place: credentials, permissions, addresses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from console_world import World, live_world

CASH = {"master": "10000", "alice_smith": "1000"}
WITHDRAW = [
    "query-funds", "query-open-trades", "query-closed-trades", "modify-trades", "close-trades", "withdraw-funds"
]  # fmt: skip


def test_without_the_masters_key_the_worker_says_which_variables_to_set(world: World) -> None:
    world.set_settings({"mode": "live", "master": {"strategy": "none"}})
    with world.start_worker() as worker:
        done = worker.wait()
    assert done.code == 1
    assert "KRAKEN_MASTER_API_KEY and KRAKEN_MASTER_API_SECRET" in done.err
    check = world.command("check", "--offline", "--json")
    assert check.code == 1
    assert not check.json["would_start"]
    trade = world.command("trade", "BTC/USD", "buy", "--usd", "10", "--json")
    assert (trade.code, trade.err) == (1, "")
    assert "KRAKEN_MASTER_API_KEY" in trade.json["message"]


def test_a_follower_without_a_key_is_left_out_and_the_others_trade(tmp_path: Path) -> None:
    with live_world(tmp_path, CASH) as (world, venue):
        with world.worker() as worker:
            worker.line("kraken:bob_jones is left out: set KRAKEN_USER_BOB_API_KEY and KRAKEN_USER_BOB_API_SECRET")
            result = world.json("trade", "BTC/USD", "buy", "--usd", "1000")
            copies = {copy["account"]: copy for copy in result["copies"]}
            assert copies["kraken:alice_smith"]["venue_order_id"]
            assert copies["kraken:bob_jones"]["reason"] == "no_credentials"
            assert "KRAKEN_USER_BOB_API_KEY" in copies["kraken:bob_jones"]["detail"]
        # The venue knows the orders by the ids that are in the ledger.
        ids = [result["master"]["order_id"], copies["kraken:alice_smith"]["order_id"]]
        assert venue.client_ids() == ids


def test_the_older_names_and_a_dotenv_file_work(tmp_path: Path) -> None:
    with live_world(tmp_path, CASH) as (world, venue):
        key, secret = (world.environ.pop(f"KRAKEN_MASTER_API_{part}") for part in ("KEY", "SECRET"))
        (world.root / ".env").write_text(f"KRAKEN_API_KEY='{key}'\nKRAKEN_API_SECRET='{secret}'\n")
        result = world.command("check", "--json")
        assert result.json["would_start"], result
        assert any("chmod 600" in warning for warning in result.json["warnings"])
        (world.root / ".env").chmod(0o600)
        world.json("trade", "BTC/USD", "buy", "--usd", "1000")
        assert len(venue.client_ids()) == 2


def test_a_key_that_may_withdraw_is_refused(tmp_path: Path) -> None:
    with live_world(tmp_path, CASH) as (world, venue):
        venue.add("bob_jones", "500", permissions=WITHDRAW)
        world.environ |= venue.environ
        with world.worker() as worker:
            assert "withdraw-funds" in worker.line("kraken:bob_jones is not connected")
            copies = world.json("trade", "BTC/USD", "buy", "--usd", "1000")["copies"]
            assert {c["account"]: c["reason"] for c in copies}["kraken:bob_jones"] == "no_permission"
            assert venue.client_ids("bob_jones") == []
        venue.add("master", "0", permissions=WITHDRAW)
        world.environ |= venue.environ
        before = len(venue.client_ids())
        check = world.command("check", "--user", "master", "--json")
        assert check.code == 1
        assert "withdraw-funds" in check.json["accounts"][0]["problems"][0]
        done = world.command("trade", "BTC/USD", "buy", "--usd", "1000", "--json")
        assert done.code == 1
        assert "withdraw-funds" in done.json["message"]
        assert len(venue.client_ids()) == before


def test_a_simulator_process_can_be_the_venue(world: World) -> None:
    world.set_settings({"mode": "live", "master": {"strategy": "none"}})
    replace = [{"user_id": "follower_1", "broker_type": "kraken"}]
    world.users_file.write_text(json.dumps(replace))
    with world.start("simulator", "--accounts", "2") as simulator:
        kraken = json.loads(simulator.line("venues"))["venues"]["kraken"]
        for name, made in kraken["accounts"].items():
            prefix = "KRAKEN_MASTER" if name == "master" else "KRAKEN_USER_FOLLOWER_1"
            world.environ |= {f"{prefix}_API_KEY": made["key"], f"{prefix}_API_SECRET": made["secret"]}
        world.environ["KRAKEN_BASE_URL"] = kraken["url"]
        result = world.json("trade", "BTC/USD", "buy", "--usd", "1000")
        assert result["summary"] == {"placed": 1, "failed": 0, "skipped": 0, "waiting": 0}
        world.settle()


@pytest.mark.parametrize(
    ("mode", "url", "words"),
    [
        ("live", "http://192.0.2.7:8080", "must be https"),
        ("live", "http://api.kraken.com.example", "must be https"),
        ("paper", "https://192.0.2.7", "paper"),
    ],
)
def test_an_address_that_could_leak_keys_or_paper_orders_is_refused(
    world: World, mode: str, url: str, words: str
) -> None:
    world.set_settings({"mode": mode, "master": {"strategy": "none"}})
    done = world.command("check", "--offline", "--json", KRAKEN_BASE_URL=url)
    assert (done.code, done.err) == (1, "")
    assert words in done.json["message"]
    assert "KRAKEN_BASE_URL" in done.json["message"]


@pytest.mark.slow
def test_a_command_does_not_wait_for_ever_for_a_venue_that_is_down(tmp_path: Path) -> None:
    with live_world(tmp_path, CASH) as (world, venue):
        venue.sim.add_fault("status", status=503)
        done = world.command("trade", "BTC/USD", "buy", "--usd", "1000", "--json")
        assert done.code == 1
        assert "kraken does not answer" in done.err
        assert "so this was not done" in done.json["message"]
        assert venue.client_ids() == []


def test_the_sample_strategy_does_not_trade_for_real(tmp_path: Path) -> None:
    with live_world(tmp_path, CASH, master={"strategy": "sample"}) as (world, venue):
        with world.start_worker() as worker:
            done = worker.wait()
        assert done.code == 1
        assert "master.strategy is sample" in done.err
        assert venue.client_ids() == []
