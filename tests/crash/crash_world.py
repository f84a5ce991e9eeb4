"""The surroundings of a worker that is killed: the venues in a process of their own, and many small worlds at it.

A world is a cast (`crash_cast`: a master, its followers, one of them not enabled) with accounts, keys, files and state
of their own.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from crash_cast import FOLLOWERS, KRAKEN, MASTER_USD, NOT_ENABLED, Cast, Seat

__all__ = ["FOLLOWERS", "MASTER_USD", "NOT_ENABLED", "VenueProcess", "Workers", "World"]

REPO = Path(__file__).resolve().parents[2]
RUN_MAX_S = 240.0  # a run that takes longer hangs: longer than the worker's own waits together


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{REPO}{os.pathsep}{Path(__file__).parent}"}


class VenueProcess:
    """Simulated venues, served by a process of their own, and their admin calls. For any thread."""

    def __init__(self, volatility: str = "0", venues: Sequence[str] = ("kraken",)) -> None:
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `stop`)
        # Without limits of rate: hundreds of worlds share one address.
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "copytrade.simulator", "--venues", ",".join(venues), "--port", "0",
                "--accounts", "1", "--no-rate-limits", "--volatility", volatility,
            ],
            stdout=subprocess.PIPE, stderr=self._complaints, cwd=REPO, env=_environment(),
        )  # fmt: skip
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulator did not start: {self._process.wait()} {self.complaints()}")
        self.urls: dict[str, str] = {name: venue["url"] for name, venue in json.loads(line)["venues"].items()}

    def call(self, verb: str, path: str, body: Mapping[str, Any] | None = None, venue: str = "kraken") -> Any:
        """One admin call; raises `RuntimeError` for any status but 200."""
        place = urlsplit(self.urls[venue])
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30.0)
        try:
            connection.request(verb, f"/sim/{path}", None if body is None else json.dumps(body))
            reply = connection.getresponse()
            text = reply.read()
        finally:
            connection.close()
        if reply.status != 200:
            raise RuntimeError(f"{verb} {path}: {reply.status} {text!r}")
        return json.loads(text)

    def complaints(self) -> str:
        """The end of what the simulator wrote to standard error."""
        size = self._complaints.seek(0, os.SEEK_END)
        return os.pread(self._complaints.fileno(), 8000, max(0, size - 8000)).decode(errors="replace")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30.0)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._complaints.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Workers:
    """Runs jobs in processes of their own (see `crash_worker`). For any thread."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("crash_worker.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPO, env=_environment()
        )
        self._waiting: dict[int, queue.SimpleQueue[int]] = {}
        self._lock = threading.Lock()
        self._jobs = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def run(self, job: Mapping[str, Any]) -> int:
        """Do one job and return its process's exit status, -9 for a process that was killed."""
        assert self._process.stdin is not None
        answer: queue.SimpleQueue[int] = queue.SimpleQueue()
        with self._lock:
            self._jobs += 1
            number = self._jobs
            self._waiting[number] = answer
            self._process.stdin.write(json.dumps({**job, "job": number}).encode() + b"\n")
            self._process.stdin.flush()
        return answer.get(timeout=RUN_MAX_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            self._waiting.pop(answer["job"]).put(answer["code"])

    def stop(self) -> None:
        """End the parent, which kills whatever still runs."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30.0)
        self._reader.join(30.0)
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@dataclass
class World:
    """One master and its followers at the venue, and the folder that their worker works in."""

    name: str
    folder: Path
    venue: VenueProcess
    steps: Sequence[Mapping[str, Any]]
    cast: Cast = KRAKEN
    environ: dict[str, str] = field(default_factory=dict, repr=False)
    more: dict[str, Any] = field(default_factory=dict)  # what every run of this world is told beside its steps

    @classmethod
    def make(
        cls, name: str, parent: Path, venue: VenueProcess, steps: Sequence[Mapping[str, Any]], cast: Cast = KRAKEN
    ) -> World:
        """Open the accounts, write the files."""
        world = cls(name, parent / name, venue, steps, cast)
        users = world.folder / "users"
        users.mkdir(parents=True)
        (world.folder / "copytrade.yaml").write_text(cast.settings())
        for at in cast.venues:
            world.environ[f"{at.upper()}_BASE_URL"] = venue.urls[at]
        for seat in cast.seats:
            world._open(seat)
        for member in cast.members:
            (users / f"{member.user}.json").write_text(json.dumps(member.entries()))
        return world

    def _open(self, seat: Seat) -> None:
        body = {"name": self.at_venue(seat.user), "balances": {seat.facts.currency: seat.money}}
        if seat.venue == "kraken":
            body["tier"] = "pro"
        keys = self.venue.call("POST", "accounts", body, seat.venue)
        given = {"KEY": keys["key"], "SECRET": keys["secret"], "PASSPHRASE": keys.get("passphrase")}
        self.environ |= {f"{seat.variables}_API_{part}": word for part, word in given.items() if word is not None}

    def at_venue(self, user: str) -> str:
        """The name of a user's accounts in the venues' own records."""
        return f"{self.name}.{user}"

    @property
    def ledger(self) -> Path:
        return self.folder / "state" / "ledger.sqlite3"

    def run(self, workers: Workers, **how: Any) -> int:
        """One run of the worker; `how` may have `kill`, `kill_from_outside_ms` and `blind`."""
        steps = [dict(step) for step in self.steps]
        job = {"name": self.name, "world": str(self.folder), "environ": self.environ, "steps": steps}
        return workers.run({**job, **self.more, **how})

    def fault(self, user: str, venue: str | None = None, **fault: Any) -> int:
        """Let a venue misbehave towards an account (docs/simulator.md lists the kinds); the fault's id.

        It strikes the call that places orders unless another `method` is named.
        """
        seat = self.cast.seat(user, venue)
        body = {"account": self.at_venue(user), "method": seat.facts.place, **fault}
        return int(self.venue.call("POST", "faults", body, seat.venue)["fault_id"])

    def orders(self) -> list[dict[str, Any]]:
        """Every order that the venues ever accepted from this world, by the time and order of their arrival.

        `account` is our name of the account, `user` and `venue` its parts.
        """
        found: list[dict[str, Any]] = []
        for seat in self.cast.seats:
            answer = self.venue.call("GET", f"orders?account={self.at_venue(seat.user)}", venue=seat.venue)["orders"]
            found += [{**order, "account": seat.account, "user": seat.user, "venue": seat.venue} for order in answer]
        return sorted(found, key=lambda order: (order["accepted_at_s"], order["arrival"]))

    def kills(self) -> list[str]:
        """Where this world's workers were killed, in order."""
        notes = self.folder / "kills.jsonl"
        return [json.loads(line)["at"] for line in notes.read_text().splitlines()] if notes.exists() else []

    def result(self) -> dict[str, Any]:
        """What the last run that ended by itself had to say."""
        return dict(json.loads((self.folder / "result.json").read_text()))

    def log(self) -> str:
        """The end of the workers' log, for a failed assertion."""
        path = self.folder / "worker.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(line for line in lines if "works from any address" not in line)[-4000:]
