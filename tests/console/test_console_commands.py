"""Commands without a worker: what they print, what they refuse, with which exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from decimal import Decimal

import pytest
from console_world import World

from copytrade.console.cli import main

COMMANDS = (
    "trade", "check", "status", "signals", "copies", "positions", "users", "kill", "unkill", "simulator"
)  # fmt: skip


def test_help_lists_every_command_and_each_explains_itself(world: World) -> None:
    text = world.command("--help").out
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", text, re.M), f"{name} is not in --help"
    for name in ("trade", "simulator"):
        done = world.command(name, "--help")
        assert (done.code, done.err) == (0, "")
        assert len(done.out.splitlines()) > 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trade", "--json"], "instrument"),
        (["nonsense", "--json"], "nonsense"),
        (["signals", "--limit", "0", "--json"], "--limit"),
        (["trade", "BTC/USD", "hold", "--usd", "5", "--json"], "'hold'"),
        (["trade", "BTC/USD", "buy", "--json"], "--usd, --quantity or --all"),
        (["trade", "BTC/USD", "buy", "--usd", "5", "--quantity", "1", "--json"], "exactly one way"),
        (["trade", "BTC/USD", "buy", "--usd", "five", "--json"], "'five'"),
        (["trade", "BTC/USD", "buy", "--usd", "NaN", "--json"], "'NaN'"),
        (["trade", "BTC/USD", "buy", "--usd", "Infinity", "--json"], "'Infinity'"),
        (["trade", "BTC/USD", "buy", "--usd", "0", "--json"], "above zero"),
        (["trade", "BTC/USD", "buy", "--quantity", "-1", "--json"], "above zero"),
        (["copies", "--in", "lost", "--json"], "filled"),
        (["kill", "--close-only", "--flatten", "--json"], "not both"),
    ],
    ids=lambda value: " ".join(value[:-1]) if isinstance(value, list) else "",
)
def test_wrong_usage_is_exit_code_2_and_one_json_value(
    world: World, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    # Nothing is started for any of these, so they need no process of their own.
    folders = ["--config", str(world.config), "--users", str(world.users_dir), "--state", str(world.state)]
    code = main(arguments if arguments[0] == "nonsense" else [*arguments, *folders])
    out, err = capsys.readouterr()
    assert (code, err) == (2, "")
    assert words in json.loads(out)["message"]
    assert not world.state.exists()


def test_a_process_that_is_used_wrongly_exits_with_2(world: World) -> None:
    done = world.command("trade", "BTC/USD", "--json")
    assert (done.code, done.err) == (2, "")
    assert "side" in done.json["message"]


def test_wrong_usage_without_json_goes_to_standard_error(world: World) -> None:
    done = world.command("trade", "BTC/USD")
    assert (done.code, done.out) == (2, "")
    assert "side" in done.err


def test_reading_commands_before_anything_has_happened(world: World) -> None:
    empty = {"signals": [], "copies": [], "positions": []}
    for name, expected in empty.items():
        assert world.json(name) == expected
    status = world.json("status")
    assert (status["worker"], status["kill_switch"]) == ("not running", "off")
    assert [user["user_id"] for user in world.json("users")] == [u["user_id"] for u in world.users()]
    assert not world.state.exists()


def test_reading_commands_for_people_before_anything_has_happened(world: World) -> None:
    for name, words in {
        "status": "nothing has happened yet", "signals": "no signals yet", "copies": "no copies yet",
        "positions": "everybody is flat", "users": "Alice Smith",
    }.items():  # fmt: skip
        done = world.command(name)
        assert done.code == 0
        assert words in done.out


def test_a_trade_without_a_worker_is_copied_and_on_record(world: World) -> None:
    result = world.json("trade", "BTC/USD", "buy", "--usd", "1000")
    copies = {copy["account"]: copy for copy in result["copies"]}
    assert result["summary"] == {"placed": 2, "failed": 0, "skipped": 2, "waiting": 0}
    assert copies["kraken:carol_small"]["reason"] == "below_minimum"
    assert copies["kraken:dave_disabled"]["reason"] == "disabled"
    # One tenth of the master's equity; bob's half of that again is cut to 5 % of his 500.
    assert Decimal("99.9") < Decimal(copies["kraken:alice_smith"]["cost"]) <= 100
    assert Decimal("24.9") < Decimal(copies["kraken:bob_jones"]["cost"]) <= 25

    assert world.json("signals")[0]["copies"] == {"filled": 2, "skipped": 2}
    assert [p["account"] for p in world.json("positions")] == [
        "kraken:alice_smith", "kraken:bob_jones", "kraken:master"
    ]  # fmt: skip
    status = world.json("status")
    assert (status["open"], status["ended"]) == ({}, {"filled": 3, "skipped": 2})
    skipped = world.json("copies", "--signal", "last", "--in", "skipped", "--user", "carol_small")
    assert [copy["account"] for copy in skipped] == ["kraken:carol_small"]
    equities = {user["user_id"]: user["equity"] for user in world.json("users")}
    assert Decimal(equities["alice_smith"]) > 990
    table = world.command("copies").out
    assert "capped by max_user_risk (0.05 of equity 500" in table
    assert "under the smallest quantity" in table


def test_two_trades_at_the_same_time_without_a_worker_are_both_placed(world: World) -> None:
    with world.start("trade", "BTC/USD", "buy", "--usd", "100", "--json") as one:
        other = world.command("trade", "BTC/USD", "buy", "--usd", "200", "--json")
        done = one.wait()
    assert (done.code, other.code) == (0, 0), (done, other)
    assert sorted(round(Decimal(d.json["master"]["cost"])) for d in (done, other)) == [100, 200]
    assert len(world.json("signals")) == 2


CALLER = """
import json, logging, sys
logging.basicConfig(level="CRITICAL", format="the caller's own %(message)s")
before = list(logging.getLogger().handlers)
from copytrade import execute_master_trade
results = [execute_master_trade(pair="XXBTZUSD", side="buy", usd_size=100.1, request_id="wish 1") for _ in range(2)]
assert logging.getLogger().handlers == before, "the caller's logging was replaced"
try:
    execute_master_trade(pair="XXBTZUSD", side="buy", usd_size=float("nan"))
