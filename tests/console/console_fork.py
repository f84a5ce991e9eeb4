"""Commands and workers as processes of their own that need not import everything first.

A parent has imported what `python -m copytrade` and `run_master.py` import, and done nothing else. Each process is
forked from it and then begins as with Python itself: its own arguments, folder, environment and output. That saves most
of what the many short commands of these tests cost. That each also starts without a parent, and imports no more than it
needs, is proved where Python itself is started: by `World.run`, the README's examples and the house rules.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

REPOSITORY = Path(__file__).parents[2]
_OTHERS = (
    "asyncio", "aiohttp", "aiohttp.web", "pydantic", "yaml", "typer.main", "typer._adapters", "tenacity", "requests",
    "krakenex", "sqlite3", "urllib.request", "concurrent.futures.thread", "logging.handlers",
)  # fmt: skip
_OURS = (
    *(f"console.{room}" for room in ("cli", "worker", "operations", "trading", "switching", "drifting", "reading")),
    "console.enrolling", "console.checking", "ledger.replay", "simulator.command", "simulator.kraken",
    "simulator.server", "venues.kraken.account",
)  # fmt: skip
_REQUEST_MAX_BYTES = 200_000  # arguments and environment


class Forked:
    """One process; in the words of `subprocess.Popen`, as far as they are needed here."""

    def __init__(self, arguments: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> None:
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        status, status_end = os.pipe()
        try:
            _parent().ask(arguments, cwd, environ, (out_end, err_end, status_end))
        finally:
            for end in (out_end, err_end, status_end):
                os.close(end)
        self.stdout: IO[str] = open(out)  # noqa: SIM115  (closed by whoever reads it, as with Popen)
        self.stderr: IO[str] = open(err)  # noqa: SIM115
        self._status = open(status)  # noqa: SIM115
        self._lock = threading.Lock()
        self.pid = int(self._status.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises `subprocess.TimeoutExpired`."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return code

    def _ended(self, timeout_s: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._status], [], [], timeout_s)[0]:
                line = self._status.readline()
                self._status.close()
                if not line:
                    raise RuntimeError(f"the parent of process {self.pid} is gone")
                self.returncode = int(line)
            return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Parent:
    """The process that forks, and the line to it. For any thread."""

    def __init__(self) -> None:
        self._line, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with end:
            environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(end.fileno())], pass_fds=[end.fileno()], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, env=environ,
            )  # fmt: skip
        atexit.register(self._stop)

    def ask(self, arguments: Sequence[str], cwd: Path, environ: Mapping[str, str], ends: Sequence[int]) -> None:
        request = json.dumps({"arguments": list(arguments), "cwd": str(cwd), "environ": dict(environ)}).encode()
        assert len(request) <= _REQUEST_MAX_BYTES
        with self._lock:
            socket.send_fds(self._line, [request], ends)

    def _stop(self) -> None:
        self._line.close()
        self._process.wait(30.0)


@functools.cache
def _parent() -> _Parent:
    return _Parent()


# -- in the parent ---------------------------------------------------------------------------------------------------


class _ForkServer:
    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._statuses: dict[int, int] = {}  # where each process's end is told

    def serve(self) -> list[str] | None:
        """Fork for every request. Returns in a child, with its arguments, or in the parent when nobody asks more."""
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            ready = select.select([self._line, woken], [], [])[0]
            if woken in ready:
                os.read(woken, 4096)
            self._reap()
            if self._line in ready:
                request, ends, _, _ = socket.recv_fds(self._line, _REQUEST_MAX_BYTES, 3)
                if not request:
                    return self._end()
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for descriptor in (*self._statuses.values(), self._line.detach(), woken, wake, ends[2]):
                        os.close(descriptor)
                    return _become(json.loads(request), ends[0], ends[1])
                os.write(ends[2], b"%d\n" % pid)
                self._statuses[pid] = ends[2]
                os.close(ends[0])
                os.close(ends[1])

    def _reap(self) -> None:
        while self._statuses:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            end = self._statuses.pop(pid)
            with contextlib.suppress(BrokenPipeError):
                os.write(end, b"%d\n" % os.waitstatus_to_exitcode(status))
            os.close(end)

    def _end(self) -> None:
        for pid in self._statuses:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _become(request: dict[str, object], out: int, err: int) -> list[str]:
    """Be a process with this output, folder and environment. Returns the arguments behind Python's own name."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["environ"])  # type: ignore[call-overload]
    return list(request["arguments"])  # type: ignore[call-overload]


def _run(arguments: list[str]) -> None:
    """What Python does with `-m package …` or `script.py …`. Raises `SystemExit`, like Python at its top."""
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path[0] = os.getcwd()
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).parent)
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    for _name in (*_OTHERS, *(f"copytrade.{_name}" for _name in _OURS)):
        importlib.import_module(_name)
    gc.freeze()  # or a child's first collection would copy every page that it shares
    _arguments = _ForkServer(socket.socket(fileno=int(sys.argv[1]))).serve()
    if _arguments is not None:
        _run(_arguments)
