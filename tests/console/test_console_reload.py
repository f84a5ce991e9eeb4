"""Files that change under a running worker, and the kill switch in the operator's hands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from console_world import PAPER, Program, World, live_world, replace_file, wait_until


def buy(world: World) -> dict[str, dict[str, Any]]:
    """The copies of a purchase for 1,000 USD, by user."""
    result = world.json("trade", "BTC/USD", "buy", "--usd", "1000")
    return {copy["account"].removeprefix("kraken:"): copy for copy in result["copies"]}


def test_followers_come_change_and_go_without_a_restart(world: World) -> None:
    with world.worker() as worker:
        erin = {"user_id": "erin_new", "broker_type": "kraken", "paper_cash": 1000}
        replace_file(world.users_dir / "more.json", json.dumps([erin]))
        worker.line("enrolled kraken:erin_new")
        world.change_user("alice_smith", max_user_risk=0.02)
        worker.line("kraken:alice_smith: max_user_risk: None -> 0.02")
        world.change_user("bob_jones", enabled=False)
        worker.line("kraken:bob_jones: enabled: True -> False")
        copies = buy(world)
        assert 99 < float(copies["erin_new"]["cost"]) <= 100
        assert 19 < float(copies["alice_smith"]["cost"]) <= 20
        assert copies["bob_jones"]["reason"] == "disabled"

        at = worker.mark()
        (world.users_dir / "more.json").write_text('[\n  {"user_id": "erin_new", "broker_type": "krakn"}\n]')
        refusal = worker.line("not taken over", after=at)
        assert "more.json:2: broker_type" in refusal
        assert "kraken" in refusal
        world.change_user("alice_smith", max_user_risk=0.01)  # another's file still counts
        worker.line("kraken:alice_smith: max_user_risk: 0.02 -> 0.01", after=at)

        (world.users_dir / "more.json").unlink()
        worker.line("more.json is gone, and with it kraken:erin_new", after=at)
        worker.line("kraken:erin_new has left the user files while it holds copied BTC/USD", after=at)
        sold = world.json("trade", "BTC/USD", "sell", "--all")
        reasons = {copy["account"]: copy["reason"] for copy in sold["copies"]}
        assert reasons["kraken:erin_new"] == "whole_position"
        assert not [line for line in worker.out if "the key of kraken:erin_new" in line], "it came and went with her"
        modes = {row["account"]: row["mode"] for row in world.json("top")["accounts"]}
        assert (modes["kraken:erin_new"], modes["kraken:bob_jones"]) == ("left", "disabled")
        world.until_flat()
        assert "erin_new" not in buy(world)


def test_settings_change_without_a_restart_or_say_that_they_need_one(world: World) -> None:
    with world.worker() as worker:
        world.set_settings({**PAPER, "copy": {"max_user_risk": 0.01}})
        worker.line("settings: copy.max_user_risk: 0.10 -> 0.01")
        assert 9 < float(buy(world)["alice_smith"]["cost"]) <= 10
        at = worker.mark()
        replace_file(world.config, "mode: paper\ncopy:\n  max_user_risk: 7\n")
        assert "copytrade.yaml:3: copy.max_user_risk: 7" in worker.line("not taken over", after=at)
        assert 9 < float(buy(world)["alice_smith"]["cost"]) <= 10
        at = worker.mark()
        world.set_settings({**PAPER, "mode": "live", "copy": {"max_user_risk": 0.01}})
        assert "mode: paper -> live" in worker.line("takes effect after a restart", after=at)


def test_the_switch_by_hand_and_by_command(world: World) -> None:
    switch = world.state / "SYSTEM_DISABLED"
    with world.worker() as worker:
        switch.touch()
        done = world.command("trade", "BTC/USD", "buy", "--usd", "1000", "--json")
        assert (done.code, done.json["reason"]) == (1, "kill_switch")
        worker.line("kill switch: off -> halt")
        switch.unlink()
        worker.line("kill switch: halt -> off")
        buy(world)

        assert world.json("kill", "--close-only")["kill_switch"] == "close_only"
        done = world.command("trade", "BTC/USD", "buy", "--usd", "1000", "--json")
        assert (done.code, done.json["reason"]) == (1, "kill_switch")
        sold = world.json("trade", "BTC/USD", "sell", "--all")
        assert sold["summary"]["placed"] == 2
        assert world.json("unkill")["was_on"] is True
        world.until_flat()

        buy(world)
        done = world.command("kill", "--flatten")
        assert done.code == 0, done
        world.until_flat()  # the command waits for the fills only so long
        assert world.json("positions") == []
        assert world.json("status")["kill_switch"] == "halt"


def test_an_exit_that_was_held_is_shown_and_placed_on_the_operators_word(world: World) -> None:
    with world.worker() as worker:
        buy(world)
        world.change_user("alice_smith", mode="disarmed")
        worker.line("kraken:alice_smith: mode: active -> disarmed")
        sold = world.json("trade", "BTC/USD", "sell", "--all")
        states = {copy["account"]: copy["state"] for copy in sold["copies"]}
        assert states["kraken:alice_smith"] == "held"
        assert states["kraken:bob_jones"] in ("accepted", "filled")
        told = worker.line("an exit of BTC/USD for kraken:alice_smith is held")
        assert "resume alice_smith lets it go" in told
        assert "unkill" not in told, "while it is disarmed, nothing is placed"
        assert [o["account"] for o in world.json("status")["held_exits"]] == ["kraken:alice_smith"]
        shown = world.command("unkill").out
        assert "held: kraken:alice_smith sell" in shown
        assert "unkill --place-exits" in shown

        world.change_user("alice_smith", mode="active")
        worker.line("kraken:alice_smith: mode: disarmed -> active")
        assert len(world.json("positions")) == 1, "nothing is placed before somebody says so"
        assert world.json("unkill", "--place-exits")["placed"] == 1
        world.until_flat()


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_the_switch_thrown_in_the_middle_of_a_fan_out_stops_the_copies(
    tmp_path_factory: pytest.TempPathFactory, side: str
) -> None:
    """The master's answer is late; by the time it comes the switch is on disk. Entries end, exits are held."""
    cash = {"master": "10000", "alice_smith": "1000", "bob_jones": "500"}
    with live_world(tmp_path_factory.mktemp("late"), cash) as (world, venue), world.worker() as worker:
        if side == "sell":
            buy(world)
            world.settle()
        before = len(venue.sim.orders())
        venue.sim.add_fault("delay", method="AddOrder", account="master", delay_ms=2500)
        size = ["--usd", "1000"] if side == "buy" else ["--all"]
        with world.start("trade", "BTC/USD", side, *size, "--json") as trade:
            wait_until(lambda: len(venue.sim.orders()) > before, "the master's order at the venue")
            (world.state / "SYSTEM_DISABLED").touch()
            result = trade.wait().json
        stopped = {c["account"]: c for c in result["copies"] if c["reason"] == "kill_switch"}
        assert set(stopped) == {"kraken:alice_smith", "kraken:bob_jones"}
        assert {c["state"] for c in stopped.values()} == {"stopped" if side == "buy" else "held"}
        assert len(venue.sim.orders()) == before + 1
        unkill(world, worker, expected_placed=0 if side == "buy" else 2)
        if side == "sell":
            world.until_flat()
        assert len(venue.sim.orders()) == before + (1 if side == "buy" else 3)
        assert venue.sim.doubles() == []


def unkill(world: World, worker: Program, expected_placed: int) -> None:
    result = world.json("unkill", "--place-exits")
    assert result["placed"] == expected_placed
    worker.line("-> off")
