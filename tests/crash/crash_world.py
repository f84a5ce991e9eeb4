"""The surroundings of a worker that is killed: the venue in a process of its own, and many small worlds at it.

A world is one master and four followers (one of them not enabled) with accounts, keys, files and state of their own.
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

REPO = Path(__file__).resolve().parents[2]
RUN_MAX_S = 240.0  # a run that takes longer hangs: longer than the worker's own waits together
MASTER_USD = "10000"
FOLLOWERS = {"alice_smith": "1000", "bob_jones": "500", "carol_white": "100"}
NOT_ENABLED = "dave_brown"

# The shortest waits that the settings allow: a look-up proves absence 2.5 + 0.1 + 0.3 s after the worker's start.
SETTINGS = """\
mode: live
master: {strategy: none}
copy: {entry_ttl_s: 600}
venues:
  kraken: {tier: pro, order_deadline_s: 2, clock_skew_max_s: 0.1, absence_settle_s: 0.3, request_timeout_s: 2}
"""


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{REPO}{os.pathsep}{Path(__file__).parent}"}


class VenueProcess:
    """The simulated Kraken, served by a process of its own, and its admin calls. For any thread."""

    def __init__(self, volatility: str = "0") -> None:
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `stop`)
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "copytrade.simulator", "--venues", "kraken", "--port", "0", "--accounts", "1",
                "--no-rate-limits", "--volatility", volatility,
            ],
            stdout=subprocess.PIPE, stderr=self._complaints, cwd=REPO, env=_environment(),
        )  # fmt: skip
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulator did not start: {self._process.wait()} {self.complaints()}")
        self.url: str = json.loads(line)["venues"]["kraken"]["url"]

    def call(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One admin call; raises `RuntimeError` for any status but 200."""
        place = urlsplit(self.url)
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
    environ: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def make(
        cls, name: str, parent: Path, venue: VenueProcess, steps: Sequence[Mapping[str, Any]], settings: str = SETTINGS
    ) -> World:
        """Open the accounts, write the files."""
        world = cls(name, parent / name, venue, steps)
        users = world.folder / "users"
        users.mkdir(parents=True)
        (world.folder / "copytrade.yaml").write_text(settings)
        world.environ["KRAKEN_BASE_URL"] = venue.url
        world._open("master", MASTER_USD, "KRAKEN_MASTER")
        for user, usd in {**FOLLOWERS, NOT_ENABLED: "1000"}.items():
            world._open(user, usd, f"KRAKEN_USER_{user.upper()}")
            entry = {
                "user_id": user, "name": user, "account_type": "retail", "broker_type": "kraken",
                "enabled": user != NOT_ENABLED, "description": "",
            }  # fmt: skip
            (users / f"{user}.json").write_text(json.dumps([entry]))
        return world

    def _open(self, user: str, usd: str, prefix: str) -> None:
        body = {"name": self.at_venue(user), "balances": {"USD": usd}, "tier": "pro"}
        keys = self.venue.call("POST", "accounts", body)
        self.environ |= {f"{prefix}_API_KEY": keys["key"], f"{prefix}_API_SECRET": keys["secret"]}

    def at_venue(self, user: str) -> str:
        """The name of a user's account in the venue's own records."""
        return f"{self.name}.{user}"

    @property
    def ledger(self) -> Path:
        return self.folder / "state" / "ledger.sqlite3"

    def run(self, workers: Workers, **how: Any) -> int:
        """One run of the worker; `how` may have `kill`, `kill_from_outside_ms` and `blind`."""
        steps = [dict(step) for step in self.steps]
        return workers.run({"world": str(self.folder), "environ": self.environ, "steps": steps, **how})

    def fault(self, user: str, **fault: Any) -> int:
        """Let the venue misbehave towards one of the accounts (docs/simulator.md lists the kinds); the fault's id."""
        answer = self.venue.call("POST", "faults", {"account": self.at_venue(user), **fault})
        return int(answer["fault_id"])

    def orders(self) -> list[dict[str, Any]]:
        """Every order that the venue ever accepted from this world, by arrival."""
        found: list[dict[str, Any]] = []
        for user in ("master", *FOLLOWERS, NOT_ENABLED):
            answer = self.venue.call("GET", f"orders?account={self.at_venue(user)}")["orders"]
            found += [{**order, "user": user} for order in answer]
        return sorted(found, key=lambda order: order["arrival"])

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
