"""The control socket and the folder it is in: who may reach it, and what happens when something is wrong with it."""

from __future__ import annotations

import json
import signal
import socket
import stat
import tempfile
from pathlib import Path

import pytest
from console_world import Program, World, wait_until

from copytrade.console.control import ask, socket_path


def test_folder_and_files_are_for_their_owner_alone(world: World) -> None:
    world.state.mkdir(mode=0o755)
    with world.worker():
        world.json("trade", "BTC/USD", "buy", "--usd", "1000")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [world.state, *world.state.rglob("*")]}
        folders = {path.name for path in [world.state, *world.state.rglob("*")] if path.is_dir()}
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}
    assert {"state", "nonces", "paper"} == folders
    assert {"worker.sock", "worker.lock", "ledger.sqlite3"} <= set(modes)


def test_a_state_folder_too_deep_for_a_socket_works_all_the_same(world: World) -> None:
    deep = world.root / "a-folder-with-a-rather-long-name" / ("d" * 90) / "state"
    with tempfile.TemporaryDirectory() as temporary:
        world.environ["TMPDIR"] = temporary
        with world.start_worker("--state", str(deep)) as worker:
            worker.line("copytrade is ready")
            place = wait_until(lambda: list(Path(temporary).glob("copytrade-*/*.sock")), "the socket")[0]
            assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
            result = world.json("check", "--state", str(deep))
            assert result["note"] == "asked the running worker"
            assert worker.end().code == 0
        assert not place.exists()
    assert (deep / "ledger.sqlite3").exists()


def test_a_socket_left_by_a_worker_that_died_is_in_nobodys_way(world: World) -> None:
    with world.worker() as worker:
        worker.send(signal.SIGKILL)
        worker.wait()
    assert (world.state / "worker.sock").is_socket()
    assert world.json("status")["worker"] == "not running"
    assert world.json("trade", "BTC/USD", "buy", "--usd", "1000")["summary"]["placed"] == 2
    with world.worker():
        assert world.json("status")["worker"] == "running"


@pytest.mark.parametrize(
    "line",
    [b"\n", b"not json\n", b"[]\n", b"null\n", b'{"do": "nonsense"}\n', b'{"do": ["trade"]}\n', b"\xff\xfe\n",
     b'{"do": "trade"}\n', b'{"do": "trade", "side": "buy"}\n'],
)  # fmt: skip
def test_a_line_that_is_no_command_is_answered_so(shared: tuple[World, Program], line: bytes) -> None:
    world, _ = shared
    with _connect(world) as client:
        client.sendall(line)
        answer = json.loads(client.makefile("rb").readline())
    assert answer["error"] == "bad_request"
    assert answer["message"]


def test_a_caller_that_goes_away_harms_nobody(shared: tuple[World, Program]) -> None:
    world, worker = shared
    for sent in (b"", b'{"do": "che', b'{"do": "check"}\n'):
        with _connect(world) as client:
            client.sendall(sent)
    assert world.json("check", "--user", "master")["would_start"]
    assert not [line for line in worker.err if "rror" in line or "Traceback" in line]


def test_a_worker_that_stands_still_is_waited_for_only_so_long(shared: tuple[World, Program]) -> None:
    world, worker = shared
    worker.send(signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            ask(world.state / "worker.sock", {"do": "check"}, 0.1)
        assert world.json("status")["kill_switch"] == "off"  # reading needs no worker
        assert world.json("kill")["kill_switch"] == "halt"  # and the switch does not, above all
    finally:
        worker.send(signal.SIGCONT)
    worker.line("kill switch: off -> halt")
    world.json("unkill")
    worker.line("kill switch: halt -> off")


def test_a_full_queue_at_the_socket_is_told_from_no_worker(tmp_path: Path) -> None:
    path = tmp_path / "worker.sock"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(str(socket_path(path)))
        server.listen(0)
        first.connect(str(path))
        answer = ask(path, {"do": "check"}, 1.0)
    assert answer is not None
    assert "takes no commands now" in answer["message"]
    assert "nothing was asked of it" in answer["message"]
    assert "stopped before it answered" not in answer["message"]
    nobody = ask(tmp_path / "nothing.sock", {"do": "check"}, 1.0)
    assert nobody is None


def _connect(world: World) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(str(world.state / "worker.sock"))
    return client
