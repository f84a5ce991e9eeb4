"""The service as a user has it: a folder with their files, commands and a worker as processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Self

from console_fork import REPOSITORY, Forked

from copytrade.ledger.reader import LedgerReader
from copytrade.simulator.kraken import KrakenSimulator
from copytrade.simulator.server import ServerThread

WAIT_S = 60.0  # a bound for what has gone wrong; what goes right takes a few seconds even on a busy machine

# A price that stands still and a venue that answers and fills at once: figures come out exact.
PAPER: dict[str, Any] = {
    "mode": "paper",
    "master": {"strategy": "none"},
    "paper": {"volatility": 0, "fill_delay_ms": 0, "reply_delay_ms": 0},
}
FIRST_NAMES = {"alice_smith": "ALICE", "bob_jones": "BOB", "carol_small": "CAROL", "dave_disabled": "DAVE"}


@dataclass(frozen=True, slots=True)
class Done:
    """A process that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON value and nothing else."""
        try:
            return json.loads(self.out)
        except ValueError:
            raise AssertionError(f"not one JSON value on standard output: {self}") from None


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> Any:
    """What the condition gives once it is true; fails the test naming `what` when it never is."""
    give_up_at = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < give_up_at, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


class Program:
    """A process with its output as it comes, line by line. Ended with the `with` block at the latest."""

    def __init__(self, process: subprocess.Popen[str] | Forked) -> None:
        self.process = process
        self.out: list[str] = []
        self.err: list[str] = []
        self._news = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str], lines: list[str]) -> None:
        for line in stream:
            with self._news:
                lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def line(self, words: str, after: int = 0) -> str:
        """Wait for a line of standard output with these words in it, at or behind the line number `after`."""
        give_up_at = time.monotonic() + WAIT_S
        with self._news:
            while True:
                found = next((line for line in self.out[after:] if words in line), None)
                if found is not None:
                    return found
                ended = self.process.poll() is not None and not any(r.is_alive() for r in self._readers)
                if ended or time.monotonic() > give_up_at:
                    shown = "\n".join([*self.out, "-- errors:", *self.err])
                    raise AssertionError(f"no line with {words!r} came:\n{shown}")
                self._news.wait(0.1)

    def mark(self) -> int:
        """The number of lines so far, for `line(…, after=…)`."""
        with self._news:
            return len(self.out)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> Done:
        """Send a signal, wait for the end, and give everything it wrote."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> Done:
        """Wait for the end by itself."""
        self.process.wait(WAIT_S)
        for reader in self._readers:
            reader.join(WAIT_S)
        return Done(self.process.returncode, "\n".join(self.out), "\n".join(self.err))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(WAIT_S)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


