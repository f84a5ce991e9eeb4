"""`audit`: what operators did is in the chain, however they did it; what is done to the files later is told."""

from __future__ import annotations

import contextlib
import getpass
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from console_world import World, replace_file, wait_until

from copytrade.ledger.reader import LedgerReader

TRAIL = "console_audit.jsonl"


def acts(world: World) -> list[dict[str, Any]]:
    """What the ledger knows of operators, oldest first."""
    with LedgerReader(world.state / "ledger.sqlite3") as ledger:
        return ledger.operator_acts()[::-1]


def edit(world: World, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(world.state / "ledger.sqlite3")) as connection, connection:
        assert connection.execute(statement).rowcount > 0


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A folder in which a worker traded and an operator acted; nobody runs there any more."""
    world = World(tmp_path_factory.mktemp("audited"))
    assert world.command("kill").code == 0  # before there is a ledger
    assert world.command("unkill").code == 0
    with world.worker():
        world.json("trade", "BTC/USD", "buy", "--usd", "500")
        world.json("pause", "alice_smith")
        world.json("kill", "--close-only")
        wait_until(lambda: any(a["target"] == "close_only" for a in acts(world)), "the switch to be seen")
        (world.state / "SYSTEM_DISABLED").unlink()  # by hand
        wait_until(lambda: acts(world)[-1].get("target") == "off", "the switch to be seen off")
    world.settle()
    return world


@pytest.fixture
def world(audited: World, tmp_path: Path) -> World:
    """A copy of that folder, to be spoiled."""
    root = tmp_path / "copy"
    shutil.copytree(audited.root, root)
    copy = World.__new__(World)
    copy.root, copy.state, copy.environ = root, root / "state", {**audited.environ, "HOME": str(root)}
    return copy


def test_every_act_is_in_the_chain_with_who_and_how(audited: World) -> None:
    found = [(a["what"], a["outcome"]) for a in acts(audited) if a["what"] not in ("kill switch seen", "files changed")]
    assert found == [("kill", "done"), ("unkill", "done"), ("trade", "done"), ("mode", "done"), ("kill", "done")]
    by_hand = [a["target"] for a in acts(audited) if a["what"] == "kill switch seen"]
    assert by_hand == ["close_only", "off"]
    files = [a["target"] for a in acts(audited) if a["what"] == "files changed"]
    assert any("kraken:alice_smith" in line and "paused" in line for line in files), files
    for act in acts(audited):
        known = act["record"] or act["source"] == "the file SYSTEM_DISABLED"  # a file has an owner
        assert act["by"] == (getpass.getuser() if known else "")
    mode = next(a for a in acts(audited) if a["what"] == "mode")
    assert json.loads(mode["target"])["accounts"] == ["kraken:alice_smith"]


def test_a_record_that_is_whole_passes_and_its_head_is_found_again(audited: World) -> None:
    done = audited.json("audit")
    assert done["ok"]
    assert (done["operators"]["lines"], done["operators"]["chained"]) == (5, 5)
    assert done["head"].startswith(f"{done['events']}:")
    text = audited.command("audit", "--expect", done["head"])
    assert text.code == 0
    assert f"head: {done['head']}" in text.out
    assert f"found at event {done['events']}" in text.out


def test_a_head_of_yesterday_is_found_tomorrow(world: World) -> None:
    head = world.json("audit")["head"]
    with world.worker():
        world.json("kill")
        done = world.json("audit", "--expect", head)  # beside the worker
    assert done["expected"]["at"] == int(head.partition(":")[0])
    assert world.json("audit")["events"] > done["expected"]["at"]
    assert world.json("audit")["ok"]


def test_a_head_that_was_never_there_is_told(audited: World) -> None:
    done = audited.command("audit", "--expect", "12:" + "ab" * 32)
    assert done.code == 1
    assert "NOT FOUND" in done.out


def test_a_head_that_is_none_is_wrong_usage(audited: World) -> None:
    done = audited.command("audit", "--expect", "abc", "--json")
    assert (done.code, done.json["error"]) == (2, "bad_request")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE events SET body = replace(body, 'close_only', 'halt') WHERE name = 'OperatorActed'", "is not what"),
        ("UPDATE events SET at = '2020-01-01T00:00:00+00:00' WHERE seq = 2", "event 2 "),
        ("DELETE FROM events WHERE seq = 3", "event 3 is missing"),
        ("DELETE FROM events WHERE seq > 4", "ends with event 4"),
        ("UPDATE orders SET filled = '9' WHERE role = 'master'", "ended orders"),
    ],
)
def test_what_is_done_to_the_ledger_is_told(world: World, statement: str, words: str) -> None:
    edit(world, statement)
    done = world.command("audit", "--json")
    assert done.code == 1
    told = [*done.json["chain"], *done.json["replay"]]
    assert any(words in problem for problem in told), told
    text = world.command("audit")
    assert (text.code, "BROKEN" in text.out) == (1, True)
    quick = world.command("audit", "--quick", "--json")
    assert quick.json["replay"] is None
    assert quick.code == (1 if "events" in statement else 0)  # a table is not in the chain


def drop_first(lines: list[str]) -> list[str]:
    return lines[1:]


def drop_last(lines: list[str]) -> list[str]:
    return lines[:-1]


def change_one(lines: list[str]) -> list[str]:
    return [line.replace('"halt"', '"close_only"') for line in lines]


@pytest.mark.parametrize("spoil", [drop_first, drop_last, change_one], ids=lambda spoil: spoil.__name__)
def test_what_is_done_to_the_operators_file_is_told(world: World, spoil: Any) -> None:
    trail = world.state / TRAIL
    lines = trail.read_text().splitlines(keepends=True)
    assert spoil(lines) != lines
    trail.write_text("".join(spoil(lines)))
    done = world.command("audit", "--json")
    assert (done.code, done.json["chain"]) == (1, [])
    assert done.json["operators"]["problems"]


def test_an_operators_file_that_is_gone_is_told_and_the_next_run_says_so_for_good(world: World) -> None:
    (world.state / TRAIL).unlink()
    done = world.command("audit", "--json")
    assert done.code == 1
    assert "is gone" in done.json["operators"]["problems"][0]
    with world.worker():
        world.json("unkill")
        wait_until(lambda: acts(world)[-1]["what"] == "unkill", "the act to be in the chain")
    assert [a["what"] for a in acts(world)][-2:] == ["operators' record broken", "unkill"]
    assert world.command("audit").code == 1  # and mending it does not make it forgotten


def test_a_line_that_is_garbage_stops_nothing(world: World) -> None:
    with (world.state / TRAIL).open("a") as trail:
        trail.write("garbage\n[1]\nhalf a li")
    with world.worker():
        wait_until(lambda: acts(world)[-1]["what"] == "a line that cannot be read", "the line to be told")
    assert world.command("audit").code == 1


def test_a_ledger_from_before_the_chain_asks_for_a_start(world: World) -> None:
    edit(world, "UPDATE meta SET schema_version = 8")
    with contextlib.closing(sqlite3.connect(world.state / "ledger.sqlite3")) as connection, connection:
        connection.execute("DROP INDEX events_operator")
        connection.execute("ALTER TABLE events DROP COLUMN chain")
    done = world.command("audit")
    assert done.code == 1
    assert "start the worker once" in done.err
    with world.worker():
        pass
    assert world.command("audit").code == 0


def test_no_ledger_yet(tmp_path: Path) -> None:
    world = World(tmp_path)
    done = world.command("audit", "--json")
    assert (done.code, "no ledger" in done.json["message"]) == (1, True)


def test_an_import_of_many_is_told_in_part(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.worker():
        more = [{**world.users()[0], "user_id": f"follower_{n}"} for n in range(60)]
        replace_file(world.users_dir / "more.json", json.dumps(more))
        wait_until(lambda: any(a.get("target", "").startswith("and ") for a in acts(world)), "the import to be told")
    assert sum(a["what"] == "files changed" for a in acts(world)) == 51
