"""A state folder that cannot be used: the worker does not start, says which file and what to do, and sends nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from console_world import REPOSITORY, World, live_world

CASH = {"master": "10000", "alice_smith": "1000"}
RUN = [sys.executable, str(REPOSITORY / "run_master.py")]
TRADE = [sys.executable, "-m", "copytrade", "trade", "BTC/USD", "buy", "--usd", "1000"]


def _random_bytes(state: Path) -> None:
    state.mkdir()
    (state / "ledger.sqlite3").write_bytes(bytes((i * 37 + 11) % 256 for i in range(9000)))


def _empty_file(state: Path) -> None:
    state.mkdir()
    (state / "ledger.sqlite3").touch()


def _folder_in_its_place(state: Path) -> None:
    (state / "ledger.sqlite3").mkdir(parents=True)


def _file_for_a_folder(state: Path) -> None:
    state.write_text("not a folder")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_random_bytes, "state/ledger.sqlite3 is damaged"),
        (_empty_file, "state/ledger.sqlite3 is damaged"),
        (_folder_in_its_place, "move that away"),
        (_file_for_a_folder, "state cannot be used"),
    ],
)
@pytest.mark.parametrize("command", [RUN, TRADE], ids=["worker", "trade"])
def test_a_ledger_that_cannot_be_trusted_stops_the_start(
    tmp_path: Path, damage: object, words: str, command: list[str]
) -> None:
    with live_world(tmp_path, CASH) as (world, venue):
        damage(world.state)  # type: ignore[operator]
        _refused(world, venue.sim.orders, command, words)


@pytest.mark.parametrize("kib", [0, 40], ids=["from the first byte", "after a while"])
def test_a_full_disk_stops_the_start(tmp_path: Path, kib: int) -> None:
    """A limit on the size of files stands for the disk: both fail the write that is one too many."""
    with live_world(tmp_path, CASH) as (world, venue):
        limited = ["sh", "-c", f'ulimit -f {kib * 2}; exec "$@"', "sh", *RUN]
        _refused(world, venue.sim.orders, limited, "state")


def test_a_read_only_folder_stops_the_start(tmp_path: Path) -> None:
    with live_world(tmp_path, CASH) as (world, venue):
        world.state.mkdir(mode=0o700)
        command = RUN
        if os.geteuid() == 0:  # to whom modes mean nothing: mount the folder read-only, for this process alone
            script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
            command = ["unshare", "-m", "sh", "-c", script, str(world.state), *RUN]
            if subprocess.run([*command[:6], "true"], capture_output=True, check=False).returncode:
                pytest.skip("this machine lets nobody mount")
        else:
            world.state.chmod(0o500)
        _refused(world, venue.sim.orders, command, "state")


def test_a_damaged_ledger_is_not_taken_for_an_empty_one(world: World) -> None:
    _random_bytes(world.state)
    for command in ("status", "signals", "positions"):
        done = world.command(command, "--json")
        assert (done.code, done.err) == (1, "")
        assert "ledger.sqlite3 is damaged" in done.json["message"]
    done = world.command("unkill", "--json")
    assert done.code == 1
    assert "the switch is lifted" in done.json["message"]
    assert world.json("kill")["kill_switch"] == "halt"


def test_a_damaged_paper_venue_is_named(world: World) -> None:
    paper = world.state / "paper"
    paper.mkdir(parents=True)
    (paper / "kraken.sqlite").write_bytes(b"not a database, and never was one" * 300)
    done = world.run(*RUN)
    assert done.code == 1
    assert "state/paper" in done.err
    assert "--state" in done.err
    assert "Traceback" not in done.err


def _refused(world: World, orders: object, command: list[str], words: str) -> None:
    done = world.run(*command)
    assert done.code == 1, done
    assert words in done.err, done
    assert "Traceback" not in done.err, done
    # One sentence or a few about what to do; the log lines beside it are JSON.
    assert [line for line in done.err.splitlines() if line and not line.startswith("{")], done
    assert orders() == []  # type: ignore[operator]