class World:
    """One user's folder: `config/`, `state/`, `.env` and environment."""

    def __init__(self, root: Path, settings: Mapping[str, Any] | None = PAPER) -> None:
        self.root = root
        self.state = root / "state"
        self.config = root / "config" / "copytrade.yaml"
        self.users_dir = root / "config" / "users"
        self.users_file = self.users_dir / "retail_kraken.json"
        self.users_dir.mkdir(parents=True)
        self.users_file.write_text((REPOSITORY / "config/users/retail_kraken.json").read_text())
        if settings is not None:
            self.set_settings(settings)
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(root), "PYTHONPATH": str(REPOSITORY)}

    # -- files -----------------------------------------------------------------------------------------------------

    def set_settings(self, settings: Mapping[str, Any]) -> None:
        """Without the web console, which has tests of its own, unless the settings speak of it."""
        settings = {"console": {"enabled": False}, **settings}
        replace_file(self.config, json.dumps(settings, indent=2))  # JSON is YAML

    def users(self) -> list[dict[str, Any]]:
        return list(json.loads(self.users_file.read_text()))

    def change_user(self, user_id: str, **fields: Any) -> None:
        users = self.users()
        for user in users:
            if user["user_id"] == user_id:
                user.update(fields)
        replace_file(self.users_file, json.dumps(users, indent=2))

    def settle(self) -> None:
        """Wait until every order is at its end. Looks into the file itself: a process for every look is slow."""
        self._until(lambda ledger: not ledger.open_orders(), "every order to come to its end")

    def until_flat(self) -> None:
        """Wait until nobody holds anything."""
        self._until(lambda ledger: not ledger.positions(), "everybody to be flat")

    def _until(self, condition: Callable[[LedgerReader], bool], what: str) -> None:
        def look() -> bool:
            with LedgerReader(self.state / "ledger.sqlite3") as ledger:
                return condition(ledger)

        wait_until(look, what)

    # -- processes -------------------------------------------------------------------------------------------------

    def command(self, *arguments: str, **environ: str) -> Done:
        """Run `python -m copytrade …` to its end."""
        with self.start(*arguments, **environ) as program:
            return program.wait()

    def json(self, *arguments: str) -> Any:
        """What a command that must succeed prints with `--json`."""
        done = self.command(*arguments, "--json")
        assert done.code == 0, done
        return done.json

    def run(self, *arguments: str, **environ: str) -> Done:
        """Run any program to its end."""
        process = subprocess.Popen(
            arguments, cwd=self.root, env={**self.environ, **environ}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        with Program(process) as program:
            return program.wait()

    def start(self, *arguments: str, **environ: str) -> Program:
        """Start `python -m copytrade …` and leave it running. Use in a `with`."""
        return Program(Forked(["-m", "copytrade", *arguments], self.root, {**self.environ, **environ}))

    def start_worker(self, *arguments: str, **environ: str) -> Program:
        """Start `python run_master.py …`. Use in a `with`."""
        command = [str(REPOSITORY / "run_master.py"), *arguments]
        return Program(Forked(command, self.root, {**self.environ, **environ}))

    @contextlib.contextmanager
    def worker(self, *arguments: str, **environ: str) -> Iterator[Program]:
        """A worker that is ready; it is stopped and must end well."""
        with self.start_worker(*arguments, **environ) as worker:
            worker.line("copytrade is ready")
            wait_until((self.state / "worker.sock").exists, "the worker's socket")
            yield worker
            if worker.process.poll() is None:
                done = worker.end()
                assert done.code == 0, done


class LiveVenue:
    """A simulated Kraken of the test's own, and the credentials for its accounts by the names of the variables."""

    def __init__(self, cash: Mapping[str, str], **settings: Any) -> None:
        self.sim = KrakenSimulator(
            **{"seed": 11, "volatility": 0.0, "spread": Decimal(0), "rate_limits": False, **settings}
        )
        self.environ: dict[str, str] = {}
        for name, usd in cash.items():
            self.add(name, usd)

    def add(self, name: str, usd: str, **more: Any) -> None:
        made = self.sim.add_account(name, {"USD": Decimal(usd)}, **more)
        prefix = "KRAKEN_MASTER" if name == "master" else f"KRAKEN_USER_{FIRST_NAMES[name]}"
        self.environ |= {f"{prefix}_API_KEY": made.key, f"{prefix}_API_SECRET": made.secret}

    def client_ids(self, account: str | None = None) -> list[str]:
        return [order["client_id"] for order in self.sim.orders(account)]


@contextlib.contextmanager
def live_world(root: Path, cash: Mapping[str, str], **settings: Any) -> Iterator[tuple[World, LiveVenue]]:
    """A world in live mode whose Kraken is a simulated one on this machine."""
    venue = LiveVenue(cash)
    with ServerThread([venue.sim]) as server:
        world = World(root, {"mode": "live", "master": {"strategy": "none"}, **settings})
        world.environ |= {**venue.environ, "KRAKEN_BASE_URL": server.url("kraken")}
        yield world, venue


def replace_file(path: Path, text: str) -> None:
    """Write a file the way editors do: whole, in one move."""
    spare = path.with_name(f".{path.name}.new")
    spare.write_text(text)
    os.replace(spare, path)


def admin(worker: Program, call: str) -> Any:
    """Ask the paper venue that a worker carries along: `orders`, `doubles`, `accounts`."""
    line = worker.line("its orders at ")
    url = line.rpartition(" ")[2].removesuffix("/orders")
    with urllib.request.urlopen(f"{url}/{call}", timeout=WAIT_S) as reply:
        return json.loads(reply.read())
