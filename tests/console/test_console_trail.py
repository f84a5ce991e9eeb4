"""The kill switch by command, by file and from afar, each with who and from where; days of equity under seal."""

from __future__ import annotations

import contextlib
import getpass
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from console_world import World, wait_until

from copytrade.ledger.reader import LedgerReader

SWITCH = "kill switch seen"


def acts(world: World) -> list[dict[str, Any]]:
    """What the ledger knows of operators, oldest first."""
    with LedgerReader(world.state / "ledger.sqlite3") as ledger:
        return ledger.operator_acts()[::-1]


def seen(world: World, state: str) -> list[dict[str, Any]]:
    return [act for act in acts(world) if act["what"] == SWITCH and act["target"] == state]


def who(act: dict[str, Any]) -> tuple[str, str, str]:
    return act["what"], act["by"], act["source"]


def test_touching_the_file_is_in_the_trail_with_its_owner(world: World) -> None:
    me = getpass.getuser()
    with world.worker():
        (world.state / "SYSTEM_DISABLED").touch()
        wait_until(lambda: seen(world, "halt"), "the switch to be seen")
        (world.state / "SYSTEM_DISABLED").write_text("close_only")
        wait_until(lambda: seen(world, "close_only"), "the other word to be seen")
        (world.state / "SYSTEM_DISABLED").unlink()
        wait_until(lambda: seen(world, "off"), "the end of it to be seen")
    assert [(*who(act), act["target"]) for act in acts(world) if act["what"] == SWITCH] == [
        (SWITCH, me, "the file SYSTEM_DISABLED", "halt"),
        (SWITCH, me, "the file SYSTEM_DISABLED", "close_only"),
        (SWITCH, "", "seen by the worker", "off"),
    ]
    (world.state / "SYSTEM_DISABLED").touch()  # while nobody runs
    with world.worker():
        wait_until(lambda: len(seen(world, "halt")) == 2, "it to be seen at the next start")
    assert world.json("audit")["ok"]


def test_the_environment_is_named_as_where_it_came_from(world: World) -> None:
    world.environ["SYSTEM_DISABLED"] = "true"
    with world.worker():
        wait_until(lambda: seen(world, "halt"), "the switch to be seen")
    assert who(seen(world, "halt")[0]) == (SWITCH, "", "the environment, SYSTEM_DISABLED")


def test_commands_are_in_the_trail_with_who_came_from_where(world: World) -> None:
    me = getpass.getuser()
    with world.worker():
        world.json("kill")
        wait_until(lambda: seen(world, "halt"), "the worker to have seen it before it is lifted")
        world.environ |= {"SSH_CONNECTION": "203.0.113.9 50022 10.0.0.1 22", "SUDO_USER": "olga"}
        world.json("unkill")
        world.json("pause", "alice_smith")
        wait_until(lambda: [a["what"] for a in acts(world)].count("mode") == 1, "the acts to be in the chain")
        wait_until(lambda: seen(world, "off"), "the worker to have seen that it was lifted")
    found = [who(act) for act in acts(world) if act["record"]]
    commands = [("kill", me, "command line"), ("unkill", f"{me} (sudo by olga)", "command line, ssh from 203.0.113.9")]
    assert found[:2] == commands
    assert found[2][::2] == ("mode", "command line, ssh from 203.0.113.9")
    assert [act["target"] for act in acts(world) if act["what"] == SWITCH] == ["halt", "off"]


# -- days of equity --------------------------------------------------------------------------------------------------


@pytest.fixture
def sealed(world: World) -> World:
    """A folder whose worker has sealed three days of readings."""
    with world.worker():
        pass
    since = datetime.now(UTC).replace(hour=12) - timedelta(days=3)
    rows = [
        ("kraken:alice_smith", (since + timedelta(hours=6 * n)).isoformat(), str(1000 + n), "1000", "USD")
        for n in range(8)
    ]
    with contextlib.closing(sqlite3.connect(world.state / "ledger.sqlite3")) as connection, connection:
        connection.executemany("INSERT INTO equity_history VALUES (?, ?, ?, ?, ?)", rows)
    with world.worker():
        wait_until(lambda: any(a["what"] == "equity history sealed" for a in acts(world)), "the days to be sealed")
    return world


def test_days_that_are_over_are_sealed_once_and_checked(sealed: World) -> None:
    with sealed.worker():
        pass  # a second start seals nothing twice
    done = sealed.json("audit")
    assert done["ok"]
    days = [json.loads(a["target"])["day"] for a in acts(sealed) if a["what"] == "equity history sealed"]
    assert (len(days), len(set(days)), done["equity"]["days"], done["equity"]["until"]) == (3, 3, 3, days[-1])
    assert any("since the last sealed day" in line for line in done["not_covered"])
    text = sealed.command("audit").out
    assert "history of equity: 3 days are as they were sealed" in text
    assert "not covered:" in text
    assert sealed.json("audit", "--quick")["equity"] is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE equity_history SET equity = '999999' WHERE equity = '1001'",
        "DELETE FROM equity_history WHERE equity = '1002'",
    ],
)
def test_a_reading_that_was_changed_or_taken_out_is_told(sealed: World, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(sealed.state / "ledger.sqlite3")) as connection, connection:
        assert connection.execute(statement).rowcount == 1
    done = sealed.command("audit", "--json")
    assert (done.code, done.json["chain"], done.json["replay"]) == (1, [], [])
    assert "not those" in done.json["equity"]["problems"][0]
    assert "history of equity: BROKEN" in sealed.command("audit").out
