"""Backups made while a worker trades, and what comes of them when they are put back."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from console_world import PAPER, World, admin

from copytrade.ledger.reader import LedgerReader


def restored_world(world: World, root: Path) -> World:
    """The same files of the operator, and no state."""
    (root / "config").mkdir(parents=True)
    shutil.copytree(world.root / "config", root / "config", dirs_exist_ok=True)
    other = World.__new__(World)
    other.root, other.state, other.config = root, root / "state", root / "config" / "copytrade.yaml"
    other.environ = {**world.environ, "HOME": str(root)}
    return other


def signals(folder: Path) -> list[str]:
    with LedgerReader(folder / "ledger.sqlite3") as ledger:
        return [signal["signal_id"] for signal in ledger.signals(limit=1000)][::-1]


@pytest.fixture(scope="module")
def backed(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, list[Path]]:
    """A worker that traded all the while, and the backups that were made meanwhile."""
    root = tmp_path_factory.mktemp("backed")
    world = World(root, {**PAPER, "master": {"strategy": "sample", "sample_every_s": 0.2}})
    made = []
    with world.worker() as worker:
        worker.line("master buys ")
        world.json("pause", "carol_small")
        for _ in range(4):
            made.append(root / world.json("backup", "backups")["backup"])
            worker.line("master ", after=worker.mark())  # it trades on
        assert admin(worker, "doubles") == {"doubles": []}
    return world, made


def test_every_backup_is_whole_and_a_beginning_of_what_came_later(backed: tuple[World, list[Path]]) -> None:
    world, made = backed
    final = signals(world.state)
    counts = []
    for folder in made:
        found = signals(folder)
        assert found == final[: len(found)]
        counts.append(len(found))
        assert folder.stat().st_mode & 0o777 == 0o700
        assert all(path.stat().st_mode & 0o077 == 0 for path in folder.rglob("*"))
    assert counts == sorted(counts)
    assert counts[-1] > counts[0] > 0
    names = {str(path.relative_to(made[0])) for path in made[0].rglob("*") if path.is_file()}
    assert {"ledger.sqlite3", "backup.json", "paper/kraken.sqlite"} <= names
    assert not any("token" in name or "sock" in name or "lock" in name for name in names)
    head = json.loads((made[0] / "backup.json").read_text())["head"]
    assert world.json("audit", "--expect", head)["expected"]["at"] == int(head.partition(":")[0])


def test_a_restored_state_starts_halted_and_goes_on_once_lifted(
    backed: tuple[World, list[Path]], tmp_path: Path
) -> None:
    world, made = backed
    other = restored_world(world, tmp_path / "other")
    other.config.write_text(json.dumps({**PAPER, "console": {"enabled": False}}))
    result = other.json("restore", str(made[1]))
    assert result["kill_switch"] == "halt"
    assert signals(other.state) == signals(made[1])
    assert other.json("audit", "--expect", result["head"])["ok"]
    with other.worker() as worker:
        worker.line("the kill switch is on")
        refused = other.command("trade", "BTC/USD", "buy", "--usd", "100", "--json")
        assert (refused.code, refused.json["reason"]) == (1, "kill_switch")
        other.json("unkill", "--place-exits")
        assert other.json("trade", "BTC/USD", "buy", "--usd", "100")["summary"]["failed"] == 0
        assert admin(worker, "doubles") == {"doubles": []}
    assert other.json("audit")["ok"]


def test_a_state_that_is_there_is_set_aside_and_nonces_do_not_fall(
    backed: tuple[World, list[Path]], tmp_path: Path
) -> None:
    world, made = backed
    other = restored_world(world, tmp_path / "other")
    shutil.copytree(world.state, other.state)
    nonces = {path.name: path.read_bytes() for path in (other.state / "nonces").glob("*.nonce")}
    assert nonces
    before = signals(other.state)
    refused = other.command("restore", str(made[0]))
    assert refused.code == 1
    assert "--replace" in refused.err
    assert signals(other.state) == before
    other.json("restore", str(made[0]), "--replace")
    assert signals(other.state) == signals(made[0])
    (aside,) = other.state.glob("before-restore-*")
    assert signals(aside) == before
    assert {path.name: path.read_bytes() for path in (other.state / "nonces").glob("*.nonce")} == nonces


def test_nothing_is_restored_under_a_running_worker(backed: tuple[World, list[Path]], tmp_path: Path) -> None:
    made = backed[1]
    other = World(tmp_path / "other")
    with other.worker():
        refused = other.command("restore", str(made[0]), "--replace", "--json")
        assert (refused.code, "stop it first" in refused.json["message"]) == (1, True)
        assert other.json("status")["kill_switch"] == "off"


def cut(folder: Path) -> None:
    path = folder / "ledger.sqlite3"
    path.write_bytes(path.read_bytes()[:-100])


def flip(folder: Path) -> None:
    path = folder / "paper" / "kraken.sqlite"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def lose(folder: Path) -> None:
    (folder / "console_audit.jsonl").unlink()


def escape(folder: Path) -> None:
    manifest = json.loads((folder / "backup.json").read_text())
    manifest["files"]["../outside"] = "0" * 64
    (folder / "backup.json").write_text(json.dumps(manifest))


def no_manifest(folder: Path) -> None:
    (folder / "backup.json").unlink()


@pytest.mark.parametrize("spoil", [cut, flip, lose, escape, no_manifest], ids=lambda spoil: spoil.__name__)
def test_a_spoiled_backup_is_refused_whole(
    backed: tuple[World, list[Path]], tmp_path: Path, spoil: Any
) -> None:
    world, made = backed
    other = restored_world(world, tmp_path / "other")
    folder = Path(shutil.copytree(made[3], tmp_path / "copy"))
    spoil(folder)
    refused = other.command("restore", str(folder), "--json")
    assert refused.code == 1
    assert "nothing was restored" in refused.json["message"]
    assert not (other.state / "ledger.sqlite3").exists()


def test_a_ledger_that_was_tampered_with_is_not_backed_up(backed: tuple[World, list[Path]], tmp_path: Path) -> None:
    world, _ = backed
    other = restored_world(world, tmp_path / "other")
    shutil.copytree(world.state, other.state)
    with sqlite3.connect(other.state / "ledger.sqlite3") as connection:
        connection.execute("UPDATE events SET at = '2020-01-01T00:00:00+00:00' WHERE seq = 2")
    connection.close()
    done = other.command("backup", "backups", "--json")
    assert (done.code, "event 2 " in done.json["message"]) == (1, True)
    assert list((other.root / "backups").iterdir()) == []


def test_the_oldest_go(backed: tuple[World, list[Path]], tmp_path: Path) -> None:
    world, made = backed
    folder = tmp_path / "backups"
    shutil.copytree(made[0].parent, folder)
    (folder / "copytrade-notes").mkdir()  # somebody's own
    done = world.json("backup", str(folder), "--keep", "2")
    left = sorted(path.name for path in folder.iterdir())
    assert left == sorted([made[3].name, Path(done["backup"]).name, "copytrade-notes"])
    assert len(done["removed"]) == 3


def test_no_ledger_yet(tmp_path: Path) -> None:
    done = World(tmp_path).command("backup", "backups", "--json")
    assert (done.code, "no ledger" in done.json["message"]) == (1, True)


def test_two_backups_at_once_do_not_meet(backed: tuple[World, list[Path]], tmp_path: Path) -> None:
    world, _ = backed
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(world.command("backup", str(tmp_path / "b")).code))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = list((tmp_path / "b").glob("copytrade-*"))
    assert len(made) == results.count(0) >= 1
    assert not list((tmp_path / "b").glob(".*"))
