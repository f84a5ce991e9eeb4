"""One contender is one process: it reads a job and commands as lines of JSON, and answers each with one line.

Every contender has its own process, so that its CPU time and its memory are its own. Standard library only: one of
them runs in an environment that has nothing of ours.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

# What every contender sends: a tenth of what a follower of the simulated venue owns, far above every minimum.
SYMBOL = "BTC/USD"
VENUE_SYMBOL = "XXBTZUSD"
MASTER_USD = 100
FOLLOWER_USD = 10


@dataclass(frozen=True)
class Job:
    """What to measure. `accounts` are (key, secret), the master's first; `folder` is a disk path to work in."""

    url: str
    accounts: list[tuple[str, str]]
    price: str
    connections: int
    folder: str

    @property
    def followers(self) -> list[tuple[str, str]]:
        return self.accounts[1:]

    @property
    def volume(self) -> str:
        """One follower's order, in the base asset."""
        return f"{FOLLOWER_USD / float(self.price):.8f}"


@dataclass(frozen=True)
class Sample:
    """One run. Times in seconds; `latencies_s` has one entry for each order that the venue took."""

    wall_s: float
    cpu_s: float
    latencies_s: list[float]


class Contender(Protocol):
    """One way of placing the same order for many accounts."""

    async def prepare(self) -> None: ...

    async def run(self, number: int) -> Any:
        """One run; a `Sample`, or another dataclass of figures."""
        ...

    async def settle(self) -> None:
        """Finish what a run leaves to do afterwards, so that the next contender has the machine to itself."""
        ...

    async def close(self) -> None: ...


class Stopwatch:
    """Wall and CPU time (of all threads of this process) from its making on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    @property
    def wall_s(self) -> float:
        return time.perf_counter() - self._wall

    @property
    def cpu_s(self) -> float:
        return time.process_time() - self._cpu


def memory_kb(name: str) -> int:
    """A figure of this process in KiB: `VmRSS` is memory now, `VmHWM` its peak."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(name + ":"))
    except OSError:  # not Linux: the peak is all there is
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def serve(make: Callable[[Any], Contender], job_type: Callable[..., Any] = Job) -> None:
    """Run a contender until its input ends. The first line has the fields of `job_type`, which `make` gets."""
    _raise_file_limit()
    asyncio.run(_serve(make, job_type))


async def _serve(make: Callable[[Any], Contender], job_type: Callable[..., Any]) -> None:
    loop = asyncio.get_running_loop()
    contender = make(job_type(**json.loads(await loop.run_in_executor(None, sys.stdin.readline))))
    try:
        await contender.prepare()
        gc.collect()
        _say({"ready": True, "rss_kb": memory_kb("VmRSS")})
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command = json.loads(line)
            if "run" in command:
                gc.collect()  # so that nobody pays for what an earlier run left behind
                sample = await contender.run(command["run"])
                _say({**asdict(sample), "peak_kb": memory_kb("VmHWM")})
            else:
                await contender.settle()
                _say({"settled": True})
    finally:
        await contender.close()


def _say(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
