"""The processes of a measurement: the simulated venue, and one for each contender."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.contender import SYMBOL

REPOSITORY = Path(__file__).resolve().parent.parent
ANSWER_TIMEOUT_S = 180.0  # the longest step is connecting 5,000 accounts, which takes about 20 s
STOP_TIMEOUT_S = 20.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class ContenderFailed(Exception):
    """A process of the measurement ended or hung; the text holds what it said last."""


class Process:
    """A child that speaks in lines of JSON."""

    def __init__(self, command: Sequence[str], cwd: Path = REPOSITORY) -> None:
        self._name = command[-1]
        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd, env=environ, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ask(self, question: dict[str, Any] | None) -> dict[str, Any]:
        """Send a line (or none) and read one. Raises `ContenderFailed`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            if question is not None:
                self._process.stdin.write(json.dumps(question) + "\n")
                self._process.stdin.flush()
            readable, _, _ = select.select([self._process.stdout], [], [], ANSWER_TIMEOUT_S)
            line = self._process.stdout.readline() if readable else ""
        except BrokenPipeError:
            line = ""
        if not line:
            raise ContenderFailed(f"{self._name} gave no answer within {ANSWER_TIMEOUT_S:g} s, or ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def cpu_s(self) -> float:
        """User and system time of the process so far (Linux; 0 elsewhere)."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def stop(self) -> None:
        """End of input, then by force."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _terminate(self) -> None:
        """A contender ends with its input."""


class ContenderProcess(Process):
    """One contender, prepared."""

    def __init__(self, module: str, job: Any, python: str = sys.executable) -> None:
        super().__init__([python, "-m", module])
        try:
            self.idle_kb: int = self.ask(asdict(job))["rss_kb"]
        except BaseException:
            self.stop()
            raise

    def run(self, number: int) -> dict[str, Any]:
        """One run; returns a `Sample` as JSON values, and `peak_kb`."""
        return self.ask({"run": number})

    def settle(self) -> None:
        self.ask({"settle": True})


class VenueProcess(Process):
    """The simulated Kraken with so many accounts, no rate limits and a price that stands still."""

    def __init__(self, accounts: int) -> None:
        super().__init__(
            [sys.executable, "-m", "copytrade.simulator", "--venues", "kraken", "--no-rate-limits", "--volatility",
             "0", "--tier", "pro", "--accounts", str(accounts)]
        )  # fmt: skip
        try:
            about = self.ask(None)["venues"]["kraken"]
        except BaseException:
            self.stop()
            raise
        self.url: str = about["url"]
        self._admin_url: str = about["admin_url"]
        self.accounts = [(account["key"], account["secret"]) for account in about["accounts"].values()]

    def price(self) -> str:
        price: str = self._admin("GET", "price", None)[SYMBOL]["ask"]
        return price

    def delay_orders(self, delay_ms: int) -> None:
        """From now on the answer to an order leaves so much later; everything else is answered at once."""
        self._admin("DELETE", "faults", None)
        if delay_ms:
            self._admin("POST", "faults", {"kind": "delay", "method": "AddOrder", "delay_ms": delay_ms})

    def errors(self) -> dict[str, int]:
        """The error texts that the venue has answered with, and how often."""
        errors: dict[str, int] = self._admin("GET", "requests", None)["errors"]
        return errors

    def _admin(self, verb: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        return ask_admin(self._admin_url, verb, path, body)

    def _terminate(self) -> None:
        self._process.terminate()


def ask_admin(admin_url: str, verb: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One admin call of a simulated venue (docs/simulator.md)."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{admin_url}/{path}", data, method=verb)
    with urllib.request.urlopen(request, timeout=10) as reply:
        answer: dict[str, Any] = json.load(reply)
        return answer
