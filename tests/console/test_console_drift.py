"""`drift`, `reconcile` and `flatten USER`, with a worker and without one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from console_world import Program, World

D = Decimal


def rows(world: World, *arguments: str) -> dict[str, Any]:
    result = world.json("drift", *arguments)
    assert result["problems"] == []
    for row in result["drift"]:
        assert sum(D(part) for part in row["causes"].values()) == D(row["error"])
    return {row["account"]: row for row in result["drift"]}


@pytest.mark.parametrize("with_worker", [True, False], ids=["worker", "alone"])
def test_one_follower_is_flattened_and_the_report_says_why_it_lags(world: World, with_worker: bool) -> None:
    accounts = [f"{user['broker_type']}:{user['user_id']}" for user in world.users() if user.get("enabled", True)]
    assert len(accounts) >= 2

    def act() -> None:
        world.json("trade", "BTC/USD", "buy", "--usd", "1000")
        world.settle()
        before = rows(world)
        assert set(before) >= set(accounts)
        user = accounts[0].split(":")[1]
        done = world.json("flatten", user, "--instrument", "BTC/USD")
        assert {copy["account"] for copy in done["copies"]} == {accounts[0]}
        assert done["summary"]["placed"] == 1
        modes = {u["user_id"]: u.get("instruments", {}).get("modes") for u in world.users()}
        assert modes[user] == {"BTC/USD": "close_only"}, "no entry follows"
        world.settle()
        after = rows(world, user)
        assert set(after) == {accounts[0]}
        assert D(after[accounts[0]]["actual"]) == 0
        assert D(after[accounts[0]]["causes"]["by_hand"]) == -D(before[accounts[0]]["actual"])
        assert world.json("reconcile", "--repair", "all")["signals"] == []  # it was the operator's will
        held = {row["account"] for row in world.json("positions")}
        assert accounts[1] in held
        assert accounts[0] not in held
        text = world.command("drift")
        assert text.code == 0
        assert "by_hand" in text.out
        assert "nothing to do" in world.command("reconcile").out
        assert world.json("flatten", user)["signals"] == []
        told = world.command("flatten", accounts[1].split(":")[1]).out
        assert "; the whole copied position (of " in told, "the master is not out, and the detail is told apart"

    if with_worker:
        with world.worker():
            act()
    else:
        act()


def test_after_one_instrument_is_flattened_no_entry_follows_in_it(world: World) -> None:
    with world.worker():
        world.json("trade", "BTC/USD", "buy", "--usd", "1000")
        world.settle()
        world.json("flatten", "alice_smith", "--instrument", "BTC/USD")
        done = world.json("trade", "BTC/USD", "buy", "--usd", "1000")  # at once: the files have hardly been read
        copies = {copy["account"]: copy for copy in done["copies"]}
        assert (copies["kraken:alice_smith"]["state"], copies["kraken:alice_smith"]["reason"]) == (
            "skipped", "instrument_mode",
        )  # fmt: skip
        assert copies["kraken:bob_jones"]["state"] != "skipped"
        other = world.json("trade", "ETH/USD", "buy", "--usd", "1000")
        assert {copy["account"]: copy["state"] for copy in other["copies"]}["kraken:alice_smith"] != "skipped"


def test_a_file_that_cannot_be_written_keeps_nothing_from_being_closed(world: World) -> None:
    world.json("trade", "BTC/USD", "buy", "--usd", "1000")
    world.settle()
    done = world.command("flatten", "alice_smith", "--instrument", "XXBTZUSD", "--json")
    assert done.code == 1
    assert "could not be written into its file: --instrument is XXBTZUSD" in done.json["notes"][0]
    assert done.json["summary"]["placed"] == 1
    world.settle()
    assert "kraken:alice_smith" not in {row["account"] for row in world.json("positions")}


@pytest.mark.parametrize("with_worker", [True, False], ids=["worker", "alone"])
def test_writing_off_finds_nothing_where_all_is_there(world: World, with_worker: bool) -> None:
    def act() -> None:
        world.json("trade", "BTC/USD", "buy", "--usd", "1000")
        world.settle()
        done = world.json("reconcile", "alice_smith", "--write-off")
        assert (done["written_off"], done["notes"], done["signals"]) == ([], [], [])
        refused = world.command("reconcile", "--write-off", "--json")
        assert refused.code == 1
        assert "one follower at a time" in refused.json["message"]

    if with_worker:
        with world.worker():
            act()
    else:
        act()


def test_who_is_not_there_and_what_cannot_be_repaired_is_said(shared: tuple[World, Program]) -> None:
    world, _ = shared
    done = world.command("drift", "nobody", "--json")
    assert (done.code, done.err) == (1, "")
    assert "'nobody'" in done.json["message"]
    assert world.command("reconcile", "--repair", "everything", "--json").code == 2
    assert "INSTRUMENT" not in world.command("flatten", "--help").err
