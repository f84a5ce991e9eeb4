"""`top`: what it shows with a worker and without one, and what it does when nobody sits at a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import select

from console_world import Program, World, wait_until


def test_without_a_worker_it_shows_what_the_ledger_has(world: World) -> None:
    assert "no accounts yet" in world.command("top").out
    world.json("trade", "BTC/USD", "buy", "--usd", "1000")
    seen = world.json("top")
    assert seen["worker"] == "not running"
    rows = {row["account"]: row for row in seen["accounts"]}
    assert rows["kraken:alice_smith"]["positions"] == 1
    assert rows["kraken:alice_smith"]["last"]["state"] == "filled"
    assert rows["kraken:carol_small"]["last"]["state"] == "skipped"
    done = world.command("top")
    assert done.code == 0
    assert "\x1b" not in done.out, "no colours and no cursor moves in a pipe"
    assert "buy BTC/USD filled" in done.out
    assert " placed " in done.out, "what the signal tells of an order that may also be changed or over"


def test_with_a_worker_it_shows_lanes_and_modes(shared: tuple[World, Program]) -> None:
    world, worker = shared
    mark = worker.mark()
    world.json("disarm", "bob_jones")
    worker.line("bob_jones: mode: active -> disarmed", after=mark)
    seen = world.json("top")
    assert seen["worker"] == "running"
    rows = {row["account"]: row for row in seen["accounts"]}
    assert rows["kraken:bob_jones"]["mode"] == "disarmed"
    assert rows["kraken:dave_disabled"]["mode"] == "disabled"
    assert rows["kraken:master"]["lane"] == "ready"
    out = world.command("top", "--once").out
    assert "paper worker running; strategy none; kill switch off" in out
    world.json("kill")
    assert "kill switch halt" in world.command("top").out
    world.json("unkill")


def test_who_needs_a_look_comes_first(world: World) -> None:
    world.json("trade", "BTC/USD", "buy", "--usd", "1000")
    world.change_user("bob_jones", mode="disarmed")
    world.json("trade", "BTC/USD", "sell", "--all", "--request-id", "out")
    seen = world.json("top")
    assert (seen["accounts"][0]["account"], seen["accounts"][0]["lane"]) == ("kraken:bob_jones", "held")
    assert seen["held_exits"] == 1
    assert "1 exits held" in world.command("top").out


def test_in_a_terminal_it_stays_and_ends_at_once(world: World) -> None:
    world.json("trade", "BTC/USD", "buy", "--usd", "1000")
    pid, terminal = pty.fork()
    if pid == 0:  # the command, with a terminal of its own
        import signal
        import sys

        signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests in the background has it ignored
        os.chdir(world.root)
        os.execve(
            sys.executable, [sys.executable, "-m", "copytrade", "top", "--every", "0.2"],
            {**world.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"},
        )  # fmt: skip
    seen = bytearray()

    def read() -> bool:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if ready:
            with contextlib.suppress(OSError):  # the other end is gone
                seen.extend(os.read(terminal, 1 << 16))
        return seen.count(b"kraken:alice_smith") >= 2

    try:
        wait_until(read, "two looks")
        os.write(terminal, b"\x03")

        def ended() -> tuple[int, int] | None:
            read()
            found = os.waitpid(pid, os.WNOHANG)
            return found if found[0] else None

        assert wait_until(ended, "the end") == (pid, 0)
    finally:
        os.close(terminal)