except Exception as error:
    refused = f"{type(error).__name__}: {error}"
print(json.dumps({"results": results, "refused": refused}))
"""


def test_the_function_of_the_package_trades_once_per_request_id(world: World) -> None:
    said = world.run(sys.executable, "-c", CALLER).json
    first, second = said["results"]
    assert first["master"]["venue_order_id"] == second["master"]["venue_order_id"]
    assert [c["order_id"] for c in first["copies"]] == [c["order_id"] for c in second["copies"]]
    assert Decimal("100.09") < Decimal(first["master"]["cost"]) <= Decimal("100.1")
    assert said["refused"] == "BadRequest: the amount is not a finite number: 'nan'"
    assert len(world.json("signals")) == 1


def test_check_tells_who_can_trade(world: World) -> None:
    offline = world.json("check", "--offline")
    assert offline["would_start"]
    assert not world.state.exists(), "files only means files only"
    result = world.json("check")
    accounts = {account["account"]: account for account in result["accounts"]}
    assert all(account["ok"] for account in accounts.values())
    assert any("equity 1,000.00 USD" in line for line in accounts["kraken:alice_smith"]["fine"])
    assert any("enabled: true" in line for line in accounts["kraken:dave_disabled"]["warnings"])
    assert [a["account"] for a in world.json("check", "--user", "bob_jones")["accounts"]] == ["kraken:bob_jones"]
    done = world.command("check", "--user", "zoe", "--json")
    assert done.code == 1
    assert "'zoe'" in done.json["message"]
    assert "alice_smith" in done.json["message"]


@pytest.mark.parametrize("command", ["users", "check", "trade"])
def test_broken_settings_are_named_with_their_line(world: World, command: str) -> None:
    world.config.write_text("mode: paper\ncopy:\n  max_user_risk: 7\n")
    arguments = ["BTC/USD", "buy", "--usd", "10"] if command == "trade" else []
    done = world.command(command, *arguments, "--json")
    assert (done.code, done.err) == (1, "")
    assert "copytrade.yaml:3: copy.max_user_risk: 7" in done.json["message"]


def test_the_switch_works_with_broken_settings(world: World) -> None:
    world.config.write_text("mode: [\n")
    assert world.json("kill")["kill_switch"] == "halt"
    assert (world.state / "SYSTEM_DISABLED").exists()
    assert world.json("status")["kill_switch"] == "halt"
    assert world.json("unkill")["was_on"] is True


@pytest.mark.parametrize(("option", "state"), [([], "halt"), (["--close-only"], "close_only")])
def test_the_switch_stops_a_trade_without_a_worker(world: World, option: list[str], state: str) -> None:
    assert world.json("kill", *option)["kill_switch"] == state
    done = world.command("trade", "BTC/USD", "buy", "--usd", "100", "--json")
    assert done.code == 1
    assert (done.json["error"], done.json["reason"]) == ("refused", "kill_switch")
    assert world.json("signals") == []


def test_unkill_of_a_folder_that_is_not_there_says_so(world: World) -> None:
    done = world.command("unkill", "--state", "elsewhere", "--json")
    assert done.code == 1
    assert "elsewhere" in done.json["message"]


def test_the_environment_stops_orders_and_unkill_says_that_it_does(world: World) -> None:
    world.state.mkdir()
    done = world.command("trade", "BTC/USD", "buy", "--usd", "100", "--json", SYSTEM_DISABLED="true")
    assert (done.code, done.json["reason"]) == (1, "kill_switch")
    done = world.command("unkill", "--json", SYSTEM_DISABLED="true")
    assert done.code == 1
    assert "SYSTEM_DISABLED" in done.json["message"]


def test_flatten_without_a_worker_closes_everything_and_halts(world: World) -> None:
    world.json("trade", "BTC/USD", "buy", "--usd", "1000")
    assert len(world.json("positions")) == 3
    assert world.json("kill", "--flatten")["kill_switch"] == "halt"
    assert world.json("positions") == []


def test_the_simulator_serves_until_told_to_stop(world: World) -> None:
    with world.start("simulator", "--accounts", "2") as program:
        said = json.loads(program.line("venues"))
        assert list(said["venues"]["kraken"]["accounts"]) == ["master", "follower_1"]
        assert program.end().code == 0
    done = world.command("simulator", "--venues", "mtgox")
    assert done.code == 2
    assert "mtgox" in done.err


def test_output_into_a_closed_pipe_is_no_traceback(world: World) -> None:
    reader = [sys.executable, "-c", "import sys; sys.stdin.close()"]
    writer = [sys.executable, "-m", "copytrade", "users", "--json"]
    with (
        subprocess.Popen(reader, stdin=subprocess.PIPE) as closed,
        subprocess.Popen(
            writer, cwd=world.root, env=world.environ, stdout=closed.stdin, stderr=subprocess.PIPE, text=True
        ) as command,
    ):
        assert closed.stdin is not None
        closed.stdin.close()
        closed.wait()
        _, err = command.communicate()
    assert "Traceback" not in err
